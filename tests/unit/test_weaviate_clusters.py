"""Which Weaviate is asked and as whom, what it is asked, and what is made of its answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from daglab import errors
from daglab.settings import config
from daglab.weaviate import api, clusters, rest, store

URL = "http://weaviate.test:8080"
SCHEMA = {"class": "Docs", "properties": [{"name": "title", "dataType": ["text"]}]}


@pytest.fixture
def mocked() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def cluster() -> rest.Cluster:
    return clusters.connect(config.load({}), URL)


def settings(root: Path, *entries: dict[str, str], **more: Any) -> config.Config:
    (root / "daglab.yaml").write_text(json.dumps({"weaviate": {"clusters": list(entries)}}))
    return config.load(more, directory=root)


def own_config(text: str) -> None:
    """The user's own config."""
    folder = Path.home() / ".config" / "daglab"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(text)
    (folder / "config.yaml").chmod(0o600)


def sent(mocked: responses.RequestsMock, number: int = -1) -> Any:
    return json.loads(mocked.calls[number].request.body)


# --- which one


def test_a_cluster_is_named_or_is_the_only_or_the_default_one(tmp_path: Path) -> None:
    one, other = {"name": "main", "url": f"{URL}/v1/"}, {"name": "default", "url": "http://other.test"}
    assert clusters.connect(settings(tmp_path, one)).url == URL
    both = settings(tmp_path, one, {**other, "name": "second"})
    with pytest.raises(errors.WrongUsage, match="names 2 clusters") as refused:
        clusters.connect(both)
    assert "--cluster main or second" in str(refused.value.hint)
    assert clusters.connect(settings(tmp_path, one, other)).name == "default"
    assert clusters.names(both) == ["main", "second"]
    assert clusters.connect(both, "main").url == URL
    with pytest.raises(errors.WrongUsage, match="names no cluster 'mian'") as refused:
        clusters.connect(both, "mian")
    assert "main" in str(refused.value.hint)
    with pytest.raises(errors.NotSetUp, match="names no Weaviate cluster"):
        clusters.connect(config.load({}, directory=tmp_path / "gone"))


def test_an_address_takes_its_listener_from_the_config(tmp_path: Path) -> None:
    found = settings(tmp_path, {"name": "main", "url": URL, "metrics": "http://weaviate.test:2112/metrics"})
    assert clusters.connect(found, URL).metrics == "http://weaviate.test:2112/metrics"
    assert clusters.connect(found, "http://other.test").metrics is None


# --- as whom


@pytest.mark.parametrize("auth", ["sesame-open", "env:", "key:NAME", ":x"])
def test_a_key_is_no_argument(auth: str) -> None:
    with pytest.raises(errors.WrongUsage, match="takes no key itself") as refused:
        clusters.connect(config.load({}), URL, auth)
    assert "sesame" not in str(refused.value) + str(refused.value.hint)


def test_a_key_from_a_variable_and_from_a_file(
    tmp_path: Path, mocked: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mocked.get(f"{URL}/v1/meta", json={"version": "1.39.2-rc.0"})
    monkeypatch.setenv("DAGLAB_KEY", "from-the-variable")
    (tmp_path / "key").write_text("from-the-file\n")
    (tmp_path / "key").chmod(0o600)
    for auth, key in (("env:DAGLAB_KEY", "from-the-variable"), (f"file:{tmp_path / 'key'}", "from-the-file")):
        assert api.version(clusters.connect(config.load({}), URL, auth)) == (1, 39, 2)
        assert mocked.calls[-1].request.headers["Authorization"] == f"Bearer {key}"
    with pytest.raises(errors.NotSetUp, match="names has no token"):
        clusters.connect(config.load({}), URL, "env:DAGLAB_GONE")
    with pytest.raises(errors.WrongUsage, match="named there"):
        clusters.connect(settings(tmp_path, {"name": "main", "url": URL}), "main", "env:DAGLAB_KEY")


def test_a_key_of_the_users_own_config_goes_to_its_origin_alone(
    tmp_path: Path, mocked: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_config(f'credentials: {{"{URL}": {{token_env: DAGLAB_KEY}}}}\n')
    monkeypatch.setenv("DAGLAB_KEY", "one-two-three")
    for url, key in ((URL, "Bearer one-two-three"), ("http://other.test", None)):
        mocked.get(f"{url}/v1/meta", json={"version": "1.39.2"})
        api.version(clusters.connect(config.load({}, directory=tmp_path), url))
        assert mocked.calls[-1].request.headers.get("Authorization") == key


def test_a_projects_file_sends_no_key_to_an_address_of_its_own(
    tmp_path: Path, mocked: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the one that it names, nor Dagster's; and it names no other variable."""
    for name in ("DAGLAB_KEY", "DAGSTER_GRAPHQL_TOKEN", "DAGSTER_CLOUD_API_TOKEN", "WEAVIATE_API_KEY"):
        monkeypatch.setenv(name, f"planted-{name}")
    mocked.get(f"{URL}/v1/meta", json={"version": "1.39.2"})
    cluster = clusters.connect(settings(tmp_path, {"name": "main", "url": URL, "token_env": "DAGLAB_KEY"}))
    api.version(cluster)
    [call] = mocked.calls
    assert "planted" not in f"{call.request.url} {call.request.headers}"
    assert "was not sent, because its address comes from" in str(cluster.session.withheld)
    for name in ("WEAVIATE_API_KEY", "DAGSTER_GRAPHQL_TOKEN"):
        with pytest.raises(errors.NotAuthorised, match="may not name this variable"):
            settings(tmp_path, {"name": "main", "url": URL, "token_env": name})


# --- what it has


@pytest.mark.parametrize(
    ("version", "found"), [("1.30.1", (1, 30, 1)), ("1.39", (1, 39, 0)), ("v2.x", (0, 0, 0)), ("", (0, 0, 0))]
)
def test_the_version_of_a_server(
    cluster: rest.Cluster, mocked: responses.RequestsMock, version: str, found: tuple[int, int, int]
) -> None:
    mocked.get(f"{URL}/v1/meta", json={"version": version})
    assert api.version(cluster) == found


def test_a_collection_that_is_not_there_names_the_nearest(
    cluster: rest.Cluster, mocked: responses.RequestsMock
) -> None:
    mocked.get(f"{URL}/v1/schema/Dosc", status=404)
    mocked.get(f"{URL}/v1/schema/Docs", json=SCHEMA)
    listed = mocked.get(f"{URL}/v1/schema", json={"classes": [{"class": "Notes"}, SCHEMA]})
    with pytest.raises(rest.Missing, match="no collection 'Dosc'") as refused:
        api.schema(cluster, "Dosc")
    assert "Docs" in str(refused.value.hint)
    assert list(api.schemas(cluster)) == ["Docs", "Notes"]
    assert (api.exists(cluster, "Dosc"), api.exists(cluster, "Docs")) == (False, True)
    mocked.remove(listed)
    mocked.get(f"{URL}/v1/schema", json={"classes": []})
    with pytest.raises(rest.Missing) as refused:
        api.schema(cluster, "Dosc")
    assert refused.value.hint == "There is none in this cluster."


def test_an_alias_is_no_collection_of_its_name(cluster: rest.Cluster, mocked: responses.RequestsMock) -> None:
    mocked.get(f"{URL}/v1/schema/Live", json=SCHEMA)
    assert not api.exists(cluster, "Live")


def test_objects_are_counted_in_few_queries(
    cluster: rest.Cluster, mocked: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MOST_COUNTED", 2)

    def count(request: Any) -> tuple[int, dict[str, str], str]:
        parts = json.loads(request.body)["query"].count("meta")
        found = {f"c{number}": [{"meta": {"count": 5 + number}}] for number in range(parts)}
        return 200, {}, json.dumps({"data": {"Aggregate": found}})

    mocked.add_callback("POST", f"{URL}/v1/graphql", callback=count)
    assert api.counts(cluster, ["A", "B", "C"]) == {"A": 5, "B": 6, "C": 5}
    assert api.tenant_counts(cluster, "A", ['t"1', "t2"]) == {'t"1': 5, "t2": 6}
    assert sent(mocked)["query"] == (
        '{Aggregate {c0: A(tenant: "t\\"1") {meta {count}} c1: A(tenant: "t2") {meta {count}}}}'
    )


@pytest.mark.parametrize("found", [{}, {"c0": []}, {"c0": None}, {"c0": [{"meta": {"count": "5"}}]}, {"c0": [{}]}])
def test_a_count_that_can_not_be_read_is_never_none(
    cluster: rest.Cluster, mocked: responses.RequestsMock, found: Any
) -> None:
    mocked.post(f"{URL}/v1/graphql", json={"data": {"Aggregate": found}})
    with pytest.raises(rest.Failed, match="could not be counted"):
        api.counts(cluster, ["A"])


def test_the_states_of_tenants_have_their_newer_names(cluster: rest.Cluster, mocked: responses.RequestsMock) -> None:
    older = ["HOT", "COLD", "FROZEN", "FREEZING", "UNFREEZING", "ACTIVE", None]
    listed = [{"name": f"t{number}", "activityStatus": each} for number, each in enumerate(older)]
    mocked.get(f"{URL}/v1/schema/A/tenants", json=listed[::-1])
    assert list(api.tenants(cluster, "A").items()) == [
        ("t0", "ACTIVE"),
        ("t1", "INACTIVE"),
        ("t2", "OFFLOADED"),
        ("t3", "OFFLOADING"),
        ("t4", "ONLOADING"),
        ("t5", "ACTIVE"),
        ("t6", "ACTIVE"),
    ]
    mocked.get(f"{URL}/v1/schema/A/tenants/t%2F1", json=listed[1])
    mocked.get(f"{URL}/v1/schema/A/tenants/gone", status=404)
    assert (api.tenant(cluster, "A", "t/1"), api.tenant(cluster, "A", "gone")) == ("INACTIVE", None)


def test_tenants_are_made_and_deleted_some_at_a_time(
    cluster: rest.Cluster, mocked: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MOST_TENANTS", 2)
    for method in ("POST", "DELETE"):
        mocked.add(method, f"{URL}/v1/schema/A/tenants", json=[])
    api.create_tenants(cluster, "A", ["a", "b", "c"], inactive=["b"])
    states = [[(each["name"], each["activityStatus"]) for each in sent(mocked, number)] for number in range(2)]
    assert states == [[("a", "ACTIVE"), ("b", "INACTIVE")], [("c", "ACTIVE")]]
    api.delete_tenants(cluster, "A", [])
    assert len(mocked.calls) == 2
    api.delete_tenants(cluster, "A", ["a"])
    assert sent(mocked) == ["a"]


def test_an_alias_is_made_or_has_its_way_changed(cluster: rest.Cluster, mocked: responses.RequestsMock) -> None:
    mocked.get(f"{URL}/v1/aliases", json={"aliases": [{"alias": "Live", "class": "Old"}]})
    mocked.put(f"{URL}/v1/aliases/Live", json={})
    mocked.post(f"{URL}/v1/aliases", json={})
    api.set_alias(cluster, "Live", "New")
    assert (mocked.calls[-1].request.method, sent(mocked)) == ("PUT", {"class": "New"})
    api.set_alias(cluster, "Other", "New")
    assert (mocked.calls[-1].request.method, sent(mocked)) == ("POST", {"alias": "Other", "class": "New"})


def test_a_shard_that_is_not_loaded_tells_no_number(cluster: rest.Cluster, mocked: responses.RequestsMock) -> None:
    shards = [
        {"name": "a", "class": "Docs", "loaded": False, "objectCount": 0},
        {"name": "b", "class": "Docs", "objectCount": 3, "vectorQueueLength": 2, "compressed": True},
    ]
    mocked.get(f"{URL}/v1/nodes/Docs", json={"nodes": [{"name": "n1", "status": "HEALTHY", "shards": shards}]})
    [node] = api.nodes(cluster, "Docs")
    assert [(each.objects, each.loaded, each.queue, each.compressed) for each in node.shards] == [
        (None, False, None, None),
        (3, True, 2, True),
    ]
    mocked.put(f"{URL}/v1/schema/Docs/shards/b", json={})
    api.set_shard_status(cluster, "Docs", "b", api.READONLY)
    assert sent(mocked) == {"status": "READONLY"}


# --- objects


def test_an_object_by_its_id(cluster: rest.Cluster, mocked: responses.RequestsMock) -> None:
    mocked.get(f"{URL}/v1/objects/Docs/1", json={"id": "1"})
    mocked.get(f"{URL}/v1/objects/Docs/2", status=404)
    assert store.fetch(cluster, "Docs", "1", tenant="t") == {"id": "1"}
    assert parse_qs(urlsplit(str(mocked.calls[-1].request.url)).query) == {"include": ["vector"], "tenant": ["t"]}
    assert store.fetch(cluster, "Docs", "2") is None


@pytest.mark.parametrize("body", ["[1", '{"objects": [{"no": "id"}]}', '{"objects": [5]}', "{}"])
def test_a_page_that_is_none(cluster: rest.Cluster, mocked: responses.RequestsMock, body: str) -> None:
    mocked.get(f"{URL}/v1/objects", body=body)
    with pytest.raises(rest.Failed):
        store.page(cluster, "Docs", "", 10, vectors=False)


def test_a_page_keeps_minus_nothing_and_tells_the_servers_clock(
    cluster: rest.Cluster, mocked: responses.RequestsMock
) -> None:
    body = '{"objects": [{"id":"1","properties":{"n":-0,"m":[-0,-07]}}]}'.replace("-07", "-7")
    mocked.get(f"{URL}/v1/objects", body=body, headers={"Date": "Thu, 01 Jan 1970 00:01:00 GMT"})
    page = store.page(cluster, "Docs", "", 10, vectors=True)
    found = page.objects[0]["properties"]
    assert (str(found["n"]), str(found["m"][0]), found["m"][1], page.at) == ("-0.0", "-0.0", -7, 60.0)
    mocked.replace(responses.GET, f"{URL}/v1/objects", body=body, headers={"Date": "soon"})
    assert store.page(cluster, "Docs", "", 10, vectors=True).at is None


def test_each_object_of_a_batch_is_looked_at(cluster: rest.Cluster, mocked: responses.RequestsMock) -> None:
    refused = {"result": {"status": "FAILED", "errors": {"error": [{"message": "too long"}, {"message": "too old"}]}}}
    answer = [{"result": {"status": "SUCCESS"}}, refused, {"result": {"status": "PENDING"}}, {}, 5]
    mocked.post(f"{URL}/v1/batch/objects", json=answer)
    assert store.put_objects(cluster, b"{}") == [
        None,
        "too long; too old",
        "PENDING",
        "no result was told",
        "no result was told",
    ]
    mocked.replace(responses.POST, f"{URL}/v1/batch/objects", json={"all": "good"})
    with pytest.raises(rest.Failed, match="without results"):
        store.put_objects(cluster, b"{}")


def test_of_references_to_a_read_only_shard_none_counts_as_written(
    cluster: rest.Cluster, mocked: responses.RequestsMock
) -> None:
    """A server calls the first one refused, and all others written."""
    refused = {"result": {"status": "FAILED", "errors": {"error": [{"message": "store is read-only"}]}}}
    mocked.post(f"{URL}/v1/batch/references", json=[refused, {"result": {"status": "SUCCESS"}}])
    assert store.put_references(cluster, [{}, {}]) == ["store is read-only", "store is read-only"]
    mocked.replace(responses.POST, f"{URL}/v1/batch/references", json=[{"result": {}}])
    assert store.put_references(cluster, [{}]) == [None]


def test_what_can_not_be_deleted_is_an_error(cluster: rest.Cluster, mocked: responses.RequestsMock) -> None:
    mocked.delete(f"{URL}/v1/batch/objects", json={"results": {"successful": 2, "failed": 0}})
    assert store.delete_objects(cluster, "Docs", ["1", "2"], tenant="t") == 2
    assert sent(mocked)["match"]["where"]["valueTextArray"] == ["1", "2"]
    mocked.replace(responses.DELETE, f"{URL}/v1/batch/objects", json={"results": {"successful": 1, "failed": 1}})
    with pytest.raises(rest.Failed, match="could not delete 1 objects"):
        store.delete_objects(cluster, "Docs", ["1", "2"])
