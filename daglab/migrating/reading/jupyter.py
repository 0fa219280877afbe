"""Jupyter notebooks as they are found: any nbformat, and members that are missing or of a wrong type put right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daglab import errors
from daglab.migrating import cells
from daglab.migrating.reading import ipynb, kernels, upgrades

NEWEST = 4
_KINDS = ("code", "markdown", "raw")


def read(path: Path) -> cells.Jupyter:
    """Read a Jupyter notebook; nothing in it is executed.

    Raises NotSetUp when there is none (or an older format needs nbformat, which is not installed), InvalidInput for
    what is none, and for one of another kernel than Python, with its name.
    """
    loaded = ipynb.load(path)
    notes = list(loaded.notes)
    major, minor = _format(path, loaded.body)
    body: Mapping[str, Any] = loaded.body
    if major < NEWEST:
        body = upgrades.upgraded(path, body, major)
        notes.append(cells.Note("format", f"Upgraded from nbformat {major} by nbformat."))
    found = _cells(path, body, notes)
    metadata = _mapping(body.get("metadata"), "The notebook's metadata are no object", None, notes)
    notes += kernels.check(path, metadata, found)
    title = _title(metadata, found)
    authors = _authors(metadata)
    if authors:
        notes.append(cells.Note("format", f"Its authors have no place in a marimo notebook: {authors}."))
    said = f"{major}.{minor}" if major != 1 else "1"
    return cells.Jupyter(path, said, tuple(found), metadata, title, loaded.content, tuple(notes))


def _format(path: Path, body: Mapping[str, Any]) -> tuple[int, int]:
    """The nbformat, by what the file says as long as its shape fits. Raises InvalidInput for no notebook."""
    major, minor = _whole(body.get("nbformat")), _whole(body.get("nbformat_minor")) or 0
    if major is not None and major > NEWEST:
        raise errors.InvalidInput(
            f"{path} is of nbformat {major}; daglab knows 1 to {NEWEST}.",
            f"Save it as nbformat {NEWEST}: jupyter nbconvert --to notebook --nbformat {NEWEST} FILE",
        )
    if isinstance(body.get("cells"), list):
        if major == 1 or (major is None and _looks_first(body["cells"])):
            return 1, 0
        return NEWEST, minor if major == NEWEST else 0
    if isinstance(body.get("worksheets"), list):
        return (2, 0) if major == 2 else (3, minor if major == 3 else 0)
    if "paragraphs" in body:
        raise errors.InvalidInput(f"{path} is a Zeppelin notebook, not Jupyter's.", ipynb.NAME_ONE)
    members = "cells" if major is None or major >= NEWEST or major == 1 else "worksheets"
    raise errors.InvalidInput(
        f"{path} is no Jupyter notebook: it has no list of {members}.",
        ipynb.NAME_ONE if major is None else "Take a whole copy of it, from .ipynb_checkpoints or version control.",
    )


def _looks_first(found: list[Any]) -> bool:
    """Whether cells are those of nbformat 1, whose files do not say what they are."""
    return any(
        isinstance(each, Mapping) and "source" not in each and ("code" in each or "text" in each) for each in found
    )


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\d{1,4}", value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _cells(path: Path, body: Mapping[str, Any], notes: list[cells.Note]) -> list[cells.Original]:
    found = []
    for number, each in enumerate(body["cells"], 1):
        if isinstance(each, Mapping):
            found.append(_cell(number, each, notes))
        else:
            notes.append(cells.Note("format", "Left out: it is no cell, only a value.", number, True))
    if not found and body["cells"]:
        raise errors.InvalidInput(f"{path} is no Jupyter notebook: none of its cells is an object.", ipynb.NAME_ONE)
    return found


def _cell(number: int, each: Mapping[str, Any], notes: list[cells.Note]) -> cells.Original:
    kind = _kind(number, each, notes)
    source = _source(number, each, notes)
    if each.get("cell_type") == "heading":
        level = _whole(each.get("level")) or 1
        source = f"{'#' * min(max(level, 1), 6)} {' '.join(source.split())}"
    metadata = _mapping(each.get("metadata"), "Its metadata are no object", number, notes)
    tags = metadata.get("tags", [])
    tags = [tags] if isinstance(tags, str) else tags if isinstance(tags, list) else []
    count = each.get("execution_count")
    return cells.Original(
        number,
        kind,
        source,
        tuple(tag for tag in tags if isinstance(tag, str)),
        metadata,
        count if isinstance(count, int) and not isinstance(count, bool) else None,
        _outputs(number, each.get("outputs"), notes) if kind == "code" else (),
        _attachments(number, each.get("attachments"), notes),
    )


def _kind(number: int, each: Mapping[str, Any], notes: list[cells.Note]) -> str:
    """One of nbformat's three kinds; what is none of them is raw, so that it ends as text."""
    kind = each.get("cell_type")
    if kind in ("heading", "html"):
        return "markdown"
    if isinstance(kind, str) and kind in _KINDS:
        return kind
    if kind is None and ("outputs" in each or "execution_count" in each):
        notes.append(cells.Note("format", "It does not say what kind of cell it is: read as code.", number))
        return "code"
    named = f"of the unknown kind {_short(kind)}" if kind is not None else "that does not say what kind it is"
    notes.append(cells.Note("format", f"A cell {named}: read as a raw cell.", number, True))
    return "raw"


def _source(number: int, each: Mapping[str, Any], notes: list[cells.Note]) -> str:
    value = each.get("source", each.get("input"))
    if value is not None and not isinstance(value, (str, list)):
        notes.append(cells.Note("format", "Its source is no text: left out.", number, True))
    elif isinstance(value, list) and any(part is not None and not isinstance(part, str) for part in value):
        notes.append(cells.Note("format", "Lines of its source that are no text were left out.", number, True))
    return re.sub(r"\r\n?", "\n", _joined(value))


def _joined(value: Any) -> str:
    """A text of nbformat 4, which may come in pieces."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _outputs(number: int, value: Any, notes: list[cells.Note]) -> tuple[Mapping[str, Any], ...]:
    outputs = value if isinstance(value, list) else []
    made = [output for output in map(_output, outputs) if output is not None]
    if len(made) < len(outputs) or not isinstance(value, (list, type(None))):
        notes.append(cells.Note("output", "Outputs that are none by nbformat were left out.", number))
    return tuple(made)


def _output(value: Any) -> dict[str, Any] | None:
    """An output with each member there and of its type, texts joined; None for what is no output."""
    if not isinstance(value, Mapping):
        return None
    kind = value.get("output_type")
    if kind == "stream":
        name = "stderr" if value.get("name") == "stderr" else "stdout"
        return {"output_type": kind, "name": name, "text": _joined(value.get("text"))}
    if kind == "error":
        lines = value.get("traceback")
        return {
            "output_type": kind,
            "ename": _joined(value.get("ename")),
            "evalue": _joined(value.get("evalue")),
            "traceback": [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else [],
        }
    if kind not in ("display_data", "execute_result", "update_display_data"):
        return None
    data, metadata = value.get("data"), value.get("metadata")
    bundle = {mime: _shown(mime, part) for mime, part in data.items()} if isinstance(data, Mapping) else {}
    made = {
        "output_type": kind if kind == "execute_result" else "display_data",
        "data": {mime: part for mime, part in bundle.items() if part is not None},
        "metadata": metadata if isinstance(metadata, Mapping) else {},
    }
    if kind == "execute_result":
        count = value.get("execution_count")
        made["execution_count"] = count if isinstance(count, int) else None
    return made


def _shown(mime: str, part: Any) -> Any:
    """What an output shows in one way: any JSON for a mime type of JSON, else a text; None for what is neither."""
    if mime == "application/json" or mime.endswith("+json"):
        return part
    return _joined(part) if isinstance(part, (str, list)) else None


def _attachments(number: int, value: Any, notes: list[cells.Note]) -> dict[str, dict[str, str]]:
    made: dict[str, dict[str, str]] = {}
    found = value if isinstance(value, Mapping) else {}
    for name, bundle in found.items():
        if isinstance(bundle, Mapping):
            texts = {mime: _joined(part) for mime, part in bundle.items() if isinstance(part, (str, list))}
            if texts:
                made[name] = texts
    if len(made) < len(found) or (value and not found):
        notes.append(cells.Note("attachment", "Attachments that are none by nbformat were left out.", number, True))
    return made


def _mapping(value: Any, wrong: str, number: int | None, notes: list[cells.Note]) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    if value is not None:
        notes.append(cells.Note("format", f"{wrong}: left out.", number))
    return {}


def _title(metadata: Mapping[str, Any], found: list[cells.Original]) -> str | None:
    """The notebook's title: of its metadata, else of front matter in a first raw cell."""
    value = metadata.get("title")
    if isinstance(value, str) and value.strip():
        return _short(" ".join(value.split()))
    lines = found[0].source.lstrip().split("\n") if found and found[0].kind == "raw" else []
    if lines and lines[0].strip() == "---":
        for line in lines[1:]:
            if line.strip() in ("---", "..."):
                break
            if line.startswith("title:") and line[6:].strip():
                return _short(line[6:].strip().strip("\"'"))
    return None


def _authors(metadata: Mapping[str, Any]) -> str:
    value = metadata.get("authors")
    found = (
        [each.get("name") if isinstance(each, Mapping) else each for each in value] if isinstance(value, list) else []
    )
    return ", ".join(_short(each) for each in found[:10] if isinstance(each, str))


def _short(value: Any) -> str:
    """A value out of the file as one short printable line."""
    return "".join(each if each.isprintable() else " " for each in str(value)[:200])
