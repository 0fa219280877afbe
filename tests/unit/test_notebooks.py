"""The outcome of a notebook, read from pages like those that marimo 0.17 to 0.25 write."""

from __future__ import annotations

import html as markup
import json
import random
from typing import Any

import pytest

from daglab import errors, notebooks

FORMS = {
    "0.23 to 0.25": (
        '      Object.defineProperty(window, "__MARIMO_MOUNT_CONFIG__", {\n        value: Object.freeze({\n',
        "        }),\n        writable: false,\n        configurable: false,\n      });\n",
    ),
    "0.17 to 0.23": ("      window.__MARIMO_MOUNT_CONFIG__ = {\n", "        };\n"),
}
TRACEBACK = "application/vnd.marimo+traceback"


def data(text: str = "") -> dict[str, Any]:
    return {"type": "data", "data": {"text/plain": text}}


def error(ename: str, evalue: str) -> dict[str, Any]:
    return {"type": "error", "ename": ename, "evalue": evalue, "traceback": None}


def stdout(text: str) -> dict[str, Any]:
    return {"type": "stream", "name": "stdout", "mimetype": "text/plain", "text": text}


def traceback(text: str) -> dict[str, Any]:
    """As pygments has it: each token escaped in a span."""
    spans = "".join(f'<span class="gr">{markup.escape(line)}</span>\n' for line in text.splitlines())
    highlighted = f'<span class="codehilite"><div class="highlight"><pre>{spans}</pre></div></span>'
    return {"type": "stream", "name": "stderr", "mimetype": TRACEBACK, "text": highlighted}


def raised(text: str, evalue: str, key: str = "MJUe") -> tuple[list[Any], list[Any]]:
    frames = f'Traceback (most recent call last):\n  File "/tmp/m_1/__marimo__cell_{key}_.py", line 1, in <module>\n'
    return [error("exception", evalue)], [traceback(frames + text)]


def script(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return text.replace("<", "\\u003C").replace(">", "\\u003E").replace("&", "\\u0026")


def members(*cells: tuple[str, list[Any], list[Any]]) -> dict[str, Any]:
    """The mount configuration of a notebook, from the name, outputs and console of each of its cells."""
    keys = ["Hbol", "MJUe", "vblA", "bkHC", "lEQa"]
    source = [
        {"id": key, "name": name, "code": f"# {name}", "code_hash": None}
        for key, (name, _, _) in zip(keys, cells, strict=False)
    ]
    session = [
        {"id": key, "outputs": outputs, "console": console, "code_hash": None}
        for key, (_, outputs, console) in zip(keys, cells, strict=False)
    ]
    return {
        "filename": "a.py",
        "notebook": {"cells": source, "version": "1"},
        "session": {"cells": session, "metadata": {"marimo_version": "0.25.2"}},
        "runtimeConfig": None,
    }


def page(config: dict[str, Any], form: str = "0.23 to 0.25", head: str = "") -> str:
    start, end = FORMS[form]
    lines = ",\n".join(f'            "{key}": {script(value)}' for key, value in config.items())
    comma = "," if form == "0.17 to 0.23" else ""
    return (
        f'<!DOCTYPE html>\n<html><head>{head}<script data-marimo="true">function x() {{}}</script></head>\n<body>\n'
        f'    <script data-marimo="true">\n{start}{lines}{comma}\n{end}    </script>\n'
        "<marimo-code hidden=''>%22session%22%3A</marimo-code></body></html>\n"
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_raised_exception_is_found_with_its_cell_and_traceback(form: str) -> None:
    config = members(("a", [data()], []), ("load", *raised("ZeroDivisionError: division by zero", "division by zero")))
    assert notebooks.failed_cells(page(config, form)) == [
        notebooks.FailedCell(
            index=2,
            name="load",
            error="ZeroDivisionError: division by zero",
            traceback="Traceback (most recent call last):\n"
            '  File "cell 2 (load)", line 1, in <module>\n'
            "ZeroDivisionError: division by zero",
            code="# load",
            caused_by_ancestor=False,
        )
    ]


def test_a_good_notebook_has_no_failures() -> None:
    assert notebooks.failed_cells(page(members(("a", [data("1")], [stdout("fine")]), ("b", [], [])))) == []


def test_a_traceback_in_place_of_an_output_is_a_failure() -> None:
    """Seen with marimo 0.25 where a cell's last value raises in its `_repr_html_`."""
    _, console = raised("ValueError: no html", "")
    failed = notebooks.failed_cells(page(members(("shown", [data()], console), ("good", [data()], [stdout("x")]))))
    assert [(cell.name, cell.error, cell.caused_by_ancestor) for cell in failed] == [
        ("shown", "ValueError: no html", False)
    ]


def test_the_root_leads_and_what_hung_on_it_follows() -> None:
    hung = [error("exception", "An ancestor raised an exception (ValueError): ")]
    prevented = [error("ancestor-prevented", "This cell wasn't run")]
    config = members(("use", hung, []), ("load", *raised("ValueError: x", "x")), ("more", prevented, []))
    failed = notebooks.failed_cells(page(config))
    assert [(cell.name, cell.caused_by_ancestor) for cell in failed] == [
        ("load", False),
        ("use", True),
        ("more", True),
    ]
    assert failed[1].error == "An ancestor raised an exception (ValueError)"


def test_an_exception_that_only_sounds_like_an_ancestors_is_a_root() -> None:
    text = "An ancestor raised an exception (X): "
    failed = notebooks.failed_cells(page(members(("a", *raised(f"MyError: {text}", text.strip(), "Hbol")))))
    assert [(cell.error, cell.caused_by_ancestor) for cell in failed] == [(f"MyError: {text.strip()}", False)]


def test_invalid_code_leads_before_the_exceptions_that_it_leads_to() -> None:
    missing = raised("NameError: name 'x' is not defined", "Name `x` is not defined. It was expected to be")
    twice = [error("multiple-defs", "The variable 'x' was defined by another cell")]
    failed = notebooks.failed_cells(page(members(("use", *missing), ("one", twice, []), ("two", twice, []))))
    assert [cell.name for cell in failed] == ["one", "two", "use"]
    assert [cell.error for cell in failed[1:]] == [twice[0]["evalue"], "NameError: name 'x' is not defined"]


def test_a_syntax_error_has_its_lines_as_the_traceback() -> None:
    text = "line 1\n    x = = 1\n        ^\nSyntaxError: invalid syntax\n"
    [cell] = notebooks.failed_cells(page(members(("a", [error("syntax", text)], []))))
    assert (cell.error, cell.traceback) == ("SyntaxError: invalid syntax", text.rstrip())


def test_several_errors_of_a_cell_are_all_told() -> None:
    found = [error("multiple-defs", "The variable 'x' ..."), error("cycle", "This cell is in a cycle")]
    [cell] = notebooks.failed_cells(page(members(("a", found, []))))
    assert cell.error == "The variable 'x' ...; This cell is in a cycle"


def test_stopping_is_no_failure() -> None:
    stopped = [error("ancestor-stopped", "This cell wasn't run because an ancestor was stopped with `mo.stop`: ")]
    assert notebooks.failed_cells(page(members(("a", [data("stopped")], []), ("b", stopped, [])))) == []


def test_an_interrupted_cell_leads_before_those_that_never_ran() -> None:
    interrupted = [error("interruption", "This cell was interrupted and needs to be re-run")]
    console = raised("KeyboardInterrupt", "", "vblA")[1]
    failed = notebooks.failed_cells(page(members(("a", interrupted, []), ("b", [], []), ("c", interrupted, console))))
    assert [(cell.name, cell.error, cell.caused_by_ancestor) for cell in failed] == [
        ("c", "KeyboardInterrupt", False),
        ("a", "This cell was interrupted and needs to be re-run", True),
    ]


def test_the_first_is_a_root_even_where_marimo_lost_its_traceback() -> None:
    interrupted = [error("interruption", "This cell was interrupted and needs to be re-run")]
    failed = notebooks.failed_cells(page(members(("a", interrupted, []), ("b", interrupted, []))))
    assert [(cell.name, cell.caused_by_ancestor) for cell in failed] == [("a", False), ("b", True)]


@pytest.mark.parametrize(
    ("text", "evalue", "expected"),
    [
        ("ValueError: two\nKeyError: lines", "two\nKeyError: lines", "ValueError: two\nKeyError: lines"),
        ("AssertionError", "This cell raised an exception: AssertionError", "AssertionError"),
        ("KeyError: 'k'", "'k'", "KeyError: 'k'"),
        ("ValueError: x\na note", "x\na note", "ValueError: x\na note"),
        ("mod.sub.Bad: <b>&amp;</b>", "<b>&amp;</b>", "mod.sub.Bad: <b>&amp;</b>"),
        ("  | Group: g (2 sub-exceptions)\n    | KeyError: 'k'", "g (2 sub-exceptions)", "Group: g (2 sub-exceptions)"),
        ("SyntaxError: invalid syntax", "invalid syntax (<string>, line 1)", "SyntaxError: invalid syntax"),
        ("1 + 1", "only this", "only this"),
    ],
)
def test_the_error_is_one_phrase_with_its_type(text: str, evalue: str, expected: str) -> None:
    [cell] = notebooks.failed_cells(page(members(("a", *raised(text, evalue)))))
    assert cell.error == expected


def test_without_a_traceback_the_error_is_what_marimo_says() -> None:
    """marimo waits 0.1 s for the console; on a busy machine the traceback may not have come by then."""
    [cell] = notebooks.failed_cells(page(members(("a", [error("exception", "division by zero")], []))))
    assert (cell.error, cell.traceback, cell.caused_by_ancestor) == ("division by zero", "", False)


def test_the_traceback_of_a_thread_is_not_taken_for_the_cells() -> None:
    outputs, console = raised("ValueError: mine", "mine")
    [cell] = notebooks.failed_cells(page(members(("a", outputs, [*console, traceback("KeyError: 'thread'")]))))
    assert cell.traceback.endswith("ValueError: mine")


def test_names_are_what_people_see() -> None:
    cells = [(name, *raised("E: x", "x")) for name in ("_", "__", "*total", "_private")]
    labels = [cell.label for cell in notebooks.failed_cells(page(members(*cells)))]
    assert labels == ["cell 1", "cell 2", "cell 3 (total)", "cell 4 (_private)"]


def test_only_files_of_this_notebook_are_renamed() -> None:
    frames = '  File "/home/me/load.py", line 3\n  File "/tmp/__marimo__cell_ZZZZ_.py", line 1\nValueError: x'
    [cell] = notebooks.failed_cells(page(members(("a", [error("exception", "x")], [traceback(frames)]))))
    assert cell.traceback == frames


LOOKALIKES = [
    '"session": {"cells": [',
    "}), }); </script>",
    page(members(("fake", *raised("Fake: x", "x")))),
    page(members(("fake", *raised("Fake: x", "x"))), "0.17 to 0.23"),
    'window.__MARIMO_MOUNT_CONFIG__ = {"session": null}',
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", LOOKALIKES)
def test_what_a_cell_prints_is_not_taken_for_the_session(text: str, form: str) -> None:
    good = members((text, [data(text)], [stdout(text)]), ("b", [{"type": "data", "data": {"text/html": text}}], []))
    assert notebooks.failed_cells(page(good, form)) == []
    bad = members(("a", [data(text)], [stdout(text)]), ("load", *raised(f"ValueError: {text}", text.strip())))
    assert [cell.index for cell in notebooks.failed_cells(page(bad, form))] == [2]


@pytest.mark.parametrize("text", LOOKALIKES)
def test_what_the_notebook_brings_for_the_head_is_not_taken_for_the_session(text: str) -> None:
    assert notebooks.failed_cells(page(members(("a", [data()], [])), head=text)) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_page_cut_off_anywhere_is_invalid_or_read_in_full(form: str) -> None:
    whole = page(members(("a", [data("x")], []), ("load", *raised("E: x", "x"))), form)
    cells = notebooks.failed_cells(whole)
    end = whole.index('"runtimeConfig": null') + len('"runtimeConfig": null')
    for at in range(end):
        with pytest.raises(errors.InvalidInput):
            notebooks.failed_cells(whole[:at])
    assert all(notebooks.failed_cells(whole[:at]) == cells for at in range(whole.index("}", end) + 1, len(whole)))


@pytest.mark.parametrize("text", ["", "<html></html>", "__MARIMO_MOUNT_CONFIG__", "\0\ufffd", "session" * 1000])
def test_a_page_that_is_not_marimos_is_invalid_input(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="not a notebook that marimo has exported"):
        notebooks.failed_cells(text)


@pytest.mark.parametrize("part", ["notebook", "session"])
@pytest.mark.parametrize("value", [None, [], "x", {}, {"cells": None}, {"cells": {}}, {"cells": [1]}])
def test_a_page_without_its_cells_is_invalid_input(part: str, value: object) -> None:
    with pytest.raises(errors.InvalidInput, match=f"its ({part} is|cells are) missing"):
        notebooks.failed_cells(page({**members(("a", [data()], [])), part: value}))


@pytest.mark.parametrize("value", [None, {}, ["x"]])
def test_a_cell_without_outputs_is_not_taken_for_a_good_one(value: object) -> None:
    config = members(("a", [data()], []))
    config["session"]["cells"][0]["outputs"] = value
    with pytest.raises(errors.InvalidInput, match="its outputs are missing"):
        notebooks.failed_cells(page(config))


def test_a_page_nested_deeper_than_python_reads_is_invalid_input() -> None:
    whole = page(members(("a", [data("DEEP")], [])))
    with pytest.raises(errors.InvalidInput, match="damaged"):
        notebooks.failed_cells(whole.replace('"DEEP"', "[" * 200_000 + "]" * 200_000))


def test_values_of_the_wrong_kind_never_make_a_traceback() -> None:
    chance = random.Random(20)
    junk: list[Any] = [None, 0, -1.5, True, "", "x", [], {}, [None], {"a": []}, "\ud800"]
    for _ in range(2000):
        config = members(("a", [data()], [stdout("x")]), ("load", *raised("E: x", "x")))
        _spoil(config, chance, junk)
        try:
            for cell in notebooks.failed_cells(page(config)):
                f"{cell.label} {cell.error} {cell.traceback} {cell.code}".encode()
        except errors.InvalidInput:
            pass


def _spoil(value: Any, chance: random.Random, junk: list[Any]) -> None:
    """Replace one value somewhere inside by junk."""
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = chance.choice(list(keys))
        inner = value[key]
        if not isinstance(inner, (dict, list)) or not inner or chance.random() < 0.2:
            value[key] = chance.choice(junk)
            return
        value = inner


def test_halves_of_characters_can_be_printed() -> None:
    [cell] = notebooks.failed_cells(page(members(("a", *raised("ValueError: \ud83d!", "\ud83d!", "Hbol")))))
    assert cell.error.encode() == b"ValueError: ?!"


@pytest.mark.parametrize("line", ["x" * 2_000_000 + 'File "' * 10_000, 'File "' + "__marimo__cell_x" * 100_000])
def test_a_long_line_takes_no_time_to_speak_of(line: str) -> None:
    """It took hours with a pattern that looked for marimo's file names from each character on."""
    [cell] = notebooks.failed_cells(page(members(("a", *raised(f"ValueError: {line}", line)))))
    assert cell.error == f"ValueError: {line}"


def test_has_code_tells_an_empty_notebook() -> None:
    config = members(("a", [data()], []))
    assert notebooks.has_code(page(config))
    config["notebook"]["cells"][0]["code"] = " \n"
    assert not notebooks.has_code(page(config))
