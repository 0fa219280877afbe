"""Uploading an export that stands on disk, and the link that people open: which key, which address, signed or not.

The key comes from the place of the HTML in the project, so the same line of a crontab always has the same object.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from daglab import errors, files, redaction
from daglab.exported import export_record
from daglab.exporting import exports
from daglab.settings import config

if TYPE_CHECKING:  # an export that goes nowhere does without
    from daglab.storage import places

log = logging.getLogger(__name__)

TIMEOUT = 600.0  # seconds, all tries together
CONTENT_TYPE = "text/html; charset=utf-8"
PROBE = "daglab-check.html"  # never written: whether links can be signed is asked with it
_ENDINGS = (".html.gz", ".html")


def name(settings: config.Config, output: Path, *, failed: bool = False) -> str:
    """The name below the place's prefix: as the HTML lies below exports/, else in the project, else its own name.

    A failed notebook has another one (`orders.failed.html`), so that what was attached before goes on showing the good.
    """
    inside = files.inside(settings.root / "exports", output) or files.inside(settings.root, output)
    text = Path(inside).as_posix() if inside else output.name
    if not failed:
        return text
    ending = next((ending for ending in _ENDINGS if text.endswith(ending)), "")
    return f"{text.removesuffix(ending)}.failed{ending}"


def key(settings: config.Config, place: places.Place, output: Path, *, failed: bool = False) -> str:
    """The key of an export at a place; a presigned address has none but itself."""
    from daglab.storage import places

    return "" if place.scheme == "https" else places.key(place, name(settings, output, failed=failed))


def check(place: places.Place, sign: int | None) -> None:
    """Raise what refuses the place, or a link that is signed for so many seconds. Nothing is written.

    What has to be known of such a link, as that it ends with the credentials, is a warning.
    """
    from daglab.storage import objects, places

    if sign is not None and place.scheme == "https":
        raise errors.WrongUsage("A presigned address can't be signed again.", "Leave --sign out.")
    objects.check(place)
    if sign is not None:
        signed = objects.sign(place, places.key(place, PROBE), sign)
        hide(signed.url)
        if signed.note:  # once, and not for each notebook
            log.warning("%s", signed.note)


def put(settings: config.Config, place: places.Place, export: exports.Export, key: str) -> tuple[dict[str, Any], str]:
    """Upload the HTML under the key, verified: what the record says of it, and its plain link, which may be empty.

    It may be done again with the same key. Raises as `storage.objects.put`.
    """
    from daglab.storage import objects

    encoding = "gzip" if export.output.suffix == ".gz" else None
    about = {
        "notebook": quote(export_record.relative(settings.root, export.notebook), safe="/ "),
        "exportid": export.id,
        "contentsha256": content(export),
    }
    stored = objects.put(
        place,
        key,
        export.output,
        content_type=CONTENT_TYPE,
        content_encoding=encoding,
        metadata=about,
        timeout=TIMEOUT,
    )
    if stored.sha256 != export.sha256:
        raise errors.NotGood(
            f"{export.output} was changed while it was uploaded to {stored.address}.", "Export it again."
        )
    told = {"address": stored.address, "bytes": stored.bytes, "sha256": stored.sha256, "via": stored.via}
    return {**told, "content_type": CONTENT_TYPE, "content_encoding": encoding}, stored.link or ""


def signed(place: places.Place, key: str, seconds: int) -> dict[str, Any]:
    """A signed link as the record has it: `{"url", "expires_at", "seconds"}`; the URL is a secret."""
    from daglab.storage import objects

    found = objects.sign(place, key, seconds)
    hide(found.url)
    return {"url": found.url, "expires_at": found.expires_at.isoformat(), "seconds": seconds}


def hide(url: str) -> None:
    """Leave what makes a signed link a secret out of all text from now on."""
    query = urlsplit(url).query
    redaction.hide(query)
    for pair in query.split("&"):
        label, _, value = pair.partition("=")
        if redaction.looks_secret(label):
            redaction.hide(value)


def content(export: exports.Export) -> str:
    """What tells whether two exports show the same."""
    return export.content_sha256 or export.sha256
