"""The gate of the static page: broken or hostile HTML as a tree, and what of it may stand in the file."""

from __future__ import annotations

import pytest

from daglab.page import harmless, markup


def through(html: str) -> str:
    return harmless.html(markup.parse(html), "p-")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a < b <= c", "a &lt; b &lt;= c"),
        ("a<!-->b<!--->c<!-- no -->d<!doctype html>e<?php no ?>f</>g", "abcdefg"),
        ("a<!-- never closed", "a"),
        ("a<!doctype never closed", "a"),
        ("a<b never closed", "a"),
        ("a<b title='never closed>b", "a"),
        ("<b>a<plaintext><i>b</b>", "<b>a&lt;i&gt;b&lt;/b&gt;</b>"),
        ("a</br>b", "a<br>b"),
        ("<h1>a<h2>b</h2>c", "<h1>a</h1><h2>b</h2>c"),
        ("<p>a<div>b</p>c", "<p>a</p><div>bc</div>"),
        ("<ul><li>a<li>b</ul>", "<ul><li>a</li><li>b</li></ul>"),
        ("a<xmp><b></xmp>", "a<pre>&lt;b&gt;</pre>"),
    ],
)
def test_broken_html_is_read_as_a_browser_reads_it(html: str, text: str) -> None:
    assert through(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (
            "<table>a<b>c</b><tr>d<svg></svg></tr></table>",
            "<table><tr><td>a</td></tr><tr><td><b>c</b></td></tr><tr><td>d</td><td><svg></svg></td></tr></table>",
        ),
        (
            "<table><colgroup>a<b>c</b><col span=2></colgroup></table>",
            '<table><colgroup><col span="2"></colgroup></table>',
        ),
        ("<td>a</td><summary>b</summary><col>", "ab"),
        ("<section><main>a</main></section>", "<div><div>a</div></div>"),
        ("<blink>a</blink><video2>b</video2>", "ab"),
        ("<a href='#top' id=x>a</a>", '<a href="#p-top" rel="noopener noreferrer" id="p-x">a</a>'),
        ("<a href='javascript:x()'>a</a><a href='#a b'>b</a>", "<a>a</a><a>b</a>"),
        ("<span class='paragraph'>a <b>b</b></span>", "<p>a <b>b</b></p>"),
        (
            "<p style='color: red !important; position: fixed; margin: -9px; fill: url(\"#g\")'>a</p>",
            '<p style="color: red; fill: url(#p-g)">a</p>',
        ),
        ("<b style='background: url(x); top: 0'>a</b>", "<b>a</b>"),
        ("<span class='k codehilite cell'>a</span>", '<span class="k codehilite">a</span>'),
        ("<ol start=x reversed><li value=3 onclick=x>a</ol>", '<ol reversed=""><li value="3">a</li></ol>'),
        ("<q title='<\x01'>", '<q title="&lt;\N{REPLACEMENT CHARACTER}"></q>'),
    ],
)
def test_what_may_stand_in_the_file_does_and_nothing_else(html: str, text: str) -> None:
    assert through(html) == text


@pytest.mark.parametrize(
    ("inside", "kept"),
    [
        ("<title>a<b>c</b></title>", "<title>ac</title>"),
        ("<a href='x'><rect onclick=x x=1 /></a>", '<rect x="1"></rect>'),
        ("<switch><circle r=1 /></switch>", '<circle r="1"></circle>'),
        ("<animate/><filter><rect/></filter><blob><rect/></blob>", ""),
        (
            "<image href='https://a.example/x.png'/><image href='data:image/png;base64,AA'/>",
            '<image href="data:image/png;base64,AA"></image>',
        ),
        ("<g id=a><rect/></g><use href='#a'/><use href='#b'/>", '<g id="p-a"><rect></rect></g><use href="#p-a"></use>'),
        ("<rect id=a /><clipPath><use href='#a'/></clipPath>", '<rect id="p-a"></rect><clippath></clippath>'),
        ("<g id=a><use href='#a'/></g>", '<g id="p-a"></g>'),
        ("<linearGradient id=g xlink:href='#h'/>", '<lineargradient id="p-g" href="#p-h"></lineargradient>'),
        (
            "<path fill='url(#g)' d='M0 0' aria-label='a < b'/>",
            '<path fill="url(#p-g)" d="M0 0" aria-label="a &lt; b"></path>',
        ),
        (
            "<clipPath><path style='fill: url(#g)' clip-path='url(#c)'/></clipPath>",
            "<clippath><path></path></clippath>",
        ),
        ("<path style='fill: url(#g)' filter='url(x)' stroke='URL(x)'/>", '<path style="fill: url(#p-g)"></path>'),
        ("a &lt; <foreignObject><p> </p></foreignObject>", "a &lt; "),
    ],
)
def test_a_drawing_keeps_what_loads_and_repeats_nothing(inside: str, kept: str) -> None:
    assert through(f"<svg>{inside}</svg>") == f"<svg>{kept}</svg>"


def test_elements_without_end_are_text_in_the_end() -> None:
    deep = markup.Node("b", {}, ["core"])
    for _ in range(harmless.DEEPEST + 10):
        deep = markup.Node("b", {}, [deep])
    html = harmless.html([deep], "p-")
    assert "core" in html
    assert html.count("<b>") == html.count("</b>") == harmless.DEEPEST + 1
