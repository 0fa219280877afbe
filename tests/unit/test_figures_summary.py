"""The figures of what was done equal those that somebody else computes from the same lines, whoever wrote these."""

from __future__ import annotations

import collections
import itertools
import json
import math
import random
import statistics
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, events
from daglab.figures import summary

Json = dict[str, Any]
UTC = timezone.utc
COMMANDS = ("run", "export", "discover", "runs retry", "helpers.run", "helpers.run_inprocess", "helpers.record_usage")
TARGETS = (
    None,
    "asset:orders",
    "asset:a/b,c",
    "job:report",
    "run:5f0c",
    "orders",
    "asset:+orders and x",
    "naïve \ud800",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".daglab" / "events").mkdir(parents=True)
    return tmp_path


def write(project: Path, month: str, lines: list[bytes]) -> None:
    (project / ".daglab" / "events" / f"{month}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def event(chance: random.Random, at: datetime) -> Json:
    """A line that is whole, of any command."""
    command, ok = chance.choice(COMMANDS), chance.random() < 0.7
    sent = chance.randrange(5) if chance.random() < 0.5 else 0
    bad = chance.randrange(sent + 1)
    line: Json = {
        "v": 1,
        "id": f"{chance.getrandbits(64):x}",
        "at": at.isoformat(timespec="milliseconds"),
        "command": command,
        "target": chance.choice(TARGETS),
        "ok": ok,
        "exit_code": 0 if ok else chance.choice((1, 2, 4, 130, 141, 143)),
        "error_code": None if ok or chance.random() < 0.3 else chance.choice(("not_good", "timed_out")),
        "seconds": chance.choice((0, 3, round(chance.expovariate(0.3), 3), chance.random() * 1e-9, 1e9 + 0.1)),
        "runs": [f"r{chance.randrange(99)}" for _ in range(chance.randrange(3))],
        "requests": {"n": sent, "errors": bad, "ms": [chance.choice((1, 7, 0.5, 300)) for _ in range(sent - bad)]},
        "bytes": chance.choice((None, 0, 12345)),
        "rss_peak": 1,
        "usage": [used(chance) for _ in range(chance.choice((0, 0, 1, 3)))],
        "detail": {},
    }
    if command in ("run", "runs retry") and chance.random() < 0.7:
        line["detail"] = {"launched": 2, "succeeded": 1, "failed": 1, "run_seconds": [0.1, 0.2], "assets": ["a", "b/c"]}
    if command == "helpers.run_inprocess" and chance.random() < 0.8:
        line["detail"] = {"succeeded": chance.random() < 0.5, "seconds": chance.random()}
    return line


def used(chance: random.Random) -> Json:
    amount = chance.choice((1, 10**17 + 1, -5, 0.1, 1e16, -1e16, 0.2, 3.7e-9, 10**30))
    labels = {"model": chance.choice(("small", "large")), "kind": chance.choice((1, 1.0, True, "1", "true"))}
    return {"name": chance.choice(("tokens", "rows")), "amount": amount, "labels": labels if amount != 1 else {}}


def broken(chance: random.Random, line: Json) -> tuple[bytes, str]:
    """The same line, spoilt, and what it counts as."""
    wrong: list[Json] = [
        {"at": 5}, {"at": "2026-13-01T00:00:00.000+00:00"}, {"at": "yesterday"}, {"at": line["at"][:-6]}, {"at": []},
        {"at": "2019-01-01T00:00:00.000+00:00"}, {"at": "2026-W45-1T00:00:00.000+00:00"},
        {"command": None}, {"command": ""}, {"command": ["run"]}, {"target": 5}, {"target": {}},
        {"ok": 1}, {"ok": "true"}, {"ok": None}, {"ok": False, "exit_code": None}, {"ok": False, "error_code": [1]},
        {"seconds": "1"}, {"seconds": True}, {"seconds": None}, {"seconds": -1}, {"seconds": 10**400}, {"seconds": [1]},
        {"requests": None}, {"requests": []}, {"requests": {}}, {"requests": {"n": 1, "errors": 0, "ms": "x"}},
        {"requests": {"n": True, "errors": 0, "ms": []}}, {"requests": {"n": 1, "errors": 2, "ms": []}},
        {"requests": {"n": 1, "errors": 0, "ms": [True]}}, {"requests": {"n": 1, "errors": 0, "ms": [-1]}},
        {"requests": {"n": 1, "errors": 0, "ms": [[]]}}, {"requests": {"n": 2, "errors": 0, "ms": [1, 10**16]}},
        {"requests": {"n": 10**15, "errors": 0, "ms": []}}, {"requests": {"n": 1.0, "errors": 0, "ms": []}},
        {"runs": None}, {"command": "run", "runs": [1], "detail": {}}, {"command": "export", "bytes": "x"},
        {"command": "export", "bytes": True}, {"command": "export", "bytes": -1},
        {"usage": {}}, {"usage": [1]}, {"usage": [{}]}, {"usage": [{"name": "a", "amount": "1", "labels": {}}]},
        {"usage": [{"name": "a", "amount": True, "labels": {}}]}, {"usage": [{"name": 1, "amount": 1, "labels": {}}]},
        {"usage": [{"name": "a", "amount": 1, "labels": []}]},
        {"usage": [{"name": "a", "amount": 1e301, "labels": {}}]},
        {"usage": [{"name": "a", "amount": 1, "labels": {"x": [1]}}]}, {"detail": None}, {"detail": []},
        {"command": "run", "detail": {"launched": "2"}}, {"command": "run", "detail": {"run_seconds": [None]}},
        {"command": "run", "detail": {"assets": "a"}}, {"command": "helpers.run_inprocess", "detail": {"seconds": "x"}},
        {"command": "helpers.run_inprocess", "ok": True, "detail": {"succeeded": 1}},
        {"v": True}, {"v": 1.0}, {"v": "1"}, {"v": 0}, {"v": -3}, {"v": None}, {"v": [1]},
    ]  # fmt: skip
    text = json.dumps(line).encode()
    kind = chance.randrange(4)
    if kind == 0:
        return json.dumps({**line, "v": chance.choice((2, 99))}).encode(), "newer"
    if kind == 1:
        cut = chance.randrange(1, len(text))
        spoilt = [
            text[:cut], text + b"x", text + text, b"\xff" + text, text.replace(b'"seconds"', b"seconds"), b"[]",
            b"null", b"{}", b'"run"', b"[" * 100_000, b'{"v":1',
            text.replace(b'"seconds": ', b'"seconds": NaN, "x": '),
            text[:-1] + b', "seconds": Infinity}', text[:-1] + b', "seconds": 1e999}',
            b"\x00", b"9" * 5000, b" ",
        ]  # fmt: skip
        return chance.choice(spoilt), "unreadable"
    if kind == 2:
        missing = chance.choice([name for name in line if name not in ("id", "rss_peak")])
        return json.dumps({name: value for name, value in line.items() if name != missing}).encode(), "unreadable"
    return json.dumps({**line, **chance.choice(wrong)}).encode(), "unreadable"


class Oracle:
    """The same figures, computed as slowly and plainly as can be."""

    def __init__(self, lines: list[Json]) -> None:
        self.lines = lines

    def times(self, values: list[float]) -> Json:
        values, told = [float(value) for value in values], {}
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            rest, whole = math.modf(share * (len(values) - 1)) if values else (0, 0)
            low, high = [*sorted(values), None, None][int(whole) : int(whole) + 2]
            told[name] = low + (high - low) * rest if rest else low  # type: ignore[operator]
        if len(values) > 1:  # Python's own quantiles, which round differently
            cuts = statistics.quantiles(values, n=100, method="inclusive")
            assert [told["p50"], told["p95"], told["p99"]] == pytest.approx([cuts[49], cuts[94], cuts[98]], rel=1e-9)
        mean = math.fsum(values) / len(values) if values else None
        return {"n": len(values), "sum": math.fsum(values), "mean": mean, **told, "measured": len(values)}

    def row(self, lines: list[Json]) -> Json:
        failed = sum(not line["ok"] for line in lines)
        return {
            "n": len(lines),
            "failed": failed,
            "success_rate": (len(lines) - failed) / len(lines) if lines else None,
            "seconds": self.times([line["seconds"] for line in lines]),
        }

    def grouped(self, name: str) -> list[Json]:
        found = collections.defaultdict(list)
        for line in self.lines:
            if (value := line["at"][:10] if name == "day" else line[name]) is not None:
                found[value].append(line)
        return [{name: value, **self.row(lines)} for value, lines in found.items()]

    def runs(self) -> tuple[Json, Json, Json]:
        launched = ok = failed = 0
        seconds: list[float] = []
        for line in self.lines:
            if line["command"] in ("run", "runs retry", "helpers.run"):
                detail = line["detail"]
                launched += detail.get("launched", len(line["runs"]))
                ok += detail.get("succeeded", 0)
                failed += detail.get("failed", 0)
                seconds += detail.get("run_seconds", [])
        here = [line for line in self.lines if line["command"] == "helpers.run_inprocess"]
        bad = [line for line in here if not (line["ok"] and line["detail"].get("succeeded", True))]
        took = [line["detail"]["seconds"] for line in here if "seconds" in line["detail"]]
        return (
            {"launched": launched, "ok": ok, "failed": failed},
            {"n": launched, "failed": failed, "seconds": self.times(seconds)},
            {"n": len(here), "failed": len(bad), "seconds": self.times(took)},
        )

    def ran(self, kind: str) -> list[Json]:
        found: dict[str, list[int]] = {}
        for line in self.lines:
            if line["command"] not in ("run", "runs retry", "helpers.run", "helpers.run_inprocess"):
                continue
            launched = line["detail"].get("launched", len(line["runs"]))
            if line["command"] != "helpers.run_inprocess" and not launched:
                continue
            target, names = line["target"] or "", []
            if target.startswith("job:"):
                names = [("job", target[4:])]
            elif target in ("asset:orders", "orders"):
                names = [("asset", "orders")]
            elif target == "asset:a/b,c":
                names = [("asset", "a/b"), ("asset", "c")]
            if "assets" in line["detail"]:
                names = [name for name in names if name[0] == "job"]
                names += [("asset", name) for name in line["detail"]["assets"]]
            for name in names:
                if name[0] == kind:
                    known = found.setdefault(name[1], [0, 0])
                    known[0] += 1
                    known[1] += not line["ok"]
        return [{kind: name, "n": n, "failed": failed} for name, (n, failed) in found.items()]

    def errors(self) -> list[Json]:
        codes = {2: "usage", 130: "interrupted", 143: "interrupted", 141: "closed_pipe"}
        found = collections.Counter(
            line["error_code"] or codes.get(line["exit_code"], "error") for line in self.lines if not line["ok"]
        )
        return [{"code": code, "n": n} for code, n in found.items()]

    def usage(self, lines: list[Json], *, named: bool = False) -> Iterator[tuple[Any, Json]]:
        found = collections.defaultdict(list)
        for each in itertools.chain.from_iterable(line["usage"] for line in lines):
            labels = {name: str(v).lower() if v is True else str(v) for name, v in each["labels"].items()}
            found[each["name"], "" if named else json.dumps(labels, sort_keys=True)].append(each["amount"])
        for (name, text), amounts in found.items():
            exact = sum(map(Fraction, amounts), Fraction(0))
            amount = int(exact) if all(type(each) is int for each in amounts) else float(exact)
            yield name, {"name": name, "labels": json.loads(text or "{}"), "amount": amount, "n": len(amounts)}

    def series(self, length: int) -> list[Json]:
        found = collections.defaultdict(list)
        for line in self.lines:
            found[line["at"][:length]].append(line)
        return [
            {
                "at": datetime.fromisoformat(at + "T00:00:00"[length - 10 :] + "+00:00").isoformat(),
                "n": len(lines),
                "failed": sum(not line["ok"] for line in lines),
                "seconds_mean": math.fsum(line["seconds"] for line in lines) / len(lines),
                "requests": sum(line["requests"]["n"] for line in lines),
                "usage": {name: row["amount"] for name, row in self.usage(lines, named=True)},
            }
            for at, lines in sorted(found.items())
        ]


def unordered(rows: list[Json]) -> list[str]:
    return sorted(
        json.dumps({name: value for name, value in row.items() if name != "runs"}, sort_keys=True) for row in rows
    )


def compare(document: Json, lines: list[Json], length: int) -> None:
    oracle = Oracle(lines)
    total = oracle.row(lines)
    assert (document["events"], document["failed"]) == (total["n"], total["failed"])
    assert (document["success_rate"], document["seconds"]) == (total["success_rate"], total["seconds"])
    assert document["last"] == max((line["at"] for line in lines), default=None)
    asked = [line["requests"] for line in lines]
    assert document["requests"] == {
        **oracle.times([ms for each in asked for ms in each["ms"]]),
        "n": sum(each["n"] for each in asked),
        "errors": sum(each["errors"] for each in asked),
    }
    runs, deployed, in_process = oracle.runs()
    assert (document["runs"], document["deployed"], document["in_process"]) == (runs, deployed, in_process)
    for name in ("command", "target"):
        assert unordered(document[f"{name}s"]) == unordered(oracle.grouped(name))
        assert [row["n"] for row in document[f"{name}s"]] == sorted(
            (row["n"] for row in document[f"{name}s"]), reverse=True
        )
    for kind in ("asset", "job"):
        assert unordered(document[f"{kind}s"]) == unordered(oracle.ran(kind))
    assert unordered(document["errors"]) == unordered(oracle.errors())
    assert unordered(document["usage"]) == unordered([row for _, row in oracle.usage(lines)])
    exports = [line for line in lines if line["command"] == "export"]
    assert (document["exports"]["n"], document["exports"]["bytes"]) == (
        len(exports),
        sum(e["bytes"] or 0 for e in exports),
    )
    assert document["exports"]["failed"] == sum(not line["ok"] for line in exports)
    newest = sorted((line["at"] for line in exports), reverse=True)[:10]
    assert [row["at"] for row in document["exports"]["newest"]] == newest
    assert document["series"] == oracle.series(length)


@pytest.mark.parametrize("seed", range(12))
def test_the_figures_are_those_of_an_independent_count(seed: int, project: Path) -> None:
    chance = random.Random(seed)
    good: list[Json] = []
    skipped = {"newer": collections.Counter(), "unreadable": collections.Counter()}  # type: ignore[var-annotated]
    for month in ("2026-08", "2026-09", "2026-10"):
        begin, rows = datetime.fromisoformat(f"{month}-01T00:00:00+00:00"), []
        for _ in range(chance.randrange(200)):
            line = event(
                chance, begin + timedelta(seconds=chance.choice((0, 1e-3, 86400 * 2, chance.random() * 86400 * 29)))
            )
            if chance.random() < 0.3:
                raw, kind = broken(chance, line)
                skipped[kind][month] += 1
                rows.append(raw)
            else:
                good.append(line)
                rows.append(json.dumps(line, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass"))
                if b"\xed\xa0\x80" in rows[-1]:  # half a letter is no UTF-8, and so no JSON
                    good.pop()
                    skipped["unreadable"][month] += 1
        chance.shuffle(rows)
        write(project, month, rows)
    days = [datetime(2026, month, day, tzinfo=UTC) for month in (8, 9, 10) for day in (1, 3, 17)]
    periods: list[summary.Period] = [(None, None), (days[0], None), (None, days[8]), (days[1], days[1])]
    periods += [(first, last) for first, last in itertools.combinations(chance.sample(days, 4), 2) if first <= last]
    periods.append((days[4] + timedelta(microseconds=700), days[5] + timedelta(microseconds=1)))
    step, length = chance.choice((("minute", 16), ("hour", 13), ("day", 10)))
    documents = summary.collect(project, periods, step=step)
    assert len(documents) == len(periods)
    for (since, until), document in zip(periods, documents, strict=True):
        chosen = [
            line
            for line in good
            if (since is None or datetime.fromisoformat(line["at"]) >= since)
            and (until is None or datetime.fromisoformat(line["at"]) < until)
        ]
        compare(document, chosen, length)
    every = documents[0]["skipped"]
    assert every == {"newer": skipped["newer"].total(), "unreadable": skipped["unreadable"].total(), "files": 0}


@pytest.mark.parametrize("by", summary.BY)
def test_groups_have_a_row_for_each(by: str, project: Path) -> None:
    chance = random.Random(by)
    lines = [event(chance, datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=number)) for number in range(100)]
    write(project, "2026-11", [json.dumps(line).encode() for line in lines])
    [document] = summary.collect(project, [(None, None)], by=by)
    assert unordered(document["groups"]) == unordered(Oracle(lines).grouped(by))
    if by == "day":
        assert [row["day"] for row in document["groups"]] == sorted(row["day"] for row in document["groups"])


def test_nothing_on_record_is_told_as_such(tmp_path: Path, project: Path) -> None:
    for root in (project, tmp_path / "nowhere"):
        [document] = summary.collect(root, [(None, None)], step="hour")
        assert (document["events"], document["success_rate"], document["seconds"]["mean"]) == (0, None, None)
        assert (document["commands"], document["series"], document["last"]) == ([], [], None)


def test_only_the_months_of_a_period_are_read(project: Path) -> None:
    folder = project / ".daglab" / "events"
    for month in (9, 10, 11):
        events.append(project, events.Event("run"), datetime(2026, month, 5, tzinfo=UTC), 0.1)
    (folder / "2026-09.jsonl").write_bytes(b"torn\n")
    [document] = summary.collect(project, [(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))])
    assert (document["events"], document["skipped"]["unreadable"]) == (1, 0)


def test_times_in_another_form_are_compared_as_times(project: Path) -> None:
    line = event(random.Random(1), datetime(2026, 11, 1, tzinfo=UTC))
    forms = (
        "2026-11-01T00:30:00+01:00",  # October
        "2026-11-01T01:30:00+01:00",
        "2026-11-01T00:30:00Z",
        "2026-11-01T00:30:00.000500+00:00",
        "2026-10-31T23:30:00.000-01:00",
    )
    write(project, "2026-11", [json.dumps({**line, "at": at}).encode() for at in forms])
    half = datetime(2026, 11, 1, 0, 30, tzinfo=UTC)
    periods = [(None, None), (half, None), (half + timedelta(microseconds=400), None), (None, half)]
    found = [document["events"] for document in summary.collect(project, periods)]
    assert found == [4, 4, 1, 0]
    assert summary.collect(project, [(None, None)])[0]["skipped"]["unreadable"] == 1


def test_what_is_no_file_is_said(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = project / ".daglab" / "events"
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "2026-10.jsonl"
    elsewhere.write_text("torn\n")
    (folder / "2026-10.jsonl").symlink_to(elsewhere)
    (folder / "2026-09.jsonl").mkdir()
    (folder / "2026-13.jsonl").write_text("torn\n")
    [document] = summary.collect(project, [(None, None)])
    assert document["skipped"] == {"newer": 0, "unreadable": 0, "files": 2}


def test_a_line_without_end_is_one_that_can_not_be_read(project: Path) -> None:
    good = json.dumps(event(random.Random(2), datetime(2026, 11, 1, tzinfo=UTC))).encode()
    write(project, "2026-11", [good, b"x" * (1 << 25), good, b"", good])
    [document] = summary.collect(project, [(None, None)])
    assert (document["events"], document["skipped"]["unreadable"]) == (3, 1)


def test_a_period_as_it_is_written() -> None:
    assert summary.period(None, None) == (None, None)
    first, last = summary.period("2026-11-01T00:00:00+01:00", "2026-11-02T00:00:00Z")
    assert (first, last) == (datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
    first, _ = summary.period("999999w", None)
    assert first is not None
    assert first.year == 1
    for wrong in (("soon", None), (None, "later"), ("2026-11-02", "2026-11-01")):
        with pytest.raises(errors.WrongUsage):
            summary.period(*wrong)
