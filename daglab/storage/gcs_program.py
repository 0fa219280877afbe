"""Objects by way of `gcloud storage`, which finds its own login.

gcloud takes `*?[]` in an object's address for a pattern, and `#` for a generation: such keys never go to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daglab import errors, processes, redaction
from daglab.storage import gcs_answers, google_accounts, places, programs, sums, transfers

QUIET = {
    "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
    "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
    "CLOUDSDK_CORE_DISABLE_COLOR": "1",
    "CLOUDSDK_CORE_DISABLE_FILE_LOGGING": "1",
    "CLOUDSDK_CORE_SHOW_STRUCTURED_LOGS": "never",
    "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
    "CLOUDSDK_SURVEY_DISABLE_PROMPTS": "1",
}
_NO_LOGIN = re.compile(r"active account|gcloud auth login|no credentialed|requires a service account|private.key")
_REFUSED = re.compile(
    r"HTTPError 40[13]|\b40[13]\b|does not have storage\.|Reauthentication|invalid_grant|Invalid Credentials"
    r"|There was a problem refreshing",
)
_CUT_OFF = re.compile(
    r"Failed to (resolve|establish)|Max retries|Connection(Error| aborted| refused)|timed? ?out"
    r"|Unable to find the server|Name or service not known|HTTPError 5\d\d|HTTPError 429",
    re.IGNORECASE,
)
_SEPARATORS = "|;~^!%"


def put(
    place: places.Place,
    key: str,
    path: Path,
    known: transfers.Sent,
    headers: Mapping[str, str],
    metadata: Mapping[str, str],
    *,
    timeout: float,
) -> None:
    """Put a file."""
    options = [f"--{name.lower()}={text}" for name, text in headers.items()]
    options += [f"--content-md5={sums.md5_header(known)}", _pairs("--custom-metadata", metadata)]
    try:
        done = _run(place, ["cp", str(path.resolve()), _url(place, key), *options], timeout)
        if done.returncode:
            raise _refusal(done, place)
    except errors.Unreachable as error:  # it may have put it before
        raise errors.OutcomeUnknown(error.message, error.hint) from None


def look(place: places.Place, key: str) -> sums.Seen | None:
    """What lies under a key, None where nothing does."""
    done = _run(place, ["objects", "describe", _url(place, key), "--raw", "--format=json"])
    if not done.returncode:
        return gcs_answers.of_resource(_answer(done))
    _nothing(done, place, key)
    return None


def delete(place: places.Place, key: str) -> bool:
    """Delete an object; whether there was one."""
    done = _run(place, ["rm", _url(place, key)])
    if done.returncode:
        _nothing(done, place, key)
    return not done.returncode


def listing(place: places.Place) -> list[places.Found]:
    """All objects under the place's prefix."""
    pattern = _url(place, f"{place.prefix}/" if place.prefix else "") + "**"
    done = _run(place, ["objects", "list", pattern, "--raw", "--format=json"], 10 * transfers.LOOK_SECONDS)
    if done.returncode:
        raise _refusal(done, place)
    return [gcs_answers.of_resource(each).found for each in _answer(done)]


def signed_url(place: places.Place, key: str, seconds: int) -> str:
    """A link that gcloud signs: logged in as a service account, or borrowing one. It looks at the link, and may fail
    after it has printed it.
    """
    words = ["sign-url", _url(place, key), f"--duration={seconds}s", "--region=auto", "--format=json"]
    done = _run(place, words)
    try:
        url = str(json.loads(done.stdout)[0]["signed_url"])
    except (ValueError, LookupError, TypeError):
        problem = _refusal(done, place)
        if "duration" in done.stderr:
            message = f"gcloud signs no link for {seconds} s with a key that it borrows: 12 hours at most."
            raise errors.InvalidInput(message, google_accounts.SIGNING_HINT) from None
        hint = google_accounts.SIGNING_HINT if isinstance(problem, errors.NotSetUp) else problem.hint
        raise type(problem)(f"gcloud can't sign a link: {problem.message}", hint) from None
    for text in re.findall(r"[?&]X-Goog-Signature=([0-9a-f]+)", url):
        redaction.hide(text)
        return url
    raise errors.Unreachable("gcloud has answered with what is no signed link.", "Try it by hand.")


def check(place: places.Place, timeout: float) -> str:
    """Ask for the names in the bucket."""
    done = _run(place, ["objects", "list", _url(place, "*"), "--limit=1", "--format=json"], timeout)
    if done.returncode:
        raise _refusal(done, place)
    return "gcloud"


def _url(place: places.Place, key: str) -> str:
    return f"gs://{place.bucket}/{key}"


def _pairs(option: str, pairs: Mapping[str, str]) -> str:
    """A list of pairs as gcloud reads it, parted by a character that none of them has."""
    texts = [f"{name}={text}" for name, text in pairs.items()]
    separator = next((each for each in _SEPARATORS if all(each not in text for text in texts)), None)
    if separator is None:
        raise errors.NotSetUp("gcloud can't be given this metadata.", google_accounts.HINT)
    return f"{option}=^{separator}^{separator.join(texts)}"


def _run(place: places.Place, words: Sequence[str], timeout: float = transfers.LOOK_SECONDS) -> processes.Finished:
    program = programs.find("gcloud")
    if program is None:
        raise errors.NotSetUp("The Google Cloud CLI (gcloud) is not installed.", google_accounts.HINT)
    own = next(word for word in words if word.startswith("gs://"))
    if re.search(r"[?\[\]#]|\*.", own.removesuffix("**")):
        raise errors.NotSetUp("gcloud takes a name with one of *?[]# for a pattern.", google_accounts.HINT)
    env = {**QUIET, **google_accounts.variables()}
    prefixes = ("CLOUDSDK_", "GOOGLE_", "BOTO_")
    return programs.run(program, ["storage", *words, "--quiet"], timeout=timeout, env=env, prefixes=prefixes)


def _answer(done: processes.Finished) -> Any:
    with transfers.readable():
        return json.loads(done.stdout)


def _nothing(done: processes.Finished, place: places.Place, key: str) -> None:
    """Nothing lies there; whatever else went wrong is raised, a bucket that is not there, too."""
    if not re.search(r"not found: 404|matched no objects", done.stderr):
        raise _refusal(done, place)
    again = _run(place, ["objects", "list", _url(place, key), "--format=json"])
    if again.returncode:
        raise _refusal(again, place)


def _refusal(done: processes.Finished, place: places.Place) -> errors.DaglabError:
    """Why gcloud has failed. What is none of the known reasons may be its own fault: HTTP is tried then, too."""
    said = redaction.masked_text(redaction.clean(" ".join(done.stderr.split())))[:300] or f"exit code {done.returncode}"
    if f"gs://{place.bucket} not found: 404" in done.stderr:
        return gcs_answers.no_bucket(place)
    if _NO_LOGIN.search(done.stderr):
        return errors.NotSetUp("gcloud is not logged in, or not as one who could.", google_accounts.HINT)
    if _REFUSED.search(done.stderr):
        return errors.NotAuthorised(f"gcloud was refused: {said}", "Log in again, or ask for the right.")
    if _CUT_OFF.search(done.stderr):
        return errors.Unreachable(f"gcloud has not reached the store: {said}", "Try again.")
    return errors.NotSetUp(f"gcloud has failed: {said}", "Try it by hand.")
