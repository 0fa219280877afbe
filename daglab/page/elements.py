"""marimo's own elements, which only its script can draw, as stand-ins that need none.

A stand-in is a tree: what it holds of the notebook's HTML goes through the gate like all else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from daglab.page import controls, markup, outputs, plots, tables
from daglab.page.markup import Node

UNWRAPPED = frozenset(
    ("marimo-ui-element", "marimo-form", "marimo-dict", "marimo-batch", "marimo-island", "marimo-cell-output")
)


def stand_in(node: Node) -> Node | None:
    """What stands in the place of an element that can't be shown as it is; None for one that can."""
    if node.own:
        return None
    if found := STAND_INS.get(node.name):
        return found(node)
    if node.name in PLAIN:
        return PLAIN[node.name](node)
    return _unknown(node) if "-" in node.name else None


def _unknown(node: Node) -> Node:
    """An element that daglab does not know: what it says of itself, and what is in it."""
    content = [*node.children]
    if not markup.text_of(content).strip():
        said = [f"{name}: {tables.plain(value)}" for name, value in controls.arguments(node).items() if _short(value)]
        content += [markup.made("ul", [markup.made("li", line) for line in said])] if said else []
    remark = "A script draws this element, in the interactive page."
    return box(node.name, [*content, *([] if content else [markup.note(remark)])])


def _short(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and len(str(value)) <= 200


def box(name: str, content: list[Node | str], label: list[Node | str] | None = None) -> Node:
    """A stand-in with its name over it."""
    title = markup.made("div", markup.made("strong", name, class_="kind"), *([" ", label] if label else []))
    said = f"{name} {markup.text_of(label or [])}".strip()
    return markup.made("div", title, content, class_="stand-in", role="group", aria_label=said)


def _wrapper(node: Node) -> Node:
    return markup.made("div" if _is_block(node) else "span", node.children)


def _form(node: Node) -> Node:
    button = controls.text(node, "submit-button-label") or "Submit"
    content = [*node.children, markup.made("div", markup.made("span", "Button", class_="kind"), f" {button}")]
    return box("Form", content, controls.html(node, "label"))


def _dict(node: Node) -> Node:
    label = controls.html(node, "label")
    return box("Group", node.children, label) if label else _wrapper(node)


def _is_block(node: Node) -> bool:
    inline = controls.INLINE | {"marimo-ui-element"}
    return any(
        isinstance(child, Node)
        and (child.name in markup.BLOCKS or ("-" in child.name and child.name not in inline) or _is_block(child))
        for child in node.children
    )


def _table(node: Node) -> Node:
    given = controls.arguments(node)
    rows = tables.read(given.get("data"))
    label = controls.html(node, "label")
    total = given.get("total-rows", given.get("total"))
    if rows is None:
        said = f"{total:,} rows. " if isinstance(total, int) else ""
        columns = ", ".join(names) if (names := _column_names(given)) else ""
        content: list[Node | str] = [markup.made("p", f"Columns: {columns}")] if columns else []
        return box("Table", [*content, markup.note(f"{said}The rows are not in the export.")], label)
    hidden = {str(name) for name in _list(given.get("hidden-columns"))}
    headers = [
        str(pair[0]) if isinstance(pair, list) and pair else str(pair) for pair in _list(given.get("row-headers"))
    ]
    names = [*dict.fromkeys([*headers, *_column_names(given)])] if rows else _column_names(given)
    seen = {name for row in rows[: tables.MOST_ROWS] for name in row}
    names = [name for name in names if name in seen or not rows]
    names += (
        [name for row in rows[: tables.MOST_ROWS] for name in row if name not in names]
        if len(seen) > len(names)
        else []
    )
    names = [name for name in dict.fromkeys(names) if name not in hidden and not name.startswith("_marimo_")]
    banner = controls.text(node, "banner-text")
    made = tables.table(
        label, rows, names=names, headers=headers, total=total if isinstance(total, int) else None, cell=_cell
    )
    return markup.made("div", made, markup.note(banner) if banner else None, class_="scroll")


def _column_names(given: Mapping[str, Any]) -> list[str]:
    fields = _list(given.get("field-types")) or _list(given.get("columns")) or _list(given.get("column-names"))
    return [str(each[0]) if isinstance(each, list) and each else str(each) for each in fields]


def _cell(value: Any) -> Node | str:
    """What stands in a cell: a value, or what marimo has made of one."""
    if isinstance(value, dict) and isinstance(value.get("mimetype"), str) and "data" in value:
        return markup.made("div", outputs.form(value["mimetype"], value["data"]))
    return tables.plain(value)


def _accordion(node: Node) -> Node:
    labels = _list(controls.arguments(node).get("labels"))
    folds = [
        markup.made("details", markup.made("summary", _label(labels, index, "Part")), child, open="open")
        for index, child in enumerate(_slots(node))
    ]
    return markup.made("div", folds, class_="accordion")


def _tabs(node: Node) -> Node:
    labels = _list(controls.arguments(node).get("tabs"))
    tabs = []
    for index, child in enumerate(_slots(node)):
        label = _label(labels, index, "Tab")
        head = markup.made("div", markup.made("span", "Tab", class_="kind"), " ", label)
        tabs.append(markup.made("div", head, child, class_="stand-in", role="group", aria_label=markup.text_of(label)))
    return markup.made("div", tabs, class_="tabs")


def _carousel(node: Node) -> Node:
    slides = _slots(node)
    parts = [
        markup.made(
            "div", markup.made("span", f"Slide {index} of {len(slides)}", class_="kind"), child, class_="stand-in"
        )
        for index, child in enumerate(slides, start=1)
    ]
    return markup.made("div", parts, class_="carousel")


def _routes(node: Node) -> Node:
    routes = _list(controls.arguments(node).get("routes"))
    parts = [
        box("Page", [child], [tables.plain(routes[index])] if index < len(routes) else None)
        for index, child in enumerate(_slots(node))
    ]
    return markup.made("div", parts)


def _slots(node: Node) -> list[Node]:
    return [child for child in node.children if isinstance(child, Node)]


def _label(labels: list[Any], index: int, otherwise: str) -> list[Node | str]:
    if index < len(labels) and isinstance(labels[index], str):
        return controls.inline(markup.parse(labels[index]))
    return [f"{otherwise} {index + 1}"]


def _callout(node: Node) -> Node:
    kind = controls.text(node, "kind") or "neutral"
    known = kind if kind in ("warn", "success", "info", "danger") else "neutral"
    name = {"warn": "Warning", "danger": "Danger", "success": "Success", "info": "Info"}.get(known)
    title = markup.made("strong", name, class_="kind") if name else None
    return markup.made("div", title, controls.html(node, "html"), class_=f"callout {known}", role="note")


def _stat(node: Node) -> Node:
    value, caption = (tables.plain(controls.arguments(node).get(name, "")) for name in ("value", "caption"))
    found = {"increase": ("\u25b2", "up"), "decrease": ("\u25bc", "down")}.get(controls.text(node, "direction"))
    arrow = markup.made("span", found[0], title=found[1], aria_label=found[1], role="img") if found else None
    return markup.made(
        "div",
        markup.made("div", controls.html(node, "label"), class_="stat-label"),
        markup.made("strong", value, class_="stat-value"),
        markup.made("div", arrow, " " if arrow else None, caption) if caption or arrow else None,
        class_="stat",
    )


def _tex(node: Node) -> Node:
    source = markup.text_of(node).strip()
    for start, end, display in (("||[", "||]", True), ("||(", "||)", False)):
        if source.startswith(start):
            return outputs.tex(source.removeprefix(start).removesuffix(end), display=display)
    return outputs.tex(source, display=False)


def _vega(node: Node) -> Node:
    return plots.vega(controls.arguments(node).get("spec"))


def _plotly(node: Node) -> Node:
    return plots.plotly(controls.arguments(node).get("figure"))


def _json_output(node: Node) -> Node:
    given = controls.arguments(node)
    name = given.get("name")
    shown = outputs.structure(given.get("json-data"))
    return box(name, [shown]) if isinstance(name, str) and name else shown


def _mime(node: Node) -> Node:
    given = controls.arguments(node)
    return markup.made("div", outputs.form(str(given.get("mime") or "text/plain"), given.get("data")))


def _mermaid(node: Node) -> Node:
    return box("Diagram (Mermaid)", [markup.made("pre", controls.text(node, "diagram"), class_="text")])


def _menu(node: Node) -> Node:
    def lines(items: list[Any], level: int) -> Node:
        return markup.made("ul", [line(item, level) for item in items if isinstance(item, dict)])

    def line(item: Mapping[str, Any], level: int) -> Node:
        label = controls.inline(markup.parse(item["label"])) if isinstance(item.get("label"), str) else []
        href = item.get("href")
        shown = markup.made("a", label, href=href) if isinstance(href, str) else markup.made("span", label)
        inner = _list(item.get("items"))
        return markup.made("li", shown, lines(inner, level + 1) if inner and level < 5 else None)

    return box("Menu", [lines(_list(controls.arguments(node).get("items")), 0)])


def _sidebar(node: Node) -> Node:
    return box("Sidebar", node.children)


def _images(node: Node) -> Node:
    sides = [(name, controls.text(node, f"{name}-src")) for name in ("before", "after")]
    parts = [
        markup.made(
            "div", markup.made("span", name.capitalize(), class_="kind"), _image(Node("img", {"src": src, "alt": name}))
        )
        for name, src in sides
    ]
    return box("Image comparison", [*parts])


def _chart_image(node: Node) -> Node:
    src = controls.text(node, "chart-base64") or controls.text(node, "src")
    return _image(Node("img", {"src": src, "alt": "Plot"}))


def _matrix(node: Node) -> Node:
    given = controls.arguments(node)
    rows = [row for row in _list(given.get("initial-value")) if isinstance(row, list)]
    length = max((len(row) for row in rows), default=0)
    labels = [tables.plain(name) for name in _list(given.get("column-labels"))]
    names = labels if len(labels) == length else [str(number) for number in range(1, length + 1)]
    table = tables.table([], [dict(zip(names, row, strict=False)) for row in rows], names=names)
    return box("Matrix", [table], controls.html(node, "label"))


def _chat(node: Node) -> Node:
    value = controls.arguments(node).get("initial-value")
    messages = _list(value.get("messages")) if isinstance(value, dict) else []
    said = [message for message in messages if isinstance(message, dict)]
    lines = [markup.made("p", f"{tables.plain(one.get('role'))}: {tables.plain(one.get('content'))}") for one in said]
    return box("Chat", [*lines] or [markup.note("No message yet.")], controls.html(node, "label"))


def _outline(node: Node) -> Node:
    return box("Outline", [markup.note("The table of contents is in the interactive page.")])


def _lazy(node: Node) -> Node:
    return box("Lazy", [*node.children, markup.note("It loads only when it is looked at in a running notebook.")])


def _widget(node: Node) -> Node:
    return box("Widget", [*node.children, markup.note("A script draws this widget, in the interactive page.")])


def _error(node: Node) -> Node:
    return box("Error", [*node.children, *[tables.plain(value) for value in controls.arguments(node).values()]])


def _image(node: Node) -> Node:
    """A picture that is in the file as it is; of any other its description and address: nothing is loaded."""
    source, alt = node.attributes.get("src", ""), node.attributes.get("alt", "")
    if source.startswith("data:image/"):
        return Node("img", {"alt": "", **node.attributes}, own=False) if node.own else _own_image(node)
    return _elsewhere("Image", source, alt)


def _own_image(node: Node) -> Node:
    kept = {key: value for key, value in node.attributes.items() if key != "class"}
    return Node("img", {"alt": "", **kept}, own=True)


def _elsewhere(kind: str, source: str, alt: str) -> Node:
    """Something that is not in the file. A link to it is followed by people only."""
    where = markup.made("a", source, href=source) if source.startswith(("http://", "https://")) else source[:500]
    if source.startswith("data:"):
        where = f"in a form that is not shown ({source[:60]})"
    label = markup.made("span", kind, class_="kind")
    return markup.made("span", label, f" {alt}" if alt else None, " (not in this file: ", where, ")", class_="stand-in")


def _media(node: Node) -> Node:
    source = node.attributes.get("src", "")
    inner = next((child for child in _slots(node) if child.name == "source"), None)
    source = source or (inner.attributes.get("src", "") if inner else "")
    if source.startswith(f"data:{node.name}/"):
        return Node(node.name, {"src": source, "controls": ""}, own=True)
    return _elsewhere(node.name.capitalize(), source, "")


def _frame(node: Node) -> Node:
    """A page in the page: its content, without its scripts."""
    source = node.attributes.get("srcdoc")
    title = node.attributes.get("title", "")
    if source is None:
        return _elsewhere("Embedded page", node.attributes.get("src", ""), title)
    content = markup.parse(source)
    shows = markup.text_of(_body(content)).strip() or any(
        element.name in ("img", "svg", "canvas")
        for item in content
        if isinstance(item, Node)
        for element in markup.elements(item)
    )
    remark = None if shows else markup.note("A script draws this page, in the interactive page.")
    return box("Embedded page", [*content, *([remark] if remark else [])], [title] if title else None)


def _body(content: list[Node | str]) -> list[Node | str]:
    return [item for item in content if isinstance(item, str) or item.name not in ("head", "title", "style", "script")]


def _object(node: Node) -> Node:
    source = node.attributes.get("data") or node.attributes.get("src") or ""
    return markup.made("span", _elsewhere("Embedded file", source, ""), node.children)


def _icon(node: Node) -> Node:
    return markup.made("span", f"[{node.attributes.get('icon', 'icon')}]", class_="icon")


def _canvas(node: Node) -> Node:
    return markup.made("span", node.children, "[a drawing made by a script]", class_="stand-in")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


STAND_INS: Mapping[str, Callable[[Node], Node]] = {
    **dict.fromkeys(UNWRAPPED, _wrapper),
    **dict.fromkeys(controls.INLINE, controls.control),
    "marimo-form": _form,
    "marimo-dict": _dict,
    "marimo-batch": _dict,
    **dict.fromkeys(("marimo-table", "marimo-dataframe", "marimo-data-explorer", "marimo-data-editor"), _table),
    "marimo-accordion": _accordion,
    "marimo-tabs": _tabs,
    "marimo-carousel": _carousel,
    "marimo-chatbot": _chat,
    "marimo-routes": _routes,
    "marimo-callout-output": _callout,
    "marimo-stat": _stat,
    "marimo-tex": _tex,
    "marimo-vega": _vega,
    "marimo-plotly": _plotly,
    "marimo-json-output": _json_output,
    "marimo-mime-renderer": _mime,
    "marimo-mermaid": _mermaid,
    "marimo-nav-menu": _menu,
    "marimo-sidebar": _sidebar,
    "marimo-image-comparison": _images,
    "marimo-matplotlib": _chart_image,
    "marimo-matrix": _matrix,
    "marimo-outline": _outline,
    "marimo-lazy": _lazy,
    "marimo-error": _error,
    **dict.fromkeys(("marimo-anywidget", "marimo-panel", "marimo-mpl-interactive"), _widget),
    "iconify-icon": _icon,
}
PLAIN: Mapping[str, Callable[[Node], Node]] = {
    "img": _image,
    "audio": _media,
    "video": _media,
    "iframe": _frame,
    "object": _object,
    "embed": _object,
    "canvas": _canvas,
    "input": controls.html_input,
    "select": controls.html_select,
    "textarea": controls.html_textarea,
}
