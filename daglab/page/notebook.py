"""What a notebook's export holds: its cells, and what became of each, as records.

All of it is data that a notebook made up as it liked: text here may hold anything but halves of characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daglab import notebooks

# Not errors of a notebook, only of what a cell did not get to do.
STOPPED = "ancestor-stopped"


@dataclass(frozen=True)
class Printed:
    """A piece of a cell's console: `stream` is "stdout", "stderr", "stdin" or "media"; `text` may hold ANSI codes."""

    stream: str
    mime: str
    text: str


@dataclass(frozen=True)
class Error:
    """An error in place of an output: marimo's `kind` ("exception", "syntax", "cycle" ...) and its message."""

    kind: str
    message: str


@dataclass(frozen=True)
class Cell:
    """A cell: `index` is its position from 1, `id` marimo's, `name` empty for a cell without one.

    `hidden` is whether the notebook hides its code. An output is a mapping of its forms by MIME type. `tracebacks`
    are plain text, the console is without them.
    """

    index: int
    id: str
    name: str
    code: str
    hidden: bool
    outputs: tuple[Mapping[str, Any], ...]
    errors: tuple[Error, ...]
    console: tuple[Printed, ...]
    tracebacks: tuple[str, ...]

    @property
    def label(self) -> str:
        """What people call the cell: `cell 2 (load)`."""
        return notebooks.label(self.index, self.name)


@dataclass(frozen=True)
class Notebook:
    """A notebook as it was exported. `title` is empty where it has none, `file` is its file's name.

    `shows_code`: marimo's own page shows the code, too. `layout` is marimo's ("slides", "grid", empty for none).
    """

    title: str
    file: str
    marimo_version: str
    shows_code: bool
    layout: str
    cells: tuple[Cell, ...]


def read(html: str) -> Notebook:
    """The notebook in an HTML that marimo wrote.

    Raises InvalidInput when this is not an HTML of marimo's, or not all of it.
    """
    config = notebooks.mount_config(html)
    written, ran = notebooks.cells(config, "notebook"), notebooks.cells(config, "session")
    ids = [str(cell.get("id")) for cell in written]
    labels = {key: notebooks.label(index, notebooks.name_of(written[index - 1])) for index, key in enumerate(ids, 1)}
    outcomes = {str(cell.get("id")): cell for cell in reversed(ran)}
    known = [(key, cell, outcomes.pop(key, {})) for key, cell in zip(ids, written, strict=True)]
    known += [(key, {}, cell) for key, cell in reversed(outcomes.items())]  # ran, and is in the notebook no more
    app, view, layout = (_mapping(config, name) for name in ("appConfig", "view", "layout"))
    return Notebook(
        title=notebooks.text(app.get("app_title")).strip(),
        file=notebooks.text(config.get("filename")).replace("\\", "/").rpartition("/")[2],
        marimo_version=notebooks.text(config.get("version")) or notebooks.marimo_version(html) or "",
        shows_code=view.get("showAppCode") is not False,
        layout=notebooks.text(layout.get("type")),
        cells=tuple(_cell(index, key, code, outcome, labels) for index, (key, code, outcome) in enumerate(known, 1)),
    )


def _cell(index: int, key: str, written: notebooks.Record, ran: notebooks.Record, labels: Mapping[str, str]) -> Cell:
    results = notebooks.records(ran, "outputs") if ran else []
    console = notebooks.records(ran, "console") if ran else []
    traces = [item for item in console if item.get("mimetype") == notebooks.TRACEBACK]
    return Cell(
        index=index,
        id=notebooks.text(key),
        name=notebooks.name_of(written),
        code=notebooks.text(written.get("code")),
        hidden=_mapping(written, "config").get("hide_code") is True,
        outputs=tuple(_mapping(output, "data") for output in results if output.get("type") == "data"),
        errors=tuple(
            Error(notebooks.text(output.get("ename")), notebooks.text(output.get("evalue")))
            for output in results
            if output.get("type") == "error"
        ),
        console=tuple(_printed(item) for item in console if item.get("mimetype") != notebooks.TRACEBACK),
        tracebacks=tuple(notebooks.plain_traceback(notebooks.text(item.get("text")), labels) for item in traces),
    )


def _printed(item: notebooks.Record) -> Printed:
    content = item.get("text", item.get("data"))
    return Printed(
        stream=notebooks.text(item.get("name")) or "stdout",
        mime=notebooks.text(item.get("mimetype")) or "text/plain",
        text=notebooks.text(content),
    )


def _mapping(owner: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = owner.get(key)
    return value if isinstance(value, dict) else {}
