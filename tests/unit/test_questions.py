"""Commands that ask before they act: a no leaves all as it is, and what there is nothing of is not asked about."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner

from daglab import json_lines, output
from daglab.commands import backup, cache, clean, exports, metrics

NOW = datetime.now(timezone.utc)
Ask = Callable[..., str]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "daglab.yaml").write_text("version: 1\ndagster: {url: 'http://127.0.0.1:9'}\n")
    (tmp_path / ".daglab").mkdir()
    return tmp_path


@pytest.fixture
def answered(project: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run a command at which somebody sits, who answers so; what it prints."""

    def run(command: object, *words: str, answer: str = "n\n") -> str:
        with monkeypatch.context() as patched:
            patched.setattr(output, "require_answer", lambda **_: None)
            done = CliRunner().invoke(command, list(words), input=answer, catch_exceptions=False)  # type: ignore[arg-type]
        assert done.exit_code == 0, done.output
        return done.output

    return run


def everything(root: Path) -> dict[str, bytes]:
    """The files of a project, but for its own record of what was done and its locks."""
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if "lock" not in name}


def fill(root: Path) -> None:
    """What each of these commands would take away."""
    (root / ".daglab" / "cache").mkdir()
    (root / ".daglab" / "cache" / "a").write_text("x")
    (root / "exports").mkdir()
    (root / "exports" / "old.html").write_text("old")
    over = (NOW - timedelta(days=1)).isoformat()
    line = {"v": 1, "id": "e1", "ok": True, "output": "exports/old.html", "exported_at": over, "expires_at": over}
    line["sha256"] = hashlib.sha256(b"old").hexdigest()
    json_lines.append(root / ".daglab" / "exports.jsonl", line)
    event = {"v": 1, "id": "0", "at": NOW.isoformat(), "command": "run", "ok": True, "exit_code": 0, "detail": {}}
    (root / ".daglab" / "events").mkdir()
    json_lines.append(root / ".daglab" / "events" / f"{NOW:%Y-%m}.jsonl", event)


def test_a_no_leaves_all_as_it_is(project: Path, answered: Ask) -> None:
    fill(project)
    before = everything(project)
    for command, words in (
        (cache.command, ["clear"]),
        (clean.command, []),
        (metrics.command, ["reset"]),
        (exports.command, ["expire"]),
    ):
        text = answered(command, *words)
        assert "Nothing was done." in text
        now = {name: content for name, content in everything(project).items() if "events" not in name}
        assert now == {name: content for name, content in before.items() if "events" not in name}, words
    assert json.loads(before[f".daglab/events/{NOW:%Y-%m}.jsonl"])["command"] == "run"


def test_a_no_restores_nothing(project: Path, answered: Ask) -> None:
    (project / "daglab.yaml").write_text("version: 1\n")
    said = answered(backup.command, "create")
    archive = next(word for word in said.split() if word.endswith((".tar.gz", ".tgz", ".gz")))
    (project / "daglab.yaml").write_text("version: 1\nhealth: {timeout: 3}\n")
    text = answered(backup.command, "restore", archive)
    assert "changed" in text
    assert "Nothing was done." in text
    assert "timeout" in (project / "daglab.yaml").read_text()
    answered(backup.command, "restore", archive, answer="y\n")
    assert "timeout" not in (project / "daglab.yaml").read_text()


def test_what_there_is_nothing_of_is_not_asked_about(project: Path, answered: Ask) -> None:
    assert "There is nothing to take away." in answered(clean.command)
    assert "There is nothing to take away." in answered(exports.command, "expire")
    assert "There are no archives" in answered(backup.command, "list")
    shutil.rmtree(project / ".daglab")
    (project / ".daglab").mkdir()
    assert "There was nothing to put aside." in answered(metrics.command, "reset", answer="y\n")


def test_a_yes_puts_the_events_aside(project: Path, answered: Ask) -> None:
    fill(project)
    assert "Counting begins anew." in answered(metrics.command, "reset", answer="y\n")
    assert "Nothing was done: --dry-run only tells." in answered(clean.command, "--dry-run")
    assert "Removed" in answered(clean.command, answer="y\n")
