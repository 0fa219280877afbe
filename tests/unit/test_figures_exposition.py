"""Prometheus text: what prometheus_client reads out of it is what was counted, whatever the names are."""

from __future__ import annotations

import collections
import importlib.util
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab.figures import exposition, summary

HOSTILE = (
    "plain", "", " ", "a-b", "a_b", "a b", "9lives", "__name__", "name", "quantile", "le", "job", "naïve", "日本",
    'quo"te', "back\\slash", "new\nline", "tab\t", "\x00", "\x01", "\x7f", "\u2028", "\u2029", "\ud800", "\ud801",
    "\\ud800", "{}", 'x"} 1\nevil_total 5', "# HELP x", "a" * 300, "é", "e\u0301", "=1", "A-B", "label_name",
)  # fmt: skip


@pytest.fixture
def parsed(need: Callable[[object, str], None]) -> Callable[[str], dict[str, Any]]:
    """The families in a text by their names, as prometheus_client reads them."""
    need(importlib.util.find_spec("prometheus_client"), "prometheus_client is not installed")
    from prometheus_client import parser

    def read(text: str) -> dict[str, Any]:
        families = list(parser.text_string_to_metric_families(text))
        assert len({family.name for family in families}) == len(families)
        return {family.name: family for family in families}

    return read


def document(project: Path, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What is counted of these lines."""
    folder = project / ".daglab" / "events"
    folder.mkdir(parents=True, exist_ok=True)
    base = {
        "v": 1, "at": "2026-11-02T00:00:00.000+00:00", "command": "run", "target": None, "ok": True, "exit_code": 0,
        "error_code": None, "seconds": 0.5, "runs": [], "requests": {"n": 0, "errors": 0, "ms": []}, "bytes": None,
        "usage": [], "detail": {},
    }  # fmt: skip
    (folder / "2026-11.jsonl").write_text("".join(json.dumps({**base, **line}) + "\n" for line in lines))
    [found] = summary.collect(project, [(None, None)])
    assert found["skipped"]["unreadable"] == 0
    return found


def samples(family: Any) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    return [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]


@pytest.mark.parametrize("seed", range(6))
def test_hostile_names_are_data(seed: int, tmp_path: Path, parsed: Callable[[str], dict[str, Any]]) -> None:
    chance = random.Random(seed)
    lines: list[dict[str, Any]] = []
    for _ in range(300):
        names = chance.sample([name for name in HOSTILE if name], 3)
        labels = {name: chance.choice(HOSTILE) for name in chance.sample(HOSTILE, chance.randrange(4))}
        used = [{"name": names[2], "amount": chance.choice((1, 0.5, 10**18)), "labels": labels}]
        bad = chance.random() < 0.5
        wrong = {"ok": False, "exit_code": 4, "error_code": names[1]} if bad else {}
        lines.append({"command": names[0], "usage": used if chance.random() < 0.5 else [], **wrong})
    found = document(tmp_path, lines)
    text = exposition.text(found)
    families = parsed(text)
    assert all(name.startswith("daglab_") for name in families)
    for family in families.values():
        series = collections.Counter(samples(family))
        assert [name for name, times in series.items() if times > 1] == []
        assert family.documentation
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", text)
    counted = {
        "daglab_events": found["events"],
        "daglab_events_failed": found["failed"],
        "daglab_errors": found["failed"],
        "daglab_usage": sum(row["amount"] for row in found["usage"]),
    }
    for name, expected in counted.items():
        assert families[name].type == "counter"
        assert sum(sample.value for sample in families[name].samples) == pytest.approx(expected, rel=1e-12)


def test_labels_that_look_alike_stay_apart(tmp_path: Path, parsed: Callable[[str], dict[str, Any]]) -> None:
    alike = ("a-b", "a_b", "a b", "name", "label_name", "é", "e\u0301", "__x", "_x", "9", "_9")
    used = [{"name": "tokens", "amount": 1 << place, "labels": {name: "v"}} for place, name in enumerate(alike)]
    used.append({"name": "tokens", "amount": 1 << len(alike), "labels": dict.fromkeys(alike, "v")})
    found = parsed(exposition.text(document(tmp_path, [{"usage": used}])))["daglab_usage"]
    values = {sample.value for sample in found.samples}
    assert values == {float(1 << place) for place in range(len(alike) + 1)}
    assert max(len(sample.labels) for sample in found.samples) == len(alike) + 1


def test_a_summary_has_quantiles_sum_and_count(tmp_path: Path, parsed: Callable[[str], dict[str, Any]]) -> None:
    asked = {"n": 4, "errors": 1, "ms": [10, 20, 60]}
    lines = [
        {"seconds": seconds, "requests": asked if seconds == 1 else {"n": 0, "errors": 0, "ms": []}}
        for seconds in (1, 2, 6)
    ]
    families = parsed(exposition.text(document(tmp_path, lines)))
    read = {
        (sample.name, sample.labels.get("quantile")): sample.value
        for sample in families["daglab_operation_seconds"].samples
    }
    assert families["daglab_operation_seconds"].type == "summary"
    assert read[("daglab_operation_seconds", "0.5")] == 2
    assert read[("daglab_operation_seconds_sum", None)] == 9
    assert read[("daglab_operation_seconds_count", None)] == 3
    read = {(s.name, s.labels.get("quantile")): s.value for s in families["daglab_request_seconds"].samples}
    assert read[("daglab_request_seconds_sum", None)] == pytest.approx(0.09)
    assert read[("daglab_request_seconds_count", None)] == 3


def test_nothing_on_record(tmp_path: Path, parsed: Callable[[str], dict[str, Any]]) -> None:
    [found] = summary.collect(tmp_path, [(None, None)])
    families = parsed(exposition.text(found))
    assert all(sample.value == 0 for family in families.values() for sample in family.samples)


def test_series_are_bounded(tmp_path: Path, parsed: Callable[[str], dict[str, Any]]) -> None:
    used = [{"name": "tokens", "amount": 1, "labels": {"id": str(number)}} for number in range(3000)]
    lines = [{"command": f"c{number}", "usage": used if number == 0 else []} for number in range(3000)]
    families = parsed(exposition.text(document(tmp_path, lines)))
    for name, family in families.items():
        limit = exposition.MOST_SERIES * (5 if name == "daglab_operation_seconds" else 1)
        assert len(family.samples) <= limit


def test_the_same_events_give_the_same_text(tmp_path: Path) -> None:
    lines = [
        {"command": name, "usage": [{"name": name, "amount": 1, "labels": {name: name}}]} for name in HOSTILE if name
    ]
    first = [form(document(tmp_path, lines)) for form in (exposition.text, exposition.csv_text, exposition.markdown)]
    lines.reverse()
    again = [form(document(tmp_path, lines)) for form in (exposition.text, exposition.csv_text, exposition.markdown)]
    assert first == again
