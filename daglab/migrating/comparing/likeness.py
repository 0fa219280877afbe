"""Whether cells of two runs printed and showed the same: the judgement, cell by cell, without running anything."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daglab.migrating import cells
from daglab.migrating.comparing import contents, drawings, noise, trials

VERDICTS = SAME, DIFFERENT, UNKNOWN = "same", "different", "unknown"
_REFUSED = "UsageError"  # of a magic that is not there, or used wrongly
_NOT_REACHED = "the original does not get here"
_NOT_HERE = "the new notebook does not get here"
# An exception of Jupyter's and what takes its place elsewhere.
_ALIKE = {"StdinNotImplementedError": "EOFError"}
_SHELL = re.compile(r"^\s*(?:[\w, ]+=\s*)?!|^%%(?:bash|sh|script|!)|%(?:sx|system)\b", re.MULTILINE)
_TIMED = re.compile(r"^\s*%%?(?:time|timeit)\b|%timeit\b", re.MULTILINE)
_PAGED = re.compile(r"^\s*%%?(?:prun|pfile|pinfo2?|page|psource|history)\b", re.MULTILINE)
_TIMES = re.compile(r"\b\d[\d.]*\s{0,3}(?:ns|µs|us|ms|s|min|seconds?)\b")
_WARNED = re.compile(r"^\w*Warning: .*$", re.MULTILINE)
_VALUE = re.compile(r"\bvalue=('(?:[^'\\]|\\.)*'|\([^()]*\)|[^,()]+)")


@dataclass(frozen=True)
class Verdict:
    """What came of one code cell of the Jupyter notebook: "same", "different" or "unknown", and a short why."""

    cell: int
    verdict: str
    why: str = ""


@dataclass(frozen=True)
class Group:
    """Jupyter cells, and the draft's cells that they became, each in order; most often one of each."""

    numbers: tuple[int, ...]
    places: tuple[int, ...]


def not_run(draft: cells.Draft) -> frozenset[int]:
    """The Jupyter cells that the new notebook has, but does not run."""
    disabled = {number for cell in draft.cells if cell.disabled for number in cell.origins}
    return frozenset(disabled - {number for cell in draft.cells if not cell.disabled for number in cell.origins})


def groups(draft: cells.Draft) -> list[Group]:
    """Which Jupyter code cells are to be compared with which of the draft's, so that no cell stands in two."""
    wanted = [each.number for each in draft.original.cells if each.kind == "code"]
    of = {number: {number} for number in wanted}
    for cell in draft.cells:
        own = [number for number in cell.origins if number in of] if _is_run(cell) else []
        for number in own[1:]:
            if of[number] is not of[own[0]]:
                of[own[0]] |= of[number]
                for each in of[number]:
                    of[each] = of[own[0]]
    together = {id(members): members for members in of.values()}
    made = []
    for members in together.values():
        places = [
            place for place, cell in enumerate(draft.cells) if _is_run(cell) and not members.isdisjoint(cell.origins)
        ]
        made.append(Group(tuple(sorted(members)), tuple(places)))
    return made


def _is_run(cell: cells.Cell) -> bool:
    """Whether a cell is code, or the markdown that code has shown; what is kept as text says why."""
    return cell.kind == "code" or not cell.why


def verdicts(draft: cells.Draft, before: trials.Ran, after: trials.Ran) -> list[Verdict]:
    """What comes of each code cell of the original."""
    idle = not_run(draft)
    found = []
    for group in groups(draft):
        verdict, why = _judged(draft, group, before, after) if idle.isdisjoint(group.numbers) else (UNKNOWN, "not run")
        found += [
            Verdict(number, UNKNOWN, _NOT_REACHED)
            if len(group.numbers) > 1 and number not in {*before.cells, before.last}
            else Verdict(number, verdict, why)
            for number in group.numbers
        ]
    if not any(each.verdict == DIFFERENT for each in found):  # it stops in a cell that is none of the original's
        found = [dataclasses.replace(each, verdict=DIFFERENT) if each.why == _NOT_HERE else each for each in found]
    return sorted(found, key=lambda each: each.cell)


def unsteady(one: trials.Ran, other: trials.Ran) -> frozenset[int]:
    """The cells that two runs of the very same notebook differ in."""
    return frozenset(n for n in one.cells if n not in other.cells or _gist(one.cells[n]) != _gist(other.cells[n]))


def as_far(draft: cells.Draft, before: trials.Ran, after: trials.Ran) -> bool:
    """Whether each cell that ran to its end in the original did so in the new notebook, where it still is one."""
    done = {number for number, line in before.cells.items() if not line["stopped"]}
    wanted = {
        place
        for place, cell in enumerate(draft.cells)
        if _is_run(cell) and not cell.disabled and cell.origins and done.issuperset(cell.origins)
    }
    # A definition by itself is a function of the file, which has run when the file was read.
    return all(after.cells[place]["ended"] for place in wanted if place in after.cells) and wanted <= {*after.cells}


def _gist(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["stdout"], [each["text"] for each in line["shown"]], (line["error"] or {}).get("type")


def _judged(draft: cells.Draft, group: Group, before: trials.Ran, after: trials.Ran) -> tuple[str, str]:
    """The verdict on a group and why."""
    here = [before.cells[number] for number in group.numbers if number in before.cells]
    sources = {each.number: each.source for each in draft.original.cells}
    if not any(sources[number].strip() for number in group.numbers):
        return SAME, ""
    if before.last in group.numbers:
        return UNKNOWN, f"the original came to no end here: {before.flaw}"
    if len(here) < len(group.numbers) and not any(line["stopped"] for line in here):
        return UNKNOWN, _NOT_REACHED
    if not group.places:
        return _without_cell(draft, group, here)
    there = [after.cells[place] for place in group.places if place in after.cells]
    failed = _failures(here, there)
    if failed:
        return failed
    if after.last in group.places:
        return DIFFERENT, f"came to no end: {after.flaw}"
    if len(there) < len(group.places):
        return UNKNOWN, _NOT_HERE
    if not all(line["ended"] for line in there):
        return UNKNOWN, "the new notebook stops here"
    return _compared("\n".join(sources[number] for number in group.numbers), here, there)


def _without_cell(draft: cells.Draft, group: Group, here: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    if not any(line["stdout"] or line["stderr"] or line["shown"] or line["error"] for line in here):
        return SAME, ""
    kept = [cell.why for cell in draft.cells if set(cell.origins) & set(group.numbers)]
    return UNKNOWN, ": ".join(["kept as text", *filter(None, kept[:1])]) if kept else "left out"


def _failures(here: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """The verdict where one of the two raised; None where neither did."""
    one, other = ([line["error"] for line in lines if line["stopped"]] for lines in (here, there))
    if not one and not other:
        return None
    if not other and one[0]["type"] == _REFUSED:
        return UNKNOWN, "IPython refuses a magic here, and the new notebook has none"
    if not other:
        return DIFFERENT, f"raised {one[0]['type']} before, and does not now"
    told = f"{other[0]['type']}: {other[0]['text'].partition(chr(10))[0][:120]}"
    if not one:
        return DIFFERENT, f"raises {told}"
    types = [_ALIKE.get(each[0]["type"], each[0]["type"]) for each in (one, other)]
    return (SAME, f"both raise {types[0]}") if types[0] == types[1] else (DIFFERENT, f"raised {types[0]}, now {told}")


def _compared(source: str, here: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The verdict on cells that all ran to their end."""
    raised = [line["error"]["type"] for line in here if line["error"]]
    mixed = _SHELL.search(source) or any(line.get("mixed") for line in here)
    before, after = (_joined(lines, "stdout", source) for lines in (here, there))
    shown, now = (_shown(lines) for lines in (here, there))
    if raised:  # tagged so that the notebook goes on
        said = "\n".join([after, _joined(there, "stderr", source), *(contents.words(each) for each in now)])
        known = all(name in said for name in raised)
        return (SAME, f"both raise {raised[0]}") if known else (UNKNOWN, f"{raised[0]} is not told in the same way")
    if before != after:
        inside = "\n".join(line["inside"] for line in here if line.get("inside"))
        if inside and after == "\n".join(filter(None, [before, inside])):
            return SAME, ""  # what runs in a widget prints there
        together = [_all_text(text, each) for text, each in ((before, shown), (after, now))]
        if together[0] == together[1] or (mixed and _bag(before) == _bag(after)):
            return SAME, ""
        if _PAGED.search(source):
            return UNKNOWN, "Jupyter shows it in its pager"
        return DIFFERENT, f"printed text, {noise.difference(before, after)}"
    if len(now) < len(shown) and any(_is_figure(each) for line in here for each in line["shown"]):
        shown = shown[:-1] if drawings.ends_in_part(source) else shown
    verdict, why = _values(shown, now, merged=len(here) > 1)
    if verdict == SAME:
        return _errors_printed(*(_joined(lines, "stderr", source) for lines in (here, there)))
    return verdict, why


def _errors_printed(before: str, after: str) -> tuple[str, str]:
    """The verdict on what came to stderr: warnings count once, in any order."""
    one, other = (
        ({*_WARNED.findall(text)}, [line for line in _WARNED.sub("", text).split("\n") if line])
        for text in (before, after)
    )
    if one[1] != other[1]:
        return DIFFERENT, f"stderr, {noise.difference(chr(10).join(one[1]), chr(10).join(other[1]))}"
    if one[0] != other[0]:
        return UNKNOWN, f"other warnings: {sorted(one[0] ^ other[0])[0][:120]}"
    return SAME, ""


def _values(shown: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]], *, merged: bool) -> tuple[str, str]:
    """The verdict on what was shown."""
    if len(shown) != len(now):
        shown, now = ([each for each in side if not drawings.is_part(each["text"])] for side in (shown, now))
    if merged and len(now) < len(shown):
        last, why = _values(shown[len(shown) - len(now) :], now, merged=False)
        return (UNKNOWN, "of cells made one, the last one's value is shown") if last == SAME else (last, why)
    if len(shown) != len(now):
        words = [" ".join(contents.words(each) for each in side).split() for side in (shown, now)]
        if words[0] and words[0] == words[1]:  # displayed in two parts there, in one here
            return SAME, ""
        if any("marimo" in each for each in now):
            controls = [each.get("marimo", {}).get("value") for each in now]
            if len(shown) == 1 and controls == _VALUE.findall((shown[0]["text"] or "")[:2000]):
                return SAME, ""  # several in a box
            return UNKNOWN, "shown by marimo in another way"
        return DIFFERENT, f"shown, {noise.difference(_all_text('', shown), _all_text('', now))}"
    for one, other in zip(shown, now, strict=True):
        verdict, why = _value(one, other)
        if verdict != SAME:
            return verdict, why
    return SAME, ""


def _value(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, str]:
    if one["text"] is not None and one["text"] == other["text"]:
        if not one["text"].startswith("<IPython.") or contents.words(one) == contents.words(other):
            return SAME, ""
        return DIFFERENT, f"what {one['text']} holds"
    if "marimo" in other:
        control = _VALUE.search((one["text"] or "")[:2000])
        if control and other["marimo"].get("value", "").strip("()") == control[1].strip("()"):
            return SAME, ""
        if contents.same(one, other):
            return SAME, ""
        return UNKNOWN, f"shown by marimo as {other['marimo']['kind']}"
    if one["text"] is None or other["text"] is None:
        return UNKNOWN, "one of the two has no text"
    return DIFFERENT, f"value, {noise.difference(one['text'], other['text'])}"


def _shown(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What cells showed besides pictures, which are not compared."""
    return [each for line in lines for each in line["shown"] if not _is_figure(each)]


def _is_figure(each: Mapping[str, Any]) -> bool:
    return drawings.FIGURE.fullmatch(each["text"] or "") is not None


def _joined(lines: Sequence[Mapping[str, Any]], name: str, source: str) -> str:
    text = "\n".join(line[name] for line in lines if line[name])
    if _TIMED.search(source):
        return "\n".join(line for line in text.split("\n") if not _TIMES.search(line[:300]))
    return text


def _all_text(text: str, shown: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(filter(None, [text, *((each["text"] or "") for each in shown)]))


def _bag(text: str) -> list[str]:
    return sorted(text.split())
