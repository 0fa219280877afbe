"""Runs notebooks, each in a fork of one process, two at a time, and tells what they print and how they end.

`python jupyter_running.py JOBS.json`, a list of `{"kind": "jupyter" or "marimo", "path", "folder"}`: each runs in its
folder. What it prints goes to `printed` there, the name of the exception that ends it, or nothing, to `ended`.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

SECONDS = 60
AT_A_TIME = 2
SKIPS = {"skip", "skip-execution"}


def main(jobs: list[dict[str, str]]) -> None:
    """Run all of them."""
    # What nearly all of them import, also what marimo imports for itself when an app runs, before the first fork.
    import IPython.core.interactiveshell  # noqa: F401
    import marimo._output.md  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import pymdownx.superfences  # noqa: F401

    running = 0
    for job in jobs:
        if running == AT_A_TIME:
            os.wait()
            running -= 1
        if not os.fork():
            _run(job)
        running += 1
    for _ in range(running):
        os.wait()


def _run(job: dict[str, str]) -> None:
    os.setpgid(0, 0)
    signal.alarm(SECONDS)
    os.chdir(job["folder"])
    out = os.open("printed", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    err = os.open("told", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (it stays open to the end)
    ended = ""
    try:
        ended = (_jupyter if job["kind"] == "jupyter" else _marimo)(job["path"])
    except BaseException as error:
        import traceback

        traceback.print_exc()
        ended = type(error).__name__
    sys.stdout.flush()
    Path(job["folder"], "ended").write_text(ended)
    os._exit(0)


def _marimo(path: str) -> str:
    sys.argv = [path]
    sys.path.insert(0, os.path.dirname(path))
    sys.path.insert(0, os.getcwd())
    runpy.run_path(path, run_name="__main__")
    return ""


def _jupyter(path: str) -> str:
    from IPython.core.interactiveshell import InteractiveShell

    shell: Any = InteractiveShell.instance()
    shell.display_pub.publish = lambda *_, **__: None
    shell._showtraceback = lambda *_: None
    sys.path.insert(0, os.getcwd())
    for source, tags in code_cells(Path(path).read_bytes()):
        if tags & SKIPS:
            continue
        done = shell.run_cell(source, silent=True)
        error = done.error_before_exec or done.error_in_exec
        if error and "raises-exception" not in tags:
            return type(error).__name__
    return ""


def code_cells(content: bytes) -> list[tuple[str, set[str]]]:
    """The sources of a notebook's code cells and their tags, whatever its format and encoding."""
    body = json.loads(_text(content))
    sheets = body.get("worksheets") or [body]
    cells = [cell for sheet in sheets for cell in sheet["cells"] if cell["cell_type"] == "code"]
    return [("".join(cell.get("input", cell.get("source", ""))), _tags(cell)) for cell in cells]


def _tags(cell: dict[str, Any]) -> set[str]:
    tags = (cell.get("metadata") or {}).get("tags")
    return {tag for tag in tags if isinstance(tag, str)} if isinstance(tags, list) else set()


def _text(content: bytes) -> str:
    encodings = ("utf-8-sig", "utf-16", "utf-16-be", "latin-1")
    for encoding in encodings:
        try:
            text = content.decode(encoding)
            json.loads(text)
        except ValueError:
            continue
        return text
    raise ValueError("no notebook")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
