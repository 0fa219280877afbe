"""What the tags of cells ask for, as marimo's code."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from daglab.exporting import export_parameters
from daglab.migrating import cells, tags, texts


class Marimo:
    """As much of marimo as a parameters cell reads."""

    def __init__(self, *words: str) -> None:
        self.given = export_parameters.seen(words)

    def cli_args(self) -> Marimo:
        return self

    def get(self, name: str, default: Any = None) -> Any:
        return self.given.get(name, default)

    def get_all(self, name: str) -> list[Any]:
        value = self.given.get(name)
        return [] if value is None else value if isinstance(value, list) else [value]


def migrated(*each: tuple[str, str] | tuple[str, str, dict[str, Any]], **metadata: Any) -> cells.Draft:
    """Cells of a code, its tags with spaces between, and metadata."""
    originals = tuple(
        cells.Original(number, "code", found[0], tuple(found[1].split()), found[2] if len(found) > 2 else {})
        for number, found in enumerate(each, 1)
    )
    return tags.apply(texts.begin(cells.Jupyter(Path("x.ipynb"), "4.5", originals, metadata)))


def run(draft: cells.Draft, *words: str) -> dict[str, Any]:
    import json

    names: dict[str, Any] = {"daglab__mo": Marimo(*words), "daglab__json": json, "daglab__traceback": traceback}
    for cell in draft.cells:
        if cell.kind == "code" and not cell.disabled:
            exec(compile(cell.code, "cell", "exec"), names)
    return names


PARAMETERS = """# what to do
n: int = 5  # how many
rate = 0.5
name = 'x'
flag = False
xs = [1,
      2]
more = {'a': 1}
pair = (1, 2)
when = None
size = 10 * 2
note = (
    'a'
    'b'
)
"""


def test_parameters_keep_their_values_and_their_comments() -> None:
    draft = migrated((PARAMETERS, "parameters"))
    plain: dict[str, Any] = {}
    exec(PARAMETERS, plain)
    made = run(draft)
    for name in ("n", "rate", "name", "flag", "xs", "more", "pair", "when", "size", "note"):
        assert (made[name], type(made[name])) == (plain[name], type(plain[name]))
    assert "# what to do" in draft.cells[0].code
    assert "n: int" in draft.cells[0].code
    assert "# how many" in draft.cells[0].code


@pytest.mark.parametrize(
    ("word", "name", "value"),
    [
        ("--n=7", "n", 7),
        ("--rate=2", "rate", 2.0),
        ("--name=7", "name", "7"),
        ("--flag=true", "flag", True),
        ("--flag", "flag", True),
        ("--flag=1", "flag", True),
        ("--flag=false", "flag", False),
        ("--xs=[3, 4]", "xs", [3, 4]),
        ("--xs=3", "xs", [3]),
        ('--more={"b": [2]}', "more", {"b": [2]}),
        ("--pair=[3, 4]", "pair", (3, 4)),
        ("--when=2024-01-01", "when", "2024-01-01"),
        ("--size=3", "size", 3),
    ],
)
def test_parameters_take_values_from_the_command_line(word: str, name: str, value: Any) -> None:
    made = run(migrated((PARAMETERS, "parameters")), word)
    assert (made[name], type(made[name])) == (value, type(value))


def test_a_repeated_option_is_a_list() -> None:
    assert run(migrated((PARAMETERS, "parameters")), "--xs=3", "--xs=4")["xs"] == [3, 4]


def test_what_papermill_put_in_is_the_parameters_value() -> None:
    draft = migrated(("n = 1\nm = 2", "parameters"), ("# Parameters\nn = 10\nextra = 3\n", "injected-parameters"))
    assert {name: run(draft)[name] for name in ("n", "m", "extra")} == {"n": 10, "m": 2, "extra": 3}
    assert run(draft, "--n=4", "--extra=5")["n"] == 4
    assert sum(cell.code.count("n = ") for cell in draft.cells) == 1
    assert len(migrated(("n = 1", "parameters"), ("# Parameters\nn = 10\n", "injected-parameters")).cells) == 1


def test_only_the_last_assignment_of_a_name_is_a_parameter() -> None:
    draft = migrated(("n = 1\nn = n + 1", "parameters"))
    assert run(draft)["n"] == 2
    assert run(draft, "--n=9")["n"] == 9


def test_what_is_no_simple_assignment_is_told() -> None:
    draft = migrated(("a, b = 1, 2", "parameters"))
    assert [note.text for note in draft.notes if note.needs_person] == [
        "a takes no value from the command line: read it from mo.cli_args() by hand.",
        "b takes no value from the command line: read it from mo.cli_args() by hand.",
    ]


@pytest.mark.parametrize(
    ("tag", "metadata"),
    [
        ("hide-input", {}),
        ("remove_input", {}),
        ("hide_code", {}),
        ("hide-cell", {}),
        ("", {"jupyter": {"source_hidden": True}}),
        ("", {"hide_input": True}),
        ("", {"cellView": "form"}),
    ],
)
def test_hidden_code_is_hidden(tag: str, metadata: dict[str, Any]) -> None:
    assert migrated(("x = 1", tag, metadata)).cells[0].hidden
    assert not migrated(("x = 1", "", {"jupyter": None, "collapsed": True})).cells[0].hidden


def test_a_cell_to_skip_is_disabled_or_text_where_other_cells_have_its_names() -> None:
    draft = migrated(("x = 1", ""), ("print(x)\ny = 2", "skip-execution"), ("x = 3", "skip"), ("z = 4", "skip"))
    assert [(cell.kind, cell.disabled) for cell in draft.cells] == [
        ("code", False),
        ("code", True),
        ("text", False),
        ("code", True),
    ]
    assert run(draft)["x"] == 1


RAISING = '''text = """one
  two
    three"""
if text:
    # a comment
    lines = [
"four",
    ]

bytes_ = (b"""
x"""
    + b"y")
f"""{
text}
 and"""
1 / 0
never = 1
'''


def test_an_expected_error_is_shown_and_the_run_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    draft = migrated((RAISING, "raises-exception"), ("after = text", ""))
    made = run(draft)
    assert made["after"] == "one\n  two\n    three"
    assert (made["lines"], made["bytes_"]) == (["four"], b"\nxy")
    assert "never" not in made
    assert "ZeroDivisionError: division by zero" in capsys.readouterr().err


@pytest.mark.parametrize(("code", "value"), [("x = 2\nx + 1", 3), ("x = 2\n(x\n + 1)", 3), ("1 / 0", None)])
def test_the_last_expression_of_a_cell_with_an_expected_error_is_kept(code: str, value: Any) -> None:
    made = tags.caught(code)
    assert made is not None
    *before, last = made.split("\n")
    names: dict[str, Any] = {"daglab__traceback": traceback}
    exec("\n".join(before), names)
    assert eval(last, names) == value


@pytest.mark.parametrize("code", ["from __future__ import annotations", "", "# nothing"])
def test_what_can_not_be_in_a_try_is_left_as_it_is(code: str) -> None:
    assert tags.caught(code) is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="f-strings in f-strings")
def test_f_strings_keep_their_text() -> None:
    made = tags.caught('x = f"""\n{ f"""\n a""" }\n b"""')
    assert made
    names: dict[str, Any] = {}
    exec(made, names)
    assert names["x"] == "\n\n a\n b"


def test_the_notebooks_metadata_is_told_once() -> None:
    slide = {"slideshow": {"slide_type": "slide"}}
    draft = migrated(("1", "", slide), ("2", "", slide), papermill={"parameters": {}})
    assert [note.text for note in draft.notes] == [
        "papermill's record of its last run is left out.",
        "2 cells say how they are slides; marimo's slides are a layout of its own.",
    ]


@pytest.mark.parametrize("tag", ["parameters", "skip", "raises-exception", "injected-parameters"])
@pytest.mark.parametrize(
    "code",
    [
        "",
        "\f",
        "x = (yield)",
        "x = " + "[" * 80 + "]" * 80,
        "x = 1; y = 2",
        "x: int",
        "if 1: x = 1",
        "x = 1 \\\n + 1",
        "x = *a, b",
    ],
)
def test_odd_cells_raise_nothing_and_stay_python(code: str, tag: str) -> None:
    for cell in migrated((code, tag), ("x", "")).cells:
        if cell.kind == "code" and "yield" not in code:
            compile(cell.code, "cell", "exec")
