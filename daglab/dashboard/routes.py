"""What the dashboard answers to a path: its page, its parts, health, metrics, the snapshot, the exports on record."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import unquote_to_bytes

from daglab import redaction
from daglab.dashboard import board, pages, published
from daglab.figures import exposition

PATIENCE = 0.5  # seconds that a page is kept waiting for what is not known yet
LONG_PATIENCE = 20.0  # for who asks for nothing else
HTML, JSON, PLAIN = "text/html; charset=utf-8", "application/json; charset=utf-8", "text/plain; charset=utf-8"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# No origin: a notebook's script reaches neither this server's answers nor what another page of it keeps.
EXPORTED = "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox; frame-ancestors 'none'"
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Answer:
    """What is sent back; the headers come on top of `SECURITY`."""

    status: int
    kind: str
    content: bytes
    policy: str = NOTHING
    headers: dict[str, str] = field(default_factory=dict)

    def fields(self) -> dict[str, str]:
        """All headers but those of the transport."""
        return {"Content-Type": self.kind, "Content-Security-Policy": self.policy, **SECURITY, **self.headers}


def answer(what: board.Board, target: str) -> Answer:
    """The answer to a GET of `target`, as it stands in the request. Writes nothing."""
    path = decoded(target)
    if path is None:
        return refused(400, "The path can't be read.")
    if path in ("/", "/dashboard"):
        return _page(what)
    if path == "/parts":
        return _parts(what)
    if path == "/health":
        return _json(200, {"check": "alive", "status": "ok", "detail": "The dashboard answers.", "ms": 0})
    if path.startswith("/health/"):
        return _health(what, path.removeprefix("/health/"))
    if path == "/metrics":
        return _metrics(what)
    if path == "/api/snapshot":
        return _json(200, {"ok": True, **_shown(board.document(what, LONG_PATIENCE))})
    return _export(what, path.removeprefix("/"))


def decoded(target: str) -> str | None:
    """The path of a request, its escapes undone once; None for what can be no path of ours."""
    path = target.partition("?")[0].partition("#")[0]
    try:
        text = unquote_to_bytes(path.encode("latin-1")).decode("utf-8")
    except UnicodeError:
        return None
    return text if text.startswith("/") and text.isprintable() and "\\" not in text else None


def refused(status: int, text: str, **headers: str) -> Answer:
    """An answer in a sentence, for whoever asked for what is not there."""
    return Answer(
        status, PLAIN, f"{text}\n".encode(), headers={name.replace("_", "-"): headers[name] for name in headers}
    )


def whole(what: board.Board, patience: float, *, served: bool) -> str:
    """The page as one HTML; what is not known after so many seconds says so."""
    found, health, parts = _drawn(what, patience, served=served)
    return pages.page(found, health, parts, served=served)


def _drawn(
    what: board.Board, patience: float, *, served: bool
) -> tuple[dict[str, Any], dict[str, Any] | None, dict[str, str]]:
    health = board.health(what, board.READY, 0.0)  # begun before the rest is waited for
    found = board.document(what, patience)
    health = health or board.health(what, board.READY, patience)
    exports = published.listed(what.settings.root, datetime.now(timezone.utc))
    return found, health, pages.parts(found, health, exports, served=served)


def _page(what: board.Board) -> Answer:
    text = whole(what, PATIENCE, served=True)
    return Answer(200, HTML, text.encode("utf-8", "replace"), pages.policy(served=True))


def _parts(what: board.Board) -> Answer:
    found, health, parts = _drawn(what, PATIENCE, served=True)
    return _json(
        200,
        {
            "at": f"{datetime.fromisoformat(found['at']):%Y-%m-%d %H:%M:%S}",
            "pending": bool(found["pending"]) or health is None,
            "status": (health or {}).get("status") or "unknown",
            "parts": {name: {"html": html, "mark": pages.mark(html)} for name, html in parts.items()},
        },
    )


def _health(what: board.Board, name: str) -> Answer:
    if name not in what.checks:
        return _json(404, {"check": name, "status": "unknown", "detail": "There is no such check.", "ms": 0})
    found = board.health(what, name, LONG_PATIENCE)
    if found is None:
        found = {"check": name, "status": "down", "detail": "The check has not come to an end.", "ms": None}
    return _json(503 if found["status"] == "down" else 200, found)


def _metrics(what: board.Board) -> Answer:
    figures = (what.figures.get(LONG_PATIENCE) or {}).get("all")
    if figures is None:
        return refused(503, "The events could not be read yet.", Retry_After="5")
    return Answer(200, EXPOSITION, redaction.clean(exposition.text(figures)).encode("utf-8", "replace"))


def _export(what: board.Board, path: str) -> Answer:
    page = published.find(what.settings.root, path, datetime.now(timezone.utc)) if path else None
    if page is None:
        return refused(404, "There is nothing here. The dashboard is at /.")
    packed = {"Content-Encoding": "gzip"} if page.is_compressed else {}
    return Answer(200, HTML, page.content, EXPORTED, packed)


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in ("lanes", "series")}


def _json(status: int, document: dict[str, Any]) -> Answer:
    text = json.dumps(redaction.clean_values(document), ensure_ascii=False, default=str)
    return Answer(status, JSON, f"{text}\n".encode("utf-8", "replace"))
