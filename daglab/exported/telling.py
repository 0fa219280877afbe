"""What a person sees of exports: tables, and one in full; no signed link whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from daglab import output, parse, redaction, scales
from daglab.exported import export_copies, export_record

if TYPE_CHECKING:  # these bring in requests: a list does without
    from daglab.exported import resigning, retention, verification

HEADERS = ("Id", "At", "Notebook", "Output", "Size", "Uploaded", "Attached", "Expires", "State")
_FACTS = ("exported_at", "seconds", "sha256", "content_sha256", "git", "parameters", "results", "failed")
_LISTS = ("attached_to", "parameters", "results", "git", "upload", "check")


def rows(found: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A row for each export."""
    return [
        (
            each["id"][:12],
            moment(each["at"]),
            each["notebook"] or "",
            each["output"] or "",
            "" if each["bytes"] is None else scales.figure(each["bytes"], "bytes"),
            each["uploaded"] or "",
            ", ".join(each["attached"]),
            moment(each["expires_at"])[:10],
            each["state"],
        )
        for each in found
    ]


def moment(text: str | None) -> str:
    """A time as it is here."""
    at = export_record.time_of(text)
    return f"{at.astimezone():%Y-%m-%d %H:%M}" if at else ""


def document(row: dict[str, Any], line: dict[str, Any], history: list[dict[str, Any]]) -> dict[str, Any]:
    """All that is known of an export, without what looks secret, and without the queries of its links."""
    about = {each: line.get(each) for each in _FACTS}
    done = {"upload": line.get("upload"), "attached_to": line.get("attached"), "check": line.get("check")}
    found: dict[str, Any] = _without_queries(redaction.masked({**row, **about, **done, "history": history}))
    return found


def show(found: dict[str, Any]) -> None:
    """Print that."""
    simple = [(each, value) for each, value in found.items() if not isinstance(value, (list, dict))]
    output.table([(_label(each), value) for each, value in simple if value is not None], ("What", "Value"))
    for each in _LISTS:
        if found[each]:
            listed = found[each] if isinstance(found[each], list) else [found[each]]
            output.data("\n".join(["", f"{_label(each)}:", *(f"  {_members(one)}" for one in listed)]))
    output.data("\nHistory:")
    for each in found["history"]:
        output.data(f"  {moment(each['at'])}  {each['what']}{': ' + each['about'] if each['about'] else ''}")


def due(found: Sequence[resigning.Due]) -> list[dict[str, Any]]:
    """Which links would be renewed, in JSON."""
    return [
        {
            "id": each.copy.id,
            "place": each.copy.place,
            "expires_at": each.until.isoformat(),
            "attached": [export_copies.name(aim) for aim in each.aims],
        }
        for each in found
    ]


def show_due(listed: Sequence[dict[str, Any]]) -> None:
    """Print that."""
    cells = [(each["id"][:12], each["place"], moment(each["expires_at"]), *each["attached"][:1]) for each in listed]
    output.table(cells, ("Id", "Uploaded", "Link runs out", "Attached"))


def show_expired(found: retention.Outcome) -> None:
    """Print what would go, and what stays."""
    cells = [(each["where"], each["place"], scales.figure(each["bytes"], "bytes")) for each in found.removed]
    output.table(cells, ("Where", "What", "Size"))
    show_kept(found)


def show_kept(found: retention.Outcome) -> None:
    """Say what stays and why."""
    for each in found.kept:
        output.note(f"{each['place']} stays: {each['why']}.")


def show_verified(found: verification.Outcome) -> None:
    """Print what differs, and what could not be read."""
    cells = [(each["kind"], each["place"], each["detail"]) for each in found.differences]
    output.table(cells, ("What", "Where", "Why"))
    for each in found.unread:
        output.warn(f"{each['place']} could not be read: {each['why']}")
    for place in found.out_of_sight:
        output.note(f"{place} was uploaded to a presigned address: nobody can look there.")
    local, cloud = found.compared[export_copies.LOCAL], found.compared[export_copies.CLOUD]
    differences = scales.counted(len(found.differences), "difference")
    output.data(f"Compared {scales.counted(local, 'file')} and {scales.counted(cloud, 'object')}: {differences}.")


def _label(text: str) -> str:
    return text.replace("_", " ").capitalize()


def _members(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{each} {one}" for each, one in value.items() if one is not None)


def _without_queries(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_queries(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_queries(each) for each in value]
    return parse.plain(value) if isinstance(value, str) and value.startswith(("https://", "http://")) else value
