"""Publishing an export that stands on disk: uploaded, linked, attached, and recorded whatever comes of that.

Each step outside of the project is on record before it is taken (`export_record.intend`), and an object is verified
before its link is attached. What breaks off in the middle is taken up by `unfinished`, and nothing is done twice.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daglab import errors, git, parse
from daglab.attaching import observations
from daglab.exported import export_record
from daglab.exporting import broken_off, export_entries, exports, publication, uploads
from daglab.settings import config

if TYPE_CHECKING:  # what talks to Dagster brings in requests: an export that is not attached does without
    from daglab.deployment import dagster_api


Wish = publication.Wish
LONGEST = 2000  # characters of what an asset check is told of a failure


def prepared(settings: config.Config, wish: Wish, api: dagster_api.DagsterApi | None = None) -> Wish:
    """The wish with the deployment and the targets: all that can be checked before the notebook runs, which takes long.

    `api` is needed where the wish has aims. Raises what refuses a target, the way, the check, the place, or a link that
    is signed for so long.
    """
    _check_flags(settings, wish)
    if wish.place is not None:
        uploads.check(wish.place, wish.sign)
    if api is None or not wish.aims:
        return wish
    from daglab.attaching import asset_checks, attach

    attach.permit(api, wish.via)
    found = [target for aim in wish.aims for target in attach.targets(api, settings, aim)]
    wish = dataclasses.replace(wish, api=api, targets=tuple(dict.fromkeys(found)))
    if wish.check is not None:
        asset_checks.permit(api)
        asset_checks.require(api, wish.assets, wish.check)
    return wish


def _check_flags(settings: config.Config, wish: Wish) -> None:
    label = settings.defaults.attach_metadata_key
    if label == observations.ID_LABEL:
        raise errors.InvalidInput(f"The label of the link can't be {label}: that is daglab's own.", "Use another one.")
    if wish.sign is not None and wish.place is None:
        raise errors.WrongUsage("--sign is for an uploaded export.", "Add --upload s3://BUCKET/PREFIX.")
    for flag, given in (("--check", wish.check is not None), ("--attach-failure", wish.attach_failure)):
        if given and not wish.aims:
            raise errors.WrongUsage(f"{flag} needs to know the asset.", "Add --attach asset:KEY.")
    if wish.check is not None and wish.via in ("graphql", observations.COMPUTE):
        raise errors.WrongUsage(f"--via {wish.via} can't tell an asset check.", "Use --via instance or --via rest.")


def refuse_failed(export: exports.Export, attached: bool = False) -> None:
    """Raise `NotGood` with each failed cell and its traceback; those that never ran because of it are counted."""
    roots = export_entries.roots(export)
    if not roots:
        return
    shown = "\n\n".join(f"{cell.label}: {cell.error}\n{cell.traceback}".rstrip() for cell in roots)
    others = len(export.failed) - len(roots)
    more = f"\n\n{others} more did not run because of that." if others else ""
    told = "the failure is attached." if attached else "nothing was attached."
    raise errors.NotGood(
        f"{len(roots)} of the notebook's cells failed.\n{shown}{more}",
        f"The HTML is kept at {export.output}; {told} --allow-errors attaches it all the same.",
    )


def stand_by(settings: config.Config, export: exports.Export, wish: Wish, commit: git.Commit | None) -> None:
    """Put on record that an export stands that is about to be published: `unfinished` finds it, whatever comes now.

    Nothing is said of one that goes nowhere, or has failed. Raises `InvalidInput` where that can't be put on record.
    """
    work = publication.begin(settings, export, wish, commit)
    if not work.begun and not work.failed and (wish.place or wish.aims):
        work.intend("publish")


def set_aside(settings: config.Config, export: exports.Export, wish: Wish, commit: git.Commit | None) -> None:
    """Record an export that is not published because all was stopped, unless the same line is to take it up."""
    work = publication.begin(settings, export, wish, commit)
    if not work.begun:
        publication.record(work)


def publish(
    settings: config.Config, export: exports.Export, wish: Wish, commit: git.Commit | None = None
) -> dict[str, Any]:
    """Upload an export that is good, attach it to its assets, and record it whatever comes of that.

    A failed one is attached with `attach_failure` alone, below a name of its own. The result lists what was done, also
    when it broke off in the middle (`error.result`): `upload`, `signed` without its URL, `attached`, `check`. An export
    that `unfinished` has given back goes on where it broke off.
    """
    work = publication.begin(settings, export, wish, commit)
    result = work.result
    try:
        if not work.failed or wish.attach_failure:
            _upload(work)
            _attach(work)
        _tell_check(work)
        if work.failed:
            refuse_failed(export, attached=bool(result["attached"]))
    except (KeyboardInterrupt, errors.Terminated) as stop:
        _mark_unknown(work)
        if not work.open and not result["attached"]:
            raise
        raise _interrupted(stop, work) from None
    except errors.DaglabError as error:
        if isinstance(error, errors.OutcomeUnknown):
            _mark_unknown(work)
        else:  # it is known that nothing came of it, but for an upload: that may be there
            work.pending[:] = [each for each in work.pending if each.get("step") == "upload"]
        error.result = result
        raise
    finally:
        publication.record(work)
    return result


def _upload(work: publication.Work) -> None:
    """Upload the HTML and find the link: the object's own. A signed one is made when it is needed."""
    place = work.wish.place
    if place is None:
        return
    from daglab.storage import places

    key = uploads.key(work.settings, place, work.export.output, failed=work.failed)
    work.private["key"] = key
    work.intend("upload", address=places.address(place, key))
    told, link = uploads.put(work.settings, place, work.export, key)
    work.settled()
    work.result["upload"] = {**told, "at": publication.now()}
    if link:
        work.private["link"] = link
        work.result["link"] = parse.plain(link)


def _sign(work: publication.Work) -> None:
    """Make the signed link, once; one that an export which broke off has made may have been attached already."""
    place, seconds = work.wish.place, work.wish.sign
    if place is None or seconds is None or work.private["signed"]:
        return
    made = broken_off.signed(work.begun)
    if made is None or not _lasts(made, seconds):
        work.intend("sign", seconds=seconds)
        made = uploads.signed(place, work.private["key"], seconds)
        work.settled()
    _use_signed(work, made)


def _use_signed(work: publication.Work, made: Mapping[str, Any]) -> None:
    uploads.hide(made["url"])
    work.private.update(signed=dict(made), link=made["url"])
    work.result["link"] = parse.plain(made["url"])
    work.result["signed"] = {name: made[name] for name in ("expires_at", "seconds")}


def _lasts(signed: Mapping[str, Any], seconds: int) -> bool:
    """Whether a signed link is good for more than half of the time that was asked for."""
    until = export_record.time_of(signed.get("expires_at"))
    return until is not None and until - datetime.now(timezone.utc) > timedelta(seconds=seconds / 2)


def _attach(work: publication.Work) -> None:
    wish = work.wish
    if wish.aims and (wish.via == observations.COMPUTE or not wish.targets):
        _sign(work)
        work.result["snippet"] = observations.snippet(wish.targets)
        return
    if wish.api is None or not wish.targets:
        _sign(work)
        return
    earlier = {target: found for target in wish.targets if (found := _earlier(work, target))}
    for target in wish.targets:
        if target not in earlier:
            _sign(work)
            _attach_to(work, target)
            continue
        line, done = earlier[target]
        if line.get("signed"):
            _use_signed(work, line["signed"])
        work.result["attached"].append({**_shown(target, done), "at": line.get("exported_at"), "already": True})


def _attach_to(work: publication.Work, target: observations.Target) -> None:
    """Attach it, unless a process that was broken off has: its observation has the same id."""
    wish, api = work.wish, work.wish.api
    if api is None:
        return
    from daglab.attaching import attach

    told = export_entries.entries(work.settings, work.export, work.link, work.result["git"])
    what = observations.Observation(
        target.asset, work.export.id, work.link, tuple(told), target.partition, work.title()
    )
    if begun_at := broken_off.begun_at(work.begun, "attach", target=target.name, partition=target.partition):
        work.pending.append(
            {"step": "attach", "at": publication.now(), "target": target.name, "partition": target.partition}
        )
        done = attach.find(api, what, begun_at)
        work.settled()
        if done is not None:
            work.result["attached"].append({**_shown(target, done), "at": begun_at.isoformat()})
            return
    work.intend("attach", target=target.name, partition=target.partition, link=work.link, signed=work.private["signed"])
    done = attach.attach(api, work.settings, what, via=wish.via, python=wish.python)
    work.settled()
    work.result["attached"].append({**_shown(target, done), "at": publication.now()})


def _shown(target: observations.Target, done: observations.Attached) -> dict[str, Any]:
    return {
        "target": target.name,
        "partition": target.partition,
        "via": done.via,
        "link": parse.plain(done.link),
        "link_type": done.link_type,
    }


def _earlier(
    work: publication.Work, target: observations.Target
) -> tuple[dict[str, Any], observations.Attached] | None:
    """The export whose observation shows the same, and is still the newest of that link at the target."""
    if work.wish.api is None:
        return None
    if broken_off.begun_at(work.begun, "attach", target=target.name, partition=target.partition):
        return None  # its own may be there
    output = export_record.relative(work.settings.root, work.export.output)
    line = broken_off.newest_attached(work.settings.root, target, output, work.result["link"], failure=work.failed)
    if line is None or line.get("content_sha256") != uploads.content(work.export):
        return None
    signed = line.get("signed") if isinstance(line.get("signed"), dict) else None
    if bool(signed) != bool(work.wish.sign):
        return None
    if signed and not (isinstance(signed.get("url"), str) and _lasts(signed, work.wish.sign or 0)):
        return None
    from daglab.attaching import attach

    link = signed["url"] if signed else work.link
    what = observations.Observation(target.asset, line["id"], link, (), target.partition)
    done = attach.find(work.wish.api, what)
    return (line, done) if done is not None and (done.link or not link) else None


def _tell_check(work: publication.Work) -> None:
    wish, api = work.wish, work.wish.api
    if wish.check is None or api is None:
        return
    from daglab.attaching import asset_checks

    good = not work.export.failed
    told = export_entries.entries(work.settings, work.export, work.link, work.result["git"])
    for asset in wish.assets:
        described = f"{observations.TITLE}: {work.result['link']}" if good else export_entries.failure(work.export)
        what = observations.Evaluation(asset, wish.check, work.export.id, good, tuple(told), described)
        name, at = observations.Target(asset).name, publication.now()
        via = None
        if begun_at := broken_off.begun_at(work.begun, "check", target=name, name=wish.check):
            work.pending.append({"step": "check", "at": at, "target": name, "name": wish.check})
            via = asset_checks.find(api, what, begun_at)
            work.settled()
        if via is None:
            work.intend("check", target=name, name=wish.check)
            via = asset_checks.report(api, work.settings, what, via=wish.via, python=wish.python)
            work.settled()
        work.result["check"].append({"target": name, "name": wish.check, "passed": good, "via": via, "at": at})


def publish_failure(
    settings: config.Config, notebook: Path, parameters: Mapping[str, Any], error: errors.DaglabError, wish: Wish
) -> dict[str, Any]:
    """Report a notebook that left no HTML, as one that took too long: what was `attached`, and the `check` told.

    The assets are told with `attach_failure` alone, without a link: there is nothing to show. It is on record as a
    failed export without an output. Raises as `attach.attach`; nothing is done where nobody is to be told.
    """
    told: dict[str, Any] = {"id": os.urandom(16).hex(), "attached": [], "check": []}
    api = wish.api
    if api is None or not wish.targets or not (wish.attach_failure or wish.check):
        return told
    from daglab.attaching import asset_checks, attach

    root, identity = settings.root, told["id"]
    entries = tuple(export_entries.of_failure(notebook, parameters, error.message, identity))
    begun: dict[str, Any] = {}
    try:
        for target in wish.targets if wish.attach_failure and wish.via != observations.COMPUTE else ():
            what = observations.Observation(target.asset, identity, None, entries, target.partition, publication.FAILED)
            begun = {"step": "attach", "target": target.name, "partition": target.partition, "at": publication.now()}
            export_record.intend(root, identity, "attach", target=target.name, partition=target.partition)
            done = attach.attach(api, settings, what, via=wish.via, python=wish.python)
            told["attached"].append({**_shown(target, done), "at": publication.now()})
        for asset in wish.assets if wish.check else ():
            name, check = observations.Target(asset).name, str(wish.check)
            begun = {"step": "check", "target": name, "name": check, "at": publication.now()}
            export_record.intend(root, identity, "check", target=name, name=check)
            whole = observations.Evaluation(asset, check, identity, False, entries, error.message[:LONGEST])
            via = asset_checks.report(api, settings, whole, via=wish.via, python=wish.python)
            told["check"].append({"target": name, "name": check, "passed": False, "via": via, "at": publication.now()})
        begun = {}
    except errors.DaglabError as failed:
        begun = begun if isinstance(failed, errors.OutcomeUnknown) else {}
        raise
    finally:
        pending = {"pending": [begun], "url": api.url} if begun else {}
        aimed = [[target.name, target.partition] for target in wish.targets]
        about = {
            **told,
            "notebook": export_record.relative(root, notebook.absolute()),
            "ok": False,
            "exported_at": publication.now(),
            "failure": True,
        }
        export_record.append_failure(root, {**about, "targets": wish.names, "aimed": aimed, **pending})
    return told


def _mark_unknown(work: publication.Work) -> None:
    steps = {each["step"] for each in work.open}
    if "attach" in steps:
        work.result["attach"] = "unknown"


def _interrupted(stop: BaseException, work: publication.Work) -> errors.Interrupted:
    result, targets = work.result, work.wish.targets
    uploading = any(each["step"] == "upload" for each in work.open)
    hint = "The same line again uploads it to the same place."
    if targets and not uploading:
        page = work.wish.page(targets[min(len(result["attached"]), len(targets) - 1)].asset)
        hint = f"Look at {page} before you attach again; the same line again does so by itself."
    return errors.Interrupted(
        f"Interrupted; {result['output']} is written, and it may be {'uploaded' if uploading else 'attached'}.",
        hint,
        result=result,
        exit_code=errors.stop_code(stop),
    )


def unfinished(
    settings: config.Config,
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    wish: Wish,
    interactive: str = "cdn",
) -> exports.Export | None:
    """An export of the very same line that was broken off after its HTML stood; None for none.

    It is given to `publish` in place of a new one: the notebook does not run again. `wish` is the prepared one. Other
    exports of the same output that were broken off are settled: what came of them is found out and recorded. Raises
    `OutcomeUnknown` where that can't be: then nothing is to be sent.
    """
    if not (settings.root / export_record.FILE).exists():
        return None
    line = publication.line(settings, notebook, output, parameters, wish, interactive)
    return broken_off.take_up(settings, output, line, wish.api)
