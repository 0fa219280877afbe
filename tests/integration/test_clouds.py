"""Azure and Google: signatures as the providers' own libraries make them, and their stores' stand-ins."""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import errors
from daglab.storage import gcs_json, google_accounts, google_keys, objects, places, shared_keys

pytestmark = pytest.mark.long

ACCOUNT = "devstoreaccount1"
NAME = "a+b%20?é &=~,;'(x).html"
HTML = "text/html; charset=utf-8"

# Each reads a list of cases as JSON and prints what the provider's library makes of each.
AZURE_ORACLE = """
import json, sys
from datetime import datetime
from types import SimpleNamespace
from azure.core.pipeline.transport import HttpRequest
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy
from azure.storage.blob._shared_access_signature import BlobSharedAccessSignature
answers = []
for case in json.load(sys.stdin):
    signer = BlobSharedAccessSignature(case["account"], case["key"])
    signer.x_ms_version = case["version"]
    expiry = datetime.fromisoformat(case["expiry"].replace("Z", "+00:00"))
    protocol = "https" if case["https"] else None
    link = signer.generate_blob(case["container"], case["blob"], permission="r", expiry=expiry, protocol=protocol)
    request = HttpRequest(case["method"], case["url"], headers=case["headers"])
    policy = SharedKeyCredentialPolicy(case["account"], case["key"])
    policy.on_request(SimpleNamespace(http_request=request, context=SimpleNamespace(transport=None)))
    answers.append([link, request.headers["Authorization"]])
print(json.dumps(answers))
"""
# google-cloud-storage signs with RSA alone. botocore's Signature V4 is the same but for the words, which are exchanged.
GOOGLE_ORACLE = """
import inspect, json, sys, types
import botocore.auth, botocore.awsrequest, botocore.credentials
from google.cloud.storage import _signing
from google.oauth2 import service_account
source = inspect.getsource(botocore.auth)
for old, new in (("X-Amz-", "X-Goog-"), ("AWS4", "GOOG4"), ("aws4_request", "goog4_request")):
    source = source.replace(old, new)
module = types.ModuleType("google_auth")
exec(source, module.__dict__)
answers, known = [], {}
for case in json.load(sys.stdin):
    info = {"client_email": case["email"], "private_key": case["pem"], "token_uri": "https://nowhere.invalid"}
    who = known.get(case["pem"]) or service_account.Credentials.from_service_account_info(info)
    known[case["pem"]] = who
    path = case["url"].partition("://")[2].partition("/")[2]
    rsa = _signing.generate_signed_url_v4(
        who, "/" + path, case["seconds"],
        api_access_endpoint=case["url"][: -len(path) - 1], method=case["method"], headers=dict(case["headers"]),
        query_parameters=dict(case["query"]), _request_timestamp=case["stamp"])
    auth = module.S3SigV4QueryAuth(
        botocore.credentials.Credentials(case["access"], case["secret"]), "storage", "auto", case["seconds"])
    request = botocore.awsrequest.AWSRequest(
        case["method"], case["url"], headers=dict(case["headers"]), params=dict(case["query"]))
    request.context["timestamp"] = case["stamp"]
    module.get_current_datetime = lambda remove_tzinfo=True: module.datetime.datetime.strptime(
        case["stamp"], "%Y%m%dT%H%M%SZ")
    auth.add_auth(request)
    answers.append([rsa, request.url.rpartition("X-Goog-Signature=")[2]])
print(json.dumps(answers))
"""

LETTERS = "abcXYZ0189 -_.~/+&=%?#äß漢😀'()*,;:@!$"


def ask(program: str, cases: list[dict[str, Any]], python: Path) -> list[list[str]]:
    """What a provider's own library makes of the cases, in a process of its own."""
    command = [str(python), "-I", "-c", program]
    done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    answers: list[list[str]] = json.loads(done.stdout)
    assert len(answers) == len(cases)
    return answers


@pytest.fixture
def python(server_program: Callable[[str], str]) -> Path:
    """The Python that has the providers' libraries."""
    return Path(server_program("clients/bin/moto_server")).with_name("python")


def some_text(chance: random.Random, letters: str = LETTERS, least: int = 1) -> str:
    return "".join(chance.choice(letters) for _ in range(chance.randint(least, 40))).strip(" /.") or "x"


def some_date(chance: random.Random) -> datetime:
    return datetime.fromtimestamp(chance.randint(1_500_000_000, 2_500_000_000), timezone.utc)


def rsa_key() -> str:
    """A service account's key, as Google's files have it."""
    words = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_azures_links_and_headers_are_signed_as_its_own_library_signs_them(python: Path) -> None:
    chance = random.Random(8)
    cases = []
    for _ in range(500):
        size = chance.choice([0, 1, 70_000])
        blob, container = some_text(chance), some_text(chance, "abcxyz0189")
        words = {f"x-ms-meta-{some_text(chance, 'abcz019_')}": some_text(chance, "ab 1;=") for _ in range(3)}
        query = chance.choice(["", "?restype=container&comp=list&prefix=a%2Fb%20%26&marker=2%21x%3D"])
        cases.append(
            {
                "account": some_text(chance, "abcxyz0189"),
                "key": base64.b64encode(chance.randbytes(chance.choice([32, 64]))).decode(),
                "version": shared_keys.VERSION,
                "container": container,
                "blob": blob,
                "expiry": f"{some_date(chance):%Y-%m-%dT%H:%M:%SZ}",
                "https": chance.random() < 0.5,
                "method": chance.choice(["GET", "PUT", "HEAD", "DELETE"]),
                "url": f"https://a.blob.core.windows.net/{container}/{requests.utils.quote(blob)}{query}",
                "headers": {
                    "x-ms-date": f"{some_date(chance):%a, %d %b %Y %H:%M:%S GMT}",
                    "x-ms-version": shared_keys.VERSION,
                    "x-ms-blob-type": "BlockBlob",
                    "x-ms-blob-content-type": HTML,
                    "Content-Length": str(size),
                    **({"Content-MD5": base64.b64encode(chance.randbytes(16)).decode()} if size else {}),
                    **words,
                },
            }
        )
    for case, (link, header) in zip(cases, ask(AZURE_ORACLE, cases, python), strict=True):
        account, key = case["account"], base64.b64decode(case["key"])
        names = case["container"], case["blob"], case["expiry"]
        assert shared_keys.link_query(account, key, *names, https=case["https"]) == link, case
        assert shared_keys.authorization(account, key, case["method"], case["url"], case["headers"]) == header, case


def test_googles_links_are_signed_as_its_own_library_signs_them(python: Path) -> None:
    chance = random.Random(8)
    keys = [{"email": f"me-{number}@project.iam.gserviceaccount.com", "pem": rsa_key()} for number in range(3)]
    cases = [
        {
            **chance.choice(keys),
            "access": f"GOOG1E{some_text(chance, 'ABC01')}",
            "secret": base64.b64encode(chance.randbytes(30)).decode(),
            "method": chance.choice(["GET", "PUT", "HEAD", "DELETE"]),
            "url": chance.choice(["https://storage.googleapis.com", "http://127.0.0.1:4443"])
            + f"/bucket/{requests.utils.quote(some_text(chance), safe='/~')}",
            "seconds": chance.randint(1, 604_800),
            "stamp": f"{some_date(chance):%Y%m%dT%H%M%SZ}",
            "headers": chance.choice([{}, {"content-type": HTML, "x-goog-meta-sha256": some_text(chance, "ab 1")}]),
            "query": chance.choice([{}, {"prefix": some_text(chance), "list-type": "2"}]),
        }
        for _ in range(120)
    ]
    for case, (link, signature) in zip(cases, ask(GOOGLE_ORACLE, cases, python), strict=True):
        at = datetime.strptime(case["stamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        rsa = google_keys.of_rsa(case["email"], case["pem"], "a file")
        words = case["method"], case["url"], case["seconds"], at
        assert google_keys.signed_url(rsa, *words, headers=case["headers"], query=case["query"]) == link, case
        ours = google_keys.of_hmac(case["access"], case["secret"], "a file")
        url = google_keys.signed_url(ours, *words, headers=case["headers"], query=case["query"])
        assert url.rpartition("X-Goog-Signature=")[2] == signature, case


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.html.gz"
    path.write_bytes(gzip.compress(b"<h1>Orders</h1>" * 1000))
    return path


@pytest.fixture
def container(azurite: Any, monkeypatch: pytest.MonkeyPatch) -> places.Place:
    """A container of its own, and the environment that leads there."""
    for name, text in azurite.env.items():
        monkeypatch.setenv(name, text)
    name = f"c{time.time_ns()}"
    key = base64.b64decode(azurite.env["AZURE_STORAGE_CONNECTION_STRING"].partition("AccountKey=")[2].partition(";")[0])
    url = f"{azurite.url}/{name}?restype=container"
    headers = {"x-ms-date": f"{datetime.now(timezone.utc):%a, %d %b %Y %H:%M:%S GMT}", "x-ms-version": "2021-12-02"}
    headers["Authorization"] = shared_keys.authorization(ACCOUNT, key, "PUT", url, headers)
    assert requests.put(url, headers=headers, timeout=30).status_code == 201
    return places.parse(f"az://{ACCOUNT}/{name}/réports/daily")


def put(place: places.Place, path: Path, name: str = NAME, **more: Any) -> places.Stored:
    words: dict[str, Any] = {"content_type": HTML, "metadata": {"daglab-export-id": "x-1"}, "timeout": 120, **more}
    return objects.put(place, places.key(place, name), path, **words)


def wait_for_status(url: str, status: int) -> None:
    deadline = time.monotonic() + 30
    while (seen := requests.get(url, timeout=30).status_code) != status:
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)


def test_a_blob_goes_up_is_linked_and_goes_away_without_az(
    container: places.Place, report: Path, only_programs: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    only_programs()
    assert objects.check(container) == "http, with AZURE_STORAGE_CONNECTION_STRING"
    stored = put(container, report, content_encoding="gzip")
    assert (stored.via, stored.bytes) == ("http", report.stat().st_size)
    found = objects.look(container, stored.key)
    assert found == next(objects.listing(container))
    assert found is not None
    assert found.metadata == {"daglab-export-id": "x-1", "sha256": stored.sha256}
    signed = objects.sign(container, stored.key, 3600)
    answer = requests.get(signed.url, timeout=30)
    assert (answer.status_code, answer.headers["Content-Type"], answer.headers["Content-Encoding"]) == (
        200,
        HTML,
        "gzip",
    )
    assert answer.text.startswith("<h1>Orders")
    assert requests.get(signed.url.replace("sp=r", "sp=rw"), timeout=30).status_code == 403
    assert requests.get(signed.url.replace("daily/", "daily/other"), timeout=30).status_code == 403
    assert requests.get(str(stored.link), timeout=30).status_code in (403, 404)
    assert requests.delete(signed.url, timeout=30).status_code == 403
    wait_for_status(objects.sign(container, stored.key, 1).url, 403)
    put(container, report)  # the same key once more
    assert [found.key for found in objects.listing(container)] == [stored.key]
    query = signed.url.partition("?")[2]  # is a shared access signature, of one right
    monkeypatch.setenv(
        "AZURE_STORAGE_CONNECTION_STRING", f"BlobEndpoint={container_url(stored)};SharedAccessSignature={query}"
    )
    assert objects.look(container, stored.key) is not None
    with pytest.raises(errors.NotAuthorised):
        objects.delete(container, stored.key)


def container_url(stored: places.Stored) -> str:
    return str(stored.link).partition(f"/{ACCOUNT}/")[0] + f"/{ACCOUNT}"


def test_a_deleted_blob_is_gone_and_a_missing_container_is_no_empty_one(
    container: places.Place, report: Path, only_programs: Callable[..., Any]
) -> None:
    only_programs()
    stored = put(container, report)
    assert objects.delete(container, stored.key) is True
    assert objects.delete(container, stored.key) is False
    assert objects.look(container, stored.key) is None
    assert list(objects.listing(container)) == []
    nowhere = places.Place("az", "nosuch", "", ACCOUNT)
    for use in (
        lambda: put(nowhere, report),
        lambda: objects.look(nowhere, "x"),
        lambda: objects.delete(nowhere, "x"),
        lambda: list(objects.listing(nowhere)),
        lambda: objects.check(nowhere),
    ):
        with pytest.raises(errors.InvalidInput, match="no container nosuch"):
            use()


def test_a_listing_of_azure_goes_on_to_its_last_page(
    container: places.Place, report: Path, only_programs: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    only_programs()
    monkeypatch.setattr("daglab.storage.azure.PAGE", 2)
    names = [f"{number}.html" for number in range(5)]
    keys = [put(container, report, name).key for name in names]
    put(places.Place("az", container.bucket, f"{container.prefix}x", ACCOUNT), report)  # a neighbour, not below it
    assert [found.key for found in objects.listing(container)] == keys


def test_a_wrong_key_is_refused_and_is_in_no_error(
    container: places.Place, report: Path, only_programs: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    only_programs()
    wrong = base64.b64encode(b"x" * 64).decode()
    said = os.environ["AZURE_STORAGE_CONNECTION_STRING"].split("AccountKey=")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"{said[0]}AccountKey={wrong};{said[1].partition(';')[2]}")
    with pytest.raises(errors.NotAuthorised) as refused:
        put(container, report)
    assert wrong not in f"{refused.value!r} {refused.value.hint}"
    wait_for_status(objects.sign(container, "x", 60).url, 403)


@pytest.mark.slow
def test_az_puts_what_plain_http_finds_and_the_other_way_round(
    container: places.Place,
    report: Path,
    server_program: Callable[[str], str],
    only_programs: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    az = server_program("azure-cli/bin/az")
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path / "azure"))
    only_programs(az, *filter(None, [shutil.which("bash"), shutil.which("dirname")]))
    stored = put(container, report, content_encoding="gzip")
    assert stored.via == "az"
    assert requests.get(objects.sign(container, stored.key, 60).url, timeout=30).text.startswith("<h1>Orders")
    # az alone: what plain HTTP would do needs credentials that it can read
    from daglab.storage import azure_program

    seen = azure_program.look(container, stored.key)
    assert seen is not None
    assert seen.found == objects.look(container, stored.key)
    assert azure_program.listing(container) == list(objects.listing(container))
    assert azure_program.delete(container, "nothing") is False
    assert azure_program.delete(container, stored.key) is True
    with pytest.raises(errors.InvalidInput, match="no container"):
        put(places.Place("az", "nosuch", "", ACCOUNT), report)
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    with pytest.raises(errors.NotSetUp) as neither:
        put(places.Place("az", "nosuch", "", "strangers"), report)
    assert "not logged in" in neither.value.message
    assert "no credentials" in neither.value.message


@pytest.fixture
def bucket(gcs_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> places.Place:
    """A bucket of its own, and the environment that leads there as an emulator's user."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url.partition("://")[2])
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    name = f"b{time.time_ns()}"
    answer = requests.post(f"{gcs_server.url}/storage/v1/b?project=p", json={"name": name}, timeout=30)
    assert answer.status_code == 200
    return places.parse(f"gs://{name}/réports/daily")


@pytest.fixture
def service_account(tmp_path: Path) -> Path:
    path = tmp_path / "account.json"
    said = {"type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key": rsa_key()}
    path.write_text(json.dumps(said))
    return path


def test_an_object_goes_to_an_emulator_of_google(
    bucket: places.Place, report: Path, only_programs: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    only_programs()
    assert objects.check(bucket) == "http, with STORAGE_EMULATOR_HOST"
    stored = put(bucket, report, content_encoding="gzip")
    assert stored.via == "http"
    keys = sorted([stored.key, *(put(bucket, report, f"{number}.html").key for number in range(3))])
    monkeypatch.setattr(gcs_json, "PAGE", 2)
    assert sorted(found.key for found in objects.listing(bucket)) == keys
    answer = requests.get(str(stored.link), timeout=30)
    assert (answer.headers["Content-Type"], answer.text[:10]) == (HTML, "<h1>Orders")
    assert objects.delete(bucket, stored.key) is True
    assert objects.delete(bucket, stored.key) is False
    assert objects.look(bucket, stored.key) is None
    for use in (put, lambda place, _path: objects.look(place, "x"), lambda place, _path: list(objects.listing(place))):
        with pytest.raises(errors.InvalidInput, match="no bucket"):
            use(places.Place("gs", "nosuch"), report)
    with pytest.raises(errors.NotSetUp, match="no key"):
        objects.sign(bucket, stored.key, 60)


@pytest.mark.parametrize("kind", ["a service account", "an HMAC key", "a token"])
def test_an_object_goes_to_google_with(
    kind: str,
    gcs_server: Any,
    bucket: places.Place,
    report: Path,
    service_account: Path,
    only_programs: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only_programs()
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", f"{gcs_server.url}/")
    if kind == "a service account":
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account))
    elif kind == "a token":
        monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN", "ya29.some-token")
    else:
        Path("~/.boto").expanduser().write_text(
            "[Credentials]\ngs_access_key_id = G1\ngs_secret_access_key = s3cr/t%\n"
        )
    assert kind == "a token" or isinstance(google_accounts.credentials(), google_keys.Signer)
    stored = put(bucket, report)
    found = objects.look(bucket, stored.key)
    assert found is not None
    assert (found.bytes, found.sha256) == (stored.bytes, stored.sha256)
    assert found.metadata["daglab-export-id"] == "x-1"
    assert [each.key for each in objects.listing(bucket)] == [stored.key]
    if kind != "a token":
        signed = objects.sign(bucket, stored.key, 604_800)
        assert gzip.decompress(requests.get(signed.url, timeout=30).content).startswith(b"<h1>Orders")
        with pytest.raises(errors.InvalidInput, match="7 days"):
            objects.sign(bucket, stored.key, 604_801)
    assert objects.delete(bucket, stored.key) is True
    assert objects.look(bucket, stored.key) is None


def test_gcloud_puts_what_plain_http_finds(bucket: places.Place, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("gcloud"):
        pytest.skip("gcloud is not installed")  # nothing here could install it, so no run can require it
    from daglab.storage import gcs_program

    stored = put(bucket, report, "an öbject.html", content_encoding="gzip", metadata={"list": "a,b=c|d"})
    assert stored.via == "gcloud"
    seen = gcs_program.look(bucket, stored.key)
    assert seen is not None
    assert seen.found == objects.look(bucket, stored.key)
    assert put(bucket, report, "[a]*.html").via == "http"
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    with pytest.raises(errors.NotSetUp) as neither:
        put(bucket, report, "report.html")
    assert "not logged in" in neither.value.message
    assert "no credentials" in neither.value.message
