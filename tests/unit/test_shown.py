"""What commands print where there is very much, or nothing, or something odd: no project, no server."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from daglab import errors
from daglab.commands import backup, clean, completion, export, notebooks, stats
from daglab.commands.collection import stats as collection_stats
from daglab.exported import export_record
from daglab.settings import config
from daglab.upkeep import cleaning, contents, restoring

Printed = pytest.CaptureFixture[str]


def test_what_is_restored_is_cut_and_counted(capsys: Printed) -> None:
    def change(number: int, what: str) -> restoring.Change:
        return restoring.Change(contents.Entry(f"f{number}", 1, 0o600, "0" * 64), what)

    backup.show([change(number, restoring.NEW) for number in range(backup.MOST_SHOWN + 2)] + [change(99, "same")])
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == backup.MOST_SHOWN
    assert "... and 2 more" in err
    assert f"{backup.MOST_SHOWN + 2} new, 1 same" in err
    backup.show([])
    assert "It holds no files." in capsys.readouterr().err


def test_what_is_taken_away_is_cut_and_what_stays_is_told(capsys: Printed) -> None:
    found = cleaning.Outcome(kept=[{"path": "exports/a.html", "why": "it was changed"}])
    for number in range(clean.MOST_SHOWN + 3):
        found.add("cache", f".daglab/cache/{number}", 10)
    clean.show(found)
    err = capsys.readouterr().err
    assert "... and 3 more" in err
    assert "exports/a.html stays: it was changed." in err


def test_notebooks_that_failed_expired_or_can_not_be_read() -> None:
    plain: dict[str, Any] = {"notebook": "a.py", "target": None, "template": None, "problem": "x"}
    export_line = {"ok": False, "exported_at": "2026-11-01T10:00:00+00:00", "is_there": False}
    rows = notebooks.rows(
        [
            {**plain, "last_run": None, "last_export": None},
            {**plain, "problem": None, "last_run": {"at": "no time"}, "last_export": export_line},
        ]
    )
    assert rows[0] == ["a.py", "(can't be read)", "", "", ""]
    assert rows[1][3] == ""
    assert rows[1][4].startswith("2026-11-01 ")
    assert rows[1][4].endswith(", failed, expired")


def test_a_long_table_of_figures_is_cut(capsys: Printed) -> None:
    stats._table("By command", [(number,) for number in range(stats.MOST + 4)], ("Command",))
    out, err = capsys.readouterr()
    assert "By command" in out
    assert "4 more: --json has all." in err
    stats._table("Nothing", [], ("Command",))
    assert capsys.readouterr().out == ""
    assert stats._rate({"n": 0, "failed": 0}) == ""
    assert stats._rate({"n": 100_000, "failed": 1}) == "99.99 %"


def test_a_shell_that_nobody_completes_for_is_refused() -> None:
    with pytest.raises(errors.WrongUsage, match="no completion for tcsh"):
        completion.script(click.Command("daglab"), "tcsh")


def test_what_became_of_an_export_is_told(capsys: Printed) -> None:
    aim = SimpleNamespace(job="nightly", asset=("a",))
    wish: Any = SimpleNamespace(aims=[aim], targets=[], page=lambda key: f"http://d.test/{'/'.join(key)}")
    done = {"target": "asset:a", "via": "rest", "link": "http://x.test", "link_type": "TextMetadataEntry"}
    result = {"skipped": False, "output": "a.html", "attached": [done, {**done, "already": True, "at": "then"}]}
    with click.Context(click.Command("export")):
        export.show({**result, "snippet": "code"}, wish)
    out, err = capsys.readouterr()
    assert out.splitlines() == ["a.html", "code"]
    assert "Attached to asset:a by way of rest; read back: http://x.test" in err
    assert "can't be clicked" in err
    assert "asset:a has the same already, attached at then" in err
    assert "The job nightly has no assets" in err
    with click.Context(click.Command("export")):
        export.show({**result, "skipped": True, "exported_at": "yesterday"}, wish)
    assert "Nothing has changed since yesterday" in capsys.readouterr().err


def test_exports_that_were_taken_away_are_told(
    tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = export_record.Expired(removed=("exports/a.html",), changed=("exports/b.html",))
    monkeypatch.setattr(export_record, "expire", lambda *_, **__: gone)
    export.clear(config.load({}, directory=tmp_path), [])
    err = capsys.readouterr().err
    assert "Removed 1 expired: exports/a.html" in err
    assert "exports/b.html has expired and was changed since" in err


def test_more_collections_that_could_not_be_counted_than_are_named() -> None:
    bad = [SimpleNamespace(name=f"C{number}", problem="lost") for number in range(25)]
    look: Any = SimpleNamespace(found=SimpleNamespace(measures=bad))
    error = collection_stats.verdict(look)
    assert error is not None
    assert error.message.endswith("C19 and 5 more. lost")
    assert collection_stats.verdict(SimpleNamespace(found=None)) is None  # type: ignore[arg-type]
