"""Projects: names, templates, what is added to one, and that nothing in it is ever written over."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import errors
from daglab.authoring import projects
from daglab.settings import config

MORE = [".daglab/", "__marimo__/", "/exports/"]


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def changed(changes: list[projects.Change]) -> dict[str, str]:
    return {change.path: change.what for change in changes if change.what != "kept"}


# --- names


@pytest.mark.parametrize(
    ("name", "package"),
    [("shop", "shop"), ("shop-data", "shop_data"), ("Zoo2", "zoo2"), ("x", "x"), ("a" * 100, "a" * 100)],
)
def test_a_good_name(name: str, package: str) -> None:
    assert projects.package_name(name) == package


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "../x", "a/b", "/abs", "-x", "_x", "x-", "2x", "sho p", "größe", "x\n", "x;y", "a" * 101],
)
def test_no_name(name: str) -> None:
    with pytest.raises(errors.InvalidInput, match="can't be a project's name") as caught:
        projects.package_name(name)
    assert "letter" in (caught.value.hint or "")
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("name", ["class", "json", "Json", "dagster", "marimo", "tests", "data", "yaml", "typing"])
def test_a_name_that_hides_something(name: str) -> None:
    with pytest.raises(errors.InvalidInput, match=r"hide|Python's own") as caught:
        projects.package_name(name)
    assert f"{name}-project" in (caught.value.hint or "")
    assert projects.package_name(f"{name}-project")


# --- a new project


def test_bootstrap_writes_the_template_and_what_daglab_needs(tmp_path: Path) -> None:
    root, changes = projects.bootstrap(tmp_path, "shop-data")
    assert root == tmp_path / "shop-data"
    assert changes[0] == projects.Change("daglab.yaml", "created")
    files = tree(root)
    assert {change.path for change in changes if not change.path.endswith("/")} == set(files)
    assert b"shop_data" in files["shop_data/definitions.py"]
    assert (root / "dagster" / "notebooks").is_dir()
    assert (root / ".daglab").is_dir()
    assert not [path for path in files if path.endswith(".j2") or "__package__" in path]


def test_bootstrap_again_changes_nothing(tmp_path: Path) -> None:
    root, _ = projects.bootstrap(tmp_path, "shop")
    before = tree(root)
    assert changed(projects.bootstrap(tmp_path, "shop")[1]) == {}
    assert tree(root) == before


def test_a_half_made_project_is_completed_and_the_rest_kept(tmp_path: Path) -> None:
    whole = tree(projects.bootstrap(tmp_path / "whole", "shop")[0])
    root, _ = projects.bootstrap(tmp_path, "shop")
    (root / "shop" / "jobs.py").unlink()
    (root / ".gitignore").unlink()
    (root / "shop" / "assets.py").write_text("mine")
    (root / "own.txt").write_text("mine")
    assert changed(projects.bootstrap(tmp_path, "shop")[1]) == {"shop/jobs.py": "created", ".gitignore": "created"}
    assert tree(root) == {**whole, "shop/assets.py": b"mine", "own.txt": b"mine"}


def test_a_crash_after_the_first_file_is_a_half_made_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = projects.files.write_new, []

    def crashes(path: Path, text: str) -> None:
        if written:
            raise KeyboardInterrupt
        real(path, text)
        written.append(path.name)

    with monkeypatch.context() as patch:
        patch.setattr(projects.files, "write_new", crashes)
        with pytest.raises(KeyboardInterrupt):
            projects.bootstrap(tmp_path, "shop")
    assert written == ["daglab.yaml"]
    root, _ = projects.bootstrap(tmp_path, "shop")
    assert tree(root) == tree(projects.bootstrap(tmp_path / "whole", "shop")[0])


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "notes.txt").write_text("mine")
    with pytest.raises(errors.Taken, match="no daglab project") as caught:
        projects.bootstrap(tmp_path, "shop")
    assert "daglab init" in (caught.value.hint or "")
    assert tree(tmp_path / "shop") == {"notes.txt": b"mine"}


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("mine")
    with pytest.raises(errors.Taken):
        projects.bootstrap(tmp_path, "shop")
    assert (tmp_path / "shop").read_text() == "mine"


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    assert projects.bootstrap(tmp_path, "shop")[1][0].what == "created"


# --- an existing project


@pytest.mark.parametrize(
    ("name", "text", "is_one"),
    [
        ("workspace.yaml", "", True),
        ("dagster.yaml", "", True),
        ("daglab.yaml", "", True),
        ("pyproject.toml", 'dependencies = ["dagster>=1.5"]', True),
        ("pyproject.toml", "[tool.dagster]\nmodule_name = 'x'", True),
        ("setup.py", "install_requires=['dagster']", True),
        ("requirements.txt", "dagster==1.8\n", True),
        ("requirements.txt", "dagsterish\n", False),
        ("pyproject.toml", "dependencies = []", False),
        ("requirements.txt", "\udcff\udcfe\ndagster", True),
        ("requirements-dev.txt", "-r x\ndagster-webserver>=1.5  # ours\n", True),
        ("requirements.txt", "# dagster is next\nrequests\n", False),
        ("pyproject.toml", "[tool.dg]\ndirectory_type = 'project'", True),
        ("pyproject.toml", "[tool.dg.project]\nroot_module = 'x'", True),
        ("pyproject.toml", '[project]\nname = "not-dagster"\ndescription = "no dagster"', False),
        ("pyproject.toml", '[tool.poetry.dependencies]\ndagster = "^1.5"', True),
        ("pyproject.toml", "dependencies = ['dagster-webserver[notebook] >=1.8',]", True),
        ("pyproject.toml", "# [tool.dagster]\n", False),
        ("setup.cfg", "[options]\ninstall_requires =\n    dagster>=1.5\n", True),
        ("dg.toml", "", True),
        ("readme.txt", "dagster", False),
    ],
)
def test_what_is_a_dagster_project(tmp_path: Path, name: str, text: str, is_one: bool) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    assert (projects.marker(tmp_path) is not None) is is_one


def test_adopt_adds_what_is_missing_once(tmp_path: Path) -> None:
    expected = {
        "daglab.yaml": "created",
        "dagster/notebooks/": "created",
        ".daglab/": "created",
        ".gitignore": "created",
    }
    assert changed(projects.adopt(tmp_path)) == expected
    assert changed(projects.adopt(tmp_path)) == {}


def test_adopt_takes_the_notebooks_folder_of_the_config(tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("notebooks_dir: nb\n")
    assert "nb/" in changed(projects.adopt(tmp_path))
    assert (tmp_path / "daglab.yaml").read_text() == "notebooks_dir: nb\n"
    assert not (tmp_path / "dagster").exists()


@pytest.mark.parametrize("notebooks_dir", ["../out", "/tmp/daglab-out", "link/nb"])
def test_adopt_refuses_a_notebooks_folder_outside(tmp_path: Path, notebooks_dir: str) -> None:
    root, out = tmp_path / "project", tmp_path / "elsewhere"
    root.mkdir()
    out.mkdir()
    (root / "link").symlink_to(out)
    (root / "daglab.yaml").write_text(f"notebooks_dir: {notebooks_dir}\n")
    with pytest.raises(errors.InvalidInput, match="outside of the project") as caught:
        projects.adopt(root)
    assert "notebooks_dir" in (caught.value.hint or "")
    assert os.listdir(out) == []
    assert not (tmp_path / "out").exists()
    assert not Path("/tmp/daglab-out").exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b".daglab/\n__marimo__/\n/exports/\n"),
        (b"x\n", b"x\n.daglab/\n__marimo__/\n/exports/\n"),
        (b"x", b"x\n.daglab/\n__marimo__/\n/exports/\n"),
        (b"x\r\n.daglab/\r\n", b"x\r\n.daglab/\r\n__marimo__/\r\n/exports/\r\n"),
        (b"x\r\ny", b"x\r\ny\r\n.daglab/\r\n__marimo__/\r\n/exports/\r\n"),
        (b"exports/  \n  .daglab/", b"exports/  \n  .daglab/\n__marimo__/\n"),
        (b"\xff\xfe caf\xe9\n", b"\xff\xfe caf\xe9\n.daglab/\n__marimo__/\n/exports/\n"),
    ],
)
def test_gitignore_is_extended_byte_for_byte(tmp_path: Path, before: bytes, after: bytes) -> None:
    (tmp_path / ".gitignore").write_bytes(before)
    (tmp_path / ".gitignore").chmod(0o640)
    projects.adopt(tmp_path)
    assert (tmp_path / ".gitignore").read_bytes() == after
    projects.adopt(tmp_path)
    assert (tmp_path / ".gitignore").read_bytes() == after
    assert (tmp_path / ".gitignore").stat().st_mode & 0o777 == 0o640


def test_a_gitignore_that_leads_out_of_the_project(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "project", tmp_path / "theirs"
    root.mkdir()
    elsewhere.write_text("theirs\n")
    (root / ".gitignore").symlink_to(elsewhere)
    with pytest.raises(errors.InvalidInput, match="outside of the project") as caught:
        projects.adopt(root)
    assert all(line in (caught.value.hint or "") for line in MORE)
    assert elsewhere.read_text() == "theirs\n"


def test_a_gitignore_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").mkdir()
    with pytest.raises(errors.InvalidInput, match="can't be read") as caught:
        projects.adopt(tmp_path)
    assert all(line in (caught.value.hint or "") for line in MORE)


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".daglab").write_text("mine")
    with pytest.raises(errors.InvalidInput) as caught:
        projects.adopt(tmp_path)
    assert caught.value.hint
    assert (tmp_path / ".daglab").read_text() == "mine"


# --- what is asked for


def wishes(**more: Any) -> projects.Wishes:
    values = {"notebooks_dir": "nb", "dagster.port": 4001, "marimo.port": 4002}
    return projects.Wishes(values, **more)


def test_dry_tells_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    root, changes = projects.bootstrap(tmp_path, "shop", wishes=wishes(makefile=True, dry=True))
    assert not root.exists()
    assert changed(changes) == changed(projects.bootstrap(tmp_path, "shop", wishes=wishes(makefile=True))[1])
    before = tree(root)
    (root / "README.md").write_text("mine")
    told = changed(projects.bootstrap(tmp_path, "shop", wishes=wishes(makefile=True, force=True, dry=True))[1])
    assert told == {"README.md": "replaced"}
    assert tree(root) == {**before, "README.md": b"mine"}


def test_ports_and_folder_stand_in_the_config(tmp_path: Path) -> None:
    root, _ = projects.bootstrap(tmp_path, "shop", wishes=wishes())
    settings = config.load(directory=root, environ={})
    assert (settings.notebooks_dir, settings.dagster.port, settings.marimo.port) == ("nb", 4001, 4002)
    assert (root / "nb").is_dir()
    assert not (root / "dagster").exists()


def test_a_config_that_says_otherwise_is_kept_and_with_force_changed(tmp_path: Path) -> None:
    text = "# ours\ndagster:\n  port: 1  # why\n  host: h\n"
    (tmp_path / "daglab.yaml").write_text(text)
    assert "daglab.yaml" not in changed(projects.adopt(tmp_path, wishes()))
    assert (tmp_path / "daglab.yaml").read_text() == text
    assert projects.differing(tmp_path, wishes()) == {
        "notebooks_dir": "dagster/notebooks",
        "dagster.port": 1,
        "marimo.port": 3010,
    }
    assert changed(projects.adopt(tmp_path, wishes(force=True)))["daglab.yaml"] == "replaced"
    assert projects.differing(tmp_path, wishes()) == {}
    new = (tmp_path / "daglab.yaml").read_text()
    assert "# ours\ndagster:\n  port: 4001  # why\n  host: h\n" in new
    assert changed(projects.adopt(tmp_path, wishes(force=True))) == {}


@pytest.mark.parametrize("link", ["README.md", "daglab.yaml", "shop"])
def test_force_does_not_write_through_a_link_out_of_the_project(tmp_path: Path, link: str) -> None:
    root, outside = tmp_path / "shop", tmp_path / "outside"
    projects.bootstrap(tmp_path, "shop", wishes=wishes())
    (root / link).rename(outside)
    for file in [outside] if outside.is_file() else outside.iterdir():
        file.write_text("version: 1  # mine\n")
    before = outside.read_bytes() if outside.is_file() else tree(outside)
    (root / link).symlink_to(outside)
    with pytest.raises(errors.InvalidInput, match="outside of the project"):
        projects.bootstrap(tmp_path, "shop", wishes=wishes(force=True))
    assert (outside.read_bytes() if outside.is_file() else tree(outside)) == before


def test_force_writes_the_template_s_files_anew_and_no_others(tmp_path: Path) -> None:
    root, _ = projects.bootstrap(tmp_path, "shop", template="standard")
    whole = tree(root)
    (root / "shop" / "assets.py").write_text("edited")
    mine = root / "dagster" / "notebooks" / "mine.py"
    mine.write_text("mine")
    assert changed(projects.bootstrap(tmp_path, "shop", template="standard")[1]) == {}
    done = changed(projects.bootstrap(tmp_path, "shop", template="standard", wishes=projects.Wishes(force=True))[1])
    assert done == {"shop/assets.py": "replaced"}
    assert tree(root) == {**whole, "dagster/notebooks/mine.py": b"mine"}


def test_a_makefile_is_extended_where_its_targets_are_free(tmp_path: Path) -> None:
    makefile = tmp_path / "Makefile"
    makefile.write_bytes(b"test:\r\n\tpytest")
    assert changed(projects.adopt(tmp_path, wishes(makefile=True)))["Makefile"] == "extended"
    text = makefile.read_bytes()
    assert text.startswith(b"test:\r\n\tpytest\r\n\r\n# daglab")
    assert b"\n" not in text.replace(b"\r\n", b"")
    assert b"marimo edit --port 4002 nb\r\n" in text
    assert changed(projects.adopt(tmp_path, wishes(makefile=True))) == {}
    makefile.write_text("discover :\n\ttrue\n")
    assert changed(projects.adopt(tmp_path, wishes(makefile=True))) == {}


def test_make_takes_the_makefile(tmp_path: Path, need: Callable[[object, str], None]) -> None:
    need(shutil.which("make"), "make is not installed")
    projects.adopt(tmp_path, projects.Wishes({"notebooks_dir": "a b$(x)"}, makefile=True))
    done = subprocess.run(
        ["make", "-n", "notebooks", "dagster-dev"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "--port 3010" in done.stdout
