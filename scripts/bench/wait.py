"""How long after the end of a run `daglab run` ends, beside a script on Dagster's own client that asks each second.

The job takes a moment. The time is that from the run's end, as the server tells it, to the end of the command. Needs
daglab[dagster]. A real Dagster is started. Prints a table and, with --json, one JSON document.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import deployments
import pairs
import requests

ROUNDS = 10
PROJECT = """
import time
from dagster import Definitions, in_process_executor, job, op

@op
def moment() -> None:
    time.sleep(0.7)

@job
def short() -> None:
    moment()

defs = Definitions(jobs=[short], executor=in_process_executor)
"""
INSTANCE = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""
SCRIPT = """
import sys, time
from dagster import DagsterRunStatus
from dagster_graphql import DagsterGraphQLClient
client = DagsterGraphQLClient("127.0.0.1", port_number=int(sys.argv[1]))
run = client.submit_job_execution("short")
while client.get_run_status(run) not in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE):
    time.sleep(1)
"""
LAST = "{ runsOrError(limit: 1) { ... on Runs { results { endTime status } } } }"


def late(command: list[str], url: str) -> tuple[float, int]:
    """Seconds from the end of the run that a command makes to its own, and its peak memory in KiB."""
    *_, peak = pairs.measure(pairs.Command(command))
    ended = time.time()
    answer = requests.post(f"{url}/graphql", json={"query": LAST}, timeout=60).json()
    [run] = answer["data"]["runsOrError"]["results"]
    if run["status"] != "SUCCESS":
        sys.exit(f"The run ended as {run['status']}.")
    return float(ended - run["endTime"]), peak


def measure(rounds: int) -> pairs.Row:
    """Both in turn."""
    with (
        tempfile.TemporaryDirectory(prefix="daglab-bench-") as folder,
        deployments.deployment(Path(folder), PROJECT, INSTANCE) as url,
    ):
        script = [sys.executable, "-c", SCRIPT, url.rpartition(":")[2]]
        ours = [*pairs.DAGLAB, "run", "-q", "--url", url, "--job", "short"]
        both = [(late(script, url), late(ours, url)) for _ in range(rounds)]
        return {
            **pairs.seconds([(base[0], own[0]) for base, own in both]),
            "peak_mib": max(own[1] for _, own in both) / 1024,
            "base_peak_mib": max(base[1] for base, _ in both) / 1024,
        }


def main() -> None:
    """Print the figures."""
    options = pairs.arguments(__doc__, ROUNDS).parse_args()
    pairs.show({"from the run's end / dagster-graphql client": measure(options.rounds)}, options)


if __name__ == "__main__":
    main()
