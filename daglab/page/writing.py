"""One file that shows a notebook anywhere: what it showed as static HTML, and marimo's page where that loads."""

from __future__ import annotations

import re

from daglab import __version__, errors
from daglab.page import body, notebook

INTERACTIVE = ("cdn", "none")
# For the page that needs nothing: it loads nothing, sends nothing, and runs nothing.
POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
PARTS = re.compile(r"<head\b[^>]*>(?P<head>.*)</head>\s*<body\b[^>]*>(?P<body>.*)</body>", re.DOTALL | re.IGNORECASE)


def readable(html: str, *, interactive: str = "cdn") -> str:
    """The page that marimo has exported, as one that shows its content without scripts and without a network.

    With `interactive` "cdn" marimo's own page lies inert behind the static one, and takes its place where its files
    can be loaded. "none" leaves it out, and with it the session: `notebooks.failed_cells` can't read such a page.
    The same HTML always gives the same page.

    Raises InvalidInput when this is not an HTML of marimo's, or not all of it.
    """
    if interactive not in INTERACTIVE:
        raise errors.InvalidInput(f"A page can't be interactive by {interactive!r}.", "Write cdn or none.")
    from markupsafe import Markup

    from daglab import render

    read = notebook.read(html)
    parts = PARTS.search(html)
    if parts is None:
        raise errors.InvalidInput("The HTML is not a whole page.", "Export the notebook again.")
    # S704: marimo's own, and what `body` has made harmless.
    marimo = {name: Markup(text) for name, text in parts.groupdict().items()} if interactive == "cdn" else None  # noqa: S704
    return render.page(
        "page/page.html.j2",
        title=read.title or read.file or "Notebook",
        file=read.file if read.title else "",
        version=f" with marimo {read.marimo_version}" if read.marimo_version else "",
        daglab=__version__,
        policy=None if marimo else POLICY,
        body=Markup(body.render(read)),  # noqa: S704
        marimo=marimo,
    )
