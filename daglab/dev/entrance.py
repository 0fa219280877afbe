"""The way into marimo: its token, and a page that leads there with it, in files that only the user can read."""

from __future__ import annotations

import secrets
from html import escape
from pathlib import Path
from urllib.parse import quote

from daglab import files

TOKEN = Path(".daglab/marimo.token")
PAGE = Path(".daglab/marimo.html")


def make_token(root: Path) -> str:
    """marimo's token, anew, and written to its file."""
    token = secrets.token_urlsafe(24)
    files.write_atomic(root / TOKEN, token, mode=0o600, follow=False)
    return token


def write_page(root: Path, url: str, token: str) -> str:
    """The address of a page that leads to marimo with the token: an address with it would stand in argument lists."""
    target = escape(f"{url}/?access_token={quote(token)}")
    head = '<meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>marimo</title>'
    page = f'<!doctype html>{head}<meta http-equiv="refresh" content="0; url={target}"><a href="{target}">marimo</a>\n'
    files.write_atomic(root / PAGE, page, mode=0o600, follow=False)
    return (root / PAGE).as_uri()


def close(root: Path) -> None:
    """Take both files away."""
    for path in (root / TOKEN, root / PAGE):
        path.unlink(missing_ok=True)
