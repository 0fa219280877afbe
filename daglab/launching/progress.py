"""What a person sees of runs, and how it is kept for the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from daglab import errors, output, scales
from daglab.deployment import dagster_api, run_logs, run_records, runs
from daglab.launching import launches


def show(
    api: dagster_api.DagsterApi, run: runs.Run, entry: dict[str, Any], shown: set[tuple[str, str]], *, several: bool
) -> None:
    """Say what is new about a run, and keep it in its entry."""
    name = f"{run.id[:8]} " if several else ""
    if run.has_ended:  # the steps lead up to it
        _show_steps(run, shown, name)
    if run.status != entry["status"]:
        output.note(f"{name}{run.status}")
        warn_of_queue(api, run.status)
    _show_steps(run, shown, name)
    entry.update(runs.document(run))


def warn_of_queue(api: dagster_api.DagsterApi, status: str | None) -> None:
    """Warn of a run that is queued where no daemon takes it out of the queue."""
    if status == "QUEUED" and runs.waits_in_vain(api):
        output.warn(
            "The run is queued, and the daemon that would start it does not run. Start it beside the webserver with "
            "`dagster-daemon run`; `daglab dev` starts both."
        )


def follow(api: dagster_api.DagsterApi, entries: Mapping[str, dict[str, Any]], timeout: float, interval: float) -> None:
    """Follow runs to their end, each kept in its entry; raises as `runs.follow` does."""
    shown: set[tuple[str, str]] = set()
    for changed in runs.follow(api, list(entries), timeout=timeout, interval=interval):
        for run in changed:
            show(api, run, entries[run.id], shown, several=len(entries) > 1)


def tell(result: Mapping[str, Any], as_json: bool) -> None:
    """Print what became of launches: a document, or a line for each."""
    if as_json:
        output.document(result)
        return
    if backfill := result.get("backfill"):
        output.data("{backfill_id} {status}".format(**backfill))
    for entry in result["runs"]:
        output.data("{run_id} {status}".format(**entry))


def entry(api: dagster_api.DagsterApi, record: run_records.Record) -> dict[str, Any]:
    """A run that is there, as an entry of a result."""
    known = run_records.document(api, record)
    for name in ("tags", "updated_at"):
        del known[name]
    return {**known, "launch_id": record.tags.get(launches.LAUNCH_TAG), "steps": [], "errors": []}


def failure(found: run_logs.Failure) -> dict[str, Any]:
    """Why something failed, in JSON."""
    return {"step": found.step, "error": found.error, "causes": list(found.causes)}


def why_failed(api: dagster_api.DagsterApi, entry: dict[str, Any]) -> str:
    """The end of a run in words, with the reasons, which are kept in its entry, too."""
    failures = _failures(api, entry["run_id"])
    entry["errors"] = [failure(each) for each in failures]
    return _failed(entry["run_id"], entry["status"], failures)


def _failures(api: dagster_api.DagsterApi, run_id: str) -> list[run_logs.Failure]:
    """Why the run failed; that it failed stays true when the reasons can't be read."""
    try:
        return run_logs.failures(api, run_id)
    except errors.DaglabError as error:
        output.warn(f"The reasons can't be read: {error.message}")
        return []


def _show_steps(run: runs.Run, shown: set[tuple[str, str]], name: str) -> None:
    """A step of a check is done, too, when the check has not passed: so no step is called a success."""
    words = {"SUCCESS": "done", "FAILURE": "failed", "SKIPPED": "skipped"}
    for step in run.steps:
        if (run.id, step.key) not in shown and step.status in words:
            shown.add((run.id, step.key))
            output.note(f"{name}  {step.key}: {words[step.status]}")


def _failed(run_id: str, status: str, failures: Sequence[run_logs.Failure]) -> str:
    lines = [f"The run {run_id} ended as {status}."]
    for each in failures:
        causes = "".join(f" (caused by {cause})" for cause in each.causes)
        lines.append(f"  {each.step or 'run'}: {each.error}{causes}")
    return "\n".join(lines)


def show_record(result: Mapping[str, Any]) -> None:
    """Print a run in full."""
    for label, value in (
        ("Run", result["run_id"]),
        ("Status", result["status"]),
        ("Job", result["job"]),
        ("Assets", ", ".join(result["assets"])),
        ("Partition", result["partition"]),
        ("Location", result["location"]),
        ("Started", result["started_at"]),
        ("Took", scales.took(result["duration_s"])),
        ("Retry of", result["parent"]),
        ("Page", result["url"]),
    ):
        if value:
            output.data(f"{label + ':':11}{value}")
    if result["steps"]:
        output.data("\nSteps")
        rows = [(step["key"], step["status"] or "", scales.took(step["duration_s"])) for step in result["steps"]]
        output.table(rows, ("Step", "Status", "Took"))
    for each in result["materializations"]:
        output.data(f"\n{each['asset']}{' ' + each['partition'] if each['partition'] else ''} was made")
        for label, value in each["metadata"].items():
            output.data(f"  {label}: {value}")
    for each in result["errors"]:
        causes = "".join(f" (caused by {cause})" for cause in each["causes"])
        output.data(f"\n{each['step'] or 'run'}: {each['error']}{causes}")


def show_comparison(found: Mapping[str, Any]) -> None:
    """Print what is different between two runs."""
    output.data(f"Status: {' -> '.join(found['status'])}")
    output.data(f"Took:   {' -> '.join(scales.took(seconds) or '-' for seconds in found['duration_s'])}")
    output.data("\n".join(["", "Config", *found["config"]]) if found["config"] else "\nThe config is the same.")
    output.data("\nSteps")
    output.table(
        [
            (
                row["key"],
                *(status or "-" for status in row["status"]),
                *(scales.took(seconds) or "-" for seconds in row["duration_s"]),
                f"{row['ratio']:.2f}" if row["ratio"] is not None else "-",
            )
            for row in found["steps"]
        ],
        ("Step", "First", "Second", "Took", "Took", "Ratio"),
    )
    output.data("\nMetadata" if found["metadata"] else "\nThe metadata is the same.")
    for change in found["metadata"]:
        where = f"{change['asset']}{' ' + change['partition'] if change['partition'] else ''}"
        output.data(f"  {where} {change['label']}: {change['values'][0]} -> {change['values'][1]}")


def print_events(
    api: dagster_api.DagsterApi, run_id: str, step: str | None, least: int, interval: float | None, as_json: bool
) -> None:
    """Print events of a level or a higher one; with `interval`, in seconds, as they come."""
    kept: list[dict[str, Any]] = []
    for page in run_logs.follow(api, run_id, interval):
        for event in page:
            level = run_logs.LEVELS.index(event.level) if event.level in run_logs.LEVELS else 0
            if level < least or step not in (None, event.step):
                continue
            if not as_json:
                at = datetime.fromtimestamp(event.at, timezone.utc).isoformat(" ", "milliseconds")[:23]
                output.data(f"{at} {event.level:8} {event.step or '-'}: {event.message or event.kind or ''}")
            elif interval is not None:
                output.line(event.document)
            else:
                kept.append(event.document)
    if as_json and interval is None:
        output.document({"ok": True, "run_id": run_id, "events": kept})


def print_stream(
    api: dagster_api.DagsterApi, run_id: str, stream: str, step: str | None, interval: float | None, as_json: bool
) -> None:
    """Print it as it comes, a piece at a time: it may be of any size. As JSON, it is kept."""
    cursors: dict[str, str | None] = {}
    kept: list[str] = []
    for page in run_logs.follow(api, run_id, interval):
        cursors.update((event.file, None) for event in page if event.file and step in (None, event.step, *event.steps))
        for file, cursor in list(cursors.items()):
            for text, following in run_logs.printed(api, run_id, file, stream, cursor, interval):
                cursors[file] = following
                if not as_json:
                    output.piece(text)
                elif interval is not None:
                    output.line({"text": text})
                else:
                    kept.append(text)
    if as_json and interval is None:
        output.document({"ok": True, "run_id": run_id, stream: "".join(kept)})
