"""What is no code: markdown, attachments, raw cells, and what is kept as text because it is no Python."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from daglab.migrating import cells, texts
from daglab.migrating.converting import literals
from daglab.migrating.naming import futures
from daglab.migrating.reading import attachments

PNG = "iVBORw0KGgo="


def original(number, kind, source, **more):
    return cells.Original(number, kind, source, **more)


def begun(*found):
    return texts.begin(cells.Jupyter(Path("my book.ipynb"), "4.5", found))


def kept(source):
    return texts.keep(begun(original(3, "code", source)))


def value(code):
    """What mo.md gets in code that shows markdown, as marimo trims it."""
    first = ast.parse(code).body[0].value
    return inspect.cleandoc(ast.literal_eval(first.args[0] if isinstance(first, ast.Call) else first))


def test_empty_cells_are_dropped_and_origins_stay():
    draft = begun(original(1, "code", " \n"), original(2, "markdown", ""), original(3, "code", "a"))
    assert [(cell.code, cell.origins) for cell in draft.cells] == [("a", (3,))]


def test_notes_of_reading_are_carried_over():
    note = cells.Note("format", "n")
    assert texts.begin(cells.Jupyter(Path("b.ipynb"), "4.5", (), notes=(note,))).notes == (note,)


@pytest.mark.parametrize(
    ("link", "turned"),
    [
        ("![x](attachment:a.png)", "![x]({})"),
        ('![x](<attachment:a.png> "t")', '![x](<{}> "t")'),
        ("<img src='attachment:a.png'>", "<img src='{}'>"),
        ("<img src=attachment:a.png>", "<img src={}>"),
        ("[r]: attachment:a.png", "[r]: {}"),
    ],
)
def test_attachments_become_files_in_public(link, turned):
    draft = begun(original(1, "markdown", link, attachments={"a.png": {"image/png": PNG}}))
    (path,) = draft.files
    assert path.startswith("public/my-book-")
    assert path.endswith("/a.png")
    assert draft.files[path] == b"\x89PNG\r\n\x1a\n"
    assert draft.cells[0].code == turned.format(path)


@pytest.mark.parametrize("written", ["my pic(1).png", "my%20pic%281%29.png", "my%20pic(1).png"])
def test_attachments_by_names_with_escapes(written):
    draft = begun(
        original(1, "markdown", f"![x](attachment:{written})", attachments={"my pic(1).png": {"image/png": PNG}})
    )
    assert draft.cells[0].code == f"![x]({next(iter(draft.files))})"


def test_one_name_in_two_cells_and_in_two_cases():
    draft = begun(
        original(1, "markdown", "![](attachment:a.png)", attachments={"a.png": {"image/png": PNG}}),
        original(2, "markdown", "![](attachment:a.png)", attachments={"a.png": {"image/png": "aGk="}}),
        original(3, "markdown", "![](attachment:A.PNG)", attachments={"A.PNG": {"image/png": "aGkh"}}),
        original(4, "markdown", "![](attachment:a.png)", attachments={"a.png": {"image/png": PNG}}),
    )
    first, second, third, again = (cell.code[4:-1] for cell in draft.cells)
    assert first == again
    assert len({first.lower(), second.lower(), third.lower()}) == 3 == len(draft.files)
    assert [draft.files[path] for path in (second, third)] == [b"hi", b"hi!"]


def test_broken_and_missing_attachments_need_a_person():
    draft = begun(
        original(1, "markdown", "![](attachment:a.png) ![](attachment:b.png)", attachments={"a.png": {"x/y": "@"}})
    )
    assert not draft.files
    assert [(note.cell, note.needs_person) for note in draft.notes] == [(1, True), (1, True)]


def test_pictures_beside_the_notebook_are_named():
    draft = begun(
        original(1, "markdown", "![](pics/a.png) <img alt='' src=\"b.gif\"> ![](https://x/y.png) ![](public/c.png)")
    )
    (note,) = draft.notes
    assert "pics/a.png, b.gif." in note.text
    assert note.needs_person


def test_a_hostile_suffix_and_a_page_are_not_served_as_such():
    shelf = attachments.Shelf("book")
    assert shelf.put("x.html", "text/html", b"a") == "public/book/x.bin"
    assert shelf.put("con.png", "image/png", b"a").startswith("public/book/attachment-")


@pytest.mark.parametrize(
    ("metadata", "kind"),
    [
        ({"raw_mimetype": "text/markdown"}, "markdown"),
        ({"format": "text/html"}, "markdown"),
        ({"raw_mimetype": "text/latex"}, "text"),
        ({"raw_mimetype": 3}, "text"),
        ({}, "text"),
    ],
)
def test_raw_cells(metadata, kind):
    assert begun(original(1, "raw", "x", metadata=metadata)).cells[0].kind == kind


def test_front_matter_is_said_to_be_such():
    assert "front matter" in begun(original(1, "raw", "---\ntitle: x\n---")).cells[0].why


def test_a_cell_in_another_language_is_kept_as_text():
    draft = begun(original(1, "code", "x <- 1", metadata={"vscode": {"languageId": "r"}}), original(2, "code", "x"))
    assert [cell.kind for cell in draft.cells] == ["text", "code"]
    assert draft.notes[0].needs_person


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("a = 1\nb = = 2", "line 2: invalid syntax"),
        ("a\nb\0", "line 2 holds a NUL"),
        ("if 1:\n\tx\n        y", "line 3"),
        ("return 3", "line 1: 'return' outside function"),
        ("nonlocal x", "nonlocal"),
        ("(" * 5000, "line 1"),
        ("-" * 100_000 + "1", "too deep"),
    ],
)
def test_no_python_says_where_and_why(source, said):
    draft = kept(source)
    assert draft.cells[0].kind == "text"
    assert draft.cells[0].code == source
    assert said in draft.notes[0].text
    assert (draft.notes[0].cell, draft.notes[0].needs_person) == (3, True)


@pytest.mark.parametrize(
    "source", ["await f()", "[x async for x in y]", "async with a: pass", "x = 1;", "'\\d'", "# only"]
)
def test_what_marimo_takes_stays_code(source):
    draft = kept(source)
    assert (draft.cells[0].kind, draft.notes) == ("code", ())


@pytest.mark.parametrize(
    "source",
    [
        "print 'a'",
        "try:\n    f()\nexcept IOError, e:\n    pass",
        "a <> b",
        "x = `y`",
        "raise E, 'm'",
        "exec 'a'",
        "0777",
    ],
)
def test_python_2_is_told(source):
    assert "Python 2" in kept(source).notes[0].text


@pytest.mark.parametrize("source", ["x = = 1", "%who", "f(", "print(x y)"])
def test_what_is_no_python_2_is_not_called_so(source):
    assert "Python 2" not in kept(source).notes[0].text


@pytest.mark.parametrize(
    "code", ["a\n````\nb", "~~~~~~", "{--x--}", "```\n>>> x\n```", "</pre><script>x</script>", "`" * 50]
)
def test_what_is_kept_stands_whole_within_its_frame(code):
    cell = texts.shown(cells.Cell(code, "text", (1,), why="it is <b>odd</b>"))
    assert cell.kind == "markdown"
    text = value(literals.markdown(cell.code))
    why, _, rest = text.partition("\n\n")
    assert why == "Kept as text: it is &lt;b&gt;odd&lt;/b&gt;."
    if rest.startswith("<pre>"):
        inside = rest.removeprefix("<pre>").removesuffix("</pre>")
        assert not set(inside) & set("<>{`~")
    else:
        lines = rest.split("\n")
        fence = lines[0].removesuffix("text")
        assert lines[-1] == fence
        assert "\n".join(lines[1:-1]) == code
        assert fence not in code


@pytest.mark.parametrize(
    "text",
    [
        "a  \nb",
        'say "" x',
        'a """ b',
        "<p>a</p>",
        "text\n%time x\n!ls",
        "mo.md(\nmo.md(",
        "nb\xa0sp",
        "a\x0cb\u2028c\x00",
        "```\nx\n\n\n\ny\n```",
        "back\\",
        "\\alpha {x} $\\[a\\]$ '''",
        '"',
    ],
)
def test_markdown_takes_a_form_that_keeps_it(text):
    code = literals.markdown(text)
    assert value(code) == inspect.cleandoc(f"\n{text}".replace("\0", "\ufffd"))
    named = text in ("a  \nb", "mo.md(\nmo.md(", "nb\xa0sp", "a\x0cb\u2028c\x00")
    assert code.startswith('_text = """\n' if named else ('mo.md(r"""\n', 'mo.md("""\n'))


def test_plain_markdown_stays_markdown_and_trimmed():
    assert literals.markdown("\n  # T\n\n\n\n  text \n\n") == 'mo.md(r"""\n# T\n\n\n\ntext\n""")'


@pytest.mark.parametrize(
    ("text", "shown"),
    [("   \n- a\n- b", "- a\n- b"), ("a\n   \n- b", "a\n\n- b"), ("a  \nb\n\n<pre></pre>    \n\nc", None)],
)
def test_blanks_that_mean_nothing_stand_in_no_ones_way(text, shown):
    code = literals.markdown(text)
    assert code == f'mo.md(r"""\n{shown}\n""")' if shown else value(code) == "a  \nb\n\n<pre></pre>\n\nc"


def test_a_block_of_code_alone_is_not_dedented():
    assert value(literals.markdown("    a\n      b")).endswith("\n\n    a\n      b")


def test_future_imports_are_taken_out():
    found = [
        "from __future__ import division\nx = 1 / 2",
        "from __future__ import annotations",
        "'d'\nfrom __future__ import division; y = 2",
    ]
    draft = futures.apply(begun(*(original(number, "code", source) for number, source in enumerate(found, 1))))
    assert [cell.code for cell in draft.cells] == ["x = 1 / 2", "'d'\npass; y = 2"]
    assert [note.cell for note in draft.notes] == [1, 2, 3]
