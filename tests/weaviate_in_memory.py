"""A Weaviate in this process, in place of HTTP: for what breaks off at each request, which a real one can't be made to.

It has what copying, moving and comparing collections ask for: schemas, tenants, objects, references, aliases, shards.
"""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import responses

BEACON = "weaviate://localhost/"
_COUNT = re.compile(r'(c\d+): (\w+)(?:\(tenant: ("(?:[^"\\]|\\.)*")\))? \{meta')
_GET = re.compile(r'\{Get \{(\w+)\((?:tenant: ("[^"]*"), )?limit: \d+, where: .*?valueText: (\[.*?\])\}')


class Killed(BaseException):
    """The process is killed at this request."""


class Refusal(Exception):
    """An answer that is not a good one."""

    def __init__(self, status: int, said: str = "") -> None:
        super().__init__(said)
        self.status = status


@dataclass
class Collection:
    """Its schema, the objects of each tenant by id (None is that of a collection without), and what is read-only."""

    schema: dict[str, Any]
    shard: str
    objects: dict[str | None, dict[str, dict[str, Any]]] = field(default_factory=dict)
    tenants: dict[str, str] = field(default_factory=dict)
    readonly: set[str] = field(default_factory=set)

    @property
    def has_tenants(self) -> bool:
        return bool((self.schema.get("multiTenancyConfig") or {}).get("enabled"))

    @property
    def shards(self) -> list[str]:
        active = [name for name, status in self.tenants.items() if status == "ACTIVE"]
        return active if self.has_tenants else [self.shard]

    def of(self, tenant: str | None) -> dict[str, dict[str, Any]]:
        """The objects of a tenant, as a server has them at hand."""
        if self.has_tenants and self.tenants.get(tenant or "") != "ACTIVE":
            raise Refusal(422, f"tenant not active: '{tenant}'")
        return self.objects.setdefault(tenant, {})

    def writable(self, tenant: str | None) -> dict[str, dict[str, Any]]:
        """As `of`, to be written to."""
        if (tenant or self.shard) in self.readonly:
            raise Refusal(422, "store is read-only")
        return self.of(tenant)


class Server:
    """The server at `url`.

    `on` is called before each request with its method and path, `after` when it is done; either may raise what a
    request does that breaks off, or `Killed`; `on` a `Refusal`, too.
    """

    def __init__(self, mocked: responses.RequestsMock, url: str) -> None:
        self.url, self.now = url, 1_000_000
        self.there: dict[str, Collection] = {}
        self.aliases: dict[str, str] = {}
        self.version = "1.39.0"
        self.serial = itertools.count()
        self.on: Callable[[str, str], None] = lambda method, path: None
        self.after: Callable[[str, str], None] = lambda method, path: None
        self.refuse: Callable[[dict[str, Any]], str | None] = lambda found: None  # why it takes no object, no reference
        for method in ("GET", "POST", "PUT", "DELETE"):
            mocked.add_callback(method, re.compile(re.escape(f"{url}/v1/")), callback=self._answer)

    def make(self, name: str, tenants: dict[str, str] | None = None, **more: Any) -> Collection:
        """A collection of the texts `t`, and the references `of` to itself."""
        properties = [{"name": "t", "dataType": ["text"]}, {"name": "of", "dataType": [name]}]
        schema = {"class": name, "properties": properties, "vectorizer": "none", "vectorIndexType": "hnsw", **more}
        if tenants is not None:
            schema["multiTenancyConfig"] = {"enabled": True}
        made = self.there[name] = Collection(schema, f"shard{next(self.serial)}", tenants=dict(tenants or {}))
        return made

    def put(self, name: str, number: int, tenant: str | None = None, *, of: int | None = None, text: str = "x") -> str:
        """An object with the id of this number; `of` is the number of the one that it refers to."""
        self.now += 1
        uid = str(uuid.UUID(int=number))
        found = {"id": uid, "properties": {"t": text}, "vector": [0.5, number], "lastUpdateTimeUnix": self.now}
        if of is not None:
            found["properties"]["of"] = [{"beacon": f"{BEACON}{name}/{uuid.UUID(int=of)}"}]  # type: ignore[index]
        self.there[name].objects.setdefault(tenant, {})[uid] = found
        return uid

    def contents(self, name: str) -> dict[str | None, dict[str, Any]]:
        """What each object is, by tenant and id: its text, its vector, the ids of what it refers to."""
        return {
            tenant: {
                uid: (
                    each["properties"].get("t"),
                    each.get("vector"),
                    sorted(one["beacon"].rpartition("/")[2] for one in each["properties"].get("of") or ()),
                )
                for uid, each in some.items()
            }
            for tenant, some in self.there[name].objects.items()
            if some
        }

    def _answer(self, request: Any) -> tuple[int, dict[str, str], str]:
        parts = urlsplit(request.url)
        path = parts.path.removeprefix("/v1/")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        body = json.loads(request.body) if request.body else None
        try:
            self.on(request.method, path)
            found = self._found(request.method, [unquote(each) for each in path.split("/")], query, body)
        except Refusal as refusal:
            return refusal.status, {}, json.dumps({"error": [{"message": str(refusal)}]})
        self.after(request.method, path)
        return 200, {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, json.dumps(found)

    def _found(self, method: str, path: list[str], query: dict[str, str], body: Any) -> Any:
        kind, *rest = path
        if kind == "graphql":
            try:
                return {"data": self._graphql(body["query"])}
            except Refusal as refusal:
                return {"errors": [{"message": str(refusal)}]}
        if kind == "aliases":
            return self._aliases(method, rest, body)
        if kind == "schema":
            return self._schema(method, rest, body)
        if kind == "objects":
            return self._objects(rest, query)
        if kind == "batch":
            return self._batch(method, rest[0], query, body)
        return self._told(kind, rest)

    def _told(self, kind: str, rest: list[str]) -> Any:
        if kind == "nodes":
            shards = [self._shard(name, each) for name, there in self.there.items() for each in there.shards]
            listed = [each for each in shards if not rest or each["class"] == rest[0]]
            return {"nodes": [{"name": "n1", "status": "HEALTHY", "version": self.version, "shards": listed}]}
        raft = {"state": "Leader", "appliedIndex": "5", "latestConfiguration": [{"id": "n1"}]}
        member = {"name": "n1", "status": "HEALTHY", "leaderId": "n1", "raft": raft}
        members = {"synchronized": True, "statistics": [member]}
        return {"meta": {"version": self.version}, ".well-known": None, "cluster": members}[kind]

    def _batch(self, method: str, what: str, query: dict[str, str], body: Any) -> Any:
        if method == "DELETE":
            return self._deleted(body["match"], query.get("tenant"))
        if what == "objects":
            return [self._result(self._write, each) for each in body["objects"]]
        return [self._result(self._refer, each) for each in body]

    def _shard(self, name: str, shard: str) -> dict[str, Any]:
        status = "READONLY" if shard in self.there[name].readonly else "READY"
        return {"name": shard, "class": name, "objectCount": 0, "vectorIndexingStatus": status, "vectorQueueLength": 0}

    def _graphql(self, query: str) -> dict[str, Any]:
        if found := _GET.match(query):
            name, tenant, ids = found[1], found[2] and json.loads(found[2]), json.loads(found[3])
            some = self.there[name].of(tenant)
            return {"Get": {name: [{"_additional": {"id": each}} for each in ids if each in some]}}
        counts = {}
        for key, name, tenant in _COUNT.findall(query):
            if name not in self.there:
                raise Refusal(422, f"no {name}")
            counts[key] = [{"meta": {"count": len(self.there[name].of(json.loads(tenant) if tenant else None))}}]
        return {"Aggregate": counts}

    def _aliases(self, method: str, rest: list[str], body: Any) -> Any:
        if method == "GET":
            return {"aliases": [{"alias": alias, "class": name} for alias, name in self.aliases.items()]}
        self.aliases[rest[0] if rest else body["alias"]] = body["class"]
        return {}

    def _schema(self, method: str, rest: list[str], body: Any) -> Any:
        if not rest:
            if method == "GET":
                return {"classes": [each.schema for each in self.there.values()]}
            if body["class"] in self.there:
                raise Refusal(422, "it is there already")
            self.there[body["class"]] = Collection(body, f"shard{next(self.serial)}")
            return body
        if rest[0] not in self.there:
            if method == "DELETE":
                return None
            raise Refusal(404)
        there = self.there[rest[0]]
        if len(rest) == 1:
            return self.there.pop(rest[0]) and None if method == "DELETE" else there.schema
        if rest[1] == "properties":
            return there.schema["properties"].append(body)
        if rest[1] == "shards":
            (there.readonly.add if body["status"] == "READONLY" else there.readonly.discard)(rest[2])
            return body
        return self._tenants(there, method, rest[2:], body)

    def _tenants(self, there: Collection, method: str, rest: list[str], body: Any) -> Any:
        if method == "GET":
            listed = [{"name": name, "activityStatus": status} for name, status in there.tenants.items()]
            if rest and rest[0] not in there.tenants:
                raise Refusal(404)
            return next(each for each in listed if each["name"] == rest[0]) if rest else listed
        for each in body:
            if method == "DELETE":
                there.tenants.pop(each, None)
                there.objects.pop(each, None)
            elif method == "PUT" or each["name"] not in there.tenants:
                there.tenants[each["name"]] = each["activityStatus"]
                if each["activityStatus"] != "ACTIVE":
                    there.readonly.discard(each["name"])  # a shard is loaded as a writable one
        return body

    def _objects(self, rest: list[str], query: dict[str, str]) -> Any:
        name = rest[0] if rest else query["class"]
        if name not in self.there:
            raise Refusal(404)
        some = self.there[name].of(query.get("tenant"))
        if rest:
            if rest[1] not in some:
                raise Refusal(404)
            return {"class": name, **some[rest[1]]}
        listed = sorted(each for each in some if each > query.get("after", ""))[: int(query["limit"])]
        return {"objects": [{"class": name, **some[each]} for each in listed]}

    def _deleted(self, match: dict[str, Any], tenant: str | None) -> Any:
        some = self.there[match["class"]].writable(tenant)
        gone = [some.pop(each, None) for each in match["where"]["valueTextArray"]]
        return {"results": {"successful": sum(each is not None for each in gone), "failed": 0}}

    def _result(self, do: Callable[[Any], None], each: Any) -> dict[str, Any]:
        try:
            do(each)
        except Refusal as refusal:
            return {"result": {"status": "FAILED", "errors": {"error": [{"message": str(refusal)}]}}}
        return {"result": {"status": "SUCCESS"}}

    def _write(self, each: dict[str, Any]) -> None:
        if said := self.refuse(each):
            raise Refusal(422, said)
        self.now += 1
        kept = {key: value for key, value in each.items() if key not in ("class", "tenant")}
        self.there[each["class"]].writable(each.get("tenant"))[each["id"]] = {**kept, "lastUpdateTimeUnix": self.now}

    def _refer(self, each: dict[str, Any]) -> None:
        if said := self.refuse(each):
            raise Refusal(422, said)
        name, uid, prop = each["from"].removeprefix(BEACON).split("/")
        some = self.there[name].writable(each.get("tenant"))
        if uid not in some:
            raise Refusal(422, f"there is no {uid}")
        properties = some[uid]["properties"]
        properties[prop] = [*properties.get(prop, []), {"beacon": each["to"]}]
