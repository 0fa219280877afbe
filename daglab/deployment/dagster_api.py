"""Dagster's GraphQL over HTTP: ask, and take the expected member of the answer or say the server's own message.

Measured on Dagster 1.5, 1.8 and 1.13: a query that does not validate is HTTP 400 with a JSON body, a broken
request is 400 or 500 in plain text, and any unknown path is 200 with the HTML of the user interface.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from daglab import errors, parse, web
from daglab.debugging import traces
from daglab.settings import config

LONGEST_MESSAGE = 600
LATEST = 253_402_300_800  # seconds: the end of the year 9999, the last that a date can have
_NOT_CODE = re.compile(r'"""(?:\\"""|[\s\S])*?"""|"(?:\\.|[^"\\\n])*"|#[^\n\r]*')
_SURELY_NOT_DONE = (400, 404, 405, 411, 413, 414, 415, 422, 429, 431)  # refused before anything was carried out


@dataclass(frozen=True)
class DagsterApi:
    """A deployment: its address, and the session to ask it with."""

    url: str
    session: web.Session

    @property
    def traffic(self) -> web.Traffic:
        """What has been sent so far."""
        return self.session.traffic


def connect(settings: config.Config, *, operation: str | None = None) -> DagsterApi:
    """The deployment that the config names. Nothing is sent yet; `NotSetUp` when a named token is missing."""
    return DagsterApi(settings.url, web.session(settings, operation=operation))


def query(api: DagsterApi, text: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The data of a query's answer. Raises `Unreachable` when there is none, `NotAuthorised` when refused."""
    return _execute(api, text, variables)


def mutate(api: DagsterApi, operation: str, text: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The data of a mutation's answer; it is sent once. `operation` is what it does, such as launchRun.

    Raises `NotAuthorised` when the sandbox does not allow it, `web.AnswerLost` when it may have been carried out.
    """
    return _execute(api, text, variables, operation)


def is_mutation(text: str) -> bool:
    """Whether a GraphQL document holds an operation that may change something: a name that is no query's counts, too.

    Words that stand outside of all brackets are its operations; comments and texts are none.
    """
    plain = _NOT_CODE.sub(" ", text)
    depth = 0
    for word in re.findall(r"[\w]+|[{}()\[\]]", plain):
        if word in "{([":
            depth += 1
        elif word in "})]":
            depth -= 1
        elif depth == 0 and word in ("mutation", "subscription"):
            return True
    return False


def permit(api: DagsterApi, operation: str) -> None:
    """Raises `NotAuthorised` when the sandbox does not allow `operation`; for a command to ask before all else."""
    web.permit(api.session, operation)


def expect(data: Mapping[str, Any], member: str, typename: str) -> dict[str, Any]:
    """`data[member]` when it is of the type `typename`.

    Raises `NotAuthorised` for Dagster's UnauthorizedError, `ServerFailed` for its PythonError, and `Refused`
    with the server's message for the rest.
    """
    answer = data.get(member)
    kind = answer.get("__typename") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(kind, str):
        raise errors.Unreachable(f"Dagster answered without {member}.", "Is this a version from 1.5 on?")
    if kind == typename:
        return answer
    message = shorten(_said(answer) or kind)
    if kind == "UnauthorizedError":
        raise errors.NotAuthorised(
            f"Dagster refused {member}: {message}.", "The deployment may be read-only, or the token lacks the right."
        )
    if kind == "PythonError":
        raise ServerFailed(f"Dagster failed: {message}", "The deployment's own log has the whole story.")
    raise Refused(message, kind)


@contextlib.contextmanager
def reading(member: str) -> Iterator[None]:
    """Inside, an answer that lacks something or has it in another shape is `Unreachable`; good as a decorator, too."""
    try:
        yield
    except (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise errors.Unreachable(
            f"Dagster answered {member} in a form that daglab does not know ({type(error).__name__}: {error}).",
            "Is this Dagster from 1.5 on? A proxy may have changed the answer: try again with -v.",
        ) from error


def text(value: object) -> str:
    """A value that has to be text. Raises `TypeError`, for `reading` around it."""
    if not isinstance(value, str):
        raise TypeError(f"text was expected, not {type(value).__name__}")
    return value


def text_or_none(value: object) -> str | None:
    """A value that has to be text or null. Raises `TypeError`, for `reading` around it."""
    return None if value is None else text(value)


def seconds_or_none(value: object) -> float | None:
    """A time in seconds since 1970, or null. Raises `TypeError`, for `reading` around it, for what is no such time."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < LATEST:
        raise TypeError("a time was expected")
    return float(value)


class ServerFailed(errors.Unreachable):
    """Dagster answered with a PythonError: it broke while it answered, and may have done a part."""


class Refused(errors.InvalidInput):
    """Dagster answered with an error of its own; `kind` is its GraphQL type (PipelineNotFoundError)."""

    def __init__(self, message: str, kind: str) -> None:
        gone = "NotFound" in kind or kind == "InvalidSubsetError"
        hint = "`daglab discover` lists what there is now." if gone else "The deployment's own log may say more."
        super().__init__(f"Dagster says: {message}", hint)
        self.kind = kind


def shorten(message: str) -> str:
    """A server's message without its endless tail: Dagster prints whole schemas."""
    return message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE].rstrip() + " …"


def ask_again(api: DagsterApi, text: str, variables: Mapping[str, Any]) -> bytes:
    """The answer to a query, whatever it says; what is a mutation is asked of the sandbox as that, and is sent once.

    Raises as `query` does where there is none.
    """
    operation = (traces.operation_name(text) or "mutation") if is_mutation(text) else None
    content: bytes = _send(api, text, variables, operation).content
    return content


def _send(api: DagsterApi, text: str, variables: Mapping[str, Any] | None, operation: str | None) -> Any:
    """The answer as it came; the request is kept where requests are traced."""
    body = {"query": text, "variables": dict(variables or {})}
    _refuse_unwritable(body["variables"])
    url = f"{api.url}/graphql"
    mutation = operation is not None
    return traces.around(
        api.session.trace,
        url,
        body,
        mutation,
        lambda: web.send(api.session, "POST", url, operation=operation, json=body),
    )


def _execute(
    api: DagsterApi, text: str, variables: Mapping[str, Any] | None, operation: str | None = None
) -> dict[str, Any]:
    mutation = operation is not None
    response = _send(api, text, variables, operation)
    answer = _json(response)
    if not isinstance(answer, dict) or ("data" not in answer and "errors" not in answer):
        raise _not_dagster(response, mutation)
    if answer.get("errors") or not isinstance(answer.get("data"), dict):
        raise _rejected(api.url, answer, unknown=mutation and not _surely_not_done(response.status_code, answer))
    data: dict[str, Any] = answer["data"]
    return data


def _refuse_unwritable(variables: object) -> None:
    """Bytes of a command line that are no UTF-8 come as halves of letters, which no server can store."""
    try:
        json.dumps(variables, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise errors.InvalidInput(
            "What is asked for holds bytes that are no UTF-8; nothing was sent.", "Write it in UTF-8."
        ) from None
    except (TypeError, ValueError, RecursionError):
        return  # what can't be JSON at all is told where it is sent


def _said(answer: Mapping[str, Any]) -> str:
    """The message of an error member; RunConfigValidationInvalid has several."""
    several = [error.get("message") for error in answer.get("errors") or [] if isinstance(error, dict)]
    return str(answer.get("message") or "; ".join(str(message).strip() for message in several)).strip()


def _json(response: Any) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def _not_dagster(response: Any, mutation: bool) -> errors.DaglabError:
    """What answered is a page, a proxy's error, or half a body."""
    where = parse.display_url(response.url)
    what = "an HTML page" if "html" in response.headers.get("Content-Type", "") else "something that is not JSON"
    message = f"{where} answered {response.status_code} with {what}, not Dagster's GraphQL."
    if mutation and response.status_code not in _SURELY_NOT_DONE:
        return web.AnswerLost(message, "The request may have been carried out.")
    if response.status_code in web.AGAIN or response.status_code >= 500:
        return errors.Unreachable(message, "The server or the proxy before it is in trouble: try again later.")
    return errors.Unreachable(
        message, "Is this Dagster's webserver, with its path prefix? Name the address with --url."
    )


def _surely_not_done(status: int, answer: Mapping[str, Any]) -> bool:
    """Whether GraphQL refused before it began.

    A wrong text (400) or a variable of a wrong shape (500) is an error with a place in the text; once a field was
    begun, its errors have a path in the answer, and what was done before them stays done.
    """
    problems = answer.get("errors")
    known = [problem for problem in problems if isinstance(problem, dict)] if isinstance(problems, list) else []
    if answer.get("data") or any(problem.get("path") for problem in known):
        return False
    return status in _SURELY_NOT_DONE or bool(known and all(problem.get("locations") for problem in known))


def _rejected(url: str, answer: Mapping[str, Any], *, unknown: bool) -> errors.DaglabError:
    """GraphQL's own errors, also when they come with a part of the data: half an answer is none."""
    problems = answer.get("errors")
    first = problems[0] if isinstance(problems, list) and problems else problems
    reason = first.get("message") if isinstance(first, dict) else first
    message = f"Dagster at {url} can't answer: {shorten(str(reason or 'no reason given').strip())}"
    if unknown:
        return web.AnswerLost(message, "It may have been carried out.")
    return errors.Unreachable(message, "daglab serves Dagster from 1.5 on; its own log says more.")
