"""One picture of now: each part on its own, whatever lies in the project."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, snapshot
from daglab.deployment import deployments
from daglab.exported import export_record
from daglab.settings import config

NOW = datetime.now(timezone.utc)
RUN = {
    "runId": "5f0c1d2e-0000-4000-8000-000000000001",
    "status": "STARTED",
    "jobName": "report",
    "startTime": 1.0,
    "endTime": None,
    "updateTime": 2.0,
    "assetSelection": None,
    "assets": [],
    "repositoryOrigin": {"repositoryName": "r", "repositoryLocationName": "shop"},
    "tags": [{"key": "dagster/partition", "value": "p"}],
}
FAILED = {"__typename": "PythonError", "message": "outer", "causes": [{"message": "KeyError: 'x'\n"}]}
STANDING = {
    "version": "1.13.0",
    "workspaceOrError": {
        "__typename": "Workspace",
        "locationEntries": [
            {"name": "shop", "locationOrLoadError": {"__typename": "RepositoryLocation"}},
            {"name": "bad", "locationOrLoadError": FAILED},
            {"name": "new", "locationOrLoadError": None},
        ],
    },
    "instance": {"daemonHealth": {"allDaemonStatuses": [{"daemonType": "SENSOR", "required": True, "healthy": None}]}},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "daglab.yaml").write_text("dagster:\n  url: http://127.0.0.1:9\n")
    (tmp_path / ".daglab" / "events").mkdir(parents=True)
    return tmp_path


def settings(root: Path, **more: Any) -> config.Config:
    return config.load(more, directory=root, environ={})


def record(root: Path, *lines: Any) -> None:
    with (root / ".daglab" / "events" / f"{NOW:%Y-%m}.jsonl").open("a") as file:
        for line in lines:
            file.write((line if isinstance(line, str) else json.dumps(line)) + "\n")


def event(number: int, **more: Any) -> dict[str, Any]:
    line = {"v": 1, "id": str(number), "at": NOW.isoformat(), "command": "run", "target": None, "ok": True}
    rest = {"exit_code": 0, "error_code": None, "seconds": 1.0, "runs": [], "bytes": None, "rss_peak": 1}
    return {**line, **rest, "requests": {"n": 0, "errors": 0, "ms": []}, "usage": [], "detail": {}, **more}


def test_a_dagster_that_answers(root: Path, stand_in: Callable[[], Any]) -> None:
    dagster = stand_in()
    dagster.answers["Standing"] = STANDING
    dagster.answers["Runs"] = {"runsOrError": {"__typename": "Runs", "results": [RUN] * 51}}
    found = snapshot.collect(settings(root, **{"dagster.url": dagster.url}), ["dagster"])["dagster"]
    assert (found["state"], found["version"], found["more_runs"], len(found["runs"])) == ("up", "1.13.0", True, 50)
    assert found["locations"] == [
        {"name": "shop", "loaded": True, "error": None},
        {"name": "bad", "loaded": False, "error": "KeyError: 'x'"},
        {"name": "new", "loaded": False, "error": "it is still loading"},
    ]
    assert found["daemons"] == [{"name": "SENSOR", "required": True, "healthy": False}]
    assert (found["runs"][0]["job"], found["runs"][0]["partition"]) == ("report", "p")
    asked = next(request for request in dagster.requests if "Runs" in request.body["query"])
    assert asked.body["variables"]["filter"] == {"statuses": list(deployments.UNDER_WAY)}


@pytest.mark.parametrize("answer", [{}, {**STANDING, "instance": None}, {**STANDING, "workspaceOrError": FAILED}])
def test_a_dagster_that_answers_something_else(root: Path, stand_in: Callable[[], Any], answer: Any) -> None:
    dagster = stand_in()
    dagster.answers["Standing"] = answer
    found = snapshot.dagster(settings(root, **{"dagster.url": dagster.url}))
    assert (found["state"], bool(found["error"])) == ("unreachable", True)


def test_that_dagster_is_not_there_is_a_state_and_no_problem(root: Path) -> None:
    found = snapshot.collect(settings(root), ["dagster"])
    assert (found["dagster"]["state"], found["problems"]) == ("unreachable", [])
    named = {"dagster.auth.token_env": "DAGLAB_NO_SUCH", "dagster.url": "http://127.0.0.1:9"}
    assert snapshot.dagster(settings(root, **named))["state"] == "not_set_up"


def test_a_part_that_fails_is_told_and_the_rest_is_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(error: Exception) -> Callable[[config.Config], Any]:
        def look(_: config.Config) -> Any:
            raise error

        return look

    record(root, event(1))
    monkeypatch.setitem(snapshot.PARTS, "figures", fails(errors.NotGood("no figures")))
    monkeypatch.setitem(snapshot.PARTS, "exports", fails(PermissionError(13, "Permission denied", "x")))
    monkeypatch.setitem(snapshot.PARTS, "disk", fails(RecursionError()))
    found = snapshot.collect(settings(root))
    assert [(each["part"], each["message"]) for each in found["problems"]] == [
        ("figures", "no figures"),
        ("exports", "Permission denied: x"),
        ("disk", "It can't be read (RecursionError)."),
    ]
    assert (found["today"], found["all"], found["exports"], found["disk"]) == (None, None, None, None)
    assert (len(found["operations"]), found["dev"]) == (1, {"running": False})


def test_the_last_operations_are_those_that_make_sense(root: Path) -> None:
    wrong = [event(9, at=5), event(9, at="x"), event(9, command=None), "[]", "{", '{"v": 2}', event(9, at=None)]
    odd = event(2, id=5, target=["x"], seconds=float("nan"), exit_code="x", runs=["a", 5], error_code={})
    record(root, *(event(0) for _ in range(12)), event(1, seconds=True), *wrong, odd)
    found = snapshot.operations(settings(root))
    assert (len(found), found[0]["target"], found[0]["seconds"], found[0]["runs"]) == (10, "['x']", None, ["a"])
    assert (found[0]["exit_code"], found[1]["seconds"], found[2]["seconds"]) == (None, None, 1.0)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("seconds", [10**400, -(10**400), 1e308, float("nan"), True, "1"])
def test_a_time_that_is_none_hides_no_operation(root: Path, seconds: Any) -> None:
    record(root, event(1, seconds=seconds))
    assert [each["seconds"] for each in snapshot.last_operations(root, 10)] == [None]


def test_the_exports_that_expire_soon(root: Path) -> None:
    def line(name: str, days: float | None, **more: Any) -> str:
        until = None if days is None else (NOW + timedelta(days=days)).isoformat()
        return json.dumps(
            {"v": 1, "id": name, "output": f"{name}.html", "expires_at": until, "targets": [name, 5], **more}
        )

    lines = [line("late", 8), line("b", 6), line("a", 1), line("over", -1), line("never", None), line("gone", 1)]
    lines += [json.dumps({"v": 1, "expired": "gone", "at": NOW.isoformat()})]
    lines += [line("b2", 3, output="b.html"), line("odd", 1, expires_at=[1]), "{", line("w", 1, output=5)]
    (root / export_record.FILE).write_text("\n".join(lines) + "\n")
    found = snapshot.exports(settings(root))
    assert [each["output"] for each in found["expiring"]] == ["a.html", "b.html"]
    assert (found["kept"], found["expired"], found["expiring"][0]["targets"]) == (6, 1, ["a"])


def test_the_disk_by_folder(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No link is followed, and the count comes to an end."""
    other = tmp_path_factory.mktemp("other")
    (other / "large").write_bytes(b"x" * 100_000)
    top = root / ".daglab"
    (top / "cache" / "deep").mkdir(parents=True)
    (top / "cache" / "deep" / "one").write_bytes(b"x" * 10)
    (top / "cache" / "two").write_bytes(b"x" * 20)
    (top / "cache" / "link").symlink_to(other)
    (top / "file").write_bytes(b"x" * 5)
    found = snapshot.disk(settings(root))
    assert found["cache"]["entries"] == 3
    assert found["cache"]["bytes"] - 30 == os.lstat(top / "cache" / "link").st_size
    assert {row["name"]: row["files"] for row in found["folders"]} == {"cache": 3, ".": 1}
    assert (found["counted_all"], found["bytes"] < 1000, found["free_bytes"] > 0) == (True, True, True)
    monkeypatch.setattr(snapshot, "MOST_FILES", 3)
    assert snapshot.disk(settings(root))["counted_all"] is False
    assert snapshot.disk(settings(other))["bytes"] == 0


def test_usage_by_model() -> None:
    def used(name: str, amount: float, **labels: Any) -> dict[str, Any]:
        return {"name": name, "labels": labels, "amount": amount, "n": 1}

    usage = [used("tokens", 5, model="b", kind="in"), used("tokens", 2, model="b", kind="out", extra=1)]
    usage += [used("tokens", 1, model="a"), used("rows", 7), used("tokens", 3, model="b", kind="in", extra=2)]
    assert snapshot.by_model({"usage": usage}) == [
        {"model": "a", "name": "tokens", "amount": 1, "kinds": {"": 1}},
        {"model": "b", "name": "tokens", "amount": 10, "kinds": {"in": 8, "out": 2}},
        {"model": None, "name": "rows", "amount": 7, "kinds": {"": 7}},
    ]
    assert snapshot.by_model(None) == []


def test_it_writes_nothing(root: Path) -> None:
    record(root, event(1))
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in root.rglob("*"))
    snapshot.collect(settings(root))
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in root.rglob("*")) == before
