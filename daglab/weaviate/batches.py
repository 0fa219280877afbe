"""Objects written in batches whose size suits the server; what it refuses is told, object by object.

A batch is sent again where its answer was lost: each object replaces the one of its id, so that twice comes to the
same as once. One that is refused as a whole is divided until it is clear which objects are meant; the rest is written.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daglab import errors, web
from daglab.weaviate import rest, store, verbatim

GOOD_SECONDS = 2.0  # that a batch takes
MOST_BYTES = 8_000_000  # of a batch
FEW_BYTES = 1_000_000  # a batch that is no larger is not lost for its size
TRIES = 8  # of one object, while what is wrong may pass: half a minute
MOST_ALONE = 20  # refused one by one before the trouble is taken for that of all
# What a server says of an object when the trouble is its own, and passes: that of replicas and of the schema's leader,
# of shards that load, move or end, of memory, and of what stands in between.
_PASSES = (
    "timeout",
    "timed out",
    "unavailable",
    "deadline",
    "connection re",
    "connection was",
    "context canceled",
    "too many requests",
    "leader",
    "overloaded",
    "EOF",
    "enough replicas",
    "broken pipe",
    "not enough memory",
    "memory pressure",
    "shut",  # shutting down, shutdown in progress, already shut or dropped
    "shard busy",
    "already closed",
    "immutable",
    "transitional state",
)


@dataclass
class Pace:
    """How many objects go into the next batch: between `least` and `most`, by how the last ones went.

    `most_bytes` is what the server takes at once, as far as is known.
    """

    least: int
    most: int
    size: int
    bytes_each: float = 1.0
    most_bytes: int = MOST_BYTES


@dataclass(frozen=True)
class Failure:
    """An object that was not written, and the server's own words."""

    id: str
    reason: str


@dataclass(frozen=True)
class _Item:
    """An object as it is sent."""

    id: str
    text: bytes


@dataclass(frozen=True)
class _Part:
    """Some of a batch, by their numbers; `is_again` where others were refused that were sent beside them."""

    numbers: Sequence[int]
    is_again: bool = False

    def halves(self, numbers: Sequence[int]) -> list[_Part]:
        """These in two parts, the first one last, which is the next."""
        half = (len(numbers) + 1) // 2
        return [_Part(some, self.is_again) for some in (numbers[half:], numbers[:half]) if some]


@dataclass(frozen=True)
class _Problem:
    """What is wrong with an object, and whether that may pass."""

    reason: str
    passes: bool


def pace(least: int, most: int) -> Pace:
    """Where one begins."""
    return Pace(least, max(least, most), min(max(least, 100), max(least, most)))


def passes(reason: str) -> bool:
    """Whether what a server says of a single object is trouble of its own, which passes."""
    return any(word in reason for word in _PASSES)


def write(
    cluster: rest.Cluster, objects: Sequence[Mapping[str, Any]], pace: Pace, texts: verbatim.Texts | None = None
) -> list[Failure]:
    """Write objects, each replacing one of its id; those that the server does not take.

    What may pass is tried again for a while. `texts` are the vectors that were left as they came. Raises `Refused` and
    `Failed` with the server's words where it takes nothing at all, `Unreachable` where it does not answer; then some
    may be written.
    """
    failed: list[Failure] = []
    waiting: Iterable[_Item] = _items(objects, texts, failed)
    for attempt in range(TRIES):
        again: list[_Item] = []
        for batch in _batches(waiting, pace):
            try:
                problems = _put(cluster, batch, pace)
            except rest.Failed:
                if attempt + 1 == TRIES:
                    raise
                again += batch
                continue
            for each, problem in zip(batch, problems, strict=True):
                if problem and problem.passes and attempt + 1 < TRIES:
                    again.append(each)
                elif problem:
                    failed.append(Failure(each.id, problem.reason))
        if not again:
            break
        time.sleep(web.delay(attempt))
        waiting = again
    return failed


def _items(
    objects: Iterable[Mapping[str, Any]], texts: verbatim.Texts | None, failed: list[Failure]
) -> Iterator[_Item]:
    for each in objects:
        try:
            text = json.dumps(each, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except (ValueError, TypeError, RecursionError) as error:
            failed.append(Failure(str(each.get("id")), f"it can't be written as JSON: {error}"))
            continue
        yield _Item(str(each.get("id")), verbatim.put_back(text, texts) if texts else text)


def _batches(waiting: Iterable[_Item], pace: Pace) -> Iterator[list[_Item]]:
    """As many at once as the pace says, by number and by bytes; at least one."""
    batch: list[_Item] = []
    size = 0
    for each in waiting:
        if batch and (len(batch) >= pace.size or size + len(each.text) > pace.most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += len(each.text)
    if batch:
        yield batch


def _put(cluster: rest.Cluster, batch: Sequence[_Item], pace: Pace) -> list[_Problem | None]:
    """Write a batch, whole or in parts; what is wrong with each. Raises as `write` does, where nothing goes through.

    A server says of a whole shard that it can't be written (read-only, not loaded) with an error for the first object
    alone, and calls the others good. So where any is refused, those that are said to be written are sent again: without
    it, and divided where one is refused once more.
    """
    results: dict[int, _Problem | None] = {}
    parts = [_Part(range(len(batch)))]
    while parts:
        part = parts.pop()
        items = [batch[number] for number in part.numbers]
        try:
            found = _sent(cluster, items, pace)
        except errors.DaglabError as error:
            if len(items) > 1 and _may_divide(error, items, pace):
                parts += part.halves(part.numbers)
                continue
            nothing = len(results) + 1 >= MOST_ALONE and not any(problem is None for problem in results.values())
            if not _is_of_one(error, items) or nothing:
                raise
            found = [_Problem(error.message, isinstance(error, rest.Failed))]
        said = dict(zip(part.numbers, found, strict=True))
        refused = {number: problem for number, problem in said.items() if problem}
        results.update(refused or said)
        if good := [number for number in said if refused and number not in refused]:
            parts += part.halves(good) if part.is_again else [_Part(good, is_again=True)]
    return [results[number] for number in range(len(batch))]


def _may_divide(error: errors.DaglabError, part: Sequence[_Item], pace: Pace) -> bool:
    """Whether a part of what failed as a whole may go through; after it the next batches are smaller, if need be."""
    size = sum(len(each.text) for each in part)
    if isinstance(error, rest.Refused):
        if error.status == 413:
            pace.most_bytes = min(pace.most_bytes, size // 2)
        return True
    if isinstance(error, rest.Failed):
        return error.status not in web.AGAIN
    if not isinstance(error, errors.Unreachable) or (len(part) <= pace.least and size <= FEW_BYTES):
        return False
    pace.size = max(pace.least, len(part) // 2)  # it broke off, or took too long
    return True


def _is_of_one(error: errors.DaglabError, part: Sequence[_Item]) -> bool:
    """Whether an error says what is wrong with the only object of a part."""
    if isinstance(error, rest.Failed):
        return len(part) == 1 and error.status not in web.AGAIN
    return len(part) == 1 and isinstance(error, rest.Refused)


def _sent(cluster: rest.Cluster, part: Sequence[_Item], pace: Pace) -> list[_Problem | None]:
    body = b'{"objects":[' + b",".join(each.text for each in part) + b"]}"
    pace.bytes_each = len(body) / len(part)
    started = time.monotonic()
    found = store.put_objects(cluster, body)
    if len(found) != len(part):
        raise rest.Failed(
            f"{cluster.name} answered for {len(found)} of {len(part)} objects.", "Is something in between?"
        )
    _adapt(pace, len(part), time.monotonic() - started)
    return [None if reason is None else _Problem(reason, passes(reason)) for reason in found]


def _adapt(pace: Pace, written: int, seconds: float) -> None:
    """Larger batches while they are quick, smaller ones when they take long."""
    if seconds > 2 * GOOD_SECONDS:
        pace.size = max(pace.least, pace.size // 2)
    elif seconds < GOOD_SECONDS and written >= pace.size:
        pace.size = min(pace.most, pace.size * 2)
