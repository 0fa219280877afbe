"""The services of the development environment: how each is started, and when it is ready."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from daglab import errors, files, json_lines, parse, processes
from daglab.authoring import projects
from daglab.dev import entrance, record
from daglab.settings import config

DAGSTER, DAEMON, MARIMO, DASHBOARD = record.SERVICES
LOGS = Path(".daglab/logs")
HOME = Path(".daglab/dagster_home")
PROBE_TIMEOUT = 2.0
PROBES = {  # the path, and what is answered
    DAGSTER: ("server_info", "dagster_version"),
    MARIMO: ("health", "status"),
    DASHBOARD: ("health", "status"),
}
NEEDED = {DAGSTER: ("dagster_webserver", "dagster-webserver"), MARIMO: ("marimo", "marimo")}
LOOPBACK = "127.0.0.1"
# daglab itself, whatever modules lie in the project's folder.
DAGLAB = "import sys; sys.path[:] = filter(None, sys.path); from daglab.cli import main; main(prog_name='daglab')"
FIND = """
import importlib.util, json, sys
print(json.dumps([name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]))
"""


@dataclass(frozen=True)
class Wanted:
    """How services run: by which Python, from where, with which environment, and what they print."""

    root: Path
    python: str
    host: str
    env: Mapping[str, str]
    level: str
    prefix: str = ""
    read_only: bool = False


def find_python(settings: config.Config, named: str | None, environ: Mapping[str, str]) -> str:
    """The project's Python: the one named, dagster.python, its .venv, the active environment, daglab's own."""
    if named or settings.layers.get("dagster.python") != "default":
        python = named or settings.python_for(settings.root)
        return os.path.abspath(python) if named and os.sep in named else python
    folders = [settings.root / environ.get("UV_PROJECT_ENVIRONMENT", ".venv"), settings.root / ".venv"]
    if environ.get("VIRTUAL_ENV"):
        folders.append(Path(environ["VIRTUAL_ENV"]))
    found = (folder / "bin" / "python" for folder in folders)
    return str(next((python for python in found if python.exists()), sys.executable))


def check_python(python: str, names: Sequence[str]) -> None:
    """Raises `NotSetUp` when the Python is none, or lacks what these services need."""
    modules = {NEEDED[name][0]: NEEDED[name][1] for name in names}
    try:
        done = subprocess.run([python, "-c", FIND, *modules], capture_output=True, text=True, timeout=60, check=True)
        missing = [modules[name] for name in json.loads(done.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise errors.NotSetUp(
            f"{python} does not work as a Python ({type(error).__name__}).", "Name the project's own with --python."
        ) from None
    if missing:
        raise errors.NotSetUp(
            f"{python} has no {' and no '.join(missing)}.",
            f"Install it: {python} -m pip install {' '.join(missing)}, or name another Python with --python; "
            "--no-marimo and --no-dagster leave one out.",
        )


def dagster_home(root: Path, environ: Mapping[str, str]) -> Path:
    """Dagster's folder: the one that DAGSTER_HOME names, else the project's own, which is made when it is missing.

    Raises `NotSetUp` where DAGSTER_HOME is no folder: Dagster would not start.
    """
    if named := environ.get("DAGSTER_HOME"):
        if not os.path.isabs(named) or not os.path.isdir(named):
            raise errors.NotSetUp(
                f"DAGSTER_HOME is {named}, and that is no folder with its whole path.",
                "Make the folder, or unset DAGSTER_HOME: daglab then keeps the history in .daglab.",
            )
        return Path(named)
    home = root / HOME
    files.make_folder(home)
    if not (home / "dagster.yaml").exists():
        with contextlib.suppress(errors.Taken):  # another one has just done so
            files.write_new(home / "dagster.yaml", "telemetry:\n  enabled: false\n")
    return home


def dagster(wanted: Wanted, port: int) -> processes.Service:
    """Dagster's webserver."""
    command = [wanted.python, "-m", "dagster_webserver", "--host", wanted.host, "--port", str(port)]
    levels = ["--dagster-log-level", wanted.level.lower(), "--code-server-log-level", wanted.level.lower()]
    more = [
        *(["--path-prefix", wanted.prefix] if wanted.prefix else []),
        *(["--read-only"] if wanted.read_only else []),
    ]
    return _service(wanted, DAGSTER, [*command, *levels, *more])


def daemon(wanted: Wanted) -> processes.Service:
    """Dagster's daemon: schedules, sensors, backfills, and the queue of runs."""
    levels = ["--log-level", wanted.level.lower(), "--code-server-log-level", wanted.level.lower()]
    return _service(wanted, DAEMON, [wanted.python, "-m", "dagster._daemon", "run", *levels])


def marimo(wanted: Wanted, port: int, notebook: Path) -> processes.Service:
    """marimo's editor, of a notebook or a folder. Quiet, for it would print its token; and it asks nothing."""
    level = {"WARNING": "warn"}.get(wanted.level, wanted.level.lower())
    command = [wanted.python, "-m", "marimo", "--quiet", "--log-level", level, "edit", str(notebook), "--headless"]
    address = ["--host", wanted.host, "--port", str(port)]
    quietly = ["--skip-update-check", "--no-sandbox", "--token-password-file", str(wanted.root / entrance.TOKEN)]
    return _service(wanted, MARIMO, [*command, *address, *quietly])


def dashboard(wanted: Wanted, port: int) -> processes.Service:
    """daglab's own pages, by daglab's own Python; on loopback, wherever the others listen."""
    return _service(wanted, DASHBOARD, [sys.executable, "-c", DAGLAB, "--quiet", "dashboard", "--port", str(port)])


def url(host: str, port: int, prefix: str = "") -> str:
    """The address to open: a host that stands for all addresses is this machine."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (it is not bound here)
    base = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
    return f"{base}/{prefix.strip('/')}" if prefix.strip("/") else base


def answers(name: str, address: str) -> bool:
    """Whether a service answers at its address, and as itself."""
    path, key = PROBES[name]
    with requests.Session() as session:
        session.trust_env = False  # no proxy stands between us and our own machine
        try:
            answer = session.get(f"{address}/{path}", timeout=PROBE_TIMEOUT, allow_redirects=False)
            found = answer.json()
        except (requests.RequestException, ValueError):
            return False
    return answer.status_code == 200 and isinstance(found, dict) and key in found


def last_notebook(root: Path) -> Path | None:
    """The notebook that was scaffolded last and is still there."""
    for path in sorted((root / ".daglab/events").glob("*.jsonl"), reverse=True):
        try:
            lines = json_lines.read(path)
        except OSError:
            continue
        for line in reversed(lines):
            detail = line.get("detail") if line.get("command") == "scaffold" else None
            named = detail.get("notebook") if isinstance(detail, dict) else None
            if isinstance(named, str) and (root / named).is_file():
                return root / named
    return None


def choose_notebook(settings: config.Config, named: str | None) -> Path:
    """What marimo opens: the notebook named, else the last one scaffolded, else the notebooks folder, else the project.

    Raises `NotSetUp` for a file that is missing: marimo would make it.
    """
    if named is None:
        folder = settings.root / settings.notebooks_dir
        return last_notebook(settings.root) or (folder if folder.is_dir() else settings.root)
    path = Path(named)
    if not path.exists():
        folder = settings.root / settings.notebooks_dir
        near = parse.did_you_mean(path.name, [each.name for each in folder.glob("*.py")]) if folder.is_dir() else None
        raise errors.NotSetUp(f"There is no notebook {named}.", near or "Write one: daglab scaffold --asset KEY")
    return path.absolute()


def require_project(root: Path) -> None:
    """Raises `NotSetUp` where Dagster would not find anything to load."""
    if not projects.is_loaded_by_dagster(root):
        raise errors.NotSetUp(
            f"Dagster finds nothing to load in {root}: no workspace.yaml, no [tool.dagster] in pyproject.toml.",
            "Go to the project's folder, or make a project: daglab init --bootstrap NAME",
        )


def _service(wanted: Wanted, name: str, command: list[str]) -> processes.Service:
    return processes.Service(name, command, wanted.root, wanted.env, wanted.root / LOGS / f"{name}.log")
