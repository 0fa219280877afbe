"""The project that the examples of the docs stand in: its files, what is on record there, a terminal before it."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daglab.helpers import manage_state
from tests import doc_pages, jupyter_notebooks

ORDERS = """import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo

    parameters = dict(mo.cli_args())
    return mo, parameters


@app.cell
def _(mo, parameters):
    mo.md(f"Orders of {parameters.get('date', 'today')}")
    return
"""
SCHEMA = {"class": "Docs", "vectorizer": "none", "properties": [{"name": "title", "dataType": ["text"]}]}
JUPYTER = json.dumps(jupyter_notebooks.notebook("rows = [1, 2, 3]", "print(sum(rows))"))
TRANSFORM = next(text for text in doc_pages.blocks(doc_pages.REPOSITORY / "docs" / "collections.md", "python"))
# What a line names, by what is written before it is run. A folder is named by its slash, a pattern as it stands.
FILES: Mapping[str, Mapping[str, str]] = {
    "daily.py": {"daily.py": ORDERS, "nightly.yaml": "region: north\n"},
    "orders.py": {"orders.py": ORDERS},
    "reports/*.py": {"reports/north.py": ORDERS, "reports/south.py": ORDERS},
    "nightly.txt": {"nightly.txt": "dagster/notebooks/orders.py\n"},
    "report.yaml": {"report.yaml": "ops: {write: {config: {rows: 3}}}\n"},
    "rename.py": {"rename.py": TRANSFORM},
    "schema.json": {"schema.json": json.dumps({**SCHEMA, "class": "Articles"})},
    "schema.yaml": {"schema.yaml": json.dumps(SCHEMA)},
    "prompts.jsonl": {"prompts.jsonl": json.dumps({"text": "How many orders?", "model": "small", "kind": "in"}) + "\n"},
    "notebooks/": {"notebooks/explore.ipynb": JUPYTER, "notebooks/below/orders.ipynb": JUPYTER},
    **{f"{name}.ipynb": {f"{name}.ipynb": JUPYTER} for name in ("analysis", "explore", "report")},
}
CLUSTERS = """
weaviate:
  clusters:
    - {{name: default, url: {open}}}
    - {{name: main, url: {open}}}
    - {{name: staging, url: {keyed}, token_env: DAGLAB_WEAVIATE_KEY}}
    - {{name: other, url: {keyed}, token_env: DAGLAB_WEAVIATE_KEY}}
"""
COLLECTIONS = ("Docs", "Docs_v1", "Chunks", "Notes", "Drafts", "Staged")


def fill(root: Path) -> None:
    """What a project has after some weeks: a notebook with its state, and a template of the team's own."""
    notebook = root / "dagster" / "notebooks" / "orders.py"
    notebook.write_text(ORDERS)
    state = manage_state(notebook, defaults={"threshold": 10})
    for threshold in range(14):
        state.set("threshold", threshold)
    team = root / ".daglab" / "templates" / "team.py.j2"
    team.parent.mkdir(parents=True, exist_ok=True)
    team.write_text((doc_pages.REPOSITORY / "examples" / "custom-templates" / "team.py.j2").read_text())


def write(root: Path, words: tuple[str, ...]) -> None:
    """The files that a line names."""
    for word in words:
        for name, text in FILES.get(word, {}).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)


def program(folder: Path) -> Path:
    """A folder with the program `daglab`, as an installation has it."""
    found = folder / "bin"
    found.mkdir()
    (found / "daglab").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m daglab "$@"\n')
    (found / "daglab").chmod(0o755)
    return found


def furnish(server: Any) -> None:
    """A Weaviate with the collections of the docs, each with an object, and no others."""
    schemas = {each["class"] for each in server.ask("GET", "schema")["classes"]}
    for name in schemas - {*COLLECTIONS}:
        server.ask("DELETE", f"schema/{name}")
    for name in COLLECTIONS:
        if name not in schemas:
            server.ask("POST", "schema", {**SCHEMA, "class": name})
        if name not in schemas or not server.ask("GET", "objects", **{"class": name, "limit": 1})["objects"]:
            server.ask("POST", "objects", {"class": name, "properties": {"title": "x"}, "vector": [1, 2]})


def unalias(server: Any) -> None:
    """No other names for its collections."""
    for each in server.ask("GET", "aliases")["aliases"]:
        server.ask("DELETE", f"aliases/{each['alias']}")


def at_terminal(words: list[str], cwd: Path, env: Mapping[str, str], answer: str | None) -> tuple[int, str]:
    """The exit code of a line on a terminal, and what it shows there.

    It gets an answer once it has asked, or Ctrl-C once it has shown something and nothing more for a while, or goes on.
    """
    mine, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "daglab", *words], cwd=cwd, env=dict(env), stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    shown, deadline, told = b"", time.monotonic() + 120, False
    try:
        while time.monotonic() < deadline:
            is_quiet = not select.select([mine], [], [], 1.0)[0]
            if not is_quiet:
                try:
                    shown += os.read(mine, 65536)
                except OSError:  # it has ended
                    break
            if shown and not told and (is_quiet or time.monotonic() > deadline - 90):
                told = True
                if answer is None:
                    process.send_signal(signal.SIGINT)
                else:
                    os.write(mine, f"{answer}\n".encode())
        return process.wait(60), shown.decode(errors="replace")
    finally:
        os.close(mine)
        process.kill()
        process.wait()
