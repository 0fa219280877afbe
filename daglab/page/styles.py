"""Style sheets of an output, written into the elements that they mean: pandas' coloured tables are made of these.

Only rules that begin with an id count (`#T_1_row0_col0`, `#T_1 th.col1`), so none reaches out of what it belongs to.
Which properties are harmless, the gate decides, as of all styles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from daglab.page import markup
from daglab.page.markup import Node

MOST_RULES = 20_000
MOST_STEPS = 200_000  # elements looked at for rules that mean what is inside of another
LONGEST = 300  # characters of declarations in a rule
COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
SELECTOR = re.compile(r"#([\w-]{1,200})(?:\s+(\w{0,20})((?:\.[\w-]{1,100}){0,5}))?", re.ASCII)


def apply(content: Iterable[Node | str]) -> None:
    """Give the elements of a tree the styles that style sheets in it have for them; their own come after, and win."""
    found = [element for item in content if isinstance(item, Node) for element in markup.elements(item)]
    sheets = [str(child) for element in found if element.name == "style" for child in element.children]
    if not sheets:
        return
    by_id = {key: element for element in reversed(found) if (key := element.attributes.get("id"))}
    given: dict[int, list[str]] = {}
    for element, declarations in _given(sheets, by_id):
        given.setdefault(id(element), []).append(declarations)
    for element in found:
        if declared := given.get(id(element)):
            element.attributes["style"] = ";".join([*declared, element.attributes.get("style", "")])


def _given(sheets: list[str], by_id: Mapping[str, Node]) -> Iterator[tuple[Node, str]]:
    rules = [rule for sheet in sheets if "@" not in sheet for rule in COMMENT.sub(" ", sheet).split("}")]
    steps = 0
    for rule in rules[:MOST_RULES]:
        selectors, _, declarations = rule.partition("{")
        for selector in selectors.split(",") if len(declarations) <= LONGEST else ():
            parts = SELECTOR.fullmatch(selector.strip())
            if not parts or not (element := by_id.get(parts[1])):
                continue
            if parts[2] is None:
                yield element, declarations
                continue
            for inner in markup.elements(element):
                steps += 1
                if steps > MOST_STEPS:
                    return
                if inner is not element and _means(parts[2].lower(), parts[3].split(".")[1:], inner):
                    yield inner, declarations


def _means(name: str, classes: list[str], element: Node) -> bool:
    return name in ("", element.name) and {*classes} <= {*element.attributes.get("class", "").split()}
