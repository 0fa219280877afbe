"""Metadata of definitions: what to ask of Dagster's typed entries, and their values as plain JSON."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

# Valid from 1.5 on; an entry of a type that is not named here has no value that could be shown on a line.
FIELDS = """
metadataEntries {
  __typename label
  ... on UrlMetadataEntry { url }
  ... on PathMetadataEntry { path }
  ... on NotebookMetadataEntry { path }
  ... on TextMetadataEntry { text }
  ... on MarkdownMetadataEntry { mdStr }
  ... on IntMetadataEntry { intRepr }
  ... on FloatMetadataEntry { floatValue }
  ... on BoolMetadataEntry { boolValue }
  ... on JsonMetadataEntry { jsonString }
  ... on AssetMetadataEntry { assetKey { path } }
  ... on PipelineRunMetadataEntry { runId }
  ... on JobMetadataEntry { jobName }
}
"""
_PLAIN = ("url", "path", "text", "mdStr", "floatValue", "boolValue", "runId", "jobName")


def values(entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The values of the entries by label, in their order; None for one that is no plain value, such as a table."""
    return {str(entry["label"]): value(entry) for entry in entries}


def value(entry: Mapping[str, Any]) -> Any:
    """An entry's value: text, a number, true or false, what JSON text holds, an asset key as `a/b`, or None."""
    if entry.get("intRepr") is not None:
        return int(entry["intRepr"])  # a number of any size, which GraphQL's own Int can't hold
    if entry.get("jsonString") is not None:
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(entry["jsonString"], parse_constant=lambda _: None)  # JSON has no NaN
    if entry.get("assetKey"):
        return "/".join(entry["assetKey"]["path"])
    return next((entry[name] for name in _PLAIN if entry.get(name) is not None), entry.get("jsonString"))


def typed(kind: str, value: Any) -> Any:
    """Dagster's own value of a kind, a maker of dagster.MetadataValue (`url`, `int`, `json`); text where it has none.

    A timestamp is ISO 8601 text. Needs dagster.
    """
    import dagster

    maker = getattr(dagster.MetadataValue, kind, None)
    if maker is None:  # 1.5 has no timestamp
        return dagster.MetadataValue.text(str(value))
    return maker(datetime.fromisoformat(value) if kind == "timestamp" else value)
