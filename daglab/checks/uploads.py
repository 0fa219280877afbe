"""Whether exports can be uploaded where the config says."""

from __future__ import annotations

from daglab.checks import findings
from daglab.storage import objects, places


def target(inquiry: findings.Inquiry) -> findings.Finding:
    """The place of export.cloud_storage answers, and lets us in. Nothing is written there."""
    place = places.from_config(inquiry.settings)
    if place is None:
        return findings.skipped("export.cloud_storage is not set.")
    return findings.ok(objects.check(place, inquiry.left))
