"""IPython's pictures, sounds and pages as marimo's, and what of them has no counterpart."""

from __future__ import annotations

from pathlib import Path

import pytest

from daglab.migrating import cells, texts
from daglab.migrating.displaying import displays

FRAME = '<iframe src="{}" width="{}" height="{}" frameborder="0" allowfullscreen></iframe>'


def draft(*codes: str) -> cells.Draft:
    originals = tuple(
        cells.Original(number, "code", code, execution_count=number) for number, code in enumerate(codes, 1)
    )
    return displays.apply(texts.begin(cells.Jupyter(Path("x.ipynb"), "4.5", originals)))


def shown(code: str) -> str:
    """What a call of IPython.display's becomes."""
    return draft("from IPython.display import *", code).cells[-1].code.replace("daglab__", "")


@pytest.mark.parametrize(
    ("code", "made"),
    [
        ("HTML('<b>')", "mo.Html('<b>')"),
        ("HTML(filename='a.html')", "mo.Html(pathlib.Path('a.html').read_text(encoding=\"utf-8\"))"),
        ("HTML(x for x in y)", "mo.Html((x for x in y))"),
        ("Markdown(x)", "mo.md(x)"),
        ("Latex(x)", "mo.md(x)"),
        ("Math(x)", 'mo.md("$$" + (x) + "$$")'),
        ("Pretty(x)", "mo.plain_text(x)"),
        ("Image('a.png', width=3, retina=True)", "mo.image('a.png', width=3)"),
        ("Image(url=u)", "mo.image(u)"),
        ("Audio(x, rate=44100, embed=True)", "mo.audio(x, rate=44100)"),
        ("Video('a.mp4', embed=True, height=9)", "mo.video('a.mp4', height=9)"),
        ("SVG('<svg/>')", "mo.Html('<svg/>')"),
        ("SVG('a.svg')", "mo.image('a.svg')"),
        ("SVG(filename=f)", "mo.image(f)"),
        ("JSON(d, expanded=True)", "mo.json(d)"),
        (
            "IFrame('a&b', 1, 2)",
            f"mo.Html('{FRAME.format('a&amp;b', 1, 2)}')",
        ),
        (
            "YouTubeVideo('x', width=5)",
            f"mo.Html('{FRAME.format('https://www.youtube.com/embed/x', 5, 300)}')",
        ),
    ],
)
def test_what_ipython_shows_is_marimos(code: str, made: str) -> None:
    assert shown(code) == made


@pytest.mark.parametrize(
    "code",
    [
        "HTML('<b>', metadata={})",
        "HTML(*x)",
        "Markdown()",
        "Markdown(filename='a.md')",
        "Image()",
        "Image('a.png', url=u)",
        "Image('a.png', alt='b')",
        "Image(**x)",
        "SVG(x)",
        "SVG()",
        "JSON()",
        "IFrame('a', 1)",
        "IFrame(u, 1, 2)",
        "YouTubeVideo(x)",
        "YouTubeVideo('x', width=w)",
        "Javascript('x')",
        "FileLink('a')",
    ],
)
def test_what_has_no_counterpart_stays_and_what_marimo_can_t_show_is_told(code: str) -> None:
    found = draft("from IPython.display import *", code)
    assert found.cells[-1].code == code
    assert any(note.needs_person for note in found.notes) is code.startswith(("Javascript", "FileLink"))


@pytest.mark.parametrize(
    ("mode", "code", "made"),
    [
        (
            "all",
            "1\nb\nc = 1",
            "daglab__mo.output.append(1)\nif b is not None:\n    daglab__mo.output.append(b)\nc = 1",
        ),
        ("all", "from __future__ import annotations\na\nb", "from __future__ import annotations\na\nb"),
        ("all", "a\nb;", "a\nb;"),
        ("none", "a", "a;"),
        ("none", "a = 1", "a = 1"),
        ("last_expr_or_assign", "a = 1", "a = 1\na"),
        ("last_expr_or_assign", "a += 1", "a += 1\na"),
        ("last_expr_or_assign", "a.b = 1", "a.b = 1"),
        ("last_expr", "a\nb", "a\nb"),
    ],
)
def test_what_ipython_was_told_to_show_is_shown_from_the_next_cell_on(mode: str, code: str, made: str) -> None:
    told = "from IPython.core.interactiveshell import InteractiveShell"
    setting = f"{told}\nInteractiveShell.ast_node_interactivity = '{mode}'"
    found = draft("x\ny", setting, code).cells
    assert found[0].code == "x\ny"
    assert found[-1].code == made
    assert "ast_node_interactivity" not in found[1].code


@pytest.mark.parametrize(
    ("code", "made"),
    [
        ("get_ipython().magic('time f()')", "track_performance"),
        ("get_ipython().system('ls')", 'daglab__subprocess.run("ls"'),
        ("x = get_ipython().system('ls')", "daglab__subprocess.run"),
        ("get_ipython().getoutput('ls')", 'daglab__subprocess.run("ls"'),
        ("get_ipython().run_cell_magic('html', '', '<b>')", 'daglab__mo.Html("<b>'),
        ("get_ipython().user_ns['a']", "globals()['a']"),
        ("get_ipython().set_next_input('a')", "None"),
        ("get_ipython().history_manager\nget_ipython().user_ns", "globals()"),
        ("try:\n    get_ipython().user_ns\nexcept E:\n    pass\nget_ipython()", "globals()"),
        (
            "get_ipython().run_line_magic('time', line='f()')",
            "daglab__get_ipython().run_line_magic('time', line='f()')",
        ),
        ("get_ipython().run_line_magic(*a)", "daglab__get_ipython().run_line_magic(*a)"),
        ("get_ipython().run_cell_magic('html', '', '<b>')\nx", "daglab__get_ipython().run_cell_magic"),
        ("get_ipython().history_manager", "daglab__get_ipython().history_manager"),
    ],
)
def test_a_call_of_the_shell_is_the_magic_that_it_spells(code: str, made: str) -> None:
    found = draft(code)
    assert made in "\n".join(cell.code for cell in found.cells)
    assert any(note.needs_person and "get_ipython()" in note.text for note in found.notes) is (
        "daglab__get_ipython" in found.cells[-1].code
    )


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ("Out[1] + _1", "out_1 + out_1"),
        ("_oh[1]", "out_1"),
        ("__", "out_1"),
        ("In[1]", repr("a + 1")),
        ("_i2", repr("b + 1")),
        ("Out[9]", None),
        ("___", None),
        ("_dh", None),
        ("Out[n]", None),
    ],
)
def test_what_ipython_remembers_gets_a_name_or_needs_one(asked: str, made: str | None) -> None:
    found = draft("a + 1", "b + 1", f"x = {asked}")
    assert found.cells[-1].code == f"x = {made or asked}"
    assert any(note.needs_person for note in found.notes) is (made is None)
    if made and "out_1" in made:
        assert found.cells[0].code == "out_1 = a + 1\nout_1"


def test_a_name_for_what_was_shown_takes_no_other_s() -> None:
    found = [cell.code for cell in draft("out_1 = 5", "f(\n    a)", "out_2 = _2", "def g(_):\n    return _").cells]
    assert found == ["out_1 = 5", "out_2_ = (f(\n    a))\nout_2_", "out_2 = out_2_", "def g(_):\n    return _"]
