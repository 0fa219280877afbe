"""The step of a pipeline that examples/ci holds, run as it stands there."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "ci" / "launch.sh"


@pytest.fixture
def recipe(deployment: Any, tmp_path: Path) -> Callable[..., Any]:
    """Runs the script with a selection and a key; how it ended, and the summary that it wrote."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    daglab = bin_folder / "daglab"
    daglab.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m daglab "$@"\n')
    daglab.chmod(0o755)

    def run(selection: str, key: str) -> tuple[int, str]:
        env = {
            **os.environ,
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "DAGLAB_DAGSTER__URL": deployment.url,
        }
        summary = tmp_path / "summary.md"
        summary.unlink(missing_ok=True)
        line = ["sh", str(SCRIPT), selection, key, str(summary)]
        done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, check=False)
        return done.returncode, summary.read_text(encoding="utf-8")

    return run


@pytest.mark.long
def test_a_run_that_succeeds_and_is_repeated(recipe: Callable[..., Any]) -> None:
    key = uuid.uuid4().hex
    code, summary = recipe("raw_orders", key)
    assert (code, summary.startswith("- raw_orders: SUCCESS http")) == (0, True)
    assert recipe("raw_orders", key) == (0, summary)  # the same run


@pytest.mark.long
def test_a_run_that_fails(recipe: Callable[..., Any]) -> None:
    code, summary = recipe("failing", uuid.uuid4().hex)
    assert code == 4
    assert "- failing: FAILURE http" in summary
    assert "  - failing: ValueError: boom é" in summary


def test_what_is_not_launched(recipe: Callable[..., Any]) -> None:
    code, summary = recipe("group:nothing", uuid.uuid4().hex)
    assert (code, "holds no asset" in summary) == (7, True)
