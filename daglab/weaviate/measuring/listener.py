"""What a Weaviate's Prometheus listener tells of collections: how long queries and batches take, queues, segments.

A listener tells of its own node, since its start. Where it is told to put all collections together
(PROMETHEUS_MONITORING_GROUP), or has not seen one at work, there is nothing to tell of that collection.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from daglab import errors, parse, web

LARGEST = 1 << 26  # bytes of an answer
LONGEST = 1 << 16  # characters of a line
MOST = 1e18  # what is more was never measured
ALL = "n/a"  # the name that stands for no collection, or for all
PATH = "/metrics"
QUERIES, BATCHES = "queries_durations_ms_bucket", "batch_durations_ms_bucket"
GAUGES = {
    "queue_size": "queue",
    "vector_index_tombstones": "tombstones",
    "lsm_active_segments": "segments",
}
OPERATIONS = "vector_index_operations"
WANTED = (QUERIES, BATCHES, OPERATIONS, *GAUGES)
# Parts of a batch: objects written, vectors written, and the whole, which is told of all collections together.
STEPS = {"object_storage": "objects", "vector_storage": "vectors", "total_api_level": "batches"}
KINDS = {"create": "created", "delete": "deleted"}
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"\s*(?:,\s*)?')
_ESCAPE = re.compile(r"\\(.)")

Buckets = Mapping[float, float]  # how many took so many seconds or less


@dataclass
class Figures:
    """Of a collection, what its shards on the node come to; None for what was not told."""

    queries: dict[float, float] = field(default_factory=dict)
    objects: dict[float, float] = field(default_factory=dict)
    vectors: dict[float, float] = field(default_factory=dict)
    batches: dict[float, float] = field(default_factory=dict)
    queue: float | None = None
    created: float | None = None
    deleted: float | None = None
    tombstones: float | None = None
    segments: float | None = None


def fetch(address: str, timeout: float) -> dict[str, Figures]:
    """What a listener tells, by collection. Raises as `ask` does."""
    return read(ask(address, timeout))


def ask(address: str, timeout: float) -> str:
    """The text of a listener. `address` without a path has /metrics.

    Raises `Unreachable` where there is no listener, as `web.send` does.
    """
    url = address if urlsplit(address).path.strip("/") else f"{address.rstrip('/')}{PATH}"
    session = web.plain({}, timeout=timeout, largest=LARGEST)
    response = web.send(session, "GET", url)
    if response.status_code != 200:
        hint = "Is PROMETHEUS_MONITORING_ENABLED set there, and is `metrics` in weaviate.clusters its address?"
        raise errors.Unreachable(f"{parse.display_url(url)} answers {response.status_code}.", hint)
    return str(response.content.decode("utf-8", "replace"))


def read(text: str) -> dict[str, Figures]:
    """The figures in a listener's text, by collection; what is none is left out."""
    found: dict[str, Figures] = {}
    for name, labels, value in samples(text):
        _add(found.setdefault(labels.get("class_name", ALL), Figures()), name, labels, value)
    return found


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """The samples that are wanted of a text in Prometheus' format: name, labels and value."""
    for line in text.split("\n"):
        if not line.startswith(WANTED) or len(line) > LONGEST:
            continue
        name = next((each for each in WANTED if line.startswith((f"{each}{{", f"{each} "))), None)
        found = _sample(line[len(name) :]) if name else None
        if name and found:
            yield name, *found


def _sample(rest: str) -> tuple[dict[str, str], float] | None:
    """The labels and the value of what stands after a name; None for what is no sample, or no number."""
    labels: dict[str, str] = {}
    place = 0
    if rest.startswith("{"):
        place = 1
        while match := _LABEL.match(rest, place):
            labels[match[1]] = _unescaped(match[2])
            place = match.end()
        if rest[place : place + 1] != "}":
            return None
        place += 1
    words = rest[place:].split(None, 1)
    try:
        value = float(words[0])
    except (ValueError, IndexError):
        return None
    return (labels, value) if abs(value) <= MOST else None  # NaN is not, either


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda each: "\n" if each[1] == "n" else each[1], text) if "\\" in text else text


def _add(figures: Figures, name: str, labels: Mapping[str, str], value: float) -> None:
    if name in GAUGES:
        _count(figures, GAUGES[name], value)
    elif name == OPERATIONS:
        if kind := KINDS.get(labels.get("operation", "")):
            _count(figures, kind, value)
    elif part := "queries" if name == QUERIES else STEPS.get(labels.get("operation", "")):
        bound = _bound(labels.get("le", ""))
        if bound is not None:
            buckets = getattr(figures, part)
            buckets[bound] = buckets.get(bound, 0.0) + value


def _count(figures: Figures, part: str, value: float) -> None:
    setattr(figures, part, (getattr(figures, part) or 0.0) + value)


def _bound(text: str) -> float | None:
    """The upper bound of a bucket in seconds."""
    try:
        found = float(text) / 1000
    except ValueError:
        return None
    return None if math.isnan(found) else found


def quantile(buckets: Buckets, share: float) -> float | None:
    """The seconds that this share took at most, reckoned evenly within a bucket, as Prometheus does; None for nothing.

    What took longer than the last bucket's bound is told as that.
    """
    bounds = sorted(buckets)
    most = _rising([buckets[bound] for bound in bounds])
    if not bounds or bounds[-1] != math.inf or most[-1] <= 0:
        return None
    rank, below, counted = share * most[-1], 0.0, 0.0
    for bound, number in zip(bounds, most, strict=True):
        if number >= rank and number > counted:
            return below if bound == math.inf else below + (bound - below) * (rank - counted) / (number - counted)
        below, counted = bound, number
    return None


def total(buckets: Buckets) -> float | None:
    """How many there were; None where nothing is told."""
    return buckets.get(math.inf)


def between(before: Buckets, now: Buckets) -> dict[float, float]:
    """What came since an earlier look; all of it where the server has begun anew."""
    found = {bound: number - before.get(bound, 0.0) for bound, number in now.items()}
    return dict(now) if any(number < 0 for number in found.values()) else found


def _rising(numbers: list[float]) -> list[float]:
    """Counts of buckets, each at least that of the one before it."""
    most, found = 0.0, []
    for each in numbers:
        most = max(most, each)
        found.append(most)
    return found
