"""What a run has logged: why it failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daglab import dagster_api

FAILURES_QUERY = """
query Failures($id: ID!, $cursor: String) {
  logsForRun(runId: $id, afterCursor: $cursor, limit: 1000) {
    __typename
    ... on EventConnection {
      cursor hasMore
      events {
        __typename
        ... on ExecutionStepFailureEvent { stepKey message error { message causes { message } } }
        ... on RunFailureEvent { message error { message causes { message } } }
      }
    }
    ... on RunNotFoundError { message }
    ... on PythonError { message }
  }
}
"""


@dataclass(frozen=True)
class Failure:
    """Why a step failed (`step` is None for the run itself): the exception raised, and those that caused it."""

    step: str | None
    error: str
    causes: tuple[str, ...]


def failures(api: dagster_api.DagsterApi, run_id: str) -> list[Failure]:
    """Why a run failed: each failed step with its exception, else what the run itself says."""
    found: list[Failure] = []
    cursor = None
    while True:
        data = dagster_api.query(api, FAILURES_QUERY, {"id": run_id, "cursor": cursor})
        page, following = parse_failures(data)
        found += page
        if following in (None, cursor):
            return [failure for failure in found if failure.step] or found
        cursor = following


@dagster_api.reading("logsForRun")
def parse_failures(data: Mapping[str, Any]) -> tuple[list[Failure], str | None]:
    """The failures in the answer to `FAILURES_QUERY`, and the cursor of the next page, None for the last one."""
    page = dagster_api.expect(data, "logsForRun", "EventConnection")
    kinds = ("ExecutionStepFailureEvent", "RunFailureEvent")
    found = [_failure(event) for event in page["events"] if event["__typename"] in kinds]
    return found, page["cursor"] if page["hasMore"] else None


def _failure(event: Mapping[str, Any]) -> Failure:
    """Dagster wraps the user's exception in its own; some failures of its own have no cause."""
    error = event.get("error") or {"message": event.get("message")}
    messages = [dagster_api.shorten(str(cause["message"]).strip()) for cause in error.get("causes") or []]
    own = dagster_api.shorten(str(error.get("message") or "no reason given").strip())
    return Failure(event.get("stepKey"), messages[0] if messages else own, tuple(messages[1:]))
