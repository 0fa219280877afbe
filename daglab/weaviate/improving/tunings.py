"""A collection's plan with all that goes with it, as a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daglab.weaviate import rest
from daglab.weaviate.improving import advice, plans, surveys


@dataclass(frozen=True)
class Tuning:
    """What was seen of a collection, and what follows from it for an operation."""

    picture: plans.Picture
    operation: str
    actions: Sequence[plans.Action]
    advice: Sequence[advice.Advice]


def analyze(cluster: rest.Cluster, name: str, operation: str = plans.AUTO, *, restarted: bool = False) -> Tuning:
    """Look at a collection and plan; nothing is changed. Raises as `surveys.survey` does."""
    picture = surveys.survey(cluster, name)
    return Tuning(picture, operation, plans.actions(picture, operation, restarted=restarted), advice.of(picture))


def document(found: Tuning) -> dict[str, Any]:
    """A plan as a JSON document, without what came of it."""
    picture = found.picture
    return {
        "name": picture.name,
        "cluster": picture.cluster,
        "server": plans.version_text(picture.version),
        "operation": found.operation,
        "figures": figures(picture),
        "actions": [_action(each) for each in found.actions],
        "advice": [vars(each) for each in found.advice],
        "by_itself": [vars(each) for each in advice.BY_ITSELF],
    }


def figures(picture: plans.Picture) -> dict[str, Any]:
    """The figures that a plan rests on; None is what the server does not tell."""
    bears, unit, imbalance = plans.spread(picture)
    there = picture.indexes
    return {
        "objects": picture.objects,
        "tenants": None if picture.tenants is None else len(picture.tenants),
        "shards": len(picture.replicas),
        "nodes": {node: round(load) for node, load in bears.items()},
        "nodes_bear": unit,
        "imbalance": round(imbalance, 3),
        "indexes": None if there is None else len(there),
        "indexes_not_ready": None if there is None else sum(each.status != "ready" for each in there),
        "tombstones": picture.tombstones,
        "segments": picture.segments,
    }


def _action(each: plans.Action) -> dict[str, Any]:
    needs = {"version": plans.version_text(each.version[:2]), "setting": each.setting}
    sent = {"method": each.method, "path": f"/v1/{each.path}", "body": each.body} if each.method else None
    return {
        "kind": each.kind,
        "what": each.what,
        "reason": each.reason,
        "figures": each.figures,
        "needs": needs,
        "possible": each.hindrance is None,
        "hindrance": each.hindrance,
        "request": sent,
        "task": each.task,
    }
