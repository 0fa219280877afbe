"""What is asked of a Weaviate to tell whether it is well: each thing once, by the first that wants to know it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from daglab import errors
from daglab.settings import config
from daglab.weaviate import api, journals, rest
from daglab.weaviate.measuring import listener

Asked = TypeVar("Asked")
LARGEST_LIMIT = 1 << 60  # bytes: what is above is no limit
_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e\+?[0-9]+)?"
_MEMORY = re.compile(rf"^(process_resident_memory_bytes|go_gc_gomemlimit_bytes) ({_NUMBER})$", re.MULTILINE)


@dataclass(frozen=True)
class Limits:
    """What is too much: milliseconds that 95 of 100 queries take at most, vectors that wait for their index."""

    query_ms: float
    queue: int


@dataclass(frozen=True)
class Raft:
    """How far a node follows the leader: the number of the last change it knows, and whether it is done loading."""

    name: str
    status: str
    state: str
    leader: str
    applied: str
    is_ready: bool


@dataclass(frozen=True)
class Work:
    """A copy or migration that did not end: what it is, the shards it froze, tenants with the state to put back.

    One that `needs_source` is over where its collection is gone: a restore has none, and a copy that is replacing
    another collection has all that it needs.
    """

    folder: Path
    work: Mapping[str, Any]
    running: bool
    frozen: Mapping[str, str]
    tenants: Mapping[str, str]
    needs_source: bool = True

    @property
    def kind(self) -> str:
        """Such as copy or migrate."""
        return str(self.work.get("kind"))

    @property
    def collection(self) -> str:
        """The collection that it reads from."""
        return str(self.work.get("collection"))


@dataclass(frozen=True)
class Look:
    """One look at a cluster, at one collection of it or at all."""

    cluster: rest.Cluster
    root: Path
    limits: Limits
    only: str | None = None
    answers: dict[str, Any] = field(default_factory=dict)

    def once(self, key: str, ask: Callable[[], Asked]) -> Asked:
        """What `ask` gives or raises, asked once."""
        if key not in self.answers:
            try:
                self.answers[key] = ask()
            except errors.DaglabError as error:
                self.answers[key] = error
        found = self.answers[key]
        if isinstance(found, errors.DaglabError):
            raise found
        return found  # type: ignore[no-any-return]


def limits(settings: config.Config) -> Limits:
    """What is too much by the config: weaviate.max_query_ms, weaviate.max_queue."""
    return Limits(settings.weaviate.max_query_ms, settings.weaviate.max_queue)


def bounded(cluster: rest.Cluster, timeout: float) -> rest.Cluster:
    """The same, waiting so many seconds for an answer: a count over a node that has just gone takes half a minute."""
    session = dataclasses.replace(cluster.session, timeout=min(timeout, cluster.session.timeout), retries=0)
    return dataclasses.replace(cluster, session=session)


def is_ready(look: Look) -> bool:
    """Whether the cluster says that it is ready: the node has loaded its data, and knows of a leader."""

    def ask() -> bool:
        try:
            rest.answer(look.cluster, "GET", ".well-known/ready")
        except rest.Failed as error:
            if error.status == 503:
                return False
            raise
        return True

    return look.once("ready", ask)


def schemas(look: Look) -> dict[str, dict[str, Any]]:
    """The schemas as the node that is asked has them: to be had without a leader, too."""

    def ask() -> dict[str, dict[str, Any]]:
        with _header(look.cluster, "consistency", "false"):
            return api.schemas(look.cluster)

    return look.once("schemas", ask)


def leading_schemas(look: Look) -> dict[str, dict[str, Any]]:
    """The schemas as the leader has them."""
    return look.once("leading schemas", lambda: api.schemas(look.cluster))


def nodes(look: Look, key: str = "nodes") -> list[api.Node]:
    """The nodes with their shards; another `key` is another look."""
    return look.once(key, lambda: api.nodes(look.cluster, look.only))


def shards(look: Look, name: str, key: str = "nodes") -> list[api.Shard]:
    """The replicas of the shards of a collection that nodes have told of."""
    return [shard for node in nodes(look, key) for shard in node.shards if shard.collection == name]


def tenants(look: Look, name: str) -> dict[str, str]:
    """The state of each tenant of a collection."""
    return look.once(f"tenants {name}", lambda: api.tenants(look.cluster, name))


def aliases(look: Look) -> dict[str, str] | None:
    """Which collection each alias leads to; None before 1.32."""
    return look.once("aliases", lambda: api.known_aliases(look.cluster))


def raft(look: Look) -> tuple[bool, list[Raft]]:
    """Whether the nodes say that they are synchronized, and how each of them stands."""

    def ask() -> tuple[bool, list[Raft]]:
        found = rest.get(look.cluster, "cluster/statistics")
        listed = rest.member(look.cluster, found, "statistics", list)
        said = rest.rows(look.cluster, [each.get("raft") or {} for each in listed], "raft")
        members = [_raft(each, of) for each, of in zip(listed, said, strict=True)]
        return found.get("synchronized") is True, [*members, *_lost(look.cluster, said, members)]

    return look.once("raft", ask)


def figures(look: Look) -> dict[str, listener.Figures] | None:
    """What the Prometheus listener tells, by collection; None where none is configured."""
    text = _listened(look)
    return None if text is None else look.once("figures", lambda: listener.read(text))


def memory(look: Look) -> tuple[int, int] | None:
    """The bytes of memory that the node uses, and those it may use (0 for no limit), by its listener; None without."""
    found = {name: float(value) for name, value in _MEMORY.findall(_listened(look) or "")}
    used, most = found.get("process_resident_memory_bytes"), found.get("go_gc_gomemlimit_bytes", math.inf)
    return None if used is None else (int(used), int(most) if most < LARGEST_LIMIT else 0)


def works(look: Look) -> list[Work]:
    """The copies and migrations from this cluster that did not end, or are running."""

    def ask() -> list[Work]:
        listed = journals.unfinished(look.root)
        return [_work(each) for each in listed if each.get("source") in (look.cluster.url, None)]

    return look.once("works", ask)


def is_busy(look: Look) -> bool:
    """Whether a copy or a migration of this project is running, from whatever cluster."""
    return any(each.get("running") for each in journals.unfinished(look.root))


def _listened(look: Look) -> str | None:
    address = look.cluster.metrics
    if address is None:
        return None
    return look.once("listener", lambda: listener.ask(address, look.cluster.session.timeout))


def _work(each: Mapping[str, Any]) -> Work:
    folder = Path(str(each["folder"]))
    lines = journals.lines_of(folder)
    frozen = {name: state for name, state in journals.frozen_shards(lines).items() if state != api.READONLY}
    work = (lines[0].get("work") if lines else None) or {}
    needs_source = bool(work.get("source")) and not any(line.get("stage") == "replacing" for line in lines)
    return Work(folder, work, bool(each.get("running")), frozen, journals.owed(lines), needs_source)


def _raft(each: Mapping[str, Any], said: Mapping[str, Any]) -> Raft:
    return Raft(
        name=str(each.get("name", "")),
        status=str(each.get("status", "")),
        state=str(said.get("state", "")),
        leader=str(each.get("leaderId") or ""),
        applied=str(said.get("appliedIndex", "")),
        is_ready=each.get("ready") is not False and each.get("dbLoaded") is not False,
    )


def _lost(cluster: rest.Cluster, said: Sequence[Mapping[str, Any]], members: Sequence[Raft]) -> list[Raft]:
    """The members of the cluster that nothing is told of: 1.30 tells of a node that has gone for some seconds only."""
    known = [rest.rows(cluster, each.get("latestConfiguration"), "latestConfiguration") for each in said]
    lost = {str(one.get("id")) for listed in known for one in listed} - {each.name for each in members}
    return [Raft(name, "UNAVAILABLE", "", "", "", is_ready=False) for name in sorted(lost)]


@contextlib.contextmanager
def _header(cluster: rest.Cluster, name: str, value: str) -> Iterator[None]:
    headers = cluster.session.http.headers
    headers[name] = value
    try:
        yield
    finally:
        del headers[name]
