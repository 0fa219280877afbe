"""Targets: what one run executes, and into which runs a choice of assets has to be divided."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from daglab import errors
from daglab.deployment import entities


@dataclass(frozen=True)
class Target:
    """What a run executes: a job, or some assets through the job that Dagster keeps for them."""

    job: str
    repository: str
    location: str
    assets: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Share:
    """The assets that one run makes; `after` are the places, in the list, of the runs it has to wait for."""

    target: Target
    assets: tuple[entities.Asset, ...]
    after: frozenset[int] = frozenset()

    @property
    def ops(self) -> set[str]:
        """The names, in run config, of what makes the assets."""
        return {op for asset in self.assets for op in asset.ops}


def job_target(job: entities.Job) -> Target:
    """What launches a job."""
    return Target(job.name, job.repository, job.location)


def assets_target(assets: Sequence[entities.Asset]) -> Target:
    """What launches some assets in one run.

    Raises `InvalidInput` for an asset that Dagster can't execute, and for assets that no one run can hold.
    """
    if not assets:
        raise errors.InvalidInput("There is no asset to launch.", "`daglab discover --filter assets` lists assets.")
    external = [asset.name for asset in assets if not asset.executable]
    if external:
        raise errors.InvalidInput(
            f"{', '.join(external)} can't be materialized: it is external to Dagster.", "Select its downstream assets."
        )
    places = {(asset.location, asset.repository) for asset in assets}
    common = set.intersection(*(set(asset.jobs) for asset in assets))
    implicit = sorted(job for job in common if job.startswith("__ASSET_JOB"))
    if len(places) > 1 or not implicit:
        where = ", ".join(f"{asset.name} in {asset.location}" for asset in assets)
        raise errors.InvalidInput(
            f"These assets can't share one run: {where}.", "Launch them one after another, or choose with --location."
        )
    first = assets[0]
    return Target(implicit[0], first.repository, first.location, tuple(asset.key for asset in assets))


def divide(assets: Sequence[entities.Asset]) -> list[Share]:
    """The runs that make the assets, in an order in which each finds made what it needs of the others.

    A run holds assets of one repository and of one way to partition; what is not partitioned goes along where there is
    no doubt with which. Raises `InvalidInput` for an asset that Dagster can't execute.
    """
    chosen = {asset.name: asset for asset in assets}
    needs = {name: {other for other in asset.dependencies if other in chosen} for name, asset in chosen.items()}
    groups = _groups(chosen.values())
    shares: list[Share] = []
    made: dict[str, int] = {}  # which share makes an asset
    while any(groups):
        waiting = next((group for group in groups if group and _possible(group, needs, made) == group), None)
        group = waiting or max(groups, key=lambda each: len(_possible(each, needs, made)))
        names = _possible(group, needs, made) or set(group)  # nothing is possible where locations need each other
        after = frozenset(made[other] for name in names for other in needs[name] if other in made)
        share = tuple(asset for name, asset in chosen.items() if name in names)
        made.update(dict.fromkeys(names, len(shares)))
        shares.append(Share(assets_target(share), share, after))
        group -= names
    return shares


def _groups(assets: Iterable[entities.Asset]) -> list[set[str]]:
    """The names of what may share a run, were it not for the order."""
    assets = list(assets)
    ways: dict[tuple[str, str], set[str]] = {}
    for asset in assets:
        ways.setdefault((asset.location, asset.repository), set()).update(
            [asset.partitioning] if asset.partitioning else []
        )
    groups: dict[tuple[str, str, str | None], set[str]] = {}
    for asset in assets:
        place = (asset.location, asset.repository)
        only = next(iter(ways[place])) if len(ways[place]) == 1 else None
        groups.setdefault((*place, asset.partitioning or only), set()).add(asset.name)
    return list(groups.values())


def _possible(group: set[str], needs: Mapping[str, set[str]], made: Collection[str]) -> set[str]:
    """Those of the group that need nothing that is neither made nor made by the same run."""
    names = set(group)
    while blocked := {name for name in names if any(other not in made and other not in names for other in needs[name])}:
        names -= blocked
    return names
