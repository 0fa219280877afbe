"""HTML as marimo writes it around a session, for tests that make up what a notebook shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def page(*cells: Mapping[str, Any], title: str = "", **members: Any) -> str:
    """A page of cells: each may have `code`, `name`, `hide`, `html`, `outputs`, `console`."""
    ids = [f"Ce{number:02}" for number in range(len(cells))]
    source = [
        {
            "id": key,
            "code": cell.get("code", "x"),
            "code_hash": "0",
            "name": cell.get("name", "_"),
            "config": {"hide_code": cell.get("hide", False)},
        }
        for key, cell in zip(ids, cells, strict=True)
    ]
    session = [
        {"id": key, "code_hash": "0", "outputs": _outputs(cell), "console": cell.get("console", [])}
        for key, cell in zip(ids, cells, strict=True)
    ]
    config = {
        "filename": "made_up.py",
        "version": "0.25.2",
        "appConfig": {"app_title": title},
        "view": {"showAppCode": True},
        "notebook": {"cells": source, "version": "1"},
        "session": {"cells": session, "metadata": {"marimo_version": "0.25.2"}, "version": "1"},
        **members,
    }
    lines = ",\n".join(f'"{key}": {_script(value)}' for key, value in config.items())
    start = 'Object.defineProperty(window, "__MARIMO_MOUNT_CONFIG__", { value: Object.freeze({'
    return f'<html><head><script data-marimo="true">\n{start}\n{lines}\n}}) }});\n</script></head></html>'


def stream(text: str, name: str = "stdout", mimetype: str = "text/plain") -> dict[str, str]:
    """A piece of a console."""
    return {"type": "stream", "name": name, "text": text, "mimetype": mimetype}


def element(name: str, content: str = "", /, **arguments: Any) -> str:
    """An element of marimo's, its arguments as JSON in attributes."""
    from html import escape

    given = "".join(f" data-{key.replace('_', '-')}='{escape(json.dumps(value))}'" for key, value in arguments.items())
    return f"<marimo-{name}{given}>{content}</marimo-{name}>"


def _outputs(cell: Mapping[str, Any]) -> Any:
    if "html" in cell:
        return [{"type": "data", "data": {"text/html": cell["html"]}}]
    return cell.get("outputs", [])


def _script(value: object) -> str:
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
