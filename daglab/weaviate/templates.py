"""Schemas kept for further collections: a project's, in `.daglab/templates/collections/`, and daglab's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daglab import errors, files, parse
from daglab.weaviate import schemas

FOLDER = Path(".daglab", "templates", "collections")
OWN = Path(__file__).resolve().parent.parent / "templates" / "collections"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")


@dataclass(frozen=True)
class Template:
    """A schema by its name, and where it stands; `is_own` is for those that come with daglab."""

    name: str
    path: Path
    is_own: bool


def listed(root: Path) -> list[Template]:
    """The templates of the project and those of daglab, by name; of one name, the project's."""
    found = {path.stem: Template(path.stem, path, True) for path in OWN.glob("*.json")}
    found.update({path.stem: Template(path.stem, path, False) for path in (root / FOLDER).glob("*.json")})
    return [found[name] for name in sorted(found)]


def load(root: Path, name: str) -> dict[str, Any]:
    """The schema of a template. Raises `InvalidInput` for one that there is not, and for a broken one."""
    there = {each.name: each for each in listed(root)}
    if name not in there:
        hint = parse.did_you_mean(name, there) or f"There are {', '.join(there)}."
        raise errors.InvalidInput(f"There is no template {name!r}.", hint)
    if files.is_special(there[name].path):  # a pipe would be waited for
        raise errors.InvalidInput(
            f"The template {there[name].path} is no ordinary file.", "Delete it, or save it anew."
        )
    return read(there[name].path)


def read(path: Path) -> dict[str, Any]:
    """The schema in a JSON or YAML file. Raises `NotSetUp` for a missing one, `InvalidInput` for what is no schema."""
    hint = "A schema is a mapping; its `properties` are a list, each with a `name` and a `dataType`."
    try:
        found = parse.run_config(files.read_text(path, "schema"), f"schema {path}")
    except errors.InvalidInput as error:
        raise errors.InvalidInput(error.message, hint) from None
    listed = found.get("properties") or []
    if not isinstance(listed, list) or not all(isinstance(each, dict) and "name" in each for each in listed):
        raise errors.InvalidInput(f"{path} is no schema of a collection.", hint)
    return found


def save(root: Path, name: str, schema: Mapping[str, Any], *, force: bool) -> Path:
    """Keep a collection's schema, without what belongs to its server. Raises `Taken` for one that is there."""
    if not _NAME.fullmatch(name):
        raise errors.InvalidInput(
            f"{name!r} is no name of a template.", "Letters, digits, `_`, `-` and `.` may be in it."
        )
    path = root / FOLDER / f"{name}.json"
    text = json.dumps(schemas.portable(schema), indent=2, ensure_ascii=False) + "\n"
    if force:
        files.write_atomic(path, text, follow=False)
    else:
        files.write_new(path, text)
    return path


def remove(root: Path, name: str) -> Path:
    """Delete a template of the project. Raises `InvalidInput` for one that is not there, or is daglab's own."""
    there = {each.name: each for each in listed(root)}
    if name in there and there[name].is_own:
        raise errors.InvalidInput(f"{name} comes with daglab.", "Only the project's own templates can be deleted.")
    if name not in there:
        raise errors.InvalidInput(f"There is no template {name!r}.", "`daglab collections template list` shows them.")
    there[name].path.unlink()
    return there[name].path


def named(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A schema for a collection `name`. Raises `InvalidInput` for a name that Weaviate does not take."""
    schemas.check_name(name)
    return schemas.portable({"class": name, **schema}, name)


def changed(schema: Mapping[str, Any], assignments: Mapping[str, str]) -> dict[str, Any]:
    """A schema with values put at paths such as `replicationConfig.factor` or `properties.title.tokenization`.

    A value is JSON (`3`, `true`, `["a"]`), or else text. A part of a path names a member, or one of a list, by its name
    or its number. Raises `InvalidInput` for a path that leads through no mapping or list.
    """
    found: dict[str, Any] = json.loads(json.dumps(schema))
    for path, text in assignments.items():
        *way, last = path.split(".")
        place: Any = found
        for part in way:
            place = _inside(place, part, path)
        if isinstance(place, list):
            place[_index(place, last, path)] = _value(text)
        else:
            place[last] = _value(text)
    return found


def _inside(place: Any, part: str, path: str) -> Any:
    inner = place[_index(place, part, path)] if isinstance(place, list) else place.setdefault(part, {})
    if not isinstance(inner, (dict, list)):
        raise errors.InvalidInput(f"--set {path}: {part} is a value, and nothing is below it.", "Correct the path.")
    return inner


def _index(place: list[Any], part: str, path: str) -> int:
    names = [str(each.get("name")) if isinstance(each, dict) else str(each) for each in place]
    if part in names:
        return names.index(part)
    if part.isdecimal() and int(part) < len(place):
        return int(part)
    hint = parse.did_you_mean(part, names) or f"There are {', '.join(names) or 'none'}."
    raise errors.InvalidInput(f"--set {path}: there is no {part!r}.", hint)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
