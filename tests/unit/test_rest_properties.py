"""Properties of what reads answers over HTTP: Dagster's, Weaviate's, those of models' endpoints and of stores."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
import requests
import responses
from hypothesis import example, given
from hypothesis import strategies as st

from daglab import errors, web
from daglab.attaching import reports
from daglab.checks import endpoints
from daglab.deployment import dagster_api
from daglab.storage import google_accounts, objects, places, transfers
from daglab.weaviate import api, rest
from tests.properties import MISSING, WRONG_TEXTS, fits, outcome, texts, tried, values, variants

SESSION = web.Session(web._http(web.Identity()), timeout=5.0, retries=0)
DAGSTER = dagster_api.DagsterApi("http://dagster.test", SESSION)
CLUSTER = rest.Cluster("c", "http://weaviate.test", SESSION)
STATUSES = [200, 204, 301, 307, 400, 401, 403, 404, 409, 413, 429, 500, 503]
DEEP = [b"[" * 20_000, b'{"a":' * 20_000]
contents = st.binary(max_size=40) | values.map(lambda each: json.dumps(each).encode())


def answer(content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> requests.Response:
    found = requests.Response()
    found.status_code, found._content, found.url = status, content, "http://a.test/x"
    found.headers.update(headers or {})
    return found


def jsons(whole: Any) -> Iterator[bytes]:
    """A document with each wrong value at each place of it."""
    return itertools.chain(DEEP, (json.dumps(each).encode() for each in variants(whole)))


def xmls(whole: str) -> Iterator[bytes]:
    """A document with each wrong text in each of its leaves, without one, and others in its place."""
    yield from (b"", b"<a>" * 20_000, b"<html>", whole.replace("UTF-8", "x").encode(), whole[:-9].encode())
    for leaf in re.finditer(r"<(\w+)>([^<]*)</\1>", whole):
        wrong = [f"<{leaf[1]}>{escape(text)}</{leaf[1]}>" for text in [*WRONG_TEXTS, "1", "x/", "%ff", "true"]]
        for text in ["", *wrong]:
            yield (whole[: leaf.start()] + text + whole[leaf.end() :]).encode(errors="surrogatepass")


def headers(whole: dict[str, str]) -> Iterator[dict[str, str]]:
    """Headers with each wrong text in each of them, and without it."""
    wrong = [MISSING, *WRONG_TEXTS, "Mon, 01 Jan 9999999999 00:00:00 GMT", "Mon, 01 Jan 2026 00:00:00 +999999999"]
    return (found for found in variants(whole, wrong) if isinstance(found, dict))


@tried
@given(contents, st.sampled_from(STATUSES), st.booleans())
@example(DEEP[0], 200, True)
@example(DEEP[1], 400, True)
@example(b'{"errors": "x"}', 200, False)
@example(b'{"errors": [1, null]}', 200, False)
@example(b'{"errors": 5}', 200, True)
@example(b'{"data": ' + b"9" * 5000 + b"}", 200, False)
def test_any_answer_over_http_is_read_or_told_in_words(content: bytes, status: int, change: bool) -> None:
    """GraphQL of Dagster's, GraphQL of Weaviate's, and REST."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add(responses.POST, "http://dagster.test/graphql", body=content, status=status)
        mock.add(responses.POST, "http://dagster.test/report_asset_check/a", body=content, status=status)
        mock.add(responses.POST, "http://weaviate.test/v1/graphql", body=content, status=status)
        mock.add(responses.GET, "http://weaviate.test/v1/schema", body=content, status=status)
        asked = dagster_api.mutate if change else dagster_api.query
        arguments = (DAGSTER, "launchRun", "mutation M { m }") if change else (DAGSTER, "{ q }")
        found = outcome(asked, *arguments)
        assert isinstance(found, dict) or (found.exit_code in (5, 6))
        assert isinstance(outcome(report, "report_asset_check"), (str, type(None), errors.DaglabError))
        assert isinstance(outcome(rest.graphql, CLUSTER, "{ q }"), (dict, errors.DaglabError))
        assert isinstance(outcome(api.schemas, CLUSTER), (dict, errors.DaglabError))


def report(operation: str) -> str | None:
    return reports.by_rest(DAGSTER, operation, ("a",), {"passed": True}, "evaluation")


@pytest.mark.parametrize("status", STATUSES)
def test_what_dagster_says_of_a_report_is_that_it_was_written_or_why_not(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written, in doubt, or refused: each status is one of these, whatever comes with it."""
    for content in itertools.chain(jsons({"error": "Asset not found"}), [b"{}", b"<html>"]):
        said = answer(content, status)
        monkeypatch.setattr(web, "send", lambda *_, said=said, **__: said)
        found = outcome(report, "report_asset_observation")
        if status == 200:
            assert isinstance(found, str) or (found is None and isinstance(json.loads(content), dict))
        elif status >= 500:
            assert isinstance(found, str)
        else:
            assert isinstance(found, (errors.InvalidInput, reports.NoWay))


MODELS = {"object": "list", "data": [{"id": "small", "object": "model"}, {"id": "large"}]}


def test_a_list_of_models_is_read_or_refused() -> None:
    assert endpoints.parse_models(answer(json.dumps(MODELS).encode()), "http://a.test") == ["small", "large"]
    for content, status in itertools.product(jsons(MODELS), (200, 404)):
        found = outcome(endpoints.parse_models, answer(content, status), "http://a.test")
        assert (status == 200 and fits(found, list[str])) or isinstance(found, errors.Unreachable)


def test_an_oauth_token_is_read_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    form = {"client_id": "i", "client_secret": "s3cret-x", "refresh_token": "r3fresh-x"}
    good = {"access_token": "ya29.some-token", "expires_in": 3599}

    def exchanged(content: bytes) -> Any:
        monkeypatch.setattr(google_accounts, "_exchanged", {})
        monkeypatch.setattr(transfers, "exchange", lambda *_, **__: answer(content))
        return outcome(google_accounts._exchange, form, "a file")

    assert exchanged(json.dumps(good).encode()) == "ya29.some-token"
    for content in jsons(good):
        found = exchanged(content)
        assert isinstance(found, (str, errors.Unreachable, errors.NotSetUp))


@tried
@given(texts)
@example("9" * 5000)
@example("Thu, 01 Jan 1970 00:00:00 GMT")
@example("Mon, 01 Jan 9999999999 00:00:00 GMT")
@example("Mon, 01 Jan 2026 00:00:00 +9999999999999")
def test_a_pause_that_a_server_asks_for_has_an_end(asked: str) -> None:
    assert 0 <= web.delay(0, asked) <= web.LONGEST_PAUSE


# --- stores

WHEN = "Sun, 01 Nov 2026 00:00:00 GMT"
SHA = "ab" * 32
LISTING = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>
<NextContinuationToken></NextContinuationToken><EncodingType>none</EncodingType>
<Contents><Key>p/a.html</Key><LastModified>2026-11-01T00:00:00.000Z</LastModified><Size>5</Size></Contents>
</ListBucketResult>"""
BLOBS = f"""<?xml version="1.0" encoding="UTF-8"?>
<EnumerationResults><Blobs><Blob><Name>p/a.html</Name><Properties><Last-Modified>{WHEN}</Last-Modified>
<Content-Length>5</Content-Length></Properties><Metadata><sha256>{SHA}</sha256></Metadata></Blob></Blobs>
<NextMarker></NextMarker></EnumerationResults>"""
RESOURCE = {"name": "p/a.html", "size": "5", "updated": "2026-11-01T00:00:00.000Z", "metadata": {"sha256": SHA}}
SAID = {"Content-Length": "5", "Last-Modified": WHEN}
FOUND = places.Found("p/a.html", 5, SHA, datetime(2026, 11, 1, tzinfo=timezone.utc), {"sha256": SHA})
UNSUMMED = dataclasses.replace(FOUND, sha256=None, metadata={})
# What `objects` says that all stores raise, where there are credentials.
REFUSALS = (errors.Unreachable, errors.NotAuthorised, errors.InvalidInput)

S3, GS, AZ = places.Place("s3", "bucket", "p"), places.Place("gs", "bucket", "p"), places.Place("az", "box", "p", "acc")
AWS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s3cret-x"}
OAUTH = {"CLOUDSDK_AUTH_ACCESS_TOKEN": "ya29.some-token"}
HMAC = {"GS_ACCESS_KEY_ID": "G", "GS_SECRET_ACCESS_KEY": "s3cret-x"}
AZURE = {"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_KEY": "czNjcmV0"}
of_s3 = {**SAID, "x-amz-meta-sha256": SHA, "ETag": '"x"', "x-amz-checksum-sha256": "x"}
of_gs = {**SAID, "x-goog-meta-sha256": SHA, "x-goog-hash": "crc32c=x,md5=y", "x-goog-stored-content-length": "5"}
LISTINGS: list[tuple[places.Place, dict[str, str], Any, places.Found]] = [
    (S3, AWS, LISTING, UNSUMMED),
    (GS, HMAC, LISTING, UNSUMMED),
    (GS, OAUTH, {"items": [RESOURCE], "nextPageToken": ""}, FOUND),
    (AZ, AZURE, BLOBS, FOUND),
]
LOOKS: list[tuple[places.Place, dict[str, str], dict[str, str], Any]] = [
    (S3, AWS, of_s3, ""),
    (GS, HMAC, of_gs, ""),
    (GS, OAUTH, {}, RESOURCE),
    (AZ, AZURE, {**SAID, "x-ms-meta-sha256": SHA}, ""),
]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Ask a store with these credentials, that has this answer, and after it a good one."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def asked(place: places.Place, who: dict[str, str], look: bool, *said: requests.Response) -> Any:
        waiting = itertools.chain(said, itertools.repeat(said[-1]))
        with monkeypatch.context() as patched:
            for name, text in who.items():
                patched.setenv(name, text)
            patched.setattr(transfers, "exchange", lambda *_, **__: next(waiting))
            return outcome(objects.look, place, "p/a.html") if look else outcome(lambda: list(objects.listing(place)))

    return asked


@pytest.mark.parametrize(("place", "who", "good", "expected"), LISTINGS)
def test_a_listing_is_read_or_refused(
    ask: Callable[..., Any], place: places.Place, who: dict[str, str], good: Any, expected: places.Found
) -> None:
    whole = answer(good.encode() if isinstance(good, str) else json.dumps(good).encode())
    assert ask(place, who, False, whole) == [expected]
    assert isinstance(ask(place, who, False, answer(b"<html></html>"), whole), REFUSALS)  # and never nothing
    for content in xmls(good) if isinstance(good, str) else jsons(good):
        found = ask(place, who, False, answer(content), whole)
        assert fits(found, list[places.Found]) or isinstance(found, REFUSALS), (found, content[:500])


@pytest.mark.parametrize(("place", "who", "good", "_"), LISTINGS)
def test_a_listing_that_comes_again_and_again_has_an_end(
    ask: Callable[..., Any], place: places.Place, who: dict[str, str], good: Any, _: Any
) -> None:
    text = good if isinstance(good, str) else json.dumps({**good, "nextPageToken": "t"})
    text = text.replace(">false<", ">true<").replace("Token></", "Token>t</").replace("Marker></", "Marker>t</")
    found = ask(place, who, False, answer(text.encode()))
    assert isinstance(found, errors.Unreachable)
    assert "the same objects again" in str(found)


@pytest.mark.parametrize(("place", "who", "said", "good"), LOOKS)
def test_what_is_said_of_an_object_is_read_or_refused(
    ask: Callable[..., Any], place: places.Place, who: dict[str, str], said: dict[str, str], good: Any
) -> None:
    content = json.dumps(good).encode() if good else b""
    assert ask(place, who, True, answer(content, 200, said)) == FOUND
    for changed in itertools.chain(
        [answer(content, 200)],
        (answer(content, 200, each) for each in headers(said)),
        (answer(each, 200, said) for each in (jsons(good) if good else ())),
    ):
        found = ask(place, who, True, changed)
        assert fits(found, places.Found) or isinstance(found, REFUSALS), (found, changed.headers, changed.content[:500])


CODES = [
    "NoSuchBucket",
    "AccessDenied",
    "ExpiredToken",
    "PermanentRedirect",
    "ContainerNotFound",
    "BlobNotFound",
    "\r\n",
]
codes = st.sampled_from(CODES) | texts


@pytest.mark.parametrize(("place", "who", "good", "_"), LISTINGS)
def test_an_error_of_a_store_is_told_in_words(
    ask: Callable[..., Any], place: places.Place, who: dict[str, str], good: Any, _: Any
) -> None:
    errors_ = st.tuples(codes, codes).map(
        lambda both: f"<Error><Code>{both[0]}</Code><Region>{both[1]}</Region></Error>".encode(errors="replace")
    )

    @tried
    @given(contents | errors_, st.sampled_from(STATUSES), codes, st.booleans())
    @example(f"<Error><Code>{'x' * 9000}</Code></Error>".encode(), 400, "x" * 9000, False)
    def tried_on(content: bytes, status: int, code: str, look: bool) -> None:
        said = {"x-ms-error-code": code, "x-amz-bucket-region": code, "x-amz-request-id": code}
        found = ask(place, who, look, answer(content, status, said))
        assert fits(found, list[places.Found] | places.Found | None) or isinstance(found, REFUSALS)
        assert status in (200, 404) or isinstance(found, REFUSALS)

    tried_on()
