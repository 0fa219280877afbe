"""What a cell printed, stream by stream, with the colours that terminals show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from daglab.page import markup, outputs
from daglab.page.markup import Node
from daglab.page.notebook import Printed

COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
ESCAPE = re.compile(
    r"\x1b(?:\[([0-9;:<=>?]{0,100})[ -/]{0,5}([@-~])|\][^\x07\x1b]{0,5000}(?:\x07|\x1b\\)|[@-Z\\^_`-~])"
)
NAMES = {"stdout": "Printed", "stderr": "Printed to stderr", "stdin": "Asked for", "media": "Shown"}


def nodes(printed: Iterable[Printed]) -> Iterator[Node]:
    """The console in its order: runs of one stream together, pictures as pictures."""
    stream, text = "", ""
    for item in printed:
        is_text = item.mime in ("text/plain", "text/password")
        if text and (not is_text or item.stream != stream):
            yield _stream(stream, text)
            text = ""
        if is_text:
            stream, text = item.stream, text + item.text if item.stream == stream else item.text
        else:
            content = outputs.nodes({item.mime: item.text})
            yield markup.made("div", content, class_="console media", role="group", aria_label="Shown while it ran")
    if text:
        yield _stream(stream, text)


def _stream(name: str, text: str) -> Node:
    known = name if name in NAMES else "stdout"
    more = len(text) - outputs.LONGEST_TEXT
    pre = markup.made("pre", coloured(overwritten(text[: outputs.LONGEST_TEXT])), class_=f"console {known}")
    label = markup.made("div", NAMES[known], class_="console-name") if known != "stdout" else None
    cut = markup.note(f"Cut here: {more:,} characters more are not shown.") if more > 0 else None
    return markup.made("div", label, pre, cut, role="group", aria_label=NAMES[known])


def overwritten(text: str) -> str:
    """Lines as a terminal leaves them: what a carriage return went back over is gone."""
    if "\r" not in text:
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def coloured(text: str) -> list[Node | str]:
    """Text with its ANSI colours as classes `ansi-red`, `ansi-bright`, `ansi-bold`; other codes are left out."""
    parts: list[Node | str] = []
    classes: dict[str, str] = {}
    at = 0
    for found in ESCAPE.finditer(text):
        _add(parts, text[at : found.start()], classes)
        at = found.end()
        if found[2] == "m":
            _change(classes, found[1])
    _add(parts, text[at:], classes)
    return parts


def _add(parts: list[Node | str], text: str, classes: dict[str, str]) -> None:
    if text:
        parts.append(markup.made("span", text, class_=" ".join(classes.values())) if classes else text)


def _change(classes: dict[str, str], codes: str) -> None:
    numbers = [int(code) if code.isdigit() and len(code) < 4 else 0 for code in codes.replace(":", ";").split(";")]
    if numbers[0] in (38, 48) and len(numbers) > 1:  # a colour of 256, or of all: said by its words only
        classes.pop("colour" if numbers[0] == 38 else "ground", None)
        return
    for number in numbers:
        if number == 0:
            classes.clear()
        elif number == 1:
            classes["bold"] = "ansi-bold"
        elif number == 22:
            classes.pop("bold", None)
        elif number in (39, 49):
            classes.pop("colour" if number == 39 else "ground", None)
        elif 30 <= number % 60 <= 37 and number < 98:
            classes["colour"] = f"ansi-{COLOURS[number % 10]}"
        elif number in range(40, 48):
            classes["ground"] = f"ansi-on-{COLOURS[number % 10]}"
