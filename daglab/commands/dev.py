"""`daglab dev`: Dagster and marimo side by side."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from daglab import env_files, errors, events, output, parse, processes, scales
from daglab.deployment import dagster_api
from daglab.dev import environment, logs, ports, record, services, supervision
from daglab.dev.services import DAEMON, DAGSTER, DASHBOARD, MARIMO
from daglab.settings import config, config_checks

GUARDED = "launches, cancellations, reports and all else that changes Dagster"


def plan(settings: config.Config, options: Mapping[str, Any], environ: Mapping[str, str]) -> environment.Plan:
    """What is to run, by the options of the command. Raises for what is missing, before anything is started."""
    record.require_own_folder(settings.root)
    wanted = [name for name in (DAGSTER, MARIMO) if not options[f"no_{name}"]]
    if not wanted:
        raise errors.WrongUsage("--no-dagster and --no-marimo together leave nothing to start.", "Leave one out.")
    if DAGSTER in wanted:
        services.require_project(settings.root)
        if options.get("url") is not None:
            raise errors.WrongUsage("--url names a Dagster that runs already.", "Add --no-dagster, or leave it out.")
    else:
        dagster_api.query(dagster_api.connect(settings), "query Version { version }")
    notebook = services.choose_notebook(settings, options["notebook"]) if MARIMO in wanted else None
    # Before a file is read, which may be the project's: it could pass a token on under another name.
    env = processes.without_secrets(environ, settings.token_variables) if DAGSTER in wanted else dict(environ)
    for path in options["env_file"]:
        env = {**env_files.read(Path(path), env), **env}
    python = services.find_python(settings, options["python"], environ)
    services.check_python(python, wanted)
    among = ports.parse_range(options["port_range"]) if options["port_range"] else None
    preferred = {name: _preferred(settings, name, options[f"{name}_port"], among) for name in wanted}
    if not options["no_dashboard"]:
        own = settings.dashboard.port  # where links lead, whatever it was the last time
        preferred[DASHBOARD] = own if among is None or among[0] <= own <= among[1] else among[0]
    return environment.Plan(
        root=settings.root,
        python=python,
        host=options["host"],
        level=options["log_level"] or settings.logging.level,
        preferred=preferred,
        among=among or ports.RANGE,
        env=processes.without_secrets(env, settings.token_variables) if DAGSTER in wanted else env,
        home=services.dagster_home(settings.root, env) if DAGSTER in wanted else None,
        notebook=notebook,
        url=None if DAGSTER in wanted else settings.url,
        prefix=settings.dagster.path_prefix or "",
        read_only=settings.security.sandbox_mode,
        restarts=not options["ci"],
        largest_log=settings.logging.max_bytes,
        backups=settings.logging.backup_count,
        shows=not options["behind"],
    )


def _preferred(settings: config.Config, name: str, flag: int | None, among: tuple[int, int] | None = None) -> int:
    """The port to try first: the flag's, the config's where it says one, that of the last time, the default.

    Where a range is given, nothing but the flag's lies outside of it.
    """
    key = f"{name}.port"
    said = settings.layers.get(key) != "default"
    port: int = (None if said else ports.remembered(settings.root).get(name)) or settings.value(key)
    return flag or (port if among is None or among[0] <= port <= among[1] else among[0])


def detach(root: Path, opens: bool) -> dict[str, Any]:
    """Start the same command behind us, in a session of its own; the document that it prints when it is ready.

    Raises what it raises, and `Taken` when one runs already.
    """
    record.require_own_folder(root)
    record.refuse_second(root)
    given = [word for word in sys.argv[1:] if word not in ("--detach", "--json", "--open", "--no-open")]
    script = sys.argv[0]
    program = ["-m", "daglab"] if script.endswith("__main__.py") else [script]
    place = given.index("--") if "--" in given else len(given)
    given[place:place] = ["--json", "--behind", "--open" if opens else "--no-open"]
    command = [sys.executable, *program, *given]
    log = logs.begin(root / services.LOGS / "dev.log", 1).path
    with log.open("xb") as messages:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages, start_new_session=True
        )
    try:
        with child.stdout or contextlib.nullcontext(()) as printed:
            found = _first_document(printed)
    except BaseException:  # whatever ends our waiting, nothing may go on that nobody was told of
        child.terminate()
        child.wait()
        raise
    if found is None:
        code = child.wait()
        raise errors.NotGood(f"daglab dev has ended with code {code}.", f"Its messages are in {log}.")
    if error := found.get("error"):
        child.wait()
        raise _as_raised(error)
    return found


def _first_document(stream: Iterable[bytes]) -> dict[str, Any] | None:
    """The JSON document that comes first in a stream which stays open; None where none does."""
    text = ""
    for line in stream:
        text += line.decode("utf-8", "replace")
        try:
            found = json.loads(text)
        except ValueError:
            continue
        return found if isinstance(found, dict) else None
    return None


def _as_raised(error: Mapping[str, Any]) -> errors.DaglabError:
    """The error of the process behind us, as ours."""
    raised = errors.DaglabError(str(error.get("message")), error.get("hint"))
    raised.code, raised.exit_code = str(error.get("code")), int(error.get("exit_code") or 1)
    return raised


def wants_pages(settings: config.Config, asked: bool | None, *, ci: bool) -> bool:
    """Whether both pages are to be opened: as it was asked, else where somebody sits before a terminal."""
    return (settings.defaults.open_browser and sys.stderr.isatty() and not ci) if asked is None else asked


def open_pages(addresses: list[str], browser: str | None) -> None:
    """Open pages in a browser, behind us: some browsers end when they are closed. A failure is noted."""

    def opened(address: str) -> None:
        try:
            if not webbrowser.get(browser).open(address):
                raise webbrowser.Error("it did not start")
        except (webbrowser.Error, OSError) as error:
            output.note(f"{address} could not be opened in a browser: {error}.")

    for address in addresses:
        threading.Thread(target=opened, args=(address,), daemon=True).start()


def tell(found: Mapping[str, Any], settings: config.Config) -> None:
    """Say where everything is."""
    if DAGSTER in found:
        output.data(f"dagster  {found[DAGSTER]['url']}")
    if MARIMO in found:
        output.data(f"marimo   {found[MARIMO]['page']}")
        output.note(f"marimo itself is at {found[MARIMO]['url']}; its token is in {found[MARIMO]['token_file']}.")
    if DASHBOARD in found:
        output.data(f"daglab   {found[DASHBOARD]['url']}/")
        if found[DASHBOARD]["port"] != settings.dashboard.port and not settings.export.base_url:
            output.note(
                f"Links to exports lead to port {settings.dashboard.port} (dashboard.port), and this is another."
            )
    if DAGSTER in found and found[DAGSTER]["url"] != settings.url:
        output.note(f"Other commands find this Dagster with: export DAGLAB_DAGSTER__URL={found[DAGSTER]['url']}")
    if found["read_only"] and "pid" in found.get(DAGSTER, {}):
        output.note(f"A sandbox: it guards against {GUARDED}, from its pages and from the notebooks. No daemon runs.")
    elif found["read_only"]:
        output.note(f"A sandbox: it guards against {GUARDED} by daglab in the notebooks; Dagster itself takes them.")
    output.note("`daglab stop` ends it.")


def tell_status(found: Mapping[str, Any]) -> None:
    """Print what runs, a row each."""
    rows = []
    for name in (DAGSTER, DAEMON, MARIMO, DASHBOARD):
        if name in found:
            each = found[name]
            memory = f"{each['memory_bytes'] / 2**20:.0f} MiB" if "memory_bytes" in each else ""
            cpu = f"{each['cpu_percent']:.0f} %" if "cpu_percent" in each else ""
            state = "" if "pid" not in each else "runs" if each["alive"] else "ended"
            rows.append([name, each.get("pid", ""), state, memory, cpu, each.get("page") or each.get("url", "")])
    output.table(rows, ["service", "pid", "state", "memory", "cpu", "address"])


def run(settings: config.Config, options: Mapping[str, Any], *, opens: bool, as_json: bool) -> None:
    """Run it in the foreground, to its end."""
    wanted = plan(settings, options, os.environ)
    told: list[bool] = []

    def ready(found: dict[str, Any]) -> None:
        if as_json:
            output.document({"ok": True, "pid": os.getpid(), **found})
        else:
            tell(found, settings)
        output.flush()
        told.append(True)
        if as_json:
            output.discard(1)  # whatever comes, a browser's own words too, it is one document
        if opens:
            pages = [found[DAGSTER]["url"]] if DAGSTER in found else []
            open_pages([*pages, *([found[MARIMO]["page"]] if MARIMO in found else [])], options["browser"])

    with record.held(settings.root) as is_ours:
        if left := record.clear_up(settings.root):
            output.note(f"A killed one had left {scales.counted(len(left), 'process', 'processes')} behind, now ended.")
        if not parse.is_loopback(f"http://[{wanted.host}]" if ":" in wanted.host else f"http://{wanted.host}"):
            output.warn(f"{wanted.host} can be reached by others, and Dagster asks nobody who they are.")
        with _ends_quietly(told, as_json):
            environment.serve(wanted, ready, is_ours)


@contextlib.contextmanager
def _ends_quietly(told: list[bool], as_json: bool) -> Iterator[None]:
    """To be stopped is how it ends; and once the one document is printed, nothing else goes to stdout."""
    try:
        yield
    except (KeyboardInterrupt, errors.Terminated) as stop:
        output.note("Stopped: nothing is left running.")
        if as_json and not told:
            raise
        raise click.exceptions.Exit(errors.stop_code(stop)) from None
    except errors.DaglabError as error:
        if not (as_json and told):
            raise
        output.error(error.message, error.hint)
        raise click.exceptions.Exit(error.exit_code) from None


@click.command(name="dev")
@click.option("--notebook", metavar="PATH", help="What marimo opens.  [default: the last scaffolded, else the folder]")
@click.option("--dagster-port", type=click.IntRange(1, 65535), help="Dagster's port.  [default: the last one, or 3000]")
@click.option("--marimo-port", type=click.IntRange(1, 65535), help="marimo's port.  [default: the last one, or 3010]")
@click.option("--port-range", metavar="START-END", help="Where to look when a port is taken.  [default: 3000-3100]")
@click.option("--host", metavar="HOST", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--open/--no-open", "opens", default=None, help="Open both pages.  [default: on a terminal]")
@click.option("--browser", metavar="NAME", help="The browser to open them in.  [default: $BROWSER, or the system's]")
@click.option("--env-file", metavar="FILE", multiple=True, help="Variables for both; what is set already stays.")
@click.option("--python", metavar="PATH", help="The project's Python.  [default: dagster.python, or what is found]")
@click.option(
    "--log-level", type=click.Choice(config_checks.LEVELS, case_sensitive=False), help="What all of them log."
)
@click.option("--sandbox", is_flag=True, help="Change nothing in Dagster: a read-only webserver, and no daemon.")
@click.option("--ci", is_flag=True, help="Open nothing, and end at the first crash.")
@click.option("--no-marimo", is_flag=True, help="Start Dagster alone.")
@click.option("--no-dashboard", is_flag=True, help="Do without daglab's own dashboard.")
@click.option("--no-dagster", is_flag=True, help="Start marimo alone, beside the Dagster at --url.")
@click.option("--detach", is_flag=True, help="Return when both are ready; `daglab stop` ends them.")
@click.option("--behind", is_flag=True, hidden=True, help="What --detach starts: it shows no logs of others.")
@click.option("--status", "shows_status", is_flag=True, help="Say what runs, and what it uses.")
@output.url_option
@output.env_option
@output.json_option
def command(
    url: str | None, sandbox: bool, opens: bool | None, shows_status: bool, as_json: bool, **options: Any
) -> None:
    """Start Dagster and marimo side by side, and look after them.

    Both are ready when their pages answer, every code location was loaded, and Dagster's daemon is there. daglab's
    dashboard runs beside them.
    Ctrl-C ends both, and all that they have started: runs under way are named and cancelled. A service that crashes
    is started again, three times in five minutes at most. What they print is shown, and kept in .daglab/logs.

    \b
    Examples:
      daglab dev
      daglab dev --notebook dagster/notebooks/asset_orders.py --dagster-port 3001
      daglab dev --detach --json
      daglab dev --status
    """
    if shows_status:
        _show_status(record.find(config.current_directory()), as_json)
        return
    output.drop_when_full()
    settings = config.load(output.flags({"dagster.url": url, "security.sandbox_mode": sandbox or None}))
    options["url"] = url
    if options["log_level"]:
        logging.getLogger("daglab").setLevel(options["log_level"].upper())
    opens = wants_pages(settings, opens, ci=options["ci"])
    if options["detach"]:
        output.note("Starting in the background.")
        found = detach(settings.root, opens)
        for name, error in found.get(DAGSTER, {}).get("failed_locations", {}).items():
            output.warn(f"The code location {name} did not load: {error}")
        output.document(found) if as_json else tell(found, settings)
        return
    with events.recording(settings.root, "dev") as event:
        event.ends_by_stop = True
        run(settings, options, opens=opens, as_json=as_json)


def _show_status(root: Path, as_json: bool) -> None:
    found = supervision.status(root)
    if not found["running"]:
        raise errors.NotGood(f"daglab dev does not run in {root}.", "Start it: daglab dev", result=found)
    if as_json:
        output.document({"ok": True, **found})
    else:
        tell_status(found)
