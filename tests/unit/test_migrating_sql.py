"""`%sql` and what it connects to, scripts in other languages, `%run`, and values in shell lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from daglab.migrating import cells, texts
from daglab.migrating.magic import expansion, magics

ENGINE = 'sql_engine = daglab__sqlalchemy.create_engine("sqlite:///x.db")'


def draft(*sources: str, folder: Path = Path("/nowhere")) -> cells.Draft:
    originals = tuple(cells.Original(number, "code", source) for number, source in enumerate(sources, 1))
    return magics.apply(texts.begin(cells.Jupyter(folder / "notebook.ipynb", "4.5", originals)))


def code(*sources: str, folder: Path = Path("/nowhere")) -> list[str]:
    found = draft(*sources, folder=folder).cells
    return [each.code if each.kind == "code" else f"{each.kind}: {each.why}" for each in found]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["%sql sqlite:///x.db"], ENGINE),
        (["%sql sqlite:///x.db", "%sql select 1"], 'daglab__mo.sql("select 1", engine=sql_engine)'),
        (["%%sql sqlite:///x.db\nselect 1"], f'{ENGINE}\ndaglab__mo.sql("select 1", engine=sql_engine)'),
        (["%%sql duckdb://\nr << select 1"], 'r = daglab__mo.sql("select 1", output=False)'),
        (["u = 'sqlite://'", "%sql {{u}}"], "sql_engine = daglab__sqlalchemy.create_engine(u)"),
        (["u = 'sqlite://'", "%sql $u"], "sql_engine = daglab__sqlalchemy.create_engine(u)"),
        (["%sql --no-index select 1"], 'daglab__mo.sql("select 1")'),
        (["%sql --save a select 1"], "text: `--save` of `%sql` has no counterpart"),
        (["%%sql -w a\nselect 1"], "text: `-w` of `%sql` has no counterpart"),
        (["%%duckdb\nselect 1"], 'daglab__mo.sql("select 1")'),
        (["%dql select 1"], 'daglab__mo.sql("select 1")'),
        (
            ["%%bigquery\nselect 1"],
            'daglab__mo.sql("select 1\\n", engine=daglab__sqlalchemy.create_engine("bigquery://"))',
        ),
        (
            ["%%bigquery df\nselect 1"],
            'df = daglab__mo.sql("select 1\\n", engine=daglab__sqlalchemy.create_engine("bigquery://"), output=False)',
        ),
        (["%%bigquery --params {}\nselect 1"], "text: `--params` of `%%bigquery` has no counterpart"),
    ],
)
def test_a_query_is_marimos_by_the_engine_that_the_notebook_names(sources: list[str], expected: str) -> None:
    assert code(*sources)[-1] == expected


def test_what_is_a_data_frame_now_is_said_where_it_was_used_as_something_else() -> None:
    asked = [note.text for note in draft("%sql r << select 1", "r.DataFrame()").notes if note.needs_person]
    assert asked == ["`r` is a data frame now, where ipython-sql gave a result of its own."]
    assert not any(note.needs_person for note in draft("%sql r << select 1", "r.head()").notes)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("!", "Dropped an empty shell command."),
        ("!cd x", "Dropped `!cd`: it changes the folder of its own shell alone."),
        ("!sleep 1 &", "A command is started in the background; IPython itself refuses to, other Jupyters don't."),
        ("!ls && ls", "A shell command is run by subprocess; its output is printed when it has ended."),
        ("!ls\nx = _exit_code", "A shell command is run by subprocess; its output is printed when it has ended."),
        (
            "x = !ls\nx.grep('a')",
            "The list of a command's lines is a plain one: it has no `.s`, `.n`, `.l`, `.grep` or `.fields`.",
        ),
    ],
)
def test_what_becomes_of_a_shell_line_is_said(source: str, said: str) -> None:
    assert said in [note.text for note in draft(source).notes]


def test_a_shell_line_keeps_its_exit_code_where_it_is_read_and_goes_to_the_background_where_it_did() -> None:
    (kept,) = code("!false\nprint(_exit_code)")
    assert "_exit_code = _ran.returncode\nprint(_exit_code)" in kept
    names: dict[str, object] = {}
    exec("import subprocess as daglab__subprocess\n" + kept, names)
    assert names["_exit_code"] == 1
    assert code("!sleep 1 &") == ['_process = daglab__subprocess.Popen("sleep 1 &", shell=True)']


def test_names_that_a_star_import_may_bring_into_a_command_need_a_person() -> None:
    asked = [note.text for note in draft("from m import *", "!echo {n}").notes if note.needs_person]
    assert asked == ["A command is taken as it stands: whether a star import brings the names in it is not known."]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%run -i a.py", "text: `%run -i` has no counterpart"),
        (
            "%run other.ipynb",
            "text: another notebook can't be run within this one: import what it offers from a module",
        ),
        ("%run", "text: another notebook can't be run within this one: import what it offers from a module"),
        ("%run a.ipy", "text: a file in IPython's own syntax can't be run by Python"),
        ("%run -n a", '_ran = daglab__runpy.run_path("a.py")\nx = _ran["x"]'),
        (
            "%run a.py b",
            '_argv, daglab__sys.argv = daglab__sys.argv, ["a.py", "b"]\ntry:\n'
            '    _ran = daglab__runpy.run_path("a.py", run_name="__main__")\nfinally:\n'
            '    daglab__sys.argv = _argv\nx = _ran["x"]',
        ),
    ],
)
def test_a_file_that_is_run_brings_the_names_that_are_used(tmp_path: Path, source: str, expected: str) -> None:
    (tmp_path / "a.py").write_text("x = y = __z__ = 1\n")
    assert code(source, "print(x)", folder=tmp_path)[0] == expected


@pytest.mark.parametrize("content", ["from m import *\n", "x = (\n", "#" * 1_000_001, None])
def test_a_file_that_can_t_be_looked_into_needs_a_person(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "a.py").write_text(content)
    found = draft("%run a.py", "print(x)", folder=tmp_path)
    assert found.cells[0].code == '_ran = daglab__runpy.run_path("a.py", run_name="__main__")'
    assert [note.cell for note in found.notes if note.needs_person] == [1]


def test_a_file_outside_of_the_folder_is_not_looked_into(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "a.py").write_text("x = 1")
    assert "x = _ran" not in code("%run ../a.py", "print(x)", folder=inside)[0]
    (tmp_path / "b.py").write_bytes(b"x = '\xff'")
    assert "x = _ran" not in code("%run b.py", "print(x)", folder=tmp_path)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("echo $n $$n '$n'", "f\"echo {n} $n '$n'\""),
        ("echo {n:>3} {n!r}", None),
        ("echo {n['a']} {n[\"b\"]}", None),
        ("echo {unknown}", '"echo {unknown}"'),
        ("echo {n", '"echo {n"'),
        ("echo {n =}", '"echo {n =}"'),
        ("{lambda: 1}", 'f"{(lambda: 1)}"'),
        ('{n["a\\n"]} {{}}', None),
    ],
)
def test_values_stand_in_a_line_as_ipython_puts_them(text: str, expected: str | None) -> None:
    made = expansion.code(expansion.parts(text, {"n"}))
    compile(made, "made", "eval")
    if expected is not None:
        assert made == expected


def test_values_in_any_quotes_are_put_in_right() -> None:
    n = {"a": 1, "b": 2, "a\n": 3}
    for text, value in {
        "echo {n['a']} {n[\"b\"]}": "echo 1 2",
        '{n["a\\n"]} {{}}': "3 {}",
        '\'{n[\'a\']}\' "{n["b"]}" """': '\'1\' "2" """',
    }.items():
        assert eval(expansion.code(expansion.parts(text, {"n"})), {"n": n}) == value


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("%memit f()", "peak memory"),
        ("%%memit\nx = f()", "increment"),
        ("%prun f()", "print_stats()"),
    ],
)
def test_what_is_measured_still_runs(source: str, body: str) -> None:
    (made,) = code(source)
    assert body in made
    assert "f()" in made


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("%%capture a b\nx", "IPython does not take these arguments either"),
        ("%%heat\nx = = 1", "it is no Python"),
        ("%%mystery&\nx", "is a magic that daglab does not know"),
    ],
)
def test_what_no_magic_takes_stays_text(source: str, why: str) -> None:
    (made,) = code(source)
    assert made.startswith("text: ")
    assert why in made


@pytest.mark.parametrize(
    ("line", "how"),
    [
        ("%opts Curve\nx", "hv.opts.defaults(...)"),
        ("%output size=9\nx", "hv.output(...)"),
        ("%%opts Curve\nx", ".opts(...)"),
    ],
)
def test_looks_of_holoviews_are_comments_and_say_what_to_write(line: str, how: str) -> None:
    found = draft("import holoviews as hv\nhv.extension('bokeh')", line)
    assert found.cells[-1].code.startswith(f"# {line.splitlines()[0]}")
    assert how in [note.text for note in found.notes if note.needs_person][-1]


def test_a_cell_of_html_says_what_of_it_does_not_run() -> None:
    (note,) = draft("%%html\n<script>x</script>").notes
    assert (note.needs_person, note.text) == (True, "The page's scripts do not run in marimo.")
    assert draft("%%latex\na^2").cells[0] == cells.Cell("$$\na^2\n$$", "markdown", (1,))
    assert draft("%%latex\n$a$").cells[0].code == "$a$"
