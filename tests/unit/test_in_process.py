"""Assets and jobs that are run in this process, by the real Dagster: what can't be, and why, and what is not stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daglab import errors, helpers
from daglab.deployment import dagster_api, entities
from daglab.helpers import in_process
from daglab.settings import config

dg = pytest.importorskip("dagster")
pytestmark = pytest.mark.filterwarnings("ignore")  # Dagster's own, of what it calls beta and of pydantic

JOB = entities.Job("report", "r", "l", None, {}, is_asset_job=False, partition_set=None)


def asset(name: str) -> entities.Asset:
    return entities.Asset((name,), None, None, (), {}, (), True, None, (), (), (), "r", "l")


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[helpers.Client]:
    """A deployment that is asked nothing; what is imported of the project is gone after the test."""
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / ".daglab").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path])
    settings = config.load({"dagster.url": "http://127.0.0.1:1"}, directory=tmp_path, environ={})
    before = set(sys.modules)
    yield helpers.Client(dagster_api.connect(settings), settings, "1.13")
    for name in {name for name, module in sys.modules.items() if in_process._is_of(tmp_path, module)} - before:
        del sys.modules[name]


def code(client: helpers.Client, text: str) -> str:
    (client.settings.root / "defs_of_test.py").write_text(f"import dagster as dg\n{text}")
    return "defs_of_test.py"


def stored(client: helpers.Client) -> list[str]:
    """The files in the deployment's home."""
    return [path.name for path in (client.settings.root / "home").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("text", "error", "what"),
    [
        ("x = 1", errors.InvalidInput, "defs_of_test.py holds no Definitions"),
        ("a, b = dg.Definitions(), dg.Definitions()", errors.InvalidInput, "defs_of_test.py holds 2 Definitions"),
        ("import no_such_module_of_test", errors.NotGood, "can't be imported: ModuleNotFoundError"),
        ("raise SystemExit", errors.NotGood, "can't be imported: SystemExit: no reason given"),
        ("raise ValueError('a\\n   b')", errors.NotGood, "can't be imported: ValueError: a b"),
        (
            "@dg.definitions\ndef defs():\n    raise KeyError('table')",
            errors.NotGood,
            "The definitions in defs_of_test.py can't be made: KeyError: 'table'",
        ),
    ],
)
def test_code_that_holds_no_definitions_says_why(
    client: helpers.Client, text: str, error: type[errors.DaglabError], what: str
) -> None:
    with pytest.raises(error) as raised:
        in_process.load_definitions(code(client, text), client.settings.root)
    assert what in raised.value.message


@pytest.mark.parametrize("name", ["missing.py", "folder.py", "no_such_module_of_test"])
def test_code_that_is_not_there_is_named(client: helpers.Client, name: str) -> None:
    (client.settings.root / "folder.py").mkdir()
    with pytest.raises(errors.NotGood, match=f"{name} can't be imported") as raised:
        in_process.load_definitions(name, client.settings.root)
    assert str(client.settings.root) in str(raised.value.hint)


def test_a_very_long_error_is_cut(client: helpers.Client) -> None:
    with pytest.raises(errors.NotGood) as raised:
        in_process.load_definitions(code(client, "raise ValueError('x' * 100_000)"), client.settings.root)
    assert in_process.LONGEST_ERROR <= len(raised.value.message) < in_process.LONGEST_ERROR + 100


def test_definitions_that_tell_nothing_need_a_newer_dagster(
    client: helpers.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Old:
        """As Dagster 1.5 had them."""

    monkeypatch.setattr(dg, "Definitions", Old)
    with pytest.raises(errors.NotSetUp, match="does not tell what definitions hold") as raised:
        in_process.load_definitions(code(client, "defs = dg.Definitions()"), client.settings.root)
    assert "1.6" in str(raised.value.hint)


PLAIN = """
class Storage(dg.IOManager):
    def handle_output(self, context, obj): raise SystemExit("stored for real")
    def load_input(self, context): return "stored"

class Typed(dg.ConfigurableIOManager):
    def handle_output(self, context, obj): raise SystemExit("stored for real")
    def load_input(self, context): return "stored"

@dg.resource
def made(_): return "made"

@dg.asset
def before(): return 1

@dg.asset(required_resource_keys={"word", "made"})
def after(context, before): return [before, context.resources.word, context.resources.made]

@dg.op
def one(): return 1

@dg.op
def fails(one): raise ValueError("boom é")

@dg.job
def report(): fails(one())
"""


@pytest.mark.parametrize("storage", ["Storage()", "Typed()", "dg.IOManagerDefinition.hardcoded_io_manager(Storage())"])
def test_no_storage_of_any_kind_is_written_to_and_other_resources_are_as_they_were(
    client: helpers.Client, storage: str
) -> None:
    module = code(
        client,
        f"{PLAIN}\ndefs = dg.Definitions([before, after],"
        f" resources={{'io_manager': {storage}, 'word': 'a word', 'made': made}})\n",
    )
    run = helpers.run_inprocess(client, [asset("before"), asset("after")], module)
    assert (run.succeeded, run.values) == (True, {"before": 1, "after": [1, "a word", "made"]})
    alone = helpers.run_inprocess(client, asset("after"), module)  # what it needs is loaded as the deployment does
    assert alone.values == {"after": ["stored", "a word", "made"]}
    assert stored(client) == []


@pytest.mark.parametrize(
    "bring",
    [
        "io_manager_def=dg.IOManagerDefinition.hardcoded_io_manager(Storage())",
        "io_manager_def=Typed()",
        "resource_defs={'io_manager': Typed()}",
    ],
)
def test_an_asset_with_storage_of_its_own_is_not_run_here(client: helpers.Client, bring: str) -> None:
    module = code(client, f"{PLAIN}\n@dg.asset({bring})\ndef own(): return 1\ndefs = dg.Definitions([own, before])\n")
    with pytest.raises(errors.NotGood, match="own brings its own IO manager"):
        helpers.run_inprocess(client, [asset("own")], module)
    if "resource_defs" not in bring:  # where it has the name of all others' storage, Dagster refuses them together
        assert helpers.run_inprocess(client, [asset("before")], module).values == {"before": 1}


def test_a_job_runs_without_a_run_config_and_a_step_that_fails_is_told(client: helpers.Client) -> None:
    run = helpers.run_inprocess(client, JOB, code(client, f"{PLAIN}\ndefs = dg.Definitions(jobs=[report])\n"))
    assert (run.succeeded, run.values, len(run.failures)) == (False, {"one": 1}, 1)
    assert run.failures[0].startswith("fails: ")
    assert "boom é" in run.failures[0]
    assert [(step, took is None) for step, took in run.steps] == [("one", False), ("fails", True)]


@pytest.mark.parametrize("deep", [False, True])
def test_a_run_that_fails_before_any_step_is_told_with_the_cause(client: helpers.Client, deep: bool) -> None:
    boom = "raise ValueError('no such host')"
    if deep:
        boom = f"try:\n        {boom}\n    except ValueError as error:\n        raise OSError('no database') from error"
    text = f"{PLAIN}\n@dg.resource\ndef word(_):\n    {boom}\n"
    module = code(client, f"{text}\ndefs = dg.Definitions([before, after], resources={{'word': word, 'made': made}})\n")
    run = helpers.run_inprocess(client, [asset("before"), asset("after")], module)
    assert (run.succeeded, run.values, run.steps) == (False, {}, ())
    assert run.failures
    assert all("no such host" in each for each in run.failures)
    assert str(run).endswith(run.failures[-1])


def test_what_dagster_does_not_run_at_all_is_told(client: helpers.Client) -> None:
    module = code(client, f"{PLAIN}\ndefs = dg.Definitions([before])\n")
    with pytest.raises(errors.NotGood, match="It can't run in this process: Dagster"):
        helpers.run_inprocess(client, [asset("gone")], module)
    with pytest.raises(errors.NotGood, match="It can't run in this process"):
        helpers.run_inprocess(client, JOB, module)
    with pytest.raises(errors.NotGood, match="nothing_like_it"):
        helpers.run_inprocess(client, asset("before"), module, run_config={"nothing_like_it": 1})


def test_the_stored_value_of_an_asset_is_loaded_by_its_own_storage(client: helpers.Client) -> None:
    end = "defs = dg.Definitions([before], resources={'io_manager': Storage()})\n"
    module = code(client, f"{PLAIN}\n{end}")
    assert in_process.load_value(client, asset("before"), module) == "stored"
    broken = PLAIN.replace('return "stored"', 'raise FileNotFoundError("no such file")')
    with pytest.raises(errors.NotGood, match="value of before can't be loaded here: FileNotFoundError: no such file"):
        in_process.load_value(client, asset("before"), code(client, f"{broken}\n{end}"))
