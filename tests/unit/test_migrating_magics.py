"""What each magic and shell line becomes, and what is said of it."""

from __future__ import annotations

import ast
import random
import re
from pathlib import Path

import pytest

from daglab.migrating import cells, edits, imports, texts
from daglab.migrating.magic import expansion, magics, other_magics

RUN = "daglab__subprocess.run({}, shell=True{}, stdout=daglab__subprocess.PIPE, stderr=daglab__subprocess.STDOUT)"


def draft(*sources: str, folder: Path = Path("/nowhere")) -> cells.Draft:
    originals = tuple(cells.Original(number, "code", source) for number, source in enumerate(sources, 1))
    return magics.apply(texts.begin(cells.Jupyter(folder / "notebook.ipynb", "4.5", originals)))


def code(*sources: str) -> list[str]:
    """The code of the cells that are left; text as it is after its reason."""
    return [each.code if each.kind == "code" else f"{each.kind}: {each.code}" for each in draft(*sources).cells]


def printed(command: str, more: str = "") -> str:
    return f'print({RUN.format(command, more)}.stdout.decode(errors="replace"), end="")'


def listed(command: str) -> str:
    return f'{RUN.format(command, "")}.stdout.decode(errors="replace").splitlines()'


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("!ls -la | wc -l > 'a b'", printed("\"ls -la | wc -l > 'a b'\"")),
        ("!source a.sh", printed('"source a.sh"', ', executable="/bin/bash"')),
        ("n = 1\n!echo {n} $n '$n'", "n = 1\n" + printed("f\"echo {n} {n} '$n'\"")),
        ('n = 1\n!echo {n!r} "{n}"', "n = 1\n" + printed("f'echo {n!r} \"{n}\"'")),
        ('d = {}\n!echo {d[\'a\']} "it\'s" {d["b"]}', None),
        ("x = !ls", "x = " + listed('"ls"')),
        ("if 1:\n    x = !ls\nx", "if 1:\n    x = " + listed('"ls"') + "\nx"),
        ("!cd /tmp\nx = 1", "x = 1"),
        ("x = 1\nx\n!cd /tmp", "x = 1\nx;"),
        ("x\n%matplotlib inline # c", "x;"),
        ("print(1)\n%load_ext a", "print(1)"),
        ("f(1)\n%load_ext a", "f(1);"),
        ("x = 1\n%load_ext a", "x = 1"),
        ("%load_ext a\nx", "x"),
        ("if x:\n    %load_ext a\nelse:\n    y", "if x:\n    pass\nelse:\n    y"),
        ("%pwd", "daglab__os.getcwd()"),
        ("%pwd\nx", "_unshown = daglab__os.getcwd()\nx"),
        ("if x:\n    %pwd", "if x:\n    _unshown = daglab__os.getcwd()"),
        ("%env A", 'daglab__os.environ["A"]'),
        ("%env A=b c", 'daglab__os.environ["A"] = "b c"\nprint("env: A=b c")'),
        ("x = %env A", 'x = daglab__os.environ["A"]'),
        ("def time(): pass\ntime", "def time(): pass\ntime"),
        ("x?", None),
        (",f a b\nx", '_unshown = f("a", "b")\nx'),
        ("/f a b", "f(a, b)"),
        ("%prun -s time f(1)\n", None),
        ("%lprun -f f f(1)", "f(1)"),
        ("%mprun -f f -T out.txt f(1)", "f(1)"),
        ("get_ipython().run_line_magic('env', 'A')", 'daglab__os.environ["A"]'),
        ("x = get_ipython().getoutput('ls')", "x = " + listed('"ls"')),
        ("get_ipython().run_line_magic(name, 'A')", "get_ipython().run_line_magic(name, 'A')"),
        ("%run -m mod", '_ran = daglab__runpy.run_module("mod", run_name="__main__", alter_sys=True)'),
        ("%xdel x", "del x"),
        ("%ls *.py", printed('"ls -F *.py"')),
        ("%%html\n<b>a</b>", 'daglab__mo.Html("<b>a</b>\\n")'),
        ("'%cd x'\n# !ls\ns = '''\n!ls\n'''", "'%cd x'\n# !ls\ns = '''\n!ls\n'''"),
        ("x = 5 \\\n%y", "x = 5 \\\n%y"),
    ],
)
def test_a_line_becomes(source: str, expected: str | None) -> None:
    made = code(source)
    if expected is not None:
        assert made == [expected]
    for each in made:
        ast.parse(each)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("x = %unknown", "unknown"),
        ("x = %matplotlib --list", "assigns"),
        ("if 1:\n    %unknown", "unknown"),
        ("%%R\nx <- 1", "R"),
        ("%%javascript\nalert(1)", "JavaScript"),
        ("%%cython\ncdef int x", "Cython"),
        ("%%something else\nx", "something"),
        ("%run -i a.py\nx", None),
        ("%%time\n%unknown", "without a counterpart"),
        ("%%time\nx = = 1", "no Python"),
        ("%%script false\nx", "switched off"),
        ("%%bash --bg\nls", "background"),
        ("%%writefile\nx", "arguments"),
        ("%%time x\ny", "behind"),
        ("d[\n1] = %time 1", "assigns"),
    ],
)
def test_what_has_no_counterpart_stays_text_and_says_why(source: str, why: str | None) -> None:
    made = draft(source)
    assert made.cells[0].kind == "text"
    assert made.cells[0].why
    assert why is None or why in made.cells[0].why
    assert any(note.needs_person and note.cell == 1 for note in made.notes)


def test_an_unknown_line_stays_text_beside_the_rest() -> None:
    made = draft("x = 1\n%unknown a\ny = 2\nx\n%other")
    assert [(cell.kind, cell.code, cell.origins) for cell in made.cells] == [
        ("text", "%unknown a", (1,)),
        ("text", "%other", (1,)),
        ("code", "x = 1\ny = 2\nx;", (1,)),
    ]
    assert [note.needs_person for note in made.notes] == [True, True]


def test_cells_of_magics_alone_are_dropped_with_a_note() -> None:
    made = draft("# setup\n%matplotlib inline\n%load_ext autoreload\n%autoreload 2", "%matplotlib widget", "x??")
    assert made.cells == ()
    assert [(note.cell, note.needs_person) for note in made.notes] == [
        (1, False),
        (1, False),
        (1, False),
        (2, True),
        (3, False),
    ]


@pytest.mark.parametrize(
    "source", ["%%capture\n%pip install a", "%%time\n# c\n!pip install a", "%%capture\n%%time\n%gui"]
)
def test_a_magic_around_nothing_is_nothing(source: str) -> None:
    assert code(source) == []


def test_a_name_that_a_star_import_may_bring_needs_a_person() -> None:
    assert any(note.needs_person for note in draft("from a import *", "!ls {folder}").notes)
    assert not any(note.needs_person for note in draft("from a import *", "!ls $HOME", "!ls a").notes)


def test_a_cell_that_is_no_python_besides_stays_as_it_was() -> None:
    source = "!ls\nx = = 1"
    assert code(source) == [source]


def test_a_comment_before_a_cell_magic_makes_it_none() -> None:
    made = draft("# c\n%%bash\nls")
    assert [cell.kind for cell in made.cells] == ["text", "code"]


def test_the_pure_python_of_a_notebook_is_not_touched() -> None:
    sources = ["x = 1  # c\n\n\ndef f():\n\treturn 'a'\n", "time", "a % b", "y = x if x else 'z?'"]
    assert code("time = 3", *sources)[1:] == sources


def test_time_keeps_names_values_and_strings() -> None:
    made = code("%%time\nx = '''a\n  b\n'''\n# c\n\nx + 'c'", "y = %time len(x)\ny", "%%time\nx;")
    names: dict[str, object] = {"daglab__helpers": Tracking()}
    for each in made:
        exec(each.replace("daglab__helpers.track_performance", "daglab__helpers"), names)
    assert (names["x"], names["y"], made[0].splitlines()[-1]) == ("a\n  b\n", 6, "_value")
    assert names["_value"] == 6
    assert not made[2].endswith("_value")


class Tracking:
    """Stands for daglab's helpers: measures nothing."""

    wall = peak_memory = memory_growth = 1.0

    def __call__(self, name: str) -> Tracking:
        return self

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, *problem: object) -> None:
        pass


@pytest.mark.parametrize(
    ("source", "runs"),
    [
        ("%timeit -n 2 -r 3 calls.append(1)", 6),
        ("%timeit -n2 -r3 -q x = calls.append(1)", 6),
        ("%%timeit -n 2 -r 3 x = 5\nx += 1\ncalls.append(x)", 6),
        ("%%timeit -n 1 -r 2\nfor _ in range(2):\n    calls.append('''\n''')", 4),
        ("r = %timeit -n 2 -r 2 -o calls.append(1)", 4),
    ],
)
def test_timeit_repeats_and_leaves_no_name(source: str, runs: int, capsys: pytest.CaptureFixture[str]) -> None:
    import statistics
    import timeit
    import types

    names = {
        "calls": [],
        "daglab__helpers": types.SimpleNamespace(track_performance=Tracking()),
        "daglab__statistics": statistics,
        "daglab__timeit": timeit,
        "daglab__types": types,
    }
    exec(code("calls = []", source)[1], names)
    assert len(names["calls"]) == runs
    assert "x" not in names
    assert ("per loop" in capsys.readouterr().out) == ("-q" not in source)
    assert "r =" not in source or names["r"].loops == 2


def test_capture_holds_what_was_printed_and_shown() -> None:
    made = code("%%capture out\nprint(1)\n2", "out()", "out.stdout", "%%capture --no-stdout\nprint(1)")
    assert made[1:3] == ["out.show()", "out.stdout"]
    assert "redirect_stdout" not in made[3]
    assert "outputs=[_value]" in made[0]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["%%sql\nselect 1"], 'daglab__mo.sql("select 1")'),
        (["%sql select 1"], 'daglab__mo.sql("select 1")'),
        (["x = %sql select 1"], 'x = daglab__mo.sql("select 1")'),
        (["%sql r << select 1"], 'r = daglab__mo.sql("select 1", output=False)'),
        (["%%sql r <<\nselect 1"], 'r = daglab__mo.sql("select 1", output=False)'),
        (["%%sql duckdb:///:memory:\nselect 1"], 'daglab__mo.sql("select 1")'),
        (["n = 1", "%%sql\nselect {{n}}, {n}, {m}, a::text, '12:30'"], None),
        (["n = 1", "%%sql\nselect :n, :m"], None),
    ],
)
def test_sql_becomes_marimos(sources: list[str], expected: str | None) -> None:
    made = code(*sources)[-1]
    assert expected is None or made == expected
    ast.parse(made)


def test_values_of_sql_are_put_in_and_quoted() -> None:
    made = code("n = 1", "%%sql\nselect {{n}}, {n}, {m}, a::text, '12:30', :n from t")[-1]
    asked: list[str] = []
    exec(made.replace("daglab__mo.sql", "ask"), {"ask": asked.append, "n": "it's"})
    assert asked == ["select it's, it's, {m}, a::text, '12:30', 'it''s' from t"]


def test_a_connections_password_is_not_carried() -> None:
    made = draft("%sql postgresql://me:pa55word@host/db", "%%sql\nselect 1")
    said = repr([made.notes, made.requirements, [cell.code for cell in made.cells]])
    assert "pa55word" not in said
    assert "postgresql://host/db" in said
    assert any(note.needs_person for note in made.notes)
    assert made.cells[1].code == 'daglab__mo.sql("select 1", engine=sql_engine)'


def test_run_brings_the_names_that_the_notebook_uses(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("used = 1\nunused = 2\ndef helper():\n    local = 1\n")
    made = draft("%run a", "used, helper, local", folder=tmp_path)
    assert made.cells[0].code.splitlines()[1:] == ['helper = _ran["helper"]', 'used = _ran["used"]']
    assert not any(note.needs_person for note in made.notes)
    (tmp_path / "below").mkdir()
    for name in ("none.py", "../a.py", str(tmp_path / "a.py"), "../below"):
        made = draft(f"%run {name}", "used", folder=tmp_path / "below")
        assert any(note.needs_person for note in made.notes)
        assert "used =" not in made.cells[0].code


@pytest.mark.parametrize(
    "text", ["", "a", "'\"", "\\n\n\t", "a\nb\nc\n", '"""', "é\u2028\x0c", "\\'\"", "{}{x}", 'a\n\n"', "x\n y\n \n"]
)
def test_literals_and_f_strings_say_the_text(text: str) -> None:
    assert ast.literal_eval(expansion.literal(text)) == text
    for inner in (
        "n",
        "d['k']",
        'd["k"]',
        "d['k'] + d[\"k\"]",
        "{'a': 1}",
        "'\\n'",
        "[i for i in (1, 2)]",
        "lambda: 1",
    ):
        made = expansion.code([text, expansion.Expression(inner), text])
        names = {"n": 5, "d": {"k": "v"}}
        value = eval(inner, dict(names))
        if "lambda" not in inner:
            assert eval(made, dict(names)) == f"{text}{value}{text}"


def test_f_strings_are_such_as_python_3_10_reads() -> None:
    made = expansion.code(['say "', expansion.Expression("d['k']"), "'", expansion.Expression('d["k"]')])
    assert made.startswith('f"""')
    assert ".format(" in expansion.code(["x", expansion.Expression("'\\n'.join(a)")])


PIECES = [
    "%time",
    "%%time",
    "%timeit",
    "%%capture",
    "%%bash",
    "%%sql",
    "%sql",
    "%run",
    "%cd",
    "%env",
    "%%writefile",
    "!pip",
    "!conda",
    "install",
    "-r",
    "-e",
    "git+https://a:b@c",
    "{x}",
    "$x",
    "{{x}}",
    "'",
    '"',
    "\\",
    "\n",
    "<<",
    ":x",
    ";",
    "&&",
    "|",
    ">",
    "x=",
    "=",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "#",
    "?",
    "??",
    ",",
    "/",
    "%%html",
    "lambda",
    "def",
    "'''",
    '"""',
    "postgres://a:b@c",
    "-n",
    "1",
    "-o",
    "--out",
    "x",
    ">>>",
    "In",
    "[1]:",
    "\x00",
    "\x0c",
    "�",
    "é",
    "\r\n",
    "@",
    "pip",
    "uv",
    "%%script",
    "false",
    "!cd",
    "%pylab",
    "%prun",
]


def test_nothing_raises_and_what_is_made_is_python() -> None:
    chance = random.Random(1)
    known = [f"%{name}" for name in sorted(magics.AUTOMATIC)] + [f"%%{name}" for name in sorted(other_magics.LANGUAGES)]
    for _ in range(400):
        sources = [
            "".join(
                chance.choice(PIECES if chance.random() < 0.8 else known) + chance.choice([" ", "", "\n"])
                for _ in range(chance.randint(1, 12))
            )
            for _ in range(2)
        ]
        made = draft(*sources)
        imports.settle(made)
        assert "a:b@" not in repr(made.notes), sources
        for cell in made.cells:
            assert cell.origins
            assert cell.kind != "code" or "daglab__" not in cell.code or edits.parsed(cell.code), sources


@pytest.mark.parametrize(
    "source",
    [
        "!echo " + "{" * 50_000,
        "!echo " + "$x'" * 50_000,
        "%%time\n" * 5_000,
        "(" * 20_000 + "\n!ls",
        "!ls\n" * 1_000,
        "%%time\n" + "x = 1\n" * 2_000,
        "%cd -" + "\n" * 50_000,
    ],
)
def test_large_and_deep_sources_are_no_trouble(source: str) -> None:
    made = draft("x = 1", source)
    assert len(made.cells) == 2
    assert not re.search(r"Traceback", repr(made.notes))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%%opts Curve [width=400]  (color='k')\nx = 1\nx", "# %%opts Curve [width=400] (color='k')\nx = 1\nx"),
        (
            "%%output size=1\n%%opts Image {+a}\nx = !ls\nx",
            "# %%output size=1\n# %%opts Image {+a}\nx = " + listed('"ls"') + "\nx",
        ),
        ("%opts Curve [width=400]\nx", "# %opts Curve [width=400]\nx"),
        ("x\n%output size=1", "x;\n# %output size=1"),
        ("%%opts Curve\n<b>", "text: %%opts Curve\n<b>"),
        ("%%opts Curve\n%strange\nx", "text: %%opts Curve\n%strange\nx"),
        ("%output size=1", None),
    ],
)
def test_holoviews_options_are_comments_and_the_code_below_them_stays(source: str, expected: str | None) -> None:
    """A cell that defines what later cells need is not lost for its looks; other packages' magics may be anything."""
    assert code("import holoviews as hv", source)[1:] == ([] if expected is None else [expected])
    notes = draft("import holoviews as hv", source).notes
    assert any(each.needs_person for each in notes)
    if source.startswith("%%"):
        assert code(source) == [f"text: {source}"]


@pytest.mark.parametrize("source", ["%cd -b work", "%cd -2", "%cd --foo", "%set_env NAME", "%set_env =3"])
def test_what_has_no_counterpart_is_kept_with_its_reason(source: str) -> None:
    made = draft(source)
    assert [note.needs_person for note in made.notes if note.cell is not None] == [True]
