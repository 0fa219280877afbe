"""The page of a notebook that is an asset: exported, kept, uploaded, linked, and recorded."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from daglab import errors, files, git, processes
from daglab.attaching import observations
from daglab.exported import export_record
from daglab.exporting import export_entries, export_parameters, exporters, exports, uploads
from daglab.settings import config

FOLDER = "assets"  # below exports/, and below a place's prefix
MARKS = ("daglab.yaml", ".git", "pyproject.toml", "setup.py", "workspace.yaml", "dg.toml")
VIA = "materialization"
LONGEST_NAME = 100  # characters of a part of a path
_UNSAFE = re.compile(r"^[.-]+|[^A-Za-z0-9_.=-]+")
# Dagster sets the first for a run or step in a container of its own (Docker, Kubernetes, ECS).
_OWN_CONTAINER = ("DAGSTER_RUN_JOB_NAME", "KUBERNETES_SERVICE_HOST")
LOST = "The page is on the disk of this container alone, and goes with it: name a place with upload=."


@dataclass(frozen=True)
class Step:
    """What is to be done: the notebook, the asset and partition that it is for, its parameters.

    `root` is the project's folder, `upload` a place as users write it (None: the config's), `sign` how long a link is
    to live, `timeout` is in seconds (None: the config's).
    """

    notebook: Path
    root: Path
    asset: tuple[str, ...]
    partition: str | None
    parameters: Mapping[str, Any]
    upload: str | None = None
    sign: timedelta | None = None
    timeout: float | None = None

    @property
    def target(self) -> str:
        """As records have it."""
        return f"asset:{'/'.join(self.asset)}"


@dataclass(frozen=True)
class Page:
    """An export, and where it was put: `kept` on this disk, `uploaded` and `signed` as the record has them."""

    export: exports.Export
    commit: git.Commit | None
    kept: Path | None = None
    link: str | None = None
    warning: str | None = None
    uploaded: Mapping[str, Any] | None = None
    signed: Mapping[str, Any] | None = None


def project_root(folder: Path) -> Path:
    """The folder that a relative notebook starts from, for code in `folder`."""
    for each in (folder, *folder.parents):
        if any((each / mark).exists() for mark in MARKS):
            return each
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


def make(settings: config.Config, step: Step) -> Page:
    """Run the notebook with this very Python, and put its page where it is to be, also when cells have failed.

    A page with failed cells never takes the place of a good one: its name ends in .failed.html. Raises `DaglabError`
    as `exports.export_html` and the place do.
    """
    export_parameters.hide_secrets(step.parameters)
    place = _place(settings, step)  # before the notebook runs for hours
    exporter = exporters.Exporter([sys.executable], _environment(step.root), channel=None)
    asked = git.look(step.notebook, processes.without_secrets(os.environ, settings.token_variables))
    compress = settings.export.compress
    with tempfile.TemporaryDirectory(prefix="daglab-") as folder:
        try:
            export = exports.export_html(
                step.notebook,
                exports.with_suffix(Path(folder, "page.html"), compress=compress),
                python=exporter.python,
                arguments=arguments(step.parameters),
                timeout=step.timeout or settings.export.timeout,
                exporter=exporter,
                compress=compress,
            )
        finally:
            commit = git.found(asked)
        name = f"{page_name(step)}{'.failed' if export.failed else ''}.html"
        kept = _keep(settings, export.output, exports.with_suffix(Path(name), compress=compress))
        page = Page(export, commit, kept)
        return _local(settings, page) if place is None else _upload(settings, page, step, place, name)


def arguments(parameters: Mapping[str, Any]) -> list[str]:
    """Parameters as a notebook takes them with `mo.cli_args()`; a list gives its name once for each."""
    found = []
    for name, value in parameters.items():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            found.append(f"--{name}={each}")
    return found


def page_name(step: Step) -> str:
    """The page's path below the exports, without suffix; no two assets or partitions have the same."""
    partition = "" if step.partition is None else f"@{_safe(step.partition)}"
    return "/".join([FOLDER, *map(_safe, step.asset)]) + partition


def entries(settings: config.Config, page: Page) -> list[observations.Entry]:
    """What is told of the page: as of any export, and what of it is wrong or runs out."""
    told = export_entries.entries(settings, page.export, page.link, _of(page.commit))
    if page.kept is None:  # the file that was written is gone
        told = [entry for entry in told if entry.label != "html"]
    if page.uploaded:
        told.append(observations.Entry("uploaded_to", "text", str(page.uploaded["address"])))
    if page.signed:
        told.append(observations.Entry("link_expires_at", "timestamp", str(page.signed["expires_at"])))
    if page.warning:
        told.append(observations.Entry("warning", "text", page.warning))
    return told


def record(settings: config.Config, step: Step, page: Page, *, attached: bool) -> None:
    """Record the export where the project has a .daglab/; it does not expire, for the asset's page leads to it."""
    done = {"target": step.target, "partition": step.partition, "via": VIA, "link": page.link}
    outcome = {
        "link": page.link,
        "git": _of(page.commit),
        "partition": step.partition,
        "expires_at": None,
        "attached": [{**done, "link_type": "UrlMetadataEntry", "at": _now()}] if attached and page.link else [],
        "targets": [step.target],
        "entries": [vars(entry) for entry in entries(settings, page)],
        "upload": page.uploaded,
        "signed": page.signed,
    }
    export_record.append(settings.root, page.export, outcome)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


def _of(commit: git.Commit | None) -> dict[str, Any] | None:
    return {"commit": commit.hash, "dirty": commit.dirty} if commit else None


def _place(settings: config.Config, step: Step) -> Any:
    from daglab.storage import places

    place = places.parse(step.upload) if step.upload else places.from_config(settings)
    if step.sign and place is None:
        raise errors.InvalidInput("sign= is for a page that is uploaded, and there is no place.", "Add upload=.")
    if place is not None:
        uploads.check(place, _seconds(step))
    return place


def _seconds(step: Step) -> int | None:
    return int(step.sign.total_seconds()) if step.sign else None


def _environment(root: Path) -> dict[str, str]:
    """This process's, all of it: the notebook is the user's own code, and imports what the project's code does."""
    above = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*above, str(root)]), exports.VARIABLE: "1"}


def _keep(settings: config.Config, written: Path, name: Path) -> Path | None:
    """The page at its place below exports/ of the project; None where that can't be written."""
    target = settings.root / "exports" / name
    if files.inside(settings.root, target) is None:
        return None
    try:
        files.write_atomic(target, written.read_bytes())
    except (OSError, errors.InvalidInput):
        return None
    return target


def _local(settings: config.Config, page: Page) -> Page:
    """A page that no place was named for: linked where the project's folder is served, else with a warning."""
    kept = page.kept
    if kept is None:
        kept = Path(tempfile.mkdtemp(prefix="daglab-exports-"), page.export.output.name)
        shutil.copyfile(page.export.output, kept)
    export = dataclasses.replace(page.export, output=kept)
    lost = _is_lost(kept)
    link = None if lost or page.kept is None else exports.link(settings, kept)
    warning = LOST if lost else None
    if warning is None and page.kept is None:
        warning = f"{settings.root / 'exports'} can't be written, so the page has no link: name a place with upload=."
    return dataclasses.replace(page, export=export, kept=kept, link=link, warning=warning)


def _upload(settings: config.Config, page: Page, step: Step, place: Any, name: str) -> Page:
    """The page at its place; the intent is on record before."""
    from daglab.storage import places

    key = "" if place.scheme == "https" else places.key(place, name)
    about = dataclasses.replace(page.export, output=page.kept) if page.kept else page.export
    if os.access(settings.root / export_record.FILE.parent, os.W_OK):
        whole = {**exports.document(about), "output": export_record.relative(settings.root, about.output)}
        members = {"address": places.address(place, key), "export": whole, "targets": [step.target]}
        export_record.intend(settings.root, about.id, "upload", **members)
    try:
        told, link = uploads.put(settings, place, page.export, key)
        page = dataclasses.replace(page, uploaded={**told, "at": _now()})
        seconds = _seconds(step)
        signed = uploads.signed(place, key, seconds) if seconds else None
    except errors.DaglabError as error:
        if not isinstance(error, errors.OutcomeUnknown):  # of that the intent stays on record
            record(settings, step, dataclasses.replace(page, export=about), attached=False)
        if page.kept:
            error.result = {"output": str(page.kept)}
        raise
    own = exports.link(settings, page.kept) if page.kept and not _is_lost(page.kept) else None
    shown = signed["url"] if signed else link if link.startswith("http") else own
    return dataclasses.replace(page, export=about, link=shown, signed=signed)


def _is_lost(path: Path) -> bool:
    """Whether a file goes with the container that was made for this run or step: not where it is on a volume."""
    own = any(name in os.environ for name in _OWN_CONTAINER)
    return own and path.stat().st_dev == os.stat("/").st_dev


def _safe(text: str) -> str:
    """Text as a part of a path and of an address: what is changed in it gets a mark of its own."""
    safe = _UNSAFE.sub("_", text)[:LONGEST_NAME]
    if safe == text and safe.rpartition(".")[2] not in ("failed", "html", "gz"):
        return safe
    return f"{safe}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
