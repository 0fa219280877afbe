"""What a check is given, and what it finds."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from daglab import web
from daglab.settings import config

OK, DEGRADED, DOWN, SKIPPED = "ok", "degraded", "down", "skipped"
Asked = TypeVar("Asked")


@dataclass(frozen=True)
class Finding:
    """How a thing is (one of the four words above), what is to be said of it, and the next step."""

    status: str
    detail: str
    hint: str | None = None


def ok(detail: str) -> Finding:
    """All is well."""
    return Finding(OK, detail)


def degraded(detail: str, hint: str) -> Finding:
    """It works, and not as it should."""
    return Finding(DEGRADED, detail, hint)


def down(detail: str, hint: str | None) -> Finding:
    """It can't be used."""
    return Finding(DOWN, detail, hint)


def skipped(detail: str) -> Finding:
    """There is nothing to look at."""
    return Finding(SKIPPED, detail)


@dataclass(frozen=True)
class Inquiry:
    """One round of checks: the config, the moment (of time.monotonic) when it is over, and what several checks ask."""

    settings: config.Config
    deadline: float
    operation: str | None = None
    traffic: web.Traffic = field(default_factory=web.Traffic)
    answers: dict[str, Future[Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def left(self) -> float:
        """Seconds until it is over, never nothing: what is asked for has to be given a timeout."""
        return max(self.deadline - time.monotonic(), 0.01)

    def once(self, key: str, ask: Callable[[], Asked]) -> Asked:
        """What `ask` gives or raises, asked by the first check that wants it; the others wait for its answer."""
        with self.lock:
            first = key not in self.answers
            answer = self.answers.setdefault(key, Future())
        if first:
            try:
                answer.set_result(ask())
            except BaseException as error:  # each that waits for it raises it, too
                answer.set_exception(error)
        found: Asked = answer.result()
        return found

    def bounded(self, session: web.Session) -> web.Session:
        """A session for this round: no request is sent twice, or waited for any longer."""
        timeout = min(session.timeout, self.left)
        return dataclasses.replace(session, timeout=timeout, retries=0, deadline=self.deadline, traffic=self.traffic)
