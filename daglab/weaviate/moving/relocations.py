"""A collection moved to another cluster while it is written to: the stages, each in the journal before it is begun.

Passes over what has changed until little is left, then a short while in which the source is read-only, with the last
pass and the verification; then the alias leads to the new collection, and the source is writable again. It stays.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from typing import Any

from daglab import errors
from daglab.weaviate import api, comparisons, journals, rest, schemas, tenants, transfers
from daglab.weaviate.moving import freezing, passes

log = logging.getLogger(__name__)

KIND = "migrate"
MOST_PASSES = 5  # before the freeze
FEW_CHANGES = 100  # that a pass finds: the next one can as well be the last
MOST_ROUNDS = 4  # of the last pass and the verification, where something was written in spite of the freeze
GRACE_SECONDS = 2.0  # for writes that came by the alias before it was switched


def work(source: transfers.Side, target: transfers.Side) -> dict[str, Any]:
    """What a migration is, for its journal."""
    places = {"source": source.cluster.url, "target": target.cluster.url, "as": target.name}
    return {"kind": KIND, "collection": source.name, **places}


def run(move: passes.Move) -> None:
    """Do all that is left to do. Raises `NotGood` where not all could be moved, and as the servers' answers do.

    Whatever happens, the source is thawed if it can be; the journal stays but at a good end, for the next or `abort`.
    """
    try:
        if not switched(move):
            _move(move)
    except BaseException:
        try:
            passes.restore(move)
        except errors.DaglabError as problem:
            log.warning("%s could not be made writable again: %s", move.source.name, problem.message)
        raise
    passes.restore(move)
    move.report.alias = _alias(move)
    journals.finish(move.journal)


def _move(move: passes.Move) -> None:
    _make(move)
    passes.restore(move)  # what a killed try has left: tenants that it activated are not so by themselves
    if move.strategy == passes.ONLINE:
        _pass_until_few(move)
    frozen = time.monotonic()
    try:
        _freeze(move)
        _last(move)
        _finish_target(move)
        _switch(move)
        passes.restore(move)
    finally:
        move.report.frozen_seconds = time.monotonic() - frozen


def abort(move: passes.Move) -> bool:
    """Thaw the source, and delete the target where this migration has made it; whether there was one.

    Raises `Taken` where the alias leads to the new collection already.
    """
    passes.restore(move)  # first: whatever the target says, or if it is gone
    if switched(move):
        raise errors.Taken(
            f"{_alias(move)} leads to {move.target.name} already, which is written to.", "--resume ends the migration."
        )
    own = _is_own(move)
    if own:
        api.delete(move.target.cluster, move.target.name)
    journals.finish(move.journal)
    return own


def switched(move: passes.Move) -> bool:
    """Whether the alias leads to the new collection by this migration's doing: from then on, that goes its own way."""
    if move.journal.last("switching") is None:
        return False
    return (api.known_aliases(move.target.cluster) or {}).get(_alias(move) or "") == move.target.name


def _alias(move: passes.Move) -> str | None:
    """The alias that was switched, or was about to be, whatever is asked for now; else the one that is asked for."""
    begun = move.journal.last("switching")
    return str(begun["alias"]) if begun else move.alias


def _make(move: passes.Move) -> None:
    """Make the target; one that is there must be ours."""
    if move.journal.last("made"):
        return
    cluster, name = move.target.cluster, move.target.name
    with passes.stage(move, "make"):
        if not (move.journal.last("making") and _is_own(move)):
            move.journal.note("making")
            try:
                api.create(cluster, schemas.portable(api.schema(move.source.cluster, move.source.name), name))
            except (rest.Refused, errors.NotAuthorised):
                move.journal.note("refused")  # so one that is there is somebody else's
                raise
        move.journal.note("made", shards=_shards(move.target))


def _is_own(move: passes.Move) -> bool:
    """Whether the target is there by this migration's doing. Raises `Taken` where that can't be told."""
    begun = [each for each in move.journal.lines if each.get("stage") in ("making", "refused", "made")]
    if not begun or begun[-1]["stage"] == "refused" or not api.exists(move.target.cluster, move.target.name):
        return False
    made = move.journal.last("made")
    if made is None:
        count, states = tenants.counted(move.target.cluster, move.target.name)
        ours = not count and all(status == tenants.ACTIVE for status in states.values())
    else:
        ours = not made.get("shards") or bool({*made["shards"]} & {*_shards(move.target)})
    if ours:
        return True
    raise errors.Taken(
        f"{move.target.name} in {move.target.cluster.name} is there, and it is not sure that it is ours.",
        "Look at it, and delete it if it is nobody's: daglab collections rm.",
    )


def _shards(side: transfers.Side) -> list[str]:
    """The names of the shards of a collection without tenants, as far as told: one that is made anew has others."""
    if schemas.is_multi_tenant(api.schema(side.cluster, side.name)):
        return []
    with contextlib.suppress(errors.NotAuthorised):
        return sorted({each.name for node in api.nodes(side.cluster, side.name) for each in node.shards})
    return []


def _pass_until_few(move: passes.Move) -> None:
    for _ in range(MOST_PASSES):
        if passes.over(move).found <= FEW_CHANGES:
            return


def _freeze(move: passes.Move) -> None:
    with passes.stage(move, "freeze") as said:
        said["shards"] = len(freezing.freeze(move.journal, move.source))


def _last(move: passes.Move) -> None:
    """The source is read-only: have the target be as it is, and verify that. Raises `NotGood` where it is not."""
    for _ in range(MOST_ROUNDS):
        states = freezing.tenants_of(move.source)
        for _ in range(MOST_ROUNDS):
            found = passes.over(move, last=True)
            if found.failures or not found.found:
                break  # nothing that was under way has come in meanwhile
        passes.refuse_failed(move, found)
        try:
            difference = move.report.difference = _verify(move) if move.verify else None
            is_whole = not found.left and freezing.is_whole(move.source, states)
        except (rest.Failed, rest.Missing, rest.Refused):
            if freezing.is_whole(move.source, states):
                raise
            difference = move.report.difference = None
            is_whole = False
        if not is_whole:
            freezing.freeze(move.journal, move.source)
        elif difference is None or difference.is_none:
            return
        elif not passes.over(move, last=True).found:
            break
    _refuse_difference(move)


def _refuse_difference(move: passes.Move) -> None:
    found = move.report.difference
    if found is None or found.is_none:
        raise errors.NotGood(
            f"{move.source.name} was written to while it was read-only: its tenants or its server are on the move.",
            "--resume when it is quiet, or --abort.",
        )
    nowhere = next((each["dangling"] for each in reversed(move.report.stages) if each.get("dangling")), 0)
    more = f" {nowhere} references lead to objects that are not there: are their collections moved?" if nowhere else ""
    counts = ", ".join(f"{count} {kind}" for kind, count in found.counts.items() if count)
    raise errors.NotGood(
        f"{move.target.name} in {move.target.cluster.name} is not the same: {counts}.{more}",
        "--resume tries again, --abort deletes it. The source is as it was.",
    )


def _verify(move: passes.Move) -> comparisons.Difference:
    with passes.stage(move, "verify") as said, move.show("verified", None) as tell:
        frozen = functools.partial(passes.readable, move, last=True)
        found = comparisons.compare(move.source, move.target, tell, frozen)
        said["objects"] = found.target
        for side, read in ((move.source, found.source), (move.target, found.target)):
            if (there := comparisons.counted(side)) not in (None, read):
                raise rest.Failed(
                    f"{side.name} in {side.cluster.name} has {there} objects, and {read} of them could be read.",
                    "`daglab collections health` looks for what is wrong there.",
                )
    return found


def _finish_target(move: passes.Move) -> None:
    """The tenants of the target have the states that those of the source have."""
    if states := freezing.tenants_of(move.source):
        tenants.put_states(move.target.cluster, move.target.name, states)


def _switch(move: passes.Move) -> None:
    """The alias leads to the target, in one step; who writes by the alias is let in there."""
    if move.alias is None:
        return
    with passes.stage(move, "switch"):
        move.journal.note("switching", alias=move.alias)
        try:
            api.set_alias(move.target.cluster, move.alias, move.target.name)
        except errors.OutcomeUnknown:
            if not switched(move):
                raise
        if move.source.cluster.url == move.target.cluster.url:
            time.sleep(GRACE_SECONDS)
