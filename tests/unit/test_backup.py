"""`daglab backup`: archives that are whole, restores that are all or nothing, archives of somebody who means ill."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, files, json_lines, state
from daglab.commands import backup
from daglab.dev import record
from daglab.doctor import folder, mending, origins, records
from daglab.upkeep import archives, contents, journal, restoring, turns
from tests import runners, tiers

Cli = Callable[..., Any]
NOTEBOOKS = "dagster/notebooks"
LINE = (
    '{"v": 1, "id": "1", "at": "2026-01-01T00:00:00.000+00:00", "command": "run", "target": null, "ok": true, '
    '"exit_code": 0, "error_code": null, "seconds": 1.0, "runs": [], "requests": {"n": 0, "errors": 0, "ms": []}, '
    '"bytes": null, "rss_peak": 1, "usage": [], "detail": {}}\n'
)
DAGLAB = [sys.executable, "-m", "daglab"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "my shop"
    put(root / "daglab.yaml", "version: 1\n")
    put(root / NOTEBOOKS / "a.py", "a = 1\n")
    put(root / NOTEBOOKS / "deep/ü b.py", "b = 1\n")
    put(root / ".daglab/templates/mine.py.j2", "t\n")
    put(root / ".daglab/exports.jsonl", '{"v": 1, "expired": "e1", "at": "2026-01-01T00:00:00+00:00"}\n', mode=0o600)
    put(root / ".daglab/events/2026-01.jsonl", LINE * 2)
    put(root / ".daglab/archive/2025-01.jsonl.gz", "z")
    state.manage(root, f"{NOTEBOOKS}/a.py", version=1).update(count=1)
    return root


def put(path: Path, text: str = "x", *, mode: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if mode is not None:
        path.chmod(mode)
    return path


def document(cli: Cli, root: Path, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
    done = cli("backup", *arguments, "--json", cwd=root)
    assert done.exit_code == exit_code, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def tree(root: Path, *without: str) -> dict[str, bytes]:
    """Every file of a project with its bytes, but for what a restore is not about."""
    left = ("restore", "backups", "events", "dev.lock", "upkeep.lock", *without)
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not (path.relative_to(root).parts[:1] == (".daglab",) and path.parts[-1] in left)
        if not set(path.relative_to(root).parts[1:2]) & set(left) and not path.name.endswith(".json.lock")
    }


def created(root: Path, folder: Path | None = None) -> Path:
    return archives.create(root, NOTEBOOKS, folder or root / archives.FOLDER)[0]


# create and list


def test_an_archive_holds_what_can_not_be_made_anew(cli: Cli, project: Path) -> None:
    for name in ("cache/x", "logs/dagster.log", "dagster_home/x", "dev.json", "marimo.token", "state/x.json.lock"):
        put(project / ".daglab" / name)
    for name in (f"{NOTEBOOKS}/__pycache__/a.pyc", f"{NOTEBOOKS}/.hidden", "exports/a.html", "shop/code.py", ".env"):
        put(project / name)
    (project / NOTEBOOKS / "link.py").symlink_to("/etc/passwd")
    found = document(cli, project, "create")
    path = Path(found["archive"])
    assert path.parent == project / ".daglab/backups"
    assert archives.NAME.fullmatch(path.name)
    assert path.name.startswith("daglab-my_shop-2")
    assert (stat.S_IMODE(path.stat().st_mode), found["bytes"]) == (0o600, path.stat().st_size)
    assert found["left_out"] == [{"path": f"{NOTEBOOKS}/link.py", "why": "it is a link"}]
    with tarfile.open(path) as tar:  # by somebody else's reader, too
        names = tar.getnames()
        members = {name: tar.extractfile(name).read() for name in names}  # type: ignore[union-attr]
        modes = {name: tar.getmember(name).mode for name in names}
    states = [each.relative_to(project).as_posix() for each in (project / ".daglab/state").glob("*.json")]
    assert names[0] == "manifest.json"
    assert sorted(names[1:]) == sorted(
        [
            *("daglab.yaml", f"{NOTEBOOKS}/a.py", f"{NOTEBOOKS}/deep/ü b.py", ".daglab/templates/mine.py.j2"),
            *(".daglab/exports.jsonl", ".daglab/events/2026-01.jsonl", ".daglab/archive/2025-01.jsonl.gz", *states),
        ]
    )
    manifest = json.loads(members["manifest.json"])
    for each in manifest["files"]:
        content = members[each["path"]]
        assert content == (project / each["path"]).read_bytes()
        assert (each["size"], each["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert each["mode"] == modes[each["path"]] == stat.S_IMODE((project / each["path"]).stat().st_mode)
    assert manifest["v"] == 1
    assert found["files"] == len(manifest["files"])


def test_archives_are_listed_and_those_that_are_torn_are_told(cli: Cli, project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    first = Path(document(cli, project, "create", "--output", str(folder))["archive"])
    second = folder / "daglab-my_shop-20990101T000000Z.tar.gz"
    second.write_bytes(first.read_bytes()[:-200])
    put(folder / "mine.tar.gz")
    found = document(cli, project, "list", "--output", str(folder))["archives"]
    assert [(each["path"], each["whole"]) for each in found] == [(str(first), True), (str(second), False)]
    assert found[0]["files"] == 8
    assert found[0]["problem"] is None
    assert "ends too early" in found[1]["problem"]
    done = cli("backup", "list", cwd=project)
    assert (done.exit_code, "There are no archives" in done.stderr) == (0, True)


def test_create_needs_a_place(cli: Cli, tmp_path: Path) -> None:
    assert document(cli, tmp_path, "create", exit_code=3)["error"]["code"] == "not_set_up"
    put(tmp_path / "file")
    assert document(cli, tmp_path, "create", "--output", "file/x", exit_code=7)["error"]["code"] == "invalid_input"


def test_two_archives_of_one_second_are_two(project: Path) -> None:
    paths = {created(project) for _ in range(5)}
    assert len(paths) == 5
    assert all(each["whole"] for each in archives.every(project / archives.FOLDER))


def test_names_that_some_file_systems_can_not_tell_apart(project: Path) -> None:
    for name in ("Same.py", "same.py", "e\u0301.py", "\u00e9.py"):
        put(project / NOTEBOOKS / name, name)
    path, manifest, left = archives.create(project, NOTEBOOKS, project / archives.FOLDER)
    assert len(left) == 2
    assert archives.read(path) == manifest


@pytest.mark.parametrize("folder", [".", "nb", "../out", ".git", "/etc"])
def test_any_notebooks_folder(project: Path, folder: str) -> None:
    put(project / "nb/x.py")
    put(project / ".git/config")
    manifest = archives.create(project, folder, project / archives.FOLDER)[1]
    paths = {entry.path for entry in manifest.entries}
    assert ("nb/x.py" in paths) == (folder in (".", "nb"))
    assert not any(".git/" in path or ".." in path or path.startswith("/") for path in paths)
    assert {"daglab.yaml", ".daglab/exports.jsonl"} <= paths


@pytest.fixture
def busy(project: Path) -> Iterator[None]:
    """Somebody appends lines, changes a state and replaces a notebook, over and over."""
    stop, kept = threading.Event(), state.manage(project, f"{NOTEBOOKS}/a.py", version=1)
    lines, notebook = project / ".daglab/events/2026-01.jsonl", project / NOTEBOOKS / "a.py"

    def change() -> None:
        while not stop.wait(0.005):
            json_lines.append(lines, {"v": 1, "text": "x" * 5000})
            kept.update(text="y" * 5000)
            files.write_atomic(notebook, f"{random.random()}\n" * 20_000)

    threads = [threading.Thread(target=change) for _ in range(2)]
    for each in threads:
        each.start()
    yield
    stop.set()
    for each in threads:
        each.join()


@pytest.mark.usefixtures("busy")
def test_what_is_written_meanwhile_is_taken_whole(project: Path) -> None:
    for path in [created(project) for _ in range(8)]:
        with tarfile.open(path) as tar:
            text = tar.extractfile(".daglab/events/2026-01.jsonl").read()  # type: ignore[union-attr]
            notebook = tar.extractfile(f"{NOTEBOOKS}/a.py").read().splitlines()  # type: ignore[union-attr]
        assert text.endswith(b"\n")
        assert all(json.loads(line) for line in text.splitlines())
        assert len(set(notebook)) == 1


def test_a_torn_last_line_is_left_out(project: Path) -> None:
    path = project / ".daglab/events/2026-01.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"v": 1, "torn')
    entry = next(each for each in archives.read(created(project)).entries if each.path.endswith("2026-01.jsonl"))
    assert entry.size == len(whole)


# restore


def test_a_project_comes_back(cli: Cli, project: Path) -> None:
    archive = document(cli, project, "create", "--output", str(project.parent))["archive"]
    before = tree(project)
    modes = {path: stat.S_IMODE((project / path).stat().st_mode) for path in before}
    shutil.rmtree(project)
    project.mkdir()
    done = document(cli, project, "restore", archive, "--yes")
    assert tree(project) == before
    assert {path: stat.S_IMODE((project / path).stat().st_mode) for path in before} == modes
    assert done["counts"] == {"new": 8, "changed": 0, "same": 0, "grown": 0}
    assert not (project / journal.STAGE).exists()
    [event] = [json.loads(line) for line in (project / ".daglab/events/2026-11.jsonl").read_text().splitlines()]
    assert (event["command"], event["ok"], event["detail"]) == ("backup restore", True, done["counts"])


def test_restore_says_what_it_would_do_and_does_that(cli: Cli, project: Path) -> None:
    archive = Path(document(cli, project, "create")["archive"]).name
    (project / NOTEBOOKS / "a.py").write_text("a = 2\n")
    (project / "daglab.yaml").unlink()
    put(project / NOTEBOOKS / "later.py")
    before = tree(project)
    told = document(cli, project, "restore", archive, "--dry-run")
    assert (told["dry_run"], tree(project)) == (True, before)
    done = document(cli, project, "restore", archive, "--yes")
    assert (done["files"], done["counts"]) == (told["files"], told["counts"])
    assert {each["path"]: each["change"] for each in done["files"] if each["change"] != "same"} == {
        "daglab.yaml": "new",
        f"{NOTEBOOKS}/a.py": "changed",
    }
    assert (project / NOTEBOOKS / "a.py").read_text() == "a = 1\n"
    assert (project / NOTEBOOKS / "later.py").exists()
    shown = cli("backup", "restore", archive, "--dry-run", cwd=project)
    assert "7 same, 1 grown" in shown.stderr or "8 same" in shown.stderr


def test_records_that_have_grown_stay(project: Path) -> None:
    archive = created(project)
    json_lines.append(project / ".daglab/exports.jsonl", {"v": 1, "later": True})
    put(project / ".daglab/events/2026-01.jsonl", LINE.replace("run", "new") * 9)  # another one, which is longer
    changes = {each.entry.path: each.what for each in restoring.restore(project, archive, NOTEBOOKS)}
    assert changes[".daglab/exports.jsonl"] == "grown"
    assert changes[".daglab/events/2026-01.jsonl"] == "changed"
    assert "later" in (project / ".daglab/exports.jsonl").read_text()
    assert (project / ".daglab/events/2026-01.jsonl").read_text() == LINE * 2


def test_restore_asks(cli: Cli, project: Path) -> None:
    archive = created(project)
    (project / NOTEBOOKS / "a.py").write_text("mine\n")
    assert document(cli, project, "restore", str(archive), exit_code=2)["error"]["hint"].startswith("Add --yes")
    assert cli("backup", "restore", str(archive), cwd=project).exit_code == 2
    assert (project / NOTEBOOKS / "a.py").read_text() == "mine\n"


def test_restore_is_refused_while_dev_runs(cli: Cli, project: Path) -> None:
    archive = created(project)
    (project / NOTEBOOKS / "a.py").write_text("mine\n")
    with record.held(project):
        assert document(cli, project, "restore", str(archive), "--yes", exit_code=8)["error"]["code"] == "taken"
    assert (project / NOTEBOOKS / "a.py").read_text() == "mine\n"


def test_an_archive_that_is_missing(cli: Cli, project: Path) -> None:
    assert document(cli, project, "restore", "x.tar.gz", "--yes", exit_code=3)["error"]["code"] == "not_set_up"
    for path in (NOTEBOOKS, "/dev/null"):
        document(cli, project, "restore", path, "--yes", exit_code=7)


@pytest.mark.parametrize("place", [".daglab", NOTEBOOKS, f"{NOTEBOOKS}/deep", f"{NOTEBOOKS}/a.py"])
def test_nothing_is_restored_through_a_link(cli: Cli, project: Path, place: str) -> None:
    archive = created(project, project.parent)
    outside = project.parent / "outside"
    path = project / place
    shutil.move(path, outside)
    path.symlink_to(outside)
    before = tree(outside) if outside.is_dir() else outside.read_bytes()
    (project / "daglab.yaml").write_text("version: 1\n# changed\n")
    document(cli, project, "restore", str(archive), "--yes", exit_code=7)
    assert (tree(outside) if outside.is_dir() else outside.read_bytes()) == before
    assert "changed" in (project / "daglab.yaml").read_text()


def test_the_project_says_where_notebooks_are(cli: Cli, project: Path) -> None:
    archive = created(project, project.parent)
    (project / "daglab.yaml").write_text("version: 1\nnotebooks_dir: elsewhere\n")
    error = document(cli, project, "restore", str(archive), "--yes", exit_code=7)["error"]
    assert f"notebooks_dir: {NOTEBOOKS}" in error["hint"]
    (project / "daglab.yaml").write_text("broken: [\n")  # a reason to restore it
    document(cli, project, "restore", str(archive), "--yes")
    assert (project / "daglab.yaml").read_text() == "version: 1\n"


# archives of somebody who means ill

GOOD = b"good\n"


def entry(path: str, content: bytes = GOOD, **more: Any) -> dict[str, Any]:
    return {"path": path, "size": len(content), "mode": 0o644, "sha256": hashlib.sha256(content).hexdigest(), **more}


def member(path: str, content: bytes = GOOD, **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(path)
    info.size = len(content)
    for name, value in more.items():
        setattr(info, name, value)
    return info, content


def packed(
    path: Path,
    listed: list[dict[str, Any]],
    members: list[tuple[tarfile.TarInfo, bytes]] | None = None,
    *,
    manifest: Any = None,
    after: bytes = b"",
    form: int = tarfile.PAX_FORMAT,
) -> Path:
    """An archive with a manifest that lists these, and these members, whatever they are."""
    told = {"v": 1, "daglab": "0", "project": "p", "created": "2026-11-21T00:00:00+00:00", "notebooks_dir": NOTEBOOKS}
    text = json.dumps({**told, "files": listed} if manifest is None else manifest).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, content in [
            member("manifest.json", text),
            *([member(each["path"]) for each in listed] if members is None else members),
        ]:
            tar.addfile(info, io.BytesIO(content))
    path.write_bytes(gzip.compress(out.getvalue() + after))
    return path


def without_manifest(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        info, content = member(NB)
        tar.addfile(info, io.BytesIO(content))
    return path


NB = f"{NOTEBOOKS}/x.py"
LINK = {"type": tarfile.SYMTYPE, "linkname": "/etc", "size": 0}
PATHS = [
    *("/etc/passwd", "../x", f"{NOTEBOOKS}/../../x", f"{NOTEBOOKS}/./x", f"{NOTEBOOKS}//x", "", ".", "a\0b"),
    *(".git/hooks/pre-commit", f"{NOTEBOOKS}/.git/config", ".GIT/config", "shop/code.py", "Makefile", "daglab.yaml/x"),
    *(".daglab", ".daglab/", ".daglab/dev.json", ".daglab/marimo.token", ".daglab/Backups/x", ".daglab/restore/x"),
    *(".daglab/state/x.json.lock", ".daglab/../x", ".Daglab/events/x", "DAGLAB.YAML", NOTEBOOKS, f"{NOTEBOOKS}/a\nb"),
    *(f"{NOTEBOOKS}/{'x' * 256}", f"{NOTEBOOKS}/{'y/' * 600}x", f"{NOTEBOOKS}/\udcff", f"{NOTEBOOKS}/a\\..\\x\x7f"),
]
HOSTILE: dict[str, Callable[[Path], Path]] = {
    **{f"path {path!r:.40}": (lambda to, path=path: packed(to, [entry(path)])) for path in PATHS},
    "a link, then a file through it": lambda to: packed(
        to, [entry(f"{NOTEBOOKS}/l/x")], [member(f"{NOTEBOOKS}/l", b"", **LINK), member(f"{NOTEBOOKS}/l/x")]
    ),
    "a hard link": lambda to: packed(
        to, [entry(NB)], [member(NB, b"", type=tarfile.LNKTYPE, linkname="/etc/passwd"), member(NB)]
    ),
    "a link in place of a file": lambda to: packed(to, [entry(NB, b"")], [member(NB, b"", **LINK)]),
    "a device": lambda to: packed(to, [entry(NB, b"")], [member(NB, b"", type=tarfile.CHRTYPE, devmajor=1)]),
    "a block device": lambda to: packed(to, [entry(NB, b"")], [member(NB, b"", type=tarfile.BLKTYPE)]),
    "a pipe": lambda to: packed(to, [entry(NB, b"")], [member(NB, b"", type=tarfile.FIFOTYPE)]),
    "a folder": lambda to: packed(to, [entry(NB, b"")], [member(NB, b"", type=tarfile.DIRTYPE)]),
    "a sparse file": lambda to: packed(to, [entry(NB, b"")], [member(NB, b"", type=tarfile.GNUTYPE_SPARSE)]),
    "an unknown kind": lambda to: packed(to, [entry(NB, b"")], [member(NB, b"", type=b"Z")]),
    "listed twice": lambda to: packed(to, [entry(NB), entry(NB)]),
    "packed twice": lambda to: packed(to, [entry(NB)], [member(NB), member(NB)]),
    "the same but for case": lambda to: packed(to, [entry(NB), entry(f"{NOTEBOOKS}/X.py")]),
    "the same but for composition": lambda to: packed(
        to, [entry(f"{NOTEBOOKS}/\u00e9"), entry(f"{NOTEBOOKS}/e\u0301")]
    ),
    "a file as a folder": lambda to: packed(to, [entry(NB), entry(f"{NB}/y")]),
    "a mode with setuid": lambda to: packed(to, [entry(NB, mode=0o4755)]),
    "a negative mode": lambda to: packed(to, [entry(NB, mode=-1)]),
    "another checksum": lambda to: packed(to, [entry(NB, sha256="0" * 64)]),
    "another size": lambda to: packed(to, [entry(NB, size=4)]),
    "a negative size": lambda to: packed(to, [entry(NB, size=-5)]),
    "more than is listed": lambda to: packed(to, [entry(NB)], [member(NB), member(f"{NOTEBOOKS}/y.py")]),
    "less than is listed": lambda to: packed(to, [entry(NB), entry(f"{NOTEBOOKS}/y.py")], [member(NB)]),
    "another order": lambda to: packed(
        to, [entry(NB), entry(f"{NOTEBOOKS}/y.py")], [member(f"{NOTEBOOKS}/y.py"), member(NB)]
    ),
    "a long name that leads elsewhere": lambda to: packed(
        to, [entry(NB)], [member(NB, pax_headers={"path": "/tmp/x"})]
    ),
    "strange headers": lambda to: packed(to, [entry(NB)], [member(NB, pax_headers={"GNU.sparse.major": "1"})]),
    "a large header": lambda to: packed(to, [entry(NB)], [member(NB, pax_headers={"comment": "x" * (1 << 20)})]),
    "gnu's long names": lambda to: packed(to, [entry(f"{NOTEBOOKS}/{'n' * 150}")], form=tarfile.GNU_FORMAT),
    "something after its end": lambda to: packed(to, [entry(NB)], after=b"x" * 512),
    "a bomb after its end": lambda to: packed(to, [entry(NB)], after=b"\0" * (1 << 20)),
    "a manifest that is none": lambda to: packed(to, [], manifest=[1]),
    "a manifest without files": lambda to: packed(to, [], manifest={"v": 1}),
    "a manifest of nested lists": lambda to: packed(to, [], manifest=json.loads("[" * 900 + "]" * 900)),
    "a newer format": lambda to: packed(to, [], manifest={"v": 2}),
    "a manifest with numbers for names": lambda to: packed(to, [{**entry(NB), "path": 7}], []),
    "no manifest": without_manifest,
    "no archive": lambda to: put(to, "not even gzip"),
    "an empty file": lambda to: put(to, ""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_changes_nothing(project: Path, tmp_path: Path, name: str) -> None:
    archive = HOSTILE[name](tmp_path / "hostile.tar.gz")
    put(project / ".git/config", "mine")
    before, around = tree(project), sorted(os.listdir(tmp_path))
    for own in (NOTEBOOKS, None):
        with pytest.raises(errors.InvalidInput):
            restoring.compare(project, archive, own)
        with pytest.raises(errors.InvalidInput):
            restoring.restore(project, archive, own)
    assert (tree(project), sorted(os.listdir(tmp_path))) == (before, around)
    assert not (project / journal.STAGE).exists()


def test_what_the_hostile_ones_are_made_from_is_good(project: Path, tmp_path: Path) -> None:
    long = f"{NOTEBOOKS}/{'ü' * 100}.py"
    archive = packed(tmp_path / "good.tar.gz", [entry(NB), entry(long), entry(".daglab/state/x.json", mode=0o600)])
    restoring.restore(project, archive, NOTEBOOKS)
    assert [(project / path).read_bytes() for path in (NB, long, ".daglab/state/x.json")] == [GOOD] * 3


@pytest.mark.parametrize("folder", [".", "/", "..", ".git", "x/../..", "/etc"])
def test_a_manifest_does_not_choose_the_notebooks_folder(project: Path, tmp_path: Path, folder: str) -> None:
    told = {"v": 1, "project": "p", "created": "2026-11-21T00:00:00+00:00", "notebooks_dir": folder}
    name = "hooks/x" if folder == ".git" else "etc/x"
    listed = [entry(f"{folder}/{name}".removeprefix("./"))]
    archive = packed(tmp_path / "hostile.tar.gz", listed, manifest={**told, "files": listed})
    before = tree(project)
    for own in (NOTEBOOKS, None):
        with pytest.raises(errors.InvalidInput):
            restoring.restore(project, archive, own)
    assert tree(project) == before


def test_bytes_that_are_changed_or_cut_off_are_noticed(project: Path, tmp_path: Path) -> None:
    """A changed bit that deflate does not use may pass, for then the content is what it was."""
    whole = created(project)
    manifest, expected = archives.read(whole), tree(project)
    rolled, path, noticed = random.Random(3), tmp_path / "torn.tar.gz", 0
    for _ in range(150):
        place = rolled.randrange(10, whole.stat().st_size)
        flipped = bytearray(whole.read_bytes())
        flipped[place] ^= 1 << rolled.randrange(8)
        path.write_bytes(flipped)
        try:
            assert archives.read(path) == manifest
        except errors.InvalidInput:
            noticed += 1
        path.write_bytes(flipped[:place])
        with pytest.raises(errors.InvalidInput):
            archives.read(path)
    assert noticed > 140
    with pytest.raises(errors.InvalidInput):
        restoring.restore(project, path, NOTEBOOKS)
    assert tree(project) == expected


def test_a_bomb_fills_nothing(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of more than the disk has room for is refused before a byte of it is unpacked."""
    archive = packed(tmp_path / "bomb.tar.gz", [entry(NB, size=1 << 50)], [])
    with pytest.raises(errors.InvalidInput, match="the disk has room for"):
        restoring.restore(project, archive, NOTEBOOKS)
    content = b"\0" * (8 << 20)
    archive = packed(tmp_path / "bomb.tar.gz", [entry(NB)], [member(NB, content)])
    written: list[int] = []
    monkeypatch.setattr(restoring, "_unpack", lambda root, entry, blocks: written.extend(map(len, blocks)))
    with pytest.raises(errors.InvalidInput, match="what follows is not"):
        restoring.restore(project, archive, NOTEBOOKS)
    assert written == []


# faults


def changed(project: Path) -> tuple[dict[str, bytes], dict[str, bytes], Path]:
    """A project that was changed since its archive was made: as it is, as it was then, and the archive."""
    put(project / NOTEBOOKS / "new folder/in it/c.py", "c = 1\n")
    archive = created(project, project.parent)
    then = tree(project)
    shutil.rmtree(project / NOTEBOOKS / "new folder")
    put(project / NOTEBOOKS / "a.py", "a = 2\n")
    put(project / "daglab.yaml", "version: 1\n# mine\n")
    put(project / ".daglab/exports.jsonl", '{"another": 1}\n')
    return tree(project), then, archive


# One process that does it again and again, in a child of its own for each call that is to fail.
FAULTS = """
import os, shutil, signal, sys
from pathlib import Path
from daglab.upkeep import archives, restoring, turns

project, archive, fault, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]

def counted(name, number):
    real = getattr(os, name)
    def call(*args, **more):
        global calls
        calls += 1
        if calls == number and fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if calls == number and fault == "fail":
            raise OSError(5, "Input/output error")
        done = real(*args, **more)
        if calls == number and fault == "stop":
            raise KeyboardInterrupt
        return done
    setattr(os, name, call)

def work(root, number):
    for name in ("link", "replace", "rename", "unlink", "mkdir", "rmdir", "fsync", "fchmod"):
        counted(name, number)
    with turns.alone(root):
        if str(archive) == "create":
            archives.create(root, "dagster/notebooks", root / "backups")
        elif str(archive) != "nothing":
            restoring.restore(root, archive, "dagster/notebooks")

for number in range(1, 200):
    root = project.parent / f"{name}-{number}"
    shutil.copytree(project, root)
    calls = 0
    child = os.fork()
    if not child:
        code = 1
        try:
            work(root, number)
            code = 0
        finally:
            os._exit(100 if calls < number else code)
    status = os.waitpid(child, 0)[1]
    print(os.waitstatus_to_exitcode(status), flush=True)
    if os.waitstatus_to_exitcode(status) == 100:
        break
"""


def broken_off(project: Path, archive: Path | str, fault: str, name: str = "copy") -> list[tuple[int, Path]]:
    """A copy of the project for each call that failed, and how that ended: 0 done, 1 refused, -9 killed."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, str(project), str(archive), fault, name],
        capture_output=True,
        text=True,
        check=False,
    )
    codes = [int(line) for line in done.stdout.split()]
    assert codes[-1] == 100, done.stderr  # there are no more calls to fail
    return [(code, project.parent / f"{name}-{number}") for number, code in enumerate(codes[:-1], start=1)]


@pytest.mark.long
@pytest.mark.parametrize("fault", tiers.few(["kill", "fail", "stop"], ["kill"]))
def test_a_restore_that_is_broken_off_anywhere_is_all_or_nothing(project: Path, fault: str) -> None:
    """At each call that changes something: killed before it, refused by the system, stopped by the user after it."""
    before, then, archive = changed(project)
    ends = broken_off(project, archive, fault)
    assert len(ends) > 20
    recovered = []
    for number, (code, root) in enumerate(ends):
        if fault != "kill":  # what is no sudden death is undone at once
            assert not journal.unfinished(root), number
            assert tree(root) in (before, then), number
        with turns.alone(root) as was_unfinished:
            recovered.append(was_unfinished)
        now = tree(root)
        assert now in (before, then), number
        assert code or now == then
        assert not (root / journal.STAGE).exists()
        assert (root / NOTEBOOKS / "new folder").exists() == (now == then)
    assert (sum(recovered) > 10) == (fault == "kill")
    assert {tree(root) == then for _, root in ends} == {True, False}


def killed_in_the_middle(project: Path, archive: Path) -> Path:
    """A copy of the project where the file a.py was put in place, and not all was."""
    for _, root in broken_off(project, archive, "kill"):
        if journal.unfinished(root) and (root / NOTEBOOKS / "a.py").read_text() == "a = 1\n":
            return root
    pytest.fail("the moment did not come")


def test_what_a_person_has_done_since_a_killed_restore_stays(project: Path) -> None:
    before, _, archive = changed(project)
    root = killed_in_the_middle(project, archive)
    mine = root / NOTEBOOKS / "a.py"
    mine.write_text("a = 3\n")
    with turns.alone(root):
        assert mine.read_text() == "a = 3\n"
    assert mine.with_name(f"a.py{journal.ASIDE}").read_bytes() == before[f"{NOTEBOOKS}/a.py"]
    assert {**tree(root, f"a.py{journal.ASIDE}"), f"{NOTEBOOKS}/a.py": b"a = 2\n"} == {
        **before,
        f"{NOTEBOOKS}/a.py{journal.ASIDE}": b"a = 2\n",
    }


def test_the_next_command_undoes_it_and_says_so(cli: Cli, project: Path) -> None:
    before, _, archive = changed(project)
    root = killed_in_the_middle(project, archive)
    assert tree(root) != before
    done = cli("clean", "--yes", "--json", cwd=root)
    assert json.loads(done.stdout)["recovered"] is True
    assert "is undone" in done.stderr
    assert tree(root) == before


def test_the_doctor_tells_of_it_and_undoes_it(project: Path) -> None:
    before, _, archive = changed(project)
    root = killed_in_the_middle(project, archive)
    examined = origins.load(root, {})
    [found] = folder.look_at_restore(examined)
    assert (found.name, found.status, found.fixable) == ("restore", "warning", True)
    assert mending.MENDERS["restore"](examined) == ["the restore that was killed: undone, all is as it was before"]
    assert (tree(root), list(folder.look_at_restore(examined))) == (before, [])


def test_the_doctor_knows_what_is_made_here(project: Path) -> None:
    created(project)
    with turns.alone(project):
        read = records.read_all(origins.load(project, {}))
    assert [each for each in records.look(read) if each.status != "ok"] == []


def test_undoing_can_be_killed_too(project: Path) -> None:
    before, _, archive = changed(project)
    ends = broken_off(killed_in_the_middle(project, archive), "nothing", "kill", "again")
    assert len(ends) > 10
    for _, root in ends:
        with turns.alone(root):
            assert tree(root) == before


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[" * 10_000,
        "{}",
        '{"v": 1, "notebooks_dir": ".", "moves": [{"path": "../x", "sha256": "", "replaces": true}], "folders": []}',
        '{"v": 1, "notebooks_dir": "nb", "moves": [], "folders": ["/etc"]}',
        '{"v": 1, "notebooks_dir": "nb", "moves": [], "folders": ["src"]}',
    ],
)
def test_a_journal_of_somebody_else_leads_nowhere(cli: Cli, project: Path, text: str) -> None:
    put(project / journal.FILE, text)
    (project / "src").mkdir()
    before = tree(project)
    done = cli("clean", "--yes", "--json", cwd=project)
    assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (4, "not_good")
    assert (tree(project), (project / "src").exists()) == (before, True)


@pytest.mark.parametrize("fault", ["kill", "fail"])
def test_a_create_that_is_broken_off_leaves_whole_archives_only(project: Path, fault: str) -> None:
    ends = broken_off(project, "create", fault)
    assert len(ends) > 3
    for _, root in ends:
        folder = root / "backups"
        assert all(each["whole"] for each in archives.every(folder))
        created(root, folder)
        assert [name for name in os.listdir(folder) if not archives.NAME.fullmatch(name)] == []


def test_creates_and_restores_killed_at_random(project: Path) -> None:
    """By the command line, as a machine that is switched off would do it."""
    for number in range(40):
        put(project / NOTEBOOKS / f"n{number}.py", f"{number}\n" * 5000)
    before, then, archive = changed(project)
    rolled = random.Random(11)
    for _ in range(8):
        wanted = rolled.choice((["create"], ["restore", str(archive), "--yes"]))
        child = subprocess.Popen([*DAGLAB, "backup", *wanted], cwd=project, stdout=-3, stderr=-3)
        time.sleep(0.1 + rolled.random() * 0.4)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert all(each["whole"] for each in archives.every(project / archives.FOLDER))
        with turns.alone(project):
            assert tree(project) in (before, then)
    restoring.restore(project, archive, NOTEBOOKS)
    assert tree(project) == then


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=tiers.unmeasured)])
def test_a_restore_that_is_stopped_is_undone(project: Path, number: int) -> None:
    before, then, archive = changed(project)
    rolled = random.Random(number)
    for _ in range(3):
        child = subprocess.Popen(
            [*DAGLAB, "backup", "restore", str(archive), "--yes"], cwd=project, stdout=-3, stderr=-3
        )
        time.sleep(0.15 + rolled.random() * 0.25)
        child.send_signal(number)
        code = child.wait(timeout=60)
        assert code in (0, 128 + number, -number)
        assert tree(project) in (before, then)
        assert not journal.unfinished(project)


@pytest.fixture
def small_disk(tmp_path: Path, need: Callable[[object, str], None]) -> Iterator[Path]:
    """A file system with room for 2 MB."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("only root can make a file system that is soon full")
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=False)
    if done.returncode:
        pytest.skip("this machine lets nobody mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk: Path, project: Path) -> None:
    (project / NOTEBOOKS / "large.py").write_bytes(random.Random(1).randbytes(1_500_000))
    with pytest.raises(errors.InvalidInput, match="No space left"):
        created(project, small_disk)
    assert os.listdir(small_disk) == []
    archive = created(project)
    root = small_disk / "project"
    put(root / "daglab.yaml", "version: 1\n# mine\n")
    (root / "filler").write_bytes(b"x" * 400_000)
    with pytest.raises(errors.InvalidInput):
        restoring.restore(root, archive, NOTEBOOKS)
    assert (root / "daglab.yaml").read_text() == "version: 1\n# mine\n"
    assert sorted(os.listdir(root / ".daglab")) == ["dev.lock"]


def test_a_disk_that_fills_up_while_it_is_unpacked(
    small_disk: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / NOTEBOOKS / "large.py").write_bytes(random.Random(1).randbytes(3_000_000))
    archive = created(project)
    root = small_disk / "project"
    put(root / "daglab.yaml", "version: 1\n# mine\n")
    monkeypatch.setattr(restoring, "SPARE_ROOM", -(1 << 30))
    with pytest.raises(errors.InvalidInput, match="No space left"):
        restoring.restore(root, archive, NOTEBOOKS)
    assert (root / "daglab.yaml").read_text() == "version: 1\n# mine\n"
    assert not (root / journal.STAGE).exists()


def test_two_restores_do_not_get_in_each_others_way(project: Path) -> None:
    _, then, archive = changed(project)
    command = [*DAGLAB, "backup", "restore", str(archive), "--yes", "--json"]
    running = [subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE) for _ in range(3)]
    found = [json.loads(each.communicate(timeout=120)[0]) for each in running]
    assert [each["ok"] for each in found] == [True] * 3
    assert sum(each["counts"]["changed"] for each in found) == 3
    assert tree(project) == then


def test_paths_that_a_backup_takes_are_paths_that_it_gives_back(project: Path) -> None:
    """What is found on disk is judged by the very rule that archives are."""
    for path in contents.find(project, NOTEBOOKS)[0]:
        assert contents.problem(path, NOTEBOOKS) is None
    for path in PATHS:
        assert contents.problem(path, NOTEBOOKS)


@pytest.mark.parametrize(("number", "kind"), [(13, errors.InvalidInput), (28, OSError)])
def test_a_file_that_can_not_be_read_and_a_disk_that_is_full(
    number: int, kind: type[Exception], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise OSError(number, os.strerror(number))

    assert contents.copy(project, f"{NOTEBOOKS}/gone.py", io.BytesIO()) is None
    monkeypatch.setattr(contents, "_copied", fail)
    with pytest.raises(kind, match=os.strerror(number)) as caught:
        contents.copy(project, f"{NOTEBOOKS}/a.py", io.BytesIO())
    assert type(caught.value) is kind


def test_a_file_that_does_not_come_to_rest(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents.time, "sleep", lambda _: None)
    real = contents._copied

    def while_it_grows(file: Any, target: Any, end: Any) -> tuple[int, str]:
        found = real(file, target, end)
        with (project / NOTEBOOKS / "a.py").open("a") as other:
            other.write("b = 1\n")
        return found

    monkeypatch.setattr(contents, "_copied", while_it_grows)
    with pytest.raises(errors.Taken, match="is written to all the time"):
        contents.copy(project, f"{NOTEBOOKS}/a.py", io.BytesIO())


@pytest.mark.parametrize("text", ["", "half a line", "x" * (files.BLOCK + 9)])
def test_of_lines_none_is_copied_before_its_end(text: str, project: Path) -> None:
    path = ".daglab/events/2026-02.jsonl"
    (project / path).write_text(text)
    target = io.BytesIO()
    found = contents.copy(project, path, target)
    assert found is not None
    assert (found.size, target.getvalue()) == (0, b"")


def test_a_lock_that_is_held_for_too_long(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "LOCK_SECONDS", 0.1)
    path = ".daglab/events/2026-01.jsonl"
    with json_lines.held(project / path), pytest.raises(errors.Taken, match="for too long"):
        contents.copy(project, path, io.BytesIO())


def test_without_a_folder_of_daglab_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    with turns.alone(tmp_path) as undone:
        assert undone is False
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_somebody_has_put_in_the_way_is_told(project: Path, tmp_path: Path) -> None:
    (project / journal.STAGE).parent.mkdir(parents=True, exist_ok=True)
    (project / journal.STAGE).symlink_to(tmp_path)
    with pytest.raises(errors.InvalidInput, match="can't be removed"):
        journal.clear(project)
    assert (project / journal.STAGE).is_symlink()
    assert journal.has(project, "gone", "0" * 64) is False


# what a person sees


def test_a_folder_of_archives_that_is_a_link_is_not_followed(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (project / ".daglab/backups").symlink_to(elsewhere)
    monkeypatch.chdir(project)
    for words in ("create", "list"):
        done = runners.apart().invoke(backup.command, [words])
        assert isinstance(done.exception, errors.InvalidInput)
        assert done.exception.message == f"{project / '.daglab/backups'} is a link."
    assert not list(elsewhere.iterdir())


def test_archives_and_what_is_wrong_with_them_are_printed(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / NOTEBOOKS / "link.py").symlink_to("/etc/passwd")
    monkeypatch.chdir(project)
    done = runners.apart().invoke(backup.command, ["create", "--output", str(tmp_path / "kept")])
    assert done.exit_code == 0
    assert f"Warning: {NOTEBOOKS}/link.py is left out: it is a link." in done.stderr
    assert "8 files" in done.stderr
    first = Path(done.stdout.strip())
    (first.parent / "daglab-my_shop-20990101T000000Z.tar.gz").write_bytes(first.read_bytes()[:-200])
    done = runners.apart().invoke(backup.command, ["list", "--output", str(first.parent)])
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("daglab-")]
    assert [(row[0], row[-1]) for row in rows] == [
        (first.name, "yes"),
        ("daglab-my_shop-20990101T000000Z.tar.gz", "no"),
    ]
    assert rows[0][-2] == "8"
    [warning] = [line for line in done.stderr.splitlines() if line.startswith("Warning")]
    assert "ends too early" in warning
    assert "There are no archives" not in done.stderr
