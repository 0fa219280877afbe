"""The lines in the record of exports, of four kinds, and what they tell together.

All of version 1. One with an `id` is an export. One with `intent`, an export's id, says that a `step` outside of the
project was about to be taken, before it was. One with `amends`, an id, holds later facts: the export is seen with its
members. One with `expired`, an id, says that the HTML was taken away (or is left alone, with `kept`). Somebody else may
have written them: a value may be of any kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# The steps that an export takes outside of the project, each with the member that tells what came of it.
# "publish" is all of them: the HTML stands, and no amendment but the line of the export tells what came of it.
STEPS = {
    "publish": "published",
    "upload": "upload",
    "sign": "signed",
    "attach": "attached",
    "check": "check",
    "delete": "removed",
}
_FIXED = ("v", "id", "at", "amends", "intent", "closed", "expired", "output", "notebook")  # no amendment changes these
# Where a signed link may stand, which is hidden everywhere else: the file is for its owner alone.
WHOLE = ("link", "signed", "attached", "entries")
KINDS = ("v", "id", "intent", "step", "amends", "expired", "at")
Lines = Sequence[dict[str, Any]]


def dealt_with(lines: Lines) -> set[str]:
    """The ids of the exports that were taken away, or are left alone for good."""
    return {expired for line in lines if isinstance(expired := line.get("expired"), str)}


def taken(lines: Lines) -> set[str]:
    """The ids of the exports whose HTML was taken away."""
    return {expired for line in lines if isinstance(expired := line.get("expired"), str) and not line.get("kept")}


def exports(lines: Lines) -> list[dict[str, Any]]:
    """The exports with the later facts of each; an id that stands twice is one export, as its last line has it."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        if line.get("v") != 1:
            continue
        if isinstance(identity := line.get("id"), str):
            found.pop(identity, None)
            found[identity] = dict(line)
        elif isinstance(identity := line.get("amends"), str) and identity in found:
            found[identity].update({name: each for name, each in line.items() if name not in _FIXED})
    return list(found.values())


def unfinished(lines: Lines) -> list[dict[str, Any]]:
    """Ids with intents of which nobody knows what came, and these: `{"id", "steps"}`, oldest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        if line.get("v") != 1:
            continue
        if isinstance(intent := line.get("intent"), str) and _is_step(line):
            found.setdefault(intent, []).append(line)
        elif isinstance(identity := line.get("id"), str):
            found.pop(identity, None)
        elif isinstance(identity := line.get("amends", line.get("expired")), str) and identity in found:
            found[identity] = [each for each in found[identity] if each["step"] not in _closed(line)]
    return [{"id": identity, "steps": steps} for identity, steps in found.items() if steps]


def _is_step(line: dict[str, Any]) -> bool:
    return isinstance(step := line.get("step"), str) and step in STEPS


def _closed(line: dict[str, Any]) -> list[Any]:
    """The steps that an amendment, or a line that says that an export is over, tells the outcome of.

    Those in `closed`, where it has that, else those whose member it has.
    """
    named = line.get("closed")
    if isinstance(named, list):
        return named
    return [step for step, member in STEPS.items() if member in line or (step == "delete" and "expired" in line)]
