"""What a deployment holds: code locations, repositories, jobs, assets, groups. Each query beside its parser.

Two round trips, whatever the size. The first one asks what this version's AssetNode can tell, too: 1.5 knows
no kinds, tags and owners.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daglab import errors, parse
from daglab.deployment import dagster_api, metadata

WORKSPACE_QUERY = """
query Workspace {
  version
  assetNodeType: __type(name: "AssetNode") { fields { name } }
  workspaceOrError {
    __typename
    ... on Workspace {
      locationEntries {
        name
        locationOrLoadError {
          __typename
          ... on PythonError { message causes { message } }
          ... on RepositoryLocation {
            name
            repositories {
              name
              jobs { name description isAssetJob tags { key value } }
              partitionSets { name pipelineName }
            }
          }
        }
      }
    }
    ... on PythonError { message }
  }
}
"""

_ASSET_FIELDS = """
    assetKey { path } groupName description computeKind %s
    isExecutable isPartitioned jobNames opNames
    partitionDefinition { name type description dimensionTypes { name } }
    dependencyKeys { path }
    repository { name location { name } }
"""
_NEWER_FIELDS = {
    "kinds": "kinds",
    "isMaterializable": "isMaterializable",
    "tags": "tags { key value }",
    "owners": "owners { __typename ... on UserAssetOwner { email } ... on TeamAssetOwner { team } }",
}


@dataclass(frozen=True)
class Location:
    """A code location; `error` is the root cause when it failed to load, or says that it is still loading."""

    name: str
    repositories: tuple[str, ...]
    error: str | None


@dataclass(frozen=True)
class Job:
    """A job as it is listed; `partition_set` is set for a partitioned one."""

    name: str
    repository: str
    location: str
    description: str | None
    tags: Mapping[str, str]
    is_asset_job: bool
    partition_set: str | None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asset:
    """An asset as it is listed; `partitions` is Dagster's kind of partitions (TIME_WINDOW), None for none.

    `partitioning` tells one way to partition from another of the same kind. `ops` are the names of what makes it, as
    they stand in run config; of a graph the graph's own.
    """

    key: tuple[str, ...]
    group: str | None
    description: str | None
    kinds: tuple[str, ...]
    tags: Mapping[str, str]
    owners: tuple[str, ...]
    executable: bool
    partitions: str | None
    dimensions: tuple[str, ...]
    jobs: tuple[str, ...]
    dependencies: tuple[str, ...]
    repository: str
    location: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    materializable: bool = True
    partitioning: str | None = None
    ops: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The key as `a/b`."""
        return "/".join(self.key)


@dataclass(frozen=True)
class Workspace:
    """The first round trip: the version, the locations, the jobs, and what an AssetNode can tell here."""

    version: str
    locations: tuple[Location, ...]
    jobs: tuple[Job, ...]
    asset_fields: frozenset[str]

    @property
    def broken(self) -> list[Location]:
        """The locations that failed to load, or have not done so yet."""
        return [location for location in self.locations if location.error]


def workspace(api: dagster_api.DagsterApi, *, with_metadata: bool = False) -> Workspace:
    """Locations and jobs of the deployment; the jobs' metadata where it is asked for."""
    return parse_workspace(dagster_api.query(api, workspace_query(with_metadata=with_metadata)))


def workspace_query(*, with_metadata: bool) -> str:
    """The query for locations and jobs."""
    return WORKSPACE_QUERY.replace("isAssetJob", f"isAssetJob {metadata.FIELDS}") if with_metadata else WORKSPACE_QUERY


@dagster_api.reading("workspaceOrError")
def parse_workspace(data: Mapping[str, Any]) -> Workspace:
    """The workspace in the answer to `WORKSPACE_QUERY`."""
    entries = dagster_api.expect(data, "workspaceOrError", "Workspace")["locationEntries"]
    fields = ((data.get("assetNodeType") or {}).get("fields")) or []
    return Workspace(
        version=str(data["version"]),
        locations=tuple(_location(entry) for entry in entries),
        jobs=tuple(job for entry in entries for job in _jobs(entry)),
        asset_fields=frozenset(_texts(field["name"] for field in fields)),
    )


def assets_query(fields: Iterable[str], *, by_key: bool = False, with_metadata: bool = False) -> str:
    """The query for assets, with the newer `fields` that this Dagster's AssetNode has."""
    newer = " ".join(text for name, text in _NEWER_FIELDS.items() if name in fields)
    newer += metadata.FIELDS if with_metadata else ""
    head = (
        "query Assets($keys: [AssetKeyInput!]) { assetNodes(assetKeys: $keys)"
        if by_key
        else "query Assets { assetNodes"
    )
    return f"{head} {{{_ASSET_FIELDS % newer}}} }}"


def assets(
    api: dagster_api.DagsterApi,
    fields: Iterable[str] = (),
    *,
    keys: Sequence[tuple[str, ...]] | None = None,
    with_metadata: bool = False,
) -> list[Asset]:
    """The assets of the deployment, or just those with the `keys`; a location that failed to load has none."""
    variables = None if keys is None else {"keys": [{"path": list(key)} for key in keys]}
    text = assets_query(fields, by_key=keys is not None, with_metadata=with_metadata)
    return parse_assets(dagster_api.query(api, text, variables))


@dagster_api.reading("assetNodes")
def parse_assets(data: Mapping[str, Any]) -> list[Asset]:
    """The assets in the answer to an assets query."""
    nodes = data.get("assetNodes")
    if not isinstance(nodes, list):
        raise errors.Unreachable("Dagster answered without assetNodes.", "Is this a version from 1.5 on?")
    return [_asset(node) for node in nodes]


def find_assets(
    api: dagster_api.DagsterApi,
    keys: Sequence[tuple[str, ...]],
    *,
    repository: str | None,
    location: str | None,
    fields: Iterable[str] = (),
) -> list[Asset]:
    """The assets with these keys, in their order; where several locations define one, `location` decides.

    `fields` are what this Dagster's AssetNode can tell, for kinds, tags and owners.

    Raises `InvalidInput` with the nearest names for an unknown key, and with the choices for an ambiguous one.
    """
    found = require_assets(api, keys, fields)
    return [
        _only("asset", "/".join(key), [asset for asset in found if asset.key == key], repository, location)
        for key in keys
    ]


def require_assets(
    api: dagster_api.DagsterApi, keys: Sequence[tuple[str, ...]], fields: Iterable[str] = ()
) -> list[Asset]:
    """All assets with these keys, at least one for each. Raises `InvalidInput` with the nearest names else."""
    found = assets(api, fields, keys=keys)
    for key in keys:
        if not any(asset.key == key for asset in found):
            raise _unknown(api, "asset", "/".join(key), [asset.name for asset in assets(api)])
    return found


def require_one_of_each(found: Sequence[Asset]) -> list[Asset]:
    """The assets, if each key is there once. Raises `InvalidInput` with the choices for one in several places."""
    by_name: dict[str, list[Asset]] = {}
    for asset in found:
        by_name.setdefault(asset.name, []).append(asset)
    return [_only("asset", name, same, None, None) for name, same in by_name.items()]


def find_job(api: dagster_api.DagsterApi, name: str, *, repository: str | None, location: str | None) -> Job:
    """The job of this name; where several locations have one, `location` decides.

    Raises `InvalidInput` with the nearest names for an unknown one, and with the choices for an ambiguous one.
    """
    jobs = visible(workspace(api).jobs)
    matches = [job for job in jobs if job.name == name]
    if not matches:
        raise _unknown(api, "job", name, [job.name for job in jobs])
    job: Job = _only("job", name, matches, repository, location)
    return job


def visible(jobs: Iterable[Job]) -> list[Job]:
    """The jobs without those that Dagster makes for itself."""
    return [job for job in jobs if not job.name.startswith("__ASSET_JOB")]


def matching(names: Iterable[str], pattern: str | None) -> set[str]:
    """The names that a shell pattern matches, upper and lower case apart; all of them for no pattern."""
    return {name for name in names if pattern is None or fnmatch.fnmatchcase(name, pattern)}


def _unknown(api: dagster_api.DagsterApi, kind: str, name: str, names: list[str]) -> errors.InvalidInput:
    there = workspace(api)
    broken = [location.name for location in there.broken]
    if kind == "asset" and name in {job.name for job in visible(there.jobs)}:
        hint = f"{name} is a job, not an asset: name it as one (--job, job:NAME)."
    elif kind == "job" and assets(api, keys=[tuple(name.split("/"))]):
        hint = f"{name} is an asset, not a job: name it as one (--asset-selection, asset:KEY)."
    elif name in names:
        hint = f"The one listed as {name} has a slash inside a part of its key, which can't be named here: rename it."
    else:
        hint = parse.did_you_mean(name, names) or f"`daglab discover --filter {kind}s` lists the {kind}s there are."
    if broken:
        hint += f" Note that what {', '.join(broken)} holds is not loaded; `daglab discover` shows why."
    return errors.InvalidInput(f"There is no {kind} {name} at {api.url}.", hint)


def _only(kind: str, name: str, matches: list[Any], repository: str | None, location: str | None) -> Any:
    left = [match for match in matches if repository in (None, match.repository) and location in (None, match.location)]
    if len(left) == 1:
        return left[0]
    choices = ", ".join(f"{match.repository} in {match.location}" for match in matches)
    state = "is in several places:" if left else "is not in the place asked for, but in"
    raise errors.InvalidInput(
        f"The {kind} {name} {state} {choices}.",
        "Name the code location: `daglab run --location NAME`, else DAGLAB_DAGSTER__REPOSITORY_LOCATION_NAME=NAME; "
        "where that is not enough the repository, too: --repo, DAGLAB_DAGSTER__REPOSITORY_NAME.",
    )


def _location(entry: Mapping[str, Any]) -> Location:
    """`loadStatus` says LOADED for a location that failed, too; what it holds tells."""
    name = dagster_api.text(entry["name"])
    content = entry.get("locationOrLoadError") or {"__typename": None}
    if content["__typename"] == "RepositoryLocation":
        return Location(name, tuple(dagster_api.text(found["name"]) for found in content["repositories"]), None)
    return Location(name, (), root_cause(content) or "still loading")


def root_cause(error: Mapping[str, Any]) -> str:
    """The innermost message of a PythonError: newer versions wrap it, older ones don't."""
    causes = error.get("causes") or []
    message = (causes[-1] if causes else error).get("message") or ""
    return dagster_api.shorten(str(message).strip())


def _jobs(entry: Mapping[str, Any]) -> list[Job]:
    content = entry.get("locationOrLoadError") or {}
    found = []
    for repository in content.get("repositories") or []:
        sets = {partition_set["pipelineName"]: partition_set["name"] for partition_set in repository["partitionSets"]}
        for job in repository["jobs"]:
            found.append(
                Job(
                    dagster_api.text(job["name"]),
                    dagster_api.text(repository["name"]),
                    dagster_api.text(entry["name"]),
                    dagster_api.text_or_none(job.get("description")),
                    _tags(job),
                    bool(job.get("isAssetJob")),
                    dagster_api.text_or_none(sets.get(job["name"])),
                    metadata.values(job.get("metadataEntries") or ()),
                )
            )
    return found


def _tags(node: Mapping[str, Any]) -> dict[str, str]:
    return {dagster_api.text(tag["key"]): dagster_api.text(tag["value"]) for tag in node.get("tags") or []}


def _texts(values: Iterable[object] | None) -> tuple[str, ...]:
    return tuple(dagster_api.text(value) for value in values or ())


def _asset(node: Mapping[str, Any]) -> Asset:
    definition = node.get("partitionDefinition") or {}
    return Asset(
        key=_texts(node["assetKey"]["path"]),
        group=dagster_api.text_or_none(node.get("groupName")),
        description=dagster_api.text_or_none(node.get("description")),
        kinds=_texts(node.get("kinds") or [kind for kind in (node.get("computeKind"),) if kind]),
        tags={key: value for key, value in _tags(node).items() if not key.startswith("dagster/kind/")},
        owners=_texts(owner.get("email") or f"team:{owner.get('team')}" for owner in node.get("owners") or []),
        executable=bool(node.get("isExecutable")),
        partitions=dagster_api.text_or_none(definition.get("type")),
        dimensions=tuple(dagster_api.text(each["name"]) for each in definition.get("dimensionTypes") or []),
        jobs=_texts(node.get("jobNames")),
        dependencies=tuple("/".join(_texts(key["path"])) for key in node.get("dependencyKeys") or []),
        repository=dagster_api.text(node["repository"]["name"]),
        location=dagster_api.text(node["repository"]["location"]["name"]),
        metadata=metadata.values(node.get("metadataEntries") or ()),
        materializable=bool(node.get("isMaterializable", node.get("isExecutable"))),
        partitioning=_partitioning(definition) if definition else None,
        ops=tuple(dict.fromkeys(op.partition(".")[0] for op in _texts(node.get("opNames")))),
    )


def _partitioning(definition: Mapping[str, Any]) -> str:
    """Dagster gives a definition no id; its description holds the keys, or how they are reckoned."""
    return "\n".join(str(definition.get(name)) for name in ("type", "name", "description"))
