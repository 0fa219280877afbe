"""How evenly the replicas of a collection lie on the nodes, and which moves would make it more even; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Replicas = Mapping[str, Sequence[str]]  # the nodes that have each shard
MOST_MOVES = 100  # of a plan; the next one goes on


@dataclass(frozen=True)
class Move:
    """A replica of a shard from one node to another; `weight` is what it takes along."""

    shard: str
    source: str
    target: str
    weight: float


def loads(replicas: Replicas, weights: Mapping[str, float], nodes: Sequence[str]) -> dict[str, float]:
    """What each node bears: the weights of the shards that it has a replica of."""
    found = dict.fromkeys(nodes, 0.0)
    for shard, there in replicas.items():
        for node in there:
            found[node] = found.get(node, 0.0) + weights[shard]
    return found


def imbalance(loads: Mapping[str, float]) -> float:
    """By which part the least loaded node bears less than the most loaded one: 0 to 1; 0 for nothing to bear."""
    most = max(loads.values(), default=0.0)
    return (most - min(loads.values())) / most if most else 0.0


def moves(replicas: Replicas, weights: Mapping[str, float], nodes: Sequence[str], goal: float = 0.0) -> list[Move]:
    """Moves that even out the nodes until their imbalance is `goal` or less; none where none makes it better.

    Greedy: what comes nearest to half of the difference goes from the most loaded node to the least loaded one that has
    no replica of it. A shard moves once at most: the server takes one move of a shard at a time.
    """
    there = {shard: list(of) for shard, of in replicas.items()}
    found: list[Move] = []
    while len(found) < MOST_MOVES:
        now = loads(there, weights, nodes)
        if imbalance(now) <= goal:
            break
        best = next(_candidates(there, weights, now, {each.shard for each in found}), None)
        if best is None:
            break
        there[best.shard] = [best.target if node == best.source else node for node in there[best.shard]]
        found.append(best)
    return found


def after(replicas: Replicas, done: Sequence[Move]) -> dict[str, tuple[str, ...]]:
    """Where the replicas are once these moves are made."""
    found = {shard: tuple(of) for shard, of in replicas.items()}
    for move in done:
        found[move.shard] = tuple(move.target if node == move.source else node for node in found[move.shard])
    return found


def _candidates(
    replicas: Replicas, weights: Mapping[str, float], loads: Mapping[str, float], moved: set[str]
) -> Iterator[Move]:
    """The best move between each two nodes, those with the widest gap first."""
    pairs = sorted(
        ((loads[source] - loads[target], source, target) for source in loads for target in loads),
        key=lambda each: (-each[0], each[1], each[2]),
    )
    for gap, source, target in pairs:
        fit = [
            Move(shard, source, target, weights[shard])
            for shard, there in replicas.items()
            if source in there and target not in there and shard not in moved and 0 < weights[shard] < gap
        ]
        if fit:
            yield min(fit, key=lambda each: (abs(each.weight - gap / 2), each.shard))
