"""Where an export is seen, and a page that leads to a signed link."""

from __future__ import annotations

import webbrowser
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from daglab import errors, files
from daglab.exported import export_record, listing

PAGE = Path(".daglab", "export.html")
SIGNED, FILE, LINK = "signed", "file", "link"


def address(root: Path, row: dict[str, Any], now: datetime) -> tuple[str, str]:
    """Where an export is seen, and of which kind that is: `signed`, `file`, `link`. Raises `NotGood` for nowhere."""
    signed = listing.line_of(root, row["id"]).get("signed")
    until = export_record.time_of(row["signed_until"])
    if row["uploaded"] and isinstance(signed, dict) and until and until > now and _is_web(signed.get("url")):
        return signed["url"], SIGNED
    if path := listing.is_there(root, row["output"]):
        return path.absolute().as_uri(), FILE
    if _is_web(row["link"]) and not row["gone"]:
        return row["link"], LINK
    again = f"Export it again: daglab export {row['notebook'] or 'NOTEBOOK'}"
    raise errors.NotGood(f"{row['output'] or row['id']} is not there any more.", again)


def leading_to(root: Path, url: str) -> str:
    """The address of a page, for the user alone, that leads to a link: an address stands in the browser's arguments."""
    target = escape(url)
    head = '<meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>export</title>'
    page = f'<!doctype html>{head}<meta http-equiv="refresh" content="0; url={target}"><a href="{target}">export</a>\n'
    files.write_atomic(root / PAGE, page, mode=0o600, follow=False)
    return (root / PAGE).absolute().as_uri()


def show(address: str) -> str | None:
    """Open an address in the user's browser; why that could not be done, None when it was."""
    try:
        return None if webbrowser.open(address) else "it did not start"
    except (webbrowser.Error, OSError) as error:
        return str(error)


def _is_web(address: object) -> bool:
    return isinstance(address, str) and address.startswith(("https://", "http://"))
