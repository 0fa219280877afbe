"""Outputs that try to leave their cell, run code, or call home, judged by a real browser."""

from __future__ import annotations

import http.server
import random
import threading
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest

from daglab.page import body, notebook
from tests import marimo_pages

# What an output is made of in the generated cases: all that moves a parser, whole and broken off.
PIECES = (
    """
<div>|</div>|<p>|</p>|<span>|</span>|<section>|</section>|<main>|</main>|<article>|</article>|</body>
</html>|<body>|<html>|<table>|</table>|<tr>|</tr>|<td>|</td>|<th>|<thead>|<tbody>|</tbody>|<caption>
</caption>|<colgroup>|<col>|<table><div>|<h1>|<h2>|</h1>|</h3>|<a href=#x>|</a>|<b>|</b>|<i>|</i>|<nobr>
<button>|</button>|<form>|</form>|<select>|<option>|</select>|<ul>|<li>|</ul>|</li>|<dl>|<dt>|<dd>
<details>|<summary>|</details>|<pre>|</pre>|<hr>|<br>|</br>|<img>|<center>|<font>|<svg>|</svg>|<g>|</g>
<path>|<title>|</title>|<desc>|<foreignObject>|</foreignObject>|<math>|<mtext>|<mi>|<annotation-xml>
<script>|</script>|<style>|</style>|<template>|</template>|<noscript>|</noscript>|<textarea>|</textarea>
<xmp>|</xmp>|<iframe>|</iframe>|<plaintext>|<!--|-->|<!|<?|<![CDATA[|]]>|<|</|<a b='|"|'|&lt;|&#60;|text
<div id=x|/>|<object>|</object>|<marimo-accordion data-labels='["a"]'>|</marimo-accordion>|<marimo-form>
</marimo-form>|<marimo-x>|</marimo-x>|<frameset>|<q>
<marimo-callout-output data-html='"</div></section><b>"'></marimo-callout-output>|<marimo-tabs><div>
<ruby>|<rt>|<applet>
""".strip()
    .replace("\n", "|")
    .split("|")
)
HOME = "HOME"  # the address of a server that must not hear of any of this
CODE = "window.broken=1"
ATTACKS = [
    f"<script>{CODE}</script><script src=HOME/1></script>",
    f"<img src=x onerror='{CODE}'><img src=HOME/2><img srcset='HOME/3 2x'>",
    "<picture><source srcset=HOME/4><img></picture>",
    f"<svg onload='{CODE}'><script>{CODE}</script><image href=HOME/5 /><use href=HOME/6#a /></svg>",
    f"<svg><animate onbegin='{CODE}' attributeName=x dur=1s /><set attributeName=href to='javascript:{CODE}'/></svg>",
    f"<svg><foreignObject><img src=x onerror='{CODE}'></foreignObject></svg>",
    "<svg><style>*{background:url(HOME/7)}</style><rect style='fill:url(HOME/8)' fill='url(HOME/9)' /></svg>",
    f"<a href='javascript:{CODE}'>a</a><a href=' java\tscript:{CODE}'>b</a><a href='data:text/html,<script>'>c</a>",
    f"<iframe src=HOME/10></iframe><iframe srcdoc='<script>top.{CODE}</script><img src=HOME/11>'></iframe>",
    "<style>body{display:none} @import 'HOME/12';</style><link rel=stylesheet href=HOME/13>",
    "<base href=HOME/><meta http-equiv=refresh content='0;url=HOME/14'><a href=x>relative</a>",
    "<form action=HOME/15><input autofocus onfocus='window.broken=1'><button>go</button></form>",
    "<div style='position:fixed;top:0;left:0;width:9999px;height:9999px;background:url(HOME/16)'>over all</div>",
    "<div style='margin:-9999px;background-image:url(HOME/17);width:expression(alert(1))'>out</div>",
    "<div style='background:u\\72l(HOME/18);b\\61ckground:url(HOME/19)'>escaped</div>",
    "<video src=HOME/20 autoplay poster=HOME/21></video><audio src=HOME/22 autoplay></audio><embed src=HOME/23>",
    "<object data=HOME/24><param name=movie value=HOME/25></object><body background=HOME/26 onload='window.broken=1'>",
    "<div id=cell-1 class='cell output note'>mimics</div><div id=after name=after>clobbers</div>",
    f"<marimo-callout-output data-html='&quot;&lt;img src=x onerror={CODE}&gt;&quot;'></marimo-callout-output>",
    f"<math><mtext><table><mglyph><style><img src=x onerror='{CODE}'></style></mglyph></table></mtext></math>",
    f"<noscript><p title='</noscript><img src=x onerror={CODE}>'></noscript>",
    "</div></section></main></body></html><p id=outside>outside</p>",
    "<h3><div><h1><h2></h2></h1></div></h3></div></div>" * 5,
    "<table><tr><td></section><p>" * 9 + "</table></section></main>",
    "<a><div><a></div></a></a><table><a><tr></a></table><b><table></b><p></b>" * 9,
    "<div>" * 10_000 + "deep" + "</div>" * 5_000 + "</section>" * 10,
    "<marimo-accordion data-labels='[]'><div>" * 3_000,
    "<svg><g id=a0><rect/></g>" + "".join(
        f"<g id=a{n}>" + f"<use href=#a{n - 1} />" * 10 + "</g>" for n in range(1, 12)
    ) + "<use href=#a11 /></svg>",
]  # fmt: skip
JUDGE = """
const found = [];
const wrong = (what, node) => found.push(what + ": " + (node.outerHTML || String(node)).slice(0, 200));
const main = document.querySelector("main");
const ids = [...document.body.children].map((e) => e.tagName + "#" + e.id).join(" ");
if (ids !== "MAIN# P#after") wrong("beside main: " + ids, document.body);
[...main.childNodes].forEach((e) => { if (e.nodeType !== 1 && e.textContent.trim()) wrong("text in main", e); });
[...main.children].forEach((cell, at) => {
  const number = at + 1;
  if (cell.tagName !== "SECTION" || cell.id !== "cell-" + number) wrong("not a cell", cell);
  if (!cell.lastElementChild.matches("section.output")) wrong("no output", cell);
  [...cell.children].forEach((e) => { if (!e.matches("details.code, section.output")) wrong("beside the output", e); });
  cell.querySelectorAll("section.output *").forEach((e) => {
    const name = e.tagName.toLowerCase();
    const bad = "script style link meta base iframe object embed form input button template noscript foreignobject "
      + "animate set section main article body html textarea select";
    if (bad.split(" ").includes(name)) wrong("element", e);
    if (getComputedStyle(e).position !== "static") wrong("position", e);
    for (const { name: key, value } of e.attributes) {
      if (key.startsWith("on")) wrong("handler", e);
      if (key === "id" && !value.startsWith("c" + number + "-")) wrong("id", e);
      if (/(href|src|action|data|poster|background|srcset)$/.test(key)
          && !/^(#c|https?:|mailto:|data:(image|audio|video|application)\\/)/.test(value)) wrong("url", e);
      if (key === "src" && !value.startsWith("data:")) wrong("loads", e);
      if (/url\\((?!#c)/.test(value) && key !== "alt" && key !== "title" && key !== "aria-label") wrong("style", e);
    }
  });
});
if (window.broken) wrong("code ran", document.body);
return { found, cells: main.children.length };
"""


@pytest.fixture
def home() -> Iterator[tuple[str, list[str]]]:
    """A server, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def judged(browser: Any, folder: Path, outputs: list[str]) -> list[str]:
    """What is wrong with the page of these outputs, a cell each, to a browser that has parsed it."""
    html = body.render(notebook.read(marimo_pages.page(*({"html": f"x{each}"} for each in outputs))))
    file = folder / "page.html"
    file.write_text(f"<!doctype html><meta charset=utf-8><body><main>{html}</main><p id=after>after</p>")
    browser.open(file.as_uri())
    verdict = browser.run(JUDGE)
    assert verdict["cells"] == len(outputs)
    return list(verdict["found"])


@pytest.mark.long
def test_no_attack_leaves_its_cell(browser: Any, tmp_path: Path, home: tuple[str, list[str]]) -> None:
    address, asked = home
    attacks = [attack.replace(HOME, address) for attack in ATTACKS]
    nested = [marimo_pages.element("callout-output", html=attack, kind="info") for attack in attacks]
    nested += [marimo_pages.element("accordion", f"<div>{attack}</div>", labels=[attack]) for attack in attacks]
    nested += [f"<iframe srcdoc='{escape(attack)}'></iframe>" for attack in attacks]
    nested += [marimo_pages.element("table", data=[{"a": {"mimetype": "text/html", "data": one}}]) for one in attacks]
    nested += [marimo_pages.element("json-output", json_data=["text/html:" + attack]) for attack in attacks]
    assert judged(browser, tmp_path, attacks + nested) == []
    assert asked == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_no_mixture_of_broken_html_leaves_its_cell(browser: Any, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    outputs = ["".join(chance.choices(PIECES, k=chance.randint(2, 40))) for _ in range(400)]
    assert judged(browser, tmp_path, outputs) == []
