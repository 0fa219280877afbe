"""Hostile texts through the real marimo: its converter, its check and its Markdown."""

from __future__ import annotations

import html
import inspect
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from daglab.migrating import cells, drafts, imports, texts
from daglab.migrating.converting import conversions

pytestmark = pytest.mark.long

PIECES = (
    *("a", "b c", "\n", "\n", "\n\n", "  \n", "    ", "\t", '"', '""', '"""', "'", "'''", "\\", "\\\\", "{x}", "{{"),
    *(
        "$\\alpha$",
        "\\[x\\]",
        "%matplotlib",
        "%%bash\n",
        "\n%time x\n",
        "!ls",
        "\n!ls\n",
        "<p>",
        "</p>",
        "<b>",
        "mo.md(",
    ),
    *('\nmo.md(r"""', "```", "\n```python\n", "~~~", "# ", "\n# /// script\n# x = 1\n# ///\n", "\r\n", "\r", "\x00"),
    *("\x0c", "\x0b", "\u2028", "\x85", "\xa0", "é", "😀", "\u200d", "\ufeff", "\x1c", "---\n", "- ", "|a|b|", "<!--"),
    *("-->", "&amp;", "\\N{DASH}", "\\u0041", "\\x", '"\\', '\\"', "</pre>", "</code>", "<img src=x onerror=y>"),
    *("[a](javascript:b)", "///", "/// details", "{--x--}", "{++", ">>> x\n", "[TOC]", "[^1]: x", "::a::", ":smile:"),
    *("wzxhzdk:0", "$$", "~~~~~", "`````", "\n    ```\n", "++ctrl++"),
)
_ANCHOR = "<!-- -->\n\n"
# What mo.md gets of each cell, and what marimo's Markdown makes of it.
CHILD = """
import ast, inspect, json, sys
import marimo as mo
codes = json.load(sys.stdin)
made = []
for code in codes:
    first = ast.parse(code).body[0].value  # the call, or the text that is named for it
    text = ast.literal_eval(first.args[0] if isinstance(first, ast.Call) else first)
    made.append([inspect.cleandoc(text), mo.md(text).text])
json.dump(made, sys.stdout)
"""


def normal(text: str) -> str:
    """A text without what means nothing in Markdown: blanks at the ends of lines, and more than one blank line."""
    lines = [line if line.strip(" ") else "" for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    ended = [
        line.rstrip(" ") + ("  " if line.endswith("  ") and after.strip(" ") else "")
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
    ]
    whole = "\n".join(ended).strip("\n")
    return whole if re.search(r"^ {4}|```|~~~|<pre", whole, re.MULTILINE) else re.sub(r"\n{3,}", "\n\n", whole)


def bare(page: str) -> str:
    """The text that a browser shows of what stands in `pre`, without blanks."""
    inside = page[page.index("<pre>") : page.rindex("</pre>")]
    shown = re.sub(r"<[^>]*>", "", inside)
    shown = html.unescape(shown)
    return re.sub(r"[\s\x00\x02\x03\ufeff\ufffd]+", "", shown)


def test_hostile_texts_come_through_marimo_unchanged():
    chance = random.Random(9)
    made = ["".join(chance.choice(PIECES) for _ in range(chance.randint(1, 12))) for _ in range(400)]
    kinds = [(text, kind) for text in made if text.strip() for kind in ("markdown", "text")]
    drafted = tuple(cells.Cell(text, kind, (1,), why="odd" if kind == "text" else "") for text, kind in kinds)
    draft = cells.Draft(cells.Jupyter(Path("b.ipynb"), "4.5", ()), drafted)
    draft = imports.settle(texts.show(draft))
    (converted,) = conversions.convert([draft], [sys.executable], dict(os.environ), ["b.py"])
    assert (converted.flaw, converted.issues) == (None, ())
    codes = [code for code in converted.codes if code != "import marimo as mo"]
    asked = subprocess.run(
        [sys.executable, "-c", CHILD], input=json.dumps(codes), capture_output=True, text=True, check=True
    )
    answers = json.loads(asked.stdout)
    assert len(answers) == len(kinds)
    assert sum(code.startswith('mo.md(r"""') for code in codes) > 60  # most stay what marimo's editor knows
    for (text, kind), (got, page) in zip(kinds, answers, strict=True):
        if kind == "text":
            assert not re.search(r"<(?!/?(?:span|div|pre|code|br)\b)", page), text
            assert bare(page) == re.sub(r"[\s\x00\x02\x03\ufeff\ufffd]+", "", text), text
        else:
            wanted = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd").expandtabs()
            if got.startswith(_ANCHOR):  # a block of code, which keeps its margin
                got = got.removeprefix(_ANCHOR)
            else:
                wanted = inspect.cleandoc(f"\n{wanted}")
            assert normal(got) == normal(wanted.rstrip()), text


def test_pictures_of_attachments_show_in_an_export(tmp_path):
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
    source = '![x](attachment:my%20pic.png) <img src="attachment:my pic.png">'
    cell = cells.Original(1, "markdown", source, attachments={"my pic.png": {"image/png": png}})
    draft = drafts.draft(cells.Jupyter(Path("my book.ipynb"), "4.5", (cell,)))
    (converted,) = conversions.convert([draft], [sys.executable], dict(os.environ), ["b.py"])
    (tmp_path / "b.py").write_text(converted.text)
    for name, content in draft.files.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(content)
    subprocess.run(
        [sys.executable, "-m", "marimo", "export", "html", "b.py", "-o", "b.html"],
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
    assert (tmp_path / "b.html").read_text().count(f"data:image/png;base64,{png}") == 2
