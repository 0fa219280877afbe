"""HTML that a notebook made, as a tree: linear in its length, whatever it is made of, and bounded in depth.

The standard library's parser is not used: of those Pythons that daglab runs on, some take the square of the length for
constructs that are never closed. What a browser would make of broken HTML is followed where content depends on it;
safety does not, for nothing of the text is ever copied as it is.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


def words(text: str) -> frozenset[str]:
    """Names that are written with spaces between them."""
    return frozenset(text.split())


DEEPEST = 100  # elements inside one another; what is deeper stands beside
MOST = 200_000  # elements in one piece of HTML
ROOT = "#root"
VOID = words("area base br col embed hr img input link meta param source track wbr")
RAW = words("script style textarea title xmp iframe noembed noframes noscript")
FOREIGN = frozenset(("svg", "math"))
BLOCKS = words(
    "address article aside blockquote center details dialog div dl dd dt fieldset figcaption figure footer form"
    " h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section summary table ul"
)
HEADINGS = words("h1 h2 h3 h4 h5 h6")
# An end tag does not reach out of these, nor does the implied end of a paragraph.
WALLS = frozenset((ROOT, "td", "th", "caption", "table", "button", "svg", "math", "object", "select"))
ROWS, CELLS, PARTS = frozenset(("tr",)), frozenset(("td", "th")), frozenset(("thead", "tbody", "tfoot", "caption"))
TABLE = frozenset((ROOT, "table"))
TABLE_TAGS = frozenset(("table", *ROWS, *CELLS, *PARTS))
# What a start tag ends, and where looking for it ends.
IMPLIED = {
    "li": ((frozenset(("li",)), WALLS | {"ul", "ol"}),),
    "dt": ((frozenset(("dt", "dd")), WALLS | {"dl"}),),
    "dd": ((frozenset(("dt", "dd")), WALLS | {"dl"}),),
    "option": ((frozenset(("option",)), frozenset((ROOT, "select"))),),
    "a": ((frozenset(("a",)), WALLS),),
    "td": ((CELLS, TABLE | ROWS),),
    "th": ((CELLS, TABLE | ROWS),),
    "tr": (
        (ROWS, TABLE | PARTS),
        (CELLS, TABLE | PARTS),
    ),
    **dict.fromkeys(PARTS, ((PARTS, TABLE), (ROWS, TABLE), (CELLS, TABLE))),
}

SPACE = " \t\n\r\f"
TAG = re.compile(rf"<(/?)([a-zA-Z][^{SPACE}/>]*)")
SKIP = re.compile(rf"[{SPACE}/]*")
NAME = re.compile(rf"=?[^{SPACE}/>=]*")
EQUALS = re.compile(rf"[{SPACE}]*=[{SPACE}]*")
BARE = re.compile(rf"[^{SPACE}>]*")
# Digits without end cost their square to read, or can't be read at all.
LONG_NUMBER = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{8,});?")


@dataclass
class Node:
    """An element. `own`: daglab made it, so its classes are daglab's."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)
    own: bool = False


Content = Node | str | Iterable["Node | str"]


def made(name: str, *content: Content | None, **attributes: str | None) -> Node:
    """An element of daglab's own: `made("p", "text", class_="note")`. None is left out, of content and attributes."""
    node = Node(
        name, {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value}, own=True
    )
    for part in content:
        if isinstance(part, (Node, str)):
            node.children.append(part)
        elif part is not None:
            node.children.extend(part)
    return node


def note(text: str) -> Node:
    """A remark of daglab's in an output: what was cut, what is not in the file."""
    return made("p", text, class_="note")


def text_of(content: Content) -> str:
    """The text in a tree, without what scripts and style sheets hold."""
    waiting: list[Node | str] = [content] if isinstance(content, (Node, str)) else [*content]
    waiting.reverse()
    pieces = []
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            pieces.append(item)
        elif item.name not in RAW or item.name == "textarea":
            waiting.extend(reversed(item.children))
    return "".join(pieces)


def elements(node: Node) -> Iterator[Node]:
    """A node and all elements in it, in the order of the text."""
    waiting = [node]
    while waiting:
        item = waiting.pop()
        yield item
        waiting.extend(child for child in reversed(item.children) if isinstance(child, Node))


def unescaped(text: str) -> str:
    """Text with its character references resolved."""
    return html.unescape(LONG_NUMBER.sub("\N{REPLACEMENT CHARACTER}", text)) if "&" in text else text


def parse(text: str) -> list[Node | str]:
    """The content of HTML. Names of elements and attributes are in small letters.

    Text in an element like `script` is its one child, as it stands. After 200,000 elements the rest is left out, and a
    note says so.
    """
    tree = _Tree()
    at = 0
    while (start := text.find("<", at)) >= 0:
        tree.text(text[at:start])
        if tree.size > MOST:
            left = len(text) - start
            return [*tree.content(), note(f"Cut here: {left:,} characters of HTML more are not shown.")]
        at = _tag(tree, text, start)
    tree.text(text[at:])
    return tree.content()


def _tag(tree: _Tree, text: str, start: int) -> int:
    """Take up what starts with the `<` at `start`; where to go on."""
    found = TAG.match(text, start)
    if not found:
        return _other(tree, text, start)
    attributes, at = _attributes(text, found.end())
    name = found[2].lower()
    if at < 0:  # the tag never ends: a browser drops it, too
        return len(text)
    if found[1]:
        tree.end(name)
        return at
    foreign = tree.is_open(FOREIGN)
    node = tree.start(name, attributes, is_void=name in VOID or (foreign and text[at - 2] == "/"))
    if name == "plaintext":
        tree.text(text[at:])
        return len(text)
    if name not in RAW or foreign:
        return at
    end = re.compile(rf"</{name}(?=[{SPACE}/>])", re.IGNORECASE).search(text, at)
    content = text[at : end.start() if end else len(text)]
    node.children.append(unescaped(content) if name in ("textarea", "title") else content)
    return end.start() if end else len(text)


def _other(tree: _Tree, text: str, start: int) -> int:
    """A comment, a doctype, or a `<` that is only text."""
    if text.startswith("<!--", start):
        if text.startswith(("<!-->", "<!--->"), start):
            return text.index(">", start) + 1
        end = text.find("-->", start + 4)
        return end + 3 if end >= 0 else len(text)
    if text.startswith(("<!", "<?", "</"), start):
        end = text.find(">", start)
        return end + 1 if end >= 0 else len(text)
    tree.text("<")
    return start + 1


def _attributes(text: str, at: int) -> tuple[dict[str, str], int]:
    """The attributes of a tag and where it ends; -1 where it does not."""
    if text.startswith(">", at):  # as most tags have none
        return {}, at + 1
    attributes: dict[str, str] = {}
    while (at := _past(SKIP, text, at)) < len(text):
        if text[at] == ">":
            return attributes, at + 1
        end = _past(NAME, text, at)
        name, value, at = text[at:end].lower(), "", end
        if equals := EQUALS.match(text, at):
            at = equals.end()
            if text[at : at + 1] in ('"', "'"):
                end = text.find(text[at], at + 1)
                if end < 0:
                    return {}, -1
                value, at = text[at + 1 : end], end + 1
            else:
                end = _past(BARE, text, at)
                value, at = text[at:end], end
        attributes.setdefault(name, unescaped(value))
    return {}, -1


def _past(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


class _Tree:
    """The elements that are open while a text is read."""

    def __init__(self) -> None:
        self.root = Node(ROOT)
        self.stack = [self.root]
        self.open: dict[str, int] = {}  # how often a name is on the stack; none that is not
        self.flat: dict[str, int] = {}  # open elements that are too deep to be on it
        self.size = 0

    def content(self) -> list[Node | str]:
        return self.root.children

    def is_open(self, names: Iterable[str]) -> bool:
        return not self.open.keys().isdisjoint(names)

    def text(self, text: str) -> None:
        if text:
            self.stack[-1].children.append(unescaped(text))

    def start(self, name: str, attributes: dict[str, str], *, is_void: bool) -> Node:
        self.size += 1
        if name in BLOCKS and self.open.get("p"):
            self._close(frozenset(("p",)), WALLS)
        if name in HEADINGS and self.stack[-1].name in HEADINGS:
            self._pop()
        for names, walls in IMPLIED.get(name, ()):
            self._close(names, walls)
        node = Node(name, attributes)
        self.stack[-1].children.append(node)
        if is_void:
            return node
        if len(self.stack) > DEEPEST:
            self.flat[name] = self.flat.get(name, 0) + 1
        else:
            self.stack.append(node)
            self.open[name] = self.open.get(name, 0) + 1
        return node

    def end(self, name: str) -> None:
        if name == "br":
            self.start(name, {}, is_void=True)
        elif self.flat.get(name):
            self.flat[name] -= 1
        else:
            self._close(frozenset((name,)), TABLE if name in TABLE_TAGS else WALLS)

    def _close(self, names: frozenset[str], walls: frozenset[str]) -> None:
        """End the innermost open element of these names, and what is open in it, unless a wall stands before it."""
        if not self.is_open(names):
            return
        for node in reversed(self.stack):
            if node.name in names:
                break
            if node.name in walls or "-" in node.name:
                return
        while self._pop().name not in names:
            pass

    def _pop(self) -> Node:
        node = self.stack.pop()
        self.open[node.name] -= 1
        if not self.open[node.name]:
            del self.open[node.name]
        return node
