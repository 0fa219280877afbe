"""The command line as a person and a script meet it: usage, help, output, signals, and how each end is told."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest

import daglab
from daglab import cli as daglab_cli
from daglab import errors

PACKAGE = Path(daglab.__file__).parent
DAGLAB = [sys.executable, "-m", "daglab"]

Cli = Callable[..., Any]


def commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command and sub-command with its name and context."""
    root = click.Context(daglab_cli.main, info_name="daglab")

    def below(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            own = click.Context(command, info_name=name, parent=context)
            yield own.command_path.removeprefix("daglab "), command, own
            if isinstance(command, click.Group):
                yield from below(command, own)

    yield from below(daglab_cli.main, root)


ALL = {name: (command, context) for name, command, context in commands()}


# help


@pytest.mark.parametrize("name", [name for section in daglab_cli.COMMANDS.values() for name in section])
def test_the_help_starts_with_the_line_that_the_overview_shows(name: str) -> None:
    line = next(section[name] for section in daglab_cli.COMMANDS.values() if name in section)
    assert (ALL[name][0].help or "").splitlines()[0] == line


@pytest.mark.parametrize("name", [name for name, (command, _) in ALL.items() if isinstance(command, click.Group)])
def test_the_help_of_a_group_has_the_whole_line_of_each_command(name: str) -> None:
    command, context = ALL[name]
    assert isinstance(command, click.Group)
    shown = " ".join(command.get_help(context).split())
    for below, each in command.commands.items():
        assert f"{below} {(each.help or '').splitlines()[0]}" in shown


@pytest.mark.parametrize("name", list(ALL))
def test_every_help_has_an_example(name: str) -> None:
    text = ALL[name][0].help or ""
    examples = text.partition("Example")[2]
    assert f"daglab {name.split()[0]}" in examples


@pytest.mark.parametrize("name", list(ALL))
def test_every_option_is_explained_with_its_default(name: str) -> None:
    command, context = ALL[name]
    for option in (param for param in command.get_params(context) if isinstance(param, click.Option)):
        assert option.help, option.name
        value = option.get_default(context)
        has_default = isinstance(value, (str, int, float, tuple)) and not option.is_flag
        assert not has_default or option.show_default, option.name


def test_options_that_mean_the_same_have_the_same_name_and_text() -> None:
    helps: dict[str, set[str]] = {}
    for command, context in ALL.values():
        for param in command.get_params(context):
            if isinstance(param, click.Option) and param.opts[-1] in ("--json", "--url", "--quiet", "--verbose"):
                helps.setdefault(param.opts[-1], set()).add(str(param.help))
    assert {name: len(texts) for name, texts in helps.items()} == dict.fromkeys(helps, 1)
    assert set(helps) == {"--json", "--url", "--quiet", "--verbose"}


def test_every_module_of_commands_is_a_command() -> None:
    modules = {path.stem for path in (PACKAGE / "commands").glob("*") if path.name[:2] != "__"}
    assert {daglab_cli._MODULES.get(name, name) for name in daglab_cli.NAMES} == modules


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_overview_groups_the_commands(cli: Cli, flag: str) -> None:
    done = cli(flag)
    assert (done.exit_code, done.stderr) == (0, "")
    places = [done.stdout.index(f"\n{section}:\n") for section in daglab_cli.COMMANDS]
    assert places == sorted(places)
    for section in daglab_cli.COMMANDS.values():
        for name, line in section.items():
            assert f"  {name}" in done.stdout
            assert line in " ".join(done.stdout.split())


def test_the_version(cli: Cli) -> None:
    assert cli("--version") == type(cli("--version"))(0, f"daglab {daglab.__version__}\n", "")


@pytest.mark.parametrize("arguments", [[], ["config"]])
def test_a_group_alone_shows_its_help_as_wrong_usage(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: daglab")
    assert "config" in done.stderr


# wrong usage

WRONG = [
    (["discvoer"], "There is no command 'discvoer'", "discover"),
    (["xyzzy"], "There is no command 'xyzzy'", "daglab --help"),
    (["config", "shw"], "There is no command 'shw'", "Did you mean show?"),
    (["discover", "--jsn"], "No such option", "daglab discover --help"),
    (["discover", "--filter", "x"], "Invalid value for '--filter'", "daglab discover --help"),
    (["discover", "extra"], "Got unexpected extra argument", "daglab discover --help"),
    (["run", "--timeout", "soon", "--job", "x"], "Invalid value for '--timeout'", "daglab run --help"),
    (["run"], "One of --job, --asset-selection", "daglab run --asset-selection orders"),
    (
        ["scaffold"],
        "One of --asset, --job, --from-selection and --collection is needed",
        "daglab scaffold --asset orders",
    ),
    (["export"], "Say which notebooks", "daglab export --help"),
    (["--bogus", "discover"], "No such option", "daglab --help"),
    (["run", "--job", ""], "--job is empty", "is a variable unset?"),
    (["run", "--asset-selection", "a", "--partitions", " , "], "--partitions is empty", "leave it out"),
    (["run", "--job", "a", "--env", ""], "--env is empty", "leave it out"),
    (["discover", "--url", ""], "--url is empty", "leave it out"),
    (["discover", "--group", "a", "--group", ""], "--group is empty", "leave it out"),
    (["export", "a.py", "--attach", ""], "--attach is empty", "leave it out"),
    (["run", "--asset"], "No such option --asset.", "--asset-selection or --asset-pattern? `daglab run --help`"),
]


@pytest.mark.parametrize(("arguments", "said", "hint"), WRONG)
def test_wrong_usage(cli: Cli, arguments: list[str], said: str, hint: str) -> None:
    done = cli(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    first, _, second = done.stderr.partition("\nHint: ")
    assert first.startswith(f"Error: {said}")
    assert hint in second
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("arguments", "said", "hint"), WRONG)
def test_wrong_usage_is_one_document_with_json(cli: Cli, arguments: list[str], said: str, hint: str) -> None:
    done = cli(*arguments, "--json")
    assert (done.exit_code, done.stderr) == (2, "")
    document = json.loads(done.stdout)
    assert set(document) == {"ok", "error"}
    assert document["ok"] is False
    assert document["error"]["message"].startswith(said)
    assert hint in document["error"]["hint"]
    assert (document["error"]["code"], document["error"]["exit_code"]) == ("usage", 2)


def test_json_after_two_dashes_is_the_notebook_s(cli: Cli) -> None:
    done = cli("export", "--bogus", "nb.py", "--", "--json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")


def test_every_error_that_is_raised_has_a_hint() -> None:
    """A message says what is wrong; the second argument says what helps."""
    kinds = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.DaglabError) and kind is not errors.DaglabError
    }
    without = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in kinds
            if named and len(node.args) < 2 and not any(keyword.arg == "hint" for keyword in node.keywords):  # type: ignore[attr-defined]
                without.append(f"{path.name}:{node.lineno}")  # type: ignore[attr-defined]
    assert without == []


def test_exit_codes_mean_one_thing_each() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DaglabError)]
    codes = {kind.code: kind.exit_code for kind in kinds}
    assert len(codes) == len(kinds)
    assert codes == {
        "error": 1, "usage": 2, "not_set_up": 3, "not_good": 4, "unreachable": 5, "outcome_unknown": 5,
        "not_authorised": 6, "invalid_input": 7, "taken": 8, "timed_out": 9, "interrupted": 130,
    }  # fmt: skip


# config


@pytest.fixture
def wrong_config(tmp_path: Path) -> Path:
    path = tmp_path / "daglab.yaml"
    path.write_text("version: 1\ndagster:\n  prot: 3000\n")
    return path


@pytest.mark.parametrize("arguments", [["config", "show"], ["config", "validate"], ["discover"], ["run", "--job", "x"]])
def test_a_wrong_config_stops_every_command(cli: Cli, wrong_config: Path, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert (done.exit_code, done.stdout) == (7, "")
    assert done.stderr.startswith(
        f"Error: {wrong_config}:3: unknown key dagster.prot.\nHint: Did you mean dagster.port"
    )
    document = json.loads(cli(*arguments, "--json").stdout)
    assert (document["ok"], document["error"]["exit_code"]) == (False, 7)


def test_config_show(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("version: 1\ndagster:\n  port: 4000\n")
    env = {"DAGLAB_NOTEBOOKS_DIR": "nb"}
    document = json.loads(cli("config", "show", "--json", env=env).stdout)
    assert (document["ok"], document["url"]) == (True, "http://127.0.0.1:4000")
    assert document["file"] == str(tmp_path / "daglab.yaml")
    assert (document["values"]["dagster.port"], document["values"]["notebooks_dir"]) == (4000, "nb")
    assert "origins" not in document
    origins = json.loads(cli("config", "show", "--origin", "--json", env=env).stdout)["origins"]
    assert origins["dagster.port"] == f"{tmp_path / 'daglab.yaml'}:3"
    assert origins["notebooks_dir"] == "environment DAGLAB_NOTEBOOKS_DIR"
    lines = [line.split() for line in cli("config", "show", "--origin", env=env).stdout.splitlines()]
    assert ["dagster.port", "4000", f"{tmp_path / 'daglab.yaml'}:3"] in lines
    assert ["dagster.url", "default"] in lines


def test_config_validate(cli: Cli, tmp_path: Path) -> None:
    assert "no daglab.yaml here" in cli("config", "validate").stdout
    (tmp_path / "daglab.yaml").write_text("version: 1\n")
    assert cli("config", "validate").stdout == f"The config is valid: {tmp_path / 'daglab.yaml'}.\n"
    assert json.loads(cli("config", "validate", "--json").stdout) == {"ok": True, "file": str(tmp_path / "daglab.yaml")}


# quiet and verbose


@pytest.mark.parametrize("arguments", [["-v", "discover"], ["discover", "-v"], ["--verbose", "discover"]])
def test_verbose_says_each_request(cli: Cli, dagster: Any, arguments: list[str]) -> None:
    done = cli(*arguments, "--url", f"{dagster.url}")
    assert done.exit_code == 0
    assert done.stderr.count(f"POST {dagster.url}/graphql 200 ") == 2
    assert "POST" not in done.stdout
    assert "POST" not in cli("discover", "--url", dagster.url).stderr


@pytest.mark.parametrize(
    "arguments", [["-q", "discover"], ["discover", "--quiet"], ["-q", "discover", "-v"], ["-v", "discover", "-q"]]
)
def test_quiet_leaves_the_data(cli: Cli, dagster: Any, arguments: list[str]) -> None:
    loud, done = cli("discover", "--url", dagster.url), cli(*arguments, "--url", dagster.url)
    assert (done.exit_code, done.stderr) == (0, "")
    assert loud.stderr == "Dagster 1.13.0\n"
    assert "orders" in done.stdout
    assert done.stdout == loud.stdout


def test_quiet_leaves_errors(cli: Cli) -> None:
    assert cli("-q", "xyzzy").stderr.startswith("Error: There is no command")
    assert cli("config", "-q", "show", "-q", "-x").stderr.startswith("Error: No such option")


# what a terminal gets


def test_a_server_s_text_does_not_reach_the_terminal_as_it_is(cli: Cli, dagster: Any) -> None:
    location = dagster.answers["Workspace"]["workspaceOrError"]["locationEntries"][0]
    location["locationOrLoadError"]["repositories"][0]["jobs"][0]["description"] = "\x1b[2J\x9b31mred\u202e"
    location["locationOrLoadError"]["repositories"][0]["jobs"][0]["name"] = "rep\x07ort"
    broken = {"__typename": "PythonError", "message": "bad\x1b]0;title\x07", "causes": []}
    dagster.answers["Workspace"]["workspaceOrError"]["locationEntries"].append(
        {"name": "bro\x1bken", "locationOrLoadError": broken}
    )
    done = cli("discover", "--url", dagster.url, env={"FORCE_COLOR": None})
    assert done.exit_code == 0, done.stderr
    assert r"\x1b[2J\x9b31mred\u202e" in done.stdout
    assert r"bad\x1b]0;title\x07" in done.stderr
    for text in (done.stdout, done.stderr):
        assert all(c.isprintable() or c == "\n" for c in text)
    document = json.loads(cli("discover", "--url", dagster.url, "--json").stdout)
    assert document["jobs"][0]["description"] == "\x1b[2J\x9b31mred\u202e"


def test_colour_can_be_forced_and_forbidden(cli: Cli) -> None:
    assert "\x1b" not in cli("xyzzy").stderr
    assert cli("xyzzy", env={"FORCE_COLOR": "1"}).stderr.startswith("\x1b[31mError:\x1b[0m ")
    assert "\x1b" not in cli("xyzzy", env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stderr
    assert "\x1b" not in cli("xyzzy", "--json", env={"FORCE_COLOR": "1"}).stdout


def on_terminal(arguments: list[str], columns: int, env: Mapping[str, str]) -> str:
    """What a terminal of so many columns is sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    variables = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        [*DAGLAB, *arguments], env={**variables, "TERM": "xterm", **env}, stdin=theirs, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        read = bytearray()
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # Linux says so that the other end is closed
                break
            if not piece:
                break
            read += piece
    os.close(ours)
    return read.decode()


def test_tables_are_cut_on_a_terminal_only(cli: Cli) -> None:
    env = {"DAGLAB_DAGSTER__REPOSITORY_NAME": "r" * 200}
    shown = on_terminal(["config", "show", "--origin"], 40, env).splitlines()
    assert len(shown) == len(cli("config", "show", "--origin", env=env).stdout.splitlines())
    assert max(map(len, shown)) == 40
    assert any(line.endswith("…") for line in shown)
    assert max(map(len, on_terminal(["config", "show", "--origin"], 100, env).splitlines())) == 100
    assert "r" * 200 in cli("config", "show", env=env).stdout
    assert json.loads(on_terminal(["config", "show", "--json"], 40, env))["ok"] is True


def test_errors_are_coloured_on_a_terminal() -> None:
    assert on_terminal(["xyzzy"], 80, {}).startswith("\x1b[31mError:\x1b[0m ")
    assert "\x1b" not in on_terminal(["xyzzy"], 80, {"NO_COLOR": "1"})


@pytest.mark.parametrize(
    "strict", [{"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "latin-1"}, {}]
)
def test_a_locale_without_letters(cli: Cli, tmp_path: Path, strict: dict[str, str]) -> None:
    (tmp_path / "daglab.yaml").write_text("dagster: {repository_name: 🎉}\n", encoding="utf-8")
    env = {"LC_ALL": "C", "LANG": "C", **strict}
    done = cli("config", "show", env=env)
    assert (done.exit_code, done.stderr) == (0, "")
    document = json.loads(cli("config", "show", "--json", env=env).stdout)
    assert document["values"]["dagster.repository_name"] == "🎉"
    done = cli("漢", env=env)
    assert (done.exit_code, "Traceback" in done.stderr) == (2, False)


# the end of stdout


@pytest.fixture
def buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python could not write it tries again at exit, unless it does not buffer."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.mark.parametrize(
    "arguments", [["config", "show"], ["config", "show", "--json"], ["--help"], ["xyzzy", "--json"]]
)
def test_a_closed_pipe_is_141_quietly(buffered: None, arguments: list[str]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run([*DAGLAB, *arguments], stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_closed_pipe_of_messages_changes_nothing(buffered: None, dagster: Any) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    command = [*DAGLAB, "discover", "-v", "--url", dagster.url]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=False)
    assert (done.returncode, b"orders" in done.stdout) == (0, True)
    done = subprocess.run([*DAGLAB, "xyzzy", "--json"], stdout=subprocess.PIPE, stderr=theirs, check=False)
    os.close(theirs)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (2, "usage")


def test_a_reader_that_goes_away_in_the_middle(buffered: None, dagster: Any) -> None:
    """More than a pipe holds; the reader closes after one line."""
    node = dagster.answers["Assets"]["assetNodes"][0]
    dagster.answers["Assets"]["assetNodes"] = [{**node, "groupName": "g" * 2000} for _ in range(200)]
    with subprocess.Popen(
        [*DAGLAB, "discover", "--url", dagster.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b"Dagster 1.13.0\n"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_below_stdout_is_no_bug(
    buffered: None, options: list[str], need: Callable[[object, str], None]
) -> None:
    need(os.path.exists("/dev/full"), "there is no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*DAGLAB, "config", "show", *options], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 7
    assert done.stderr.startswith("Error: The output can't be written: No space left on device.\nHint: ")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(("closing", "exit_code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("<&-", 0)])
def test_closed_streams_are_no_bug(closing: str, exit_code: int) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closing}', "sh", *DAGLAB, "config", "show"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (exit_code, "")


# signals


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        yield listener


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "exit_code", "said"),
    [
        (signal.SIGINT, 130, "Interrupted."),
        (signal.SIGTERM, 143, "Terminated."),
        (signal.SIGHUP, 143, "Terminated."),
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"], ["-q"]])
def test_a_signal_ends_a_command_that_waits(
    silent: socket.socket, tmp_path: Path, number: signal.Signals, exit_code: int, said: str, options: list[str]
) -> None:
    (tmp_path / ".daglab").mkdir()
    url = f"http://127.0.0.1:{silent.getsockname()[1]}"
    with subprocess.Popen(
        [*DAGLAB, "discover", "--url", url, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, these may be ignored, and children take that over.
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGHUP)],
    ) as process:
        connection, _ = silent.accept()
        with connection:
            connection.settimeout(60)
            assert connection.recv(4) == b"POST"
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == exit_code, stderr
    if options == ["--json"]:
        document = json.loads(stdout)
        assert document["ok"] is False
        assert (document["error"]["code"], document["error"]["exit_code"]) == ("interrupted", exit_code)
        assert (document["error"]["message"], stderr) == (said, "")
    else:
        assert (stdout, stderr.splitlines()[0]) == ("", f"Error: {said}")
        assert "Traceback" not in stderr
    (event,) = (tmp_path / ".daglab" / "events").iterdir()
    assert json.loads(event.read_text())["exit_code"] == exit_code


# bugs

BUG = """
import daglab.settings.config
from daglab.cli import main
def load(*_):
    return {}["oops"]
daglab.settings.config.load = load
main(["config", "show", *__import__("sys").argv[1:]], "daglab")
"""


@pytest.mark.parametrize("options", [[], ["--json"], ["-q"]])
def test_a_bug_keeps_its_traceback(options: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", BUG, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "in load" in done.stderr
    assert "KeyError: 'oops'" in done.stderr
    if options == ["--json"]:
        error = json.loads(done.stdout)["error"]
        assert (error["code"], error["exit_code"]) == ("error", 1)
        assert "KeyError" in error["message"]
    else:
        assert done.stdout == ""
        assert "Error: This is a bug in daglab: KeyError.\nHint: Please report it" in done.stderr


def test_the_console_script_is_the_same(cli: Cli) -> None:
    code = "import sys; sys.argv = ['/somewhere/daglab', '--version']; from daglab.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, cli("--version").stdout)
