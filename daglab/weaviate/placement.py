"""Whether a collection can be made in a cluster, which is asked before anything is made there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daglab import errors, scales
from daglab.weaviate import api, rest, schemas


def check(cluster: rest.Cluster, schema: Mapping[str, Any]) -> None:
    """Raises `InvalidInput` where a cluster can't take a schema: for its name, what it refers to, its replicas."""
    name, known = str(schema["class"]), api.schemas(cluster)
    needed = {each for kinds in schemas.references(schema).values() for each in kinds} - {name, *known}
    if needed:
        raise errors.InvalidInput(
            f"{name} refers to {', '.join(sorted(needed))}, which {cluster.name} does not have.",
            "Copy, migrate or restore that first; to begin with, it may be empty.",
        )
    wanted = int((schema.get("replicationConfig") or {}).get("factor") or 1)
    if wanted > 1 and wanted > (there := len(api.nodes(cluster, shards=False))):
        raise errors.InvalidInput(
            f"{name} has {wanted} replicas, and {cluster.name} has {scales.counted(there, 'node')}.",
            "`copy --transform FILE.py` with a transform_schema(schema) can set replicationConfig.factor to less.",
        )
    if name not in known and (leads := (api.known_aliases(cluster) or {}).get(name)):
        raise errors.InvalidInput(
            f"{name} is an alias in {cluster.name}, of {leads}.", "Name the collection, or another one."
        )


def refuse_taken(cluster: rest.Cluster, name: str, hint: str) -> None:
    """Raises `Taken`, with the hint, where there is a collection of that name."""
    if api.exists(cluster, name):
        raise errors.Taken(f"There is a collection {name} in {cluster.name} already.", hint)
