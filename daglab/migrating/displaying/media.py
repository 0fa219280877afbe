"""`IPython.display`'s objects as marimo's: HTML, Markdown, pictures, sounds, films."""

from __future__ import annotations

import ast
import html
from collections.abc import Callable

from daglab.migrating.displaying.rewriting import Source, arguments, literal

# Not shown by marimo, or not as they were.
UNSHOWN = {
    "FileLink": "leads to a file of Jupyter's server",
    "FileLinks": "leads to files of Jupyter's server",
    "GeoJSON": "is drawn by Jupyter alone",
    "Javascript": "runs in Jupyter alone",
    "ProgressBar": "is drawn by Jupyter alone; see mo.status.progress_bar",
}


def rewritten(source: Source, call: ast.Call, name: str) -> str | None:
    """The text of marimo's counterpart of `IPython.display.NAME(...)`; None where it has none for these arguments."""
    write = _WRITERS.get(name)
    return write(source, call) if write else None


def _one(parameter: str, write: Callable[[str], str]) -> Callable[[Source, ast.Call], str | None]:
    """A writer for calls with one argument, of this name; what stands in several lines stays in its parentheses."""

    def written(source: Source, call: ast.Call) -> str | None:
        given = arguments(call, parameter)
        if given is None or len(given) != 1:
            return None
        return write(_within(source, given[parameter]))

    return written


def _within(source: Source, node: ast.expr) -> str:
    text = source.text(node)
    return f"({text})" if isinstance(node, (ast.GeneratorExp, ast.NamedExpr)) and not text.startswith("(") else text


def _html(source: Source, call: ast.Call) -> str | None:
    given = arguments(call, "data filename")
    if given is None or len(given) != 1:
        return None
    if "filename" in given:
        return f'daglab__mo.Html(daglab__pathlib.Path({source.text(given["filename"])}).read_text(encoding="utf-8"))'
    return f"daglab__mo.Html({_within(source, given['data'])})"


def _math(text: str) -> str:
    return f'daglab__mo.md("$$" + ({text}) + "$$")'


def _sized(marimo: str, parameters: str, kept: str, dropped: str = "") -> Callable[[Source, ast.Call], str | None]:
    """A writer for what has one source, under one of three names, and takes some of the same arguments in marimo."""

    def written(source: Source, call: ast.Call) -> str | None:
        given = arguments(call, f"{parameters} {kept} {dropped}")
        if given is None:
            return None
        found = [given.pop(name) for name in ("data", "url", "filename") if name in given]
        if len(found) != 1 or not set(given) <= set(f"{kept} {dropped}".split()):
            return None
        rest = "".join(f", {name}={source.text(value)}" for name, value in given.items() if name in kept.split())
        return f"daglab__mo.{marimo}({_within(source, found[0])}{rest})"

    return written


def _svg(source: Source, call: ast.Call) -> str | None:
    given = arguments(call, "data url filename")
    if given is None or len(given) != 1:
        return None
    data = literal(given.get("data"))
    if "data" not in given or (isinstance(data, str) and not data.lstrip().startswith("<")):
        return f"daglab__mo.image({source.text(next(iter(given.values())))})"
    return f"daglab__mo.Html({source.text(given['data'])})" if isinstance(data, str) else None


def _json(source: Source, call: ast.Call) -> str | None:
    given = arguments(call, "data expanded root")
    return f"daglab__mo.json({source.text(given['data'])})" if given and "data" in given else None


def _frame(source: Source, call: ast.Call) -> str | None:
    given = arguments(call, "src width height")
    values = {name: literal(value) for name, value in (given or {}).items()}
    return _iframe(values) if len(values) == 3 else None


def _youtube(source: Source, call: ast.Call) -> str | None:
    given = arguments(call, "id width height")
    values: dict[str, object] = {"width": 400, "height": 300}
    values |= {name: literal(value) for name, value in (given or {}).items()}
    film = values.pop("id", ...)
    return _iframe({**values, "src": f"https://www.youtube.com/embed/{film}"}) if isinstance(film, str) else None


def _iframe(values: dict[str, object]) -> str | None:
    if not all(isinstance(value, (str, int)) for value in values.values()):
        return None
    source, width, height = (html.escape(str(values[name])) for name in ("src", "width", "height"))
    frame = f'<iframe src="{source}" width="{width}" height="{height}" frameborder="0" allowfullscreen></iframe>'
    return f"daglab__mo.Html({frame!r})"


_WRITERS: dict[str, Callable[[Source, ast.Call], str | None]] = {
    "Audio": _sized("audio", "data filename url", "rate normalize", "embed"),
    "HTML": _html,
    "IFrame": _frame,
    "Image": _sized("image", "data url filename", "width height", "format embed retina"),
    "JSON": _json,
    "Latex": _one("data", lambda text: f"daglab__mo.md({text})"),
    "Markdown": _one("data", lambda text: f"daglab__mo.md({text})"),
    "Math": _one("data", _math),
    "Pretty": _one("data", lambda text: f"daglab__mo.plain_text({text})"),
    "SVG": _svg,
    "Video": _sized("video", "data url filename", "width height", "embed mimetype"),
    "YouTubeVideo": _youtube,
}
