"""What a deployment has of the target of a notebook to be; it may be that none answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from daglab import errors, output, parse
from daglab.authoring import scaffolds
from daglab.deployment import dagster_api, entities, materializations, selection
from daglab.launching import launches, run_config, targets
from daglab.weaviate import api, rest

CHECK_TIMEOUT = 2.0  # seconds


@dataclass(frozen=True)
class Seen:
    """What the deployment has of a target; `problems` are of the run config that the notebook will begin with."""

    assets: tuple[entities.Asset, ...] = ()
    job: entities.Job | None = None
    problems: tuple[launches.Problem, ...] = ()
    columns: tuple[materializations.Column, ...] = ()

    @property
    def location(self) -> str | None:
        """The code location, where it is one."""
        places = {each.location for each in (*self.assets, self.job) if each}
        return places.pop() if len(places) == 1 else None


def in_dagster(
    connected: dagster_api.DagsterApi, target: scaffolds.Target, *, validate: bool, columns: bool
) -> Seen | None:
    """What the deployment has of the target; None where none answers, or not to us.

    Raises `InvalidInput` with the nearest names where it has none.
    """
    timeout = min(connected.session.timeout, CHECK_TIMEOUT)
    session = dataclasses.replace(connected.session, timeout=timeout, retries=0)
    quick = dataclasses.replace(connected, session=session)
    try:
        seen = _find(quick, target)
        problems = _problems(quick, seen) if validate else ()
        known = materializations.columns(quick, seen.assets[0].key) if columns and seen.assets else ()
        return dataclasses.replace(seen, problems=tuple(problems), columns=tuple(known))
    except (errors.Unreachable, errors.NotAuthorised) as problem:
        output.note(f"Not checked, whether {target.name} is there: {problem.message}")
        return None


def _find(api: dagster_api.DagsterApi, target: scaffolds.Target) -> Seen:
    if target.assets:
        return Seen(tuple(entities.require_assets(api, target.assets)))
    if target.selection:
        chosen = selection.read(target.selection)
        workspace = entities.workspace(api)
        selection.check_fields(chosen, workspace)
        found = selection.select(chosen, entities.assets(api, workspace.asset_fields))
        if not found:
            raise errors.InvalidInput(
                f"The selection {target.selection} holds no asset.", "`daglab discover --select` tries a selection."
            )
        return Seen(tuple(found))
    same = [job for job in entities.workspace(api).jobs if job.name == target.job]
    # Several jobs of one name are good enough: the config or the notebook may say which.
    one = same[0] if same else entities.find_job(api, target.job or "", repository=None, location=None)
    return Seen(job=one if len(same) == 1 else None)


def _problems(api: dagster_api.DagsterApi, seen: Seen) -> Sequence[launches.Problem]:
    """What is wrong with the run config as the schema fills it in, or why no run can hold the target."""
    if not seen.job and not seen.assets:
        return ()
    try:
        target = targets.job_target(seen.job) if seen.job else targets.assets_target(seen.assets)
        body = parse.run_config(run_config.skeleton(api, [target]), "run config")
        return launches.config_problems(api, target, body)
    except errors.InvalidInput as refused:  # such as one asset of several that are made together
        return (launches.Problem((), "TARGET", refused.message),)


def in_weaviate(there: rest.Cluster, name: str) -> bool:
    """Whether a Weaviate has told that the collection is there; False where none answers, or not to us.

    Raises `InvalidInput` with the nearest names where it has none.
    """
    session = dataclasses.replace(there.session, timeout=min(there.session.timeout, CHECK_TIMEOUT), retries=0)
    try:
        api.schema(dataclasses.replace(there, session=session), name)
    except (errors.Unreachable, errors.NotAuthorised) as problem:
        output.note(f"Not checked, whether {name} is there: {problem.message}")
        return False
    return True
