"""All checks side by side, within one timeout.

To add a check: a function that is given the inquiry and gives a finding, and its row in `CHECKS`; for one that there is
of each entry of a list in the config, in `FAMILIES`. An error that it raises is "down", with the error's own message.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daglab import errors, parse, web
from daglab.checks import deployment, endpoints, findings, project, uploads
from daglab.deployment import dagster_api
from daglab.settings import config

log = logging.getLogger(__name__)

Check = Callable[[findings.Inquiry], findings.Finding]
EntryCheck = Callable[[findings.Inquiry, Mapping[str, str]], findings.Finding]
Row = tuple[str, Check]

CHECKS: dict[str, Check] = {
    "config": project.validity,
    "dagster": deployment.version,
    "locations": deployment.locations,
    "daemons": deployment.daemons,
    "marimo": project.marimo,
    "storage": project.storage,
    "exports": project.exports,
    "links": endpoints.links,
    "upload": uploads.target,
}
# Family -> the config's list, and the check of each of its entries.
FAMILIES: dict[str, tuple[str, EntryCheck]] = {
    "models": ("models", endpoints.model),
    "weaviate": ("weaviate.clusters", endpoints.cluster),
}
WITHOUT_CONFIG = ("config", "storage")  # those that have something to say where the config is not valid
MOST = 100  # checks at a time: each may need a connection and two threads
GRACE = 0.3  # seconds: a check says itself what was not in time, if it is let


@dataclass(frozen=True)
class Outcome:
    """How a check ended: `status` is ok, degraded, down or skipped, and `hint` the next step where one is needed."""

    name: str
    status: str
    detail: str
    hint: str | None
    seconds: float


def names(settings: config.Config) -> list[str]:
    """The checks there are, in their order. A family without entries is one check, which is skipped."""
    return [name for name, _ in _rows(settings)]


def run(
    settings: config.Config,
    only: Sequence[str] = (),
    timeout: float | None = None,
    *,
    operation: str | None = None,
    traffic: web.Traffic | None = None,
) -> list[Outcome]:
    """The checks, or those named in `only` (`models` is all of `models:...`), within `timeout` seconds altogether.

    Without a timeout, health.timeout. A check that has not ended by then is down; what it waits for is cut off, so that
    its thread ends, too. `operation` is the id that requests to Dagster carry, `traffic` is told of every request.

    Raises `WrongUsage` for a name that there is not, with the nearest ones.
    """
    rows = _chosen(_rows(settings), only)
    seconds = settings.health.timeout if timeout is None else timeout
    inquiry = findings.Inquiry(settings, time.monotonic() + seconds, operation, traffic or web.Traffic())
    return _ask(rows, inquiry, seconds)


def run_without_config(directory: Path, only: Sequence[str] = (), timeout: float | None = None) -> list[Outcome]:
    """The same where the config of `directory` is not valid: what depends on it is skipped."""
    settings = config.Config(directory=directory)
    reason = _always(findings.skipped("The config is not valid, so it is not known what to look at."))
    rows = [row if row[0] in WITHOUT_CONFIG else (row[0], reason) for row in _rows(settings)]
    # Which entries there are is not known either: `models:small` stands for its family.
    families = [family if (family := name.partition(":")[0]) in FAMILIES else name for name in only]
    seconds = settings.health.timeout if timeout is None else timeout
    return _ask(_chosen(rows, families), findings.Inquiry(settings, time.monotonic() + seconds), seconds)


def overall(outcomes: Sequence[Outcome]) -> str:
    """What the outcomes come to: healthy, degraded or down."""
    statuses = {outcome.status for outcome in outcomes}
    return next((status for status in (findings.DOWN, findings.DEGRADED) if status in statuses), "healthy")


def document(outcome: Outcome) -> dict[str, Any]:
    """An outcome in JSON."""
    return {**vars(outcome), "seconds": round(outcome.seconds, 3)}


def _rows(settings: config.Config) -> list[Row]:
    rows: list[Row] = list(CHECKS.items())
    for family, (key, check) in FAMILIES.items():
        entries = settings.value(key)
        rows += [(f"{family}:{entry['name']}", _of(check, entry)) for entry in entries]
        if not entries:
            rows.append((family, _always(findings.skipped(f"The config names none ({key})."))))
    return rows


def _of(check: EntryCheck, entry: Mapping[str, str]) -> Check:
    return lambda inquiry: check(inquiry, entry)


def _always(finding: findings.Finding) -> Check:
    return lambda _: finding


def _chosen(rows: Sequence[Row], only: Sequence[str]) -> list[Row]:
    known = [name for name, _ in rows]
    known += [family for family in FAMILIES if family not in known]
    for name in only:
        if name not in known:
            hint = parse.did_you_mean(name, known) or f"There are {', '.join(known)}."
            raise errors.WrongUsage(f"There is no check {name!r}.", hint)
    return [row for row in rows if not only or row[0] in only or row[0].partition(":")[0] in only]


def _ask(rows: Sequence[Row], inquiry: findings.Inquiry, seconds: float) -> list[Outcome]:
    """Each row's outcome, in their order."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
    for number in range(len(rows)):
        waiting.put(number)

    def work() -> None:
        while time.monotonic() < inquiry.deadline:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            done.put((number, _outcome(rows[number], inquiry)))

    for _ in range(min(len(rows), MOST)):
        threading.Thread(target=work, daemon=True).start()
    found: dict[int, Outcome] = {}
    while len(found) < len(rows):
        try:
            number, outcome = done.get(timeout=inquiry.left + GRACE)
        except queue.Empty:
            break
        found[number] = outcome
    late = f"It has not ended within {seconds:g} s."
    hint = "Look whether it hangs; a larger --timeout or health.timeout gives it more time."
    return [
        found.get(number, Outcome(name, findings.DOWN, late, hint, seconds)) for number, (name, _) in enumerate(rows)
    ]


def _outcome(row: Row, inquiry: findings.Inquiry) -> Outcome:
    name, check = row
    started = time.monotonic()
    try:
        finding = check(inquiry)
    except errors.DaglabError as error:
        finding = findings.down(error.message, error.hint)
    except Exception as bug:  # one check must not keep the others from being told
        log.debug("the check %s failed", name, exc_info=True)
        finding = findings.down(f"The check itself failed: {type(bug).__name__}.", "Please report this bug in daglab.")
    detail = dagster_api.shorten(" ".join(finding.detail.split()))
    return Outcome(name, finding.status, detail, finding.hint, time.monotonic() - started)
