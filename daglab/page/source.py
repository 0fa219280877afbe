"""A cell's code as highlighted HTML, with the classes of pygments; without pygments as plain text."""

from __future__ import annotations

from daglab.page import harmless

LONGEST = 200_000  # characters; a longer one is shown without colours


def highlighted(code: str, language: str = "python") -> str:
    """Code as the HTML inside of `<code>`."""
    if len(code) > LONGEST:
        return harmless.text(code)
    try:
        import pygments
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import get_lexer_by_name
    except ImportError:
        return harmless.text(code)
    clean = harmless.CONTROLS.sub("\N{REPLACEMENT CHARACTER}", code)
    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    return str(pygments.highlight(clean, lexer, HtmlFormatter(nowrap=True)))
