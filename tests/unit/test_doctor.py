"""`daglab doctor`: each finding, seen when something is wrong and when nothing is."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from daglab import events, files
from daglab.dev import ports, record
from daglab.doctor import examination, findings, folder, machine, mending, network, origins, packages, repository
from daglab.settings import config_files
from daglab.upkeep import leftovers

Cli = Callable[..., Any]


def project(root: Path, text: str = "version: 1\n", **flags: Any) -> findings.Project:
    (root / "daglab.yaml").write_text(text)
    return origins.load(root, flags)


def statuses(found: Any) -> dict[str, str]:
    return {finding.name: finding.status for finding in found}


def only(found: Any, name: str) -> findings.Finding:
    (finding,) = [each for each in found if each.name == name]
    return finding


def test_the_config_and_what_takes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path(os.environ["XDG_CONFIG_HOME"], "daglab", "config.yaml")
    own.parent.mkdir(parents=True)
    own.write_text("version: 1\n")
    monkeypatch.setenv("DAGLAB_DAGSTER__PORT", "3999")
    found = only(origins.look(project(tmp_path)), "config")
    assert found.status == "ok"
    assert found.detail == f"valid: {tmp_path / 'daglab.yaml'}, {own}, DAGLAB_DAGSTER__PORT"
    broken = project(tmp_path, "dagster:\n  prt: 1\n")
    found = only(origins.look(broken), "config")
    assert found.status == "problem"
    assert "daglab.yaml:2" in found.detail
    assert "dagster.port" in str(found.remedy)
    assert broken.settings.dagster.port == 3000  # the rest is looked at with the defaults
    (tmp_path / "daglab.yaml").unlink()
    assert only(origins.look(origins.load(tmp_path, {})), "config").status == "warning"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DAGLAB_DAGSTER_PORT", "DAGLAB_DAGSTER__PORT"),
        ("DAGLAB_DAGSTER__PROT", "DAGLAB_DAGSTER__PORT"),
        ("DAGLAB_dagster__url", "DAGLAB_DAGSTER__URL"),
        ("DAGLAB_X__QQQQQQQQQ", "no key"),
    ],
)
def test_a_misspelt_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str) -> None:
    monkeypatch.setenv(name, "1")
    found = only(origins.look(project(tmp_path)), "variables")
    assert found.status == "warning"
    assert f"{name} ({meant}?)" in found.detail


@pytest.mark.parametrize("name", ["DAGLAB_ENV", "DAGLAB_TRACE", "DAGLAB_MY_OWN_TOKEN", "DAGLAB_DAGSTER__PORT"])
def test_a_variable_of_another_kind_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    environments = "environments:\n  '1': {}\n"
    assert only(origins.look(project(tmp_path, environments)), "variables").status == "ok"


def test_a_token_file_that_others_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("abcdefgh")
    token.chmod(0o644)
    monkeypatch.setenv("DAGLAB_DAGSTER__AUTH__TOKEN_FILE", str(token))
    found = only(origins.look(project(tmp_path)), "token.file")
    assert (found.status, found.remedy) == ("warning", f"chmod 600 {token}")
    token.chmod(0o600)
    assert "token.file" not in statuses(origins.look(project(tmp_path)))


def test_pythons(tmp_path: Path) -> None:
    assert packages.own_python((3, 9, 1)).status == "problem"
    assert packages.own_python((3, 10, 0)).status == "ok"
    examined = project(tmp_path)
    assert only(packages.project_python(examined, packages.Installed("py", (3, 9, 0))), "dagster.python").status == (
        "problem"
    )
    there = packages.installed(examined)
    assert there.version == sys.version_info[:3]
    assert only(packages.project_python(examined, there), "dagster.python").status == "ok"


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("#!/bin/sh\necho no Python\n", "it says nothing"),
        ("#!/bin/sh\necho broken >&2; exit 3\n", "broken"),
        ("#!/bin/sh\necho '[]'\n", "does not work"),
        ("#!/bin/sh\nsleep 60\n", "it does not end"),
    ],
)
def test_a_python_that_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, said: str
) -> None:
    monkeypatch.setattr(packages.interpreters, "SECONDS", 0.5 if text and "sleep" in text else 30.0)
    python = tmp_path / "python"
    if text:
        python.write_text(text)
        python.chmod(0o755)
    examined = project(tmp_path, f"dagster:\n  python: {python}\n")
    found = packages.look(examined)
    finding = only(found, "dagster.python")
    assert finding.status == "problem"
    assert said in finding.detail
    assert "dagster" not in statuses(found)


def test_two_pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other" / "bin").mkdir(parents=True)
    (tmp_path / "other" / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "other"))
    examined = project(tmp_path)
    finding = only(packages.project_python(examined, packages.installed(examined)), "dagster.python")
    assert finding.status == "warning"
    assert str(finding.remedy).endswith(f"daglab config set dagster.python {tmp_path}/other/bin/python")


GOOD = {
    "dagster": "1.13.27",
    "dagster-webserver": "1.13.27",
    "dagster-graphql": "1.13.27",
    "marimo": "0.25.2",
    "pip": "1",
}


def packages_found(root: Path, **versions: str | None) -> list[findings.Finding]:
    there = packages.Installed(
        "/v e/python", (3, 11, 0), {**GOOD, **{k.replace("_", "-"): v for k, v in versions.items()}}
    )
    examined = project(root)
    return [*packages.dagster(examined, there), *packages.marimo(there), *packages.pairs(there)]


def test_versions_that_are_good(tmp_path: Path) -> None:
    (tmp_path / "workspace.yaml").touch()
    assert set(statuses(packages_found(tmp_path)).values()) == {"ok"}


@pytest.mark.parametrize(
    ("versions", "name", "status", "remedy"),
    [
        ({"marimo": None}, "marimo", "problem", "'/v e/python' -m pip install 'marimo>=0.22'"),
        ({"marimo": "0.21.9"}, "marimo", "problem", "'/v e/python' -m pip install 'marimo>=0.22'"),
        ({"marimo": "0.26.0"}, "marimo", "warning", ""),
        ({"marimo": None, "pip": None}, "marimo", "problem", "uv pip install --python '/v e/python' 'marimo>=0.22'"),
        (
            {"dagster": None, "dagster_webserver": None},
            "dagster",
            "problem",
            "'/v e/python' -m pip install dagster dagster-webserver",
        ),
        (
            {"dagster_webserver": None},
            "dagster",
            "problem",
            "'/v e/python' -m pip install dagster-webserver==1.13.27",
        ),
        ({"dagster": "1.4.17"}, "dagster", "problem", ""),
        ({"dagster": "1.14.0"}, "dagster", "warning", ""),
        (
            {"dagster_webserver": "1.13.26"},
            "dagster.versions",
            "problem",
            "'/v e/python' -m pip install dagster==1.13.27 dagster-webserver==1.13.27",
        ),
        ({"dagster_graphql": "1.12.0"}, "dagster.versions", "problem", ""),
        (
            {"dagster": "1.5.14", "dagster_webserver": "1.5.14", "dagster_graphql": "1.5.14", "setuptools": "82.0.1"},
            "dagster.versions",
            "problem",
            "'/v e/python' -m pip install 'setuptools<81'",
        ),
    ],
)
def test_versions_that_are_not(
    tmp_path: Path, versions: dict[str, str | None], name: str, status: str, remedy: str
) -> None:
    (tmp_path / "workspace.yaml").touch()
    found = [each for each in packages_found(tmp_path, **versions) if each.name == name and each.status == status]
    assert found, packages_found(tmp_path, **versions)
    assert remedy in str(found[0].remedy)


def test_dagster_that_is_not_needed_here(tmp_path: Path) -> None:
    found = packages_found(tmp_path, dagster=None, dagster_webserver=None)
    assert statuses(found)["dagster"] == "skipped"


@pytest.mark.parametrize("version", ["1.13.2rc1", "1.13.2.dev3", "1.13.2+local", "1.13.2"])
def test_a_version_begins_with_numbers(version: str) -> None:
    assert packages.release(version) == (1, 13, 2)
    assert packages.release("none") == ()


@pytest.mark.parametrize(
    "path", ["dagster/__init__.py", "dagster.py", "marimo.py", "marimo/__init__.py", "dagster/notebooks/marimo.py"]
)
def test_what_hides_a_package(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).touch()
    found = only(packages.hidden(project(tmp_path)), "hidden")
    assert found.status == "problem"
    assert str(tmp_path / path) in found.detail
    assert not found.fixable


def test_what_hides_a_package_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "dagster.py").write_text("x = 1\n")
    root = tmp_path / "project"
    root.mkdir()
    assert only(packages.hidden(project(root)), "hidden").status == "ok"
    monkeypatch.setenv("PYTHONPATH", f"relative:{tmp_path / 'lib'}")
    found = only(packages.hidden(project(root)), "hidden")
    assert found.status == "problem"
    assert "another name" in str(found.remedy)
    (tmp_path / "lib" / "dagster-1.13.27.dist-info").mkdir()  # there it is the installed one
    assert only(packages.hidden(project(root)), "hidden").status == "ok"


def test_a_folder_without_init_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "dagster" / "notebooks").mkdir(parents=True)
    assert only(packages.hidden(project(tmp_path)), "hidden").status == "ok"


def test_ports_that_are_the_same(tmp_path: Path) -> None:
    found = only(machine.look_at_ports(project(tmp_path, "marimo:\n  port: 3000\n")), "ports")
    assert found.status == "warning"
    assert "dagster.port and marimo.port" in found.detail


def test_dagster_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def home(value: str | None) -> tuple[str, str]:
        monkeypatch.setenv("DAGSTER_HOME", value or "")
        found = list(machine.look_at_home(project(tmp_path)))
        return found[-1].status, found[-1].detail

    assert home(None)[0] == "ok"
    assert home("relative/home") == ("problem", "DAGSTER_HOME is relative/home, which is no whole path.")
    assert home(str(tmp_path / "none")) == ("problem", f"DAGSTER_HOME is {tmp_path}/none, which is missing.")
    (tmp_path / "file").touch()
    assert "which is a file" in home(str(tmp_path / "file"))[1]
    good = tmp_path / "home"
    good.mkdir()
    assert home(str(good)) == ("ok", f"DAGSTER_HOME is {good}")
    (good / "dagster.yaml").write_text("storage:\n  - [broken\n")
    status, detail = home(str(good))
    assert status == "problem"
    assert "dagster.yaml" in detail
    (good / "dagster.yaml").write_text("# nothing but a comment\n")
    assert home(str(good))[0] == "ok"


def test_a_dagster_home_that_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    if os.geteuid() == 0:  # who may write everywhere
        monkeypatch.setattr(machine.os, "access", lambda *_: False)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    assert "can't be written" in list(machine.look_at_home(project(tmp_path)))[-1].detail


@pytest.mark.parametrize(("free", "status"), [(99_999_999, "problem"), (500_000_000, "warning"), (5_000_000_000, "ok")])
def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage._replace(free=free))
    assert [finding.status for finding in machine.look_at_disk(project(tmp_path))] == [status]


@pytest.mark.parametrize("offset", [-4000.0, -7.5, -5.0, -2.0, -0.4, 0.0, 0.9, 3.0, 5.0, 6.8, 90.0])
@pytest.mark.parametrize("took", [0.01, 3.0])
@pytest.mark.parametrize("fraction", [0.0, 0.37, 0.999])
def test_the_clock(offset: float, took: float, fraction: float) -> None:
    """A server whose clock is `offset` ahead, answering in the middle: never a false alarm, and none missed by much."""
    before = 1_790_000_000 + fraction
    served = before + took / 2 + offset
    found = network.clock(formatdate(int(served), usegmt=True), before, before + took)
    if abs(offset) <= network.MOST_SKEW:
        assert found.status == "ok", found
    elif abs(offset) > network.MOST_SKEW + took + network.RESOLUTION:
        assert found.status == "warning", found
        assert ("ahead of" if offset > 0 else "behind") in found.detail


@pytest.mark.parametrize("date", [None, "", "yesterday", "Sat, 99 Nov 2026 15:00:00 GMT", "\x00"])
def test_a_server_that_does_not_tell_its_time(date: str | None) -> None:
    assert network.clock(date, 1.0, 2.0).status == "skipped"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    (tmp_path / ".daglab" / "state").mkdir(parents=True)
    return tmp_path / ".daglab"


def test_modes(tmp_path: Path, kept: Path) -> None:
    (kept / "backups").mkdir()
    for name in ("exports.jsonl", "state/a-123456789012.json", "dev.json", "marimo.token", "backups/x.tar.gz"):
        (kept / name).write_text("{}")
        (kept / name).chmod(0o644)
    (kept / "last_ports.json").write_text("{}")
    (kept / "last_ports.json").chmod(0o644)
    kept.chmod(0o777)
    found = only(folder.look_at_modes(project(tmp_path)), "modes")
    assert (found.status, found.fixable) == ("problem", True)
    done = mending.modes(project(tmp_path))
    assert done == [
        ".daglab/exports.jsonl: mode 0600",
        ".daglab/dev.json: mode 0600",
        ".daglab/marimo.token: mode 0600",
        ".daglab/state/a-123456789012.json: mode 0600",
        ".daglab/backups/x.tar.gz: mode 0600",
        ".daglab: mode 0775",
    ]
    assert (kept / "last_ports.json").stat().st_mode & 0o777 == 0o644  # no secret in it
    assert only(folder.look_at_modes(project(tmp_path)), "modes").status == "ok"


def test_a_link_is_not_followed_to_mend(tmp_path: Path, kept: Path) -> None:
    target = tmp_path / "theirs"
    target.write_text("x")
    target.chmod(0o644)
    (kept / "dev.json").symlink_to(target)
    (kept / "exports.jsonl").symlink_to(target)
    assert mending.modes(project(tmp_path)) == []
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["state", "traces", "backups", "archive"])
def test_a_folder_that_is_a_link_is_not_followed_to_mend(tmp_path: Path, name: str) -> None:
    """A repository may come with it, and lead to files of the user's."""
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "root"
    (root / ".daglab").mkdir(parents=True)
    elsewhere.mkdir()
    (root / ".daglab" / name).symlink_to(elsewhere)
    for each in ("page.json", "requests.jsonl", "last_ports.json"):
        (elsewhere / each).write_text("{torn")
        (elsewhere / each).chmod(0o644)
    old = time.time() - 2 * leftovers.DAY
    (elsewhere / "a-12.json.new").touch()
    os.utime(elsewhere / "a-12.json.new", (old, old))
    assert only(folder.look_at_modes(project(root)), "modes").status == "ok"
    done = examination.examine(project(root), fix=True, deep=True)
    assert not [each for each in done.fixed if name in each]
    assert {path.stat().st_mode & 0o777 for path in elsewhere.glob("*.json*") if path.suffix != ".new"} == {0o644}
    assert sorted(os.listdir(elsewhere)) == ["a-12.json.new", "last_ports.json", "page.json", "requests.jsonl"]
    assert (elsewhere / "page.json").read_text() == "{torn"


def test_a_daglab_folder_that_is_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "exports.jsonl").write_text("")
    root = tmp_path / "root"
    root.mkdir()
    (root / ".daglab").symlink_to(elsewhere)
    found = only(folder.look_at_modes(project(root)), "daglab")
    assert (found.status, found.fixable) == ("problem", False)
    done = examination.examine(project(root), fix=True, deep=True)
    assert done.read is not None
    assert done.fixed == ()


def test_without_a_daglab_folder(tmp_path: Path) -> None:
    assert only(folder.look_at_modes(project(tmp_path)), "daglab").status == "warning"


def test_files_of_others(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (kept / "events").mkdir()
    monkeypatch.setattr(folder.os, "geteuid", lambda: os.getuid() + 1)
    monkeypatch.setattr(folder.os, "getuid", lambda: 12345678)
    found = only(folder.look_at_modes(project(tmp_path)), "daglab.owner")
    assert (found.status, found.fixable) == ("warning", False)
    assert ".daglab/events" in found.detail


def dead_record(root: Path, mark: str = "m" * 32) -> None:
    record.write(root, {"mark": mark, "project": str(root)})
    written = json.loads((root / record.FILE).read_text())
    (root / record.FILE).write_text(json.dumps({**written, "pid": 2**22 - 3, "started": 1}))


def test_what_a_killed_dev_has_left(tmp_path: Path, kept: Path) -> None:
    assert only(folder.look_at_dev(project(tmp_path)), "dev").status == "ok"
    dead_record(tmp_path)
    files.write_atomic(kept / "marimo.token", "secret", mode=0o600)
    found = only(folder.look_at_dev(project(tmp_path)), "dev")
    assert (found.status, found.fixable) == ("warning", True)
    assert "dev.json, marimo.token" in found.detail
    assert mending.dev(project(tmp_path)) == [".daglab/dev.json: taken away", ".daglab/marimo.token: taken away"]
    assert not (kept / "dev.json").exists()
    assert only(folder.look_at_dev(project(tmp_path)), "dev").status == "ok"


def test_processes_that_a_killed_dev_has_left_are_not_ended(tmp_path: Path, kept: Path) -> None:
    mark = "x" * 32
    dead_record(tmp_path, mark)
    with subprocess.Popen(["sleep", "60"], env={**os.environ, record.MARK: mark}) as left:
        try:
            deadline = time.monotonic() + 20
            while not folder.processes_left(tmp_path) and time.monotonic() < deadline:
                time.sleep(0.01)
            found = only(folder.look_at_dev(project(tmp_path)), "dev")
            assert (found.status, found.fixable, found.remedy) == ("problem", False, "daglab stop")
            assert mending.dev(project(tmp_path)) == []
            assert left.poll() is None
            assert (kept / "dev.json").exists()
        finally:
            left.kill()


def test_a_dev_that_runs_is_left_alone(tmp_path: Path, kept: Path) -> None:
    with record.held(tmp_path):
        record.write(tmp_path, {"mark": "m" * 32, "project": str(tmp_path)})
        found = only(folder.look_at_dev(project(tmp_path)), "dev")
        assert found.status == "ok"
        assert f"process {os.getpid()}" in found.detail
        assert mending.dev(project(tmp_path)) == []
        (kept / "last_ports.json").write_text("{")
        assert mending.broken(project(tmp_path)) == []
    assert (kept / "dev.json").exists()


def test_leftovers(tmp_path: Path, kept: Path) -> None:
    (tmp_path / "exports" / "deep").mkdir(parents=True)
    (kept / "templates").mkdir()
    (kept / "dagster_home").mkdir()
    ours = [
        *(".daglab/.dev.json.ab12_xyz", ".daglab/.exports.jsonl.abcdefgh", ".daglab/state/a-12.json.new"),
        *(".daglab/state/.a-12.json.abcdefgh", "exports/deep/.orders.html.abcdefgh", ".daglab.yaml.abcdefgh"),
    ]
    theirs = [
        *(".daglab/dev.json", ".daglab/templates/.a.json.abcdefgh", ".daglab/dagster_home/.x.json.abcdefgh"),
        *(".env.abcdefgh", "exports/orders.html", "exports/.hidden", ".daglab/state/a-12.json", "a.json.new"),
        *(".daglab/.dev.json.ABCDEFGH", ".daglab/notes.new"),
    ]
    for name in (*ours, *theirs):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - 2 * leftovers.DAY,) * 2)
    (kept / ".dev.json.younger1").touch()
    (kept / ".dev.json.linked12").symlink_to(tmp_path / ".env.abcdefgh")
    found = only(folder.look_at_leftovers(project(tmp_path)), "leftovers")
    assert (found.status, found.fixable) == ("warning", True)
    assert f"{len(ours)} temporary files" in found.detail
    assert sorted(mending.temporary(project(tmp_path))) == sorted(f"{name}: deleted" for name in ours)
    assert all((tmp_path / name).exists() for name in theirs)
    assert (kept / ".dev.json.younger1").exists()
    assert only(folder.look_at_leftovers(project(tmp_path)), "leftovers").status == "ok"


def test_a_change_of_a_state_that_is_under_way_is_left_alone(tmp_path: Path, kept: Path) -> None:
    new = kept / "state" / "a-12.json.new"
    new.touch()
    os.utime(new, (1, 1))
    with files.held(kept / "state" / "a-12.json.lock", 5):
        assert mending.temporary(project(tmp_path)) == []
    assert new.exists()
    assert mending.temporary(project(tmp_path)) == [".daglab/state/a-12.json.new: deleted"]


def test_daglab_names_its_temporary_files_as_the_doctor_knows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(files.os, "replace", lambda old, new: seen.append(Path(old).name) or os.rename(old, new))
    for name in ("dev.json", "2026-01.jsonl", "last_ports.json", "marimo.token", "marimo.html"):
        files.write_atomic(tmp_path / name, "x")
    files.replace_held(tmp_path / "a-1.json", b"x", tmp_path / "a-1.json.bak")
    assert len(seen) == 6
    assert all(leftovers.is_temporary(name) for name in seen), seen


def recorded(root: Path) -> list[dict[str, Any]]:
    paths = sorted((root / ".daglab" / "events").iterdir())
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def git(root: Path, *words: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.com"]
    subprocess.run(["git", *identity, "-C", str(root), *words], check=True, capture_output=True)


def test_git(tmp_path: Path, kept: Path) -> None:
    examined = project(tmp_path)
    assert statuses(repository.look(examined)) == {"git": "skipped"}
    git(tmp_path, "init", "-q")
    (kept / "exports.jsonl").write_text("{}\n")
    (kept / "templates").mkdir()
    (kept / "templates" / "own.py.j2").write_text("")
    (tmp_path / "dagster" / "notebooks").mkdir(parents=True)
    (tmp_path / "dagster" / "notebooks" / "n w.py").write_text("")
    found = list(repository.look(examined))
    assert statuses(found) == {"git.ignored": "warning", "git.uncommitted": "warning"}
    assert only(found, "git.ignored").fixable
    assert "daglab.yaml" in only(found, "git.uncommitted").detail
    assert "dagster/notebooks/n w.py" in only(found, "git.uncommitted").detail
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "all")
    secrets = only(repository.look(examined), "git.secrets")
    assert (secrets.status, secrets.fixable) == ("problem", False)
    assert "1 files of .daglab are in the repository: .daglab/exports.jsonl." in secrets.detail
    assert mending.ignored(examined) == [".gitignore: created"]
    git(tmp_path, "rm", "-rq", "--cached", ".daglab/exports.jsonl")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "mended")
    assert set(statuses(repository.look(examined)).values()) == {"ok"}
    (tmp_path / "dagster" / "notebooks" / "n w.py").write_text("changed\n")
    assert "1 of them changed" in only(repository.look(examined), "git.uncommitted").detail


def test_git_in_a_subfolder_and_by_other_rules(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    root = tmp_path / "below"
    root.mkdir()
    (tmp_path / ".gitignore").write_text(".daglab/\n__marimo__/\nexports/\n")
    assert only(repository.look(project(root)), "git.ignored").status == "ok"
    (root / ".gitignore").write_text(".daglab/\n!.daglab/\n__marimo__/\n/exports/\n")
    found = only(repository.look(project(root)), "git.ignored")
    assert (found.status, found.fixable) == ("warning", False)  # the lines stand there, and others undo them


def test_a_repository_without_a_config_of_daglabs_is_left_alone(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert examination.examine(origins.load(tmp_path, {}), fix=True).fixed == ()
    assert not (tmp_path / ".gitignore").exists()


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert statuses(repository.look(project(tmp_path))) == {"git": "skipped"}


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: findings.Project) -> list[findings.Finding]:
        raise PermissionError(13, "Permission denied", "somewhere")

    monkeypatch.setattr(examination, "CHECKS", {"one": broken, "disk": machine.look_at_disk})
    found = examination.examine(project(tmp_path)).findings
    assert [(each.name, each.status) for each in found] == [("one", "warning"), ("disk", "ok")]
    assert found[0].detail == "It could not be looked at: Permission denied somewhere."


def test_the_command_finds_a_problem_and_says_what_helps(cli: Cli, tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / ".daglab").mkdir()
    (tmp_path / "marimo.py").touch()
    done = cli("doctor", "--json")
    assert done.exit_code == 4
    document = json.loads(done.stdout)
    assert not document["ok"]
    assert document["error"]["code"] == "not_good"
    assert document["problems"] == 1
    (finding,) = [each for each in document["findings"] if each["status"] == "problem"]
    assert set(finding) == {"name", "status", "detail", "remedy", "fixable"}
    text = cli("doctor")
    assert text.exit_code == 4
    assert f"hidden {' ' * 9}PROBLEM" in text.stdout
    assert "Give it another name" in text.stdout
    (tmp_path / "marimo.py").unlink()
    good = cli("doctor", "--json")
    assert good.exit_code == 0, good.stdout
    document = json.loads(good.stdout)
    assert document["ok"]
    assert document["problems"] == 0
    lines = recorded(tmp_path)
    assert [(line["command"], line["exit_code"], line["detail"]["problems"]) for line in lines] == [
        ("doctor", 4, 1),
        ("doctor", 4, 1),
        ("doctor", 0, 0),
    ]


def test_the_command_mends_and_looks_again(cli: Cli, tmp_path: Path, kept: Path) -> None:
    project(tmp_path)
    git(tmp_path, "init", "-q")
    (kept / "exports.jsonl").write_text('{"v":1,"id":"a","output":"x","sha256":"y"}\n{"v":1,"id":"b')
    (kept / "exports.jsonl").chmod(0o666)
    (kept / "last_ports.json").write_text("{torn")
    (kept / "events").mkdir()
    events.append(tmp_path, events.Event("run"), datetime(2026, 1, 1, tzinfo=timezone.utc), 1.0)
    month = kept / "events" / "2026-01.jsonl"
    month.write_bytes(month.read_bytes().rstrip())
    dead_record(tmp_path)
    first = cli("doctor", "--json")
    assert first.exit_code == 4
    assert json.loads(first.stdout)["fixable"] == 5
    assert "`daglab doctor --fix` mends 5 of these." in cli("doctor").stderr
    done = cli("doctor", "--fix", "--deep", "--json")
    document = json.loads(done.stdout)
    assert done.exit_code == 0, document
    assert (document["fixable"], document["problems"]) == (0, 0)
    assert set(document["fixed"]) == {
        ".daglab/exports.jsonl: mode 0600",
        ".daglab/dev.json: taken away",
        ".daglab/events/2026-01.jsonl: the last line is ended",
        ".daglab/exports.jsonl: 14 bytes of a torn line taken away",
        ".daglab/last_ports.json: taken away, it was no JSON",
        ".gitignore: created",
    }
    assert (kept / "exports.jsonl").read_text().count("\n") == 1
    assert [each["flaw"] for each in document["deep"]["bad"]] == ["the export is gone, and the record has it"]
    again = cli("doctor", "--fix")
    assert "Mended:" not in again.stdout
    left = recorded(tmp_path)
    assert [sorted(event["detail"].get("fixed", [])) for event in left if event["command"] == "doctor"] == [
        [],
        [],
        sorted(document["fixed"]),
        [],
    ]


@pytest.mark.long
def test_a_torn_line_is_not_mended_under_a_writer(tmp_path: Path, kept: Path) -> None:
    path = kept / "exports.jsonl"
    path.write_text('{"v":1')
    path.chmod(0o600)
    descriptor = files.open_lock(path)
    try:
        assert files.try_lock(descriptor)
        assert mending.torn(project(tmp_path)) == []
    finally:
        os.close(descriptor)
    assert path.read_text() == '{"v":1'
    assert mending.torn(project(tmp_path)) == [".daglab/exports.jsonl: 6 bytes of a torn line taken away"]
    assert path.read_text() == ""


def test_the_config_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path)
    monkeypatch.setattr(config_files.os, "geteuid", lambda: os.getuid() + 77)
    if os.getuid() == 0:
        os.chown(tmp_path / "daglab.yaml", 12345, -1)
    found = only(origins.look(origins.load(tmp_path, {})), "config")
    assert found.status == "problem"
    assert "belongs to another user" in found.detail


def test_ports_that_are_free(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    found = only(machine.look_at_ports(project(tmp_path, f"marimo:\n  port: {number}\n")), "marimo.port")
    assert (found.status, found.detail) == ("ok", f"port {number} is free")
    assert ports.is_free(number, "127.0.0.1")


def test_a_port_that_somebody_holds(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        number = holder.getsockname()[1]
        found = only(machine.look_at_ports(project(tmp_path, f"dagster:\n  port: {number}\n")), "dagster.port")
    assert found.status == "warning"
    assert f"is held by process {os.getpid()}" in found.detail
    assert "which is not dagster of this project" in found.detail


def test_a_port_that_the_projects_own_dev_holds(tmp_path: Path) -> None:
    mark = "6" * 32
    code = "import socket, sys, time; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
    code += "print(s.getsockname()[1], flush=True); time.sleep(300)"
    env = {**os.environ, record.MARK: mark}
    with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        number = int(holder.stdout.readline())
        (tmp_path / ".daglab").mkdir()
        record.write(tmp_path, {"mark": mark})
        found = only(machine.look_at_ports(project(tmp_path, f"marimo:\n  port: {number}\n")), "marimo.port")
        holder.kill()
    assert (found.status, "is held by the daglab dev of this project" in found.detail) == ("ok", True)


def test_a_dagster_yaml_that_is_no_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    for text in ("x" * (machine.LARGEST_CONFIG + 1), "a: [\n"):
        (tmp_path / "dagster.yaml").write_text(text)
        assert "problem" in [each.status for each in machine.look_at_home(project(tmp_path))]


def test_a_deployment_that_answers(tmp_path: Path, dagster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dagster.headers["Date"] = formatdate(usegmt=True)
    found = {each.name: each for each in network.look(project(tmp_path, **{"dagster.url": dagster.url}))}
    assert (found["clock"].status, found["proxy"].status) == ("ok", "ok")
    dagster.status = 401
    found = {each.name: each for each in network.look(project(tmp_path, **{"dagster.url": dagster.url}))}
    assert (found["token"].status, found["clock"].status) == ("problem", "skipped")
    assert found["token"].remedy
    monkeypatch.setenv("DAGLAB_DAGSTER__AUTH__TYPE", "bearer")
    monkeypatch.setenv("DAGLAB_DAGSTER__AUTH__TOKEN_ENV", "NO_SUCH_TOKEN")
    (token,) = network.look(project(tmp_path, **{"dagster.url": dagster.url}))
    assert (token.name, token.status) == ("token", "problem")
    assert "DAGLAB_DAGSTER__AUTH__TOKEN_ENV" in token.detail


@pytest.mark.parametrize(
    ("answered", "is_dagster", "status"),
    [(True, False, "warning"), (False, False, "warning"), (False, True, "problem")],
)
def test_a_proxy_between_this_machine_and_itself(
    answered: bool, is_dagster: bool, status: str, dagster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:s3cret@proxy.test:3128")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(network.services, "answers", lambda *_: is_dagster)
    (found,) = network.proxies(dagster.url, answered=answered)
    assert found.status == status
    assert "NO_PROXY=127.0.0.1" in str(found.remedy)
    assert "s3cret" not in found.detail
    assert [each.status for each in network.proxies("https://dagster.example", answered=True)] == ["ok"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("echo No broken requirements found.", "ok", "No broken requirements found."),
        ("true", "ok", "pip check finds nothing"),
        (
            "echo a 1 requires b; echo c 2 requires d; exit 1",
            "problem",
            "2 packages do not go together: a 1 requires b;",
        ),
        ("echo No module named pip >&2; exit 1", "skipped", "No module named pip"),
        ("exit 1", "skipped", "pip says nothing"),
        ("exec /bin/sleep 600", "skipped", "was not done after"),
    ],
)
def test_packages_beside_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, status: str, said: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n[ \"$*\" = '-m pip check' ] || exit 9\n{body}\n")
    python.chmod(0o755)
    monkeypatch.setattr(packages, "CHECK_SECONDS", 0.5 if "sleep" in body else 60.0)
    (found,) = packages.dependencies(project(tmp_path, **{"dagster.python": str(python)}))
    assert (found.status, said in found.detail) == (status, True), found.detail
    python.unlink()
    (found,) = packages.dependencies(project(tmp_path, **{"dagster.python": str(python)}))
    assert found.status == "skipped"


def test_a_line_that_somebody_else_has_ended_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".daglab" / "exports.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"v": 1}\n')
    monkeypatch.setattr(mending.records, "torn_files", lambda _: [path])
    assert mending.torn(project(tmp_path)) == []
    assert path.read_text() == '{"v": 1}\n'
