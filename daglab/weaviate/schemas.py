"""Schemas of collections: what of one belongs to its server, and what has to be known of it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from daglab import errors

# What Weaviate takes as the name of a collection, and of an alias.
NAME = re.compile(r"[A-Z][_0-9A-Za-z]{0,254}")
# What a server adds, and refuses or ignores when it is sent back.
_OF_THE_SERVER = ("bucketGeneration", "searchableBlockmax")
_PRIMITIVE_BEGIN = "abcdefghijklmnopqrstuvwxyz"  # a data type that begins with a capital is a collection


def check_name(name: str) -> None:
    """Raises `InvalidInput` for a name that Weaviate does not take, with one near it that it does."""
    if not NAME.fullmatch(name):
        better = re.sub(r"[^_0-9A-Za-z]", "_", name[:1].upper() + name[1:])
        told = f" Take {better}, say." if NAME.fullmatch(better) else ""
        raise errors.InvalidInput(
            f"{name!r} is no name of a collection.", f"A capital first, then letters, digits and `_`.{told}"
        )


def portable(schema: Mapping[str, Any], name: str | None = None) -> dict[str, Any]:
    """A schema as it can be sent to any server, called `name`: references to itself lead to the new name."""
    found: dict[str, Any] = copy.deepcopy(dict(schema))
    old = str(found["class"])
    found["class"] = name or old
    sharding = found.get("shardingConfig")
    if isinstance(sharding, dict):
        found["shardingConfig"] = {key: value for key, value in sharding.items() if not key.startswith("actual")}
        if is_multi_tenant(found):
            del found["shardingConfig"]
    for each in _properties(found):
        for key in _OF_THE_SERVER:
            each.pop(key, None)
        each["dataType"] = [found["class"] if kind == old else kind for kind in each.get("dataType", [])]
    return found


def references(schema: Mapping[str, Any]) -> dict[str, list[str]]:
    """The properties that refer to objects, each with the collections that they may lie in."""
    return {
        str(each["name"]): [str(kind) for kind in each["dataType"]]
        for each in schema.get("properties") or ()
        if any(kind[:1] not in _PRIMITIVE_BEGIN for kind in each.get("dataType") or ())
    }


def is_multi_tenant(schema: Mapping[str, Any]) -> bool:
    """Whether each object belongs to a tenant."""
    return bool((schema.get("multiTenancyConfig") or {}).get("enabled"))


def vectorized(schema: Mapping[str, Any]) -> list[str | None]:
    """The vectors that the server makes itself where an object comes without; None is the one without a name."""
    named = schema.get("vectorConfig") or {}
    if named:
        return [name for name, each in named.items() if next(iter(each.get("vectorizer") or {"none": {}})) != "none"]
    return [] if schema.get("vectorizer", "none") in ("", "none") else [None]


def hashed(schema: Mapping[str, Any]) -> list[str]:
    """The properties of which a server keeps a hash (blobHash, since 1.37); a hash that it gets is hashed again."""
    return [str(each["name"]) for each in schema.get("properties") or () if each.get("dataType") == ["blobHash"]]


def vector_indexes(schema: Mapping[str, Any]) -> dict[str | None, str]:
    """The index type of each vector: hnsw, flat, dynamic; None is the vector without a name."""
    named = schema.get("vectorConfig") or {}
    if named:
        return {name: str(each.get("vectorIndexType", "")) for name, each in named.items()}
    return {None: str(schema["vectorIndexType"])} if schema.get("vectorIndexType") else {}


def _properties(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each property and those nested in it."""
    for each in schema.get("properties") or schema.get("nestedProperties") or ():
        yield each
        yield from _properties({"nestedProperties": each.get("nestedProperties")})
