"""What a person sees of runs, and how it is kept for the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daglab import dagster_api, errors, output, run_logs, runs


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
            "`dagster-daemon run`; `dagster dev` starts both."
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
        ("Took", output.took(result["duration_s"])),
        ("Retry of", result["parent"]),
        ("Page", result["url"]),
    ):
        if value:
            output.data(f"{label + ':':11}{value}")
    if result["steps"]:
        output.data("\nSteps")
        rows = [(step["key"], step["status"] or "", output.took(step["duration_s"])) for step in result["steps"]]
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
    output.data(f"Took:   {' -> '.join(output.took(seconds) or '-' for seconds in found['duration_s'])}")
    output.data("\n".join(["", "Config", *found["config"]]) if found["config"] else "\nThe config is the same.")
    output.data("\nSteps")
    output.table(
        [
            (
                row["key"],
                *(status or "-" for status in row["status"]),
                *(output.took(seconds) or "-" for seconds in row["duration_s"]),
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
