"""Launches that are carried out: in their order, followed together, ended when the time is up.

What is known of them stands in the result all the while, so that it is told whatever ends it.
"""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from daglab import errors, output
from daglab.deployment import dagster_api, run_records, runs
from daglab.launching import backfills, cancellation, launch_keys, launches, plans, progress
from daglab.settings import config

NOT_LAUNCHED, LAUNCHING = "NOT_LAUNCHED", "LAUNCHING"
FAILED_SHOWN = 5  # of a backfill's runs


def fresh_result(prepared: plans.Prepared, wanted: plans.Wanted) -> dict[str, Any]:
    """The result before anything is launched; each run has a launch id of its own."""
    launch_id = str(uuid.uuid4())
    ids = [launch_id, *(f"{launch_id}.{number}" for number in range(2, len(prepared.runs) + 1))]
    entries = [_entry_of(plan, wanted.job, each) for plan, each in zip(prepared.runs, ids, strict=False)]
    result: dict[str, Any] = {"ok": True, "launch_id": launch_id, "runs": entries}
    if prepared.partitions:
        result["partitions"] = list(prepared.partitions)
    if prepared.backfill or prepared.made:
        result["backfill"] = {"backfill_id": None, "status": NOT_LAUNCHED, "counts": {}, "url": None, "error": None}
    if len(entries) > 1:
        output.note(f"It takes {len(entries)} runs:")
        for number, plan in enumerate(prepared.runs, start=1):
            after = ", ".join(str(needed + 1) for needed in sorted(plan.after))
            names = ", ".join("/".join(key) for key in plan.target.assets)
            output.note(f"  {number}. in {plan.target.location}: {names}{f' (after {after})' if after else ''}")
    return result


def launch_all(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    every: Sequence[plans.Plan],
    result: dict[str, Any],
    *,
    key: launch_keys.Key | None = None,
) -> None:
    """Launch the runs without waiting; warn of a queue that nobody works off. Raises for one there that has failed."""
    room = settings.performance.max_concurrent_runs
    waiting = any(plan.after for plan in every)
    if waiting or len(every) > room:
        result["runs"].clear()
        why = "some of them need others" if waiting else f"no more than {room} may be under way at a time"
        raise errors.InvalidInput(
            f"Of these {len(every)} runs {why}, and with --no-wait nobody would launch the later ones.",
            f"Leave --no-wait out{'' if waiting else ', or raise performance.max_concurrent_runs'}.",
        )
    for number, plan in enumerate(every):
        progress.warn_of_queue(api, _launch(api, plan, result["runs"][number], number, key))
    _judge(api, [entry for entry in result["runs"] if entry["status"] in launch_keys.FAILED_RUN])


def carry_out(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    every: Sequence[plans.Plan],
    result: dict[str, Any],
    *,
    timeout: float,
    cancels: bool,
    key: launch_keys.Key | None = None,
) -> None:
    """Launch the runs in their order, as there is room, and follow them all to their end, keeping `result` up to date.

    Raises `NotGood` unless all succeeded, and `TimedOut` when the time is up; `cancels` ends what goes on then.
    """
    entries = result["runs"]
    flying: list[str] = []
    shown: set[tuple[str, str]] = set()

    def launch_more() -> None:
        for number in _ready(every, entries, settings.performance.max_concurrent_runs):
            _launch(api, every[number], entries[number], number, key)
            flying.append(entries[number]["run_id"])

    try:
        launch_more()
        for changed in runs.follow(api, flying, timeout=timeout, interval=settings.performance.polling_interval):
            for run in changed:
                progress.show(api, run, _entry(entries, run.id), shown, several=len(entries) > 1)
            launch_more()
    except errors.TimedOut as late:
        told = errors.TimedOut(f"{late.message}{_never(entries)}", late.hint)
        if not cancels:
            raise told from late
        _cancel(api, result, told)
    bad = [entry for entry in entries if entry["status"] != "SUCCESS"]
    if cancelled := [entry for entry in bad if result.get("cancelled") and entry["status"] == "CANCELED"]:
        names = ", ".join(entry["run_id"] for entry in cancelled)
        others = [_why(api, entry) for entry in bad if entry not in cancelled and entry["run_id"]]
        message = f"The run {names} had not ended after {timeout:g} s and was cancelled.{_never(entries)}"
        raise errors.TimedOut(
            "\n".join([message, *others]),
            f"See {cancelled[0]['url']}, or give it more time with --timeout.",
        )
    _judge(api, bad)


def _never(entries: Sequence[dict[str, Any]]) -> str:
    """What nobody will launch any more, once this command ends."""
    left = ["/".join(entry["assets"]) or entry["job"] for entry in entries if entry["status"] == NOT_LAUNCHED]
    return f" Not launched: {', '.join(left)}." if left else ""


def _ready(every: Sequence[plans.Plan], entries: Sequence[dict[str, Any]], room: int) -> Iterator[int]:
    """The places of what may be launched now: all that it needs has succeeded, and there is room."""
    for number, (plan, entry) in enumerate(zip(every, entries, strict=True)):
        under_way = sum(each["run_id"] is not None and each["status"] not in runs.OVER for each in entries)
        possible = all(entries[needed]["status"] == "SUCCESS" for needed in plan.after)
        if entry["run_id"] is None and under_way < room and possible:
            yield number


def _judge(api: dagster_api.DagsterApi, bad: Sequence[dict[str, Any]]) -> None:
    """Raise for what did not succeed, with the reasons."""
    if not bad:
        return
    messages = [_why(api, entry) for entry in bad]
    again = " --relaunch-failed launches it again." if any(entry.get("existing") for entry in bad) else ""
    raise errors.NotGood("\n".join(messages), f"See {bad[0]['url']}{again}")


def _why(api: dagster_api.DagsterApi, entry: dict[str, Any]) -> str:
    if entry["run_id"] is None:
        return f"Not launched, for what it needs was not made: {', '.join(entry['assets'])}."
    return progress.why_failed(api, entry)


def _entry_of(plan: plans.Plan, job: str | None, launch_id: str) -> dict[str, Any]:
    """A run in the result, as long as it was not launched."""
    return {
        "run_id": None,
        "launch_id": launch_id,
        "status": NOT_LAUNCHED,
        "job": job,
        "location": plan.target.location,
        "assets": ["/".join(key) for key in plan.target.assets],
        "partition": plan.tags.get("dagster/partition"),
        "url": None,
        "started_at": None,
        "ended_at": None,
        "duration_s": None,
        "steps": [],
        "errors": [],
    }


def _launch(
    api: dagster_api.DagsterApi, plan: plans.Plan, entry: dict[str, Any], number: int, key: launch_keys.Key | None
) -> str | None:
    """Launch one run, or find that of its key, and put it into its entry; its status."""
    entry["status"] = LAUNCHING
    ours = launch_keys.launch(api, plan, key, number=number, launch_id=entry["launch_id"])
    entry.update(run_id=ours.id, status="LAUNCHED", url=runs.url(api, ours.id))
    found = ours.found
    if key and not found:  # what is launched is told whatever happens now
        ask = functools.partial(launch_keys.older_run, api, key, number, ours)
        if found := runs.patiently(ask, f"Another run of the key {key.name}", interval=1.0):
            _give_way(functools.partial(cancellation.cancel, api, ours.id), ours.id, found.id)
    if found:
        status = found.status if found.status in runs.ENDED else "LAUNCHED"
        its_id = found.tags.get(launches.LAUNCH_TAG, entry["launch_id"])
        entry.update(run_id=found.id, status=status, url=runs.url(api, found.id), launch_id=its_id)
    if key:
        entry["existing"] = found is not None
    names = f" ({', '.join(entry['assets'])})" if number else ""
    output.note(f"{'Found the run of this key:' if found else 'Launched'} {entry['run_id']}{names}: {entry['url']}")
    return found.status if found else ours.status


def _give_way(cancel: Callable[[], object], ours: str, older: str) -> None:
    """End what another host has launched just before us. Raises `OutcomeUnknown` where both go on."""
    output.note(f"Another host was first, with {older}: {ours} is cancelled.")
    try:
        cancel()
    except errors.DaglabError as error:
        raise errors.OutcomeUnknown(
            f"Another host was first, with {older}, and {ours} could not be cancelled: {error.message}",
            f"Both go on: end {ours} yourself.",
        ) from error


def _entry(entries: Sequence[dict[str, Any]], run_id: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["run_id"] == run_id)


def _cancel(api: dagster_api.DagsterApi, result: dict[str, Any], late: errors.TimedOut) -> None:
    """End what goes on; `cancelled` in the result is whether that did it, None as long as it is not known.

    `marked` is whether Dagster calls one cancelled, and its process has not answered.
    """
    going = [entry for entry in result["runs"] if entry["run_id"] and entry["status"] not in runs.OVER]
    output.note(f"The time is up: cancelling {'the run' if len(going) == 1 else f'{len(going)} runs'}.")
    result["cancelled"] = None
    result["marked"] = False
    outcomes = []
    refused: list[errors.DaglabError] = []
    for entry in going:
        try:
            run, marked = cancellation.cancel(api, entry["run_id"])
        except errors.DaglabError as error:
            refused.append(error)
            continue
        entry.update(runs.document(run))
        outcomes.append(run.status == "CANCELED")
        result["marked"] = result["marked"] or marked
        output.note(run.status if outcomes[-1] else f"It ended as {run.status} before it was cancelled.")
        if marked:
            output.warn("It is marked as cancelled and has not answered: what it was doing may go on.")
    if refused:
        result["cancelled"] = False if all(isinstance(error, errors.TimedOut) for error in refused) else None
        messages = " ".join(error.message for error in refused)
        raise errors.TimedOut(f"{late.message} It was to be cancelled: {messages}", refused[0].hint) from refused[0]
    result["cancelled"] = any(outcomes)


@contextlib.contextmanager
def keeping(result: dict[str, Any]) -> Iterator[None]:
    """Whatever ends the launching and waiting carries what is known of the runs, or how to find out."""
    try:
        yield
    except errors.DaglabError as error:
        launched = any(entry["run_id"] for entry in result["runs"]) or (result.get("backfill") or {}).get("backfill_id")
        if launched:
            unknown = {name: value for name, value in (error.result or {}).items() if name in ("launch", "launch_id")}
            error.result = {**result, **unknown}
            _say_what_goes_on(result)
        raise
    except Exception as bug:  # whatever it is, the run that was launched is told
        bug.result = result  # type: ignore[attr-defined]
        raise
    except (KeyboardInterrupt, errors.Terminated) as stop:
        raise _interrupted(result, errors.stop_code(stop)) from None


def _say_what_goes_on(result: dict[str, Any]) -> None:
    """A launch that failed after others is not followed by waiting; those go on."""
    if not any(entry["status"] == LAUNCHING for entry in result["runs"]):
        return
    going = [entry["run_id"] for entry in result["runs"] if entry["run_id"] and entry["status"] not in runs.OVER]
    if going:
        output.warn(f"Already launched, and going on: {', '.join(going)}. `daglab runs wait` follows them.")


def _interrupted(result: dict[str, Any], code: int) -> errors.Interrupted:
    launched = [entry for entry in result["runs"] if entry["run_id"]]
    going = [entry for entry in launched if entry["status"] not in runs.OVER] or launched
    messages, hints = [], []
    if going:
        cancelling = "cancelled" in result or any(entry["status"] == "CANCELING" for entry in going)
        state = "may go on, it was being cancelled" if cancelling else "goes on"
        messages.append(f"the run {', '.join(entry['run_id'] for entry in going)} {state}")
        hints.append(f"Wait on with `daglab runs wait {going[0]['run_id']}`; see {going[0]['url']}")
    for entry in result["runs"]:
        if entry["status"] == LAUNCHING:
            result["launch"] = "unknown"
            messages.append("a run was being launched, and may exist")
            how = f"settle {entry['launch_id']}" if "launch_id" in entry else "list"
            hints.append(f"`daglab runs {how}` tells whether it does.")
    if backfill := result.get("backfill"):
        _tell_of_backfill(backfill, result, messages, hints)
    what = "; ".join(messages) or "nothing was launched"
    never = _never(result["runs"]) if messages else ""
    return errors.Interrupted(f"Interrupted; {what}.{never}", " ".join(hints), result=result, exit_code=code)


def _tell_of_backfill(backfill: dict[str, Any], result: dict[str, Any], messages: list[str], hints: list[str]) -> None:
    if backfill["backfill_id"]:
        messages.append(f"the backfill {backfill['backfill_id']} goes on")
        hints.append(f"See {backfill['url']}")
    elif backfill["status"] == LAUNCHING:
        result["launch"] = "unknown"
        messages.append("a backfill was being made, and may exist")
        hints.append(f"`daglab runs settle {result['launch_id']}` tells whether it does.")


def start_backfill(
    api: dagster_api.DagsterApi, prepared: plans.Prepared, result: dict[str, Any], key: launch_keys.Key | None = None
) -> backfills.Backfill:
    """Make a backfill, or find that of its key, and put it into the result."""
    entry = result["backfill"]
    entry["status"] = LAUNCHING
    there = prepared.made
    if prepared.backfill:
        ours = launch_keys.launch_backfill(api, prepared.backfill, key, launch_id=result["launch_id"])
        entry.update(backfill_id=ours.id, status="LAUNCHED")
        there = ours.found.id if ours.found else _older_backfill(api, key, ours)
    backfill_id = str(there or entry["backfill_id"])
    entry.update(backfill_id=backfill_id, status="LAUNCHED", **({"existing": there is not None} if key else {}))
    ask = functools.partial(backfills.look, api, backfill_id)
    made = runs.patiently(ask, f"The backfill {backfill_id}", interval=1.0)
    entry.update(backfills.document(made))
    what = "Found the backfill of this key:" if there else "Launched the backfill"
    output.note(f"{what} {made.id} of {made.partitions} partitions: {made.url}")
    return made


def _older_backfill(
    api: dagster_api.DagsterApi, key: launch_keys.Key | None, ours: launch_keys.Attempt[backfills.Listed]
) -> str | None:
    """The backfill that another host has made just before ours, which is cancelled then."""
    if key is None:
        return None
    ask = functools.partial(launch_keys.older_backfill, api, key, ours)
    older = runs.patiently(ask, f"Another backfill of the key {key.name}", interval=1.0)
    if older is None:
        return None
    _give_way(functools.partial(backfills.cancel, api, ours.id), ours.id, older.id)
    return older.id


def judge_backfill(api: dagster_api.DagsterApi, made: backfills.Backfill, result: dict[str, Any]) -> None:
    """Raise `NotGood` for a backfill that is over and has not made everything, with the first reasons."""
    if made.is_over and not made.is_good:
        again = " --relaunch-failed makes it again." if result["backfill"].get("existing") else ""
        raise errors.NotGood(_why_not(api, made, result), f"See {made.url}{again}")


def carry_out_backfill(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    prepared: plans.Prepared,
    result: dict[str, Any],
    *,
    timeout: float,
    cancels: bool,
    key: launch_keys.Key | None = None,
) -> None:
    """Make a backfill and follow it to its end; raises as `carry_out` does."""
    entry = result["backfill"]
    made = start_backfill(api, prepared, result, key)
    try:
        interval = settings.performance.polling_interval
        for look in backfills.follow(api, made.id, timeout=timeout, interval=interval):
            made = look
            entry.update(backfills.document(made))
            output.note(f"{made.status}: {_counted(made)}")
    except errors.TimedOut as late:
        if not cancels:
            raise
        output.note("The time is up: cancelling the backfill.")
        result["cancelled"] = None
        try:
            made = backfills.cancel(api, made.id)
        except errors.DaglabError as error:
            raise errors.TimedOut(f"{late.message} It was to be cancelled: {error.message}", error.hint) from error
        entry.update(backfills.document(made))
        result["cancelled"] = made.status == "CANCELED"
        if result["cancelled"]:
            raise errors.TimedOut(
                f"The backfill {made.id} was not over after {timeout:g} s and was cancelled: {_counted(made)}.",
                f"See {made.url}, or give it more time with --timeout.",
            ) from late
    judge_backfill(api, made, result)


def _why_not(api: dagster_api.DagsterApi, made: backfills.Backfill, result: dict[str, Any]) -> str:
    """How a backfill ended, with the first of its runs that failed, which are put into the result."""
    lines = [f"The backfill {made.id} ended as {made.status}: {_counted(made)}."]
    if made.error:
        lines.append(f"  {made.error}")
    tags = {backfills.BACKFILL_TAG: made.id}
    try:
        failed = list(run_records.search(api, statuses=["FAILURE"], tags=tags, limit=FAILED_SHOWN))
    except errors.DaglabError as error:  # that it failed stays true when the reasons can't be read
        output.warn(f"Its runs can't be read: {error.message}")
        failed = []
    for record in failed:
        entry = run_records.document(api, record)
        result["runs"].append(entry)
        lines.append(f"{record.partition or ''} {progress.why_failed(api, entry)}".strip())
    return "\n".join(lines)


def _counted(made: backfills.Backfill) -> str:
    words = {"SUCCESS": "made", "FAILURE": "failed", "STARTED": "under way", "NOT_STARTED": "to come"}
    counts = (f"{count} {words.get(status, status.lower())}" for status, count in made.counts.items())
    return ", ".join(counts) or "nothing to count yet"
