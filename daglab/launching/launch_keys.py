"""Launch keys: a name for a launch, so that the same command, given again, finds what it made the first time.

Each run carries its key as a tag, and another tag that says what was asked for: a key that was used for something else
is refused. Two hosts may launch at the same moment: then each sees both runs, the older one stands, and the younger is
cancelled by who made it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from daglab import errors
from daglab.deployment import dagster_api, partitions, run_records
from daglab.launching import backfills, launches, plans

TAG = launches.KEY_TAG
REQUEST_TAG = launches.REQUEST_TAG
LONGEST = 200
FAILED_RUN = ("FAILURE", "CANCELED")
FAILED_BACKFILL = ("FAILED", "CANCELED", "COMPLETED_FAILED")

Item = TypeVar("Item", run_records.Record, backfills.Listed)


@dataclass(frozen=True)
class Key:
    """A launch's key; `request` stands for what is asked for, `relaunches` says that what failed is launched again."""

    name: str
    relaunches: bool = False
    request: str = ""

    def tags(self, number: int = 0) -> dict[str, str]:
        """The tags of the run at this place among those of the command; a backfill's are those of the first."""
        return {TAG: self.name, REQUEST_TAG: f"{self.request}/{number}"}


@dataclass(frozen=True)
class Made(Generic[Item]):
    """What a key has made, the newest first; `failures` are the statuses of what has failed."""

    every: Sequence[Item]
    failures: Sequence[str]

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all."""
        return frozenset(each.id for each in self.every)

    def found(self, key: Key) -> Item | None:
        """The one that the key means: the oldest that stands, else the newest that failed, unless that is made again.

        One that was cancelled, as the younger of two is, tells less than one that failed by itself.
        """
        standing = [each for each in self.every if each.status not in self.failures]
        failed = sorted(self.every, key=lambda each: each.status == "CANCELED")
        return standing[-1] if standing else failed[0] if failed and not key.relaunches else None


@dataclass(frozen=True)
class Attempt(Generic[Item]):
    """What was launched, or `found` for the key; `before` are the ids of what the key had made before."""

    id: str
    status: str | None = None
    found: Item | None = None
    before: frozenset[str] = frozenset()


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


def of(key: Key, wanted: plans.Wanted) -> Key:
    """The key for this request: what is asked for, whatever of it the deployment has today; not config and tags."""
    asked = dataclasses.replace(wanted, body=None, tags={}, chosen=None)
    text = json.dumps([dataclasses.asdict(asked), wanted.chosen and wanted.chosen.text], default=list)
    return dataclasses.replace(key, request=hashlib.sha256(text.encode()).hexdigest()[:16])


def recall(api: dagster_api.DagsterApi, wanted: plans.Wanted, key: Key | None) -> tuple[plans.Wanted, str | None]:
    """What is to be prepared for a key that was used before, and the id of the backfill that it made, if it did.

    What is missing is not what it was then: the partitions are those that the key's run has. Raises `InvalidInput` for
    a key that was used for something else, be it a run or a backfill.
    """
    if key is None:
        return wanted, None
    backfill, run = _backfills(api, key).found(key), _runs(api, key, 0).found(key)
    if backfill:
        return wanted, backfill.id
    if run is None or wanted.choice is None or not wanted.choice.missing:
        return wanted, None
    if run.partition is not None:
        return dataclasses.replace(wanted, choice=None, partition=run.partition), None
    ends = tuple(run.tags.get(name, "") for name in partitions.RANGE_TAGS)
    return dataclasses.replace(wanted, choice=partitions.Choice(span=(ends[0], ends[1])), single_run=True), None


def launch(
    api: dagster_api.DagsterApi, plan: plans.Plan, key: Key | None, *, number: int = 0, launch_id: str
) -> Attempt[run_records.Record]:
    """Launch a run, or find the one that its key has made.

    `number` is the place of the plan among those of the command. One that has failed is found, too, unless the key
    relaunches. Raises `InvalidInput` for a key that was used for something else.
    """
    if key is None:
        made = launches.launch(api, plan.target, plan.body, plan.tags, launch_id=launch_id)
        return Attempt(made.id, made.status)
    known = _runs(api, key, number)
    if found := known.found(key):
        return Attempt(found.id, found.status, found)
    made = launches.launch(api, plan.target, plan.body, {**plan.tags, **key.tags(number)}, launch_id=launch_id)
    return Attempt(made.id, made.status, before=known.ids)


def launch_backfill(
    api: dagster_api.DagsterApi, wanted: backfills.Wanted, key: Key | None, *, launch_id: str
) -> Attempt[backfills.Listed]:
    """As `launch`, for a backfill."""
    if key is None:
        return Attempt(backfills.launch(api, wanted, launch_id=launch_id))
    known = _backfills(api, key)
    if found := known.found(key):
        return Attempt(found.id, found.status, found)
    tagged = dataclasses.replace(wanted, tags={**wanted.tags, **key.tags()})
    return Attempt(backfills.launch(api, tagged, launch_id=launch_id), before=known.ids)


def older_run(
    api: dagster_api.DagsterApi, key: Key, number: int, ours: Attempt[run_records.Record]
) -> run_records.Record | None:
    """The run that another host has launched just before ours, even if it has failed meanwhile; None without one."""
    return _oldest(_runs(api, key, number), ours)


def older_backfill(api: dagster_api.DagsterApi, key: Key, ours: Attempt[backfills.Listed]) -> backfills.Listed | None:
    """As `older_run`, for a backfill."""
    return _oldest(_backfills(api, key), ours)


def _oldest(made: Made[Item], ours: Attempt[Item]) -> Item | None:
    """The oldest of those that were not there before we launched, if that is not ours."""
    fresh = [each for each in made.every if each.id not in ours.before]
    return fresh[-1] if fresh and fresh[-1].id != ours.id else None


def _runs(api: dagster_api.DagsterApi, key: Key, number: int) -> Made[run_records.Record]:
    """The runs of the key at this place; those of a backfill are not meant."""
    every = [each for each in run_records.search(api, tags={TAG: key.name}) if backfills.BACKFILL_TAG not in each.tags]
    return Made(_own(key, number, every, "run"), FAILED_RUN)


def _backfills(api: dagster_api.DagsterApi, key: Key) -> Made[backfills.Listed]:
    every = [each for each in backfills.search(api) if each.tags.get(TAG) == key.name]
    return Made(_own(key, 0, every, "backfill"), FAILED_BACKFILL)


def _own(key: Key, number: int, every: Sequence[Item], what: str) -> list[Item]:
    """Those at this place. Raises `InvalidInput` when the key was used for something else."""
    for each in every:
        if each.tags.get(REQUEST_TAG, "").partition("/")[0] != key.request:
            raise errors.InvalidInput(
                f"The launch key {key.name} was used for something else: the {what} {each.id}.",
                "A key is for one launch: take another, with a date in it, say.",
            )
    return [each for each in every if each.tags[REQUEST_TAG] == key.tags(number)[REQUEST_TAG]]
