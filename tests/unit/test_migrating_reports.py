"""What is told of a migration: lines, a page, a document."""

from __future__ import annotations

import json
from pathlib import Path

from daglab.migrating import cells, reports
from daglab.migrating.comparing import comparisons
from daglab.migrating.comparing.likeness import Verdict
from daglab.migrating.converting import conversions

RUN = comparisons.Comparison((Verdict(1, "same"), Verdict(2, "different", "printed text"), Verdict(3, "unknown")), True)


def result(*notes: cells.Note, comparison: comparisons.Comparison | None = None) -> reports.Result:
    originals = tuple(cells.Original(number, "code", "x") for number in (1, 2, 3))
    draft = cells.Draft(cells.Jupyter(Path("a.ipynb"), "4.5", originals), (), notes)
    return reports.Result(Path("a.ipynb"), Path("a.py"), draft, conversions.Conversion("x"), comparison=comparison)


def test_two_runs_are_told() -> None:
    made = result(comparison=RUN)
    assert made.outcome == reports.NEEDS_PERSON
    assert "run: different (1 same, 1 different, 1 unknown)" in reports.line(made)
    assert list(reports.remarks(made, verbose=False)) == ["cell 2, run, different: printed text"]
    assert len(list(reports.remarks(made, verbose=True))) == 2
    assert "| cell 2 | different | printed text |" in reports.markdown([made])
    assert json.loads(reports.written([made], ".json"))["notebooks"][0]["comparison"]["counts"]["same"] == 1


def test_a_run_that_ends_early_and_one_that_is_not_compared_are_told() -> None:
    early = result(comparison=comparisons.Comparison((Verdict(1, "same"),), False))
    assert early.outcome == reports.NEEDS_PERSON
    assert "does not run as far" in reports.line(early)
    flawed = result(comparison=comparisons.Comparison(flaw="nbclient is not installed"))
    assert flawed.outcome == reports.CONVERTED
    assert "run: unknown: nbclient is not installed" in reports.line(flawed)


def test_the_page_shows_code_as_code_and_nothing_else_as_markdown() -> None:
    said = "`a|b` is *no* <script> [link](http://x) a_b _c_ ``d` | e"
    page = reports.markdown([result(cells.Note("magic", said, 1))])
    row = next(line for line in page.split("\n") if line.startswith("| cell 1 |"))
    assert row.startswith(r"| cell 1 | magic | `a\|b` is \*no\* \<script> \[link\](http://x) a_b \_c\_ \`\`d\` \| e |")
