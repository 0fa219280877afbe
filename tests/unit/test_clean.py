"""`daglab clean`: what goes, what stays whatever is put in its way, and that nothing is lost."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import json
import os
import pty
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, files, json_lines, state
from daglab.dev import record
from daglab.figures import summary
from daglab.upkeep import cleaning, leftovers, untouched

Cli = Callable[..., Any]
NOW = datetime.now(timezone.utc)
DAY = 86400
CLEAN = [sys.executable, "-m", "daglab", "clean", "--yes"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / ".daglab").mkdir(parents=True)
    (root / "daglab.yaml").write_text("version: 1\n")
    return root


def put(path: Path, text: str = "x", *, days: float = 0) -> Path:
    """A file that was last changed so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    age(path, days)
    return path


def age(path: Path, days: float) -> None:
    os.utime(path, (time.time() - days * DAY,) * 2)


def expired(root: Path, name: str, text: str = "html") -> Path:
    path = put(root / name, text)
    line = {"v": 1, "id": name, "ok": True, "output": name, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    json_lines.append(root / ".daglab/exports.jsonl", {**line, "expires_at": (NOW - timedelta(days=1)).isoformat()})
    return path


def scaffolded(root: Path, name: str, text: str = "app = 1\n") -> Path:
    """A notebook, and the event of the scaffold that has made it."""
    path = put(root / "dagster/notebooks" / name, text)
    made = {"notebook": f"dagster/notebooks/{name}", "sha256": hashlib.sha256(text.encode()).hexdigest()}
    line = {"v": 1, "command": "scaffold", "at": NOW.isoformat(), "detail": {"made": [made]}}
    json_lines.append(root / f".daglab/events/{NOW:%Y-%m}.jsonl", line)
    return path


def everything(root: Path) -> dict[str, Path]:
    """One of each that goes without --notebooks."""
    return {
        "exports": expired(root, "exports/old.html"),
        "cache": put(root / ".daglab/cache/a/b.json"),
        "temporary": put(root / ".daglab/events/.2026-01.jsonl.abcd_123", days=2),
        "locks": put(root / ".daglab/state/orders-0123.json.lock"),
        "logs": put(root / ".daglab/logs/dagster.log.1", "log\n", days=8),
    }


def document(cli: Cli, root: Path, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
    done = cli("clean", *arguments, "--json", cwd=root)
    assert done.exit_code == exit_code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def removed(found: dict[str, Any]) -> dict[str, list[str]]:
    by: dict[str, list[str]] = {}
    for each in found["removed"]:
        by.setdefault(each["category"], []).append(each["path"])
    return by


def last_event(root: Path) -> dict[str, Any]:
    [path] = (root / ".daglab/events").glob("????-??.jsonl")
    found: dict[str, Any] = json.loads(path.read_text().splitlines()[-1])
    return found


def test_each_category_is_told_first_and_taken_then(cli: Cli, project: Path) -> None:
    made = everything(project)
    names = {kind: [path.relative_to(project).as_posix()] for kind, path in made.items()}
    told = document(cli, project, "--dry-run")
    assert (told["ok"], told["dry_run"], removed(told)) == (True, True, names)
    assert all(path.exists() for path in made.values())
    assert not (project / ".daglab/events/2026-11.jsonl").exists()
    done = document(cli, project, "--yes")
    assert removed(done) == names
    assert not any(path.exists() for path in made.values())
    assert done["freed_bytes"] == told["freed_bytes"] == 4 + 1 + 1 + 1 + 4
    assert [each["category"] for each in done["categories"]] == list(cleaning.CATEGORIES)
    event = last_event(project)
    assert (event["command"], event["ok"], event["bytes"]) == ("clean", True, 11)
    assert event["detail"] == {"removed": dict.fromkeys(made, 1), "kept": 0, "failed": 0}
    assert not list((project / ".daglab/cache").iterdir())


def test_what_is_young_used_or_not_daglabs_stays(cli: Cli, project: Path) -> None:
    home = project / ".daglab"
    kept = state.manage(project, "dagster/notebooks/orders.py", version=1)
    kept.update(count=1)
    stay = [
        put(home / ".exports.jsonl.abcd1234"),  # a temporary file of just now
        put(home / "state/.mine.txt", days=9),
        put(home / ".mine.settings", days=9),
        put(home / "logs/other.log", days=9),
        put(home / "logs/dagster.log"),
        put(home / "traces/requests.jsonl"),
        put(home / "traces/mine.jsonl", days=90),
        put(home / "logs/notes.txt", days=90),
        put(home / "templates/.mine.py.abcd1234", days=9),
        put(home / "dagster_home/.x.abcd1234", days=9),
        put(project / "dagster/notebooks/.orders.py.abcd1234", days=9),
        put(project / ".Makefile.abcd1234", days=9),
        put(project / f"exports/.daglab-{os.getpid()}-0123456789abcdef.html", days=9),
        put(project / "exports/mine.html", days=900),
        kept.path,
        kept.path.with_name(f"{kept.path.name}.lock"),
    ]
    opened = put(home / "events/.2026-02.jsonl.zzzz1234", days=9)
    with opened.open():
        assert document(cli, project, "--yes")["removed"] == []
    assert all(path.exists() for path in (*stay, opened))


def test_temporary_files_of_killed_ones_go(cli: Cli, project: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    gone = [
        put(project / ".daglab.yaml.abcd1234", days=2),
        put(project / f"exports/deep/.daglab-{ended.pid}-0123456789abcdef.html", days=2),
        put(project / "exports/deep/.orders.html.gz.abcd1234", days=2),
        put(project / ".daglab/state/orders-0123.json.new", days=2),
        put(project / ".daglab/archive/.dagster.log-20261121T060000Z.gz.abcd1234", days=2),
    ]
    assert document(cli, project, "--yes")["freed_bytes"] == len(gone)
    assert not any(path.exists() for path in gone)


def test_older_than(cli: Cli, project: Path) -> None:
    for days in (1, 3, 10):
        put(project / f".daglab/cache/{days}", days=days)
        put(project / f".daglab/logs/marimo.log.{days}", days=days)
    put(project / ".daglab/.x.abcd1234", days=1.5)
    found = removed(document(cli, project, "--yes", "--older-than", "2d"))
    assert found == {
        "cache": [".daglab/cache/10", ".daglab/cache/3"],
        "logs": [".daglab/logs/marimo.log.10", ".daglab/logs/marimo.log.3"],
    }
    assert removed(document(cli, project, "--yes", "--older-than", "12h"))["cache"] == [".daglab/cache/1"]
    done = cli("clean", "--older-than", "old", "--dry-run", cwd=project)
    assert (done.exit_code, "'old' is no time" in done.stderr) == (2, True)


def test_the_log_of_each_service_goes(cli: Cli, project: Path) -> None:
    names = [f".daglab/logs/{name}.log" for name in sorted(record.SERVICES)]
    for name in names:
        put(project / name, days=8)
    assert removed(document(cli, project, "--yes")) == {"logs": names}


def test_old_traces_go_as_logs_do(cli: Cli, project: Path) -> None:
    put(project / ".daglab/traces/requests.1.jsonl", "{}\n", days=8)
    assert removed(document(cli, project, "--yes")) == {"logs": [".daglab/traces/requests.1.jsonl"]}


def test_archived_logs_are_whole_before_they_go(cli: Cli, project: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(1000))
    put(project / ".daglab/logs/daemon.log", text, days=8)
    [path] = document(cli, project, "--yes", "--archive")["archived"]
    assert path.startswith(".daglab/archive/daemon.log-")
    assert gzip.decompress((project / path).read_bytes()).decode() == text
    assert (project / path).stat().st_mode & 0o777 == 0o600


def test_a_log_that_can_not_be_archived_stays(cli: Cli, project: Path, tmp_path: Path) -> None:
    log = put(project / ".daglab/logs/daemon.log", days=8)
    outside = tmp_path / "outside"
    outside.mkdir()
    (project / ".daglab/archive").symlink_to(outside)
    found = document(cli, project, "--yes", "--archive", exit_code=4)
    assert [each["path"] for each in found["failed"]] == [".daglab/logs/daemon.log"]
    assert (log.exists(), list(outside.iterdir())) == (True, [])


# events


def recorded(root: Path, month: str, number: int) -> Path:
    path = root / f".daglab/events/{month}.jsonl"
    for day in range(number):
        line = {"v": 1, "id": f"{month}-{day}", "at": f"{month}-{day % 28 + 1:02}T10:00:00.000+00:00"}
        more = {"command": "run", "target": "asset:a", "ok": day % 3 > 0, "exit_code": 0, "error_code": None}
        counted = {"seconds": 1.5, "runs": [f"r{day}"], "requests": {"n": 1, "errors": 0, "ms": [3]}, "bytes": None}
        json_lines.append(path, {**line, **more, **counted, "rss_peak": 1, "usage": [], "detail": {}})
    return path


def counts(root: Path, month: str) -> tuple[int, int, list[dict[str, Any]]]:
    since = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
    [found] = summary.collect(root, [(since, since + timedelta(days=32))], step="day")
    return found["events"], found["failed"], [{**each, "usage": None} for each in found["series"]]


def test_old_events_become_their_daily_sums(cli: Cli, project: Path) -> None:
    old, young = recorded(project, "2020-01", 60), recorded(project, f"{NOW:%Y-%m}", 5)
    before, figures = old.read_bytes(), counts(project, "2020-01")
    told = document(cli, project, "--dry-run")
    assert (removed(told), old.read_bytes()) == ({"events": [".daglab/events/2020-01.jsonl"]}, before)
    done = document(cli, project, "--yes", "--archive")
    assert done["removed"] == told["removed"]
    assert done["freed_bytes"] == len(before) - old.stat().st_size > 0
    assert counts(project, "2020-01") == figures
    assert len(young.read_bytes().splitlines()) == 6  # and clean's own
    [path] = done["archived"]
    assert path.startswith(".daglab/archive/events-2020-01-")
    assert gzip.decompress((project / path).read_bytes()) == before
    assert document(cli, project, "--yes", "--archive")["removed"] == []


def test_the_config_says_how_long_events_are_kept(cli: Cli, project: Path) -> None:
    recorded(project, "2020-01", 30)
    (project / "daglab.yaml").write_text("version: 1\nevents: {retention_days: 0}\n")
    assert document(cli, project, "--yes", "--older-than", "1d")["removed"] == []


def test_events_whose_archive_fails_stay(cli: Cli, project: Path) -> None:
    old = recorded(project, "2020-01", 30)
    before = old.read_bytes()
    (project / ".daglab/archive").write_text("a file")
    found = document(cli, project, "--yes", "--archive", exit_code=4)
    assert (found["failed"][0]["path"], old.read_bytes()) == (".daglab/events", before)


# asking


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_nobody_to_answer_is_wrong_usage_that_names_the_flag(cli: Cli, project: Path, more: list[str]) -> None:
    path = put(project / ".daglab/cache/a")
    done = cli("clean", *more, cwd=project)
    assert done.exit_code == 2
    assert "--yes" in (json.loads(done.stdout)["error"]["hint"] if more else done.stderr)
    assert path.exists()


@pytest.mark.parametrize(("answer", "is_there"), [(b"n\n", True), (b"y\n", False)])
def test_on_a_terminal_it_asks(project: Path, answer: bytes, is_there: bool) -> None:
    path = put(project / ".daglab/cache/a")
    main, other = pty.openpty()
    child = subprocess.Popen(CLEAN[:-1], cwd=project, stdin=other, stdout=subprocess.PIPE, stderr=other)
    os.close(other)
    os.write(main, answer)
    out, _ = child.communicate(timeout=60)
    os.close(main)
    assert (child.returncode, path.exists()) == (0, is_there)
    assert b"cache" in out


# what is put in its way


def test_no_link_is_followed(cli: Cli, project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    mine = [
        put(outside / "precious", days=99),
        put(outside / ".x.abcd1234", days=99),
        put(outside / "dagster.log", days=99),
        put(outside / "a-0123.json.lock", days=99),
    ]
    home = project / ".daglab"
    for name in ("cache", "logs", "state", "events"):
        (home / name).symlink_to(outside)
    (project / "exports").symlink_to(outside)
    found = document(cli, project, "--yes", "--notebooks")
    assert (found["removed"], [path.exists() for path in mine]) == ([], [True] * 4)
    for name in ("cache", "logs", "state", "events"):
        (home / name).unlink()
    (home / "cache").mkdir()
    (home / "cache/link").symlink_to(outside / "precious")
    (home / "cache/folder").symlink_to(outside)
    (home / "cache/hard").hardlink_to(outside / "precious")
    os.mkfifo(home / "cache/pipe")
    assert removed(document(cli, project, "--yes")) == {"cache": [".daglab/cache/hard"]}
    assert sorted(path.name for path in (home / "cache").iterdir()) == ["folder", "link", "pipe"]
    assert all(path.exists() for path in mine)


def test_a_home_that_leads_elsewhere_is_left_alone(cli: Cli, project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    precious = put(outside / "cache/precious")
    (project / ".daglab").rmdir()
    (project / ".daglab").symlink_to(outside)
    assert document(cli, project, "--yes", exit_code=7)["error"]["code"] == "invalid_input"
    assert precious.exists()


def test_hostile_names(cli: Cli, project: Path) -> None:
    names = [b"\xff\xfe", b"a\nb", b"-rf", b"\x1b[31m", "é".encode(), b" ", b"x" * 255]
    folder = os.fsencode(project / ".daglab/cache")
    os.mkdir(folder)
    for name in names:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"12")
    found = document(cli, project, "--yes")
    assert (found["freed_bytes"], os.listdir(folder)) == (2 * len(names), [])


def test_a_deep_tree_is_emptied(cli: Cli, project: Path) -> None:
    (project / ".daglab/cache").mkdir()
    here = os.open(project / ".daglab/cache", os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d" * 20, dir_fd=here)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("x", os.O_CREAT, dir_fd=here))
    os.close(here)
    assert document(cli, project, "--yes")["categories"][1] == {"category": "cache", "n": 1, "bytes": 0}
    assert not list((project / ".daglab/cache").iterdir())


def test_what_a_hostile_record_names_stays(cli: Cli, project: Path, tmp_path: Path) -> None:
    outside = put(tmp_path / "outside.html", "html")
    inside = put(project / "precious.html", "mine")
    for output in ("../outside.html", str(outside), "precious.html", "a\0b", ".", "", 7, None, ["x"]):
        line = {"v": 1, "id": str(output), "ok": True, "output": output, "expires_at": "2020-01-01T00:00:00+00:00"}
        sha256 = hashlib.sha256(b"html").hexdigest()
        json_lines.append(project / ".daglab/exports.jsonl", {**line, "sha256": sha256})
    with (project / ".daglab/exports.jsonl").open("ab") as file:
        file.write(b"[" * 100_000 + b"\n\xff\xff\n{}\n")
    done = document(cli, project, "--yes")
    assert (done["removed"], outside.exists(), inside.exists()) == ([], True, True)


def test_what_can_not_be_deleted_is_told_and_the_rest_goes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        put(project / ".daglab/cache" / name)
    unlink = os.unlink

    def refusing(path: Any, **more: Any) -> None:
        if path == "b":
            raise PermissionError(1, "Operation not permitted")
        unlink(path, **more)

    monkeypatch.setattr(os, "unlink", refusing)
    outcome = cleaning.carry_out(project, cleaning.Wishes(NOW))
    assert [each["path"] for each in outcome.removed] == [".daglab/cache/a", ".daglab/cache/c"]
    assert outcome.failed == [{"path": ".daglab/cache/b", "why": "Operation not permitted"}]


def test_a_file_that_is_written_to_meanwhile_stays(project: Path) -> None:
    path = put(project / ".daglab/cache/a", "old")
    [found] = leftovers.cache(project, time.time() + 1)
    path.write_text("newer")
    with pytest.raises(leftovers.Changed):
        leftovers.remove(project, found)
    assert path.read_text() == "newer"
    [found] = leftovers.cache(project, time.time() + 1)
    path.unlink()
    path.symlink_to(project / "daglab.yaml")
    with pytest.raises(leftovers.Changed):
        leftovers.remove(project, found)
    assert (project / "daglab.yaml").exists()


# locks and logs


def test_a_lock_that_somebody_holds_stays(cli: Cli, project: Path) -> None:
    lock = put(project / ".daglab/state/orders-0123.json.lock", "")
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert document(cli, project, "--yes")["kept"] == [
            {"path": ".daglab/state/orders-0123.json.lock", "why": "in use"}
        ]
    assert lock.exists()


def test_the_lock_and_logs_of_a_running_dev_stay(cli: Cli, project: Path) -> None:
    log = put(project / ".daglab/logs/dagster.log", days=30)
    with record.held(project):
        assert document(cli, project, "--yes")["removed"] == []
    assert log.exists()
    found = removed(document(cli, project, "--yes"))
    assert found == {"logs": [".daglab/logs/dagster.log"], "locks": [".daglab/dev.lock"]}
    assert not (project / ".daglab/dev.lock").exists()


def take_locks(root: Path) -> None:
    for each in list(leftovers.locks(root)):
        with contextlib.suppress(leftovers.Changed, errors.Taken):
            leftovers.remove(root, each)
    time.sleep(0.001)


@pytest.fixture
def cleaner(project: Path) -> Iterator[None]:
    """Takes locks away, over and over, as long as the test runs."""
    stop = threading.Event()

    def clean() -> None:
        while not stop.is_set():
            take_locks(project)

    thread = threading.Thread(target=clean)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_a_lock_is_not_taken_from_who_makes_a_state(project: Path) -> None:
    tried = []

    def make(values: dict[str, Any]) -> dict[str, Any]:
        tried.extend(leftovers.locks(project))  # there is no state yet
        with pytest.raises(errors.Taken):
            leftovers.remove(project, tried[0])
        return {"count": 1}

    kept = state.manage(project, "n.py", version=1)
    kept.change(make)
    assert len(tried) == 1
    with pytest.raises(leftovers.Changed):
        leftovers.remove(project, tried[0])
    assert (kept["count"], list(leftovers.locks(project))) == (1, [])


@pytest.mark.usefixtures("cleaner")
def test_states_that_begin_while_locks_are_taken_away_lose_nothing(project: Path) -> None:
    """Each notebook's first changes race with the removal of its lock file: every one has to be there after."""

    def count(number: int) -> None:
        for _ in range(10):
            kept = state.manage(project, f"n{number}.py", version=1)
            kept.change(lambda values: {"count": values.get("count", 0) + 1})

    writers = [threading.Thread(target=count, args=(number,)) for number in range(8) for _ in range(2)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert [state.manage(project, f"n{number}.py", version=1)["count"] for number in range(8)] == [20] * 8


def test_a_starter_of_dev_is_not_upset_by_its_lock_going(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes just between the starter's opening of it and its locking of it."""
    try_lock, taken = files.try_lock, []

    def late(descriptor: int, *, shared: bool = False) -> bool:
        if not taken:
            taken.append((project / record.LOCK).unlink())
        return try_lock(descriptor, shared=shared)

    monkeypatch.setattr(files, "try_lock", late)
    with record.held(project) as is_ours:
        assert is_ours()
        monkeypatch.undo()
        assert record.is_running(project)


# notebooks


def git(root: Path, *words: str) -> None:
    own = ("-c", "user.name=t", "-c", "user.email=t@t.test", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *own, *words], cwd=root, check=True, capture_output=True)


def test_only_notebooks_that_nobody_has_touched_go(cli: Cli, project: Path) -> None:
    same, changed, exported, with_state = (scaffolded(project, f"{name}.py") for name in "abcd")
    changed.write_text("app = 2\n")
    own = put(project / "dagster/notebooks/own.py")
    json_lines.append(project / ".daglab/exports.jsonl", {"v": 1, "id": "1", "notebook": "dagster/notebooks/c.py"})
    state.manage(project, "dagster/notebooks/d.py", version=1).update(count=1)
    assert document(cli, project, "--yes")["removed"] == []
    assert removed(document(cli, project, "--yes", "--notebooks")) == {"notebooks": ["dagster/notebooks/a.py"]}
    assert [path.exists() for path in (same, changed, exported, with_state, own)] == [False, True, True, True, True]


def test_what_scaffold_makes_is_known(cli: Cli, project: Path) -> None:
    nowhere = {"DAGLAB_DAGSTER__URL": "http://127.0.0.1:9"}
    assert cli("scaffold", "--asset", "orders", cwd=project, env=nowhere).exit_code == 0
    path = project / "dagster/notebooks/asset_orders.py"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert untouched.made(project) == {"dagster/notebooks/asset_orders.py": digest}
    assert document(cli, project, "--yes", "--notebooks")["categories"][-1]["n"] == 1
    assert not path.exists()


def test_what_git_says_is_modified_stays(cli: Cli, project: Path) -> None:
    names = ("untracked", "committed", "staged", "modified")
    paths = {name: scaffolded(project, f"{name}.py") for name in names}
    git(project, "init", "-q")
    paths["modified"].write_text("of a person\n")
    git(project, "add", *(str(paths[name]) for name in ("committed", "modified")))
    git(project, "commit", "-qm", "x")
    git(project, "add", str(paths["staged"]))
    paths["modified"].write_text("app = 1\n")
    document(cli, project, "--yes", "--notebooks")
    assert {name for name, path in paths.items() if path.exists()} == {"staged", "modified"}


@pytest.mark.parametrize(
    "named", ["../out.py", "/etc/x.py", "daglab.yaml", "src/x.py", "dagster/notebooks/../../src/x.py", "a\0.py", 3]
)
def test_events_name_nothing_outside_of_the_notebooks(cli: Cli, project: Path, named: object) -> None:
    path = put(project / "src/x.py", "x")
    digest = hashlib.sha256(b"x").hexdigest()
    line = {"v": 1, "command": "scaffold", "detail": {"made": [{"notebook": named, "sha256": digest}, 1, None]}}
    json_lines.append(project / ".daglab/events/2026-11.jsonl", line)
    assert document(cli, project, "--yes", "--notebooks")["removed"] == []
    assert path.exists()


# two at once, and killed ones


def test_two_at_once_take_everything_once(project: Path) -> None:
    for number in range(200):
        put(project / f".daglab/cache/{number}")
    running = [subprocess.Popen([*CLEAN, "--json"], cwd=project, stdout=subprocess.PIPE) for _ in range(3)]
    found = [json.loads(each.communicate(timeout=120)[0]) for each in running]
    assert [each.returncode for each in running] == [0, 0, 0]
    assert sum(each["categories"][1]["n"] for each in found) == 200


def test_killed_ones_are_finished_by_the_next(cli: Cli, project: Path) -> None:
    rolled = random.Random(7)
    stays = put(project / ".daglab/exports.jsonl", "")
    text = {f".daglab/logs/dagster.log.{number}": f"{number}\n" * 999 for number in range(1, 30)}
    for path, content in text.items():
        put(project / path, content, days=9)
    for _ in range(8):
        child = subprocess.Popen([*CLEAN, "--archive"], cwd=project, stderr=subprocess.DEVNULL)
        time.sleep(0.15 + rolled.random() * 0.25)
        child.send_signal(signal.SIGKILL)
        child.wait()
    document(cli, project, "--yes", "--archive")
    assert stays.exists()
    assert not [path for path in text if (project / path).exists()]
    archived = {gzip.decompress(path.read_bytes()).decode() for path in (project / ".daglab/archive").glob("*.gz")}
    assert archived == set(text.values())
    left = [path.name for path in (project / ".daglab/archive").iterdir() if path.suffix != ".gz"]
    assert all(name.startswith(".") for name in left)


def test_a_copy_that_does_not_read_back_leaves_the_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(project / ".daglab/logs/a.log", "text")
    real, digests = cleaning._copied, iter([b"one", b"another"])

    def copied(source: Any, target: Any = None) -> bytes:
        real(source, target)
        return next(digests)

    monkeypatch.setattr(cleaning, "_copied", copied)
    with pytest.raises(errors.NotGood, match="does not read back"):
        cleaning.compressed(project, ".daglab/logs/a.log", "a.gz")
    assert [*(project / cleaning.ARCHIVE).iterdir()] == []
    assert (project / ".daglab/logs/a.log").read_text() == "text"


def test_what_exports_stay_is_told_with_the_reason() -> None:
    outcome = cleaning.Outcome()
    gone = cleaning.export_record.Expired(
        removed=("a",), sizes=(3,), changed=("b",), attached=("c",), failed=(("d", "x"),)
    )
    cleaning._add_exports(outcome, gone)
    assert outcome.bytes == 3
    assert [each["path"] for each in outcome.kept] == ["b", "c"]
    assert "the page of an asset leads to it" in outcome.kept[1]["why"]
    assert [each["path"] for each in outcome.failed] == ["d"]
