"""What each store says of its objects over HTTP and by its program: what is there, is gone, was never there."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from daglab import errors, redaction
from daglab.storage import aws_program, gcs_program, google_accounts, objects, places, s3, transfers

S3 = places.Place("s3", "box", "daily")
GS = places.Place("gs", "box", "daily")
AZ = places.Place("az", "box", "daily", "acct")
KEY = "daily/a.html"
S3_STORE = "http://s3.test"
AZ_STORE = "https://acct.blob.core.windows.net"
GS_STORE = "https://storage.googleapis.com"
AT = datetime(2026, 1, 31, tzinfo=timezone.utc)
DATE = "Sat, 31 Jan 2026 00:00:00 GMT"
SHA256 = "ab" * 32
GONE = "<Error><Code>NoSuchBucket</Code></Error>"
RESOURCE = {"name": KEY, "size": "5", "updated": "2026-01-31T00:00:00Z", "metadata": {"SHA256": SHA256}}
BLOB = {"name": KEY, "properties": {"lastModified": "2026-01-31T00:00:00+00:00", "contentLength": 5}}

# Stands for a provider's program: each of its files holds a pattern of its words, the code, and what it prints.
PROGRAM = """#!/bin/sh
echo "$@" >> $0.words
for rule in $0.rules/*; do
    [ -f "$rule/pattern" ] || continue
    if echo "$*" | /bin/grep -qe "$(/bin/cat $rule/pattern)"; then
        [ -f "$AWS_CONFIG_FILE" ] && /bin/cat "$AWS_CONFIG_FILE" >> $0.config
        /bin/cat $rule/out
        /bin/cat $rule/err >&2
        exit $(/bin/cat $rule/code)
    fi
done
echo "no answer to $*" >&2
exit 9
"""
Rule = tuple[str, str, str]  # a pattern of the words, what is printed, and the error, if any
Install = Callable[..., Path]


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No program, no waiting, no region remembered."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("daglab.web.delay", lambda *_: 0)
    monkeypatch.setattr(s3, "_regions", {})


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """`install("aws", rule, ...)` puts a program into PATH that answers by these rules."""

    def put(name: str, *rules: Rule) -> Path:
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        for number, (pattern, out, err) in enumerate(rules):
            folder = program.with_suffix(".rules") / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            for each, text in (("pattern", pattern), ("out", out), ("err", err), ("code", "1" if err else "0")):
                (folder / each).write_text(text)
        program.write_text(PROGRAM)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return program

    return put


@pytest.fixture
def aws_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("ACCESS_KEY_ID", "AKID"), ("SECRET_ACCESS_KEY", "s3cret-x"), ("ENDPOINT_URL", S3_STORE)):
        monkeypatch.setenv(f"AWS_{name}", text)


@pytest.fixture
def azure_sas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "acct")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=abcdefgh")


@pytest.fixture
def google_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN", "ya29.some-token")


@pytest.fixture
def google_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GS_ACCESS_KEY_ID", "GOOG1")
    monkeypatch.setenv("GS_SECRET_ACCESS_KEY", "an-hmac-secret")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "a.html"
    path.write_text("hello")
    return path


# --- S3


@pytest.mark.usefixtures("aws_keys")
@responses.activate
def test_an_object_of_s3_over_http() -> None:
    url = f"{S3_STORE}/box/{KEY}"
    headers = {"Content-Length": "5", "Last-Modified": DATE, "x-amz-meta-sha256": SHA256}
    responses.head(url, headers=headers)
    deleted = responses.delete(url, status=204)
    found = objects.look(S3, KEY)
    assert found == places.Found(KEY, 5, SHA256, AT, {"sha256": SHA256})
    assert objects.delete(S3, KEY)
    responses.replace(responses.DELETE, url, status=403, body="<Error><Code>AccessDenied</Code></Error>")
    with pytest.raises(errors.NotAuthorised):
        objects.delete(S3, KEY)
    responses.replace(responses.HEAD, url, status=404)
    responses.get(f"{S3_STORE}/box/", body="<ListBucketResult/>")
    assert objects.look(S3, KEY) is None
    assert not objects.delete(S3, KEY)  # there is nothing to delete, so nothing is asked for
    assert deleted.call_count == 1
    responses.replace(responses.GET, f"{S3_STORE}/box/", status=404, body=GONE)
    with pytest.raises(errors.InvalidInput, match="no bucket 'box'"):
        objects.look(S3, KEY)


@pytest.mark.usefixtures("aws_keys")
@responses.activate
def test_a_listing_of_s3_goes_on_to_its_last_page() -> None:
    one = "<Contents><Key>{}</Key><Size>{}</Size><LastModified>2026-01-31T00:00:00.000Z</LastModified></Contents>"
    first = one.format("daily/a%20b", 1) + one.format("daily/folder/", 0) + one.format("daily/odd", "x")
    go_on = "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
    go_on += "<NextContinuationToken>t/=</NextContinuationToken>"
    for text in (first + go_on, one.format("daily/c%20d", 2)):
        responses.get(f"{S3_STORE}/box/", body=f"<ListBucketResult>{text}</ListBucketResult>")
    assert [(each.key, each.bytes, each.changed_at) for each in objects.listing(S3)] == [
        ("daily/a b", 1, AT),
        ("daily/c%20d", 2, AT),  # this page does not say that its names are encoded
    ]
    assert "continuation-token=t%2F%3D" in str(responses.calls[1].request.url)
    responses.replace(responses.GET, f"{S3_STORE}/box/", status=404, body=GONE)
    with pytest.raises(errors.InvalidInput, match="no bucket 'box'"):
        list(objects.listing(S3))


@pytest.mark.usefixtures("aws_keys")
@responses.activate
def test_a_bucket_that_can_be_used_and_one_that_can_not(monkeypatch: pytest.MonkeyPatch) -> None:
    responses.get(f"{S3_STORE}/box/", body="<ListBucketResult/>")
    assert objects.check(S3) == "s3://box/daily answers over HTTP to the key of $AWS_ACCESS_KEY_ID"
    responses.replace(responses.GET, f"{S3_STORE}/box/", body="<html/>")
    with pytest.raises(errors.Unreachable, match="no listing of S3"):
        objects.check(S3)
    responses.replace(responses.GET, f"{S3_STORE}/box/", status=404, body=GONE)
    with pytest.raises(errors.InvalidInput, match="no bucket 'box'"):
        objects.check(S3)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t0ken-of-session")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", AT.isoformat())
    with pytest.raises(errors.NotAuthorised, match="have expired"):
        objects.check(S3)


@pytest.mark.usefixtures("aws_keys")
@responses.activate
def test_a_link_is_signed_for_the_buckets_own_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    asked = responses.head(re.compile(r"https://.*amazonaws\.com/.*"), headers={"x-amz-bucket-region": "eu-west-3"})
    for _ in range(2):
        assert "eu-west-3%2Fs3%2Faws4_request" in objects.sign(S3, KEY, 60).url
    assert asked.call_count == 1  # it is remembered
    monkeypatch.setattr(s3, "_regions", {})
    responses.replace(responses.HEAD, re.compile(r"https://.*amazonaws\.com/.*"), status=404)
    with pytest.raises(errors.InvalidInput, match="no bucket 'box'"):
        objects.sign(S3, KEY, 60)


@pytest.mark.usefixtures("aws_keys")
@responses.activate
def test_an_upload_that_can_not_be_read_back_is_an_unknown_outcome(page: Path) -> None:
    url = f"{S3_STORE}/box/{KEY}"
    responses.put(url)
    responses.head(url, body=requests.ConnectionError("broken off"))
    with pytest.raises(errors.OutcomeUnknown, match="was sent, and can't be read back"):
        objects.put(S3, KEY, page, content_type="text/html", timeout=20)


def test_an_object_of_s3_by_the_aws_program(install: Install) -> None:
    head = {"ContentLength": 5, "Metadata": {"SHA256": SHA256}, "LastModified": "2026-01-31T00:00:00+00:00"}
    listed = {
        "Contents": [
            {"Key": "daily/", "Size": 0, "LastModified": "2026-01-31T00:00:00+00:00"},
            {"Key": KEY, "Size": 5, "LastModified": "2026-01-31T00:00:00+00:00"},
        ]
    }
    program = install(
        "aws",
        ("head-object", json.dumps(head), ""),
        ("list-objects-v2", json.dumps(listed), ""),
        ("delete-object", "", ""),
    )
    assert objects.look(S3, KEY) == places.Found(KEY, 5, SHA256, AT, {"sha256": SHA256})
    assert [each.key for each in objects.listing(S3)] == [KEY]
    assert objects.delete(S3, KEY)
    assert f"delete-object --bucket=box --key={KEY}" in program.with_suffix(".words").read_text()
    assert "AWS CLI" in objects.check(S3)
    missing = "An error occurred (404) when calling the HeadObject operation: Not Found"
    program = install("aws", ("head-object", "", missing), ("head-bucket", "{}", ""))
    assert objects.look(S3, KEY) is None
    assert not objects.delete(S3, KEY)
    install("aws", ("head-object", "", missing), ("head-bucket", "", missing.replace("Object", "Bucket")))
    with pytest.raises(errors.InvalidInput, match="no bucket 'box'"):
        objects.look(S3, KEY)


def test_who_may_write_by_the_aws_program_and_not_read(install: Install, page: Path) -> None:
    refused = "An error occurred (403) when calling the HeadObject operation: Forbidden"
    program = install("aws", ("put-object", "{}", ""), ("head-object", "", refused))
    upload = aws_program.Upload(page, "text/html", None, {})
    said = aws_program.put(str(program), S3, KEY, upload, transfers.measured(page), 20)
    assert (said.bytes, said.sha256) == (5, None)


OLD = ("export-credentials", "", "aws: error: argument subcommand: Invalid choice, valid choices are: get | set")


def test_an_aws_program_that_does_not_tell_its_keys_signs_by_itself(install: Install) -> None:
    own = Path("~/.aws/config").expanduser()
    own.parent.mkdir()
    own.write_text("[default]\nregion = eu-west-3\n")
    url = f"https://box.s3.amazonaws.com/{KEY}?X-Amz-Signature=0123456789abcdef"
    program = install("aws", OLD, ("signature_version", "", ""), ("presign", f"{url}\n", ""))
    signed = objects.sign(S3, KEY, 60)
    assert (signed.url, signed.note) == (url, None)
    assert "0123456789abcdef" not in redaction.clean(url)
    assert "region = eu-west-3" in program.with_suffix(".config").read_text()  # a copy of the user's own
    assert own.read_text() == "[default]\nregion = eu-west-3\n"
    install("aws", OLD, ("signature_version", "", ""), ("presign", f"{url}&X-Amz-Security-Token=t0ken-of-it", ""))
    assert "session" in str(objects.sign(S3, KEY, 60).note)
    assert redaction.clean("<t0ken-of-it>") == "<***>"
    install("aws", OLD, ("signature_version", "", ""), ("presign", "https://box.test/a?Signature=abc", ""))
    with pytest.raises(errors.NotSetUp, match="older kind"):
        objects.sign(S3, KEY, 60)
    install("aws", OLD, ("signature_version", "", ""), ("presign", "", "Unable to locate credentials."))
    with pytest.raises(errors.NotSetUp, match="does not know who you are"):
        objects.sign(S3, KEY, 60)
    install("aws", (OLD[0], "", "The config profile (typo) could not be found"))
    with pytest.raises(errors.NotSetUp, match="typo"):
        objects.sign(S3, KEY, 60)


# --- Cloud Storage


@pytest.mark.usefixtures("google_token")
@responses.activate
def test_an_object_of_cloud_storage_by_a_token(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, bucket = f"{GS_STORE}/storage/v1/b/box/o/daily%2Fa.html", f"{GS_STORE}/storage/v1/b/box/o"
    upload = responses.post(f"{GS_STORE}/upload/storage/v1/b/box/o", json={})
    responses.get(url, json={**RESOURCE, "metadata": {"sha256": transfers.measured(page).sha256}})
    objects.put(GS, KEY, page, content_type="text/html", content_encoding="gzip", timeout=20)
    assert b'"contentEncoding": "gzip"' in upload.calls[0].request.body
    responses.replace(responses.GET, url, json=RESOURCE)
    assert objects.look(GS, KEY) == places.Found(KEY, 5, SHA256, AT, {"sha256": SHA256})
    for said in ({"items": [RESOURCE], "nextPageToken": "t="}, {"items": [{**RESOURCE, "name": "daily/b"}]}):
        responses.get(bucket, json=said)
    assert [each.key for each in objects.listing(GS)] == [KEY, "daily/b"]
    assert "pageToken=t%3D" in str(responses.calls[-1].request.url)
    assert objects.check(GS) == "http, with CLOUDSDK_AUTH_ACCESS_TOKEN"
    deleted = responses.delete(url, status=204)
    assert objects.delete(GS, KEY)
    responses.remove(deleted)
    responses.delete(url, status=404)
    assert not objects.delete(GS, KEY)
    responses.replace(responses.GET, url, status=404)
    assert objects.look(GS, KEY) is None
    monkeypatch.setattr("tempfile.tempdir", str(page.parent / "nowhere"))
    with pytest.raises(errors.InvalidInput, match="can't be written") as caught:
        objects.put(GS, KEY, page, content_type="text/html", timeout=20)
    assert "TMPDIR" in str(caught.value.hint)


@pytest.mark.usefixtures("google_key")
@responses.activate
def test_an_object_of_cloud_storage_by_a_key(page: Path) -> None:
    url, known = f"{GS_STORE}/box/{KEY}", transfers.measured(page)
    said = {"x-goog-stored-content-length": "5", "last-modified": DATE, "x-goog-meta-sha256": known.sha256}
    sent = responses.put(url)
    responses.head(url, headers=said)
    assert objects.put(GS, KEY, page, content_type="text/html", timeout=20).via == "http"
    assert sent.calls[0].request.headers["x-goog-meta-sha256"] == known.sha256
    assert objects.look(GS, KEY) == places.Found(KEY, 5, known.sha256, AT, {"sha256": known.sha256})
    responses.replace(responses.HEAD, url, headers={**said, "x-goog-hash": "crc32c=AAAA, md5=AAAA"})
    with pytest.raises(errors.OutcomeUnknown, match="something else"):  # by the store's own sum
        objects.put(GS, KEY, page, content_type="text/html", timeout=20)
    responses.replace(responses.HEAD, url, headers={**said, "last-modified": "soon"})
    with pytest.raises(errors.Unreachable, match="can't be read"):
        objects.look(GS, KEY)
    responses.get(f"{GS_STORE}/box", body="<ListBucketResult/>")
    assert objects.check(GS) == "http, with GS_ACCESS_KEY_ID"
    responses.delete(url, status=204)
    assert objects.delete(GS, KEY)
    responses.replace(responses.DELETE, url, status=404)
    assert not objects.delete(GS, KEY)
    assert f"{url}?X-Goog-Algorithm=GOOG4-HMAC-SHA256" in objects.sign(GS, KEY, 60).url


@pytest.mark.slow
def test_an_object_of_cloud_storage_by_gcloud(install: Install, page: Path) -> None:
    install("gcloud", ("describe", json.dumps(RESOURCE), ""), ("list", json.dumps([RESOURCE]), ""), (" rm ", "", ""))
    found = places.Found(KEY, 5, SHA256, AT, {"sha256": SHA256})
    assert objects.look(GS, KEY) == found
    assert list(objects.listing(GS)) == [found]
    assert objects.delete(GS, KEY)
    assert objects.check(GS) == "gcloud"
    none = "ERROR: gs://box/daily/a.html not found: 404."
    install("gcloud", ("describe", "", none), ("list", "[]", ""), (" rm ", "", none))
    assert objects.look(GS, KEY) is None
    assert not objects.delete(GS, KEY)
    install("gcloud", ("list", "", "ERROR: HTTPError 403: no access"), ("sign-url", '[{"signed_url": "x"}]', ""))
    with pytest.raises(errors.NotAuthorised):
        gcs_program.check(GS, 20)
    with pytest.raises(errors.Unreachable, match="no signed link"):
        objects.sign(GS, KEY, 60)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Max retries exceeded", errors.OutcomeUnknown),  # it may have arrived
        ("ERROR: gs://box not found: 404.", errors.InvalidInput),
    ],
)
def test_an_upload_that_gcloud_breaks_off(
    install: Install, page: Path, said: str, kind: type[errors.DaglabError]
) -> None:
    install("gcloud", (" cp ", "", f"HTTPSConnectionPool: {said}"))
    headers = {"Content-Type": "text/html"}
    with pytest.raises(kind):
        gcs_program.put(GS, KEY, page, transfers.measured(page), headers, {}, timeout=20)
    texts = {"a": ";|,~!@#%&*+/:=?^ and so on"}
    with pytest.raises(errors.NotSetUp) as problem:  # nothing is left to part the pairs by
        gcs_program.put(GS, KEY, page, transfers.measured(page), headers, texts, timeout=20)
    assert problem.value.hint == google_accounts.HINT


# --- Azure


ENUMERATED = "<EnumerationResults><Blobs>{}</Blobs><NextMarker>{}</NextMarker></EnumerationResults>"


@pytest.mark.usefixtures("azure_sas")
@responses.activate
def test_an_object_of_azure_over_http() -> None:
    url, container = f"{AZ_STORE}/{AZ.bucket}/{KEY}", f"{AZ_STORE}/{AZ.bucket}"
    responses.head(url, headers={"Content-Length": "5", "Last-Modified": DATE, "x-ms-meta-sha256": SHA256})
    found = objects.look(AZ, KEY)
    assert found is not None
    assert (found.key, found.bytes, found.sha256, found.changed_at) == (KEY, 5, SHA256, AT)
    assert str(responses.calls[0].request.url) == f"{url}?sv=1&sig=abcdefgh"
    properties = f"<Properties><Last-Modified>{DATE}</Last-Modified><Content-Length>5</Content-Length></Properties>"
    blobs = [
        f"<Blob><Name>{KEY}</Name>{properties}<Metadata><sha256>{SHA256}</sha256></Metadata></Blob>",
        f'<Blob><Name Encoded="true">daily/%EF%BF%BF</Name>{properties}</Blob>',
    ]
    for blob, following in zip(blobs, ("t/=", ""), strict=True):
        responses.get(container, body=ENUMERATED.format(blob, following))
    assert [(each.key, each.sha256) for each in objects.listing(AZ)] == [(KEY, SHA256), ("daily/\uffff", None)]
    assert "marker=t%2F%3D" in str(responses.calls[-1].request.url)
    assert objects.check(AZ) == "http, with AZURE_STORAGE_SAS_TOKEN"
    responses.delete(url, status=202)
    assert objects.delete(AZ, KEY)
    responses.replace(responses.DELETE, url, status=404, headers={"x-ms-error-code": "BlobNotFound"})
    assert not objects.delete(AZ, KEY)


@pytest.mark.usefixtures("azure_sas")
@responses.activate
@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (404, "ContainerNotFound", errors.InvalidInput, "has no container box"),
        (503, "ServerBusy", errors.Unreachable, "can't answer now"),
        (302, "", errors.Unreachable, "can't answer now"),
        (400, "InvalidUri", errors.InvalidInput, "took it for wrong"),
        (404, "AccountNotFound", errors.InvalidInput, "took it for wrong"),
    ],
)
def test_what_azure_refuses(status: int, code: str, kind: type[errors.DaglabError], said: str) -> None:
    headers = {"x-ms-error-code": code} if code else {}
    responses.delete(f"{AZ_STORE}/box/{KEY}", status=status, headers=headers)
    with pytest.raises(kind, match=said) as caught:
        objects.delete(AZ, KEY)
    assert type(caught.value) is kind


def test_an_object_of_azure_by_az(install: Install) -> None:
    blob = {**BLOB, "metadata": {"sha256": SHA256}}
    rules = (("show", json.dumps(blob), ""), ("list", json.dumps([blob]), ""), ("delete", "", ""))
    install("az", *rules)
    found = objects.look(AZ, KEY)
    assert found is not None
    assert (found.key, found.bytes, found.sha256, found.changed_at) == (KEY, 5, SHA256, AT)
    assert list(objects.listing(AZ)) == [found]
    assert objects.delete(AZ, KEY)
    assert objects.check(AZ) == "az"
    install("az", ("show", "", "ErrorCode:BlobNotFound"), ("list", "", "x"), ("delete", "", "blob does not exist"))
    assert objects.look(AZ, KEY) is None
    assert not objects.delete(AZ, KEY)
    install("az", ("show", "", ""), ("list", "", "ErrorCode:ContainerNotFound"), ("generate-sas", "", "az login"))
    for call in (lambda: objects.check(AZ), lambda: list(objects.listing(AZ))):
        with pytest.raises(errors.InvalidInput, match="has no container box"):
            call()
    with pytest.raises(errors.NotSetUp):
        objects.sign(AZ, KEY, 60)


@pytest.mark.parametrize(
    "said", ["", "torn {", "[]", "null", '{"properties": {}}', json.dumps({**BLOB, "metadata": 7})]
)
def test_what_az_says_and_can_not_be_read_is_no_object(install: Install, said: str) -> None:
    install("az", ("show", said, ""))
    with pytest.raises(errors.Unreachable, match="can't be read"):
        objects.look(AZ, KEY)


# --- presigned addresses, and what is sent


@pytest.mark.parametrize(
    ("query", "until"),
    [
        ("X-Amz-Date=20990131T000000Z&X-Amz-Expires=60&X-Amz-Signature=s", "2099-01-31T00:01:00+00:00"),
        ("X-Goog-Date=20990131T000000Z&X-Goog-Expires=60&X-Goog-Signature=s", "2099-01-31T00:01:00+00:00"),
        ("se=2099-01-31T00%3A00%3A00Z&sig=s", "2099-01-31T00:00:00+00:00"),
        ("se=2099-01-31&sig=s", "2099-01-31T00:00:00+00:00"),
        ("se=later&sig=s", None),
        ("X-Amz-Date=20990131T000000Z&X-Amz-Expires=9999999999999999&X-Amz-Signature=s", None),
    ],
)
def test_a_presigned_address_says_until_when(query: str, until: str | None) -> None:
    place = places.parse(f"https://store.test/a.html?{query}")
    said = objects.check(place)
    assert said == f"https://store.test/a.html {f'is valid until {until}' if until else 'does not say until when'}"


@responses.activate
def test_a_presigned_address_that_is_over_or_does_not_take_it(page: Path) -> None:
    def put(address: str) -> Any:
        return objects.put(places.parse(address), "x", page, content_type="text/html", timeout=5)

    for old in ("X-Amz-Date=20200131T000000Z&X-Amz-Expires=60&X-Amz-Signature=s", "se=2020-01-31&sig=s"):
        with pytest.raises(errors.NotAuthorised, match="has expired"):
            put(f"https://store.test/a.html?{old}")
    assert len(responses.calls) == 0
    responses.put("https://store.test/a.html", status=413)
    with pytest.raises(errors.InvalidInput, match="413"):
        put("https://store.test/a.html?sig=s")


@pytest.mark.parametrize(
    ("problem", "kind", "said"),
    [
        (requests.exceptions.SSLError("x"), errors.Unreachable, "no certificate that is trusted"),
        (requests.exceptions.InvalidHeader("s3cret"), errors.InvalidInput, r"can't be written \(InvalidHeader\)"),
        (OSError("Could not find a suitable TLS CA certificate bundle: /x"), errors.NotSetUp, "CA certificate bundle"),
    ],
)
@responses.activate
def test_a_request_that_is_not_tried_again(problem: Exception, kind: type[errors.DaglabError], said: str) -> None:
    asked = responses.get("https://store.test/a", body=problem)
    with pytest.raises(kind, match=said) as caught:
        transfers.exchange(lambda: transfers.Request("GET", "https://store.test/a?sig=s3cret", {}, b""), timeout=20)
    assert asked.call_count == 1
    assert "s3cret" not in caught.value.message
