"""One output in its forms: which of them is shown, and what it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from daglab import scales
from daglab.page import markup, plots, styles, tables
from daglab.page.markup import Node

LONGEST_TEXT = 1_000_000  # characters; marimo's own bound for a console
MOST_VALUES = 5_000  # of one structure
DEEPEST = 40
ORDER = ("text/html", "image/png", "image/jpeg", "image/svg+xml", "text/markdown", "text/latex")
BUNDLE = "application/vnd.marimo+mimebundle"
CHART = re.compile(r"application/vnd\.vega(?:lite)?\.v[0-9]+(?:\.[0-9.]+)?\+json")
PLOTLY = "application/vnd.plotly.v1+json"
# marimo writes what JSON has no form for as text with its type before it.
LEAF = re.compile(r"(text/plain\+[a-z]+|(?:text|image|video|application)/[a-z0-9.+-]{1,60}):", re.ASCII)
KINDS_AS_THEY_ARE = ("float", "bigint", "int", "bool", "str")


def nodes(forms: Mapping[str, Any]) -> list[Node | str]:
    """What is shown of an output: its richest form that needs no script, a plot's picture where it has one."""
    forms = _unwrapped(forms)
    kinds = [kind for kind in forms if forms[kind] not in (None, "")]
    pictures = [kind for kind in kinds if kind in ORDER or kind.startswith("image/")]
    scripted = [kind for kind in kinds if CHART.fullmatch(kind) or kind == PLOTLY]
    if scripted and "text/html" in pictures:  # the HTML of these is a script
        pictures.remove("text/html")
    pictures.sort(key=lambda kind: ORDER.index(kind) if kind in ORDER else len(ORDER))
    rest = [kind for kind in kinds if kind not in pictures and kind not in scripted]
    rest.sort(key=lambda kind: (kind.startswith("text/plain"), not kind.endswith("json")))
    best = next(iter([*pictures, *scripted, *rest]), None)
    return form(best, forms[best]) if best else []


def _unwrapped(forms: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(3):
        if BUNDLE not in forms:
            break
        inner = forms[BUNDLE]
        inner = tables.loaded(inner) if isinstance(inner, str) else inner
        rest = {kind: value for kind, value in forms.items() if kind != BUNDLE}
        forms = {**rest, **inner} if isinstance(inner, dict) else rest
    return {str(kind): value for kind, value in forms.items() if kind != "__metadata__"}


def form(mime: str, value: Any) -> list[Node | str]:
    """One form of an output."""
    if mime.startswith(BUNDLE):
        return nodes({mime: value})
    if mime.endswith("json"):
        return [_json(mime, value)]
    if not isinstance(value, str):
        return [structure(value)]
    return _written(mime, value)


def _written(mime: str, value: str) -> list[Node | str]:
    if mime in ("text/html", "text/markdown"):
        content = markup.parse(value)
        styles.apply(content)
        return content
    if mime == "image/svg+xml" and not value.startswith("data:"):
        return _svg(value)
    if mime.startswith(("image/", "video/", "audio/")):
        return [_media(mime, value)]
    if mime == "text/latex":
        return [tex(value, display=True)]
    if mime == "text/csv" and (rows := tables.read(f"data:text/csv,{quote(value)}")) is not None:
        return [tables.table([], rows)]
    return [long_text(value)]


def _svg(value: str) -> list[Node | str]:
    """A drawing on its own, and not what else may stand around it."""
    found = [item for item in markup.parse(value) if isinstance(item, Node) and item.name == "svg"]
    return [*found[:1]] or [long_text(value)]


def _media(mime: str, value: str) -> Node:
    if not value.startswith(("data:", "http:", "https:", "./", "/")):
        value = f"data:{mime};base64,{value}"
    name = mime.partition("/")[0]
    return Node("img" if name == "image" else name, {"src": value, "controls": ""})


def long_text(value: str, class_: str = "text") -> Node:
    """Text as it stands, cut where it is too long for a page."""
    if len(value) <= LONGEST_TEXT:
        return markup.made("pre", value, class_=class_)
    cut = markup.note(f"Cut here: {len(value) - LONGEST_TEXT:,} characters more are not shown.")
    return markup.made("div", markup.made("pre", value[:LONGEST_TEXT], class_=class_), cut)


def tex(source: str, *, display: bool) -> Node:
    """A formula, as it is written."""
    code = markup.made("code", source.strip(), class_="tex")
    label = markup.made("span", code, role="math", aria_label=f"Formula: {source.strip()}"[: tables.LONGEST_CELL])
    return markup.made("div", label, class_="formula") if display else label


def _json(mime: str, value: Any) -> Node:
    if CHART.fullmatch(mime) or mime == PLOTLY:
        draw = plots.plotly if mime == PLOTLY else plots.vega
        return draw(tables.loaded(value) if isinstance(value, str) else value)
    if isinstance(value, str):
        loaded = tables.loaded(value)
        if loaded is None and value.strip() != "null":
            return long_text(value)
        value = loaded
    return structure(value)


def structure(value: Any) -> Node:
    """A list, mapping or single value, as text in the form of JSON; what is rich in it stands as what it is."""
    if isinstance(value, (dict, list)) and _is_plain(value):
        counter = _Counter()
        text = "".join(_lines(value, 0, counter))
        pre = markup.made("pre", text, class_="structure")
        return markup.made("div", pre, counter.note()) if counter.left_out else pre
    counter = _Counter()
    tree = _tree(value, 0, counter)
    return markup.made("div", tree, counter.note(), class_="structure")


class _Counter:
    """How many values are shown of a structure, and how many are not."""

    def __init__(self) -> None:
        self.shown = 0
        self.left_out = 0

    def takes(self) -> bool:
        self.shown += 1
        full = self.shown > MOST_VALUES
        self.left_out += full
        return not full

    def note(self) -> Node | None:
        if not self.left_out:
            return None
        return markup.note(f"Cut: {scales.counted(self.left_out, 'value')} left out, with what is within.")


def _is_plain(value: Any) -> bool:
    """Whether a structure holds nothing but values that are text."""
    waiting = [value]
    seen = 0
    while waiting and seen <= MOST_VALUES:
        item = waiting.pop()
        seen += 1
        if isinstance(item, (dict, list)):
            waiting.extend(item.values() if isinstance(item, dict) else item)
        elif isinstance(item, str) and _is_rich(item):
            return False
    return True


def _is_rich(text: str) -> bool:
    found = LEAF.match(text)
    return bool(found) and not text.startswith("text/plain")


def _lines(value: Any, level: int, counter: _Counter) -> Iterator[str]:
    """A structure without anything rich in it, as indented text."""
    if not isinstance(value, (dict, list)) or not value:
        yield _leaf(value)
    elif level >= DEEPEST:
        counter.left_out += len(value)
        yield "\u2026"
    else:
        is_mapping = isinstance(value, dict)
        yield "{" if is_mapping else "["
        items = [*value.items()] if isinstance(value, dict) else [(None, item) for item in value]
        for number, (key, item) in enumerate(items):
            if not counter.takes():
                counter.left_out += len(items) - number - 1
                yield f"\n{'  ' * (level + 1)}\u2026"
                break
            yield f"{',' if number else ''}\n{'  ' * (level + 1)}"
            if is_mapping:
                yield f"{_key(key)}: "
            yield from _lines(item, level + 1, counter)
        yield f"\n{'  ' * level}" + ("}" if is_mapping else "]")


def _tree(value: Any, level: int, counter: _Counter) -> Node:
    """A structure that holds rich values: lists in lists."""
    if isinstance(value, str) and _is_rich(value):
        mime, _, content = value.partition(":")
        return markup.made("div", form(mime, content))
    if not isinstance(value, (dict, list)) or not value:
        return markup.made("code", _leaf(value))
    if level >= DEEPEST:
        counter.left_out += len(value)
        return markup.made("code", "\u2026")
    items = value.items() if isinstance(value, dict) else enumerate(value)
    rows = []
    for number, (key, item) in enumerate(items):
        if not counter.takes():
            counter.left_out += len(value) - number - 1
            break
        name = markup.made("code", _key(key) if isinstance(value, dict) else f"{key}", class_="key")
        rows.append(markup.made("li", name, ": ", _tree(item, level + 1, counter)))
    return markup.made("ul", rows, class_="tree")


def _key(key: Any) -> str:
    text = str(key)
    return _typed(text) if text.startswith("text/plain") else tables.plain(_quoted(text))


def _leaf(value: Any) -> str:
    if isinstance(value, str):
        return _typed(value) if value.startswith("text/plain") else _quoted(value)
    return {"None": "None", "true": "True", "false": "False"}.get(text := tables.plain(value), text)


def _typed(text: str) -> str:
    """`text/plain+float:2.5` as 2.5."""
    found = LEAF.match(text)
    if not found:
        return _quoted(text)
    kind, content = found[1].partition("+")[2], text[found.end() :]
    if kind == "str":
        return _quoted(content)
    if kind in ("set", "frozenset", "tuple") and content.startswith("["):
        inner = content[1:-1]
        return {"tuple": f"({inner})", "set": f"{{{inner}}}"}.get(kind, f"{kind}({{{inner}}})")
    return content


def _quoted(text: str) -> str:
    shown = text if len(text) <= tables.LONGEST_CELL else f"{text[: tables.LONGEST_CELL]}\u2026"
    shown = shown.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{shown}"'
