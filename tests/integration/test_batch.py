"""Many notebooks at once with the real marimo, and what cron relies on."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, processes
from daglab.exporting import export_locks, exporters, exports
from tests import tiers

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).resolve().parents[2]
Cli = Callable[..., Any]
SECONDS = 300
HANG = "import time\nopen('hangs', 'w').close()\ntime.sleep(600)"
TREE = """
    import os, subprocess, time
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    open("started", "w").close()
    time.sleep(600)
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who is left, and notebooks are forked")


def write(path: Path, *cells: str) -> Path:
    """A notebook with a cell for each piece of code."""
    parts = ['import marimo\n\n__generated_with = "0.25.0"\napp = marimo.App()\n\n']
    for number, code in enumerate(cells, start=1):
        body = textwrap.indent(textwrap.dedent(code).strip(), "    ")
        parts.append(f"\n@app.cell\ndef c{number}():\n{body}\n    return\n\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join([*parts, '\nif __name__ == "__main__":\n    app.run()\n']), encoding="utf-8")
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The current folder as a project that nothing answers to."""
    (tmp_path / "daglab.yaml").write_text("notebooks_dir: nb\ndagster:\n  port: 1\n")
    (tmp_path / ".daglab").mkdir()
    return tmp_path


@pytest.fixture(scope="module")
def exporter() -> Iterator[exporters.Exporter]:
    """One that all these tests share, as the notebooks of a batch do."""
    before = os.getcwd()
    os.chdir("/")  # each test has a folder of its own
    with exporters.opened([sys.executable], {**os.environ, exports.VARIABLE: "1"}) as opened:
        os.chdir(before)
        yield opened


def marked(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def left(mark: str) -> list[str]:
    """Who still runs, given a moment for the kernel to take the dead away."""
    deadline = time.monotonic() + 10
    while (found := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def waited(condition: Callable[[], object], process: subprocess.Popen[Any]) -> None:
    while not condition():
        assert process.poll() is None
        time.sleep(0.05)


@linux
def test_a_forked_notebook_writes_what_the_public_command_writes(
    tmp_path: Path, exporter: exporters.Exporter, need: Callable[[object, str], None]
) -> None:
    assert exporter.channel is not None
    shown = """
        import marimo as mo, os, signal, sys, threading, multiprocessing
        print(mo.cli_args().to_dict(), sys.argv, sys.path, os.environ["DAGLAB_EXPORT"])
        print([str(signal.getsignal(n)).split(" at ")[0] for n in (2, 13, 15)], __file__, __name__)
        print("err", file=sys.stderr)
        mo.md("# ü")
    """
    notebook = write(tmp_path / "nb.py", shown, "1 / 0")
    words = ["export", "html", str(notebook), "-o"]
    end = ["-f", "--no-sandbox", "--", "--n", "3"]
    # The exporter started elsewhere: so does the public command.
    public = processes.run(
        [sys.executable, "-m", "marimo", *words, str(tmp_path / "a.html"), *end],
        timeout=SECONDS,
        cwd=Path("/"),
        env=exporter.env,
    )
    forked = exporters.run(exporter, [*words, str(tmp_path / "b.html"), *end], SECONDS)
    assert (forked.returncode, forked.stdout, forked.timed_out) == (1, public.stdout, False)
    pages = [(tmp_path / name).read_text() for name in ("a.html", "b.html")]
    plain = [re.sub(r"marimo_\d+", "", page) for page in pages]  # a folder that has its process's number in its name
    assert plain[0] == plain[1]
    assert "division by zero" in forked.stderr


@linux
@pytest.mark.parametrize(
    ("end", "told"),
    [("os._exit(3)", "ended with exit code 3"), ("os.kill(os.getpid(), 9)", "killed by signal 9: has the memory")],
)
def test_a_kernel_that_is_gone_is_not_waited_for(
    tmp_path: Path, exporter: exporters.Exporter, end: str, told: str
) -> None:
    notebook = write(tmp_path / "gone.py", f"import os\n{end}")
    with pytest.raises(errors.NotGood, match=f"notebook (was )?{told}"):
        exports.export_html(
            notebook, tmp_path / "gone.html", python=[sys.executable], timeout=SECONDS, exporter=exporter
        )
    assert not (tmp_path / "gone.html").exists()


@pytest.mark.slow
@linux
def test_a_notebook_affects_only_itself(tmp_path: Path, exporter: exporters.Exporter) -> None:
    """Its process ends, it goes elsewhere, hangs, leaves processes: the next one is as the first."""
    look = "import os, sys\nprint(os.getcwd(), sorted(os.environ), sys.argv[1:])"
    good = write(tmp_path / "good.py", look)

    def run(notebook: Path, timeout: float = SECONDS) -> str:
        page = tmp_path / f"{notebook.stem}.html"
        done = exporters.run(
            exporter, ["export", "html", str(notebook), "-o", str(page), "-f", "--no-sandbox"], timeout
        )
        assert not done.timed_out
        return re.sub(r'"(time|timestamp)": [\d.]+', "", page.read_text())

    before = run(good)
    for name, code in {
        "exits": "import os\nos._exit(3)",
        "crashes": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
        "kills": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nimport time\ntime.sleep(600)",
        "hangs": TREE.replace('"started"', repr(str(tmp_path / "hangs"))),
    }.items():
        mark = f"DAGLAB_TEST_MARK={uuid.uuid4()}"
        marking = f"import os\nos.environ.update([{mark.split('=')!r}])"
        notebook = write(tmp_path / f"{name}.py", f"{marking}\n{textwrap.dedent(code)}")
        words = ["export", "html", str(notebook), "-o", str(tmp_path / "x.html"), "-f", "--no-sandbox"]
        exporters.run(exporter, words, 5)
    run(write(tmp_path / "moves.py", "import os, sys\nos.chdir('/')\nos.environ['X'] = '1'\nsys.argv.append('x')"))
    leaves = write(
        tmp_path / "leaves.py", "import subprocess\nsubprocess.Popen(['sleep', '613'], start_new_session=True)"
    )
    run(leaves)
    assert not [each for each in marked("DAGLAB_EXPORT=1") if "sleep\x00613" in each or "sleep\x00600" in each]
    assert run(good) == before


@pytest.mark.slow
@linux
def test_without_its_child_each_notebook_starts_on_its_own(tmp_path: Path) -> None:
    notebook = write(tmp_path / "nb.py", "print('here')")
    with exporters.opened([sys.executable], {**os.environ}) as opened:
        assert opened.channel is not None
        opened.channel.shutdown(2)
        done = exports.export_html(
            notebook, tmp_path / "a.html", python=[sys.executable], timeout=SECONDS, exporter=opened
        )
    assert done.failed == ()
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    with exporters.opened([str(bare)], {**os.environ}) as opened, pytest.raises(errors.NotSetUp, match="has no marimo"):
        exports.export_html(notebook, tmp_path / "a.html", python=[str(bare)], timeout=SECONDS, exporter=opened)


@linux
def test_a_child_that_dies_midway_holds_nothing_up(tmp_path: Path) -> None:
    """Orders to it would wait for ever where its channel stays open; each notebook starts on its own then."""
    notebook = write(tmp_path / "nb.py", "print('here')")
    mark = uuid.uuid4().hex
    with exporters.opened([sys.executable], {**os.environ, "TEST_MARK": mark}) as opened:
        script = str(exporters.SCRIPT)
        [pid] = [
            int(process.name)
            for process in Path("/proc").glob("[0-9]*")
            if mark.encode() in bytes_of(process / "environ") and script.encode() in bytes_of(process / "cmdline")
        ]
        os.kill(pid, signal.SIGKILL)
        done = exports.export_html(
            notebook, tmp_path / "a.html", python=[sys.executable], timeout=SECONDS, exporter=opened
        )
    assert done.failed == ()


@linux
def test_a_python_that_ends_at_once_is_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    with caplog.at_level("INFO"), exporters.opened([str(python)], {**os.environ}) as opened:
        assert opened.channel is None
    assert "has ended" in caplog.text


def bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_batch_tells_of_each_and_publishes_the_good_ones(project: Path, cli: Cli) -> None:
    shown = "import json, sys\nimport marimo as mo\nprint(json.dumps(mo.cli_args().to_dict()))"
    write(project / "nb" / "good.py", shown)
    write(project / "nb" / "deep" / "good.py", shown)
    write(project / "nb" / "bad.py", "1 / 0")
    (project / "nb" / "broken.py").write_text("import marimo\n\napp = marimo.App(\n")
    write(project / "nb" / "hangs.py", HANG)
    (project / "p.yaml").write_text("date: 2026-01-01\nsecret_key: abcdefgh\n")
    name = "reports/{notebook}-{date}.html"
    given = ("--params", "p.yaml", "-P", "n=3", "--output", name, "--timeout", "20", "--interactive", "none")
    done = cli("export", "--all", "--jobs", "3", "--keep-going", *given, "--json")
    assert done.exit_code == 4, done.stderr
    report = json.loads(done.stdout)
    assert (report["ok"], report["error"]["code"]) == (False, "not_good")
    assert report["counts"] == {"exported": 2, "skipped": 0, "failed": 3, "not_started": 0}
    found = {str(Path(each["notebook"]).relative_to(project / "nb")): each for each in report["exports"]}
    assert list(found) == ["bad.py", "broken.py", "good.py", "hangs.py", "deep/good.py"]
    codes = {key: each["error"]["code"] if "error" in each else None for key, each in found.items()}
    assert codes == {
        "bad.py": "not_good",
        "broken.py": "invalid_input",
        "deep/good.py": None,
        "good.py": None,
        "hangs.py": "timed_out",
    }
    good = found["deep/good.py"]
    assert good["output"] == str(project / "reports" / "deep" / "good-2026-01-01.html")
    assert good["parameters"] == {"date": "2026-01-01", "secret_key": "***", "n": 3}
    assert "__MARIMO_MOUNT_CONFIG__" not in Path(good["output"]).read_text()
    lines = [line for line in done.stderr.splitlines() if line.startswith("[")]
    assert len(lines) == 5
    assert "abcdefgh" not in done.stdout + done.stderr + (project / ".daglab" / "exports.jsonl").read_text()
    recorded = [json.loads(line) for line in (project / ".daglab" / "exports.jsonl").read_text().splitlines()]
    assert sorted((each["notebook"], each["ok"]) for each in recorded) == [
        ("nb/bad.py", False),
        ("nb/deep/good.py", True),
        ("nb/good.py", True),
    ]
    assert sorted(os.listdir(project / "reports")) == ["bad-2026-01-01.html", "deep", "good-2026-01-01.html"]
    assert not (project / "nb" / "__marimo__").exists() or sys.platform != "linux"


def test_a_list_fail_fast_and_quiet(project: Path, cli: Cli) -> None:
    for name in "abc":
        write(project / f"{name}.py", "1 / 0" if name == "b" else "x = 1")
    text = "# those of the night\na.py\n\nb.py\nc.py\n"
    done = cli("export", "--from-list", "-", "--fail-fast", "--json", "-q", input=text)
    assert done.exit_code == 4
    report = json.loads(done.stdout)
    assert report["counts"] == {"exported": 1, "skipped": 0, "failed": 1, "not_started": 1}
    assert done.stderr == ""
    assert "Traceback" in report["error"]["message"]
    done = cli("export", "a.py", "c.py", "-q")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    done = cli("export", "a.py", "-q")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")


@linux
@pytest.mark.parametrize(("number", "code"), tiers.STOPS)
def test_a_signal_ends_all_and_tells_what_was_done(project: Path, number: int, code: int) -> None:
    write(project / "a.py", "x = 1")
    for name in "bc":
        write(project / f"{name}.py", TREE.replace("started", f"started_{name}"))
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "daglab", "export", "a.py", "b.py", "c.py", "--jobs", "2", "--json"]
    env = {**os.environ, "TEST_MARK": mark, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        waited(lambda: all((project / f"started_{name}").exists() for name in "bc"), process)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    report = json.loads(out)
    assert process.returncode == code == report["error"]["exit_code"]
    assert [Path(each["notebook"]).name for each in report["exports"]] == ["a.py"]
    assert report["counts"]["not_started"] == 2
    assert left(f"TEST_MARK={mark}") == []
    assert sorted(os.listdir(project / "exports" / "project")) == ["a.html"]


def test_the_lock_of_an_output(project: Path, cli: Cli) -> None:
    write(project / "a.py", "open('ran', 'w').close()")
    with export_locks.held(project, project / "o.html"):
        done = cli("export", "a.py", "--output", "o.html", "--wait-lock", "0.1", "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (8, "taken")
    assert "--wait-lock" in json.loads(done.stdout)["error"]["hint"]
    assert not (project / "ran").exists()
    assert cli("export", "a.py", "--output", "o.html").exit_code == 0


@pytest.mark.slow
def test_what_has_not_changed_is_not_exported_again(project: Path, cli: Cli, deployment: Any, graphql: Any) -> None:
    notebook = write(project / "a.py", "open('ran', 'a').write('x')")
    where = ("--attach", "asset:raw_orders", "--via", "rest", "--url", deployment.url, "--json")

    def run(*more: str) -> dict[str, Any]:
        done = cli("export", "a.py", "--if-changed", *where, *more)
        assert done.exit_code == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    first = run("-P", "n=1")
    assert first["skipped"] is False
    again = run("-P", "n=1")
    assert (again["skipped"], again["id"], again["output"]) == (True, first["id"], first["output"])
    assert again.keys() >= first.keys() - {"skipped"}
    assert run("-P", "n=2")["skipped"] is False
    assert run("-P", "n=2")["skipped"] is True
    notebook.write_text(notebook.read_text() + "\n# more\n")
    assert run("-P", "n=2")["skipped"] is False
    Path(first["output"]).write_text("changed")
    assert run("-P", "n=2")["skipped"] is False
    ran = cli("run", "--asset-selection", "raw_orders", "--wait", "--url", deployment.url, "--json")
    assert ran.exit_code == 0, ran.stderr
    assert run("-P", "n=2")["skipped"] is False
    assert run("-P", "n=2")["skipped"] is True


def test_the_printed_line_works_as_cron_runs_it(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    program = tmp_path_factory.mktemp("bin") / "daglab"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from daglab import cli\nsys.exit(cli.main())\n"
    )
    program.chmod(0o755)
    write(project / "a b.py", "import marimo as mo\nopen('seen', 'w').write(repr(mo.cli_args().to_dict()))")
    given = ["a b.py", "-P", "day=100% $HOME 'x'", "--output", "out/{notebook} %Y.html", "--wait-lock", "5"]
    command = [str(program), "export", *given, "--print-cron", "30 4 * * 1-5"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "MAILTO" in printed.stderr
    assert not (project / "exports").exists()
    [line] = printed.stdout.splitlines()
    assert line.startswith("30 4 * * 1-5 cd ")
    schedule, command_line = line[: len("30 4 * * 1-5")], line[len("30 4 * * 1-5 ") :]
    assert schedule == "30 4 * * 1-5"
    assert str(program) in shlex.split(command_line.replace(r"\%", "%"))
    home = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        ["env", "-i", "PATH=/usr/bin:/bin", f"HOME={home}", "sh", "-c", command_line.replace(r"\%", "%")],
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (project / "out" / "a b %Y.html").is_file()
    assert (project / "seen").read_text() == repr({"day": "100% $HOME 'x'"})


WRONG = {
    "no notebooks": ([], 2, "--all"),
    "all and names": (["--all", "a.py"], 2, "--from-list"),
    "a list that is not there": (["--from-list", "none"], 3, "path"),
    "an empty folder": (["--all"], 3, "scaffold"),
    "one output for two": (["a.py", "b.py", "--output", "x.html"], 7, "{notebook}"),
    "a name that is not there": (["a.py", "--output", "{dat}.html", "-P", "date=1"], 7, "date"),
    "a way out": (["a.py", "--output", "r/{d}", "-P", "d=.."], 7, "values"),
    "twice": (["a.py", "-P", "n=1", "--json", "--", "--n", "2"], 7, "--"),
    "no pair": (["a.py", "--parameter", "n"], 2, "KEY=VALUE"),
    "no schedule": (["a.py", "--print-cron", "1 2 3"], 2, "--print-cron"),
    "a link to nothing": (["a.py", "--sign", "7d"], 2, "--upload"),
    "a check of nothing": (["a.py", "--check", "fresh"], 2, "--attach"),
    "a failure of nothing": (["a.py", "--attach-failure"], 2, "--attach"),
    "no time": (["a.py", "--sign", "soon"], 2, "7d"),
    "nowhere to": (["a.py", "--upload"], 3, "export.cloud_storage"),
    "no place": (["a.py", "--upload", "ftp://x"], 7, "s3://"),
}


@pytest.mark.parametrize(("arguments", "exit_code", "help_for"), WRONG.values(), ids=WRONG)
def test_what_can_not_be_is_refused_before_anything_runs(
    project: Path, cli: Cli, arguments: list[str], exit_code: int, help_for: str
) -> None:
    for name in "ab":
        write(project / f"{name}.py", "open('ran', 'w').close()")
    done = cli("export", *arguments, *(() if "--json" in arguments else ("--json",)))
    assert done.exit_code == exit_code, done.stdout + done.stderr
    error = json.loads(done.stdout)["error"]
    assert help_for in f"{error['message']} {error['hint']}"
    assert not (project / "ran").exists()
    assert not (project / "exports").exists()
