"""Places and keys, a folder as a place, AWS's variables and files, and what providers' programs are given."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, redaction
from daglab.settings import config
from daglab.storage import aws_program, aws_settings, local, objects, places, programs, s3, sigv4, sums, transfers

Place = places.Place
UNTIL = datetime.now(timezone.utc) + timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("s3://bucket", Place("s3", "bucket")),
        ("s3://bucket/", Place("s3", "bucket")),
        ("s3://my.bucket-1/a b/ü+&?#", Place("s3", "my.bucket-1", "a b/ü+&?#")),
        ("gs://under_score/p/", Place("gs", "under_score", "p")),
        ("az://account1/box/p/q", Place("az", "box", "p/q", "account1")),
        ("az://account1/$web", Place("az", "$web", "", "account1")),
        ("file:///srv/a%20b/", Place("file", prefix="/srv/a b")),
        ("file://localhost/srv", Place("file", prefix="/srv")),
        ("file:///", Place("file", prefix="/")),
    ],
)
def test_places(text: str, place: Place) -> None:
    assert places.parse(text) == place
    key = places.key(place, "day/x ü.html")
    found = places.located(places.address(place, key))
    assert places.address(*found) == places.address(place, key)


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            "s3",
            "s3:/b",
            "ftp://b/k",
            "S3://bucket",
            "s3://",
            "s3://ab",
            "s3://Bucket",
            "s3://a_b_c",
            "s3://1.2.3.4",
        ],
        *["s3://a..b", "s3://-ab", "s3://bucket/../x", "s3://bucket//x", "s3://bucket/a/./b", "s3://bucket/a\x1bb"],
        *["s3://bucket/a\\b", "s3://bucket/a\u202eb", "s3://bucket/" + "x" * 1025, "az://account1", "az://A/box/p"],
        *[
            "az://account1/a--b",
            "gs://goog le",
            "file://srv/x",
            "file:///srv/../etc",
            "file:///a%00b",
            "file:///a%2f..%2fb",
        ],
        *["https://", "https://h:x/k?X-Amz-Signature=1", "https://me:pw@h/k?sig=1", "http://example.com/k?sig=1"],
        *["https://h/k\n?sig=1", "https://h/k?sig=1#x"],
    ],
)
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        places.parse(text)
    assert caught.value.hint
    assert "sig=1" not in caught.value.message


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "../a", "a/../b", ".", "a//b", "a\nb", "a\x00", "\ud800", "a\u2028b", "x" * 1024]
)
def test_what_is_no_key(name: str) -> None:
    with pytest.raises(errors.InvalidInput):
        places.key(Place("s3", "bucket", "p"), name)


@pytest.mark.parametrize("address", ["s3://bucket", "s3://bucket/../x", "file:///", "nonsense", "az://account1/box"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(errors.InvalidInput):
        places.located(address)


def test_a_presigned_address_is_a_secret() -> None:
    url = "https://b.s3.amazonaws.com/k.html?X-Amz-Credential=AKIDX&X-Amz-Signature=abcdef012345&X-Amz-Expires=60"
    place = places.parse(url)
    assert place.secret_url == url
    assert "abcdef" not in repr(place)
    assert places.address(place, "x") == "https://b.s3.amazonaws.com/k.html"
    assert "abcdef" not in redaction.clean(f"PUT {url} failed")
    for call in (
        lambda: objects.look(place, "x"),
        lambda: objects.delete(place, "x"),
        lambda: list(objects.listing(place)),
    ):
        with pytest.raises(errors.NotSetUp):
            call()
    with pytest.raises(errors.InvalidInput):
        objects.sign(place, "x", 60)


def test_the_place_of_the_config(tmp_path: Path) -> None:
    def of(**keys: str) -> Place | None:
        flags = {f"export.cloud_storage.{name}": text for name, text in keys.items()}
        return places.from_config(config.load(flags, directory=tmp_path, environ={}))

    assert of() is None
    assert of(bucket="exports") is None
    assert of(provider="s3", bucket="exports", prefix="a/b/") == Place("s3", "exports", "a/b")
    assert of(provider="azure", bucket="box", account="ours") == Place("az", "box", "", "ours")
    for keys in ({"provider": "s3"}, {"provider": "azure", "bucket": "box"}, {"provider": "s3", "bucket": "a_b"}):
        with pytest.raises(errors.InvalidInput):
            of(**keys)
    for name, text in (
        ("provider", "aws"),
        ("bucket", "a/b"),
        ("prefix", "../x"),
        ("prefix", "/x"),
        ("account", "a-b"),
    ):
        with pytest.raises(errors.InvalidInput, match=f"export.cloud_storage.{name} is not valid"):
            of(**{name: text})


# --- a folder


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    (tmp_path / "srv").mkdir()
    return places.parse(f"file://{tmp_path}/srv")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_bytes(b"<p>" * 100)
    return path


def put(place: Place, path: Path, name: str = "day/a b.html") -> places.Stored:
    return objects.put(place, places.key(place, name), path, content_type="text/html", metadata={"a": "b"}, timeout=9)


def test_a_folder(folder: Place, report: Path, tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        stored = put(folder, report)
    finally:
        os.umask(previous)
    file = tmp_path / "srv" / "day" / "a b.html"
    assert file.read_bytes() == report.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert stored.link == stored.address == file.as_uri()
    assert stored.via == "file"
    found = objects.look(folder, stored.key)
    assert found is not None
    assert (found.bytes, found.sha256) == (300, stored.sha256)
    again = objects.look(*places.located(stored.address))
    assert again is not None
    assert (again.key, again.sha256) == ("a b.html", stored.sha256)
    assert objects.look(folder, f"{stored.key}/x") is None
    (tmp_path / "srv" / ".daglab-upload-torn").write_text("left by a kill")
    (tmp_path / "srv" / "link").symlink_to(report)
    assert [each.key for each in objects.listing(folder)] == ["day/a b.html"]
    report.write_text("new")
    assert put(folder, report).bytes == 3
    assert "can be written" in objects.check(folder)
    with pytest.raises(errors.InvalidInput, match="nothing to sign"):
        objects.sign(folder, stored.key, 60)
    assert objects.delete(folder, stored.key)
    assert not objects.delete(folder, stored.key)
    assert objects.look(folder, stored.key) is None


def test_a_folder_is_not_left(folder: Place, report: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "srv" / "out").symlink_to(outside)
    for call in (lambda: put(folder, report, "out/a.html"), lambda: objects.delete(folder, "out/a.html")):
        with pytest.raises(errors.InvalidInput, match="leads out of"):
            call()
    assert list(outside.iterdir()) == []
    # A link in the place of the file is replaced, and not followed.
    target = outside / "kept"
    target.write_text("theirs")
    (tmp_path / "srv" / "a.html").symlink_to(target)
    put(folder, report, "a.html")
    assert target.read_text() == "theirs"
    assert not (tmp_path / "srv" / "a.html").is_symlink()
    (tmp_path / "srv" / "box").mkdir()
    with pytest.raises(errors.InvalidInput, match="not an ordinary file"):
        put(folder, report, "box")


def test_a_folder_that_is_not_there(report: Path, tmp_path: Path) -> None:
    place = places.parse(f"file://{tmp_path}/unmounted")
    for call in (lambda: put(place, report), lambda: objects.check(place), lambda: objects.look(place, "a")):
        with pytest.raises(errors.InvalidInput, match="There is no folder"):
            call()
    assert not (tmp_path / "unmounted").exists()


def test_a_write_that_breaks_off_leaves_the_old_file(
    folder: Place, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, report, "a.html")
    before = (tmp_path / "srv" / "a.html").read_bytes()
    report.write_text("new")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local.os, "fsync", full)
    with pytest.raises(errors.InvalidInput, match="No space left"):
        put(folder, report, "a.html")
    assert [path.name for path in (tmp_path / "srv").iterdir()] == ["a.html"]
    assert (tmp_path / "srv" / "a.html").read_bytes() == before


def test_a_file_that_can_not_be_read(folder: Place, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="can't be read"):
        put(folder, tmp_path / "missing.html")


# --- AWS's variables and files


@pytest.fixture
def aws(tmp_path: Path) -> Any:
    """`aws(credentials, config, **variables)` writes the two files and gives the environment that has them."""

    def write(credentials: str = "", config: str = "", **variables: str) -> dict[str, str]:
        (tmp_path / ".aws").mkdir(exist_ok=True)
        (tmp_path / ".aws" / "credentials").write_text(credentials)
        (tmp_path / ".aws" / "config").write_text(config)
        return {"HOME": str(tmp_path), **variables}

    return write


PAIR = "aws_access_key_id = {0}\naws_secret_access_key = {0}-s3cret%#\n"
FILE = "[default]\n" + PAIR.format("D") + "[other]\n" + PAIR.format("O") + "aws_session_token = t0ken-of-o\n"


@pytest.mark.parametrize(
    ("credentials", "config", "variables", "access"),
    [
        ("", "", {}, None),
        (FILE, "", {}, "D"),
        (FILE, "", {"AWS_PROFILE": "other"}, "O"),
        ("", f"[default]\n{PAIR.format('C')}", {}, "C"),
        ("", f"[profile x]\n{PAIR.format('C')}", {"AWS_PROFILE": "x"}, "C"),
        ("", f'[profile "a b"]\n{PAIR.format("C")}', {"AWS_PROFILE": "a b"}, "C"),
        (FILE, f"[default]\n{PAIR.format('C')}", {}, "D"),
        (FILE, "", {"AWS_PROFILE": "other", "AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "e"}, "E"),
        (FILE, "[default]\nrole_arn = arn:x\nsource_profile = other\n", {}, None),
        ("", "[default]\nsso_session = x\n", {}, None),
        (FILE, "", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "arn"}, None),
    ],
)
def test_who_we_are(aws: Any, credentials: str, config: str, variables: dict[str, str], access: str | None) -> None:
    keys = aws_settings.keys(aws(credentials, config, **variables))
    assert (keys and keys.access) == access
    if keys and access in ("D", "O", "C"):
        assert keys.secret == f"{access}-s3cret%#"
        assert keys.token == ("t0ken-of-o" if access == "O" else None)
        assert keys.secret not in repr(keys)
        assert redaction.clean(f"x {keys.secret}") == "x ***"


@pytest.mark.parametrize(
    ("credentials", "variables"),
    [
        ("", {"AWS_ACCESS_KEY_ID": "E"}),
        ("", {"AWS_SECRET_ACCESS_KEY": "E"}),
        (FILE, {"AWS_PROFILE": "typo"}),
        ("", {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials"}),
        ("", {"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "pass\r\nX: 1"}),
    ],
)
def test_half_of_who_we_are(aws: Any, credentials: str, variables: dict[str, str]) -> None:
    with pytest.raises(errors.NotSetUp) as caught:
        aws_settings.keys(aws(credentials, "", **variables))
    assert caught.value.hint


def test_a_file_that_is_no_settings_is_not_quoted(aws: Any) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        aws_settings.keys(aws("[default\nhunter2-s3cret"))
    assert "hunter2" not in str(vars(caught.value)) + str(caught.value.__cause__)


SERVICES = "[default]\nservices = mine\nendpoint_url = http://all.test\n[services mine]\ns3 =\n  endpoint_url = http://s3.test\n"


@pytest.mark.parametrize(
    ("config", "variables", "expected"),
    [
        ("", {}, (None, None, "auto")),
        ("[default]\nregion = eu-west-1\n", {}, ("eu-west-1", None, "auto")),
        ("[default]\nregion = eu-west-1\n", {"AWS_DEFAULT_REGION": "us-east-2"}, ("us-east-2", None, "auto")),
        ("", {"AWS_DEFAULT_REGION": "us-east-2", "AWS_REGION": "us-west-2"}, ("us-west-2", None, "auto")),
        ("[default]\ns3 =\n  addressing_style = path\n", {}, (None, None, "path")),
        ("", {"AWS_ENDPOINT_URL": "http://a.test/"}, (None, "http://a.test", "auto")),
        (
            "",
            {"AWS_ENDPOINT_URL": "http://a.test", "AWS_ENDPOINT_URL_S3": "http://b.test"},
            (None, "http://b.test", "auto"),
        ),
        (SERVICES, {}, (None, "http://s3.test", "auto")),
        (SERVICES.replace("services = mine", ""), {}, (None, "http://all.test", "auto")),
        (SERVICES, {"AWS_ENDPOINT_URL": "http://a.test"}, (None, "http://a.test", "auto")),
        (SERVICES, {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, (None, None, "auto")),
    ],
)
def test_where_it_is(aws: Any, config: str, variables: dict[str, str], expected: tuple[str, str, str]) -> None:
    found = aws_settings.settings(aws("", config, **variables))
    assert (found.region, found.endpoint, found.style) == expected


@pytest.mark.parametrize(
    "variables",
    [{"AWS_REGION": "evil.test/"}, {"AWS_ENDPOINT_URL_S3": "ftp://x"}, {"AWS_ENDPOINT_URL": "http://me:pw@h"}],
)
def test_where_it_can_not_be(aws: Any, variables: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        aws_settings.settings(aws(**variables))
    assert "me:pw" not in caught.value.message


@pytest.mark.parametrize(
    ("bucket", "region", "endpoint", "style", "address"),
    [
        ("b-1", "eu-west-1", None, "auto", "https://b-1.s3.eu-west-1.amazonaws.com/"),
        ("b-1", None, None, "auto", "https://b-1.s3.amazonaws.com/"),
        ("b-1", "cn-north-1", None, "auto", "https://b-1.s3.cn-north-1.amazonaws.com.cn/"),
        ("b.1", "eu-west-1", None, "virtual", "https://s3.eu-west-1.amazonaws.com/b.1/"),
        ("b-1", "eu-west-1", None, "path", "https://s3.eu-west-1.amazonaws.com/b-1/"),
        ("b-1", "eu-west-1", "http://h:9/x", "auto", "http://h:9/x/b-1/"),
        ("b-1", "eu-west-1", "https://h:9", "virtual", "https://b-1.h:9/"),
    ],
)
def test_addresses_of_buckets(bucket: str, region: str, endpoint: str | None, style: str, address: str) -> None:
    assert s3.address(bucket, region, endpoint, style) == address


# --- signed links


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    """A store at an address of its own, with keys in variables and no program: nothing has to be asked to sign."""
    for name, text in (("ACCESS_KEY_ID", "AKID"), ("SECRET_ACCESS_KEY", "s3cret-x"), ("ENDPOINT_URL", "http://h.test")):
        monkeypatch.setenv(f"AWS_{name}", text)
    monkeypatch.setenv("PATH", str(tmp_path))
    return Place("s3", "bucket")


@pytest.mark.parametrize("seconds", [0, -1, 604_801, 10**9])
def test_a_link_that_would_live_too_long(plain: Place, seconds: int) -> None:
    with pytest.raises(errors.InvalidInput, match=r"7 days"):
        objects.sign(plain, "a.html", seconds)


def test_a_link_does_not_outlive_its_session(plain: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = objects.sign(plain, "a.html", 604_800)
    assert signed.note is None
    assert (signed.expires_at - datetime.now(timezone.utc)).total_seconds() == pytest.approx(604_800, abs=60)
    assert "Signature" not in repr(signed)
    assert redaction.clean(signed.url).endswith("X-Amz-Signature=***")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t0ken-of-session")
    assert "does not say when" in str(objects.sign(plain, "a.html", 60).note)
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", UNTIL.isoformat())
    signed = objects.sign(plain, "a.html", 604_800)
    assert abs(signed.expires_at - UNTIL) <= timedelta(seconds=2)
    assert "ends with the credentials" in str(signed.note)
    assert objects.sign(plain, "a.html", 60).note is None


def test_neither_a_program_nor_credentials(plain: Place, monkeypatch: pytest.MonkeyPatch, report: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for call in (lambda: put(plain, report), lambda: objects.check(plain), lambda: objects.sign(plain, "a", 60)):
        with pytest.raises(errors.NotSetUp) as caught:
            call()
        assert "Install the AWS CLI" in str(caught.value.hint)
        assert "AWS_ACCESS_KEY_ID" in str(caught.value.hint)


# --- providers' programs


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_newer_program_tells_its_keys(plain: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 2, which no package index has: what it prints is all that is asked of it."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    printed = {
        "AccessKeyId": "ASIA",
        "SecretAccessKey": "s3cret-y",
        "SessionToken": "t0ken-y",
        "Expiration": UNTIL.isoformat(),
    }
    script(
        tmp_path / "aws",
        f"[ \"$*\" = 'configure export-credentials --format process' ] && echo '{json.dumps(printed)}'",
    )
    signed = objects.sign(plain, "a.html", 604_800)
    assert "X-Amz-Credential=ASIA%2F" in signed.url
    assert abs(signed.expires_at - UNTIL) <= timedelta(seconds=2)
    assert "s3cret-y" not in redaction.clean(signed.url + "s3cret-y")
    assert "t0ken-y" not in redaction.clean(signed.url)
    script(tmp_path / "aws", "echo '[]'")
    with pytest.raises(errors.NotSetUp):
        objects.sign(plain, "a.html", 60)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("An error occurred (NoSuchBucket) when calling the PutObject operation: x", errors.InvalidInput),
        ("An error occurred (AccessDenied) when calling the PutObject operation: x", errors.NotAuthorised),
        ("An error occurred (SlowDown) when calling the PutObject operation: x", errors.Unreachable),
        ("An error occurred (ExpiredToken) when calling the ListObjectsV2 operation: x", errors.NotAuthorised),
        ("Error when retrieving token from sso: Token has expired and refresh failed", errors.NotAuthorised),
        ('Unable to locate credentials. You can configure credentials by running "aws configure".', errors.NotSetUp),
        ("The config profile (typo) could not be found", errors.NotSetUp),
        ('Could not connect to the endpoint URL: "http://h.test/"', errors.Unreachable),
        ('Read timeout on endpoint URL: "http://h.test/"', errors.Unreachable),
        ("Traceback ...\nImportError: no module named x", errors.NotSetUp),
    ],
)
def test_what_a_program_says(plain: Place, tmp_path: Path, said: str, kind: type[errors.DaglabError]) -> None:
    (tmp_path / "said").write_text(said)
    script(tmp_path / "aws", f"/bin/cat {tmp_path}/said >&2; exit 1")
    with pytest.raises(kind) as caught:
        objects.check(plain)
    assert isinstance(caught.value, kind)
    assert caught.value.hint


# Stands for the AWS CLI: what it answers to each call, and with which exit code.
CALLS = """
for call in put-object head-object list-objects-v2; do
    [ "$2" = "$call" ] && { /bin/cat $0.$call.out; /bin/cat $0.$call.err >&2; exit $(/bin/cat $0.$call.rc); }
done
exit 9
"""


@pytest.mark.parametrize(
    ("put_says", "head_says", "kind"),
    [
        ("", "ours", None),
        ("Connection was closed before we received a valid response", "ours", None),
        ("Connection was closed before we received a valid response", "other", errors.OutcomeUnknown),
        ("Connection was closed before we received a valid response", "", errors.OutcomeUnknown),
        ("Could not connect to the endpoint URL", "ours", errors.Unreachable),
        ("", "other", errors.OutcomeUnknown),
        ("", "", errors.OutcomeUnknown),
        ("", "garbage", errors.OutcomeUnknown),
        ("", "torn", errors.OutcomeUnknown),
    ],
)
def test_an_upload_by_a_program(
    plain: Place, report: Path, tmp_path: Path, put_says: str, head_says: str, kind: type[errors.DaglabError] | None
) -> None:
    sha256 = hashlib.sha256(report.read_bytes()).digest()
    heads = {
        "ours": json.dumps({"ContentLength": 300, "ChecksumSHA256": base64.b64encode(sha256).decode()}),
        "other": json.dumps({"ContentLength": 300, "ETag": f'"{"0" * 32}"'}),
        "garbage": json.dumps({"ContentLength": [], "Metadata": 7, "ETag": {}, "LastModified": None}),
        "torn": '{"ContentLength": ',
    }
    aws = script(tmp_path / "aws", CALLS)
    missing = "An error occurred (404) when calling the HeadObject operation: Not Found"
    for call, out, err in (
        ("put-object", "{}", put_says),
        ("head-object", heads.get(head_says, ""), "" if head_says else missing),
    ):
        Path(f"{aws}.{call}.out").write_text("" if err else out)
        Path(f"{aws}.{call}.err").write_text(err)
        Path(f"{aws}.{call}.rc").write_text("255" if err else "0")
    if kind is None:
        assert put(plain, report, "-a.html").via == "aws"
        return
    with pytest.raises(kind) as caught:
        put(plain, report, "-a.html")
    assert type(caught.value) is kind


def test_what_is_no_listing_of_a_program(plain: Place, tmp_path: Path) -> None:
    for out in ('{"Contents": [{}]}', '{"Contents": 7}', "[]", "x"):
        script(tmp_path / "aws", f"echo '{out}'")
        with pytest.raises(errors.Unreachable, match="can't be read"):
            list(objects.listing(plain))


def test_what_a_program_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    redaction.hide("t0ken-read-before")
    given = {
        "DAGLAB_TOKEN": "x1",
        "DAGSTER_GRAPHQL_TOKEN": "x2",
        "MY_TOKEN": "t0ken-read-before",
        "AWS_SECRET_ACCESS_KEY": "t0ken-read-before",
        "OTHER": "kept",
    }
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    program = script(tmp_path / "p", '/usr/bin/env; pwd; echo "$@"')
    done = programs.run(program, ["a b", "$(id)"], timeout=30, env={"AWS_PAGER": ""}, prefixes=("AWS_",))
    assert {"AWS_SECRET_ACCESS_KEY=t0ken-read-before", "OTHER=kept", "AWS_PAGER=", "a b $(id)"} <= {
        *done.stdout.split("\n")
    }
    assert not any(line.startswith(("DAGLAB_TOKEN", "DAGSTER_", "MY_TOKEN")) for line in done.stdout.split("\n"))
    assert str(tmp_path) in done.stdout.split("\n")
    with pytest.raises(errors.Unreachable, match="has not ended"):
        programs.run(script(tmp_path / "slow", "exec /bin/sleep 60"), [], timeout=0.2)


def test_random_places_come_back() -> None:
    letters = "abcXYZ019 -_.~+&=?#%!*'();:@$,[]{}|^`<>\"üé日🙂"
    choose = random.Random(8)
    for _ in range(500):
        parts = ["".join(choose.choices(letters, k=choose.randint(1, 9))) + "x" for _ in range(choose.randint(1, 4))]
        for place in (
            Place("s3", "bucket", "p"),
            Place("gs", "bucket"),
            Place("az", "box", "q", "acc"),
            Place("file", prefix="/s v"),
        ):
            key = places.key(place, "/".join(parts))
            address = places.address(place, key)
            assert places.address(*places.located(address)) == address
            if place.scheme != "file":
                assert places.located(address)[1] == key
        assert sigv4.quoted("/".join(parts)).isascii()


@pytest.mark.parametrize("given", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_aws_program_is_told_the_region_in_both_variables(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version 1 knows one of the two alone."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    told = f'echo "$AWS_REGION $AWS_DEFAULT_REGION" > {tmp_path}/told; echo "{{}}"'
    program = script(tmp_path / "aws", told)
    aws_program.check(program, places.Place("s3", "bucket"), 30)
    assert (tmp_path / "told").read_text() == " \n"
    monkeypatch.setenv(given, "eu-west-3")
    aws_program.check(program, places.Place("s3", "bucket"), 30)
    assert (tmp_path / "told").read_text() == "eu-west-3 eu-west-3\n"


def test_the_modules_offer_the_same() -> None:
    import inspect

    from daglab.storage import azure, gcs, presigned

    for name in ("put", "look", "delete", "listing", "sign", "check"):
        signatures = {str(inspect.signature(getattr(module, name))) for module in (s3, azure, gcs, local, presigned)}
        assert len(signatures) == 1, (name, signatures)
    assert aws_program.find


def test_a_file_that_is_not_what_was_written_is_an_error(
    folder: Place, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, other = transfers.measured, transfers.Sent(1, "0" * 64, "0" * 32)
    monkeypatch.setattr(transfers, "measured", lambda path: real(path) if path == report else other)
    with pytest.raises(errors.OutcomeUnknown, match="is not what was written there"):
        put(folder, report, "a.html")


def test_what_is_no_ordinary_file_is_none_of_ours(folder: Place, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "srv" / "a.html")
    with pytest.raises(errors.InvalidInput, match="is not an ordinary file"):
        local.look(folder, "a.html")


def test_an_answer_that_is_lost_stays_lost_where_nobody_may_look() -> None:
    def put_it() -> str:
        raise errors.OutcomeUnknown("the answer was lost", "look")

    def look() -> None:
        raise errors.NotAuthorised("not for you", "x")

    with pytest.raises(errors.OutcomeUnknown, match="the answer was lost"):
        sums.verified("s3://b/a", transfers.Sent(1, "0" * 64, "0" * 32), put_it, look)
    assert sums.verified("s3://b/a", transfers.Sent(1, "0" * 64, "0" * 32), lambda: "http", look) == "http"
