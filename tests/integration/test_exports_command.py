"""`daglab exports` over a real S3 and a real Dagster: what it tells, renews, takes away and finds different."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import json_lines
from daglab.attaching import attach, observations
from daglab.deployment import dagster_api
from daglab.exported import export_record
from daglab.exporting import exports, uploads
from daglab.settings import config
from daglab.storage import objects, places

pytestmark = pytest.mark.long

Cli = Callable[..., Any]
NOW = datetime.now(timezone.utc)


@dataclasses.dataclass(frozen=True)
class Made:
    """An export on disk, in the store, and on record."""

    id: str
    output: Path
    address: str
    line: dict[str, Any]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / ".daglab").mkdir(parents=True)
    (root / "daglab.yaml").write_text("dagster: {url: 'http://127.0.0.1:9'}\n")  # nobody answers there
    (root / "nb.py").write_text("import marimo\napp = marimo.App()\n")
    os.chdir(root)
    return root


@pytest.fixture
def make(project: Path, s3_place: places.Place, only_programs: Callable[..., object]) -> Callable[..., Made]:
    """`make("a", days=-1, sign=60, attached=["asset:a"])`: an export that was uploaded, its time over for a day."""
    settings = config.load({}, directory=project)
    only_programs()  # none: plain HTTP is quicker than the AWS CLI

    def upload(name: str, *, days: int | None = None, sign: int | None = None, **more: Any) -> Made:
        output = project / "exports" / f"{name}.html"
        output.parent.mkdir(exist_ok=True)
        output.write_text(f"<html>marimo {name} {os.urandom(4).hex()}</html>")
        content = output.read_bytes()
        identity = os.urandom(16).hex()
        digest = hashlib.sha256(content).hexdigest()
        export = exports.Export(identity, project / "nb.py", output, 1.0, len(content), digest, NOW, ())
        key = uploads.key(settings, s3_place, output)
        told, link = uploads.put(settings, s3_place, export, key)
        signed = uploads.signed(s3_place, key, sign) if sign else None
        entries = [{"label": "exploration", "kind": "url", "value": signed["url"] if signed else link}]
        entries += [{"label": observations.ID_LABEL, "kind": "text", "value": identity}]
        until = None if days is None else (NOW + timedelta(days=days)).isoformat()
        outcome = {"link": link, "upload": told, "signed": signed, "expires_at": until, "entries": entries}
        attached = [{"target": target, "partition": None, "via": "rest"} for target in more.pop("attached", [])]
        export_record.append(
            project, export, {**outcome, "attached": attached, "targets": [a["target"] for a in attached], **more}
        )
        [line] = [line for line in export_record.read(project) if line["id"] == identity]
        return Made(identity, output, told["address"], line)

    return upload


def there(address: str) -> bool:
    return objects.look(*places.located(address)) is not None


def document(result: Any, code: int = 0) -> dict[str, Any]:
    assert result.exit_code == code, (result.stdout, result.stderr)
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["ok"] is (code == 0)
    return found


def test_what_is_over_goes_from_disk_and_store(project: Path, make: Callable[..., Made], cli: Cli) -> None:
    over, kept, latest = make("over", days=-1), make("kept", days=1), make("latest", days=-1, attached=["asset:x"])
    dry = document(cli("exports", "expire", "--dry-run", "--json"))
    assert {each["place"] for each in dry["removed"]} == {"exports/over.html", over.address}
    assert there(over.address)
    result = cli("exports", "expire", "--yes", "--json")
    done = document(result)
    assert done["removed"] == dry["removed"]
    assert {each["place"] for each in done["kept"]} == {"exports/latest.html", latest.address}
    assert done["asked_dagster"] is False
    assert "what was attached last by the record stays" in result.stderr
    assert [there(each.address) for each in (over, kept, latest)] == [False, True, True]
    assert [each.output.exists() for each in (over, kept, latest)] == [False, True, True]
    assert export_record.unfinished(project) == []
    assert document(cli("exports", "expire", "--yes", "--json"))["removed"] == []
    assert document(cli("exports", "verify", "--json"))["differences"] == []
    even = document(cli("exports", "expire", "--yes", "--even-latest", "--json"))
    assert {each["place"] for each in even["removed"]} == {"exports/latest.html", latest.address}
    assert not there(latest.address)


def test_by_size_the_oldest_go(project: Path, make: Callable[..., Made], cli: Cli) -> None:
    made = [make(name) for name in ("a", "b", "c")]
    size = made[0].line["bytes"]
    (project / "daglab.yaml").write_text(f"export: {{max_total_bytes: {4 * size}}}\n")
    gone = document(cli("exports", "expire", "--yes", "--json"))
    assert [each["place"] for each in gone["removed"]] == ["exports/a.html", made[0].address]
    assert [there(each.address) for each in made] == [False, True, True]


def test_nothing_goes_that_daglab_has_not_put_there(
    project: Path, make: Callable[..., Made], s3_place: places.Place, cli: Cli
) -> None:
    """A stranger's project names an object of the user's, with its size and checksum; and one was changed since."""
    mine = project.parent / "mine.html"
    mine.write_text("marimo, and mine")
    key = places.key(s3_place, "mine.html")
    stored = objects.put(s3_place, key, mine, content_type="text/html", timeout=60)
    about = {"address": stored.address, "bytes": stored.bytes, "sha256": stored.sha256}
    over = "2020-01-01T00:00:00+00:00"
    hostile = {"v": 1, "id": "x", "ok": True, "output": "x.html", "expires_at": over}
    json_lines.append(project / export_record.FILE, {**hostile, "sha256": "", "upload": about})
    changed = make("changed", days=-1)
    objects.put(*places.located(changed.address), mine, content_type="text/html", timeout=60)
    done = document(cli("exports", "expire", "--yes", "--json"))
    assert [each["place"] for each in done["removed"]] == ["exports/changed.html"]
    assert {each["place"] for each in done["kept"]} == {stored.address, changed.address}
    assert there(stored.address)
    assert there(changed.address)
    # `resign` signs neither, for who asks it by name
    json_lines.append(
        project / export_record.FILE,
        {
            **hostile,
            "id": "y",
            "expires_at": None,
            "upload": about,
            "signed": {"url": "u", "expires_at": NOW.isoformat()},
        },
    )
    refused = document(cli("exports", "resign", "y", "--json"), 4)
    assert "is not what was uploaded" in refused["failed"][0]["why"]


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_an_error_and_never_none(
    project: Path, make: Callable[..., Made], cli: Cli
) -> None:
    made = make("a", days=1)
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    failed = document(cli("exports", "verify", "--json", env=nowhere), 5)
    assert failed["unread"][0]["place"] == made.address
    assert failed["counts"]["missing"] is None
    assert failed["counts"]["unfinished"] == 0
    assert failed["compared"] == {"local": 1, "cloud": 0}
    export_record.amend(project, made.id, expires_at=NOW.isoformat())
    failed = document(cli("exports", "expire", "--yes", "--json", env=nowhere), 5)
    assert [each["place"] for each in failed["failed"]] == [made.address]
    assert [each["place"] for each in failed["removed"]] == ["exports/a.html"]
    assert document(cli("exports", "expire", "--yes", "--json"))["removed"][0]["place"] == made.address


def test_verify_finds_each_difference(
    project: Path, make: Callable[..., Made], s3_place: places.Place, cli: Cli
) -> None:
    gone, changed, lost, over, good = (make(name) for name in ("gone", "changed", "lost", "over", "good"))
    assert document(cli("exports", "verify", "--json"))["compared"] == {"local": 5, "cloud": 5}
    gone.output.unlink()
    changed.output.write_text("by hand")
    objects.delete(*places.located(lost.address))
    objects.put(*places.located(over.address), good.output, content_type="text/html", timeout=60)
    stray = places.key(s3_place, "stray.html")
    objects.put(s3_place, stray, good.output, content_type="text/html", timeout=60)
    objects.put(s3_place, places.key(s3_place, "notes.txt"), good.output, content_type="text/html", timeout=60)
    export_record.intend(project, "f00", "attach", target="asset:a")
    export_record.amend(project, good.id, expires_at=NOW.isoformat())
    late = make("late", days=-1)
    found = document(cli("exports", "verify", "--json"), 4)
    assert sorted((each["kind"], each["place"]) for each in found["differences"]) == sorted(
        [
            ("missing", "exports/gone.html"),
            ("changed", "exports/changed.html"),
            ("missing", lost.address),
            ("changed", over.address),
            ("orphan", places.address(s3_place, stray)),
            ("unfinished", "asset:a"),
            ("expired", "exports/good.html"),
            ("expired", good.address),
            ("expired", "exports/late.html"),
            ("expired", late.address),
        ]
    )
    assert found["counts"] == {"missing": 2, "changed": 2, "unfinished": 1, "orphan": 1, "expired": 4}
    assert there(places.address(s3_place, stray))
    told = cli("exports", "verify")
    assert (told.exit_code, "10 differences" in told.stdout) == (4, True)


# links that run out


def test_a_link_is_renewed_for_who_has_it_on_no_page(project: Path, make: Callable[..., Made], cli: Cli) -> None:
    made, later = make("a", sign=3600), make("b", sign=86_400)
    secret = made.line["signed"]["url"].partition("?")[2]
    dry = document(cli("exports", "resign", "--within", "2h", "--dry-run", "--json"))
    assert [each["id"] for each in dry["renewed"]] == [made.id]
    assert export_record.read(project)[0]["signed"] == made.line["signed"]
    result = cli("exports", "resign", "--within", "2h", "--sign", "5h", "--json")
    [renewed] = document(result)["renewed"]
    line = export_record.read(project)[0]
    assert line["signed"]["url"] != made.line["signed"]["url"]
    assert line["signed"]["expires_at"] == renewed["expires_at"]
    assert export_record.time_of(renewed["expires_at"]) > datetime.now(timezone.utc) + timedelta(hours=4)  # type: ignore[operator]
    assert requests.get(line["signed"]["url"], timeout=30).text == made.output.read_text()
    assert line["entries"][0]["value"] == line["signed"]["url"]
    assert document(cli("exports", "resign", "--within", "2h", "--json"))["renewed"] == []
    [by_id] = document(cli("exports", "resign", later.id[:8], "--json"))["renewed"]
    assert by_id["id"] == later.id
    # no signature shows anywhere but in the record, which is the user's own
    shown = [cli("exports", *words) for words in (["show", made.id, "--json"], ["show", made.id], ["list", "--json"])]
    shown += [result, cli("exports", "open", made.id, "--no-open"), cli("exports", "open", made.id, "--json")]
    new = line["signed"]["url"].partition("?")[2]
    for each in shown:
        assert each.exit_code == 0, each.stderr
        for part in (secret, new, new.rpartition("=")[2]):
            assert part not in each.stdout + each.stderr
    events = "".join(path.read_text() for path in (project / ".daglab" / "events").glob("*"))
    assert new.rpartition("=")[2] not in events


def ids_shown(url: str, key: str) -> list[str]:
    """The export ids of an asset's observations as Dagster has them, the newest first."""
    found = requests.post(
        f"{url}/graphql",
        json={"query": attach.OBSERVATIONS_QUERY, "variables": {"key": {"path": [key]}, "limit": 50}},
        timeout=60,
    ).json()
    ids = [each.get(observations.ID_LABEL, {}).get("text") for each in attach.parse_observations(found["data"])]
    return [each for each in ids if each]


@pytest.fixture
def on_dagster(project: Path, deployment: Any) -> Callable[[Made, str], None]:
    """`on_dagster(made, "orders")` attaches an export, and records that."""
    (project / "daglab.yaml").write_text(f"dagster:\n  url: {deployment.url}\n")
    settings = config.load({}, directory=project)
    api = dagster_api.connect(settings)

    def attached(made: Made, key: str) -> None:
        told = [observations.Entry(**each) for each in made.line["entries"]]
        what = observations.Observation((key,), made.id, told[0].value, tuple(told))
        done = attach.attach(api, settings, what, via="rest", python="python")
        about = {"target": f"asset:{key}", "partition": None, "via": done.via, "link": None}
        export_record.amend(project, made.id, attached=[about])

    return attached


def test_the_new_link_is_attached_where_the_old_one_is_seen(
    project: Path, deployment: Any, make: Callable[..., Made], on_dagster: Callable[[Made, str], None], cli: Cli
) -> None:
    older, newer = make("older", sign=3600), make("newer", sign=3600)
    for each in (older, newer):
        on_dagster(each, "raw_orders")
    done = document(cli("exports", "resign", "--within", "2h", "--sign", "5h", "--json"))
    assert [(each["id"], each["attached"]) for each in done["renewed"]] == [
        (older.id, []),  # its asset shows a newer one
        (newer.id, ["asset:raw_orders"]),
    ]
    first, second, *_ = ids_shown(deployment.url, "raw_orders")
    assert first.startswith(f"{newer.id}+")
    assert second == newer.id
    line = export_record.read(project)[1]
    assert [each["expires_at"] for each in line["attached"]] == [line["signed"]["expires_at"]]
    assert export_record.unfinished(project) == []
    assert document(cli("exports", "resign", "--within", "2h", "--json"))["renewed"] == []


def test_a_link_that_could_not_be_attached_is_next_time(
    project: Path, deployment: Any, make: Callable[..., Made], on_dagster: Callable[[Made, str], None], cli: Cli
) -> None:
    made = make("a", sign=3600)
    on_dagster(made, "raw_orders")
    config_text = (project / "daglab.yaml").read_text()
    (project / "daglab.yaml").write_text("dagster: {url: 'http://127.0.0.1:9'}\n")
    failed = document(cli("exports", "resign", "--within", "2h", "--sign", "9h", "--json"), 5)
    assert failed["failed"][0]["id"] == made.id
    (project / "daglab.yaml").write_text(config_text)
    [again] = document(cli("exports", "resign", "--within", "2h", "--json"))["renewed"]
    assert again["attached"] == ["asset:raw_orders"]
    assert ids_shown(deployment.url, "raw_orders")[0].startswith(f"{made.id}+")


@pytest.mark.slow
def test_a_link_that_was_perhaps_attached_is_looked_for_first(
    project: Path,
    deployment: Any,
    make: Callable[..., Made],
    on_dagster: Callable[[Made, str], None],
    cli: Cli,
    proxy: Any,
) -> None:
    made = make("a", sign=3600)
    on_dagster(made, "raw_orders")
    before = len(ids_shown(deployment.url, "raw_orders"))
    (project / "daglab.yaml").write_text(f"dagster: {{url: '{proxy.url}', graphql: {{max_retries: 0}}}}\n")
    proxy.faults["Observations"] = lambda client, _forward: client.close()  # it is written, and can't be read back
    failed = document(cli("exports", "resign", "--within", "2h", "--sign", "9h", "--json"), 5)
    assert failed["failed"][0]["id"] == made.id
    assert len(ids_shown(deployment.url, "raw_orders")) == before + 1
    # It can't be found out yet: nothing is sent, and what was begun stays on record, whatever is signed meanwhile.
    document(cli("exports", "resign", "--within", "2h", "--sign", "9h", "--json"), 5)
    assert len(ids_shown(deployment.url, "raw_orders")) == before + 1
    assert [step["step"] for each in export_record.unfinished(project) for step in each["steps"]] == ["attach"]
    proxy.faults.clear()
    [again] = document(cli("exports", "resign", "--within", "2h", "--sign", "9h", "--json"))["renewed"]
    assert again["attached"] == ["asset:raw_orders"]
    assert len(ids_shown(deployment.url, "raw_orders")) == before + 1
    assert export_record.unfinished(project) == []
    assert document(cli("exports", "resign", "--within", "2h", "--json"))["renewed"] == []


def test_dagster_tells_which_is_the_latest(
    project: Path, make: Callable[..., Made], on_dagster: Callable[[Made, str], None], cli: Cli
) -> None:
    first, second = make("first", days=-1, sign=3600), make("second", days=-1)
    for each in (first, second):
        on_dagster(each, "raw_orders")
    # By the record the second one is the newest; a renewed link of the first was attached after it.
    settings = config.load({}, directory=project)
    told = [observations.Entry(observations.ID_LABEL, "text", f"{first.id}+0123abcd")]
    what = observations.Observation(("raw_orders",), told[0].value, None, tuple(told))
    attach.attach(dagster_api.connect(settings), settings, what, via="rest", python="python")
    done = document(cli("exports", "expire", "--yes", "--json"))
    assert done["asked_dagster"] is True
    assert {each["place"] for each in done["removed"]} == {"exports/second.html", second.address}
    assert there(first.address)
