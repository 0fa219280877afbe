"""Cells that connect to a target, above those of a Jupyter notebook: one name means one thing."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import pytest

from daglab import errors
from daglab.authoring import scaffolds
from daglab.migrating import cells, connecting, drafts

# Its own `client`, `mo`, `target` and Path are other things than those of the cells that connect.
OTHERWISE = [
    "import math as mo\nclient = 'mine'\ntarget = 3\ndaglab_target = 4",
    "from os import path as Path\nprint(client, target, mo.pi > 3)",
]
PLAIN = ["from pathlib import Path\nimport marimo as mo", "x = Path('.')"]
TARGETS = [
    scaffolds.Target(assets=(("shop", "orders"),)),
    scaffolds.Target(assets=(("a",), ("b",))),
    scaffolds.Target(job="nightly"),
]


def connected(tmp_path: Path, target: scaffolds.Target, codes: Sequence[str]) -> cells.Draft:
    made = tuple(cells.Original(number, "code", code) for number, code in enumerate(codes, 1))
    draft = drafts.draft(cells.Jupyter(Path("sales.ipynb"), "4.5", made))
    (tmp_path / "daglab.yaml").touch()
    return connecting.apply(draft, tmp_path, target, tmp_path / "sales.py")


def bound(cell: cells.Cell) -> set[str]:
    """The public names that a cell of code gives a value at its top level."""
    found: set[str] = set()
    for node in ast.parse(cell.code).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {each.asname or each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)}
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize("target", TARGETS, ids=lambda each: each.recorded)
@pytest.mark.parametrize("codes", [OTHERWISE, PLAIN], ids=["otherwise", "plain"])
def test_no_name_is_given_a_value_by_two_cells(tmp_path: Path, target: scaffolds.Target, codes: list[str]) -> None:
    draft = connected(tmp_path, target, codes)
    code = [cell for cell in draft.cells if cell.kind == "code"]
    names = [name for cell in code for name in bound(cell)]
    assert len(names) == len(set(names)), sorted(names)
    text = "\n".join(cell.code for cell in code)
    told = f"Cells to connect, to launch {target.name} and to follow its run stand above."
    assert told in [note.text for note in draft.notes]
    assert "helpers.run_" in text
    assert [cell.origins for cell in draft.cells if cell.origins] == [(1,), (2,)]


def test_what_is_the_notebooks_own_keeps_its_name(tmp_path: Path) -> None:
    draft = connected(tmp_path, TARGETS[2], OTHERWISE)
    own = "\n".join(cell.code for cell in draft.cells if cell.origins)
    added = "\n".join(cell.code for cell in draft.cells if not cell.origins)
    assert "client = 'mine'" in own
    assert "daglab_client = " in added
    assert "daglab_client_ = " not in added
    told = [note.text for note in draft.notes if "the notebook's own" in note.text]
    assert "`client` is the notebook's own: the added cells say `daglab_client`." in told


def test_an_import_that_is_there_is_not_repeated(tmp_path: Path) -> None:
    draft = connected(tmp_path, TARGETS[2], PLAIN)
    lines = [line for cell in draft.cells for line in cell.code.splitlines()]
    assert lines.count("import marimo as mo") == 1
    assert not any("the notebook's own" in note.text for note in draft.notes)


def test_a_place_outside_of_the_project_is_refused(tmp_path: Path) -> None:
    draft = drafts.draft(cells.Jupyter(Path("sales.ipynb"), "4.5", (cells.Original(1, "code", "1"),)))
    (tmp_path / "shop").mkdir()
    with pytest.raises(errors.InvalidInput, match="lies outside of the project") as caught:
        connecting.apply(draft, tmp_path / "shop", TARGETS[2], tmp_path / "sales.py")
    assert caught.value.hint == "Name a place within the project with --to."


def test_a_cell_whose_head_takes_several_lines_is_read_and_what_is_no_cell_is_not() -> None:
    text = (
        "import marimo\napp = marimo.App()\n\n\ndef helper():\n    return 1\n\n\n"
        "@app.cell(\n    hide_code=True,\n)\ndef _(\n    one,\n    other,\n):\n"
        "    x = one + other\n    return (x,)\n\n\n"
        "@app.cell\ndef _():\n    return\n"
    )
    assert [(cell.code, cell.hidden) for cell in connecting._cells(text)] == [("x = one + other", True)]
