"""From `daglab export --upload --sign` to `daglab exports expire`, over each store that there is a server of.

One walk for all of them, through the commands. Afterwards no key and no signature stands in anything that was printed,
said to another program, or written, but the signed links in the record, which is for the user alone.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import shutil
import stat
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab.attaching import attach
from daglab.exported import export_record
from daglab.storage import objects, places, shared_keys, sigv4
from tests import tiers

pytestmark = pytest.mark.long

ACCOUNT = "devstoreaccount1"  # Azurite's
HTML = "text/html; charset=utf-8"
MARK = "Orders of the night"
NOTEBOOK = f"""
import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    mo.md("# {MARK}")
    return
"""
NAMES = ("kept", "gone", "changed")
OVER = "2020-01-01T00:00:00+00:00"

Cli = Callable[..., Any]


@dataclass
class Kind:
    """A store to walk over: where, by which way uploads go, and what must show nowhere.

    `signs` is whether links can be signed with what is known here, `checks` whether the server looks at signatures,
    `packs` whether it keeps what is compressed as it comes.
    """

    place: places.Place
    url: str
    via: str
    secrets: list[str]
    signs: bool = True
    checks: bool = True
    packs: bool = True


@dataclass
class Walk:
    """A project, how daglab is run in it, and all that was printed so far."""

    root: Path
    cli: Cli
    said: list[str] = field(default_factory=list)

    def run(self, *words: str, code: int = 0, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Run daglab with all that it says, and give its document."""
        done = self.cli(*words, "--json", "--verbose", env=env)
        self.said += [done.stdout, done.stderr]
        assert done.exit_code == code, (words, done.stdout, done.stderr)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def line(self, name: str) -> dict[str, Any]:
        """What the record says of an export."""
        [found] = [each for each in export_record.read(self.root) if Path(each["output"]).name.startswith(f"{name}.")]
        return found


@pytest.fixture
def walk(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Walk:
    root = tmp_path / "project"
    (root / ".daglab").mkdir(parents=True)
    (root / "daglab.yaml").write_text("dagster: {url: 'http://127.0.0.1:9'}\nlogging: {level: DEBUG}\n")
    monkeypatch.setenv("DAGLAB_LOGGING__FILE", str(root / "daglab.log"))
    for name in (*NAMES, "packed"):
        (root / f"{name}.py").write_text(NOTEBOOK)
    monkeypatch.chdir(root)
    return Walk(root, cli)


@pytest.fixture
def program(tmp_path: Path, server_program: Callable[[str], str], only_programs: Callable[..., Any]) -> Any:
    """`program("clients/bin/aws")` is the only one on PATH, and notes what it is called with; none without a name."""

    def only(name: str | None = None) -> Path:
        log = tmp_path / "arguments"
        folder = Path(only_programs(*filter(None, [shutil.which("bash"), shutil.which("dirname")]))["PATH"])
        if name:
            path = name if name.startswith("/") else server_program(name)
            said = f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{log}"\nexec "{path}" "$@"\n'
            (folder / Path(path).name).write_text(said)
            (folder / Path(path).name).chmod(0o755)
        if name and name.startswith("/"):  # gcloud is a script that calls what a system has
            os.environ["PATH"] += f"{os.pathsep}/usr/bin{os.pathsep}/bin"
        return log

    return only


def s3(store: Any, program: Any, monkeypatch: pytest.MonkeyPatch, name: str | None) -> Kind:
    program(name)
    for variable, text in store.env.items():
        monkeypatch.setenv(variable, text)
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    keys = sigv4.Keys(store.env["AWS_ACCESS_KEY_ID"], store.env["AWS_SECRET_ACCESS_KEY"])
    url, now = f"{store.url}/{bucket}", datetime.now(timezone.utc)
    headers = sigv4.signed_headers(keys, store.env["AWS_REGION"], "PUT", url, {}, sigv4.EMPTY, now)
    requests.put(url, headers=headers, timeout=60).raise_for_status()
    place = places.Place("s3", bucket, "réports/nightly")
    return Kind(place, url, "aws" if name else "http", [keys.secret], checks=name is None)


def azure(store: Any, program: Any, monkeypatch: pytest.MonkeyPatch, name: str | None) -> Kind:
    program(name)
    for variable, text in store.env.items():
        monkeypatch.setenv(variable, text)
    monkeypatch.setenv("AZURE_CONFIG_DIR", os.environ["HOME"] + "/azure")
    text = store.env["AZURE_STORAGE_CONNECTION_STRING"].partition("AccountKey=")[2].partition(";")[0]
    container = f"c{uuid.uuid4().hex[:12]}"
    url = f"{store.url}/{container}?restype=container"
    headers = {"x-ms-date": f"{datetime.now(timezone.utc):%a, %d %b %Y %H:%M:%S GMT}", "x-ms-version": "2021-12-02"}
    headers["Authorization"] = shared_keys.authorization(ACCOUNT, base64.b64decode(text), "PUT", url, headers)
    requests.put(url, headers=headers, timeout=60).raise_for_status()
    place = places.Place("az", container, "réports/nightly", ACCOUNT)
    return Kind(place, f"{store.url}/{container}", "az" if name else "http", [text])


def google(store: Any, program: Any, monkeypatch: pytest.MonkeyPatch, who: str) -> Kind:
    """With an OAuth token, a service account's key, or gcloud as the user of an emulator and such a key for links."""
    program(shutil.which("gcloud") if who == "gcloud" else None)
    monkeypatch.setenv("CLOUDSDK_CONFIG", os.environ["HOME"] + "/gcloud")
    bucket, secrets = f"b{uuid.uuid4().hex[:12]}", []
    answer = requests.post(f"{store.url}/storage/v1/b?project=p", json={"name": bucket}, timeout=60)
    answer.raise_for_status()
    if who == "gcloud":
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", store.url)
    else:
        monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", f"{store.url}/")
    if who == "token":
        secrets = ["ya29.s3cret-token"]
        monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN", secrets[0])
    else:
        words = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
        key = subprocess.run(words, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}).stdout
        path = Path(os.environ["HOME"]).parent / f"{bucket}.json"
        said = {"type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key": key}
        path.write_text(json.dumps(said))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        secrets = key.splitlines()[1:-1]
    place = places.Place("gs", bucket, "réports/nightly")
    via = "gcloud" if who == "gcloud" else "http"
    # fake-gcs-server unpacks what comes to a signed address, and daglab says that other bytes lie there.
    packs = who != "key"
    return Kind(place, f"{store.url}/{bucket}", via, secrets, signs=who != "token", checks=False, packs=packs)


def folder(program: Any, path: Path) -> Kind:
    program()
    path.mkdir()
    return Kind(places.parse(f"file://{path}"), "", "file", [], signs=False)


STORES = ["s3", "s3 by aws", "azure", "azure by az", "gcs by token", "gcs by key", "gcs by gcloud", "folder"]


@pytest.fixture
def store(
    request: pytest.FixtureRequest, program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, walk: Walk
) -> Kind:
    """Each store with each way to it, and nothing of the other ways."""
    name = request.param
    get = request.getfixturevalue
    if name == "gcs by gcloud" and not shutil.which("gcloud"):
        pytest.skip("gcloud is not installed")  # nothing here could install it, so no run can require it
    if name.startswith("s3"):
        by_program = name == "s3 by aws"
        return s3(
            get("moto_server" if by_program else "s3_server"),
            program,
            monkeypatch,
            "clients/bin/aws" if by_program else None,
        )
    if name.startswith("azure"):
        return azure(get("azurite"), program, monkeypatch, "azure-cli/bin/az" if name == "azure by az" else None)
    if name.startswith("gcs"):
        return google(get("gcs_server"), program, monkeypatch, name.rpartition(" ")[2])
    return folder(program, tmp_path / "uploaded")


@pytest.mark.parametrize("store", tiers.few(STORES, ["s3", "folder"]), indirect=True)
def test_an_export_from_its_upload_to_its_end(store: Kind, walk: Walk, tmp_path: Path) -> None:
    place = places.address(store.place, store.place.prefix) if store.place.bucket else f"file://{store.place.prefix}"
    asked = ["--upload", place, *(["--sign", "1h"] if store.signs else [])]
    made = walk.run("export", *(f"{name}.py" for name in NAMES), "--jobs", "2", *asked)["exports"]
    made.append(walk.run("export", "packed.py", *(["--compress"] if store.packs else []), *asked))
    address = {name: each["upload"]["address"] for name, each in zip((*NAMES, "packed"), made, strict=True)}
    for each in made:
        assert each["upload"]["via"] == store.via
        packed = each["output"].endswith(".gz")
        look_at_upload(store, walk, each, "gzip" if packed else None)
    assert walk.run("exports", "verify")["compared"] == {"local": 4, "cloud": 4}
    shown, opened = (walk.run("exports", word, made[0]["id"][:12]) for word in ("show", "open"))
    assert shown["upload"]["address"] == address["kept"]
    assert opened["kind"] == ("signed" if store.signs else "file")

    if store.signs:
        look_at_links(store, walk, made[0]["id"])

    beside = look_at_differences(store, walk, address, tmp_path / "stranger.html")
    look_at_retention(store, walk, address, beside)
    look_for_secrets(store, walk)


def look_at_differences(store: Kind, walk: Walk, address: Mapping[str, str], stranger: Path) -> str:
    """What is removed, what was changed, and what a stranger has put beside it; the address of that."""
    stranger.write_text("marimo, and a stranger's")
    beside = address["kept"].replace("kept.html", "stranger.html")
    for at in (address["changed"], beside):
        objects.put(*places.located(at), stranger, content_type="text/html", timeout=60)
    assert objects.delete(*places.located(address["gone"]))
    found = walk.run("exports", "verify", code=4)
    assert sorted((each["kind"], each["place"]) for each in found["differences"]) == sorted(
        [("missing", address["gone"]), ("changed", address["changed"]), ("orphan", beside)]
    )
    if store.signs:
        refused = walk.run("exports", "resign", walk.line("changed")["id"], code=4)
        assert refused["renewed"] == []
    return beside


def look_at_retention(store: Kind, walk: Walk, address: Mapping[str, str], beside: str) -> None:
    """What is over goes where it is as it was made, and nothing else."""
    for name in ("kept", "gone", "changed", "packed"):
        export_record.amend(walk.root, walk.line(name)["id"], expires_at=OVER)
    named = []  # a folder outside of the project is to be named
    if store.place.scheme == "file":
        named = ["--folder", str(Path(address["kept"].removeprefix("file://")).parent)]
    dry = walk.run("exports", "expire", "--dry-run", *named)
    done = walk.run("exports", "expire", "--yes", *named)
    assert done["removed"] == dry["removed"]
    in_cloud = {each["place"] for each in done["removed"] if each["where"] == "cloud"}
    assert in_cloud == {address["kept"], address["packed"]}
    assert [each["place"] for each in done["kept"]] == [address["changed"]]
    assert objects.look(*places.located(address["kept"])) is None
    left = {places.address(store.place, each.key) for each in objects.listing(store.place)}
    assert left == {address["changed"], beside}
    assert [path for path in (walk.root / "exports").rglob("*") if path.is_file()] == []
    assert walk.run("exports", "expire", "--yes", *named)["removed"] == []


def look_at_upload(store: Kind, walk: Walk, made: Mapping[str, Any], encoding: str | None) -> None:
    """The object as it is on record, and as whoever has the link gets it."""
    upload, output = made["upload"], walk.root / made["output"]
    assert (upload["content_type"], upload["content_encoding"]) == (HTML, encoding)
    assert upload["bytes"] == output.stat().st_size
    line = walk.line(output.name.partition(".")[0])
    if not store.url:
        assert Path(upload["address"].removeprefix("file://")).read_bytes() == output.read_bytes()
        return
    answer = requests.get(line["signed"]["url"] if store.signs else line["link"], timeout=60)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == HTML
    assert MARK in answer.text
    if answer.headers.get("Content-Encoding") == encoding:
        assert answer.text == (gzip.decompress(output.read_bytes()) if encoding else output.read_bytes()).decode()
    else:  # as Cloud Storage does: unpacked on the way to who does not take gzip
        assert store.place.scheme == "gs"


def look_at_links(store: Kind, walk: Walk, identity: str) -> None:
    """A link that was tampered with, that has expired, and that was renewed."""
    first = walk.line("kept")["signed"]["url"]
    walk.run("exports", "resign", identity, "--sign", "1s")
    short = walk.line("kept")["signed"]["url"]
    [renewed] = walk.run("exports", "resign", "--within", "30m", "--sign", "2h")["renewed"]
    line = walk.line("kept")
    assert (renewed["id"], renewed["expires_at"]) == (identity, line["signed"]["expires_at"])
    assert len({first, short, line["signed"]["url"]}) == 3
    assert MARK in requests.get(line["signed"]["url"], timeout=60).text
    assert walk.run("exports", "resign", "--within", "30m")["renewed"] == []
    if not store.checks:
        return
    wait_for_refusal(short)
    url = line["signed"]["url"]
    name, signature = re.search(r"[?&](X-Amz-Signature|sig)=([^&]+)", url).groups()  # type: ignore[union-attr]
    other = ("b" if signature[0] == "a" else "a") + signature[1:]
    for tampered in (url.replace(signature, other), url.replace("kept.html", "changed.html")):
        assert tampered != url
        assert requests.get(tampered, timeout=60).status_code == 403, name
    assert requests.get(url.partition("?")[0], timeout=60).status_code in (403, 404)


def wait_for_refusal(url: str) -> None:
    deadline = time.monotonic() + 30
    while requests.get(url, timeout=30).status_code != 403:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def look_for_secrets(store: Kind, walk: Walk) -> None:
    """No key in anything that was printed, said to a program, or written; signatures in the record alone."""
    record = walk.root / export_record.FILE
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    signatures = set(re.findall(r"(?:Signature|sig)=([^&\"\\]+)", record.read_text()))
    assert bool(signatures) == store.signs
    texts = dict(enumerate(walk.said)) | texts_below(walk.root) | texts_below(walk.root.parent / "arguments")
    if store.via not in ("http", "file"):
        assert (walk.root.parent / "arguments").read_text().count("\n") > 20
    for where, text in texts.items():
        hidden = [*store.secrets, *([] if where == str(record) else signatures)]
        for secret in hidden:
            for form in {secret, requests.utils.quote(secret, safe=""), base64.b64encode(secret.encode()).decode()}:
                assert form not in text, (where, form)


def texts_below(path: Path) -> dict[str, str]:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return {str(each): each.read_text(errors="replace") for each in files}


def test_what_went_to_a_presigned_address_is_out_of_sight(
    walk: Walk, s3_place: places.Place, only_programs: Callable[..., Any], s3_server: Any
) -> None:
    only_programs()
    keys = sigv4.Keys(s3_server.env["AWS_ACCESS_KEY_ID"], s3_server.env["AWS_SECRET_ACCESS_KEY"])
    where, now = f"{s3_server.url}/{s3_place.bucket}/in/kept.html", datetime.now(timezone.utc)
    url = sigv4.signed_url(keys, s3_server.env["AWS_REGION"], "PUT", where, 600, now)
    for name in s3_server.env:
        os.environ.pop(name)
    made = walk.run("export", "kept.py", "--upload", url)
    assert made["upload"]["address"] == made["link"] == where
    answer = requests.get(sigv4.signed_url(keys, s3_server.env["AWS_REGION"], "GET", where, 60, now), timeout=60)
    assert (answer.headers["Content-Type"], answer.content) == (HTML, (walk.root / made["output"]).read_bytes())
    assert walk.run("exports", "verify")["out_of_sight"] == [where]
    walk.run("exports", "resign", made["id"], code=7)
    export_record.amend(walk.root, made["id"], expires_at=OVER)
    done = walk.run("exports", "expire", "--yes")
    assert [each["where"] for each in done["removed"]] == ["local"]
    assert [each["place"] for each in done["kept"]] == [where]
    expired = sigv4.signed_url(keys, s3_server.env["AWS_REGION"], "PUT", where, 600, now - timedelta(hours=1))
    walk.run("export", "kept.py", "--upload", expired, code=6)
    kind = Kind(s3_place, "", "http", [each.rpartition("=")[2] for each in (url, expired)], signs=False)
    look_for_secrets(kind, walk)


def test_a_link_is_made_attached_and_renewed(
    walk: Walk, azurite: Any, deployment: Any, program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = azure(azurite, program, monkeypatch, None)
    (walk.root / "daglab.yaml").write_text(f"dagster: {{url: '{deployment.url}'}}\n")
    asked = ["--upload", places.address(kind.place, kind.place.prefix), "--sign", "1h"]
    made = walk.run("export", "kept.py", "--attach", "asset:raw_orders", "--via", "rest", *asked)
    first = walk.line("kept")["signed"]["url"]
    [renewed] = walk.run("exports", "resign", "--within", "2h", "--sign", "5h")["renewed"]
    assert (renewed["id"], renewed["attached"]) == (made["id"], ["asset:raw_orders"])
    second = walk.line("kept")["signed"]["url"]
    shown = requests.post(
        f"{deployment.url}/graphql",
        json={"query": attach.OBSERVATIONS_QUERY, "variables": {"key": {"path": ["raw_orders"]}, "limit": 2}},
        timeout=60,
    ).json()
    told = json.dumps(attach.parse_observations(shown["data"]))
    assert first in told
    assert second in told
    assert told.index(second) < told.index(first)  # the newest first
    assert MARK in requests.get(second, timeout=60).text
    export_record.amend(walk.root, made["id"], expires_at=OVER)
    done = walk.run("exports", "expire", "--yes")
    assert (done["removed"], done["asked_dagster"], len(done["kept"])) == ([], True, 2)
    assert len(walk.run("exports", "expire", "--yes", "--even-latest")["removed"]) == 2
    look_for_secrets(kind, walk)
