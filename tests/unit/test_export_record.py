"""The record of exports, and what is taken away when its time is over."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import export_record, exports, json_lines, notebooks

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
    assert export_record.expire(project, NOW, keep=path) == export_record.Expired()
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
