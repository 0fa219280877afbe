"""A Jupyter notebook's old outputs in the new notebook's file: what is kept, what is cut, and that it does no harm."""

from __future__ import annotations

import ast
import base64
import itertools
import struct
from pathlib import Path
from typing import Any

import pytest

from daglab.migrating import cells
from daglab.migrating.keeping import outputs, pictures, printed

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 200, 60) + bytes(3000)
JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + struct.pack(">HH", 30, 40) + bytes(20)
GIF = b"GIF89a" + struct.pack("<HH", 7, 5)
BREAKS = ["\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\n", "\r\n"]


def stream(text: object) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def data(**forms: object) -> dict[str, Any]:
    return {"output_type": "execute_result", "data": {name.replace("_", "/", 1): form for name, form in forms.items()}}


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def drafted(*found: tuple[str, list[Any]]) -> cells.Draft:
    """A draft whose cells are the Jupyter cells as they were."""
    own = tuple(cells.Original(n, "code", source, outputs=tuple(had)) for n, (source, had) in enumerate(found, 1))
    original = cells.Jupyter(Path("a b/my nb.ipynb"), "4.5", own)
    return cells.Draft(original, tuple(cells.Cell(each.source, origins=(each.number,)) for each in own))


def comments(*had: Any, code: str = "x") -> str:
    [cell] = outputs.apply(drafted((code, list(had))), "comments").cells
    return cell.code


def markdown(*had: Any) -> str:
    return outputs.apply(drafted(("x", list(had))), "markdown").cells[-1].code


def test_comments_stand_below_the_value_that_a_cell_shows() -> None:
    assert comments(stream("a\nb\n"), data(text_plain="1")) == "x\n\n# Output:\n# > a\n# > b\n# > 1"


@pytest.mark.parametrize("how", ["session", "", "other"])
def test_any_other_way_changes_nothing(how: str) -> None:
    draft = drafted(("x", [stream("a")]))
    assert outputs.apply(draft, how) is draft


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("before", ["", "a", "'''", '"""', "\\"])
def test_no_line_break_of_any_kind_ends_a_comment(broken: str, before: str) -> None:
    code = comments(
        stream(f"{before}{broken}import os"),
        data(text_plain=f"{before}{broken}import os"),
        {"output_type": "error", "ename": "E", "evalue": "", "traceback": [f"{before}{broken}import os"]},
    )
    assert ast.dump(ast.parse(code)) == ast.dump(ast.parse("x"))
    assert all(line.startswith("#") for line in code.splitlines()[1:] if line)


def test_no_output_becomes_a_header_of_dependencies() -> None:
    code = comments(stream("/// script\ndependencies = ['evil']\n///\n"))
    assert "\n# ///" not in code
    assert "\n# > /// script" in code


def test_what_was_printed_is_kept_as_a_terminal_shows_it() -> None:
    assert comments(stream("\x1b[31mred\x1b[0m\n10%\r50%\r100%\n")).endswith("# > red\n# > 100%")


def test_marks_of_direction_and_controls_are_shown_as_unknown_characters() -> None:
    code = comments(stream("a\u202eb\x00c\u2066d\ud800e\x07f"))
    assert code.endswith("# > a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf")
    code.encode()


def test_lines_beyond_the_bound_are_counted() -> None:
    had = [stream("a\n" * 30), stream("b\n" * 30)]
    draft = outputs.apply(drafted(("x", had)), "comments")
    assert draft.cells[0].code.count("# > a\n") == 30
    assert draft.cells[0].code.count("# > b\n") == 10
    assert draft.cells[0].code.endswith("# > ... 20 more lines")
    assert draft.notes == (cells.Note("output", "Of its outputs, 20 lines are left out.", 1),)
    assert len(comments(stream("y" * 10_000))) < 1000


def test_of_a_traceback_the_end_is_kept() -> None:
    error = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": [*map(str, range(100)), "E: v"]}
    code = comments(error)
    assert code.endswith("# > 99\n# > E: v")
    assert "# > ... 61 more lines\n" in code
    assert comments({"output_type": "error", "ename": "E", "evalue": "v"}).endswith("# > E: v")


def test_outputs_of_merged_cells_stand_below_them_and_those_of_a_cell_that_is_gone_are_noted() -> None:
    draft = drafted(("x", [stream("one")]), ("y", [stream("two")]), ("%gone", [stream("three")]))
    merged = cells.Draft(draft.original, (cells.Cell("x\ny", origins=(1, 2)),))
    done = outputs.apply(merged, "comments")
    assert done.cells[0].code == "x\ny\n\n# Output:\n# > one\n# > two"
    assert done.notes == (cells.Note("output", "Its outputs are left out, as the cell is.", 3),)


def test_a_cell_kept_as_text_has_its_outputs_as_text() -> None:
    draft = drafted(("%%weird", [stream("```\nout")]))
    kept = cells.Draft(draft.original, (cells.Cell("Kept.", "markdown", (1,), why="unknown"),))
    for how in ("comments", "markdown"):
        assert outputs.apply(kept, how).cells[-1].code == "Kept.\n\n````text\n```\nout\n````"


def test_markdown_stands_in_a_cell_below_and_the_import_that_it_needs_above() -> None:
    done = outputs.apply(drafted(("x", [stream("a")]), ("y", [])), "markdown")
    assert [(cell.kind, cell.code, cell.origins) for cell in done.cells] == [
        ("code", "import marimo as mo", ()),
        ("code", "x", (1,)),
        ("markdown", "```text\na\n```", ()),
        ("code", "y", (2,)),
    ]
    there = outputs.apply(drafted(("import marimo as mo", [stream("a")])), "markdown")
    assert [cell.code for cell in there.cells] == ["import marimo as mo", "```text\na\n```"]


def test_a_notebook_with_a_mo_of_its_own_gets_comments() -> None:
    done = outputs.apply(drafted(("mo = 1", [stream("a")])), "markdown")
    assert [cell.code for cell in done.cells] == ["mo = 1\n\n# Output:\n# > a"]
    assert done.notes == (cells.Note("output", "Outputs are kept as comments: the notebook has its own mo."),)


def test_a_simple_table_is_a_table_and_nothing_in_it_is_markdown_or_html() -> None:
    rich = (
        "<style>.a {b: c}</style><table><tr><th></th><th>a|b</th></tr>"
        "<tr><td>1</td><td><b>x</b>&lt;img src=x onerror=alert(1)&gt; *y* $z$ :smile:</td></tr></table>"
    )
    said = markdown(data(text_html=rich, text_plain="plain"))
    assert said == (
        "|   | a&#124;b |\n| --- | --- |\n"
        "| 1 | x&#60;img src&#61;x onerror&#61;alert(1)&#62; &#42;y&#42; &#36;z&#36; &#58;smile: |"
    )
    assert comments(data(text_html=rich, text_plain="plain")).endswith("# > plain")


@pytest.mark.parametrize(
    "rich",
    [
        "<table><tr><td><table></table></td></tr><tr><td>1</td></tr></table>",
        "<table><tr><td>1</td></tr></table>",
        "<p>hi</p>",
        "<table><tr>" + "<td>1</td>" * 21 + "</tr><tr></tr></table>",
    ],
)
def test_other_html_gives_way_to_the_plain_text(rich: str) -> None:
    assert markdown(data(text_html=rich, text_plain="plain")) == "```text\nplain\n```"


def test_html_by_itself_comes_down_to_its_words() -> None:
    rich = "<h1>Hi</h1><script>alert(1)</script><p>there &amp; then</p>"
    for plain in ({}, {"text_plain": "<IPython.core.display.HTML object>"}):
        assert markdown(data(text_html=rich, **plain)) == "```text\nHi\nthere & then\n```"
    assert markdown(data(text_html="<table " * 50_000)).startswith("```")


def test_pictures() -> None:
    both = {"image_png": base64_of(PNG), "text_plain": "<Figure size 640x480 with 1 Axes>"}
    draft = outputs.apply(drafted(("x", [data(**both)])), "comments")
    assert draft.cells[0].code.endswith("# > image/png, 200 x 60, 4 kB: public/my-nb-41e1df/output-1-1.png")
    assert draft.files == {"public/my-nb-41e1df/output-1-1.png": PNG}
    assert markdown(data(**both)) == f"![image/png, 200 x 60, 4 kB](data:image/png;base64,{base64_of(PNG)})"
    big = outputs.apply(drafted(("x", [data(image_png=base64_of(PNG + bytes(outputs.INLINE)))])), "markdown")
    assert big.cells[-1].code == "![image/png, 200 x 60, 54 kB](public/my-nb-41e1df/output-1-1.png)"
    assert list(big.files) == ["public/my-nb-41e1df/output-1-1.png"]


@pytest.mark.parametrize(
    ("mime", "content", "told"),
    [("image/jpeg", JPEG, "image/jpeg, 40 x 30, 1 kB"), ("image/gif", GIF, "image/gif, 7 x 5, 1 kB")],
)
def test_sizes_of_pictures(mime: str, content: bytes, told: str) -> None:
    found = pictures.find({mime: base64_of(content)})
    assert isinstance(found, pictures.Picture)
    assert found.told == told


def test_an_svg_never_becomes_a_file() -> None:
    svg = "<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    had = {
        "output_type": "display_data",
        "data": {"image/svg+xml": svg, "text/plain": "<IPython.core.display.SVG object>"},
    }
    assert markdown(had) == f"![image/svg+xml, 1 kB](data:image/svg+xml;base64,{base64_of(svg.encode())})"
    had["data"]["image/svg+xml"] = svg.replace("<script>", "<script>" + "x" * outputs.INLINE)
    for how in ("comments", "markdown"):
        assert outputs.apply(drafted(("x", [had])), how).files == {}


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("not base64 !", "A picture is left out: it is no image/png."),
        (base64_of(b"<svg onload=alert(1)>"), "A picture is left out: it is no image/png."),
        ("A" * 14_000_000, "A picture is left out: it is bigger than 10 MB."),
    ],
)
def test_what_is_no_picture_is_left_out(form: str, said: str) -> None:
    draft = outputs.apply(drafted(("x", [data(image_png=form)])), "markdown")
    assert draft.notes == (cells.Note("output", said, 1),)
    assert draft.files == {}
    assert [cell.code for cell in draft.cells if cell.kind == "markdown"] == []


def test_outputs_of_any_shape_raise_nothing() -> None:
    odd: list[Any] = [None, 1, "x", [], {}, ["a", 1], {"text/plain": {"a": [1]}}, float("nan"), "\ud800"]
    for kind, one, other in itertools.product(("stream", "error", "display_data", "nonsense", None), odd, odd):
        had = {"output_type": kind, "text": one, "data": other, "traceback": one, "ename": other, "evalue": one}
        for how in ("comments", "markdown"):
            made = outputs.apply(drafted(("x", [had])), how)
            assert all(len(cell.code) < printed.CHARACTERS for cell in made.cells)


def test_comments_before_what_is_no_svg_end_soon() -> None:
    content = b"<!-- -->" * 600 + b"<p>"
    assert pictures._pixels("image/svg+xml", content) is None
    assert pictures._pixels("image/svg+xml", b"<!-- a -> -->\n<!-- b --> <svg>") == (0, 0)
