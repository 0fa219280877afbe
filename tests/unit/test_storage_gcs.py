"""Cloud Storage: whose credentials are used, what gcloud is given and what its answers mean, and signatures."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from daglab import errors, redaction
from daglab.storage import gcs_answers, gcs_program, google_accounts, google_keys, objects, places, sums, transfers

PLACE = places.Place("gs", "box", "daily")
STORE = "https://storage.googleapis.com"
OBJECT = f"{STORE}/storage/v1/b/box/o/daily%2Fa.html"
UPLOAD = f"{STORE}/upload/storage/v1/b/box/o"
AT = datetime(2026, 1, 31, tzinfo=timezone.utc)
GCLOUD = """#!/bin/sh
env > {folder}/env
for word in "$@"; do echo "$word"; done > {folder}/words
cat {folder}/out
cat {folder}/err >&2
exit $(cat {folder}/code)
"""


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`gcloud(out, err, code)` installs a gcloud that notes what it is given, says this and ends so."""

    def install(out: str = "", err: str = "", code: int = 0) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, text in (("out", out), ("err", err), ("code", str(code)), ("gcloud", GCLOUD.format(folder=folder))):
            (folder / name).write_text(text)
        (folder / "gcloud").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/bin")
        return folder

    return install


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture(scope="session")
def pem() -> str:
    words = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def account(tmp_path: Path, pem: str) -> Path:
    path = tmp_path / "account.json"
    path.write_text(json.dumps({"type": "service_account", "client_email": "a@b.example", "private_key": pem}))
    return path


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "a.html"
    path.write_text("hello")
    return path


def put(page: Path, **metadata: str) -> places.Stored:
    return objects.put(PLACE, "daily/a.html", page, content_type="text/html", metadata=metadata, timeout=20)


def resource(page: Path, **changes: Any) -> dict[str, Any]:
    known = transfers.measured(page)
    said = {"name": "daily/a.html", "size": str(known.bytes), "updated": "2026-01-31T00:00:00.123Z"}
    return {**said, "md5Hash": sums.md5_header(known), "metadata": {"sha256": known.sha256}, **changes}


def openssl(words: list[str], text: bytes, tmp_path: Path) -> bytes:
    (tmp_path / "text").write_bytes(text)
    done = subprocess.run(["openssl", *words, str(tmp_path / "text")], capture_output=True, check=True)
    return done.stdout


@pytest.mark.parametrize("form", ["PKCS #8", "PKCS #1"])
def test_an_rsa_signature_is_that_of_openssl(pem: str, form: str, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(pem)
    if form == "PKCS #1":
        words = ["openssl", "rsa", "-traditional", "-in", str(tmp_path / "key.pem")]
        pem = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert "RSA PRIVATE" in pem
    for text in (b"", b"text", "ü".encode() * 100_000):
        theirs = openssl(["dgst", "-sha256", "-sign", str(tmp_path / "key.pem")], text, tmp_path)
        assert google_keys.of_rsa("a@b", pem, "").sign("20260131", text) == theirs.hex()


def test_an_hmac_signature_is_the_known_one() -> None:
    signer = google_keys.of_hmac("GOOG1", "s3cret", "")
    url = google_keys.signed_url(signer, "GET", f"{STORE}/b/a%20b.html", 60, AT)
    assert url == (
        f"{STORE}/b/a%20b.html?X-Goog-Algorithm=GOOG4-HMAC-SHA256"
        "&X-Goog-Credential=GOOG1%2F20260131%2Fauto%2Fstorage%2Fgoog4_request&X-Goog-Date=20260131T000000Z"
        "&X-Goog-Expires=60&X-Goog-SignedHeaders=host"
        "&X-Goog-Signature=bd2ddeff22a44664393289c44d36f3f02a459d8092bba6d8c8b3d686b1c20917"
    )


@pytest.mark.parametrize(
    "damage", ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "cut", "ec"]
)
def test_what_is_no_rsa_key_is_said(damage: str, pem: str) -> None:
    if damage == "cut":
        lines = pem.splitlines()
        damage = "\n".join([*lines[:5], lines[-1]])
    if damage == "ec":
        words = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        damage = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    with pytest.raises(ValueError, match="no RSA private key"):
        google_keys.of_rsa("a@b", damage, "")


def test_files_of_credentials_are_looked_for_in_order(
    account: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(errors.NotSetUp, match="no credentials"):
        google_accounts.credentials()
    usual = Path("~/.config/gcloud/application_default_credentials.json").expanduser()
    usual.parent.mkdir(parents=True)
    usual.write_text(account.read_text())
    assert google_accounts.credentials().origin == str(usual)
    boto = Path("~/.boto").expanduser()
    boto.write_text("[Credentials]\ngs_access_key_id = G1\ngs_secret_access_key = s3cr%t\n[x]\n")
    assert google_accounts.credentials().origin == str(boto)
    other = tmp_path / "other.boto"
    other.write_text("[Credentials]\nempty =\n")
    monkeypatch.setenv("BOTO_CONFIG", str(other))
    assert google_accounts.credentials().origin == str(usual)
    monkeypatch.setenv("GS_ACCESS_KEY_ID", "G2")
    monkeypatch.setenv("GS_SECRET_ACCESS_KEY", "an-hmac-secret")
    assert google_accounts.credentials().origin == "GS_ACCESS_KEY_ID"
    assert redaction.clean("<an-hmac-secret>") == "<***>"


def test_what_is_named_goes_before_what_lies_there(
    account: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GS_ACCESS_KEY_ID", "G2")
    monkeypatch.setenv("GS_SECRET_ACCESS_KEY", "an-hmac-secret")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    signer = google_accounts.credentials()
    assert isinstance(signer, google_keys.Signer)
    assert (signer.name, signer.algorithm) == ("a@b.example", "GOOG4-RSA-SHA256")
    (tmp_path / "token").write_text("ya29.of-a-file\n")
    monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", str(tmp_path / "token"))
    assert google_accounts.credentials() == google_accounts.Bearer("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", "ya29.of-a-file")
    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29.of-a-variable")
    found = google_accounts.credentials()
    assert found == google_accounts.Bearer("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29.of-a-variable")
    assert "ya29" not in repr(found)
    assert google_accounts.signer().name == "a@b.example"  # a token signs nothing
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "localhost:9")
    assert google_accounts.credentials() == google_accounts.Bearer("STORAGE_EMULATOR_HOST")
    for secret in ("ya29.of-a-file", "ya29.of-a-variable"):
        assert redaction.clean(f"<{secret}>") == "<***>"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"type": "service_account"}', '{"type": "external_account"}', "\udcff", "null"]
)
def test_a_file_of_credentials_that_can_t_be_used_is_said(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "account.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(errors.NotSetUp, match="GOOGLE_APPLICATION_CREDENTIALS"):
        google_accounts.credentials()
    path.unlink()
    with pytest.raises(errors.NotSetUp, match="GOOGLE_APPLICATION_CREDENTIALS"):
        google_accounts.credentials()


@responses.activate
def test_a_users_login_is_exchanged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "user.json"
    said = {"type": "authorized_user", "client_id": "c", "client_secret": "s3cr3t-c", "refresh_token": "1//refr3sh"}
    path.write_text(json.dumps(said))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    monkeypatch.setattr(google_accounts, "_exchanged", {})
    refused = responses.post(google_accounts.TOKENS, status=400, json={"error": "invalid_grant"})
    with pytest.raises(errors.NotAuthorised) as problem:
        google_accounts.credentials()
    assert "application-default login" in str(problem.value.hint)
    responses.remove(refused)
    asked = responses.post(google_accounts.TOKENS, json={"access_token": "ya29.fresh-one", "expires_in": 3599})
    for _ in range(3):
        assert google_accounts.credentials() == google_accounts.Bearer(
            "GOOGLE_APPLICATION_CREDENTIALS", "ya29.fresh-one"
        )
    assert asked.call_count == 1
    for secret in ("s3cr3t-c", "1//refr3sh", "ya29.fresh-one"):
        assert redaction.clean(f"<{secret}>") == "<***>"
    monkeypatch.setattr(google_accounts, "_exchanged", {})
    responses.replace(responses.POST, google_accounts.TOKENS, json={"error": "?"})
    with pytest.raises(errors.Unreachable):
        google_accounts.credentials()


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({}, STORE),
        ({"STORAGE_EMULATOR_HOST": "localhost:9000"}, "http://localhost:9000"),
        ({"STORAGE_EMULATOR_HOST": "https://h:1/"}, "https://h:1"),
        ({"CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": "http://h:1/storage/v1/"}, "http://h:1"),
        ({"STORAGE_EMULATOR_HOST": "ftp://h"}, None),
        ({"STORAGE_EMULATOR_HOST": "http://me:pass@h"}, None),
        ({"STORAGE_EMULATOR_HOST": "http://h:99999"}, None),
    ],
)
def test_where_the_store_is(variables: dict[str, str], endpoint: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    if endpoint is None:
        with pytest.raises(errors.NotSetUp, match="is none"):
            google_accounts.endpoint()
    else:
        assert google_accounts.endpoint() == endpoint


@pytest.mark.usefixtures("no_programs")
@responses.activate
def test_an_upload_is_sent_again_until_it_is_taken_and_is_settled_by_what_lies_there(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN", "ya29.some-token")
    monkeypatch.setattr("daglab.web.delay", lambda *_: 0)
    responses.post(UPLOAD, status=503)
    taken = responses.post(UPLOAD, json={})
    responses.get(OBJECT, json=resource(page))
    stored = put(page)
    assert (stored.address, stored.link) == ("gs://box/daily/a.html", f"{STORE}/box/daily/a.html")
    assert taken.calls[0].request.headers["Authorization"] == "Bearer ya29.some-token"
    responses.replace(responses.POST, UPLOAD, body=requests.ConnectionError("broken off"))
    assert put(page).via == "http"
    responses.replace(responses.GET, OBJECT, json=resource(page, md5Hash="AAAA"))
    with pytest.raises(errors.OutcomeUnknown, match="lost"):
        put(page)
    responses.replace(responses.POST, UPLOAD, json={})
    with pytest.raises(errors.OutcomeUnknown, match="something else"):
        put(page)


@pytest.mark.usefixtures("no_programs")
@responses.activate
@pytest.mark.parametrize("who", ["a token", "a key"])
@pytest.mark.parametrize(
    ("status", "kind"), [(401, errors.NotAuthorised), (403, errors.NotAuthorised), (302, errors.Unreachable)]
)
def test_what_google_refuses(
    who: str, status: int, kind: type[errors.DaglabError], account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if who == "a token":
        monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN", "ya29.some-token")
    else:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    for url in (OBJECT, f"{STORE}/box", f"{STORE}/storage/v1/b/box/o"):
        responses.get(url, status=status)
    with pytest.raises(kind):
        list(objects.listing(PLACE))


@pytest.mark.usefixtures("no_programs")
@responses.activate
def test_a_bucket_that_is_not_there_is_no_object_that_is_not_there(
    account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    responses.head(f"{STORE}/box/daily/a.html", status=404)
    listed = responses.get(f"{STORE}/box", body="<ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'/>")
    assert objects.look(PLACE, "daily/a.html") is None
    responses.remove(listed)
    responses.get(f"{STORE}/box", status=404, body="<Error><Code>NoSuchBucket</Code></Error>")
    with pytest.raises(errors.InvalidInput, match="no bucket box"):
        objects.look(PLACE, "daily/a.html")


@pytest.mark.usefixtures("no_programs")
@responses.activate
def test_a_listing_goes_on_to_its_last_page_or_is_an_error(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    one = "<Contents><Key>daily/{}</Key><Size>1</Size><LastModified>2026-01-31T00:00:00.123Z</LastModified></Contents>"
    pages = [one.format(1) + "<NextContinuationToken>t/=</NextContinuationToken>", one.format(2), "<Contents/>"]
    for text in pages:
        responses.get(
            f"{STORE}/box",
            body=f"<ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'>{text}</ListBucketResult>",
        )
    assert [found.key for found in objects.listing(PLACE)] == ["daily/1", "daily/2"]
    assert "continuation-token=t%2F%3D" in str(responses.calls[1].request.url)
    with pytest.raises(errors.Unreachable):
        list(objects.listing(PLACE))


@pytest.mark.usefixtures("no_programs")
def test_without_program_and_credentials_both_ways_are_named(page: Path) -> None:
    with pytest.raises(errors.NotSetUp) as problem:
        put(page)
    assert "(gcloud) is not installed" in problem.value.message
    assert "no credentials for Cloud Storage" in problem.value.message
    assert "gcloud auth login" in str(problem.value.hint)
    assert "GOOGLE_APPLICATION_CREDENTIALS" in str(problem.value.hint)


def test_gcloud_is_told_of_an_emulator_and_is_given_lists_that_it_can_read(
    gcloud: Callable[..., Path], page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redaction.hide("a-token-of-dagster")
    monkeypatch.setenv("SOME_TOKEN", "a-token-of-dagster")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:9")
    folder = gcloud()
    with responses.RequestsMock() as mocked:
        mocked.get(OBJECT.replace(STORE, "http://127.0.0.1:9"), json=resource(page))
        assert put(page, by="a|b, c=d").via == "gcloud"
    words, env = (folder / "words").read_text().split("\n"), (folder / "env").read_text()
    assert "gs://box/daily/a.html" in words
    assert f"--custom-metadata=^;^by=a|b, c=d;sha256={transfers.measured(page).sha256}" in words
    assert "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE=http://127.0.0.1:9/" in env
    assert "CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true" in env
    assert "a-token-of-dagster" not in env


@pytest.mark.parametrize("key", ["a[1].html", "a*.html", "what?.html", "a#1.html"])
def test_what_gcloud_would_take_for_a_pattern_is_not_given_to_it(gcloud: Callable[..., Path], key: str) -> None:
    folder = gcloud()
    with pytest.raises(errors.NotSetUp, match="pattern"):
        gcs_program.delete(PLACE, key)
    assert not (folder / "words").exists()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ERROR: You do not currently have an active account selected.", errors.NotSetUp),
        ("ERROR: something that nobody knows\nsig=abcdefghijkl", errors.NotSetUp),
        ("ERROR: HTTPError 403: a@b does not have storage.objects.get access", errors.NotAuthorised),
        ("ERROR: There was a problem refreshing your current auth tokens: invalid_grant", errors.NotAuthorised),
        ("ERROR: gs://box not found: 404.", errors.InvalidInput),
        ("HTTPSConnectionPool(host='storage.googleapis.com'): Max retries exceeded", errors.Unreachable),
    ],
)
def test_why_gcloud_has_failed(gcloud: Callable[..., Path], said: str, kind: type[errors.DaglabError]) -> None:
    gcloud(err=said, code=1)
    for use in (gcs_program.look, gcs_program.delete):
        with pytest.raises(kind) as problem:
            use(PLACE, "daily/a.html")
        assert type(problem.value) is kind
        assert "abcdefghijkl" not in problem.value.message
    with pytest.raises(kind):
        gcs_program.listing(PLACE)


def test_what_gcloud_finds_and_deletes(gcloud: Callable[..., Path], page: Path) -> None:
    gcloud(out=json.dumps(resource(page)))
    seen = gcs_program.look(PLACE, "daily/a.html")
    assert seen is not None
    assert (seen.found.key, seen.found.bytes) == ("daily/a.html", transfers.measured(page).bytes)
    assert gcs_program.delete(PLACE, "daily/a.html")
    assert gcs_program.check(PLACE, 5) == "gcloud"
    gcloud(out=json.dumps([resource(page)]))
    assert [found.key for found in gcs_program.listing(PLACE)] == ["daily/a.html"]
    gcloud(out="torn {")
    with pytest.raises(errors.Unreachable):
        gcs_program.look(PLACE, "daily/a.html")


def test_gcloud_says_of_a_bucket_what_it_says_of_an_object(gcloud: Callable[..., Path]) -> None:
    """So the bucket is asked for, too."""
    gcloud(err="ERROR: gs://box/daily/a.html not found: 404.", code=1)
    with pytest.raises(errors.DaglabError):
        gcs_program.look(PLACE, "daily/a.html")
    with pytest.raises(errors.DaglabError):
        gcs_program.check(PLACE, 5)


def test_an_answer_without_a_signature_is_no_link(gcloud: Callable[..., Path]) -> None:
    gcloud(out=json.dumps([{"signed_url": f"{STORE}/box/daily/a.html"}]))
    with pytest.raises(errors.Unreachable, match="no signed link"):
        gcs_program.signed_url(PLACE, "daily/a.html", 60)


def test_a_link_that_gcloud_signs_is_taken_even_where_gcloud_fails_after(gcloud: Callable[..., Path]) -> None:
    url = f"{STORE}/box/daily/a.html?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Signature=0123456789abcdef"
    gcloud(out=json.dumps([{"signed_url": url}]), err="ERROR: gcloud crashed (ConnectionError)", code=1)
    assert objects.sign(PLACE, "daily/a.html", 3600).url == url
    assert "0123456789abcdef" not in redaction.clean(url)
    gcloud(out="[]", err="ERROR: Max valid duration allowed is 12h0m0s when system-managed key is used.", code=1)
    with pytest.raises(errors.InvalidInput, match="12 hours"):
        objects.sign(PLACE, "daily/a.html", 86_400)
    gcloud(out="[]", err="ERROR: This command requires a service account to sign a URL.", code=1)
    with pytest.raises(errors.NotSetUp, match="can't sign a link") as problem:
        objects.sign(PLACE, "daily/a.html", 60)
    assert "impersonate_service_account" in str(problem.value.hint)


def test_a_link_lives_for_seven_days_at_most() -> None:
    with pytest.raises(errors.InvalidInput, match="7 days"):
        objects.sign(PLACE, "daily/a.html", 604_801)


def test_parts_of_a_key_that_do_not_belong_together_sign_nothing(pem: str) -> None:
    modulus, public, private = google_keys._numbers(pem)
    with pytest.raises(ValueError, match="do not belong together"):
        google_keys._rsa(modulus, public, private + 2, b"text")


def test_a_key_that_is_too_short_is_refused() -> None:
    words = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:512"]
    short = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    with pytest.raises(ValueError, match="too short"):
        google_keys.of_rsa("a@b", short, "")


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [(503, errors.Unreachable, "can't answer now"), (418, errors.InvalidInput, "took it for wrong")],
)
def test_other_answers_of_cloud_storage_are_told(status: int, kind: type[errors.DaglabError], said: str) -> None:
    answer = requests.Response()
    answer.status_code = status
    with pytest.raises(kind, match=said):
        gcs_answers.expect(answer, places.parse("gs://bucket"), [200])
