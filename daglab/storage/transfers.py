"""One request to a store: a file or bytes as its body, when it is sent again, what a lost answer means.

Putting and deleting an object is the same done once or twice, so a request is sent again whatever became of it, unlike
one to Dagster. It is made anew each time: signatures have a date. No redirect is followed, and nothing that is known
of Dagster is sent: the session is one of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from daglab import errors, parse

if TYPE_CHECKING:
    import requests

Row = TypeVar("Row")

log = logging.getLogger(__name__)

TRIES = 5
AGAIN = (429, 500, 502, 503, 504)
LARGEST_ANSWER = 1 << 26  # bytes; a page of a listing is 1 MB
LARGEST_BODY = 5_000_000_000  # bytes: what one request can put at S3 (5 GiB), Azure and Cloud Storage
LOOK_SECONDS = 60.0  # for anything but an upload, all tries together
# What reading an answer may raise: SyntaxError is that of XML, LookupError also that of its encoding.
_UNREADABLE = (AttributeError, LookupError, OverflowError, RecursionError, SyntaxError, TypeError, ValueError)


@dataclass(frozen=True)
class Request:
    """A request: its address may be signed, its headers say who we are."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Path | bytes = b""


@dataclass(frozen=True)
class Sent:
    """What is known of a file before it goes out: checksums in hex."""

    bytes: int
    sha256: str
    md5: str


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """What can't be read as the store's answer is `Unreachable`, and never nothing."""
    try:
        yield
    except _UNREADABLE as error:
        raise errors.Unreachable("The store's answer can't be read.", "Is its address the right one?") from error


def all_pages(page: Callable[[str], tuple[list[Row], str]]) -> Iterator[Row]:
    """What a store lists: `page` gives the rows behind a token, and the next token, which is empty behind the last.

    Raises `Unreachable` where a token comes a second time, for that would have no end, and as `page` does.
    """
    token, seen = "", set[str]()
    while True:
        rows, token = page(token)
        yield from rows
        if not token:
            return
        if token in seen:
            raise errors.Unreachable(
                "The store lists the same objects again.", "Is something in between that keeps answers?"
            )
        seen.add(token)


def measured(path: Path) -> Sent:
    """A file's size and checksums. Raises `InvalidInput` for one that can't be read, or is too large."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                sha256.update(piece)
                md5.update(piece)
                size += len(piece)
    except OSError as error:
        raise errors.InvalidInput(f"{path} can't be read: {error.strerror}.", f"Look at it: ls -l {path}") from None
    if size > LARGEST_BODY:
        raise errors.InvalidInput(
            f"{path} has {size:,} bytes; an upload has {LARGEST_BODY:,} at most.", "Show less in the notebook."
        )
    return Sent(size, sha256.hexdigest(), md5.hexdigest())


def check_headers(headers: Mapping[str, str | None]) -> None:
    """Raises `InvalidInput` for metadata and types that no header can carry."""
    for name, text in headers.items():
        plain = (text or "").isascii() and (text or "").isprintable() and (text or "") == (text or "").strip()
        if not plain or not re.fullmatch("[A-Za-z0-9_ -]+", name):
            raise errors.InvalidInput(f"{name!r} can't be sent with an upload: {text!r}.", "Write plain ASCII text.")


def exchange(make: Callable[[], Request], *, timeout: float, tries: int = TRIES) -> requests.Response:
    """Send what `make` makes, up to `tries` times within `timeout` seconds, and give the answer, whatever its status.

    Raises `Unreachable` when there was no connection, or no answer to a request that changes nothing; `OutcomeUnknown`
    when one that changes something may have arrived; `NotSetUp` for certificates that can't be read.
    """
    import requests

    from daglab import web

    deadline = time.monotonic() + timeout
    session = web.plain({}, timeout=timeout, largest=LARGEST_ANSWER)
    sent = False  # whether anything may have arrived so far
    for attempt in range(tries):
        request = make()
        last = attempt == tries - 1
        try:
            answer = _once(session, request, max(deadline - time.monotonic(), web.SHORTEST_WAIT))
        except (requests.RequestException, ValueError) as error:
            sent = sent or not (isinstance(error, requests.RequestException) and web.never_connected(error))
            if last or _hopeless(error) or time.monotonic() >= deadline:
                raise _explained(error, request, sent) from None
            pause = web.delay(attempt)
        except OSError as error:
            raise errors.NotSetUp(f"{error}.", "Correct REQUESTS_CA_BUNDLE or SSL_CERT_FILE, or unset it.") from None
        else:
            if last or answer.status_code not in AGAIN or time.monotonic() >= deadline:
                return answer
            sent = True
            pause = web.delay(attempt, answer.headers.get("Retry-After"))
        time.sleep(min(pause, max(deadline - time.monotonic(), 0)))
    raise AssertionError("the last try returns or raises")


def _once(session: Any, request: Request, limit: float) -> requests.Response:
    from daglab import connections, web

    started = time.monotonic()
    shown = parse.display_url(request.url)

    with _opened(request.body) as body:

        def talk() -> requests.Response:
            answer: requests.Response = session.http.request(
                request.method,
                request.url,
                data=body,
                headers=dict(request.headers),
                timeout=(min(web.CONNECT_TIMEOUT, limit), limit),
                allow_redirects=False,
                stream=True,
            )
            answer._content = connections.body(answer, LARGEST_ANSWER)
            return answer

        try:
            answer = connections.within(limit, session.http, talk)
        except Exception as error:  # whatever it is, the log tells of the request, too
            log.info("%s %s failed: %s", request.method, shown, type(error).__name__)
            raise
    log.info("%s %s %s %d ms", request.method, shown, answer.status_code, (time.monotonic() - started) * 1000)
    return answer


@contextlib.contextmanager
def _opened(body: Path | bytes) -> Iterator[Any]:
    """A body as requests takes it. Of an empty file it would make chunks, which no store takes."""
    if isinstance(body, bytes) or not body.stat().st_size:
        yield body if isinstance(body, bytes) else b""
        return
    with body.open("rb") as file:
        yield file


def _hopeless(error: Exception) -> bool:
    """What gets no better by trying again."""
    import requests

    wrong = (
        requests.exceptions.SSLError,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidHeader,
    )
    return isinstance(error, wrong)


def _explained(error: Exception, request: Request, sent: bool) -> errors.DaglabError:
    """The error in a person's words; that of requests may hold the signed address."""
    import requests

    from daglab import web

    where = parse.display_url(request.url)
    if isinstance(error, requests.exceptions.SSLError):
        hint = "Name the authority's certificate in REQUESTS_CA_BUNDLE or SSL_CERT_FILE, or correct the address."
        return errors.Unreachable(f"{where} has no certificate that is trusted, or speaks no TLS.", hint)
    if _hopeless(error):
        hint = "Correct the address or the credentials: they can't be sent."
        return errors.InvalidInput(f"The request to {where} can't be written ({type(error).__name__}).", hint)
    if isinstance(error, requests.RequestException) and web.never_connected(error):
        hint = "Look at the network, HTTPS_PROXY, and the variable that names the store's address."
        if not sent:
            return errors.Unreachable(f"Nothing answers at {where}: {web.cause(error)}.", hint)
    if request.method in ("GET", "HEAD"):
        return errors.Unreachable(f"{where} broke off without an answer ({type(error).__name__}).", "Try again.")
    return errors.OutcomeUnknown(
        f"{where} was sent a {request.method}, and its answer was lost.", "The same command again settles it."
    )
