"""Whether Dagster answers, has loaded its code, and does what is not asked of it by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daglab import parse
from daglab.checks import findings
from daglab.deployment import dagster_api, entities

VERSION_QUERY = "query Version { version }"
DAEMONS_QUERY = """
query RequiredDaemons {
  instance {
    runQueuingSupported
    daemonHealth { allDaemonStatuses { daemonType required healthy } }
  }
}
"""
QUEUE = "QUEUED_RUN_COORDINATOR"
_START = "Start it beside the webserver: `dagster-daemon run`; `daglab dev` starts both."


@dataclass(frozen=True)
class Daemon:
    """One of Dagster's daemons, by its kind (SENSOR); `healthy` is the instance's own word."""

    kind: str
    required: bool
    healthy: bool


def version(inquiry: findings.Inquiry) -> findings.Finding:
    """Dagster answers, and says its version."""
    api = _api(inquiry)
    found = parse_version(dagster_api.query(api, VERSION_QUERY))
    return findings.ok(f"Dagster {found} at {parse.display_url(api.url)}")


@dagster_api.reading("version")
def parse_version(data: Mapping[str, Any]) -> str:
    """The version in the answer to `VERSION_QUERY`."""
    return dagster_api.text(data["version"])


def locations(inquiry: findings.Inquiry) -> findings.Finding:
    """Each code location was loaded: degraded when one was not, down when none was."""
    found = entities.workspace(_api(inquiry)).locations
    broken = [location for location in found if location.error]
    if not found:
        return findings.degraded("Dagster has no code location.", "Name one in its workspace.yaml or pyproject.toml.")
    if not broken:
        return findings.ok(f"{len(found)} of {len(found)} loaded")
    causes = "; ".join(f"{location.name}: {location.error}" for location in broken)
    judged = findings.down if len(broken) == len(found) else findings.degraded
    return judged(
        f"{len(found) - len(broken)} of {len(found)} loaded. {causes}",
        "Mend the code and reload the location in Dagster; `daglab discover` shows what is loaded.",
    )


def daemons(inquiry: findings.Inquiry) -> findings.Finding:
    """Each daemon that the instance requires is healthy; without the queue's, no run is started at all."""
    return judge(*parse_daemons(dagster_api.query(_api(inquiry), DAEMONS_QUERY)))


@dagster_api.reading("instance")
def parse_daemons(data: Mapping[str, Any]) -> tuple[bool, list[Daemon]]:
    """Whether runs are queued, and each daemon, in the answer to `DAEMONS_QUERY`."""
    instance = data["instance"]
    statuses = instance["daemonHealth"]["allDaemonStatuses"]
    return instance["runQueuingSupported"] is True, [
        Daemon(dagster_api.text(each["daemonType"]), each["required"] is True, each["healthy"] is True)
        for each in statuses
    ]


def judge(queues: bool, found: Sequence[Daemon]) -> findings.Finding:
    """What the daemons' states come to."""
    required = [daemon for daemon in found if daemon.required]
    sick = [daemon.kind for daemon in required if not daemon.healthy]
    if not required:
        return findings.ok("This instance requires no daemon.")
    if not sick:
        return findings.ok(f"{len(required)} of {len(required)} healthy")
    detail = f"{len(required) - len(sick)} of {len(required)} healthy; not: {', '.join(sick)}"
    if queues and QUEUE in sick:
        return findings.down(f"{detail}. Runs are queued, and none is started.", _START)
    return findings.degraded(f"{detail}. What they do is left undone; runs are started.", _START)


def _api(inquiry: findings.Inquiry) -> dagster_api.DagsterApi:
    """The deployment; the token is read once for all checks."""
    api = inquiry.once("dagster", lambda: dagster_api.connect(inquiry.settings, operation=inquiry.operation))
    return dataclasses.replace(api, session=inquiry.bounded(api.session))
