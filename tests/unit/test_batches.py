"""The pieces that a batch of exports is made of: parameters, names, locks, the crontab's line, the report."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shlex
import subprocess
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, json_lines, redaction
from daglab.commands import export as export_command
from daglab.exported import export_record
from daglab.exporting import (
    batch_reports,
    batches,
    crontab,
    export_locks,
    export_names,
    export_parameters,
    exporters,
    exports,
    publishing,
)
from daglab.settings import config
from daglab.storage import places

OUT_OF_RANGE = ["60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 1-13 *", "* * * * 1,8", "*/0 * * * *"]
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


@pytest.mark.long
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
    assert len(batches.planned(loaded, [one, two], None, {}, publishing.Wish())) == 2
    for notebooks, target in (([one, two], "x.html"), ([one, one], None), ([one, two], "r/{d}.html")):
        with pytest.raises(errors.InvalidInput, match="both be written"):
            batches.planned(loaded, notebooks, target, {"d": 1}, publishing.Wish())
    with pytest.raises(errors.InvalidInput, match="both be written"):
        export_names.check_apart([(one, tmp_path / "real" / "x"), (two, tmp_path / "link" / "X")])
    with pytest.raises(errors.InvalidInput, match="project's own"):
        batches.planned(loaded, [one], ".daglab/exports.jsonl", {}, publishing.Wish())


def test_two_outputs_are_never_uploaded_to_one_address(tmp_path: Path) -> None:
    loaded = settings(tmp_path)

    def check(*outputs: str, place: str = "s3://bucket/x", **wish: Any) -> None:
        pieces = [batches.Piece(Path("nb.py"), Path(each), ("python",)) for each in outputs]
        batches._check_uploads(loaded, publishing.Wish(place=places.parse(place), **wish), pieces)

    inside = str(tmp_path / "exports" / "a.html")
    both, presigned = (
        [tmp_path / "a.py", tmp_path / "b.py"],
        publishing.Wish(place=places.parse("https://host/a?sig=1")),
    )
    with pytest.raises(errors.InvalidInput, match="one file"):
        batches.planned(loaded, both, None, {}, presigned)
    check("/one/a.html", "/two/b.html")
    check(inside, str(tmp_path / "deep" / "a.html"), "/one/b.html")
    check(inside, str(tmp_path / "a.failed.html"))
    for pair in (("/one/a.html", "/two/a.html"), (inside, "/one/a.html"), (inside, str(tmp_path / "a.html"))):
        with pytest.raises(errors.InvalidInput, match=r"both be uploaded as x/a\.html"):
            check(*pair)
    with pytest.raises(errors.InvalidInput, match="both be uploaded"):
        check(inside, str(tmp_path / "a.failed.html"), attach_failure=True)
    check(inside, place="https://host/a?sig=1")
    with pytest.raises(errors.InvalidInput, match="one file"):
        check(inside, "/one/b.html", place="https://host/a?sig=1")


def test_what_is_too_much_goes_after_an_export_and_what_it_wrote_stays(tmp_path: Path) -> None:
    (tmp_path / ".daglab").mkdir()
    for name in "abcd":
        (tmp_path / name).write_text(name)
        line = {"v": 1, "id": name, "ok": True, "output": name, "bytes": 1}
        sum_of = {"sha256": hashlib.sha256(name.encode()).hexdigest()}
        json_lines.append(tmp_path / export_record.FILE, {**line, **sum_of})
    export_command.clear(settings(tmp_path, "export: {max_total_bytes: 4}\n"), [])
    assert all((tmp_path / name).exists() for name in "abcd")
    export_command.clear(settings(tmp_path, "export: {max_total_bytes: 2}\n"), [tmp_path / "a", tmp_path / "d"])
    assert [(tmp_path / name).exists() for name in "abcd"] == [True, False, False, True]


@pytest.mark.parametrize("goes_somewhere", [False, True])
def test_what_stands_when_a_batch_is_stopped_is_on_record(tmp_path: Path, goes_somewhere: bool) -> None:
    """The reader stops after the first of three; what stands of the others is recorded, or left to the same line."""
    (tmp_path / ".daglab").mkdir()
    loaded = settings(tmp_path)
    wish = publishing.Wish(place=places.parse(f"file://{tmp_path}/store") if goes_somewhere else None)
    batch = batches.Batch(loaded, (), {}, wish, {})
    pieces = [batches.Piece(tmp_path / f"{name}.py", tmp_path / f"{name}.html", ("python",)) for name in "abc"]
    begun = threading.Barrier(3)

    def made(_batch: batches.Batch, piece: batches.Piece) -> batches.Made:
        begun.wait(60)
        now = datetime.now(timezone.utc)
        export = exports.Export(piece.notebook.stem, piece.notebook, piece.output, 1.0, 2, "sum", now, ())
        publishing.stand_by(loaded, export, wish, None)
        return batches.Made(export, None, None, contextlib.ExitStack())

    with pytest.MonkeyPatch.context() as patch, contextlib.closing(batches.side_by_side(batch, pieces, 3)) as running:
        patch.setattr(batches, "made", made)
        told, _ = next(running)
    others = {piece.notebook.stem for piece in pieces if piece != told}
    recorded = {line["id"] for line in export_record.read(tmp_path)}
    left = {each["id"] for each in export_record.unfinished(tmp_path)}
    assert (recorded, left) == ((set(), {*"abc"}) if goes_somewhere else (others, set()))


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
        "import os, sys, signal\nfrom pathlib import Path\nfrom daglab.exporting import export_locks\n"
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
    for text in ("", "\n# only\n", "a\0b.py\n"):
        file.write_text(text)
        with pytest.raises(errors.InvalidInput, match="list"):
            batches.listed(str(file))


@pytest.mark.parametrize("content", [b"a.py\n\xff.py\n", b""])
def test_a_list_from_standard_input_in_any_encoding(tmp_path: Path, content: bytes) -> None:
    code = """if True:
        import os
        from daglab import errors
        from daglab.exporting import batches
        try:
            print([os.fsencode(name) for name in batches.listed("-")])
        except errors.InvalidInput:
            print(0)
        """
    env = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}  # as most locales have it
    done = subprocess.run([sys.executable, "-c", code], input=content, capture_output=True, env=env, check=True)
    assert done.stdout.decode().strip() == ("0" if not content else "[b'a.py', b'\\xff.py']")


@pytest.mark.parametrize("text", ["0 3 * * *", "*/5 1-5,7 1 jan mon-fri", "@daily", " 1 2 3 4 5 "])
def test_schedules(text: str) -> None:
    assert crontab.check_schedule(text) == text.strip()


@pytest.mark.parametrize(
    "text", ["", "nb.py", "1 2 3 4", "1 2 3 4 5 6", "@never", "a;b 1 2 3 4", "1 2 3 4 5\n6", *OUT_OF_RANGE]
)
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(errors.WrongUsage):
        crontab.check_schedule(text)


def cron_reads(text: str) -> str:
    """What cron hands to the shell, as its do_command.c has it: a backslash hides what follows, and is kept but for a
    '%'; a bare '%' ends the command."""
    made, hidden = "", False
    for letter in text:
        if hidden:
            made = made[:-1] + letter if letter == "%" else made + letter
            hidden = False
            continue
        if letter == "%":
            break
        hidden = letter == "\\"
        made += letter
    return made


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["export", "a.py", "-P", "day"], "'day' is not a parameter with its value"),
        (["export", "a.py", "-P", "day=1", "-P", "day=2"], "The parameter day is given twice"),
        (["export", "a.py", "--wait-lock", "nan"], "'nan' is not a number of seconds"),
        (["export", "a.py", "--wait-lock", "-1"], "not in the range"),
        (["export", "a.py", "--wait-lock", "2d"], "not in the range"),
        (["export", "a.py", "--wait-lock", "5 min"], "'5 min' is not a number of seconds, nor a span of time"),
        (["export", "a.py", "--wait-lock", "m"], "'m' is not a number of seconds, nor a span of time"),
        (["exports", "show", ""], "The id is empty"),
        (["exports", "open", ""], "The id is empty"),
        (["exports", "resign", ""], "The id is empty"),
    ],
)
def test_what_is_said_wrongly_of_exports(words: list[str], what: str, cli: Any) -> None:
    result = cli(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert what in result.stderr


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--auth-token", "secret-it-is", "--attach", "asset:a"], "a token"),
        (["--auth-token=secret-it-is", "--attach", "asset:a"], "a token"),
        (["-P", "password=secret-it-is"], "a secret"),
        (["--parameter=api_key=secret-it-is"], "a secret"),
        (["--", "--password", "secret-it-is"], "a secret"),
        (["--upload", "https://host/key?X-Amz-Signature=secret-it-is"], "a presigned address"),
    ],
)
def test_a_crontab_s_line_holds_no_secret(words: list[str], what: str, cli: Any) -> None:
    end = words.index("--") if "--" in words else len(words)
    result = cli("export", "a.py", *words[:end], "--print-cron", *words[end:])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"no place for {what}" in result.stderr
    assert "secret-it-is" not in result.stderr


def test_a_crontab_s_line_says_where_a_secret_is_and_has_a_list(cli: Any) -> None:
    line = cli("export", "a.py", "--auth-token", "env:MINE", "-P", "day=1", "--params", "p.yaml", "--print-cron").stdout
    assert "--auth-token env:MINE -P day=1 --params p.yaml" in line
    assert cli("export", "--from-list", "-", "--print-cron").exit_code == 2
    assert "--from-list names" in cli("export", "--from-list", "names", "--print-cron").stdout


def test_a_crontab_s_line_gives_back_each_word(tmp_path: Path) -> None:
    folder = tmp_path / "it's 100%"
    folder.mkdir()
    words = [
        "a b",
        "%Y",
        "$HOME",
        "`x`",
        "\\",
        "'",
        '"',
        "ü",
        "*",
        "-P",
        "k=v;w",
        "\\%",
        "a\\%b",
        "\\\\%",
        "'\\%'",
        "\\",
    ]
    program = "import json, os, sys; print(json.dumps([os.getcwd(), *sys.argv[1:]]))"
    line = crontab.line("0 3 * * *", folder, [sys.executable, "-c", program, *words])
    assert "\n" not in line
    command = cron_reads(line.split(" ", 5)[5])
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    import json

    assert json.loads(done.stdout) == [str(folder), *words]
    for bad in ("a\nb", "a\rb", os.fsdecode(b"\xff.py")):  # the last would be printed as another word
        with pytest.raises(errors.InvalidInput):
            crontab.line("@daily", folder, [bad])


def test_the_flag_itself_is_not_in_the_line() -> None:
    words = ["-v", "export", "a.py", "--print-cron", "@daily", "--jobs", "2", "--", "--print-cron", "@daily"]
    assert crontab.without(words, "--print-cron", "@daily") == [
        *shlex.split("-v export a.py --jobs 2 -- --print-cron @daily")
    ]
    assert crontab.without(["a.py", "--print-cron"], "--print-cron", "") == ["a.py"]
    assert crontab.without(["--print-cron", "a.py"], "--print-cron", "") == ["a.py"]
    assert crontab.without(["a.py", "--json", "--", "--json"], "--json") == ["a.py", "--", "--json"]
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


@pytest.mark.parametrize(
    ("error", "code"),
    [(errors.TimedOut("late"), "timed_out"), (OSError(28, "No space"), "invalid_input"), (TypeError("x"), "error")],
)
def test_whatever_one_notebook_meets_is_told_of_it_alone(
    tmp_path: Path, error: Exception, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def outcome() -> batches.Made | None:
        raise error

    piece = batches.Piece(tmp_path / "a.py", tmp_path / "a.html", ("python",))
    batch = batches.Batch(settings(tmp_path), (), {}, publishing.Wish(), {})
    found = batches.told(batch, piece, outcome)
    assert found is not None
    assert (found["notebook"], found["ok"], found["error"]["code"]) == (str(piece.notebook), False, code)
    assert ("TypeError: x" in capsys.readouterr().err) == isinstance(error, TypeError)
    error = errors.Interrupted("stop", exit_code=143)
    with pytest.raises(errors.Interrupted):
        batches.told(batch, piece, outcome)


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"error": {"message": "it failed\nbecause"}}, "a b.py: failed: it failed"),
        ({"skipped": True, "exported_at": "2026-01-31"}, "a b.py: unchanged since 2026-01-31"),
        ({"skipped": False, "output": "o.html", "seconds": 1.25}, "a b.py -> o.html (1.2 s)"),
        (
            {"skipped": False, "output": "o.html", "seconds": 2.0, "attached": [{"target": "asset:a"}]},
            "a b.py -> o.html (2.0 s), asset:a",
        ),
    ],
)
def test_a_line_for_each_notebook(result: dict[str, Any], told: str) -> None:
    assert batch_reports.line(Path("a\nb.py"), result) == told


@pytest.mark.parametrize(
    ("stop", "code"), [(KeyboardInterrupt(), 130), (errors.Interrupted("x", "h", exit_code=143), 143)]
)
def test_a_batch_that_was_stopped_tells_what_was_done(stop: BaseException, code: int) -> None:
    done = {"ok": True, "skipped": False, "output": "o.html"}
    outputs = [Path("o.html"), Path("p.html")]
    report = batch_reports.document(outputs, {outputs[0]: done}, 1.0)
    error = batch_reports.stopped(report, stop)
    assert (error.exit_code, error.result) == (code, report)
    assert error.message == "Stopped: 1 of 2 notebooks were done."


def test_all_notebooks_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.NotSetUp, match="There is no notebook in"):
        batches.every(settings(tmp_path))
    for name in ("b.py", "a.py", "deep/c.py", "helper.py"):
        path = tmp_path / "nb" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n" if name == "helper.py" else "import marimo\napp = marimo.App()\n")
    found = [Path("nb/a.py"), Path("nb/b.py"), Path("nb/deep/c.py")]
    assert batches.every(settings(tmp_path)) == found
    monkeypatch.chdir(tmp_path / "nb")
    assert batches.every(settings(tmp_path))[0] == Path("a.py")  # from where we are
    monkeypatch.setattr(batches, "MOST", 2)
    with pytest.raises(errors.InvalidInput, match="more than 2 notebooks"):
        batches.planned(settings(tmp_path), found, None, {}, publishing.Wish())


PAGE = """
import json, pathlib, sys
cells = {"cells": [{"id": "Hbol", "name": "a", "code": "1"}]}
shown = {"cells": [{"id": "Hbol", "outputs": [], "console": []}]}
config = json.dumps({"notebook": cells, "session": shown})
pathlib.Path(sys.argv[sys.argv.index("-o") + 1]).write_text(
    '<!DOCTYPE html><html><head><script data-marimo="true">window.__MARIMO_MOUNT_CONFIG__ = '
    f"{config}</script></head><body></body></html>"
)
pathlib.Path(__file__).with_name("runs").open("a").write("x")
"""  # in marimo's place: a page, and a mark for each run


@pytest.fixture
def if_changed(tmp_path: Path) -> tuple[batches.Batch, batches.Piece]:
    """A batch that leaves out what has not changed, and a notebook for it."""
    (tmp_path / ".daglab").mkdir()
    (tmp_path / "nb.py").write_text("import marimo\n")
    (tmp_path / "program.py").write_text(PAGE)
    python = (sys.executable, str(tmp_path / "program.py"))
    exporter = exporters.Exporter(python, {**os.environ}, None)
    batch = batches.Batch(settings(tmp_path), (), {}, publishing.Wish(), {python: exporter}, if_changed=True)
    return batch, batches.Piece(tmp_path / "nb.py", tmp_path / "nb.html", python)


def test_a_notebook_is_run_again_only_where_it_or_its_html_has_changed(
    if_changed: tuple[batches.Batch, batches.Piece],
) -> None:
    batch, piece = if_changed
    found = []
    for change in (None, None, piece.notebook, None, piece.output):
        if change is not None:
            change.write_text(change.read_text() + "\n# more\n")
        found.append(batches.published(batch, piece, batches.made(batch, piece)))
    assert [each["skipped"] for each in found] == [False, True, False, True, False]
    assert found[1]["id"] == found[0]["id"] != found[2]["id"]
    assert found[1]["output"] == str(piece.output)
    assert len((piece.notebook.parent / "runs").read_text()) == 3
    with export_locks.held(batch.settings.root, piece.output):  # no lock is left
        pass


def test_what_need_not_be_exported_is_not_recorded_again_when_a_batch_is_stopped(
    if_changed: tuple[batches.Batch, batches.Piece], tmp_path: Path
) -> None:
    batch, piece = if_changed
    batches.published(batch, piece, batches.made(batch, piece))
    before = (tmp_path / export_record.FILE).read_text()
    done = batches.made(batch, piece)
    assert done.before
    with pytest.raises(errors.Taken), export_locks.held(tmp_path, piece.output):
        pass
    pieces = [piece, batches.Piece(piece.notebook, tmp_path / "other.html", piece.python)]
    begun = threading.Barrier(2)

    def made(_batch: batches.Batch, each: batches.Piece) -> batches.Made:
        begun.wait(60)
        return done if each == piece else batches.Made(None, None, done.before, contextlib.ExitStack())

    with pytest.MonkeyPatch.context() as patch, contextlib.closing(batches.side_by_side(batch, pieces, 2)) as running:
        patch.setattr(batches, "made", made)
        told, outcome = next(running)
        assert batches.told(batch, told, outcome) is not None
    assert (tmp_path / export_record.FILE).read_text() == before
    with export_locks.held(tmp_path, piece.output):  # whichever of the two was read, the lock is let go
        pass
