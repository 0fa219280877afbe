"""Tries an installed daglab in its own environment; run by that environment's Python, with the extra as argument.

Only the standard library and daglab are imported. Ends with a traceback at the first thing that is not well.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

import daglab
import daglab.cli

ABSENT = {"": ["dagster", "nbformat"], "dagster": ["nbformat"], "migrate": ["dagster"]}
NOTEBOOK = """import marimo

app = marimo.App()


@app.cell
def _():
    print("six times seven is", 6 * 7)
    return


if __name__ == "__main__":
    app.run()
"""
CELL = {"cell_type": "code", "metadata": {}, "outputs": []}
BOOK_OF_4 = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}}
BOOK_OF_4["cells"] = [{**CELL, "id": "a", "execution_count": None, "source": ["print(6 * 7)"]}]
BOOK_OF_3 = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}}
BOOK_OF_3["worksheets"] = [{"metadata": {}, "cells": [{**CELL, "input": ["print 6 * 7"], "language": "python"}]}]


def run(*arguments: str, code: int = 0) -> str:
    """What `daglab` prints, which has to end with `code`."""
    program = Path(sys.executable).with_name("daglab")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, f"daglab {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def the_package(extra: str) -> None:
    """It is the installed one, whole, and nothing came with it that was not asked for."""
    assert Path(daglab.__file__).is_relative_to(sys.prefix), daglab.__file__
    assert importlib.metadata.version("daglab") == daglab.__version__
    assert (Path(daglab.__file__).parent / "py.typed").exists()
    for name in ("pytest", "responses", "mypy", "ruff", "hatchling", *ABSENT[extra]):
        assert importlib.util.find_spec(name) is None, f"{name} is installed"
    for module in pkgutil.walk_packages(daglab.__path__, "daglab."):
        if not module.name.startswith("daglab.templates") and module.name != "daglab.__main__":
            importlib.import_module(module.name)


def the_commands() -> None:
    """Each has its help; what needs a server says that there is none."""
    assert run("--version").strip().endswith(daglab.__version__)
    for name in daglab.cli.NAMES:
        assert run(name, "--help").startswith(f"Usage: daglab {name}"), name
    assert json.loads(run("discover", "--json", "--url", "http://127.0.0.1:9", code=5))["ok"] is False
    assert "unreachable" in run("explain")


def a_project() -> None:
    """Each template makes a project whose config is valid, and a notebook is exported and one migrated."""
    for template in ("minimal", "standard", "ml"):
        run("init", "--bootstrap", template, "--template", template)
    os.chdir("minimal")
    run("config", "validate")
    Path("dagster/notebooks/small.py").write_text(NOTEBOOK, encoding="utf-8")
    run("export", "dagster/notebooks/small.py")
    assert "six times seven is 42" in Path("exports/small.html").read_text(encoding="utf-8")
    Path("jupyter.ipynb").write_text(json.dumps(BOOK_OF_4), encoding="utf-8")
    run("migrate", "jupyter.ipynb")
    assert "6 * 7" in Path("jupyter.py").read_text(encoding="utf-8")


def with_dagster() -> None:
    """Dagster starts, its assets are found, and all of it ends."""
    run("dev", "--detach", "--no-marimo", "--no-open", "--no-dashboard")
    try:
        url = json.loads(run("dev", "--status", "--json"))["dagster"]["url"]
        assert json.loads(run("discover", "--json", "--url", url))["assets"]
    finally:
        run("stop")


def old_notebooks(code: int) -> None:
    """A notebook of nbformat 3 wants nbformat, and is refused with 3 where it is not installed."""
    Path("old.ipynb").write_text(json.dumps(BOOK_OF_3), encoding="utf-8")
    run("migrate", "old.ipynb", code=code)


def main() -> None:
    """All of it, in a folder of its own with a home of its own."""
    extra = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="daglab-smoke-") as folder:
        os.environ["HOME"] = folder
        os.chdir(folder)
        the_package(extra)
        the_commands()
        a_project()
        old_notebooks(0 if extra == "migrate" else 3)
        if extra == "dagster":
            with_dagster()


if __name__ == "__main__":
    main()
