"""The whole way once: a new project, a real Dagster, a run, a notebook, its export, the link on the asset's page.

Everything happens in a fresh folder below .demo/; nothing is left running.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

from daglab import process_table, processes
from daglab.attaching import attach
from daglab.deployment import dagster_api
from daglab.settings import config

CHECKOUT = Path(__file__).resolve().parent.parent
ASSET = "orders"
PATIENCE = 180.0  # seconds until Dagster has to answer
LAST_BREATH = 20.0  # seconds for what an interrupted command leaves to its keeper
MARK = "DAGLAB_DEMO"  # the variable that everything started here carries, with the demo's folder


def main() -> None:
    """Walk the way; any step that fails ends it with a message and exit code 1, and so does a process that is left."""
    (CHECKOUT / ".demo").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=CHECKOUT / ".demo"))
    print(f"A new project in {folder}")
    os.environ[MARK] = str(folder)  # this process keeps the environment that it began with, so it is not found
    try:
        shown = demonstrate(folder)
    except KeyboardInterrupt:
        print("\nInterrupted.", flush=True)
        sys.exit(130)
    finally:
        check_nothing_left(folder)
    print(shown)


def demonstrate(folder: Path) -> str:
    """Everything, from the empty folder to the last process stopped; what to say at the end."""
    daglab(folder, {}, "init", "--bootstrap", "shop")
    project = folder / "shop"
    home = project / ".dagster_home"
    home.mkdir()
    # Written down, so that Dagster counts nothing and asks nobody.
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    ports = {"dagster": processes.find_free_port(), "pages": processes.find_free_port()}
    with processes.keeper() as kept:
        start(kept, project, home, ports)
        url = f"http://127.0.0.1:{ports['dagster']}"
        wait_for(kept, f"{url}/server_info", project)
        link = walk(project, home, url, f"http://127.0.0.1:{ports['pages']}")
    return f"""
Look at
  the project       {project}
  the notebook      {project / "dagster/notebooks" / f"asset_{ASSET}.py"}
  the HTML          {project / "exports" / f"asset_{ASSET}.html"}
  the asset's page  {url}/assets/{ASSET}?view=events
                    with the link {link}
Start it again with
  cd {project}
  DAGSTER_HOME={home} {sys.executable} -m dagster dev --port {ports["dagster"]}
  {sys.executable} -m http.server {ports["pages"]} --bind 127.0.0.1     (in a second shell, for the link)"""


def start(kept: processes.Keeper, project: Path, home: Path, ports: dict[str, int]) -> None:
    """Start Dagster, and a server for the project's pages."""
    commands = {
        "dagster": [sys.executable, "-m", "dagster", "dev", "--host", "127.0.0.1", "--port", str(ports["dagster"])],
        "pages": [sys.executable, "-m", "http.server", str(ports["pages"]), "--bind", "127.0.0.1"],
    }
    env = {**os.environ, "DAGSTER_HOME": str(home)}
    for name, command in commands.items():
        processes.start(kept, processes.Service(name, command, project, env, project / f"{name}.log"))


def wait_for(kept: processes.Keeper, url: str, project: Path) -> None:
    """Wait until Dagster answers, or end with its log."""
    print(f"Waiting for Dagster at {url}")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and "dagster" not in processes.ended(kept):
        try:
            if "dagster_version" in requests.get(url, timeout=5).json():
                return
        except (requests.RequestException, ValueError):
            time.sleep(0.5)
    sys.exit(
        (project / "dagster.log").read_text(encoding="utf-8", errors="replace")[-4000:] + "\nDagster did not start."
    )


def walk(project: Path, home: Path, url: str, pages: str) -> str:
    """Discover, scaffold, run, export, attach, read back; the link that Dagster shows."""
    env = {"DAGSTER_HOME": str(home), "DAGLAB_DAGSTER__URL": url, "DAGLAB_EXPORT__BASE_URL": pages}
    daglab(project, env, "discover", "--filter", "assets")
    daglab(project, env, "scaffold", "--asset", ASSET)
    daglab(project, env, "run", "--asset-selection", f"raw_orders,{ASSET}")
    notebook = f"dagster/notebooks/asset_{ASSET}.py"
    exported = json.loads(daglab(project, env, "export", notebook, "--attach", f"asset:{ASSET}", "--json"))
    shown = read_back(url)
    if shown != exported["attached"][0]["link"]:
        sys.exit(f"Dagster shows {shown}, and {exported['attached'][0]['link']} was attached.")
    page = requests.get(shown, timeout=30)
    if page.status_code != 200 or page.content != Path(exported["output"]).read_bytes():
        sys.exit(f"{shown} is not the exported page.")
    print(f"Read back over GraphQL: UrlMetadataEntry {shown} (it opens: {len(page.content)} bytes of HTML)")
    return shown


def check_nothing_left(folder: Path) -> None:
    """Say that nothing of the demo is running, or end with the names of what is."""
    if not process_table.boot():
        print("\nEverything is stopped again (not checked: this system has no /proc).")
        return
    deadline = time.monotonic() + LAST_BREATH
    while (left := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    if left:
        sys.exit("These processes of the demo are left:\n" + "\n".join(f"  {pid} {name}" for pid, name in left.items()))
    print("\nEverything is stopped again: no process of the demo is left.")


def processes_of(folder: Path) -> dict[int, str]:
    """The running processes that carry the mark of the demo in `folder`, by id."""
    return {pid: " ".join(process_table.command(pid)) for pid in process_table.marked(MARK, str(folder))}


def read_back(url: str) -> str:
    """The newest link on the asset, asked as anybody would."""
    api = dagster_api.connect(config.load({"dagster.url": url}))
    data = dagster_api.query(api, attach.OBSERVATIONS_QUERY, {"key": {"path": [ASSET]}})
    entries = attach.parse_observations(data)[0].values()
    return next(str(entry["url"]) for entry in entries if entry["__typename"] == "UrlMetadataEntry")


def daglab(folder: Path, env: dict[str, str], *arguments: str) -> str:
    """Run a command as a user would, show it and what it prints, and end when it fails."""
    print(f"\n$ daglab {' '.join(arguments)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "daglab", *arguments],
        cwd=folder,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=False,
    )
    print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(f"daglab {arguments[0]} ended with {done.returncode}.")
    return done.stdout


if __name__ == "__main__":
    main()
