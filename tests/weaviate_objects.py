"""Collections and objects that together use every data type, made from a seed; and what a server has, told exactly.

server.ask("POST", "schema", weaviate_objects.schema("Rich", refers=["Other"]))
made = weaviate_objects.objects(random.Random(1), 50, "Rich")
weaviate_objects.put(server, made)
assert weaviate_objects.held(server, "Rich") == weaviate_objects.held(server, "Copy")
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from tests import weaviates

PRIMITIVE = ("text", "int", "number", "boolean", "date", "uuid")
ALONE = ("blob", "geoCoordinates", "phoneNumber")
NESTED = [
    *({"name": f"n_{kind}", "dataType": [kind]} for kind in (*PRIMITIVE, "blob")),
    *({"name": f"n_{kind}s", "dataType": [f"{kind}[]"]} for kind in PRIMITIVE),
    {"name": "deep", "dataType": ["object[]"], "nestedProperties": [{"name": "n_date", "dataType": ["date"]}]},
]
TEXTS = (
    "",
    "a",
    "héllo wörld",
    'quote " and \\ and /',
    "\u2028\u2029",
    "😀 \U00010ffff",
    "a\u0000b\t\n",
    "<b>&amp;",
    "null",
    "[1,2]",
)
INTS = (0, 1, -1, 2**53, -(2**53), 2**63 - 1, -(2**63), 9007199254740993, 10**18)
NUMBERS = (0.0, -0.0, 1.0, 0.1, 1e-300, 1.7976931348623157e308, 5e-324, 1e21, 123456789012345680, -2.5)
DATES = (
    "2024-02-29T23:59:59.123456789+05:30",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.9Z",
    "1969-12-31T23:59:59-11:00",
)
PHONES = (
    {"input": "020 1234567", "defaultCountry": "nl"},
    {"input": "+49 171 1234567"},
    {"input": "12", "defaultCountry": "DE"},
)
PLACES = ((52.3, -4.9), (0, 0), (-90, 180), (52.123456789, -0.0))


def _named(kind: str) -> str:
    return f"p_{kind.replace('[]', 's')}"


def schema(name: str, *, refers: Sequence[str] = (), tenants: bool = False, **more: Any) -> dict[str, Any]:
    """A collection with a property of every data type, three named vectors, and `ref` for what it refers to."""
    kinds = [*PRIMITIVE, *ALONE, *(f"{kind}[]" for kind in PRIMITIVE)]
    properties = [{"name": _named(kind), "dataType": [kind]} for kind in kinds]
    properties += [
        {"name": f"p_{kind.replace('[]', 's')}", "dataType": [kind], "nestedProperties": NESTED}
        for kind in ("object", "object[]")
    ]
    if refers:
        properties.append({"name": "ref", "dataType": list(refers)})
    plain = {"vectorizer": {"none": {}}, "vectorIndexType": "hnsw"}
    vectors = {
        "one": plain,
        "two": {**plain, "vectorIndexType": "flat"},
        "many": {**plain, "vectorIndexConfig": {"multivector": {"enabled": True}}},
    }
    return {
        "class": name,
        "properties": properties,
        "vectorConfig": vectors,
        **({"multiTenancyConfig": {"enabled": True}} if tenants else {}),
        **more,
    }


def uid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def objects(rng: random.Random, number: int, name: str, tenant: str | None = None) -> list[dict[str, Any]]:
    """Objects for `schema(name)`: some with all properties and vectors, some with few, some with none."""
    return [
        {
            "class": name,
            "id": uid(rng),
            "properties": _properties(rng),
            "vectors": _vectors(rng),
            **({"tenant": tenant} if tenant else {}),
        }
        for _ in range(number)
    ]


def put(server: weaviates.Server, made: Sequence[Mapping[str, Any]]) -> None:
    """Write objects past daglab. Each must be taken."""
    for start in range(0, len(made), 100):
        answer = server.ask("POST", "batch/objects", {"objects": list(made[start : start + 100])})
        assert [each["result"] for each in answer if each["result"]["status"] != "SUCCESS"] == []


def refer(server: weaviates.Server, name: str, pairs: Sequence[tuple[str, str]], tenant: str | None = None) -> None:
    """Have objects' `ref` lead to others: (id, "Other/id")."""
    body = [
        {"from": f"weaviate://localhost/{name}/{one}/ref", "to": f"weaviate://localhost/{other}"}
        | ({"tenant": tenant} if tenant else {})
        for one, other in pairs
    ]
    answer = server.ask("POST", "batch/references", body)
    assert [each["result"] for each in answer if each["result"]["status"] != "SUCCESS"] == []


def held(server: weaviates.Server, name: str, tenant: str | None = None) -> dict[str, str]:
    """All that a server tells of a collection's objects, by id: numbers as they are written, without times.

    It shares nothing with daglab's own reading and comparing. A reference to the collection itself says SELF.
    """
    found: dict[str, str] = {}
    after = ""
    while True:
        query = {
            "class": name,
            "after": after,
            "limit": 100,
            "include": "vector",
            **({"tenant": tenant} if tenant else {}),
        }
        response = requests.get(f"{server.url}/v1/objects", params=query, headers=server.headers, timeout=60)
        assert response.status_code == 200, response.text
        listed = json.loads(response.text, parse_int=lambda text: f"#{text}", parse_float=lambda text: f"#{text}")
        if not listed["objects"]:
            return found
        for each in listed["objects"]:
            after = each["id"]
            properties = dict(each["properties"])
            if isinstance(properties.get("ref"), list):
                beacons = [one["beacon"].replace(f"/{name}/", "/SELF/") for one in properties["ref"]]
                properties["ref"] = sorted(beacons)
            assert each["id"] not in found
            told = [properties, each.get("vector"), each.get("vectors"), each.get("tenant")]
            found[each["id"]] = json.dumps(told, sort_keys=True)


def _value(rng: random.Random, kind: str) -> Any:
    if kind.endswith("[]"):
        return [_value(rng, kind[:-2]) for _ in range(rng.choice((0, 1, 3, 30)))]
    return {
        "text": lambda: rng.choice(TEXTS),
        "int": lambda: rng.choice(INTS),
        "number": lambda: rng.choice((*NUMBERS, rng.gauss(0, 1e10))),
        "boolean": lambda: rng.random() < 0.5,
        "date": lambda: rng.choice(DATES),
        "uuid": lambda: uid(rng).upper(),
        "blob": lambda: rng.choice(("aGVsbG8=", "AA==", "/+8A" * 20)),
        "geoCoordinates": lambda: dict(zip(("latitude", "longitude"), rng.choice(PLACES), strict=True)),
        "phoneNumber": lambda: rng.choice(PHONES),
    }[kind]()


def _nested(rng: random.Random) -> dict[str, Any]:
    found = {each["name"]: _value(rng, each["dataType"][0]) for each in NESTED[:-1] if rng.random() < 0.4}
    if rng.random() < 0.3:
        found["n_text"] = None
    if rng.random() < 0.5:
        found["deep"] = rng.choice(([], [{}], [{"n_date": rng.choice(DATES)}, {}]))
    return found


def _properties(rng: random.Random) -> dict[str, Any]:
    share = rng.choice((0.0, 0.3, 0.7, 1.0))
    found: dict[str, Any] = {}
    for kind in [*PRIMITIVE, *ALONE, *(f"{kind}[]" for kind in PRIMITIVE)]:
        if rng.random() < share:
            found[_named(kind)] = None if rng.random() < 0.05 else _value(rng, kind)
    if rng.random() < share:
        found["p_object"] = _nested(rng)
    if rng.random() < share:
        found["p_objects"] = [_nested(rng) for _ in range(rng.choice((0, 1, 3)))]
    return found


def _vectors(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rng.random() < 0.7:
        found["one"] = [rng.choice((rng.gauss(0, 1), 1e-7, -0.0, 3.4e38, 1)) for _ in range(12)]
    if rng.random() < 0.7:
        found["two"] = [rng.gauss(0, 1) for _ in range(3)]
    if rng.random() < 0.7:
        found["many"] = [[rng.gauss(0, 1) for _ in range(5)] for _ in range(rng.randint(1, 6))]
    return found
