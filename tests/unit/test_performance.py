"""What an operation costs: measured, kept, read again; what the machine has."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import json
import math
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, events, performance

MEBIBYTE = 1 << 20
SAMPLE = performance.Measure("load", ("all", "load"), 1_790_000_000.25, 1.5, 0.25, 90_000_000, 4096, True, None)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".daglab").mkdir()
    return tmp_path


def spin(seconds: float) -> None:
    """Use up so much CPU time."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


# tracking


def test_what_an_operation_has_cost() -> None:
    before, cpu_before, wall_before = time.time(), time.process_time(), time.perf_counter()
    with performance.track("load") as operation:
        spin(0.02)
    cpu, wall = time.process_time() - cpu_before, time.perf_counter() - wall_before
    assert (operation.name, operation.path, operation.ok, operation.error) == ("load", ("load",), True, None)
    assert before <= operation.started <= time.time()
    assert 0.02 <= operation.cpu <= cpu
    assert 0 < operation.wall <= wall
    assert operation.peak_memory <= events.peak_memory()


def test_while_it_runs_its_figures_are_those_so_far() -> None:
    with performance.track("load") as operation:
        first = operation.wall
        spin(0.001)
        assert 0 < first < operation.wall
        assert operation.cpu >= 0.001
        assert (operation.ok, operation.error) == (None, None)
        assert operation.peak_memory > MEBIBYTE
    wall, cpu = operation.wall, operation.cpu
    spin(0.001)
    assert (operation.wall, operation.cpu) == (wall, cpu)


def test_the_growth_is_of_the_peak_and_of_nothing_below_it() -> None:
    """In a process of its own, whose peak nothing else has raised."""
    code = """
from daglab import performance
with performance.track("first") as first:
    block = b"x" * (64 << 20)
del block
with performance.track("second") as second:
    block = b"x" * (16 << 20)
print(first.memory_growth, first.peak_memory, second.memory_growth, second.peak_memory)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    growth, peak, growth_below, peak_after = map(int, done.stdout.split())
    assert 60 * MEBIBYTE < growth < 80 * MEBIBYTE < peak + 16 * MEBIBYTE
    assert 0 <= growth_below < 2 * MEBIBYTE
    assert abs(peak_after - peak) < 2 * MEBIBYTE  # Linux counts pages in lots


def test_an_operation_knows_those_around_it() -> None:
    with performance.track("all") as outer:
        with performance.track("load") as inner, performance.track("parse") as innermost:
            pass
        with performance.track("save") as second:
            pass
    with performance.track("alone") as after:
        pass
    paths = [each.path for each in (outer, inner, innermost, second, after)]
    assert paths == [("all",), ("all", "load"), ("all", "load", "parse"), ("all", "save"), ("alone",)]
    assert innermost.wall <= inner.wall <= outer.wall


@pytest.mark.parametrize(
    ("error", "name"), [(ValueError("secret"), "ValueError"), (KeyboardInterrupt(), "KeyboardInterrupt")]
)
def test_an_exception_goes_on_and_is_noted_by_its_type(error: BaseException, name: str) -> None:
    measures: list[performance.Measure] = []
    with pytest.raises(type(error)) as caught, performance.track("load", measures.append) as operation:
        raise error
    assert caught.value is error
    assert (operation.ok, operation.error) == (False, name)
    assert (measures[0].ok, measures[0].error) == (False, name)
    assert "secret" not in repr(measures)
    with performance.track("next") as after:
        pass
    assert after.path == ("next",)


def test_the_measure_is_what_the_operation_shows() -> None:
    measures: list[performance.Measure] = []
    with performance.track("all"), performance.track("load", on_end=measures.append) as operation:
        assert measures == []
    (measure,) = measures
    for name in performance.Measure.__dataclass_fields__:
        assert getattr(measure, name) == getattr(operation, name), name


def test_a_decorated_function_stays_what_it_was() -> None:
    measures: list[performance.Measure] = []

    @performance.track("add", measures.append)
    def add(one: int, other: int = 2) -> int:
        """Add."""
        return one + other

    assert (add.__name__, add.__doc__) == ("add", "Add.")
    assert [add(1), add(1, other=5)] == [3, 6]
    assert [measure.path for measure in measures] == [("add",), ("add",)]


def test_a_function_that_calls_itself_is_measured_each_time() -> None:
    measures: list[performance.Measure] = []

    @performance.track("down", measures.append)
    def down(depth: int) -> int:
        return depth and 1 + down(depth - 1)

    assert down(3) == 3
    assert [len(measure.path) for measure in measures] == [4, 3, 2, 1]
    walls = [measure.wall for measure in measures]
    assert walls == sorted(walls)


def test_one_tracker_in_many_threads() -> None:
    """All are inside of it at once, and none takes another's for its own or for the one around it."""
    measures: list[performance.Measure] = []
    tracker, together = performance.track("work", measures.append), threading.Barrier(8)
    inside: dict[int, performance.Operation] = {}

    def work(number: int) -> None:
        with contextlib.suppress(ZeroDivisionError), tracker as operation:
            inside[number] = operation
            together.wait(30)
            1 // (number % 2)
            with tracker:
                pass

    with performance.track("main"):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert [inside[number].ok for number in range(8)] == [False, True] * 4
    assert {operation.path for operation in inside.values()} == {("work",)}
    assert sorted(measure.path for measure in measures) == [("work",)] * 8 + [("work", "work")] * 4


def test_an_operation_that_is_over_before_the_one_inside_of_it() -> None:
    """As of a generator that is read to its end while something else runs."""

    def numbers() -> Iterator[int]:
        with performance.track("numbers") as operation:
            found.append(operation)
            yield 1

    found: list[performance.Operation] = []
    reader = numbers()
    next(reader)
    with performance.track("else") as other:
        assert list(reader) == []
        assert found[0].ok is True
        with performance.track("inside") as inside:
            pass
        assert other.ok is None
    with performance.track("after") as after:
        pass
    assert [other.path, inside.path, after.path] == [("numbers", "else"), (*other.path, "inside"), ("after",)]


def test_an_operation_may_end_in_another_context() -> None:
    """As where a web framework begins it in one thread and ends it in another."""
    measures: list[performance.Measure] = []
    tracker = performance.track("request", measures.append)
    operation = contextvars.copy_context().run(tracker.__enter__)
    contextvars.copy_context().run(tracker.__exit__, None, None, None)
    assert operation.ok is True
    contextvars.copy_context().run(tracker.__exit__, None, None, None)
    assert len(measures) == 1


async def a_coroutine() -> None:
    pass


async def an_async_generator() -> AsyncIterator[int]:
    yield 1


def a_generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("function", [a_coroutine, an_async_generator, a_generator, functools.partial(a_generator)])
def test_a_function_that_returns_before_its_work_is_refused(function: Callable[[], Any]) -> None:
    with pytest.raises(errors.InvalidInput, match=r"a_coroutine|generator") as caught:
        performance.track("load")(function)
    assert caught.value.hint


def test_a_tracker_without_a_name_is_refused() -> None:
    with pytest.raises(errors.InvalidInput, match="name"):
        performance.track(lambda: None)  # type: ignore[arg-type]


# keeping and reading


def test_what_is_kept_is_read_again(project: Path) -> None:
    failed = replace(SAMPLE, ok=False, error="ValueError", started=SAMPLE.started + 1)
    for measure in (SAMPLE, failed):
        performance.record(project, measure)
    assert performance.read(project) == [SAMPLE, failed]
    (path,) = (project / ".daglab" / "events").iterdir()
    first, second = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    expected = {
        "command": "helpers.track", "target": "load", "ok": True, "exit_code": 0, "error_code": None, "seconds": 1.5,
        "at": "2026-09-21T14:13:20.250+00:00",
        "detail": {
            "name": "load", "path": ["all", "load"], "started_at": "2026-09-21T14:13:20.250000+00:00", "wall_s": 1.5,
            "cpu_s": 0.25, "peak_memory_bytes": 90_000_000, "memory_growth_bytes": 4096, "ok": True, "error": None,
        },
    }  # fmt: skip
    assert {name: first[name] for name in expected} == expected
    assert (second["ok"], second["exit_code"], second["detail"]["error"]) == (False, 1, "ValueError")


def test_the_last_of_a_name_oldest_first(project: Path) -> None:
    for number in range(6):
        for name in ("load", "save"):
            performance.record(project, replace(SAMPLE, name=name, wall=float(number)))
    assert [each.wall for each in performance.read(project, "load", last=3)] == [3, 4, 5]
    assert [each.name for each in performance.read(project, last=3)] == ["save", "load", "save"]
    assert len(performance.read(project, "load")) == 6
    assert performance.read(project, "load", last=0) == performance.read(project, "other") == []


def test_what_somebody_else_has_written_is_left_out(project: Path) -> None:
    performance.record(project, SAMPLE)
    (path,) = (project / ".daglab" / "events").iterdir()
    line = json.loads(path.read_text(encoding="utf-8"))
    detail = line["detail"]
    others: list[Any] = [
        None, [], "text", 5, {}, {**detail, "wall_s": None}, {**detail, "wall_s": math.nan}, {**detail, "path": 1},
        {**detail, "cpu_s": math.inf}, {**detail, "wall_s": 10**400}, {**detail, "started_at": "now"},
        {**detail, "peak_memory_bytes": [1]}, {**detail, "memory_growth_bytes": math.inf},
    ]  # fmt: skip
    with path.open("a", encoding="utf-8") as file:
        for other in others:
            file.write(json.dumps({**line, "detail": other}) + "\n")
        file.write(json.dumps({**line, "v": 2}) + "\n" + json.dumps(line)[:-9])
    assert performance.read(project) == [SAMPLE]


def test_nothing_is_kept_outside_of_a_project(tmp_path: Path) -> None:
    performance.record(tmp_path, SAMPLE)
    assert list(tmp_path.iterdir()) == []
    assert performance.read(tmp_path) == []


def test_a_full_disk_does_not_stop_the_work(project: Path) -> None:
    """The limit on a file's size does what a full disk does."""
    code = """
import functools, resource, sys
from pathlib import Path
from daglab import performance
resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))
with_record = functools.partial(performance.record, Path(sys.argv[1]))
for _ in range(5):
    with performance.track("load", with_record) as operation:
        pass
print(operation.ok)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(project)], capture_output=True, text=True, check=False,
        cwd=Path(performance.__file__).parent.parent,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "True\n")
    assert done.stderr.count("is not recorded") == 1
    assert len(performance.read(project)) == 1


def test_lines_of_several_threads_stay_whole(project: Path) -> None:
    def work() -> None:
        for _ in range(20):
            with performance.track("load", functools.partial(performance.record, project)):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(performance.read(project, "load", last=1000)) == 80


# the trend


def trend(*walls: float) -> performance.Trend:
    """Of operations that took so long; negative for one that failed."""
    return performance.trend([replace(SAMPLE, wall=abs(wall), ok=wall >= 0) for wall in walls])


def test_the_trend_of_an_operation() -> None:
    assert trend(1, 2, 3, 2, 8) == performance.Trend(5, 0, 3.2, 2, pytest.approx(7), 4)


def test_failures_are_counted_and_their_times_are_not() -> None:
    assert trend(2, -0.001, 4, -50) == performance.Trend(4, 2, 3, 3, pytest.approx(3.9), 2)


def test_a_trend_of_little() -> None:
    assert trend() == performance.Trend(0, 0, None, None, None, None)
    assert trend(-1) == performance.Trend(1, 1, None, None, None, None)
    assert trend(2) == performance.Trend(1, 0, 2, 2, 2, None)
    assert trend(0, 3).ratio is None


def test_the_quantiles_are_those_of_the_standard_library() -> None:
    chance = random.Random(6)
    for size in range(2, 60):
        walls = [chance.expovariate(1) for _ in range(size)]
        found, cuts = trend(*walls), statistics.quantiles(walls, n=20, method="inclusive")
        assert (found.p50, found.p95) == (pytest.approx(statistics.median(walls)), pytest.approx(cuts[18]))


# the machine


def test_the_memory_of_the_process_and_the_machine() -> None:
    memory = performance.memory_usage()
    assert MEBIBYTE < memory.resident <= memory.peak < memory.total
    assert 0 < memory.available <= memory.total
    assert memory.total == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    block = b"x" * (64 * MEBIBYTE)
    assert performance.memory_usage().resident > memory.resident + 60 * MEBIBYTE
    del block


def test_the_resources_since_the_last_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performance, "_last_look", None)
    first = performance.resource_usage(tmp_path)
    assert (first.cpu_percent, first.system_cpu_percent) == (None, None)
    spin(0.2)
    second = performance.resource_usage(tmp_path)
    assert second.cpu_percent is not None
    assert second.system_cpu_percent is not None
    assert 0 < second.cpu_percent < 200
    assert 0 < second.system_cpu_percent <= 100
    assert first.threads >= threading.active_count()
    assert len(first.load) == 3
    assert 0 <= first.disk_free <= first.disk_total
    status = os.statvfs(tmp_path)
    assert first.disk_total == status.f_blocks * status.f_frsize


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="No such file"):
        performance.resource_usage(tmp_path / "gone")


def test_without_psutil_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(errors.NotSetUp, match="psutil") as caught:
        performance.memory_usage()
    assert "pip install" in str(caught.value.hint)


def test_it_is_imported_without_anything_heavy() -> None:
    code = "import sys, daglab.performance; print([n for n in ('marimo', 'requests', 'psutil') if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(performance.__file__).parent.parent,
    )  # fmt: skip
    assert done.stdout == "[]\n"
