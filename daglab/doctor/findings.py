"""What is examined, and what is found: records only."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daglab import errors
from daglab.settings import config

OK, WARNING, PROBLEM, SKIPPED = "ok", "warning", "problem", "skipped"
MOST_NAMED = 5  # of many things of a kind


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `status` is one of those above, `remedy` the command or the edit that helps.

    `fixable` says whether `daglab doctor --fix` mends it.
    """

    name: str
    status: str
    detail: str
    remedy: str | None = None
    fixable: bool = False


@dataclass(frozen=True)
class Project:
    """What is examined: a project's root, its config, the environment variables, and what is wrong with the config.

    With a `flaw`, `settings` are the defaults: the rest can be looked at all the same.
    """

    root: Path
    settings: config.Config
    environ: Mapping[str, str]
    flaw: errors.DaglabError | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where daglab keeps what it writes."""
        return self.root / ".daglab"


def fine(name: str, detail: str) -> Finding:
    """Nothing is wrong."""
    return Finding(name, OK, detail)


def skipped(name: str, detail: str) -> Finding:
    """There was nothing to look at, or no way to."""
    return Finding(name, SKIPPED, detail)


def warning(name: str, detail: str, remedy: str, *, fixable: bool = False) -> Finding:
    """Something may be wrong."""
    return Finding(name, WARNING, detail, remedy, fixable)


def problem(name: str, detail: str, remedy: str, *, fixable: bool = False) -> Finding:
    """Something is wrong."""
    return Finding(name, PROBLEM, detail, remedy, fixable)


def document(finding: Finding) -> dict[str, Any]:
    """A finding in JSON."""
    return vars(finding).copy()


def some(names: Iterable[str]) -> str:
    """Names in one line; of many the first few, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
    return ", ".join(listed[:MOST_NAMED]) + more


def quoted(path: str | Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))
