"""Projects: what daglab puts into one, and making a new one from a template. Nothing is ever written over."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from daglab import config, errors, files, render

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*[A-Za-z0-9]|[A-Za-z]")
LONGEST_NAME = 100
# A package of one of these names hides a folder of the project, or a package that it or Dagster needs.
FOLDERS = {"dagster", "data", "exports", "tests"}
PACKAGES = {"click", "daglab", "jinja2", "marimo", "pydantic", "pytest", "requests", "sqlalchemy", "tabulate", "yaml"}
MARKERS = ("workspace.yaml", "dagster.yaml")
DEPENDENCIES = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt")
IGNORED = (".daglab/", "__marimo__/", "exports/")


@dataclass(frozen=True)
class Change:
    """What became of one file, its path from the project's root: `created`, `extended` or `kept`."""

    path: str
    what: str


def package_name(name: str) -> str:
    """The Python package of a project called `name`. Raises `InvalidInput` for a name that can't be one."""
    package = name.lower().replace("-", "_")
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
        raise errors.InvalidInput(
            f"{shown!r} can't be a project's name.",
            f"Use a letter, then letters, digits, - and _, not at the end; at most {LONGEST_NAME} of them, no path.",
        )
    if keyword.iskeyword(package):
        raise errors.InvalidInput(f"{name!r} is a word of Python's own.", f"Call it {name}-project, say.")
    if package in FOLDERS | PACKAGES | sys.stdlib_module_names:
        raise errors.InvalidInput(
            f"A project called {name!r} would hide the Python module or folder {package}.",
            f"Call it {name}-project, say.",
        )
    return package


def bootstrap(parent: Path, name: str, *, template: str = "minimal") -> tuple[Path, list[Change]]:
    """Make a project `name` below `parent`; where it is there already, only what is missing is added.

    Raises `Taken` when the folder holds something else.
    """
    package = package_name(name)
    root = parent / name
    if root.exists() and not (root / config.FILE_NAME).exists() and (not root.is_dir() or any(root.iterdir())):
        raise errors.Taken(
            f"{root} is there already, and is no daglab project.",
            "Choose another name, or run `daglab init` inside it.",
        )
    # The config comes first: with it, a project that a crash left half made is known as one, and completed.
    contents = sorted(template_files(template, name, package), key=lambda item: item[0].name != config.FILE_NAME)
    changes = [_create(root, path, text) for path, text in contents]
    return root, changes + adopt(root)


def adopt(root: Path) -> list[Change]:
    """Add what daglab needs to the project at `root`: its config, the notebooks folder, lines in .gitignore."""
    changes = []
    if not (root / config.FILE_NAME).exists():
        changes.append(_create(root, PurePosixPath(config.FILE_NAME), render.render("project/daglab.yaml.j2")))
    notebooks_dir = config.load(directory=root).notebooks_dir
    for folder in (notebooks_dir, ".daglab"):
        changes.append(_make_folder(root, folder))
    return [*changes, _ignore(root)]


def is_dagster_project(root: Path) -> bool:
    """Whether a Dagster project lives here: a file of Dagster's, or dagster among the dependencies."""
    if any((root / name).is_file() for name in (*MARKERS, config.FILE_NAME)):
        return True
    texts = [(root / name).read_text("utf-8", "replace") for name in DEPENDENCIES if (root / name).is_file()]
    return any(re.search(r"\bdagster\b", text) for text in texts)


def template_files(template: str, name: str, package: str) -> Iterator[tuple[PurePosixPath, str]]:
    """Every file of a project template: its path in the project, and its text."""
    top = render.TEMPLATES / "project" / template
    for source in sorted(path for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        path = source.relative_to(top).as_posix().replace("__package__", package)
        if path.endswith(".j2"):
            text = render.render(source.relative_to(render.TEMPLATES).as_posix(), name=name, package=package)
            yield PurePosixPath(path.removesuffix(".j2")), text
        else:
            yield PurePosixPath(path), source.read_text(encoding="utf-8")


def _create(root: Path, path: PurePosixPath, text: str) -> Change:
    try:
        files.write_new(root / path, text)
    except errors.Taken:
        return Change(str(path), "kept")
    return Change(str(path), "created")


def _make_folder(root: Path, folder: str) -> Change:
    path = root / folder
    if files.inside(root, path) is None:
        raise errors.InvalidInput(
            f"{path} lies outside of the project {root}.", "Set notebooks_dir to a folder of the project."
        )
    if path.is_dir():
        return Change(f"{folder}/", "kept")
    files.make_folder(path)
    return Change(f"{folder}/", "created")


def _ignore(root: Path) -> Change:
    """Lines are added at the end, in the file's own line endings; whatever else is in it stays, byte for byte."""
    path = root / ".gitignore"
    lines = f"Add these lines to it yourself: {' '.join(IGNORED)}"
    if files.inside(root, path) is None:
        raise errors.InvalidInput(f"{path} leads to a file outside of the project.", lines)
    try:
        there = path.read_bytes() if path.exists() else b""
        missing = [line.encode() for line in IGNORED if line.encode() not in map(bytes.strip, there.splitlines())]
        if not missing:
            return Change(".gitignore", "kept")
        end = b"\r\n" if b"\r\n" in there else b"\n"
        gap = b"" if not there or there.endswith(b"\n") else end
    except OSError as error:
        raise errors.InvalidInput(f"{path} can't be read: {error.strerror}.", lines) from error
    files.write_atomic(path, there + gap + b"".join(line + end for line in missing))
    return Change(".gitignore", "extended" if there else "created")
