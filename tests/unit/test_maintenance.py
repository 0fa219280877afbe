"""The scripts for cron, and the targets of the Makefiles, each run once on a project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daglab.authoring import projects

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SCRIPTS = REPOSITORY / "scripts" / "maintenance"
SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "my shop"
    root.mkdir()
    projects.adopt(root, projects.Wishes(makefile=True))
    (root / ".daglab/cache").mkdir()
    return root


@pytest.fixture
def daglab(tmp_path: Path) -> Path:
    """daglab as a program of one name, as cron calls it; what it is called with is noted beside it."""
    path = tmp_path / "bin" / "daglab"
    path.parent.mkdir()
    path.write_text(
        f'#!/bin/sh\necho "$*" >> "{path}.calls"\n'
        f'if [ -e "{path}.codes" ]; then exit "$(grep "^$1 " "{path}.codes" | cut -d " " -f 2)"; fi\n'
        f'PYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m daglab "$@"\n'
    )
    path.chmod(0o755)
    return path


def script(name: str, *arguments: object, daglab: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(SCRIPTS / name), *map(str, arguments)]
    env = {**os.environ, "DAGLAB": str(daglab)}
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.sh")), ids=lambda path: path.name)
def test_the_shell_understands_it(path: Path, shell: str) -> None:
    subprocess.run([shell, "-n", str(path)], check=True)
    assert os.access(path, os.X_OK)
    done = subprocess.run([shell, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode != 0, f"usage: {path.name}" in done.stderr) == (True, True)


def test_the_crontab_names_scripts_that_are_there() -> None:
    text = (SCRIPTS / "crontab").read_text()
    assert set(re.findall(r"\$SCRIPTS/(\S+)", text)) == {path.name for path in SCRIPTS.glob("*.sh")}
    lines = [line for line in text.splitlines() if line and not line.startswith("#") and "=" not in line.split()[0]]
    assert all(re.match(r"(\S+ +){5}\$SCRIPTS/", line) for line in lines)


def test_clean(project: Path, daglab: Path, tmp_path: Path) -> None:
    old, young = project / ".daglab/cache/old", project / ".daglab/cache/young"
    for path in (old, young):
        path.write_text("x")
    os.utime(old, (0, 0))
    done = script("clean.sh", project, "7d", daglab=daglab, cwd=tmp_path)
    assert (done.returncode, old.exists(), young.exists()) == (0, False, True), done.stderr


def test_backup_keeps_so_many_of_its_own(project: Path, daglab: Path, tmp_path: Path) -> None:
    folder = tmp_path / "to here"
    folder.mkdir()
    names = [f"daglab-my_shop-2025010{number}T000000Z.tar.gz" for number in range(1, 6)]
    others = ["daglab-my_shop-2-20250101T000000Z.tar.gz", "daglab-other-20250101T000000Z.tar.gz", "mine.tar.gz"]
    for name in (*names, *others):
        (folder / name).write_text("x")
    done = script("backup.sh", project, "to here", 3, daglab=daglab, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = Path(done.stdout.strip())
    assert made.parent == folder
    assert {path.name for path in folder.iterdir()} == {made.name, *names[3:], *others}
    assert script("backup.sh", project, folder, "x", daglab=daglab, cwd=tmp_path).returncode == 2
    shutil.rmtree(project / ".daglab")
    (project / ".daglab").symlink_to(tmp_path)
    assert script("backup.sh", project, folder, 1, daglab=daglab, cwd=tmp_path).returncode == 7
    assert made.exists()  # none goes where none was made


def test_export(project: Path, daglab: Path, tmp_path: Path) -> None:
    done = script("export.sh", project, "out", daglab=daglab, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/events.csv").exists()


@pytest.mark.parametrize(
    ("codes", "expected"), [((0, 0, 0), 0), ((7, 5, 4), 7), ((0, 5, 4), 5), ((0, 0, 4), 4), ((7, 0, 0), 7)]
)
def test_validate_goes_on_and_ends_with_the_first_bad_code(
    project: Path, daglab: Path, tmp_path: Path, codes: tuple[int, ...], expected: int
) -> None:
    lines = [f"{name} {code}\n" for name, code in zip(("config", "health", "doctor"), codes, strict=True)]
    Path(f"{daglab}.codes").write_text("".join(lines))
    assert script("validate.sh", project, daglab=daglab, cwd=tmp_path).returncode == expected
    assert Path(f"{daglab}.calls").read_text().splitlines() == ["config validate", "health", "doctor --deep"]


def test_the_makefile_of_a_project_does_the_same(
    project: Path, daglab: Path, need: Callable[[object, str], None]
) -> None:
    need(shutil.which("make"), "make is not installed")
    env = {**os.environ, "PATH": f"{daglab.parent}{os.pathsep}{os.environ['PATH']}"}
    for target in ("clean", "backup", "export"):
        done = subprocess.run(
            ["make", f"maintenance-{target}"], cwd=project, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert (project / "exports/data/summary.md").exists()
    assert len(list((project / ".daglab/backups").iterdir())) == 1
    told = subprocess.run(
        ["make", "-n", "--no-print-directory", "maintenance-validate"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told == "daglab config validate && daglab health && daglab doctor --deep\n"


def test_the_makefile_of_the_repository_goes_to_the_project(need: Callable[[object, str], None]) -> None:
    need(shutil.which("make"), "make is not installed")
    targets = [f"maintenance-{name}" for name in ("clean", "backup", "export", "validate")]
    told = subprocess.run(
        ["make", "-n", "--no-print-directory", "READY=", *targets, "PROJECT=/srv/my shop"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    begin = f'cd "/srv/my shop" && "{REPOSITORY}/.venv/bin/daglab" '
    assert [line.removeprefix(begin) for line in told] == [
        *("clean --archive --yes", "backup create", "backup data --output exports/data"),
        *("config validate", "health", "doctor --deep"),
    ]
