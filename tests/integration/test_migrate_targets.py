"""Migrated notebooks that connect to a target, as scaffolded ones do: by real marimo, with no deployment there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from daglab import errors, inventory
from daglab.authoring import scaffolds
from daglab.migrating import cells, connecting, drafts
from daglab.migrating.converting import conversions

pytestmark = pytest.mark.long

# Its own `client`, `mo`, `target` and Path are other things than those of the cells that connect.
CODES = [
    "import math as mo\nclient = 'mine'\ntarget = 3",
    "from os import path as Path\nprint(client, target, mo.pi > 3)",
]
PLAIN = ["from pathlib import Path\nimport marimo as mo", "x = Path('.')\nprint('plain', x)"]


def drafted(codes: Sequence[str]) -> cells.Draft:
    made = tuple(cells.Original(number, "code", code) for number, code in enumerate(codes, 1))
    return drafts.draft(cells.Jupyter(Path("sales.ipynb"), "4.5", made))


def python(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})})


@pytest.mark.slow
def test_it_connects_launches_and_runs_without_a_deployment(tmp_path: Path) -> None:
    """`marimo check --strict` takes all, `python nb.py` ends well, and `daglab notebooks` knows the target."""
    (tmp_path / "daglab.yaml").write_text("dagster: {url: 'http://127.0.0.1:9'}\n")
    targets = [
        scaffolds.Target(assets=(("shop", "orders"),)),
        scaffolds.Target(assets=(("a",), ("b",))),
        scaffolds.Target(job="nightly"),
    ]
    made = []
    for index, (target, codes) in enumerate([*[(each, CODES) for each in targets], (targets[0], PLAIN)]):
        path = tmp_path / "dagster" / "notebooks" / f"n{index}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        made.append((path, target, codes, connecting.apply(drafted(codes), tmp_path, target, path)))
    converted = conversions.convert(
        [draft for *_, draft in made], [sys.executable], dict(os.environ), [path.name for path, *_ in made]
    )
    for (path, target, codes, draft), each in zip(made, converted, strict=True):
        assert each.flaw is None
        assert each.issues == ()
        path.write_text(each.text)
        told = inventory.read(path)
        assert (told["target"], told["title"], told["problem"]) == (target.recorded, "sales", None)
        assert [cell.origins for cell in draft.cells if cell.origins] == [(1,), (2,)]
        assert "helpers.run_" in each.text
        done = python(path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() in ("mine 3 True", "plain ."), done.stdout
        assert (codes is PLAIN) == (done.stdout.strip() == "plain .")


def test_a_place_outside_of_the_project_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    root.mkdir()
    with pytest.raises(errors.InvalidInput, match="outside"):
        connecting.apply(drafted(PLAIN), root, scaffolds.Target(job="nightly"), tmp_path / "x.py")
