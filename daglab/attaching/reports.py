"""Sending a report of an event without a run: by a child of the project's Python to the instance, or by REST.

Each way says whether it was written, or why that is not known; what wrote nothing for sure raises. What is reported,
and how it is read back, is for `attach` and `asset_checks`.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from daglab import errors, parse, processes, web
from daglab.deployment import dagster_api
from daglab.dev import record
from daglab.settings import config

CHILD = Path(__file__).parent.parent / "children" / "observation.py"
CHILD_TIMEOUT = 120.0  # seconds; importing dagster takes 2 to 5 on an idle machine

NEWEST_RUN_QUERY = """
query NewestRun {
  runsOrError(limit: 1) {
    __typename
    ... on Runs { results { runId } }
    ... on InvalidPipelineRunsFilterError { message }
    ... on PythonError { message }
  }
}
"""


class NothingWritten(errors.NotSetUp):
    """This way can't be used here, and nothing was written."""


class NoWay(errors.Unreachable):
    """What answers is not the endpoint that was asked for, and nothing was written."""


@dagster_api.reading("runsOrError")
def parse_newest_run(data: Mapping[str, Any]) -> str | None:
    """The id of the newest run in the answer to `NEWEST_RUN_QUERY`; None where there was none yet."""
    results = dagster_api.expect(data, "runsOrError", "Runs")["results"]
    return str(results[0]["runId"]) if results else None


def by_instance(
    api: dagster_api.DagsterApi,
    settings: config.Config,
    event: Mapping[str, Any],
    python: str,
    *,
    asked_for: bool,
) -> str | None:
    """Report from the project's Python, after proof that its instance is the one that the server shows.

    `event` is what the child asks for: asset_key, description, entries and the rest. Gives back why it is not known
    whether it was written, None when it was.
    """
    if not asked_for and not parse.is_loopback(api.url):
        raise NothingWritten(f"{api.url} is not on this machine.", "Name the way with --via.")
    home = os.environ.get("DAGSTER_HOME") or home_of_dev(settings, api.url)
    if not home:
        raise NothingWritten("DAGSTER_HOME is not set.", "Set it to the folder that the deployment runs with.")
    asked_at = int(time.time())
    # A run's id is unique, so two instances that have the same newest run are one.
    newest = parse_newest_run(dagster_api.query(api, NEWEST_RUN_QUERY))
    if newest is None:
        raise NothingWritten(
            "The deployment has no run yet, so nothing proves that DAGSTER_HOME is its own.",
            "Materialize something first, or use --via rest.",
        )
    request = {**event, "newest_run": newest, "asked_at": asked_at}
    environ = processes.without_secrets(os.environ, settings.token_variables)
    environ.update(DAGSTER_HOME=home, DAGLAB_OBSERVATION=json.dumps(request))
    return _judge(processes.run([python, CHILD], timeout=CHILD_TIMEOUT, env=environ))


def home_of_dev(settings: config.Config, url: str) -> str | None:
    """The folder of the Dagster that `daglab dev` runs for this project, if that is the deployment."""
    found = record.read(settings.root).get("dagster") if record.is_running(settings.root) else None
    return str(found["home"]) if isinstance(found, dict) and found.get("url") == url and found.get("home") else None


def _judge(finished: processes.Finished) -> str | None:
    """What the child did; without a word about writing it wrote nothing."""
    said: dict[str, Any] = {}
    for line in finished.stdout.splitlines():
        with contextlib.suppress(ValueError):
            word = json.loads(line)
            said.update(word if isinstance(word, dict) else {})
    if said.get("written"):
        return None
    last = (finished.stderr.strip().splitlines() or [f"it ended with {finished.returncode} and no word"])[-1]
    reason = f"it was not done after {CHILD_TIMEOUT:g} s" if finished.timed_out else last.strip()
    if said.get("writing"):
        return f"the report to the Dagster instance broke off ({reason})"
    raise NothingWritten(
        f"The Dagster instance can't be used: {str(said.get('refused') or reason).rstrip('.')}.",
        "Set DAGSTER_HOME and dagster.python to the deployment's own, or use --via rest.",
    )


def by_rest(
    api: dagster_api.DagsterApi, operation: str, asset: tuple[str, ...], body: Mapping[str, Any], what: str
) -> str | None:
    """Report to one of Dagster's REST endpoints, which take JSON's own types alone, and just this content type.

    `what` names the event in errors. Gives back why it is not known whether it was written, None when it was.
    """
    if {".", ".."} & set(asset):  # a path with these leads elsewhere, whatever is done to it
        raise errors.InvalidInput("The asset's key has a part that can't stand in an address.", "Use --via graphql.")
    url = f"{api.url}/{operation}/{path(asset)}"
    try:
        response = web.send(api.session, "POST", url, operation=operation, json=body)
    except web.AnswerLost as lost:
        return lost.message.rstrip(".")
    except errors.NotAuthorised as refused:
        raise errors.NotAuthorised(
            refused.message, f"Does the webserver run with --read-only? Otherwise: {refused.hint}"
        ) from None
    answer = _json(response)
    if response.status_code == 200:
        return None if isinstance(answer, dict) else f"{parse.display_url(url)} answered, but not as Dagster does"
    if response.status_code >= 500:
        return f"{parse.display_url(url)} answered {response.status_code}"
    raise _refused(url, response.status_code, answer, what)


def path(key: tuple[str, ...]) -> str:
    """An asset's key as a path of an address."""
    return "/".join(quote(part, safe="") for part in key)


def _refused(url: str, status: int, answer: Any, what: str) -> errors.DaglabError:
    """An answer that says that nothing was written: Dagster's own words, or somebody else's status."""
    said = answer.get("error") if isinstance(answer, dict) else None
    if said:
        hint = "Dagster's own log may say more; nothing was attached."
        return errors.InvalidInput(f"Dagster refused the {what}: {dagster_api.shorten(str(said))}", hint)
    return NoWay(
        f"{parse.display_url(url)} answered {status}, so nothing was attached.",
        f"Is this Dagster's own webserver, and does the proxy before it let {urlsplit(url).path} through? "
        "--via graphql goes another way.",
    )


def _json(response: Any) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None
