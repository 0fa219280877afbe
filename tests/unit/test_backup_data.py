"""`daglab backup data`: tables that say what is on record, and nothing that opens a door."""

from __future__ import annotations

import csv
import io
import json
import random
import stat
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import json_lines, sheets
from daglab.settings import config
from daglab.upkeep import tables

Cli = Callable[..., Any]
AT = datetime(2026, 10, 30, tzinfo=timezone.utc)
SIGNED = "https://me:hunter22@s3.test/b/a.html?X-Amz-Signature=d0d0cafe99&X-Amz-Credential=AKIA1234"
SECRETS = ["hunter22", "d0d0cafe99", "AKIA1234", "t0k3n-of-mine", "s3cr3t-value"]


def event(number: int, **more: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "id": f"{number:032x}",
        "at": (AT + timedelta(hours=number)).isoformat(timespec="milliseconds"),
        "command": "run",
        "target": "asset:orders",
        "ok": True,
        "exit_code": 0,
        "error_code": None,
        "seconds": 1.5,
        "runs": [],
        "requests": {"n": 2, "errors": 0, "ms": [10, 20]},
        "bytes": None,
        "rss_peak": 1000,
        "usage": [],
        "detail": {},
        **more,
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / ".daglab/events").mkdir(parents=True)
    (root / "daglab.yaml").write_text(
        "version: 1\n"
        "models: [{name: small, signing_key: s3cr3t-value, endpoint: 'https://x.test/v1?sig=d0d0cafe99'}]\n"
        "export: {base_url: 'https://x.test/exports'}\n"
    )
    return root


def record(root: Path, *lines: dict[str, Any]) -> None:
    for line in lines:
        json_lines.append(root / f".daglab/events/{line['at'][:7]}.jsonl", line)


def written(root: Path, folder: Path) -> dict[str, list[dict[str, str]]]:
    """The tables, after writing them, by the standard library's own reader."""
    tables.write(config.load(directory=root, environ={}), folder)
    return read(folder)


def read(folder: Path) -> dict[str, list[dict[str, str]]]:
    """The tables in a folder."""
    texts = {path.name: io.StringIO(path.read_bytes().decode(), newline="") for path in folder.glob("*.csv")}
    return {name: list(csv.DictReader(text)) for name, text in texts.items()}


def test_what_is_on_record_stands_in_tables(cli: Cli, project: Path) -> None:
    record(
        project,
        event(1, runs=["r1", "r2"]),
        event(60, ok=False, exit_code=4, error_code="not_good", seconds=2.5, runs=["r3"]),
        event(61, command="helpers.usage", usage=[{"name": "tokens", "amount": 1200, "labels": {"model": "m"}}]),
    )
    json_lines.append(
        project / ".daglab/exports.jsonl",
        {"v": 1, "id": "e1", "output": "exports/a.html", "ok": True, "targets": ["asset:a"], "link": SIGNED},
    )
    json_lines.append(project / ".daglab/exports.jsonl", {"v": 1, "expired": "e1", "at": "2026-11-20T00:00:00+00:00"})
    done = cli("backup", "data", "--output", "out", "--json", cwd=project)
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert {Path(each["path"]).name: each["rows"] for each in told["files"]} == {
        "config.json": None,
        "events.csv": 3,
        "exports.csv": 1,
        "metrics.csv": 2,
        "runs.csv": 3,
        "summary.md": None,
        "usage.csv": 1,
    }
    found = read(project / "out")
    assert [row["run_id"] for row in found["runs.csv"]] == ["r1", "r2", "r3"]
    assert found["events.csv"][0] == {
        **{"at": "2026-10-30T01:00:00.000+00:00", "id": f"{1:032x}", "command": "run", "target": "asset:orders"},
        **{"ok": "true", "exit_code": "0", "error_code": "", "seconds": "1.5", "runs": "r1, r2", "requests": "2"},
        **{"request_errors": "0", "request_ms_mean": "15.0", "bytes": "", "rss_peak": "1000"},
    }
    [used] = found["usage.csv"]
    assert (used["name"], used["amount"], used["labels"]) == ("tokens", "1200", "model=m")
    [export] = found["exports.csv"]
    assert (export["link"], export["removed_at"]) == ("https://s3.test/b/a.html", "2026-11-20T00:00:00+00:00")
    assert [(row["day"], row["events"], row["failed"]) for row in found["metrics.csv"]] == [
        ("2026-10-30", "1", "0"),
        ("2026-11-01", "2", "1"),
    ]
    assert found["metrics.csv"][1]["usage"].startswith("tokens=1200")
    summary = (project / "out/summary.md").read_text()
    assert "# shop" in summary
    assert "| Operations | 3, 1 failed |" in summary
    assert json.loads((project / "out/config.json").read_text())["values"]["dagster.port"] == 3000
    assert {stat.S_IMODE(path.stat().st_mode) for path in (project / "out").iterdir()} == {0o600}
    [path] = (project / ".daglab/events").glob("2026-11.jsonl")
    assert json.loads(path.read_text().splitlines()[-1])["command"] == "backup data"


def test_no_secret_is_in_any_file(project: Path, tmp_path: Path) -> None:
    record(
        project,
        event(1, target=f"see {SIGNED}", error_code=SIGNED, runs=[SIGNED]),
        event(2, target="password: t0k3n-of-mine", command="token=t0k3n-of-mine"),
        event(3, usage=[{"name": "rows", "amount": 1, "labels": {"api_key": "s3cr3t-value", "url": SIGNED}}]),
    )
    for name in ("link", "output", "notebook", "partition", "expires_at"):
        line = {"v": 1, "id": name, "ok": True, "targets": [SIGNED], name: SIGNED}
        json_lines.append(project / ".daglab/exports.jsonl", line)
    written(project, tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        text = path.read_text()
        assert [secret for secret in SECRETS if secret in text] == [], path.name
    assert "s3.test/b/a.html" in (tmp_path / "out/exports.csv").read_text()


def test_again_gives_the_same(project: Path, tmp_path: Path) -> None:
    record(project, *(event(number, runs=[f"r{number}"]) for number in range(50)))
    written(project, tmp_path / "out")
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    written(project, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_no_spreadsheet_takes_a_text_for_a_formula(project: Path, tmp_path: Path, begin: str) -> None:
    record(project, event(1, target=f"{begin}HYPERLINK(1)"), event(2, seconds=-1.5))
    rows = written(project, tmp_path / "out")["events.csv"]
    assert "HYPERLINK" in rows[0]["target"]
    assert not rows[0]["target"].startswith(sheets.FORMULA)
    assert rows[1]["seconds"] == "-1.5"  # a number is one


def test_lines_of_all_kinds_break_nothing(project: Path, tmp_path: Path) -> None:
    rolled = random.Random(5)
    odd: list[Any] = [None, 7, -1.5, "text", [], {}, [None], {"n": "x", "ms": ["a", 3]}, True, "a\0b\n", "\ud800", "é"]
    path = project / ".daglab/events/2026-10.jsonl"
    with path.open("ab") as file:
        for number in range(300):
            line = event(number % 20)
            for name in rolled.sample(list(line), 4):
                line[name] = rolled.choice(odd)
            file.write(json.dumps(line).encode() + b"\n")
        file.write(b"[" * 20_000 + b"\n\xff\xfe\n{}\n[]\n7\n" + b'{"v": 1, "torn')
    rows = written(project, tmp_path / "out")
    assert len(rows["events.csv"]) > 100
    assert all(None not in row for table in rows.values() for row in table)


def test_times_of_requests_that_are_none(project: Path, tmp_path: Path) -> None:
    times = [10, 10**400, float("inf"), float("nan"), -5, 20]
    record(project, event(1, requests={"n": 6, "errors": 0, "ms": times}))
    assert written(project, tmp_path / "out")["events.csv"][0]["request_ms_mean"] == "15.0"


def test_nothing_is_written_over_but_its_own_files(cli: Cli, project: Path) -> None:
    record(project, event(1))
    (project / "out").mkdir()
    (project / "out/mine.csv").write_text("mine")
    precious = project / "precious"
    precious.write_text("precious")
    (project / "out/events.csv").symlink_to(precious)
    assert cli("backup", "data", "--output", "out", cwd=project).exit_code == 0
    assert ((project / "out/mine.csv").read_text(), precious.read_text()) == ("mine", "precious")
    (project / "out/runs.csv").unlink()
    (project / "out/runs.csv").mkdir()
    before = (project / "out/events.csv").read_bytes()
    assert cli("backup", "data", "--output", "out", cwd=project).exit_code == 7
    assert (project / "out/events.csv").read_bytes() == before
    assert not [path for path in (project / "out").iterdir() if path.name.startswith(".")]


def test_cells() -> None:
    values = [None, True, 3, -2.5, "a", ["a", 1], {"k": "v", "n": 2}, "-1", ["=1"], "a\0b"]
    assert [sheets.cell(value) for value in values] == [
        *("", "true", "3", "-2.5", "a", "a, 1", "k=v, n=2", "'-1", "'=1", "a\ufffdb"),
    ]
