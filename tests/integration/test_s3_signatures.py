"""Our signatures are botocore's, byte for byte, over random keys, names, dates and headers."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import requests

from daglab.storage import s3, sigv4

SEED = 8
ODD = [*"+&=~ %#?!*'();:@$,[]{}|^`<>\"-_.aZ09", "ü", "é", "日本", "🙂", "%2F", "%25", "&amp;", "+ ", "a//b"[0]]
REGIONS = ["us-west-2", "eu-central-1", "cn-north-1", "us-gov-west-1", "ap-southeast-2"]
IDENTITIES = [
    {"access": "AKIDEXAMPLE", "secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token": None},
    {"access": "ASIAX", "secret": "s3/+=c", "token": "IQoJb3JpZ2luX2VjE//+tok==en"},
]


def test_signatures_are_those_of_botocore(server_program: Callable[[str], str]) -> None:
    python = str(Path(server_program("clients/bin/moto_server")).with_name("python"))
    random_ = random.Random(SEED)
    cases = [made(random_) for _ in range(500)]
    script = str(Path(__file__).with_name("botocore_signatures.py"))
    text = "".join(json.dumps(case) + "\n" for case in cases)
    env = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "LANG": "C.UTF-8"}
    done = subprocess.run(
        [python, script], input=text, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(cases)
    for case, theirs in zip(cases, answers, strict=True):
        keys = sigv4.Keys(case["access"], case["secret"], case["token"])
        at = datetime.strptime(case["at"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        ours = sigv4.signed_headers(
            keys, case["region"], case["method"], case["url"], case["headers"], case["sha256"], at
        )
        lower = {name.lower(): value for name, value in theirs["headers"].items()}
        assert {name.lower(): value for name, value in ours.items()} == lower, case
        url = s3.address(case["bucket"], case["region"], case["endpoint"], "auto") + sigv4.quoted(case["key"])
        assert sigv4.signed_url(keys, case["region"], "GET", url, case["seconds"], at) == theirs["url"], case
        # And an HTTP client sends the address as it was signed.
        assert requests.Request("PUT", case["url"]).prepare().url == case["url"]


def made(random_: random.Random) -> dict[str, Any]:
    key = "/".join(
        "".join(random_.choice(ODD) for _ in range(random_.randint(1, 12))).strip(".") or "x"
        for _ in range(random_.randint(1, 4))
    )
    key = random_.choice(["", ".hidden/", "..x/"]) + key
    bucket = random_.choice(["bucket", "my-bucket", "dotted.bucket.name"])
    region = random_.choice(REGIONS)
    endpoint = random_.choice([None, None, "http://127.0.0.1:9000", "https://minio.example.com", "http://h.example:80"])
    query = sigv4.query({"list-type": "2", "prefix": key}) if random_.random() < 0.3 else ""
    url = s3.address(bucket, region, endpoint, "auto") + sigv4.quoted(key) + (f"?{query}" if query else "")
    headers = {
        "Content-Type": random_.choice(["text/html; charset=utf-8", "text/html;  charset=utf-8", "a/b"]),
        "x-amz-meta-notebook": random_.choice(["orders", "a  b", "x=1, y=2"]),
        "X-Amz-Checksum-Sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    }
    at = datetime(2000, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=random_.randint(0, 40 * 365 * 86400))
    return {
        **random_.choice(IDENTITIES),
        "region": region,
        "endpoint": endpoint,
        "bucket": bucket,
        "key": key,
        "url": url,
        "method": random_.choice(["GET", "PUT", "HEAD", "DELETE"]),
        "headers": {name: headers[name] for name in random_.sample(sorted(headers), random_.randint(0, 3))},
        "sha256": hashlib.sha256(key.encode()).hexdigest(),
        "seconds": random_.choice([1, 60, 3600, 604800]),
        "at": at.strftime("%Y%m%dT%H%M%SZ"),
    }
