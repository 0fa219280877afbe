"""Objects found by words or by likeness, through GraphQL; the texts of a search are data in the query."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from daglab import errors
from daglab.weaviate import rest, schemas

# What has fields of its own in GraphQL, and what is too large to be looked at.
_STRUCTURED = ("object", "object[]", "geoCoordinates", "phoneNumber", "blob", "blobHash")


def search(
    cluster: rest.Cluster,
    schema: Mapping[str, Any],
    *,
    text: str | None = None,
    like: str | None = None,
    vector: str | None = None,
    tenant: str | None = None,
    limit: int = 10,
) -> list[dict[str, Any]]:
    """The best objects: those with the words of `text` (BM25), or nearest to the object with the id `like`.

    `vector` is which of several vectors is compared. Each has `id`, its plain `properties`, and `score` (of words) or
    `distance`. Raises `WrongUsage` for both and for neither, `Failed` with the server's words.
    """
    if (text is None) == (like is None):
        raise errors.WrongUsage("A search is for a text or for the id of an object.", "Give one of text and like.")
    name = str(schema["class"])
    how = f"bm25: {{query: {json.dumps(text)}}}" if text is not None else _near(str(like), vector)
    within = "" if tenant is None else f", tenant: {json.dumps(tenant)}"
    asked = " ".join(plain_properties(schema))
    query = f"{{Get {{{name}({how}, limit: {int(limit)}{within}) {{{asked} _additional {{id score distance}}}}}}}}"
    found = rest.member(cluster, rest.graphql(cluster, query), "Get", dict)
    return [_hit(each, text is not None) for each in found.get(name) or ()]


def plain_properties(schema: Mapping[str, Any]) -> list[str]:
    """The properties that are text, numbers, dates or lists of these."""
    referring = schemas.references(schema)
    return [
        str(each["name"])
        for each in schema.get("properties") or ()
        if each["name"] not in referring and each["dataType"][0] not in _STRUCTURED
    ]


def _near(like: str, vector: str | None) -> str:
    target = f", targetVectors: [{json.dumps(vector)}]" if vector else ""
    return f"nearObject: {{id: {json.dumps(like)}{target}}}"


def _hit(each: Mapping[str, Any], by_words: bool) -> dict[str, Any]:
    more = each["_additional"]
    figure = {"score": float(more["score"] or 0)} if by_words else {"distance": more["distance"]}
    properties = {key: value for key, value in each.items() if key != "_additional" and value is not None}
    return {"id": more["id"], "properties": properties, **figure}
