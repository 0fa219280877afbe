"""The Jupyter notebooks that a command line names: files, and those in folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from daglab import errors

SUFFIX = ".ipynb"
# What is in these is somebody else's, or a copy.
SKIPPED = {"__pycache__", "node_modules", "site-packages", "venv"}


@dataclass(frozen=True)
class Source:
    """A notebook's file, and its place below the folder that was named; its name where it was named itself."""

    path: Path
    below: PurePath


def find(named: Sequence[Path], *, recursive: bool) -> list[Source]:
    """The notebooks that are named, each once, those of a folder by name.

    In hidden folders, environments and the like none is looked for, and links to folders are not followed. Raises
    NotSetUp for a path that is not there and for a folder without any, InvalidInput for what can't be read.
    """
    found: dict[str, Source] = {}
    for path in named:
        for source in _below(path, recursive) if os.path.isdir(path) else [_one(path)]:
            found.setdefault(os.path.abspath(source.path), source)
    return list(found.values())


def _one(path: Path) -> Source:
    if not os.path.lexists(path):
        pattern = any(mark in str(path) for mark in "*?[")
        raise errors.NotSetUp(
            f"No file matches {path}." if pattern else f"There is no notebook {path}.",
            "Check the path; a folder's name stands for the notebooks in it.",
        )
    if not os.path.isfile(path):
        raise errors.InvalidInput(f"{path} is no ordinary file.", f"Name an {SUFFIX} file, or a folder of them.")
    if path.suffix == ".py":
        raise errors.InvalidInput(
            f"{path} is Python already, and no Jupyter notebook.", "`marimo convert` makes a notebook of a script."
        )
    return Source(path, PurePath(path.name))


def _below(folder: Path, recursive: bool) -> list[Source]:
    found = [Source(path, path.relative_to(folder)) for path in _walk(folder, recursive)]
    if not found:
        hint = "Name another folder." if recursive else "--recursive looks in the folders below, too."
        raise errors.NotSetUp(f"There is no {SUFFIX} file in {folder}.", hint)
    return found


def _walk(folder: Path, recursive: bool) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if recursive and _is_looked_at(Path(place, name)))
        for name in sorted(names):
            if name.endswith(SUFFIX) and not name.startswith(".") and os.path.isfile(os.path.join(place, name)):
                yield Path(place, name)


def _is_looked_at(folder: Path) -> bool:
    own = folder.name.startswith(".") or folder.name in SKIPPED
    return not own and not os.path.exists(folder / "pyvenv.cfg")


def _unreadable(error: OSError) -> None:
    raise errors.InvalidInput(
        f"{error.filename} can't be read: {error.strerror}.", "Name folders that you may read."
    ) from error
