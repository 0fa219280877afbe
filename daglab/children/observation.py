"""Reports one asset observation to the Dagster instance of DAGSTER_HOME; run by the project's own Python.

Takes a JSON request from the variable DAGLAB_OBSERVATION: asset_key, description, partition, newest_run and
asked_at (what the server showed, and when it was asked), and entries of label, kind and value. With check (a name) and
passed it is an evaluation of that asset check instead. Prints JSON lines:
{"refused": why} when nothing was written, {"writing": true} before the write, {"written": true} after it.
Imports nothing of daglab: that Python may not have it.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from datetime import datetime, timezone
from typing import Any

AS_NEW = 100  # so many runs may have been launched while this one started


def main() -> None:
    """Prove that the instance is the server's, then report."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if path != here]  # no file beside this one may hide a module
    request = json.loads(os.environ.pop("DAGLAB_OBSERVATION"))
    home = os.path.expanduser(os.environ["DAGSTER_HOME"])
    if is_unused(home):
        say(refused=f"no Dagster has ever run with the DAGSTER_HOME {home}")
        return
    try:
        import dagster
    except ImportError as error:
        say(refused=f"{sys.executable} has no dagster ({error})")
        return
    with dagster.DagsterInstance.get() as instance:
        if not is_the_servers(instance, request):
            say(refused="the instance of DAGSTER_HOME is not the one that the server shows: their newest runs differ")
            return
        event = made(dagster, request)
        say(writing=True)
        instance.report_runless_asset_event(event)
        say(written=True)


def made(dagster: Any, request: dict[str, Any]) -> Any:
    """The event that is asked for."""
    key = dagster.AssetKey(request["asset_key"])
    metadata = {entry["label"]: value(dagster, entry) for entry in request["entries"]}
    if not request.get("check"):
        return dagster.AssetObservation(
            asset_key=key, description=request["description"], partition=request.get("partition"), metadata=metadata
        )
    maker: Any = getattr(dagster, "AssetCheckEvaluation", None)
    if maker is None:  # in 1.5 and 1.8 it has no public name
        maker = importlib.import_module("dagster._core.definitions.asset_check_evaluation").AssetCheckEvaluation
    said = {"check_name": request["check"], "passed": request["passed"], "asset_key": key, "metadata": metadata}
    try:
        return maker(**said, description=request["description"])
    except TypeError:  # 1.5 has no description of one
        return maker(**said)


def is_unused(home: str) -> bool:
    """Whether Dagster would make new databases there: it stores nothing elsewhere, and has nothing here."""
    try:
        with open(os.path.join(home, "dagster.yaml"), encoding="utf-8", errors="replace") as file:
            settings = file.read()
    except OSError:
        settings = ""
    elsewhere = re.search(r"^(storage|run_storage|event_log_storage)\s*:", settings, re.MULTILINE)
    return not elsewhere and not os.path.exists(os.path.join(home, "history", "runs.db"))


def is_the_servers(instance: Any, request: dict[str, Any]) -> bool:
    """Whether the run that the server shows as its newest is the newest here, but for those launched since."""
    for record in instance.get_run_records(limit=AS_NEW):
        if record.dagster_run.run_id == request["newest_run"]:
            return True
        created = record.create_timestamp
        if created.tzinfo is None:  # UTC, in older versions
            created = created.replace(tzinfo=timezone.utc)
        if created.timestamp() < request["asked_at"]:
            return False
    return False


def value(dagster: Any, entry: dict[str, Any]) -> Any:
    """The typed metadata value of an entry; a kind that this version lacks becomes text."""
    maker = getattr(dagster.MetadataValue, entry["kind"], dagster.MetadataValue.text)
    if maker is dagster.MetadataValue.text:
        return maker(str(entry["value"]))
    return maker(datetime.fromisoformat(entry["value"]) if entry["kind"] == "timestamp" else entry["value"])


def say(**line: object) -> None:
    """Print one JSON line at once."""
    print(json.dumps(line), flush=True)  # noqa: T201 (this is its output)


if __name__ == "__main__":
    main()
