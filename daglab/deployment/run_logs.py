"""What a run has logged: its events, why it failed, and what its steps printed."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from daglab.deployment import dagster_api, runs

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


EVENTS_QUERY = """
query Events($id: ID!, $cursor: String) {
  logsForRun(runId: $id, afterCursor: $cursor, limit: 1000) {
    __typename
    ... on EventConnection {
      cursor hasMore
      events {
        __typename
        ... on MessageEvent { timestamp level stepKey eventType message }
        ... on ErrorEvent { error { message causes { message } } }
        ... on LogsCapturedEvent { fileKey stepKeys }
      }
    }
    ... on RunNotFoundError { message }
    ... on PythonError { message }
  }
}
"""

PRINTED_QUERY = """
query Printed($key: [String!]!, $cursor: String, $limit: Int) {
  capturedLogs(logKey: $key, cursor: $cursor, limit: $limit) { stdout stderr cursor }
}
"""
CHUNK = 1 << 18  # bytes that are asked for at a time
TORN = "\N{REPLACEMENT CHARACTER}"
LONGEST_LETTER = 4  # bytes in UTF-8
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True)
class Event:
    """Something logged, at `at` seconds since 1970; `kind` is Dagster's name for it, None for a user's message.

    `file` names where the `steps` print to, in the event that says so.
    """

    at: float
    level: str
    step: str | None
    kind: str | None
    message: str
    file: str | None = None
    steps: tuple[str, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """The event in JSON."""
        return {
            "at": runs.timestamp(self.at),
            "level": self.level,
            "step": self.step,
            "kind": self.kind,
            "message": self.message,
        }


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
    return found, dagster_api.text_or_none(page["cursor"]) if page["hasMore"] else None


def _failure(event: Mapping[str, Any]) -> Failure:
    """Dagster wraps the user's exception in its own; some failures of its own have no cause."""
    error = event.get("error") or {"message": event.get("message")}
    messages = [dagster_api.shorten(str(cause["message"]).strip()) for cause in error.get("causes") or []]
    own = dagster_api.shorten(str(error.get("message") or "no reason given").strip())
    step = dagster_api.text_or_none(event.get("stepKey"))
    return Failure(step, messages[0] if messages else own, tuple(messages[1:]))


def follow(api: dagster_api.DagsterApi, run_id: str, interval: float | None) -> Iterator[list[Event]]:
    """What is logged, a page at a time: up to now, or where there is an interval, in seconds, up to the run's end."""
    cursor = None
    while True:
        # Asked for before the events, which may be of its last moment.
        over = interval is None or _ask(functools.partial(runs.look, api, run_id), run_id, interval).has_ended
        more = True
        while more:
            page, cursor, more = _ask(functools.partial(_page, api, run_id, cursor), run_id, interval)
            yield page
        if over:
            return
        yield []
        time.sleep(interval or 0)


def _page(api: dagster_api.DagsterApi, run_id: str, cursor: str | None) -> tuple[list[Event], str | None, bool]:
    return parse_events(dagster_api.query(api, EVENTS_QUERY, {"id": run_id, "cursor": cursor}))


def _ask(ask: Callable[[], runs.Answer], run_id: str, interval: float | None) -> runs.Answer:
    """Who follows a log does not want it to end where the webserver starts again."""
    return ask() if interval is None else runs.patiently(ask, f"The run {run_id}", interval=interval)


@dagster_api.reading("logsForRun")
def parse_events(data: Mapping[str, Any]) -> tuple[list[Event], str | None, bool]:
    """The events in the answer to `EVENTS_QUERY`, the cursor to go on from, and whether there is more now."""
    page = dagster_api.expect(data, "logsForRun", "EventConnection")
    more = page["hasMore"] is True and bool(page["events"])
    return [_event(event) for event in page["events"]], dagster_api.text_or_none(page["cursor"]), more


def printed(
    api: dagster_api.DagsterApi, run_id: str, file: str, stream: str, cursor: str | None, interval: float | None
) -> Iterator[tuple[str, str | None]]:
    """What steps have printed to `stream` (stdout, stderr), a piece at a time, each with the cursor to go on from.

    From `cursor` on, up to now; `interval` as in `follow`.
    """
    key = [run_id, "compute_logs", file]
    while True:
        found = _ask(functools.partial(_piece, api, key, cursor, stream), run_id, interval)
        if found["cursor"] in (None, cursor):
            return
        cursor = found["cursor"]
        if text := found[stream]:
            yield text, cursor


def _piece(api: dagster_api.DagsterApi, key: list[str], cursor: str | None, stream: str) -> dict[str, str | None]:
    """A piece that does not end inside of a letter: Dagster counts bytes, and writes a mark for what it cuts."""
    found: dict[str, str | None] = {}
    for less in range(LONGEST_LETTER):
        again = {"key": key, "cursor": cursor, "limit": CHUNK - less}
        shorter = parse_printed(dagster_api.query(api, PRINTED_QUERY, again))
        found = found or shorter
        if not (shorter[stream] or "").endswith(TORN):
            return shorter
    return found  # what stands there is no letter at all


@dagster_api.reading("capturedLogs")
def parse_printed(data: Mapping[str, Any]) -> dict[str, str | None]:
    """What was printed, in the answer to `PRINTED_QUERY`, and the cursor to go on from."""
    found = data["capturedLogs"]
    return {name: dagster_api.text_or_none(found[name]) for name in ("stdout", "stderr", "cursor")}


def _event(event: Mapping[str, Any]) -> Event:
    message = dagster_api.text_or_none(event.get("message")) or ""
    if event.get("error"):
        why = _failure(event)
        message = "\n".join([message, why.error, *(f"caused by {cause}" for cause in why.causes)]).strip()
    return Event(
        dagster_api.seconds_or_none(float(event.get("timestamp") or 0) / 1000) or 0.0,
        dagster_api.text_or_none(event.get("level")) or "DEBUG",
        dagster_api.text_or_none(event.get("stepKey")),
        dagster_api.text_or_none(event.get("eventType")),
        message,
        dagster_api.text_or_none(event.get("fileKey")),
        tuple(map(dagster_api.text, event.get("stepKeys") or ())),
    )
