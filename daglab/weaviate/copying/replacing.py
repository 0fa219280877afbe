"""A collection replaced by one that was made and proven beside it. Weaviate can't rename: it is written once more.

At every moment all objects are in one of the two: the one beside is deleted when the new one is the same as it.
"""

from __future__ import annotations

import shutil

from daglab import errors, json_lines
from daglab.weaviate import api, batches, comparisons, journals, schemas, tenants, transfers
from daglab.weaviate.copying import copies

SECOND = "second"  # the folder of the journal of the copy from beside


def replace(copy: copies.Copy, journal: journals.Journal, pace: batches.Pace, show: copies.Show) -> None:
    """Delete the destination, make it anew from the collection beside it, and delete that one.

    Aliases of the destination lead to the one beside meanwhile. What was killed is gone on with. Raises `NotGood` when
    the two differ in the end; everything is in the one beside then.
    """
    beside, target = copies.place(copy, journal), copy.target
    if journal.last("replacing") is None:
        leading = [name for name, led in (api.known_aliases(target.cluster) or {}).items() if led == target.name]
        journal.note("replacing", aliases=leading)
    leading = (journal.last("replacing") or {})["aliases"]
    if journal.last("kept") is None:
        if not _is_remade(journal) or not api.exists(target.cluster, target.name):
            _remake(journal, beside, target, leading)
        _fill(copy, journal, beside, pace, show)
        journal.note("kept")
    _lead(target, leading, target.name)
    api.delete(beside.cluster, beside.name)


def _is_remade(journal: journals.Journal) -> bool:
    stages = [line["stage"] for line in journal.lines if line.get("stage") in ("remade", "unmade")]
    return stages[-1:] == ["remade"]


def _remake(journal: journals.Journal, beside: transfers.Side, target: transfers.Side, leading: list[str]) -> None:
    """The destination as an empty collection of its new schema."""
    shutil.rmtree(journal.folder / SECOND, ignore_errors=True)
    schema = schemas.portable(api.schema(beside.cluster, beside.name), target.name)
    _lead(target, leading, beside.name)
    api.delete(target.cluster, target.name)
    api.create(target.cluster, schema)
    journal.note("remade")


def _lead(target: transfers.Side, leading: list[str], name: str) -> None:
    there = (api.known_aliases(target.cluster) or {}) if leading else {}
    for alias in leading:
        if alias in there and there[alias] != name:  # one that was taken away meanwhile stays away
            api.set_alias(target.cluster, alias, name)


def _fill(
    copy: copies.Copy, journal: journals.Journal, beside: transfers.Side, pace: batches.Pace, show: copies.Show
) -> None:
    """All of the one beside in the destination, proven to be the same."""
    target = copy.target
    lines = json_lines.read(journal.folder / SECOND / journals.NAME)
    second = journals.Journal(journal.folder / SECOND, journal.work, lines)
    if copy.schema_only:
        return
    if schemas.is_multi_tenant(api.schema(beside.cluster, beside.name)):
        tenants.create_like(beside.cluster, beside.name, target.cluster, target.name)
    with show("Replaced", None) as tell:
        tally = transfers.objects_of(beside, target, second, pace, lambda t: tell(t.read))
    transfers.references_of(beside, target, second, tally, lambda t: None)
    with show("Compared", None) as tell:
        found = comparisons.compare(beside, target, tell)
    if tally.failed or not found.is_none:
        journal.note("unmade")
        why = tally.failed[0].reason if tally.failed else copies.differences(found)
        raise errors.NotGood(
            f"{target.name} was not replaced as it should be: {why}",
            f"All objects are in {beside.name}. The same command goes on from there.",
        )
