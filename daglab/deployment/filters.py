"""Filters: which of the listed jobs and assets are asked for, and what was meant by a name that is not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from daglab import errors, parse
from daglab.deployment import entities, selection


@dataclass(frozen=True)
class Filters:
    """What is asked for: each part that is not empty must hold; of several values of one part one is enough.

    `tags` have to hold all; a tag with the value None has to be there, whatever its value. `pattern` is a shell
    pattern of the names (asset keys as `a/b`).
    `chosen` is a selection of assets.
    """

    chosen: selection.Selection | None = None
    pattern: str | None = None
    tags: Mapping[str, str | None] | None = None
    groups: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    location: str | None = None
    repository: str | None = None

    @property
    def only_assets(self) -> bool:
        """Whether something is asked that only assets have."""
        return bool(self.chosen or self.groups or self.kinds or self.owners)


def jobs(found: Iterable[entities.Job], asked: Filters) -> list[entities.Job]:
    """The jobs that are asked for."""
    found = list(found)
    names = entities.matching((job.name for job in found), asked.pattern)
    return [job for job in found if job.name in names and _is_at(job, asked) and _has_tags(job.tags, asked.tags or {})]


def assets(found: Iterable[entities.Asset], asked: Filters) -> list[entities.Asset]:
    """The assets that are asked for, of all that there are: a selection may reach what the other parts leave out."""
    found = list(found) if asked.chosen is None else selection.select(asked.chosen, list(found))
    names = entities.matching((asset.name for asset in found), asked.pattern)
    return [
        asset
        for asset in found
        if asset.name in names
        and _is_at(asset, asked)
        and _has_tags(asset.tags, asked.tags or {})
        and (not asked.groups or (asset.group or "default") in asked.groups)
        and (not asked.kinds or bool(set(asset.kinds) & set(asked.kinds)))
        and (not asked.owners or bool(set(asset.owners) & set(asked.owners)))
    ]


def check_place(workspace: entities.Workspace, asked: Filters) -> None:
    """Raise `InvalidInput` with the nearest names for a code location or repository that is not there."""
    repositories = [name for location in workspace.locations for name in location.repositories]
    for what, name, there in (
        ("code location", asked.location, [location.name for location in workspace.locations]),
        ("repository", asked.repository, repositories),
    ):
        if name is not None and name not in there:
            hint = parse.did_you_mean(name, there) or f"There are {', '.join(dict.fromkeys(there)) or 'none'}."
            raise errors.InvalidInput(f"There is no {what} {name}.", hint)


def strangers(found: Sequence[entities.Asset], asked: Filters) -> list[str]:
    """A sentence for each group, kind and owner that none of the assets has: it may be misspelt."""
    there = {
        "group": {asset.group or "default" for asset in found},
        "kind": {kind for asset in found for kind in asset.kinds},
        "owner": {owner for asset in found for owner in asset.owners},
    }
    wanted = {"group": asked.groups, "kind": asked.kinds, "owner": asked.owners}
    return [
        f"No asset has the {what} {name}. {parse.did_you_mean(name, sorted(there[what])) or ''}".rstrip()
        for what, names in wanted.items()
        for name in names
        if name not in there[what]
    ]


def _is_at(thing: entities.Job | entities.Asset, asked: Filters) -> bool:
    return asked.location in (None, thing.location) and asked.repository in (None, thing.repository)


def _has_tags(tags: Mapping[str, str], wanted: Mapping[str, str | None]) -> bool:
    return all(key in tags and value in (None, tags[key]) for key, value in wanted.items())
