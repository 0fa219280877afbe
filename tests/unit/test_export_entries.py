"""What is told of an export: values that a notebook declares, bounded, of the kind that fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daglab.attaching import observations
from daglab.exporting import export_entries, uploads
from daglab.settings import config


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        (42, "int", 42),
        (2**63, "text", str(2**63)),
        (True, "bool", True),
        (0.5, "float", 0.5),
        ("fine", "text", "fine"),
        ("https://example.org/x", "url", "https://example.org/x"),
        ({"a": [1]}, "json", {"a": [1]}),
        ([1, 2], "json", [1, 2]),
        (None, "text", "None"),
        ("half \udc80", "text", "half ?"),
    ],
)
def test_a_value_has_the_kind_that_shows_it(value: Any, kind: str, told: Any) -> None:
    assert list(export_entries.results({"x": value})) == [observations.Entry("result/x", kind, told)]


@pytest.mark.parametrize("value", ["x" * 5000, ["x" * 5000], {"x" * 5000: 1}, "https://" + "x" * 5000, 10**900])
def test_a_value_is_bounded_in_size(value: Any) -> None:
    [entry] = export_entries.results({"n" * 500: value})
    assert len(json.dumps(entry.value)) < 1.1 * export_entries.LONGEST_VALUE
    assert len(entry.label) < 120


def test_values_are_bounded_in_number() -> None:
    found = list(export_entries.results({str(number): number for number in range(60)}))
    assert len(found) == 51
    assert found[-1] == observations.Entry("results_left_out", "int", 10)


@pytest.mark.parametrize(
    ("output", "name", "failed"),
    [
        ("exports/sub/a.html", "sub/a.html", "sub/a.failed.html"),
        ("build/a.html.gz", "build/a.html.gz", "build/a.failed.html.gz"),
        ("../elsewhere.html", "elsewhere.html", "elsewhere.failed.html"),
        ("odd", "odd", "odd.failed"),
    ],
)
def test_the_name_of_an_upload(tmp_path: Path, output: str, name: str, failed: str) -> None:
    project = tmp_path / "project"
    (project / "exports").mkdir(parents=True)
    settings = config.load({}, directory=project, environ={})
    path = (project / output).resolve()
    assert uploads.name(settings, path) == name
    assert uploads.name(settings, path, failed=True) == failed
