"""The one file of an export: its frame, its policy, and what it does with titles, heads and files that are none."""

from __future__ import annotations

import html.parser
import json

import pytest

from daglab import errors, notebooks
from daglab.page import writing

ENTRY = "https://cdn.jsdelivr.net/npm/@marimo-team/frontend@0.25.2/dist/assets/index.js"


def exported(title: str = "A title", code: str = "x = 1", output: str = "1", head: str = "") -> str:
    """An export as marimo writes it, what is not read left out."""
    cell = {"id": "Hbol", "code": code, "name": "_", "config": {"hide_code": False}}
    ran = {"id": "Hbol", "console": [], "outputs": [{"type": "data", "data": {"text/html": output}}]}
    parts = {
        "filename": "report.py",
        "version": "0.25.2",
        "appConfig": {"app_title": title},
        "view": {"showAppCode": True},
        "layout": None,
        "notebook": {"cells": [cell]},
        "session": {"cells": [ran]},
    }
    config = ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in parts.items())
    for sign in "<>&":
        config = config.replace(sign, f"\\u{ord(sign):04X}")
    return f"""<!DOCTYPE html>
<html lang="en">
  <head>
    <link rel="icon" href="https://cdn.jsdelivr.net/npm/@marimo-team/frontend@0.25.2/dist/favicon.ico" />
    <script type="module" crossorigin src="{ENTRY}"></script>
    <link rel="stylesheet" crossorigin href="https://cdn.jsdelivr.net/npm/@marimo-team/frontend@0.25.2/dist/a.css">
    {head}</head>
  <body>
    <div id="root"></div>
    <script data-marimo="true">
      Object.defineProperty(window, "__MARIMO_MOUNT_CONFIG__", {{
        value: Object.freeze({{{config}}}), writable: false, configurable: false,
      }});
    </script>
  </body>
</html>
"""


class Elements(html.parser.HTMLParser):
    """The elements of a page outside of its templates, with their attributes, and its title."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.title, self.folded, self.inside = "", 0, ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.folded += tag == "template"
        if not self.folded:
            self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""
        self.folded -= tag == "template"

    def handle_data(self, data: str) -> None:
        if self.inside == "title" and not self.folded:
            self.title += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_the_static_page_needs_nothing_of_what_lies_behind_it() -> None:
    page = writing.readable(exported())
    elements = Elements(page)
    assert [each.get("href") for each in elements.all("link")] == ["data:,"]
    assert [each.get("src") for each in elements.all("script")] == [None]
    assert elements.all("html") == [{"lang": "en"}]
    assert len(elements.all("main")) == 1
    assert page.index('<main id="notebook"') < page.index("<template")
    assert page.count(ENTRY) == 1
    assert notebooks.failed_cells(page) == []


def test_without_the_interactive_page_nothing_of_it_is_left_and_nothing_may_run() -> None:
    page = writing.readable(exported(code="secret_of_the_session = 1"), interactive="none")
    elements = Elements(page)
    [policy] = [each["content"] for each in elements.all("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.split("; ")[:2] == ["default-src 'none'", "img-src data:"]
    assert elements.all("script") == elements.all("template") == elements.all("button") == []
    assert "marimo-team" not in page
    with pytest.raises(errors.InvalidInput):
        notebooks.failed_cells(page)


@pytest.mark.parametrize("interactive", writing.INTERACTIVE)
@pytest.mark.parametrize(
    "title", ["</title><script>1</script>", '"><img src=x onerror=1>', "{{ 7 * 7 }}", "</template>", "é & ü <b>"]
)
def test_a_title_is_text(title: str, interactive: str) -> None:
    elements = Elements(writing.readable(exported(title), interactive=interactive))
    assert elements.title == title
    assert [each for each in elements.all("script") if each] == elements.all("img") == []


def test_a_notebook_without_a_title_has_its_files_name() -> None:
    page = writing.readable(exported(""))
    assert Elements(page).title == "report.py"
    assert (
        page.partition("<main")[0].count("report.py") == 2
    )  # in the title and the header, and not a second time there


@pytest.mark.parametrize(
    "head",
    [
        "<style>.mine { content: '</head><body>' }</style>",
        "<script>window.mine = '</template>'</script>",
        "</template><link rel='stylesheet' href='https://example.com/a.css'>",
        "<!-- a comment that never ends",
    ],
)
def test_what_an_author_puts_into_the_head_stays_behind_the_static_page(head: str) -> None:
    page = writing.readable(exported(head=head, output="<p>shown</p>"))
    static = page.partition("<template")[0]
    assert "shown" in static
    assert "</main>" in static
    assert head not in static
    assert notebooks.failed_cells(page) == []


def test_the_same_html_gives_the_same_page() -> None:
    assert writing.readable(exported()) == writing.readable(exported())


def test_what_is_no_export_is_refused() -> None:
    for text in ("", "<html></html>", exported().partition("session")[0], exported().partition("</body>")[0]):
        with pytest.raises(errors.InvalidInput) as raised:
            writing.readable(text)
        assert raised.value.hint
    with pytest.raises(errors.InvalidInput, match="wasm"):
        writing.readable(exported(), interactive="wasm")
