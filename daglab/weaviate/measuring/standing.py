"""How the clusters of a project stand: each with its version and its collections, within a given time."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from daglab import errors, parse
from daglab.settings import config
from daglab.weaviate import api, clusters, rest, together
from daglab.weaviate.measuring import looks, measures

MOST = 20  # collections that are counted


def collect(settings: config.Config, seconds: float) -> list[dict[str, Any]]:
    """Each cluster of the config: `name, url, state, version, error, hint, total, collections, ms`.

    That one does not answer within so many seconds, or a key of it is not there, is a state of it, and no error.
    """
    deadline = time.monotonic() + seconds
    names = clusters.names(settings)
    found = together.each({name: _later(settings, name, deadline) for name in names})
    for each in found.values():
        if isinstance(each, Exception):
            raise each
    return [each for each in found.values() if isinstance(each, dict)]


def _later(settings: config.Config, name: str, deadline: float) -> Any:
    return lambda: _standing(settings, name, deadline)


def _standing(settings: config.Config, name: str, deadline: float) -> dict[str, Any]:
    began = time.monotonic()
    url = next(each["url"] for each in settings.weaviate.clusters if each["name"] == name)
    known: dict[str, Any] = {"name": name, "url": parse.display_url(url), "state": "up", "version": None}
    known.update(error=None, hint=None, total=None, collections=[])
    try:
        found = clusters.connect(settings, name)
        left = max(deadline - time.monotonic(), 0.0)
        session = dataclasses.replace(found.session, timeout=min(found.session.timeout, left), retries=0)
        known.update(
            _looked_at(dataclasses.replace(found, session=dataclasses.replace(session, deadline=deadline)), settings)
        )
    except errors.DaglabError as error:
        state = "unreachable" if isinstance(error, (errors.Unreachable, errors.TimedOut)) else error.code
        known.update(state=state, error=error.message, hint=error.hint)
    return {**known, "ms": round(1000 * (time.monotonic() - began))}


def _looked_at(cluster: rest.Cluster, settings: config.Config) -> dict[str, Any]:
    names = list(api.schemas(cluster))
    found = measures.look(cluster, names[:MOST], vectors=False, strict=False)
    return {
        "version": looks.version(found),
        "total": len(names),
        "collections": [
            {
                "name": each.name,
                "objects": each.objects,
                "uncounted_tenants": each.uncounted,
                "health": looks.health(each, found.nodes, settings.weaviate.max_queue),
                "problem": each.problem,
            }
            for each in found.measures
        ],
    }
