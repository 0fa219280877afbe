"""Plans carried out: each action is asked for once, and its task in the server followed to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from daglab import errors
from daglab.weaviate import rest
from daglab.weaviate.improving import indexes, plans, replication

SHORTEST_LOOK, LONGEST_LOOK = 0.1, 2.0  # seconds between two looks at a task
HINT = "It goes on in the server; `daglab collections optimize NAME --analyze` shows how far it is."
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


@dataclass
class Step:
    """An action that is carried out: where it is, its task in the server, and what went wrong."""

    action: plans.Action
    state: str = WAITING
    task: str | None = None
    progress: float = 0.0
    problem: str | None = None

    def document(self) -> dict[str, Any]:
        """As a member of a JSON document."""
        figures = {"kind": self.action.kind, "what": self.action.what, "state": self.state, "task": self.task}
        return {**figures, "progress": round(self.progress, 3), "problem": self.problem}


Tell = Callable[[Step], None]


def steps_of(actions: Sequence[plans.Action]) -> list[Step]:
    """What is to be done of a plan: what this server can do now."""
    return [Step(each) for each in actions if each.hindrance is None]


def carry_out(cluster: rest.Cluster, steps: Sequence[Step], tell: Tell, seconds: float) -> None:
    """Do one step after the other, moves side by side; `tell` is told of each change. What failed is in its step.

    Raises `TimedOut` after so many seconds, and as `rest.answer` does where the server does not answer any more. What
    was asked for goes on in the server all the same.
    """
    deadline = time.monotonic() + seconds
    rebuilding = [each for each in steps if each.action.kind == plans.REINDEX]
    for each in rebuilding:
        _begin(cluster, each, tell)
        _follow(cluster, [each], tell, deadline)
    moving = [each for each in steps if each.action.kind == plans.REBALANCE]
    for each in moving:
        _begin(cluster, each, tell)
    _follow(cluster, moving, tell, deadline)


def _begin(cluster: rest.Cluster, step: Step, tell: Tell) -> None:
    action = step.action
    step.state, step.task = RUNNING, action.task
    try:
        if action.task is None and action.kind == plans.REBALANCE:
            step.task = replication.begin(cluster, action.body or {})
        elif action.task is None:
            step.task = indexes.start(cluster, action.method, action.path, action.body)
    except (rest.Missing, rest.Refused, rest.Failed) as error:
        step.state, step.problem = FAILED, error.message
    if step.state == RUNNING and step.task is None:  # there was nothing to do
        step.state, step.progress = DONE, 1.0
    tell(step)


def _follow(cluster: rest.Cluster, steps: Sequence[Step], tell: Tell, deadline: float) -> None:
    pause = SHORTEST_LOOK
    while running := [each for each in steps if each.state == RUNNING]:
        if time.monotonic() > deadline:
            raise errors.TimedOut(f"{running[0].action.what}: it is not done in the time given.", HINT)
        for each in running:
            before = (each.state, each.progress)
            _look(cluster, each)
            if (each.state, each.progress) != before:
                tell(each)
        if any(each.state == RUNNING for each in running):
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK)


def _look(cluster: rest.Cluster, step: Step) -> None:
    if step.action.kind == plans.REBALANCE:
        _look_at_move(cluster, step)
        return
    task = indexes.tasks(cluster).get(step.task or "")
    if task is None:
        step.state, step.problem = FAILED, "The server does not know its task any more."
        return
    step.progress = task.progress
    if task.status in indexes.ENDED:
        ends = {indexes.FINISHED: DONE, "CANCELLED": CANCELLED}
        step.state, step.problem = ends.get(task.status, FAILED), task.problem


def _look_at_move(cluster: rest.Cluster, step: Step) -> None:
    try:
        found = replication.operation(cluster, step.task or "")
    except rest.Missing:
        step.state, step.problem = FAILED, "The server does not know this move any more."
        return
    step.problem = found.problem
    if found.state in replication.ENDED:
        step.state = DONE if found.state == replication.READY else CANCELLED
    if step.state == DONE:
        step.progress, step.problem = 1.0, None
