"""Conversions with the real marimo: code comes back as it was sent, refused cells as text, nothing is run."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import os
import random
import subprocess
import sys
from inspect import cleandoc
from pathlib import Path

import pytest

from daglab import errors
from daglab.migrating import cells
from daglab.migrating.converting import conversions

ODD = (
    "plain",
    "a\\",
    "  ",
    "\x0c",
    "\u2028",
    "\xa0",
    "{x",
    '"',
    "'",
    '"""',
    "\\n",
    "\t",
    "!pip install x",
    "@app.cell",
)


def draft(*drafted: str | cells.Cell, title: str | None = None, needs: tuple[str, ...] = ()) -> cells.Draft:
    made = [
        each if isinstance(each, cells.Cell) else cells.Cell(each, "code", (number,))
        for number, each in enumerate(drafted, 1)
    ]
    return cells.Draft(cells.Jupyter(Path("x.ipynb"), "4.5", (), title=title), tuple(made), requirements=needs)


def text(content: str, kind: str = "markdown") -> cells.Cell:
    return cells.Cell(content, kind, (1,))


def convert(*drafts: cells.Draft, name: str = "made.py") -> list[conversions.Conversion]:
    return conversions.convert(drafts, [sys.executable], dict(os.environ), [name] * len(drafts))


CODES = [
    "# a comment\nx = 1  # and another\n# the last",
    "@staticmethod\ndef decorated():\n    return 1",
    'body = """\nreturn 5\n@app.cell\ndef _():\n!pip install nothing\n%time\n"""',
    's = """a\n   \nb\x0cc\u2028d\xa0e"""',
    't = f"""a{1}\n  \n\xa0"""',
    'u = r"""a\\\n \n\xa0"""',
    "v = 'one \\\ntwo'",
    "if True:\n\tw = 1\n\tprint(w)",
    "if __name__ == '__main__':\n    print(5)",
    "k = 1;",
    "async def h():\n    await x\nawait h()",
    "\n".join(f"m{number} = {number}" for number in range(300)),
    "print(" + ", ".join(f"m{number}" for number in range(300)) + ")",
    "lambda_, app, marimo = 1, 2, 3",
    "open('was-run', 'w')\nraise SystemExit(3)",
    "class A:\n    '''doc\n    string'''\n\n    def f(self):\n        return 5",
    "é = 'ü€😀'",
    "type_: int = 5",
    "if x:\n    x\nelse:\n    print(1)",
]


def generated(seed: int) -> list[str]:
    """Cells that bind a text each, written in one of Python's ways."""
    chance = random.Random(seed)
    found = []
    for number in range(12):
        content = "\n".join("".join(chance.choices(ODD, k=3)) for _ in range(chance.randint(1, 4)))
        quote = chance.choice(["'''", '"""'])
        form = f"{chance.choice(['', 'r', 'f', 'b'])}{quote}\n{content}\n{quote}"
        try:
            ast.parse(f"v = {form}")
        except SyntaxError:
            form = repr(content)
        found.append(f"n{number} = {form}")
    return found


def test_codes_come_back_as_they_were_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("marimo.py", "json.py", "sitecustomize.py"):
        (tmp_path / name).write_text("raise SystemExit('a module beside the notebook was imported')")
    (tmp_path / "pyproject.toml").write_text('[tool.marimo.lint]\nselect = ["MF"]\nignore = ["MB"]\n')
    sources = [CODES, *(generated(seed) for seed in range(4))]
    made = convert(*(draft(*codes) for codes in sources))
    for codes, one in zip(sources, made, strict=True):
        assert one.flaw is None
        assert one.draft is not None
        kept = [cell for cell in one.draft.cells if cell.origins]
        assert len(kept) == len(codes)
        for sent, cell in zip(codes, kept, strict=True):
            if cell.kind == "code" and not sent.startswith("if x:"):
                assert ast.dump(ast.parse(cell.code)) == ast.dump(ast.parse(sent))
        got = {ast.dump(ast.parse(code)) for code in one.codes}
        assert {ast.dump(ast.parse(cell.code)) for cell in kept if cell.kind == "code"} <= got
        assert one.text.endswith("\n")
    assert all(cell.kind == "code" for cell in made[0].draft.cells)  # type: ignore[union-attr]
    assert not (tmp_path / "was-run").exists()


def test_what_is_refused_is_put_right_or_kept_as_text() -> None:
    first = draft("import marimo as mo", "a = 1", "a = 2", "b = c", "c = b", "return 5", "# only words", "print(a)")
    second = draft("class B(C()):\n    pass", "def C():\n    return object", "if 1:\n    2")
    third = draft("mo = 5", "return 6")
    one, two, three = convert(first, second, third)
    assert (one.flaw, two.flaw, three.flaw) == (None, None, None)
    assert not one.issues
    assert one.draft is not None
    said = {note.cell: note.needs_person for note in one.draft.notes}
    assert said[6] is True
    assert said[7] is False
    assert "return 5" in one.text
    assert "print(a)" in one.codes
    assert "if 1:\n    _ = 2" in two.codes
    assert "return 6" in three.text
    assert "mo = 5" in three.codes


MARKDOWN = (
    "# Title\n\nwords",
    'say ""this"" and """that"""',
    "a\\b \\( c \\)",
    "hard  \nbreak",
    "    code\n    more",
    "ends with \\",
    'ends with "',
    "mo.md('x')",
    "\x00\ud800\x0c{x}",
)


def test_what_marimo_remembers_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = importlib.util.spec_from_file_location("converter", conversions.SCRIPT)
    assert code is not None
    assert code.loader is not None
    converter = importlib.util.module_from_spec(code)
    code.loader.exec_module(converter)
    twice = ["import os", "import os", "_x = 1\n_x", "_x = 1\n_x", "y = z", "z = y", "def f():\n    return g()"]
    later = ["@b\ndef a():\n    pass", "def b(x):\n    return c(x)", "def c(x):\n    return x"]
    said = ["import marimo as mo", "a = mo.sql('select 1 from')", "if a:\n    a", "b = 1;"]
    batches = [later, said, [*twice, "def g():\n    return 1"], ["# only", "import os"]]
    orders = [
        {"name": "x.py", "header": "", "options": {}, "cells": [{"code": each, "hidden": at == 1, "disabled": False}]}
        for at, each in enumerate(twice)
    ]
    for batch in batches:
        some = [{"code": each, "hidden": at == 2, "disabled": at == 3} for at, each in enumerate(batch)]
        orders.append({**orders[0], "cells": some})
    answers = []
    for folder in ("with", "without"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        answers.append(converter.worked(orders))
        monkeypatch.setattr(converter, "remembering", contextlib.nullcontext)
    assert answers[0] == answers[1]
    found = {issue["code"] for answer in answers[0] for issue in answer["issues"]}
    assert found >= {"MB002", "MB003", "MR002"}


def test_markdown_keeps_its_text() -> None:
    made = convert(*(draft("import marimo as mo", text(content), "x = 1") for content in MARKDOWN))
    for content, one in zip(MARKDOWN, made, strict=True):
        assert one.flaw is None
        shown: list[str] = []
        exec(one.codes[1], {"mo": type("mo", (), {"md": staticmethod(shown.append)})})
        wanted = content.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
        assert cleandoc(shown[0]).removeprefix("<!-- -->\n\n") == wanted


def test_a_file_called_like_a_module_needs_another_name() -> None:
    (made,) = convert(draft("import requests"), name="requests.py")
    assert [issue.code for issue in made.issues] == ["MR001"]
    assert made.flaw is None


def test_title_and_requirements_stay_what_they_are() -> None:
    hostile = 'pandas"\n# ///\nimport os; open("was-run", "w")\x85\u2028 \\'
    (made,) = convert(draft("x = 1", title='T"); evil(\n"\\', needs=("pandas>=2", "marimo>=0.22", hostile)))
    assert made.flaw is None
    assert made.header_hash
    tree = ast.parse(made.text)
    assert [type(node).__name__ for node in tree.body] == ["Import", "Assign", "Assign", "FunctionDef", "If"]
    header = made.text.split("import marimo")[0]
    assert header.index("marimo>=0.22") < header.index("pandas>=2")


def test_where_marimos_names_are_gone_its_command_is_asked(tmp_path: Path) -> None:
    program = (
        "from daglab.children import converter\n"
        "converter.private_writer = lambda: None\n"
        "converter.parsed = converter.parsed_by_hand\n"
        "converter.main('wanted.json')\n"
    )
    codes = ["# c\nx = '''a\n  b'''", "def f():\n    return 1", "print(x)"]
    shown = [text("![a](b.png)"), text("%time  \n\x0c!ls")]
    orders = [draft("import marimo as mo", text("# T"), *codes, *shown)]
    orders.append(draft("y = '''\n!pip install something\n'''"))
    wanted = [conversions._order(each, "made.py") for each in orders]
    (tmp_path / "wanted.json").write_text(json.dumps(wanted))
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)
    one, other = json.loads((tmp_path / "made.json").read_text())
    assert (one["flaw"], one["lost"], one["issues"]) == (None, [], [])
    assert one["codes"][2] == "# c\nx = '''a\n  b'''"
    assert "begins with ! or %" in other["flaw"]


@pytest.mark.parametrize(
    ("body", "error"),
    [("raise SystemExit(0)", errors.NotSetUp), ("import time; time.sleep(60)", errors.TimedOut)],
)
def test_a_python_that_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, error: type[errors.DaglabError]
) -> None:
    (tmp_path / "marimo.py").write_text(body)
    monkeypatch.setattr(conversions, "START", 2.0)
    monkeypatch.setattr(conversions, "EACH", 0.5)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with pytest.raises(error):
        conversions.convert([draft("x = 1")], [sys.executable], env, ["x.py"])


def test_a_python_that_chats(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('{garbage')")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    (made,) = conversions.convert([draft("x = 1")], [sys.executable], env, ["x.py"])
    assert made.flaw is None
