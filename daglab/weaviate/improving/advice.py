"""What a person may change about a collection, with reasons and figures, and what Weaviate does by itself; pure.

The limits are Weaviate's own defaults where it has one (a dynamic index becomes hnsw at 10,000 objects).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from daglab import scales
from daglab.weaviate import schemas
from daglab.weaviate.improving import plans

FLAT_MOST = 10_000  # objects: `threshold` of a dynamic index
MEMORY = 1 << 30  # bytes of vectors before compressing them is worth a word
MANY_TENANTS = 100
TOMBSTONES = 0.2  # of the objects
COMPRESSIONS = ("rq", "pq", "bq", "sq")


@dataclass(frozen=True)
class Advice:
    """`what` to do and why; nothing that daglab does."""

    what: str
    reason: str
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class Automatic:
    """Something that Weaviate does in the background, and no request asks for; `settings` steer it."""

    what: str
    settings: Mapping[str, str]


BY_ITSELF = (
    Automatic(
        "Segments on disk (LSM) are compacted in the background.",
        {
            "PERSISTENCE_LSM_MAX_SEGMENT_SIZE": "no limit",
            "PERSISTENCE_LSM_SEGMENTS_CLEANUP_INTERVAL_HOURS": "0 (off)",
            "PERSISTENCE_LSM_SEPARATE_OBJECTS_COMPACTIONS": "false",
        },
    ),
    Automatic(
        "Deleted vectors (tombstones) are cleaned out of an hnsw index every cleanupIntervalSeconds, which is fixed "
        "when a collection is made.",
        {
            "vectorIndexConfig.cleanupIntervalSeconds": "300",
            "TOMBSTONE_DELETION_CONCURRENCY": "half of the cores",
            "TOMBSTONE_DELETION_MIN_PER_CYCLE": "0",
            "TOMBSTONE_DELETION_MAX_PER_CYCLE": "no limit",
        },
    ),
    Automatic(
        "A vector index is rebuilt or repaired by a person only, over the debug port of each node: "
        "/debug/index/rebuild/vector?collection=C&shard=S.",
        {"GO_PROFILING_PORT": "6060", "DEBUG_ENDPOINTS_ENABLED": "false", "ASYNC_INDEXING": "false"},
    ),
)


def of(picture: plans.Picture) -> list[Advice]:
    """The advice that what was seen gives rise to."""
    return [*_indexes(picture), *_memory(picture), *_replicas(picture), *_tenants(picture), *_tombstones(picture)]


def _indexes(picture: plans.Picture) -> Iterator[Advice]:
    objects, per_tenant = picture.objects or 0, _per_tenant(picture)
    for name, kind in schemas.vector_indexes(picture.schema).items():
        label = f"vector {name}" if name else "the vector"
        if kind == "flat" and (per_tenant if per_tenant is not None else _per_shard(picture)) > FLAT_MOST:
            yield Advice(
                f"Give {label} an hnsw or dynamic index, in a copy of the collection.",
                "A flat index compares a query with every vector; a dynamic one becomes hnsw at 10,000 objects.",
                {"index": kind, "objects": objects, "limit": FLAT_MOST},
            )
        if kind == "hnsw" and per_tenant is not None and 0 < per_tenant < FLAT_MOST and _tenants_of(picture) > 1:
            yield Advice(
                f"Give {label} a flat or dynamic index, in a copy of the collection.",
                "Each tenant has an hnsw graph of its own in memory; so few vectors are searched as fast without one. "
                "dynamic needs ASYNC_INDEXING=true.",
                {"index": kind, "objects_per_tenant": round(per_tenant), "limit": FLAT_MOST},
            )


def _memory(picture: plans.Picture) -> Iterator[Advice]:
    for name, kind in schemas.vector_indexes(picture.schema).items():
        dimensions = picture.dimensions.get(name)
        if kind != "hnsw" or not dimensions or not picture.objects or _is_compressed(picture.schema, name):
            continue
        size = dimensions * 4 * picture.objects
        if size > MEMORY:
            label = f"vector {name}" if name else "the vector"
            yield Advice(
                f"Compress {label}: rq (8 bits, a quarter of it; since 1.32), sq, pq or bq.",
                f"Uncompressed it takes about {scales.figure(size, 'bytes')} of memory: {dimensions} dimensions of "
                f"4 bytes, {picture.objects:,} objects; and its graph besides, for each replica.",
                {"dimensions": dimensions, "objects": picture.objects, "bytes": size, "bytes_rq": size // 4},
            )


def _replicas(picture: plans.Picture) -> Iterator[Advice]:
    factor = int((picture.schema.get("replicationConfig") or {}).get("factor") or 1)
    if factor == 1 and len(picture.nodes) > 1:
        yield Advice(
            "Have a replica on another node: raise the replication factor (POST /v1/replication/scale since 1.35).",
            "With a single replica, the objects of a node that is down can't be read or written.",
            {"factor": factor, "nodes": len(picture.nodes)},
        )


def _tenants(picture: plans.Picture) -> Iterator[Advice]:
    inactive = sum(status == "INACTIVE" for status in (picture.tenants or {}).values())
    if inactive >= MANY_TENANTS and inactive > _tenants_of(picture) / 2:
        yield Advice(
            "Offload tenants that are not needed for long (needs the module offload-s3).",
            "An inactive tenant takes no memory, and all of its disk; an offloaded one takes neither.",
            {"inactive": inactive, "tenants": _tenants_of(picture)},
        )


def _tombstones(picture: plans.Picture) -> Iterator[Advice]:
    if picture.tombstones and picture.tombstones > TOMBSTONES * (picture.objects or 0):
        yield Advice(
            "Wait for the next cleanup of tombstones, or look why it does not come (TOMBSTONE_DELETION_*).",
            "Deleted vectors stay in the graph until then, and searches pass through them.",
            {"tombstones": round(picture.tombstones), "objects": picture.objects},
        )


def _is_compressed(schema: Mapping[str, Any], name: str | None) -> bool:
    named = (schema.get("vectorConfig") or {}).get(name, {}) if name else schema
    config = named.get("vectorIndexConfig") or {}
    return any((config.get(kind) or {}).get("enabled") for kind in COMPRESSIONS)


def _tenants_of(picture: plans.Picture) -> int:
    return len(picture.tenants or {})


def _per_tenant(picture: plans.Picture) -> float | None:
    """Objects of a loaded tenant; None where there are no tenants, or none is loaded."""
    if picture.tenants is None:
        return None
    loaded = {shard.name for node in picture.nodes for shard in node.shards if shard.objects is not None}
    return (picture.objects or 0) / len(loaded) if loaded else 0.0


def _per_shard(picture: plans.Picture) -> float:
    return (picture.objects or 0) / max(len(picture.replicas), 1)
