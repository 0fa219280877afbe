"""`daglab scaffold`: the notebook is clean, runs with and without a Dagster, launches its target, follows the run."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import helpers, notebooks
from daglab.authoring import scaffolds
from tests import tiers

pytestmark = pytest.mark.long

FIXTURES = Path(__file__).parents[1] / "fixtures"
Cli = Callable[..., Any]
RULES = "A,B,C4,E,F,I,PT,RUF,SIM,T20,UP,W"
# Presses the button: `app.run` takes the values of the controls from outside. Then it follows, as the clock does.
DRIVER = """
import importlib.util, json, sys
from types import SimpleNamespace
from daglab import helpers

spec = importlib.util.spec_from_file_location("nb", sys.argv[1])
notebook = importlib.util.module_from_spec(spec)
spec.loader.exec_module(notebook)
partition, config = json.loads(sys.argv[2])
pressed = {"launch": True, "partition": partition, **({} if config is None else {"config": config})}
outputs, names = notebook.app.run(defs={name: SimpleNamespace(value=value) for name, value in pressed.items()})
shown = "".join(helpers.show(output).text for output in outputs if output is not None)
run = names["get_run"]()
while run and not run.has_ended:
    run = list(helpers.follow(run))[-1]
print(json.dumps([shown, run and run.id, run and run.status, run and helpers.show(run).text, str(run)]))
"""
RUN = "query R($id: ID!) { runOrError(runId: $id) { ... on Run { status tags { key value } } } }"


@pytest.fixture
def project(tmp_path: Path, deployment: Any) -> Path:
    (tmp_path / "daglab.yaml").write_text(f"dagster:\n  url: {deployment.url}\n")
    return tmp_path


def scaffold(cli: Cli, kind: str, name: str) -> Path:
    done = cli("scaffold", f"--{kind}", name)
    assert done.exit_code == 0, done.stderr
    return Path(done.stdout.strip())


def python(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    environ = {**os.environ, **(env or {})}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)


# --- as it is written


# Template, target, what runs in the kernel, export cells, further words; each pair of two columns' values is there.
NOTEBOOKS = [
    ("default", ["--asset", "raw_orders"], "main.py", True, []),
    ("default", ["--job", "op_job"], None, False, ["--title", "The <job> `here`"]),
    ("default", ["--asset", "daily"], "main.py", False, []),
    ("default", ["--from-selection", "group:mart and not key:prices"], None, True, []),
    ("minimal", ["--asset", "src/customers"], None, True, []),
    ("minimal", ["--job", "part_job"], None, True, []),
    ("minimal", ["--from-selection", "raw_orders,src/customers"], None, False, []),
    ("ml", ["--asset", "orders"], "main.py", True, []),
    ("ml", ["--job", "mart_job"], "main.py", True, []),
    ("asset-group", ["--from-selection", "raw_orders+"], "main.py", True, []),
    ("asset-group", ["--job", "slow_job"], "main.py", False, []),
    ("asset-group", ["--asset", "daily_regional"], None, True, []),
]
NOWHERE = {"DAGLAB_DAGSTER__URL": "http://127.0.0.1:1", "DAGLAB_DAGSTER__GRAPHQL__MAX_RETRIES": "0"}


def words(number: int) -> list[str]:
    """What scaffolds one of them, under a name of its own."""
    template, target, module, attach, more = NOTEBOOKS[number]
    kernel = ["--module", module] if module else ["--no-inprocess"]
    name = ["--template", template, "--filename", f"nb_{number}.py"]
    return ["scaffold", *target, *name, *kernel, *([] if attach else ["--no-attach"]), *more]


@pytest.fixture
def code(project: Path) -> Path:
    """The project with the deployment's code, for what runs in the kernel."""
    for path in [*(FIXTURES / "deployment").glob("*.py"), FIXTURES / "deployment" / "workspace.yaml"]:
        shutil.copy(path, project)
    return project


def test_every_template_for_every_target_is_clean(tmp_path: Path, need: Callable[[object, str], None]) -> None:
    need(importlib.util.find_spec("ruff"), "ruff is not installed")
    targets = {
        "asset": scaffolds.Target(assets=(("src", "customers"),)),
        "two": scaffolds.Target(assets=(("a",), ("b", "c"))),
        "hostile": scaffolds.Target(assets=(('x"); import os',),)),
        "dunder": scaffolds.Target(assets=(("__class__",),)),
        "job": scaffolds.Target(job="report"),
        "selection": scaffolds.Target(selection="group:mart and not kind:s3"),
    }
    samples = [{"id": 1, 'na"me': "x", "ok": True, "f": 1.5}]
    for (kind, target), template, whole in itertools.product(
        targets.items(), ("default", "minimal", "ml", "asset-group"), (True, False)
    ):
        wishes = scaffolds.Wishes(
            template=template,
            module="shop.definitions" if whole else None,
            attach=whole,
            sample=samples if whole else (),
        )
        text = scaffolds.notebook(tmp_path, target, "dagster/notebooks/x.py", wishes)
        (tmp_path / f"{kind}_{template.replace('-', '_')}_{whole}.py").write_text(text)
    written = sorted(tmp_path.glob("*.py"))
    assert len(written) == 48
    checks = (
        ["marimo", "check", "--strict"],
        # A cell shows its last expression, a name alone, too: B018 is not for notebooks.
        ["ruff", "check", "--isolated", "--no-cache", "--select", RULES, "--ignore", "B018"],
        ["ruff", "format", "--isolated", "--no-cache", "--check"],
    )
    for check in checks:
        done = python("-m", *check, *written)
        assert done.returncode == 0, f"{check}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("number", tiers.few(range(len(NOTEBOOKS)), [0]))
def test_a_notebook_runs_with_and_without_a_dagster(code: Path, cli: Cli, number: int) -> None:
    """As a script (no check finds a name that is not there), and as an export: no cell fails."""
    done = cli(*words(number))
    assert done.exit_code == 0, done.stderr
    notebook = Path(done.stdout.strip())
    done = python(notebook)
    assert done.returncode == 0, done.stderr
    assert_exports(cli, notebook, {}, f"Dagster {importlib.metadata.version('dagster')}")
    assert_exports(cli, notebook, NOWHERE, "Nothing answers at")


def assert_exports(cli: Cli, notebook: Path, env: dict[str, str], shown: str) -> None:
    done = cli("export", str(notebook), "--output", "page.html", env=env)
    assert done.exit_code == 0, done.stderr  # 4 for a failed cell
    page = Path("page.html").read_text(encoding="utf-8")
    assert notebooks.failed_cells(page) == []
    assert shown in page


def test_a_notebook_that_is_there_is_left_alone(project: Path, cli: Cli) -> None:
    notebook = scaffold(cli, "asset", "orders")
    notebook.write_text("mine")
    done = cli("scaffold", "--asset", "orders", "--json")
    assert done.exit_code == 8
    document = json.loads(done.stdout)
    assert (document["ok"], document["error"]["code"]) == (False, "taken")
    assert document["error"]["hint"]
    assert notebook.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        ([], 2),
        (["--asset", "a", "--job", "b"], 2),
        (["--asset", ""], 2),
        (["--asset", "a//b"], 7),
        (["--asset", "/"], 7),
        (["orders"], 2),
    ],
)
def test_wrong_input(tmp_path: Path, cli: Cli, arguments: list[str], exit_code: int) -> None:
    done = cli("scaffold", *arguments, "--json")
    assert done.exit_code == exit_code, done.stderr
    assert json.loads(done.stdout)["error"]["hint"]
    assert os.listdir(tmp_path) == []


def test_json_and_the_event(project: Path, cli: Cli) -> None:
    (project / ".daglab").mkdir()
    done = cli("scaffold", "--asset", "src/customers", "--json")
    path = project / "dagster" / "notebooks" / "asset_src__customers.py"
    assert json.loads(done.stdout) == {
        "ok": True,
        "notebook": str(path),
        "target": "asset:src/customers",
        "checked": True,
        "config_problems": [],
        "replaced": False,
    }
    [file] = (project / ".daglab" / "events").iterdir()
    event = json.loads(file.read_text())
    assert (event["command"], event["target"], event["ok"]) == ("scaffold", "asset:src/customers", True)


def test_the_deployment_is_asked_where_one_answers(project: Path, cli: Cli) -> None:
    for wrong, near in ((["--asset", "raw_order"], "raw_orders"), (["--job", "mart_jb"], "mart_job")):
        done = cli("scaffold", *wrong, "--json")
        assert (done.exit_code, near in json.loads(done.stdout)["error"]["hint"]) == (7, True)
    assert not (project / "dagster").exists()
    options = ("--from-selection", "raw_orders,src/customers", "--filename", "shop.py", "--title", "The <shop>")
    done = cli("scaffold", *options, "--dagster-port", "1", "--json")
    assert (done.exit_code, json.loads(done.stdout)["checked"]) == (0, False)
    assert "Not checked" in done.stderr
    done = cli("scaffold", *options, "--force")
    assert (done.exit_code, "Replaced" in done.stderr) == (0, True)
    assert f"marimo edit --port 3010 {project}/dagster/notebooks/shop.py" in done.stderr
    checked = subprocess.run(
        [sys.executable, "-m", "marimo", "check", "--strict", "dagster/notebooks/shop.py"], check=False
    )
    assert checked.returncode == 0
    assert cli("export", "dagster/notebooks/shop.py").exit_code == 0
    page = (project / "exports" / "shop.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("raw_orders", "src/customers", "Materialize", "The &lt;shop&gt;"))
    assert "There is no asset" not in page


# --- the options


def test_a_notebook_for_each(project: Path, cli: Cli) -> None:
    done = cli("scaffold", "--from-selection", "raw_orders,src/customers", "--each", "--json")
    document = json.loads(done.stdout)
    assert [each["target"] for each in document["notebooks"]] == ["asset:raw_orders", "asset:src/customers"]
    assert all(Path(each["notebook"]).is_file() for each in document["notebooks"])
    Path(document["notebooks"][0]["notebook"]).unlink()
    again = cli("scaffold", "--from-selection", "raw_orders,src/customers", "--each")
    assert (again.exit_code, "asset_src__customers.py" in again.stderr) == (8, True)
    assert not Path(document["notebooks"][0]["notebook"]).exists()  # all of them, or none
    found = cli("scaffold", "--from-selection", "group:mart and kind:duckdb", "--each", "--json")
    assert [each["target"] for each in json.loads(found.stdout)["notebooks"]] == ["asset:orders"]
    for wrong, exit_code in (
        (["--job", "op_job"], 2),
        (["--from-selection", "group:nothing"], 7),
        (["--from-selection", "a/b,a__b", "--force", "--dagster-port", "1"], 7),  # they would share a file
    ):
        assert cli("scaffold", *wrong, "--each").exit_code == exit_code


@pytest.mark.slow
def test_a_module_is_imported_before_anything_is_written(code: Path, cli: Cli) -> None:
    (code / "bad.py").write_text("raise RuntimeError('because')")
    (code / "empty.py").write_text("print('loud')")
    for module, said in (("bad", "RuntimeError: because"), ("empty.py", "it holds no Definitions"), ("gone", "gone")):
        done = cli("scaffold", "--asset", "raw_orders", "--module", module)
        assert (done.exit_code, said in done.stderr) == (4, True), done.stderr
    assert not (code / "dagster").exists()
    notebook = scaffold_with(cli, "--asset", "raw_orders", "--module", "main.py")
    assert 'MODULE = "main.py"' in notebook.read_text()
    # Without one, it is what the project tells Dagster to load for the asset's code location.
    assert 'MODULE = "main.py"' in scaffold_with(cli, "--asset", "orders", "--inprocess").read_text()
    assert "MODULE" not in scaffold_with(cli, "--asset", "left", "--no-inprocess").read_text()


def scaffold_with(cli: Cli, *arguments: str) -> Path:
    done = cli("scaffold", *arguments)
    assert done.exit_code == 0, done.stderr
    return Path(done.stdout.strip())


def test_a_sample_has_the_assets_columns(project: Path, cli: Cli) -> None:
    text = scaffold_with(cli, "--asset", "suspicious", "--seed-data").read_text()
    assert '"day": "2026-01-01",' in text
    assert '"amount": 1.5,' in text
    done = cli("scaffold", "--asset", "raw_orders", "--seed-data")
    assert (done.exit_code, "tells of no columns" in done.stderr) == (0, True)


def test_what_can_not_be_launched_is_told_and_the_notebook_written(project: Path, cli: Cli) -> None:
    """`left` is made together with `right`, and by itself no run can hold it."""
    done = cli("scaffold", "--asset", "left", "--validate-config", "--json")
    assert (done.exit_code, len(json.loads(done.stdout)["config_problems"])) == (0, 1)
    assert "can't be launched as it is" in done.stderr
    done = cli("scaffold", "--asset", "left", "--no-validate-config", "--force", "--json")
    assert (done.exit_code, json.loads(done.stdout)["config_problems"]) == (0, [])


@pytest.mark.slow
def test_a_launched_run_is_shown_though_the_state_can_not_be_written(project: Path, cli: Cli) -> None:
    notebook = scaffold(cli, "asset", "raw_orders")
    folder = project / ".daglab" / "state"
    folder.mkdir(parents=True)
    state = helpers.manage_state(notebook)
    state.path.with_name(f"{state.path.name}.lock").mkdir()  # nobody can take it
    done = python("-c", DRIVER, notebook, json.dumps([None, ""]))
    assert done.returncode == 0, done.stderr
    shown, run_id, *_ = json.loads(done.stdout)
    assert run_id
    assert run_id in shown


def test_templates_of_a_project(project: Path, cli: Cli) -> None:
    found = json.loads(cli("scaffold", "--list-templates", "--json").stdout)["templates"]
    listed = {each["name"]: each for each in found}
    assert set(listed) == {"default", "minimal", "ml", "asset-group", "collection"}
    assert all(each["for"] and not each["own"] for each in listed.values())
    ejected = cli("scaffold", "--eject", "minimal")
    path = project / ".daglab" / "templates" / "minimal.py.j2"
    assert (ejected.exit_code, ejected.stdout.strip()) == (0, str(path))
    assert cli("scaffold", "--eject", "minimal").exit_code == 8
    (path.parent / "team.py.j2").write_text(
        "{# For the team. #}\n"
        '{% extends "daglab/minimal.py.j2" %}\n'
        "{% block exploration %}\n\n\n@app.cell\ndef team():\n    mo.md({{ (greeting ~ ' team') | py }})\n    return\n"
        "{% endblock %}\n"
    )
    options = ("--template", "team", "--template-vars", 'greeting=hel"lo')
    text = scaffold_with(cli, "--asset", "raw_orders", *options).read_text()
    assert "mo.md('hel\"lo team')" in text
    own = cli("scaffold", "--asset", "orders", "--template", str(path.parent / "team.py.j2"))
    assert (own.exit_code, "greeting" in own.stderr) == (7, True)  # a value that is missing is an error
    assert "team" in cli("scaffold", "--list-templates").stdout
    assert 'template": "minimal"' in scaffold_with(cli, "--asset", "orders", "--template", "minimal").read_text()
    assert cli("scaffold", "--asset", "left", "--template-vars", "title=x").exit_code == 2
    named = {"DAGLAB_DEFAULTS__NOTEBOOK_TEMPLATE": str(path)}
    assert cli("scaffold", "--asset", "left", env=named).exit_code == 7  # a config names templates, and no files
    os.symlink("/etc/passwd", path.parent / "outside.txt")
    (path.parent / "reads.py.j2").write_text("{% filter py %}{% include 'project/outside.txt' %}{% endfilter %}")
    os.mkfifo(path.parent / "pipe.py.j2")
    for wrong, exit_code in (("tem", 7), ("gone/x.py.j2", 3), ("reads", 7), ("pipe", 7)):
        assert cli("scaffold", "--asset", "left", "--template", wrong).exit_code == exit_code


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{% extends 'daglab/base.py.j2' %}{% block target %}", "endblock"),
        ("{{ title.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{% include 'daglab/../../render.py' %}", "TemplateNotFound"),
        ("{{ forgotten }}", "forgotten"),
        ("import os\nif:\n", "it makes no Python"),
        ("app = marimo.App()\nreturn\n", "it makes no Python"),
        ("", "no marimo notebook"),
        ('x = "{{ title }}"', "by the filter py"),
        ("x = {{ who | py }}", "who"),
        (
            "import marimo\n\napp = marimo.App()\n\n\n@app.cell\ndef _():\n    x = 1\n    return (x,)\n\n\n"
            "@app.cell\ndef _():\n    x = 2\n    return (x,)\n",
            "no sound notebook",
        ),
    ],
)
def test_a_template_that_makes_no_notebook(project: Path, cli: Cli, text: str, said: str) -> None:
    folder = project / ".daglab" / "templates"
    folder.mkdir(parents=True)
    (folder / "bad.py.j2").write_text(text)
    done = cli("scaffold", "--asset", "raw_orders", "--template", "bad")
    assert (done.exit_code, said in done.stderr) == (7, True), done.stderr
    assert not (project / "dagster").exists()


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    return done.stdout


def test_what_is_committed_is_the_notebook_alone(project: Path, cli: Cli, need: Callable[[object, str], None]) -> None:
    need(shutil.which("git"), "git is not installed")
    done = cli("scaffold", "--asset", "raw_orders", "--git-commit")
    assert (done.exit_code, os.path.exists("dagster")) == (3, False)
    git("init", "-q")
    git("config", "user.name", "A Person")
    git("config", "user.email", "person@example.com")
    (project / "staged.txt").write_text("staged")
    git("add", "staged.txt")
    notebook = scaffold_with(cli, "--asset", "raw_orders", "--git-commit")
    assert '"author": "A Person"' in notebook.read_text()
    assert git("show", "--name-only", "--format=%s").split("\n") == [
        "Scaffold a notebook for asset:raw_orders",
        "",
        "dagster/notebooks/asset_raw_orders.py",
        "",
    ]
    assert git("diff", "--cached", "--name-only").split() == ["staged.txt"]
    hook = project / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    refused = cli("scaffold", "--asset", "orders", "--git-commit", "--json", env={"GIT_DIR": "/elsewhere/.git"})
    assert (refused.exit_code, "not today" in refused.stdout) == (4, True)
    assert json.loads(refused.stdout)["notebook"] == str(project / "dagster" / "notebooks" / "asset_orders.py")
    assert git("diff", "--cached", "--name-only").split() == ["staged.txt"]
    # What was staged of a notebook that is there already stays staged.
    notebook.write_text("mine, staged")
    git("add", str(notebook))
    assert cli("scaffold", "--asset", "raw_orders", "--git-commit", "--force", "--title", "New").exit_code == 4
    assert git("show", ":dagster/notebooks/asset_raw_orders.py") == "mine, staged"
    hook.unlink()
    assert cli("scaffold", "--asset", "raw_orders", "--git-commit", "--force").exit_code == 0
    assert cli("scaffold", "--asset", "raw_orders", "--git-commit", "--force").exit_code == 0  # as it was


# --- launching, without a browser


OP_CONFIG = "ops:\n  one:\n    config:\n      n: 3\n"


@pytest.mark.parametrize(
    ("kind", "name", "partition", "run_config", "status", "text"),
    [
        ("asset", "daily", "2026-11-02", "", "SUCCESS", "daily"),
        ("asset", "failing", None, "", "FAILURE", "ValueError: boom é"),
        pytest.param("job", "op_job", None, OP_CONFIG, "SUCCESS", "two", marks=pytest.mark.slow),
        pytest.param("job", "part_job", "b", None, "SUCCESS", "part_op", marks=pytest.mark.slow),
    ],
)
def test_it_launches_its_target_and_follows_the_run(
    project: Path,
    deployment: Any,
    cli: Cli,
    kind: str,
    name: str,
    partition: str | None,
    run_config: str | None,
    status: str,
    text: str,
) -> None:
    notebook = scaffold(cli, kind, name)
    done = python("-c", DRIVER, notebook, json.dumps([partition, run_config]))
    assert done.returncode == 0, done.stderr
    shown, run_id, ended, looked, printed = json.loads(done.stdout)
    assert run_id in shown  # the following cell looked at it at once
    assert text in printed
    assert ended == status
    assert text in looked
    body = {"query": RUN, "variables": {"id": run_id}}
    run = requests.post(f"{deployment.url}/graphql", json=body, timeout=60).json()["data"]["runOrError"]
    assert run["status"] == status
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert tags.get("dagster/partition") == partition


@pytest.mark.parametrize(("run_config", "text"), [("", "run config is not valid"), ("ops: [", "is not YAML")])
def test_what_can_not_be_launched_is_shown_and_fails_no_cell(
    project: Path, cli: Cli, run_config: str, text: str
) -> None:
    done = python("-c", DRIVER, scaffold(cli, "job", "op_job"), json.dumps([None, run_config]))
    assert done.returncode == 0, done.stderr
    shown, run_id, *_ = json.loads(done.stdout)
    assert run_id is None
    assert text in shown


def test_a_target_that_is_not_there_is_told_with_the_nearest(project: Path, cli: Cli) -> None:
    assert cli("scaffold", "--asset", "raw_order", "--dagster-port", "1").exit_code == 0
    notebook = project / "dagster" / "notebooks" / "asset_raw_order.py"
    assert cli("export", str(notebook)).exit_code == 0
    page = (project / "exports" / "asset_raw_order.html").read_text(encoding="utf-8")
    assert "The selection key:raw_order holds no asset" in page
    assert "Did you mean raw_orders" in page
