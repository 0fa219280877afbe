"""A look at a cluster's collections, with what has changed since the one before it, and how a collection is."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from daglab import errors, parse
from daglab.weaviate import api, rest, together
from daglab.weaviate.measuring import listener, measures

WINDOW = 60.0  # seconds that latencies are of, where there are several looks
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
LISTENER_SECONDS = 10.0
LEAST_PATIENCE = 5.0
OK, QUEUE, READ_ONLY, NOT_READY, NO_ANSWER = "ok", "queue", "read-only", "not ready", "no answer"

Told = Mapping[str, listener.Figures]


@dataclass(frozen=True)
class Change:
    """What became of a collection since the look before: objects a second, and how many percent more there are."""

    per_second: float | None = None
    percent: float | None = None


@dataclass(frozen=True)
class Look:
    """What was found of a cluster. `error` is why nothing was: then `found` is of the last look that found something.

    `told` is what the Prometheus listener says: None where there is none, and where it failed, for `untold`.
    """

    cluster: rest.Cluster
    at: datetime
    moment: float  # by time.monotonic()
    found: measures.Found | None
    error: errors.DaglabError | None = None
    told: Told | None = None
    untold: str | None = None
    changes: Mapping[str, Change] | None = None  # None for a first look
    recent: tuple[tuple[float, Told], ...] = ()  # what the listener said before, the oldest first


def take(
    cluster: rest.Cluster,
    names: Sequence[str] | None = None,
    before: Look | None = None,
    *,
    performance: bool = True,
    strict: bool = True,
) -> Look:
    """Look at these collections, or at all. Raises as `measures.look` does."""
    moment, at = time.monotonic(), datetime.now(timezone.utc)
    last = before.found if before else None
    known = {each.name: each.vectors for each in last.measures} if last else {}
    work: dict[str, Any] = {"found": lambda: measures.look(cluster, names, known=known, strict=strict)}
    if performance and cluster.metrics:
        address, seconds = cluster.metrics, min(cluster.session.timeout, LISTENER_SECONDS)
        work["told"] = lambda: listener.fetch(address, seconds)
    done = together.each(work)
    found, told = done["found"], done.get("told")
    if isinstance(found, Exception):
        raise found
    if isinstance(told, Exception) and not isinstance(told, errors.DaglabError):
        raise told
    return Look(
        cluster,
        at,
        moment,
        found,
        told=None if isinstance(told, Exception) else told,
        untold=told.message if isinstance(told, errors.DaglabError) else None,
        changes=_changes(before, found, moment),
        recent=_recent(before, moment),
    )


def hasty(cluster: rest.Cluster, seconds: float) -> rest.Cluster:
    """The cluster for looks that are taken every so many seconds: who does not answer is not waited for long."""
    patience = min(cluster.session.timeout, max(seconds, LEAST_PATIENCE))
    return dataclasses.replace(cluster, session=dataclasses.replace(cluster.session, timeout=patience, retries=0))


def attempt(
    cluster: rest.Cluster,
    names: Sequence[str] | None,
    before: Look | None,
    *,
    performance: bool = True,
    strict: bool = True,
) -> Look:
    """As `take`; what goes wrong is in the look, and what was found last is still there."""
    try:
        return take(cluster, names, before, performance=performance, strict=strict)
    except errors.DaglabError as error:
        at, moment, found = datetime.now(timezone.utc), time.monotonic(), before.found if before else None
        return Look(cluster, at, moment, found, error=error, recent=_recent(before, moment))


def health(measure: measures.Measure, nodes: Sequence[api.Node] | None, most: int) -> str:
    """How a collection is, in a word; at most so many vectors may wait for their index."""
    ill = {node.name for node in nodes or () if node.status != api.HEALTHY}
    statuses = set(measure.statuses) - {api.READY}
    if measure.problem or measure.absent or ill & set(measure.nodes) or statuses - {api.READONLY, "INDEXING"}:
        return NOT_READY
    if api.READONLY in statuses:
        return READ_ONLY
    return QUEUE if (measure.queue or 0) > most else OK


def state(look: Look, measure: measures.Measure, most: int) -> str:
    """How a collection is, in a word; where nothing was found, its figures are those of an earlier look."""
    return NO_ANSWER if look.error else health(measure, look.found.nodes if look.found else None, most)


def latencies(look: Look, name: str, part: str) -> dict[str, Any] | None:
    """How many there were (`n`) and their quantiles in seconds: of the last minute, or of all since the server's start
    where there was no look before; None where nothing is told. `part` is one of a listener's figures.
    """
    buckets: Mapping[float, float] = getattr(figures(look, name), part)
    if listener.total(buckets) is None:
        return None
    for _, earlier in look.recent[:1]:
        buckets = listener.between(getattr(earlier.get(name, listener.Figures()), part), buckets)
    return {
        "n": round(listener.total(buckets) or 0),
        **{label: listener.quantile(buckets, share) for label, share in SHARES.items()},
    }


def figures(look: Look, name: str) -> listener.Figures:
    """What the listener tells of a collection; of one that it does not tell of, nothing is known."""
    return (look.told or {}).get(name, listener.Figures())


def version(found: measures.Found | None) -> str | None:
    """The versions of the nodes, as one text."""
    nodes = found.nodes if found else None
    return ", ".join(sorted({node.version for node in nodes or () if node.version})) or None


def document(look: Look, most: int) -> dict[str, Any]:
    """A look in JSON."""
    nodes = look.found.nodes if look.found else None
    told = nodes if nodes is None else [{"name": n.name, "status": n.status, "version": n.version} for n in nodes]
    return {
        "at": look.at.isoformat(timespec="seconds"),
        "cluster": look.cluster.name,
        "version": version(look.found),
        "nodes": told,
        "problems": problems(look),
        "listener": _listener(look),
        "collections": [_collection(look, each, most) for each in (look.found.measures if look.found else ())],
    }


def problems(look: Look) -> list[str]:
    """What could not be had, and why; collections that could not be counted say it themselves."""
    found = look.found.problem if look.found else None
    return [each for each in (look.error.message if look.error else None, found, look.untold) if each]


def _listener(look: Look) -> dict[str, Any] | None:
    if not look.cluster.metrics:
        return None
    return {
        "url": parse.display_url(look.cluster.metrics),
        "answers": look.told is not None,
        "batches": latencies(look, listener.ALL, "batches"),
    }


def _collection(look: Look, each: measures.Measure, most: int) -> dict[str, Any]:
    change = (look.changes or {}).get(each.name, Change())
    return {
        **{key: value for key, value in vars(each).items() if key not in ("statuses", "uncounted")},
        "uncounted_tenants": each.uncounted,
        "statuses": dict(each.statuses),
        "vectors": [vars(vector) for vector in each.vectors],
        "health": state(look, each, most),
        "objects_per_second": change.per_second,
        "growth_percent": change.percent,
        "performance": None if look.told is None else _performance(look, each.name),
    }


def _performance(look: Look, name: str) -> dict[str, Any]:
    told = figures(look, name)
    return {
        "queries": latencies(look, name, "queries"),
        "batch_objects": latencies(look, name, "objects"),
        "batch_vectors": latencies(look, name, "vectors"),
        **{key: _whole(getattr(told, key)) for key in ("queue", "created", "deleted", "tombstones", "segments")},
    }


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _changes(before: Look | None, found: measures.Found, moment: float) -> dict[str, Change] | None:
    """What became of each collection, where both looks could count the same of it."""
    if before is None:
        return None
    earlier = {each.name: each for each in before.found.measures} if before.found and not before.error else {}
    seconds, changes = moment - before.moment, {}
    for each in found.measures:
        last = earlier.get(each.name)
        if last is None or last.objects is None or each.objects is None or last.uncounted != each.uncounted:
            continue
        more = each.objects - last.objects
        percent = 100 * more / last.objects if last.objects else None
        changes[each.name] = Change(more / seconds if seconds > 0 else None, percent)
    return changes


def _recent(before: Look | None, moment: float) -> tuple[tuple[float, Told], ...]:
    """What the listener said in the last minute, and in the last look in any case."""
    if before is None:
        return ()
    found = [*before.recent, *([] if before.told is None else [(before.moment, before.told)])]
    return tuple([each for each in found[:-1] if moment - each[0] <= WINDOW] + found[-1:])
