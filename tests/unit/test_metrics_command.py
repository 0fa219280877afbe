"""`daglab metrics`: shown, exported for other programs, summed by label, and counted anew."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import events, web
from daglab.commands import metrics
from daglab.figures import retention
from tests import runners

BEGIN = datetime(2026, 11, 2, 9, tzinfo=timezone.utc)
Cli = Callable[..., Any]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Six hours with an operation each, the fourth of which failed, and tokens of two models."""
    (tmp_path / ".daglab").mkdir()
    for hour in range(6):
        model = "small" if hour % 2 else "large"
        usage = [{"name": "tokens", "amount": 100 * (hour + 1), "labels": {"model": model, "kind": "prompt"}}]
        event = events.Event("run", usage=usage, traffic=web.Traffic([10, 20], 0))
        failed = hour == 3
        at = BEGIN + timedelta(hours=hour)
        events.append(tmp_path, event, at, 1.0 + hour, exit_code=4 * failed, error_code="not_good" if failed else None)
    return tmp_path


def read(done: Any) -> dict[str, Any]:
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("step", "points"), [("minute", 6), ("hour", 6), ("day", 1)])
def test_the_series_of_each_step(project: Path, cli: Cli, step: str, points: int) -> None:
    found = read(cli("metrics", "show", "--step", step, "--json"))
    assert len(found["series"]) == points
    assert sum(row["n"] for row in found["series"]) == found["events"] == 6
    assert sum(row["usage"]["tokens"] for row in found["series"]) == 2100


def test_a_period(project: Path, cli: Cli) -> None:
    period = ("--since", "2026-11-02T10:00+00:00", "--until", "2026-11-02T12:00+00:00")
    assert read(cli("metrics", "show", *period, "--json"))["events"] == 2
    assert read(cli("metrics", "usage", *period, "--json"))["usage"] == [
        {"name": "tokens", "model": "large", "amount": 300, "n": 1},
        {"name": "tokens", "model": "small", "amount": 200, "n": 1},
    ]
    assert read(cli("metrics", "export", *period, "--json"))["events"] == 2


def test_the_tables(project: Path, cli: Cli) -> None:
    shown = cli("metrics", "show", "--step", "hour", env={"PYTHONIOENCODING": "utf-8"}).stdout
    assert "operations" in shown
    assert metrics.BARS[-1] * 6 in shown
    plain = cli("metrics", "show", "--step", "hour", env={"PYTHONIOENCODING": "ascii"}).stdout
    assert metrics.PLAIN_BARS[-1] * 6 in plain
    assert plain.isascii()


def test_what_was_used(project: Path, cli: Cli) -> None:
    assert read(cli("metrics", "usage", "--by", "kind", "--json"))["usage"] == [
        {"name": "tokens", "kind": "prompt", "amount": 2100, "n": 6}
    ]
    assert read(cli("metrics", "usage", "--by", "name", "--json"))["usage"] == [
        {"name": "tokens", "amount": 2100, "n": 6}
    ]
    assert read(cli("metrics", "usage", "--by", "nothing", "--json"))["usage"][0]["nothing"] is None
    lines = cli("metrics", "usage").stdout.splitlines()
    assert [line.split() for line in lines[2:]] == [["tokens", "small", "1,200", "3"], ["tokens", "large", "900", "3"]]


@pytest.mark.parametrize("form", ["json", "csv", "markdown", "prometheus"])
def test_an_export_is_whole_and_the_same_again(project: Path, cli: Cli, form: str) -> None:
    target = project / "out" / "metrics.txt"
    for _ in range(2):
        done = cli("metrics", "export", "--format", form, "--step", "hour", "--output", str(target))
        assert (done.exit_code, done.stdout.strip()) == (0, str(target))
        first = target.read_bytes()
    assert target.read_bytes() == first
    assert [each.name for each in target.parent.iterdir()] == ["metrics.txt"]
    assert cli("metrics", "export", "--format", form, "--step", "hour").stdout.strip() == first.decode().strip()
    told = read(cli("metrics", "export", "--format", form, "--output", str(target), "--json"))
    assert told == {"ok": True, "output": str(target), "format": form, "bytes": target.stat().st_size}


def test_the_rows_of_csv(project: Path, cli: Cli) -> None:
    rows = list(csv.DictReader(cli("metrics", "export", "--format", "csv", "--step", "hour").stdout.splitlines()))
    totals = {(row["metric"], row["labels"]): row["value"] for row in rows if not row["at"]}
    assert totals["daglab_events_total", "command=run"] == "6"
    assert totals["daglab_usage_total", "name=tokens;kind=prompt;model=small"] == "1200"
    counts = [row["value"] for row in rows if row["metric"] == "daglab_events" and row["at"]]
    assert counts == ["1"] * 6
    series = {row["metric"] for row in rows if row["at"]}
    assert series == {"daglab_events", "daglab_events_failed", "daglab_requests", "daglab_usage_total"}


@pytest.mark.parametrize("own", [".daglab/events/2026-11.jsonl", ".daglab/new.json", "daglab.yaml"])
@pytest.mark.parametrize(
    "command", [("metrics", "export"), ("dashboard",), ("discover",), ("doctor",)], ids=lambda words: words[0]
)
def test_no_result_takes_the_place_of_the_projects_own_files(
    project: Path, cli: Cli, command: tuple[str, ...], own: str
) -> None:
    (project / "daglab.yaml").write_text("version: 1\n")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    flag = "--report" if command == ("doctor",) else "--output"
    done = cli(*command, flag, own)
    assert done.exit_code == 7, done
    assert "own" in done.stderr
    after = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert all(after[path].startswith(content) for path, content in before.items())
    assert (project / own).exists() == (project / own in before)


def test_wrong_usage_and_nothing_to_show(project: Path, cli: Cli) -> None:
    assert cli("metrics", "export", "--json", "--format", "csv").exit_code == 2
    assert cli("metrics", "show", "--since", "never").exit_code == 2
    assert "Nothing was recorded" in cli("metrics", "show", "--until", "2020-01-01").stderr
    assert "No usage" in cli("metrics", "usage", "--until", "2020-01-01").stderr


def test_counting_anew_puts_all_aside(project: Path, cli: Cli) -> None:
    month = project / ".daglab" / "events" / "2026-11.jsonl"
    before = month.read_bytes()
    assert cli("metrics", "reset").exit_code == 2
    assert cli("metrics", "reset", "--json").exit_code == 2
    assert month.read_bytes() == before
    [moved] = read(cli("metrics", "reset", "--yes", "--json"))["moved"]
    assert (project / moved).read_bytes() == before
    now = read(cli("metrics", "show", "--json"))
    assert (now["events"], [row["command"] for row in now["commands"]]) == (1, ["metrics reset"])
    assert cli("metrics", "reset", "--yes").exit_code == 0
    assert (project / moved).read_bytes() == before


def test_a_link_among_the_months_stays(project: Path, cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> None:
    foreign = tmp_path_factory.mktemp("foreign") / "file"
    foreign.write_text("theirs")
    link = project / ".daglab" / "events" / "2026-10.jsonl"
    link.symlink_to(foreign)
    assert len(read(cli("metrics", "reset", "--yes", "--json"))["moved"]) == 1
    assert link.is_symlink()
    assert foreign.read_text() == "theirs"


def torn(project: Path) -> None:
    with (project / ".daglab" / "events" / "2026-11.jsonl").open("a") as file:
        file.write('torn\n{"v": 9}\n')


@pytest.mark.parametrize("words", [["show"], ["usage"], ["export", "--format", "csv"]])
def test_lines_that_are_not_counted_are_said_beside_the_figures(project: Path, words: list[str]) -> None:
    assert "Warning" not in runners.apart().invoke(metrics.command, words).stderr
    torn(project)
    done = runners.apart().invoke(metrics.command, words)
    assert done.exit_code == 0
    assert "1 lines can't be read" in done.stderr
    assert "1 lines were written by a newer daglab" in done.stderr
    assert "torn" not in done.stdout
    earlier = runners.apart().invoke(metrics.command, [*words, "--until", "2026-10-01"])
    assert "Warning" not in earlier.stderr  # nothing is missing in what was asked for


def test_of_many_points_in_time_the_last_are_rows(project: Path) -> None:
    for minute in range(metrics.MOST_ROWS):
        events.append(project, events.Event("run"), BEGIN + timedelta(days=1, minutes=minute), 1.0, exit_code=0)
    done = runners.apart().invoke(metrics.command, ["show", "--step", "minute"])
    assert done.exit_code == 0
    rows = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("2026-11-")]
    assert rows == [f"2026-11-03T09:{minute:02}" for minute in range(metrics.MOST_ROWS)]
    assert f"The last {metrics.MOST_ROWS} of {metrics.MOST_ROWS + 6}; --json has all." in done.stderr
    assert "The last" not in runners.apart().invoke(metrics.command, ["show", "--step", "hour"]).stderr


def test_sums_of_days_are_one_point_at_the_begin_of_their_day_and_said_to_be(project: Path) -> None:
    list(retention.compact(project, BEGIN + timedelta(days=730), 365))
    done = runners.apart().invoke(metrics.command, ["show", "--step", "hour"])
    assert done.exit_code == 0
    assert "sums of days" in done.stderr
    assert [line.split()[:3] for line in done.stdout.splitlines() if line.startswith("2026-")] == [
        ["2026-11-02T00", "6", "1"]
    ]
