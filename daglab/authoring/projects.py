"""Projects: what daglab puts into one, and making a new one from a template.

Nothing is written over but with `force`, and then only what daglab itself has made: a template's files, and the keys
that are asked for in daglab.yaml.
"""

from __future__ import annotations

import dataclasses
import keyword
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from daglab import errors, files, render
from daglab.settings import config, config_edit, config_keys

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*[A-Za-z0-9]|[A-Za-z]")
LONGEST_NAME = 100
# A package of one of these names hides a folder of the project, or a package that it or Dagster needs.
FOLDERS = {"dagster", "data", "exports", "tests"}
PACKAGES = {"click", "daglab", "jinja2", "marimo", "pydantic", "pytest", "requests", "sqlalchemy", "tabulate", "yaml"}
TEMPLATES = ("minimal", "standard", "ml")
EMPTY = "empty"  # the template without examples
MARKERS = ("workspace.yaml", "dagster.yaml", "dg.toml", "dagster_cloud.yaml")
DEPENDENCIES = (
    *("pyproject.toml", "setup.py", "setup.cfg", "Pipfile", "environment.y*ml"),
    *("requirements*.txt", "requirements*.in", "requirements/*.txt", "requirements/*.in"),
)
IGNORED = (".daglab/", "__marimo__/", "/exports/")
MAKEFILES = ("Makefile", "makefile", "GNUmakefile")
_TABLE = re.compile(r"^\s*\[tool\.(dagster|dg)[\].]", re.MULTILINE)
# A line that starts with the name, or a quoted text that does: "dagster>=1.5", dagster = "^1.5", dagster-webserver.
_DEPENDENCY = re.compile(r"""(^[ \t]*(?:- *)?|["'])dagster(-\w[\w-]*)?\s*(["',\[<>=!~;@]|$)""", re.MULTILINE)


@dataclass(frozen=True)
class Change:
    """What became of one file, its path from the project's root: `created`, `extended`, `replaced` or `kept`."""

    path: str
    what: str


@dataclass(frozen=True)
class Wishes:
    """How a project is to be set up: values of its config by key, and what may be done. Dry tells and does nothing."""

    values: Mapping[str, str | int] = field(default_factory=dict)
    makefile: bool = False
    force: bool = False
    dry: bool = False

    def value(self, key: str) -> str | int:
        """The value that is asked for, else the default."""
        default: str | int = config_keys.known()[key].default
        return self.values.get(key, default)


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


def bootstrap(
    parent: Path, name: str, *, template: str = "minimal", wishes: Wishes | None = None
) -> tuple[Path, list[Change]]:
    """Make a project `name` below `parent`; where it is there already, only what is missing is added.

    Raises `Taken` when the folder holds something else.
    """
    wishes = wishes or Wishes()
    package = package_name(name)
    root = parent / name
    if root.exists() and not (root / config.FILE_NAME).exists() and (not root.is_dir() or any(root.iterdir())):
        raise errors.Taken(
            f"{root} is there already, and is no daglab project.",
            "Choose another name, or run `daglab init` inside it.",
        )
    ports = {"dagster.port": wishes.value("dagster.port")}
    wishes = Wishes({**ports, **wishes.values}, wishes.makefile, wishes.force, wishes.dry)
    # The config comes first: with it, a project that a crash left half made is known as one, and completed.
    changes = [_configure(root, wishes)]
    for path, text in (*template_files("common", name, package), *template_files(template, name, package)):
        if path.name != ".gitkeep" or wishes.value("notebooks_dir") == path.parent.as_posix():
            changes.append(_write(root, path, text, wishes))
    return root, _once([*changes, *_complete(root, wishes)])


def _once(changes: list[Change]) -> list[Change]:
    """Each file once: one that the template makes needs nothing added."""
    return list({change.path: change for change in reversed(changes)}.values())[::-1]


def adopt(root: Path, wishes: Wishes | None = None) -> list[Change]:
    """Add what daglab needs to the project at `root`: its config, the notebooks folder, lines in .gitignore."""
    wishes = wishes or Wishes()
    return [_configure(root, wishes), *_complete(root, wishes)]


def _complete(root: Path, wishes: Wishes) -> list[Change]:
    there = (root / config.FILE_NAME).exists()
    settings = config.load({"env": ""}, directory=root) if there else None
    if settings:  # what its config says counts; a dry run has not changed that, and tells what --force would
        own = {key: settings.value(key) for key in ("notebooks_dir", "dagster.port", "marimo.port")}
        wishes = dataclasses.replace(wishes, values={**own, **(wishes.values if wishes.force else {})})
    notebooks_dir = str(wishes.value("notebooks_dir"))
    changes = [_make_folder(root, folder, wishes) for folder in (notebooks_dir, ".daglab")]
    changes.append(_ignore(root, wishes))
    return [*changes, _makefile(root, wishes)] if wishes.makefile else changes


def differing(root: Path, wishes: Wishes) -> dict[str, str | int]:
    """What is asked for and is otherwise in the config that the project has: key -> the value it has now."""
    if not (root / config.FILE_NAME).exists():
        return {}
    settings = config.load({"env": ""}, directory=root)
    return {key: settings.value(key) for key, value in wishes.values.items() if settings.value(key) != value}


def marker(root: Path) -> str | None:
    """What shows that a Dagster project lives here: a file, a table of pyproject.toml, a dependency; None for none."""
    for name in (*MARKERS, config.FILE_NAME):
        if (root / name).is_file():
            return name
    for pattern in DEPENDENCIES:
        for path in sorted(root.glob(pattern)):
            text = _without_comments(path) if path.is_file() else ""
            if path.name == "pyproject.toml" and (table := _TABLE.search(text)):
                return f"[tool.{table[1]}] in pyproject.toml"
            if _DEPENDENCY.search(text):
                return f"dagster in {path.relative_to(root)}"
    return None


def is_loaded_by_dagster(root: Path) -> bool:
    """Whether Dagster finds by itself what to load in a folder: workspace.yaml, or its table in pyproject.toml."""
    file = root / "pyproject.toml"
    return (root / "workspace.yaml").is_file() or (file.is_file() and bool(_TABLE.search(_without_comments(file))))


def _without_comments(path: Path) -> str:
    return re.sub(r"(^|\s)#.*", "", path.read_text("utf-8", "replace"))


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


def _configure(root: Path, wishes: Wishes) -> Change:
    """daglab.yaml: made where there is none; with `force`, what is asked for is set in the one that is there."""
    path = root / config.FILE_NAME
    _refuse_outside(root, path)
    if not path.exists():
        ports = {f"{name}_port": wishes.values.get(f"{name}.port") for name in ("dagster", "marimo")}
        text = render.render("project/daglab.yaml.j2", notebooks_dir=wishes.value("notebooks_dir"), **ports)
        return _write(root, PurePosixPath(config.FILE_NAME), text, wishes)
    different = differing(root, wishes)
    if not (wishes.force and different):
        return Change(config.FILE_NAME, "kept")
    text = files.read_text(path, "config file")
    for key in different:
        text = config_edit.set_value(text, tuple(key.split(".")), wishes.values[key], str(path))
    if not wishes.dry:
        files.write_atomic(path, text)
    return Change(config.FILE_NAME, "replaced")


def _refuse_outside(root: Path, path: Path) -> None:
    """A symbolic link in somebody else's project must not lead to a file of the user's."""
    if files.inside(root, path) is None:
        raise errors.InvalidInput(
            f"{path} leads to a file outside of the project.", "Look at it: ls -l, and delete it."
        )


def _write(root: Path, path: PurePosixPath, text: str, wishes: Wishes) -> Change:
    """A file of daglab's own."""
    _refuse_outside(root, root / path)
    there = (root / path).exists()
    if there and (not wishes.force or (root / path).read_bytes() == text.encode()):
        return Change(str(path), "kept")
    if wishes.dry:
        return Change(str(path), "replaced" if there else "created")
    if there:
        files.write_atomic(root / path, text)
        return Change(str(path), "replaced")
    try:
        files.write_new(root / path, text)
    except errors.Taken:
        return Change(str(path), "kept")
    return Change(str(path), "created")


def _make_folder(root: Path, folder: str, wishes: Wishes) -> Change:
    path = root / folder
    if files.inside(root, path) is None:
        raise errors.InvalidInput(
            f"{path} lies outside of the project {root}.", "Set notebooks_dir to a folder of the project."
        )
    if path.is_dir():
        return Change(f"{folder}/", "kept")
    if not wishes.dry:
        files.make_folder(path)
    return Change(f"{folder}/", "created")


def ignore(root: Path, *, dry: bool = False) -> Change:
    """Have git ignore what is not for version control; dry tells and does nothing. Raises `InvalidInput`."""
    return _ignore(root, Wishes(dry=dry))


def _ignore(root: Path, wishes: Wishes) -> Change:
    path = root / ".gitignore"
    lines = f"Add these lines to it yourself: {' '.join(IGNORED)}"
    there = _content(root, path, lines)
    stand = {line.strip().strip(b"/") for line in there.splitlines()}
    missing = [line for line in IGNORED if line.strip("/").encode() not in stand]
    return _extend(path, there, "".join(f"{line}\n" for line in missing), wishes)


def _makefile(root: Path, wishes: Wishes) -> Change:
    """Targets are added where there are none of their names; a Makefile is never changed otherwise."""
    path = next((root / name for name in MAKEFILES if (root / name).exists()), root / MAKEFILES[0])
    there = _content(root, path, "Run `daglab discover` and `marimo edit` yourself.")
    text = render.render(
        "project/Makefile.j2",
        dagster_port=wishes.value("dagster.port"),
        marimo_port=wishes.value("marimo.port"),
        notebooks_dir=shlex.quote(str(wishes.value("notebooks_dir"))),
    )
    own = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    targets = own[1].split() if own else []
    taken = [name for name in targets if re.search(rf"^{name}\s*:".encode(), there, re.MULTILINE)]
    return Change(path.name, "kept") if taken else _extend(path, there, f"\n{text}" if there else text, wishes)


def _content(root: Path, path: Path, hint: str) -> bytes:
    if files.inside(root, path) is None:
        raise errors.InvalidInput(f"{path} leads to a file outside of the project.", hint)
    try:
        return path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise errors.InvalidInput(f"{path} can't be read: {error.strerror}.", hint) from error


def _extend(path: Path, there: bytes, text: str, wishes: Wishes) -> Change:
    """Text is added at the end, in the file's own line endings; what else is in it stays, byte for byte."""
    if not text:
        return Change(path.name, "kept")
    end = b"\r\n" if b"\r\n" in there else b"\n"
    gap = b"" if not there or there.endswith(b"\n") else end
    if not wishes.dry:
        files.write_atomic(path, there + gap + text.encode().replace(b"\n", end))
    return Change(path.name, "extended" if there else "created")
