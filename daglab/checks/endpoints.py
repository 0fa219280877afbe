"""Whether other servers answer: models, Weaviate clusters, and where links lead to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from daglab import errors, parse, web
from daglab.checks import findings
from daglab.settings import credentials, trust

LARGEST = 5_000_000  # bytes; a list of 400 models with prices and descriptions is 700 kB
LONGEST_NAME = 200  # of a model
MOST_COMPARED = 1000  # names that the nearest is looked for among: it takes time for each


def model(inquiry: findings.Inquiry, entry: Mapping[str, str]) -> findings.Finding:
    """An OpenAI-compatible endpoint lists the model. One that answers may serve a name that it does not list."""
    if "url" not in entry:
        return findings.skipped("It has no url.")
    url, name = f"{parse.base_url(entry['url'])}/models", entry["name"]
    key = f"models {url} {entry.get('token_env')}"
    listed = inquiry.once(key, lambda: parse_models(_get(inquiry, "models", entry, url), url))
    if name in listed:
        return findings.ok(f"listed at {parse.display_url(url)}")
    near = parse.did_you_mean(name, listed[:MOST_COMPARED])
    return findings.degraded(
        f"{parse.display_url(url)} answers, and does not list it among {len(listed)}.",
        near or "Correct its name in models of daglab.yaml, or serve it there.",
    )


def parse_models(response: Any, url: str) -> list[str]:
    """The names in the answer to GET /models. Raises `Unreachable` for any other answer."""
    where = parse.display_url(url)
    hint = "Is it an OpenAI-compatible endpoint? Its url ends in /v1, most often."
    if response.status_code != 200:
        raise errors.Unreachable(f"{where} answers {response.status_code}.", hint)
    try:
        listed = json.loads(response.content)["data"]
        names = [each["id"] for each in listed]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise errors.Unreachable(f"{where} answers with something that is no list of models.", hint) from None
    return [name for name in names if isinstance(name, str) and len(name) <= LONGEST_NAME]


def cluster(inquiry: findings.Inquiry, entry: Mapping[str, str]) -> findings.Finding:
    """A Weaviate cluster says that it is ready."""
    url = f"{parse.base_url(entry['url']).removesuffix('/v1')}/v1/.well-known/ready"
    response = _get(inquiry, "weaviate.clusters", entry, url)
    where, status = parse.display_url(url), response.status_code
    if status == 503:
        return findings.down(f"{where} says that it is not ready (503).", "Its own log says why.")
    if status != 200 or "html" in response.headers.get("Content-Type", ""):
        what = "an HTML page" if status == 200 else status
        return findings.down(f"{where} answers with {what}.", "Is it the address of a Weaviate?")
    return findings.ok(f"ready at {parse.display_url(parse.base_url(entry['url']))}")


def links(inquiry: findings.Inquiry) -> findings.Finding:
    """What serves export.base_url answers. It may refuse us, or send us on: that is for whoever follows a link."""
    base = inquiry.settings.export.base_url
    if base is None:
        return findings.skipped("export.base_url is not set.")
    url = parse.base_url(base)
    where = parse.display_url(url)
    session = inquiry.bounded(web.plain({}, timeout=inquiry.left, largest=LARGEST))
    try:
        status = web.send(session, "HEAD", url).status_code
    except (web.Redirected, errors.NotAuthorised):
        return findings.ok(f"{where} answers, and leads on or asks who we are.")
    except errors.DaglabError as error:
        raise _with_hint(error, "Start what serves it, or correct export.base_url.") from None
    if status >= 500 and status != 501:  # some know no HEAD
        return findings.down(f"{where} answers {status}.", "The log of what serves it says more.")
    return findings.ok(f"{where} answers {status}.")


def _get(inquiry: findings.Inquiry, key: str, entry: Mapping[str, str], url: str) -> Any:
    """The answer to a GET, with the token that may go there. Raises `DaglabError` with a hint for such an entry."""
    found = trust.endpoint_credential(inquiry.settings, key, entry)
    headers = {}
    if found and found.auth:
        headers = credentials.headers(found.auth, found.origin, url, timeout=inquiry.left)
    session = inquiry.bounded(web.plain(headers, timeout=inquiry.left, largest=LARGEST))
    try:
        return web.send(session, "GET", url)
    except errors.NotAuthorised as error:
        raise _with_hint(error, _token_hint(entry, found, url)) from None
    except errors.DaglabError as error:
        raise _with_hint(error, f"Is it running? Its address stands in {inquiry.settings.origins[key]}.") from None


def _token_hint(entry: Mapping[str, str], found: trust.Credential | None, url: str) -> str:
    own = f"in your own config, credentials: {{{parse.origin(url)}: {{token_env: NAME}}}}"
    if found and found.withheld:
        return f"{entry['token_env']} was not sent, because {found.withheld}. If you trust that address: {own}."
    if found:
        return f"The token of {found.origin} is not accepted there: renew it."
    return f"Name a token: token_env beside its url, or {own}."


def _with_hint(error: errors.DaglabError, hint: str) -> errors.DaglabError:
    """The same error with another next step: `web` speaks of Dagster. What a proxy or a certificate needs stays."""
    keeps = error.hint if error.hint and any(name in error.hint for name in ("PROXY", "SSL_CERT_FILE")) else hint
    return type(error)(error.message, keeps)
