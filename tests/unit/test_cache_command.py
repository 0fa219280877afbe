"""`daglab cache`: what lies in `.daglab/cache/`, and emptying it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab.commands import cache

Cli = Callable[..., Any]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "daglab.yaml").write_text("version: 1\n")
    folder = tmp_path / ".daglab/cache/deep"
    folder.mkdir(parents=True)
    (folder / "a").write_text("12345")
    (folder.parent / "b").write_text("12")
    os.utime(folder / "a", (time.time() - 3600,) * 2)
    return tmp_path


def test_show(cli: Cli, project: Path) -> None:
    shown = json.loads(cli("cache", "show", "--json", cwd=project).stdout)
    assert (shown["ok"], shown["entries"], shown["bytes"]) == (True, 2, 7)
    assert shown["path"] == str(project / ".daglab/cache")
    assert 3600 <= shown["oldest_s"] < 7200
    assert 0 <= shown["newest_s"] < 3600
    done = cli("cache", "show", cwd=project)
    assert done.stdout == f"2 entries, 7 B, in {project}/.daglab/cache\n"
    assert not (project / ".daglab/events").exists()


def test_clear(cli: Cli, project: Path) -> None:
    refused = cli("cache", "clear", "--json", cwd=project)
    assert (refused.exit_code, json.loads(refused.stdout)["error"]["hint"][:9]) == (2, "Add --yes")
    assert (project / ".daglab/cache/b").exists()
    done = json.loads(cli("cache", "clear", "--yes", "--json", cwd=project).stdout)
    assert done == {"ok": True, "removed": 2, "freed_bytes": 7, "failed": []}
    assert list((project / ".daglab/cache").iterdir()) == []
    [path] = (project / ".daglab/events").iterdir()
    event = json.loads(path.read_text())
    assert (event["command"], event["bytes"], event["detail"]) == ("cache clear", 7, {"removed": 2, "failed": 0})
    assert cli("cache", "clear", "--yes", cwd=project).stdout == "Removed 0, freed 0 B.\n"


def test_an_empty_cache_is_none(cli: Cli, tmp_path: Path) -> None:
    shown = json.loads(cli("cache", "show", "--json", cwd=tmp_path).stdout)
    assert (shown["entries"], shown["bytes"], shown["oldest_s"], shown["newest_s"]) == (0, 0, None, None)
    assert list(tmp_path.iterdir()) == []


def test_what_can_not_be_deleted_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = os.unlink

    def refusing(path: Any, **more: Any) -> None:
        if path == "a":
            raise PermissionError(1, "Operation not permitted")
        unlink(path, **more)

    monkeypatch.setattr(os, "unlink", refusing)
    assert cache.clear(project) == (1, 2, [".daglab/cache/deep/a"])
