"""A collection copied: its schema, tenants, objects, references; into one that is not there yet, or beside one that is.

Each step is in the journal, so that a copy that was killed goes on.
"""

from __future__ import annotations

import contextlib

from daglab import errors
from daglab.weaviate import api, batches, comparisons, journals, rest, schemas, tenants, transfers
from daglab.weaviate.copying import copies, replacing

# After these the same command goes on; after others it would come to the same again.
_PASSING = (errors.Unreachable, errors.OutcomeUnknown, errors.Taken)


def run(
    copy: copies.Copy, journal: journals.Journal, pace: batches.Pace, show: copies.Show, outcome: copies.Outcome
) -> None:
    """Copy, or go on with it, after `copies.begin`; `outcome` tells what came of it, also of one that fails.

    Raises `NotGood` when objects could not be written, or the copy is not what it should be. A copy to a collection of
    its own is kept then; one that was to replace another is deleted, and that other one is as it was. What stopped it
    from outside (no server, Ctrl-C) leaves all as it is, to be gone on with.
    """
    replaces, filled = copies.place(copy, journal).name != copy.target.name, False
    try:
        if (verified := journal.last("verified")) is None:
            _fill(copy, journal, pace, show, outcome)
            filled = True
            if not copy.schema_only:
                _check(copy, journal, show, outcome, replaces=replaces)
            journal.note("verified", **{name: getattr(outcome, name) for name in copies.FIGURES})
        else:
            for name in copies.FIGURES:
                setattr(outcome, name, verified[name])
            outcome.resumed = outcome.objects
    except errors.DaglabError as error:
        if not isinstance(error, _PASSING):
            _give_up(copy, journal, replaces=replaces, filled=filled)
        raise
    if replaces:
        replacing.replace(copy, journal, pace, show)
        outcome.replaced = True
    _settle(copy, journal)
    journals.finish(journal)


def _check(
    copy: copies.Copy, journal: journals.Journal, show: copies.Show, outcome: copies.Outcome, *, replaces: bool
) -> None:
    """Raises `NotGood` when the copy is not what it should be; one beside is compared as a whole."""
    _check_counts(copy, journal, outcome)
    if replaces and copy.change is None:
        _verify(copy, copies.place(copy, journal), show)


def _give_up(copy: copies.Copy, journal: journals.Journal, *, replaces: bool, filled: bool) -> None:
    """After what went wrong for good: a collection beside is deleted, a copy that is whole is over."""
    with contextlib.suppress(errors.DaglabError):
        into = copies.place(copy, journal)
        if replaces and journal.last("made"):
            api.delete(into.cluster, into.name)
        if replaces or filled or not api.exists(into.cluster, into.name):
            _settle(copy, journal)
            journals.finish(journal)


def _fill(
    copy: copies.Copy, journal: journals.Journal, pace: batches.Pace, show: copies.Show, outcome: copies.Outcome
) -> None:
    """Make the collection, its tenants, objects and references, or what of it is still to be done."""
    into = copies.place(copy, journal)
    if journal.last("made") is None:
        is_ours = journal.last("making") is not None  # else somebody was quicker, which the server says
        journal.note("making")
        if not is_ours or not api.exists(into.cluster, into.name):
            try:
                api.create(into.cluster, schemas.portable({**copy.schema, "class": copy.target.name}, into.name))
            except rest.Refused:
                journals.finish(journal)  # what is there now is somebody else's
                raise
        journal.note("made")
    if copy.schema_only:
        return
    done = journal.last("objects")
    outcome.resumed = int(done["written"]) if done else None
    if schemas.is_multi_tenant(api.schema(into.cluster, into.name)):
        _make_tenants(copy, journal, into)
    total = int((journal.last("options") or {}).get("before") or 0) or None

    def told(tally: transfers.Tally) -> transfers.Tally:
        outcome.objects, outcome.read, outcome.dropped = tally.written, tally.read, tally.dropped
        outcome.references, outcome.failed = tally.references, tally.failed
        return tally

    with show("Objects", total) as tell:
        tally = transfers.objects_of(copy.source, into, journal, pace, lambda t: tell(told(t).read), copy.change)
    with show("References", None) as tell:
        transfers.references_of(copy.source, into, journal, tally, lambda t: tell(told(t).references), copy.change)
    told(tally)


def _check_counts(copy: copies.Copy, journal: journals.Journal, outcome: copies.Outcome) -> None:
    """Count both sides. Raises `NotGood` when what was written, or read, is not what is there."""
    into, before = copies.place(copy, journal), (journal.last("options") or {}).get("before")
    if journals.owed(journal.lines):  # a try that was killed while it counted has left a tenant active
        transfers.put_back(copy.source, journal)
    for side in (copy.source, into):
        comparisons.counted(side)  # a cluster that has lost a node lists and counts what is left, without a word
    outcome.source_count, _ = copies.count_of(copy.source, journal=journal)
    outcome.target_count, _ = copies.count_of(into)
    unmoved = before == copies.count_of(copy.source, active_only=True)[0]
    outcome.source_changed = not unmoved or outcome.source_count != outcome.read
    if outcome.target_count != outcome.objects:
        raise errors.NotGood(
            f"{outcome.objects:,} objects were written, and {into.name} has {outcome.target_count:,}.",
            "Did somebody else write to it? Delete it, and copy again.",
        )
    if unmoved and outcome.source_count != outcome.read:
        raise errors.NotGood(
            f"{copy.source.name} has {outcome.source_count:,} objects, of which {outcome.read:,} were read.",
            "Was it written to meanwhile? Else `daglab collections health` looks for what is wrong with it.",
        )
    if outcome.failed:
        raise errors.NotGood(
            f"{len(outcome.failed):,} of the objects and references of {copy.source.name} could not be written.",
            "The reasons are the server's own; put them right, delete the copy, and copy again.",
        )


def _settle(copy: copies.Copy, journal: journals.Journal) -> None:
    """Put tenants into their states, on both sides, as far as they are there."""
    states = (journal.last("tenants") or {}).get("states") or {}
    if states:
        if api.exists(copy.source.cluster, copy.source.name):
            tenants.put_states(copy.source.cluster, copy.source.name, states)
        if api.exists(copy.target.cluster, copy.target.name):
            tenants.put_states(copy.target.cluster, copy.target.name, states)


def _verify(copy: copies.Copy, into: transfers.Side, show: copies.Show) -> None:
    """Compare every object of the source with what was made of it. Raises `NotGood` with the first that differ."""
    with show("Compared", None) as tell:
        found = comparisons.compare(copy.source, into, tell)
    if not found.is_none:
        raise errors.NotGood(
            f"{copy.source.name} and its copy differ: {copies.differences(found)}.",
            "Was it written to meanwhile? Stop who writes, or use `daglab collections migrate`.",
        )


def _make_tenants(copy: copies.Copy, journal: journals.Journal, into: transfers.Side) -> None:
    states = tenants.create_like(copy.source.cluster, copy.source.name, into.cluster, into.name)
    if journal.last("tenants") is None:  # later on, one may be active because a try was killed
        journal.note("tenants", states=states)
