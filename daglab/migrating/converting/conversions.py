"""marimo's part: prepared notebooks become marimo's Python files, and `marimo check --strict` has its say.

One child process of the project's Python does so for a whole batch; those in which something is refused are changed
(`refusals`) and asked about again, all together.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daglab import errors, processes
from daglab.migrating import cells
from daglab.migrating.converting import literals, refusals

SCRIPT = Path(__file__).resolve().parents[2] / "children" / "converter.py"
START, EACH = 60.0, 5.0  # seconds for a child's start, and for each notebook
ROUNDS = 6
_UNQUOTED = re.compile(r'["\\]|[^ -~\w\s]|[\r\n\t]+')


@dataclass(frozen=True)
class Issue:
    """What `marimo check` says of a file: the rule's code ("MB002"), its message, and the line from 1."""

    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True)
class Conversion:
    """A marimo notebook in `text`; `codes` are its cells as marimo reads them; `flaw` says why there is none.

    `draft` has the same cells, and notes about those that marimo refused. `issues` is empty but for what the file's
    name brings about ("MR001": another name is needed), or with a flaw. `header_hash` and `marimo_version` are what
    marimo's session record asks for.
    """

    text: str = ""
    codes: tuple[str, ...] = ()
    issues: tuple[Issue, ...] = ()
    header_hash: str | None = None
    marimo_version: str | None = None
    flaw: str | None = None
    draft: cells.Draft | None = None


def convert(
    drafts: Sequence[cells.Draft], python: Sequence[str], env: Mapping[str, str], names: Sequence[str]
) -> list[Conversion]:
    """Convert and check drafts, in their order; `names` are the files' own ("orders.py"), which a rule looks at.

    Raises NotSetUp when the Python has no usable marimo, TimedOut when it does not even start.
    """
    current = [refusals.foreseen(refusals.without_empty(draft)) for draft in drafts]
    found: list[Conversion] = [Conversion() for _ in drafts]
    asked = list(range(len(drafts)))
    turn = 0
    while asked:
        answers = _ask([_order(current[index], names[index]) for index in asked], python, env)
        again = []
        for index, answer in zip(asked, answers, strict=True):
            found[index] = _read(answer, current[index])
            refused = _refused(answer)
            if refused and turn < ROUNDS:
                better = refusals.answered(current[index], refused)
                if better != current[index]:
                    current[index] = better
                    again.append(index)
        asked = again
        turn += 1
    return found


def _ask(orders: Sequence[Mapping[str, Any]], python: Sequence[str], env: Mapping[str, str]) -> list[dict[str, Any]]:
    """What the child says of orders; where one of them takes it down, of that one only that it does."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for settings in (".marimo.toml", "pyproject.toml"):  # marimo looks for both in the folders above
            (folder / settings).touch()
        (folder / "wanted.json").write_text(json.dumps(orders), encoding="utf-8")
        command = [*python, str(SCRIPT), str(folder / "wanted.json")]
        own = {**env, "XDG_CACHE_HOME": name, "XDG_STATE_HOME": name}  # marimo's log is not for the user's home
        done = processes.run(command, timeout=START + EACH * len(orders), cwd=folder, env=own)
        try:
            answers: list[dict[str, Any]] = json.loads((folder / "made.json").read_text(encoding="utf-8"))
            return answers
        except (OSError, ValueError):
            if not (folder / "ready").exists():
                raise _unusable(python[0], done) from None
    if len(orders) > 1:
        half = len(orders) // 2
        return [*_ask(orders[:half], python, env), *_ask(orders[half:], python, env)]
    return [{"flaw": _ending(done)}]


def _unusable(python: str, done: processes.Finished) -> errors.DaglabError:
    if done.timed_out:
        return errors.TimedOut(
            f"{python} does not get as far as importing marimo.", f"Look at what it does: {python} -c 'import marimo'"
        )
    said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
    return errors.NotSetUp(f"{python} can't convert notebooks: {said}", f"Install it: {python} -m pip install marimo")


def _ending(done: processes.Finished) -> str:
    if done.timed_out:
        return "marimo does not come to an end with it."
    if done.returncode < 0:
        return f"marimo was killed over it by signal {-done.returncode}: has the memory run out?"
    return f"marimo breaks off over it: {(done.stderr.strip().splitlines() or ['it says nothing'])[-1]}"


def _order(draft: cells.Draft, name: str) -> dict[str, Any]:
    """What the child is asked: only a name that a module may have matters to it."""
    return {
        "name": name if Path(name).stem.isidentifier() and name == Path(name).name else "a-notebook.py",
        "header": _header(draft.requirements),
        "options": {"width": "medium", **({"app_title": title} if (title := _title(draft)) else {})},
        "cells": [
            {
                "code": literals.markdown(cell.code) if cell.kind != "code" else literals.steady(cell.code).strip("\n"),
                "hidden": cell.hidden or cell.kind != "code",
                "disabled": cell.disabled,
            }
            for cell in draft.cells
        ],
    }


def _title(draft: cells.Draft) -> str:
    """The notebook's title: marimo writes it between quotes just as it is."""
    return " ".join(_UNQUOTED.sub(" ", draft.original.title or "").split())[:200]


def _header(requirements: Sequence[str]) -> str:
    """The notebook's requirements, marimo first, as PEP 723 has them."""
    if not requirements:
        return ""
    others = [each for each in requirements if not re.match(r"marimo\b(?![-_.])", each)]
    own = [each for each in requirements if each not in others][:1] or ["marimo"]
    lines = [f"#     {_toml(each)}," for each in dict.fromkeys([*own, *others])]
    return "\n".join(["# /// script", "# dependencies = [", *lines, "# ]", "# ///"])


def _toml(text: str) -> str:
    """A string in TOML, on one line whatever is in it."""
    text = text.encode("utf-8", "replace").decode()
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in text) + '"'


def _read(answer: Mapping[str, Any], draft: cells.Draft) -> Conversion:
    if answer["flaw"]:
        return Conversion(flaw=answer["flaw"], draft=draft)
    issues = tuple(
        Issue(each["code"], each["message"], each["lines"][0] if each["lines"] else None) for each in answer["issues"]
    )
    refused = [f"{each.code} {each.message}" for each in issues if each.code != refusals.SELF_IMPORT]
    refused += ["A cell does not come back from marimo as it was sent."] * bool(answer["lost"])
    return Conversion(
        answer["text"],
        tuple(answer["codes"]),
        issues,
        answer["header_hash"],
        answer["marimo_version"],
        f"marimo refuses it: {refused[0]}" if refused else None,
        draft,
    )


def _refused(answer: Mapping[str, Any]) -> list[refusals.Refusal]:
    """The cells that marimo has something against; not those that only another file name helps."""
    if answer["flaw"]:
        return []
    lost = "its text would not come through unchanged"
    found = [refusals.Refusal("", lost, (place,)) for place in answer["lost"]]
    for issue in answer["issues"]:
        if issue["code"] != refusals.SELF_IMPORT:
            places = dict.fromkeys(_place(answer["lines"], line) for line in issue["lines"])
            found.append(refusals.Refusal(issue["code"], issue["message"], tuple(places)))
    return found


def _place(lines: Sequence[int], line: int) -> int:
    """The cell on a line of the file; a rule may name the line above the first of its code."""
    return max((place for place, start in enumerate(lines) if start - 1 <= line), default=0)
