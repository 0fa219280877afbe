"""How a Weaviate is asked: one request below `/v1`, its answer as JSON, and what is wrong with it in a person's words.

Served are Weaviate 1.30 and newer. What a server does not know yet answers 404 or 405, which is `Missing`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from daglab import connections, errors, parse, web

NO_WEAVIATE = "Is it the address of a Weaviate? It stands in weaviate.clusters, or is given by --cluster."


@dataclass(frozen=True)
class Cluster:
    """A Weaviate: its name in the config (or its address), its address without `/v1`, and how it is reached.

    `metrics` is the address of its Prometheus listener, where the config names one.
    """

    name: str
    url: str
    session: web.Session
    metrics: str | None = None


class Missing(errors.InvalidInput):
    """There is no such collection, tenant, object, alias or endpoint."""

    code = "missing"


class Refused(errors.InvalidInput):
    """The server understood and said no (400, 409, 413, 422): `status` is which, `message` its own words."""

    code = "refused"
    status = 0


class Failed(errors.Unreachable):
    """The server could not do it (429, 5xx, or something that is no answer of Weaviate's)."""

    code = "server_failed"
    status = 0


class TooLarge(errors.Unreachable):
    """The answer has more bytes than the session allows."""


def get(cluster: Cluster, path: str, **query: Any) -> Any:
    """What `GET /v1/PATH` answers, read as JSON; None for an empty body. Raises as `answer` does."""
    return parsed(cluster, answer(cluster, "GET", path, query=query), path)


def change(
    cluster: Cluster, method: str, path: str, operation: str, body: Any = None, *, repeatable: bool = True, **query: Any
) -> Any:
    """Do what `operation` (createCollection) names; what is answered, None for nothing. Raises as `answer` does.

    What is not `repeatable` is sent again only where the connection was never made.
    """
    response = answer(cluster, method, path, operation=operation, repeatable=repeatable, body=body, query=query)
    return parsed(cluster, response, path)


def answer(
    cluster: Cluster,
    method: str,
    path: str,
    *,
    operation: str | None = None,
    repeatable: bool = False,
    body: Any = None,
    data: bytes | None = None,
    query: Mapping[str, Any] | None = None,
) -> Any:
    """The good answer to a request below `/v1`, as a `requests.Response`; `query` members that are None are left out.

    Raises `Missing` (404, 405), `Refused` (other 4xx), `Failed` (429, 5xx), and as `web.send` does.
    """
    given = {name: value for name, value in (query or {}).items() if value is not None}
    url = f"{cluster.url}/v1/{path}{'?' + urlencode(given) if given else ''}"
    if operation is not None:
        web.permit(cluster.session, operation)  # here, as what the sandbox refuses no key helps with
    try:
        response = web.send(
            cluster.session, method, url, operation=operation, repeatable=repeatable, json=body, data=data
        )
    except errors.NotAuthorised as error:
        raise errors.NotAuthorised(error.message, _kept(error) or _key_hint(cluster)) from None
    except errors.OutcomeUnknown:
        raise
    except errors.Unreachable as error:
        if isinstance(error.__cause__, connections.TooLarge):
            raise TooLarge(error.message, NO_WEAVIATE) from None
        hint = _kept(error) or "Is it running? `weaviate.clusters` in daglab.yaml, or --cluster, says where it is."
        raise errors.Unreachable(error.message, hint) from None
    if response.status_code < 300:
        return response
    raise _problem(cluster, response, path)


def graphql(cluster: Cluster, query: str) -> dict[str, Any]:
    """The data of a GraphQL query. Raises `Failed` with the server's own words when there is any error."""
    response = answer(cluster, "POST", "graphql", body={"query": query})
    found = parsed(cluster, response, "graphql")
    problems = found.get("errors") if isinstance(found, dict) else None
    if problems or not isinstance(found, dict) or not isinstance(found.get("data"), dict):
        listed = problems if isinstance(problems, list) else [problems] if problems else []
        told = (str(each.get("message", each) if isinstance(each, dict) else each) for each in listed)
        said = "; ".join(dict.fromkeys(told)) or "no data"
        raise Failed(f"{cluster.name} answers the query with an error: {said[:500]}", "Its own log says more.")
    return found["data"]  # type: ignore[no-any-return]


def segment(text: str) -> str:
    """A name as one part of a path."""
    return quote(text, safe="")


def parsed(cluster: Cluster, response: Any, path: str) -> Any:
    """The JSON of an answer; None for an empty one. Raises `Failed` for what is none."""
    if not response.content:
        return None
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        raise Failed(f"{cluster.name} answers /v1/{path} with something that is no JSON.", NO_WEAVIATE) from None


def member(cluster: Cluster, found: Any, name: str, kind: type, *texts: str) -> Any:
    """A member of an answer; a list is one of mappings, each with these `texts`.

    Raises `Failed` where it is missing or of another kind.
    """
    value = found.get(name) if isinstance(found, dict) else None
    if not isinstance(value, kind):
        raise Failed(f"{cluster.name} answers without {name!r}.", NO_WEAVIATE)
    return rows(cluster, value, name, *texts) if kind is list else value


def rows(cluster: Cluster, found: Any, name: str, *texts: str) -> list[dict[str, Any]]:
    """A list of mappings, each with these `texts`; none for None. Raises `Failed` for anything else."""
    listed = [] if found is None else found
    if not isinstance(listed, list) or not all(
        isinstance(each, dict) and all(isinstance(each.get(text), str) for text in texts) for each in listed
    ):
        raise Failed(f"{cluster.name} answers with {name!r} that no Weaviate has.", NO_WEAVIATE)
    return listed


def _problem(cluster: Cluster, response: Any, path: str) -> errors.DaglabError:
    status, said = response.status_code, _said(response)
    what = f"{cluster.name} answers {status} to /v1/{path}{': ' + said if said else ''}"
    if status in (404, 405):
        return Missing(what, "Is the name right, and the server new enough?")
    if status == 429 or status >= 500:
        found: Failed | Refused = Failed(what, "Its own log says more; try again.")
    else:
        found = Refused(what, "What it says has to be put right first.")
    found.status = status
    return found


def _said(response: Any) -> str:
    """The server's own words: `{"error": [{"message": ...}]}`, else the beginning of its text."""
    try:
        found = json.loads(response.content)
        listed = found["error"] if isinstance(found.get("error"), list) else [found]
        return "; ".join(str(each["message"]) for each in listed)[:500]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return " ".join(response.content[:200].decode("utf-8", "replace").split())


def _kept(error: errors.DaglabError) -> str | None:
    """The hint of what stands between daglab and the server, which the server's own would hide."""
    return error.hint if any(name in (error.hint or "") for name in ("PROXY", "SSL_CERT_FILE")) else None


def _key_hint(cluster: Cluster) -> str:
    where = parse.origin(cluster.url)
    own = f"in your own config, credentials: {{{where}: {{token_env: NAME}}}}"
    return f"Name a key: --cluster URL --auth env:NAME, or {own}; one that was sent is not accepted there."
