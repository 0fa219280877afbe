"""What the benchmarks' figures become: a table in a page, what is kept of them, and what is worse than before."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FOLDER = REPOSITORY / "scripts" / "bench"
ROW = {"ms": 1234.5, "base_ms": 1000.0, "ratio": 1.2345, "bound": 1.3, "peak_mib": 14.06, "rounds": 2}


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    """The modules of the folder, which import each other by their bare names."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: _module(name) for name in ("pairs", "benchmarks", "profiles")}
    finally:
        sys.path.remove(str(FOLDER))
        for name in ("pairs", "benchmarks", "profiles"):
            sys.modules.pop(name, None)


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bench(scripts: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The driver over a page and a file of its own, with two benchmarks."""
    driver = scripts["benchmarks"]
    monkeypatch.setattr(driver, "BENCHES", {"good": (), "bad": (), "later": ()})
    monkeypatch.setattr(driver, "STORED", tmp_path / "performance.json")
    monkeypatch.setattr(driver, "PAGE", tmp_path / "performance.md")
    places = [f"## {name}\n\nWords.\n\n{_place(name, 'old')}" for name in driver.BENCHES]
    driver.PAGE.write_text("\n".join(places), encoding="utf-8")
    return driver


def _place(name: str, text: str) -> str:
    return f"<!-- {name}: written by make bench -->\n{text}\n<!-- end of {name} -->\n"


def test_a_table_has_each_figure_that_any_case_has(scripts: dict[str, ModuleType]) -> None:
    text = scripts["benchmarks"].table({"one": ROW, "two": {"ms": 0.05, "added_us": 3.0}})
    assert text.splitlines() == [
        "| | ms | beside: ms | ratio | bound | peak MiB | added µs | rounds |",
        "|---|---|---|---|---|---|---|---|",
        "| one | 1,234 | 1,000 | 1.23 | 1.3 | 14.1 | | 2 |",
        "| two | 0.05 | | | | | 3 | |",
    ]


def test_a_table_is_written_into_its_place_and_nothing_else_changes(bench: ModuleType) -> None:
    page = bench.PAGE.read_text(encoding="utf-8")
    once = bench.written(page, "bad", {"one": {"ms": 1.0}})
    assert once == page.replace(_place("bad", "old"), _place("bad", "| | ms |\n|---|---|\n| one | 1 |"))
    assert bench.written(once, "bad", {"one": {"ms": 1.0}}) == once
    with pytest.raises(ValueError, match="no place for nowhere"):
        bench.written(page, "nowhere", {})


@pytest.mark.parametrize(
    ("before", "now", "named"),
    [(1.0, 1.15, False), (1.0, 1.16, True), (1.0, 0.5, False), (0.05, 0.06, True), (None, 9.0, False)],
)
def test_a_ratio_is_named_when_it_is_more_than_15_percent_worse(
    bench: ModuleType, before: float | None, now: float, named: bool
) -> None:
    stored = {"case": {"ratio": before} if before else {"ms": 1.0}, "gone": {"ratio": 1.0}}
    found = bench.worse(stored, {"case": {"ratio": now}, "new": {"ratio": 5.0}})
    assert [line.split(":")[0] for line in found] == ["case"] * named


def test_what_is_measured_seldom_stays_and_what_is_gone_goes(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "SELDOM", {"good": ("a million",)})
    stored = {"good": {"cases": {"a million": {"ms": 1.0}, "renamed": {"ms": 2.0}}}}
    assert bench.kept(stored, "good", {"new": ROW}) == {"new": ROW, "a million": {"ms": 1.0}}
    assert bench.kept(stored, "good", {"a million": ROW}) == {"a million": ROW}
    assert bench.kept({}, "later", {"new": ROW}) == {"new": ROW}


def test_one_that_fails_is_named_and_the_others_run_on(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "measure", lambda name, rounds: None if name == "bad" else {name: ROW})
    assert bench.bench(["good", "bad", "later"], 2) == ["bad failed"]
    assert list(json.loads(bench.STORED.read_text(encoding="utf-8"))) == ["good", "later"]
    page = bench.PAGE.read_text(encoding="utf-8")
    assert "| later | 1,234 |" in page
    assert _place("bad", "old") in page
    assert bench.compare(["good", "bad", "later"], 2) == ["bad: failed"]


@pytest.mark.parametrize(("second", "wrong"), [(1.2, []), (1.9, ["good: case: 1.9, 58 % worse than 1.2"])])
def test_a_worse_ratio_has_to_be_so_twice(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, second: float, wrong: list[str]
) -> None:
    bench.STORED.write_text(json.dumps({"good": {"cases": {"case": {"ratio": 1.2}}}}), encoding="utf-8")
    answers = iter([2.0, second])
    monkeypatch.setattr(bench, "measure", lambda *_: {"case": {"ratio": next(answers)}})
    assert bench.compare(["good"], None) == wrong


def test_a_ratio_beyond_its_bound_is_said(bench: ModuleType) -> None:
    assert bench.beyond({"one": ROW, "two": {"ratio": 9.0}, "three": {"bound": 1.0}}) == []
    assert bench.beyond({"one": {**ROW, "ratio": 1.31}}) == ["one: 1.31 is beyond its bound of 1.3"]


def test_the_memory_of_a_command_is_not_that_of_who_measures_it(scripts: dict[str, ModuleType]) -> None:
    pairs = scripts["pairs"]
    much = b"x" * (200 << 20)
    _, _, peak = pairs.measure(pairs.Command([sys.executable, "-S", "-c", "pass"]))
    assert 1_000 < peak < len(much) / 1024
    with pytest.raises(SystemExit, match="failed with 7"):
        pairs.measure(pairs.Command([sys.executable, "-S", "-c", "raise SystemExit(7)"]))


def test_each_benchmark_has_its_place_in_the_page_and_its_stored_figures(scripts: dict[str, ModuleType]) -> None:
    driver = scripts["benchmarks"]
    stored, page = driver.read(), driver.PAGE.read_text(encoding="utf-8")
    for name in driver.BENCHES:
        assert (FOLDER / f"{name}.py").is_file()
        assert driver.written(page, name, stored[name]["cases"]) == page, (
            f"the page does not say what is stored of {name}"
        )
    assert list(stored) == list(driver.BENCHES)


def test_a_profile_names_the_functions_of_what_was_started(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "profiles.py"), "--one", "explain", "--help"]
    env = {"DAGLAB_BENCH_PROFILE": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [found] = tmp_path.glob("*.prof")
    assert found.stat().st_size > 1000
    assert "importtime" not in done.stdout
    assert "daglab.cli" in scripts["profiles"].imports(["-m", "daglab", "--version"])


def test_profile_names_what_there_is() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "profiles.py"), "x"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "startup" in done.stderr
    assert "pairs" not in done.stderr
