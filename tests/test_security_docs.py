"""The threat model names modules and tests that there are, and each row has all of its cells."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = {
    name: (REPOSITORY / "docs" / name).read_text(encoding="utf-8") for name in ("security.md", "security-audit.md")
}
TEST = re.compile(r"`((?:unit|integration|e2e)/[\w/]+\.py)::(\w+)`")
ROWS = [line for line in PAGES["security.md"].splitlines() if line.startswith("| ") and "::" in line]


def test_the_table_is_there() -> None:
    assert len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:40])
def test_a_threat_has_a_control_a_module_and_a_test(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 4
    assert all(cells)
    modules = re.findall(r"`([\w/]+\.py)`", cells[2])
    assert modules
    assert all((REPOSITORY / "daglab" / module).is_file() for module in modules)
    assert TEST.search(cells[3])


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_is_there(page: str) -> None:
    named = TEST.findall(PAGES[page])
    assert named
    missing = [f"{file}::{name}" for file, name in named if name not in functions(REPOSITORY / "tests" / file)]
    assert missing == []


def functions(file: Path) -> set[str]:
    """The names of a file's functions."""
    return {
        node.name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    }
