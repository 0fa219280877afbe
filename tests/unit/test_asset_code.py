"""`daglab scaffold --as-asset`: where the code of an asset goes, and what the project's owner is told to add."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import errors
from daglab.authoring import asset_code
from daglab.commands import scaffold
from daglab.settings import config
from tests import runners

HOSTILE = ['x"); import os #', "größe", "a b", "{{ 1 }}", '"""', "line\nbreak", "\u202ex", "9", "class"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path / "daglab.yaml", "version: 1\n")
    write(tmp_path / "pyproject.toml", '[tool.dagster]\nmodule_name = "shop.definitions"\n')
    write(tmp_path / "shop" / "__init__.py", "")
    write(tmp_path / "shop" / "definitions.py", "from dagster import Definitions\n\ndefs = Definitions()\n")
    notebook(tmp_path, "page.py", "asset:orders,src/items")
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def notebook(root: Path, name: str, target: str | None = None) -> Path:
    facts = f"with app.setup:\n    NOTEBOOK = {{'target': {target!r}}}\n" if target else ""
    return write(root / "notebooks" / name, f"import marimo\napp = marimo.App()\n{facts}")


def plan(root: Path, name: str = "page.py", asset: str | None = None, module: str | None = None) -> asset_code.Module:
    return asset_code.plan(config.load(directory=root), root / "notebooks" / name, asset, module)


def called(text: str) -> tuple[Any, dict[str, Any]]:
    """The arguments of the one call in a module."""
    [call] = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return (
        ast.literal_eval(call.args[0]),
        {word.arg or "": ast.literal_eval(word.value) for word in call.keywords},
    )


def test_a_package(project: Path) -> None:
    made = plan(project, asset="reports/orders")
    assert made.path == project / "shop" / "notebook_assets" / "reports__orders.py"
    assert made.add == (
        "from shop import notebook_assets",
        "*notebook_assets.every(),  # in Definitions(assets=[...])",
    )
    assert called(made.text) == ("notebooks/page.py", {"key": "reports/orders", "deps": ["orders", "src/items"]})
    assert asset_code.write(made, force=False) is False
    assert (made.path.parent / "__init__.py").exists()
    with pytest.raises(errors.Taken):
        asset_code.write(made, force=False)
    assert asset_code.write(made, force=True) is True
    again = plan(project, asset="reports/more")
    assert again.package is None
    write(project / "shop" / "definitions.py", "from shop import notebook_assets\n")
    assert plan(project, asset="reports/more").add == ()


@pytest.mark.parametrize(
    ("files", "pyproject", "path", "line"),
    [
        (["src/shop/definitions.py"], None, "src/shop/notebook_assets", "from shop import notebook_assets"),
        (["shop/defs/__init__.py"], "shop.defs", "shop/defs/notebook_assets", "from shop.defs import notebook_assets"),
        (["defs.py"], "defs", "notebook_assets", "import notebook_assets"),
    ],
)
def test_other_layouts(project: Path, files: list[str], pyproject: str | None, path: str, line: str) -> None:
    (project / "shop" / "definitions.py").unlink()
    if pyproject:
        write(project / "pyproject.toml", f'[tool.dagster]\nmodule_name = "{pyproject}"\n')
    for file in files:
        write(project / file, "defs = 1\n")
    made = plan(project)
    assert (made.path, made.add[0]) == (project / path / "page.py", line)


def test_a_file_that_a_workspace_names(project: Path) -> None:
    write(project / "workspace.yaml", "load_from: [{python_file: jobs/repo.py}]\n")
    write(project / "jobs" / "repo.py", "defs = 1\n")
    made = plan(project)
    assert (made.path.parent, made.add[0]) == (project / "jobs" / "notebook_assets", "from jobs import notebook_assets")
    write(project / "workspace.yaml", "load_from: [{python_file: a.py}, {python_file: b.py}]\n")
    with pytest.raises(errors.NotSetUp, match="does not say"):
        plan(project)
    assert plan(project, module="shop.definitions").path.parent == project / "shop" / "notebook_assets"
    with pytest.raises(errors.NotSetUp, match=r"no shop\.gone"):
        plan(project, module="shop.gone")


def test_what_is_loaded_by_itself_has_nothing_to_add(project: Path) -> None:
    (project / "shop" / "defs").mkdir()
    write(project / "shop" / "definitions.py", "from dagster import load_from_defs_folder\n")
    made = plan(project)
    assert (made.path, made.add, made.package) == (project / "shop" / "defs" / "notebook_page.py", (), None)
    write(project / "shop" / "definitions.py", "defs = load_assets_from_package_module(shop)\n")
    assert plan(project).add == ()


def test_a_folder_of_definitions_loads_it(project: Path) -> None:
    dagster = pytest.importorskip("dagster")
    (project / "shop" / "defs").mkdir()
    write(project / "shop" / "definitions.py", "from dagster import load_from_defs_folder\n")
    made = plan(project, asset="reports/orders")
    asset_code.write(made, force=False)
    scope: dict[str, Any] = {}
    exec(compile(made.text, str(made.path), "exec"), scope)
    assert scope["page"].key == dagster.AssetKey(["reports", "orders"])


def test_the_notebook_is_named_from_where_its_code_looks(project: Path) -> None:
    write(project / "services" / "x" / "pyproject.toml", "")
    write(project / "services" / "x" / "y" / "definitions.py", "")
    made = plan(project, module="services.x.y.definitions")
    assert called(made.text)[0] == "../../notebooks/page.py"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_data(project: Path, name: str) -> None:
    key = f"reports/{name}".replace("/ ", "/")
    target = notebook(project, f"{name.replace(chr(10), '_')}.py")
    made = asset_code.plan(config.load(directory=project), target, key, None)
    assert called(made.text)[1]["key"] == key
    assert called(made.text)[0] == f"notebooks/{target.name}"
    assert made.path.stem.isidentifier()
    ruff = shutil.which("ruff")
    if ruff and name.isascii():
        done = subprocess.run(
            [ruff, "format", "--diff", "--line-length=120", "-"], input=made.text.encode(), check=False
        )
        assert done.returncode == 0


def test_what_is_refused(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(errors.InvalidInput, match="is the asset that the notebook is for"):
        plan(project, asset="src/items")
    with pytest.raises(errors.NotSetUp, match="no notebook"):
        plan(project, "gone.py")
    elsewhere = notebook(tmp_path_factory.mktemp("elsewhere"), "nb.py")
    with pytest.raises(errors.InvalidInput, match="lies outside"):
        asset_code.plan(config.load(directory=project), elsewhere, None, None)
    (project / "shop" / "notebook_assets").symlink_to(elsewhere.parent)
    with pytest.raises(errors.InvalidInput, match="leads out"):
        plan(project)


def test_the_command(project: Path, cli: Callable[..., Any]) -> None:
    def run(*arguments: str, code: int = 0) -> Any:
        done = cli("scaffold", "--as-asset", "notebooks/page.py", *arguments, cwd=project)
        assert done.exit_code == code, done.stdout + done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done

    shown = run("--dry-run")
    assert called(shown.stdout)[1]["key"] == "page"
    assert not (project / "shop" / "notebook_assets").exists()
    assert run("--dry-run", "--json")["dry_run"] is True
    wrote = run("--asset", "reports/orders")
    path = project / "shop" / "notebook_assets" / "reports__orders.py"
    assert wrote.stdout.strip() == str(path)
    assert "from shop import notebook_assets" in wrote.stderr
    assert (
        project / "shop" / "definitions.py"
    ).read_text() == "from dagster import Definitions\n\ndefs = Definitions()\n"
    assert run("--asset", "reports/orders", "--json", code=8)["error"]["code"] == "taken"
    assert run("--asset", "reports/orders", "--dry-run", "--json", code=8)["ok"] is False
    assert run("--asset", "reports/orders", "--force", "--json")["replaced"] is True
    refused = run("--job", "x", "--json", code=2)
    assert "--job means nothing here" in refused["error"]["message"]
    assert run("--list-templates", "--json", code=2)["ok"] is False
    assert run("--git-commit", "--json", code=3)["ok"] is False


def test_a_dry_run_of_a_notebook(project: Path, cli: Callable[..., Any]) -> None:
    options = ["scaffold", "--asset", "orders", "--dry-run", "--url", "http://127.0.0.1:9"]
    done = cli(*options, cwd=project)
    assert (done.exit_code, "marimo.App" in done.stdout) == (0, True)
    assert not (project / "dagster").exists()
    assert "marimo.App" in json.loads(cli(*options, "--json", cwd=project).stdout)["text"]


def scaffolded(project: Path, *more: str) -> Any:
    words = ["--as-asset", str(project / "notebooks" / "page.py"), "--asset", "reports/orders", *more]
    return runners.apart().invoke(scaffold.command, words)


def test_the_code_of_an_asset_is_committed_file_by_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert isinstance(scaffolded(project, "--git-commit").exception, errors.NotSetUp)
    git = ["git", "-c", "init.defaultBranch=main", "-C", str(project)]
    for words in (["init", "-q"], ["config", "user.name", "Ada"], ["config", "user.email", "ada@shop.test"]):
        subprocess.run([*git, *words], check=True)
    done = scaffolded(project, "--git-commit", "--dry-run", "--json")
    assert (done.exit_code, (project / "shop" / "notebook_assets").exists()) == (0, False)
    done = scaffolded(project, "--git-commit")
    assert done.exit_code == 0, done.exception
    log = subprocess.run([*git, "log", "--format=%s", "--name-only"], check=True, capture_output=True, text=True).stdout
    assert log.count("Scaffold a notebook for asset:reports/orders") == 2
    committed = {line for line in log.splitlines() if line.endswith(".py")}
    assert committed == {"shop/notebook_assets/__init__.py", "shop/notebook_assets/reports__orders.py"}


def test_who_has_to_add_it_to_the_definitions_is_told_and_who_has_not_where_to_look(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    done = scaffolded(project)
    assert "Dagster does not load it yet." in done.stderr
    assert "    from shop import notebook_assets" in done.stderr
    write(project / "shop" / "definitions.py", "from shop import notebook_assets\n")
    done = scaffolded(project, "--force")
    assert done.exit_code == 0
    assert "Dagster loads it with the rest. See: daglab discover --pattern reports/orders" in done.stderr
    done = scaffolded(project, "--force", "--dry-run")
    assert "Would write" in done.stderr
    assert "Dagster loads it" not in done.stderr
