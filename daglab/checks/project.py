"""Whether the project can be worked in: its config, its Python, its folders, its exports."""

from __future__ import annotations

import errno
import json
import os
import shlex
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from daglab import errors, files, interpreters, processes, scales
from daglab.checks import findings
from daglab.exported import export_record
from daglab.settings import config, credentials, trust

LEAST_INODES = 1000  # files that can still be made
PROBE = b"\0" * 4096  # bytes: less may fit into what a full disk has left
# Prints the version of the installed marimo, and the file that `import marimo` would read.
MARIMO = """
import importlib.metadata, importlib.util, json
spec = importlib.util.find_spec("marimo")
found = importlib.metadata.distribution("marimo") if spec else None
print(json.dumps(found and [found.version, str(found.locate_file("marimo/__init__.py")), str(spec.origin)]))
"""


def validity(inquiry: findings.Inquiry) -> findings.Finding:
    """The config files are valid, in each of their environments."""
    directory = inquiry.settings.directory
    problem, names = inspect(directory)
    if problem is not None:
        return findings.down(problem.message, problem.hint)
    file = config.find_project_file(directory)
    what = f"{file} is valid" if file else "no daglab.yaml, the defaults hold"
    return findings.ok(f"{what}; environments: {', '.join(names)}" if names else what)


def inspect(directory: Path) -> tuple[errors.DaglabError | None, list[str]]:
    """What is wrong with the config of `directory`, as no flag has it, None for nothing; and its environments."""
    names: list[str] = []
    try:
        _inspect_one(config.load(directory=directory))
        names = config.environments(directory, os.environ)
        for name in names:
            _inspect_one(config.load({"env": name}, directory=directory))
    except errors.DaglabError as error:
        return error, names
    return None, names


def _inspect_one(settings: config.Config) -> None:
    """What loading does not look at, as not every command needs it."""
    found = trust.credential(settings, os.environ)
    if found and found.auth:
        credentials.kind(found.auth, settings.url)


def marimo(inquiry: findings.Inquiry) -> findings.Finding:
    """The Python that would run a notebook of the project has marimo, and nothing hides it."""
    settings = inquiry.settings
    python = settings.python_for(settings.root / "notebook.py")
    env = interpreters.without_any_secret(processes.without_secrets(os.environ, settings.token_variables))
    done = processes.run([python, "-c", MARIMO], cwd=settings.root, env=env, timeout=inquiry.left)
    install = f"Install it: {shlex.quote(python)} -m pip install --upgrade marimo"
    if done.timed_out:
        return findings.down(f"{python} did not answer in time.", "A larger --timeout may do.")
    try:
        found = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return findings.down(f"{python} can't tell of its marimo: {last}", install)
    if found is None:
        return findings.down(f"{python} has no marimo.", install)
    version, installed, imported = map(str, found)
    if os.path.exists(installed) and os.path.realpath(installed) != os.path.realpath(imported):
        return findings.down(f"{imported} hides the installed marimo.", "Rename it.")
    return findings.ok(f"marimo {version} of {python}")


def storage(inquiry: findings.Inquiry) -> findings.Finding:
    """`.daglab/` and the folder of the exports, or where they would be made, can be written and have room left."""
    root, least = inquiry.settings.root, inquiry.settings.health.min_free_bytes
    found = [_folder(root, root / name, least) for name in (".daglab", "exports")]
    order = (findings.DOWN, findings.DEGRADED, findings.OK)
    worst = min(found, key=lambda finding: order.index(finding.status))
    return worst


def _folder(root: Path, folder: Path, least: int) -> findings.Finding:
    if files.inside(root, folder) is None:
        return findings.degraded(f"{folder} leads out of the project.", "Make it a folder of its own.")
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:  # on Linux it never has a name
            if file.write(PROBE) != len(PROBE):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room = os.statvfs(folder)
    except OSError as error:
        return findings.down(
            f"{folder} can't be written: {error.strerror or error}.",
            f"Make room, or look at its permissions: df -h {shlex.quote(str(folder))}; `daglab clean` makes room.",
        )
    return _room(folder, room.f_bavail * room.f_frsize, room.f_favail if room.f_files else None, least)


def _room(folder: Path, free: int, inodes: int | None, least: int) -> findings.Finding:
    """Some file systems do not count inodes."""
    hint = f"Make room: `daglab clean`, df -h {shlex.quote(str(folder))}; the least is health.min_free_bytes."
    if free < least:
        return findings.degraded(
            f"{folder} has {scales.figure(free, 'bytes')} left, of {scales.figure(least, 'bytes')} wanted.", hint
        )
    if inodes is not None and inodes < LEAST_INODES:
        return findings.degraded(
            f"{folder} has room for {inodes} files more.", f"Delete files: df -i {shlex.quote(str(folder))}"
        )
    return findings.ok(f"{folder} can be written, {scales.figure(free, 'bytes')} left")


def exports(inquiry: findings.Inquiry) -> findings.Finding:
    """The last good export is younger than health.export_max_age_days."""
    days = inquiry.settings.health.export_max_age_days
    if not days:
        return findings.skipped("health.export_max_age_days is 0.")
    last = export_record.last_good(inquiry.settings.root)
    hint = "Look at what exports them: `daglab export NOTEBOOK`, cron's own log."
    if last is None:
        return findings.degraded("No good export is on record.", hint)
    age = (datetime.now(timezone.utc) - last).total_seconds() / 86400
    detail = f"The last good export is {age:.1f} days old ({last.isoformat(timespec='seconds')})."
    return findings.degraded(f"{detail} {days} are allowed.", hint) if age > days else findings.ok(detail)
