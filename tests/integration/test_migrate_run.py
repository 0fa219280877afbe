"""Both notebooks run for real, by nbclient with a real kernel and by marimo, and compared."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from daglab import processes
from daglab.migrating import cells
from daglab.migrating.comparing import comparisons
from daglab.migrating.converting import conversions
from daglab.migrating.keeping import outputs

pytestmark = pytest.mark.long

SECONDS = 120.0


@pytest.fixture(autouse=True)
def _installed(need: Callable[[object, str], None]) -> None:
    for name in ("nbclient", "ipykernel"):
        need(importlib.util.find_spec(name), f"{name} is not installed")


@pytest.fixture
def scratch(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made; it is empty again when all is done."""
    folder = tmp_path_factory.mktemp("scratch")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def written(path: Path, *found: tuple[str, str], tags: Sequence[str] = ()) -> cells.Draft:
    """A Jupyter notebook of these cells; each comes with what it is in the marimo notebook, written beside."""
    own = tuple(cells.Original(number, "code", source, tuple(tags)) for number, (source, _) in enumerate(found, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}", encoding="utf-8")
    made = tuple(cells.Cell(new, origins=(number,)) for number, (_, new) in enumerate(found, 1))
    draft = cells.Draft(cells.Jupyter(path, "4.5", own), made)
    [converted] = conversions.convert([draft], [sys.executable], environment(), ["nb.py"])
    assert not converted.flaw
    path.with_suffix(".py").write_text(converted.text, encoding="utf-8")
    return converted.draft or draft


def environment() -> dict[str, str]:
    return processes.without_secrets(os.environ)


def compared(
    draft: cells.Draft, *, notebook: Path | None = None, python: Sequence[str] = (), seconds: float = SECONDS
) -> comparisons.Comparison:
    own = draft.original.path
    place = notebook or own.with_suffix(".py")
    return comparisons.compare(draft.original, draft, place, python or [sys.executable], environment(), seconds)


def alike(*sources: str) -> list[tuple[str, str]]:
    return [(source, source) for source in sources]


def told(comparison: comparisons.Comparison) -> list[str]:
    assert comparison.flaw is None
    return [each.verdict for each in comparison.cells]


def hostile_home() -> None:
    """What a user's own Jupyter and IPython may have: another kernel of the usual name, and a start-up file."""
    home = Path(os.environ["HOME"])
    startup = home / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "a.py").write_text("print('from the start-up file')")
    for name in ("python3", "daglab"):
        kernel = home / ".local" / "share" / "jupyter" / "kernels" / name
        kernel.mkdir(parents=True)
        (kernel / "kernel.json").write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}))


def test_what_does_the_same_compares_as_same_and_leaves_nothing_behind(tmp_path: Path, scratch: Path) -> None:
    hostile_home()
    book = tmp_path / "work" / "books" / "nb.ipynb"
    (tmp_path / "work" / "books").mkdir(parents=True)
    (tmp_path / "work" / "data.txt").write_text("data")
    (tmp_path / "work" / "books" / "beside.py").write_text("value = 3")
    draft = written(
        book,
        *alike(
            "import os, subprocess, sys\nimport pandas as pd\nimport beside\nprint(beside.value, sys.executable)",
            "x = 1",
            "subprocess.run(['echo', 'from a process'])\nprint(os.getcwd(), open('../data.txt').read())",
            "class C:\n    pass\n(C, C(), {'a', 'b', 'c'}, x)",
            "df = pd.DataFrame({f'c{i}': range(3) for i in range(25)})\nprint(df)\ndf",
            "def f(y):\n    return y + 1",
            "f(x);\nC2 = C",
            "class D:\n    pass",
            "class E(D):\n    pass",
            "class F(E):\n    pass\nF(), E, D, __name__",
            "open('made.txt', 'x').write('a')",
            "import asyncio\nawait asyncio.sleep(0)\nprint('awaited', file=sys.stderr)",
            "1/0",
            "print('not reached')",
        ),
    )
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    comparison = compared(draft)
    assert [each for each in comparison.cells if each.verdict != "same"] == [
        comparisons.Verdict(14, "unknown", "the original does not get here")
    ]
    assert comparison.ran_as_far
    assert comparison.original_stop == comparison.new_stop == comparisons.Stop(13, "ZeroDivisionError")
    assert comparison.verdict == "same"
    assert json.loads(json.dumps(comparison.document()))["counts"] == {"same": 13, "different": 0, "unknown": 1}
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert list(scratch.iterdir()) == []


def test_differences_are_found_and_what_changes_by_itself_is_none(tmp_path: Path) -> None:
    draft = written(
        tmp_path / "nb.ipynb",
        ("x = [1, 2]", "x = [1, 2]"),
        ("print(x)\nx", "print(x + [3])\nx"),
        ("len(x)", "len(x) + 1"),
        ("import random, time", "import random, time"),
        ("print(time.time_ns())\nrandom.random()", "print(time.time_ns())\nrandom.random()"),
        ("print('shown')\nx", "print('shown')\nx"),
        ("'no longer a value'", "None"),
        ("int('1')", "int('a')"),
    )
    comparison = compared(draft)
    assert told(comparison) == ["same", "different", "different", "same", "unknown", "same", "different", "different"]
    why = {each.cell: each.why for each in comparison.cells}
    assert why[2] == "printed text, line 1: '[1, 2]' before, '[1, 2, 3]' now"
    assert why[5] == "it changes from run to run"
    assert why[8].startswith("raises ValueError: invalid literal")
    assert (comparison.original_stop, comparison.new_stop) == (None, comparisons.Stop(8, "ValueError"))
    assert not comparison.ran_as_far


@pytest.mark.slow
def test_marimos_own_ways_of_showing(tmp_path: Path) -> None:
    drawing = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    draft = written(
        tmp_path / "nb.ipynb",
        ("import marimo as mo\nfrom IPython.display import Markdown, display",) * 2,
        ("Markdown('# A *title*')", "mo.md('# A *title*')"),
        ("import ipywidgets", "None"),
        ("ipywidgets.IntSlider(value=3, max=9)", "mo.ui.slider(0, 9, value=3)"),
        ("display(5)\n6", "mo.output.append(5)\n6"),
        (f"%matplotlib inline\n{drawing}", drawing),
        ("print('stopped')", "mo.stop(True)\nprint('stopped')"),
        ("%pip install no-such-thing", "None"),
        ("%no_such_magic", "None"),
    )
    found = compared(draft)
    assert told(found) == ["same"] * 6 + ["unknown", "same", "unknown"], found


@pytest.mark.slow
def test_a_tag_lets_the_original_go_on_and_a_dead_process_is_told(tmp_path: Path) -> None:
    draft = written(
        tmp_path / "nb.ipynb",
        ("1/0", "import traceback\ntry:\n    1/0\nexcept Exception:\n    traceback.print_exc()"),
        ("import os\nprint(1)", "import os\nprint(1)"),
        ("print(2)", "os._exit(3)"),
        tags=["raises-exception"],
    )
    comparison = compared(draft)
    assert told(comparison) == ["same", "same", "different"]
    assert comparison.new_stop == comparisons.Stop(3, "died")


def test_a_notebook_elsewhere_has_its_own_folder_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "beside.py").write_text("print('new')")
    draft = written(tmp_path / "old" / "nb.ipynb", ("print('new')", "import beside"))
    (tmp_path / "old" / "nb.py").rename(tmp_path / "new" / "nb.py")
    assert told(compared(draft, notebook=tmp_path / "new" / "nb.py")) == ["same"]


@pytest.mark.slow
def test_at_the_timeout_everything_ends(tmp_path: Path, scratch: Path) -> None:
    pids = tmp_path / "pids"
    start = "import os, subprocess, time\nkept = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    note = f"with open({str(pids)!r}, 'a') as file:\n    print(os.getpid(), kept.pid, file=file)"
    draft = written(tmp_path / "work" / "nb.ipynb", *alike(start + note, "time.sleep(600)", "print(1)"))
    comparison = compared(draft, seconds=25)
    assert told(comparison) == ["same", "unknown", "unknown"]
    assert comparison.original_stop == comparison.new_stop == comparisons.Stop(2, "timeout")
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 4
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert list(scratch.iterdir()) == []


def test_without_nbclient_it_is_said_what_to_install(tmp_path: Path) -> None:
    draft = written(tmp_path / "nb.ipynb", *alike("1"))
    comparison = compared(draft, python=[sys.executable, "-S"])
    assert comparison.verdict == "unknown"
    assert comparison.flaw == f"Run {sys.executable} -m pip install nbclient ipykernel: the original needs them."


def test_old_outputs_in_the_file_pass_the_check_and_render_harmless(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)> <script>alert(1)</script> ```\n````\n'''\"\"\" \\N{x} {mo} $x$"
    rich = f"<table><tr><th>{hostile}</th></tr><tr><td>a|b</td></tr></table>"
    escaped = rich.replace("<img", "&lt;img").replace("<script", "&lt;script")
    had: list[dict[str, Any]] = [
        {"output_type": "stream", "name": "stdout", "text": hostile},
        {"output_type": "display_data", "data": {"text/html": escaped, "text/plain": hostile}},
        {"output_type": "display_data", "data": {"text/markdown": hostile}},
        {"output_type": "error", "ename": "E", "evalue": hostile, "traceback": [hostile]},
    ]
    own = (cells.Original(1, "code", "x = 1\nx", outputs=tuple(had)), cells.Original(2, "code", "y = 2"))
    draft = cells.Draft(
        cells.Jupyter(tmp_path / "nb.ipynb", "4.5", own), tuple(cells.Cell(e.source, origins=(e.number,)) for e in own)
    )
    drafts = [outputs.apply(draft, how) for how in ("comments", "markdown")]
    for converted in conversions.convert(drafts, [sys.executable], environment(), ["a.py", "b.py"]):
        assert converted.flaw is None
        assert converted.issues == ()
    import marimo

    [shown] = [cell.code for cell in drafts[1].cells if cell.kind == "markdown"]
    text = marimo.md(shown).text
    assert "onerror" in text
    assert "<img" not in text
    assert "<script" not in text
