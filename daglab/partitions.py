"""Partition keys: which there are, and the tags of a run for one. Dagster checks none of this at launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daglab import dagster_api, entities, errors, parse

ASSETS_QUERY = """
query AssetPartitions($keys: [AssetKeyInput!]) {
  assetNodes(assetKeys: $keys) { assetKey { path } repository { name location { name } } partitionKeys }
}
"""

JOB_QUERY = """
query JobPartitions($repository: RepositorySelector!, $name: String!) {
  partitionSetOrError(repositorySelector: $repository, partitionSetName: $name) {
    __typename
    ... on PartitionSet {
      partitionsOrError { __typename ... on Partitions { results { name } } ... on PythonError { message } }
    }
    ... on PartitionSetNotFoundError { message }
    ... on PythonError { message }
  }
}
"""


def asset_tags(api: dagster_api.DagsterApi, assets: Sequence[entities.Asset], partition: str | None) -> dict[str, str]:
    """The tags that launch `assets` for `partition`.

    Raises `InvalidInput` for a partition that one of the partitioned assets does not have, for one given
    where none of them is partitioned, and for none given where one is.
    """
    partitioned = [asset for asset in assets if asset.partitions]
    if not _wanted(partition, [asset.name for asset in partitioned], ", ".join(asset.name for asset in assets)):
        return {}
    available = _asset_keys(api, partitioned)
    for asset in partitioned:
        _check(partition, asset.name, available.get(_place(asset), []))
    return tags(partition or "", partitioned[0].dimensions)


def job_tags(api: dagster_api.DagsterApi, job: entities.Job, partition: str | None) -> dict[str, str]:
    """The tags that launch `job` for `partition`; raises as `asset_tags` does."""
    if not _wanted(partition, [job.name] if job.partition_set else [], job.name):
        return {}
    _check(partition, job.name, keys(api, job))
    return tags(partition or "", ())


def keys(api: dagster_api.DagsterApi, target: entities.Asset | entities.Job) -> list[str]:
    """The partition keys of an asset or a job, in Dagster's order; none for one without partitions."""
    if isinstance(target, entities.Job):
        if target.partition_set is None:
            return []
        repository = {"repositoryName": target.repository, "repositoryLocationName": target.location}
        variables = {"repository": repository, "name": target.partition_set}
        return parse_job_partitions(dagster_api.query(api, JOB_QUERY, variables))
    if target.partitions is None:
        return []
    return _asset_keys(api, [target])[_place(target)]


def tags(partition: str, dimensions: Sequence[str]) -> dict[str, str]:
    """Dagster's tags for a partition key; a key of several dimensions (`a|b`) has one for each, too.

    Dagster joins the keys of the dimensions in the order of the dimensions' names.
    """
    found = {"dagster/partition": partition}
    names = sorted(dimensions)
    parts = partition.split("|")
    if len(names) > 1 and len(names) == len(parts):
        found.update({f"dagster/partition/{name}": part for name, part in zip(names, parts, strict=True)})
    return found


def parse_asset_partitions(data: Mapping[str, Any]) -> dict[tuple[str, str, str], list[str]]:
    """The partition keys by location, repository and asset in the answer to `ASSETS_QUERY`."""
    return {
        (
            node["repository"]["location"]["name"],
            node["repository"]["name"],
            "/".join(node["assetKey"]["path"]),
        ): list(node["partitionKeys"])
        for node in data["assetNodes"]
    }


def parse_job_partitions(data: Mapping[str, Any]) -> list[str]:
    """The partition keys in the answer to `JOB_QUERY`."""
    found = dagster_api.expect(data, "partitionSetOrError", "PartitionSet")
    results = dagster_api.expect(found, "partitionsOrError", "Partitions")["results"]
    return [result["name"] for result in results]


def _asset_keys(api: dagster_api.DagsterApi, assets: Sequence[entities.Asset]) -> dict[tuple[str, str, str], list[str]]:
    variables = {"keys": [{"path": list(asset.key)} for asset in assets]}
    return parse_asset_partitions(dagster_api.query(api, ASSETS_QUERY, variables))


def _place(asset: entities.Asset) -> tuple[str, str, str]:
    """What tells apart the assets of one key in several code locations."""
    return asset.location, asset.repository, asset.name


def _wanted(partition: str | None, partitioned: Sequence[str], names: str) -> bool:
    if partitioned and partition is None:
        raise errors.InvalidInput(
            f"{', '.join(partitioned)} is partitioned, and no partition is named.", "Name one with --partition KEY."
        )
    if partition is not None and not partitioned:
        raise errors.InvalidInput(f"{names} is not partitioned.", "Leave --partition out.")
    return partition is not None


def _check(partition: str | None, name: str, available: Sequence[str]) -> None:
    if partition in available:
        return
    if not available:
        raise errors.InvalidInput(f"{name} has no partitions yet.", "Add one in Dagster first.")
    ends = available[0] if len(available) == 1 else f"{available[0]} to {available[-1]}"
    near = parse.did_you_mean(str(partition), available)
    raise errors.InvalidInput(
        f"{name} has no partition {partition}.", f"{near + ' ' if near else ''}It has {len(available)}: {ends}."
    )
