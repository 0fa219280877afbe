"""Templates: one strict jinja2 environment, so that a forgotten value is an error and never a blank."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, /, **values: Any) -> str:
    """The text of a template (its path below `daglab/templates`), every placeholder filled.

    Python templates write a value with the filter `py`, which makes a literal of it, so that no value can
    become code.
    """
    return _environment().get_template(template).render(**values)


def python_literal(value: Any) -> str:
    """`value` (text, numbers, None, and lists of them) as a Python literal on one line.

    Text stands in double quotes; what can't be seen (control characters, text direction marks, lone
    surrogates) is escaped, so that the code does what it looks like.
    """
    if isinstance(value, str):
        quoted = json.dumps(value, ensure_ascii=False)
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in quoted)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(python_literal, value)) + "]"
    return repr(value)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 (Python, Markdown and TOML come out of it, no HTML)
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["py"] = python_literal
    return environment
