"""What is to become of an export, and the work on one: what was done so far, what was begun, how it is recorded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daglab import git, parse, redaction
from daglab.attaching import observations
from daglab.exported import export_record
from daglab.exporting import broken_off, export_entries, exports, uploads
from daglab.settings import config

if TYPE_CHECKING:  # what talks to Dagster brings in requests: an export that is not attached does without
    from daglab.deployment import dagster_api
    from daglab.storage import places

FAILED = "Notebook export failed"


@dataclass(frozen=True)
class Wish:
    """What is to become of an export: where it goes, what it is attached to and how, how long it is kept.

    `aims` is what was asked for; `prepared` finds the `targets` of it (a job's assets) before the notebook runs. `via`
    None is the best way. `sign` are seconds. With `attach_failure` a failed notebook is reported, too; `check` is the
    name of an asset check that is told whether it failed.
    """

    api: dagster_api.DagsterApi | None = None
    aims: tuple[parse.AttachTarget, ...] = ()
    targets: tuple[observations.Target, ...] = ()
    via: str | None = None
    python: str = ""
    allow_errors: bool = False
    keep_days: int = 0
    place: places.Place | None = None
    sign: int | None = None
    attach_failure: bool = False
    check: str | None = None

    def page(self, key: tuple[str, ...]) -> str:
        """Where people see it: the asset's page in Dagster."""
        from daglab.attaching import attach

        return attach.page(self.api, key) if self.api else ""

    @property
    def names(self) -> list[str]:
        """The targets as they are recorded."""
        own = [f"job:{aim.job}" for aim in self.aims if aim.job]
        return list(dict.fromkeys([*own, *(target.name for target in self.targets)]))

    @property
    def assets(self) -> tuple[tuple[str, ...], ...]:
        """The keys of the assets, each once."""
        return tuple(dict.fromkeys(target.asset for target in self.targets))


@dataclass(frozen=True)
class Work:
    """An export that is being published: `result` is what was done so far, `pending` the steps that were begun.

    `begun` holds the steps that were begun before, by a process that was broken off.
    """

    settings: config.Config
    export: exports.Export
    wish: Wish
    result: dict[str, Any]
    private: dict[str, Any]
    begun: list[dict[str, Any]]
    pending: list[dict[str, Any]] = field(default_factory=list)

    def intend(self, step: str, **members: Any) -> None:
        """Put on record that a step is about to be taken; the first one tells all that a later process needs."""
        if not self.pending and not self.begun:
            members = {**members, **self.private["whole"]}
        export_record.intend(self.settings.root, self.export.id, step, **members)
        self.pending.append({"step": step, "at": now(), **members})

    def settled(self) -> None:
        """The step that was begun last is known to be done, or not to be."""
        self.pending[-1] = {}

    @property
    def open(self) -> list[dict[str, Any]]:
        """The steps of which nobody knows what came."""
        kept = ("step", "at", "target", "partition", "name", "address")
        found = [{name: each[name] for name in kept if name in each} for each in self.pending if each]
        return [{**each, "link": self.result["link"]} if each["step"] == "attach" else each for each in found]

    @property
    def link(self) -> str | None:
        """The link that is attached: a signed one is a secret."""
        found: str | None = self.private["link"]
        return found

    def title(self) -> str:
        """What the observation is headed with."""
        return FAILED if self.failed else observations.TITLE

    @property
    def failed(self) -> bool:
        """Whether it is a failed notebook that is reported as one."""
        return bool(self.export.failed) and not self.wish.allow_errors


def begin(settings: config.Config, export: exports.Export, wish: Wish, commit: git.Commit | None) -> Work:
    """The work on an export: one that was broken off goes on where it did."""
    begun = broken_off.steps(settings.root, export.id)
    of_commit = {"commit": commit.hash, "dirty": commit.dirty} if commit else broken_off.commit(begun)
    values: dict[str, Any] = {
        "parameters": dict(export.parameters),
        "content_sha256": uploads.content(export),
    }
    values["results"] = dict(export.results)
    plain = exports.link(settings, export.output)
    result: dict[str, Any] = {
        **exports.document(export),
        **values,
        "link": plain,
        "git": of_commit,
        "partition": next((aim.partition for aim in wish.aims if aim.partition), None),
        "expires_at": export_record.expires_at(export, wish.keep_days),
        "upload": None,
        "signed": None,
        "attached": [],
        "check": [],
    }
    if wish.allow_errors:
        result["ok"] = True
    about = {**exports.document(export), **values, "git": of_commit}
    about.update(notebook=export_record.relative(settings.root, export.notebook))
    about.update(output=export_record.relative(settings.root, export.output))
    own = line(settings, export.notebook, export.output, values["parameters"], wish, export.interactive)
    whole: dict[str, Any] = {"export": about, "line": own, "targets": wish.names}
    whole.update(url=wish.api.url if wish.api else None, failure=bool(export.failed) and not wish.allow_errors)
    whole.update(expires_at=result["expires_at"])
    private = {"whole": whole, "link": plain, "line": own, "signed": None}
    return Work(settings, export, wish, result, private, begun)


def record(work: Work) -> None:
    """Record what came of the export, whatever that is."""
    told = export_entries.entries(work.settings, work.export, work.link, work.result["git"])
    names = ("link", "git", "partition", "expires_at", "attached", "upload", "check", "parameters", "content_sha256")
    outcome = {name: work.result[name] for name in (*names, "results", "ok")}
    unknown = {"attach": work.result["attach"]} if "attach" in work.result else {}
    pending = {"pending": work.open, "url": work.private["whole"]["url"]} if work.open else {}
    record = {
        "targets": work.wish.names,
        "partitions": [target.partition for target in work.wish.targets],
        "aimed": [[target.name, target.partition] for target in work.wish.targets],
        "entries": [vars(entry) for entry in told],
        "signed": work.private["signed"],
        "line": work.private["line"],
        "failure": work.failed,
    }
    export_record.append(work.settings.root, work.export, {**outcome, **record, **unknown, **pending})


def line(
    settings: config.Config,
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    wish: Wish,
    interactive: str = "cdn",
) -> str:
    """What tells one line of a crontab from another: all that decides what comes of it outside of the project."""
    place = [wish.place.scheme, wish.place.account, wish.place.bucket, wish.place.prefix] if wish.place else None
    targets = [[target.name, target.partition] for target in wish.targets]
    paths = [export_record.relative(settings.root, path.absolute()) for path in (notebook, output)]
    flags = [
        wish.via,
        wish.sign,
        wish.allow_errors,
        wish.attach_failure,
        wish.check,
        wish.api.url if wish.api else None,
        interactive,
    ]
    known = redaction.masked(dict(parameters))  # as an export tells them
    text = json.dumps([*paths, known, place, targets, flags], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def now() -> str:
    """The time, as the record has it."""
    return datetime.now(timezone.utc).isoformat()
