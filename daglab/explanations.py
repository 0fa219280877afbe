"""What an error means and what helps: one text, `explanations.md`, for `daglab explain` and the docs."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".md")
_ENTRY = re.compile(r"^## (\S+)\n([^\n]+)\n\n(.+?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_PAGE = re.compile(r"^Page: (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Explanation:
    """An exit code, the code of an error, or a symptom: its name, what it is in a line, causes, and what helps.

    `page` is the page of the docs that says more; `part` is the heading it stands below.
    """

    name: str
    title: str
    cause: str
    remedies: tuple[str, ...]
    page: str | None
    part: str


@functools.cache
def every() -> tuple[Explanation, ...]:
    """All of them, in the order of the text."""
    text = SOURCE.read_text(encoding="utf-8")
    pieces = re.split(r"^# (.+)\n", text, flags=re.MULTILINE)[1:]
    parts = zip(pieces[::2], pieces[1::2], strict=True)
    return tuple(_parsed(entry, part) for part, body in parts for entry in _ENTRY.finditer(body))


def find(name: str) -> Explanation | None:
    """The one of this name, however it is written: not_set_up, NOT-SET-UP; None where there is none."""
    return next((each for each in every() if _plain(each.name) == _plain(name)), None)


def names() -> list[str]:
    """The names there are."""
    return [each.name for each in every()]


def page(now: str = "") -> str:
    """The whole of docs/troubleshooting.md."""
    found = [
        "# Troubleshooting\n\nWritten by `make docs WRITE=1` from the text that `daglab explain` shows.\n\n"
        "`daglab explain CODE` says this in the shell: for the `code` of an error, the number that a command ended\n"
        "with, or a symptom. `daglab doctor` looks for causes by itself; see [doctor.md](doctor.md).\n"
    ]
    part = ""
    for each in every():
        if each.part != part:
            part = each.part
            found.append(f"## {part}\n")
        remedies = "\n".join(f"- {remedy}" for remedy in each.remedies)
        more = f"\nMore: [{each.page}]({each.page})\n" if each.page else ""
        found.append(f"### {each.name}\n\n**{each.title}.** {each.cause}\n\n{remedies}\n{more}")
    return "\n".join(found)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _parsed(entry: re.Match[str], part: str) -> Explanation:
    name, title, body = entry.groups()
    page = _PAGE.search(body)
    cause, _, rest = _PAGE.sub("", body).strip().partition("\n- ")
    remedies = tuple(" ".join(remedy.split()) for remedy in rest.split("\n- "))
    return Explanation(name, title, cause.strip(), remedies, page[1] if page else None, part)
