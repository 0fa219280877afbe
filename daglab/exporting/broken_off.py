"""Exports that were broken off after their HTML stood: what was begun, what came of it, and which can be finished.

The intents in the record tell it (`export_record.unfinished`); what they don't tell is looked up where it would be: an
observation by its id in Dagster, an object by its key. A record that somebody else wrote gives nothing, and no error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daglab import errors, files, notebooks
from daglab.attaching import observations
from daglab.exported import export_record
from daglab.exporting import exports
from daglab.settings import config

if TYPE_CHECKING:
    from daglab.deployment import dagster_api

# What a nightly job broke off last night is not what tonight's shows: it is settled, and the notebook runs again.
TAKEN_UP_FOR = timedelta(hours=1)
_TEXTS = ("id", "notebook", "output", "sha256", "notebook_sha256", "exported_at")


def steps(root: Path, identity: str) -> list[dict[str, Any]]:
    """The steps of an export that were begun, and of which nobody knows what came: the lines of their intents."""
    return next((each["steps"] for each in export_record.unfinished(root) if each["id"] == identity), [])


def begun_at(begun: Iterable[Mapping[str, Any]], step: str, **members: Any) -> datetime | None:
    """When a step with these members was begun last; None when it was not."""
    found = None
    for each in begun:
        if each.get("step") == step and all(each.get(name) == value for name, value in members.items()):
            found = export_record.time_of(each.get("at")) or found
    return found


def commit(begun: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What git said when the export was made: `{"commit", "dirty"}`."""
    for each in begun:
        about = each.get("export")
        said = about.get("git") if isinstance(about, dict) else None
        if isinstance(said, dict) and isinstance(said.get("commit"), str):
            return {"commit": said["commit"], "dirty": bool(said.get("dirty"))}
    return None


def signed(begun: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The signed link that was about to be attached."""
    found = None
    for each in begun:
        made = each.get("signed")
        if isinstance(made, dict) and all(isinstance(made.get(name), str) for name in ("url", "expires_at")):
            found = {"url": made["url"], "expires_at": made["expires_at"], "seconds": made.get("seconds")}
    return found


def newest_attached(
    root: Path, target: observations.Target, output: str, link: str | None, *, failure: bool
) -> dict[str, Any] | None:
    """The newest export of an output that was attached to the target with this link, itself and not as one already."""
    found = None
    for line in export_record.read(root):
        attached = line.get("attached")
        if line.get("output") != output or bool(line.get("failure")) != failure or not isinstance(attached, list):
            continue
        wanted = (target.name, target.partition, link)
        for each in attached:
            is_one = isinstance(each, dict) and not each.get("already")
            if is_one and (each.get("target"), each.get("partition"), each.get("link")) == wanted:
                found = line
    return found


def take_up(
    settings: config.Config, output: Path, line: str, api: dagster_api.DagsterApi | None
) -> exports.Export | None:
    """The export of this line and output that can be finished; all others of the output are settled.

    It can be where it was broken off within the last hour, and notebook and HTML are what they were. Raises
    `OutcomeUnknown` where it can't be found out what came of another.
    """
    root, found = settings.root, None
    name = export_record.relative(root, output.absolute())
    for broken in export_record.unfinished(root):
        export = restored(root, broken["steps"])
        if export is None or export.id != broken["id"] or export_record.relative(root, export.output) != name:
            continue
        if found is not None:
            _settle(settings, found, api)
        found = export
        if not (_is_of(broken["steps"], line) and _is_unchanged(export)):
            _settle(settings, export, api)
            found = None
    for done in export_record.read(root):
        if done.get("output") == name and isinstance(done.get("pending"), list):
            _settle_line(root, done, api)
    return found


def restored(root: Path, begun: Iterable[Mapping[str, Any]]) -> exports.Export | None:
    """The export that the first intent tells; None where that is not one."""
    about: dict[str, Any] = next((each["export"] for each in begun if isinstance(each.get("export"), dict)), {})
    at = export_record.time_of(about.get("exported_at"))
    if at is None or not all(isinstance(about.get(name), str) for name in _TEXTS):
        return None
    cells = about.get("failed")
    failed = tuple(_cell(each) for each in cells if isinstance(each, dict)) if isinstance(cells, list) else ()
    values = {name: about[name] for name in ("parameters", "results") if isinstance(about.get(name), dict)}
    texts = {name: about[name] for name in ("content_sha256", "interactive") if isinstance(about.get(name), str)}
    return exports.Export(
        id=about["id"],
        notebook=root / about["notebook"],
        output=root / about["output"],
        seconds=_number(about.get("seconds")),
        bytes=int(_number(about.get("bytes"))),
        sha256=about["sha256"],
        exported_at=at,
        failed=failed,
        notebook_sha256=about["notebook_sha256"],
        marimo_version=str(about["marimo_version"]) if about.get("marimo_version") else None,
        **values,
        **texts,
    )


def _cell(cell: Mapping[str, Any]) -> notebooks.FailedCell:
    name, error, traceback = (str(cell.get(name) or "") for name in ("name", "error", "traceback"))
    index, other = int(_number(cell.get("cell"))), bool(cell.get("caused_by_ancestor"))
    return notebooks.FailedCell(index, name, error, traceback, "", other)


def _number(value: Any) -> float:
    return value if isinstance(value, (int, float)) and 0 <= value < 1e15 else 0  # NaN is neither


def _is_of(begun: list[dict[str, Any]], line: str) -> bool:
    """Whether these steps were begun by this line, and not long ago."""
    at = export_record.time_of(begun[-1].get("at"))
    is_fresh = at is not None and abs(datetime.now(timezone.utc) - at) < TAKEN_UP_FOR
    return is_fresh and any(each.get("line") == line for each in begun)


def _is_unchanged(export: exports.Export) -> bool:
    """Whether the notebook and the HTML are what they were."""
    return files.sha256(export.notebook) == export.notebook_sha256 and files.sha256(export.output) == export.sha256


def _settle(settings: config.Config, export: exports.Export, api: dagster_api.DagsterApi | None) -> None:
    """Find out what came of an export that is not finished, and record it."""
    begun = steps(settings.root, export.id)
    url = next((each["url"] for each in begun if each.get("url")), None)
    told = _came_of(export.id, begun, url, api)
    if told is None:
        return
    whole: dict[str, Any] = next(each for each in begun if isinstance(each.get("export"), dict))
    outcome = {name: whole["export"].get(name) for name in ("git", "parameters", "content_sha256", "results")}
    outcome.update({name: whole[name] for name in ("targets", "line", "failure", "expires_at") if name in whole})
    link = next((each["link"] for each in told["attached"]), None)
    export_record.append(settings.root, export, {"link": link, **outcome, **told, **_uploaded(export, begun)})


def _settle_line(root: Path, line: Mapping[str, Any], api: dagster_api.DagsterApi | None) -> None:
    """Find out what came of the steps that an export line says are pending."""
    pending = [each for each in line["pending"] if isinstance(each, dict) and each.get("step") in ("attach", "check")]
    told = _came_of(line["id"], pending, line.get("url"), api) if pending else None
    if told is None:
        return
    before = {name: line[name] if isinstance(line.get(name), list) else [] for name in ("attached", "check")}
    later = {name: [*before[name], *told[name]] for name in before}
    export_record.amend(root, line["id"], **later, pending=[], attach=None)


def _came_of(
    identity: str, begun: Iterable[Mapping[str, Any]], url: Any, api: dagster_api.DagsterApi | None
) -> dict[str, list[dict[str, Any]]] | None:
    """What was attached and told of an id; None where that is for another deployment to say."""
    told: dict[str, list[dict[str, Any]]] = {"attached": [], "check": []}
    asked = {}
    for each in begun:
        key = (each.get("step"), each.get("target"), each.get("partition"), each.get("name"))
        if key[0] in ("attach", "check") and isinstance(key[1], str):
            asked[key] = each
    if not asked:
        return told
    if api is None or url != api.url:
        return None
    from daglab import parse
    from daglab.attaching import asset_checks, attach

    for (step, target, partition, name), each in asked.items():
        at = export_record.time_of(each.get("at"))
        asset = parse.attach_target(str(target)).asset
        if step == "attach":
            link = each.get("link") if isinstance(each.get("link"), str) else None
            what = observations.Observation(asset, identity, link, (), partition)
            done = attach.find(api, what, at)
            if done is not None:
                about = {"target": target, "partition": partition, "at": each.get("at"), "via": done.via}
                told["attached"].append({**about, "link": parse.plain(link), "link_type": done.link_type})
        elif isinstance(name, str):
            way = asset_checks.find(api, observations.Evaluation(asset, name, identity, True, ()), at)
            if way is not None:
                told["check"].append({"target": target, "name": name, "via": way, "at": each.get("at")})
    return told


def _uploaded(export: exports.Export, begun: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What is there of an upload that was begun; where the store does not say, it is pending."""
    address = next((each["address"] for each in begun if each.get("step") == "upload" and each.get("address")), None)
    if not isinstance(address, str):
        return {"upload": None}
    from daglab.storage import objects, places

    try:
        there = objects.look(*places.located(address))
    except errors.DaglabError:
        return {"upload": None, "pending": [{"step": "upload", "address": address}]}
    if there is None or there.bytes != export.bytes or there.sha256 not in (None, export.sha256):
        return {"upload": None}
    return {"upload": {"address": address, "bytes": there.bytes, "sha256": export.sha256, "via": None}}
