"""Jupyter notebooks gone wrong in many ways, from a seed: cut off, flipped, of wrong types, huge, deep, hostile.

`mutated(marker)` gives names and bytes. Code that is planted in them makes a file `marker` when anything runs it.
"""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
HOSTILE_NAMES = (
    "../../outside.png",
    "/etc/outside.png",
    "..",
    ".",
    "",
    "a/b\\c.png",
    "nul\0.png",
    "CON.png",
    "x" * 5000 + ".png",
    "\u202egnp.exe",
    "a\nb.png",
    "~/x.png",
    "C:\\x.png",
    "same.png",
    "SAME.PNG",
    "<img src=x onerror=alert(1)>.png",
    "%2e%2e%2fx.png",
    ".bashrc",
    "x.html",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    float("nan"),
    10**5000,
    "",
    "text",
    "\ud800",
    "\0",
    "../../outside",
    "<script>alert(1)</script>",
    [],
    [None],
    [[[]]],
    {},
    {"": {}},
    {"source": 1},
)
TEXTS = (
    "x" * 300_000,
    "(" * 5000,
    "[" * 300 + "]" * 300,
    "-" * 20_000 + "1",
    "a = " + "1 + " * 20_000 + "1",
    "\n" * 100_000,
    " " * 100_000 + "\n x",
    "`" * 10_000,
    "<p>" * 20_000,
    "![" * 50_000,
    "<img " * 30_000,
    "attachment:" * 10_000,
    "(attachment:x) " * 10_000,
    "%%bash\n" + "rm -rf x\n" * 1000,
    '"""' * 3000,
    "\\" * 10_001,
    "\x00\x0b\x0c\x1b[31m\u2028\u2029\x85\xa0\ufeff",
    "\udc80\ud800 half",
    "<!-- " * 10_000,
    "return yield await",
    "print 'old'; exec 'x'",
    "def f():\n\tif 1:\n        x\n",
)


def bases(marker: Path) -> list[dict[str, Any]]:
    """Whole notebooks of several formats, full of code that must not be run."""
    plant = f"open({str(marker)!r}, 'w').close()"
    shell = f"!touch {marker}"
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["a\n", "b"]},
        {"output_type": "display_data", "data": {"image/png": PNG, "text/plain": ["<Figure>"]}, "metadata": {}},
        {"output_type": "execute_result", "execution_count": 1, "data": {"text/html": "<b>x</b>"}, "metadata": {}},
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\u001b[0;31mE\u001b[0m"]},
    ]
    python = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python", "version": "3.11.7"},
    }
    four = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {**python, "title": "T", "authors": [{"name": "A"}]},
        "cells": [
            {
                "cell_type": "markdown",
                "id": "a",
                "metadata": {},
                "source": ["# T\n", '![p](attachment:p.png) <img src="attachment:p.png">  \n', "![q](q.png)"],
                "attachments": {"p.png": {"image/png": PNG}},
            },
            _code(["import os\n", plant], outputs),
            _code(shell),
            _code(f"%%bash\ntouch {marker}"),
            _code(f"%run {marker}\n%time {plant}"),
            _code(f"from __future__ import annotations\nfor i in range(3):\n    {plant}\nx = i", tags=["parameters"]),
            _code(f"@({plant} or (lambda f: f))\ndef g(a={plant}): ...\ng()"),
            _code("x = x + 1\nprint(f'{x!r:>{x}}')\nx", outputs),
            _code(f"display(x); get_ipython().system('touch {marker}')"),
            {"cell_type": "raw", "id": "b", "metadata": {"raw_mimetype": "text/html"}, "source": "<script>1</script>"},
            {"cell_type": "raw", "id": "b", "metadata": {}, "source": "---\ntitle: x\n---"},
        ],
    }
    three = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": "old"},
        "worksheets": [
            {
                "cells": [
                    {"cell_type": "heading", "level": 2, "metadata": {}, "source": ["Old"]},
                    {
                        "cell_type": "code",
                        "language": "python",
                        "metadata": {},
                        "input": ["print 1\n", plant],
                        "prompt_number": 1,
                        "collapsed": False,
                        "outputs": [
                            {"output_type": "stream", "stream": "stdout", "text": ["1\n"]},
                            {"output_type": "pyout", "prompt_number": 1, "text": ["2"], "png": PNG, "json": "{}"},
                            {"output_type": "pyerr", "ename": "E", "evalue": "v", "traceback": ["t"]},
                        ],
                    },
                    {"cell_type": "markdown", "metadata": {}, "source": "old"},
                ]
            }
        ],
    }
    first = {"cells": [{"cell_type": "code", "code": plant, "prompt_number": 1}, {"cell_type": "text", "text": "t"}]}
    bare = {"nbformat": 4, "nbformat_minor": 0, "metadata": {}, "cells": [_code(plant), _code("y = 2")]}
    return [four, three, first, bare, four]


def mutated(marker: Path, count: int = 300, seed: int = 9) -> Iterator[tuple[str, bytes]]:
    """`count` names of files and what is in them, always the same for one seed."""
    chance = random.Random(seed)
    whole = bases(marker)
    for number in range(count):
        body = copy.deepcopy(chance.choice(whole))
        change = MUTATIONS[number % len(MUTATIONS)]
        yield f"{number:03}_{change.__name__.strip('_')}.ipynb", change(body, chance)


def _code(source: Any, outputs: list[Any] | None = None, tags: list[str] | None = None) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": "same",
        "metadata": {"tags": tags} if tags else {},
        "source": source,
        "outputs": outputs or [],
        "execution_count": 1,
    }


def _dumped(body: Any) -> bytes:
    return json.dumps(body).encode()


def _cut(body: Any, chance: random.Random) -> bytes:
    content = _dumped(body)
    return content[: chance.randrange(len(content))]


def _flipped(body: Any, chance: random.Random) -> bytes:
    content = bytearray(_dumped(body))
    for _ in range(chance.choice((1, 3, 30))):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every holder and key in a JSON value."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


def _swapped(body: Any, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 5))):
        holder, key = chance.choice(list(_places(body)) or [({}, "x")])
        holder[key] = copy.deepcopy(chance.choice(VALUES))
    return _long(body)


def _long(body: Any) -> bytes:
    """JSON with integers of more digits than Python prints by itself."""
    many = "9" * 5000
    return json.dumps(body, default=str).encode() if not _has_long(body) else _with_long(body, many)


def _has_long(value: Any) -> bool:
    return any(isinstance(holder[key], int) and holder[key] > 10**4000 for holder, key in _places(value))


def _with_long(body: Any, digits: str) -> bytes:
    for holder, key in _places(body):
        if isinstance(holder[key], int) and holder[key] > 10**4000:
            holder[key] = "@long@"
    return json.dumps(body).replace('"@long@"', digits).encode()


def _missing(body: Any, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 3))):
        places = [(holder, key) for holder, key in _places(body)]
        if places:
            holder, key = chance.choice(places)
            del holder[key]
    return _dumped(body)


def _texts(body: Any, chance: random.Random) -> bytes:
    places = [(holder, key) for holder, key in _places(body) if key in ("source", "input", "text", "code", "name")]
    for holder, key in chance.sample(places, min(len(places), 2)):
        holder[key] = chance.choice(TEXTS)
    return _dumped(body)


def _nested(body: Any, chance: random.Random) -> bytes:
    depth = chance.choice((150, 500, 50_000))
    opened, closed = chance.choice((("[", "]"), ('{"a":', "}")))
    deep = opened * depth + "1" + closed * depth
    holder, key = chance.choice(list(_places(body)))
    holder[key] = "@deep@"
    return json.dumps(body).replace('"@deep@"', deep).encode()


def _binary(body: Any, chance: random.Random) -> bytes:
    start = chance.choice(
        (b"", b"{", b"\x1f\x8b", b"\x89PNG\r\n", b"\xff\xfe", b"\xef\xbb\xbf", b"PK\x03\x04", b"\0" * 9)
    )
    return start + chance.randbytes(chance.choice((0, 1, 100, 5000)))


def _encoded(body: Any, chance: random.Random) -> bytes:
    text = json.dumps(body, ensure_ascii=False).replace("T", "Té€", 1)
    return text.encode(
        chance.choice(("utf-16", "utf-16-le", "utf-32", "cp1252", "utf-8-sig", "utf-7", "cp037")), "replace"
    )


def _named(body: Any, chance: random.Random) -> bytes:
    """Attachments, ids, tags, kernels and titles with names that lead elsewhere."""
    cells = body.get("cells") or body["worksheets"][0]["cells"]
    for cell in cells:
        names = chance.sample(HOSTILE_NAMES, 4)
        cell["attachments"] = {
            name: {chance.choice(("image/png", "text/html", "../x", "")): chance.choice((PNG, "@@", "aGk", ""))}
            for name in names
        }
        cell["id"] = chance.choice(HOSTILE_NAMES)
        cell["metadata"] = {
            "tags": names,
            "name": names[0],
            "vscode": {"languageId": chance.choice(("python", names[1]))},
        }
        if cell.get("cell_type") == "markdown":
            cell["source"] = "\n".join(f"![x](attachment:{name}) <img src='attachment:{name}'>" for name in names)
    body.setdefault("metadata", {})["title"] = chance.choice(HOSTILE_NAMES)
    if chance.random() < 0.3:
        body["metadata"]["kernelspec"] = {
            "name": chance.choice(HOSTILE_NAMES),
            "language": chance.choice(("", "python")),
        }
    return _dumped(body)


def _html(body: Any, chance: random.Random) -> bytes:
    hostile = chance.choice(
        ("<script>fetch('//x')</script>", "</pre></code><img src=x onerror=alert(1)>", "javascript:1")
    )
    for holder, key in list(_places(body)):
        if isinstance(holder[key], str) and chance.random() < 0.3:
            holder[key] = hostile + holder[key]
    return _dumped(body)


def _many(body: Any, chance: random.Random) -> bytes:
    """Many cells, or many outputs."""
    cells = body.get("cells") or body["worksheets"][0]["cells"]
    cells += [copy.deepcopy(chance.choice(cells)) for _ in range(chance.choice((50, 400)))]
    big = base64.b64encode(bytes(300_000)).decode()
    cells[0]["outputs"] = [{"output_type": "display_data", "data": {"image/png": big}, "metadata": {}}]
    return _dumped(body)


def _doubled(body: Any, chance: random.Random) -> bytes:
    """Members that are there twice, numbers that are none, text after the end, a merge conflict."""
    text = json.dumps(body, indent=1)
    place = chance.randrange(4)
    if place == 0:
        return ('{"cells": 3, "nbformat": 9,' + text[1:]).encode()
    if place == 1:
        return text.replace("1", chance.choice(("NaN", "Infinity", "1e999", "01", "-")), 1).encode()
    if place == 2:
        return (text + chance.choice(("{}", "\0\0", "\n//", ",", "]"))).encode()
    lines = text.split("\n")
    lines[3:3] = ["<<<<<<< HEAD", "=======", ">>>>>>> other"]
    return "\n".join(lines).encode()


MUTATIONS: tuple[Callable[[Any, random.Random], bytes], ...] = (
    _cut,
    _flipped,
    _swapped,
    _swapped,
    _missing,
    _texts,
    _texts,
    _nested,
    _binary,
    _encoded,
    _named,
    _html,
    _many,
    _doubled,
)
