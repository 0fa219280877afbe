"""What an export says of itself on an asset's page: the entries, by which ways, and the code that does so later.

Only records: what sends them is `attach`, with all that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WAYS = ("instance", "rest", "graphql")
COMPUTE = "compute"
ID_LABEL = "daglab/export_id"
KINDS = ("url", "path", "text", "int", "float", "timestamp")


@dataclass(frozen=True)
class Entry:
    """One piece of metadata. `kind` is a maker of dagster.MetadataValue: url, path, text, int, float, timestamp.

    A timestamp's value is ISO 8601 text.
    """

    label: str
    kind: str
    value: str | int | float


@dataclass(frozen=True)
class Observation:
    """What is attached: the asset, the id to find it again by, the link, and the entries; `title` says what it is."""

    asset: tuple[str, ...]
    id: str
    link: str | None
    entries: tuple[Entry, ...]
    partition: str | None = None
    title: str = "Notebook export"

    @property
    def description(self) -> str:
        """A line for where only text is shown."""
        return f"{self.title}: {self.link}" if self.link else self.title

    @property
    def full_description(self) -> str:
        """All of it, a line each, for where nothing but text can be stored."""
        return "\n".join([self.description, *(f"{entry.label}: {entry.value}" for entry in self.entries)])


@dataclass(frozen=True)
class Attached:
    """What was read back: the way taken, the link, and Dagster's type of it (UrlMetadataEntry can be clicked)."""

    via: str
    link: str | None
    link_type: str | None


def snippet(keys: Sequence[tuple[str, ...]], partition: str | None) -> str:
    """The code that makes assets attach their newest export themselves, when they next run."""
    more = "" if partition is None else f", partition={partition!r}"
    names = ["/".join(key) for key in keys] or ["KEY"]
    lines = [f"    context.add_output_metadata(exploration_metadata({name!r}{more}))" for name in names]
    return "\n".join(["from daglab.helpers import exploration_metadata", "", "# in the asset's function:", *lines])
