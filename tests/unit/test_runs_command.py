"""What the commands of runs answer and exit with, for what a deployment may say; a real one has tests of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from daglab import errors
from daglab.commands import runs as command
from daglab.deployment import run_records, runs
from daglab.launching import backfills, cancellation, launches, reexecution

Run = Callable[..., tuple[int, str, dict[str, Any]]]
IDS = ("5f0c1d2e-0000-4000-8000-000000000001", "5f0c1d2e-0000-4000-8000-000000000002")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("cancel", ...)` on a deployment that has the runs of `IDS`: the code, what is printed, the document."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "daglab.yaml").write_text("dagster: {url: 'http://127.0.0.1:9'}\n")
    monkeypatch.setattr(run_records, "find", lambda _, text: next(each for each in IDS if each.endswith(text)))
    monkeypatch.setattr(command, "_entries", lambda link: [{"run_id": uid, "status": "STARTED"} for uid in link.ids])

    def invoked(*words: str) -> tuple[int, str, dict[str, Any]]:
        done = CliRunner().invoke(command.command, list(words))
        error = done.exception
        if isinstance(error, errors.DaglabError):
            return error.exit_code, f"{done.output}{error.message}\n{error.hint}", dict(error.result or {})
        if error and not isinstance(error, SystemExit):
            raise error
        return done.exit_code, done.output, json.loads(done.stdout) if "--json" in words and done.exit_code == 0 else {}

    return invoked


def test_runs_are_cancelled_and_one_that_is_marked_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "cancel", lambda _, uid, force: (runs.Run(uid, "CANCELED"), uid == IDS[1]))
    code, text, _ = run("cancel", "1", "2")
    assert code == 0
    assert f"{IDS[1]} is marked as cancelled; what it was doing may go on." in text
    assert f"{IDS[0]} CANCELED" in text
    monkeypatch.setattr(cancellation, "cancel", lambda _, uid, force: (runs.Run(uid, "SUCCESS"), False))
    code, text, _ = run("cancel", "1")
    assert (code, f"Had ended already: {IDS[0]} (SUCCESS)." in text) == (4, True)


def test_one_that_is_refused_does_not_keep_the_others_from_ending(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancel(_: Any, uid: str, force: bool) -> tuple[runs.Run, bool]:
        if uid == IDS[0]:
            raise errors.NotAuthorised("It is not yours.", "Ask.")
        return runs.Run(uid, "CANCELED"), False

    monkeypatch.setattr(cancellation, "cancel", cancel)
    code, text, result = run("cancel", "1", "2", "--json")
    assert code == errors.NotAuthorised.exit_code
    assert "It is not yours." in text
    assert [each["status"] for each in result["runs"]][1] == "CANCELED"


@pytest.mark.parametrize(
    ("status", "words", "said"),
    [
        ("STARTED", (), f"The run {IDS[0]} is STARTED."),
        ("SUCCESS", ("--from-failure",), f"The run {IDS[0]} has not failed."),
    ],
)
def test_what_can_not_be_run_again_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch, status: str, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(runs, "status", lambda *_: {IDS[0]: runs.Run(IDS[0], status)})
    monkeypatch.setattr(reexecution, "retry", lambda *_: pytest.fail("it was launched"))
    code, text, _ = run("retry", "1", *words)
    assert (code, said in text) == (7, True)


def test_a_run_is_not_compared_with_itself(run: Run) -> None:
    code, text, _ = run("compare", "1", "1")
    assert (code, "Both are the same run." in text) == (2, True)


@pytest.mark.parametrize("as_json", [False, True])
def test_two_runs_are_compared(run: Run, monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    step = {"key": "s", "status": ["SUCCESS", None], "duration_s": [1.0, None], "ratio": None}
    change = {"asset": "a", "partition": "p", "label": "rows", "values": [1, 2]}
    found = {"status": ["SUCCESS", "FAILURE"], "duration_s": [1.0, None], "config": ["-a", "+b"], "steps": [step]}
    monkeypatch.setattr(run_records, "detail", lambda _, uid: uid)
    monkeypatch.setattr(run_records, "compare", lambda *_: {**found, "metadata": [change]})
    code, text, document = run("compare", "1", "2", *(["--json"] if as_json else []))
    assert code == 0
    if as_json:
        assert document["runs"] == list(IDS)
    else:
        assert "Status: SUCCESS -> FAILURE" in text
        assert "a p rows: 1 -> 2" in text


def test_a_launch_is_settled_by_its_run_its_backfill_or_neither(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launches, "check_id", lambda *_: None)
    monkeypatch.setattr(launches, "wait_for", lambda _, look: look())
    monkeypatch.setattr(backfills, "by_tag", lambda *_, **__: None)
    monkeypatch.setattr(launches, "by_tag", lambda *_: launches.Launched(IDS[0], "SUCCESS"))
    code, _, document = run("settle", "id", "--json")
    assert (code, document["launch"], document["runs"][0]["run_id"]) == (0, "found", IDS[0])
    monkeypatch.setattr(launches, "by_tag", lambda *_: None)
    code, text, document = run("settle", "id", "--json")
    assert (code, document["launch"]) == (4, "none")
    assert "Nothing was launched with the id id." in text


def test_where_there_is_no_run_that_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_records, "search", lambda *_, **__: [])
    assert "There is no such run." in run("list")[1]
    assert run("list", "--json")[2]["runs"] == []
