"""Conversions without marimo: what is asked, what becomes of what is refused, and literals that stay what they are."""

from __future__ import annotations

import ast
import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, processes
from daglab.migrating import cells
from daglab.migrating.converting import conversions, literals, refusals

ANSWER = {"text": "t", "codes": [], "lines": [3, 10, 20], "lost": [], "issues": [], "header_hash": None}
ANSWER |= {"marimo_version": "0.25.2", "flaw": None}


def draft(*codes: str, title: str | None = None, needs: tuple[str, ...] = ()) -> cells.Draft:
    drafted = tuple(cells.Cell(code, "code", (number,)) for number, code in enumerate(codes, 1))
    return cells.Draft(cells.Jupyter(Path("x.ipynb"), "4.5", (), title=title), drafted, requirements=needs)


def child(monkeypatch: pytest.MonkeyPatch, answered: Any, code: int = 0) -> list[list[Any]]:
    """In the place of the child: `answered(order)` for each order; the batches it was asked."""
    batches: list[list[Any]] = []

    def run(command: list[str], **_: Any) -> processes.Finished:
        wanted = Path(command[-1])
        orders = json.loads(wanted.read_text())
        batches.append(orders)
        (wanted.parent / "ready").touch()
        made = [answered(order) for order in orders]
        if None not in made:
            (wanted.parent / "made.json").write_text(json.dumps(made))
        return processes.Finished(code, "", "", 1.0, timed_out=False)

    monkeypatch.setattr(processes, "run", run)
    return batches


def test_one_notebook_that_takes_the_child_down_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, lambda order: None if "bad" in order["cells"][0]["code"] else ANSWER, -9)
    drafts = [draft(code) for code in ("a", "b", "bad", "c", "d")]
    made = conversions.convert(drafts, ["python"], {}, ["x.py"] * 5)
    assert [bool(each.flaw) for each in made] == [False, False, True, False, False]
    assert "signal 9" in str(made[2].flaw)


def test_rounds_end(monkeypatch: pytest.MonkeyPatch) -> None:
    issue = {"code": "MB999", "message": "no", "lines": []}
    batches = child(monkeypatch, lambda _: {**ANSWER, "issues": [issue]})
    made = conversions.convert([draft("x = 1")], ["python"], {}, ["x.py"])
    assert made[0].flaw == "marimo refuses it: MB999 no"
    assert len(batches) <= conversions.ROUNDS + 1


def test_only_refused_notebooks_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    issue = {"code": "MB001", "message": "no", "lines": [10]}
    batches = child(
        monkeypatch,
        lambda order: {**ANSWER, "issues": [issue] if order["cells"][1]["code"] == "return" else []},
    )
    made = conversions.convert([draft("a", "b", "c"), draft("a", "return", "c")], ["python"], {}, ["x.py"] * 2)
    assert [len(batch) for batch in batches] == [2, 1]
    last = made[1].draft
    assert last is not None
    assert [(note.kind, note.cell, note.needs_person) for note in last.notes] == [("check", 2, True)]
    assert made[1].flaw is None


def test_a_python_without_marimo(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = processes.Finished(
        1, "", "Traceback\nModuleNotFoundError: No module named 'marimo'\n", 1.0, timed_out=False
    )
    monkeypatch.setattr(processes, "run", lambda *_, **__: ended)
    with pytest.raises(errors.NotSetUp, match="No module named 'marimo'") as raised:
        conversions.convert([draft("x")], ["/their/python"], {}, ["x.py"])
    assert "/their/python -m pip install marimo" in str(raised.value.hint)


@pytest.mark.parametrize("name", ["../up.py", "a b.py", "*.py", "[x].py", ".py", "--fix.py"])
def test_a_name_that_no_module_has_does_not_reach_the_child(name: str) -> None:
    assert conversions._order(draft("x"), name)["name"] == "a-notebook.py"
    assert conversions._order(draft("x"), "orders.py")["name"] == "orders.py"


@pytest.mark.parametrize("hostile", ['"', "\\", "\n# ///\nimport os", "\x00", "\x7f", "\u2028", "\ud800", "é"])
def test_requirements_stay_on_their_lines(hostile: str) -> None:
    header = conversions._header([hostile, "pandas>=2"])
    lines = header.split("\n")
    assert len(lines) == 7
    assert all(line.startswith("# ") for line in lines)
    tomllib = pytest.importorskip("tomllib")
    read = tomllib.loads("\n".join(line[2:] for line in lines[1:-1]))
    assert read["dependencies"] == ["marimo", hostile.replace("\ud800", "?"), "pandas>=2"]


def test_strings_stay_what_they_are_however_cells_are_indented() -> None:
    chance = random.Random(9)
    pieces = ("a", " ", "\n", "\\\\", "\x0c", "\u2028", "\x85", "\xa0", "\t", "  \n", "'", "é")
    for _ in range(500):
        content = "".join(chance.choices(pieces, k=8))
        code = f"x = {chance.choice(['', 'r', 'f', 'rf', 'b'])}'''{content}.'''\ny = x"
        try:
            wanted = ast.dump(ast.parse(code))
        except SyntaxError:
            continue
        made = literals.steady(code)
        assert ast.dump(ast.parse(made)) == wanted
        if "rf'" not in code:
            assert not set("\x0c\u2028\x85\xa0") & set(made)
            assert not any(line and not line.strip() for line in made.split("\n"))


def test_a_line_of_blanks_takes_no_longer_than_it_is_long() -> None:
    code = f"x = '''{' ' * 90_000}.'''"
    assert literals.steady(code) == code
    literals.markdown("a" + " " * 90_000 + "b\nc")


def test_a_branch_that_shows_nothing_is_assigned() -> None:
    code = "try:\n    (a,\n     b)\nexcept E:\n    'é', x\nfinally:\n    f()"
    made = refusals.answered(draft(code), [refusals.Refusal("MR002", "no", (0,))])
    assert made.cells[0].code == "try:\n    _ = (a,\n     b)\nexcept E:\n    _ = 'é', x\nfinally:\n    _ = f()"


@pytest.mark.parametrize(
    ("code", "made"),
    [
        ("if a:\n    b\nelif c:\n    d()\nelse:\n    1", "if a:\n    _ = b\nelif c:\n    _ = d()\nelse:\n    _ = 1"),
        ("if a:\n    b", "if a:\n    _ = b"),
        ("if a:\n    b()", None),
        ("if a:\n    b\nc", None),
        ("for a in b:\n    a", None),
        ("match a:\n    case 1:\n        b", "match a:\n    case 1:\n        _ = b"),
    ],
)
def test_marimo_is_not_asked_about_branches_that_it_is_known_to_refuse(
    code: str, made: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = child(monkeypatch, lambda _: ANSWER)
    conversions.convert([draft(code)], ["python"], {}, ["x.py"])
    assert [order["cells"][0]["code"] for batch in batches for order in batch] == [made or code]


def test_cells_that_define_one_name_become_one_that_shows_all() -> None:
    one = draft("a = 1\na", "b = 2", "a = a + b\na", "c = 3")
    made = refusals.answered(one, [refusals.Refusal("MB002", "no", (0, 2))])
    assert [cell.origins for cell in made.cells] == [(), (1, 2, 3), (4,)]
    names: dict[str, Any] = {}
    code = made.cells[1].code.replace("mo.output.append", "shown.append")
    exec(code, {"shown": []}, names)
    assert (names["a"], names["b"], names["_shown"]) == (3, 2, 1)
    assert code.endswith("a = a + b\na")
    assert [(note.kind, note.needs_person) for note in made.notes] == [("merge", False)]


def test_a_class_below_the_one_it_needs_is_a_cell_like_others() -> None:
    """marimo says of it that what it needs is declared later, when that class can't be imported by itself."""
    refused = [refusals.Refusal("MR003", "declared later", (2,))]
    once = refusals.answered(draft("import os", "class A:\n    a = os", "class B(A):\n    pass"), refused)
    assert [each.code for each in once.cells][2] == "class B(A):\n    pass\n\n# It needs cells above."
    assert refusals.answered(once, refused) == once
    later = refusals.answered(
        draft("class B(A):\n    pass", "class A:\n    a = 1"), [refusals.Refusal("MR003", "", (0,))]
    )
    assert [each.code[:7] for each in later.cells] == ["class A", "class B"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("mo.md('a')", 'mo.md(r"""\na\n""")'),
        ("mo.md(r'$\\pi$' ' b')", 'mo.md(r"""\n$\\pi$ b\n""")'),
        ("# c\nmo.md('a');  # d", "# c\n_text = 'a'\nmo.md(_text);  # d"),
        ("mo.md(  # c\n'a'\n'b')", "_text = ('a'\n'b')\nmo.md(  # c\n_text)"),
        ("mo.md(f'{a}')", None),
        ("x = mo.md('a')", None),
        ("mo.md('a')\nx", None),
        ("mo.md(a)", None),
        ("mo.md('a', b)", None),
    ],
)
def test_a_literal_shown_as_markdown_is_in_a_form_that_marimo_leaves(code: str, expected: str | None) -> None:
    assert literals.steady(code) == (code if expected is None else expected)


def commented(made: cells.Draft) -> list[str]:
    return [each.code for each in made.cells]


def test_what_marimo_refuses_for_good_is_kept_as_text_and_told() -> None:
    made = refusals.answered(draft("a = 1", "b = 2"), [refusals.Refusal("MB001", "no cell.", (1,))])
    assert [(note.cell, note.text, note.needs_person) for note in made.notes] == [
        (2, "Kept as text: marimo refuses it: no cell.", True)
    ]
    assert "import marimo as mo" in commented(made)[0]
    assert [each.kind for each in made.cells[1:]] == ["code", "markdown"]
    assert "b = 2" in commented(made)[-1]


def test_what_is_kept_is_a_comment_where_the_notebook_has_a_mo_of_its_own() -> None:
    made = refusals.answered(draft("mo = 1", "b = 2\n\nc"), [refusals.Refusal("MB001", "no.", (1,))])
    assert commented(made) == [
        "mo = 1",
        "_kept = None\n# Kept as text: marimo refuses it: no.\n# b = 2\n#\n# c",
    ]


def test_cells_that_overlap_become_one_and_text_between_them_stands_before_it() -> None:
    drafted = draft("a = 1", "b = a; a", "a = 2", "b = 3", "c = 4")
    drafted = dataclasses.replace(
        drafted, cells=(*drafted.cells[:1], cells.Cell("words", "markdown", (9,)), *drafted.cells[1:])
    )
    refused = [refusals.Refusal("MB002", "", (0, 3)), refusals.Refusal("MB002", "", (2, 4))]
    made = refusals.answered(drafted, refused)
    assert [each.code for each in made.cells if each.kind == "markdown"] == ["words"]
    assert [each.code for each in made.cells][-2:] == ["a = 1\nb = a; a\na = 2\nb = 3", "c = 4"]


def test_cells_are_not_joined_where_mo_is_the_notebook_s_or_the_whole_is_no_python() -> None:
    twice = refusals.Refusal("MB002", "two of a.", (0, 1))
    own = refusals.answered(draft("mo = a = 1", "a = 2"), [twice])
    assert commented(own)[0] == "mo = a = 1"
    assert commented(own)[1].startswith("_kept = None\n")
    broken = refusals.answered(draft("a = 1\nawait x", "from __future__ import annotations\na = ("), [twice])
    assert [each.kind for each in broken.cells[1:]] == ["code", "markdown"]


def test_cells_of_comments_alone_are_text_and_empty_ones_are_gone() -> None:
    made = refusals.without_empty(draft("a = 1", "# words", "pass  # here", " ", "pass\n'x'"))
    assert [(each.kind, each.origins) for each in made.cells] == [
        ("code", ()),
        ("code", (1,)),
        ("markdown", (2,)),
        ("code", (3,)),
        ("code", (5,)),
    ]
    assert [note.text for note in made.notes] == ["Kept as text: it holds only comments."]
    same = draft("a = 1")
    assert refusals.without_empty(same) is same


@pytest.mark.parametrize("code", ["if a:\n    b(", "if a:\n    b\nc = 1", "x = 'if'", "# if"])
def test_what_ends_in_no_branch_is_left_alone(code: str) -> None:
    assert [each.code for each in refusals.foreseen(draft(code)).cells] == [code]
    words = cells.Draft(draft().original, (cells.Cell("if a:\n    b", "markdown"),))
    assert refusals.foreseen(words) == words


@pytest.mark.parametrize(
    ("ended", "flaw"),
    [
        (processes.Finished(-2, "", "", 65.0, timed_out=True), "marimo does not come to an end with it."),
        (processes.Finished(1, "", "Traceback\nIndexError: no\n", 1.0, timed_out=False), "over it: IndexError: no"),
        (processes.Finished(3, "", " \n", 1.0, timed_out=False), "marimo breaks off over it: it says nothing"),
    ],
)
def test_how_marimo_ends_over_a_notebook_is_told(
    ended: processes.Finished, flaw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **_: Any) -> processes.Finished:
        (Path(command[-1]).parent / "ready").touch()
        return ended

    monkeypatch.setattr(processes, "run", run)
    [made] = conversions.convert([draft("x")], ["python"], {}, ["x.py"])
    assert str(made.flaw).endswith(flaw)
    assert (made.text, made.codes) == ("", ())


def test_without_a_draft_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = child(monkeypatch, lambda _: ANSWER)
    assert conversions.convert([], ["python"], {}, []) == []
    assert batches == []
