"""The whole examination: every check in its order, what is mended, and looked at again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from daglab import errors, events
from daglab.doctor import findings, folder, machine, mending, network, origins, packages, records, repository
from daglab.doctor.findings import Finding, Project

Check = Callable[[Project], Iterable[Finding]]

CHECKS: dict[str, Check] = {
    "config": origins.look,
    "packages": packages.look,
    "ports": machine.look_at_ports,
    "dagster.home": machine.look_at_home,
    "files": folder.look_at_modes,
    "dev": folder.look_at_dev,
    "restore": folder.look_at_restore,
    "leftovers": folder.look_at_leftovers,
    "ends": records.look_at_ends,
    "git": repository.look,
    "network": network.look,
    "disk": machine.look_at_disk,
}
# What mending may change: all of it is looked at again.
MENDED = ("files", "dev", "restore", "leftovers", "ends", "git", "records")


@dataclass(frozen=True)
class Examination:
    """All findings; what was mended, a sentence each; and with `deep` what was read."""

    findings: tuple[Finding, ...]
    fixed: tuple[str, ...] = ()
    read: records.Read | None = None

    @property
    def problems(self) -> int:
        """How many of the findings are problems."""
        return sum(finding.status == findings.PROBLEM for finding in self.findings)

    @property
    def fixable(self) -> int:
        """How many findings `--fix` mends."""
        return sum(finding.fixable for finding in self.findings)


def examine(project: Project, *, fix: bool = False, deep: bool = False, check_deps: bool = False) -> Examination:
    """Look at everything; with `fix` mend what is safe to mend, and look again at what was mended."""
    chosen = dict(CHECKS)
    read: list[records.Read] = []

    def read_all(examined: Project) -> Iterator[Finding]:
        read[:] = [records.read_all(examined)]
        return records.look(read[0])

    if deep:
        chosen["records"] = read_all
    if check_deps:
        chosen["dependencies"] = packages.dependencies
    found = {name: _look(name, check, project) for name, check in chosen.items()}
    fixed: list[str] = []
    for each in found.values() if fix else ():
        menders = {finding.name: mending.MENDERS[finding.name] for finding in each if finding.fixable}
        for mend in menders.values():
            fixed += mend(project)
    for name in MENDED if fixed else ():
        if name in chosen:
            found[name] = _look(name, chosen[name], project)
    return Examination(tuple(one for each in found.values() for one in each), tuple(fixed), read[0] if read else None)


def _look(name: str, check: Check, project: Project) -> list[Finding]:
    """A check's findings; one that can't be made is a finding, too, and the others go on."""
    try:
        return list(check(project))
    except errors.DaglabError as error:
        return [findings.warning(name, f"It could not be looked at: {error.message}", error.hint or "Look yourself.")]
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return [
            findings.warning(
                name, f"It could not be looked at: {error.strerror or error}{where}.", "Look at its permissions."
            )
        ]


def remember(event: events.Event, examination: Examination) -> None:
    """Put into the event what was found and mended."""
    counts = {
        status: sum(finding.status == status for finding in examination.findings)
        for status in (findings.PROBLEM, findings.WARNING)
    }
    event.detail.update(problems=counts[findings.PROBLEM], warnings=counts[findings.WARNING])
    if examination.fixed:
        event.detail["fixed"] = list(examination.fixed)
