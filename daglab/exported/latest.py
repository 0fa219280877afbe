"""Which exports the pages of assets lead to: what Dagster shows, and by the record where it can't be asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daglab import errors, parse
from daglab.attaching import observations
from daglab.deployment import dagster_api
from daglab.exported import export_copies, export_record

# The newest of each kind that are looked at: others report to assets, too.
ATTACHMENTS_QUERY = """
query Attachments($key: AssetKeyInput!, $partitions: [String!]) {
  assetNodeOrError(assetKey: $key) {
    __typename
    ... on AssetNode {
      assetObservations(limit: 50, partitions: $partitions) {
        partition description metadataEntries { __typename label ... on TextMetadataEntry { text } }
      }
      assetMaterializations(limit: 50, partitions: $partitions) {
        partition description metadataEntries { __typename label ... on TextMetadataEntry { text } }
      }
    }
    ... on AssetNotFoundError { message }
  }
}
"""


@dataclass(frozen=True)
class Linked:
    """The places that pages lead to, by what, and why Dagster was not asked of all, if so."""

    places: Mapping[str, str]
    problem: str | None = None


def linked(api: dagster_api.DagsterApi | None, root: Path, concerned: Collection[str]) -> Linked:
    """Of these places, those that an asset's page leads to: each with the name of that asset.

    Without `api`, or where it does not answer or knows of none, the record tells: the newest that was attached, and
    those of which it is not known.
    """
    pages = export_record.attached(root)
    lines = [line for line in export_record.read(root) if export_copies.places(line) & {*concerned}]
    aims = dict.fromkeys(aim for line in lines for aim in (*export_copies.aims(line), *export_copies.targets(line)))
    found: dict[str, str] = {}
    problem = None if api else "Dagster was not asked"
    for aim in [*aims, *(aim for aim in pages if aim not in aims)]:
        ids = pages[aim].ids if aim in pages else set()
        if api and problem is None and aim in aims:
            try:
                shown = ask(api, aim)
                ids = {*shown, *(pages[aim].perhaps if aim in pages else ())} if shown else ids
            except errors.DaglabError as error:
                problem = error.message.rstrip(".")
        name = export_copies.name(aim)
        found.update(dict.fromkeys(export_record.places_of(root, ids) & {*concerned}, name))
    return Linked(found, problem)


def ask(api: dagster_api.DagsterApi, aim: export_copies.Aim) -> set[str]:
    """The exports that an asset's newest observation and materialization with one tell of.

    None where the asset has none among the newest, or is none that Dagster knows. Raises as `dagster_api.query`.
    """
    target, partition = aim
    key = {"path": list(parse.asset_key(target.removeprefix("asset:")))}
    variables = {"key": key, "partitions": None if partition is None else [partition]}
    return parse_attachments(dagster_api.query(api, ATTACHMENTS_QUERY, variables), partition)


@dagster_api.reading("assetNodeOrError")
def parse_attachments(data: Mapping[str, Any], partition: str | None) -> set[str]:
    """The ids in the answer to `ATTACHMENTS_QUERY`."""
    if data["assetNodeOrError"]["__typename"] == "AssetNotFoundError":
        return set()
    node = dagster_api.expect(data, "assetNodeOrError", "AssetNode")
    found = set()
    for kind in ("assetObservations", "assetMaterializations"):
        ids = (_id(event) for event in node[kind] if event["partition"] == partition)
        found.update([next(filter(None, ids), "")])
    return found - {""}


def _id(event: Mapping[str, Any]) -> str:
    """The export that an event tells of; a renewed link has the id of its export, and a part of its own."""
    label = f"{observations.ID_LABEL}: "
    texts = [entry.get("text") for entry in event["metadataEntries"] if entry["label"] == observations.ID_LABEL]
    told = [line.removeprefix(label) for line in (event["description"] or "").splitlines() if line.startswith(label)]
    return next((text for text in (*texts, *told) if text), "").partition("+")[0]
