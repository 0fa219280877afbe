"""Signs by botocore what stands on standard input, a JSON line each, and prints the signed headers and addresses."""

from __future__ import annotations

import datetime
import json
import sys
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.client
import botocore.config
import botocore.credentials
import botocore.session

now: Any = None


class Clock(datetime.datetime):
    @classmethod
    def utcnow(cls) -> Any:
        return now

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return now.replace(tzinfo=tz)


def main() -> None:
    global now
    datetime.datetime = Clock  # type: ignore[misc]
    botocore.auth.datetime = datetime
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True: now
    for line in sys.stdin:
        case = json.loads(line)
        now = Clock.strptime(case["at"], "%Y%m%dT%H%M%SZ")
        keys = botocore.credentials.Credentials(case["access"], case["secret"], case["token"])
        request = botocore.awsrequest.AWSRequest(case["method"], case["url"], headers=case["headers"])
        request.headers["X-Amz-Content-SHA256"] = case["sha256"]
        request.context["payload_signing_enabled"] = True
        signer = botocore.auth.S3SigV4Auth(keys, "s3", case["region"])
        signer.payload = lambda _, case=case: case["sha256"]
        signer.add_auth(request)
        print(json.dumps({"headers": dict(request.headers.items()), "url": presigned(case)}), flush=True)


def presigned(case: dict[str, Any]) -> str:
    """A client's own, from the bucket and the key: the address is botocore's choice, too."""
    # By itself it would sign for s3.amazonaws.com, which serves the buckets of one region alone.
    style = "path" if case["endpoint"] or "." in case["bucket"] else "virtual"
    name = (case["region"], case["secret"], case["endpoint"], style)
    if name not in CLIENTS:
        CLIENTS[name] = SESSION.create_client(
            "s3",
            region_name=case["region"],
            aws_access_key_id=case["access"],
            aws_secret_access_key=case["secret"],
            aws_session_token=case["token"],
            endpoint_url=case["endpoint"],
            config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": style}),
        )
    parameters = {"Bucket": case["bucket"], "Key": case["key"]}
    url = CLIENTS[name].generate_presigned_url("get_object", Params=parameters, ExpiresIn=case["seconds"])
    return str(url)


SESSION = botocore.session.Session()
CLIENTS: dict[Any, Any] = {}

if __name__ == "__main__":
    main()
