"""What Jupyter shows of a notebook, marimo shows of its migration: both are run."""

from __future__ import annotations

import html
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab.migrating import drafts
from daglab.migrating.reading import jupyter

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # one pixel
# Code, and what of it must be seen: words of the outputs, how many pictures; "" where nothing is shown.
CELLS: list[tuple[str, list[str], int]] = [
    (
        "import base64\nimport matplotlib.pyplot as plt\nimport pandas as pd\nimport ipywidgets as widgets\n"
        "from IPython.display import HTML, Image, Markdown, clear_output, display",
        [],
        0,
    ),
    ("display(HTML('<b>bold</b>'))", ["<b>bold</b>"], 0),
    ("display('one', 2)\n3 + 4", ["one", "2", "7"], 0),
    ("display('first')\nprint('printed')", ["first"], 0),
    ("for i in range(3):\n    display(f'turn {i}')", ["turn 0", "turn 1", "turn 2"], 0),
    ("for k in range(3):\n    clear_output(wait=True)\n    display(f'step {k}')", ["step 2"], 0),
    ("def tell(x):\n    display(HTML(f'<i>{x}</i>'))\n    return x", [], 0),
    ("tell('told')", ["<i>told</i>", "told"], 0),
    ("tell('again')\nprint('p')\nNone", ["<i>again</i>"], 0),
    ("display(Markdown('**strong**'))", ["strong"], 0),
    (f"Image(data=base64.b64decode('{PNG}'))", [], 1),
    ("frame = pd.DataFrame({'col': [11, 22]})\nframe", ["col"], 0),
    ("frame.style.format('{:.1f}')", ["11.0"], 0),
    ("plt.plot([1, 2])", [], 1),
    ("plt.plot([3, 4]);", [], 1),
    ("figure, axes = plt.subplots()\naxes.plot([1])\naxes.set_title('t')", [], 1),
    ("plt.figure()\nplt.plot([1])\nplt.figure()\nplt.plot([2])\nplt.show()", [], 2),
    ("plt.bar([1], [2])\nframe.shape", ["2", "1"], 1),
    ("frame.plot()", [], 1),
    ("def draw():\n    plt.plot([5])", [], 0),
    ("draw()", [], 1),
    ("quiet = 5\nquiet;", [], 0),
    ("slider = widgets.IntSlider(value=3, max=9)\nprint(slider.value * 2)", [], 0),
    ("def power(x, k=2):\n    print(x ** k)\n    return x", [], 0),
    ("widgets.interact(power, x=(0, 6));", [], 0),
    ("40 + 2", ["42"], 0),
    ("Out[26] + _", ["84"], 0),
    ("x = 1", [], 0),
]
PARAMETERS = "n = 5\nname = 'a'\nxs = [1]\nflag = False"


def notebook(path: Path, codes: list[str], tags: dict[int, list[str]]) -> Path:
    cells = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "source": code,
            "metadata": {"tags": tags.get(number, [])},
            "execution_count": number,
            "outputs": [],
        }
        for number, code in enumerate(codes, 1)
    ]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": cells}))
    return path


def jupyters(path: Path) -> list[list[dict[str, Any]]]:
    """What each cell shows in Jupyter, run by nbclient."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    run = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(run, timeout=120, kernel_name="python3").execute()
    return [cell["outputs"] for cell in run["cells"]]


def shown(outputs: list[dict[str, Any]]) -> str:
    return " ".join(
        html.unescape(str(value))
        for output in outputs
        for mime, value in output.get("data", {}).items()
        if not mime.startswith("image/")
    )


def python(*arguments: str, cwd: Path) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The migrated notebook's folder, and the session that marimo's export of it leaves."""
    folder = tmp_path_factory.mktemp("displays")
    codes = [code for code, _, _ in CELLS]
    extra = [PARAMETERS, "print(n, name, xs, flag)", "1 / 0", "print('on')"]
    last = len(codes)
    tags = {last + 1: ["parameters"], last + 3: ["raises-exception"]}
    path = notebook(folder / "x.ipynb", [*codes, *extra], tags)
    python("-m", "daglab", "migrate", str(path), cwd=folder)
    python("-m", "marimo", "export", "html", "x.py", "-o", "x.html", "-f", "--", "--n=7", "--xs=2", cwd=folder)
    session = json.loads((folder / "__marimo__" / "session" / "x.py.json").read_text())
    return folder, session


def by_origin(folder: Path, session: Any) -> dict[int, list[Any]]:
    """What marimo's cells show, by the number of the Jupyter cell that they come from."""
    made = drafts.draft(jupyter.read(folder / "x.ipynb")).cells
    found: dict[int, list[Any]] = {}
    for cell, each in zip(made, session["cells"], strict=True):
        for number in cell.origins:
            found.setdefault(number, []).append(each)
    return found


def _pictures(cell: Any) -> int:
    text = json.dumps([cell["outputs"], [each for each in cell["console"] if each["type"] == "streamMedia"]])
    return text.count("data:image/png;base64,")


@pytest.mark.long
def test_marimo_shows_what_jupyter_shows_and_figures_once(run: tuple[Path, Any]) -> None:
    folder, session = run
    found = by_origin(folder, session)
    for number, ((code, words, pictures), outputs) in enumerate(
        zip(CELLS, jupyters(folder / "x.ipynb"), strict=False), 1
    ):
        drawn = sum("image/png" in output.get("data", {}) for output in outputs)
        assert [word for word in words if word not in shown(outputs)] == [], code
        assert drawn >= pictures, code
        mine = found.get(number, [])
        text = html.unescape(shown([output for cell in mine for output in cell["outputs"]]))
        assert [word for word in words if word not in text] == [], (code, text)
        assert sum(_pictures(cell) for cell in mine) == pictures, code
        if not words and not pictures and "interact" not in code:
            assert text.strip() == "", code
        if "interact" not in code:
            printed = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
            assert stdout(mine) == printed, code


def stdout(found: list[Any]) -> str:
    return "".join(each["text"] for cell in found for each in cell["console"] if each.get("name") == "stdout")


def test_parameters_come_from_the_command_line(run: tuple[Path, Any]) -> None:
    printed = stdout(run[1]["cells"])
    assert "7 a [2] False\n" in printed
    assert printed.endswith("on\n")
    assert "printed\n" in printed
    assert "6\n" in printed  # the slider's value, twice
    assert "9\n" in printed  # interact's call


def test_parameters_come_from_daglab_export(tmp_path: Path, cli: Callable[..., Any]) -> None:
    (tmp_path / "daglab.yaml").write_text("dagster:\n  port: 1\n")
    notebook(tmp_path / "x.ipynb", [PARAMETERS, "print(n, name, xs, flag)"], {1: ["parameters"]})
    assert cli("migrate", "x.ipynb", cwd=tmp_path).exit_code == 0
    given = ("-P", "n=7", "-P", "name=b", "-P", "flag=true", "-P", "xs=[3, 4]")
    done = cli("export", "x.py", *given, "--output", "x.html", cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "7 b [3, 4] True" in html.unescape((tmp_path / "x.html").read_text())
