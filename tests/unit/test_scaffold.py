"""Scaffolding: where a notebook goes, what it is called, and that a name in it is data and never code."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import shlex
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from daglab import errors
from daglab.authoring import definitions, notebook_templates, scaffolds
from daglab.commands import scaffold
from daglab.deployment import entities, selection
from daglab.settings import config

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


ASSET = {
    **dict.fromkeys(("group", "description", "partitions")),
    **dict.fromkeys(("kinds", "owners", "dimensions", "jobs", "dependencies"), ()),
    **{"key": (), "tags": {}, "executable": True, "repository": "r", "location": "l"},
}
PLAIN = scaffolds.Wishes()
MINIMAL = scaffolds.Wishes(template="minimal")


def asset(*key: str) -> scaffolds.Target:
    return scaffolds.Target((key,))


def notebook(target: scaffolds.Target, path: str, wishes: scaffolds.Wishes = MINIMAL) -> str:
    return scaffolds.notebook(Path(), target, path, wishes)


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
    text = notebook(asset(*key), "nb/a b.py")
    tree = ast.parse(text)
    expression = asset(*key).expression
    assert assigned(tree, "SELECTION" if expression else "KEYS") == (expression or [list(key)])
    command = shlex.split(f"{assigned(tree, 'EXPORT')} {assigned(tree, 'ATTACH')}")
    assert command == ["daglab", "export", "nb/a b.py", "--attach", f"asset:{name}/x/{name}"]
    assert all(c.isprintable() or c == "\n" for c in text)
    plain = asset("a b", "c") if expression else asset('"', "x", "y")
    assert shape(tree) == shape(ast.parse(notebook(plain, "nb/a b.py")))


@pytest.mark.long
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("template", ["default", "minimal", "ml", "asset-group"])
def test_hostile_names_are_data_in_every_template(name: str, template: str) -> None:
    """The code is the same, but for its constants: in titles, selections, modules and samples."""
    wishes = scaffolds.Wishes(template=template, title=name, module=name, sample=[{name: name}])
    made = (
        notebook(scaffolds.Target(job=name), "nb/a.py", wishes),
        notebook(scaffolds.Target(selection=name), "nb/a.py", wishes),
        notebook(asset('"', name), "nb/a.py", wishes),
    )
    assert [shape(ast.parse(text)) for text in made] == plain_shapes(template)


@functools.cache
def plain_shapes(template: str) -> list[str]:
    wishes = scaffolds.Wishes(template=template, title="x", module="x", sample=[{"x": "x"}])
    targets = (scaffolds.Target(job="x"), scaffolds.Target(selection="x"), asset('"', "x"))
    return [shape(ast.parse(notebook(target, "nb/a.py", wishes))) for target in targets]


@pytest.mark.parametrize(
    ("key", "expression"),
    [
        (("orders",), "key:orders"),
        (("src", "customers"), "key:src/customers"),
        (("odd-key", "v1.2"), 'key:"odd-key/v1.2"'),
        (("größe <b>&",), 'key:"größe <b>&"'),
        (("and",), 'key:"and"'),
        (("1st",), 'key:"1st"'),
        (('quo"te',), None),
        (("star*",), None),
        (("back\\slash",), None),
    ],
)
def test_a_key_in_dagsters_language(key: tuple[str, ...], expression: str | None) -> None:
    """Read as Dagster reads it, it holds that asset and no other."""
    assert asset(*key).expression == expression
    if expression:
        others = [key, ("x", *key), (*key, "x"), ("x",)]
        graph = [entities.Asset(**{**ASSET, "key": each}) for each in others]
        assert [found.key for found in selection.select(selection.read(expression), graph)] == [key]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_job_name_is_data(name: str) -> None:
    tree = ast.parse(notebook(scaffolds.Target(job=name), "nb/a.py"))
    assert assigned(tree, "JOB") == name
    assert shlex.split(str(assigned(tree, "EXPORT"))) == ["daglab", "export", "nb/a.py"]
    assert shape(tree) == shape(ast.parse(notebook(scaffolds.Target(job="job"), "nb/a.py")))


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_path_is_data(path: str) -> None:
    tree = ast.parse(notebook(scaffolds.Target(job="job"), path))
    assert shlex.split(str(assigned(tree, "EXPORT"))) == ["daglab", "export", path]


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("a.py", "Path(__file__).parents[0]"),
        ("nb/a.py", "Path(__file__).parents[1]"),
        ("x/y/z/a.py", "Path(__file__).parents[3]"),
    ],
)
def test_the_notebook_knows_where_its_project_is(path: str, folder: str) -> None:
    assert f"    PROJECT = {folder}\n" in notebook(asset("a"), path)


def test_an_asset_and_a_job_differ_where_they_must() -> None:
    for_asset, job = (ast.parse(notebook(each, "a.py", PLAIN)) for each in (asset("x"), scaffolds.Target(job="x")))
    assert "SELECTION" in names(for_asset) - names(job)
    assert "JOB" in names(job) - names(for_asset)
    attributes = {node.attr for node in ast.walk(job) if isinstance(node, ast.Attribute)}
    assert {"find_job", "run_job"} <= attributes
    assert not {"choose_assets", "find_assets", "run_assets"} & attributes


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
    assert scaffolds.file_name(scaffolds.Target((key,) if key else (), job)) == name


def test_the_file_name_of_several_assets() -> None:
    assert scaffolds.file_name(scaffolds.Target((("a", "b"), ("c",), ("d",)))) == "asset_a__b_and_2_more.py"


@pytest.mark.parametrize("letter", ["x", "ß", "東", "🦊a"])
def test_a_long_key_has_a_file_name_that_fits(tmp_path: Path, letter: str) -> None:
    path = scaffolds.write(project(tmp_path), asset(letter * 300), PLAIN)[0]
    assert path.is_file()
    assert path.name.isprintable()


def project(root: Path, **settings: str) -> config.Config:
    root.mkdir(exist_ok=True)
    lines = ["version: 1", *(f"{key}: {value}" for key, value in settings.items())]
    (root / "daglab.yaml").write_text("\n".join(lines) + "\n")
    return config.load(directory=root, environ={})


def test_write_makes_the_folder(tmp_path: Path) -> None:
    path = scaffolds.write(project(tmp_path), asset("src", "customers"), PLAIN)[0]
    assert path == tmp_path / "dagster" / "notebooks" / "asset_src__customers.py"
    assert 'ATTACH = "asset:src/customers"' in path.read_text()
    assert os.listdir(path.parent) == [path.name]
    assert not (tmp_path / "dagster" / "__init__.py").exists()


def test_a_notebook_that_is_there_is_left_alone(tmp_path: Path) -> None:
    settings = project(tmp_path)
    path = scaffolds.write(settings, asset("orders"), PLAIN)[0]
    path.write_text("mine")
    with pytest.raises(errors.Taken, match="is there already") as caught:
        scaffolds.write(settings, asset("orders"), PLAIN)
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
        scaffolds.write(settings, asset("orders"), PLAIN)
    assert "notebooks_dir" in (caught.value.hint or "")
    assert os.listdir(out) == []
    assert not (tmp_path / "out").exists()
    assert not Path("/tmp/daglab-out").exists()


def test_two_at_once_make_one_notebook(tmp_path: Path) -> None:
    settings, outcomes, start = project(tmp_path), [], threading.Barrier(4)

    def write() -> None:
        start.wait()
        try:
            scaffolds.write(settings, asset("orders"), PLAIN)
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
    assert path.read_text() == notebook(asset("orders"), "dagster/notebooks/asset_orders.py", PLAIN)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_title_is_data(title: str) -> None:
    text = notebook(asset("a"), "a.py", scaffolds.Wishes(title=title))
    assert shape(ast.parse(text)) == shape(ast.parse(notebook(asset("a"), "a.py", scaffolds.Wishes(title="Plain"))))
    assert "{" + "{" not in text.replace(title, "")


def test_a_notebook_for_several_assets() -> None:
    tree = ast.parse(notebook(scaffolds.Target((("a", "b"), ('c"',))), "nb/x.py"))
    assert assigned(tree, "KEYS") == [["a", "b"], ['c"']]
    assert "ATTACH" not in names(tree)
    tree = ast.parse(notebook(scaffolds.Target((("a", "b"), ("c",))), "nb/x.py"))
    assert assigned(tree, "SELECTION") == "key:a/b or key:c"


def test_force_replaces_and_nothing_else_does(tmp_path: Path) -> None:
    settings = project(tmp_path)
    path, replaced, digest = scaffolds.write(settings, asset("orders"), PLAIN, name="mine.py", force=True)
    assert (path.name, replaced, digest) == ("mine.py", False, hashlib.sha256(path.read_bytes()).hexdigest())
    path.write_text("old")
    with pytest.raises(errors.Taken):
        scaffolds.write(settings, asset("orders"), PLAIN, name="mine.py")
    assert scaffolds.write(settings, asset("orders"), scaffolds.Wishes(title="New"), name="mine.py", force=True)[
        :2
    ] == (
        path,
        True,
    )
    assert 'app_title="New"' in path.read_text()


@pytest.mark.parametrize(
    "name", ["x", "x.txt", "../x.py", "a/b.py", "/tmp/x.py", ".x.py", "-x.py", "", "json.py", "marimo.py", ".py"]
)
def test_a_name_that_is_no_notebook_s(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        scaffolds.write(project(tmp_path), asset("orders"), PLAIN, name=name)
    assert caught.value.hint
    assert os.listdir(tmp_path) == ["daglab.yaml"]


@pytest.mark.parametrize(
    ("given", "target", "recorded"),
    [
        ({"collection": "Docs"}, scaffolds.Target(collection="Docs"), "collection:Docs"),
        ({"job": "report"}, scaffolds.Target(job="report"), "job:report"),
        ({"asset": "a/b"}, asset("a", "b"), "asset:a/b"),
        ({"chosen": "a/b, c"}, scaffolds.Target((("a", "b"), ("c",))), "asset:a/b,c"),
        ({"chosen": "group:sales and not group:x"}, scaffolds.Target(selection="group:sales and not group:x"), None),
    ],
)
def test_what_a_notebook_is_for(given: dict[str, str], target: scaffolds.Target, recorded: str | None) -> None:
    found = scaffolds.read_target(
        given.get("asset"), given.get("job"), given.get("chosen"), collection=given.get("collection")
    )
    assert found == target
    assert found.recorded == (recorded or f"selection:{given['chosen']}")


@pytest.mark.parametrize("given", [(None, None, None, None), ("a", "b", None, None), (None, "j", None, "Docs")])
def test_a_notebook_is_for_one_thing(given: tuple[str | None, ...]) -> None:
    with pytest.raises(errors.WrongUsage, match="only one"):
        scaffolds.read_target(*given)
    with pytest.raises(errors.WrongUsage, match="The selection is not valid"):
        scaffolds.read_target(None, None, "group:(", None)


# --- templates of one's own


def template(root: Path, text: str, name: str = "mine") -> str:
    path = root / notebook_templates.FOLDER / f"{name}{notebook_templates.SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return name


def test_a_projects_template_hides_daglabs(tmp_path: Path) -> None:
    template(tmp_path, "{# Ours #}\n", "default")
    template(tmp_path, "no comment\n")
    (tmp_path / "outside").write_text("{# Not ours #}\n")
    (tmp_path / notebook_templates.FOLDER / f"link{notebook_templates.SUFFIX}").symlink_to("/etc/hostname")
    found = {each.name: (each.what, each.is_own) for each in notebook_templates.every(tmp_path)}
    assert (found["default"], found["mine"]) == (("Ours", True), ("", True))
    assert "link" not in found
    assert not found["minimal"][1]
    with pytest.raises(errors.InvalidInput, match="no template 'minmal'") as caught:
        notebook_templates.find(tmp_path, "minmal")
    assert "minimal" in str(caught.value.hint)
    with pytest.raises(errors.NotSetUp, match=r"no template ./none\.py\.j2"):
        notebook_templates.find(tmp_path, "./none.py.j2")
    path = tmp_path / notebook_templates.FOLDER / f"mine{notebook_templates.SUFFIX}"
    assert notebook_templates.find(tmp_path, str(path)).path == path


def test_daglabs_template_is_copied_once_to_be_changed(tmp_path: Path) -> None:
    own = notebook_templates.find(tmp_path, "minimal")
    path = notebook_templates.eject(tmp_path, "minimal")
    assert path.read_text() == own.path.read_text()
    with pytest.raises(errors.Taken, match="is there already"):
        notebook_templates.eject(tmp_path, "minimal")
    root = tmp_path / "project"
    (root / notebook_templates.FOLDER).parent.mkdir(parents=True)
    (root / notebook_templates.FOLDER).symlink_to(tmp_path)
    with pytest.raises(errors.InvalidInput, match="outside of the project"):
        notebook_templates.eject(root, "minimal")
    assert not list(tmp_path.glob(f"*{notebook_templates.SUFFIX}"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n{% if %}", r"mine\.py\.j2:2"),
        ("{{ nobody_gives_this }}", "nobody_gives_this"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("x = 1\nif\n", "it makes no Python: .*: if"),
        ("x = 1\n", "it makes no marimo notebook"),
    ],
)
def test_a_template_that_can_not_be_filled_is_told_and_where(tmp_path: Path, text: str, said: str) -> None:
    wishes = scaffolds.Wishes(template=template(tmp_path, text))
    with pytest.raises(errors.InvalidInput, match=said) as caught:
        scaffolds.notebook(tmp_path, asset("a"), "nb/a.py", wishes)
    assert "--eject" in str(caught.value.hint)


def test_a_template_that_makes_no_sound_notebook_writes_none(tmp_path: Path) -> None:
    own = "import marimo\napp = marimo.App()\n\n@app.cell\ndef _():\n    x = {{ n | py }}\n    return (x,)\n\n"
    wishes = scaffolds.Wishes(template=template(tmp_path, own), variables=scaffolds.variables(["n=3"]))
    path, _, _ = scaffolds.write(project(tmp_path), asset("a"), wishes)
    assert '    x = "3"\n' in path.read_text()
    template(tmp_path, own + own.partition("\n\n")[2])  # two cells that define x
    with pytest.raises(errors.InvalidInput, match="makes no sound notebook"):
        scaffolds.write(project(tmp_path), asset("b"), wishes)
    assert not path.with_name("asset_b.py").exists()


def test_values_for_a_template(tmp_path: Path) -> None:
    for wrong in ("no-name=1", "1=1"):
        with pytest.raises(errors.WrongUsage, match="can't be a name in a template"):
            scaffolds.variables([wrong])
    with pytest.raises(errors.WrongUsage, match="title is daglab's own value"):
        notebook(asset("a"), "nb/a.py", scaffolds.Wishes(template="minimal", variables={"title": "x"}))
    with pytest.raises(errors.InvalidInput, match="is not the name of a notebook"):
        scaffolds.place(project(tmp_path), asset("a"), "two\nlines.py")


# --- the project's definitions


@pytest.mark.parametrize(
    ("workspace", "location", "module"),
    [
        ("load_from: [{python_module: shop.definitions}]", None, "shop.definitions"),
        ("load_from: [{python_file: {relative_path: defs.py, location_name: l}}]", "l", "defs.py"),
        ("load_from: [{python_module: a}, {python_module: {module_name: b}}]", "b", "b"),
        ("load_from: [{python_module: a}, {python_module: b}]", None, None),
        ("load_from: [7, {grpc_server: {port: 4000}}, {python_module: {}}, {python_module: a}]", None, "a"),
        ("load_from: 7", None, None),
        ("[", None, None),
    ],
)
def test_the_module_that_a_workspace_names(
    tmp_path: Path, workspace: str, location: str | None, module: str | None
) -> None:
    (tmp_path / "workspace.yaml").write_text(workspace)
    assert definitions.find(tmp_path, location) == module


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("echo noise; echo null", None),
        ("echo '\"it holds no Definitions\"'", "it holds no Definitions"),
        ("echo first >&2; echo last words >&2; exit 3", "last words"),
        ("echo '{'; exit 3", "Python ended with 3"),
    ],
)
def test_a_module_that_can_not_be_used_is_told_with_the_cause(tmp_path: Path, body: str, said: str | None) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{body}\n")
    python.chmod(0o755)
    settings = config.load({"dagster.python": str(python)}, directory=tmp_path, environ={})
    if said is None:
        definitions.require(settings, "shop", tmp_path / "nb.py")
        return
    with pytest.raises(errors.NotGood, match=said):
        definitions.require(settings, "shop", tmp_path / "nb.py")


def test_an_import_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec /bin/sleep 600\n")
    python.chmod(0o755)
    monkeypatch.setattr(definitions, "TIMEOUT", 0.2)
    settings = config.load({"dagster.python": str(python)}, directory=tmp_path, environ={})
    with pytest.raises(errors.NotGood, match="it does not end"):
        definitions.require(settings, "shop", tmp_path / "nb.py")


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["--list-templates", "--eject", "default"], errors.WrongUsage, "write no notebook"),
        (["--asset", "a", "--each", "--filename", "b.py"], errors.WrongUsage, "--each writes several notebooks"),
        (["--job", "nightly", "--each"], errors.WrongUsage, "--each is for assets"),
        (["--from-selection", "group:g", "--each"], errors.NotSetUp, "needs a deployment"),
        (["--collection", "Docs", "--git-commit"], errors.NotSetUp, "is no git repository"),
    ],
)
def test_what_does_not_go_together_is_refused_by_the_command(
    words: list[str], kind: type[errors.DaglabError], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "daglab.yaml").write_text("dagster: {url: 'http://127.0.0.1:9'}\n")
    done = CliRunner().invoke(scaffold.command, words)
    assert isinstance(done.exception, kind), done
    assert said in done.exception.message
    assert not list(tmp_path.rglob("*.py"))


@pytest.mark.parametrize("as_json", [False, True])
def test_a_template_is_ejected(as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "daglab.yaml").touch()
    done = CliRunner().invoke(scaffold.command, ["--eject", "minimal", *(["--json"] if as_json else [])])
    assert done.exit_code == 0
    path = json.loads(done.stdout)["template"] if as_json else done.stdout.strip().splitlines()[0]
    assert Path(path).is_file()
