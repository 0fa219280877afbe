"""The machine around a project: ports, Dagster's folder, room on the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from daglab import errors, files, parse, process_table
from daglab.dev import ports, record, services
from daglab.doctor import findings
from daglab.doctor.findings import Finding, Project

PORTS = {"dagster.port": services.DAGSTER, "marimo.port": services.MARIMO, "dashboard.port": "dashboard"}
LOW_DISK = 1_000_000_000  # bytes
LARGEST_CONFIG = 1_000_000


def look_at_ports(project: Project) -> list[Finding]:
    """Whether each port is free, ours, or whose it is."""
    values = {key: int(project.settings.value(key)) for key in PORTS}
    found = [_port(project, key, port) for key, port in values.items()]
    twice = [key for key, port in values.items() if list(values.values()).count(port) > 1]
    if twice:
        found.append(
            findings.warning(
                "ports",
                f"{' and '.join(twice)} are the same, {values[twice[0]]}.",
                f"Give one another: daglab config set {twice[-1]} PORT",
            )
        )
    return found


def _port(project: Project, key: str, port: int) -> Finding:
    if ports.is_free(port, "127.0.0.1"):
        return findings.fine(key, f"port {port} is free")
    pids = process_table.listeners(port)
    running = record.read(project.root)
    if pids & process_table.marked(record.MARK, str(running.get("mark"))):
        return findings.fine(key, f"port {port} is held by the daglab dev of this project")
    service = PORTS[key]
    who = " and ".join(f"process {pid} ({_program(pid)})" for pid in sorted(pids)) or "somebody"
    if service in services.PROBES and services.answers(service, f"http://127.0.0.1:{port}"):
        return findings.fine(key, f"{service} answers at port {port}: {who}")
    return findings.warning(
        key,
        f"port {port} is held by {who}, which is not {service} of this project.",
        f"End it, or take another: daglab config set {key} PORT",
    )


def _program(pid: int) -> str:
    """What a process is, in a word or two: its arguments may hold secrets."""
    words = process_table.command(pid)
    if not words:
        return "unknown"
    name = os.path.basename(words[0])
    module = words[2] if len(words) > 2 and words[1] == "-m" else ""
    return f"{name} -m {module}" if module else name


def look_at_home(project: Project) -> Iterator[Finding]:
    """The folder that DAGSTER_HOME names, and Dagster's own config in it."""
    name, unset = "dagster.home", "unset DAGSTER_HOME: daglab dev then keeps the history in .daglab."
    named = project.environ.get("DAGSTER_HOME")
    if not named:
        own = project.root / services.HOME
        there = f"it is in {own}" if own.is_dir() else "daglab dev will keep the history in .daglab"
        yield findings.fine(name, f"DAGSTER_HOME is not set: {there}")
        yield from _instance(name, own)
        return
    home = Path(named)
    if not home.is_absolute():
        yield findings.problem(
            name, f"DAGSTER_HOME is {named}, which is no whole path.", f"Write it from / on, or {unset}"
        )
    elif not home.is_dir():
        what = "a file" if home.exists() else "missing"
        yield findings.problem(
            name, f"DAGSTER_HOME is {named}, which is {what}.", f"mkdir -p {findings.quoted(home)}, or {unset}"
        )
    elif not os.access(home, os.W_OK | os.X_OK):
        yield findings.problem(name, f"DAGSTER_HOME is {named}, and can't be written.", f"Look at it: ls -ld {named}")
    else:
        yield findings.fine(name, f"DAGSTER_HOME is {named}")
        yield from _instance(name, home)


def _instance(name: str, home: Path) -> Iterator[Finding]:
    """Dagster's dagster.yaml, which has to be YAML; the rest of it Dagster itself checks."""
    path = home / "dagster.yaml"
    if not path.is_file():
        return
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise errors.InvalidInput(f"{path} is larger than {LARGEST_CONFIG} bytes.", "Is it the right file?")
        parse.run_config(files.read_text(path, "instance's config"), str(path))
    except errors.DaglabError as error:
        yield findings.problem(name, error.message, error.hint or "Mend it.")


def look_at_disk(project: Project) -> Iterator[Finding]:
    """Room where the project lies."""
    free, least = shutil.disk_usage(project.root).free, project.settings.health.min_free_bytes
    shown = f"{free / 1e9:.1f} GB are free in {project.root}"
    if free < least:
        yield findings.problem(
            "disk", f"{free / 1e6:.0f} MB are free in {project.root}.", "Make room: daglab clean, df -h"
        )
    elif free < LOW_DISK:
        yield findings.warning("disk", f"Only {shown}.", "Make room: daglab clean, df -h, du -sh .daglab exports")
    else:
        yield findings.fine("disk", shown)
