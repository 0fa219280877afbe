"""Recorded token usage beside a local count: by tiktoken where the project's Python has it, else by the characters."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from daglab import errors, events, files, processes
from daglab.settings import config

SCRIPT = Path(__file__).parent.parent / "children" / "tokens.py"
CHARACTERS = 4  # of one token, as a rule of thumb for English
BY_CHARACTERS = "characters"
TOLERANCES = (10.0, 50.0)  # percent: of a count by tiktoken, and of one by the characters
SLACK = 4  # tokens that a text may differ by all the same: what marks a message's beginning and end
TIMEOUT = 120.0
COUNTER = "tokens"


@dataclass(frozen=True)
class Entry:
    """A line of the file: a text, whose it is, and how many tokens were recorded for it, where that is known."""

    line: int
    text: str
    model: str | None
    kind: str | None
    recorded: int | None


@dataclass(frozen=True)
class Count:
    """How many tokens a text has here, by which method, and why by no better one."""

    tokens: int
    method: str
    why: str | None = None


@dataclass(frozen=True)
class Row:
    """An amount beside another one, of an entry (`line`) or of all of a model and kind (no `line`)."""

    line: int | None
    model: str | None
    kind: str | None
    recorded: float
    counted: int
    method: str
    ok: bool

    @property
    def percent(self) -> float | None:
        """By how much the recorded amount is more than the counted one; None where nothing was counted."""
        return round(100 * (self.recorded - self.counted) / self.counted, 1) if self.counted else None


def read(path: Path) -> list[Entry]:
    """The entries of a JSON lines file: `text`, and where known `tokens` (recorded), `model`, `kind`.

    Raises `InvalidInput` with the line that is something else, `NotSetUp` for a missing file.
    """
    lines = files.read_text(path, "file of texts").split("\n")
    return [_entry(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def count(entries: Sequence[Entry], settings: config.Config) -> list[Count]:
    """The tokens of each text, counted on this machine; nothing is sent anywhere."""
    found = _by_tiktoken(entries, settings)
    return [
        Count(each[0], f"tiktoken {each[1]}")
        if isinstance(each, list)
        else Count(math.ceil(len(entry.text) / CHARACTERS), BY_CHARACTERS, each)
        for entry, each in zip(entries, found, strict=True)
    ]


def check(entries: Sequence[Entry], counts: Sequence[Count], tolerance: float | None) -> list[Row]:
    """Each entry with a recorded amount beside its count. `tolerance` is percent; None is that of the method."""
    return [
        _row(entry.line, (entry.model, entry.kind), entry.recorded, [each], tolerance)
        for entry, each in zip(entries, counts, strict=True)
        if entry.recorded is not None
    ]


def check_events(
    entries: Sequence[Entry],
    counts: Sequence[Count],
    recorded: Mapping[tuple[str | None, str | None], float],
    tolerance: float | None,
) -> list[Row]:
    """What the events have recorded, beside the counts of all entries, by model and kind; only where they have any."""
    groups: dict[tuple[str | None, str | None], list[Count]] = {}
    for entry, each in zip(entries, counts, strict=True):
        groups.setdefault((entry.model, entry.kind), []).append(each)
    found = ((group, _sum(recorded, group), all_of) for group, all_of in groups.items())
    return [_row(None, group, amount, all_of, tolerance) for group, amount, all_of in found if amount is not None]


def recorded(root: Path, since: float | None) -> dict[tuple[str | None, str | None], float]:
    """What `record_usage("tokens", ...)` has kept since a time (seconds since 1970), by model and kind."""
    found: dict[tuple[str | None, str | None], float] = {}
    for line in events.newest(root, "helpers.record_usage"):
        for used in _usage(line, since):
            labels = used.get("labels")
            labels = labels if isinstance(labels, dict) else {}
            key = (_text(labels.get("model")), _text(labels.get("kind")))
            found[key] = found.get(key, 0) + used["amount"]
    return found


def _usage(line: Mapping[str, Any], since: float | None) -> Iterable[dict[str, Any]]:
    """The counters of tokens in an event; somebody else may have written it."""
    try:
        if since is not None and datetime.fromisoformat(line["at"]).timestamp() < since:
            return []
        return [
            used
            for used in line["usage"]
            if used["name"] == COUNTER and isinstance(used["amount"], (int, float)) and math.isfinite(used["amount"])
        ]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return []


def _sum(recorded: Mapping[tuple[str | None, str | None], float], group: tuple[str | None, str | None]) -> float | None:
    """The amount of a model and kind; of all kinds, where the entries name none."""
    model, kind = group
    found = [amount for (its, of), amount in recorded.items() if its == model and kind in (None, of)]
    return sum(found) if found else None


def _row(
    line: int | None,
    group: tuple[str | None, str | None],
    amount: float,
    counts: Sequence[Count],
    tolerance: float | None,
) -> Row:
    methods = sorted({each.method for each in counts})
    percent = TOLERANCES[BY_CHARACTERS in methods] if tolerance is None else tolerance
    counted = sum(each.tokens for each in counts)
    ok = abs(amount - counted) <= max(counted * percent / 100, SLACK * len(counts))
    return Row(line, *group, amount, counted, ", ".join(methods), ok)


def _by_tiktoken(entries: Sequence[Entry], settings: config.Config) -> list[list[Any] | str]:
    asked = json.dumps([[entry.model, entry.text] for entry in entries])
    python = settings.python_for(settings.root)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as file:
        file.write(asked)
        file.flush()
        environ = processes.without_secrets(os.environ, settings.token_variables)
        try:
            done = processes.run([python, str(SCRIPT), file.name], timeout=TIMEOUT, env=environ)
            found = json.loads(done.stdout)
        except (errors.NotSetUp, ValueError) as error:
            return [f"{python} can't count ({type(error).__name__})"] * len(entries)
    return found if isinstance(found, list) and len(found) == len(entries) else ["no count"] * len(entries)


def _entry(path: Path, number: int, line: str) -> Entry:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    hint = 'Write a JSON object a line: {"text": "...", "tokens": 12, "model": "...", "kind": "prompt"}.'
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise errors.InvalidInput(f"{path}, line {number}, is no object with a text.", hint)
    tokens = value.get("tokens")
    if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0):
        raise errors.InvalidInput(f"{path}, line {number}: tokens is no whole number.", hint)
    return Entry(number, value["text"], _text(value.get("model")), _text(value.get("kind")), tokens)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
