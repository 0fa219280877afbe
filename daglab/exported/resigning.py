"""Renewing signed links that run out, and attaching the new ones where the old ones are what people see."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from daglab import errors, parse
from daglab.attaching import attach, observations
from daglab.deployment import dagster_api
from daglab.exported import evidence, export_copies, export_record
from daglab.exporting import broken_off, export_locks, uploads
from daglab.settings import config

TITLE = "Notebook export, link renewed"
Connect = Callable[[], dagster_api.DagsterApi]


@dataclass(frozen=True)
class Due:
    """An export whose link is to be renewed: its copy in the cloud, its line, and the assets that show the old link.

    `until` is when the first of the links that people see runs out; `seconds` is for how long the old one was signed.
    """

    copy: export_copies.Copy
    line: Mapping[str, Any]
    aims: tuple[export_copies.Aim, ...]
    until: datetime
    seconds: int


def due(root: Path, now: datetime, within: timedelta | None, ids: Sequence[str] = ()) -> list[Due]:
    """The exports with a signed link that runs out within that time (None: whenever), or those of these ids.

    Not those whose own time is over, and of what they are attached to only that which nothing newer was attached to.
    """
    pages = export_record.attached(root)
    copies = {copy.id: copy for copy in export_record.copies(root) if copy.where == export_copies.CLOUD}
    found = []
    for line in export_record.read(root):
        copy, signed = copies.get(line["id"]), line.get("signed")
        if not isinstance(signed, dict):
            continue
        until = export_record.time_of(signed.get("expires_at"))
        if copy is None or until is None or export_record.is_over(line, now) or (ids and line["id"] not in ids):
            continue
        shown = {aim: end for aim, end in _shown(line, until) if aim in pages and pages[aim].attached == line["id"]}
        first = min([until, *shown.values()])
        if ids or within is None or first <= now + within:
            seconds = signed.get("seconds")
            known = seconds if type(seconds) is int and seconds > 0 else 7 * 86_400
            found.append(Due(copy, line, tuple(shown), first, known))
    return found


def _shown(line: Mapping[str, Any], until: datetime) -> Iterator[tuple[export_copies.Aim, datetime]]:
    """What an export is attached to, each with when the link that is seen there runs out."""
    for each in _entries(line):
        one = {**line, "attached": [each]}
        for aim in export_copies.aims(one):
            yield aim, export_record.time_of(each.get("expires_at")) or until


def _entries(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    done = line.get("attached")
    return [each for each in done if isinstance(each, dict)] if isinstance(done, list) else []


def renew(settings: config.Config, each: Due, seconds: int, connect: Connect) -> dict[str, Any]:
    """Sign the object for so many seconds, and attach the new link to each asset that shows the old one.

    Each step is on record before it is taken. Gives back `id, place, expires_at, attached`. Raises `NotGood` where the
    object is not what was uploaded, `Taken` while it is exported again, and what signing and attaching raise: what was
    done till then is recorded, and the next time goes on from there.
    """
    root = settings.root
    with export_locks.held(root, root / each.copy.output):
        if each.copy not in export_record.copies(root):
            raise errors.Taken(f"{each.copy.place} was exported again meanwhile.", "Give the same command again.")
        place, key = evidence.located(each.copy)
        if evidence.look(each.copy) != evidence.SAME:
            raise errors.NotGood(
                f"{each.copy.place} is not what was uploaded, so no link to it is renewed.",
                "`daglab exports verify` compares all of them; export the notebook again.",
            )
        export_record.intend(root, each.copy.id, "sign", address=each.copy.place)
        try:
            signed = uploads.signed(place, key, seconds)
        except errors.DaglabError:  # nobody has such a link
            export_record.amend(root, each.copy.id, closed=["sign"])
            raise
        old = each.line["signed"].get("expires_at")
        attached = [{**entry, "expires_at": entry.get("expires_at") or old} for entry in _entries(each.line)]
        entries = _renewed(each.line, signed["url"])
        export_record.amend(
            root,
            each.copy.id,
            signed=signed,
            attached=attached,
            entries=[vars(entry) for entry in entries],
            closed=["sign"],
        )
        done = []
        # Those first of which nobody knows: what is recorded of another closes all intents to attach.
        for aim in sorted(each.aims, key=lambda aim: not _begun(root, each, aim)):
            what = _observation(each, aim, signed["url"], entries)
            attached = _attached(settings, each, aim, what, (connect, signed, attached))
            done.append(export_copies.name(aim))
    about = {"id": each.copy.id, "place": each.copy.place, "expires_at": signed["expires_at"]}
    return {**about, "attached": done}


def _attached(
    settings: config.Config,
    each: Due,
    aim: export_copies.Aim,
    what: observations.Observation,
    with_it: tuple[Connect, Mapping[str, Any], list[dict[str, Any]]],
) -> list[dict[str, Any]]:
    """Attach it to one of them, and record that; the list of all attachments as it is then."""
    connect, signed, attached = with_it
    root, (target, partition) = settings.root, aim
    api = connect()
    attach.permit(api, None)
    attach.targets(api, settings, parse.AttachTarget(asset=what.asset, partition=partition))
    about = {"target": target, "partition": partition, "via": None, "link": parse.plain(what.link), "link_type": None}
    others = [entry for entry in attached if aim not in export_copies.aims({**each.line, "attached": [entry]})]
    for step in _begun(root, each, aim):
        at = export_record.time_of(step.get("at"))
        found = attach.find(api, replace(what, id=step["observation"]), at)
        if found is not None and _lasts(step, each.seconds):
            new = {**about, "via": found.via, "at": step.get("at"), "expires_at": step["expires_at"]}
            export_record.amend(root, each.copy.id, attached=[*others, new])
            return [*others, new]
    until = signed["expires_at"]
    begun = {"target": target, "partition": partition, "observation": what.id, "expires_at": until}
    export_record.intend(root, each.copy.id, "attach", **begun)
    try:
        python = settings.python_for(root / str(each.line.get("notebook") or ""))
        done = attach.attach(api, settings, what, via=None, python=python)
    except errors.OutcomeUnknown:
        raise
    except errors.DaglabError:
        export_record.amend(root, each.copy.id, closed=["attach"])
        raise
    now = datetime.now(timezone.utc).isoformat()
    new = {**about, "via": done.via, "link": parse.plain(done.link), "link_type": done.link_type}
    new.update(at=now, expires_at=until)
    export_record.amend(root, each.copy.id, attached=[*others, new])
    return [*others, new]


def _begun(root: Path, each: Due, aim: export_copies.Aim) -> list[dict[str, Any]]:
    """The new links that were about to be attached to it, and nobody knows whether they were."""
    found = broken_off.steps(root, each.copy.id)
    attaching = [step for step in found if step.get("step") == "attach" and isinstance(step.get("observation"), str)]
    return [step for step in attaching if (step.get("target"), step.get("partition")) == aim]


def _lasts(step: Mapping[str, Any], seconds: int) -> bool:
    """Whether the link that was attached then is still good for more than half of its time."""
    until = export_record.time_of(step.get("expires_at"))
    return until is not None and until - datetime.now(timezone.utc) > timedelta(seconds=seconds / 2)


def _observation(
    each: Due, aim: export_copies.Aim, url: str, entries: Sequence[observations.Entry]
) -> observations.Observation:
    """What is attached: the same as before with the new link, and an id that tells it from the first."""
    identity = f"{each.copy.id}+{uuid.uuid4().hex[:8]}"
    own = [entry if entry.label != observations.ID_LABEL else replace(entry, value=identity) for entry in entries]
    if all(entry.label != observations.ID_LABEL for entry in own):
        own.append(observations.Entry(observations.ID_LABEL, "text", identity))
    asset = parse.asset_key(aim[0].removeprefix("asset:"))
    return observations.Observation(asset, identity, url, tuple(own), aim[1], TITLE)


def _renewed(line: Mapping[str, Any], url: str) -> list[observations.Entry]:
    """What was told of the export, with the new link in place of the old one; hostile entries are left out."""
    told, old = line.get("entries"), line["signed"].get("url")
    found = []
    for each in told if isinstance(told, list) else []:
        label, kind, value = (
            (each.get(name) for name in ("label", "kind", "value")) if isinstance(each, dict) else ("",) * 3
        )
        if isinstance(label, str) and label and kind in observations.KINDS and _is_value(kind, value):
            found.append(observations.Entry(label, kind, url if kind == "url" and value == old else value))
    return found


def _is_value(kind: str, value: object) -> bool:
    if kind not in observations.KINDS:
        return False
    if kind == "timestamp":
        return export_record.time_of(value) is not None
    kinds: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "json": (list, dict)}
    wanted = kinds.get(kind, (str,))
    return isinstance(value, wanted) and (kind == "bool" or not isinstance(value, bool))
