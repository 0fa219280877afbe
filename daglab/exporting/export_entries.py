"""What is told of an export on an asset's page: the entries of its observation, values that it declares among them.

What a notebook declares is its own to choose, so the number and the size of it are bounded: the project's Python gets
all of it in one variable, and a page shows all of it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from daglab import __version__, errors
from daglab.attaching import observations
from daglab.exporting import exports
from daglab.settings import config

RESULTS = 50
LONGEST_VALUE = 1000  # characters of a value that a notebook declares, as JSON
LONGEST_ERROR = 2000
RESULT = "result/"


def entries(
    settings: config.Config, export: exports.Export, link: str | None, commit: Mapping[str, Any] | None
) -> list[observations.Entry]:
    """What is told of an export; where the link has the label of another entry, the link stays.

    `commit` is `{"commit", "dirty"}`. Raises `InvalidInput` for a label of the link that is daglab's own.
    """
    facts: list[tuple[str, str, Any]] = [
        ("notebook", "path", shown(export.notebook)),
        ("notebook_sha256", "text", export.notebook_sha256),
        ("html", "path", shown(export.output)),
        ("html_sha256", "text", export.sha256),
        ("html_bytes", "int", export.bytes),
        ("content_sha256", "text", export.content_sha256 or None),
        ("exported_at", "timestamp", export.exported_at.isoformat()),
        ("duration_s", "float", round(export.seconds, 3)),
        ("parameters", "json", bounded(dict(export.parameters)) or None),
        ("git_commit", "text", commit["commit"] if commit else None),
        ("git_tree", "text", ("changed since" if commit["dirty"] else "clean") if commit else None),
        ("daglab_version", "text", __version__),
        ("marimo_version", "text", export.marimo_version),
        ("failed_cells", "int", len(export.failed) or None),
        ("error", "text", failure(export) or None),
        (observations.ID_LABEL, "text", export.id),
    ]
    label = settings.defaults.attach_metadata_key
    if label == observations.ID_LABEL:
        raise errors.InvalidInput(f"The label of the link can't be {label}: that is daglab's own.", "Use another one.")
    found = [observations.Entry(name, kind, value) for name, kind, value in facts if value is not None]
    found += results(export.results)
    if link:
        found = [observations.Entry(label, "url", link), *(entry for entry in found if entry.label != label)]
    return found


def of_failure(notebook: Path, parameters: Mapping[str, Any], error: str, identity: str) -> list[observations.Entry]:
    """What is told of a notebook that left no HTML: nothing of one."""
    content = notebook.read_bytes() if notebook.is_file() else None
    facts: list[tuple[str, str, Any]] = [
        ("notebook", "path", shown(notebook.absolute())),
        ("notebook_sha256", "text", None if content is None else hashlib.sha256(content).hexdigest()),
        ("failed_at", "timestamp", datetime.now(timezone.utc).isoformat()),
        ("parameters", "json", bounded(dict(parameters)) or None),
        ("daglab_version", "text", __version__),
        ("error", "text", cut(error, LONGEST_ERROR)),
        (observations.ID_LABEL, "text", identity),
    ]
    return [observations.Entry(name, kind, value) for name, kind, value in facts if value is not None]


def results(values: Mapping[str, Any]) -> Iterator[observations.Entry]:
    """An entry for each value that a notebook declares, `result/<name>`, of the kind that shows it best.

    At most RESULTS of them; a text that is too long is cut, any other value that is becomes a text that is cut.
    """
    for number, (name, value) in enumerate(values.items()):
        if number == RESULTS:
            left = len(values) - RESULTS
            yield observations.Entry("results_left_out", "int", left)
            return
        label = f"{RESULT}{cut(str(name), 100)}"
        value = bounded(value)
        yield observations.Entry(label, _kind(value), value if _kind(value) != "text" else str(value))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if abs(value) < 2**63 else "text"
    if isinstance(value, float):
        return "float" if math.isfinite(value) else "text"
    if isinstance(value, str) and value.startswith(("https://", "http://")):
        return "url"
    return "json" if isinstance(value, (dict, list)) else "text"


def bounded(value: Any) -> Any:
    """A value that is not too long as JSON, else a text with the beginning of it; Dagster stores no half letters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= LONGEST_VALUE:
        result: Any = json.loads(text.encode("utf-8", "replace"))
        return result
    return cut(value if isinstance(value, str) else text, LONGEST_VALUE)


def cut(text: str, longest: int) -> str:
    """A text that is not too long, and is UTF-8."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def failure(export: exports.Export) -> str:
    """The failed cells of an export with the error of each, a line each; those that did not run are counted."""
    lines = [f"{cell.label}: {cell.error}" for cell in roots(export)]
    others = len(export.failed) - len(lines)
    return cut("\n".join([*lines, *([f"{others} more did not run because of that."] if others else [])]), LONGEST_ERROR)


def roots(export: exports.Export) -> list[Any]:
    """The failed cells that failed by themselves."""
    return [cell for cell in export.failed if not cell.caused_by_ancestor] or list(export.failed)


def shown(path: Path) -> str:
    """A path as text that Dagster can store and show: it can't where a name is no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
