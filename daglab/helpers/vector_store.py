"""A Weaviate collection that a pipeline fills: its figures, some of its objects, a search, and what to tell Dagster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daglab import scales
from daglab.helpers import display
from daglab.settings import config
from daglab.weaviate import api, clusters, rest, schemas, searches, store
from daglab.weaviate.measuring import measures

MOST_COLUMNS = 8
LONGEST_TEXT = 120  # characters of a value in a table


@dataclass(frozen=True)
class Collection(display.Shown):
    """A collection as it was when it was asked for: its schema and its figures."""

    cluster: rest.Cluster = field(repr=False, compare=False)
    schema: Mapping[str, Any] = field(repr=False)
    figures: measures.Measure

    @property
    def name(self) -> str:
        """Its name."""
        return self.figures.name

    @property
    def properties(self) -> list[str]:
        """The properties that are text, numbers, dates or lists of these."""
        return searches.plain_properties(self.schema)

    @property
    def vectors(self) -> list[str]:
        """The names of its vectors; empty for the one without a name."""
        return [each.name for each in self.figures.vectors if each.name]

    @property
    def tenants(self) -> list[str]:
        """Its tenants that are active; none where it has no tenants."""
        if not schemas.is_multi_tenant(self.schema):
            return []
        return [name for name, status in api.tenants(self.cluster, self.name).items() if status == measures.ACTIVE]

    def html(self) -> str:
        """Its figures, and a table of its properties."""
        rows = [
            (each["name"], ", ".join(each["dataType"]), each.get("description"))
            for each in self.schema.get("properties") or ()
        ]
        listed = display.table(("property", "type", "about"), rows, empty="It has no properties.")
        return display.card(self.name, self.schema.get("description"), self._facts()) + listed

    def __str__(self) -> str:
        facts = ", ".join(f"{name} {value}" for name, value in self._facts().items() if value)
        return f"{self.name}: {facts}"

    def _facts(self) -> dict[str, str]:
        figures = self.figures
        uncounted = f", and those of {figures.uncounted} tenants that are not active" if figures.uncounted else ""
        return {
            "cluster": self.cluster.name,
            "objects": "" if figures.objects is None else scales.figure(figures.objects) + uncounted,
            "not counted": figures.problem or "",
            "tenants": "" if figures.tenants is None else str(sum(figures.tenants.values())),
            "vectors": "; ".join(map(_vector, figures.vectors)),
            "shards": "" if figures.shards is None else str(figures.shards),
            "replicas": str(figures.replicas),
        }


class Objects(display.Listing[Mapping[str, Any]]):
    """Objects of a collection, each with `id`, `properties`, and of a search `score` or `distance`."""

    def _table(self) -> tuple[Sequence[str], list[Sequence[Any]]]:
        named = list(dict.fromkeys(key for each in self for key in each.get("properties") or {}))[:MOST_COLUMNS]
        figure = next((key for key in ("score", "distance") if self and key in self[0]), None)
        rows: list[Sequence[Any]] = [
            (
                each["id"],
                *([f"{each[figure]:.4g}"] if figure else []),
                *(_short((each.get("properties") or {}).get(key)) for key in named),
            )
            for each in self
        ]
        return ("id", *([figure] if figure else []), *named), rows


def collection(name: str, *, cluster: str | None = None, directory: Path | str | None = None) -> Collection:
    """A Weaviate collection, with its figures as they are now.

    `cluster` is one of weaviate.clusters in the config of the project around `directory` (default: the current one), or
    an address; by default the only one, or the one called `default`. Raises `DaglabError`.
    """
    settings = config.load(directory=None if directory is None else Path(directory))
    there = clusters.connect(settings, cluster)
    schema = api.schema(there, name)
    [figures] = measures.collect(there, [name])
    return Collection(there, schema, figures)


def collection_objects(found: Collection, *, limit: int = 20, after: str = "", tenant: str | None = None) -> Objects:
    """Some objects of a collection, in the order of their ids, behind the id `after`. Raises `DaglabError`."""
    page = store.page(found.cluster, found.name, after, limit, tenant=tenant, vectors=False)
    return Objects({"id": each["id"], "properties": each.get("properties") or {}} for each in page.objects)


def search_collection(
    found: Collection,
    *,
    text: str | None = None,
    like: str | None = None,
    vector: str | None = None,
    tenant: str | None = None,
    limit: int = 10,
) -> Objects:
    """The best objects of a collection, by the words of `text` or by likeness to the object with the id `like`.

    `vector` is which of several vectors is compared. Raises `DaglabError`.
    """
    return Objects(
        searches.search(found.cluster, found.schema, text=text, like=like, vector=vector, tenant=tenant, limit=limit)
    )


def collection_metadata(
    name: str, *, cluster: str | None = None, directory: Path | str | None = None
) -> dict[str, Any]:
    """What to tell of a Weaviate collection with a materialization, as Dagster's own values by label.

    For the code of the asset that fills it: `context.add_output_metadata(collection_metadata("Docs"))`. The cluster is
    named as for `collection`. `dagster/row_count` is the exact number of objects, left out where tenants that are not
    active may have more. Needs dagster. Raises `DaglabError`: a count that can't be read is never 0.
    """
    import dagster

    found = collection(name, cluster=cluster, directory=directory)
    figures = found.figures
    if figures.problem is not None:
        message = f"The objects of {name} could not be counted: {figures.problem}"
        raise rest.Failed(message, "Its server's log says why.")
    told: dict[str, Any] = {
        "collection": dagster.MetadataValue.text(name),
        "cluster": dagster.MetadataValue.text(found.cluster.name),
    }
    if figures.objects is not None:
        told["objects in active tenants" if figures.uncounted else "dagster/row_count"] = dagster.MetadataValue.int(
            figures.objects
        )
    if figures.tenants is not None:
        told["tenants"] = dagster.MetadataValue.int(sum(figures.tenants.values()))
    for each in figures.vectors:
        if each.dimensions is not None:
            label = f"dimensions of {each.name}" if each.name else "dimensions"
            told[label] = dagster.MetadataValue.int(each.dimensions)
    return told


def _vector(each: measures.Vector) -> str:
    size = "no object with it" if each.dimensions is None else f"{each.dimensions} dimensions"
    return f"{each.name + ': ' if each.name else ''}{size}, {each.index}"


def _short(value: object) -> str:
    """A value in a table."""
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
