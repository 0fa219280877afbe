"""What an export says of itself on an asset's page: the entries, by which ways, and the code that does so later.

Only records: what sends them is `attach`, with all that it needs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WAYS = ("instance", "rest", "graphql")
COMPUTE = "compute"
TITLE = "Notebook export"
ID_LABEL = "daglab/export_id"
KINDS = ("url", "path", "text", "int", "float", "bool", "json", "timestamp")


@dataclass(frozen=True)
class Target:
    """What something is attached to: an asset, perhaps one partition of it."""

    asset: tuple[str, ...]
    partition: str | None = None

    @property
    def name(self) -> str:
        """As it is recorded and shown: `asset:a/b`; the partition stands beside it."""
        return f"asset:{'/'.join(self.asset)}"


@dataclass(frozen=True)
class Entry:
    """One piece of metadata. `kind` is a maker of dagster.MetadataValue: one of KINDS.

    A timestamp's value is ISO 8601 text, that of json a list or a mapping.
    """

    label: str
    kind: str
    value: Any

    @property
    def text(self) -> str:
        """The value on one line."""
        return json.dumps(self.value, ensure_ascii=False) if self.kind == "json" else str(self.value)


@dataclass(frozen=True)
class Observation:
    """What is attached: the asset, the id to find it again by, the link, and the entries; `title` says what it is."""

    asset: tuple[str, ...]
    id: str
    link: str | None
    entries: tuple[Entry, ...]
    partition: str | None = None
    title: str = TITLE

    @property
    def description(self) -> str:
        """A line for where only text is shown."""
        return f"{self.title}: {self.link}" if self.link else self.title

    @property
    def full_description(self) -> str:
        """All of it, a line each, for where nothing but text can be stored."""
        return "\n".join([self.description, *(f"{entry.label}: {entry.text}" for entry in self.entries)])

    @property
    def metadata(self) -> dict[str, Any]:
        """The values by label, for where they are told from their JSON alone."""
        return {entry.label: entry.value for entry in self.entries}


@dataclass(frozen=True)
class Evaluation:
    """What an asset check is told: whether the notebook was good, the id to find it again by, and the entries."""

    asset: tuple[str, ...]
    check: str
    id: str
    passed: bool
    entries: tuple[Entry, ...]
    description: str = ""


@dataclass(frozen=True)
class Attached:
    """What was read back: the way taken, the link, and Dagster's type of it (UrlMetadataEntry can be clicked)."""

    via: str
    link: str | None
    link_type: str | None


def snippet(targets: Sequence[Target]) -> str:
    """The code that makes assets attach their newest export themselves, when they next run."""
    lines = []
    for target in targets or [Target(("KEY",))]:
        more = "" if target.partition is None else f", partition={target.partition!r}"
        name = "/".join(target.asset)
        lines.append(f"    context.add_output_metadata(exploration_metadata({name!r}{more}))")
    return "\n".join(["from daglab.helpers import exploration_metadata", "", "# in the asset's function:", *lines])
