"""Notebooks whose names had to be changed: marimo's own check accepts them, and they print what they printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daglab.migrating import cells, imports, texts
from daglab.migrating.converting import conversions
from daglab.migrating.naming import futures, names

pytestmark = pytest.mark.long

NOTEBOOKS = {
    "order": (
        ["def f():\n    return x\nprint('hi')", "x = 1\nprint('two')", "print(f())", "x = 2", "print(f())"],
        "hi two 1 2",
    ),
    "shown": (["x = 1\nx", "def f(): return x", "f()", "x = 2", "(f(),\n  1)", "print(x)"], "2"),
    "own": (["def app(): return 1", "marimo = 3\nprint(app())", "mo = 4", "print(marimo, mo)"], "1 3 4"),
    "future": (["from __future__ import annotations\nx: Foo = 1", "def g(a: Baz): return 2\nprint(g(1))"], "2"),
    "classes": (["class A:\n    pass", "class A:\n    b = 1\nprint(A.b)", "print(A)"], "1 <class '__main__.A'>"),
    "mutation": (["a = [1]", "a.append(2)\na", "a += [3]\nprint(a)", "print(a)\ndel a"], "[1, 2, 3] [1, 2, 3]"),
    "global": (["n = 0", "def up():\n    global n\n    n += 1", "up()", "n += 5", "print(n)"], "6"),
    "private": (
        ["_a = 1", "print(_a)", "global z\nz = 1", "z += _a", "print(z)", "if __name__ == '__main__': print(3)"],
        "1 2 3",
    ),
}


@pytest.mark.slow
def test_marimo_takes_them_and_prints_the_same(tmp_path: Path) -> None:
    drafts = []
    for sources, _ in NOTEBOOKS.values():
        drafted = tuple(cells.Cell(source, "code", (number,)) for number, source in enumerate(sources, 1))
        made = names.apply(futures.apply(cells.Draft(cells.Jupyter(Path("x.ipynb"), "4.5", ()), drafted)))
        drafts.append(imports.settle(texts.show(made)))
    files = [f"{name}.py" for name in NOTEBOOKS]
    done = conversions.convert(drafts, [sys.executable], dict(os.environ), files)
    assert [(each.issues, each.flaw) for each in done] == [((), None)] * len(done)
    for (name, (_, expected)), each in zip(NOTEBOOKS.items(), done, strict=True):
        (tmp_path / f"{name}_nb.py").write_text(each.text, encoding="utf-8")
        ran = subprocess.run([sys.executable, f"{name}_nb.py"], cwd=tmp_path, capture_output=True, text=True)
        assert (ran.returncode, ran.stdout.split()) == (0, expected.split()), ran.stderr
