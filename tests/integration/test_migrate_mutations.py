"""300 notebooks gone wrong in many ways, in one `daglab migrate`: none is executed, none writes elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import jupyter_mutations

pytestmark = pytest.mark.long

SECONDS = 600


def everything(root: Path) -> Iterator[tuple[str, bytes]]:
    """All files below, by path, with their bytes."""
    for path in sorted(root.rglob("*")):
        if path.is_file() or path.is_symlink():
            yield path.relative_to(root).as_posix(), path.read_bytes()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes], Any]:
    """The folder, what lay there before, and the process."""
    root = tmp_path_factory.mktemp("mutations")
    (root / "nb").mkdir()
    (root / "home").mkdir()
    for name, content in jupyter_mutations.mutated(root / "executed"):
        (root / "nb" / name).write_bytes(content)
    before = dict(everything(root))
    foreign = ("DAGLAB_", "DAGSTER_", "MARIMO_", "XDG_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    command = [sys.executable, "-m", "daglab", "migrate", "nb", "--to", "out", "--preserve-outputs", "--json"]
    ended = subprocess.run(
        command,
        cwd=root,
        env={**env, "HOME": str(root / "home")},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return root, before, ended


@pytest.mark.slow
def test_no_traceback_and_a_document(done: tuple[Path, dict[str, bytes], Any]) -> None:
    _, before, ended = done
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 7, ended.stderr[-2000:]
    document = json.loads(ended.stdout)
    assert len(document["notebooks"]) == len(before)
    assert sum(document["counts"].values()) == len(before)
    codes = {each["error"]["exit_code"] for each in document["notebooks"] if "error" in each}
    assert codes == {7}
    assert document["counts"]["refused"] < len(before)  # most can be read all the same


@pytest.mark.slow
def test_what_was_made_is_sound(done: tuple[Path, dict[str, bytes], Any]) -> None:
    root, _, ended = done
    for each in json.loads(ended.stdout)["notebooks"]:
        if "error" not in each:
            assert each["issues"] == [], each["source"]
            compile(Path(each["target"]).read_bytes(), each["target"], "exec")
        elif each["target"]:
            assert not Path(each["target"]).exists()
    assert {path.suffix for path in (root / "out").glob("*") if path.is_file()} <= {".py"}


@pytest.mark.slow
def test_nothing_was_executed_and_nothing_lies_elsewhere(done: tuple[Path, dict[str, bytes], Any]) -> None:
    root, before, _ = done
    after = dict(everything(root))
    assert {path: content for path, content in after.items() if not path.startswith("out/")} == before
    assert not list(root.parent.glob("outside*"))
    assert not Path("/etc/outside.png").exists()
