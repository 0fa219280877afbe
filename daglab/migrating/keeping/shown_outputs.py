"""What a Jupyter cell has shown, as marimo shows it: one output a cell, and a console.

A notebook may be a stranger's: its HTML passes the gate that exports pass too (`page.harmless`), so no script is left,
drawings become images, and formulas are text. What has no form here is named in a remark.
"""

from __future__ import annotations

import base64
import importlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from daglab.page import harmless, markup
from daglab.page.markup import Node

LONGEST_OUTPUT = 5_000_000  # characters of what a cell shows
LONGEST_CONSOLE = 1_000_000  # and of what it has printed
ERROR = "error"
PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
_VEGA = re.compile(r"application/vnd\.vega(lite)?\.v([0-9]+)(\.[0-9.]+)?\+json")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]+")
_DRAWN = re.compile(r"<(?:img|svg|table|hr|audio|video|meter|progress)\b|[^\s<>](?![^<>]*>)")
_MATH = re.compile("\ue000([0-9]+)\ue001")
_HIDDEN = re.compile("[\ue000\ue001]")
_DOLLARS = re.compile(r"\$\$?(.*?)\$\$?", re.DOTALL)
# What Jupyter would rather show than the others of one output, first; all else is no form of its own.
FORMS = (
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/bmp",
    "text/latex",
    "application/json",
    "text/plain",
)
PAGES = ("iframe", "object", "embed", "applet", "frame", "canvas")
MARKDOWN = {
    "extensions": ["tables", "sane_lists", "pymdownx.arithmatex", "pymdownx.superfences", "pymdownx.tilde"],
    "extension_configs": {
        "pymdownx.arithmatex": {
            "preview": False,
            "generic": True,
            "tex_inline_wrap": ["||(", "||)"],
            "tex_block_wrap": ["||[", "||]"],
            "block_tag": "marimo-tex",
            "inline_tag": "marimo-tex",
        },
        "pymdownx.superfences": {"css_class": "codehilite"},
    },
}


@dataclass(frozen=True)
class Form:
    """One thing that is shown, by mime type; `html` is the same where several are shown together."""

    mime: str
    data: Any
    html: str


@dataclass(frozen=True)
class Shown:
    """What a cell shows: `output` as marimo's session record has it, None for nothing, and its console's lines."""

    output: Mapping[str, Any] | None = None
    console: tuple[Mapping[str, Any], ...] = ()
    remarks: tuple[str, ...] = field(default=())


def shown(outputs: Sequence[Mapping[str, Any]], prefix: str, before: Sequence[Form] = ()) -> Shown:
    """The outputs of a Jupyter cell, below `before`; ids in their HTML get the prefix."""
    forms, console, errors = [*before], [], []
    remarks: list[str] = []
    for number, output in enumerate(outputs):
        kind = output.get("output_type")
        if kind == "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            console.append(_line(name, text_of(output.get("text"))))
        elif kind == ERROR:
            errors.append(output)
            console.append(_line("stderr", _traceback(output)))
        else:
            data = output.get("data")
            forms += _forms(data if isinstance(data, dict) else {}, f"{prefix}{number}-", remarks)
    console, cut = _bounded(console)
    remarks += ["What it printed was cut."] * cut
    return Shown(_together(forms, errors, remarks), tuple(console), tuple(dict.fromkeys(remarks)))


def text_of(value: Any) -> str:
    """A text that nbformat may have in lines."""
    if isinstance(value, list):
        value = "".join(each for each in value if isinstance(each, str))
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return text.encode("utf-8", "replace").decode()


def markdown(text: str, prefix: str) -> Form:
    """Markdown as marimo shows it."""
    rendered = _renderer().markdown(_HIDDEN.sub("", text), **MARKDOWN)
    tree = markup.parse(rendered)
    formulas: list[str] = []
    _take_formulas(tree, formulas)
    html = _MATH.sub(lambda found: _formula(formulas, found), harmless.html(tree, prefix))
    html = f'<span class="markdown prose dark:prose-invert contents">{html}</span>'
    return Form("text/markdown", html, html)


def _renderer() -> Any:
    return importlib.import_module("markdown")  # marimo's own, which has no types


def _line(name: str, text: str) -> dict[str, Any]:
    return {"type": "stream", "name": name, "text": _overwritten(text), "mimetype": "text/plain"}


def _overwritten(text: str) -> str:
    """What is left of lines that were written over, as progress bars are."""
    text = text.replace("\r\n", "\n")
    if "\r" not in text:
        return text
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _bounded(console: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    kept, left = [], LONGEST_CONSOLE
    for line in console:
        if left > 0:
            kept.append({**line, "text": line["text"][:left]})
        left -= len(line["text"])
    if left < 0:
        kept.append(_line("stderr", f"\n{-left:,} characters more were not kept."))
    return kept, left < 0


def _traceback(output: Mapping[str, Any]) -> str:
    lines = output.get("traceback")
    said = "\n".join(text_of(each) for each in lines) if isinstance(lines, list) else ""
    return f"{said or _named(output)}\n"


def _named(output: Mapping[str, Any]) -> str:
    return f"{text_of(output.get('ename'))}: {text_of(output.get('evalue'))}"


def _together(
    forms: Sequence[Form], errors: Sequence[Mapping[str, Any]], remarks: list[str]
) -> Mapping[str, Any] | None:
    if errors and not forms:
        last = errors[-1]
        name, value = text_of(last.get("ename"))[:1000], text_of(last.get("evalue"))[:LONGEST_CONSOLE]
        return {"type": ERROR, "ename": name, "evalue": value, "traceback": []}
    said = [_plain(_named(each)) for each in errors]
    kept, left = [], LONGEST_OUTPUT
    for form in [*forms, *said]:
        left -= len(form.html)
        if left >= 0:
            kept.append(form)
    if left < 0:
        remarks.append(f"Some of what it showed is left out: it is longer than {LONGEST_OUTPUT:,} characters.")
    if not kept:
        return None
    if len(kept) == 1:
        return {"type": "data", "data": {kept[0].mime: kept[0].data}}
    stacked = "".join(f"<div>{form.html}</div>" for form in kept)
    html = f"<div style='display: flex; flex-direction: column; gap: 0.5rem'>{stacked}</div>"
    return {"type": "data", "data": {"text/html": html}}


def _forms(data: Mapping[str, Any], prefix: str, remarks: list[str]) -> Iterator[Form]:
    """The best form of one output, if it has any."""
    if WIDGET in data:
        remarks.append("A widget is not shown: it lived in the kernel.")
    for mime, value in data.items():
        if (chart := _chart(mime, value)) is not None:
            yield chart
            return
    for mime in FORMS:
        if mime in data and (found := _form(mime, data[mime], prefix)) is not None:
            yield found
            return
    if WIDGET not in data and data:
        remarks.append(f"What it showed has no form that is kept: {', '.join(sorted(map(str, data)))[:200]}.")


def _chart(mime: str, value: Any) -> Form | None:
    value = _loaded(value)
    if not isinstance(value, dict):
        return None
    if mime == PLOTLY:
        figure = {key: value[key] for key in ("data", "layout", "frames") if key in value}
        html = _element("marimo-plotly", figure=figure, config={})
        return Form("text/html", html, html)
    if found := _VEGA.fullmatch(mime):
        version = max(5, min(6, int(found[2][:3])))
        known = f"application/vnd.vega{found[1] or ''}.v{version}+json"
        return Form(known, value, _element("marimo-mime-renderer", mime=known, data=value))
    return None


def _loaded(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None


def _form(mime: str, value: Any, prefix: str) -> Form | None:
    if mime == "application/json":
        return Form(mime, value, _element("marimo-json-output", json_data=value, value_types="json"))
    text = text_of(value)
    if mime == "text/html":
        tree = markup.parse(text)
        _drop_pages(tree)
        html = harmless.html(tree, prefix)
        return Form(mime, html, html) if _DRAWN.search(html) else None
    if mime == "text/markdown":
        return markdown(text, prefix)
    if mime == "text/latex":
        inner = found[1] if (found := _DOLLARS.fullmatch(text.strip())) else text
        html = _tex(f"||[{inner}||]")
        return Form("text/html", html, html)
    if mime.startswith("image/"):
        return _image(mime, text)
    return _plain(text)


def _plain(text: str) -> Form:
    """A text in its columns, as marimo has it: its text/plain is set as prose is."""
    html = f"<pre class='text-xs'>{harmless.text(text)}</pre>"
    return Form("text/html", html, html)


def _image(mime: str, text: str) -> Form | None:
    """A picture as an address with all its data in it: what a drawing holds can do nothing there."""
    if mime == "image/svg+xml":
        encoded = base64.b64encode(text.encode()).decode()
    else:
        encoded = "".join(text.split())
        if not _BASE64.fullmatch(encoded):
            return None
    url = f"data:{mime};base64,{encoded}"
    html = f'<img src="{url}" alt="">'
    return Form("text/html", html, html) if mime == "image/svg+xml" else Form(mime, url, html)


def _tex(wrapped: str) -> str:
    return f'<marimo-tex class="arithmatex">{escape(wrapped)}</marimo-tex>'


def _element(name: str, **values: Any) -> str:
    """One of marimo's own elements, its values in JSON."""
    given = {f"data-{key.replace('_', '-')}": json.dumps(value) for key, value in values.items()}
    pairs = " ".join(f"{key}='{_attribute(value)}'" for key, value in given.items())
    return f"<{name} {pairs}></{name}>"


def _attribute(text: str) -> str:
    text = text.replace("<", r"\u003c").replace(">", r"\u003e")
    return escape(text).replace("\\", "&#92;").replace("$", "&#36;")


def _drop_pages(content: list[Node | str]) -> None:
    """Take out what only a script or another page could fill."""
    waiting = [content]
    while waiting:
        at = waiting.pop()
        at[:] = [item for item in at if isinstance(item, str) or not ("-" in item.name or item.name in PAGES)]
        waiting += [item.children for item in at if isinstance(item, Node)]


def _take_formulas(content: Sequence[Node | str], formulas: list[str]) -> None:
    """Put marks where formulas stand, which pass the gate as text does."""
    waiting = [content]
    while waiting:
        at = waiting.pop()
        for index, item in enumerate(at):
            if not isinstance(item, Node):
                continue
            if item.name == "marimo-tex":
                formulas.append(markup.text_of(item.children))
                at[index] = f"\ue000{len(formulas) - 1}\ue001"  # type: ignore[index]
            else:
                waiting.append(item.children)


def _formula(formulas: Sequence[str], found: re.Match[str]) -> str:
    number = int(found[1]) if len(found[1]) < 9 else len(formulas)
    return _tex(formulas[number]) if number < len(formulas) else ""
