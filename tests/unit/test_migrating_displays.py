"""What Jupyter shows, as marimo's code: display(), IPython's objects, figures, history."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from daglab.migrating import cells, texts
from daglab.migrating.displaying import displays

FIGURE = {
    "output_type": "display_data",
    "data": {"image/png": "aGk=", "text/plain": "<Figure size 640x480 with 1 Axes>"},
    "metadata": {},
}


def draft(*codes: str, outputs: dict[int, list[dict[str, Any]]] | None = None) -> cells.Draft:
    originals = tuple(
        cells.Original(number, "code", code, execution_count=number, outputs=tuple((outputs or {}).get(number, ())))
        for number, code in enumerate(codes, 1)
    )
    return texts.begin(cells.Jupyter(Path("x.ipynb"), "4.5", originals))


def made(*codes: str, **kwargs: Any) -> list[str]:
    """The cells' codes, without the marks of what is imported later."""
    return [cell.code.replace("daglab__", "") for cell in displays.apply(draft(*codes, **kwargs)).cells]


def needed(*codes: str) -> list[str]:
    return [note.text for note in displays.apply(draft(*codes)).notes if note.needs_person]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("display(x)", "x"),
        ("display(x);", "mo.output.append(x);"),
        ("display(x)  # here", "x  # here"),
        ("display(\n    x,\n)", "mo.output.append(\n    x,\n)"),
        ("display(\n    x.head(\n        3)\n)", "(\n    x.head(\n        3)\n)"),
        ("display(x, y)", "mo.vstack([x, y])"),
        ("display(*x)", "mo.vstack([*x])"),
        ("display(1)\ndisplay(2)", "mo.output.append(1)\nmo.output.append(2)"),
        ("display(1)\n2", "mo.output.append(1)\nmo.output.append(2)"),
        ("display(1)\nprint(2)", "mo.output.append(1)\nprint(2)"),
        ("display(1)\nx", "mo.output.append(1)\nif x is not None:\n    mo.output.append(x)"),
        (
            "display(1)\nf(x)",
            "mo.output.append(1)\n_shown = f(x)\nif _shown is not None:\n    mo.output.append(_shown)",
        ),
        ("display(1)\nf(x);", "mo.output.append(1)\nf(x);"),
        ("for i in x:\n    display(i)", "for i in x:\n    mo.output.append(i)"),
        ("list(map(display, x))", "mo.output.append(list(map(mo.output.append, x)))"),
        ("print('äöü'); display('ü')", "print('äöü'); 'ü'"),
    ],
)
def test_display_appends_and_is_the_last_expression_where_it_stands_alone(code: str, expected: str) -> None:
    assert made(code) == [expected]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from IPython.display import HTML\nHTML('<b>x</b>')", "mo.Html('<b>x</b>')"),
        ("from IPython.core.display import HTML as H\nH(data=x)", "mo.Html(x)"),
        ("import IPython\nIPython.display.HTML(x)", "mo.Html(x)"),
        ("import IPython.display as d\nd.display(d.HTML(x), d.Markdown(y))", "mo.vstack([mo.Html(x), mo.md(y)])"),
        ("from IPython import display\ndisplay.display(display.Markdown(x))", "mo.md(x)"),
        ("from IPython.display import Math\nMath(r'x^2')", 'mo.md("$$" + (r\'x^2\') + "$$")'),
        ("from IPython.display import Latex\nLatex(x)", "mo.md(x)"),
        ("from IPython.display import JSON\nJSON(x, expanded=True)", "mo.json(x)"),
        ("from IPython.display import Pretty\nPretty(x)", "mo.plain_text(x)"),
        ("from IPython.display import Image\nImage(filename='a.png', width=9)", "mo.image('a.png', width=9)"),
        ("from IPython.display import Image\nImage(url='http://a', embed=True)", "mo.image('http://a')"),
        ("from IPython.display import SVG\nSVG('a.svg')", "mo.image('a.svg')"),
        ("from IPython.display import SVG\nSVG('<svg></svg>')", "mo.Html('<svg></svg>')"),
        ("from IPython.display import Audio\nAudio(x, rate=8000)", "mo.audio(x, rate=8000)"),
        ("from IPython.display import Video\nVideo('a.mp4', embed=True)", "mo.video('a.mp4')"),
        ("from IPython.display import *\nHTML(x)", "mo.Html(x)"),
        (
            "from IPython.display import HTML\nHTML(filename='a.html')",
            "mo.Html(pathlib.Path('a.html').read_text(encoding=\"utf-8\"))",
        ),
    ],
)
def test_objects_of_ipython_become_marimos_and_their_import_is_gone(code: str, expected: str) -> None:
    assert [each.strip() for each in made(code)] == [expected]


def test_a_handle_is_one_where_no_ipython_runs_too() -> None:
    shown = made("h = display('one', display_id=True)", "h.update('two')")
    assert shown == ["h = (display('one', display_id=True) or DisplayHandle())", "h.update('two')"]


def test_what_marimo_has_not_keeps_its_import_and_is_told() -> None:
    code = "from IPython.display import HTML, Javascript\nHTML(x)\nJavascript('alert(1)')"
    assert made(code) == ["from IPython.display import Javascript\nmo.Html(x)\nJavascript('alert(1)')"]
    assert needed(code) == ["Javascript(...) runs in Jupyter alone."]


def test_an_object_whose_attributes_are_read_stays_what_it_is() -> None:
    code = "from IPython.display import Image\ni = Image('a.png')\nprint(i.data, Image('b.png').format)"
    assert made(code) == [code]


def test_a_name_means_what_was_imported_last() -> None:
    one, two = "from IPython.display import Image\nImage('a.png')", "from PIL import Image\nImage.open('b')\nImage('c')"
    assert made(one, two) == ["mo.image('a.png')", two]


@pytest.mark.parametrize(
    "code",
    [
        "def display(x):\n    print(x)\ndisplay(3)",
        "display = print\ndisplay(3)",
        "def f(display):\n    return display(3)",
        "import turtle as display\ndisplay.display(3)",
    ],
)
def test_a_display_of_the_notebooks_own_is_left_alone(code: str) -> None:
    assert made(code) == [code]


def test_the_last_expression_is_appended_where_a_called_function_displays() -> None:
    inner, outer = "def inner(x):\n    display(x)", "def outer(x):\n    inner(x)"
    assert made(inner, outer, "outer(1)\n2")[2] == "outer(1)\nmo.output.append(2)"


def test_what_only_readies_jupyter_is_dropped() -> None:
    assert made("import altair as alt\nalt.renderers.enable('notebook')\nx = 1") == ["import altair as alt\nx = 1"]
    assert made("from plotly.offline import init_notebook_mode as ready\nif x:\n    ready()\n")[0].endswith(
        "    pass\n"
    )


@pytest.mark.parametrize("code", ["x = input('?')", "from google.colab import drive\ndrive.mount('/d')", "exit()"])
def test_what_waits_for_a_person_or_another_place_is_told(code: str) -> None:
    assert made(code) == [code]
    assert len(needed(code)) == 1


PLT = "import matplotlib.pyplot as plt"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("plt.plot(x)", "plt.plot(x)\nplt.show()"),
        ("plt.plot(x);", "plt.plot(x);\nplt.show()"),
        ("plt.plot(x)\nplt.show()", "plt.plot(x)\nplt.show()"),
        ("plt.plot(x)\ny", "plt.plot(x)\nplt.show()\ny"),
        ("plt.plot(x)\nf(y)", "plt.plot(x)\n_shown = f(y)\nplt.show()\n_shown"),
        ("plt.plot(x)\nprint(y)", "plt.plot(x)\nprint(y)\nplt.show()"),
        ("fig, ax = plt.subplots()\nax.plot(x)", "fig, ax = plt.subplots()\nax.plot(x)\nplt.show()"),
        ("fig, ax = plt.subplots()\nfig", "fig, ax = plt.subplots()\nfig"),
        ("df.plot()", "df.plot()\nplt.show()"),
        ("for i in x:\n    plt.plot(i)\n    plt.show()", "for i in x:\n    plt.plot(i)\n    plt.show()"),
        ("plt.style.use('x')", "plt.style.use('x')"),
        ("def f():\n    plt.plot(x)", "def f():\n    plt.plot(x)"),
        ("plt.plot(x)\nplt.close()", "plt.plot(x)\nplt.close()"),
        ("x + 1", "x + 1"),
    ],
)
def test_open_figures_are_shown_at_the_end_of_a_cell(code: str, expected: str) -> None:
    assert made(PLT, code) == [PLT, expected]


def test_a_function_that_draws_is_seen_and_one_that_shows_too() -> None:
    assert made(PLT, "def f():\n    plt.plot(x)", "f()")[2] == "_shown = f()\nplt.show()\n_shown"
    assert made(PLT, "def f():\n    plt.plot(x)\n    plt.show()", "f()")[2] == "f()"


RESULT = {"output_type": "execute_result", "data": {"text/plain": "   a\n0  1"}, "metadata": {}}
AXES = {"output_type": "execute_result", "data": {"text/plain": "<Axes: >"}, "metadata": {}}


@pytest.mark.parametrize(
    ("code", "outputs", "expected"),
    [
        ("plt.plot(x)\nplt.show()", [FIGURE], "plt.plot(x)\nplt.gcf()"),
        ("plt.plot(x)\nplt.show();", [FIGURE], "plt.plot(x)\nplt.show();"),
        ("plt.plot(x)\ny.head()  # y", [RESULT, FIGURE], "plt.plot(x)\nmo.vstack([y.head(), plt.gcf()])  # y"),
        ("plt.plot(x)\ny, z", [RESULT, FIGURE], "plt.plot(x)\nmo.vstack([(y, z), plt.gcf()])"),
        ("df.plot()", [AXES, FIGURE], "df.plot()\nplt.gcf()"),
        ("display(1)\nplt.plot(x)", [FIGURE], "mo.output.append(1)\nplt.plot(x)\nmo.output.append(plt.gcf())"),
        ("plt.plot(x)\nplt.show()\nplt.plot(y)", [FIGURE, FIGURE], "plt.plot(x)\nplt.show()\nplt.plot(y)\nplt.show()"),
        (
            "for i in x:\n    plt.figure()",
            [FIGURE, FIGURE],
            "for i in x:\n    plt.figure()\nmo.vstack([plt.figure(_each) for _each in plt.get_fignums()])",
        ),
    ],
)
def test_figures_that_were_recorded_are_what_the_cell_ends_in(
    code: str, outputs: list[dict[str, Any]], expected: str
) -> None:
    """What plt.show() shows is not there in `marimo run`."""
    assert made(PLT, code, outputs={2: outputs})[1] == expected


def test_recorded_figures_tell_what_the_code_does_not() -> None:
    assert made(PLT, "model.explain(x)", outputs={2: [FIGURE]})[1] == "model.explain(x)\nplt.gcf()"
    assert made(PLT, "frame.plot()", outputs={1: [FIGURE]})[1] == "frame.plot()"


def test_history_gets_the_name_of_what_it_reads() -> None:
    assert made("1 + 1", "Out[1] + _ + _1") == ["out_1 = 1 + 1\nout_1", "out_1 + out_1 + out_1"]
    assert made("x = 1", "In[1]") == ["x = 1", "'x = 1'"]
    assert made("for _ in range(3):\n    pass", "_") == ["for _ in range(3):\n    pass", "_"]
    assert needed("x = 1", "_") == ["_ is IPython's history, which marimo has not: name what it stands for."]


def test_interactivity_shows_all_expressions_from_the_next_cell_on() -> None:
    told = "from IPython.core.interactiveshell import InteractiveShell\nInteractiveShell.ast_node_interactivity = 'all'"
    assert made(told, "1\nprint(2)\nlen('x')\nx = 3") == [
        "mo.output.append(1)\nprint(2)\nmo.output.append(len('x'))\nx = 3"
    ]


def test_get_ipython() -> None:
    assert made("get_ipython().user_ns['x']") == ["globals()['x']"]
    guarded = "try:\n    get_ipython()\n    there = True\nexcept NameError:\n    there = False"
    assert made(guarded) == [guarded]
    assert needed("shell = get_ipython()") == [
        "get_ipython() gives None in marimo, where no IPython runs: take out what asks it."
    ]


@pytest.mark.parametrize(
    "code",
    [
        "display(" * 60 + "1" + ")" * 60,
        "x = " + "a." * 900 + "b",
        "1" + " + 1" * 900,
        "display(f'{display(1)} {HTML(2)}')",
        "\f\ndisplay(1)\f",
        "display(1)\\\n\n",
        "lambda: (yield display(1))",
        "Out[10 ** 99]",
        "Out[Out[1]]",
        "_ = _",
        "display()",
        "display(**{})",
        "import IPython; IPython.display.HTML(); del IPython",
        "from . import display\ndisplay(1)",
        "from IPython.display import *; display(1); HTML",
        "get_ipython().run_line_magic('x\\n', 'y')",
        "get_ipython().run_cell_magic('bash', '', 'ls\\n')",
        "class display:\n    display = display\n",
        "match display(1):\n    case display: pass",
        "async def f():\n    await display(1)\nawait f()",
    ],
)
def test_odd_code_raises_nothing_and_stays_python(code: str) -> None:
    for each in displays.apply(draft("import matplotlib.pyplot as plt\nplt.plot([1])", code, "display(_)")).cells:
        compile(each.code, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("name", ["display", "Markdown", "Latex"])
def test_a_plain_text_alone_is_a_text_cell(name: str) -> None:
    text = "Markdown('**b** and $x$')" if name == "display" else f"{name}('**b** and $x$')"
    code = f"from IPython.display import *\n{f'display({text})' if name == 'display' else text}"
    assert [(cell.kind, cell.code) for cell in displays.apply(draft(code)).cells] == [("markdown", "**b** and $x$")]


def test_a_text_that_is_made_or_hidden_stays_code() -> None:
    code = "from IPython.display import Markdown\n"
    assert made(f"{code}Markdown(f'# {{x}}')", f"{code}Markdown('# x');") == ["mo.md(f'# {x}')", "mo.md('# x');"]


def test_a_function_of_the_notebook_is_not_taken_for_one_that_gives_nothing() -> None:
    """`show` is also what pyplot's is called."""
    code = "def show(x):\n    display(x)\n    return x * 2\nshow(5)"
    assert made(code)[0].endswith("_shown = show(5)\nif _shown is not None:\n    mo.output.append(_shown)")
