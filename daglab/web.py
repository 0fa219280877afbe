"""HTTP: one session, who we are to the server, when a request is sent again, and what never shows.

Rules: every request has a timeout. A connection that could not be made is tried again. A query that broke off or got
429, 502, 503 or 504 is asked again. A mutation that may have arrived is never sent again. Redirects are
not followed, so that no header reaches another origin.
"""

from __future__ import annotations

import logging
import math
import os
import random
import shlex
import ssl
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import requests
import urllib3

from daglab import __version__, config, config_keys, errors, parse, processes, redaction

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
SHORTEST_WAIT = 0.5
LONGEST_PAUSE = 30.0
LARGEST_ANSWER = 1 << 29  # bytes; 5,000 assets with all that is asked of them are 3 MB
AGAIN = (429, 502, 503, 504)
# What requests refuses to send at all; JSON that can't be written is one, too.
_NEVER_SENT = (
    requests.exceptions.InvalidJSONError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidHeader,
)


@dataclass
class Traffic:
    """What a session has sent so far: milliseconds per answered request, and how many ended in an error."""

    milliseconds: list[int] = field(default_factory=list)
    errors: int = 0


@dataclass(frozen=True)
class Session:
    """A `requests` session with its limits; one a command."""

    http: requests.Session
    timeout: float
    retries: int
    traffic: Traffic = field(default_factory=Traffic)
    withheld: str | None = None
    deadline: float | None = None  # by time.monotonic(): nothing is waited for beyond it


class AnswerLost(errors.OutcomeUnknown):
    """The request may have arrived, and its answer did not."""


@dataclass(frozen=True)
class _Bearer(requests.auth.AuthBase):
    """Sets the header itself; as an auth object it also keeps requests from looking into ~/.netrc."""

    token: str | None = field(repr=False)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token is not None:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def session(settings: config.Config, *, operation: str | None = None) -> Session:
    """A session for the deployment of `settings`; `operation` is the id that its requests carry.

    Raises `NotSetUp` when a named token is not there, before anything is sent.
    """
    credential = config.credential(settings, os.environ)
    token = read_token(credential.auth, credential.origin) if credential and credential.auth else None
    http = requests.Session()
    http.auth = _Bearer(token)
    http.headers["User-Agent"] = f"daglab/{__version__}"
    if operation:
        http.headers["X-Daglab-Operation"] = operation
    graphql = settings.dagster.graphql
    withheld = None
    if credential and credential.withheld:
        withheld = f"the token named by {credential.origin} was not sent, because {credential.withheld}"
        log.info("%s", withheld)
    return Session(http, graphql.timeout, graphql.max_retries, withheld=withheld)


def read_token(auth: config_keys.Auth, origin: str) -> str:
    """The token that `auth` names, as `origin` says. Raises `NotSetUp` when it is missing or can't be a header.

    What is named is not shown: it may be the token itself, put in the wrong place.
    """
    if auth.token_env:
        token, source = os.environ.get(auth.token_env, ""), "variable"
        hint = "Set that variable: export NAME=..., its name alone belongs into the config."
    elif auth.token_file:
        token, source = _file_token(Path(os.path.expanduser(auth.token_file)), origin), "file"
        hint = "Write the token into it, readable for you alone."
    else:
        token, source = _command_token(auth.token_command or "", origin), "command"
        hint = "Run the command by hand: it has to print the token and exit with 0."
    token = token.strip()
    if not token:
        raise errors.NotSetUp(f"The {source} that {origin} names has no token.", hint)
    if not (token.isascii() and token.isprintable()):
        raise errors.NotSetUp(
            f"The {source} that {origin} names holds no token, but line breaks or special characters.", hint
        )
    redaction.hide(token)
    return token


def send(
    session: Session,
    method: str,
    url: str,
    *,
    mutation: bool = False,
    json: Any = None,
) -> requests.Response:
    """Send one request by the rules above, and give back the answer, whatever its status.

    Raises `Unreachable` when there was no answer, `AnswerLost` when a mutation's answer was lost,
    `NotAuthorised` for 401 and 403.
    """
    attempt = 0
    if mutation:
        session.http.close()  # a kept connection may be closed at the other end, which looks as if an answer were lost
    while True:
        try:
            response = _send_once(session, method, url, json=json)
        except requests.RequestException as error:
            if attempt >= session.retries or not _may_resend(error, mutation) or _left(session) <= 0:
                raise _explained(error, url, mutation) from error
            pause = _pause(attempt)
        except ValueError as error:  # requests looks at a redirect's address even when it does not follow
            lost = AnswerLost if mutation else errors.Unreachable
            raise lost(f"{parse.display_url(url)} answered with headers that can't be read.", "See its log.") from error
        except OSError as error:  # the only other one that requests does not wrap
            raise errors.NotSetUp(f"{error}.", "Correct REQUESTS_CA_BUNDLE, or unset it.") from error
        else:
            done = mutation or response.status_code not in AGAIN
            if done or attempt >= session.retries or _left(session) <= 0:
                return _refuse_unauthorised(_refuse_redirect(response, url), session)
            pause = _pause(attempt, response.headers.get("Retry-After"))
        pause = min(pause, max(_left(session), 0))
        log.debug("again in %.1f s", pause)
        time.sleep(pause)
        attempt += 1


def _send_once(session: Session, method: str, url: str, *, json: Any) -> requests.Response:
    started = time.monotonic()
    limit = min(session.timeout, max(_left(session), SHORTEST_WAIT))
    try:
        response = session.http.request(
            method,
            url,
            json=json,
            timeout=(min(CONNECT_TIMEOUT, limit), limit),
            allow_redirects=False,
            stream=True,
        )
        response._content = _body(response)
    except requests.RequestException as error:
        session.traffic.errors += 1
        log.info("%s %s failed: %s", method, parse.display_url(url), type(error).__name__)
        raise
    spent = round((time.monotonic() - started) * 1000)
    session.traffic.milliseconds.append(spent)
    log.info("%s %s %s %s ms", method, parse.display_url(url), response.status_code, spent)
    return response


def _left(session: Session) -> float:
    """Seconds until the session's deadline; less than nothing after it."""
    return math.inf if session.deadline is None else session.deadline - time.monotonic()


def _body(response: requests.Response) -> bytes:
    """The whole answer, which must have an end: no server may fill this machine's memory."""
    body = bytearray()
    for piece in response.iter_content(1 << 20):
        body += piece
        if len(body) > LARGEST_ANSWER:
            response.close()
            raise requests.exceptions.ContentDecodingError("the answer is too large")
    return bytes(body)


def _never_connected(error: BaseException) -> bool:
    """Whether not one byte of the request can have arrived: the connection itself was not made."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, urllib3.exceptions.ProxyError):
        reason = reason.original_error
    made_none = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    return isinstance(error, requests.ConnectTimeout) or isinstance(reason, made_none)


def _may_resend(error: requests.RequestException, mutation: bool) -> bool:
    if isinstance(error, (requests.exceptions.SSLError, *_NEVER_SENT)):
        return False  # neither gets better
    if _never_connected(error):
        return True
    broken_off = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return not mutation and isinstance(error, broken_off)


def _pause(attempt: int, retry_after: str | None = None) -> float:
    """Seconds until the next try: what the server asks for, else twice as long each time, with jitter."""
    asked = _seconds(retry_after or "")
    if asked is not None:
        return min(max(asked, 0.0), LONGEST_PAUSE)
    return min(0.2 * 2.0**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)


def _seconds(retry_after: str) -> float | None:
    """A Retry-After header: a number of seconds, or a date; None for neither."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return (date.replace(tzinfo=date.tzinfo or timezone.utc) - datetime.now(timezone.utc)).total_seconds()


def _explained(error: requests.RequestException, url: str, mutation: bool) -> errors.DaglabError:
    """The error in a person's words; requests' own text may hold headers and addresses with credentials."""
    where = parse.display_url(url)
    if isinstance(error, _NEVER_SENT):
        return errors.InvalidInput(
            f"The request to {where} can't be written ({type(error).__name__}).", "Correct the address or the value."
        )
    if _never_connected(error):
        hint = "Is it running? Start it with `dagster dev`, or name the right address with --url."
        return errors.Unreachable(f"Nothing answers at {where}: {_cause(error)}.", hint)
    if (distrust := _distrust(error)) is not None:
        hint = "Name the authority's certificate in REQUESTS_CA_BUNDLE, or correct the address."
        return errors.Unreachable(f"The certificate of {where} is not trusted: {distrust}.", hint)
    if mutation:
        return AnswerLost(f"{where} was sent a request, and its answer was lost.", "It may have been carried out.")
    if isinstance(error, requests.exceptions.SSLError):
        return errors.Unreachable(f"{where} does not speak TLS as it should.", "Is it an http:// address?")
    if isinstance(error, requests.Timeout):
        hint = "A larger dagster.graphql.timeout gives a slow server more time."
        return errors.Unreachable(f"{where} did not answer in time.", hint)
    return errors.Unreachable(f"{where} broke off without an answer ({type(error).__name__}).", "Try again.")


def _distrust(error: requests.RequestException) -> str | None:
    """What is wrong with the server's certificate; None when that is not the problem."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    cause = reason.args[0] if isinstance(reason, urllib3.exceptions.SSLError) and reason.args else None
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else None


def _cause(error: BaseException) -> str:
    """The operating system's reason at the root of a chain of wrappers."""
    reason: BaseException | None = getattr(error.args[0], "reason", None) if error.args else None
    while reason is not None:
        if isinstance(reason, OSError) and reason.strerror:
            return reason.strerror.lower()
        reason = reason.__cause__ or reason.__context__
    return "the connection timed out" if isinstance(error, requests.ConnectTimeout) else "no connection"


def _refuse_redirect(response: requests.Response, url: str) -> requests.Response:
    if not 300 <= response.status_code < 400:
        return response
    target = parse.display_url(response.headers.get("Location", "nowhere"))
    raise errors.Unreachable(
        f"{parse.display_url(url)} redirects to {target}; daglab does not follow, to keep headers where they belong.",
        "If that is the right place, name its address with --url.",
    )


def _refuse_unauthorised(response: requests.Response, session: Session) -> requests.Response:
    if response.status_code not in (401, 403):
        return response
    where = parse.display_url(response.url)
    message = f"{where} refused the request ({response.status_code})."
    if session.withheld:
        hint = f"Note that {session.withheld}. If you trust that address, name it yourself with --url."
    elif "Authorization" in response.request.headers:
        hint = "The token that was sent is not accepted there: renew it, or name another."
    else:
        hint = "Name a token: export DAGSTER_GRAPHQL_TOKEN=..., or DAGLAB_DAGSTER__AUTH__TOKEN_FILE=FILE."
    raise errors.NotAuthorised(message, hint)


def _file_token(path: Path, origin: str) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise errors.NotSetUp(
            f"The token file that {origin} names can't be read: {error.strerror}.", "Check its path."
        ) from None


def _command_token(command: str, origin: str) -> str:
    """What the user's own command prints; its stderr is not shown, it may say too much."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise errors.NotSetUp(f"The command that {origin} names can't be read: {error}.", "Close its quotes.") from None
    finished = processes.run(words, timeout=30.0)
    return finished.stdout if finished.returncode == 0 and not finished.timed_out else ""
