"""S3 through the AWS CLI, version 1 or 2: it knows credentials that no file holds (SSO, roles, the machine's own)."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from daglab import errors, processes, redaction
from daglab.storage import aws_answers, aws_settings, places, programs, sigv4, transfers

_LISTING_SECONDS = 600.0  # all pages together
_PREFIXES = ("AWS_",)
_QUIET = {"AWS_PAGER": "", "AWS_CLI_AUTO_PROMPT": "off", "AWS_DEFAULT_OUTPUT": "json"}
_CODE = re.compile(r"An error occurred \((\w+)\) when calling")
_NO_KEYS = ("Unable to locate credentials", "Partial credentials found", "NoCredentials", "could not be found")
_NO_SESSION = (
    "has expired",
    "token is expired",
    "Token for",
    "Error loading SSO",
    "sso login",
    "aws login",
    "InvalidGrant",
)
_NO_ANSWER = (
    "Could not connect",
    "timeout on endpoint",
    "Connection was closed",
    "Connection broken",
    "EndpointConnection",
)


class Lost(errors.Unreachable):
    """The connection was made and broke off."""


@dataclass(frozen=True)
class Upload:
    """A file, and what is said of it."""

    path: Path
    content_type: str
    content_encoding: str | None
    metadata: Mapping[str, str]


def find() -> str | None:
    """The path of the AWS CLI, None where it is not installed."""
    return programs.find("aws")


def put(
    program: str, place: places.Place, key: str, upload: Upload, sent: transfers.Sent, timeout: float
) -> aws_answers.Said:
    """Put a file in one request, and what the store says of it after. S3 itself compares the checksum, too."""
    where = places.address(place, key)
    encoding = [f"--content-encoding={upload.content_encoding}"] if upload.content_encoding else []
    arguments = ["--body", str(upload.path.absolute()), f"--content-type={upload.content_type}", *encoding]
    arguments += ["--metadata", json.dumps(dict(upload.metadata))]
    arguments += ["--checksum-sha256", base64.b64encode(bytes.fromhex(sent.sha256)).decode()]
    taken: aws_answers.Said | None = None
    lost: errors.DaglabError | None = None
    try:
        answer = _ask(program, "put-object", place, key, arguments, where, timeout)
        taken = aws_answers.of_document(answer, sent.bytes)
    except Lost as error:  # it may have arrived all the same: what is there now tells
        lost = errors.OutcomeUnknown(f"{where}: the upload broke off: {error.message}", aws_answers.AGAIN)
    try:
        said = aws_answers.of_document(_head(program, place, key))
    except errors.DaglabError as error:
        if isinstance(error, errors.NotAuthorised) and taken:  # we may write and not read: what it said has to do
            return taken
        raise lost or errors.OutcomeUnknown(f"{where} can't be read back: {error.message}", error.hint) from None
    if lost and said.sha256 != sent.sha256 and said.md5 != sent.md5:
        raise lost
    return said


def look(program: str, place: places.Place, key: str) -> aws_answers.Said | None:
    """What lies under a key, None where nothing does. Raises `InvalidInput` where there is no bucket."""
    try:
        return aws_answers.of_document(_head(program, place, key))
    except errors.InvalidInput:
        _ask(program, "head-bucket", place, None, [], places.address(place, ""), transfers.LOOK_SECONDS)
        return None


def delete(program: str, place: places.Place, key: str) -> None:
    """Delete an object, which need not be there."""
    _ask(program, "delete-object", place, key, [], places.address(place, key), transfers.LOOK_SECONDS)


def listing(program: str, place: places.Place) -> Iterator[places.Found]:
    """All objects under the prefix; the program turns the pages."""
    beginning = [f"--prefix={place.prefix}/"] if place.prefix else []
    where = places.address(place, place.prefix)
    answer = _ask(program, "list-objects-v2", place, None, beginning, where, _LISTING_SECONDS)
    try:
        found = [
            places.Found(str(each["Key"]), int(each["Size"]), None, aws_answers.when(str(each["LastModified"])))
            for each in answer.get("Contents") or []
        ]
    except (KeyError, TypeError, ValueError):
        raise _unreadable(where, "list-objects-v2") from None
    yield from (each for each in found if not each.key.endswith("/"))


def check(program: str, place: places.Place, timeout: float) -> None:
    """That the bucket answers, and lists."""
    beginning = [f"--prefix={place.prefix}/"] if place.prefix else []
    where = places.address(place, place.prefix)
    _ask(program, "list-objects-v2", place, None, ["--max-items", "1", *beginning], where, timeout)


def keys(program: str) -> sigv4.Keys | None:
    """Who the program would be, None where it is too old to say it. Raises `NotSetUp` where it does not know."""
    done = _run(program, ["configure", "export-credentials", "--format", "process"], transfers.LOOK_SECONDS)
    if done.returncode:
        if "Invalid choice" in done.stderr or "invalid choice" in done.stderr:
            return None
        raise _failed(done, "The AWS CLI")
    try:
        found = json.loads(done.stdout)
        access, secret, token = found["AccessKeyId"], found["SecretAccessKey"], found.get("SessionToken")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise errors.NotSetUp("What the AWS CLI gives as credentials can't be read.", aws_settings.WAYS) from None
    until = aws_settings.moment(str(found.get("Expiration") or ""))
    return aws_settings.known(str(access), str(secret), token and str(token), until, "the AWS CLI")


def sign(program: str, place: places.Place, key: str, seconds: int) -> places.Signed:
    """A link by the program itself. By default it may sign in an older way, which a copy of its config forbids."""
    with tempfile.TemporaryDirectory(prefix="daglab-") as folder:
        config = Path(folder) / "config"
        own = Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
        if own.is_file():
            shutil.copyfile(own, config)
        env = {"AWS_CONFIG_FILE": str(config)}
        told = _run(program, ["configure", "set", "s3.signature_version", "s3v4"], transfers.LOOK_SECONDS, env)
        arguments = ["s3", "presign", places.address(place, key), "--expires-in", str(seconds)]
        done = told if told.returncode else _run(program, arguments, transfers.LOOK_SECONDS, env)
    if done.returncode:
        raise _failed(done, places.address(place, key))
    url = done.stdout.strip()
    pairs = parse_qs(urlsplit(url).query)
    if not url.startswith(("https://", "http://")) or "X-Amz-Signature" not in pairs:
        raise errors.NotSetUp("The AWS CLI makes links of an older kind (not SigV4).", "Install a newer AWS CLI.")
    redaction.hide(pairs["X-Amz-Signature"][0])
    for token in pairs.get("X-Amz-Security-Token", []):
        redaction.hide(token)
    note = "The link ends with the session of the AWS CLI, at the latest." if "X-Amz-Security-Token" in pairs else None
    return places.Signed(url, datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=seconds), note)


def _head(program: str, place: places.Place, key: str) -> dict[str, Any]:
    arguments = ["--checksum-mode", "ENABLED"]
    where = places.address(place, key)
    return _ask(program, "head-object", place, key, arguments, where, transfers.LOOK_SECONDS)


def _ask(
    program: str, call: str, place: places.Place, key: str | None, more: Sequence[str], where: str, timeout: float
) -> dict[str, Any]:
    """A call of S3, and its answer as the program prints it."""
    named = [] if key is None else [f"--key={key}"]  # in one word: it may begin with a dash
    done = _run(program, ["s3api", call, f"--bucket={place.bucket}", *named, *more, "--output", "json"], timeout)
    if done.returncode:
        raise _failed(done, where)
    try:
        found = json.loads(done.stdout or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _unreadable(where, call)
    return found


def _unreadable(where: str, call: str) -> errors.DaglabError:
    return errors.Unreachable(f"What the AWS CLI says of {where} can't be read.", f"Try it: aws s3api {call} help")


def _run(
    program: str, arguments: Sequence[str], timeout: float, env: Mapping[str, str] | None = None
) -> processes.Finished:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    both = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region} if region else {}  # version 1 knows the second alone
    return programs.run(program, arguments, timeout=timeout, env={**_QUIET, **both, **(env or {})}, prefixes=_PREFIXES)


def _failed(done: processes.Finished, where: str) -> errors.DaglabError:
    """What the program's last words mean; its exit codes tell less."""
    said, code = programs.last_line(done), _CODE.search(done.stderr)
    if code:
        status = int(code[1]) if code[1].isdecimal() else 0
        return aws_answers.refused("" if status else code[1], status, where)
    if any(words in done.stderr for words in _NO_KEYS):
        return errors.NotSetUp(f"The AWS CLI does not know who you are: {said}", aws_settings.WAYS)
    if any(words in done.stderr for words in _NO_SESSION):
        return errors.NotAuthorised(f"The AWS CLI's session is over: {said}", "Sign in anew: aws sso login")
    if any(words in done.stderr for words in _NO_ANSWER):
        kind = errors.Unreachable if "Could not connect" in done.stderr else Lost
        return kind(f"{where}: {said}", "Look at the network and at AWS_ENDPOINT_URL.")
    return errors.NotSetUp(f"The AWS CLI failed for {where}: {said}", "Try `aws s3 ls` by hand; install a newer one.")
