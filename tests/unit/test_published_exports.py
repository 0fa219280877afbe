"""Exports that go to a store and to assets: published, taken up where they broke off, renewed, expired, verified."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from daglab import errors, files, git, json_lines, notebooks, parse
from daglab.attaching import asset_checks, attach, observations
from daglab.deployment import dagster_api
from daglab.exported import evidence, export_record, latest, resigning, retention, verification
from daglab.exporting import export_locks, exports, publishing, unchanged, uploads
from daglab.settings import config
from daglab.storage import places, s3

STORE = "http://s3.test"
PLACE = places.Place("s3", "box", "daily")
AIM = parse.AttachTarget(asset=("orders",))
TARGET = observations.Target(("orders",))
HOUR = 3600
FAILED = (notebooks.FailedCell(1, "x", "ZeroDivisionError: division by zero", "trace", "1 / 0", False),)
COMMIT = git.Commit("abc", dirty=True)


class Shop:
    """Dagster, which keeps what is reported to it, and a store, which keeps what is put there."""

    def __init__(self, dagster: Any) -> None:
        self.dagster, self.objects, self.deaf = dagster, dict[str, dict[str, str]](), False
        dagster.answers["Observations"] = self.observations
        dagster.answers["Attachments"] = self.observations
        dagster.answers["Evaluations"] = self.evaluations
        dagster.answers["Checks"] = {
            "assetNodeOrError": {
                "__typename": "AssetNode",
                "assetChecksOrError": {"__typename": "AssetChecks", "checks": [{"name": "good"}]},
            }
        }
        responses.add_passthru(dagster.url)
        for method in ("PUT", "HEAD", "DELETE", "GET"):
            responses.add_callback(method, f"{STORE}/box/daily/nb.html", self.store)
            responses.add_callback(method, f"{STORE}/box/", self.store)

    def reported(self, what: str) -> list[Any]:
        return [each.body for each in self.dagster.requests if each.path.startswith(f"/report_asset_{what}/")]

    def observations(self, _: Any) -> dict[str, Any]:
        shown = [
            {
                "partition": each.get("partition"),
                "description": each["description"],
                "metadataEntries": entries(each["metadata"]),
            }
            for each in reversed([] if self.deaf else self.reported("observation"))
        ]
        node = {"__typename": "AssetNode", "assetObservations": shown, "assetMaterializations": []}
        return {"assetNodeOrError": node}

    def evaluations(self, _: Any) -> dict[str, Any]:
        told = [] if self.deaf else self.reported("check")
        shown = [{"success": each["passed"], "metadataEntries": entries(each["metadata"])} for each in reversed(told)]
        return {"assetCheckExecutions": [{"evaluation": each} for each in shown]}

    def store(self, request: Any) -> tuple[int, dict[str, str], str]:
        key = request.url.partition("?")[0].removeprefix(f"{STORE}/box/")
        if request.method == "PUT":
            body = request.body if isinstance(request.body, bytes) else request.body.read()
            own = {name: text for name, text in request.headers.items() if name.startswith("x-amz-meta-")}
            self.objects[key] = {**own, "Content-Length": str(len(body)), "ETag": f'"{hashlib.md5(body).hexdigest()}"'}
            return 200, {"ETag": self.objects[key]["ETag"]}, ""
        if request.method == "GET":
            names = "".join(f"<Contents><Key>{each}</Key><Size>1</Size></Contents>" for each in self.objects)
            return 200, {}, f"<ListBucketResult>{names}</ListBucketResult>"
        if request.method == "DELETE":
            self.objects.pop(key)
            return 204, {}, ""
        return (200, self.objects[key], "") if key in self.objects else (404, {}, "")


def entries(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"__typename": "TextMetadataEntry", "label": name, "text": str(value)} for name, value in metadata.items()]


@pytest.fixture
def shop(dagster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shop]:
    for name, text in (("ACCESS_KEY_ID", "AKID"), ("SECRET_ACCESS_KEY", "s3cret-x"), ("ENDPOINT_URL", STORE)):
        monkeypatch.setenv(f"AWS_{name}", text)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(s3, "_regions", {})
    monkeypatch.setattr("daglab.web.delay", lambda *_: 0.0)
    monkeypatch.setattr(attach, "READ_BACK_TIMEOUT", 0.0)
    monkeypatch.setattr(attach, "SETTLED_AFTER", 0.0)
    (tmp_path / ".daglab").mkdir()
    with responses.mock:
        yield Shop(dagster)


@pytest.fixture
def settings(shop: Shop, tmp_path: Path) -> config.Config:
    return config.load({"dagster.url": shop.dagster.url}, directory=tmp_path)


@pytest.fixture
def api(settings: config.Config) -> dagster_api.DagsterApi:
    return dagster_api.connect(settings)


@pytest.fixture
def export(tmp_path: Path) -> exports.Export:
    return made(tmp_path, "id1")


def made(root: Path, identity: str, **changes: Any) -> exports.Export:
    notebook, output = root / "nb.py", root / "nb.html"
    for path in (notebook, output):
        path.write_text(f"marimo {identity}")
    sums = {"notebook_sha256": str(files.sha256(notebook)), "sha256": str(files.sha256(output))}
    size = output.stat().st_size
    now = datetime.now(timezone.utc)
    return exports.Export(identity, notebook, output, 1.0, size, exported_at=now, **{"failed": (), **sums, **changes})


def wish(api: dagster_api.DagsterApi | None, **changes: Any) -> publishing.Wish:
    whole = publishing.Wish(api=api, aims=(AIM,), targets=(TARGET,), via="rest", place=PLACE, sign=HOUR, check="good")
    return dataclasses.replace(whole, **changes)


# --- publishing


def test_what_is_wished_is_checked_before_the_notebook_runs(
    api: dagster_api.DagsterApi, settings: config.Config, shop: Shop
) -> None:
    asked = wish(None, targets=())
    assert publishing.prepared(settings, asked, api) == dataclasses.replace(asked, api=api, targets=(TARGET,))
    with pytest.raises(errors.InvalidInput, match="no asset check other"):
        publishing.prepared(settings, dataclasses.replace(asked, check="other"), api)
    responses.upsert(responses.GET, f"{STORE}/box/", status=403)
    with pytest.raises(errors.NotAuthorised):
        publishing.prepared(settings, asked, api)
    assert shop.objects == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"place": None}, "--sign is for an uploaded export"),
        ({"aims": ()}, "--check needs to know the asset"),
        ({"aims": (), "check": None, "attach_failure": True}, "--attach-failure needs to know the asset"),
        ({"via": "graphql"}, "can't tell an asset check"),
        ({"place": places.parse("https://x.test/a?sig=s"), "check": None}, "can't be signed again"),
    ],
)
def test_wishes_that_do_not_go_together(changes: dict[str, Any], said: str, settings: config.Config) -> None:
    with pytest.raises(errors.WrongUsage, match=said):
        publishing.prepared(settings, wish(None, **changes))


def test_the_label_of_the_link_is_not_daglabs_own(settings: config.Config) -> None:
    defaults = dataclasses.replace(settings.defaults, attach_metadata_key=observations.ID_LABEL)
    with pytest.raises(errors.InvalidInput, match="can't be"):
        publishing.prepared(dataclasses.replace(settings, defaults=defaults), publishing.Wish())


def test_an_export_is_uploaded_signed_attached_and_told(
    api: dagster_api.DagsterApi, settings: config.Config, shop: Shop, export: exports.Export
) -> None:
    result = publishing.publish(settings, export, wish(api), COMMIT)
    assert result["upload"]["address"] == "s3://box/daily/nb.html"
    assert result["link"] == f"{STORE}/box/daily/nb.html"
    assert "url" not in result["signed"]
    [told] = shop.reported("observation")
    assert "X-Amz-Signature=" in str(told["metadata"])  # who sees the page can open it
    assert [(each["target"], each["passed"]) for each in result["check"]] == [("asset:orders", True)]
    assert shop.reported("check")[0]["check_name"] == "good"
    [line] = export_record.read(settings.root)
    assert (line["id"], line["git"], "pending" in line) == ("id1", {"commit": "abc", "dirty": True}, False)
    again = publishing.publish(settings, dataclasses.replace(export, id="id2"), wish(api))
    assert [each["already"] for each in again["attached"]] == [True]  # it shows the same
    assert len(shop.reported("observation")) == 1
    third = publishing.publish(settings, dataclasses.replace(export, id="id3"), wish(api, sign=None))
    assert "already" not in third["attached"][0]  # its link is another one


def test_without_assets_there_is_a_snippet(
    api: dagster_api.DagsterApi, settings: config.Config, export: exports.Export, shop: Shop
) -> None:
    result = publishing.publish(settings, export, wish(api, via=observations.COMPUTE, check=None))
    assert "exploration_metadata" in result["snippet"]
    assert result["signed"]
    assert shop.reported("observation") == []


def test_a_failed_notebook_is_told_to_its_check_and_not_attached(
    api: dagster_api.DagsterApi, settings: config.Config, tmp_path: Path, shop: Shop
) -> None:
    failed = made(tmp_path, "id1", failed=FAILED)
    with pytest.raises(errors.NotGood) as caught:
        publishing.publish(settings, failed, wish(api))
    assert caught.value.result is not None
    assert (caught.value.result["upload"], caught.value.result["attached"]) == (None, [])
    [told] = shop.reported("check")
    assert told["passed"] is False
    assert shop.objects == {}


@pytest.mark.parametrize("step", ["upload", "sign", "attach", "check"])
def test_an_export_that_broke_off_goes_on_and_does_nothing_twice(
    step: str,
    api: dagster_api.DagsterApi,
    settings: config.Config,
    shop: Shop,
    export: exports.Export,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends as a process that is killed does: right after the step that it has on record as begun."""

    class Killed(BaseException):
        pass

    def intend(root: Path, identity: str, name: str, /, **members: Any) -> None:
        real(root, identity, name, **members)
        if name == step:
            raise Killed

    real = export_record.intend
    with monkeypatch.context() as patched:
        patched.setattr(export_record, "intend", intend)
        patched.setattr("daglab.exporting.publication.record", lambda _: None)
        with pytest.raises(Killed):
            publishing.publish(settings, export, wish(api), COMMIT)
    left = publishing.unfinished(settings, export.notebook, export.output, {}, wish(api))
    assert left is not None
    assert left.id == "id1"
    result = publishing.publish(settings, left, wish(api))
    assert result["git"] == {"commit": "abc", "dirty": True}  # as it was when the notebook ran
    assert (len(shop.reported("observation")), len(shop.reported("check"))) == (1, 1)
    assert export_record.unfinished(settings.root) == []


@pytest.mark.parametrize("module", [attach, asset_checks])
def test_what_had_arrived_before_it_broke_off_is_found_and_not_sent_again(
    module: Any, api: dagster_api.DagsterApi, settings: config.Config, shop: Shop, export: exports.Export
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_read_back", killed)  # it was sent
        patched.setattr("daglab.exporting.publication.record", lambda _: None)
        with pytest.raises(Killed):
            publishing.publish(settings, export, wish(api))
    left = publishing.unfinished(settings, export.notebook, export.output, {}, wish(api))
    assert left is not None
    result = publishing.publish(settings, left, wish(api))
    assert (len(result["attached"]), len(result["check"])) == (1, 1)
    assert (len(shop.reported("observation")), len(shop.reported("check"))) == (1, 1)


@pytest.mark.parametrize("deaf", [False, True])
def test_what_came_of_an_export_that_is_not_taken_up_is_found_out(
    deaf: bool, api: dagster_api.DagsterApi, settings: config.Config, shop: Shop, export: exports.Export
) -> None:
    publishing.publish(settings, export, wish(api, sign=None))
    [whole] = export_record.read(settings.root)
    lines = [json.loads(line) for line in (settings.root / export_record.FILE).read_text().splitlines()]
    (settings.root / export_record.FILE).unlink()
    for line in lines:
        if "intent" in line:  # it was killed before it was done
            json_lines.append(settings.root / export_record.FILE, line, mode=0o600)
    shop.deaf = deaf
    other = wish(api, sign=None, via=None)
    assert publishing.unfinished(settings, export.notebook, export.output, {}, other) is None
    [line] = export_record.read(settings.root)
    assert [each["target"] for each in line["attached"]] == ([] if deaf else ["asset:orders"])
    assert [each["name"] for each in line["check"]] == ([] if deaf else ["good"])
    assert line["upload"]["sha256"] == whole["upload"]["sha256"]


def test_what_nobody_knew_of_an_export_is_found_out_the_next_time(
    api: dagster_api.DagsterApi, settings: config.Config, shop: Shop, export: exports.Export
) -> None:
    shop.deaf = True
    with pytest.raises(errors.OutcomeUnknown):
        publishing.publish(settings, export, wish(api, sign=None, check=None))
    assert [each["kind"] for each in verify(settings)] == ["unfinished"]
    shop.deaf = False
    other = wish(api, sign=None, check=None, via=None)
    assert publishing.unfinished(settings, export.notebook, export.output, {}, other) is None
    [line] = export_record.read(settings.root)
    assert ([each["target"] for each in line["attached"]], line["pending"]) == (["asset:orders"], [])


def test_a_signal_before_anything_was_done_is_told_as_one(
    settings: config.Config, export: exports.Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(uploads, "key", stop)
    with pytest.raises(KeyboardInterrupt):
        publishing.publish(settings, export, publishing.Wish(place=PLACE))


def test_a_page_that_changes_while_it_is_uploaded_is_no_good(
    settings: config.Config, export: exports.Export, shop: Shop
) -> None:
    export.output.write_text("another")
    with pytest.raises(errors.NotGood, match="was changed while it was uploaded"):
        publishing.publish(settings, export, publishing.Wish(place=PLACE))


def test_a_target_that_was_made_since_is_a_reason_to_export_again(
    api: dagster_api.DagsterApi, settings: config.Config, shop: Shop
) -> None:
    at = 1000.0
    event = {"timestamp": str(int(at * 1000)), "runId": "r", "partition": None, "metadataEntries": []}
    shop.dagster.answers["Materializations"] = {
        "assetOrError": {"__typename": "Asset", "assetMaterializations": [event]}
    }
    asked = wish(api)
    assert unchanged._materialized_since(asked, at - 1)
    assert not unchanged._materialized_since(asked, at + 1)
    assert not unchanged._materialized_since(wish(None), at - 1)


# --- renewing links


def soon() -> datetime:
    return datetime.now(timezone.utc) + timedelta(seconds=HOUR)


def test_a_link_that_runs_out_is_renewed_where_people_see_it(
    api: dagster_api.DagsterApi, settings: config.Config, shop: Shop, export: exports.Export
) -> None:
    publishing.publish(settings, export, wish(api, check=None))
    root = settings.root
    assert resigning.due(root, datetime.now(timezone.utc), timedelta(seconds=60)) == []
    [due] = resigning.due(root, datetime.now(timezone.utc), timedelta(days=1))
    assert (due.copy.id, due.aims, due.seconds) == ("id1", (("asset:orders", None),), HOUR)
    done = resigning.renew(settings, due, 2 * HOUR, lambda: api)
    assert done["attached"] == ["asset:orders"]
    assert done["expires_at"] > due.until.isoformat()
    first, second = shop.reported("observation")
    assert second["metadata"][observations.ID_LABEL].startswith("id1+")
    links = [each["metadata"]["exploration"] for each in (first, second)]
    assert len(set(links)) == 2
    assert all("X-Amz-Signature=" in link for link in links)
    assert resigning.due(root, datetime.now(timezone.utc), timedelta(hours=1.5)) == []
    assert export_record.unfinished(root) == []
    linked = latest.linked(api, root, ["s3://box/daily/nb.html"])
    assert linked == latest.Linked({"s3://box/daily/nb.html": "asset:orders"})


def test_what_is_not_as_it_was_uploaded_gets_no_new_link(
    api: dagster_api.DagsterApi, settings: config.Config, shop: Shop, export: exports.Export
) -> None:
    publishing.publish(settings, export, wish(api, check=None))
    [due] = resigning.due(settings.root, datetime.now(timezone.utc), None)
    shop.objects["daily/nb.html"]["Content-Length"] = "3"
    with pytest.raises(errors.NotGood, match="is not what was uploaded"):
        resigning.renew(settings, due, HOUR, lambda: api)
    publishing.publish(settings, dataclasses.replace(export, id="id2"), wish(api, check=None))
    with pytest.raises(errors.Taken, match="was exported again"):
        resigning.renew(settings, due, HOUR, lambda: api)


@pytest.mark.parametrize("lost", [True, False])
def test_a_new_link_of_which_nobody_knows_is_looked_for_before_another_one_is_attached(
    lost: bool, api: dagster_api.DagsterApi, settings: config.Config, shop: Shop, export: exports.Export
) -> None:
    publishing.publish(settings, export, wish(api, check=None))
    [due] = resigning.due(settings.root, datetime.now(timezone.utc), None)
    shop.deaf = True
    with pytest.raises(errors.OutcomeUnknown):
        resigning.renew(settings, due, HOUR, lambda: api)
    shop.deaf = False
    if lost:  # it has not come there
        shop.dagster.requests[:] = [each for each in shop.dagster.requests if "id1+" not in str(each.body)]
    [due] = resigning.due(settings.root, datetime.now(timezone.utc), None)
    assert resigning.renew(settings, due, HOUR, lambda: api)["attached"] == ["asset:orders"]
    assert len(shop.reported("observation")) == 2


def test_a_link_that_dagster_does_not_take_is_no_open_question(
    api: dagster_api.DagsterApi, settings: config.Config, shop: Shop, export: exports.Export
) -> None:
    publishing.publish(settings, export, wish(api, check=None))
    [due] = resigning.due(settings.root, datetime.now(timezone.utc), None)
    shop.dagster.answers["Assets"]["assetNodes"] = []
    with pytest.raises(errors.InvalidInput):
        resigning.renew(settings, due, HOUR, lambda: api)
    assert export_record.unfinished(settings.root) == []


def test_what_a_stranger_wrote_into_the_record_is_not_attached(settings: config.Config, export: exports.Export) -> None:
    def told(*entries: Any) -> list[tuple[str, str, Any]]:
        line = {"signed": {"url": "https://old"}, "entries": list(entries)}
        return [(each.label, each.kind, each.value) for each in resigning._renewed(line, "https://new")]

    good = [
        {"label": "exploration", "kind": "url", "value": "https://old"},
        {"label": "n", "kind": "int", "value": 3},
        {"label": "ok", "kind": "bool", "value": True},
        {"label": "at", "kind": "timestamp", "value": "2026-01-31T00:00:00+00:00"},
    ]
    wrong = [
        3,
        {"label": "", "kind": "text", "value": "x"},
        {"label": "n", "kind": "int", "value": True},
        {"label": "n", "kind": "int", "value": "3"},
        {"label": "at", "kind": "timestamp", "value": "soon"},
        {"label": "x", "kind": "notebook", "value": "x"},
    ]
    assert told(*wrong, *good) == [
        ("exploration", "url", "https://new"),
        ("n", "int", 3),
        ("ok", "bool", True),
        ("at", "timestamp", "2026-01-31T00:00:00+00:00"),
    ]
    assert resigning._renewed({"signed": {}, "entries": 7}, "https://new") == []


# --- what pages lead to, what is over, what differs


@pytest.mark.parametrize("trouble", ["", "asked", "unknown", "nothing"])
def test_what_a_page_leads_to(
    trouble: str, api: dagster_api.DagsterApi, settings: config.Config, shop: Shop, export: exports.Export
) -> None:
    publishing.publish(settings, export, wish(api, check=None))
    where = ["s3://box/daily/nb.html"]
    if trouble == "unknown":
        gone = {"__typename": "AssetNotFoundError", "message": "x"}
        shop.dagster.answers["Attachments"] = {"assetNodeOrError": gone}
    if trouble == "nothing":
        del shop.dagster.answers["Attachments"]
    found = latest.linked(None if trouble == "asked" else api, settings.root, where)
    assert found.places == {where[0]: "asset:orders"}  # by Dagster, and by the record where it does not say
    problem = {"asked": "Dagster was not asked", "nothing": "Attachments"}.get(trouble)
    assert (problem or "") in (found.problem or "")
    assert bool(found.problem) is bool(problem)


def test_a_page_leads_to_the_newest_that_dagster_shows() -> None:
    def event(partition: str | None, *, text: str = "", description: str = "") -> dict[str, Any]:
        metadata = [{"label": observations.ID_LABEL, "text": text}] if text else []
        return {"partition": partition, "description": description, "metadataEntries": metadata}

    told = [event("eu", text="other"), event(None), event(None, description=f"x\n{observations.ID_LABEL}: b+1f")]
    made = [event(None, text="c"), event(None, text="d")]
    node = {"__typename": "AssetNode", "assetObservations": told, "assetMaterializations": made}
    assert latest.parse_attachments({"assetNodeOrError": node}, None) == {"b", "c"}
    assert latest.parse_attachments({"assetNodeOrError": node}, "eu") == {"other"}


def expire(settings: config.Config, linked: dict[str, str] | None = None, **more: Any) -> retention.Outcome:
    now = datetime.now(timezone.utc) + timedelta(days=9)
    return retention.expire(settings.root, now, 0, latest.Linked(linked or {}), **more)


def expiring(settings: config.Config, export: exports.Export, place: places.Place = PLACE) -> None:
    publishing.publish(settings, export, publishing.Wish(place=place, keep_days=1))


def test_what_is_over_goes_from_the_store_too(settings: config.Config, export: exports.Export, shop: Shop) -> None:
    expiring(settings, export)
    both = ["nb.html", "s3://box/daily/nb.html"]
    kept = expire(settings, {"s3://box/daily/nb.html": "asset:orders"}, dry_run=True).kept
    assert [(each["place"], "asset:orders" in each["why"]) for each in kept] == [(both[1], True)]
    assert [each["place"] for each in expire(settings, dry_run=True).removed] == both
    assert list(shop.objects) == ["daily/nb.html"]
    assert [each["place"] for each in expire(settings).removed] == both
    assert shop.objects == {}
    assert expire(settings).removed == []


@pytest.mark.parametrize(
    ("trouble", "kept", "failed"),
    [
        ("changed", "not what was uploaded", ""),
        ("gone", "", ""),
        ("refused", "", "refused"),
        ("exporting", "being exported again", ""),
        ("presigned", "presigned address", ""),
    ],
)
def test_an_object_that_is_over_and_can_not_be_deleted(
    trouble: str,
    kept: str,
    failed: str,
    settings: config.Config,
    export: exports.Export,
    shop: Shop,
) -> None:
    place = places.parse("https://x.test/nb.html?sig=s") if trouble == "presigned" else PLACE
    responses.put("https://x.test/nb.html")
    expiring(settings, export, place)
    if trouble == "changed":
        shop.objects["daily/nb.html"]["x-amz-meta-exportid"] = "of somebody else"
    if trouble == "gone":
        shop.objects.clear()
    if trouble == "refused":
        responses.upsert(responses.HEAD, f"{STORE}/box/daily/nb.html", status=403)
    if trouble == "exporting":
        with export_locks.held(settings.root, export.output):
            outcome = expire(settings)
    else:
        outcome = expire(settings)
    told = [each["why"] for each in outcome.kept if "://" in each["place"]]
    assert [kept in each for each in told] == ([True] if kept else [])
    assert [failed in each["why"] for each in outcome.failed] == ([True] if failed else [])
    assert (outcome.error is not None) is bool(failed)
    assert not [each for each in outcome.removed if "://" in each["place"]]


def test_by_size_each_copy_is_of_concern(settings: config.Config, export: exports.Export) -> None:
    expiring(settings, export)
    now = datetime.now(timezone.utc)
    assert retention.concerned(settings.root, now, 0) == ()
    assert {each.place for each in retention.concerned(settings.root, now, 1)} == {"nb.html", "s3://box/daily/nb.html"}


def verify(settings: config.Config) -> list[dict[str, Any]]:
    return [dict(each) for each in verification.verify(settings, datetime.now(timezone.utc)).differences]


def test_a_record_and_its_places_are_compared(
    settings: config.Config, export: exports.Export, shop: Shop, tmp_path: Path
) -> None:
    expiring(settings, export)
    assert verify(settings) == []
    shop.objects["daily/stray.html"] = {}
    shop.objects["daily/stray.txt"] = {}
    assert [(each["kind"], each["place"]) for each in verify(settings)] == [("orphan", "s3://box/daily/stray.html")]
    shop.objects.clear()
    export.output.write_text("changed")
    assert {(each["kind"], each["place"]) for each in verify(settings)} == {
        ("changed", "nb.html"),
        ("missing", "s3://box/daily/nb.html"),
    }
    if os.geteuid() == 0:  # who may read everything is stopped by what is no file
        export.output.unlink()
        export.output.mkdir()
    else:
        export.output.chmod(0)
    assert "can't be read" in next(each["detail"] for each in verify(settings) if each["place"] == "nb.html")


def test_what_can_not_be_looked_at_is_no_difference(
    settings: config.Config, export: exports.Export, shop: Shop
) -> None:
    expiring(settings, export)
    responses.put("https://x.test/nb.html")
    hidden = dataclasses.replace(export, id="id2", output=export.output.with_name("b.html"))
    hidden.output.write_bytes(export.output.read_bytes())
    expiring(settings, hidden, places.parse("https://x.test/nb.html?sig=s"))
    for method in ("HEAD", "GET"):
        for address in (f"{STORE}/box/daily/nb.html", f"{STORE}/box/"):
            responses.upsert(method, address, body=requests.ConnectionError("broken off"))
    found = verification.verify(settings, datetime.now(timezone.utc))
    assert found.differences == []
    assert found.out_of_sight == ["https://x.test/nb.html"]
    assert {each["place"] for each in found.unread} == {"s3://box/daily/nb.html", "s3://box/daily"}
    assert isinstance(found.error, errors.Unreachable)


@pytest.mark.parametrize(("content", "state"), [(b"\x1f\x8b no gzip", evidence.CHANGED), (None, evidence.GONE)])
def test_a_file_that_is_no_page_is_not_ours(
    content: bytes | None, state: str, settings: config.Config, tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    packed = made(tmp_path, "id1")
    packed = dataclasses.replace(packed, output=packed.output.rename(tmp_path / "nb.html.gz"))
    expiring(settings, packed, places.parse(f"file://{tmp_path}/store"))
    [copy] = [each for each in export_record.copies(tmp_path) if "://" in each.place or each.place.startswith("file:")]
    stored = tmp_path / "store" / "nb.html.gz"
    stored.unlink()
    if content is not None:
        stored.write_bytes(content)
    assert evidence.look(copy) == state
