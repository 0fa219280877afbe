"""Exports that are readable anywhere, in a real browser that reaches nothing but this machine.

What an export has to show is what marimo's own page shows of the same notebook, its files taken from this machine.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import io
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daglab import notebooks
from daglab.page import notebook as page_notebook
from daglab.page import writing
from tests import tiers

pytestmark = pytest.mark.long

FIXTURES = Path(__file__).parents[1] / "fixtures"
CORPUS = sorted(path.stem for path in (FIXTURES / "corpus").glob("*.py"))
CDN = re.compile(r"https://cdn\.jsdelivr\.net/npm/@marimo-team/[^\s\"']*?/dist")

# --- what a page shows, cell by cell

WALK = """
const all = (root) => [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
const texts = (root) => {
  const found = [];
  const walk = (node) => {
    if (node.nodeType === Node.TEXT_NODE) {
      const range = document.createRange();
      range.selectNodeContents(node);
      if (range.getClientRects().length) found.push(node.data);
    } else if (!["STYLE", "SCRIPT"].includes(node.nodeName)) {
      for (const child of [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes]) walk(child);
    }
  };
  walk(root);
  return found;
};
const icons = 25; // pixels; a picture is wider
"""
# marimo's own page: the outputs and the console of each cell.
MARIMO = (
    WALK
    + """
const picture = (e) => (["IMG", "CANVAS", "VIDEO", "AUDIO", "IFRAME"].includes(e.tagName) ||
  (e.tagName === "svg" && !e.parentElement?.closest("svg") && e.getBoundingClientRect().width > icons)) &&
  e.getBoundingClientRect().width > 0;
return [...document.querySelectorAll("[data-cell-id]")].map((cell) => {
  const areas = [...cell.querySelectorAll(".output-area, .console-output-area")];
  return {
    id: cell.dataset.cellId,
    text: areas.flatMap(texts).join(" "),
    pictures: areas.flatMap(all).filter(picture).length,
  };
});
"""
)
# daglab's: what is seen of each cell without its code; a stand-in stands for a picture.
STATIC = (
    WALK
    + """
return [...document.querySelectorAll("main#notebook > section.cell")].map((cell) => {
  const parts = [...cell.children].filter((part) => !part.classList.contains("code"));
  const found = parts.flatMap(texts);
  const pictures = parts.flatMap((part) => [...part.querySelectorAll("img, svg, video, audio, .stand-in")]);
  return {
    text: `${found.join(" ")} ${found.join("")}`,
    pictures: pictures.filter((each) => each.getBoundingClientRect().width > 0).length,
  };
});
"""
)
WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")
# What marimo's page says of itself, and of nothing in the notebook.
CHROME = re.compile(
    r"No selection|\d+ rows?, \d+ columns?|\d+ Items?\b|\.\.\. \d+ more items|\b\d+ : |marimo://\S+|\*\w+"
    r"|This cell wasn't run because it has errors|TRACEBACK|\bCell\b|Fullscreen|Submit|Listing files|Select all"
    r"|[\d.]+ iter/s · Total time \S+|No outline found\. Add markdown headings to your notebook to create an outline\."
)
BROKEN = "Something went wrong"


@dataclass(frozen=True)
class Network:
    """This machine in place of marimo's CDN: `address` answers, each other one fails in its own way."""

    address: str
    asked: list[str]

    def page(self, html: str, place: Path, address: str | None = None) -> str:
        """Write a page whose CDN is here, and give its address as a file."""
        found, count = CDN.subn(address or self.address, html)
        assert count
        place.write_text(found, encoding="utf-8")
        return place.as_uri()


@pytest.fixture(scope="session")
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The notebooks of the corpus that are asked for, as marimo exports them, by name."""
    folder = tmp_path_factory.mktemp("corpus") / "notebooks"
    folder.mkdir()
    notebooks = []
    parameters = (getattr(item, "callspec", None) for item in request.session.items)
    wanted = {"layouts", "many_cells", *(each.params.get("name") for each in parameters if each)}
    for source in (FIXTURES / "corpus" / f"{name}.py" for name in CORPUS if name in wanted):
        notebooks.append(folder / source.name)
        notebooks[-1].write_bytes(source.read_bytes())
    command = [sys.executable, str(FIXTURES / "corpus_exports.py"), str(folder), "2", *map(str, notebooks)]
    subprocess.run(command, check=True, capture_output=True, timeout=600, cwd=folder)
    return {notebook.stem: notebook.with_suffix(".html").read_text(encoding="utf-8") for notebook in notebooks}


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    import marimo

    asked: list[str] = []
    over = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            kind, _, rest = self.path[1:].partition("/")
            if kind == "silent" or (kind == "halfway" and "index-" not in rest and rest.endswith(".js")):
                over.wait(60)
            elif kind == "broken" and "index-" not in rest:
                return self.send_error(404)
            self.path = f"/{rest}"
            with contextlib.suppress(ConnectionError):
                super().do_GET()
            return None

        def end_headers(self) -> None:
            self.send_header("Access-Control-Allow-Origin", "*")
            super().end_headers()

        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(Path(marimo.__file__).parent / "_static"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield Network(f"http://127.0.0.1:{server.server_address[1]}/cdn", asked)
        finally:
            over.set()
            server.shutdown()
            thread.join()


SIZE = WALK + "return [all(document).length, texts(document.body).reduce((sum, text) => sum + text.length, 0)]"


def settled(reader: Any, script: str) -> Any:
    """What a script finds, once the page has the same size several times in a row."""
    sizes: list[Any] = []

    def same() -> bool:
        sizes.append(reader.run(SIZE))
        return len(sizes) > 4 and all(size == sizes[-1] for size in sizes[-5:])

    reader.wait_until(same, "the page stands still")
    return reader.run(script)


def words_of(text: str) -> set[str]:
    """Its words and numbers, but for what is marimo's own: 1,234 is 1234, and 1.50 is 1.5."""
    text = CHROME.sub(" ", " ".join(text.split()))
    found = WORD.findall(re.sub(r"(?<=\d),(?=\d{3})", "", text))
    return {f"{float(word):.12g}" if word[0].isdigit() else word for word in found}


# --- everything is shown

# Words of marimo's page that stand there in another form, and what stands in their place.
OTHERWISE: dict[str, tuple[str, tuple[str, ...]]] = {
    "latex": ("e i π iπ n k x dx d", (r"e^{i\pi} + 1 = 0", r"\int_0^\infty", r"\sum_{k=1}^n k")),
    "sql": ("1 9", ("SELECT city, count(*) FROM orders",)),  # its lines are numbered
    "tables_pandas": (  # the types of the columns, and two tools to look at a table with
        "str datetime 64 us float Add No Select Transform a begin results to transform Count Encodings Mark auto color"
        " column fields month row shape size year x y",
        ("Columns: name, born, score", "1815-12-10 1.5"),
    ),
    "tables_polars": ("str f 64 list TABLE Query planTable planTABLE π plan Table", ("bolt 1.25", "nut 0.75")),
    "plotly_figure": ("0 5 10 15 20 25", ("wed 7",)),  # its ticks
    "widgets": (  # a day in another form, the folder, a line's number, and what a chat invites to
        "AM 9 1 notebooks Start Type a below by conversation here messages typing your yet message No",
        ("2026-01-31T10:30", "2026-02-01 to 2026-02-28", "SELECT 1 AS one", "Chat"),
    ),
}
# Where marimo draws what is there in words: a root, the distribution of a column.
DRAWN = ("latex", "tables_pandas")
# What each has to show, whatever marimo's page makes of it: it breaks on some tables, and on what is hostile.
SAID = {
    "tables_marimo": ("436332", "0.052", "Letters", "361", "Basel"),
    "layouts": ("words of the second tab", "more words", "second slide", "Watch out for this."),
    "layouts_nested": ("deep table", "deep callout with", "deep slider", "the very inside"),
    "hostile": ("outside?", "an open table", "the rest is text", "still here"),
    "error_exception": ("ValueError: invalid literal for int()", "direct cause", "RuntimeError: the configuration"),
    "sidebar": ("In the sidebar",),
    "long_lines": ("line 0", "line 9999"),
}
LONG = ("long_lines", "long_output")
SHOWN = ("console", "error_exception", "hostile", "latex", "layouts", "markdown_only", "sidebar", "tables_marimo")


@pytest.mark.parametrize("name", tiers.few(CORPUS, SHOWN))
def test_a_page_shows_all_that_marimos_page_shows(
    name: str, exported: dict[str, str], network: Network, reader: Any, tmp_path: Path
) -> None:
    html = exported[name]
    page = tmp_path / "page.html"
    page.write_text(writing.readable(html), encoding="utf-8")
    reader.open(page.as_uri())
    ids = [cell.id for cell in page_notebook.read(html).cells]
    ours = dict(zip(ids, reader.run(STATIC), strict=True))
    shown = "\n".join(cell["text"] for cell in ours.values())
    other, instead = OTHERWISE.get(name, ("", ()))
    assert [text for text in (*SAID.get(name, ()), *instead) if text not in shown] == []
    reader.open(network.page(html, tmp_path / "marimo.html"))
    reader.wait_until(lambda: reader.run("return document.querySelector('#App') !== null"), "marimo is there")
    missing = {}
    for cell in settled(reader, MARIMO):
        mine = ours[cell["id"]]
        wanted = set() if BROKEN in cell["text"] else words_of(cell["text"]) - set(other.split())
        left = wanted - words_of(mine["text"])
        if left and not (name in LONG and "not shown" in mine["text"]):
            missing[cell["id"]] = left, cell["text"][:300], mine["text"][:300]
        if cell["pictures"] and not mine["pictures"] and name not in DRAWN:
            missing[cell["id"]] = f"{cell['pictures']} pictures", mine["text"][:300]
    assert missing == {}


@pytest.mark.parametrize("interactive", writing.INTERACTIVE)
def test_with_scripts_switched_off_all_is_shown(
    interactive: str, exported: dict[str, str], reader: Any, tmp_path: Path
) -> None:
    """Seen on paper, as a page without scripts answers no questions: the same text as with scripts."""
    page = tmp_path / "page.html"
    page.write_text(writing.readable(exported["layouts"], interactive=interactive), encoding="utf-8")
    reader.open(page.as_uri())
    with_scripts = paper(reader)
    reader.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        reader.open(page.as_uri())
        without = paper(reader)
    finally:
        reader.command("Emulation.setScriptExecutionDisabled", value=False)
    assert "wordsofthesecondtab" in without
    assert without == with_scripts


# --- nothing breaks out

HARM = """
return {
  marks: { ...document.body.dataset },
  cells: document.querySelectorAll("main#notebook > section.cell").length,
  body: [...document.body.children].map((e) => e.localName),
  foreign: performance.getEntriesByType("resource").map((e) => e.name).filter((name) => !name.includes("marimo-team")),
  root: document.querySelectorAll("#root").length,
  title: document.title,
  place: location.href,
  footer: document.querySelector("body > footer").innerText,
  top: document.elementFromPoint(innerWidth / 2, 20)?.closest("header") !== null,
  code: [...document.querySelectorAll("main *")].flatMap((e) => [...e.attributes]).filter(
    (a) => a.name.startsWith("on") || /^\\s*(javascript|vbscript|data:text)/i.test(a.value)).map((a) => a.name),
  active: document.querySelectorAll(
    "main :is(script, iframe, object, embed, link, meta, base, form, style, template, plaintext, noscript)").length,
};
"""


@pytest.mark.parametrize("interactive", writing.INTERACTIVE)
@pytest.mark.parametrize("name", ["hostile", "scripts", "frames", "other_widgets"])
def test_no_output_runs_loads_or_leaves_its_cell(
    name: str, interactive: str, exported: dict[str, str], reader: Any, tmp_path: Path
) -> None:
    html = exported[name]
    page = tmp_path / "page.html"
    page.write_text(writing.readable(html, interactive=interactive), encoding="utf-8")
    reader.open(page.as_uri())
    reader.resize(1280)
    found = reader.run(HARM)
    read = page_notebook.read(html)
    behind = ["button", "template", "template", "script"] if interactive == "cdn" else []
    assert found["body"] == ["a", "header", "main", "footer", *behind]
    assert found["cells"] == len(read.cells)
    assert found["footer"].startswith("What the marimo notebook showed")
    assert found["title"] == read.title
    assert found["place"] == page.as_uri()
    assert found["top"]
    assert (found["marks"], found["code"], found["active"], found["root"], found["foreign"]) == ({}, [], 0, 0, [])


# --- marimo's page takes over

VIEW = "return document.documentElement.dataset.daglabView || null"
SEEN = """
const seen = (e) => e !== null && e.getClientRects().length > 0 && getComputedStyle(e).visibility === "visible";
return { static: seen(document.querySelector("main#notebook")), marimo: seen(document.querySelector("#App")) };
"""
TAB = (
    WALK
    + """
const found = all(document).find((e) => e.getAttribute("role") === "tab" && e.innerText.trim() === arguments[0]);
if (found) for (const kind of ["mousedown", "click"]) found.dispatchEvent(new MouseEvent(kind, { bubbles: true }));
return Boolean(found);
"""
)
PANELS = (
    WALK
    + """
return all(document).filter((e) => e.getAttribute("role") === "tabpanel").flatMap(texts).join(" ")
"""
)
PRINTED = "return document.querySelector('main#notebook').innerText"


def test_marimos_page_takes_over_in_place_and_works(
    exported: dict[str, str], network: Network, reader: Any, tmp_path: Path
) -> None:
    reader.complaints()  # of tests before
    reader.open(network.page(writing.readable(exported["layouts"]), tmp_path / "page.html"))
    reader.wait_until(lambda: reader.run(VIEW) == "interactive", "marimo's page is there")
    assert reader.run(SEEN) == {"static": False, "marimo": True}
    assert "words of the first tab" in reader.run(PANELS)
    assert reader.run(TAB, "Second tab")
    reader.wait_until(lambda: "words of the second tab" in reader.run(PANELS), "the other tab is chosen")
    reader.press("Static page")
    assert reader.run(SEEN) == {"static": True, "marimo": False}
    assert reader.run(VIEW) == "static"
    assert reader.run("return getComputedStyle(document.querySelector('body > header')).display") == "flex"
    reader.press("Interactive page")
    assert reader.run(SEEN) == {"static": False, "marimo": True}
    assert "words of the second tab" in reader.run(PANELS)
    assert reader.complaints() == []


@pytest.mark.parametrize(
    "name", tiers.few(["empty", "markdown_only", "sidebar", "error_exception", "many_cells", "widgets"], ["sidebar"])
)
def test_marimos_page_is_the_same_as_its_own_export(
    name: str, exported: dict[str, str], network: Network, reader: Any, tmp_path: Path
) -> None:
    def shown(html: str) -> Any:
        reader.open(network.page(html, tmp_path / "page.html"))
        reader.wait_until(lambda: reader.run("return document.querySelector('#App') !== null"), "marimo is there")
        return settled(reader, MARIMO)

    theirs = shown(exported[name])
    ours = shown(writing.readable(exported[name]))
    reader.wait_until(lambda: reader.run(VIEW) == "interactive", "marimo's page is there")
    assert settled(reader, MARIMO) == theirs
    assert {cell["id"] for cell in ours} == {cell["id"] for cell in theirs}


@pytest.mark.parametrize("kind", ["silent", "halfway", "broken", "none", "cut"])
def test_where_marimos_files_do_not_come_nothing_changes(
    kind: str, exported: dict[str, str], network: Network, reader: Any, tmp_path: Path
) -> None:
    """Nothing answers, some of it does, half of it is missing, there is no such machine, there is no network."""
    address = network.address.removesuffix("/cdn")
    page = writing.readable(exported["layouts"]).replace("const PATIENCE = 8000;", "const PATIENCE = 700;")
    assert "const PATIENCE = 700;" in page
    del network.asked[:]
    reader.complaints()
    where = "http://marimo.invalid/cdn" if kind == "none" else f"{address}/{kind}"
    url = network.page(page, tmp_path / "page.html", where)
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    try:
        reader.command("Network.enable")
        reader.command("Network.emulateNetworkConditions", offline=kind == "cut", **offline)
        reader.open(url)
        before = reader.run(PRINTED)
        assert "words in the accordion" in before
        reader.run("window.over = false; setTimeout(() => { window.over = true; }, 2500);")
        reader.wait_until(lambda: reader.run("return window.over"), "its patience is over")
        assert reader.run(SEEN) == {"static": True, "marimo": False}
        assert reader.run(PRINTED) == before
        assert reader.run(VIEW) is None
        assert reader.run("return getComputedStyle(document.querySelector('#daglab-view')).display") == "none"
    finally:
        reader.command("Network.emulateNetworkConditions", offline=False, **offline)
    failed = [each for each in reader.complaints() if "Failed to load resource" not in each]
    assert failed == []
    if kind == "silent":
        assert len(network.asked) == 1  # the first of its files, and no other before that has come


def test_whoever_reads_is_not_interrupted(
    exported: dict[str, str], network: Network, reader: Any, tmp_path: Path
) -> None:
    reader.resize(1280, 600)
    url = network.page(writing.readable(exported["many_cells"]), tmp_path / "page.html")
    reader.open(f"{url}#cell-50")
    reader.wait_until(lambda: reader.run(VIEW) == "static", "marimo's page is there, and waits")
    assert reader.run(SEEN) == {"static": True, "marimo": False}
    reader.press("Interactive page")
    assert reader.run(SEEN) == {"static": False, "marimo": True}


# --- on paper


def paper(reader: Any) -> str:
    """The text of the page as Chromium prints it, without white space."""
    import pypdf

    done = reader.command("Page.printToPDF", printBackground=True)
    pages = pypdf.PdfReader(io.BytesIO(base64.b64decode(done["data"]))).pages
    return "".join("".join(page.extract_text() for page in pages).split())


@pytest.mark.parametrize(
    "name", tiers.few(["layouts", "tables_pandas", "error_exception", "latex", "console"], ["layouts", "latex"])
)
def test_print_shows_the_same_text(
    name: str, exported: dict[str, str], network: Network, reader: Any, tmp_path: Path
) -> None:
    """What is folded is printed open; and it is the static page that is printed, also from marimo's."""
    reader.open(network.page(writing.readable(exported[name]), tmp_path / "page.html"))
    text = reader.run(STATIC)
    code = [cell.code for cell in page_notebook.read(exported[name]).cells]
    reader.wait_until(lambda: reader.run(VIEW) == "interactive", "marimo's page is there")
    printed = paper(reader)
    lost = [
        word
        for part in [*(cell["text"] for cell in text), *code]
        for word in WORD.findall(part)
        if word.isascii() and word not in printed
    ]
    assert lost == []
    assert "Staticpage" not in printed
    assert "madewithmarimo" not in printed


# --- the file


@pytest.mark.parametrize("name", tiers.few(CORPUS, SHOWN))
def test_the_outcome_can_still_be_read_from_it(name: str, exported: dict[str, str]) -> None:
    page = writing.readable(exported[name])
    assert notebooks.failed_cells(page) == notebooks.failed_cells(exported[name])
    assert page == writing.readable(exported[name])
    assert not re.search(r"<(script|link)\b[^>]*(src|href)=\"http", page.partition("<template")[0])
    alone = writing.readable(exported[name], interactive="none")
    assert "<script" not in alone
    assert "cdn.jsdelivr.net" not in alone
