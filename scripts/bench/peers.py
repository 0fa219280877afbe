"""Peers that have no place in the project's own environment: `dg`, in one that is made once, in a cache outside."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "daglab", "bench")
PYPROJECT = """
[project]
name = "bench"
version = "0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "bench"
code_location_target_module = "bench.definitions"
"""


def dg() -> str | None:
    """The `dg` of the same version as dagster here; None, with a word on stderr, where it can't be had."""
    version = importlib.metadata.version("dagster")
    folder = CACHE / f"dg-{version}"
    if not (folder / ".ready").exists():
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            subprocess.run([*pip, f"dagster-dg-cli=={version}"], check=True)
        except subprocess.CalledProcessError as error:
            print(f"Without dg, which could not be installed: {error}", file=sys.stderr)
            return None
        (folder / ".ready").touch()
    return str(folder / "bin" / "dg")


def project(root: Path, code: str) -> Path:
    """A project of dg's with this code, below `root`."""
    package = root / "dg" / "bench"
    package.mkdir(parents=True)
    (package.parent / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (package / "__init__.py").touch()
    (package / "definitions.py").write_text(code, encoding="utf-8")
    return package.parent
