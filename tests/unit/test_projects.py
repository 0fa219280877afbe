"""Projects: names, templates, what is added to one, and that nothing in it is ever written over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daglab import errors, projects

MORE = [".daglab/", "__marimo__/", "exports/"]


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
        ("requirements.txt", "\udcff\udcfe dagster", True),
        ("readme.txt", "dagster", False),
    ],
)
def test_what_is_a_dagster_project(tmp_path: Path, name: str, text: str, is_one: bool) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    assert projects.is_dagster_project(tmp_path) is is_one


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
        (b"", b".daglab/\n__marimo__/\nexports/\n"),
        (b"x\n", b"x\n.daglab/\n__marimo__/\nexports/\n"),
        (b"x", b"x\n.daglab/\n__marimo__/\nexports/\n"),
        (b"x\r\n.daglab/\r\n", b"x\r\n.daglab/\r\n__marimo__/\r\nexports/\r\n"),
        (b"x\r\ny", b"x\r\ny\r\n.daglab/\r\n__marimo__/\r\nexports/\r\n"),
        (b"exports/  \n  .daglab/", b"exports/  \n  .daglab/\n__marimo__/\n"),
        (b"\xff\xfe caf\xe9\n", b"\xff\xfe caf\xe9\n.daglab/\n__marimo__/\nexports/\n"),
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
