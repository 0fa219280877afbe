"""Where IPython's syntax stands: IPython's own transformer is the judge."""

from __future__ import annotations

import random
import re
import warnings

import pytest

from daglab.migrating.magic import escapes

inputtransformer2 = pytest.importorskip("IPython.core.inputtransformer2")

SIMPLE = [
    "x = 1",
    "print('%cd x', \"!ls\")",
    "# %comment\n# !ls",
    "",
    "x = '''\n%magic in a string\n!ls\n'''",
    's = """a\n    %%time\nname?\n"""',
    "f(1,\n  2,\n)",
    "y = [\n  5\n  %3,\n  4]",
    "z = 5 \\\n  % 3",
    "a == b",
    "d['a'] = 'b' % c",
    "t = 'it''s' 'isn\\'t'",
    "v = r'\\' + \"'\"",
    "x: int = 3",
    "lambda a=1: a",
    "x = {1: '?'}",
    "assert x != 3, 'why?'",
    "ok = 'a' \\\n   '%b'",
    "b = rb'\\x00' if x else f'{x!r:>{3}}'",
]
ESCAPES = [
    "%time x = 1",
    "%matplotlib inline",
    "!ls -la | wc -l",
    "!echo it's \"a quote",
    "!!ls",
    "!pip install 'a>=1' \\\n   b \\\n   c",
    "%run a.py \\\n  --x 1",
    "x = %time 1 + 1",
    "x = !ls *.py",
    "files=!ls",
    "d['k'] = !ls",
    "d[\n'k'] = !ls",
    "a, b = !ls",
    "x: list = !ls",
    "x = %pwd",
    "name?",
    "a.b.c??",
    "?name",
    "??name",
    "%time?",
    "a[0].b?",
    "foo*?",
    "x = 1 + name?",
    "!ls what?",
    "!echo 'what?'",
    "!echo what? # no",
    ",print a b",
    ";print a b",
    "/print a b",
    "%%time",
    "%%time x",
    "! ls",
    "% time x",
    "!",
    "?",
    "!!",
    "%alias_magic t time",
    "x = !ls \\\n  -la",
    "x=  % time 3",
    "if x: y = !ls",
    "x = 1; y = !ls",
    "f(a=1) == %time",
    "f(a=!ls)",
    "f(a=%time)",
]
HEADS = ["if x:", "for i in range(3):", "while True:", "def f(a=1):", "with open('a') as f:", "try:"]


def ours(cell: str) -> str:
    """The cell as IPython would write it, by what daglab finds in it."""
    code = escapes.cleaned(cell)
    code = code if code.endswith("\n") else f"{code}\n"
    magic = escapes.cell_magic(code)
    if magic:
        return f"get_ipython().run_cell_magic({magic.name!r}, {magic.arguments!r}, {magic.body!r})\n"
    return "".join(
        piece if isinstance(piece, str) else piece.before + called(piece) + "\n" for piece in escapes.pieces(code)
    )


def called(escape: escapes.Escape) -> str:
    if escape.mark in ("?", "??"):
        return "HELP"
    if escape.mark == "%":
        return f"get_ipython().run_line_magic({escape.name!r}, {escape.arguments!r})"
    if escape.mark in ("!", "!!"):
        method = "getoutput" if escape.mark == "!!" or escape.target else "system"
        return f"get_ipython().{method}({escape.text!r})"
    name, _, arguments = escape.text.partition(" ")
    inner = {
        ",": '"' + '", "'.join(arguments.split()) + '"',
        ";": f'"{arguments}"',
        "/": ", ".join(arguments.split()),
    }
    return f"{name}({inner[escape.mark]})"


def theirs(cell: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = inputtransformer2.TransformerManager().transform_cell(cell)
    return re.sub(r"get_ipython\(\)\.(run_line_magic\('(pinfo2?|psearch)', .*\)|show_usage\(\))(?=\n)", "HELP", text)


def trimmed(text: str) -> str:
    """Without blanks in empty lines: IPython 8 leaves them there, and 9 does not."""
    return re.sub(r"(^|\\n)[ ]+(?=$|\\n)", r"\1", text, flags=re.MULTILINE)


@pytest.mark.parametrize("cell", SIMPLE + ESCAPES)
def test_each_form_is_what_ipython_takes_it_for(cell: str) -> None:
    assert ours(cell) == theirs(cell)
    below = "if x:\n    " + cell.replace("\n", "\n    ") + "\n    pass"
    assert trimmed(ours(below)) == trimmed(theirs(below))


def generated(seed: int) -> str:
    chance = random.Random(seed)
    lines: list[str] = []
    for _ in range(chance.randint(1, 6)):
        statement = chance.choice(SIMPLE + ESCAPES)
        for _ in range(chance.choice([0, 0, 0, 1, 2])):
            depth = "    "
            statement = f"{chance.choice(HEADS)}\n{depth}" + statement.replace("\n", f"\n{depth}") + f"\n{depth}pass"
            if "try:" in statement:
                statement = statement.replace("try:", "if 1:")
        lines.append(statement)
    cell = "\n".join(lines) + chance.choice(["", "\n", "\n\n"])
    if chance.random() < 0.1:
        cell = "\n".join("  " + line for line in cell.split("\n"))
    if chance.random() < 0.1:
        cell = chance.choice(["\n\n", "# first\n", "%%capture a\n", " \n%%bash\n", "%%time?\n"]) + cell
    if chance.random() < 0.05:
        cell = cell.replace("\n", "\r\n")
    return cell


def test_generated_cells_are_what_ipython_takes_them_for() -> None:
    for seed in range(300):
        cell = generated(seed)
        if "\r\n" not in cell or not re.search(r"[?\\']", cell):
            said = theirs(cell).replace("\r\n", "\n").replace("\\r\\n", "\\n")
            assert trimmed(ours(cell)) == trimmed(said), (seed, cell)


@pytest.mark.parametrize(
    "cell",
    [
        ">>> x = 1\n>>> y = 2",
        ">>> for i in x:\n...     print(i)\n... \n>>> %time x",
        "In [1]: x = 5\n   ...: y = 6",
        "In [12]: %time x",
        "   ...: y = 6\n   ...: z",
        "    >>> x = 1\n    >>> y",
        "x = 1\n>>> y = 2",
        "[ins] In [3]: x",
        "...\n",
        "In [1]: x\nOut[1]: 3",
    ],
)
def test_prompts_are_stripped_as_ipython_does(cell: str) -> None:
    assert ours(cell) == theirs(cell)


def test_a_prompt_in_a_string_is_text() -> None:
    cell = 's = """\n>>> not a prompt\n"""'
    assert escapes.cleaned(cell) == cell


@pytest.mark.parametrize(
    "text", ["!(\n" * 20_000, "(" * 50_000, "x = '''" * 20_000, "a" * 200_000 + "?", "%x \\\n" * 30_000, "? " * 50_000]
)
def test_odd_texts_take_no_longer_than_they_are_long(text: str) -> None:
    assert "".join(each if isinstance(each, str) else each.source for each in escapes.pieces(text)) == text
