"""Scaffolding: where a notebook goes, what it is called, and that a name in it is data and never code."""

from __future__ import annotations

import ast
import os
import shlex
import threading
from pathlib import Path

import pytest

from daglab import config, errors
from daglab.commands import scaffold

HOSTILE = [
    'x"); import os; os.system("true',
    "x'); import os #",
    '"""',
    "__class__",
    "{{ 1 }}",
    "{% raw %}",
    "{# x #}",
    "back\\slash\\",
    "\\N{BULLET}",
    "line\nbreak\r\n",
    "tab\tnull\x01bell\x07",
    "turned\u202earound\u2066",
    "größe <b>&",
    "東京",
    "$(touch x)`touch y`",
    "f{1+1}",
    "sep\u2028arated\x85",
    "--help",
]


def asset(*key: str) -> scaffold.Target:
    return scaffold.Target((key,))


def names(tree: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def assigned(tree: ast.Module, name: str) -> object:
    [found] = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name
    ]
    return ast.literal_eval(found)


def shape(tree: ast.Module) -> str:
    """The code without its constants: a name that got into it as code shows here."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_asset_key_is_data(name: str) -> None:
    key = (name, "x", name)
    text = scaffold.notebook(scaffold.Target((key,)), "nb/a b.py")
    tree = ast.parse(text)
    assert assigned(tree, "ASSET") == list(key)
    command = shlex.split(str(assigned(tree, "EXPORT")))
    assert command == ["daglab", "export", "nb/a b.py", "--attach", f"asset:{name}/x/{name}"]
    assert shape(tree) == shape(ast.parse(scaffold.notebook(asset("a", "b", "c"), "nb/a b.py")))
    assert all(c.isprintable() or c == "\n" for c in text)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_job_name_is_data(name: str) -> None:
    tree = ast.parse(scaffold.notebook(scaffold.Target(job=name), "nb/a.py"))
    assert assigned(tree, "JOB") == name
    assert shlex.split(str(assigned(tree, "EXPORT"))) == ["daglab", "export", "nb/a.py"]
    assert shape(tree) == shape(ast.parse(scaffold.notebook(scaffold.Target(job="job"), "nb/a.py")))


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_path_is_data(path: str) -> None:
    tree = ast.parse(scaffold.notebook(scaffold.Target(job="job"), path))
    assert shlex.split(str(assigned(tree, "EXPORT"))) == ["daglab", "export", path]


@pytest.mark.parametrize(
    ("path", "folder"),
    [("a.py", "mo.notebook_dir())"), ("nb/a.py", "mo.notebook_dir().parents[0])"), ("x/y/z/a.py", ".parents[2])")],
)
def test_the_notebook_knows_where_its_project_is(path: str, folder: str) -> None:
    text = scaffold.notebook(asset("a"), path)
    assert f"directory={folder}" in text.replace("directory=mo.notebook_dir().parents[2])", "directory=.parents[2])")


def test_an_asset_and_a_job_differ_where_they_must() -> None:
    for_asset, job = (ast.parse(scaffold.notebook(each, "a.py")) for each in (asset("x"), scaffold.Target(job="x")))
    assert "ASSET" in names(for_asset) - names(job)
    assert "JOB" in names(job) - names(for_asset)
    attributes = {node.attr for node in ast.walk(job) if isinstance(node, ast.Attribute)}
    assert {"find_job", "run_job"} <= attributes
    assert not {"find_asset", "run_assets"} & attributes


@pytest.mark.parametrize(
    ("key", "job", "name"),
    [
        (("orders",), None, "asset_orders.py"),
        (("src", "customers"), None, "asset_src__customers.py"),
        (None, "json", "job_json.py"),
        (("odd-key", "v1.2"), None, "asset_odd_key__v1_2.py"),
        (("src_customers",), None, "asset_src_customers.py"),
        (("größe <b>&",), None, "asset_größe_b.py"),
        (("..", "..", "etc"), None, "asset_etc.py"),
        (None, "../../x", "job_x.py"),
        (None, "a\x00b\u202ec\n", "job_a_b_c.py"),
        (("<>",), None, "asset_unnamed.py"),
        (("__class__",), None, "asset_class.py"),
    ],
)
def test_file_names(key: tuple[str, ...] | None, job: str | None, name: str) -> None:
    assert scaffold.file_name(scaffold.Target((key,) if key else (), job)) == name


def test_the_file_name_of_several_assets() -> None:
    assert scaffold.file_name(scaffold.Target((("a", "b"), ("c",), ("d",)))) == "asset_a__b_and_2_more.py"


@pytest.mark.parametrize("letter", ["x", "ß", "東", "🦊a"])
def test_a_long_key_has_a_file_name_that_fits(tmp_path: Path, letter: str) -> None:
    path = scaffold.write(project(tmp_path), asset(letter * 300))[0]
    assert path.is_file()
    assert path.name.isprintable()


def project(root: Path, **settings: str) -> config.Config:
    root.mkdir(exist_ok=True)
    lines = ["version: 1", *(f"{key}: {value}" for key, value in settings.items())]
    (root / "daglab.yaml").write_text("\n".join(lines) + "\n")
    return config.load(directory=root, environ={})


def test_write_makes_the_folder(tmp_path: Path) -> None:
    path = scaffold.write(project(tmp_path), asset("src", "customers"))[0]
    assert path == tmp_path / "dagster" / "notebooks" / "asset_src__customers.py"
    assert "daglab export dagster/notebooks/asset_src__customers.py" in path.read_text()
    assert os.listdir(path.parent) == [path.name]
    assert not (tmp_path / "dagster" / "__init__.py").exists()


def test_a_notebook_that_is_there_is_left_alone(tmp_path: Path) -> None:
    settings = project(tmp_path)
    path, _ = scaffold.write(settings, asset("orders"))
    path.write_text("mine")
    with pytest.raises(errors.Taken, match="is there already") as caught:
        scaffold.write(settings, asset("orders"))
    assert (caught.value.exit_code, bool(caught.value.hint)) == (8, True)
    assert path.read_text() == "mine"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("notebooks_dir", ["../out", "nb/../../out", "/tmp/daglab-out", "link", "link/deeper"])
def test_a_notebooks_folder_outside_of_the_project_is_refused(tmp_path: Path, notebooks_dir: str) -> None:
    out = tmp_path / "elsewhere"
    out.mkdir()
    settings = project(tmp_path / "project", notebooks_dir=notebooks_dir)
    (tmp_path / "project" / "link").symlink_to(out)
    with pytest.raises(errors.InvalidInput, match="outside of the project") as caught:
        scaffold.write(settings, asset("orders"))
    assert "notebooks_dir" in (caught.value.hint or "")
    assert os.listdir(out) == []
    assert not (tmp_path / "out").exists()
    assert not Path("/tmp/daglab-out").exists()


def test_two_at_once_make_one_notebook(tmp_path: Path) -> None:
    settings, outcomes, start = project(tmp_path), [], threading.Barrier(4)

    def write() -> None:
        start.wait()
        try:
            scaffold.write(settings, asset("orders"))
            outcomes.append("written")
        except errors.Taken:
            outcomes.append("taken")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["taken", "taken", "taken", "written"]
    path = tmp_path / "dagster" / "notebooks" / "asset_orders.py"
    assert path.read_text() == scaffold.notebook(asset("orders"), "dagster/notebooks/asset_orders.py")
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_title_is_data(title: str) -> None:
    text = scaffold.notebook(asset("a"), "a.py", title)
    assert shape(ast.parse(text)) == shape(ast.parse(scaffold.notebook(asset("a"), "a.py", "Plain")))
    assert "{" + "{" not in text.replace(title, "")


def test_a_notebook_for_several_assets() -> None:
    target = scaffold.Target((("a", "b"), ('c"',)))
    tree = ast.parse(scaffold.notebook(target, "nb/x.py"))
    assert assigned(tree, "ASSETS") == [["a", "b"], ['c"']]
    assert "ASSET" not in names(tree)
    assert "--attach" not in str(assigned(tree, "EXPORT"))


def test_force_replaces_and_nothing_else_does(tmp_path: Path) -> None:
    settings = project(tmp_path)
    path, replaced = scaffold.write(settings, asset("orders"), name="mine.py", force=True)
    assert (path.name, replaced) == ("mine.py", False)
    path.write_text("old")
    with pytest.raises(errors.Taken):
        scaffold.write(settings, asset("orders"), name="mine.py")
    assert scaffold.write(settings, asset("orders"), name="mine.py", title="New", force=True) == (path, True)
    assert 'app_title="New"' in path.read_text()


@pytest.mark.parametrize(
    "name", ["x", "x.txt", "../x.py", "a/b.py", "/tmp/x.py", ".x.py", "-x.py", "", "json.py", "marimo.py", ".py"]
)
def test_a_name_that_is_no_notebook_s(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        scaffold.write(project(tmp_path), asset("orders"), name=name)
    assert caught.value.hint
    assert os.listdir(tmp_path) == ["daglab.yaml"]
