"""What is run when: `make test` leaves out `long` tests, `make check` those that are `slow` (see pyproject.toml)."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterable
from typing import Any

import pytest

# Whether it is measured what the tests run: each process then imports what measures, writes a file, and is slower. A
# signal may interrupt that import, which Python ends by itself with 1, or meet a lock that its handler waits for, too.
MEASURED = "COVERAGE_PROCESS_CONFIG" in os.environ
unmeasured = pytest.mark.skipif(MEASURED, reason="what measures is imported, locks and writes files, too")


def few(values: Iterable[Any], kept: Collection[Any]) -> list[Any]:
    """The parameters of a test of which those `kept` stand for all: the others are slow."""
    found = list(values)
    assert set(kept) <= set(found)
    return [value if value in kept else _slow(value) for value in found]


def _slow(value: Any) -> Any:
    values = value if isinstance(value, tuple) else (value,)  # of a test with several parameters
    return pytest.param(*values, marks=pytest.mark.slow)


# What stops a command, and its exit code then: Ctrl-C, and what a supervisor sends.
STOPS = few([(signal.SIGINT, 130), (signal.SIGTERM, 143)], [(signal.SIGTERM, 143)])
