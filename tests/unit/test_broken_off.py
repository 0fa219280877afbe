"""What is read of exports that were broken off, from a record that anybody may have written."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab.attaching import observations
from daglab.exporting import broken_off, publication, publishing
from daglab.settings import config

WRONG: list[Any] = [None, 3, -1, float("nan"), "", "x", [], {}, [1], {"a": 1}, True, "9" * 400, "\udc80", 1e300]


def intent(**changes: Any) -> dict[str, Any]:
    about = {
        "id": "a" * 32,
        "notebook": "nb.py",
        "output": "exports/nb.html",
        "seconds": 1.5,
        "bytes": 3,
        "sha256": "b" * 64,
        "notebook_sha256": "c" * 64,
        "exported_at": datetime.now(timezone.utc).isoformat(),
        "failed": [{"cell": 2, "name": "x", "error": "E", "traceback": "", "caused_by_ancestor": False}],
        "marimo_version": "0.25.0",
        "git": {"commit": "abc", "dirty": False},
    }
    members = {
        "intent": "a" * 32,
        "step": "attach",
        "target": "asset:a",
        "partition": None,
        "line": "l",
        "url": "http://x",
    }
    return {"v": 1, **members, "at": about["exported_at"], "export": {**about, **changes}}


def test_an_export_is_restored(tmp_path: Path) -> None:
    found = broken_off.restored(tmp_path, [intent()])
    assert found is not None
    assert (found.notebook, found.output, found.bytes) == (tmp_path / "nb.py", tmp_path / "exports" / "nb.html", 3)
    assert [(cell.index, cell.error) for cell in found.failed] == [(2, "E")]


@pytest.mark.parametrize("seed", range(5))
def test_a_hostile_record_gives_nothing_and_no_error(tmp_path: Path, seed: int) -> None:
    chosen = random.Random(seed)
    (tmp_path / ".daglab").mkdir()
    settings = config.load({}, directory=tmp_path, environ={})
    with (tmp_path / ".daglab" / "exports.jsonl").open("w") as file:
        for _ in range(200):
            line = intent(**{name: chosen.choice(WRONG) for name in intent()["export"] if chosen.random() < 0.2})
            for name in line:
                if chosen.random() < 0.1:
                    line[name] = chosen.choice(WRONG)
            line["intent"] = chosen.choice(["a" * 32, "b" * 32, line["intent"]])
            file.write(json.dumps(line) + "\n")
        for _ in range(50):
            pending = [{"step": "attach", "target": chosen.choice([*WRONG, "asset:a"]), "at": chosen.choice(WRONG)}]
            done = {"v": 1, "id": "c", "output": "exports/nb.html", "pending": chosen.choice([*WRONG, pending])}
            done.update(attached=chosen.choice([*WRONG, [{"target": 3}], [3]]), url=chosen.choice(WRONG))
            file.write(json.dumps(done) + "\n")
    output = tmp_path / "exports" / "nb.html"
    assert publishing.unfinished(settings, tmp_path / "nb.py", output, {}, publishing.Wish()) is None
    target = observations.Target(("a",))
    assert broken_off.newest_attached(tmp_path, target, "exports/nb.html", None, failure=False) is None


def test_what_broke_off_last_night_is_not_tonights(tmp_path: Path) -> None:
    begun = intent()
    assert broken_off._is_of([begun], "l")
    assert not broken_off._is_of([begun], "another")
    begun["at"] = (datetime.now(timezone.utc) - timedelta(hours=2)).isoformat()
    assert not broken_off._is_of([begun], "l")


def test_a_line_is_known_by_all_that_decides_what_comes_of_it(tmp_path: Path) -> None:
    settings = config.load({}, directory=tmp_path, environ={})
    notebook, output = tmp_path / "nb.py", tmp_path / "nb.html"
    wish = publication.Wish()
    others = [
        publication.line(settings, tmp_path / "other.py", output, {}, wish),
        publication.line(settings, notebook, tmp_path / "o.html", {}, wish),
        publication.line(settings, notebook, output, {"day": 1}, wish),
        *(
            publication.line(settings, notebook, output, {}, publication.Wish(**changed))
            for changed in (
                {"via": "rest"},
                {"sign": 3},
                {"check": "c"},
                {"attach_failure": True},
                {"allow_errors": True},
                {"targets": (observations.Target(("a",)),)},
                {"targets": (observations.Target(("a",), "p"),)},
            )
        ),
    ]
    others.append(publication.line(settings, notebook, output, {}, wish, "none"))
    same = publication.line(settings, notebook, output, {}, publication.Wish(keep_days=3, python="p"))
    assert len({*others, same}) == len(others) + 1
    assert same == publication.line(settings, notebook, output, {}, wish)
