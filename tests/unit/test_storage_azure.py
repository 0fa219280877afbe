"""Azure: which credentials are used, what az is given and what its answers mean, lost answers, and signatures."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from daglab import errors, redaction
from daglab.exporting import uploads
from daglab.storage import azure_accounts, azure_program, objects, places, shared_keys, sums, transfers

KEY = bytes(range(64))
TEXT = base64.b64encode(KEY).decode()
PLACE = places.Place("az", "box", "daily", "acct")
URL = "https://acct.blob.core.windows.net/box/daily/a.html"
AZ = """#!/bin/sh
env > {folder}/env
for word in "$@"; do echo "$word"; done > {folder}/words
cat {folder}/out
cat {folder}/err >&2
exit $(cat {folder}/code)
"""


@pytest.fixture
def az(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`az(out, err, code)` installs an az that notes what it is given, says this and ends so."""

    def install(out: str = "", err: str = "", code: int = 0) -> Path:
        folder = tmp_path / "az"
        folder.mkdir(exist_ok=True)
        for name, text in (("out", out), ("err", err), ("code", str(code)), ("az", AZ.format(folder=folder))):
            (folder / name).write_text(text)
        (folder / "az").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return folder

    return install


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "acct")
    monkeypatch.setenv("AZURE_STORAGE_KEY", TEXT)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "a.html"
    path.write_text("hello")
    return path


def put(page: Path, **metadata: str) -> places.Stored:
    return objects.put(PLACE, "daily/a.html", page, content_type="text/html", metadata=metadata, timeout=20)


def head(page: Path, **changes: str) -> dict[str, str]:
    known = transfers.measured(page)
    said = {
        "Content-Length": str(known.bytes),
        "Last-Modified": "Sat, 31 Jan 2026 00:00:00 GMT",
        "Content-MD5": sums.md5_header(known),
        "x-ms-meta-sha256": known.sha256,
        "x-ms-meta-daglab_export_id": "x-1",
    }
    return {**said, **changes}


def test_signatures_are_those_of_azures_own_library() -> None:
    link = shared_keys.link_query("acct", KEY, "box", "a b/é+.html", "2026-01-31T00:00:00Z", https=True)
    signature = "UEo%2Bc3Chn2az2O6rSZCEEoSyvUsIxe4jWD2CQqv9fyg%3D"
    assert link == f"se=2026-01-31T00%3A00%3A00Z&sp=r&spr=https&sv=2021-12-02&sr=b&sig={signature}"
    headers = {
        "x-ms-date": "Sat, 31 Jan 2026 00:00:00 GMT",
        "x-ms-meta-a1": "1",
        "x-ms-meta-a_b": "2",
        "Content-Length": "5",
        "Content-MD5": "XUFAKrxLKna5cZ2REBfFkg==",
    }
    url = "https://acct.blob.core.windows.net/box/a%20b?comp=x&restype=y%2Fz"
    header = shared_keys.authorization("acct", KEY, "PUT", url, headers)
    assert header == "SharedKey acct:9TZG8XAfCmKo/LpmPxXXxfJ0khxhuzPhA4+8G/nx9zI="


@pytest.mark.parametrize(
    ("variables", "endpoint", "key", "sas"),
    [
        ({"ACCOUNT": "acct", "KEY": TEXT}, "https://acct.blob.core.windows.net", KEY, None),
        ({"KEY": TEXT}, "https://acct.blob.core.windows.net", KEY, None),
        ({"SAS_TOKEN": "?sv=1&sig=abcdefgh"}, "https://acct.blob.core.windows.net", None, "sv=1&sig=abcdefgh"),
        ({"KEY": TEXT, "SERVICE_ENDPOINT": "http://h:1/acct/"}, "http://h:1/acct", KEY, None),
        (
            {"CONNECTION_STRING": f"AccountName=acct;AccountKey={TEXT};EndpointSuffix=core.chinacloudapi.cn"},
            "https://acct.blob.core.chinacloudapi.cn",
            KEY,
            None,
        ),
        (
            {"CONNECTION_STRING": "BlobEndpoint=https://acct.z1.example;SharedAccessSignature=sv=1&sig=abcdefgh"},
            "https://acct.z1.example",
            None,
            "sv=1&sig=abcdefgh",
        ),
        (
            {"CONNECTION_STRING": "AccountName=other;AccountKey=AAAA", "KEY": TEXT},
            "https://acct.blob.core.windows.net",
            KEY,
            None,
        ),
    ],
    ids=["key", "key alone", "sas", "endpoint", "connection", "connection with sas", "another account's connection"],
)
def test_credentials_are_found_in_azs_own_variables(
    variables: dict[str, str], endpoint: str, key: bytes | None, sas: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(f"AZURE_STORAGE_{name}", text)
    found = azure_accounts.account("acct")
    assert (found.endpoint, found.key, found.sas) == (endpoint, key, sas)
    assert TEXT not in repr(found)
    assert "abcdefgh" not in repr(found)
    for secret in (TEXT if key else "abcdefgh", azure_accounts.variables("acct")["AZURE_STORAGE_CONNECTION_STRING"]):
        assert redaction.clean(f"<{secret}>") == "<***>"


def test_credentials_are_found_in_azs_config_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"[storage]\naccount = acct\nkey = {TEXT}\n")
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path))
    assert azure_accounts.account("acct").key == KEY
    (tmp_path / "config").write_bytes(b"\xff[torn")
    with pytest.raises(errors.NotSetUp, match="no credentials"):
        azure_accounts.account("acct")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "no credentials"),
        ({"ACCOUNT": "other", "KEY": TEXT}, "for the account other, not acct"),
        ({"CONNECTION_STRING": f"AccountName=other;AccountKey={TEXT}"}, "for the account other, not acct"),
        ({"KEY": "not base64!"}, "not base64"),
        ({"SAS_TOKEN": "sig=a\nb"}, "is none"),
        ({"KEY": TEXT, "SERVICE_ENDPOINT": "ftp://x"}, "is none"),
        ({"KEY": TEXT, "SERVICE_ENDPOINT": "https://me:pass@x"}, "is none"),
    ],
)
def test_what_is_no_credential_of_the_account_is_said_and_not_used(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(f"AZURE_STORAGE_{name}", text)
    with pytest.raises(errors.NotSetUp, match=said) as problem:
        azure_accounts.account("acct")
    assert "az login" in str(problem.value.hint) or "C" in str(problem.value.hint)
    assert TEXT not in problem.value.message


@pytest.mark.usefixtures("no_programs", "key")
@responses.activate
def test_an_upload_is_sent_again_with_the_same_key_until_it_is_taken(page: Path) -> None:
    responses.put(URL, status=503, headers={"Retry-After": "0"})
    taken = responses.put(URL, status=201)
    responses.head(URL, headers=head(page))
    stored = put(page, **{"daglab-export-id": "x-1"})
    assert (stored.address, stored.link, stored.via) == ("az://acct/box/daily/a.html", URL, "http")
    sent = taken.calls[0].request.headers
    assert sent["x-ms-blob-content-type"] == "text/html"
    assert sent["Content-MD5"] == sent["x-ms-blob-content-md5"] == "XUFAKrxLKna5cZ2REBfFkg=="
    assert sent["x-ms-meta-daglab_export_id"] == "x-1"


@pytest.mark.usefixtures("no_programs", "key")
@responses.activate
def test_a_lost_answer_is_settled_by_what_lies_there(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daglab.web.delay", lambda *_: 0)
    responses.put(URL, body=requests.ConnectionError("broken off"))
    looked = responses.head(URL, headers=head(page))
    assert put(page).sha256 == transfers.measured(page).sha256
    for changes in ({"x-ms-meta-sha256": "0" * 64}, {"Content-Length": "6"}, {"Content-MD5": "AAAA"}):
        responses.replace(responses.HEAD, URL, headers=head(page, **changes))
        with pytest.raises(errors.OutcomeUnknown, match="lost"):
            put(page)
    responses.remove(looked)
    responses.head(URL, status=404)
    with pytest.raises(errors.OutcomeUnknown, match="lost"):
        put(page)


@pytest.mark.usefixtures("no_programs", "key")
@responses.activate
def test_what_was_taken_and_differs_after_is_an_unknown_outcome(page: Path) -> None:
    responses.put(URL, status=201)
    responses.head(URL, headers=head(page, **{"x-ms-meta-sha256": "0" * 64}))
    with pytest.raises(errors.OutcomeUnknown, match="something else"):
        put(page)
    responses.replace(responses.HEAD, URL, status=403)  # who may write need not be let in to read
    assert put(page).via == "http"
    responses.replace(responses.HEAD, URL, headers={"Content-Length": "x"})
    with pytest.raises(errors.OutcomeUnknown, match="can't be looked at"):
        put(page)


@pytest.mark.usefixtures("no_programs")
def test_without_program_and_credentials_both_ways_are_named(page: Path) -> None:
    with pytest.raises(errors.NotSetUp) as problem:
        put(page)
    assert "(az) is not installed" in problem.value.message
    assert "no credentials for the storage account acct" in problem.value.message
    assert "az login" in str(problem.value.hint)
    assert "AZURE_STORAGE_CONNECTION_STRING" in str(problem.value.hint)


@pytest.mark.usefixtures("key")
@responses.activate
def test_az_gets_the_key_by_a_variable_and_no_other_secret(
    az: Callable[..., Path], page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redaction.hide("a-token-of-dagster")
    monkeypatch.setenv("SOME_TOKEN", "a-token-of-dagster")
    folder = az()
    responses.head(URL, headers=head(page))
    assert put(page, by="me and you").via == "az"
    words, env = (folder / "words").read_text(), (folder / "env").read_text()
    assert TEXT not in words
    assert f"AccountKey={TEXT}" in env
    assert "a-token-of-dagster" not in env
    assert "AZURE_CORE_COLLECT_TELEMETRY=0" in env
    for word in ("--name=daily/a.html", "--content-type=text/html", "--overwrite=true", "by=me and you"):
        assert word in words.split("\n")
    assert "--auth-mode" not in words


@pytest.mark.usefixtures("key")
@responses.activate
@pytest.mark.parametrize("said", ["Please run 'az login' to setup account.", "Traceback: no module named azure", ""])
def test_an_az_that_can_t_is_made_up_for_by_plain_http(az: Callable[..., Path], page: Path, said: str) -> None:
    az(err=said, code=1)
    responses.put(URL, status=201)
    responses.head(URL, headers=head(page))
    assert put(page).via == "http"


@pytest.mark.usefixtures("key")
@responses.activate
def test_what_az_would_take_for_a_file_is_not_given_to_it(az: Callable[..., Path], page: Path) -> None:
    folder = az()
    responses.put(URL, status=201)
    responses.head(URL, headers=head(page))
    assert put(page, by="@/etc/passwd").via == "http"
    assert not (folder / "words").exists()


@pytest.mark.usefixtures("key")
@responses.activate
def test_an_az_that_was_cut_off_is_settled_by_what_lies_there(az: Callable[..., Path], page: Path) -> None:
    az(err="Connection aborted.", code=1)
    responses.head(URL, headers=head(page))
    assert put(page).sha256 == transfers.measured(page).sha256
    responses.replace(responses.HEAD, URL, status=404)
    with pytest.raises(errors.OutcomeUnknown, match="Connection aborted"):
        put(page)


@pytest.mark.usefixtures("key")
@responses.activate
def test_an_az_that_hangs_is_ended_and_what_lies_there_tells(az: Callable[..., Path], page: Path) -> None:
    folder = az()
    (folder / "az").write_text("#!/bin/sh\nexec /bin/sleep 600\n")
    responses.head(URL, status=404)
    with pytest.raises(errors.OutcomeUnknown, match=r"az has not ended within 0\.5 s"):
        objects.put(PLACE, "daily/a.html", page, content_type="text/html", timeout=0.5)
    responses.replace(responses.HEAD, URL, headers=head(page))
    stored = objects.put(PLACE, "daily/a.html", page, content_type="text/html", timeout=0.5)
    assert stored.sha256 == transfers.measured(page).sha256


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ERROR: Please run 'az login' to setup account.", errors.NotSetUp),
        ("ERROR: something that nobody knows\nsig=abcdefghijkl", errors.NotSetUp),
        ("ErrorCode:AuthenticationFailed", errors.NotAuthorised),
        ("You do not have the required permissions needed to perform this operation.", errors.NotAuthorised),
        ("ErrorCode:AuthorizationPermissionMismatch", errors.NotAuthorised),
        ("ErrorCode:ContainerNotFound", errors.InvalidInput),
        ("Failed to establish a new connection: [Errno 111] Connection refused", errors.Unreachable),
        ("ErrorCode:ServerBusy", errors.Unreachable),
    ],
)
def test_why_az_has_failed(az: Callable[..., Path], said: str, kind: type[errors.DaglabError]) -> None:
    az(err=said, code=1)
    for use in (azure_program.look, azure_program.delete):
        with pytest.raises(kind) as problem:
            use(PLACE, "daily/a.html")
        assert type(problem.value) is kind
        assert "abcdefghijkl" not in problem.value.message
    with pytest.raises(kind):
        azure_program.listing(PLACE)


def test_a_login_signs_for_seven_days_at_most(az: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=1&sp=rw&sig=of-the-environment")  # signs nothing
    folder = az(out='"se=2026-01-31T00%3A00%3A00Z&skoid=x&sp=r&sig=abcdefgh%3D"')
    signed = objects.sign(PLACE, "daily/a b.html", 3600)
    assert signed.url == (
        "https://acct.blob.core.windows.net/box/daily/a%20b.html"
        "?se=2026-01-31T00%3A00%3A00Z&skoid=x&sp=r&sig=abcdefgh%3D"
    )
    assert "abcdefgh" not in redaction.clean(signed.url)
    assert "of-the-environment" not in (folder / "env").read_text()
    words = (folder / "words").read_text().split("\n")
    assert {"--as-user", "--auth-mode=login", "--permissions=r", "--account-name=acct"} <= set(words)
    with pytest.raises(errors.InvalidInput, match="7 days"):
        objects.sign(PLACE, "daily/a.html", 604_801)
    az(out='"<script>"')
    with pytest.raises(errors.Unreachable):
        objects.sign(PLACE, "daily/a.html", 60)


@pytest.mark.usefixtures("no_programs")
def test_a_key_signs_for_any_time_and_a_shared_access_signature_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=1&sp=rw&sig=abcdefgh")
    with pytest.raises(errors.NotSetUp, match="can't sign links") as problem:
        objects.sign(PLACE, "daily/a.html", 60)
    assert "abcdefgh" not in f"{problem.value.message} {problem.value.hint}"
    monkeypatch.setenv("AZURE_STORAGE_KEY", TEXT)
    week, year = (objects.sign(PLACE, "daily/a.html", days * 86_400) for days in (7, 365))
    assert week.note is None
    assert "new key" in str(year.note)
    assert (year.expires_at - week.expires_at).days in (357, 358)


@pytest.mark.usefixtures("no_programs", "key")
def test_what_has_to_be_known_of_a_link_is_said_before_the_notebook_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(objects, "check", lambda place: f"{place} answers")
    uploads.check(PLACE, 3600)
    assert caplog.text == ""
    uploads.check(PLACE, 8 * 86_400)
    assert "Only a new key of the account ends it earlier." in caplog.text


@responses.activate
@pytest.mark.usefixtures("no_programs", "key")
@pytest.mark.parametrize("body", ["", "<torn", "<a><Blob><Name>x</Name></Blob></a>", '{"x": 1}'])
def test_a_listing_that_can_t_be_read_is_no_empty_one(body: str) -> None:
    responses.get("https://acct.blob.core.windows.net/box", body=body)
    with pytest.raises(errors.Unreachable):
        list(objects.listing(PLACE))


def test_the_environment_of_az_has_one_credential_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCOUNT", "KEY", "SAS_TOKEN", "AUTH_MODE", "SERVICE_ENDPOINT"):
        monkeypatch.setenv(f"AZURE_STORAGE_{name}", "other")
    said: dict[str, Any] = azure_accounts.variables("acct")
    assert set(said) >= {name for name in os.environ if name.startswith("AZURE_STORAGE_")}
    assert not any(said.values())
