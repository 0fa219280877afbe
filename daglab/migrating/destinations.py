"""Where migrated notebooks go: a place for each, none taken twice, none outside of the folder that is meant."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePath

from daglab import errors, files
from daglab.authoring import scaffolds
from daglab.migrating import cells, edits, sources

SUFFIX = ".py"
# What marimo imports by itself, some of it only where it is installed: a notebook of such a name would be taken for it.
MARIMOS = {
    *("IPython", "altair", "anyio", "click", "docutils", "duckdb", "itsdangerous", "jedi", "loro", "markdown"),
    *("matplotlib", "msgspec", "multipart", "narwhals", "nbformat", "numpy", "packaging", "pandas", "plotly", "polars"),
    *("psutil", "pyarrow", "pydantic", "pygments", "pymdownx", "python_multipart", "seaborn", "sqlglot", "starlette"),
    *("tomlkit", "typing_extensions", "uvicorn", "watchdog", "websockets", "zmq"),
}
RESERVED = scaffolds.HIDDEN | MARIMOS | {"__init__", "__main__"}
OTHER_SUFFIXES = {".ipynb", ".md", ".html", ".json", ".txt"}


@dataclass(frozen=True)
class Place:
    """Where a notebook goes; no link may lead out of `folder`. `avoided` is the module whose name it did not take."""

    path: Path
    folder: Path
    avoided: str | None = None


def plan(found: Sequence[sources.Source], to: Path | None, imported: Iterable[str]) -> list[Place]:
    """A place for each source: in or below `to`, else beside it.

    `imported` are the modules that the notebooks import: a file of such a name would hide them, and gets another.
    Raises WrongUsage for a file where there are several, InvalidInput where two would share a place or it is the
    source itself.
    """
    hidden = RESERVED | set(imported)
    if to is not None and _is_file(to):
        places = [_named(found, to, hidden)]
    else:
        _check_folder(to)
        places = [_place(each, to, hidden) for each in found]
    _check_twice(found, places)
    return places


def beside(place: Place, name: str) -> Path:
    """The path of a file that goes with the notebook, by its relative name; raises InvalidInput for one elsewhere."""
    pure = PurePath(name)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in name:
        raise errors.InvalidInput(f"{name!r} would lie elsewhere than the notebook.", "Rename the attachment.")
    return place.path.parent / pure


def check_inside(place: Place, path: Path) -> None:
    """Raise InvalidInput where a link leads out of the folder that is meant, or what is there is no ordinary file."""
    if files.inside(place.folder, path) is None:
        raise errors.InvalidInput(
            f"{path} leads out of {place.folder} by a link.", "Remove the link, or name another place with --to."
        )
    if files.is_special(path):
        raise errors.InvalidInput(f"{path} is not an ordinary file.", "Remove it, or name another place with --to.")


def check_twice(written: Iterable[tuple[Path, Mapping[Path, bytes]]]) -> None:
    """Raise InvalidInput where two sources would write different things to one path."""
    seen: dict[str, tuple[Path, bytes]] = {}
    for source, contents in written:
        for path, content in contents.items():
            other, before = seen.setdefault(os.path.realpath(path), (source, content))
            if other != source and before != content:
                raise errors.InvalidInput(
                    f"{other} and {source} would both write {path}.", "Migrate them to different folders, with --to."
                )


def imports(draft: cells.Draft) -> set[str]:
    """The modules that a notebook imports, by the first part of their names."""
    found: set[str] = set()
    for cell in draft.cells:
        tree = edits.parsed(cell.code) if cell.kind == "code" else None
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found


def _is_file(to: Path) -> bool:
    return to.suffix == SUFFIX and not os.path.isdir(to)


def _named(found: Sequence[sources.Source], to: Path, hidden: Set[str]) -> Place:
    if len(found) != 1:
        raise errors.WrongUsage(f"--to names one file, and there are {len(found)} notebooks.", "Name a folder.")
    if to.stem in hidden:
        raise errors.InvalidInput(
            f"A notebook called {to.name} would hide the Python module of that name.", "Choose another name."
        )
    return Place(to, to.parent)


def _check_folder(to: Path | None) -> None:
    if to is None or os.path.isdir(to):
        return
    if os.path.lexists(to):
        raise errors.InvalidInput(f"{to} is no folder.", f"Name a folder, or a {SUFFIX} file for one notebook.")
    if to.suffix in OTHER_SUFFIXES:
        raise errors.WrongUsage(f"--to {to} is no place for notebooks.", f"Name a folder, or a {SUFFIX} file.")


def _place(source: sources.Source, to: Path | None, hidden: Set[str]) -> Place:
    name = source.below.with_suffix(SUFFIX)
    avoided = name.stem if name.stem in hidden else None
    if avoided:
        name = name.with_name(f"{avoided}_notebook{SUFFIX}")
    if to is None:
        return Place(source.path.with_name(name.name), source.path.parent, avoided)
    return Place(to / name, to, avoided)


def _check_twice(found: Sequence[sources.Source], places: Sequence[Place]) -> None:
    originals = {os.path.realpath(each.path) for each in found}
    seen: dict[str, Path] = {}
    for source, place in zip(found, places, strict=True):
        real = os.path.realpath(place.path)
        if real in originals:
            raise errors.InvalidInput(f"{place.path} is a notebook that is to be migrated.", "Name another --to.")
        if (other := seen.setdefault(real, source.path)) != source.path:
            raise errors.InvalidInput(
                f"{other} and {source.path} would both be {place.path}.",
                "Migrate them to different folders; with --recursive the tree below a folder is kept.",
            )
