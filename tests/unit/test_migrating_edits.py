"""Trees and edits: what the stages ask of every cell."""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import ModuleType

import pytest

from daglab.migrating import edits

CONTEXTS = (ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.expr_context)


@pytest.mark.parametrize("module", [ast, inspect, textwrap, edits])
def test_walk_gives_what_ast_walk_gives(module: ModuleType) -> None:
    tree = ast.parse(inspect.getsource(module))
    assert edits.walk(tree) == [node for node in ast.walk(tree) if not isinstance(node, CONTEXTS)]
    for node in ast.walk(tree):
        there = [child for child in ast.iter_child_nodes(node) if not isinstance(child, CONTEXTS)]
        assert edits.children(node) == there


def test_every_tree_is_the_callers_own() -> None:
    one, other = edits.parsed("a = '\\d'"), edits.parsed("a = '\\d'")
    assert one is not None
    assert other is not None
    assert one is not other
    assert ast.dump(one) == ast.dump(other)


@pytest.mark.parametrize("code", ["a =", "return\x00", "(" * 500, "return" * 30_000 + " 1", "break"])
def test_what_is_no_python_has_no_tree(code: str) -> None:
    assert edits.parsed(code) is None
    assert edits.parsed(code) is None
