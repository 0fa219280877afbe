"""Old events become daily sums, and a reset puts all aside: no figure changes, and nothing is lost, whoever dies."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, events
from daglab.figures import days, retention, summary

Json = dict[str, Any]
UTC = timezone.utc
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MONTH = "2025-03"
EXACT = ("events", "failed", "success_rate", "runs", "errors", "assets", "jobs", "usage", "series", "groups")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".daglab" / "events").mkdir(parents=True)
    return tmp_path


def path_of(project: Path, month: str = MONTH) -> Path:
    return project / ".daglab" / "events" / f"{month}.jsonl"


def fill(project: Path, count: int, *, seed: int = 1, month: str = MONTH, targets: int = 5) -> None:
    """Events as commands and helpers leave them, over the days of a month."""
    chance = random.Random(seed)
    begin = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
    lines = []
    for number in range(count):
        command = chance.choice(("run", "export", "helpers.run_inprocess", "helpers.record_usage", "discover"))
        ok = chance.random() < 0.8
        line = {
            "v": 1, "id": str(number), "command": command, "target": f"asset:t{chance.randrange(targets)}", "ok": ok,
            "at": (begin + timedelta(seconds=chance.randrange(28 * 86400))).isoformat(timespec="milliseconds"),
            "exit_code": 0 if ok else 4, "error_code": None if ok else chance.choice(("not_good", "timed_out")),
            "seconds": round(chance.lognormvariate(0, 3), 3), "runs": ["r"] if command == "run" else [],
            "requests": {"n": 3, "errors": 1, "ms": [chance.randrange(500), 7.25]}, "bytes": chance.randrange(10**6),
            "rss_peak": 1, "detail": {},
            "usage": [{"name": "tokens", "amount": chance.choice((1, 0.1, 1e17, -0.3, 10**20)),
                       "labels": {"model": f"m{chance.randrange(3)}"}}] if command == "helpers.record_usage" else [],
        }  # fmt: skip
        if command == "run":
            line["detail"] = {"launched": 2, "succeeded": 1, "failed": 1, "run_seconds": [chance.random()]}
        if command == "helpers.run_inprocess":
            line["detail"] = {"succeeded": ok, "seconds": chance.random()}
        lines.append(json.dumps(line) + "\n")
    path_of(project, month).write_text("".join(lines))


def figures(project: Path) -> Json:
    """What must stay exactly as it was: all but quantiles, and the exports one by one."""
    [found] = summary.collect(project, [(None, None)], by="day", step="day")
    exact: Json = {name: found[name] for name in EXACT}
    for name in ("seconds", "requests"):
        exact[name] = {key: found[name].get(key) for key in ("n", "sum", "mean", "errors")}
    for name in ("deployed", "in_process", "exports"):
        exact[name] = {key: found[name].get(key) for key in ("n", "failed", "bytes")}
        exact[name]["seconds"] = found[name]["seconds"]["sum"]
    for name in ("commands", "targets", "groups"):
        exact[name] = [
            {**row, "seconds": {key: row["seconds"][key] for key in ("n", "sum", "mean")}} for row in found[name]
        ]
    return exact


def folded(project: Path, keep: int = 365, **options: Any) -> list[retention.Folded]:
    return list(retention.compact(project, NOW, keep, **options))


@pytest.mark.parametrize("seed", range(5))
def test_no_figure_changes(seed: int, project: Path) -> None:
    fill(project, 500, seed=seed)
    fill(project, 50, seed=seed + 100, month="2026-11")
    before, size = figures(project), path_of(project).stat().st_size
    [done] = folded(project)
    assert (done.path, done.events, done.before, done.after) == (
        path_of(project),
        500,
        size,
        path_of(project).stat().st_size,
    )
    assert done.after < size
    assert figures(project) == before
    [document] = summary.collect(project, [(None, None)])
    assert (document["seconds"]["n"], document["seconds"]["measured"]) == (550, 50)
    assert document["skipped"] == {"newer": 0, "unreadable": 0, "files": 0}
    assert all(json.loads(line)["kind"] == days.KIND for line in path_of(project).read_text().splitlines())


def test_quantiles_are_told_of_what_is_left(project: Path) -> None:
    fill(project, 100)
    folded(project)
    [document] = summary.collect(project, [(None, None)])
    assert document["seconds"]["mean"] > 0
    assert [document["seconds"][name] for name in ("p50", "p95", "p99", "measured")] == [None, None, None, 0]


def test_the_targets_of_a_day_are_bounded_and_all_are_counted(project: Path) -> None:
    fill(project, 5000, targets=4000)
    text = path_of(project).read_text()
    path_of(project).write_text("".join(_on_the_first(line) for line in text.splitlines()))
    before = summary.collect(project, [(None, None)])[0]
    folded(project)
    after = summary.collect(project, [(None, None)])[0]
    lines = [json.loads(line) for line in path_of(project).read_text().splitlines()]
    assert len(lines) == 5 * (days.MOST_TARGETS + 1)
    assert sum(line.get("others", 0) for line in lines) > 1000
    for name in ("events", "failed", "errors", "runs", "usage"):
        assert after[name] == before[name]
    assert [(row["command"], row["n"], row["seconds"]["sum"]) for row in after["commands"]] == [
        (row["command"], row["n"], row["seconds"]["sum"]) for row in before["commands"]
    ]


def _on_the_first(line: str) -> str:
    found = json.loads(line)
    return json.dumps({**found, "at": f"{MONTH}-01{found['at'][10:]}"}) + "\n"


def test_what_is_folded_is_left_alone_until_something_comes(project: Path) -> None:
    fill(project, 100)
    folded(project)
    content = path_of(project).read_bytes()
    assert folded(project) == []
    assert path_of(project).read_bytes() == content
    late = events.Event("run", target="asset:late")
    events.append(project, late, datetime(2025, 3, 5, tzinfo=UTC), 0.1)
    before = figures(project)
    assert before["events"] == 101
    [done] = folded(project)
    assert done.events == 1
    assert figures(project) == before


@pytest.mark.parametrize(
    ("keep", "expected"),
    [(0, []), (10, ["2026-10"]), (20, ["2026-10"]), (21, []), (51, []), (365, []), (36500, [])],
)
def test_a_month_goes_when_all_of_it_is_past(keep: int, expected: list[str], project: Path) -> None:
    fill(project, 10, month="2026-10")
    fill(project, 10, month="2026-11")
    assert [done.path.stem for done in folded(project, keep)] == expected


def test_a_dry_run_changes_nothing(project: Path) -> None:
    fill(project, 100)
    content = path_of(project).read_bytes()
    [planned] = folded(project, dry_run=True)
    assert path_of(project).read_bytes() == content
    assert folded(project) == [planned]


def test_a_month_with_newer_lines_is_left_alone(project: Path) -> None:
    fill(project, 10)
    for newer in ('{"v": 2}', '{"kind": "week", "version": 1}', '{"kind": "day", "version": 2}'):
        content = path_of(project).read_text() + newer + "\n"
        path_of(project).write_text(content)
        assert folded(project) == []
        assert path_of(project).read_text() == content
        path_of(project).write_text(content.removesuffix(newer + "\n"))


def test_what_can_not_be_read_stays(project: Path) -> None:
    fill(project, 10)
    foreign = [b"torn", b"\xff\xfe", b'{"v": 1}', b'["x"]']
    with path_of(project).open("ab") as file:
        file.write(b"\n".join([*foreign, b"", b'{"v":1,"id"']))
    before = summary.collect(project, [(None, None)])[0]["skipped"]
    folded(project)
    assert path_of(project).read_bytes().endswith(b"\n".join([*foreign, b'{"v":1,"id"', b""]))
    assert summary.collect(project, [(None, None)])[0]["skipped"] == before == {"newer": 0, "unreadable": 5, "files": 0}


def test_sums_that_somebody_else_has_written_are_refused_where_they_are_wrong(project: Path) -> None:
    fill(project, 1)
    folded(project)
    [good] = map(json.loads, path_of(project).read_text().splitlines())
    inner = good["requests"], good["runs"]
    wrong: list[Json] = [
        {"n": -1}, {"n": True}, {"n": "1"}, {"n": 10**15}, {"failed": None}, {"failed": 2},
        {"seconds": 1.0}, {"seconds": [1]},
        {"seconds": [1e300]}, {"seconds": ["1"]}, {"at": "2025-03-32"}, {"at": "2025-04-01"}, {"at": "2025-W10-1"},
        {"at": 5}, {"at": "2025-03-01T"}, {"command": None}, {"command": ""}, {"target": 5}, {"errors": []},
        {"errors": {"x": "1"}}, {"requests": {}}, {"requests": {**inner[0], "timed": "x"}},
        {"runs": {**inner[1], "ok": -1}}, {"runs": None}, {"ran": {"a": 1}}, {"ran": {"a": [1, "2"]}}, {"bytes": 1.5},
        {"usage": {}}, {"usage": [{"name": "a", "whole": 0.5, "sum": [], "n": 1, "labels": {}}]},
        {"usage": [{"name": "a", "whole": 10**301, "sum": [], "n": 1, "labels": {}}]},
        {"usage": [{"name": "a", "whole": 0, "sum": [], "n": 1, "labels": {"x": []}}]},
        {"kind": None}, {"kind": ["day"]}, {"version": True}, {"version": None}, {"version": 0},
    ]  # fmt: skip
    path_of(project).write_text("".join(json.dumps({**good, **each}) + "\n" for each in wrong))
    [document] = summary.collect(project, [(None, None)])
    assert (document["events"], document["skipped"]["unreadable"]) == (0, len(wrong))


def test_sums_count_in_the_periods_that_their_day_begins_in(project: Path) -> None:
    fill(project, 200)
    day = datetime(2025, 3, 7, tzinfo=UTC)
    [before] = summary.collect(project, [(day, day + timedelta(days=1))])
    folded(project)
    ends = [(day, day + timedelta(days=1)), (day + timedelta(hours=1), day + timedelta(days=1))]
    assert [found["events"] for found in summary.collect(project, ends)] == [before["events"], 0]
    assert before["events"] > 0


def test_sums_are_no_events(project: Path) -> None:
    fill(project, 20)
    folded(project)
    assert list(events.newest(project)) == []


def test_figures_beyond_all_measure_stay_as_they_are(project: Path) -> None:
    line = events.Event("helpers.record_usage", usage=[{"name": "x", "amount": 9e299, "labels": {}}])
    for _ in range(3):
        events.append(project, line, datetime(2025, 3, 5, tzinfo=UTC), 0.1)
    content = path_of(project).read_bytes()
    assert folded(project) == []
    assert path_of(project).read_bytes() == content


def start(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE)


FOLD = """
import sys, time
from datetime import datetime, timezone
from pathlib import Path
from daglab.figures import retention
print("ready", flush=True)
list(retention.compact(Path(sys.argv[1]), datetime(2026, 11, 21, tzinfo=timezone.utc), 365))
"""


@pytest.mark.long
def test_a_kill_leaves_the_old_month_or_the_new_one(project: Path) -> None:
    fill(project, 3000)
    old = path_of(project).read_bytes()
    began = time.monotonic()
    folded(project)
    took = time.monotonic() - began
    new, chance, seen = path_of(project).read_bytes(), random.Random(3), set()
    for number in range(12):
        path_of(project).write_bytes(old)
        process = start(FOLD, project)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(took * (chance.random() * 2 if number else 0))  # when it is killed; what is there then is looked at
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        found = path_of(project).read_bytes()
        assert found in (old, new)
        seen.add(found)
    assert old in seen


APPEND = """
import os, sys
from datetime import datetime, timezone
from pathlib import Path
from daglab import events
root = Path(sys.argv[1])
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    at = datetime(int(sys.argv[2][:4]), int(sys.argv[2][5:]), 1 + number % 28, tzinfo=timezone.utc)
    events.append(root, events.Event("run", target="asset:orders"), at, 0.125)
"""


def while_others_write(project: Path, month: str, act: Callable[[], object]) -> None:
    """Do something again and again, as long as two writers append 300 events each."""
    writers = [start(APPEND, project, month, 300) for _ in range(2)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    while any(writer.poll() is None for writer in writers):
        act()
    assert [writer.wait() for writer in writers] == [0, 0]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.close()


def test_who_writes_meanwhile_loses_nothing(project: Path) -> None:
    fill(project, 200)
    while_others_write(project, MONTH, lambda: folded(project))
    [document] = summary.collect(project, [(None, None)])
    assert (document["events"], document["skipped"]["unreadable"]) == (800, 0)


def test_a_reset_puts_all_aside_and_loses_nothing(project: Path) -> None:
    fill(project, 100, month="2026-10")
    moved: list[Path] = []
    while_others_write(project, "2026-11", lambda: moved.extend(retention.reset(project, NOW)))
    moved += retention.reset(project, NOW)
    assert summary.collect(project, [(None, None)])[0]["events"] == 0
    assert len(set(moved)) == len(moved)
    lines = [json.loads(line) for path in moved for line in path.read_text().splitlines()]
    assert len(lines) == 700
    assert all(path.parent.name.startswith("reset-20261121T120000Z") for path in moved)
    for path in moved:  # as docs/numbers.md says how to undo it
        with path_of(project, path.stem).open("ab") as file:
            file.write(path.read_bytes())
    assert summary.collect(project, [(None, None)])[0]["events"] == 700


def test_a_reset_of_nothing(project: Path) -> None:
    assert retention.reset(project, NOW) == []
    assert os.listdir(project / ".daglab" / "events") == []


def test_a_month_that_can_not_be_put_aside_is_told_and_one_that_is_gone_is_not(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(project, 3)
    fill(project, 3, month="2025-04")
    real = os.rename

    def rename(source: Any, target: Any) -> None:
        if "2025-03" in str(source):
            raise FileNotFoundError
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    assert [path.name for path in retention.reset(project, NOW)] == ["2025-04.jsonl"]

    def refused(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", refused)
    with pytest.raises(errors.InvalidInput, match=r"2025-03\.jsonl can't be put aside: Permission denied"):
        retention.reset(project, NOW)
    assert path_of(project).exists()
