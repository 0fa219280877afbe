"""The pieces that a batch of exports is made of: parameters, names, locks, the crontab's line, the report."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from daglab import (
    batch_reports,
    batches,
    config,
    crontab,
    errors,
    export_locks,
    export_names,
    export_parameters,
    redaction,
)

WORDS = [
    "--n",
    "3",
    "--name",
    "a b",
    "--x=-5",
    "--f",
    "-q",
    "stray",
    "--n",
    "4",
    "--ok",
    "true",
    "--e=1e3",
    "--s= pad ",
]


def settings(root: Path, text: str = "notebooks_dir: nb\n") -> config.Config:
    (root / "daglab.yaml").write_text(text)
    return config.load(directory=root, environ={})


def marimo_reads(words: list[list[str]]) -> list[dict[str, Any]]:
    """What marimo makes of command lines: the oracle."""
    code = (
        "import json, sys\nfrom marimo._cli.parse_args import parse_args\n"
        "print(json.dumps([parse_args(each) for each in json.loads(sys.stdin.read())]))"
    )
    import json

    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(words), capture_output=True, text=True, check=True
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_parameters_are_seen_as_marimo_sees_them() -> None:
    chance = random.Random(7)
    texts = ["a", "7", "-3", "1.5", "true", "False", "", "x=y", "a b", "-", "--", "ü", "1_0", " 2 ", "None", "0x1"]
    names = ["--a", "-b", "--c-d", "--a", "plain", "--e=", "--f=1", "--g=x=y"]
    lines = [[chance.choice(texts + names) for _ in range(chance.randrange(9))] for _ in range(400)] + [WORDS]
    for words, wanted in zip(lines, marimo_reads(lines), strict=True):
        assert export_parameters.seen(words) == wanted, words


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("7", 7),
        ("2026-01-01", "2026-01-01"),
        ("yes", True),
        ("1.50", 1.5),
        ("null", ""),
        ("a: b", "a: b"),
        ("[1, 2]", "[1, 2]"),
        ("", ""),
        ("-x", "-x"),
        ("a=b c", "a=b c"),
        ("{", "{"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_a_pair_is_read_as_yaml_and_reaches_the_notebook(text: str, seen: object) -> None:
    words = export_parameters.words(None, [f"key={text}"], [])
    assert marimo_reads([words]) == [{"key": seen}]
    assert export_parameters.seen(words) == {"key": seen}


def test_pairs_win_over_the_file_and_nothing_is_given_twice(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("date: 2026-01-01\nn: 1\nregions: [north, south]\n")
    words = export_parameters.words(file, ["n=2"], ["--m", "5"])
    assert export_parameters.seen(words) == {"date": "2026-01-01", "n": 2, "regions": ["north", "south"], "m": 5}
    with pytest.raises(errors.InvalidInput, match="n is given twice"):
        export_parameters.words(file, [], ["--n", "5"])
    for text, problem in (("a: {b: 1}", "no command line"), ("'a b': 1", "no name"), ("- 1", "not a mapping")):
        file.write_text(text)
        with pytest.raises(errors.InvalidInput, match=problem):
            export_parameters.words(file, [], [])
    with pytest.raises(errors.NotSetUp):
        export_parameters.words(tmp_path / "missing.yaml", [], [])


def test_secrets_are_neither_recorded_nor_printed() -> None:
    parameters = export_parameters.seen(["--api_key=abcdefgh", "--day=1", "--password", "h unter"])
    assert export_parameters.recorded(parameters) == {"api_key": "***", "day": 1, "password": "***"}
    export_parameters.hide_secrets(parameters)
    assert redaction.clean("it said abcdefgh, h unter, 1") == "it said ***, ***, 1"


def test_what_json_can_not_hold_is_recorded_as_text() -> None:
    found = export_parameters.recorded(export_parameters.seen(["--a=inf", "--b=" + "9" * 30, "--c", "nan", "--c", "1"]))
    assert found == {"a": "inf", "b": "9" * 30, "c": ["nan", 1]}


def test_names_are_filled_in(tmp_path: Path) -> None:
    loaded = settings(tmp_path)
    notebook = tmp_path / "nb" / "sales" / "orders.py"
    values = {"date": "2026-01-01", "n": 3, "ok": True, "x": 1.5}
    filled = export_names.filled("r/{notebook}-{date}-{n}{ok}{x}.{{html}}", loaded, notebook, values)
    assert filled == Path("r/sales/orders-2026-01-01-3true1.5.{html}")
    assert export_names.filled("/a/b.html", loaded, notebook, {}) == Path("/a/b.html")
    assert export_names.filled("{notebook}.html", loaded, tmp_path / "x" / "y.py", {}) == Path("y.html")


@pytest.mark.parametrize(
    "value", ["a/b", "../x", "..", ".", "", "a\0b", "a\nb", "\\", "x" * 300, "ü" * 140, ["a", "b"], "\x7f", "\x9b"]
)
def test_a_value_never_leads_elsewhere(tmp_path: Path, value: object) -> None:
    loaded = settings(tmp_path)
    for template in ("r/{v}", "r/{v}/x.html", "{v}"):
        with pytest.raises(errors.InvalidInput):
            export_names.filled(template, loaded, tmp_path / "nb" / "a.py", {"v": value})
    with pytest.raises(errors.InvalidInput):
        export_names.filled("{a}{a}/x", loaded, tmp_path / "nb" / "a.py", {"a": "."})


def test_generated_values_stay_in_their_folder(tmp_path: Path) -> None:
    loaded = settings(tmp_path)
    chance = random.Random(3)
    letters = "./\\\0 ab~$%-ü\n"
    for _ in range(2000):
        value = "".join(chance.choice(letters) for _ in range(chance.randrange(1, 6)))
        try:
            name = export_names.filled("safe/{v}{w}", loaded, tmp_path / "nb" / "a.py", {"v": value, "w": "."})
        except errors.InvalidInput:
            continue
        assert Path(os.path.normpath(tmp_path / name)).parent == tmp_path / "safe"


def test_a_missing_name_and_a_secret_are_refused(tmp_path: Path) -> None:
    loaded = settings(tmp_path)
    with pytest.raises(errors.InvalidInput, match=r"\{dat\}") as caught:
        export_names.filled("{dat}", loaded, tmp_path / "a.py", {"date": 1})
    assert "date" in (caught.value.hint or "")
    with pytest.raises(errors.InvalidInput, match="secret"):
        export_names.filled("{token}", loaded, tmp_path / "a.py", {"token": "abcdef"})
    with pytest.raises(errors.InvalidInput):
        export_names.filled("{notebook.stem}", loaded, tmp_path / "a.py", {})


def test_two_notebooks_never_get_the_same_output(tmp_path: Path) -> None:
    loaded = settings(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    one, two = tmp_path / "nb" / "a.py", tmp_path / "nb" / "B.py"
    assert len(batches.planned(loaded, [one, two], None, {})) == 2
    for notebooks, target in (([one, two], "x.html"), ([one, one], None), ([one, two], "r/{d}.html")):
        with pytest.raises(errors.InvalidInput, match="both be written"):
            batches.planned(loaded, notebooks, target, {"d": 1})
    with pytest.raises(errors.InvalidInput, match="both be written"):
        export_names.check_apart([(one, tmp_path / "real" / "x"), (two, tmp_path / "link" / "X")])
    with pytest.raises(errors.InvalidInput, match="project's own"):
        batches.planned(loaded, [one], ".daglab/exports.jsonl", {})


def test_one_lock_per_output_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    output = tmp_path / "a.html"
    (tmp_path / "same.html").symlink_to("a.html")
    with export_locks.held(tmp_path, output):
        with pytest.raises(errors.Taken, match="Another export"), export_locks.held(tmp_path, tmp_path / "same.html"):
            pass
        with export_locks.held(tmp_path, tmp_path / "b.html"):
            pass
        waited = threading.Event()

        def wait() -> None:
            with export_locks.held(tmp_path, output, 60):
                waited.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert not waited.wait(0.2)
    thread.join(60)
    assert waited.is_set()
    assert os.listdir(tmp_path / ".daglab" / "locks") == []
    elsewhere = tmp_path / "none" / "x.html"
    with export_locks.held(tmp_path / "other", elsewhere):
        assert len(os.listdir(elsewhere.parent)) == 1
    assert os.listdir(elsewhere.parent) == []


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    code = (
        "import os, sys, signal\nfrom pathlib import Path\nfrom daglab import export_locks\n"
        "with export_locks.held(Path(sys.argv[1]), Path(sys.argv[1], 'a.html')):\n"
        "    print('held', flush=True)\n    signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(errors.Taken), export_locks.held(tmp_path, tmp_path / "a.html"):
            pass
        process.kill()
    with export_locks.held(tmp_path, tmp_path / "a.html"):
        pass


def test_a_list_of_notebooks(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("# nightly\na.py\n\n  b c.py  \n#x.py\n")
    assert batches.listed(str(file)) == [Path("a.py"), Path("b c.py")]
    with pytest.raises(errors.NotSetUp):
        batches.listed(str(tmp_path / "missing"))


@pytest.mark.parametrize("text", ["0 3 * * *", "*/5 1-5,7 1 jan mon-fri", "@daily", " 1 2 3 4 5 "])
def test_schedules(text: str) -> None:
    assert crontab.check_schedule(text) == text.strip()


@pytest.mark.parametrize("text", ["", "nb.py", "1 2 3 4", "1 2 3 4 5 6", "@never", "a;b 1 2 3 4", "1 2 3 4 5\n6"])
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(errors.WrongUsage):
        crontab.check_schedule(text)


def test_a_crontab_s_line_gives_back_each_word(tmp_path: Path) -> None:
    folder = tmp_path / "it's 100%"
    folder.mkdir()
    words = ["a b", "%Y", "$HOME", "`x`", "\\", "'", '"', "ü", "*", "-P", "k=v;w", "\\%"]
    program = "import json, os, sys; print(json.dumps([os.getcwd(), *sys.argv[1:]]))"
    line = crontab.line("0 3 * * *", folder, [sys.executable, "-c", program, *words])
    assert "\n" not in line
    command = line.split(" ", 5)[5].replace(r"\%", "%")  # as cron does
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    import json

    assert json.loads(done.stdout) == [str(folder), *words]
    with pytest.raises(errors.InvalidInput):
        crontab.line("@daily", folder, ["a\nb"])


def test_the_flag_itself_is_not_in_the_line() -> None:
    words = ["-v", "export", "a.py", "--print-cron", "@daily", "--jobs", "2", "--", "--print-cron", "@daily"]
    assert crontab.without(words, "--print-cron", "@daily") == [
        *shlex.split("-v export a.py --jobs 2 -- --print-cron @daily")
    ]
    assert crontab.without(["a.py", "--print-cron"], "--print-cron", "") == ["a.py"]
    assert crontab.without(["--print-cron", "a.py"], "--print-cron", "") == ["a.py"]
    assert crontab.without(["a.py", "--print-cron=@daily"], "--print-cron", "@daily") == ["a.py"]


def test_a_report_counts_what_became_of_each() -> None:
    outputs = [Path(name) for name in "abcd"]
    good: dict[str, Any] = {"notebook": "n", "output": "a", "skipped": False, "seconds": 1.0, "attached": []}
    bad = {**good, "error": {"message": "It\nfailed"}}
    skipped = {**good, "skipped": True, "exported_at": "then"}
    report = batch_reports.document(outputs, {outputs[2]: skipped, outputs[0]: good, outputs[1]: bad}, 2.0)
    assert report["counts"] == {"exported": 1, "skipped": 1, "failed": 1, "not_started": 1}
    assert (report["ok"], [each["skipped"] for each in report["exports"]]) == (False, [False, False, True])
    problem = batch_reports.not_good(report)
    assert problem.message.startswith("1 of 4 notebooks failed. 1 were not begun.\nn: It")
    assert batch_reports.document(outputs[:1], {outputs[0]: good}, 1.0)["ok"] is True
    assert batch_reports.document(outputs[:1], {}, 1.0)["ok"] is False
    assert batch_reports.line(Path("n"), bad) == "n: failed: It"
