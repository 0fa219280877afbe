"""The dashboard's page: its parts from what is known, the whole of it, and the policy that it is shown under."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import markupsafe

from daglab import redaction, render, scales, snapshot
from daglab.dashboard import drawing, published
from daglab.exported import export_record
from daglab.weaviate.measuring import looks

FOLDER = "dashboard"
SECONDS = 5  # between two looks of a page
MOST_EXPORTS = 50
LABELS = {
    "numbers": "Numbers",
    "health": "Health",
    "dagster": "Dagster",
    "collections": "Collections",
    "runs": "Runs in flight",
    "charts": "Over time",
    "timeline": "The last 24 hours",
    "operations": "Last operations",
    "usage": "Usage by model and kind",
    "exports": "Exports",
    "dev": "Development environment",
    "storage": "Storage",
}

Values = Mapping[str, Any]


def parts(found: Values, health: Values | None, exports: Sequence[Values], *, served: bool) -> dict[str, str]:
    """Each part of the page as HTML, by its name. `served` says whether the exports can be reached from here."""
    now = datetime.now().astimezone()
    values: dict[str, dict[str, Any]] = {
        "numbers": {"tiles": _tiles(found), "is_pending": found["all"] is None},
        "health": {"health": health, "problems": found["problems"]},
        "dagster": {"there": found["dagster"], "models": found["models"]},
        "collections": {"clusters": _clusters(found["clusters"])},
        "runs": {"there": found["dagster"], "moment": moment, "link": _link},
        "charts": {"drawn": [markupsafe.Markup(each) for each in drawing.over_time(found["series"], now)]},  # noqa: S704 (our own SVG)
        "timeline": {"lanes": _lanes(found.get("lanes") or (), now)},
        "operations": {"operations": found["operations"], "moment": moment, "took": took},
        "usage": {
            "rows": _usage(found),
            "drawn": [markupsafe.Markup(each) for each in drawing.usage(found["all"])],  # noqa: S704
        },
        "exports": {"rows": _exports(exports, served=served), "more": max(0, len(exports) - MOST_EXPORTS)},
        "dev": {"there": found["dev"], "services": _services(found["dev"])},
        "storage": {"disk": found["disk"], "exports": found["exports"], "size": size, "moment": moment},
    }
    if found["clusters"] == []:  # the config names none
        del values["collections"]
    return {name: redaction.clean(_part(name, each)) for name, each in values.items()}


def page(found: Values, health: Values | None, drawn: Mapping[str, str], *, served: bool) -> str:
    """The whole page around its parts; one that is served goes on by itself, by its script."""
    at = datetime.now().astimezone()
    text = render.page(
        f"{FOLDER}/page.html.j2",
        project=str(found["project"]).rstrip("/").rpartition("/")[2] or "project",
        folder=str(found["project"]),
        status=(health or {}).get("status") or "unknown",
        at=f"{at:%Y-%m-%d %H:%M:%S}",
        zone=f"{at:%Z}",
        parts={
            name: {"html": markupsafe.Markup(html), "mark": mark(html)}  # noqa: S704 (made above)
            for name, html in drawn.items()
        },
        labels=LABELS,
        seconds=SECONDS,
        sheet=markupsafe.Markup(sheet()),  # noqa: S704 (files of our own)
        script=markupsafe.Markup(script()) if served else None,  # noqa: S704
        policy=None if served else policy(served=False),
    )
    return redaction.clean(text)


def policy(*, served: bool) -> str:
    """The Content-Security-Policy of the page: its own sheet and script by their hashes, and nothing else."""
    rules = [
        "default-src 'none'",
        f"style-src '{_hash(sheet())}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    if served:
        rules += [f"script-src '{_hash(script())}'", "connect-src 'self'", "frame-ancestors 'none'"]
    return "; ".join(rules)


def sheet() -> str:
    """The page's style sheet."""
    return (render.TEMPLATES / FOLDER / "page.css").read_text(encoding="utf-8")


def script() -> str:
    """The page's script."""
    return (render.TEMPLATES / FOLDER / "page.js").read_text(encoding="utf-8")


def mark(html: str) -> str:
    """What tells a part from another one."""
    return hashlib.sha256(html.encode("utf-8", "replace")).hexdigest()[:16]


def moment(text: str | None) -> str:
    """A time as it is here, as short as it can be."""
    at = export_record.time_of(text)
    if at is None:
        return ""
    here = at.astimezone()
    return f"{here:%H:%M:%S}" if here.date() == datetime.now().date() else f"{here:%Y-%m-%d %H:%M}"


def took(seconds: float | None) -> str:
    """A duration, nothing for None."""
    return "" if seconds is None else scales.figure(seconds, "s")


def size(amount: float) -> str:
    """Bytes as people read them."""
    return scales.figure(amount, "bytes")


def _part(name: str, values: Mapping[str, Any]) -> str:
    return render.page(f"{FOLDER}/{name}.html.j2", **values).strip()


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _tiles(found: Values) -> list[dict[str, str]]:
    """What is counted today, with the figure of all time below it."""
    today, every = found["today"], found["all"]
    if not today or not every:
        return []
    pick: list[tuple[str, Callable[[Values], float | None], str]] = [
        ("operations", lambda each: each["events"], ""),
        ("failed", lambda each: each["failed"], ""),
        ("success", lambda each: None if each["success_rate"] is None else 100 * each["success_rate"], "%"),
        ("median time", lambda each: each["seconds"]["p50"], "s"),
        ("95th percentile", lambda each: each["seconds"]["p95"], "s"),
        ("runs launched", lambda each: each["runs"]["launched"], ""),
        ("requests", lambda each: each["requests"]["n"], ""),
        ("failed requests", lambda each: each["requests"]["errors"], ""),
    ]
    return [
        {"name": name, "today": _told(value(today), unit), "all": _told(value(every), unit)}
        for name, value, unit in pick
    ]


def _told(value: float | None, unit: str) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.4g} %" if unit == "%" else scales.figure(value, unit)


def _lanes(operations: Sequence[Values], now: datetime) -> list[dict[str, Any]]:
    return [{**lane, "svg": markupsafe.Markup(lane["svg"])} for lane in drawing.lanes(operations, now)]  # noqa: S704


def _usage(found: Values) -> list[dict[str, str]]:
    """A row for each counter, model and kind: today's amount, and all of it."""
    amounts: dict[tuple[str, str, str], list[float]] = {}
    for column, name in enumerate(("today", "all")):
        for row in snapshot.by_model(found[name]):
            for kind, amount in row["kinds"].items():
                amounts.setdefault((row["model"] or "", row["name"], kind), [0, 0])[column] = amount
    return [
        {"model": key[0], "name": key[1], "kind": key[2], "today": scales.figure(one), "all": scales.figure(both)}
        for key, (one, both) in sorted(amounts.items(), key=lambda each: (not each[0][0], each[0]))
    ]


def _exports(lines: Sequence[Values], *, served: bool) -> list[dict[str, Any]]:
    return [
        {
            "output": line["output"],
            "href": published.address(dict(line)) if served else _link(line.get("link")),
            "notebook": str(line.get("notebook") or ""),
            "targets": ", ".join(str(each) for each in line.get("targets") or [] if isinstance(each, str)),
            "at": moment(line.get("exported_at")),
            "size": size(line["bytes"]),
            "ok": line.get("ok") is True,
            "expires": moment(line.get("expires_at")) or "never",
        }
        for line in lines[:MOST_EXPORTS]
    ]


def _clusters(clusters: Sequence[Values] | None) -> list[dict[str, Any]] | None:
    """Each cluster with rows of its collections; None where nothing is known of them yet."""
    if clusters is None:
        return None
    return [
        {
            **cluster,
            "more": max(0, (cluster["total"] or 0) - len(cluster["collections"])),
            "collections": [
                {
                    **each,
                    "objects": _told(each["objects"], "") + ("+" if each["uncounted_tenants"] else ""),
                    "well": each["health"] == looks.OK,
                }
                for each in cluster["collections"]
            ],
        }
        for cluster in clusters
    ]


def _services(dev: Values | None) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "alive": each["alive"],
            "memory": size(each["memory_bytes"]) if "memory_bytes" in each else "",
            "cpu": f"{each['cpu_percent']:.0f} %" if "cpu_percent" in each else "",
            "href": _link(each.get("url")),
            "url": str(each.get("url") or ""),
        }
        for name, each in (dev or {}).items()
        if isinstance(each, dict) and "alive" in each
    ]


def _link(address: object) -> str | None:
    """An address that a link may have: only the web's lead anywhere."""
    if not isinstance(address, str):
        return None
    try:
        parsed = urlsplit(address)
    except ValueError:
        return None
    return address if parsed.scheme in ("http", "https") and parsed.netloc else None
