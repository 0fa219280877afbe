"""Plans: what is asked for, found on the deployment and checked, as the launches that it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daglab import errors, parse
from daglab.deployment import dagster_api, entities, partitions, selection
from daglab.launching import backfills, launches, targets


@dataclass(frozen=True)
class Wanted:
    """What is asked for: one of job, assets, pattern and selection; `body` is the run config, None for none given.

    `choice` is of several partitions, which become a backfill, or one ranged run where `single_run` says so.
    `repository` and `location` decide where several have that name.
    """

    job: str | None = None
    assets: Sequence[tuple[str, ...]] = ()
    pattern: str | None = None
    chosen: selection.Selection | None = None
    partition: str | None = None
    choice: partitions.Choice | None = None
    single_run: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    repository: str | None = None
    location: str | None = None


@dataclass(frozen=True)
class Plan:
    """A launch of which everything is checked; `after` are the places, among the plans, of those it has to wait for."""

    target: targets.Target
    tags: Mapping[str, str]
    body: Mapping[str, Any]
    after: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Prepared:
    """What is to be launched: runs in their order, or one backfill; neither where nothing is missing.

    `made` is the id of a backfill that is there already. `partitions` are the keys that were chosen, where several were
    asked for.
    """

    runs: tuple[Plan, ...] = ()
    backfill: backfills.Wanted | None = None
    made: str | None = None
    partitions: tuple[str, ...] = ()


def prepare(api: dagster_api.DagsterApi, wanted: Wanted) -> Prepared:
    """What to launch; everything is checked, nothing is launched.

    Raises `InvalidInput` with everything that is wrong, listed as `errors` in its result, and `NotSetUp` where nobody
    would work off a backfill.
    """
    found: entities.Job | list[entities.Asset]
    if wanted.job:
        found = entities.find_job(api, wanted.job, repository=wanted.repository, location=wanted.location)
    else:
        found = find_assets(api, wanted)
    if wanted.choice is None:
        return Prepared(_runs(api, found, wanted))
    chosen = partitions.choose(api, found, wanted.choice)
    if len(chosen) == 1:
        return Prepared(_runs(api, found, dataclasses.replace(wanted, partition=chosen[0])), partitions=tuple(chosen))
    if not chosen:
        return Prepared()
    if wanted.single_run:
        return Prepared(_ranged(api, found, chosen, wanted), partitions=tuple(chosen))
    return Prepared(backfill=_backfill(api, found, chosen, wanted), partitions=tuple(chosen))


def find_targets(api: dagster_api.DagsterApi, wanted: Wanted) -> list[targets.Target]:
    """What is asked for, as the targets that it would take; nothing is checked."""
    if wanted.job:
        job = entities.find_job(api, wanted.job, repository=wanted.repository, location=wanted.location)
        return [targets.job_target(job)]
    return [share.target for share in targets.divide(find_assets(api, wanted))]


def _runs(api: dagster_api.DagsterApi, found: entities.Job | list[entities.Asset], wanted: Wanted) -> tuple[Plan, ...]:
    if isinstance(found, entities.Job):
        return (_of_job(api, found, wanted),)
    return tuple(_of_assets(api, found, wanted))


def _ranged(
    api: dagster_api.DagsterApi, found: entities.Job | list[entities.Asset], chosen: list[str], wanted: Wanted
) -> tuple[Plan, ...]:
    """One run for all the partitions, of assets whose code asks for a range."""
    if isinstance(found, entities.Job):
        raise errors.InvalidInput(
            f"The job {found.name} takes one partition a run.",
            "Leave --single-run out: a backfill runs each.",
        )
    partitioned = [asset for asset in found if asset.partitions]
    tags = partitions.range_tags(chosen, partitions.keys(api, partitioned[0]), partitioned[0].dimensions)
    ranged = {asset.key for asset in partitioned}
    return tuple(
        dataclasses.replace(plan, tags={**tags, **plan.tags}) if ranged.intersection(plan.target.assets) else plan
        for plan in _checked(api, found, wanted)
    )


def _backfill(
    api: dagster_api.DagsterApi, found: entities.Job | list[entities.Asset], chosen: list[str], wanted: Wanted
) -> backfills.Wanted:
    if isinstance(found, entities.Job):
        if wanted.body is not None:
            raise errors.InvalidInput(
                f"The job {found.name} makes the run config of each partition itself.", "Leave the run config out."
            )
        place = (found.partition_set or "", found.repository, found.location)
        asked = backfills.Wanted(tuple(chosen), (), *place, tags=wanted.tags)
    else:
        if wanted.body:
            _checked(api, found, wanted)
        keys = tuple(asset.key for asset in found)
        asked = backfills.Wanted(tuple(chosen), keys, tags=wanted.tags, body=wanted.body)
    backfills.check(api, asked)
    return asked


def find_assets(api: dagster_api.DagsterApi, wanted: Wanted) -> list[entities.Asset]:
    """The assets that are asked for, without those that Dagster can't execute where they are not named.

    Raises `InvalidInput` with the nearest names where there are none.
    """
    if wanted.assets:
        return entities.find_assets(api, wanted.assets, repository=wanted.repository, location=wanted.location)
    if wanted.chosen:
        return _selected(api, wanted.chosen, wanted)
    every = [asset for asset in entities.assets(api) if _is_at(asset, wanted)]
    pattern = wanted.pattern or ""
    names = entities.matching((asset.name for asset in every), pattern)
    if not names:
        near = parse.did_you_mean(pattern.replace("*", ""), [asset.name for asset in every])
        raise errors.InvalidInput(
            f"No asset at {api.url} matches {pattern}.",
            near or f"`daglab discover --filter assets --pattern '{pattern}'` tries a pattern.",
        )
    return _executable(f"What {pattern} matches", [asset for asset in every if asset.name in names])


def _selected(api: dagster_api.DagsterApi, chosen: selection.Selection, wanted: Wanted) -> list[entities.Asset]:
    workspace = entities.workspace(api)
    selection.check_fields(chosen, workspace)
    found = selection.select(chosen, entities.assets(api, workspace.asset_fields))
    here = [asset for asset in found if _is_at(asset, wanted)]
    if not here:
        raise errors.InvalidInput(
            f"The selection {chosen.text} holds no asset{' there' if found else ''}.",
            "`daglab discover --select` tries one. A value with more than letters, digits, _ and / has to be quoted.",
        )
    return _executable(f"What {chosen.text} selects", here)


def _executable(what: str, found: Sequence[entities.Asset]) -> list[entities.Asset]:
    executable = [asset for asset in found if asset.executable]
    if not executable:
        names = ", ".join(sorted(asset.name for asset in found))
        raise errors.InvalidInput(
            f"{what} is external to Dagster and can't be materialized: {names}.", "Select its downstream assets."
        )
    return entities.require_one_of_each(executable)


def _is_at(asset: entities.Asset, wanted: Wanted) -> bool:
    return wanted.repository in (None, asset.repository) and wanted.location in (None, asset.location)


def _of_job(api: dagster_api.DagsterApi, job: entities.Job, wanted: Wanted) -> Plan:
    tags: Mapping[str, str] = {}
    body, wrong = wanted.body, None
    try:
        tags, body = partitions.job_launch(api, job, wanted.partition, body)
    except errors.InvalidInput as error:
        wrong = error
    if body is None:  # the job makes it of a partition that is not there
        raise launches.invalid([], wrong) from wrong
    target = targets.job_target(job)
    problems = launches.config_problems(api, target, body)
    if problems or wrong:
        raise launches.invalid(problems, wrong)
    return Plan(target, {**tags, **wanted.tags}, body)


def _of_assets(api: dagster_api.DagsterApi, assets: Sequence[entities.Asset], wanted: Wanted) -> list[Plan]:
    wrong: errors.InvalidInput | None = None
    try:
        wanted = dataclasses.replace(wanted, partition=partitions.check(api, assets, wanted.partition))
    except errors.InvalidInput as error:
        wrong = error
    return _checked(api, assets, wanted, wrong)


def _checked(
    api: dagster_api.DagsterApi,
    assets: Sequence[entities.Asset],
    wanted: Wanted,
    wrong: errors.InvalidInput | None = None,
) -> list[Plan]:
    """The runs for assets; raises with what is wrong with their run config, and with the partition."""
    body = wanted.body or {}
    problems = _not_selected(api, body, assets)
    shares, plans = targets.divide(assets), []
    for share in shares:
        foreign = {op for other in shares if other is not share for op in other.ops} - share.ops
        part = _without(body, foreign)
        problems += launches.config_problems(api, share.target, part)
        tags = partitions.tags_of(share.assets, wanted.partition)
        plans.append(Plan(share.target, {**tags, **wanted.tags}, part, share.after))
    if problems or wrong:
        raise launches.invalid(problems, wrong)
    return plans


def _without(body: Mapping[str, Any], foreign: Collection[str]) -> Mapping[str, Any]:
    """The run config without what is for the ops of other runs, which know nothing of these."""
    ops = body.get("ops")
    if not isinstance(ops, Mapping):
        return body
    return {**body, "ops": {op: config for op, config in ops.items() if op not in foreign}}


def _not_selected(
    api: dagster_api.DagsterApi, body: Mapping[str, Any], assets: Sequence[entities.Asset]
) -> list[launches.Problem]:
    """Run config for what is not launched, which Dagster does not mind; the names of checks are not known here."""
    given = body.get("ops")
    strange = set(given if isinstance(given, Mapping) else ()).difference(*(asset.ops for asset in assets))
    if not strange:
        return []
    others = {op: asset.name for asset in entities.assets(api) for op in asset.ops}
    return [
        launches.Problem(("ops", op), "NOT_SELECTED", f"it makes {others[op]}, which is not selected.")
        for op in sorted(strange)
        if op in others
    ]
