"""Blobs by way of `az`, which finds its own login, or gets by variables the credentials that we have found.

`az` takes an argument's value that begins with @ for a file to read: such names and texts never go to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from daglab import errors, processes, redaction
from daglab.storage import azure_accounts, places, programs, sums, transfers

META, CONTENT = "x-ms-meta-", "x-ms-blob-content-"  # how headers of an upload begin
QUIET = {
    "AZURE_CORE_COLLECT_TELEMETRY": "0",
    "AZURE_CORE_DISABLE_CONFIRM_PROMPT": "1",
    "AZURE_CORE_DISABLE_PROGRESS_BAR": "1",
    "AZURE_CORE_NO_COLOR": "1",
    "AZURE_CORE_ONLY_SHOW_ERRORS": "1",
    "AZURE_CORE_OUTPUT": "json",
    "AZURE_CORE_SURVEY_MESSAGE": "0",
    "AZURE_EXTENSION_USE_DYNAMIC_INSTALL": "no",
}
_NO_LOGIN = re.compile(r"az login|AADSTS|No subscription found|no credentials", re.IGNORECASE)
_REFUSED = re.compile(
    r"AuthenticationFailed|Authorization\w*(Failure|Mismatch)|InvalidAuthenticationInfo|NoAuthenticationInformation"
    r"|KeyBasedAuthenticationNotPermitted|InsufficientAccountPermissions|AccountIsDisabled"
    r"|do not have the required perm|blocked by network rules|PublicAccessNotPermitted|expired",
    re.IGNORECASE,
)
_CUT_OFF = re.compile(
    r"Failed to (resolve|establish)|Max retries|Connection(Error| aborted| refused)|timed? ?out|Temporary failure"
    r"|ServerBusy|InternalError|OperationTimedOut",
    re.IGNORECASE,
)


def upload(place: places.Place, key: str, path: Path, headers: Mapping[str, str], md5: str, *, timeout: float) -> None:
    """Put a file; `headers` are those of the blob's content and its metadata, as plain HTTP would send them."""
    metadata = [f"{name.removeprefix(META)}={text}" for name, text in headers.items() if name.startswith(META)]
    options = [
        f"--content-{name}={headers[header]}"
        for name, header in (("type", CONTENT + "type"), ("encoding", CONTENT + "encoding"))
        if header in headers
    ]
    file = f"--file={path.resolve()}"
    options += [f"--content-md5={md5}", "--overwrite=true", "--no-progress", "--type=block"]
    try:
        done = _run(place, ["blob", "upload", f"--name={key}", file, *options, "--metadata", *metadata], timeout)
        if done.returncode:
            raise _refusal(done, place)
    except errors.Unreachable as error:  # it may have put it before
        raise errors.OutcomeUnknown(error.message, error.hint) from None


def look(place: places.Place, key: str) -> sums.Seen | None:
    """What lies under a key, None where nothing does."""
    done = _run(place, ["blob", "show", f"--name={key}"])
    if done.returncode:
        _nothing(done, place)
        return None
    return _seen(_answer(done), key)


def delete(place: places.Place, key: str) -> bool:
    """Delete a blob; whether there was one."""
    done = _run(place, ["blob", "delete", f"--name={key}"])
    if done.returncode:
        _nothing(done, place)
    return not done.returncode


def listing(place: places.Place) -> list[places.Found]:
    """All blobs under the place's prefix."""
    prefix = [f"--prefix={place.prefix}/"] if place.prefix else []
    done = _run(place, ["blob", "list", *prefix, "--num-results=*", "--include=m"], 10 * transfers.LOOK_SECONDS)
    if done.returncode:
        raise _refusal(done, place)
    return [_seen(each, each["name"]).found for each in _answer(done)]


def link_query(place: places.Place, key: str, until: str) -> str:
    """The query of a link to read one blob, signed by a key that Azure lends to whoever is logged in."""
    words = [
        "blob",
        "generate-sas",
        f"--name={key}",
        "--permissions=r",
        f"--expiry={until}",
        "--as-user",
        "--https-only",
    ]
    done = _run(place, words, login=True)
    if done.returncode:
        raise _refusal(done, place)
    query = _answer(done)
    if not isinstance(query, str) or not re.fullmatch(r"[\w%.~&=+:/-]+", query):
        raise errors.Unreachable("az has answered with what is no signed link.", "Try it by hand.")
    return query.replace("+", "%2B")


def check(place: places.Place, timeout: float) -> str:
    """Ask for one name in the container."""
    done = _run(place, ["blob", "list", "--num-results=1", f"--prefix={place.prefix}"], timeout)
    if done.returncode:
        raise _refusal(done, place)
    return "az"


def found(key: str, size: int, metadata: Mapping[str, str], changed_at: datetime) -> places.Found:
    """A blob; of its metadata the underscores are hyphens again, which Azure has none of."""
    own = {name.lower().replace("_", "-"): text for name, text in metadata.items()}
    return places.Found(key, size, own.get("sha256"), changed_at, own)


def _seen(said: Any, key: str) -> sums.Seen:
    try:
        properties = said["properties"]
        changed_at = datetime.fromisoformat(properties["lastModified"])
        md5 = (properties.get("contentSettings") or {}).get("contentMd5")
        one = found(key, int(properties["contentLength"]), said.get("metadata") or {}, changed_at)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise errors.Unreachable("az has answered with what can't be read.", "Try it by hand.") from error
    return sums.Seen(one, md5)


def _run(
    place: places.Place, words: Sequence[str], timeout: float = transfers.LOOK_SECONDS, *, login: bool = False
) -> processes.Finished:
    """Run `az storage`, with the credentials that we have found; without them, and with `login`, with its own login."""
    program = programs.find("az")
    if program is None:
        raise errors.NotSetUp("The Azure CLI (az) is not installed.", azure_accounts.HINT)
    if any(word.partition("=")[2].startswith("@") for word in words):
        raise errors.NotSetUp("The Azure CLI (az) takes what begins with @ for a file.", azure_accounts.HINT)
    variables = azure_accounts.variables(place.account, login=login)
    options = [f"--container-name={place.bucket}"]
    if not variables["AZURE_STORAGE_AUTH_MODE"]:
        where = azure_accounts.endpoint(place.account)
        options += ["--auth-mode=login", f"--account-name={place.account}", f"--blob-endpoint={where}"]
    env = {**QUIET, **variables}
    return programs.run(program, ["storage", *words, *options], timeout=timeout, env=env, prefixes=("AZURE_",))


def _answer(done: processes.Finished) -> Any:
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise errors.Unreachable("az has answered with what can't be read.", "Try it by hand.") from None


def _nothing(done: processes.Finished, place: places.Place) -> None:
    """Nothing lies there; whatever else went wrong is raised."""
    if not re.search(r"BlobNotFound|ResourceNotFound|blob does not exist", done.stderr):
        raise _refusal(done, place)


def _refusal(done: processes.Finished, place: places.Place) -> errors.DaglabError:
    """Why `az` has failed. What is none of the known reasons may be its own fault: HTTP is tried then, too."""
    said = redaction.masked_text(redaction.clean(" ".join(done.stderr.split())))[:300] or f"exit code {done.returncode}"
    if "ContainerNotFound" in done.stderr:
        return no_container(place)
    if _NO_LOGIN.search(done.stderr):
        return errors.NotSetUp("The Azure CLI (az) is not logged in.", azure_accounts.HINT)
    if _REFUSED.search(done.stderr):
        return errors.NotAuthorised(f"az was refused: {said}", "Renew the credentials, or ask for the right.")
    if _CUT_OFF.search(done.stderr):
        return errors.Unreachable(f"az has not reached the store: {said}", "Try again.")
    return errors.NotSetUp(f"az has failed: {said}", "Try it by hand.")


def no_container(place: places.Place) -> errors.InvalidInput:
    """The error for a container that is not there."""
    hint = f"Make it: az storage container create --account-name {place.account} --name {place.bucket}"
    return errors.InvalidInput(f"The storage account {place.account} has no container {place.bucket}.", hint)
