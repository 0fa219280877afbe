"""What of a notebook's HTML may stand in an export: a list of what is harmless; all else is left out.

Harmless: it runs no code, loads nothing when the page is opened, sends nothing, and stays inside of its output.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from daglab.page.markup import words

# `main`, `section` and `article` are missing on purpose: they stand around outputs.
ELEMENTS = words(
    "a abbr address b bdi bdo blockquote br caption cite code col colgroup dd del details dfn div dl dt em"
    " figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark meter ol p pre progress q s samp small span"
    " strong sub summary sup table tbody td tfoot th thead time tr tt u ul var wbr audio video"
)
# Left out with all that is in them.
DROPPED = words("script style template noscript noembed noframes head title link meta base param source track")
SVG_ELEMENTS = words(
    "svg g defs path rect circle ellipse line polyline polygon text tspan textpath use symbol clippath"
    " lineargradient radialgradient stop marker image title desc"
)
SVG_DROPPED = words("script style animate animatemotion animatetransform set metadata filter")
# One that is drawn from inside of another, and again, draws a thousand million.
SVG_DEFINITIONS = words("symbol clippath marker")

NUMBER = re.compile(r"-?[0-9]{1,7}(?:\.[0-9]{1,9})?%?")
PLAIN = re.compile(r"[\w .:/+-]{1,100}")
SVG_VALUE = re.compile(r"[\w\s.,:;()%#+*/'\"&|-]*", re.ASCII)
TEXTS = frozenset(("title", "alt", "aria-label", "download"))  # any text
WORDS = frozenset(("lang", "dir", "scope", "align", "valign", "type", "datetime", "role"))
NUMBERS = words("colspan rowspan span start value max min low high optimum width height")
FLAGS = frozenset(("open", "reversed", "controls", "checked"))
EVERYWHERE = frozenset(("title", "lang", "dir", "aria-label"))
ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "a": frozenset(("href", "download")),
    "audio": frozenset(("src", "controls")),
    "col": frozenset(("span", "width")),
    "colgroup": frozenset(("span",)),
    "details": frozenset(("open",)),
    "div": frozenset(("align", "role")),
    "img": frozenset(("src", "alt", "width", "height")),
    "li": frozenset(("value",)),
    "meter": frozenset(("value", "max", "min", "low", "high", "optimum")),
    "ol": frozenset(("start", "type", "reversed")),
    "p": frozenset(("align",)),
    "progress": frozenset(("value", "max")),
    "span": frozenset(("role",)),
    "td": frozenset(("colspan", "rowspan", "align", "valign", "width")),
    "th": frozenset(("colspan", "rowspan", "align", "valign", "width", "scope")),
    "time": frozenset(("datetime",)),
    "video": frozenset(("src", "controls", "width", "height")),
}
SVG_ATTRIBUTES = words(
    "x y x1 x2 y1 y2 cx cy r rx ry dx dy width height viewbox d points transform preserveaspectratio pathlength"
    " rotate textlength lengthadjust offset fx fy gradientunits gradienttransform spreadmethod clippathunits refx"
    " refy orient markerwidth markerheight markerunits startoffset fill fill-opacity fill-rule stroke stroke-width"
    " stroke-opacity stroke-linecap stroke-linejoin stroke-dasharray stroke-dashoffset stroke-miterlimit opacity"
    " color visibility display clip-path clip-rule marker-start marker-mid marker-end stop-color stop-opacity"
    " font-family font-size font-style font-weight text-anchor dominant-baseline alignment-baseline baseline-shift"
    " letter-spacing word-spacing text-decoration vector-effect shape-rendering text-rendering paint-order role"
)
# Highlighted code, and what is written between the lines of Markdown; the style sheet knows these.
CLASSES = re.compile(r"[a-z][a-z0-9]?|codehilite|highlight|admonition|admonition-title|footnote|dataframe")

COLOURS = ("color", "background-color", "background", "border-color", "fill", "stroke", "stop-color")
SIDES = ("top", "right", "bottom", "left")
PROPERTIES = frozenset(
    (
        *COLOURS,
        *(f"border-{side}" for side in SIDES),
        *(f"border-{side}-{what}" for side in SIDES for what in ("color", "style", "width")),
        *(f"{name}-{side}" for side in SIDES for name in ("margin", "padding")),
        *words(
            "align-content align-items align-self border border-bottom-left-radius border-bottom-right-radius"
            " border-collapse border-radius border-spacing border-style border-top-left-radius"
            " border-top-right-radius border-width box-sizing column-gap display fill-opacity fill-rule flex"
            " flex-basis flex-direction flex-flow flex-grow flex-shrink flex-wrap float clear font font-family"
            " font-size font-style font-variant font-weight gap grid-auto-flow grid-column grid-row"
            " grid-template-columns grid-template-rows height justify-content justify-items justify-self"
            " letter-spacing line-height list-style-type margin max-height max-width min-height min-width"
            " object-fit opacity order overflow overflow-wrap overflow-x overflow-y padding row-gap stop-opacity"
            " stroke-dasharray stroke-dashoffset stroke-linecap stroke-linejoin stroke-miterlimit stroke-opacity"
            " stroke-width table-layout text-align text-anchor text-decoration text-indent text-overflow"
            " text-transform vertical-align visibility white-space width word-break word-spacing clip-path"
            " marker-start marker-mid marker-end"
        ),
    )
)
STYLE_VALUE = re.compile(r"[\w\s.,%#()+*/'\"-]{1,500}")
FUNCTION = re.compile(r"([\w-]*)\s*\(")
FUNCTIONS = words(
    "rgb rgba hsl hsla hwb lab lch oklab oklch calc min max clamp minmax repeat linear-gradient radial-gradient"
)
COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}\b")  # a number that leads nowhere
FAR_NUMBER = re.compile(r"[0-9]{6}")
LOCAL = re.compile(r"url\(\s*['\"]?#([\w.:-]{1,200})['\"]?\s*\)", re.ASCII)
ADDRESS = re.compile(r"(?:https?://|mailto:)[^\s\\]{1,4000}", re.IGNORECASE)
IMAGE = re.compile(r"data:image/(?:png|jpe?g|gif|webp|avif|bmp|tiff|svg\+xml|x-icon)[;,]", re.IGNORECASE)
MEDIA = {"audio": re.compile(r"data:audio/[\w.+-]+[;,]"), "video": re.compile(r"data:video/[\w.+-]+[;,]")}
DOWNLOAD = re.compile(r"data:application/octet-stream;base64,[A-Za-z0-9+/=]*")


def style(text: str, prefix: str) -> str:
    """The harmless declarations of a style attribute; ids that they refer to get the prefix."""
    kept = []
    for declaration in text.split(";")[:100]:
        name, _, value = declaration.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name in PROPERTIES and (safe := _value(name, value, prefix)):
            kept.append(f"{name}: {safe}")
    return "; ".join(kept)


def _value(name: str, value: str, prefix: str) -> str:
    value = re.sub(r"\s*!important$", "", value)
    if found := LOCAL.fullmatch(value):
        return f"url(#{prefix}{found[1]})"
    functions = {word.lower() for word in FUNCTION.findall(value)}
    moves_out = name.startswith("margin") and "-" in value
    is_far = FAR_NUMBER.search(COLOUR.sub("", value)) or moves_out
    if not STYLE_VALUE.fullmatch(value) or not functions <= FUNCTIONS or is_far:
        return ""
    return value


def reference(text: str, prefix: str) -> str:
    """Where a link may lead, empty for nowhere; a place in the same page gets the prefix."""
    text = text.strip()
    if text.startswith("#"):
        return f"#{prefix}{text[1:]}" if identifier(text[1:]) else ""
    return text if ADDRESS.fullmatch(text) or DOWNLOAD.fullmatch(text) else ""


def identifier(text: str) -> bool:
    """Whether a text may be an id, after the prefix."""
    return 0 < len(text) <= 200 and not re.search(r"[\s\"'<>&]", text)


def attribute(element: str, name: str, value: str) -> str | None:
    """The value that an attribute may have, None where it may not stand; not for ids, classes, styles and links."""
    if name not in EVERYWHERE and name not in ATTRIBUTES.get(element, ()):
        return None
    if name in TEXTS:
        return value
    if name in FLAGS:
        return ""
    if name == "src":
        return value if MEDIA.get(element, IMAGE).match(value) else None
    pattern = NUMBER if name in NUMBERS else PLAIN
    return value if pattern.fullmatch(value) else None


def svg_attribute(name: str, value: str, prefix: str, *, in_definition: bool) -> str | None:
    """The same for an element of a drawing; what it refers to by `url(#id)` gets the prefix."""
    if name not in SVG_ATTRIBUTES or not SVG_VALUE.fullmatch(value):
        return None
    if found := LOCAL.fullmatch(value.strip()):
        return None if in_definition else f"url(#{prefix}{found[1]})"
    return None if "url" in value.lower() else value


def classes(text: str) -> str:
    """The classes that an output may keep."""
    return " ".join(name for name in text.split()[:20] if CLASSES.fullmatch(name))
