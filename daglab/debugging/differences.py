"""What is different between two JSON values, path by path."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST_MATCHED = 2000  # entries of a list; in a longer one, entries of the same number are compared
_MISSING = object()


@dataclass(frozen=True)
class Difference:
    """A place (`data.assetNodes[3].description`), and what stands there before and after."""

    path: str
    kind: str  # "changed", "added", "removed"
    before: Any = None
    after: Any = None


def between(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """The differences from one JSON value to another, in the order in which they stand.

    Entries of a list that moved up or down for others that came or went are no difference. True is not 1.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            below = f"{path}.{name}" if path else str(name)
            yield from _member(before.get(name, _MISSING), after.get(name, _MISSING), below)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _entries(before, after, path)
    elif type(before) is not type(after) or before != after:
        yield Difference(path or "$", "changed", before, after)


def _member(before: Any, after: Any, path: str) -> Iterator[Difference]:
    if after is _MISSING:
        yield Difference(path, "removed", before=before)
    elif before is _MISSING:
        yield Difference(path, "added", after=after)
    else:
        yield from between(before, after, path)


def _entries(before: Sequence[Any], after: Sequence[Any], path: str) -> Iterator[Difference]:
    for i, j, k, m in _stretches(before, after):
        together = min(j - i, m - k)
        for n in range(together):
            yield from between(before[i + n], after[k + n], f"{path}[{k + n}]")
        for n in range(i + together, j):
            yield Difference(f"{path}[{n}]", "removed", before=before[n])
        for n in range(k + together, m):
            yield Difference(f"{path}[{n}]", "added", after=after[n])


def _stretches(before: Sequence[Any], after: Sequence[Any]) -> list[tuple[int, int, int, int]]:
    """From where to where both lists are not the same."""
    if max(len(before), len(after)) > LONGEST_MATCHED:
        return [(0, len(before), 0, len(after))]
    one, other = ([json.dumps(each, sort_keys=True) for each in side] for side in (before, after))
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    return [(i, j, k, m) for kind, i, j, k, m in matcher.get_opcodes() if kind != "equal"]
