"""Notebooks as assets, materialised by Dagster in this process."""

from __future__ import annotations

import inspect
import json
import os
import random
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daglab import asset_pages, errors
from daglab.assets import checked, notebook_asset
from daglab.deployment import metadata
from daglab.exported import export_record
from daglab.exporting import uploads
from daglab.settings import config

dagster = pytest.importorskip("dagster")

NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    from daglab import helpers

    given = mo.cli_args().to_dict()
    helpers.result("given", given)
    return given, helpers


@app.cell
def _(given):
    import os
    import time
    from pathlib import Path

    if given.get("fail"):
        raise ValueError("boom é")
    if given.get("wait"):
        Path(given["wait"]).write_text(str(os.getpid()))
        time.sleep(600)
    return


if __name__ == "__main__":
    app.run()
"""
DAYS = dagster.DailyPartitionsDefinition(start_date="2026-11-01", end_date="2026-11-05")
REGIONS = dagster.StaticPartitionsDefinition(["north", "so/uth"])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "daglab.yaml").write_text("version: 1\n")
    (tmp_path / ".daglab").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "orders.py").write_text(NOTEBOOK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    return tmp_path


def asset(project: Path, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dagster's own
        return notebook_asset(project / "notebooks" / "orders.py", **options)


def materialise(one: Any, values: Any = None, partition: Any = None, tags: Any = None) -> Any:
    """The metadata of the materialisation by label, or the failure that the step ended with."""
    name = one.node_def.name
    run_config = {"ops": {name: {"config": values}}} if values else None
    with warnings.catch_warnings(), dagster.DagsterInstance.ephemeral() as instance:
        warnings.simplefilter("ignore")  # Dagster's own
        done = dagster.materialize(
            [one], instance=instance, run_config=run_config, partition_key=partition, raise_on_error=False, tags=tags
        )
    if done.success:
        return [event.metadata for event in done.asset_materializations_for_node(name)]
    [failed] = [event for event in done.all_node_events if event.is_step_failure]
    return failed.event_specific_data


def recorded(project: Path) -> list[dict[str, Any]]:
    lines = (project / ".daglab" / "exports.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_it_materialises_with_a_link_and_what_the_notebook_declares(project: Path) -> None:
    one = asset(project, key="reports/orders", params={"days": 7, "name": "a b", "many": [1, 2]}, group_name="mart")
    [metadata] = materialise(one, {"days": 3, "more": True})
    given = {"days": 3, "name": "a b", "many": [1, 2], "more": True}
    page = project / "exports" / "assets" / "reports" / "orders.html"
    assert isinstance(metadata["exploration"], dagster.UrlMetadataValue)
    assert metadata["exploration"].value == "http://127.0.0.1:3030/exports/assets/reports/orders.html"
    assert isinstance(metadata["html"], dagster.PathMetadataValue)
    assert metadata["html"].value == str(page)
    assert metadata["result/given"].value == given
    assert metadata["parameters"].value == given
    assert metadata["html_bytes"].value == page.stat().st_size
    [line] = recorded(project)
    assert (line["output"], line["targets"], line["expires_at"]) == (
        "exports/assets/reports/orders.html",
        ["asset:reports/orders"],
        None,
    )
    assert [each["via"] for each in line["attached"]] == ["materialization"]
    kinds = one.tags_by_key[one.key] if hasattr(one, "tags_by_key") else {}
    assert "dagster/kind/marimo" in kinds


@pytest.mark.long
def test_a_cell_that_fails_fails_the_step_and_leaves_the_good_page(project: Path) -> None:
    one = asset(project)
    materialise(one)
    good = (project / "exports" / "assets" / "orders.html").read_bytes()
    failed = materialise(one, {"fail": True})
    assert "cell 2: ValueError: boom é" in failed.user_failure_data.description
    link = failed.user_failure_data.metadata["exploration"].value
    assert link.endswith("/exports/assets/orders.failed.html")
    assert b"boom" in (project / "exports" / "assets" / "orders.failed.html").read_bytes()
    assert (project / "exports" / "assets" / "orders.html").read_bytes() == good
    assert [(line["ok"], len(line["attached"])) for line in recorded(project)] == [(True, 1), (False, 0)]


@pytest.mark.long
def test_partitions_are_parameters(project: Path) -> None:
    [metadata] = materialise(asset(project, partitions_def=DAYS), partition="2026-11-02")
    assert metadata["result/given"].value == {
        "partition": "2026-11-02",
        "partition_start": "2026-11-02T00:00:00+00:00",
        "partition_end": "2026-11-03T00:00:00+00:00",
    }
    both = dagster.MultiPartitionsDefinition({"day": DAYS, "region": REGIONS})
    key = dagster.MultiPartitionKey({"day": "2026-11-02", "region": "so/uth"})
    [metadata] = materialise(asset(project, partitions_def=both), {"region": "ignored"}, partition=key)
    assert metadata["result/given"].value == {
        "partition": "2026-11-02|so/uth",
        "day": "2026-11-02",
        "region": "so/uth",
    }
    outputs = {line["output"] for line in recorded(project)}
    assert "exports/assets/orders@2026-11-02.html" in outputs
    assert len(outputs) == 2


@pytest.mark.long
@pytest.mark.parametrize("times", [True, False])
def test_one_run_for_several_partitions(project: Path, times: bool) -> None:
    policy = dagster.BackfillPolicy.single_run()
    one = asset(project, partitions_def=DAYS if times else REGIONS, backfill_policy=policy)
    ends = ("2026-11-01", "2026-11-03") if times else ("north", "so/uth")
    names = ("start", "end")
    tags = {f"dagster/asset_partition_range_{name}": end for name, end in zip(names, ends, strict=True)}
    found = materialise(one, tags=tags)
    if times:
        assert len(found) == 3
        assert found[0]["result/given"].value == {
            "partition_start": "2026-11-01T00:00:00+00:00",
            "partition_end": "2026-11-04T00:00:00+00:00",
        }
    else:
        assert "One run of several partitions" in found.user_failure_data.description


def test_config_is_checked_by_the_defaults(project: Path) -> None:
    one = asset(project, params={"days": 7, "rate": 0.5, "is_new": False, "name": "x"})
    for values in ({"days": "x"}, {"is_new": 3}, {"name": 1}):
        with pytest.raises(dagster.DagsterInvalidConfigError):
            materialise(one, values)
    failed = materialise(one, {"other": {"deep": 1}})
    assert "other is {'deep': 1}" in failed.user_failure_data.description


@pytest.mark.long
def test_an_upload_is_checked_before_the_notebook_runs(project: Path) -> None:
    place = project / "place"
    one = asset(project, upload=f"file://{place}")
    failed = materialise(one, {"wait": str(project / "ran")})
    assert str(place) in failed.user_failure_data.description
    assert not (project / "ran").exists()
    place.mkdir()
    [metadata] = materialise(one)
    assert metadata["uploaded_to"].value == f"file://{place}/assets/orders.html"
    kept = project / "exports" / "assets" / "orders.html"
    assert (place / "assets" / "orders.html").read_bytes() == kept.read_bytes()
    materialise(one, {"fail": True})
    assert sorted(path.name for path in (place / "assets").iterdir()) == ["orders.failed.html", "orders.html"]
    uploads = [line["upload"]["address"] for line in recorded(project) if line.get("upload")]
    assert [address.rpartition("/")[2] for address in uploads] == ["orders.html", "orders.failed.html"]


@pytest.mark.long
def test_an_upload_that_is_refused_fails_the_step_and_keeps_the_page(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "place").mkdir()

    def refuse(*_: object) -> None:
        raise errors.NotAuthorised("The key is of yesterday.", "Take another one.")

    monkeypatch.setattr(uploads, "put", refuse)
    failed = materialise(asset(project, upload=f"file://{project / 'place'}"))
    assert "The key is of yesterday." in failed.user_failure_data.description
    assert (project / "exports" / "assets" / "orders.html").is_file()
    assert not recorded(project)[-1].get("upload")


def test_sign_needs_a_place(project: Path) -> None:
    failed = materialise(asset(project, sign=timedelta(days=7)))
    assert "there is no place" in failed.user_failure_data.description


@pytest.mark.long
def test_where_exports_can_not_be_written_the_page_is_kept_and_a_warning_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "exports").write_text("a file")
    (project / "elsewhere").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(project / "elsewhere"))
    [metadata] = materialise(asset(project))
    assert "exploration" not in metadata
    assert "name a place with upload=" in metadata["warning"].value
    assert Path(metadata["html"].value).read_bytes()
    place = project / "place"
    place.mkdir()
    before = set((project / "elsewhere").iterdir())
    [metadata] = materialise(asset(project, upload=f"file://{place}"))
    assert not {"html", "warning"} & metadata.keys()
    assert set((project / "elsewhere").iterdir()) == before


@pytest.mark.long
def test_an_upload_nobody_knows_the_end_of_stays_on_record_as_begun(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where exports/ leads out of the project, and so no page is kept there."""
    for name in ("place", "out"):
        (project.parent / f"{project.name}-{name}").mkdir()
    out, place = (project.parent / f"{project.name}-{name}" for name in ("out", "place"))
    (project / "exports").symlink_to(out)

    def lose(*_: object) -> None:
        raise errors.OutcomeUnknown("The store did not answer.", "Look there.")

    monkeypatch.setattr(uploads, "put", lose)
    failed = materialise(asset(project, upload=f"file://{place}"))
    assert "The store did not answer." in failed.user_failure_data.description
    assert list(out.iterdir()) == []
    [begun] = export_record.unfinished(project)
    assert [step["address"] for step in begun["steps"]] == [f"file://{place}/assets/orders.html"]


def test_a_kind_of_value_that_an_older_dagster_lacks_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    when = "2026-11-22T08:00:00+00:00"
    if hasattr(dagster.MetadataValue, "timestamp"):  # 1.5 has none
        assert metadata.typed("timestamp", when).value == datetime.fromisoformat(when).timestamp()
        monkeypatch.delattr(dagster.MetadataValue, "timestamp")
    assert metadata.typed("timestamp", when) == dagster.MetadataValue.text(when)


@pytest.mark.long
def test_a_page_in_a_container_of_its_own_is_lost_with_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_RUN_JOB_NAME", "job")
    [metadata] = materialise(asset(project))
    is_volume = project.stat().st_dev != os.stat("/").st_dev
    assert (metadata.get("exploration") is not None, metadata.get("warning") is None) == (is_volume, is_volume)


@pytest.mark.slow
def test_a_notebook_that_takes_too_long_is_ended(project: Path) -> None:
    failed = materialise(asset(project, timeout=5.0, params={"wait": str(project / "pid")}))
    assert "was still running after 5 s" in failed.user_failure_data.description
    pid = int((project / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_notebook_that_is_gone_fails_its_step_alone(project: Path) -> None:
    one = notebook_asset(project / "notebooks" / "gone.py")
    failed = materialise(one)
    assert "There is no notebook" in failed.user_failure_data.description
    with pytest.raises(errors.InvalidInput):
        notebook_asset(project / "notebooks" / "orders.ipynb")


def test_a_broken_config_fails_the_step_and_says_where(project: Path) -> None:
    (project / "daglab.yaml").write_text("version: 1\nexprot: {}\n")
    failed = materialise(asset(project))
    assert "exprot" in failed.user_failure_data.description


def test_dependencies_are_keys(project: Path) -> None:
    upstream = dagster.AssetKey(["src", "totals"])
    one = asset(project, key=["reports", "x"], deps=["orders", "src/totals"])
    assert set(one.dependency_keys) == {dagster.AssetKey("orders"), upstream}
    assert one.key == dagster.AssetKey(["reports", "x"])
    assert set(asset(project, deps=[upstream]).dependency_keys) == {upstream}


def test_a_relative_path_starts_at_the_project(project: Path) -> None:
    code = project / "shop" / "inner"
    code.mkdir(parents=True)
    for folder in (code, code.parent):
        (folder / "__init__.py").touch()
    assert asset_pages.project_root(code) == project
    (project / "daglab.yaml").unlink()
    above = [path for path in project.parents if any((path / mark).exists() for mark in asset_pages.MARKS)]
    assert asset_pages.project_root(code) == (above[0] if above else project)  # the package's own folder
    (code.parent / "pyproject.toml").touch()
    assert asset_pages.project_root(code) == code.parent
    (code / "defs.py").write_text("from daglab.assets import notebook_asset\npage = notebook_asset('notebooks/x.py')\n")
    scope: dict[str, Any] = {}
    exec(compile((code / "defs.py").read_text(), str(code / "defs.py"), "exec"), scope)
    closure = inspect.getclosurevars(scope["page"].op.compute_fn.decorated_fn).nonlocals
    inner = inspect.getclosurevars(closure["of"]).nonlocals
    assert inner["path"] == code.parent / "notebooks" / "x.py"


def test_parameters_are_what_marimo_reads_from_a_command_line() -> None:
    from marimo._cli.parse_args import parse_args

    rng = random.Random(8)
    texts = ["a b", "x=y", "-dash", "--", "é\n", "", " spaced", "2026-01-01", "a|b"]
    for _ in range(200):
        values: dict[str, Any] = {}
        for number in range(rng.randrange(5)):
            one = [rng.choice(texts), rng.randrange(-9, 9), rng.random(), rng.random() < 0.5]
            value = rng.choice(one)
            values[f"p{number}"] = rng.choice([value, [value, rng.choice(one)]])
        assert parse_args(asset_pages.arguments(checked(values))) == values


@pytest.mark.parametrize("wrong", [{"a": None}, {"a": {}}, {"a": [[1]]}, {"a": float("nan")}, {"a-b": 1}, {"": 1}])
def test_what_a_command_line_can_not_take(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidInput):
        checked(wrong)


def test_no_two_pages_have_one_name(tmp_path: Path) -> None:
    parts = ["a", "b", "a.failed", "a.html", "a@b", "a/b", "a b", "a_b", "..", ".", "-x", "é", "x" * 300, "x" * 301]
    seen: dict[str, Any] = {}
    for key in [(one,) for one in parts] + [(one, two) for one in parts for two in parts]:
        for partition in (None, *parts):
            step = asset_pages.Step(tmp_path, tmp_path, key, partition, {})
            for failed in ("", ".failed"):
                name = f"{asset_pages.page_name(step)}{failed}.html"
                assert seen.setdefault(name, (key, partition, failed)) == (key, partition, failed)
                assert all(part not in ("", ".", "..") and len(part) < 250 for part in name.split("/"))


def test_secrets_of_the_environment_reach_the_notebook_and_no_record(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "s3cret-of-the-shop")
    notebook = project / "notebooks" / "orders.py"
    look = 'helpers.result("letters", len(__import__("os").environ["SHOP_PASSWORD"]))'
    notebook.write_text(NOTEBOOK.replace('helpers.result("given", given)', look))
    [metadata] = materialise(asset(project, params={"password": "geheim-12345"}))
    assert metadata["result/letters"].value == len("s3cret-of-the-shop")
    assert "geheim" not in str(metadata)
    assert "geheim" not in (project / ".daglab" / "exports.jsonl").read_text()


def test_the_config_is_the_projects(project: Path) -> None:
    (project / "daglab.yaml").write_text(
        "version: 1\nexport: {base_url: 'https://reports.example', compress: true}\n"
        "defaults: {attach_metadata_key: report}\n"
    )
    [metadata] = materialise(asset(project))
    assert metadata["report"].value == "https://reports.example/exports/assets/orders.html.gz"
    assert config.load(directory=project).export.compress
