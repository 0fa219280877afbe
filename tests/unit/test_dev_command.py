"""`daglab dev` as a command: what it starts behind us, what it says at its start and its end, what ends too early."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from daglab import errors, output, processes
from daglab.commands import dev
from daglab.dev import environment, record, services, supervision
from daglab.settings import config

DAGSTER = {"url": "http://127.0.0.1:3000", "failed_locations": {"shop": "no module named shop"}}
MARIMO = {"url": "http://127.0.0.1:3010", "page": "http://127.0.0.1:3010/?file=a.py", "token_file": "/t"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "daglab.yaml").touch()
    (tmp_path / "definitions.py").write_text("import dagster\n\ndefs = dagster.Definitions()\n")
    (tmp_path / "pyproject.toml").write_text("[tool.dagster]\nmodule_name = 'definitions'\n")
    return tmp_path


def plan(root: Path) -> environment.Plan:
    """Both services, as for nobody's own history."""
    more = {"notebook": None, "url": None, "prefix": "", "read_only": False, "restarts": True, "shows": True}
    sizes = {"largest_log": 100_000, "backups": 1}
    return environment.Plan(root, "python", "127.0.0.1", "INFO", {}, (1, 2), {}, None, **more, **sizes)  # type: ignore[arg-type]


# --- behind us


@pytest.fixture
def behind(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """`behind(code)` is `daglab dev --detach` where this code is what runs behind it."""

    def detached(code: str) -> Any:
        script = project / "program.py"
        script.write_text(code)
        monkeypatch.setattr(sys, "argv", [str(script), "dev", "--detach"])
        monkeypatch.setattr(output, "drop_when_full", lambda: None)  # the runner's stderr is none that can be full
        return CliRunner().invoke(dev.command, ["--detach", "--no-open", "--log-level", "warning"])

    return detached


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # that is what it is for
def test_what_is_ready_behind_us_is_told_with_what_did_not_load(behind: Callable[[str], Any]) -> None:
    found = {"dagster": DAGSTER, "marimo": MARIMO, "read_only": False}
    done = behind(f"import json, sys; print(sys.argv[1:], file=sys.stderr); print(json.dumps({found!r}))")
    assert done.exit_code == 0, done.exception
    assert "dagster  http://127.0.0.1:3000\nmarimo   http://127.0.0.1:3010/?file=a.py" in done.output
    assert "The code location shop did not load: no module named shop" in done.output
    log = services.LOGS / "dev.log"
    assert log.read_text() == "['dev', '--json', '--behind', '--no-open']\n"


def test_one_that_ends_behind_us_without_a_word_is_an_error(behind: Callable[[str], Any]) -> None:
    error = behind("raise SystemExit(3)").exception
    assert isinstance(error, errors.NotGood)
    assert "has ended with code 3" in error.message
    assert "dev.log" in str(error.hint)


def test_an_error_behind_us_is_raised_here(behind: Callable[[str], Any]) -> None:
    told = {"ok": False, "error": {"code": "taken", "message": "It runs.", "hint": "Stop it.", "exit_code": 7}}
    error = behind(f"print({json.dumps(told)!r})").exception
    assert isinstance(error, errors.DaglabError)
    assert (error.code, error.exit_code, error.message, error.hint) == ("taken", 7, "It runs.", "Stop it.")


# --- in the foreground


def test_at_its_start_it_says_where_all_is_and_opens_the_pages(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(dev, "open_pages", lambda *given: opened.append(given))
    monkeypatch.setattr(record, "clear_up", lambda _: [4711, 4712])
    monkeypatch.setattr(dev, "plan", lambda *_: wanted)
    home = services.dagster_home(project, {})
    options = {"notebook": None, "url": None, "prefix": "", "read_only": False, "restarts": True, "shows": True}
    wanted = environment.Plan(
        project, "python", "0.0.0.0", "INFO", {}, (1, 2), {}, home, **options, largest_log=1, backups=1
    )  # type: ignore[arg-type]

    def serve(_: Any, ready: Callable[[dict[str, Any]], None], is_ours: Callable[[], bool]) -> None:
        assert is_ours()
        ready({"dagster": DAGSTER, "marimo": MARIMO, "read_only": False})
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "serve", serve)
    with pytest.raises(click.exceptions.Exit) as stopped:
        dev.run(config.load({}, directory=project), {"browser": "b"}, opens=True, as_json=False)
    assert stopped.value.exit_code == 130
    assert opened == [([DAGSTER["url"], MARIMO["page"]], "b")]
    out, err = capsys.readouterr()
    assert "dagster  http://127.0.0.1:3000" in out
    assert "A killed one had left 2 processes behind, now ended." in err
    assert "0.0.0.0 can be reached by others" in err
    assert err.rstrip().endswith("Stopped: nothing is left running.")


@pytest.mark.parametrize("told", [[], [True]], ids=["before it was ready", "after that"])
def test_what_ends_it_is_an_error_and_no_second_document(told: list[bool], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((errors.NotGood, click.exceptions.Exit)) as ended, dev._ends_quietly(told, as_json=True):
        raise errors.NotGood("dagster has ended.", "Look at its log.")
    assert isinstance(ended.value, click.exceptions.Exit) == bool(told)
    assert ended.value.exit_code == errors.NotGood.exit_code
    assert ("dagster has ended." in capsys.readouterr().err) == bool(told)


def test_a_stop_before_the_document_is_one_of_the_whole_command() -> None:
    with pytest.raises(KeyboardInterrupt), dev._ends_quietly([], as_json=True):
        raise KeyboardInterrupt


# --- what ends before it has answered


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("raise SystemExit('[Errno 98] address already in use')", environment.PortLost),
        ("raise SystemExit('no module named shop')", errors.NotGood),
    ],
)
def test_a_service_that_ends_early_is_an_error_and_a_lost_port_another_try(
    code: str, error: type[Exception], tmp_path: Path
) -> None:
    service = processes.Service("dagster", [sys.executable, "-c", code], tmp_path, None, tmp_path / "dagster.log")
    running = environment.Running("5" * 32, {}, {"dagster": 3000})
    with processes.keeper() as kept:
        running.watched["dagster"] = supervision.start(kept, service, 0, 1)
        deadline = time.monotonic() + 60
        while not processes.ended(kept):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(error, match=r"3000|no module named shop"):
            environment._refuse_early_end(running, kept)


def test_what_runs_is_told_where_dagster_is_and_that_it_is_read_only(tmp_path: Path) -> None:
    there = dataclasses.replace(plan(tmp_path), read_only=True)
    alone = environment._wanted(there, environment.Running("m", {}, {})).env
    assert (alone["DAGLAB_SECURITY__SANDBOX_MODE"], "DAGLAB_DAGSTER__URL" in alone) == ("true", False)
    beside = environment._wanted(there, environment.Running("m", {"dagster": "http://d.test"}, {})).env
    assert (beside["DAGLAB_DAGSTER__URL"], "DAGSTER_HOME" in beside) == ("http://d.test", False)


# --- an environment file


def test_an_environment_file_gets_no_token_and_changes_nothing_that_is_set(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the project's own, and so may be what Dagster loads: a token must not come in under another name."""
    monkeypatch.setattr(services, "check_python", lambda *_: None)
    (project / ".env").write_text(
        "A=${DAGSTER_GRAPHQL_TOKEN}${DAGLAB_MINE}${DAGLAB_OWN_SECRET}${DAGLAB_ANY_TOKEN:-default}\nB=${PLAIN}\n"
        "PLAIN=theirs\nDAGLAB_DAGSTER__PYTHON=/evil\nDAGLAB_DAGSTER__URL=http://evil.test\n"
    )
    (project / "daglab.yaml").write_text("dagster: {auth: {token_env: DAGLAB_MINE}}\n")
    tokens = ("DAGSTER_GRAPHQL_TOKEN", "DAGLAB_MINE", "DAGLAB_OWN_SECRET", "DAGLAB_ANY_TOKEN")
    environ = {**dict.fromkeys(tokens, "t0k3n"), "PLAIN": "mine", "PATH": "/bin"}
    settings = config.load(directory=project, environ={})
    named = {"url": None, "notebook": None, "env_file": [".env"], "python": sys.executable, "port_range": None}
    rest = {"no_dagster": False, "no_marimo": True, "no_dashboard": True, "dagster_port": None, "host": "127.0.0.1"}
    more = {"log_level": None, "ci": False, "behind": False}
    found = dev.plan(settings, {**named, **rest, **more}, environ)
    assert (found.env["A"], found.env["B"], found.env["PLAIN"]) == ("default", "mine", "mine")
    assert "t0k3n" not in str(found.env)
    assert (found.python, found.url) == (sys.executable, None)
