"""`daglab state`: what a person and a script see of a notebook's state."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import state

Cli = Callable[..., Any]
NOTEBOOK = "dagster/notebooks/orders.py"


@pytest.fixture
def kept(tmp_path: Path) -> state.State:
    """A state of three revisions, in a project that records events."""
    (tmp_path / "daglab.yaml").write_text("version: 1\n")
    kept = state.manage(tmp_path, NOTEBOOK, version=2)
    for count in (1, 2, 3):
        kept.update(count=count, name="é\x1b[31m")
    return kept


def document(cli: Cli, *arguments: str, exit_code: int = 0, **more: Any) -> dict[str, Any]:
    done = cli("state", *arguments, "--json", **more)
    assert done.exit_code == exit_code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def events(root: Path) -> list[dict[str, Any]]:
    lines = [line for file in (root / ".daglab" / "events").glob("*.jsonl") for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def test_show(cli: Cli, kept: state.State, tmp_path: Path) -> None:
    shown = document(cli, "show", NOTEBOOK)
    assert shown.pop("saved").endswith("+00:00")
    assert shown == {
        "ok": True,
        "notebook": NOTEBOOK,
        "file": str(kept.path),
        "recovered": None,
        "revision": 3,
        "version": 2,
        "values": {"count": 3, "name": "é\x1b[31m"},
    }
    done = cli("state", "show", NOTEBOOK)
    assert done.stdout.splitlines()[2:] == ["count   3", 'name    "é\\u001b[31m"']
    assert done.stderr.startswith(f"{NOTEBOOK}: revision 3 of 20")
    assert done.stderr.endswith("version 2 of its values.\n")
    assert events(tmp_path) == []


def test_a_notebook_is_named_from_where_we_are_or_from_the_root(cli: Cli, kept: state.State, tmp_path: Path) -> None:
    folder = tmp_path / "dagster" / "notebooks"
    folder.mkdir(parents=True)
    for cwd, name in ((folder, "orders.py"), (folder, NOTEBOOK), (tmp_path, str(tmp_path / NOTEBOOK))):
        assert document(cli, "show", name, cwd=cwd)["notebook"] == NOTEBOOK


def test_a_project_ends_at_its_file(cli: Cli, kept: state.State, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert document(cli, "show", NOTEBOOK, cwd=tmp_path / "other")["notebook"] == NOTEBOOK
    (tmp_path / "other" / "daglab.yaml").touch()
    error = document(cli, "show", NOTEBOOK, cwd=tmp_path / "other", exit_code=7)["error"]
    assert error["message"].endswith(f"in the project {tmp_path / 'other'}.")


def test_a_config_that_is_not_valid_is_no_hindrance(cli: Cli, kept: state.State, tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("nonsense: [\n")
    assert document(cli, "show", NOTEBOOK)["revision"] == 3


def test_long_values_are_cut_in_a_table_alone(cli: Cli, kept: state.State) -> None:
    kept.set("name", "x" * 5000)
    for name in ("show", "history"):
        done = cli("state", name, NOTEBOOK)
        assert max(map(len, done.stdout.splitlines())) < 200
        assert "--json shows the values whole." in done.stderr
    assert document(cli, "show", NOTEBOOK)["values"]["name"] == "x" * 5000


def test_history(cli: Cli, kept: state.State) -> None:
    found = document(cli, "history", NOTEBOOK)
    assert (found["notebook"], found["file"], found["recovered"]) == (NOTEBOOK, str(kept.path), None)
    assert [(each["revision"], each["version"], each["values"]["count"]) for each in found["revisions"]] == [
        *((3, 2, 3), (2, 2, 2), (1, 2, 1))
    ]
    head, _, *rows = cli("state", "history", NOTEBOOK).stdout.splitlines()
    assert head.split() == ["Revision", "Version", "Saved", "Values"]
    assert [row.split()[0] for row in rows] == ["3", "2", "1"]
    assert rows[0].endswith('{"count":3,"name":"é\\u001b[31m"}')


def test_rollback_says_what_it_did_and_how_to_undo_it(cli: Cli, kept: state.State, tmp_path: Path) -> None:
    done = cli("state", "rollback", NOTEBOOK, "--to", "1")
    assert (done.exit_code, done.stdout) == (0, "The values of revision 1 are in force again, as revision 4.\n")
    assert done.stderr == f"To undo it: daglab state rollback {NOTEBOOK} --to 3\n"
    assert kept["count"] == 1
    assert cli(*done.stderr.split()[4:]).exit_code == 0
    assert kept["count"] == 3
    found = document(cli, "rollback", NOTEBOOK)
    assert (found["ok"], found["restored"], found["revision"], found["before"]) == (True, 4, 6, 5)
    assert (found["values"]["count"], found["version"], kept["count"]) == (1, 2, 1)
    assert [(each["command"], each["target"], each["ok"], each["detail"]) for each in events(tmp_path)] == [
        ("state rollback", NOTEBOOK, True, {"revision": 4, "restored": 1}),
        ("state rollback", NOTEBOOK, True, {"revision": 5, "restored": 3}),
        ("state rollback", NOTEBOOK, True, {"revision": 6, "restored": 4}),
    ]


def test_reset_can_be_undone(cli: Cli, kept: state.State, tmp_path: Path) -> None:
    done = cli("state", "reset", NOTEBOOK)
    assert (done.exit_code, done.stdout) == (0, f"The state of {NOTEBOOK} is empty, as revision 4.\n")
    assert done.stderr == f"To undo it: daglab state rollback {NOTEBOOK} --to 3\n"
    assert kept.values == {}
    assert "It holds no values." in cli("state", "show", NOTEBOOK).stderr
    assert cli("state", "rollback", NOTEBOOK).exit_code == 0
    assert kept["count"] == 3
    found = document(cli, "reset", NOTEBOOK)
    assert (found["revision"], found["before"], found["values"]) == (6, 5, {})
    assert [each["command"] for each in events(tmp_path)] == ["state reset", "state rollback", "state reset"]


def test_a_revision_that_is_not_kept(cli: Cli, kept: state.State) -> None:
    error = document(cli, "rollback", NOTEBOOK, "--to", "9", exit_code=7)["error"]
    assert (error["message"], error["hint"]) == ("There is no revision 9.", "These are kept: 2, 1.")


@pytest.mark.parametrize("name", ["show", "history", "rollback", "reset"])
def test_a_notebook_without_a_state(cli: Cli, kept: state.State, tmp_path: Path, name: str) -> None:
    error = document(cli, name, "dagster/notebooks/order.py", exit_code=7)["error"]
    assert error["message"] == f"dagster/notebooks/order.py has no state in the project {tmp_path}."
    assert error["hint"] == f"Did you mean {NOTEBOOK}? These have one: {NOTEBOOK}."
    assert len(list(kept.path.parent.iterdir())) == 3


def test_a_project_without_states(cli: Cli, tmp_path: Path) -> None:
    error = document(cli, "show", "orders.py", exit_code=7)["error"]
    assert error["hint"].startswith("None has one yet")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_told(cli: Cli, kept: state.State) -> None:
    kept.path.write_bytes(b"{torn")
    shown = document(cli, "show", NOTEBOOK)
    assert (shown["revision"], "can't be read" in shown["recovered"]) == (2, True)
    assert document(cli, "history", NOTEBOOK)["recovered"] == shown["recovered"]
    done = cli("state", "show", NOTEBOOK)
    assert (done.exit_code, f"Warning: The state {kept.path} can't be read" in done.stderr) == (0, True)
    assert document(cli, "rollback", NOTEBOOK)["recovered"] is None
    assert kept["count"] == 1


def test_two_files_that_cannot_be_read(cli: Cli, kept: state.State) -> None:
    for entry in (kept.path, kept.path.with_name(f"{kept.path.name}.bak")):
        entry.write_bytes(b"")
    error = document(cli, "show", NOTEBOOK, exit_code=4)["error"]
    assert "daglab state reset" in error["hint"]
    done = cli("state", "reset", NOTEBOOK)
    assert (done.exit_code, "in files that end in .broken" in done.stderr) == (0, True)
    found = document(cli, "show", NOTEBOOK)
    assert (found["revision"], found["version"], found["values"]) == (1, 1, {})
    assert len(list(kept.path.parent.glob("*.broken"))) == 2


def test_a_newer_format_is_refused(cli: Cli, kept: state.State) -> None:
    from daglab import state_files

    kept.path.write_bytes(state_files._framed(b'{"v":2,"notebook":"orders.py"}'))
    for name in ("show", "reset"):
        assert "newer daglab" in document(cli, name, NOTEBOOK, exit_code=3)["error"]["message"]


def test_nothing_heavy_is_imported(kept: state.State) -> None:
    code = f"""
import sys
from daglab.cli import main
try:
    main(["state", "rollback", {NOTEBOOK!r}, "--json"])
except SystemExit as done:
    assert not done.code, done.code
print([name for name in ("requests", "yaml", "jinja2", "tabulate", "marimo") if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "[]"), done.stderr
