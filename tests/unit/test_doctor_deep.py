"""`daglab doctor --deep`: each bad file and line is named, whatever lies there; and `--report` tells no secret."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import events, state
from daglab.doctor import examination, origins, packages, records, report
from daglab.figures import retention, summary

Cli = Callable[..., Any]
EVENT = {
    **{"v": 1, "id": "0", "at": "2026-01-01T00:00:00.000+00:00", "command": "run", "target": None, "ok": True},
    **{"exit_code": 0, "error_code": None, "seconds": 0.5, "runs": [], "requests": {"n": 0, "errors": 0, "ms": []}},
    **{"bytes": None, "rss_peak": 1, "usage": [], "detail": {}},
}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    (tmp_path / "daglab.yaml").write_text("version: 1\n")
    (tmp_path / ".daglab" / "events").mkdir(parents=True)
    return tmp_path / ".daglab"


def read(root: Path) -> records.Read:
    return records.read_all(origins.load(root, {}))


def bad(root: Path) -> list[tuple[str, int | None, str]]:
    return [(each.file, each.line, each.flaw) for each in read(root).bad]


def lines(*each: object) -> str:
    return "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in each)


def test_nothing_is_bad(tmp_path: Path, kept: Path) -> None:
    with events.recording(tmp_path, "run"):
        pass
    state.manage(tmp_path, "n.py").update(a=1)
    (kept / "last_ports.json").write_text("{}")
    (kept / "events" / "2026-01.jsonl").write_text(lines(EVENT, EVENT))
    list(retention.compact(tmp_path, datetime.now(timezone.utc) + timedelta(days=900), 30))
    assert b'"kind":"day"' in (kept / "events" / "2026-01.jsonl").read_bytes()
    [aside, *_] = retention.reset(tmp_path, datetime.now(timezone.utc))
    (kept / "events" / "2026-01.jsonl").write_bytes(aside.read_bytes())
    found = read(tmp_path)
    assert (found.bad, found.unknown, found.newer) == ([], [], 0)
    assert (found.files, found.lines) == (5, 3)  # sums of two months put aside, one more, a state, the ports
    assert [each.status for each in records.look(found)] == ["ok"]


def test_what_the_figures_leave_out_is_named_and_nothing_else(tmp_path: Path, kept: Path) -> None:
    """`stats` says how many lines it can't read, and that this tells which."""
    damaged = [{**EVENT, **each} for each in ({"seconds": -1}, {"ok": 1}, {"usage": [{"name": ""}]}, {"runs": None})]
    old = {**EVENT, "at": "2026-02-01T00:00:00.000+00:00"}
    kinds = ({"kind": "day", "version": 1, "at": "2026-01-01"}, {"kind": "week"}, {"kind": "day", "version": 2})
    path = kept / "events" / "2026-01.jsonl"
    path.write_text(lines(EVENT, *damaged, old, *kinds, '{"v": NaN}', {**EVENT, "v": 2}, EVENT))
    assert [line for _, line, _ in bad(tmp_path)] == [2, 3, 4, 5, 6, 7, 10]
    [figures] = summary.collect(tmp_path, [(None, None)])
    found = read(tmp_path)
    assert figures["skipped"] == {"unreadable": found.bad_count, "newer": found.newer, "files": 0}
    assert (found.newer, figures["events"]) == (3, 2)


def test_lines_of_events(tmp_path: Path, kept: Path) -> None:
    (kept / "events" / "2026-01.jsonl").write_text(
        lines(
            EVENT,
            "{torn",
            '{"torn": 1}{"v": 1}',
            "",
            [1],
            {"command": "run"},
            {**EVENT, "v": "1"},
            {**EVENT, "v": True},
            {**EVENT, "v": 2, "command": 5},
            {**EVENT, "at": "yesterday"},
            {**EVENT, "at": "2026-01-01T00:00:00"},
            {**EVENT, "command": None},
            "[" * 100_000,
            EVENT,
        )
        + json.dumps(EVENT)
    )
    name = ".daglab/events/2026-01.jsonl"
    assert bad(tmp_path) == [
        (name, 2, "it is no JSON object"),
        (name, 3, "it is no JSON object"),
        (name, 4, "it is empty"),
        (name, 5, "it is no JSON object"),
        *((name, number, "it is no operation of 2026-01, and is not counted") for number in (6, 7, 8, 10, 11, 12)),
        (name, 13, "it is no JSON object"),
        (name, 15, "the last line has no end"),
    ]
    found = read(tmp_path)
    assert (found.lines, found.newer, found.bad_count) == (15, 1, 12)
    (finding,) = records.look(found)
    assert finding.detail == f"{name}: it is no JSON object at line 2; 12 in all."


def test_generated_damage_is_found_exactly(tmp_path: Path, kept: Path) -> None:
    """Lines are damaged at random; which ones can't be read is known without the code under test."""
    rng = random.Random(5)
    path = kept / "events" / "2026-01.jsonl"
    written, expected = [], []
    for number in range(1, 401):
        text = json.dumps({**EVENT, "target": "é" * rng.randrange(5)}).encode()
        if rng.random() < 0.1:
            kind = rng.randrange(3)
            text = text[: rng.randrange(1, len(text))] if kind == 0 else text[1:] if kind == 1 else b"\xff" + text
            expected.append(number)
        written.append(text)
    path.write_bytes(b"\n".join(written) + b"\n")
    assert [line for _, line, _ in bad(tmp_path)] == expected


def test_the_list_is_bounded_and_all_are_counted(tmp_path: Path, kept: Path) -> None:
    (kept / "events" / "2026-01.jsonl").write_text("x\n" * 250)
    document = records.document(read(tmp_path))
    assert (len(document["bad"]), document["bad_count"]) == (records.MOST_BAD, 250)


def test_a_line_that_is_far_too_long(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LONGEST_LINE", 500)
    (kept / "events" / "2026-01.jsonl").write_text(lines(EVENT, {**EVENT, "x": "y" * 1000}, EVENT, "z"))
    flaws = [(line, flaw) for _, line, flaw in bad(tmp_path)]
    assert flaws == [(2, "the line is far too long"), (4, "it is no JSON object")]


def test_states(tmp_path: Path, kept: Path) -> None:
    whole = state.manage(tmp_path, "n.py")
    whole.update(a=1)
    whole.update(a=2)
    text = whole.path.read_text()
    whole.path.write_text(text.replace('"a":2', '"a":3'))
    backup = whole.path.with_name(whole.path.name + ".bak")
    (kept / "state" / "empty-123456789012.json").touch()
    name = f".daglab/state/{whole.path.name}"
    assert bad(tmp_path) == [
        (".daglab/state/empty-123456789012.json", None, "it is empty"),
        (name, None, "it is torn or was changed by hand"),
    ]
    backup.write_text("{}")
    assert (f"{name}.bak", None, "it is torn or was changed by hand") in bad(tmp_path)
    finding = next(each for each in records.look(read(tmp_path)) if name in each.detail)
    assert "daglab state reset NOTEBOOK" in str(finding.remedy)


def test_exports(tmp_path: Path, kept: Path) -> None:
    (tmp_path / "exports").mkdir()
    outside = tmp_path.parent / f"{tmp_path.name}-outside.html"
    outside.write_text("x")
    record = []
    for name in ("same", "changed", "gone", "expired", "link"):
        path = tmp_path / "exports" / f"{name}.html"
        path.write_text(name)
        digest = hashlib.sha256(name.encode()).hexdigest()
        record.append({"v": 1, "id": name, "output": f"exports/{name}.html", "sha256": digest})
    record.append({"v": 1, "id": "outside", "output": str(outside), "sha256": "other"})
    record += [{"v": 1, "expired": "expired"}, {"v": 1, "id": "half"}, {"v": 1, "id": 5}]
    (kept / "exports.jsonl").write_text(lines(*record))
    (tmp_path / "exports" / "changed.html").write_text("by hand")
    for name in ("gone", "expired", "link"):
        (tmp_path / "exports" / f"{name}.html").unlink()
    (tmp_path / "exports" / "link.html").symlink_to(outside)
    assert bad(tmp_path) == [
        (".daglab/exports.jsonl", 8, "it lacks its id, its output or its hash"),
        (".daglab/exports.jsonl", 9, "it lacks its id, its output or its hash"),
        ("exports/changed.html", None, "the export was changed since it was made"),
        ("exports/gone.html", None, "the export is gone, and the record has it"),
    ]
    assert read(tmp_path).exports == 3


def test_what_is_no_ordinary_file(tmp_path: Path, kept: Path) -> None:
    os.mkfifo(kept / "events" / "2026-02.jsonl")
    (kept / "exports.jsonl").symlink_to("/etc/passwd")
    (kept / "last_ports.json").write_text("[]")
    (kept / "dev.json").write_text("{")
    assert bad(tmp_path) == [
        (".daglab/dev.json", None, "it is torn, or no record of daglab"),
        (".daglab/events/2026-02.jsonl", None, "it is a link, a pipe or a device, which daglab does not read"),
        (".daglab/exports.jsonl", None, "it is a link, a pipe or a device, which daglab does not read"),
        (".daglab/last_ports.json", None, "it is torn, or no record of daglab"),
    ]


def test_what_is_unknown_is_listed_and_left_alone(cli: Cli, tmp_path: Path, kept: Path) -> None:
    (kept / "notes.txt").write_text("mine")
    (kept / "events" / "old.csv").write_text("mine")
    known = ("templates/own.py", "logs/dev.log", "dagster_home/x", "state/a-1.json.lock", "upkeep.lock", "cache/a/b")
    for name in (*known, "backups/x.tar.gz", "archive/x.gz", "restore/new/x"):
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (kept / name).touch()
    assert read(tmp_path).unknown == [".daglab/events/old.csv", ".daglab/notes.txt"]
    done = cli("doctor", "--deep", "--fix", "--json")
    assert json.loads(done.stdout)["deep"]["unknown"] == [".daglab/events/old.csv", ".daglab/notes.txt"]
    assert (kept / "notes.txt").read_text() == "mine"


def test_every_flaw_of_the_config_is_named(tmp_path: Path, kept: Path) -> None:
    own = Path(os.environ["XDG_CONFIG_HOME"], "daglab", "config.yaml")
    own.parent.mkdir(parents=True)
    own.write_text("dagster:\n  port: 0\ncredentials:\n  http://x:\n    nothing: 1\n")
    (tmp_path / "daglab.yaml").write_text(
        "dagster:\n  prt: 1\n  port: many\n  auth:\n    token_file: /etc/x\n    token: abc\nenvironments:\n"
        "  prod:\n    dagster:\n      host: 'a b'\nmodels:\n  - name: m\n"
    )
    found = bad(tmp_path)
    assert [(file, flaw.split(": ")[0].rpartition(":")[2]) for file, _, flaw in found] == [
        ("daglab.yaml", "2"),
        ("daglab.yaml", "3"),
        ("daglab.yaml", "5"),
        ("daglab.yaml", "6"),
        ("daglab.yaml", "10 (environment prod)"),
        (str(own), "2"),
        (str(own), "5"),
    ]
    (tmp_path / "daglab.yaml").write_text("dagster: [\n")
    assert bad(tmp_path)[0][0] == "daglab.yaml"


def test_other_journals(tmp_path: Path, kept: Path) -> None:
    for name in ("traces/requests.jsonl", "restore/journal.json"):
        (kept / name).parent.mkdir()
        (kept / name).write_text('{"v":1}\n')
    assert bad(tmp_path) == []
    assert read(tmp_path).files == 2
    for name in ("traces/requests.jsonl", "restore/journal.json"):
        (kept / name).write_text("{\n")
    assert [(file, line) for file, line, _ in bad(tmp_path)] == [
        (".daglab/restore/journal.json", None),
        (".daglab/traces/requests.jsonl", 1),
    ]


def test_the_command_names_each_bad_line(cli: Cli, tmp_path: Path, kept: Path) -> None:
    (kept / "events" / "2026-01.jsonl").write_text(lines(EVENT, "x", EVENT, "y"))
    done = cli("doctor", "--deep")
    assert done.exit_code == 0, done.stdout  # nothing that hinders the work
    assert ".daglab/events/2026-01.jsonl:2: it is no JSON object\n" in done.stdout
    assert ".daglab/events/2026-01.jsonl:4: it is no JSON object\n" in done.stdout


SECRETS = {
    "env": "s3cr3t-environment",
    "dagster": "s3cr3t-dagster-token",
    "proxy": "s3cr3t-proxy-password",
    "url": "s3cr3t-url-password",
    "command": "s3cr3t-command-word",
    "header": "s3cr3t-header-value",
    "target": "s3cr3t-target",
    "detail": "s3cr3t-detail",
    "label": "s3cr3t-label",
    "signature": "s3cr3t-signature",
    "remote": "s3cr3t-remote",
    "bad": "s3cr3t-bad-line",
    "model": "s3cr3t-model-key",
    "state": "s3cr3t-state",
    "host": "deploy.s3cr3t-host.example.com",
    "variable": "s3cr3t-plain-variable",
    "marimo": "s3cr3t-marimo-token",
    "code": "s3cr3t_error_code",
}


def plant(root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret wherever one may come to lie."""
    home = Path(os.environ["HOME"])
    for name, value in {
        "DAGLAB_MY_TOKEN": SECRETS["env"],
        "AWS_SECRET_ACCESS_KEY": SECRETS["env"] + "-aws",
        "DAGSTER_GRAPHQL_TOKEN": SECRETS["dagster"],
        "HTTPS_PROXY": f"http://user:{SECRETS['proxy']}@127.0.0.1:9",
        "DATABASE": f"postgresql://me:{SECRETS['url']}@db/x",
        "DAGLAB_DAGSTER__AUTH__TOKEN_ENV": "DAGLAB_MY_TOKEN",
        "DAGLAB_SOMETHING": SECRETS["variable"],
        "DAGLAB_X__Y": SECRETS["variable"],
        "DAGSTER_HOME": str(home / SECRETS["variable"]),
        "GIT_AUTHOR_NAME": SECRETS["variable"],
    }.items():
        monkeypatch.setenv(name, value)
    (root / "daglab.yaml").write_text(
        f"dagster:\n  url: https://{SECRETS['host']}/prod\nmodels:\n  - name: gpt\n    note: {SECRETS['model']}\n"
    )
    own = Path(os.environ["XDG_CONFIG_HOME"], "daglab", "config.yaml")
    own.parent.mkdir(parents=True)
    own.write_text(
        f"dagster:\n  auth:\n    headers:\n      X-Team: {SECRETS['header']}\n"
        f"credentials:\n  https://other.example.com:\n    token_command: pass show {SECRETS['command']}\n"
    )
    event = events.Event("run", target=SECRETS["target"], detail={"x": SECRETS["detail"]})
    event.usage = [{"name": SECRETS["label"], "labels": {"model": SECRETS["label"]}, "amount": 1}]
    with events.recording(root, "run") as recorded:
        recorded.target, recorded.detail, recorded.usage = event.target, event.detail, event.usage
    path = next((kept / "events").iterdir())
    line = json.loads(path.read_text())
    path.write_text(
        path.read_text()
        + lines(
            {**line, "command": f"run {SECRETS['target']}"},
            {**line, "command": SECRETS["target"], "error_code": SECRETS["code"]},
            {**line, "at": SECRETS["detail"]},
            {**line, "error_code": SECRETS["code"]},
            {**line, "runs": [SECRETS["detail"]], "seconds": SECRETS["detail"]},
            SECRETS["bad"],
        )
    )
    link = f"https://bucket.example.com/x.html?X-Amz-Signature={SECRETS['signature']}"
    (kept / "exports.jsonl").write_text(
        lines({"v": 1, "id": "1", "output": "exports/x.html", "sha256": "", "link": link})
    )
    (kept / "marimo.token").write_text(SECRETS["marimo"])
    state.manage(root, "n.py").update(password=SECRETS["state"])
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    remote = f"https://me:{SECRETS['remote']}@example.com/x.git"
    subprocess.run(["git", "-C", str(root), "remote", "add", "origin", remote], check=True)


def test_the_report_holds_no_secret(cli: Cli, tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, kept, monkeypatch)
    monkeypatch.setenv("DAGLAB_DAGSTER__GRAPHQL__TIMEOUT", "1")
    monkeypatch.setenv("DAGLAB_DAGSTER__GRAPHQL__MAX_RETRIES", "0")
    done = cli("doctor", "--deep", "--json", "--report", "out/report.md")
    assert done.exit_code == 4, done.stdout  # DAGSTER_HOME is missing
    assert json.loads(done.stdout)["report"] == "out/report.md"
    path = tmp_path / "out" / "report.md"
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    for name, secret in SECRETS.items():
        assert secret not in text, name
    for private in (os.environ["HOME"], "bucket.example.com", "other.example.com", "postgresql"):
        assert private not in text
    # and it is of use
    assert "| daglab | " in text
    assert "| dagster.home | problem | DAGSTER_HOME is ~/" in text
    assert "- DAGLAB_MY_TOKEN\n" in text
    assert "| dagster.url | https://[host] | " in text
    assert "| run | 0 | " in text
    assert "| performance.max_wait_time | 300.0 | default |" in text


def test_the_report_of_a_config_that_is_not_valid(cli: Cli, tmp_path: Path, kept: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("dagster:\n  auth:\n    token: s3cr3t-in-a-file\n")
    done = cli("doctor", "--report", "report.md")
    assert done.exit_code == 4
    text = (tmp_path / "report.md").read_text()
    assert "s3cr3t-in-a-file" not in text + done.stdout + done.stderr
    assert "would hold a secret in a file" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://me:pw@h.example.com/a?sig=abc&x=1.", "see https://[host]/a?***"),
        ("http://127.0.0.1:3000/a?token=x", "http://127.0.0.1:3000/a?***"),
        ("postgres://me:pw@db", "postgres://***@db"),
        ("is it? yes", "is it? yes"),
        ("http://[no]/x http://[::1]:3000/", "http://[host]/x http://[::1]:3000/"),
        ("a top-secret-value here", "a *** here"),
        ("and hunter22", "and ***"),
        ("in /home/ann/shop and /home/anna", "in ~/shop and /home/anna"),
        ("by annika, not annika-marie", "by [user], not annika-marie"),
    ],
)
def test_what_is_private(text: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    environ = {"HOME": "/home/ann", "USER": "annika", "API_TOKEN": "top-secret-value", "DB_PWD": "hunter22"}
    assert report.private(text, environ) == expected


def test_this_host_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "anns-laptop")
    assert report.private("on anns-laptop:", {}) == "on [this host]:"


def test_the_report_can_not_be_made_to_hold_markup(tmp_path: Path, kept: Path) -> None:
    examined = origins.load(tmp_path, {})
    finding = examination.findings.problem("x", "a | b\n\n# <script>alert(1)</script>", "y")
    text = report.write(examined, examination.Examination((finding,)))
    assert "| x | problem | a \\| b # &lt;script>alert(1)&lt;/script> | y |\n" in text


def test_the_report_says_when_there_is_no_python(tmp_path: Path, kept: Path) -> None:
    (tmp_path / "daglab.yaml").write_text(f"dagster:\n  python: {tmp_path}/none\n")
    examined = origins.load(tmp_path, {})
    assert packages.installed(examined).flaw
    assert "| Python of the project | does not work |" in report.write(examined, examination.Examination(()))
