"""Pieces of SVG, every text and attribute escaped: elements, text that is cut to its room, lines, and tooltips."""

from __future__ import annotations

import html

FONT = 14
LETTER = 8.4  # about the width of one, in a wide font
LONGEST = 200  # letters of a text from outside
FAINT = 0.75  # of the text's colour: still well to be read on any page


def tag(name: str, inner: str = "", /, **attributes: str | float) -> str:
    """An element around `inner`, which is markup; `fill_opacity` becomes `fill-opacity`."""
    told = "".join(f' {key.replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    return f"<{name}{told}>{inner}</{name}>" if inner else f"<{name}{told}/>"


def root(inner: str, **attributes: str | float) -> str:
    """The whole picture, in the colour of the page's text; `viewBox`, `aria_label` and `style` are to be given."""
    look: dict[str, str | float] = {"fill": "currentColor", "font_family": "system-ui, sans-serif", "font_size": FONT}
    return tag("svg", inner, xmlns="http://www.w3.org/2000/svg", role="img", **look, **attributes)


def text(x: float, y: float, content: str, **attributes: str | float) -> str:
    """A line of text, whose foot is at `y`."""
    return tag("text", escaped(content), x=x, y=y, **attributes)


def rule(x1: float, y1: float, x2: float, y2: float, opacity: float) -> str:
    """A thin line in the text's colour."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke="currentColor", stroke_opacity=opacity)


def stroke(x1: float, x2: float, y: float, **attributes: str | float) -> str:
    """A level line, also one so thick that it is a bar."""
    return tag("line", x1=x1, y1=y, x2=x2, y2=y, **attributes)


def title(content: str) -> str:
    """What the element around it shows under the pointer."""
    return tag("title", escaped(content))


def hover(x: float, y: float, width: float, height: float, content: str) -> str:
    """An area that shows a text under the pointer, and nothing else."""
    return tag("rect", title(content), x=x, y=y, width=max(width, 0.0), height=height, fill="transparent")


def escaped(content: str) -> str:
    """A text as markup."""
    return html.escape(content, quote=False)


def one_line(content: object) -> str:
    """A text from outside on one line, without what can't be seen, some of which XML has no way to write."""
    words = " ".join(str(content).split())
    shown = words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown)


def cut(content: str, width: float) -> str:
    """The beginning and the end of a text that is too wide: the names of steps begin alike."""
    head, tail = (len(content) + 1) // 2, len(content) // 2
    shown = content
    while breadth(shown) > width and head:
        head, tail = (head - 1, tail) if head > tail else (head, tail - 1)
        shown = f"{content[:head]}…{content[len(content) - tail :]}"
    return shown


def breadth(content: str) -> float:
    """About how wide a text is; Chinese, Japanese and Korean letters are twice as wide as others."""
    return LETTER * sum(2 if letter >= "\u1100" and letter != "…" else 1 for letter in content)


def _value(value: str | float) -> str:
    return html.escape(value) if isinstance(value, str) else f"{round(value, 2):g}"
