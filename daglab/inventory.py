"""The notebooks of a project as they lie on disk: for what each was scaffolded, its last run, its last export.

Nothing of them is imported: what a scaffolded one says of itself is read as a literal.
"""

from __future__ import annotations

import ast
import contextlib
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from daglab import errors, events, files, state_files
from daglab.exported import export_record
from daglab.exporting import exports
from daglab.settings import config

LARGEST = 1 << 22  # bytes of a notebook that is read
MOST = 5000  # notebooks
SEARCHED = 20_000  # of the newest operations, among which that of a run is looked for
MADE_BY_MARIMO = re.compile(rb"^(app = marimo\.App\(|import marimo\b)|^marimo-version:", re.MULTILINE)
FACTS = ("target", "template", "title", "created")


def every(settings: config.Config) -> list[dict[str, Any]]:
    """Each notebook in JSON, by path: those of `notebooks_dir`, and those that were exported from elsewhere in here.

    `problem` says what is wrong with one that can't be read; one that is gone is left out.
    """
    last = _last_exports(settings.root)
    names = [*dict.fromkeys([*in_folder(settings), *sorted(last)])]
    runs = _last_runs(settings.root, names)
    found = []
    for name in names:
        path = settings.root / name
        if os.path.isfile(path) and files.inside(settings.root, path) is not None:
            found.append({"notebook": name, **read(path), "last_run": runs.get(name), "last_export": last.get(name)})
    return sorted(found, key=lambda each: str(each["notebook"]))


def read(path: Path) -> dict[str, Any]:
    """What a notebook says of itself: `target, template, title, created` (null where it does not), and `problem`."""
    facts: dict[str, Any] = dict.fromkeys(FACTS)
    try:
        content = files.read_own(path) if path.stat().st_size <= LARGEST else None
        if content is None:
            return {**facts, "problem": "It is larger than 4 MiB."}
        told = _told(content.decode("utf-8-sig")) if path.suffix == ".py" else {}
    except SyntaxError as error:
        place = f" in line {error.lineno}" if error.lineno else ""
        return {**facts, "problem": f"It is no Python{place}: {error.msg}."}
    except UnicodeDecodeError:
        return {**facts, "problem": "It is not UTF-8 text."}
    except (ValueError, RecursionError, MemoryError) as error:
        return {**facts, "problem": f"What it says of itself can't be read ({type(error).__name__})."}
    except OSError as error:
        return {**facts, "problem": f"It can't be read: {error.strerror or error}."}
    return {**facts, **{name: told[name] for name in FACTS if isinstance(told.get(name), str)}, "problem": None}


def _told(text: str) -> Mapping[Any, Any]:
    """The dict NOTEBOOK, which scaffolded notebooks begin with; nothing where there is none."""
    import warnings

    with warnings.catch_warnings():  # of the notebook's own escapes
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
    for node in _statements(tree.body):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "NOTEBOOK" for target in targets):
            value = ast.literal_eval(node.value)  # type: ignore[attr-defined]
            return value if isinstance(value, dict) else {}
    return {}


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of the module, of its `with app.setup:`, and of its cells, where a migrated one has them."""
    for node in body:
        yield node
        if isinstance(node, ast.With) or (isinstance(node, ast.FunctionDef) and node.decorator_list):
            yield from node.body


def in_folder(settings: config.Config) -> list[str]:
    """The notebooks in their folder and below, from the project's root."""
    folder = settings.root / settings.notebooks_dir
    if files.inside(settings.root, folder) is None:
        raise errors.InvalidInput(f"{folder} lies outside of the project.", "Set notebooks_dir to a folder of it.")
    found: list[str] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(names):
            path = Path(place, name)
            if path.suffix in exports.NOTEBOOK_SUFFIXES and not name.startswith(".") and _is_notebook(path):
                found.append(path.relative_to(settings.root).as_posix())
        if len(found) > MOST:
            break
    return found[:MOST]


def _is_notebook(path: Path) -> bool:
    """Whether marimo has to do with it; what is there and can't be read is to be told."""
    try:
        return path.stat().st_size > LARGEST or MADE_BY_MARIMO.search(files.read_own(path)) is not None
    except OSError:
        return not os.path.isdir(path)


def _last_exports(root: Path) -> dict[str, dict[str, Any]]:
    """The last export of each notebook on record, by its path."""
    found: dict[str, dict[str, Any]] = {}
    standing = {line["id"] for line in export_record.standing(root)}
    for line in export_record.read(root):
        name, output = line.get("notebook"), line.get("output")
        if isinstance(name, str) and isinstance(output, str) and not os.path.isabs(name):
            texts = {key: line[key] if isinstance(line.get(key), str) else None for key in _EXPORT}
            found[name] = {"ok": line.get("ok") is True, **texts, "is_there": line["id"] in standing}
    return found


_EXPORT = ("output", "exported_at", "expires_at", "link")


def _last_runs(root: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """The newest run of those that each notebook's state remembers; when it was launched, where that is on record."""
    kept = {name: found for name in names if (found := _remembered(root, name))}
    launched = _launched(root, {run for ids, _ in kept.values() for run in ids})
    last = {}
    for name, (ids, saved) in kept.items():
        known = [(launched[run], run) for run in ids if run in launched]
        at, run = max(known) if known else (saved, ids[-1])
        last[name] = {"run_id": run, "at": at}
    return last


def _remembered(root: Path, notebook: str) -> tuple[list[str], str] | None:
    """The runs in a notebook's state, and when that was saved."""
    with contextlib.suppress(errors.DaglabError):
        path, _ = state_files.place(root, notebook)
        stored = state_files.read(path) if state_files.exists(path) else None
        runs = stored.now.values.get("runs") if stored else None
        ids = [run for run in runs.values() if isinstance(run, str)] if isinstance(runs, dict) else []
        if stored and ids:
            return ids, stored.now.saved
    return None


def _launched(root: Path, wanted: set[str]) -> dict[str, str]:
    """When these runs were launched, by the recorded operations."""
    found: dict[str, str] = {}
    for line in itertools.islice(events.newest(root) if wanted else (), SEARCHED):
        runs = line.get("runs")
        if export_record.time_of(line.get("at")) and isinstance(runs, list):
            found.update({run: line["at"] for run in runs if isinstance(run, str) and run in wanted - found.keys()})
        if len(found) == len(wanted):
            break
    return found
