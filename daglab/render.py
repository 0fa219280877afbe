"""Templates: strict jinja2, so that a forgotten value is an error and never a blank."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, /, **values: Any) -> str:
    """The text of a template (its path below `daglab/templates`), every placeholder filled.

    Python templates write a value with the filter `py`, which makes a literal of it, so that no value can
    become code.
    """
    return _environment(jinja2.FileSystemLoader(TEMPLATES)).get_template(template).render(**values)


def page(template: str, /, **values: Any) -> str:
    """The HTML of a template (its path below `daglab/templates`): every value is text in it, but for `Markup`."""
    return _pages().get_template(template).render(**values)


def render_from(folders: Mapping[str, Path], template: str, values: Mapping[str, Any]) -> str:
    """The text of a template that may be a project's own, and extend others: `folders` are where `name/file` lies.

    Somebody else may have written it, so it gets at nothing but its values and these folders, and a text that is not
    written by `py` is an error: it would be code. Raises jinja2's errors, which name the place.
    """

    def load(name: str) -> tuple[str, str, Any] | None:
        place, _, rest = name.partition("/")
        folder = os.path.realpath(folders[place]) if place in folders else None
        path = os.path.realpath(os.path.join(folder, rest)) if folder else ""
        if not folder or not path.startswith(folder + os.sep) or not os.path.isfile(path):
            return None
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(), path, lambda: True

    environment = _environment(jinja2.FunctionLoader(load), jinja2.sandbox.ImmutableSandboxedEnvironment)
    environment.finalize = _written
    return environment.get_template(template).render({name: _text(value) for name, value in values.items()})


class Text(str):
    """A text from outside, which only the filter `py` makes code of."""

    __slots__ = ()


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(each) for each in value]
    if isinstance(value, dict):
        return {_text(key): _text(each) for key, each in value.items()}
    return Text(value) if isinstance(value, str) else value


def _written(value: Any) -> Any:
    if isinstance(value, Text):
        raise jinja2.TemplateRuntimeError(f"write {str(value)[:40]!r} by the filter py, as {{{{ name | py }}}}")
    return value


def python_literal(value: Any) -> str:
    """`value` (text, numbers, None, and lists of them) as a Python literal on one line.

    Text stands in double quotes, in single ones where that saves backslashes; what can't be seen (control characters,
    text direction marks, lone surrogates) is escaped, so that the code does what it looks like.
    """
    if isinstance(value, str):
        quoted = json.dumps(value, ensure_ascii=False)
        if '"' in value and "'" not in value:  # as formatters write it
            quoted = "'" + quoted[1:-1].replace('\\"', '"') + "'"
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in quoted)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(python_literal, value)) + "]"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    raise TypeError(f"a {type(value).__name__} can't stand in code: {value}")  # its text, of a forgotten one, says so


@functools.cache
def _pages() -> jinja2.Environment:
    environment = _environment(jinja2.FileSystemLoader(TEMPLATES))
    environment.autoescape = True
    return environment


def _environment(loader: jinja2.BaseLoader, kind: type[jinja2.Environment] = jinja2.Environment) -> jinja2.Environment:
    """No autoescape: Python, Markdown and TOML come out of it; for HTML there is `page`."""
    environment = kind(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["py"] = python_literal
    return environment
