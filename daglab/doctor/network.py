"""The way to the deployment: the token that is named, proxies in between, and the server's clock against ours."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests

from daglab import errors, parse, web
from daglab.dev import services
from daglab.doctor import findings
from daglab.doctor.findings import Finding, Project

ANSWER_SECONDS = 5.0
MOST_SKEW = 5.0  # seconds
RESOLUTION = 1.0  # seconds, of a Date header


def look(project: Project) -> Iterator[Finding]:
    """One request to the deployment, and what it tells."""
    settings = project.settings
    try:
        session = web.session(settings)
    except errors.NotSetUp as error:
        yield findings.problem("token", error.message, error.hint or "Name another.")
        return
    limit = min(ANSWER_SECONDS, settings.dagster.graphql.timeout)
    session = dataclasses.replace(session, retries=0, timeout=limit)
    before, refused, response = time.time(), None, None
    try:
        response = web.send(session, "GET", f"{settings.url}/server_info")
    except errors.NotAuthorised as error:
        yield findings.problem("token", error.message, error.hint or "Renew it.")
    except errors.DaglabError as error:
        refused = error
    after = time.time()
    yield from proxies(settings.url, answered=refused is None)
    if response is None:
        yield findings.skipped("clock", f"no answer from {parse.display_url(settings.url)} to compare the clock with")
    else:
        yield clock(response.headers.get("Date"), before, after)


def clock(date: str | None, before: float, after: float) -> Finding:
    """The server's clock against ours: `date` is its header, the others are seconds since 1970 around the request.

    The header was written at some moment between the two, and tells whole seconds: what may be due to either does not
    count.
    """
    told = _seconds(date or "")
    if told is None:
        return findings.skipped("clock", "the server does not tell its time")
    least, most = told - after, told + RESOLUTION - before
    skew = least if least > 0 else most if most < 0 else 0.0
    if abs(skew) > MOST_SKEW:
        ahead = "ahead of" if skew > 0 else "behind"
        return findings.warning(
            "clock",
            f"The server's clock is {abs(skew):.0f} s {ahead} ours.",
            "Set the clock that is wrong: timedatectl set-ntp true",
        )
    return findings.fine("clock", f"the server's clock and ours agree within {MOST_SKEW:.0f} s")


def proxies(url: str, *, answered: bool) -> Iterator[Finding]:
    """Whether requests to this machine itself would go to a proxy; `answered` says whether one got an answer."""
    used = requests.utils.get_environ_proxies(url)
    if not parse.is_loopback(url) or not (used.get(urlsplit(url).scheme) or used.get("all")):
        yield findings.fine("proxy", "no proxy stands between this machine and itself")
        return
    remedy = "export NO_PROXY=127.0.0.1,localhost,::1"
    broken = not answered and services.answers(services.DAGSTER, url)
    make = findings.problem if broken else findings.warning
    what = "does not reach Dagster, which answers without it" if broken else "would carry requests to this machine"
    yield make("proxy", f"A proxy that the environment names {what}: {parse.display_url(url)}.", remedy)


def _seconds(date: str) -> float | None:
    try:
        found: datetime = parsedate_to_datetime(date)
        return found.timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
