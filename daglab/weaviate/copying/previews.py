"""What a copy would make: how the schema changes, and the first objects before and after a transform."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from daglab.weaviate import api, schemas, store, tenants
from daglab.weaviate.copying import copies

LONGEST = 2000  # characters of a value that is shown


def samples(copy: copies.Copy, limit: int) -> list[dict[str, Any]]:
    """The first objects, each as `before` and `after` (None for one that is dropped), vectors as their lengths.

    Of a collection with tenants they are those of the first tenant that is active.
    """
    side, tenant = copy.source, None
    if schemas.is_multi_tenant(api.schema(side.cluster, side.name)):
        states = api.tenants(side.cluster, side.name)
        tenant = next((each for each, status in states.items() if status == tenants.ACTIVE), None)
        if tenant is None:
            return []
    found = store.page(side.cluster, side.name, "", limit, tenant=tenant, vectors=True).objects
    before = [_shown(each) for each in found]  # a transform may change what it is given
    after = copy.change(found) if copy.change else found
    return [{"before": one, "after": _shown(other)} for one, other in zip(before, after, strict=True)]


def changes(copy: copies.Copy) -> dict[str, list[str]]:
    """What is `added`, `removed` and `changed` in the schema: properties, and `config` for all else, by name."""
    old = schemas.portable(api.schema(copy.source.cluster, copy.source.name), copy.target.name)
    one, other = ({each["name"]: each for each in schema.get("properties") or ()} for schema in (old, copy.schema))
    keys = sorted((set(old) | set(copy.schema)) - {"properties"})
    return {
        "added": [name for name in other if name not in one],
        "removed": [name for name in one if name not in other],
        "changed": [name for name in one if name in other and one[name] != other[name]],
        "config": [key for key in keys if old.get(key) != copy.schema.get(key)],
    }


def difference(sample: Mapping[str, Any]) -> list[str]:
    """An object before and after as the lines of a short diff."""
    one, other = (
        json.dumps(each, indent=2, ensure_ascii=False, sort_keys=True).splitlines() if each else []
        for each in (sample["before"], sample["after"])
    )
    if one == other:
        return ["  the same"]
    if not other:
        return ["  dropped"]
    return [line for line in difflib.ndiff(one, other) if line[:1] in "+-"]


def _shown(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    properties = {name: _cut(value) for name, value in (found.get("properties") or {}).items()}
    shown: dict[str, Any] = {"id": found["id"], "properties": properties}
    if found.get("vector"):
        shown["vector"] = len(found["vector"])
    if found.get("vectors"):
        shown["vectors"] = {name: len(each) for name, each in found["vectors"].items()}
    return shown


def _cut(value: Any) -> Any:
    return value[:LONGEST] + "…" if isinstance(value, str) and len(value) > LONGEST else value
