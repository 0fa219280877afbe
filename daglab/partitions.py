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

# Dagster itself knows what makes a run of a job's partition: tags, one for each dimension and those that its code
# adds, and run config. It puts in neither by itself.
LAUNCH_QUERY = """
query PartitionLaunch($repository: RepositorySelector!, $name: String!, $partition: String!, $config: Boolean!) {
  partitionSetOrError(repositorySelector: $repository, partitionSetName: $name) {
    __typename
    ... on PartitionSet {
      partition(partitionName: $partition) {
        tagsOrError { __typename ... on PartitionTags { results { key value } } ... on PythonError { message } }
        runConfigOrError @include(if: $config) {
          __typename
          ... on PartitionRunConfig { yaml }
          ... on PythonError { message }
        }
      }
    }
    ... on PartitionSetNotFoundError { message }
    ... on PythonError { message }
  }
}
"""

Place = tuple[str, str, tuple[str, ...]]  # location, repository, key
MANY = 5000  # beyond that many keys the nearest ones are not looked for: it would take seconds


def asset_tags(api: dagster_api.DagsterApi, assets: Sequence[entities.Asset], partition: str | None) -> dict[str, str]:
    """The tags that launch `assets` in one run for `partition`; raises as `check` does."""
    check(api, assets, partition)
    return tags_of(assets, partition)


def check(api: dagster_api.DagsterApi, assets: Sequence[entities.Asset], partition: str | None) -> None:
    """See whether `assets` can be launched for `partition`.

    Raises `InvalidInput` for a partition that one of the partitioned assets does not have, for one given
    where none of them is partitioned, and for none given where one is.
    """
    partitioned = [asset for asset in assets if asset.partitions]
    if not _wanted(partition, [asset.name for asset in partitioned], ", ".join(asset.name for asset in assets)):
        return
    available = _asset_keys(api, partitioned)
    for asset in partitioned:
        _check(partition, asset.name, available.get(_place(asset), []))


def tags_of(assets: Sequence[entities.Asset], partition: str | None) -> dict[str, str]:
    """The tags of a run that makes `assets` for `partition`; none where none of them is partitioned."""
    dimensions = next((asset.dimensions for asset in assets if asset.partitions), None)
    return {} if partition is None or dimensions is None else tags(partition, dimensions)


def job_launch(
    api: dagster_api.DagsterApi, job: entities.Job, partition: str | None, config: Mapping[str, Any] | None
) -> tuple[dict[str, str], Mapping[str, Any]]:
    """The tags and the run config that launch `job` for `partition`; raises as `asset_tags` does.

    The run config is `config`, and where that is None what the job's code makes of the partition.
    """
    if not _wanted(partition, [job.name] if job.partition_set else [], job.name):
        return {}, config or {}
    _check(partition, job.name, keys(api, job))
    variables = {**_partition_set(job), "partition": partition, "config": config is None}
    data = dagster_api.query(api, LAUNCH_QUERY, variables)
    return parse_job_tags(data), parse_job_config(data) if config is None else config


def keys(api: dagster_api.DagsterApi, target: entities.Asset | entities.Job) -> list[str]:
    """The partition keys of an asset or a job, in Dagster's order; none for one without partitions."""
    if isinstance(target, entities.Job):
        if target.partition_set is None:
            return []
        return parse_job_partitions(dagster_api.query(api, JOB_QUERY, _partition_set(target)))
    if target.partitions is None:
        return []
    return _asset_keys(api, [target]).get(_place(target), [])


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


@dagster_api.reading("assetNodes")
def parse_asset_partitions(data: Mapping[str, Any]) -> dict[Place, list[str]]:
    """The partition keys by location, repository and asset in the answer to `ASSETS_QUERY`."""
    return {
        (
            node["repository"]["location"]["name"],
            node["repository"]["name"],
            tuple(node["assetKey"]["path"]),
        ): list(node["partitionKeys"])
        for node in data["assetNodes"]
    }


@dagster_api.reading("partitionSetOrError")
def parse_job_partitions(data: Mapping[str, Any]) -> list[str]:
    """The partition keys in the answer to `JOB_QUERY`."""
    found = dagster_api.expect(data, "partitionSetOrError", "PartitionSet")
    results = dagster_api.expect(found, "partitionsOrError", "Partitions")["results"]
    return [result["name"] for result in results]


@dagster_api.reading("partitionSetOrError")
def parse_job_tags(data: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a run for the partition in the answer to `LAUNCH_QUERY`."""
    found = dagster_api.expect(data, "partitionSetOrError", "PartitionSet")
    results = dagster_api.expect(found["partition"], "tagsOrError", "PartitionTags")["results"]
    return {tag["key"]: tag["value"] for tag in results}


@dagster_api.reading("partitionSetOrError")
def parse_job_config(data: Mapping[str, Any]) -> dict[str, Any]:
    """The run config for the partition in the answer to `LAUNCH_QUERY`."""
    found = dagster_api.expect(data, "partitionSetOrError", "PartitionSet")
    text = dagster_api.expect(found["partition"], "runConfigOrError", "PartitionRunConfig")["yaml"]
    return parse.run_config(dagster_api.text(text), "run config that the job has for the partition")


def _asset_keys(api: dagster_api.DagsterApi, assets: Sequence[entities.Asset]) -> dict[Place, list[str]]:
    variables = {"keys": [{"path": list(asset.key)} for asset in assets]}
    return parse_asset_partitions(dagster_api.query(api, ASSETS_QUERY, variables))


def _place(asset: entities.Asset) -> Place:
    """What tells apart the assets of one key in several code locations."""
    return asset.location, asset.repository, asset.key


def _partition_set(job: entities.Job) -> dict[str, Any]:
    """What names the partitions of a job in a query."""
    repository = {"repositoryName": job.repository, "repositoryLocationName": job.location}
    return {"repository": repository, "name": job.partition_set}


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
    near = parse.did_you_mean(str(partition), available) if len(available) <= MANY else None
    raise errors.InvalidInput(
        f"{name} has no partition {partition}.", f"{near + ' ' if near else ''}It has {len(available)}: {ends}."
    )
