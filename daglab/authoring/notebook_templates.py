"""Templates of notebooks: daglab's own, and a project's, which may extend them block by block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daglab import errors, files, parse, render

OWN = render.TEMPLATES / "notebook"
FOLDER = Path(".daglab/templates")
SUFFIX = ".py.j2"
BASE = "base"  # what the others extend; no notebook by itself


@dataclass(frozen=True)
class Template:
    """A template by name, where it lies, what it is for, and whether it is the project's."""

    name: str
    path: Path
    what: str
    is_own: bool


def every(root: Path) -> list[Template]:
    """daglab's templates and the project's; one of the project's hides daglab's of the same name."""
    found = {path.name.removesuffix(SUFFIX): path for path in sorted(OWN.glob(f"*{SUFFIX}"))}
    names = {name: _template(name, path, is_own=False) for name, path in found.items() if name != BASE}
    for path in sorted((root / FOLDER).glob(f"*{SUFFIX}")):
        if not path.is_file() or files.inside(root, path) is None:
            continue
        names[path.name.removesuffix(SUFFIX)] = _template(path.name.removesuffix(SUFFIX), path, is_own=True)
    return sorted(names.values(), key=lambda each: (each.is_own, each.name))


def is_name(text: str) -> bool:
    """Whether a template is named, and not the path of its file."""
    return "/" not in text and not text.endswith(".j2")


def find(root: Path, name: str) -> Template:
    """The template of a name, or in a file. Raises `InvalidInput` with the nearest names, `NotSetUp` for no file."""
    if not is_name(name):
        path = Path(name).resolve()
        if not path.is_file():
            raise errors.NotSetUp(f"There is no template {name}.", "`daglab scaffold --list-templates` lists names.")
        return _template(path.name.removesuffix(SUFFIX), path, is_own=True)
    there = {each.name: each for each in every(root)}
    if name not in there:
        near = parse.did_you_mean(name, there)
        raise errors.InvalidInput(
            f"There is no template {name!r}.", near or "`daglab scaffold --list-templates` lists them."
        )
    return there[name]


def text(root: Path, template: Template, values: Mapping[str, Any]) -> str:
    """The notebook that a template makes. Raises `InvalidInput` for a template that can't be filled, and where."""
    import jinja2

    folders = {"daglab": OWN, "project": root / FOLDER, "file": template.path.parent}
    try:
        made = render.render_from(folders, f"{'file' if template.is_own else 'daglab'}/{template.path.name}", values)
    except jinja2.TemplateSyntaxError as error:
        place = f"{error.name}:{error.lineno}" if error.name else template.path
        raise _broken(place, str(error.message)) from None
    except (
        jinja2.TemplateError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
        MemoryError,
    ) as error:
        raise _broken(template.path, f"{type(error).__name__}: {error}") from None
    try:
        compile(made, str(template.path), "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = made.splitlines()[error.lineno - 1].strip() if isinstance(error, SyntaxError) and error.lineno else ""
        raise _broken(template.path, f"it makes no Python: {error}: {line}") from None
    if "app = marimo.App(" not in made:
        raise _broken(template.path, "it makes no marimo notebook")
    return made


def eject(root: Path, name: str) -> Path:
    """Copy one of daglab's templates into the project, to be changed. Raises `Taken` when it has one of that name."""
    template = find(root, name)
    if template.is_own:
        raise errors.Taken(f"{template.path} is there already.", "Change it, or delete it to eject daglab's again.")
    target = root / FOLDER / template.path.name
    if files.inside(root, target) is None:
        raise errors.InvalidInput(f"{target} lies outside of the project {root}.", "Take the link away.")
    files.write_new(target, template.path.read_text(encoding="utf-8"))
    return target


def _template(name: str, path: Path, *, is_own: bool) -> Template:
    """What it is for stands in the comment that it begins with."""
    try:
        first = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except OSError:
        first = ""
    what = first.strip().removeprefix("{#").removesuffix("#}").strip() if first.startswith("{#") else ""
    return Template(name, path, what, is_own)


def _broken(place: object, why: str) -> errors.InvalidInput:
    return errors.InvalidInput(
        f"The template {place} can't be filled: {why}.",
        "Mend it; `daglab scaffold --eject NAME` gives one to compare with.",
    )
