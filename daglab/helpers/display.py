"""How things look in a notebook: plain HTML that survives an export; every text from outside is escaped.

No `mo.ui.table`: it breaks in the static page that marimo exports.
"""

from __future__ import annotations

import abc
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeVar

from daglab import errors, redaction, scales
from daglab.exporting import exports

Item = TypeVar("Item")

SHORT = 24  # characters
LONGEST = 2000  # characters of a value
LONGEST_CELL = 200
# marimo's page takes the browser's own look away from headings, tables and links.
STYLE = """<style>
.daglab { overflow-wrap: anywhere; }
.daglab h2 { font-size: 1.6em; font-weight: 600; margin: 0 0 0.2em; line-height: 1.25; }
.daglab h3 { font-size: 1.05em; font-weight: 600; margin: 0.8em 0 0.2em; }
.daglab p { margin: 0 0 0.5em; white-space: pre-line; }
.daglab a { text-decoration: underline; }
.daglab .wide { overflow-x: auto; }
.daglab .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20em, 100%), 1fr)); gap: 1em; }
.daglab table { border-collapse: collapse; margin: 0 0 0.6em; font-size: 0.95em; }
.daglab th, .daglab td { padding: 0.25em 1.4em 0.25em 0; text-align: left; vertical-align: top; }
.daglab th { font-weight: 600; }
.daglab th, .daglab .short { overflow-wrap: normal; white-space: nowrap; }
.daglab tr { border-bottom: 1px solid rgba(128, 128, 128, 0.3); }
.daglab ul { list-style: disc; margin: 0 0 0.6em; padding-left: 1.5em; }
.daglab code, .daglab pre { font-family: ui-monospace, monospace; font-size: 0.9em; }
.daglab pre { white-space: pre-wrap; margin: 0 0 0.6em; }
.daglab .mark { display: inline-block; width: 0.7em; height: 0.7em; border-radius: 50%; margin-right: 0.45em; }
.daglab .good { background: #2e8b57; } .daglab .bad { background: #d64545; } .daglab .going { background: #d08700; }
.daglab .quiet { opacity: 0.75; }
.daglab progress { width: 14em; max-width: 60%; height: 0.7em; vertical-align: middle; margin: 0 0.6em 0 0; }
</style>"""


class Shown(abc.ABC):
    """What a notebook shows as HTML; elsewhere `str` tells the same in words."""

    @abc.abstractmethod
    def html(self) -> str:
        """The inner HTML."""

    def _display_(self) -> Any:
        """What marimo asks for before all else; needs marimo."""
        import marimo

        return marimo.Html(framed(self.html()))


class Listing(tuple[Item, ...], Shown):
    """Several things of one kind: a tuple that a notebook shows as a table."""

    def html(self) -> str:
        """A table, a row for each."""
        return table(*self._table(), empty="There is none.")

    def __str__(self) -> str:
        """The same table as text."""
        import tabulate

        headers, rows = self._table()
        texts = [["" if value is None else str(value) for value in row] for row in rows]
        return tabulate.tabulate(texts, headers=headers, disable_numparse=True) if rows else "There is none."

    @abc.abstractmethod
    def _table(self) -> tuple[Sequence[str], list[Sequence[Any]]]:
        """The headers and the rows."""


@dataclass(frozen=True)
class Link:
    """A link in a table, which opens beside the notebook; as text it is what it says."""

    address: str
    text: str

    def __str__(self) -> str:
        return self.text


def framed(inner: str) -> str:
    """The HTML with the look that all of it has, and without secrets."""
    return f'<div class="daglab">{STYLE}{redaction.clean(inner)}</div>'


def cell(value: object) -> str:
    """A value as HTML: a link, nothing for None, everything else as text. Only http leads anywhere."""
    text = escape("" if value is None else str(value))
    if isinstance(value, Link) and value.address.startswith(("http://", "https://")):
        return f'<a href="{escape(value.address)}" target="_blank" rel="noreferrer">{text}</a>'
    return text


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "") -> str:
    """A table; `empty` in words where it has no rows. The first cell of a row heads it."""
    body = "".join(f'<tr><th scope="row">{cell(row[0])}</th>{"".join(map(_data, row[1:]))}</tr>' for row in rows)
    if not body:
        return f'<p class="quiet">{escape(empty)}</p>' if empty else ""
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'


def card(name: str, description: str | None, facts: Mapping[str, object]) -> str:
    """A thing by name, with what there is to know about it."""
    text = f"<p>{escape(description)}</p>" if description else ""
    return f"<h2>{escape(name)}</h2>{text}{table((), [(key, value) for key, value in facts.items() if value])}"


def mark(kind: str) -> str:
    """A small round mark: good, bad, or going."""
    return f'<span class="mark {kind}" aria-hidden="true"></span>'


def side_by_side(drawn: Iterable[str]) -> str:
    """Charts beside each other, as many as there is room for."""
    return f'<div class="charts">{"".join(f"<div>{each}</div>" for each in drawn if each)}</div>'


def error(problem: errors.DaglabError) -> str:
    """What is wrong, and what helps."""
    first, _, rest = problem.message.partition("\n")
    below = f"<pre>{escape(rest)}</pre>" if rest else ""  # it may point at a column
    hint = f"<p>{escape(problem.hint)}</p>" if problem.hint else ""
    return f"<p><strong>{escape(first)}</strong></p>{below}{hint}"


def callout(problem: errors.DaglabError) -> Any:
    """An error as marimo shows it."""
    import marimo

    return marimo.callout(marimo.Html(framed(error(problem))), kind="warn")


@contextlib.contextmanager
def explained(*beside: Any) -> Iterator[None]:
    """For a notebook's cell: an error of daglab's is shown with its hint, and the cell and those that need it stop.

    `beside` is shown below, such as the clock that makes the cell try again.
    """
    try:
        yield
    except errors.DaglabError as problem:
        import marimo

        marimo.stop(True, marimo.vstack([callout(problem), *beside]) if beside else callout(problem))


def is_export() -> bool:
    """Whether `daglab export` runs the notebook: what it makes is a page where no control does anything."""
    return bool(os.environ.get(exports.VARIABLE))


def controls(*elements: Any, said: str = "") -> Any:
    """What can be used, side by side; in an export nothing, or what it would have `said`. Needs marimo."""
    import marimo

    if is_export():
        return marimo.plain_text(said) if said else None
    return elements[0] if len(elements) == 1 else marimo.hstack(elements, justify="start", wrap=True)


@dataclass(frozen=True)
class Heading(Shown):
    """The head of a notebook: its title, and what it is."""

    facts: Mapping[str, str]

    def html(self) -> str:
        """A title, and a line of facts."""
        facts = " · ".join(f"{escape(name)}: {escape(value)}" for name, value in self.facts.items() if name != "title")
        return f'<h2>{escape(self.facts.get("title", ""))}</h2><p class="quiet">{facts}</p>'

    def __str__(self) -> str:
        return self.facts.get("title", "")


def heading(facts: Mapping[str, str]) -> Heading:
    """The head of a notebook from what it says of itself: title, target, template, author."""
    return Heading(facts)


@dataclass(frozen=True)
class Preview(Shown):
    """The first rows of a table, or the beginning of another value."""

    value: Any
    rows: int

    def html(self) -> str:
        """A table where it is one (mappings by name, or a data frame), else text."""
        kind = f'<p class="quiet">{escape(type(self.value).__name__)}{escape(self._size)}</p>'
        records = self._records()
        names = list(dict.fromkeys(name for record in records for name in record))
        if not names:
            return f"{kind}<pre>{escape(self._text)}</pre>"
        cells = [[_cut(str(record.get(name, "")), LONGEST_CELL) for name in names] for record in records]
        return kind + table(list(map(str, names)), cells)

    def __str__(self) -> str:
        return f"{type(self.value).__name__}{self._size}: {self._text}"

    @property
    def _size(self) -> str:
        try:
            return f" of {len(self.value)}"
        except Exception:  # whatever the user's own type does instead: its size is not shown then
            return ""

    @property
    def _text(self) -> str:
        return _cut(str(self.value), LONGEST)

    def _records(self) -> list[Mapping[Any, Any]]:
        try:
            head = self.value
            if hasattr(head, "head") and hasattr(head, "columns"):  # pandas, polars, and what is like them
                head = head.head(self.rows)
                head = head.to_dicts() if hasattr(head, "to_dicts") else head.to_dict("records")
            some = list(head[: self.rows]) if isinstance(head, (list, tuple)) else []
        except Exception:  # whatever the user's own type does instead: it is shown as text then
            return []
        return some if all(isinstance(record, Mapping) for record in some) else []


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def preview(value: Any, *, rows: int = 10) -> Preview:
    """The first rows of a table, or the beginning of another value, in a form that an export keeps."""
    return Preview(value, rows)


def seconds(value: float | None) -> str:
    """A duration in a person's words, as the charts have it; nothing for None."""
    return "" if value is None else scales.figure(value, "s")


def size(value: float | None) -> str:
    """Bytes in a person's words, as the charts have them; nothing for None."""
    return "" if value is None else scales.figure(value, "bytes")


def moment(value: float | None) -> str:
    """A time, seconds since 1970, with its zone, for an export is read elsewhere; nothing for None."""
    return "" if value is None else scales.time(value)


def _data(value: object) -> str:
    """What is short stays on one line; a narrow page scrolls the table."""
    short = ' class="short"' if len(str(value)) <= SHORT else ""
    return f"<td{short}>{cell(value)}</td>"
