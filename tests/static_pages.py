"""The static page of made-up outputs, as a parser that is not daglab's reads it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from daglab.page import body, markup, notebook
from tests.marimo_pages import page


class Reader(HTMLParser):
    """The standard library's parser, as a witness: text, elements, and whether all that is opened is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.names: list[str] = []
        self.open: list[str] = []
        self.errors: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.names.append(tag)
        if tag not in markup.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.errors.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words)).strip()


def shown(*cells: Any, **members: Any) -> Reader:
    read = Reader(body.render(notebook.read(page(*cells, **members))))
    assert read.errors == []
    assert read.open == []
    return read


def of_html(html: str) -> Reader:
    return shown({"html": html, "code": ""})


def of_data(**forms: Any) -> Reader:
    data = {name.replace("__", "/").replace("_", "-"): value for name, value in forms.items()}
    return shown({"outputs": [{"type": "data", "data": data}], "code": ""})
