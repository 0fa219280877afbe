"""The module that holds a project's Dagster definitions: where the project says so, and whether it can be imported."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daglab import errors, files, parse, processes
from daglab.settings import config

TIMEOUT = 120.0  # seconds; importing a project's code may take long
LOADS = {"python_module": "module_name", "python_package": "package_name", "python_file": "relative_path"}
# In the project's own Python, which may have no daglab. What the code prints is not what we say.
TRY = """
import importlib, importlib.util, json, os, sys
name, root = sys.argv[1:]
sys.path[:] = [path for path in sys.path if path] + [root]
told = os.dup(1)
os.dup2(2, 1)
try:
    import dagster
    if name.endswith(".py"):
        spec = importlib.util.spec_from_file_location("definitions_of_project", os.path.join(root, name))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(name)
    held = sum(
        isinstance(value, dagster.Definitions) or type(value).__name__ == "LazyDefinitions"
        for value in vars(module).values()
    )
    said = None if held == 1 else f"it holds {held or 'no'} Definitions"
except BaseException as error:
    said = f"{type(error).__name__}: {error}"
os.write(told, json.dumps(said).encode())
"""


def find(root: Path, location: str | None = None) -> str | None:
    """The module (`shop.definitions`), or the file, that a project tells Dagster to load; None where it does not say.

    Of several the one of the code location. Nothing is imported.
    """
    found: dict[str, str] = {}
    with contextlib.suppress(errors.InvalidInput):  # Dagster says what is wrong with its own files
        found = dict(_told(root))
    if len(found) == 1:
        return next(iter(found.values()))
    return found.get(location or "")


def require(settings: config.Config, module: str, notebook: Path) -> None:
    """Raise `NotGood` with the cause when a module can't be imported by the Python that runs a notebook."""
    python = settings.python_for(notebook)
    environ = processes.without_secrets(os.environ, settings.token_variables)
    command = [python, "-c", TRY, module, str(settings.root)]
    done = processes.run(command, timeout=TIMEOUT, cwd=settings.root, env=environ)
    lines = done.stdout.strip().splitlines()
    try:
        said = "it does not end" if done.timed_out else json.loads(lines[-1])
    except (ValueError, IndexError):
        said = (done.stderr.strip().splitlines() or [f"Python ended with {done.returncode}"])[-1]
    if said is not None:
        raise errors.NotGood(
            f"{module} can't be used by {python}: {said}", "Name the module, or the file, that Dagster loads."
        )


def _told(root: Path) -> Iterator[tuple[str, str]]:
    """Code locations and their modules: workspace.yaml, else a table in pyproject.toml."""
    workspace = root / "workspace.yaml"
    if workspace.is_file():
        entries = parse.run_config(files.read_text(workspace, "workspace"), "workspace").get("load_from")
        yield from filter(None, map(_of_entry, entries if isinstance(entries, list) else []))
        return
    pyproject = root / "pyproject.toml"
    text = files.read_text(pyproject, "project's file") if pyproject.is_file() else ""
    for table, key, end in (("tool.dagster", "module_name", ""), ("tool.dg.project", "root_module", ".definitions")):
        section = re.search(rf"^\s*\[{re.escape(table)}\]\s*$(.*?)(?=^\s*\[|\Z)", text, re.MULTILINE | re.DOTALL)
        value = re.search(rf"""^\s*{key}\s*=\s*["']([\w.]+)["']""", section[1], re.MULTILINE) if section else None
        if value:
            yield value[1] + end, value[1] + end
            return


def _of_entry(entry: Any) -> tuple[str, str] | None:
    """A code location's name, as Dagster makes it where it is not given, and its module."""
    if not isinstance(entry, dict):
        return None
    for kind, key in LOADS.items():
        what = entry.get(kind)
        module = what.get(key) if isinstance(what, dict) else what
        if isinstance(module, str) and module:
            name = what.get("location_name") if isinstance(what, dict) else None
            return str(name or os.path.basename(module)), module
    return None
