"""HTTP: one session, who we are to the server, when a request is sent again, and what never shows.

Rules: every request has a timeout. A connection that could not be made is tried again. A query that broke off or got
429, 502, 503 or 504 is asked again. A mutation that may have arrived is never sent again. What got 401 was refused
before it was done, and goes out once more when there is a new token. Redirects are not followed, so that no header
reaches another origin.
"""

from __future__ import annotations

import logging
import math
import os
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3

from daglab import __version__, connections, errors, parse
from daglab.debugging import traces
from daglab.settings import config, credentials, trust

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
SHORTEST_WAIT = 0.5
LONGEST_PAUSE = 30.0
LARGEST_ANSWER = 1 << 29  # bytes; 5,000 assets with all that is asked of them are 3 MB
AGAIN = (429, 502, 503, 504)
_IS_JSON = {"Content-Type": "application/json"}
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
    allowed: frozenset[str] | None = None  # the sandbox: what may be changed; None is no sandbox
    deadline: float | None = None  # by time.monotonic(): nothing is waited for beyond it
    largest: int | None = None  # bytes of an answer; None is LARGEST_ANSWER
    trace: traces.Trace | None = None


class Redirected(errors.Unreachable):
    """The server names another address, where we do not go."""


class AnswerLost(errors.OutcomeUnknown):
    """The request may have arrived, and its answer did not."""


@dataclass(frozen=True, eq=False)
class Identity(requests.auth.AuthBase):
    """Who we are: sets the headers itself; as an auth object it also keeps requests from looking into ~/.netrc.

    `read` reads the headers anew, within seconds, where they may have changed; `said` says in a hint what was sent.
    """

    headers: dict[str, str] = field(default_factory=dict, repr=False)
    read: Callable[[float], dict[str, str]] | None = field(default=None, repr=False)
    said: str = "The token that was sent"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the headers on a request."""
        request.headers.update(self.headers)
        return request


def session(settings: config.Config, *, operation: str | None = None) -> Session:
    """A session for the deployment of `settings`; `operation` is the id that its requests carry.

    Raises `NotSetUp` when a named secret is not there, before anything is sent.
    """
    credential = trust.credential(settings, os.environ)
    http = _http(_identity(credential, settings.url))
    if operation:
        http.headers["X-Daglab-Operation"] = operation
    graphql = settings.dagster.graphql
    withheld = None
    if credential and credential.withheld:
        withheld = f"what is named by {credential.origin} was not sent, because {credential.withheld}"
        log.log(logging.WARNING if credential.origin.startswith("flag") else logging.INFO, "%s", withheld)
    allowed, trace = _allowed(settings), traces.of(settings.root, operation)
    return Session(http, graphql.timeout, graphql.max_retries, withheld=withheld, allowed=allowed, trace=trace)


def service(
    settings: config.Config,
    headers: Mapping[str, str],
    *,
    timeout: float,
    retries: int,
    operation: str | None = None,
    withheld: str | None = None,
) -> Session:
    """A session for a server that a command works on, and that is not Dagster; the sandbox holds there, too."""
    http = _http(Identity(dict(headers)))
    if operation:
        http.headers["X-Daglab-Operation"] = operation
    return Session(http, timeout, retries, withheld=withheld, allowed=_allowed(settings))


def plain(headers: Mapping[str, str], *, timeout: float, largest: int) -> Session:
    """A session for another server than Dagster: each request is sent once, an answer has `largest` bytes at most."""
    http = _http(Identity(dict(headers)))
    http.headers["Accept-Encoding"] = "identity"  # what is packed small may be huge
    return Session(http, timeout, retries=0, deadline=time.monotonic() + timeout, largest=largest)


def _allowed(settings: config.Config) -> frozenset[str] | None:
    security = settings.security
    return frozenset(security.allowed_operations) if security.sandbox_mode else None


def _http(identity: Identity) -> requests.Session:
    http = connections.session()
    http.auth = identity
    http.verify = os.environ.get("SSL_CERT_FILE") or True  # requests itself looks for REQUESTS_CA_BUNDLE, which wins
    http.headers["User-Agent"] = f"daglab/{__version__}"
    return http


def _identity(credential: trust.Credential | None, url: str) -> Identity:
    """The auth object of a session; its headers are read here for the first time."""
    if credential is None or credential.auth is None:
        return Identity()
    auth, origin = credential.auth, credential.origin

    def read(timeout: float) -> dict[str, str]:
        return credentials.headers(auth, origin, url, timeout=timeout)

    how = credentials.kind(auth, url)
    said = f"The secret of {origin} was sent as {how}, and" if how else f"What {origin} says was sent, and"
    again = read if credentials.may_change(auth) else None
    return Identity(read(credentials.COMMAND_TIMEOUT), again, said)


def permit(session: Session, operation: str) -> None:
    """Raises `NotAuthorised` when the sandbox does not allow `operation`, such as launchRun. Nothing is sent."""
    if session.allowed is not None and operation not in session.allowed:
        raise errors.NotAuthorised(
            f"The sandbox does not allow {operation}; nothing was sent.",
            f"Add {operation} to security.allowed_operations, or leave out --sandbox and security.sandbox_mode.",
        )


def send(
    session: Session,
    method: str,
    url: str,
    *,
    operation: str | None = None,
    repeatable: bool = False,
    json: Any = None,
    data: bytes | None = None,
) -> requests.Response:
    """Send one request by the rules above, and give back the answer, whatever its status.

    `operation` names what the request changes on the server (launchRun); it makes a mutation of it, unless it is
    `repeatable`: to do it twice comes to the same as once. `data` is JSON that is written already.

    Raises `Unreachable` when there was no answer, `AnswerLost` when a mutation's answer was lost,
    `NotAuthorised` for 401 and 403, and before anything is sent for what the sandbox does not allow.
    """
    attempt = 0
    mutation = operation is not None and not repeatable
    if operation is not None:
        permit(session, operation)
    while True:
        try:
            response = _send_known(session, method, url, mutation=mutation, json=json, data=data)
        except requests.RequestException as error:
            if attempt >= session.retries or not _may_resend(error, mutation) or _left(session) <= 0:
                raise _explained(error, url, mutation) from error
            pause = delay(attempt)
        except ValueError as error:  # requests looks at a redirect's address even when it does not follow
            lost = AnswerLost if mutation else errors.Unreachable
            raise lost(f"{parse.display_url(url)} answered with headers that can't be read.", "See its log.") from error
        except OSError as error:  # the only other one that requests does not wrap
            raise errors.NotSetUp(f"{error}.", "Correct REQUESTS_CA_BUNDLE or SSL_CERT_FILE, or unset it.") from error
        else:
            done = mutation or response.status_code not in AGAIN
            if done or attempt >= session.retries or _left(session) <= 0:
                return _refuse_unauthorised(_refuse_redirect(response, url), session)
            pause = delay(attempt, response.headers.get("Retry-After"))
        pause = min(pause, max(_left(session), 0))
        log.debug("again in %.1f s", pause)
        time.sleep(pause)
        attempt += 1


def _send_known(session: Session, method: str, url: str, *, mutation: bool, **body: Any) -> requests.Response:
    """Send one request, and once more when the token was refused and there is a new one."""
    response = _send_once(session, method, url, mutation=mutation, **body)
    if response.status_code == 401 and _renewed(session, url):
        return _send_once(session, method, url, mutation=mutation, **body)
    return response


def _renewed(session: Session, url: str) -> bool:
    """Read the token again; whether it is another one. Raises `NotAuthorised` when it can't be read any more."""
    identity = session.http.auth
    if not isinstance(identity, Identity) or identity.read is None:
        return False
    try:
        headers = identity.read(min(credentials.COMMAND_TIMEOUT, max(_left(session), SHORTEST_WAIT)))
    except errors.NotSetUp as error:
        message = f"{parse.display_url(url)} refused the token (401), and there is no other: {error.message}"
        raise errors.NotAuthorised(message, error.hint) from None
    changed = headers != identity.headers
    identity.headers.update(headers)
    log.info("the token was refused; read again it is %s", "a new one" if changed else "the same")
    return changed


def _send_once(
    session: Session, method: str, url: str, *, mutation: bool, json: Any, data: bytes | None
) -> requests.Response:
    if mutation:
        session.http.close()  # a kept connection may be closed at the other end, which looks as if an answer were lost
    started = time.monotonic()
    limit = min(session.timeout, max(_left(session), SHORTEST_WAIT))
    sent: dict[str, Any] = {"json": json} if data is None else {"data": data, "headers": _IS_JSON}

    def exchange() -> requests.Response:
        timeouts = (min(CONNECT_TIMEOUT, limit), limit)
        response = session.http.request(method, url, timeout=timeouts, allow_redirects=False, stream=True, **sent)
        response._content = connections.body(response, session.largest or LARGEST_ANSWER)
        return response

    try:
        response = connections.within(limit, session.http, exchange)
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


def never_connected(error: BaseException) -> bool:
    """Whether not one byte of the request can have arrived: the connection itself was not made."""
    made_none = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    not_made = isinstance(error, requests.ConnectTimeout) or isinstance(_reason(error), made_none)
    return not_made or _no_tunnel(error) is not None


def _reason(error: BaseException) -> BaseException | None:
    """What urllib3 gave up for; below the proxy's own wrapper."""
    reason: BaseException | None = getattr(error.args[0], "reason", None) if error.args else None
    return reason.original_error if isinstance(reason, urllib3.exceptions.ProxyError) else reason


def _no_tunnel(error: BaseException) -> str | None:
    """The status that a proxy refused to make a tunnel with (407 Proxy Authentication Required); None without one."""
    failed, colon, status = str(_reason(error)).partition("Tunnel connection failed: ")
    return status if colon and not failed else None


def _may_resend(error: requests.RequestException, mutation: bool) -> bool:
    if isinstance(error, (requests.exceptions.SSLError, *_NEVER_SENT)) or (_no_tunnel(error) or "").startswith("407"):
        return False  # none gets better
    if never_connected(error):
        return True
    broken_off = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return not mutation and isinstance(error, broken_off)


def delay(attempt: int, retry_after: str | None = None) -> float:
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
    except (ValueError, OverflowError):
        return None
    return (date.replace(tzinfo=date.tzinfo or timezone.utc) - datetime.now(timezone.utc)).total_seconds()


def _explained(error: requests.RequestException, url: str, mutation: bool) -> errors.DaglabError:
    """The error in a person's words; requests' own text may hold headers and addresses with credentials."""
    where = parse.display_url(url)
    if isinstance(error, _NEVER_SENT):
        return errors.InvalidInput(
            f"The request to {where} can't be written ({type(error).__name__}).", "Correct the address or the value."
        )
    if isinstance(error, connections.TooLarge):
        return errors.Unreachable(f"{where} sent a longer answer than it may.", "Is it the right address?")
    if isinstance(error, requests.exceptions.ProxyError) and never_connected(error):
        return _proxy_problem(where, _no_tunnel(error) or cause(error))
    if never_connected(error):
        hint = "Is it running? Start it with `daglab dev` or `dagster dev`, or name the right address with --url."
        return errors.Unreachable(f"Nothing answers at {where}: {cause(error)}.", hint)
    if (distrust := _distrust(error)) is not None:
        hint = "Name the authority's certificate in REQUESTS_CA_BUNDLE or SSL_CERT_FILE, or correct the address."
        return errors.Unreachable(f"The certificate of {where} is not trusted: {distrust}.", hint)
    if mutation:
        return AnswerLost(f"{where} was sent a request, and its answer was lost.", "It may have been carried out.")
    if isinstance(error, requests.exceptions.SSLError):
        return errors.Unreachable(f"{where} does not speak TLS as it should.", "Is it an http:// address?")
    if isinstance(error, requests.Timeout):
        hint = "A larger dagster.graphql.timeout gives a slow server more time."
        return errors.Unreachable(f"{where} did not answer in time.", hint)
    return errors.Unreachable(f"{where} broke off without an answer ({type(error).__name__}).", "Try again.")


def _proxy_problem(where: str, why: str) -> errors.DaglabError:
    """The server was not reached at all: what stands in between is told by variables, and not by the address."""
    if why.startswith("407"):
        hint = "Write it as http://NAME:PASSWORD@HOST:PORT in HTTP_PROXY and HTTPS_PROXY, or add the host to NO_PROXY."
        return errors.NotAuthorised(f"The proxy before {where} wants to know who you are (407).", hint)
    hint = "Correct HTTP_PROXY and HTTPS_PROXY, or add the host to NO_PROXY."
    return errors.Unreachable(f"The proxy before {where} can't be used: {why}.", hint)


def _distrust(error: requests.RequestException) -> str | None:
    """What is wrong with the server's certificate; None when that is not the problem."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    cause = reason.args[0] if isinstance(reason, urllib3.exceptions.SSLError) and reason.args else None
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else None


def cause(error: BaseException) -> str:
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
    raise Redirected(
        f"{parse.display_url(url)} redirects to {target}; daglab does not follow, to keep headers where they belong.",
        "If that is the right place, name its address with --url.",
    )


def _refuse_unauthorised(response: requests.Response, session: Session) -> requests.Response:
    where, status = parse.display_url(response.url), response.status_code
    if status == 407:
        raise _proxy_problem(where, str(status))
    if status not in (401, 403):
        return response
    identity = session.http.auth
    if session.withheld:
        hint = f"Note that {session.withheld}. If you trust that address, name it yourself with --url."
    elif isinstance(identity, Identity) and identity.headers:
        lacks = "lacks the right: ask for it" if status == 403 else "is not accepted there: renew it"
        hint = f"{identity.said} {lacks}, or name another; dagster.auth.type says how it is sent."
    elif trust.is_cloud(response.url):
        hint = f"Name a token: export {trust.CLOUD_VARIABLE}=..., or DAGLAB_DAGSTER__AUTH__TOKEN_FILE=FILE."
    else:
        hint = f"Name a token: export {trust.TOKEN_VARIABLE}=..., or DAGLAB_DAGSTER__AUTH__TOKEN_FILE=FILE."
    raise errors.NotAuthorised(f"{where} refused the request ({status}).", hint)
