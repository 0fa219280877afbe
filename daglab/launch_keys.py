"""Launch keys: a name for a launch, so that the same command, given again, finds what it made the first time.

Each run carries its key as a tag. Two hosts may launch at the same moment: then each sees both runs, the older one
stands, and the younger is cancelled by who made it.
"""

from __future__ import annotations

from dataclasses import dataclass

from daglab import backfills, cancellation, dagster_api, errors, launches, plans, run_records

TAG = launches.KEY_TAG
LONGEST = 200
FAILED_RUN = ("FAILURE", "CANCELED")
FAILED_BACKFILL = ("FAILED", "CANCELED", "COMPLETED_FAILED")


@dataclass(frozen=True)
class Key:
    """A launch's key; `relaunches` says that what has failed is launched again."""

    name: str
    relaunches: bool = False


def read(name: str | None, *, relaunches: bool) -> Key | None:
    """The key of a command line. Raises `WrongUsage` for one that can't be."""
    if name is None:
        if relaunches:
            raise errors.WrongUsage("--relaunch-failed is for a launch with a key.", "Add --launch-key KEY.")
        return None
    if not name.strip() or not name.isprintable() or len(name) > LONGEST:
        raise errors.WrongUsage(
            f"A launch key is text on one line, of at most {LONGEST} letters.", "Write --launch-key nightly-2026-11-01."
        )
    return Key(name, relaunches)


def launch(
    api: dagster_api.DagsterApi, plan: plans.Plan, key: Key | None, *, number: int = 0, launch_id: str
) -> tuple[launches.Launched, bool]:
    """Launch a run, or find the one that its key has made; with whether it was there before.

    `number` is the place of the plan among those of the command, each of which has a key of its own. One that has
    failed is found, too, unless the key relaunches.
    """
    if key is None:
        return launches.launch(api, plan.target, plan.body, plan.tags, launch_id=launch_id), False
    name = key.name if number == 0 else f"{key.name}.{number + 1}"
    standing, failed = _runs(api, name)
    if found := standing or (None if key.relaunches else failed):
        return launches.Launched(found.id, found.status), True
    made = launches.launch(api, plan.target, plan.body, {**plan.tags, TAG: name}, launch_id=launch_id)
    older, _ = _runs(api, name)
    if older is None or older.id == made.id:
        return made, False
    cancellation.cancel(api, made.id)
    return launches.Launched(older.id, older.status), True


def launch_backfill(
    api: dagster_api.DagsterApi, wanted: backfills.Wanted, key: Key | None, *, launch_id: str
) -> tuple[str, bool]:
    """As `launch`, for a backfill: its id, and whether it was there before."""
    if key is None:
        return backfills.launch(api, wanted, launch_id=launch_id), False
    standing, failed = _backfills(api, key.name)
    if found := standing or (None if key.relaunches else failed):
        return found, True
    tagged = backfills.tagged(wanted, TAG, key.name)
    made = backfills.launch(api, tagged, launch_id=launch_id)
    older, _ = _backfills(api, key.name)
    if older in (None, made):
        return made, False
    backfills.cancel(api, made)
    return str(older), True


def _runs(api: dagster_api.DagsterApi, name: str) -> tuple[run_records.Record | None, run_records.Record | None]:
    """The oldest run with the key that has not failed, and the newest that has; those of a backfill are not meant."""
    every = [each for each in run_records.search(api, tags={TAG: name}) if backfills.BACKFILL_TAG not in each.tags]
    standing = [each for each in every if each.status not in FAILED_RUN]
    failed = [each for each in every if each.status in FAILED_RUN]
    return (standing[-1] if standing else None), (failed[0] if failed else None)


def _backfills(api: dagster_api.DagsterApi, name: str) -> tuple[str | None, str | None]:
    """The same of backfills, among the newest."""
    every = [each for each in backfills.newest(api) if each.tags.get(TAG) == name]
    standing = [each.id for each in every if each.status not in FAILED_BACKFILL]
    failed = [each.id for each in every if each.status in FAILED_BACKFILL]
    return (standing[-1] if standing else None), (failed[0] if failed else None)
