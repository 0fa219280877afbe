"""What leaves a notebook: its export, metadata for an asset's page, values and usage that it declares."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import Any

from daglab import errors, events, json_values, parse, processes
from daglab.attaching import attach, observations
from daglab.deployment import entities, metadata
from daglab.exported import export_record
from daglab.helpers import client as deployment
from daglab.helpers import display
from daglab.settings import config

TIMEOUT = 3600.0  # seconds
LABELS = (int, float, str, bool)
LONGEST_LABEL = 200  # characters
LONGEST_TEXT = 50_000  # characters of metadata: the project's Python gets it in a variable
MOST = 1e300


@dataclass(frozen=True)
class Exported(display.Shown):
    """An export: the page, and what it is attached to; `document` is what `daglab export --json` prints."""

    document: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The HTML file."""
        return Path(self.document["output"])

    @property
    def attached(self) -> list[str]:
        """The assets that it was attached to, and read back from, as `asset:a/b`."""
        return [str(each["target"]) for each in self.document["attached"]]

    def html(self) -> str:
        """Where it is, and where it is attached."""
        link = str(self.document.get("link") or "")
        rows: list[Sequence[object]] = [("page", self.path), ("link", display.Link(link, link))]
        rows += [(f"attached to {each['target']}", f"by way of {each['via']}, read back") for each in self._attached]
        return f"<p>{display.mark('good')}Exported.</p>" + display.table((), rows)

    def __str__(self) -> str:
        return "\n  ".join([f"Exported to {self.path}", *(f"attached to {name}" for name in self.attached)])

    @property
    def _attached(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.document["attached"]
        return found


@dataclass(frozen=True)
class Result(display.Shown):
    """A value that a notebook declares, by name; an export carries it in a form that a program can read."""

    name: str
    value: Any

    def html(self) -> str:
        """The value in words, and as JSON in an attribute."""
        data = escape(json.dumps({"name": self.name, "value": self.value}, ensure_ascii=False))
        return f'<p data-daglab-result="{data}">{escape(self.name)}: <strong>{escape(str(self.value))}</strong></p>'

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


def export(client: deployment.Client, notebook: Path | str, *, attach_to: str | None = None) -> Exported:
    """Export a notebook as `daglab export` does, in processes of its own, and attach it (`asset:orders`, `job:report`).

    Returns when it is done, which takes as long as the notebook. Raises `DaglabError` with what the command said.
    """
    settings = client.settings
    command = [sys.executable, "-m", "daglab", "--quiet", "export", str(Path(notebook).absolute())]
    command += ["--url", client.api.url, "--json", *(["--attach", attach_to] if attach_to else [])]
    finished = processes.run(command, timeout=TIMEOUT, cwd=settings.root)
    try:
        document = json.loads(finished.stdout)
    except ValueError:
        lines = finished.stderr.strip().splitlines() or ["nothing was said"]
        raise errors.NotGood(
            f"The export ended with {finished.returncode}: {lines[-1]}", "Run it in a shell."
        ) from None
    if not document["ok"]:
        problem = document["error"]
        raise errors.NotGood(str(problem["message"]), problem["hint"], result=document)
    return Exported(document)


def attach_metadata(
    client: deployment.Client,
    asset: entities.Asset | str,
    metadata: Mapping[str, Any],
    *,
    partition: str | None = None,
    title: str = "Notebook",
) -> observations.Attached:
    """Put metadata onto an asset's page, as an observation that was read back; what the asset holds does not change.

    Values are text, numbers, dates, paths, and addresses (`https://...`; one that came by way of the instance can be
    clicked). Raises `DaglabError` for a value that Dagster can't hold, for an asset or partition that is not there, and
    where it is unknown whether it was written.
    """
    found = deployment.find_asset(client, asset) if isinstance(asset, str) else asset
    entries = [_entry(label, value) for label, value in metadata.items()]
    _check_text("The title", title, LONGEST_LABEL)
    with deployment.recorded(client, "helpers.attach_metadata", f"asset:{found.name}") as (_, api):
        attach.permit(api, None)
        attach.targets(api, client.settings, parse.AttachTarget(asset=found.key, partition=partition))
        key = str(uuid.uuid4())
        entries.append(observations.Entry(observations.ID_LABEL, "text", key))
        link = next((str(entry.value) for entry in entries if entry.kind == "url"), None)
        what = observations.Observation(found.key, key, link, tuple(entries), partition, title)
        python = client.settings.python_for(client.settings.root / client.settings.notebooks_dir)
        return attach.attach(api, client.settings, what, via=None, python=python)


def exploration_metadata(
    key: str | Sequence[str], *, partition: str | None = None, directory: Path | str | None = None
) -> dict[str, Any]:
    """The metadata of an asset's newest good export, as Dagster's own values by label; empty where there is none.

    For the asset's own code: `context.add_output_metadata(exploration_metadata("orders"))`. It reads the record of the
    daglab project around `directory` (default: the current one), and needs dagster.
    """
    import dagster

    name = key if isinstance(key, str) else "/".join(key)
    settings = config.load(directory=None if directory is None else Path(directory))
    line = export_record.newest(settings.root, f"asset:{name}", partition) or {}
    entries = line.get("entries")
    found: dict[str, Any] = {}
    for entry in entries if isinstance(entries, list) else []:
        # Somebody else may have written the line, and no asset's run is to fail over it.
        with contextlib.suppress(KeyError, TypeError, ValueError):
            kind, value = entry["kind"], entry["value"]
            is_known = kind in observations.KINDS
            found[str(entry["label"])] = (
                metadata.typed(kind, value) if is_known else dagster.MetadataValue.text(str(value))
            )
    return found


def result(name: str, value: Any) -> Result:
    """Declare a value of the notebook, to be the last line of a cell: the export carries it by its name.

    Raises `DaglabError` for a value that is not JSON (text, finite numbers, true, false, none, lists, mappings of
    these).
    """
    _check_text("A result's name", name, LONGEST_LABEL)
    return Result(name, json_values.checked({name: value}, "result")[name])


def record_usage(
    name: str, amount: float, *, directory: Path | str | None = None, **labels: str | float | bool
) -> None:
    """Count something that was used, such as `record_usage("tokens", 1200, model="small", kind="prompt")`.

    It is kept in the record of the project around `directory` (default: the current one), where there is one. Raises
    `DaglabError` for an amount that is no finite number.
    """
    _check_text("A counter's name", name, LONGEST_LABEL)
    is_number = isinstance(amount, (int, float)) and not isinstance(amount, bool) and abs(amount) < MOST
    if not is_number:  # NaN, too, is not below anything
        raise errors.InvalidInput(f"The amount {amount!r} of {name} is no number.", "Give a finite number.")
    for label, value in labels.items():
        if not isinstance(value, LABELS):
            raise errors.InvalidInput(f"The label {label} of {name} is no text or number.", "Give it as text.")
        _check_text(f"The label {label} of {name}", str(value), LONGEST_LABEL)
    root = config.project_root(None if directory is None else Path(directory))
    with events.recording(root, "helpers.record_usage") as event:
        event.target = name
        event.usage.append({"name": name, "amount": amount, "labels": labels})


def _entry(label: str, value: Any) -> observations.Entry:
    _check_text("A label", label, LONGEST_LABEL)
    if isinstance(value, bool) or value is None:
        return observations.Entry(label, "text", str(value))
    if isinstance(value, int) and abs(value) < 2**63:
        return observations.Entry(label, "int", value)
    if isinstance(value, float) and math.isfinite(value):
        return observations.Entry(label, "float", value)
    if isinstance(value, datetime) and 1970 <= value.year < 9999:
        return observations.Entry(label, "timestamp", value.astimezone(timezone.utc).isoformat())
    if isinstance(value, (str, Path)):
        text = str(value)
        _check_text(f"The metadata {label}", text, LONGEST_TEXT)
        is_address = isinstance(value, str) and value.startswith(("http://", "https://"))
        return observations.Entry(label, "path" if isinstance(value, Path) else "url" if is_address else "text", text)
    raise errors.InvalidInput(
        f"The metadata {label} is {value!r:.80}, a {type(value).__name__}, which Dagster can't hold.",
        "Give text, a finite number of 64 bits, a date from 1970 on, a path or an address.",
    )


def _check_text(what: str, text: object, longest: int) -> None:
    """Dagster stores halves of letters, and can't answer any more where it has."""
    if not isinstance(text, str) or not text:
        raise errors.InvalidInput(f"{what} is {text!r:.80}, which is no text.", "Give it as text.")
    if len(text) > longest:
        raise errors.InvalidInput(f"{what} is longer than {longest} characters.", "Give a shorter one, or a link.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise errors.InvalidInput(f"{what} holds what is no letter.", "Write it in UTF-8.") from None
