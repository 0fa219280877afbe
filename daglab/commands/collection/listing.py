"""`daglab collections ls` and `show`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from daglab import errors, output, scales
from daglab.commands.collection import options
from daglab.settings import config

if TYPE_CHECKING:
    from daglab.weaviate import rest
    from daglab.weaviate.measuring import measures

HEADERS = ("Collection", "Objects", "Tenants", "Vectors", "Shards", "Replicas", "Protected")


def row(settings: config.Config, found: measures.Measure) -> dict[str, Any]:
    """A collection in a list."""
    from daglab.weaviate import protection

    return {
        "name": found.name,
        "objects": found.objects,
        "tenants": dict(found.tenants) if found.tenants is not None else None,
        "uncounted_tenants": found.uncounted,
        "vectors": [{"name": each.name, "index": each.index} for each in found.vectors],
        "shards": found.shards,
        "replicas": found.replicas,
        "protected": protection.pattern_of(settings, found.name),
    }


def _shown(each: Mapping[str, Any]) -> tuple[str, ...]:
    objects = "-" if each["objects"] is None else scales.figure(each["objects"])
    vectors = ", ".join(f"{vector['name'] or ''} {vector['index']}".strip() for vector in each["vectors"])
    return (
        each["name"],
        f"{objects}+" if each["uncounted_tenants"] else objects,
        "" if each["tenants"] is None else str(sum(each["tenants"].values())),
        vectors or "-",
        "-" if each["shards"] is None else str(each["shards"]),
        str(each["replicas"]),
        each["protected"] or "",
    )


def refuse_uncounted(found: Sequence[measures.Measure], document: Mapping[str, Any]) -> None:
    """Raise `Unreachable`, with what is known, where the objects of a collection could not be counted."""
    failed = [each for each in found if each.problem]
    if failed:
        names = ", ".join(each.name for each in failed[:5])
        raise errors.Unreachable(
            f"The objects of {names} could not be counted: {failed[0].problem}",
            "`daglab collections health` looks for why.",
            result=document,
        )


@click.command(name="ls")
@options.cluster_options
@output.env_option
@output.json_option
def ls_command(cluster: str | None, auth: str | None, as_json: bool) -> None:
    """List the collections of a cluster.

    Objects are counted exactly. A `+` says that there are tenants that are not active, whose objects can't be counted.

    \b
    Examples:
      daglab collections ls
      daglab collections ls --cluster http://127.0.0.1:8080 --json
    """
    from daglab.weaviate import clusters
    from daglab.weaviate.measuring import measures

    settings = config.load(output.flags())
    there = clusters.connect(settings, cluster, auth)
    found = measures.look(there, vectors=False).measures
    rows = [row(settings, each) for each in found]
    document = {"ok": True, "cluster": there.name, "collections": rows}
    if not as_json:
        output.table([_shown(each) for each in rows], HEADERS)
        if not rows:
            output.note(f"There is none in {there.name}. `daglab collections create NAME` makes one.")
    refuse_uncounted(found, document)
    if as_json:
        output.document(document)


@click.command(name="show")
@click.argument("name")
@click.option("--schema", "only_schema", is_flag=True, help="Print its schema alone, as JSON.")
@options.cluster_options
@output.env_option
@output.json_option
def show_command(name: str, only_schema: bool, cluster: str | None, auth: str | None, as_json: bool) -> None:
    """Show one collection: its properties, vectors, shards, aliases and how many objects it has.

    \b
    Examples:
      daglab collections show Docs
      daglab collections show Docs --schema > docs.json
    """
    from daglab.weaviate import api, clusters
    from daglab.weaviate.measuring import measures

    settings = config.load(output.flags())
    there = clusters.connect(settings, cluster, auth)
    schema = api.schema(there, name)
    if only_schema:
        _show_schema(schema, as_json)
        return
    [found] = measures.collect(there, [name])
    document = {
        "ok": True,
        "cluster": there.name,
        **row(settings, found),
        "aliases": _aliases(there, name),
        "vectors": [{"name": each.name, "index": each.index, "dimensions": each.dimensions} for each in found.vectors],
        "schema": schema,
    }
    if not as_json:
        _show(document)
    refuse_uncounted([found], document)
    if as_json:
        output.document(document)


def _show_schema(schema: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        output.document({"ok": True, "schema": schema})
    else:
        output.text(json.dumps(schema, indent=2, ensure_ascii=False))


def _aliases(there: rest.Cluster, name: str) -> list[str] | None:
    """The aliases that lead to a collection; None where the server knows none (before 1.32)."""
    from daglab.weaviate import api

    known = api.known_aliases(there)
    return None if known is None else sorted(alias for alias, to in known.items() if to == name)


def _show(found: Mapping[str, Any]) -> None:
    listed = _shown(found)
    for label, value in zip(HEADERS, listed, strict=True):
        if label != "Vectors" and value:
            output.data(f"{label:<12}{value}")
    if found["aliases"]:
        output.data(f"{'Aliases':<12}{', '.join(found['aliases'])}")
    for each in found["vectors"]:
        dimensions = "-" if each["dimensions"] is None else each["dimensions"]
        named = f"{each['name']}: " if each["name"] else ""
        output.data(f"{'Vector':<12}{named}{each['index']}, {dimensions} dimensions")
    if described := found["schema"].get("description"):
        output.data(f"{'About':<12}{described}")
    rows = [
        (each["name"], ", ".join(each["dataType"]), _indexed(each), each.get("description") or "")
        for each in found["schema"].get("properties") or ()
    ]
    if rows:
        output.data("")
        output.table(rows, ("Property", "Type", "Index", "About"))


def _indexed(prop: Mapping[str, Any]) -> str:
    """How a property is indexed, in words."""
    kinds = {"filterable": "indexFilterable", "searchable": "indexSearchable", "ranges": "indexRangeFilters"}
    words = [word for word, key in kinds.items() if prop.get(key)]
    tokens = f" by {prop['tokenization']}" if prop.get("indexSearchable") and prop.get("tokenization") else ""
    return ", ".join(words) + tokens
