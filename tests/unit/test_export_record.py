"""The record of exports, and what is taken away when its time is over."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import stat
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, json_lines, notebooks, redaction
from daglab.exported import export_lines, export_record
from daglab.exporting import export_locks, exports

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)


def an_export(root: Path, failed: tuple[notebooks.FailedCell, ...] = ()) -> exports.Export:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    return exports.Export("a1", root / "nb" / "a.py", root / "a.html", 2.34567, 10, "0" * 64, at, failed)


def recorded(root: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (root / export_record.FILE).read_text().splitlines()]


NOT_ATTACHED = {"link": None, "attached": None}


def test_the_record_grows_by_a_line_with_paths_that_survive_a_move(tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    cell = notebooks.FailedCell(2, "load", "ValueError: x", "Traceback", "secret = 1", caused_by_ancestor=False)
    export_record.append(tmp_path, an_export(tmp_path), NOT_ATTACHED)
    export_record.append(
        tmp_path,
        an_export(tmp_path, (cell,)),
        {"link": "http://127.0.0.1/a.html", "attached": {"asset": "a/b", "via": "rest"}},
    )
    first, second = recorded(tmp_path)
    assert (first["ok"], first["link"], first["attached"], first["failed"]) == (True, None, None, [])
    failed = {"cell": 2, "name": "load", "error": "ValueError: x", "traceback": "Traceback"}
    assert second == {
        "v": 1,
        "id": "a1",
        "notebook": "nb/a.py",
        "output": "a.html",
        "ok": False,
        "exported_at": "2026-01-02T03:04:05+00:00",
        "seconds": 2.346,
        "bytes": 10,
        "sha256": "0" * 64,
        "notebook_sha256": "",
        "parameters": {},
        "content_sha256": "",
        "interactive": "cdn",
        "results": {},
        "marimo_version": None,
        "failed": [{**failed, "caused_by_ancestor": False}],
        "link": "http://127.0.0.1/a.html",
        "attached": {"asset": "a/b", "via": "rest"},
    }
    assert stat.S_IMODE((tmp_path / export_record.FILE).stat().st_mode) == 0o600


def test_paths_outside_of_the_project_are_recorded_in_full(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".daglab").mkdir(parents=True)
    export_record.append(project, an_export(tmp_path), NOT_ATTACHED)
    [line] = recorded(project)
    assert (line["notebook"], line["output"]) == (str(tmp_path / "nb" / "a.py"), str(tmp_path / "a.html"))


def test_a_folder_that_is_no_project_gets_no_record(tmp_path: Path) -> None:
    export_record.append(tmp_path, an_export(tmp_path), NOT_ATTACHED)
    assert os.listdir(tmp_path) == []


def test_a_record_that_can_not_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / export_record.FILE).mkdir(parents=True)
    export_record.append(tmp_path, an_export(tmp_path), NOT_ATTACHED)
    assert "not recorded" in caplog.text


def test_a_record_does_not_follow_a_link_out_of_the_project(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "mine").write_text("mine\n")
    (tmp_path / ".daglab").mkdir()
    (tmp_path / export_record.FILE).symlink_to(tmp_path / "mine")
    export_record.append(tmp_path, an_export(tmp_path), NOT_ATTACHED)
    assert "not recorded" in caplog.text
    assert (tmp_path / "mine").read_text() == "mine\n"


# intents and later facts


def steps(root: Path) -> dict[str, list[str]]:
    return {each["id"]: [line["step"] for line in each["steps"]] for each in export_record.unfinished(root)}


def test_an_intent_stands_until_the_export_is_recorded(project: Path) -> None:
    for step in ("upload", "attach"):
        export_record.intend(project, "a1", step, address="s3://b/k", id="never", v=7)
    export_record.intend(project, "b2", "sign")
    assert steps(project) == {"a1": ["upload", "attach"], "b2": ["sign"]}
    assert export_record.unfinished(project)[0]["steps"][0]["address"] == "s3://b/k"
    assert export_record.read(project) == []
    export_record.append(project, an_export(project), NOT_ATTACHED)
    assert steps(project) == {"b2": ["sign"]}
    export_record.intend(project, "a1", "delete")
    assert steps(project) == {"b2": ["sign"], "a1": ["delete"]}
    assert stat.S_IMODE((project / export_record.FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("members", "left"),
    [
        ({"signed": {"url": "u"}}, ["upload", "attach", "check", "delete"]),
        ({"attached": [], "upload": None}, ["sign", "check", "delete"]),
        ({"check": None}, ["upload", "sign", "attach", "delete"]),
        ({"removed": {}}, ["upload", "sign", "attach", "check"]),
        ({"closed": ["upload", "delete", {}, 7]}, ["sign", "attach", "check"]),
        ({"closed": ["sign"], "signed": {}, "attached": []}, ["upload", "attach", "check", "delete"]),
        ({"closed": 7, "bytes": 3}, ["upload", "sign", "attach", "check", "delete"]),
    ],
)
def test_a_later_fact_closes_the_intents_that_it_tells_the_outcome_of(
    project: Path, members: dict[str, Any], left: list[str]
) -> None:
    for step in export_lines.STEPS:
        export_record.intend(project, "a1", step)
        export_record.intend(project, "b2", step)
    export_record.amend(project, "a1", **members)
    assert steps(project) == {"a1": ["publish", *left], "b2": list(export_lines.STEPS)}


def test_an_export_is_read_with_its_later_facts(project: Path) -> None:
    export_record.append(project, an_export(project), {"link": "http://old", "signed": None})
    export_record.amend(project, "other", link="http://other")
    export_record.amend(project, "a1", link="http://new", signed={"url": "http://new"}, output="/etc", v=2, id="x")
    [line] = export_record.read(project)
    assert (line["link"], line["signed"], line["output"]) == ("http://new", {"url": "http://new"}, "a.html")
    assert (line["v"], line["id"], line["bytes"]) == (1, "a1", 10)
    assert export_record.standing(project) == [line]


def test_an_export_that_was_taken_up_again_is_one(project: Path) -> None:
    for attached in ([], [{"target": "asset:a"}]):
        export_record.append(project, an_export(project), {"link": None, "attached": attached})
    assert [line["attached"] for line in export_record.read(project)] == [[{"target": "asset:a"}]]


def test_a_signed_link_is_whole_in_the_record_and_hidden_elsewhere(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redaction, "_secrets", set())
    redaction.hide("s1gnature")
    url = "https://b.test/a.html?sig=s1gnature"
    told = {"link": url, "entries": [{"label": "exploration", "value": url}], "signed": {"url": url}, "note": url}
    export_record.append(project, an_export(project), {**told, "attached": [{"link": url}]})
    export_record.amend(project, "a1", signed={"url": f"{url}2"}, upload={"via": url})
    export_record.intend(project, "a1", "attach", link=url, target="asset:s1gnature")
    [line] = export_record.read(project)
    assert (line["link"], line["entries"][0]["value"], line["attached"][0]["link"]) == (url, url, url)
    assert (line["signed"]["url"], line["note"]) == (f"{url}2", "https://b.test/a.html?sig=***")
    assert line["upload"]["via"] == line["note"]
    [left] = export_record.unfinished(project)
    assert (left["steps"][0]["link"], left["steps"][0]["target"]) == (url, "asset:***")


def test_what_can_not_be_recorded_is_not_done(tmp_path: Path) -> None:
    export_record.intend(tmp_path, "a1", "upload")  # no project: no record, and no complaint
    export_record.amend(tmp_path, "a1", link="x")
    assert os.listdir(tmp_path) == []
    (tmp_path / export_record.FILE).mkdir(parents=True)
    for record in (
        lambda: export_record.intend(tmp_path, "a1", "upload"),
        lambda: export_record.amend(tmp_path, "a1", signed=None),
    ):
        with pytest.raises(errors.InvalidInput, match="can't be recorded"):
            record()
    with pytest.raises(ValueError, match="'fetch' is none of publish"):
        export_record.intend(tmp_path, "a1", "fetch")


@pytest.mark.parametrize("value", [None, 7, [], {}, "x", [{}], float("inf"), True])
def test_hostile_intents_and_facts_are_read_without_harm(project: Path, value: Any) -> None:
    good = {"v": 1, "id": "a1", "output": "a.html", "sha256": "0", "ok": True}
    lines = [
        {"v": 1, "intent": value, "step": "upload"},
        {"v": 1, "intent": "a1", "step": value},
        {"v": value, "intent": "a1", "step": "upload"},
        good,
        {"v": 1, "amends": value, "signed": value},
        {"v": 1, "amends": "a1", "closed": value, **dict.fromkeys(export_lines.STEPS.values(), value)},
        {"v": 1, "expired": value, "closed": value},
    ]
    (project / export_record.FILE).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    for read in (export_record.read, export_record.standing, export_record.unfinished, export_record.expired):
        read(project)
    export_record.expire(project, NOW)
    export_record.newest(project, "asset:a")
    export_record.last_good(project)


# retention


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / ".daglab").mkdir(parents=True)
    return root


def made(root: Path, name: str, days: int | None, *, identity: str = "", text: str = "html") -> Path:
    """An export of the record that expires so many days from now (None for never)."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    json_lines.append(
        root / export_record.FILE,
        {
            "v": 1,
            "id": identity or name,
            "ok": True,
            "output": name,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "expires_at": None if days is None else (NOW + timedelta(days=days)).isoformat(),
        },
    )
    return path


def test_what_is_over_goes_and_the_rest_stays(project: Path) -> None:
    over, kept, for_ever = (
        made(project, "exports/a.html", -1),
        made(project, "b.html", 1),
        made(project, "c.html", None),
    )
    mine = project / "exports" / "mine.html"
    mine.write_text("not daglab's")
    gone = export_record.Expired(removed=("exports/a.html",), sizes=(4,))
    before = recorded(project)
    assert export_record.expire(project, NOW, dry_run=True) == gone
    assert (over.exists(), recorded(project)) == (True, before)
    assert export_record.expire(project, NOW) == gone
    assert [path.exists() for path in (over, kept, for_ever, mine)] == [False, True, True, True]
    assert recorded(project)[-1] == {"v": 1, "expired": "exports/a.html", "at": NOW.isoformat()}
    noted = len(recorded(project))
    assert export_record.expire(project, NOW) == export_record.Expired()
    assert len(recorded(project)) == noted


def test_a_newer_export_of_the_same_place_counts(project: Path) -> None:
    made(project, "a.html", -5, identity="old")
    path = made(project, "a.html", 5, identity="new")
    assert export_record.expire(project, NOW) == export_record.Expired()
    assert path.exists()


def test_what_was_just_written_stays(project: Path) -> None:
    path = made(project, "a.html", -1)
    assert export_record.expire(project, NOW, keep=[path]) == export_record.Expired()
    assert path.exists()


def test_what_was_changed_since_stays_and_is_told_once(project: Path) -> None:
    path = made(project, "a.html", -1)
    path.write_text("edited by hand")
    assert export_record.expire(project, NOW).changed == ("a.html",)
    assert path.read_text() == "edited by hand"
    assert export_record.expire(project, NOW).changed == ()


def test_what_is_gone_is_not_told(project: Path) -> None:
    made(project, "a.html", -1).unlink()
    assert export_record.expire(project, NOW) == export_record.Expired()
    assert recorded(project)[-1]["expired"] == "a.html"


@pytest.mark.parametrize("name", ["../mine.html", "/etc/hosts", "link/mine.html", "sym.html", "folder"])
def test_nothing_outside_is_ever_deleted(project: Path, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine.html"
    mine.write_text("html")
    (project / "link").symlink_to(tmp_path)
    (project / "sym.html").symlink_to(mine)
    (project / "folder").mkdir()
    line = {"v": 1, "id": "x", "ok": True, "output": name, "expires_at": (NOW - timedelta(1)).isoformat()}
    digest = hashlib.sha256(b"html").hexdigest()
    json_lines.append(project / export_record.FILE, {**line, "sha256": digest})
    assert export_record.expire(project, NOW).removed == ()
    assert mine.exists()
    assert (project / "sym.html").is_symlink()
    assert (project / "folder").is_dir()


@pytest.mark.parametrize("line", ["{torn", "[]", '{"v": 2, "id": "x"}', '{"v": 1}', '{"v": 1, "id": "x", "output": 7}'])
def test_lines_that_are_no_exports_are_left_alone(project: Path, line: str) -> None:
    (project / export_record.FILE).write_text(line + "\n")
    assert export_record.expire(project, NOW) == export_record.Expired()
    assert export_record.newest(project, "asset:a") is None


def test_when_an_export_expires() -> None:
    export = an_export(Path("/p"))
    assert export_record.expires_at(export, 0) is None
    assert export_record.expires_at(export, 30) == "2026-02-01T03:04:05+00:00"


def test_the_newest_good_export_of_a_target(project: Path) -> None:
    def line(identity: str, **more: Any) -> None:
        json_lines.append(project / export_record.FILE, {"v": 1, "id": identity, "ok": True, **more})

    line("1", targets=["asset:a"], partition=None)
    line("2", targets=["job:j", "asset:a", "asset:b"], partition=None)
    line("3", targets=["asset:a"], partition="p")
    line("4", targets=["asset:a"], partition=None, ok=False)
    newest = [export_record.newest(project, *asked) for asked in (("asset:a",), ("asset:a", "p"), ("asset:c",))]
    assert [found and found["id"] for found in newest] == ["2", "3", None]
    # One export for several partitions tells each target with its own; its one `partition` is but the first of them.
    aimed = [["asset:a", "q"], ["asset:d", None]]
    line("5", targets=["asset:a", "asset:d"], partition="q", aimed=aimed)
    for wrong in (7, "x", [], [7], {}, [["asset:a"]], None):
        line("6", targets=wrong, partition=wrong, aimed=wrong)
    asked = [("asset:a", "q"), ("asset:d", None), ("asset:a", None), ("asset:a", "p"), ("asset:d", "q")]
    newest = [export_record.newest(project, *each) for each in asked]
    assert [found and found["id"] for found in newest] == ["5", "5", "2", "3", None]


def test_a_foreign_line_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    page = tmp_path / "x.html"
    page.write_text("x")
    sha256 = hashlib.sha256(b"x").hexdigest()
    old = {"v": 1, "id": "a", "output": "x.html", "sha256": sha256, "expires_at": "2020-01-01T00:00:00+00:00"}
    lines = [{"v": 1, "expired": []}, {"v": 1, "expired": {}}, old]
    (tmp_path / export_record.FILE).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert export_record.expire(tmp_path, datetime.now(timezone.utc)).removed == ("x.html",)
    assert not page.exists()


# copies


def uploaded(root: Path, name: str, days: int | None, **more: Any) -> None:
    """An export of the record with an object in a cloud; nothing is there."""
    upload = {"address": f"s3://bucket/{name}", "bytes": 7, "sha256": "1" * 64}
    until = None if days is None else (NOW + timedelta(days=days)).isoformat()
    line = {"v": 1, "id": name, "ok": True, "output": name, "sha256": "0" * 64, "bytes": 5, "expires_at": until}
    json_lines.append(root / export_record.FILE, {**line, "upload": upload, **more})


def places(root: Path) -> list[tuple[str, str]]:
    return [(copy.id, copy.place) for copy in export_record.copies(root)]


def test_each_place_has_its_newest_copy(project: Path) -> None:
    uploaded(project, "a.html", 1)
    uploaded(project, "b.html", 1, id="b1")
    uploaded(project, "b.html", None, id="b2")
    assert places(project) == [
        ("a.html", "a.html"),
        ("a.html", "s3://bucket/a.html"),
        ("b2", "b.html"),
        ("b2", "s3://bucket/b.html"),
    ]
    export_record.amend(project, "a.html", removed={"address": "s3://bucket/a.html"})
    export_record.amend(project, "b2", removed={"address": "s3://bucket/another"})
    json_lines.append(project / export_record.FILE, {"v": 1, "expired": "b2"})
    assert places(project) == [("a.html", "a.html"), ("b2", "s3://bucket/b.html")]


def test_what_an_assets_page_leads_to_stays(project: Path) -> None:
    old, latest, other = (made(project, name, -1, identity=name) for name in ("old.html", "latest.html", "other.html"))
    for identity in ("old.html", "latest.html"):
        export_record.amend(project, identity, attached=[{"target": "asset:a", "partition": None}])
    gone = export_record.expire(project, NOW)
    assert (gone.removed, gone.attached) == (("old.html", "other.html"), ("latest.html",))
    assert [path.exists() for path in (old, latest, other)] == [False, True, False]
    assert export_record.expire(project, NOW, linked=()).removed == ("latest.html",)


def test_a_place_that_a_page_leads_to_stays_whoever_wrote_over_it(project: Path) -> None:
    made(project, "a.html", -1, identity="first")
    export_record.amend(project, "first", attached=[{"target": "asset:a"}])
    path = made(project, "a.html", -1, identity="second")
    assert export_record.expire(project, NOW).attached == ("a.html",)
    assert path.exists()


def test_the_oldest_go_when_there_are_too_many(project: Path) -> None:
    paths = [made(project, f"{number}.html", 9, identity=str(number)) for number in range(4)]
    for number in range(4):
        export_record.amend(project, str(number), bytes=4)
    assert export_record.expire(project, NOW, most_bytes=16).removed == ()
    assert export_record.expire(project, NOW, most_bytes=9, dry_run=True).removed == ("0.html", "1.html")
    assert export_record.expire(project, NOW, most_bytes=9, keep=[paths[0]]).removed == ("1.html", "2.html")
    assert [path.exists() for path in paths] == [True, False, False, True]


def test_what_is_being_exported_again_stays(project: Path) -> None:
    path = made(project, "a.html", -1)
    with export_locks.held(project, path):
        assert export_record.expire(project, NOW) == export_record.Expired()
    assert path.exists()
    assert export_record.unfinished(project) == []


def test_each_deletion_is_on_record_before_it_is_done(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(project, "a.html", -1)

    def killed(*_: object, **__: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(SystemExit):
            export_record.expire(project, NOW)
    assert steps(project) == {"a.html": ["delete"]}
    assert export_record.expire(project, NOW).removed == ("a.html",)
    assert steps(project) == {}


def test_the_newest_of_a_target_is_one_that_is_there(project: Path) -> None:
    for identity in ("1", "2", "3"):
        uploaded(project, f"{identity}.html", 1, id=identity, targets=["asset:a"])
    uploaded(project, "4.html", 1, id="4", targets=["asset:a"], upload=None)
    json_lines.append(project / export_record.FILE, {"v": 1, "expired": "4"})
    json_lines.append(project / export_record.FILE, {"v": 1, "expired": "2"})
    export_record.amend(project, "3", removed={"address": "s3://bucket/3.html"})
    newest = export_record.newest(project, "asset:a")
    assert newest is not None
    assert newest["id"] == "2"  # its HTML here is gone, and the link leads to the object


def test_a_record_that_can_not_be_read_is_an_error_to_who_counts(project: Path) -> None:
    export_record.check_readable(project)
    made(project, "a.html", 1)
    export_record.check_readable(project)
    with (project / export_record.FILE).open("a") as file:
        file.write("{torn\n")
    with pytest.raises(errors.InvalidInput, match="the first is line 2"):
        export_record.check_readable(project)
    (project / export_record.FILE).unlink()
    (project / export_record.FILE).mkdir()
    with pytest.raises(errors.InvalidInput, match="can't be read"):
        export_record.check_readable(project)


def test_two_that_clear_up_at_once_take_each_away_once(project: Path) -> None:
    names = [f"{number}.html" for number in range(30)]
    for name in names:
        made(project, name, -1)
    together = threading.Barrier(3)

    def clear(_: int) -> tuple[str, ...]:
        together.wait()
        return export_record.expire(project, NOW).removed

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        removed = [name for found in pool.map(clear, range(3)) for name in found]
    assert sorted(removed) == sorted(names)
    noted = [line["expired"] for line in recorded(project) if "expired" in line]
    assert sorted(map(str, noted)) == sorted(names)
    assert export_record.unfinished(project) == []


def test_an_export_that_comes_while_it_is_cleared_away_stays(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(project, "a.html", -1)
    held = export_locks.held

    def slow(root: Path, output: Path, seconds: float = 0.0) -> Any:
        monkeypatch.undo()
        made(project, "a.html", 9, identity="new")  # after it was chosen, before the lock could be had
        return held(root, output, seconds)

    monkeypatch.setattr(export_locks, "held", slow)
    assert export_record.expire(project, NOW).removed == ()
    assert path.exists()
    assert [copy.id for copy in export_record.copies(project)] == ["new"]
