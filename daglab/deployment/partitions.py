"""Partition keys: which there are, and the tags of a run for one. Dagster checks none of this at launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daglab import errors, parse
from daglab.deployment import dagster_api, entities

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

MADE_QUERY = """
query MadePartitions($keys: [AssetKeyInput!], $partitions: [String!]) {
  assetNodes(assetKeys: $keys) {
    assetKey { path }
    repository { name location { name } }
    latestMaterializationByPartition(partitions: $partitions) { partition }
  }
}
"""

JOB_MADE_QUERY = """
query MadePartitionsOfJob($repository: RepositorySelector!, $name: String!) {
  partitionSetOrError(repositorySelector: $repository, partitionSetName: $name) {
    __typename
    ... on PartitionSet {
      partitionStatusesOrError {
        __typename
        ... on PartitionStatuses { results { partitionName runStatus } }
        ... on PythonError { message }
      }
    }
    ... on PartitionSetNotFoundError { message }
    ... on PythonError { message }
  }
}
"""

Place = tuple[str, str, tuple[str, ...]]  # location, repository, key
RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
MANY = 5000  # beyond that many keys the nearest ones are not looked for: it would take seconds


@dataclass(frozen=True)
class Choice:
    """Which partitions are asked for: by one of `keys`, `span` (first and last), `every` and `latest`.

    `missing` leaves those alone that were made; without another one, of all. Of a job, those whose last run succeeded
    count as made.
    """

    keys: tuple[str, ...] = ()
    span: tuple[str, str] | None = None
    every: bool = False
    latest: bool = False
    missing: bool = False


Partitioned = entities.Job | Sequence[entities.Asset]


def choose(api: dagster_api.DagsterApi, found: Partitioned, choice: Choice) -> list[str]:
    """The partition keys that are asked for, in Dagster's order; nothing where nothing is missing.

    Raises `InvalidInput` for what has no partitions, or not these, and for assets that are not partitioned alike.
    """
    dimensions: Sequence[str] | None = None
    if isinstance(found, entities.Job):
        name, available = found.name, keys(api, found)
    else:
        partitioned = [asset for asset in found if asset.partitions]
        name = ", ".join(asset.name for asset in partitioned or found)
        available = _common_keys(api, partitioned, name)
        dimensions = partitioned[0].dimensions if partitioned else ()
    if not available:
        if isinstance(found, entities.Job) or not any(asset.partitions for asset in found):
            raise errors.InvalidInput(f"{name} has no partitions.", "Leave out what chooses partitions.")
        raise errors.InvalidInput(f"{name} has no partitions yet.", "Add one in Dagster first.")
    chosen = chosen_keys(choice, available, name, dimensions)
    made = _made(api, found, chosen) if choice.missing else set()
    return [key for key in chosen if key not in made]


def _common_keys(api: dagster_api.DagsterApi, partitioned: Sequence[entities.Asset], name: str) -> list[str]:
    """The keys of all of these assets. What Dagster says of their partitions leaves out where they end."""
    every = _asset_keys(api, partitioned) if partitioned else {}
    lists = [every.get(_place(asset), []) for asset in partitioned]
    if len({asset.partitioning for asset in partitioned}) > 1 or any(each != lists[0] for each in lists):
        raise errors.InvalidInput(
            f"These are not partitioned alike: {name}.", "Launch those that are in a command of their own."
        )
    return lists[0] if lists else []


def chosen_keys(
    choice: Choice, available: Sequence[str], name: str, dimensions: Sequence[str] | None = None
) -> list[str]:
    """Those of the partitions there are that are chosen, whether made or not. Raises as `key_of` does."""
    if choice.latest:
        return [available[-1]]
    if choice.span:
        first, last = (key_of(key, available, name, dimensions) for key in choice.span)
        found = _between(first, last, available, dimensions)
        if first not in found or last not in found:
            raise errors.InvalidInput(
                f"{choice.span[0]} comes after {choice.span[1]} in {name}.", "Write the earlier one first: A..B."
            )
        return found
    if choice.keys:
        wanted = {key_of(key, available, name, dimensions) for key in choice.keys}
        return [key for key in available if key in wanted]
    return list(available)


def _between(first: str, last: str, available: Sequence[str], dimensions: Sequence[str] | None) -> list[str]:
    """The keys from one to the other; of several dimensions (`a|b`), as Dagster has it, those in both ranges."""
    ends = list(zip(first.split("|"), last.split("|"), strict=False))
    parts = [key.split("|") for key in available]
    one = len(ends) == 1 if dimensions is None else len(dimensions) < 2
    if one or any(len(each) != len(ends) for each in parts):
        return list(available[available.index(first) : available.index(last) + 1])
    ranges = []
    for place, (begin, end) in enumerate(ends):
        every = list(dict.fromkeys(each[place] for each in parts))
        ranges.append(set(every[every.index(begin) : every.index(end) + 1]))
    return [key for key, each in zip(available, parts, strict=True) if all(map(set.__contains__, ranges, each))]


def key_of(text: str, available: Sequence[str], name: str, dimensions: Sequence[str] | None = None) -> str:
    """The key that is meant: itself, or `date=2026-01-01,region=eu` for one of several `dimensions`.

    Their names are None where they are not known, as those of a job's partitions. Raises `InvalidInput` for other
    names, and with the nearest keys where there is no such key.
    """
    parts = [part.partition("=") for part in text.split(",")]
    if text not in available and len(parts) > 1 and all(equals for _, equals, _ in parts):
        given = {dimension.strip(): value.strip() for dimension, _, value in parts}
        if dimensions and len(dimensions) > 1 and set(given) != set(dimensions):
            raise errors.InvalidInput(
                f"{name} is partitioned by {' and '.join(sorted(dimensions))}, not by {', '.join(given)}.",
                f"Write {','.join(f'{dimension}=KEY' for dimension in sorted(dimensions))}.",
            )
        # Dagster joins the keys of the dimensions in the order of the dimensions' names.
        joined = "|".join(given[dimension] for dimension in sorted(given))
        if joined in available:
            return joined
    _check(text, name, available)
    return text


def range_tags(chosen: Sequence[str], available: Sequence[str], dimensions: Sequence[str] = ()) -> dict[str, str]:
    """The tags of one run for a range of partitions. Raises `InvalidInput` where they are not a range."""
    if _between(chosen[0], chosen[-1], available, dimensions) != list(chosen):
        raise errors.InvalidInput(
            f"{len(chosen)} partitions from {chosen[0]} to {chosen[-1]} have gaps between them, and one run has none.",
            "Leave --single-run out: a backfill takes any partitions.",
        )
    return dict(zip(RANGE_TAGS, (chosen[0], chosen[-1]), strict=True))


def _made(api: dagster_api.DagsterApi, found: Partitioned, chosen: Sequence[str]) -> set[str]:
    """The partitions that were made: of all the assets, or by the last run of the job for it."""
    if isinstance(found, entities.Job):
        return parse_job_made(dagster_api.query(api, JOB_MADE_QUERY, _partition_set(found)))
    partitioned = [asset for asset in found if asset.partitions]
    variables = {"keys": [{"path": list(asset.key)} for asset in partitioned], "partitions": list(chosen)}
    made = parse_made(dagster_api.query(api, MADE_QUERY, variables))
    return set.intersection(*(made.get(_place(asset), set()) for asset in partitioned))


@dagster_api.reading("assetNodes")
def parse_made(data: Mapping[str, Any]) -> dict[Place, set[str]]:
    """The partitions that were made, by location, repository and asset, in the answer to `MADE_QUERY`."""
    return {
        _node_place(node): {
            dagster_api.text(event["partition"]) for event in node["latestMaterializationByPartition"] if event
        }
        for node in data["assetNodes"]
    }


@dagster_api.reading("partitionSetOrError")
def parse_job_made(data: Mapping[str, Any]) -> set[str]:
    """The partitions whose last run succeeded, in the answer to `JOB_MADE_QUERY`."""
    found = dagster_api.expect(data, "partitionSetOrError", "PartitionSet")
    results = dagster_api.expect(found, "partitionStatusesOrError", "PartitionStatuses")["results"]
    return {dagster_api.text(result["partitionName"]) for result in results if result["runStatus"] == "SUCCESS"}


def asset_tags(api: dagster_api.DagsterApi, assets: Sequence[entities.Asset], partition: str | None) -> dict[str, str]:
    """The tags that launch `assets` in one run for `partition`; raises as `check` does."""
    return tags_of(assets, check(api, assets, partition))


def check(api: dagster_api.DagsterApi, assets: Sequence[entities.Asset], partition: str | None) -> str | None:
    """The key of `partition`, as Dagster writes it, when `assets` can be launched for it; None where none is needed.

    Raises `InvalidInput` for a partition that one of the partitioned assets does not have, for one given
    where none of them is partitioned, and for none given where one is.
    """
    partitioned = [asset for asset in assets if asset.partitions]
    if not _wanted(partition, [asset.name for asset in partitioned], ", ".join(asset.name for asset in assets)):
        return None
    available = _asset_keys(api, partitioned)
    found = partition or ""
    for asset in partitioned:
        found = key_of(partition or "", available.get(_place(asset), []), asset.name, asset.dimensions)
    return found


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
    key = key_of(partition or "", keys(api, job), job.name)
    data = dagster_api.query(api, LAUNCH_QUERY, {**_partition_set(job), "partition": key, "config": config is None})
    tags = parse_job_tags(data)
    if key != partition:  # it was written with the dimensions' names, which the tags tell
        begin = "dagster/partition/"
        names = [name.removeprefix(begin) for name in tags if name.startswith(begin)]
        key_of(partition or "", [key], job.name, names)
    return tags, parse_job_config(data) if config is None else config


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
    return {_node_place(node): [dagster_api.text(key) for key in node["partitionKeys"]] for node in data["assetNodes"]}


def _node_place(node: Mapping[str, Any]) -> Place:
    repository, text = node["repository"], dagster_api.text
    key = tuple(map(text, node["assetKey"]["path"]))
    return text(repository["location"]["name"]), text(repository["name"]), key


@dagster_api.reading("partitionSetOrError")
def parse_job_partitions(data: Mapping[str, Any]) -> list[str]:
    """The partition keys in the answer to `JOB_QUERY`."""
    found = dagster_api.expect(data, "partitionSetOrError", "PartitionSet")
    results = dagster_api.expect(found, "partitionsOrError", "Partitions")["results"]
    return [dagster_api.text(result["name"]) for result in results]


@dagster_api.reading("partitionSetOrError")
def parse_job_tags(data: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a run for the partition in the answer to `LAUNCH_QUERY`."""
    found = dagster_api.expect(data, "partitionSetOrError", "PartitionSet")
    results = dagster_api.expect(found["partition"], "tagsOrError", "PartitionTags")["results"]
    return {dagster_api.text(tag["key"]): dagster_api.text(tag["value"]) for tag in results}


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
