"""What is told of a migration: lines, a page, a document."""

from __future__ import annotations

import json
from pathlib import Path

from daglab import errors
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


REFUSED = reports.Result(Path("bad.ipynb"), error=errors.InvalidInput("It is\nno notebook.", "Save it again."))
ISSUES = reports.Result(
    Path("b.ipynb"),
    Path("b.py"),
    result().draft,
    conversions.Conversion("x", issues=(conversions.Issue("MB001", "no cell", 3), conversions.Issue("MF004", "empty"))),
    files=(Path("p.png"),),
    session=Path("__marimo__/session/b.py.json"),
    unchanged=True,
    notes=(cells.Note("check", "Look at it.", 2, needs_person=True), cells.Note("text", "Kept.")),
)


def test_what_is_refused_and_what_is_to_be_looked_at_are_told_on_one_line_each() -> None:
    assert reports.line(REFUSED) == "bad.ipynb: refused: It is no notebook."
    assert reports.line(ISSUES) == "b.ipynb -> b.py (3 cells, 2 notes, 1 for a person, unchanged)"
    assert list(reports.remarks(ISSUES, verbose=False)) == [
        "cell 2, check: Look at it.",
        "line 3, marimo check, MB001: no cell",
        "marimo check, MF004: empty",
    ]
    assert next(reports.remarks(ISSUES, verbose=True)) == "notebook, text: Kept."
    assert reports.summary([ISSUES, REFUSED, result()]) == "1 converted, 1 converted and to be looked at, 1 refused"
    assert reports.summary([]) == "0 converted, 0 converted and to be looked at, 0 refused"


def test_the_document_counts_each_outcome_and_kind() -> None:
    found = reports.document([REFUSED, ISSUES, result()], dry_run=True)
    assert (found["ok"], found["dry_run"]) == (False, True)
    assert found["counts"] == {"converted": 1, "needs_person": 1, "refused": 1}
    assert found["kinds"] == {"text": 1, "check": 1}
    bad, issues, _ = found["notebooks"]
    assert (bad["error"]["message"], bad["target"], bad["cells"], bad["text"]) == (
        "It is\nno notebook.",
        None,
        None,
        None,
    )
    assert issues["issues"][0] == {"code": "MB001", "message": "no cell", "line": 3}
    assert issues["text"] == "x"
    assert "text" not in reports.document([ISSUES])["notebooks"][0]


def test_the_page_has_a_section_for_each() -> None:
    page = reports.markdown([REFUSED, ISSUES])
    assert "## bad.ipynb\n\nRefused: It is no notebook.\n\nSave it again.\n\n## b.ipynb" in page
    assert "Needs person: b.py, from 3 cells." in page
    assert "Beside it: p.png, \\_\\_marimo\\_\\_/session/b.py.json." in page
    assert "| check | 1 | 1 |" in page
    assert "| 3 | MB001 | no cell |" in page
    assert "|  | MF004 | empty |" in page


def test_an_earlier_report_may_be_written_over_and_nothing_else() -> None:
    for suffix in reports.SUFFIXES:
        assert reports.is_own(reports.written([ISSUES], suffix))
    assert not reports.is_own("# My notes")
    assert not reports.is_own('{"report": "another"}')


def test_a_batch_with_a_bug_ends_as_a_bug_whatever_else_was_refused() -> None:
    found = {"ok": False}
    error = reports.refused([REFUSED, ISSUES], found)
    assert (error.exit_code, error.result) == (7, found)
    assert error.message == "1 of 2 notebooks were refused.\nbad.ipynb: It is\nno notebook."
    bug = reports.Result(Path("c.ipynb"), error=errors.DaglabError("It broke.", "Say so."))
    error = reports.refused([REFUSED, bug], found)
    assert (error.exit_code, error.hint) == (1, "Say so.")
