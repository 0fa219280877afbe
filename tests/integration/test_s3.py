"""S3: over HTTP against a server that checks signatures, and through the AWS CLI."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import errors, redaction
from daglab.storage import aws_settings, objects, places, s3, sigv4

pytestmark = pytest.mark.long

HTML = b"<!doctype html><title>orders</title>" + b"x" * 20_000
TYPE = "text/html; charset=utf-8"
KEYS = ["a.html", "a b/ü+&~=.html", ".hidden/..x/a.html", "日本/%2F?#'\"*.html", "a:b@c,d;e!(f)$[g].html"]

Programs = Callable[..., dict[str, str]]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_bytes(HTML)
    return path


def put(place: places.Place, path: Path, name: str = "a.html", **more: Any) -> places.Stored:
    asked: dict[str, Any] = {
        "content_type": TYPE,
        "content_encoding": None,
        "metadata": {"notebook": "a"},
        "timeout": 60,
    }
    return objects.put(place, places.key(place, name), path, **{**asked, **more})


@pytest.fixture
def place(s3_place: places.Place, only_programs: Programs) -> places.Place:
    """A bucket, where no AWS CLI is installed."""
    only_programs()
    return s3_place


@pytest.mark.parametrize("name", KEYS)
def test_an_object_from_its_upload_to_its_end(place: places.Place, report: Path, name: str) -> None:
    stored = put(place, report, name)
    assert stored.via == "http"
    assert stored.address == f"s3://{place.bucket}/reports/{name}"
    assert stored.sha256 == hashlib.sha256(HTML).hexdigest()
    assert stored.link
    assert requests.get(stored.link, timeout=60).status_code == 403

    found = objects.look(place, stored.key)
    assert found is not None
    assert (found.bytes, found.sha256) == (len(HTML), stored.sha256)
    assert abs(datetime.now(timezone.utc) - found.changed_at) < timedelta(minutes=5)
    assert [each.key for each in objects.listing(place)] == [stored.key]
    assert places.located(stored.address) == (places.Place("s3", place.bucket), stored.key)

    signed = objects.sign(place, stored.key, 3600)
    answer = requests.get(signed.url, timeout=60)
    assert (answer.status_code, answer.content, answer.headers["Content-Type"]) == (200, HTML, TYPE)
    assert answer.headers["x-amz-meta-notebook"] == "a"
    for tampered in (signed.url[:-1] + ("0" if signed.url[-1] != "0" else "1"), signed.url.replace("3600", "7200")):
        assert requests.get(tampered, timeout=60).status_code == 403

    assert objects.delete(place, stored.key)
    assert not objects.delete(place, stored.key)
    assert objects.look(place, stored.key) is None
    assert requests.get(signed.url, timeout=60).status_code == 404


def test_a_link_ends(place: places.Place, report: Path) -> None:
    stored = put(place, report)
    signed = objects.sign(place, stored.key, 1)
    while datetime.now(timezone.utc) <= signed.expires_at + timedelta(seconds=1):
        time.sleep(0.1)
    assert requests.get(signed.url, timeout=60).status_code == 403


def test_what_is_compressed_says_so(place: places.Place, tmp_path: Path) -> None:
    path = tmp_path / "a.html.gz"
    path.write_bytes(gzip.compress(HTML))
    stored = put(place, path, "a.html", content_encoding="gzip")
    answer = requests.get(objects.sign(place, stored.key, 60).url, timeout=60)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.content == HTML


def test_the_same_key_again_replaces(place: places.Place, report: Path) -> None:
    first = put(place, report)
    report.write_bytes(b"")
    second = put(place, report)
    assert (first.key, second.bytes) == (second.key, 0)
    assert [each.bytes for each in objects.listing(place)] == [0]


def test_a_listing_goes_on_page_by_page(place: places.Place, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        put(place, report, f"{number}+ ü.html")
    put(places.Place("s3", place.bucket, "reports-of-others"), report)
    asked = []
    query = sigv4.query

    def two_a_page(pairs: Any) -> str:
        asked.append(pairs)
        return query({**pairs, "max-keys": "2"})

    monkeypatch.setattr(sigv4, "query", two_a_page)
    assert [each.key for each in objects.listing(place)] == [f"reports/{number}+ ü.html" for number in range(5)]
    assert len(asked) >= 3


def test_who_is_not_let_in(place: places.Place, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wr0ng-s3cret")
    for call in (
        lambda: put(place, report),
        lambda: objects.look(place, "reports/a.html"),
        lambda: objects.delete(place, "reports/a.html"),
        lambda: list(objects.listing(place)),
        lambda: objects.check(place),
    ):
        with pytest.raises(errors.NotAuthorised) as caught:
            call()
        assert "wr0ng" not in str(vars(caught.value))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    for call in (lambda: objects.look(place, "reports/a.html"), lambda: objects.check(place)):
        with pytest.raises(errors.NotAuthorised):
            call()


def test_a_bucket_that_is_not_there(place: places.Place, report: Path) -> None:
    gone = places.Place("s3", "no-such-bucket-here")
    for call in (
        lambda: put(gone, report),
        lambda: objects.look(gone, "a.html"),
        lambda: objects.delete(gone, "a.html"),
        lambda: list(objects.listing(gone)),
        lambda: objects.check(gone),
    ):
        with pytest.raises(errors.InvalidInput, match="no bucket 'no-such-bucket-here'"):
            call()


def test_the_store_says_its_region(place: places.Place, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-west-1")
    assert put(place, report).via == "http"
    assert requests.get(objects.sign(place, "reports/a.html", 60).url, timeout=60).content == HTML


def test_credentials_that_have_expired(place: places.Place, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z")
    for call in (lambda: put(place, report), lambda: objects.sign(place, "a.html", 60)):
        with pytest.raises(errors.NotAuthorised, match="expired"):
            call()


def test_check_says_how(place: places.Place) -> None:
    assert objects.check(place) == f"s3://{place.bucket}/reports answers over HTTP to the key of $AWS_ACCESS_KEY_ID"
    assert list(objects.listing(place)) == []


def test_health_looks_at_it(place: places.Place, cli: Callable[..., Any]) -> None:
    def look(**env: str) -> tuple[int, dict[str, Any]]:
        named = {f"DAGLAB_EXPORT__CLOUD_STORAGE__{name.upper()}": text for name, text in env.items()}
        done = cli("health", "--only", "upload", "--json", env=named)
        (found,) = json.loads(done.stdout)["checks"]
        return done.exit_code, found

    assert look()[1]["status"] == "skipped"
    code, found = look(provider="s3", bucket=place.bucket, prefix="reports")
    assert (code, found["status"], found["detail"]) == (0, "ok", objects.check(place))
    code, found = look(provider="s3", bucket="no-such-bucket-here")
    assert (code, found["status"]) == (5, "down")
    assert "no bucket" in found["detail"]


def test_a_presigned_address_takes_one_file(place: places.Place, report: Path) -> None:
    bucket = s3._bucket(place)
    now = datetime.now(timezone.utc)
    url = sigv4.signed_url(bucket.keys, bucket.region, "PUT", bucket.url("in/a b.html"), 60, now)
    presigned = places.parse(url)
    stored = put(presigned, report, "ignored.html")
    assert stored.address == bucket.url("in/a b.html") == stored.link
    assert "Signature" not in repr(presigned) + repr(stored)
    assert [each.key for each in objects.listing(places.Place("s3", place.bucket))] == ["in/a b.html"]
    with pytest.raises(errors.NotAuthorised):
        put(places.parse(url.replace("Expires=60", "Expires=61")), report)
    assert "valid until" in objects.check(presigned)
    old = sigv4.signed_url(bucket.keys, bucket.region, "PUT", bucket.url("a"), 60, now - timedelta(minutes=2))
    with pytest.raises(errors.NotAuthorised, match="has expired"):
        put(places.parse(old), report)


# --- through the AWS CLI


@pytest.fixture
def aws(server_program: Callable[[str], str], only_programs: Programs) -> str:
    program = server_program("clients/bin/aws")
    only_programs(program)
    return program


@pytest.mark.slow
def test_the_aws_program_does_the_same(
    aws: str, moto_server: Any, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in moto_server.env.items():
        monkeypatch.setenv(name, text)
    monkeypatch.delenv("LANG", raising=False)  # as cron has it
    monkeypatch.setenv("LC_ALL", "C")
    place = places.Place("s3", made_bucket(moto_server), "-reports")
    assert "answers the AWS CLI" in objects.check(place)
    stored = put(place, report, KEYS[1])
    assert (stored.via, stored.key) == ("aws", f"-reports/{KEYS[1]}")
    found = objects.look(place, stored.key)
    assert found is not None
    assert (found.bytes, found.sha256) == (len(HTML), stored.sha256)
    assert [each.key for each in objects.listing(place)] == [stored.key]
    answer = requests.get(objects.sign(place, stored.key, 600).url, timeout=60)
    assert (answer.status_code, answer.content, answer.headers["Content-Type"]) == (200, HTML, TYPE)
    assert objects.delete(place, stored.key)
    assert objects.look(place, stored.key) is None
    with pytest.raises(errors.InvalidInput, match="no bucket"):
        put(places.Place("s3", "no-such-bucket-here"), report)


def made_bucket(store: Any) -> str:
    """As the conftest makes one, which no test can import."""
    bucket = f"bucket-{time.time_ns()}"
    keys = sigv4.Keys(store.env["AWS_ACCESS_KEY_ID"], store.env["AWS_SECRET_ACCESS_KEY"])
    url = f"{store.url}/{bucket}"
    now = datetime.now(timezone.utc)
    headers = sigv4.signed_headers(keys, store.env["AWS_REGION"], "PUT", url, {}, sigv4.EMPTY, now)
    requests.put(url, headers=headers, timeout=60).raise_for_status()
    return bucket


def test_the_aws_program_alone_knows_the_keys(
    aws: str, s3_place: places.Place, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with SSO: a program prints the keys, and only the AWS CLI asks it."""
    printed = {
        "Version": 1,
        "AccessKeyId": os.environ["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    (tmp_path / "keys.json").write_text(json.dumps(printed))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = /bin/cat {tmp_path}/keys.json\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert aws_settings.keys(os.environ) is None
    assert put(s3_place, report).via == "aws"
    # Version 1 of the AWS CLI does not tell the keys, and signs by itself: in the newer way.
    signed = objects.sign(s3_place, "reports/a.html", 600)
    assert "X-Amz-Signature=" in signed.url
    assert redaction.clean(signed.url).endswith("***")
    assert requests.get(signed.url, timeout=60).content == HTML


def test_the_aws_program_without_anybody(
    aws: str, s3_place: places.Place, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wr0ng-s3cret")
    with pytest.raises(errors.NotAuthorised, match="SignatureDoesNotMatch"):
        put(s3_place, report)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for call in (lambda: put(s3_place, report), lambda: objects.sign(s3_place, "a.html", 60)):
        with pytest.raises(errors.NotSetUp) as caught:
            call()
        assert "aws" in str(caught.value.hint)
        assert "AWS_ACCESS_KEY_ID" in str(caught.value.hint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(errors.Unreachable):
        objects.check(s3_place)
