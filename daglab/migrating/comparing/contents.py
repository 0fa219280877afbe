"""What a rich output holds, whoever shows it: its words, what its HTML and its pictures come from, its JSON."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from daglab.migrating.keeping import printed

_DRAWN = "image/svg+xml"
_BINARY = ("image/png", "image/jpeg", "image/gif", "image/webp")
# What is never closed is taken to the end, so that no text takes long.
_SOURCE = re.compile(r"\ssrc\s*=\s*(?:'([^']*)(?:'|\Z)|\"([^\"]*)(?:\"|\Z))")
_JSON = re.compile(r"<marimo-json-output data-json-data='([^']*)(?:'|\Z)")


def words(each: Mapping[str, Any]) -> str:
    """The words that somebody reads of what is shown, without marks."""
    if "marimo" in each:
        text = printed.words_of(each["marimo"].get("html", ""))
    else:
        rich = each["data"].get("text/html") or each["data"].get("text/markdown") or each["data"].get("text/latex")
        text = printed.words_of(rich) if rich else each["text"] or ""
    return " ".join(re.findall(r"\w+", text))


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether what IPython has shown and what marimo shows hold the same, and hold anything."""
    held = _held(one)
    return any(held) and held == _held(other)


def _held(each: Mapping[str, Any]) -> tuple[str, list[str], Any]:
    data = each["data"]
    page = each["marimo"].get("html", "") if "marimo" in each else data.get("text/html") or data.get(_DRAWN) or ""
    sources = [html.unescape(first or second) for first, second in _SOURCE.findall(page)]
    sources += [f"data:{kind};base64,{text}" for kind, text in data.items() if kind in _BINARY]
    if "<svg" in page:
        sources.append(page[page.find("<svg") : page.rfind("</svg>")])
    found = _JSON.search(page)
    values = html.unescape(found[1]) if found else data.get("application/json", "")
    named = each["text"] if each["text"] and not each["text"].startswith("<IPython.") else None
    text = words({**each, "text": named, "data": {**data, "text/html": page}})
    return text, sorted("".join(source.split()) for source in sources), _read(values)


def _read(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text
