"""Collections that are moved in the tests: filled, written to meanwhile, and read again, all past daglab."""

from __future__ import annotations

import random
import struct
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from tests import weaviates

BEACON = "weaviate://localhost/"
PRIMITIVE = ("text", "int", "number", "boolean", "date", "uuid")
NESTED = [
    {"name": "a", "dataType": ["text"]},
    {"name": "n", "dataType": ["int[]"]},
    {"name": "deep", "dataType": ["object"], "nestedProperties": [{"name": "d", "dataType": ["date"]}]},
]
VALUES: dict[str, Any] = {
    "text": 'héllo \u2028 " \\ 😀',
    "int": -(2**40),
    "number": 0.1,
    "boolean": False,
    "date": "2024-02-29T23:59:59.123456789+05:30",
    "uuid": "5b0a2f3e-6c1d-4d5e-8f00-0123456789ab",
    "blob": "aGVsbG8=",
    "geoCoordinates": {"latitude": 52.3, "longitude": -4.9},
    "phoneNumber": {"input": "020 1234567", "defaultCountry": "nl"},
    "texts": ["a", ""],
    "ints": [1, -5],
    "numbers": [1e-300, 1.5e300],
    "booleans": [True, False],
    "dates": ["2020-01-01T00:00:00Z"],
    "uuids": ["5b0a2f3e-6c1d-4d5e-8f00-0123456789ab"],
    "obj": {"a": "x", "n": [1, 2], "deep": {"d": "2020-01-01T00:00:00Z"}},
    "objs": [{"a": "y"}, {"n": [3]}],
}
State = dict[tuple["str | None", str], Any]


def make_rich(server: weaviates.Server, name: str, other: str, *, tenants: bool = False) -> None:
    """A collection with every data type, named and multi-vectors, and references to itself and to `other`."""
    props: list[dict[str, Any]] = [
        {"name": each, "dataType": [each]} for each in (*PRIMITIVE, "blob", "geoCoordinates", "phoneNumber")
    ]
    props += [{"name": f"{each}s", "dataType": [f"{each}[]"]} for each in PRIMITIVE]
    props += [{"name": "obj", "dataType": ["object"], "nestedProperties": NESTED}]
    props += [{"name": "objs", "dataType": ["object[]"], "nestedProperties": NESTED}]
    plain = {"vectorizer": {"none": {}}, "vectorIndexType": "hnsw"}
    many = {**plain, "vectorIndexConfig": {"multivector": {"enabled": True}}}
    vectors = {"one": plain, "two": {**plain, "vectorIndexType": "flat"}, "many": many}
    schema = {"class": name, "properties": props, "vectorConfig": vectors}
    server.ask("POST", "schema", {**schema, **({"multiTenancyConfig": {"enabled": True}} if tenants else {})})
    server.ask("POST", f"schema/{name}/properties", {"name": "ref", "dataType": [name, other]})


def make_plain(server: weaviates.Server, name: str) -> None:
    """A collection without vectors to speak of."""
    server.ask(
        "POST", "schema", {"class": name, "vectorizer": "none", "properties": [{"name": "t", "dataType": ["text"]}]}
    )


def ids(chosen: random.Random, count: int) -> list[str]:
    """Random ids."""
    return [str(uuid.UUID(int=chosen.getrandbits(128), version=4)) for _ in range(count)]


def fill_rich(
    server: weaviates.Server, name: str, other: str, count: int, *, tenant: str | None = None, seed: int = 1
) -> list[str]:
    """Objects with some of all properties and vectors, and with references, twice the same and to nothing, too."""
    chosen = random.Random(seed)
    made, others = ids(chosen, count), ids(chosen, 5)
    put(server, [{"class": other, "id": each, "properties": {"t": "o"}} for each in others])
    put(server, [_rich(chosen, name, each, tenant, whole=number == 0) for number, each in enumerate(made)])
    nowhere = [] if tenant else ids(chosen, 3)
    references = []
    for each in made:
        for _ in range(chosen.randint(0, 3)):
            to = chosen.choice([f"{name}/{chosen.choice(made + nowhere)}", f"{other}/{chosen.choice(others)}"])
            references.append({"from": f"{BEACON}{name}/{each}/ref", "to": f"{BEACON}{to}", "tenant": tenant})
    found = server.ask("POST", "batch/references", [{k: v for k, v in each.items() if v} for each in references])
    assert all(each["result"]["status"] == "SUCCESS" for each in found), found
    return made


def _rich(chosen: random.Random, name: str, uid: str, tenant: str | None, *, whole: bool) -> dict[str, Any]:
    properties = {key: value for key, value in VALUES.items() if whole or chosen.random() < 0.6}
    vectors: dict[str, Any] = {}
    for key, size in (("one", 8), ("two", 4)):
        if whole or chosen.random() < 0.7:
            vectors[key] = vector(chosen, size)
    if whole or chosen.random() < 0.7:
        vectors["many"] = [vector(chosen, 3) for _ in range(chosen.randint(1, 4))]
    found: dict[str, Any] = {"class": name, "id": uid, "properties": properties, "vectors": vectors}
    return {**found, "tenant": tenant} if tenant else found


def vector(chosen: random.Random, size: int) -> list[float]:
    """A random vector."""
    return [chosen.gauss(0, 1) for _ in range(size)]


def put(server: weaviates.Server, objects: Sequence[Mapping[str, Any]]) -> None:
    """Write objects, all of which must be taken."""
    for start in range(0, len(objects), 200):
        found = server.ask("POST", "batch/objects", {"objects": list(objects[start : start + 200])})
        assert all(each["result"]["status"] == "SUCCESS" for each in found), found


def state(server: weaviates.Server, name: str, called: str | None = None) -> State:
    """All objects as they are read, but for times; references to itself under the name `called`, sorted.

    Tenants that are not active are left out.
    """
    schema = server.ask("GET", f"schema/{name}")
    tenants: list[str | None] = [None]
    if (schema.get("multiTenancyConfig") or {}).get("enabled"):
        listed = server.ask("GET", f"schema/{name}/tenants") or []
        tenants = [each["name"] for each in listed if each["activityStatus"] in ("HOT", "ACTIVE")]
    found: State = {}
    for tenant in tenants:
        after = ""
        of_tenant = {"tenant": tenant} if tenant else {}
        while page := server.ask(
            "GET", "objects", None, **{"class": name, "after": after, "limit": 500, "include": "vector", **of_tenant}
        )["objects"]:
            for each in page:
                assert (tenant, each["id"]) not in found
                found[tenant, each["id"]] = _seen(each, name, called or name)
            after = page[-1]["id"]
    return found


def _seen(each: Mapping[str, Any], name: str, called: str) -> Any:
    properties = {key: value for key, value in (each.get("properties") or {}).items() if value not in (None, [])}
    if "ref" in properties:
        own = f"{BEACON}{name}/"
        listed = [one["beacon"] for one in properties["ref"]]
        properties["ref"] = sorted(one.replace(own, f"{BEACON}{called}/") for one in listed)
    return properties, _packed(each.get("vector")), {k: _packed(v) for k, v in (each.get("vectors") or {}).items()}


def _packed(value: Any) -> Any:
    if value and isinstance(value[0], list):
        return [_packed(each) for each in value]
    return struct.pack(f"<{len(value or ())}f", *(value or ()))


def is_writable(server: weaviates.Server, name: str) -> bool:
    """Whether no shard is read-only."""
    nodes = server.ask("GET", f"nodes/{name}", output="verbose")["nodes"]
    return all(each["vectorIndexingStatus"] != "READONLY" for node in nodes for each in node["shards"] or ())


@dataclass
class Writer:
    """Inserts, updates and deletes objects of its own until it is stopped, and keeps a ledger of what was accepted.

    What is refused is tried again until it is taken; or, with `gives_up`, is the end. Uses `name`, which may be an
    alias; references lead to `others`.
    """

    server: weaviates.Server
    name: str
    others: tuple[str, Sequence[str]]
    seed: int
    tenant: str | None = None
    gives_up: bool = False
    owned: list[str] = field(default_factory=list)
    ledger: dict[str, tuple[str, Any, list[str]]] = field(default_factory=dict)
    refused: int = 0
    done: int = 0
    problem: str | None = None
    unknown: set[str] = field(default_factory=set)  # refused, but what was under way may have been done in part
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Write until it is told to stop."""
        chosen = random.Random(self.seed)
        session = requests.Session()
        while not self.stop.is_set():
            if not self._once(session, chosen):
                return
            self.done += 1
            time.sleep(0.01)  # it is to be caught up with

    def expected(self) -> State:
        """What must be there of its objects, as `state` gives it."""
        return {
            (self.tenant, uid): (
                {"t": text, **({"ref": sorted(refs)} if refs else {})},
                _packed(values),
                {},
            )
            for uid, (text, values, refs) in self.ledger.items()
        }

    def _once(self, session: requests.Session, chosen: random.Random) -> bool:
        kind = chosen.random()
        known = list(self.ledger)
        if not known or kind < 0.3:
            return self._put(session, chosen, ids(chosen, chosen.randint(1, 6)))
        uid = chosen.choice(known)
        text, values, refs = self.ledger[uid]
        if kind < 0.4:
            return self._put(session, chosen, [uid])
        if kind < 0.6:
            text = f"patched {chosen.random()}"
            taken = self._try(session, "PATCH", f"objects/{self.name}/{uid}", {"class": self.name, **self._o(text)})
        elif kind < 0.75:
            other, listed = self.others
            refs = [f"{BEACON}{other}/{each}" for each in chosen.sample(listed, chosen.randint(0, 2))]
            path = f"objects/{self.name}/{uid}/references/ref"
            taken = self._try(session, "PUT", path, [{"beacon": each} for each in refs])
        elif kind < 0.9:
            taken = self._try(session, "DELETE", f"objects/{self.name}/{uid}", None)
            if taken:
                del self.ledger[uid]
            return taken
        else:
            text, values, refs = f"put {chosen.random()}", vector(chosen, 4), []
            body = {"class": self.name, "id": uid, **self._o(text), "vector": values}
            taken = self._try(session, "PUT", f"objects/{self.name}/{uid}", body)
        if taken:
            self.ledger[uid] = text, values, refs
        return taken

    def _o(self, text: str) -> dict[str, Any]:
        return {"properties": {"t": text}, **({"tenant": self.tenant} if self.tenant else {})}

    def _put(self, session: requests.Session, chosen: random.Random, some: list[str]) -> bool:
        written = {
            uid: (f"new {chosen.random()}", vector(chosen, 4) if chosen.random() < 0.9 else None) for uid in some
        }
        left = set(written)
        while left:
            objects = [
                {"class": self.name, "id": uid, **self._o(written[uid][0]), "vector": written[uid][1]} for uid in left
            ]
            found = session.post(f"{self.server.url}/v1/batch/objects", json={"objects": objects}).json()
            # Of a batch that a read-only shard refuses, the server says so of the first object only.
            if all(each["result"].get("status") == "SUCCESS" for each in found):
                self.ledger.update({uid: (*each, []) for uid, each in written.items()})
                left.clear()
            if left:
                self.refused += 1
                if self.gives_up:
                    self.unknown.update(left)
                    return False
                time.sleep(0.01)
        return True

    def _try(self, session: requests.Session, method: str, path: str, body: Any) -> bool:
        query = {"tenant": self.tenant} if self.tenant else {}
        while True:
            response = session.request(method, f"{self.server.url}/v1/{path}", json=body, params=query)
            if response.status_code < 300:
                return True
            if "read-only" not in response.text:
                self.problem = f"{method} {path}: {response.status_code} {response.text}"
                return False
            self.refused += 1
            if self.gives_up:
                self.unknown.add(path.split("/")[2])
                return False
            time.sleep(0.01)
