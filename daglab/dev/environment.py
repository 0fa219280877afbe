"""The development environment as it runs: started, made known, looked after, and ended."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from daglab import errors, output, process_table, processes
from daglab.deployment import entities, runs
from daglab.dev import entrance, in_flight, logs, ports, record, services, supervision
from daglab.dev.services import DAEMON, DAGSTER, DASHBOARD, MARIMO

TICK = 0.1  # seconds between two looks while something is awaited
CALM_TICK = 0.25
PROGRESS_SECONDS = 10.0
DAEMON_SECONDS = 30.0  # after all else is ready
RUNS_SECONDS = 2.0  # for runs that are asked to end; ending the tree takes up to 7 more, and all of it is to take 10
QUERY_SECONDS = 10.0
LOST_PORTS = 3
BUSY = "address already in use"


@dataclass(frozen=True)
class Plan:
    """What is to run, and how.

    `preferred` are ports by service, for those that are started; `url` is of the Dagster that runs already, where it
    is not started. `home` is the folder of a Dagster that is. `restarts` says whether a service that crashes is started
    again, `shows` whether what they print is shown; `largest_log` is in bytes.
    """

    root: Path
    python: str
    host: str
    level: str
    preferred: dict[str, int]
    among: tuple[int, int]
    env: dict[str, str]
    home: Path | None
    notebook: Path | None
    url: str | None
    prefix: str
    read_only: bool
    restarts: bool
    largest_log: int
    backups: int
    shows: bool


@dataclass
class Running:
    """What runs: the services by name, their addresses, and those whose answer is awaited."""

    mark: str
    urls: dict[str, str]
    ports: dict[str, int]
    began: float = field(default_factory=time.time)
    watched: dict[str, supervision.Watched] = field(default_factory=dict)
    awaited: set[str] = field(default_factory=set)
    page: str | None = None
    broken: dict[str, str] = field(default_factory=dict)
    has_answered: bool = False
    is_ready: bool = False


class PortLost(Exception):
    """Somebody has taken a port between our look and the service's own."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(name, port)
        self.name, self.port = name, port


def serve(plan: Plan, on_ready: Callable[[dict[str, Any]], None], is_ours: Callable[[], bool]) -> None:
    """Run the environment until a signal or a crash ends it; `on_ready` gets the document of what runs.

    For who holds `record.held`, which gives `is_ours`. Raises `NotGood` for a service that does not run, and when
    `.daglab` is taken away, `Taken` when there is no port.
    Nothing is left when this ends, however it does.
    """
    lost: list[int] = []
    while True:
        try:
            _attempt(plan, lost, on_ready, is_ours)
        except PortLost as error:
            lost.append(error.port)
            if len(lost) > LOST_PORTS:
                raise errors.Taken(
                    f"Ports are taken as fast as they are found: {', '.join(map(str, lost))}.",
                    "Name others with --port-range.",
                ) from None
            output.warn(f"Port {error.port} was taken while {error.name} started: trying another.")


def _attempt(
    plan: Plan, lost: list[int], on_ready: Callable[[dict[str, Any]], None], is_ours: Callable[[], bool]
) -> None:
    """One start of everything, to its end."""
    with contextlib.ExitStack() as held:
        found = _ports(plan, held, lost)
        urls = {
            name: services.url(_host(plan, name), port, plan.prefix if name == DAGSTER else "")
            for name, port in found.items()
        }
        running = Running(secrets.token_hex(16), {**({DAGSTER: plan.url} if plan.url else {}), **urls}, found)
        try:
            with processes.keeper() as kept:
                try:
                    _start(plan, running, kept)
                    # The dashboard's is always tried first where links lead.
                    ports.remember(
                        plan.root, {name: running.ports[name] for name in running.ports if name != DASHBOARD}
                    )
                    for _ in _watch(plan, running, kept, on_ready):
                        if not is_ours():
                            raise errors.NotGood(
                                f"{plan.root / record.FOLDER} was taken away, with the history.", "Start it again."
                            )
                finally:
                    _leave(plan, running)
        finally:
            try:
                record.end({"mark": running.mark})  # where the keeper was killed
            finally:
                if record.remove(plan.root, running.mark):
                    entrance.close(plan.root)


def _ports(plan: Plan, held: contextlib.ExitStack, lost: list[int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, preferred in plan.preferred.items():
        try:
            port = ports.choose(preferred, plan.among, _host(plan, name), held, [*lost, *found.values()])
        except errors.Taken:
            if name != DASHBOARD:  # which nobody has asked for by name
                raise
            output.note("No port of the range is left for the dashboard: it is left out.")
            continue
        if port != preferred:
            output.note(f"Port {preferred} is taken: {name} gets {port}.")
        found[name] = port
    return found


def _host(plan: Plan, name: str) -> str:
    """Where a service listens: the dashboard asks nobody who they are."""
    return services.LOOPBACK if name == DASHBOARD else plan.host


def _start(plan: Plan, running: Running, kept: processes.Keeper) -> None:
    """Both at the same time; the daemon follows when Dagster answers, for it would slow it down."""
    wanted = _wanted(plan, running)
    _write(plan, running, kept)
    if DAGSTER in running.ports:
        _launch(plan, running, kept, services.dagster(wanted, running.ports[DAGSTER]))
    if MARIMO in running.ports and plan.notebook:
        token = entrance.make_token(plan.root)
        running.page = entrance.write_page(plan.root, running.urls[MARIMO], token)
        _launch(plan, running, kept, services.marimo(wanted, running.ports[MARIMO], plan.notebook))
    if DASHBOARD in running.ports:
        _launch(plan, running, kept, services.dashboard(wanted, running.ports[DASHBOARD]))
    running.awaited = set(running.watched)
    names = " and ".join(f"{name} at {running.urls[name]}" for name in running.watched)
    output.note(f"Starting {names}.")
    _write(plan, running, kept)


def _launch(plan: Plan, running: Running, kept: processes.Keeper, service: processes.Service) -> None:
    running.watched[service.name] = supervision.start(kept, service, len(running.watched), plan.backups)


def _wanted(plan: Plan, running: Running) -> services.Wanted:
    own = {record.MARK: running.mark, "PYTHONUNBUFFERED": "1"}
    if plan.home:
        own["DAGSTER_HOME"] = str(plan.home)
    if url := running.urls.get(DAGSTER):
        own["DAGLAB_DAGSTER__URL"] = url
    if plan.read_only:
        own["DAGLAB_SECURITY__SANDBOX_MODE"] = "true"
    env = {**plan.env, **own}
    return services.Wanted(plan.root, plan.python, plan.host, env, plan.level, plan.prefix, plan.read_only)


def _watch(
    plan: Plan, running: Running, kept: processes.Keeper, on_ready: Callable[[dict[str, Any]], None]
) -> Iterator[None]:
    """Look after what runs, for ever; a look at a time."""
    began = said = time.monotonic()
    while True:
        if plan.shows:
            supervision.show(running.watched.values())
        supervision.shorten(running.watched.values(), plan.largest_log, plan.backups)
        if not running.is_ready:
            _refuse_early_end(running, kept)
        for fresh in supervision.look(kept, running.watched.values(), restarts=plan.restarts and running.is_ready):
            running.awaited |= {fresh.name} & {DAGSTER, MARIMO, DASHBOARD}
            began = said = time.monotonic()
            _write(plan, running, kept)
        for name in sorted(running.awaited):
            if _is_up(running, name) and (name != DAGSTER or _greet(plan, running, kept)):
                running.awaited.discard(name)
                output.note(f"{name} answers.")
                began = said = time.monotonic()
        give_up_on_daemon(running, time.monotonic() - began)
        if not running.awaited and not running.is_ready:
            running.is_ready = True
            _write(plan, running, kept)
            on_ready(document(plan, running))
        if running.awaited and time.monotonic() - said >= PROGRESS_SECONDS:
            said = time.monotonic()
            output.note(f"Waiting for {' and '.join(sorted(running.awaited))} ({said - began:.0f} s).")
        yield
        time.sleep(TICK if running.awaited else CALM_TICK)


def _refuse_early_end(running: Running, kept: processes.Keeper) -> None:
    """A service that ends before it has ever answered would not get further the next time."""
    for name, code in processes.ended(kept).items():
        each = running.watched[name]
        if name in running.ports and BUSY in logs.tail(each.log.path):
            raise PortLost(name, running.ports[name])
        raise supervision.failed(each, code)


def give_up_on_daemon(running: Running, waited: float) -> None:
    """Call the rest ready where the daemon alone was awaited for so many seconds: it may run, and not be well."""
    if running.awaited == {DAEMON} and waited >= DAEMON_SECONDS:
        running.awaited.discard(DAEMON)
        output.warn(
            f"Dagster's daemon is not well after {waited:.0f} s: runs may stay queued. `daglab health` says which part "
            f"is not, and {running.watched[DAEMON].log.path} why."
        )


def _is_up(running: Running, name: str) -> bool:
    """Whether the service answers, and it is ours: another process may have the port."""
    if name == DAEMON:
        return runs.are_daemons_healthy(in_flight.api(running.urls[DAGSTER], QUERY_SECONDS))
    each = running.watched[name]
    if each.again_at is not None or not services.answers(name, running.urls[name]):
        return False
    pids = [process.pid for process in process_table.tree(process_table.look(), each.pid)]
    return process_table.listens(pids, running.ports[name]) is not False


def _greet(plan: Plan, running: Running, kept: processes.Keeper) -> bool:
    """Once Dagster answers: tell what failed to load, clear up its history, start its daemon. False to ask again."""
    there = in_flight.api(running.urls[DAGSTER], QUERY_SECONDS)
    running.has_answered = True
    try:
        locations = entities.workspace(there).broken
    except errors.Unreachable:
        return False
    running.broken = {location.name: location.error or "" for location in locations}
    for name, error in running.broken.items():
        output.warn(f"The code location {name} did not load: {error}")
    if not running.is_ready and not plan.read_only:
        _clear_history(plan, running)
        _start_daemon(plan, running, kept)
    return True


def _clear_history(plan: Plan, running: Running) -> None:
    """Runs that a killed environment has left as if they were under way."""
    there = in_flight.api(running.urls[DAGSTER], QUERY_SECONDS)
    others = _others(plan, running)
    try:
        for run in in_flight.find(there, before=running.began):
            if _is_own_home(plan) and not others and process_table.boot():
                in_flight.mark(there, run)
            else:
                output.warn(
                    f"The run {run.id} ({in_flight.named(run)}) is {run.status}. If nothing works at it any more: "
                    f"daglab runs cancel {run.id} --force"
                )
    except errors.DaglabError as error:
        output.warn(f"Runs that were left under way could not be looked for: {error.message}")


def _others(plan: Plan, running: Running) -> set[int]:
    """Processes of somebody else that have the same history."""
    there = process_table.with_folder("DAGSTER_HOME", plan.home) if plan.home else set()
    return there - process_table.marked(record.MARK, running.mark)


def _start_daemon(plan: Plan, running: Running, kept: processes.Keeper) -> None:
    """Two daemons of one history would get in each other's way."""
    for pid in _others(plan, running):
        words = process_table.command(pid)
        if "dagster._daemon" in words or any(os.path.basename(word) == "dagster-daemon" for word in words):
            output.note(f"Process {pid} is a daemon of {plan.home} already: no other is started.")
            return
    _launch(plan, running, kept, services.daemon(_wanted(plan, running)))
    running.awaited.add(DAEMON)  # until it has given a sign of life, runs stay queued, and backfills are refused
    _write(plan, running, kept)


def _leave(plan: Plan, running: Running) -> None:
    """What has to be done while Dagster still answers."""
    if running.has_answered and DAGSTER not in running.awaited and not plan.read_only:
        there = in_flight.api(running.urls[DAGSTER], RUNS_SECONDS)
        # A history of the user's own may hold runs that somebody else's daemon looks after.
        ours = None if _is_own_home(plan) else process_table.marked(record.MARK, running.mark)
        in_flight.end(there, RUNS_SECONDS, ours)


def _is_own_home(plan: Plan) -> bool:
    """Whether the history is the environment's own, and all that is in it."""
    return plan.home == plan.root / services.HOME


def _write(plan: Plan, running: Running, kept: processes.Keeper) -> None:
    keeper = kept.process.pid
    what = {
        "mark": running.mark,
        "keeper": keeper,
        "keeper_started": process_table.started(keeper),
        "ready": running.is_ready,
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    record.write(plan.root, {**what, **document(plan, running)})


def document(plan: Plan, running: Running) -> dict[str, Any]:
    """What runs, in JSON."""
    found: dict[str, Any] = {"project": str(plan.root), "python": plan.python, "read_only": plan.read_only}
    if DAGSTER in running.urls:
        own = {"home": str(plan.home), "failed_locations": running.broken} if DAGSTER in running.watched else {}
        found[DAGSTER] = {"url": running.urls[DAGSTER], **_process(running, DAGSTER), **own}
    if DAEMON in running.watched:
        found[DAEMON] = _process(running, DAEMON)
    if MARIMO in running.watched:
        files = {"page": running.page, "token_file": str(plan.root / entrance.TOKEN), "notebook": str(plan.notebook)}
        found[MARIMO] = {"url": running.urls[MARIMO], **_process(running, MARIMO), **files}
    if DASHBOARD in running.watched:
        found[DASHBOARD] = {"url": running.urls[DASHBOARD], **_process(running, DASHBOARD)}
    return found


def _process(running: Running, name: str) -> dict[str, Any]:
    each = running.watched.get(name)
    port = {"port": running.ports[name]} if name in running.ports else {}
    return {**port, "pid": each.pid, "log": str(each.log.path)} if each else {}
