"""Whether a collection can be moved to where it is to go; nothing is changed."""

from __future__ import annotations

from typing import Any

from daglab import errors
from daglab.weaviate import api, placement, schemas, transfers

OLDEST = (1, 30)


def check(source: transfers.Side, target: transfers.Side) -> dict[str, Any]:
    """The source's schema. Raises `WrongUsage`, `Taken`, `InvalidInput` or `NotSetUp` for what can't be."""
    schemas.check_name(target.name)
    if (source.cluster.url, source.name) == (target.cluster.url, target.name):
        raise errors.WrongUsage("That is where it is.", "Name another cluster (--target), or another name (--as).")
    schema = api.schema(source.cluster, source.name)
    if schema["class"] != source.name:
        raise errors.WrongUsage(
            f"{source.name} is an alias of {schema['class']}.", f"Name {schema['class']} itself, and --alias."
        )
    for side in (source, target):
        if api.version(side.cluster)[:2] < OLDEST:
            raise errors.NotSetUp(f"{side.cluster.name} is older than Weaviate 1.30.", "Upgrade it first.")
    placement.refuse_taken(target.cluster, target.name, "Choose another name with --as, or delete it.")
    placement.check(target.cluster, schemas.portable(schema, target.name))
    return schema


def check_alias(target: transfers.Side, alias: str) -> str | None:
    """Where an alias leads to now. Raises `NotSetUp` before 1.32, `WrongUsage` where it can't be one."""
    leads = api.known_aliases(target.cluster)
    if leads is None:
        raise errors.NotSetUp(
            f"{target.cluster.name} has no aliases: they came with Weaviate 1.32.", "Upgrade it, or leave out --alias."
        )
    if not schemas.NAME.fullmatch(alias):
        raise errors.WrongUsage(f"{alias!r} can't be an alias.", "It begins with A-Z; then letters, digits and _.")
    if alias == target.name or (alias not in leads and api.exists(target.cluster, alias)):
        raise errors.WrongUsage(f"{alias} is the name of a collection there.", "An alias needs a name of its own.")
    return leads.get(alias)
