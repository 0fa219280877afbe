"""Which notebooks a command line names, and where each of them goes."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import pytest

from daglab import errors
from daglab.migrating import cells, destinations, sources


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Notebooks, and what looks like some and is none of ours."""
    for name in (
        "b.ipynb",
        "a.ipynb",
        ".hidden.ipynb",
        "notes.txt",
        "deep/c.ipynb",
        ".git/d.ipynb",
        "node_modules/e.ipynb",
        "env/f.ipynb",
        "env/pyvenv.cfg",
        "empty/readme.md",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "folder.ipynb").mkdir()
    return tmp_path


def source(path: Path, below: str | None = None) -> sources.Source:
    return sources.Source(path, PurePath(below or path.name))


def test_a_folder_s_notebooks_are_found_by_name_and_those_below_when_asked_for(tree: Path) -> None:
    assert [str(each.below) for each in sources.find([tree], recursive=False)] == ["a.ipynb", "b.ipynb"]
    found = sources.find([tree], recursive=True)
    assert [str(each.below) for each in found] == ["a.ipynb", "b.ipynb", "deep/c.ipynb"]
    assert found[2].path == tree / "deep" / "c.ipynb"


def test_a_notebook_that_is_named_twice_is_one_with_its_first_place(tree: Path) -> None:
    found = sources.find([tree / "deep" / "c.ipynb", tree / "a.ipynb", tree], recursive=True)
    assert [str(each.below) for each in found] == ["c.ipynb", "a.ipynb", "b.ipynb"]


@pytest.mark.parametrize(
    ("name", "recursive", "code", "message", "hint"),
    [
        ("none.ipynb", False, 3, "There is no notebook", "folder's name"),
        ("x*.ipynb", False, 3, "No file matches", "folder's name"),
        ("deep/b.py", False, 7, "is Python already", "marimo convert"),
        ("pipe", False, 7, "no ordinary file", "Name an .ipynb file"),
        ("empty", True, 3, "no .ipynb file in", "another folder"),
        ("empty", False, 3, "no .ipynb file in", "--recursive"),
    ],
)
def test_what_names_no_notebook_is_refused(
    tree: Path, name: str, recursive: bool, code: int, message: str, hint: str
) -> None:
    (tree / "deep" / "b.py").write_text("")
    os.mkfifo(tree / "pipe")
    with pytest.raises(errors.DaglabError) as refused:
        sources.find([tree / name], recursive=recursive)
    assert refused.value.exit_code == code
    assert message in refused.value.message
    assert hint in (refused.value.hint or "")


def test_a_folder_that_can_t_be_read_is_told_and_not_passed_over(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)  # root may read every folder
    with pytest.raises(errors.InvalidInput, match=r"deep can't be read: Permission denied"):
        sources.find([tree], recursive=True)


def test_each_notebook_goes_beside_its_source_or_keeps_its_place_below_the_folder(tree: Path) -> None:
    found = sources.find([tree], recursive=True)
    assert [each.path for each in destinations.plan(found, None, [])] == [
        tree / "a.py",
        tree / "b.py",
        tree / "deep" / "c.py",
    ]
    moved = destinations.plan(found, tree / "new", [])
    assert [each.path.relative_to(tree / "new").as_posix() for each in moved] == ["a.py", "b.py", "deep/c.py"]
    assert {each.folder for each in moved} == {tree / "new"}


@pytest.mark.parametrize("name", ["pandas", "marimo", "daglab", "ours", "__init__"])
def test_a_notebook_does_not_take_the_name_of_a_module(tmp_path: Path, name: str) -> None:
    named = source(tmp_path / f"{name}.ipynb")
    (place,) = destinations.plan([named], None, ["ours"])
    assert (place.path.name, place.avoided) == (f"{name}_notebook.py", name)
    with pytest.raises(errors.InvalidInput, match="would hide the Python module"):
        destinations.plan([named], tmp_path / f"{name}.py", ["ours"])


def test_one_notebook_may_name_its_file_and_several_may_not(tree: Path) -> None:
    (place,) = destinations.plan([source(tree / "a.ipynb")], tree / "out" / "named.py", [])
    assert place == destinations.Place(tree / "out" / "named.py", tree / "out")
    with pytest.raises(errors.WrongUsage, match="there are 2 notebooks"):
        destinations.plan([source(tree / "a.ipynb"), source(tree / "b.ipynb")], tree / "named.py", [])


@pytest.mark.parametrize(
    ("to", "kind"),
    [("notes.txt", errors.InvalidInput), ("new.html", errors.WrongUsage), ("new.ipynb", errors.WrongUsage)],
)
def test_what_is_no_place_for_notebooks_is_refused(tree: Path, to: str, kind: type[errors.DaglabError]) -> None:
    with pytest.raises(kind):
        destinations.plan([source(tree / "a.ipynb")], tree / to, [])


def test_two_notebooks_never_share_a_place_and_none_takes_another_s(tree: Path) -> None:
    one, other = source(tree / "a.ipynb"), source(tree / "deep" / "a.ipynb")
    with pytest.raises(errors.InvalidInput, match=r"would both be .*new/a\.py"):
        destinations.plan([one, other], tree / "new", [])
    (tree / "a.py").symlink_to(tree / "b.ipynb")
    with pytest.raises(errors.InvalidInput, match="is a notebook that is to be migrated"):
        destinations.plan([one, source(tree / "b.ipynb")], None, [])


@pytest.mark.parametrize("name", ["/etc/passwd", "../up.png", "a/../../up.png", "", "a\0b"])
def test_a_file_that_goes_with_a_notebook_stays_beside_it(tmp_path: Path, name: str) -> None:
    place = destinations.Place(tmp_path / "a.py", tmp_path)
    assert destinations.beside(place, "files/a.png") == tmp_path / "files" / "a.png"
    with pytest.raises(errors.InvalidInput, match="would lie elsewhere"):
        destinations.beside(place, name)


def test_nothing_is_written_through_a_link_or_into_what_is_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    place = destinations.Place(folder / "a.py", folder)
    destinations.check_inside(place, folder / "a.py")
    (folder / "out").symlink_to(tmp_path)
    with pytest.raises(errors.InvalidInput, match="by a link"):
        destinations.check_inside(place, folder / "out" / "a.py")
    os.mkfifo(folder / "pipe")
    with pytest.raises(errors.InvalidInput, match="not an ordinary file"):
        destinations.check_inside(place, folder / "pipe")


def test_two_notebooks_may_write_the_same_file_and_not_two_different_ones(tmp_path: Path) -> None:
    one, other, shared = tmp_path / "a.ipynb", tmp_path / "b.ipynb", tmp_path / "p.png"
    destinations.check_twice([(one, {shared: b"x"}), (other, {shared: b"x"})])
    with pytest.raises(errors.InvalidInput, match="would both write"):
        destinations.check_twice([(one, {shared: b"x"}), (other, {shared: b"y"})])


def test_the_modules_that_a_notebook_imports() -> None:
    made = (
        cells.Cell("import a.b, c as d\ntry:\n    from e.f import g\nexcept ImportError:\n    from . import h"),
        cells.Cell("import no", kind="markdown"),
        cells.Cell("import ("),
    )
    draft = cells.Draft(cells.Jupyter(Path("x.ipynb"), "4.5", ()), made)
    assert destinations.imports(draft) == {"a", "c", "e"}
