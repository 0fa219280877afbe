"""What a person sees of runs that are followed, and how it is kept for the result."""

from __future__ import annotations

from collections.abc import Sequence
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


def why_failed(api: dagster_api.DagsterApi, entry: dict[str, Any]) -> str:
    """The end of a run in words, with the reasons, which are kept in its entry, too."""
    failures = _failures(api, entry["run_id"])
    entry["errors"] = [
        {"step": failure.step, "error": failure.error, "causes": list(failure.causes)} for failure in failures
    ]
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
    for failure in failures:
        causes = "".join(f" (caused by {cause})" for cause in failure.causes)
        lines.append(f"  {failure.step or 'run'}: {failure.error}{causes}")
    return "\n".join(lines)
