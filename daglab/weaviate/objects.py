"""Objects of a collection: as they are written elsewhere, what they refer to, and whether two are the same."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Collection, Mapping
from typing import Any

BEACON = "weaviate://localhost/"
# A server holds an int as a 64-bit float, tells the largest and the smallest with digits that are beyond those of an
# int, and does not take them back.
_WHOLE = {9223372036854776000: 2**63 - 1, -9223372036854776000: -(2**63)}


def outgoing(
    found: Mapping[str, Any], name: str, *, tenant: str | None = None, without: Collection[str] = ()
) -> dict[str, Any]:
    """An object as a batch takes it, for the collection `name`, without these properties (those that refer)."""
    properties = found.get("properties") or {}
    sent: dict[str, Any] = {
        "class": name,
        "id": found["id"],
        "properties": {key: _accepted(value) for key, value in properties.items() if key not in without},
    }
    for key in ("vector", "vectors"):
        if found.get(key):
            sent[key] = found[key]
    if tenant is not None:
        sent["tenant"] = tenant
    return sent


def _accepted(value: Any) -> Any:
    """A value as it may be sent: of a phone number, the server works out most itself; and see `_WHOLE`."""
    if isinstance(value, dict):
        if "internationalFormatted" in value and "input" in value:
            return {key: value[key] for key in ("input", "defaultCountry") if value.get(key)}
        return {key: _accepted(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_accepted(each) for each in value]
    return _WHOLE.get(value, value) if type(value) is int else value


def beacons(found: Mapping[str, Any], prop: str, renamed: Mapping[str, str]) -> list[str]:
    """Where a property refers to, with the collections that have a new name under that."""
    listed = (found.get("properties") or {}).get(prop) or []
    return [rewritten(str(each["beacon"]), renamed) for each in listed if isinstance(each, dict) and "beacon" in each]


def rewritten(beacon: str, renamed: Mapping[str, str]) -> str:
    """A beacon (`weaviate://localhost/Class/id`) with the collection under its new name."""
    name, slash, rest = beacon.removeprefix(BEACON).partition("/")
    return f"{BEACON}{renamed.get(name, name)}/{rest}" if slash else beacon


def lacking(found: Mapping[str, Any], vectors: Collection[str | None]) -> list[str | None]:
    """Which of these vectors an object does not have; None is the one without a name."""
    named = found.get("vectors") or {}
    return [each for each in vectors if not (found.get("vector") if each is None else named.get(each))]


def lengths(found: Mapping[str, Any]) -> dict[str | None, int]:
    """How long each vector of an object is, of those that it has; of several at a place, that of one of them."""
    named = found.get("vectors")
    vectors: dict[str | None, Any] = {None: found.get("vector"), **(named if isinstance(named, dict) else {})}
    first = {name: each[0] if _is_filled(each) and _is_filled(each[0]) else each for name, each in vectors.items()}
    return {name: len(each) for name, each in first.items() if _is_filled(each)}


def _is_filled(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def digest(found: Mapping[str, Any], references: Collection[str] = (), renamed: Mapping[str, str] | None = None) -> str:
    """The hash of what an object is: its id, properties and vectors, these as 32-bit floats; no times.

    References count as a set, with the collections that have a new name under that.
    """
    hashed = hashlib.sha256(str(found["id"]).encode())
    properties = {
        key: sorted(beacons(found, key, renamed or {})) if key in references else _accepted(value)
        for key, value in (found.get("properties") or {}).items()
        if value is not None and (value or key not in references)
    }
    hashed.update(json.dumps(properties, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode())
    hashed.update(_packed(found.get("vector") or []))
    for name, vector in sorted((found.get("vectors") or {}).items()):
        hashed.update(b"\0" + name.encode() + b"\0" + _packed(vector))
    return hashed.hexdigest()


def _packed(vector: Any) -> bytes:
    """A vector, or a list of them, as little-endian 32-bit floats, each with its length before it."""
    if vector and isinstance(vector[0], list):
        return struct.pack("<i", -len(vector)) + b"".join(map(_packed, vector))
    return struct.pack(f"<i{len(vector)}f", len(vector), *vector)
