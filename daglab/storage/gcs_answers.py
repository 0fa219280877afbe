"""What Cloud Storage and gcloud say of objects, and why they refuse."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any

from daglab import errors
from daglab.storage import places, sums, transfers

if TYPE_CHECKING:
    import requests


def of_resource(said: Any) -> sums.Seen:
    """An object as the JSON API describes it, and `gcloud --raw`, too."""
    with transfers.readable():
        own = {str(name).lower(): str(text) for name, text in (said.get("metadata") or {}).items()}
        if not isinstance(said["name"], str):
            raise TypeError("a name is text")
        changed_at = datetime.fromisoformat(said["updated"].replace("Z", "+00:00"))
        found = places.Found(said["name"], int(said["size"]), own.get("sha256"), changed_at, own)
        return sums.Seen(found, said.get("md5Hash"))


def expect(answer: requests.Response, place: places.Place, statuses: Collection[int]) -> requests.Response:
    """The answer, where its status is one of these; where 404 is none, it is the bucket that is not there."""
    status = answer.status_code
    if status == 404 and 404 not in statuses:
        raise no_bucket(place)
    if status in statuses:
        return answer
    if status in (401, 403):
        hint = "Renew the credentials, or ask for the right; a clock that is 15 minutes off is refused, too."
        raise errors.NotAuthorised(f"Cloud Storage refused the credentials for gs://{place.bucket} ({status}).", hint)
    if status in transfers.AGAIN or status < 400:
        raise errors.Unreachable(f"Cloud Storage can't answer now ({status}).", "Try again later.")
    raise errors.InvalidInput(f"Cloud Storage took it for wrong ({status}).", "Look at the names.")


def no_bucket(place: places.Place) -> errors.InvalidInput:
    """The error for a bucket that is not there."""
    hint = f"Make it: gcloud storage buckets create gs://{place.bucket}"
    return errors.InvalidInput(f"There is no bucket {place.bucket}, or it may not be seen.", hint)
