"""Helpers that need no deployment: parameters, declared values, usage, measuring, state, and how things look."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import responses

from daglab import errors, helpers
from daglab.deployment import dagster_api, entities, run_records, runs
from daglab.helpers import display, history, in_process, launching

# --- what is a mutation


@pytest.mark.parametrize(
    "text",
    [
        "mutation { launchRun { __typename } }",
        "mutation M($a: Int = 1) @x { a }",
        "query Q { a } mutation M { b }",
        "fragment F on X { a } # mutation\nmutation M { ...F }",
        '{ a(text: "}") } mutation M { b }',
        '{ a(text: """ } " """) }\nmutation{b}',
        '# "\nmutation { a }',
        "subscription { a }",
        "\ufeff mutation { a }",
        '{ a(text: "\\"") } mutation { b }',
    ],
)
def test_a_mutation_is_one(text: str) -> None:
    assert dagster_api.is_mutation(text)


@pytest.mark.parametrize(
    "text",
    [
        "{ version }",
        "query mutationsOf { mutation { a } }",
        'query Q { a(text: "mutation { x }") }',
        "# mutation M { a }\n{ version }",
        "query Q($x: I = {mutation: 1}) { a }",
        '{ a(text: """ mutation { b } """) }',
        "",
    ],
)
def test_a_query_is_none(text: str) -> None:
    assert not dagster_api.is_mutation(text)


# --- parameters


CONFIG = """
ops:
  model:
    config: {rate: 0.5, rounds: 200, name: bob, fast: true, sizes: [1]}
"""


def test_parameters_and_back() -> None:
    found = helpers.parameters(CONFIG)
    assert found == {
        "ops.model.config.rate": 0.5,
        "ops.model.config.rounds": 200,
        "ops.model.config.name": "bob",
        "ops.model.config.fast": True,
    }
    changed = helpers.with_parameters(CONFIG, {"ops.model.config.rate": 0.25, "ops.model.config.fast": False})
    inner = changed["ops"]["model"]["config"]
    assert (inner["rate"], inner["fast"], inner["rounds"], inner["sizes"]) == (0.25, False, 200, [1])
    assert helpers.with_parameters(CONFIG, found) == helpers.with_parameters(CONFIG, {})
    with pytest.raises(errors.InvalidInput, match="no value at ops"):
        helpers.with_parameters(CONFIG, {"ops.model.gone": 1})


def test_a_key_that_no_place_can_name_is_left_to_the_editor() -> None:
    text = "ops: {a: {config: {v1.2: {n: 1}, 3: {n: 2}, ok: 4}}}"
    assert helpers.parameters(text) == {"ops.a.config.3.n": 2, "ops.a.config.ok": 4}
    assert helpers.with_parameters(text, helpers.parameters(text))["ops"]["a"]["config"]["v1.2"] == {"n": 1}


def test_controls_of_parameters() -> None:
    controls = helpers.parameter_controls(CONFIG)
    assert controls.value == helpers.parameters(CONFIG)


# --- values and usage


def test_a_result_can_be_read_from_the_page() -> None:
    shown = helpers.result("rows <b>", {"n": 42, "text": '"<é>'}).html()
    import html
    import re

    found = re.search(r'data-daglab-result="([^"]*)"', shown)
    assert found
    assert json.loads(html.unescape(found[1])) == {"name": "rows <b>", "value": {"n": 42, "text": '"<é>'}}
    for wrong in (math.nan, {1, 2}, object()):
        with pytest.raises(errors.InvalidInput, match="rows"):
            helpers.result("rows", wrong)


def test_usage_is_kept_in_the_record(tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    helpers.record_usage("tokens", 1200, directory=tmp_path, model="small", kind="prompt")
    [file] = (tmp_path / ".daglab" / "events").iterdir()
    line = json.loads(file.read_text())
    assert line["usage"] == [{"name": "tokens", "amount": 1200, "labels": {"model": "small", "kind": "prompt"}}]
    assert (line["command"], line["target"]) == ("helpers.record_usage", "tokens")
    for wrong in (math.inf, "many", True, None):
        with pytest.raises(errors.InvalidInput, match="no number"):
            helpers.record_usage("tokens", wrong, directory=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidInput, match="label"):
        helpers.record_usage("tokens", 1, directory=tmp_path, model=[1])  # type: ignore[arg-type]


# --- measuring and state


def test_what_is_measured_is_reported(tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    with helpers.track_performance("load", directory=tmp_path) as measured:
        sum(range(1000))
    assert measured.wall > 0

    @helpers.track_performance("parse", directory=tmp_path)
    def parse() -> None:
        raise ValueError("secret")

    with pytest.raises(ValueError, match="secret"):
        parse()
    report = helpers.performance_report(directory=tmp_path)
    assert [measure.name for measure in report.measures] == ["load", "parse"]
    assert "load" in str(report)
    assert "<svg" in report.html()
    assert "secret" not in report.html()
    assert str(helpers.performance_report("gone", directory=tmp_path)) == "Nothing was measured yet."
    assert "<svg" in helpers.performance_chart({"a": [1, 2, 3]}).html()


def test_the_machine() -> None:
    memory = helpers.get_memory_usage()
    assert 0 < memory.resident <= memory.peak < memory.total
    usage = helpers.resource_usage()
    assert usage.disk_free <= usage.disk_total
    assert "MiB" in str(memory)
    assert "disk" in usage.html()
    with pytest.raises(errors.InvalidInput):
        helpers.resource_usage("gone")


def test_the_state_of_a_notebook_is_one_wherever_it_is_asked_for(tmp_path: Path) -> None:
    """By the notebook's own path, by the project's folder, and by `daglab state`, which looks upwards for `.daglab`."""
    (tmp_path / ".daglab").mkdir()
    notebook = tmp_path / "dagster" / "notebooks" / "x.py"
    notebook.parent.mkdir(parents=True)
    one = helpers.manage_state(notebook, defaults={"n": 0})
    two = helpers.manage_state(notebook, defaults={"n": 0}, directory=tmp_path)
    one.change(lambda values: {**values, "n": values["n"] + 1})
    assert two["n"] == 1
    assert one.path.parent == tmp_path / ".daglab" / "state"


def test_a_state_that_can_not_be_read_is_told_and_the_notebook_goes_on(tmp_path: Path) -> None:
    state = helpers.manage_state(tmp_path / "x.py", directory=tmp_path)
    assert helpers.recovery(state) is None
    state.set("known", "the last run")
    assert str(helpers.last_known(state)) == "the last run"
    for path in state.path.parent.glob("*.json*"):
        if not path.name.endswith(".lock"):
            path.write_text("torn")
    assert "daglab state reset" in helpers.recovery(state).text
    assert str(helpers.last_known(state)) == ""


# --- how things look


class Frame:
    """What a data frame of pandas has of what is asked of it."""

    columns = ("a",)

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def head(self, count: int) -> Frame:
        return Frame(self.rows[:count])

    def to_dict(self, kind: str) -> list[dict[str, Any]]:
        assert kind == "records"
        return self.rows


@pytest.mark.parametrize("make", [list, tuple, Frame])
def test_the_preview_of_a_table(make: Any) -> None:
    shown = helpers.preview(make([{"a": f"<{n}>"} for n in range(30)]), rows=3).html()
    assert "of 30" in shown
    assert "&lt;2&gt;" in shown
    assert "&lt;3&gt;" not in shown
    assert shown.count("<tr>") == 4


@pytest.mark.parametrize("value", [5, "x" * 9000, None, [], [1, 2], {"a": 1}, [{"a": 1}, 2]])
def test_the_preview_of_something_else(value: Any) -> None:
    shown = helpers.preview(value).html()
    assert "<pre>" in shown
    assert len(shown) < 3000
    assert str(helpers.preview(value))


class Odd:
    """A value whose own type is of no help."""

    columns = ()

    def __len__(self) -> int:
        raise TypeError("len() of unsized object")

    def head(self, count: int) -> int:
        return count


@pytest.mark.parametrize("value", [Odd(), dict, [{}], [{1: "A" * 5000}]])
def test_the_preview_of_what_is_odd(value: Any) -> None:
    shown = helpers.preview(value).html()
    assert len(shown) < 3000
    assert str(helpers.preview(value))
    assert "AAA" in shown or value != [{1: "A" * 5000}]


@pytest.mark.parametrize(
    ("label", "value"),
    [("a", "\ud800"), ("\ud800", 1), ("", 1), (1, 2), ("a", 10**30), ("a", math.nan), ("a", "x" * 60_000), ("a", {})],
)
def test_metadata_that_dagster_can_not_hold(label: Any, value: Any) -> None:
    """An observation with half a letter can't be read any more, nor taken back: nothing is sent."""
    api = dagster_api.DagsterApi("http://127.0.0.1:3999", None)  # type: ignore[arg-type]  # nothing is asked
    client = helpers.Client(api, None, "1.13")  # type: ignore[arg-type]
    asset = entities.Asset(("a",), None, None, (), {}, (), True, None, (), (), (), "r", "l")
    with pytest.raises(errors.InvalidInput):
        helpers.attach_metadata(client, asset, {label: value})


@pytest.mark.parametrize("notebook", ["/", "", ".", "../../gone/x.py", "a\0b.py", "x"])
def test_what_is_no_notebook_has_no_state(tmp_path: Path, notebook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.InvalidInput, match="no notebook"):
        helpers.manage_state(notebook)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.0000042, "4.2 µs"), (0.25, "250 ms"), (99.9, "99.9 s"), (3599.7, "1:00:00 h"), (125, "2:05 min")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert display.seconds(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(None, ""), (12, "12 B"), (2048, "2 KiB"), (5 * 2**40, "5 TiB")])
def test_sizes(size: float | None, text: str) -> None:
    assert display.size(size) == text


def test_an_error_keeps_the_column_that_it_points_at() -> None:
    shown = display.error(errors.WrongUsage("Wrong:\n  key:<\n      ^", "Mend it."))
    assert "<pre>  key:&lt;\n      ^</pre>" in shown


def test_controls_are_left_out_of_an_export(monkeypatch: pytest.MonkeyPatch) -> None:
    import marimo

    button = marimo.ui.run_button(label="Press")
    assert helpers.controls(button) is button
    monkeypatch.setenv("DAGLAB_EXPORT", "1")
    assert helpers.controls(button) is None
    assert "ops: <1>" not in helpers.controls(button, said="ops: <1>").text
    assert "ops:" in helpers.controls(button, said="ops: <1>").text


def test_a_link_leads_to_http_alone() -> None:
    assert "href" not in display.cell(display.Link("javascript:alert(1)", "x"))
    assert 'href="http://x/?a=1&amp;b=2"' in display.cell(display.Link("http://x/?a=1&b=2", "x"))


# --- history, from figures


def run(number: int, status: str, seconds: float, **steps: float) -> runs.Run:
    made = tuple(runs.Step(key, "SUCCESS", 0.0, took) for key, took in steps.items())
    return runs.Run(f"run{number:05}", status, float(number), number + seconds, made)


def past(*found: runs.Run, local: tuple[float, ...] = ()) -> history.History:
    api = dagster_api.DagsterApi("http://127.0.0.1:3999", None)  # type: ignore[arg-type]  # nothing is asked
    return history.History(helpers.Client(api, None, "1.13"), "orders", found, local)  # type: ignore[arg-type]


def test_the_rate_and_the_times() -> None:
    found = past(run(4, "STARTED", 0), run(3, "SUCCESS", 2), run(2, "FAILURE", 9), run(1, "SUCCESS", 4, a=1, b=2))
    assert found.success_rate == pytest.approx(2 / 3)
    assert found.times == [(1.0, 4.0), (3.0, 2.0)]
    assert "67%" in str(found)
    assert "median of 3 s" in str(found)
    assert found.html().count("<svg") == 2  # no bars beside in-process: nothing ran here
    assert past(run(1, "SUCCESS", 4), local=(0.5,)).html().count("<svg") == 2
    assert past().success_rate is None
    assert "No run of orders" in str(past())


def test_an_evaluation_is_within_one_partition() -> None:
    from daglab.deployment import materializations

    made = [
        materializations.Materialization(f"r{n}", float(n), partition, {"loss": value, "note": "x", "ok": True})
        for n, (partition, value) in enumerate([("a", 3.0), ("b", 9.0), ("a", 1.0)])
    ]
    metrics = history.Metrics((history.Made("model", tuple(made)),))
    assert metrics.evaluation()._rows(metrics.made[0]) == [("loss", {"last": 1.0, "before": 3.0})]
    heads, rows = metrics.table()
    assert heads == ["run", "at", "model: loss"]
    assert [row[2] for row in rows] == ["1", "9", "3"]


def test_what_is_different_between_runs() -> None:
    record = run_records.Record("r1", "SUCCESS", "j", "l", (), {}, 1.0, 3.0, 3.0)
    one = run_records.Detail(record, run(1, "SUCCESS", 2, a=1), "x: 1\n", None, ())
    other = run_records.Detail(record, run(2, "FAILURE", 4, a=2), "x: 2\n", None, ())
    found = launching.Comparison(("r1", "r2"), run_records.compare(one, other))
    assert "2.00" in found.html()
    assert "+x: 2" in found.html()
    assert "status: SUCCESS -> SUCCESS" in str(found)


def test_a_token_is_no_argument() -> None:
    with pytest.raises(errors.InvalidInput, match="not the token itself") as caught:
        helpers.connect("http://127.0.0.1:1", "sesame-open-12345")
    assert "sesame" not in str(caught.value) + str(caught.value.hint)
    with pytest.raises(errors.InvalidInput, match="empty"):
        helpers.connect("")


@pytest.mark.parametrize("tag", ["daglab/launch_id", "dagster/backfill", "dagster/partition"])
def test_a_tag_of_daglabs_or_dagsters_own_launches_nothing(tag: str) -> None:
    api = dagster_api.DagsterApi("http://127.0.0.1:3999", None)  # type: ignore[arg-type]  # nothing is asked
    client = helpers.Client(api, None, "1.13")  # type: ignore[arg-type]
    for launch in (helpers.run_assets, helpers.run_job):
        with pytest.raises(errors.WrongUsage, match=tag):
            launch(client, "orders", tags={tag: "x"})  # type: ignore[operator]


@responses.activate
def test_an_empty_choice_launches_nothing() -> None:
    api = dagster_api.DagsterApi("http://127.0.0.1:3999", None)  # type: ignore[arg-type]  # nothing is asked
    client = helpers.Client(api, None, "1.13")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidInput, match="no asset"):
        launching._target(client, [])
    with pytest.raises(errors.InvalidInput, match="no asset"):
        in_process.run_inprocess(client, [], "x")
