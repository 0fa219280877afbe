"""What was materialized of an asset: when, by which run, with which metadata; and the columns it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daglab.deployment import dagster_api, metadata

LATEST_QUERY = f"""
query Materializations($key: AssetKeyInput!, $limit: Int!, $partitions: [String!]) {{
  assetOrError(assetKey: $key) {{
    __typename
    ... on Asset {{
      assetMaterializations(limit: $limit, partitions: $partitions) {{ runId timestamp partition {metadata.FIELDS} }}
    }}
    ... on AssetNotFoundError {{ message }}
  }}
}}
"""
_COLUMNS = "... on TableSchemaMetadataEntry { schema { columns { name type } } }"
COLUMNS_QUERY = f"""
query Columns($key: AssetKeyInput!) {{
  assetNodes(assetKeys: [$key]) {{ metadataEntries {{ __typename {_COLUMNS} }} }}
  assetOrError(assetKey: $key) {{
    __typename
    ... on Asset {{ assetMaterializations(limit: 1) {{ metadataEntries {{ __typename {_COLUMNS} }} }} }}
    ... on AssetNotFoundError {{ message }}
  }}
}}
"""


@dataclass(frozen=True)
class Materialization:
    """One of them; `at` is in seconds since 1970."""

    run_id: str
    at: float
    partition: str | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a table, its type as the asset's code calls it."""

    name: str
    type: str


def latest(
    api: dagster_api.DagsterApi, key: tuple[str, ...], limit: int, *, partition: str | None = None
) -> list[Materialization]:
    """The newest materializations of an asset, the oldest of them first; none of one that was never made."""
    variables = {
        "key": {"path": list(key)},
        "limit": limit,
        "partitions": None if partition is None else [partition],
    }
    return parse_latest(dagster_api.query(api, LATEST_QUERY, variables))


@dagster_api.reading("assetOrError")
def parse_latest(data: Mapping[str, Any]) -> list[Materialization]:
    """The materializations in the answer to `LATEST_QUERY`, the oldest first."""
    found = _of(data)
    return [_materialization(event) for event in reversed(found)]


def columns(api: dagster_api.DagsterApi, key: tuple[str, ...]) -> list[Column]:
    """The columns that the newest materialization of an asset tells of, else its definition; none without either."""
    return parse_columns(dagster_api.query(api, COLUMNS_QUERY, {"key": {"path": list(key)}}))


@dagster_api.reading("assetOrError")
def parse_columns(data: Mapping[str, Any]) -> list[Column]:
    """The columns in the answer to `COLUMNS_QUERY`."""
    sources = [*_of(data), *(data.get("assetNodes") or [])]
    for source in sources:
        for entry in source.get("metadataEntries") or []:
            if entry.get("schema"):
                text = dagster_api.text
                return [Column(text(each["name"]), text(each["type"])) for each in entry["schema"]["columns"]]
    return []


def _of(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Dagster knows an asset as one only when it was made, or is defined."""
    if (data.get("assetOrError") or {}).get("__typename") == "AssetNotFoundError":
        return []
    return list(dagster_api.expect(data, "assetOrError", "Asset")["assetMaterializations"])


def _materialization(event: Mapping[str, Any]) -> Materialization:
    return Materialization(
        dagster_api.text(event["runId"]),
        dagster_api.seconds_or_none(float(event["timestamp"]) / 1000) or 0.0,
        dagster_api.text_or_none(event.get("partition")),
        metadata.values(event.get("metadataEntries") or ()),
    )
