"""The gate: a tree becomes HTML here and nowhere else, and only what `allowed` names passes.

A custom element is asked for its stand-in on the way, so what a stand-in holds of the notebook's goes through the gate
as well. The text that comes out is well-formed, and closes everything it opens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from html import escape

from daglab.page import allowed, elements, markup
from daglab.page.markup import Node

DEEPEST = 150  # elements inside one another, those of stand-ins included
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
PARENTS = {
    **dict.fromkeys(("td", "th"), ("tr",)),
    "tr": ("table", "thead", "tbody", "tfoot"),
    **dict.fromkeys(("thead", "tbody", "tfoot", "caption", "colgroup"), ("table",)),
    "col": ("colgroup",),
    "summary": ("details",),
}
# Of what may not stand where it is, the content is kept, in the element that fits there.
FITTING = {"table": ("tr", "td"), "thead": ("tr", "td"), "tbody": ("tr", "td"), "tfoot": ("tr", "td"), "tr": ("td",)}
HOLLOW = frozenset(("colgroup",))  # no text in these
BLANK = re.compile(r"\s*")
BOX = re.compile(r"-?[0-9]{1,7}(?:\.[0-9]{1,9})?")
RENAMED = {"center": "div", "header": "div", "footer": "div", "fieldset": "div", "legend": "div", "aside": "div"}
RENAMED |= {"nav": "div", "hgroup": "div", "main": "div", "section": "div", "article": "div", "dialog": "div"}
RENAMED |= {"picture": "span", "label": "span", "button": "span", "strike": "s", "font": "span", "xmp": "pre"}
RENAMED |= {"output": "span", "listing": "pre", "form": "div", "body": "div", "html": "div", "menu": "ul"}


@dataclass(frozen=True)
class _Place:
    """Where in the output something stands. `refs` are the ids of drawings that `use` may repeat."""

    prefix: str
    out: list[str] = field(default_factory=list)
    level: int = 0
    parent: str = ""
    svg: bool = False
    in_definition: bool = False
    refs: frozenset[str] = frozenset()

    def inside(self, parent: str, *, is_definition: bool = False) -> _Place:
        """One level deeper. `dataclasses.replace` would take a fifth of the time of a whole page."""
        in_definition = self.in_definition or is_definition
        return _Place(self.prefix, self.out, self.level + 1, parent, self.svg, in_definition, self.refs)


def html(content: Iterable[Node | str], prefix: str) -> str:
    """The content as HTML that is safe inside of any `section`. Its ids start with `prefix`."""
    place = _Place(prefix)
    _content(content, place)
    return "".join(place.out).encode("utf-8", "replace").decode()  # JSON in attributes can hold halves of characters


def text(value: str) -> str:
    """Text for HTML: escaped, and without what no document may hold."""
    return escape(CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value))


def _content(content: Iterable[Node | str], place: _Place) -> None:
    if place.level > DEEPEST:
        place.out.append(text(markup.text_of(content)))
        return
    for item in content:
        if isinstance(item, str):
            _text(item, place)
        elif place.svg:
            _drawing(item, place)
        else:
            _element(item, place)


def _text(value: str, place: _Place) -> None:
    if place.parent in HOLLOW:
        return
    fitting = FITTING.get(place.parent, ())
    if fitting and not BLANK.fullmatch(value):
        value = text(value)
        place.out.append(f"{_opening(fitting)}{value}{_closing(fitting)}")
    else:
        place.out.append(text(value))


def _opening(names: Iterable[str]) -> str:
    return "".join(f"<{name}>" for name in names)


def _closing(names: Iterable[str]) -> str:
    return "".join(f"</{name}>" for name in reversed([*names]))


def _element(node: Node, place: _Place) -> None:
    if node.name in allowed.DROPPED:
        return
    if (stand_in := elements.stand_in(node)) is not None:
        _content([stand_in], place.inside(place.parent))
        return
    name = node.name if node.own else _name(node)
    if name == "svg":
        fitting = FITTING.get(place.parent, ())
        refs = frozenset(_repeatable(node))
        place.out.append(_opening(fitting))
        _drawing(node, replace(place, svg=True, refs=refs))
        place.out.append(_closing(fitting))
        return
    if name not in allowed.ELEMENTS or place.parent not in PARENTS.get(name, (place.parent,)):
        _content(node.children, place.inside(place.parent))
        return
    fitting = () if name in PARENTS or name in HOLLOW else FITTING.get(place.parent, ())
    if place.parent in HOLLOW and name != "col":
        return
    if name == "p" and not _is_phrasing(node):
        name = "div"
    place.out.append(f"{_opening(fitting)}<{name}{_attributes(node, name, place.prefix)}>")
    if name not in markup.VOID:
        _content(node.children, place.inside(name))
        place.out.append(f"</{name}>")
    place.out.append(_closing(fitting))


def _name(node: Node) -> str:
    if node.name == "span" and node.attributes.get("class") == "paragraph":
        return "p"  # marimo's Markdown has these, as a paragraph may hold no table
    return RENAMED.get(node.name, node.name)


def _is_phrasing(paragraph: Node) -> bool:
    """Whether a browser lets a paragraph hold it; what it does not, ends the paragraph early."""
    inner = (each for child in paragraph.children if isinstance(child, Node) for each in markup.elements(child))
    return not any(_name(each) in markup.BLOCKS or "-" in each.name or each.name in elements.PLAIN for each in inner)


def _attributes(node: Node, name: str, prefix: str) -> str:
    kept: dict[str, str] = {}
    for key, value in node.attributes.items():
        if key == "id" and allowed.identifier(value):
            kept["id"] = prefix + value
        elif key == "class":
            kept["class"] = value if node.own else allowed.classes(value)
        elif key == "style":
            kept["style"] = allowed.style(value, prefix)
        elif key == "href" and name == "a":
            if target := allowed.reference(value, prefix):
                kept |= {"href": target, "rel": "noopener noreferrer"}
        elif (safe := allowed.attribute(name, key, value)) is not None:
            kept[key] = safe
    may_be_empty = (*allowed.FLAGS, "alt")
    return "".join(f' {key}="{text(value)}"' for key, value in kept.items() if value or key in may_be_empty)


def _drawing(node: Node, place: _Place) -> None:
    """An element of SVG. Between its tags a browser takes no element of HTML for one, and text is only text."""
    name = node.name
    if name == "foreignobject":
        _label(node, place)
        return
    if name in allowed.SVG_DROPPED or name not in allowed.SVG_ELEMENTS:
        if name in ("a", "switch"):
            _content(node.children, place.inside(place.parent))
        return
    if name == "use" and (place.in_definition or _target(node) not in place.refs):
        return
    if name == "image" and not allowed.IMAGE.match(_target(node, "")):
        return
    kept = _svg_attributes(node, place)
    place.out.append(f"<{name}{kept}>")
    if name in ("title", "desc"):
        place.out.append(text(markup.text_of(node.children)))
    else:
        _content(node.children, place.inside("", is_definition=name in allowed.SVG_DEFINITIONS))
    place.out.append(f"</{name}>")


def _label(node: Node, place: _Place) -> None:
    """HTML in a drawing could break out of it: its text alone stands there, in the middle of its box."""
    words = " ".join(markup.text_of(node.children).split())
    box = [node.attributes.get(key, "") for key in ("x", "y", "width", "height")]
    x, y, width, height = (float(each) if BOX.fullmatch(each) else 0.0 for each in box)
    anchor, line = ("middle", "central") if width and height else ("start", "hanging")
    at = f'x="{x + width / 2:g}" y="{y + height / 2:g}" text-anchor="{anchor}" dominant-baseline="{line}"'
    if words:
        place.out.append(f"<text {at}>{text(words)}</text>")


def _svg_attributes(node: Node, place: _Place) -> str:
    kept: dict[str, str] = {}
    for key, value in node.attributes.items():
        if key == "id" and allowed.identifier(value):
            kept["id"] = place.prefix + value
        elif key == "style":
            style = allowed.style(value, place.prefix)
            kept["style"] = "" if place.in_definition and "url(" in style else style
        elif key == "aria-label":
            kept[key] = value
        elif key in ("href", "xlink:href"):
            if node.name == "image":
                kept["href"] = value
            elif node.name in ("use", "lineargradient", "radialgradient", "textpath") and value.startswith("#"):
                kept["href"] = allowed.reference(value, place.prefix)
        else:
            safe = allowed.svg_attribute(key, value, place.prefix, in_definition=place.in_definition)
            kept[key] = safe or ""
    if node.name == "svg" and place.level == 0 and node.own:
        kept["role"] = "img"
    return "".join(f' {key}="{text(value)}"' for key, value in kept.items() if value)


def _target(node: Node, start: str = "#") -> str:
    value = node.attributes.get("href") or node.attributes.get("xlink:href") or ""
    return value.removeprefix(start)


def _repeatable(drawing: Node) -> Iterator[str]:
    """The ids of what repeats nothing itself, and is therefore safe to repeat."""
    uses: dict[int, bool] = {}
    order = [*markup.elements(drawing)]
    for element in reversed(order):
        children = [child for child in element.children if isinstance(child, Node)]
        uses[id(element)] = element.name == "use" or any(uses[id(child)] for child in children)
        key = element.attributes.get("id")
        if key and not uses[id(element)]:
            yield key
