"""`daglab debug` without a deployment: what it reads, and what it makes of it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, events, web
from daglab.commands import debug
from daglab.debugging import surroundings, token_counts
from daglab.settings import config
from tests import runners

Run = Callable[..., Any]
NOW = datetime(2026, 11, 21, tzinfo=timezone.utc)
ENTRY = {"v": 1, "id": "aaaa00000001", "operation": "op1", "command": "discover", "at": "2026-11-21T00:00:00+00:00",
         "url": "http://127.0.0.1:1/graphql", "name": "Things", "kind": "query", "ms": 5, "query": "{ things }",
         "variables": {}, "masked": False, "status": 200, "bytes": 2, "outcome": "answered", "error": None,
         "sha256": "", "answer": {}}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".daglab").mkdir()
    return tmp_path


def keep(project: Path, *lines: dict[str, Any]) -> None:
    folder = project / ".daglab" / "traces"
    folder.mkdir(exist_ok=True)
    (folder / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def read(done: Any, exit_code: int = 0) -> Any:
    assert done.exit_code == exit_code, done.stdout + done.stderr
    return json.loads(done.stdout)


# requests


def test_requests_of_commands_that_were_not_traced(project: Path, cli: Run) -> None:
    for command, traffic in (("discover", web.Traffic([10, 31], errors=1)), ("init", None)):
        events.append(project, events.Event(command, traffic=traffic), NOW, 0.1)
    done = cli("debug", "requests")
    assert done.exit_code == 0
    assert "DAGLAB_TRACE=1" in done.stderr
    assert "20.5" in done.stdout
    result = read(cli("debug", "requests", "--json", env={"DAGLAB_TRACE": "1"}))
    assert (result["ok"], result["tracing"], result["requests"]) == (True, True, [])
    [operation] = result["operations"]
    expected = {"command": "discover", "requests": 3, "errors": 1, "mean_ms": 20.5, "max_ms": 31}
    assert {name: operation[name] for name in expected} == expected
    events_before = list((project / ".daglab" / "events").iterdir())
    assert [path.read_text().count("\n") for path in events_before] == [2]  # reading leaves no event


def test_what_no_request_has_measured_is_left_empty(project: Path, cli: Run) -> None:
    events.append(project, events.Event("discover", traffic=web.Traffic([], errors=1)), NOW, 0.1)
    done = cli("debug", "requests")
    assert "discover" in done.stdout
    assert "None" not in done.stdout


def test_the_last_requests(project: Path, cli: Run) -> None:
    keep(project, *({**ENTRY, "id": f"{number:012}", "ms": number} for number in range(30)))
    assert [each["ms"] for each in read(cli("debug", "requests", "--json"))["requests"]] == list(range(29, 9, -1))
    result = read(cli("debug", "requests", "--last", "2", "--json"))
    assert [each["id"] for each in result["requests"]] == ["000000000029", "000000000028"]
    assert result["requests"][0]["query"] == "{ things }"
    assert "answer" not in result["requests"][0]
    assert "000000000029" in cli("debug", "requests", "--last", "1").stdout


def test_hostile_files_crash_nothing(project: Path, cli: Run) -> None:
    keep(project, {**ENTRY, "name": "\x1b[31mred", "ms": None, "error": ["x"], "status": {"a": 1}, "command": 7})
    with (project / ".daglab" / "traces" / "requests.jsonl").open("a") as file:
        file.write('{"torn\n')
    (project / ".daglab" / "events").mkdir()
    lines = ['{"v":1,"requests":{"n":1}}', '{"v":1,"requests":{"n":2,"ms":"x"}}', '{"v":1,"requests":[]}', '{"v":1}']
    (project / ".daglab" / "events" / "2026-11.jsonl").write_text("\n".join(lines), encoding="utf-8")
    result = read(cli("debug", "requests", "--json"))
    assert result["unreadable"] == 1
    done = cli("debug", "requests")
    assert (done.exit_code, "\x1b[31m" in done.stdout, "Traceback" in done.stderr) == (0, False, False)
    assert "1 lines of .daglab/traces are left out" in done.stderr
    read(cli("debug", "replay", "aaaa", "--json"), exit_code=7)


# replay


def test_one_request_is_meant(project: Path, cli: Run) -> None:
    keep(
        project, ENTRY, {**ENTRY, "id": "aaaa00000002", "operation": "op2"}, {**ENTRY, "id": "bbbb", "operation": "op2"}
    )
    for text, said in (
        ("cccc", "No request cccc"),
        ("aaaa", "not one request but 2"),
        ("op2", "not one request but 2"),
    ):
        error = read(cli("debug", "replay", text, "--json"), exit_code=7)["error"]
        assert said in error["message"]
    assert debug.find(project, "op1")["id"] == "aaaa00000001"
    assert debug.find(project, "bb")["id"] == "bbbb"
    with pytest.raises(errors.InvalidInput):
        debug.find(project, "")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "mutation"},
        {"query": "mutation Launch { launchRun }"},
        {"query": "# x\nquery A { b } mutation { c }"},
        {"kind": "subscription"},
    ],
)
def test_a_mutation_is_refused(project: Path, cli: Run, change: dict[str, str]) -> None:
    keep(project, {**ENTRY, **change})
    error = read(cli("debug", "replay", "aaaa", "--url", "http://127.0.0.1:1", "--json"), exit_code=2)["error"]
    assert "is a mutation" in error["message"]


def test_it_goes_nowhere_else_unless_it_is_told(project: Path, cli: Run) -> None:
    keep(project, {**ENTRY, "url": "http://elsewhere.test/graphql"})
    error = read(cli("debug", "replay", "aaaa", "--json"), exit_code=7)["error"]
    assert "It was sent to http://elsewhere.test/graphql" in error["message"]
    assert "--url" in error["hint"]
    told = cli("debug", "replay", "aaaa", "--url", "http://127.0.0.1:1", "--json",
               env={"DAGLAB_DAGSTER__GRAPHQL__MAX_RETRIES": "0"})  # fmt: skip
    assert read(told, exit_code=5)["error"]["code"] == "unreachable"


@pytest.mark.parametrize(
    "query",
    [
        "mutation Launch { launchRun }",
        "query A { b } mutation { c }",
        "\ufeff#\nmutation { c }",
        '{ a(text: "}") } mutation { b }',
        '{ a(text: """ } \\""" """) } mutation { b }',
        "fragment F on Query { a } subscription { b }",
    ],
)
def test_a_strangers_trace_launches_nothing(project: Path, cli: Run, dagster: Any, query: str) -> None:
    """Whatever it calls itself, at the address of the user's own choice and with the user's own token."""
    keep(project, {**ENTRY, "url": f"{dagster.url}/graphql", "kind": "query", "name": "Version", "query": query})
    done = cli("debug", "replay", "aaaa", "--url", dagster.url, "--json", env={"DAGSTER_GRAPHQL_TOKEN": "t0k3n-mine"})
    assert "is a mutation" in read(done, exit_code=2)["error"]["message"]
    assert dagster.requests == []


def test_a_strangers_trace_and_config_together_get_no_token(project: Path, cli: Run, dagster: Any) -> None:
    (project / "daglab.yaml").write_text(f"dagster: {{url: '{dagster.url}'}}\n")
    keep(project, {**ENTRY, "url": f"{dagster.url}/graphql", "query": "query Version { version }"})
    done = cli("debug", "replay", "aaaa", "--json", env={"DAGSTER_GRAPHQL_TOKEN": "t0k3n-mine"})
    assert done.exit_code in (0, 4), done.stderr
    assert dagster.authorizations == [None]
    assert "t0k3n-mine" not in str(dagster.requests)


def test_traces_that_lead_out_of_the_project_are_not_read(project: Path, cli: Run, tmp_path_factory: Any) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    keep(project, ENTRY)
    (project / ".daglab" / "traces").rename(elsewhere / "traces")
    (project / ".daglab" / "traces").symlink_to(elsewhere / "traces")
    assert read(cli("debug", "requests", "--json"))["requests"] == []
    read(cli("debug", "replay", "aaaa", "--json"), exit_code=7)


# dump


def test_what_daglab_runs_with(project: Path, cli: Run) -> None:
    (project / "daglab.yaml").write_text(
        "version: 1\ndagster:\n  port: 4444\n  auth:\n    token_env: DAGLAB_MY_TOKEN\n"
        "models:\n  - {name: small, provider: x, base_url: 'https://me:planted-1@models.test'}\n",
        encoding="utf-8",
    )
    planted = {
        "DAGLAB_MY_TOKEN": "planted-2", "DAGSTER_CLOUD_API_TOKEN": "planted-3", "HTTPS_PROXY": "http://me:planted-4@proxy",
        "UNRELATED": "planted-5", "DAGLAB_X__PASSWORD": "planted-6",
    }  # fmt: skip
    for options in (["--json"], []):
        done = cli("debug", "dump", *options, env=planted)
        assert done.exit_code == 0, done.stderr
        assert "planted" not in done.stdout + done.stderr
        assert "4444" in done.stdout
    result = read(cli("debug", "dump", "--json", env=planted))
    assert result["config"]["values"]["dagster.port"]["value"] == 4444
    assert "daglab.yaml" in result["config"]["values"]["dagster.port"]["origin"]
    assert result["versions"]["click"]
    assert set(result["project_python"]["packages"]) > {"dagster", "marimo"}
    assert result["project_python"]["python"] == platform.python_version()
    assert result["environment"]["DAGLAB_MY_TOKEN"] == "***"
    assert "UNRELATED" not in result["environment"]


def test_a_dump_imports_nothing_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "importlib", "platform"):
        (tmp_path / f"{name}.py").write_text("open('was_run', 'w')\n")
    monkeypatch.chdir(tmp_path)
    found = surroundings.project_python(config.load({}))
    assert found["packages"]["marimo"]
    assert not (tmp_path / "was_run").exists()


def test_what_is_not_there_is_told_in_the_dump(project: Path, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's Python, and a package of daglab's own."""
    (project / "daglab.yaml").write_text("version: 1\ndagster: {python: bin/nothing}\n", encoding="utf-8")
    monkeypatch.setattr(surroundings, "OURS", ("click", "not-installed"))
    found = read(cli("debug", "dump", "--json"))
    assert found["project_python"]["executable"].endswith("bin/nothing")
    assert found["project_python"]["error"]
    assert "packages" not in found["project_python"]
    assert surroundings.versions()["not-installed"] is None


def test_a_config_that_is_not_valid_is_a_part_of_the_dump(project: Path, cli: Run) -> None:
    (project / "daglab.yaml").write_text("version: 1\ndagster: {prot: 1}\n", encoding="utf-8")
    result = read(cli("debug", "dump", "--json"))
    assert result["config"]["error"]["code"] == "invalid_input"
    assert result["versions"]["daglab"]
    assert "not valid" in cli("debug", "dump").stdout


def test_the_dump_of_an_environment(project: Path, cli: Run) -> None:
    (project / "daglab.yaml").write_text(
        "version: 1\nenvironments: {prod: {dagster: {port: 4445}}}\n", encoding="utf-8"
    )
    result = read(cli("debug", "dump", "--env", "prod", "--json"))
    assert (result["config"]["environment"], result["config"]["values"]["dagster.port"]["value"]) == ("prod", 4445)


# tokens


def write(project: Path, *lines: object) -> Path:
    path = project / "prompts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_tokens_by_the_characters(project: Path, cli: Run) -> None:
    text = "x" * 400  # 100 tokens
    write(
        project,
        {"text": text, "tokens": 120, "model": "small", "kind": "prompt"},
        {"text": text, "tokens": 50, "model": "small", "kind": "prompt"},
        {"text": text, "tokens": 49, "model": "small", "kind": "prompt"},
        {"text": text, "model": "small", "kind": "completion"},
        {"text": "Hi", "tokens": 3},
    )
    result = read(cli("debug", "tokens", "prompts.jsonl", "--json"), exit_code=4)
    assert (result["texts"], result["counted"], result["methods"]) == (5, 401, ["characters"])
    assert result["why"]
    assert [(each["line"], each["ok"], each["percent"]) for each in result["entries"]] == [
        (1, True, 20.0), (2, True, -50.0), (3, False, -51.0), (5, True, 200.0)
    ]  # fmt: skip
    assert result["events"] == []
    assert read(cli("debug", "tokens", "prompts.jsonl", "--tolerance", "51", "--json"))["ok"] is True
    read(cli("debug", "tokens", "prompts.jsonl", "--tolerance", "10", "--json"), exit_code=4)
    shown = cli("debug", "tokens", "prompts.jsonl")
    assert shown.exit_code == 4
    assert "1 recorded amounts" in shown.stderr


def test_tokens_beside_what_events_have_recorded(project: Path, cli: Run) -> None:
    for amount, kind, day in ((60, "prompt", 20), (45, "prompt", 21), (500, "prompt", 1), (7, "completion", 21)):
        event = events.Event("helpers.record_usage", target="tokens")
        event.usage.append({"name": "tokens", "amount": amount, "labels": {"model": "small", "kind": kind}})
        events.append(project, event, datetime(2026, 11, day, tzinfo=timezone.utc), 0)
    path = write(project, {"text": "x" * 400, "model": "small", "kind": "prompt"})
    [row] = read(cli("debug", "tokens", str(path), "--since", "2026-11-10", "--json"))["events"]
    assert (row["recorded"], row["counted"], row["ok"]) == (105, 100, True)
    [row] = read(cli("debug", "tokens", str(path), "--json"), exit_code=4)["events"]
    assert (row["recorded"], row["ok"]) == (605, False)
    assert token_counts.recorded(project, None) == {("small", "prompt"): 605, ("small", "completion"): 7}
    path = write(project, {"text": "x" * 440, "model": "small"})  # no kind: all of them
    [row] = read(cli("debug", "tokens", str(path), "--since", "2026-11-10", "--json"))["events"]
    assert (row["recorded"], row["counted"]) == (112, 110)


@pytest.mark.parametrize(
    "line", ["[1]", "{", '{"text": 1}', '{"text": "x", "tokens": "9"}', '{"text": "x", "tokens": -1}']
)
def test_a_line_that_is_no_text_is_named(project: Path, cli: Run, line: str) -> None:
    (project / "bad.jsonl").write_text(f'{{"text": "x"}}\n\n{line}\n', encoding="utf-8")
    assert "line 3" in read(cli("debug", "tokens", "bad.jsonl", "--json"), exit_code=7)["error"]["message"]


def test_tokens_by_tiktoken_where_the_projects_python_has_it(project: Path, cli: Run, monkeypatch: Any) -> None:
    """A stand-in of its interface: the real one fetches its encodings from the network."""
    package = project / "packages" / "tiktoken"
    package.mkdir(parents=True)
    (package / "load.py").write_text("def read_file(path): return b''\n", encoding="utf-8")
    (package / "__init__.py").write_text(
        "from tiktoken import load\n"
        "class Words:\n"
        "    name = 'words'\n"
        "    def encode(self, text, disallowed_special): return text.split()\n"
        "def encoding_for_model(model):\n"
        "    if model == 'cached': return Words()\n"
        "    if model == 'elsewhere': load.read_file('https://encodings.test')\n"
        "    raise KeyError(model)\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))
    text = " ".join(["word"] * 100)
    write(project, *({"text": text, "tokens": 100, "model": model} for model in ("cached", "elsewhere", "new", None)))
    result = read(cli("debug", "tokens", "prompts.jsonl", "--json"))
    assert [each["counted"] for each in result["entries"]] == [100, 125, 125, 125]
    assert result["methods"] == ["characters", "tiktoken words"]
    assert [why.partition(" (")[0] for why in result["why"]] == [
        "no model is named", "the encoding of elsewhere is not on this machine", "tiktoken knows no encoding of new"
    ]  # fmt: skip


def test_more_requests_than_can_be_counted_are_wrong_usage(cli: Callable[..., Any]) -> None:
    done = cli("debug", "requests", "--last", "9" * 23, "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]["exit_code"]) == (2, 2)


# replay, against a deployment


def replayed(dagster: Any, project: Path, before: Any, after: dict[str, Any], *more: str) -> Any:
    """A kept query that was answered with `before` and now is with `after`, sent again in this process."""
    dagster.answers["Things"] = after
    keep(project, {**ENTRY, "url": f"{dagster.url}/graphql", "query": "query Things { things }", "answer": before})
    return runners.apart().invoke(debug.command, ["replay", "aaaa", "--url", dagster.url, *more])


def test_an_answer_that_is_the_same_is_said_to_be(project: Path, dagster: Any) -> None:
    done = replayed(dagster, project, {"data": {"things": 1}}, {"things": 1})
    assert (done.exit_code, done.stdout) == (0, "The answer is the same.\n")
    assert "5 ms then" in done.stderr


def test_of_many_differences_the_first_are_printed_and_json_has_all(project: Path, dagster: Any) -> None:
    many = debug.MOST_SHOWN + 3
    before = {"data": {"things": [0] * many}}
    done = replayed(dagster, project, before, {"things": [1] * many})
    assert isinstance(done.exception, errors.NotGood)
    assert f"in {many} places" in done.exception.message
    lines = done.stdout.splitlines()
    assert len(lines) == debug.MOST_SHOWN
    assert all(line.endswith("changed 0 -> 1") for line in lines)
    assert "And 3 more; --json has them all." in done.stderr
    done = replayed(dagster, project, before, {"things": [1] * many}, "--json")
    assert isinstance(done.exception, errors.NotGood)
    assert (done.stdout, len((done.exception.result or {})["differences"])) == ("", many)


def test_an_answer_of_which_only_the_checksum_was_kept_is_compared_by_it(project: Path, dagster: Any) -> None:
    done = replayed(dagster, project, None, {"things": 1})
    assert isinstance(done.exception, errors.NotGood)
    assert "in more than was kept of it" in done.exception.message
    assert done.stdout == ""
