"""What a cell binds and reads of the notebook's names, and where the modules that daglab needs are imported."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from daglab.migrating import cells, glances, imports


def look(code: str) -> glances.Glance:
    return glances.at(ast.parse(code))


@pytest.mark.parametrize(
    ("code", "bound", "read", "later"),
    [
        ("x = x + y", "x", "x y", ""),
        ("x = 1\nx", "x", "", ""),
        ("x: T = y", "x", "T y", ""),
        ("x: T", "", "T", ""),
        ("x += 1", "x", "x", ""),
        ("a.b += c", "", "a c", ""),
        ("x = 1\ndel x\nx", "x", "x", ""),
        ("del x", "", "x", ""),
        ("(x := y) + x", "x", "y", ""),
        ("for i in i:\n    j = i\nelse:\n    k", "i j", "i k", ""),
        ("async def f():\n    async for i in x:\n        pass", "f", "", "x"),
        ("import a.b, c.d as e", "a e", "", ""),
        ("from a import b, c as d\nfrom e import *", "b d", "", ""),
        ("try:\n    pass\nexcept T as e:\n    e", "e", "T", ""),
        (
            "match v:\n  case [a, *rest]:\n    pass\n  case {'k': b, **m}:\n    pass\n  case c:\n    c",
            "a b c m rest",
            "v",
            "",
        ),
        ("match v:\n    case [1, *_] | {'k': 1}:\n        pass", "", "v", ""),
        ("def f(a, /, b: T = d, *c, k=e, **g) -> R:\n    return a, b, c, k, g, h", "f", "R T d e", "h"),
        (
            "@deco\ndef f():\n  x = 1\n  def g():\n    return x, y\n  import m\n  try:\n    m\n  except E as e:\n    e",
            "f",
            "deco",
            "E y",
        ),
        ("def f():\n    global total\n    total = n", "f total", "", "n"),
        ("g = lambda a, b=c: a + d", "g", "c", "d"),
        ("@deco\nclass A(Base, metaclass=Meta):\n    x = y\n    z = x", "A", "Base Meta deco y", ""),
        ("[i + n for i in i for j in m if j and o]", "", "i m n o", ""),
        ("{k: v for k, v in items}\n{s for s in t}\n(u for u in w)", "", "items t w", ""),
    ],
)
def test_a_cell_s_names(code: str, bound: str, read: str, later: str) -> None:
    sight = look(code)
    assert (sight.bound, sight.read, sight.later) == (
        frozenset(bound.split()),
        frozenset(read.split()),
        frozenset(later.split()),
    )
    assert sight.read | sight.later <= sight.used


def test_a_name_that_is_bound_again_is_not_deleted() -> None:
    assert look("x = 1\ndel x").deleted == {"x"}
    assert look("x = 1\ndel x\nx = 2\nx").deleted == frozenset()
    assert look("def f():\n    y = 1\n    del y").deleted == frozenset()


def test_what_is_nested_too_deeply_is_seen_as_a_whole() -> None:
    deep = ast.parse("x = y")
    value: ast.expr = ast.Name("z", ast.Load())
    for _ in range(5_000):
        value = ast.UnaryOp(ast.USub(), value)
    deep.body.append(ast.Expr(value))
    assert glances.at(deep) == glances.Glance(frozenset("x"), frozenset("yz"), frozenset(), frozenset("yz"))


def settled(*codes: str) -> list[str]:
    draft = cells.Draft(cells.Jupyter(Path("x.ipynb"), "4.5", ()), tuple(cells.Cell(code) for code in codes))
    return [cell.code for cell in imports.settle(draft).cells]


def test_what_rewritten_code_needs_is_imported_once_and_first() -> None:
    assert settled("daglab__mo.md('a')", "daglab__json.loads(daglab__mo)") == [
        "import json\nimport marimo as mo",
        "mo.md('a')",
        "json.loads(mo)",
    ]
    assert settled() == ["import marimo as mo"]
    assert settled("x = 1") == ["x = 1"]


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("import json", None),
        ("import json\nx = json", "x = json"),
        ("import json, re", "import re"),
        ("import json as j", "import json as j"),
        ("import json; x = 1", "pass; x = 1"),
        ("if x:\n    import json", "if x:\n    import json"),
        ("from json import loads", "from json import loads"),
    ],
)
def test_the_notebook_s_own_import_of_the_same_goes(code: str, left: str | None) -> None:
    assert settled(code, "daglab__json.dumps") == ["import json", *([left] if left else []), "json.dumps"]


def test_only_names_are_placeholders() -> None:
    assert imports.is_placeholder("daglab__mo.md('')")
    assert not imports.is_placeholder("'daglab__mo'")
    assert not imports.is_placeholder("daglab__unheard")
    assert not imports.is_placeholder("daglab__mo (")
    assert settled("print('daglab__mo', daglab__sys)")[1] == "print('daglab__mo', sys)"
