"""The exports on record as rows: what they are, where, attached to what, and how each stands; finding one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from daglab import errors, files, parse
from daglab.exported import export_copies, export_record

OK, FAILED, UNFINISHED, GONE = "ok", "failed", "unfinished", "gone"
_TEXTS = ("notebook", "output", "expires_at", "link")


@dataclass(frozen=True)
class Wanted:
    """Which rows are asked for; `since` is a time, `all` also those that were taken away or written over."""

    notebook: str | None = None
    target: str | None = None
    since: datetime | None = None
    failed: bool = False
    all: bool = False


def rows(root: Path) -> list[dict[str, Any]]:
    """A row for each export, the newest first, and for each that was broken off before it was recorded.

    `id, at, notebook, output, bytes, uploaded` (the address of a copy in a cloud that stands, or null), `attached` and
    `targets` (names), `partition, expires_at, link, signed_until, state`, and `copies` (`local`, `cloud`) that stand.
    Nothing but the record is looked at.
    """
    standing: dict[str, set[str]] = {}
    for copy in export_record.copies(root):
        standing.setdefault(copy.id, set()).add(copy.where)
    unfinished = {each["id"]: each["steps"] for each in export_record.unfinished(root)}
    lines = {line["id"]: line for line in export_record.read(root)}
    found = [
        _row(line, standing.get(identity, set()), unfinished.pop(identity, None)) for identity, line in lines.items()
    ]
    found += [_broken_off(identity, steps) for identity, steps in unfinished.items()]
    return [*reversed(found)]


def _row(line: Mapping[str, Any], standing: set[str], steps: list[dict[str, Any]] | None) -> dict[str, Any]:
    is_open = steps is not None or line.get("attach") == "unknown" or bool(line.get("pending"))
    # Outside of the project nothing is ever taken away, so what was exported there is not known to be gone.
    is_outside = isinstance(line.get("output"), str) and os.path.isabs(line["output"])
    state = GONE if not standing and not is_outside else OK
    state = FAILED if line.get("ok") is not True else UNFINISHED if is_open else state
    signed, upload = line.get("signed"), line.get("upload")
    size, at = line.get("bytes"), export_record.time_of(line.get("exported_at"))
    texts = {name: line[name] if isinstance(line.get(name), str) else None for name in _TEXTS}
    address = upload.get("address") if isinstance(upload, dict) else None
    return {
        "id": line["id"],
        "at": at.isoformat() if at else None,
        **texts,
        "link": parse.display_url(texts["link"]) if texts["link"] else None,
        "bytes": size if type(size) is int else None,
        "uploaded": address if isinstance(address, str) and export_copies.CLOUD in standing else None,
        "attached": [export_copies.name(aim) for aim in export_copies.aims(line)],
        "targets": [each for each in _list(line.get("targets")) if isinstance(each, str)],
        "signed_until": _text(signed.get("expires_at")) if isinstance(signed, dict) else None,
        "state": state,
        "copies": sorted(standing),
        "gone": not standing and not is_outside,
    }


def _broken_off(identity: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """What the intents tell of an export that has no line of its own."""
    about = next((each["export"] for each in steps if isinstance(each.get("export"), dict)), steps[0])
    row = _row({**about, "id": identity, "ok": True}, {export_copies.LOCAL}, steps)
    at = export_record.time_of(steps[0].get("at"))
    return {**row, "at": row["at"] or (at.isoformat() if at else None)}


def chosen(found: Iterable[dict[str, Any]], wanted: Wanted) -> list[dict[str, Any]]:
    """The rows that are asked for, in their order."""
    return [row for row in found if _is_wanted(row, wanted)]


def _is_wanted(row: Mapping[str, Any], wanted: Wanted) -> bool:
    if row["gone"] and not (wanted.all or wanted.failed):
        return False
    if wanted.failed and row["state"] != FAILED:
        return False
    if wanted.notebook is not None and row["notebook"] != wanted.notebook:
        return False
    named = {*row["targets"], *row["attached"]}
    if wanted.target is not None and not {wanted.target, wanted.target.partition("@")[0]} & named:
        return False
    at = export_record.time_of(row["at"])
    return wanted.since is None or (at is not None and at >= wanted.since)


def find(root: Path, named: str, here: Path) -> dict[str, Any]:
    """The row that is meant: by the beginning of its id, or by the path of its HTML, from `here` or the root.

    Of several at a path it is the newest. Raises `InvalidInput` for none, and for a beginning that several have.
    """
    found = rows(root)
    paths = {export_record.relative(root, start / named) for start in (here, root)} if "\0" not in named else set()
    by_path = [row for row in found if row["output"] in {*paths, named} or row["uploaded"] == named]
    by_id = [row for row in found if row["id"].startswith(named)]
    if by_path:
        return by_path[0]
    if len(by_id) == 1 or (by_id and by_id[0]["id"] == named):
        return by_id[0]
    if by_id:
        ids = ", ".join(row["id"][:12] for row in by_id[:5])
        raise errors.InvalidInput(f"{len(by_id)} exports have an id that begins with {named}.", f"Say more: {ids}")
    raise errors.InvalidInput(f"No export on record has the id or the path {named}.", "`daglab exports list --all`")


def line_of(root: Path, identity: str) -> dict[str, Any]:
    """The export's line with all later facts; that of one that was broken off is made of its intents."""
    line = next((line for line in export_record.read(root) if line["id"] == identity), None)
    if line is not None:
        return line
    steps = [step for each in export_record.unfinished(root) if each["id"] == identity for step in each["steps"]]
    about = [each["export"] for each in steps if isinstance(each.get("export"), dict)]
    return {**(about[0] if about else {}), "id": identity}


def history(root: Path, identity: str) -> list[dict[str, Any]]:
    """What happened to an export, oldest first: `at, what` and what is known of it; no signed link in full."""
    found = []
    for line in export_record.history(root, identity):
        kind = next((name for name in ("intent", "amends", "expired") if name in line), "exported")
        what = {
            "intent": f"about to {line.get('step')}",
            "amends": "recorded: " + ", ".join(sorted(set(line) - {"v", "at", "amends"})),
            "expired": "left alone: it was changed" if line.get("kept") else "the HTML was taken away",
            "exported": "exported",
        }[kind]
        at = export_record.time_of(line.get("exported_at" if kind == "exported" else "at"))
        about = next((line[name] for name in ("target", "address", "output") if isinstance(line.get(name), str)), None)
        found.append({"at": at.isoformat() if at else None, "what": what, "about": about})
    return found


def is_there(root: Path, output: str | None) -> Path | None:
    """The HTML of an export, where there is a file at its path, inside the project or where the user had it put."""
    if output is None or "\0" in output:
        return None
    path = root / output
    is_own = os.path.isabs(output) or files.inside(root, path) is not None
    return path if is_own and path.is_file() else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
