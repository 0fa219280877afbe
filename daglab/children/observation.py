"""Reports one asset observation to the Dagster instance of DAGSTER_HOME; run by the project's own Python.

Takes a JSON request from the variable DAGLAB_OBSERVATION: asset_key, description, partition, newest_run, and entries of
label, kind and value. Prints JSON lines: {"refused": why} when nothing was written, {"writing": true} before
the write, {"written": true} after it. Imports nothing of daglab: that Python may not have it.
"""

import json
import os
import sys
from typing import Any


def main() -> None:
    """Prove that the instance is the server's, then report."""
    sys.path.pop(0)  # this script's own folder must not shadow a module of that Python
    request = json.loads(os.environ.pop("DAGLAB_OBSERVATION"))
    try:
        import dagster
    except ImportError as error:
        say(refused=f"{sys.executable} has no dagster ({error})")
        return
    with dagster.DagsterInstance.get() as instance:
        newest = [record.run_id for record in instance.get_runs(limit=1)]
        if newest != [request["newest_run"]]:
            say(refused="the instance of DAGSTER_HOME is not the one that the server shows: their newest runs differ")
            return
        observation = dagster.AssetObservation(
            asset_key=dagster.AssetKey(request["asset_key"]),
            description=request["description"],
            partition=request["partition"],
            metadata={entry["label"]: value(dagster, entry) for entry in request["entries"]},
        )
        say(writing=True)
        instance.report_runless_asset_event(observation)
        say(written=True)


def value(dagster: Any, entry: dict[str, Any]) -> Any:
    """The typed metadata value of an entry; a kind that this version lacks becomes text."""
    maker = getattr(dagster.MetadataValue, entry["kind"], dagster.MetadataValue.text)
    return maker(entry["value"] if maker is not dagster.MetadataValue.text else str(entry["value"]))


def say(**line: object) -> None:
    """Print one JSON line at once."""
    print(json.dumps(line), flush=True)  # noqa: T201 (this is its output)


if __name__ == "__main__":
    main()
