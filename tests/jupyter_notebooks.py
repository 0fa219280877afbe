"""Jupyter notebooks for the tests: a compact builder, and a corpus with what is to become of each.

All of it is made here. `CORPUS` are the notebooks that end as a marimo notebook or as a clear refusal.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PYTHON = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "version": "3.11.7", "file_extension": ".py"},
}
SAME = "the same as the original prints"
ANYHOW = "not looked at"


def code(
    source: str | list[str],
    tags: Sequence[str] = (),
    count: int | None = None,
    outputs: Sequence[Mapping[str, Any]] = (),
    **metadata: Any,
) -> dict[str, Any]:
    """A code cell of nbformat 4."""
    about = {**metadata, **({"tags": list(tags)} if tags else {})}
    return {
        "cell_type": "code",
        "source": source,
        "metadata": about,
        "execution_count": count,
        "outputs": list(outputs),
    }


def markdown(
    source: str, attachments: Mapping[str, Mapping[str, str]] | None = None, **metadata: Any
) -> dict[str, Any]:
    """A markdown cell; attachments are base64 texts by file name and mime type."""
    more = {"attachments": attachments} if attachments else {}
    return {"cell_type": "markdown", "source": source, "metadata": metadata, **more}


def raw(source: str, **metadata: Any) -> dict[str, Any]:
    """A raw cell."""
    return {"cell_type": "raw", "source": source, "metadata": metadata}


def notebook(*cells: Mapping[str, Any] | str, minor: int = 5, **metadata: Any) -> dict[str, Any]:
    """A notebook of nbformat 4; a text is a code cell. `metadata` is beside a Python kernel's."""
    found = [code(each) if isinstance(each, str) else dict(each) for each in cells]
    if minor >= 5:
        found = [{"id": f"cell-{number}", **each} for number, each in enumerate(found, 1)]
    return {"nbformat": 4, "nbformat_minor": minor, "metadata": {**PYTHON, **metadata}, "cells": found}


def written(body: Any, encoding: str = "utf-8") -> bytes:
    """The bytes of a notebook's file."""
    return json.dumps(body, indent=1, ensure_ascii=False).encode(encoding)


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    """What a cell has printed."""
    return {"output_type": "stream", "name": name, "text": text}


def shown(kind: str = "display_data", **data: Any) -> dict[str, Any]:
    """What a cell has shown, by mime type, `__` for the slash: text__html."""
    bundle = {name.replace("__", "/").replace("_", "+"): value for name, value in data.items()}
    more = {"execution_count": 1} if kind == "execute_result" else {}
    return {"output_type": kind, "data": bundle, "metadata": {}, **more}


def failed(name: str, value: str) -> dict[str, Any]:
    """The exception of a cell, coloured as IPython does."""
    trace = ["\x1b[0;31m---------\x1b[0m", f"\x1b[0;31m{name}\x1b[0m: {value}"]
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": trace}


def png(width: int = 2, height: int = 2) -> str:
    """A small picture, in base64."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    lines = b"".join(b"\0" + b"\x20\x80\xc0" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


@dataclass(frozen=True)
class Case:
    """A notebook's file, and what becomes of it.

    `refused` is the exit code of one that is refused. Another becomes a notebook that marimo accepts. It prints
    `prints`: SAME is what the original does under IPython, which it then ends like, too; None is not looked at. Where
    that is not SAME, it comes to its end, or `fails`: an exception's name, or ANYHOW. `kinds` are of notes that must
    be there; `person` says whether somebody must look, None for either; `says` must stand in the error.
    """

    name: str
    content: bytes
    refused: int | None = None
    prints: str | None = SAME
    fails: str | None = None
    kinds: frozenset[str] = frozenset()
    person: bool | None = False
    says: str = ""


def case(name: str, *cells: Mapping[str, Any] | str, minor: int = 5, metadata: Any = None, **about: Any) -> Case:
    """A case of a notebook of nbformat 4."""
    about["kinds"] = frozenset(about.get("kinds", ()))
    return Case(name, written(notebook(*cells, minor=minor, **(metadata or {}))), **about)


def file(name: str, content: Any, **about: Any) -> Case:
    """A case of a file as it is: bytes, or a JSON document."""
    about["kinds"] = frozenset(about.get("kinds", ()))
    return Case(name, content if isinstance(content, bytes) else written(content), **about)


def old(*sheets: Sequence[Mapping[str, Any]], version: int = 3) -> dict[str, Any]:
    """A notebook of nbformat 2 or 3."""
    return {
        "metadata": {"name": "old"},
        "nbformat": version,
        "nbformat_minor": 0,
        "worksheets": [{"cells": list(cells), "metadata": {}} for cells in sheets],
    }


def old_code(source: str, *outputs: Mapping[str, Any]) -> dict[str, Any]:
    """A code cell of nbformat 2 or 3."""
    return {
        "cell_type": "code",
        "collapsed": False,
        "input": source.splitlines(keepends=True),
        "language": "python",
        "metadata": {},
        "outputs": list(outputs),
        "prompt_number": 1,
    }


def of_kernel(name: str, language: str, *sources: str) -> dict[str, Any]:
    """A notebook of another kernel."""
    made = notebook(*sources)
    made["metadata"] = {
        "kernelspec": {"name": name, "language": language, "display_name": name},
        "language_info": {"name": language},
    }
    return made


def _without(body: dict[str, Any], *names: str, of_cells: Sequence[str] = ()) -> dict[str, Any]:
    found = {name: value for name, value in body.items() if name not in names}
    cells = [{name: value for name, value in cell.items() if name not in of_cells} for cell in body["cells"]]
    return {**found, "cells": cells}


PLAIN = ("numbers = [3, 1, 2]\nprint(sorted(numbers))", "print('sum', sum(numbers))")
SALES = "rows = [('north', 12.5), ('south', 7.25), ('north', 3.0)]"

FORMATS = [
    file("v2_plain", old([old_code("x = 2\nprint(x * 21)"), old_code("print(x)")], version=2), kinds={"format"}),
    file(
        "v2_texts",
        old(
            [
                {"cell_type": "markdown", "source": ["# Old\n", "and *plain*"], "metadata": {}},
                {"cell_type": "html", "source": ["<b>bold</b>"], "metadata": {}},
                old_code("print('two')", {"output_type": "pyout", "output_text": ["'two'"], "prompt_number": 1}),
            ],
            version=2,
        ),
        kinds={"format"},
    ),
    file(
        "v3_headings",
        old(
            [
                {"cell_type": "heading", "level": 2, "source": ["Results"], "metadata": {}},
                old_code("total = 1 + 1"),
                old_code("print(total)", {"output_type": "stream", "stream": "stdout", "text": ["2\n"]}),
                {"cell_type": "raw", "source": ["as it is"], "metadata": {}},
            ]
        ),
        kinds={"format"},
    ),
    file(
        "v3_two_sheets",
        old(
            [old_code("a = 'first sheet'")],
            [
                old_code("print(a)"),
                old_code("1/0", {"output_type": "pyerr", "ename": "E", "evalue": "v", "traceback": ["t"]}),
            ],
        ),
        kinds={"format"},
    ),
    *(case(f"v4_{minor}", markdown("# Plain"), *PLAIN, minor=minor) for minor in range(6)),
    file("v4_without_ids", _without(notebook(*PLAIN), of_cells=["id"])),
    file("v4_ids_twice", {**notebook(*PLAIN), "cells": [{**each, "id": "x"} for each in notebook(*PLAIN)["cells"]]}),
    file("v4_no_minor", _without(notebook(*PLAIN), "nbformat_minor")),
    file("v4_no_metadata", {**notebook(*PLAIN), "metadata": {}}),
    file("v4_metadata_null", {**notebook(*PLAIN), "metadata": None}, person=None),
    file("v4_bare_cells", _without(notebook(*PLAIN), of_cells=["id", "metadata", "outputs", "execution_count"])),
    file(
        "v4_odd_tags",
        {
            **notebook(),
            "cells": [
                {**code("print('odd')"), "metadata": {"tags": "parameters"}},
                {**code("print('odder')"), "metadata": {"tags": [None, 3, "x"]}},
                {**code("print('oddest')"), "metadata": {"collapsed": "no", "jupyter": None, "name": 7}},
            ],
        },
        person=None,
    ),
    file(
        "v4_lines",
        notebook(
            code(["a = 1\n", "b = 2\n", "print(a + b)"]), code("for n in range(2):\r\n    print(n)\r\n"), code([])
        ),
    ),
    file("v4_newer_minor", {**notebook(*PLAIN), "nbformat_minor": 9}, person=None),
    file("bom", b"\xef\xbb\xbf" + written(notebook("name = 'Zoë'\nprint(name)"))),
    file("bom_without_minor", b"\xef\xbb\xbf" + written(notebook(*PLAIN, minor=0))),
    file("utf_16", written(notebook("print('naïve', '日本')"), "utf-16"), kinds={"format"}),
    file("utf_16_be", written(notebook(*PLAIN), "utf-16-be"), kinds={"format"}),
    file(
        "latin_1", written(notebook("print('café')", markdown("Überschrift")), "latin-1"), kinds={"format"}, person=None
    ),
    file("latin_1_comment", written(notebook("# prix en £\nprint(1)"), "latin-1"), kinds={"format"}, person=None),
    case("empty"),
    case("empty_cells", "", "   \n\n", markdown(""), "print('between')", "# only a comment", code([])),
    case("empty_comments", "# nothing\n# here", "\n# print(1)\n"),
    file("title", notebook("print(1)", title="Quarterly figures", authors=[{"name": "Ada"}])),
]

TEXTS = [
    case(
        "attachment",
        markdown("![a dot](attachment:dot.png)", {"dot.png": {"image/png": png()}}),
        "print('after')",
        kinds={"attachment"},
    ),
    case(
        "attachments_odd_names",
        markdown(
            "![](attachment:a%20b.png) ![](attachment:../../../evil.png) ![](attachment:x.svg)",
            {
                "a b.png": {"image/png": png()},
                "../../../evil.png": {"image/png": png(3)},
                "x.svg": {"image/svg+xml": "<svg/>"},
            },
        ),
        kinds={"attachment"},
        person=None,
    ),
    case(
        "attachment_broken",
        markdown("![](attachment:n.png)", {"n.png": {"image/png": "not base64!"}, "gone": {}}),
        "print(1)",
        person=None,
    ),
    case("raw", raw("a raw *cell*\n\n```\nfenced\n```"), "print('raw')", kinds={"text"}, person=None),
    case(
        "raw_format", raw("<b>page</b>", format="text/html", raw_mimetype="text/html"), raw(""), "print(2)", person=None
    ),
    case(
        "markdown_traps",
        markdown('Quotes """ and \'\'\' and {braces} and \\latex $\\frac{a}{b}$ and r"\\n"'),
        markdown("ends with a backslash \\"),
        markdown("<script>alert(1)</script>"),
        "print('traps')",
    ),
    case("text_traps", 'text = """triple \\""" inside"""\nprint(text)', "print(r'\\d', '\\N{BULLET}', b'\\x00')"),
    case("form_feed", "a = 1\n\x0c\nb = 2\nprint(a, b)", "c = 'sépare'\nprint(c)"),
]

TAGS = [
    case(
        "parameters",
        code("start = '2026-01-01'\nlimit = 10\nrate = 0.5", ["parameters"]),
        "print(start, limit * rate)",
        kinds={"tag"},
    ),
    case(
        "parameters_injected",
        code("n = 1", ["parameters"]),
        code("n = 5", ["injected-parameters"]),
        "print(n)",
        kinds={"tag"},
        prints=None,
        person=None,
    ),
    case("parameters_typed", code("name: str = 'a'\nflag = True\nnothing = None", ["parameters"]), "print(name, flag)"),
    case("hide_input", code("print('hidden')", ["hide-input"]), code("print('too')", ["remove-input"]), person=None),
    case("source_hidden", code("print('folded')", jupyter={"source_hidden": True}), code("print(2)", collapsed=True)),
    case("skip", code("raise SystemExit(9)", ["skip"]), "print('after')", prints="after\n", kinds={"tag"}, person=None),
    case(
        "skip_execution",
        "before = 1",
        code("before = undefined", ["skip-execution"]),
        "print(before)",
        prints="1\n",
        kinds={"tag"},
        person=None,
    ),
    case(
        "raises",
        code("print('tried')\n1 / 0\nprint('never')", ["raises-exception"]),
        "print('goes on')",
        prints="tried\ngoes on\n",
        kinds={"tag"},
        person=None,
    ),
    case(
        "raises_defines",
        code("value = 3\nother = [][1]", ["raises-exception"]),
        "print(value)",
        prints="3\n",
        kinds={"tag"},
        person=None,
    ),
]

MAGICS = [
    case(
        "magic_dropped",
        "%matplotlib inline\n%load_ext autoreload\n%autoreload 2\nimport math",
        "%config InlineBackend.figure_format = 'retina'\nprint(math.floor(2.5))",
        kinds={"magic"},
        prints="2\n",
        person=None,
    ),
    case("magic_matplotlib_notebook", "%matplotlib notebook", "%pylab --help\nprint(1)", prints=None, person=None),
    case(
        "pip",
        "%pip install tabulate==0.9.0 'click>=8'",
        "!pip install -q requests[socks]",
        "print('installed')",
        kinds={"install"},
        prints="installed\n",
        person=None,
    ),
    case(
        "pip_odd",
        "!pip install -r requirements.txt",
        "import sys\n!{sys.executable} -m pip install tabulate",
        "!python -m pip install --upgrade click",
        "%conda install numpy",
        "print('x')",
        kinds={"install"},
        prints="x\n",
        person=None,
    ),
    case("shell", "!echo one two", "!printf 'a\\nb\\n' | wc -l", "!cd / && pwd", kinds={"shell"}),
    case("shell_captured", "files = !printf 'x\\ny\\n'\nprint(list(files))", "print(len(files))", kinds={"shell"}),
    case(
        "shell_variables",
        "who = 'Ada'\nn = 3",
        "!echo hello {who} $n {n + 1} $$HOME_IS_NOT",
        kinds={"shell"},
        prints=None,
    ),
    case(
        "shell_fails",
        "!false",
        "print('goes on')",
        "!no_such_program_at_all 2> /dev/null\nprint('still')",
        kinds={"shell"},
    ),
    case("shell_in_block", "for n in range(2):\n    !echo line {n}", "if n:\n    print(n)", kinds={"shell"}),
    case("bash", '%%bash\nfor i in 1 2; do\n  echo "$i {not python}"\ndone', "print('py')", kinds={"shell"}),
    case(
        "sh_and_script",
        "%%sh\necho from sh",
        "%%script python3\nprint('child')",
        "print('py')",
        prints=None,
        person=None,
    ),
    case(
        "writefile",
        "%%writefile made.txt\nfirst {x}\n'''second'''",
        "%%writefile -a made.txt\nthird",
        "print(open('made.txt').read())",
        kinds={"magic"},
    ),
    case(
        "writefile_module",
        "%%writefile helper_made.py\ndef double(x):\n    return 2 * x\n",
        "import helper_made",
        "print(helper_made.double(4))",
        person=None,
    ),
    case(
        "time",
        "%%time\nsquares = [n * n for n in range(4)]",
        "print(squares)",
        "%time total = sum(squares)",
        "print(total)",
        prints=None,
        kinds={"magic"},
        person=None,
    ),
    case(
        "timeit",
        "data = list(range(10))",
        "%timeit -n 2 -r 1 sum(data)",
        "%%timeit -n 2 -r 1\nmax(data)",
        "print('done')",
        prints=None,
        kinds={"magic"},
        person=None,
    ),
    case(
        "capture",
        "%%capture out\nprint('caught')\nkept = 5",
        "print(kept)",
        "print('after')",
        prints="5\nafter\n",
        kinds={"magic"},
        person=None,
    ),
    case(
        "capture_used",
        "%%capture said\nprint('caught')",
        "print(said.stdout.upper())",
        prints=None,
        kinds={"magic"},
        person=None,
    ),
    case(
        "sql",
        "%load_ext sql\n%sql sqlite://",
        "%%sql\nSELECT 1 AS one",
        prints=None,
        fails=ANYHOW,
        kinds={"magic"},
        person=None,
    ),
    case(
        "sql_line",
        "frame = %sql SELECT 2 AS two",
        "limit = 3",
        "%%sql result <<\nSELECT :limit",
        prints=None,
        fails=ANYHOW,
        kinds={"magic"},
        person=None,
    ),
    case(
        "env",
        "%env MIGRATED_X=seven",
        "import os\nprint(os.environ['MIGRATED_X'])",
        "%set_env MIGRATED_Y 8",
        "print(os.environ['MIGRATED_Y'])",
        kinds={"magic"},
    ),
    case(
        "cd_pwd",
        "%cd -q /",
        "import os\nprint(os.getcwd())",
        "%pwd",
        "%ls /nowhere-at-all",
        prints=None,
        kinds={"magic"},
        person=None,
    ),
    case(
        "run",
        "%%writefile part.py\nshared = 11\nprint('part runs')",
        "%run part.py",
        "print(shared)",
        kinds={"magic"},
        person=None,
    ),
    case(
        "who",
        "a = 1",
        "%who",
        "%whos int",
        "%precision 3",
        "%history -n 1",
        "print(a)",
        prints=None,
        kinds={"magic"},
        person=None,
    ),
    case(
        "unknown_magic",
        "%frobnicate 3",
        "%%transmogrify --all\nany text { at ) all",
        "print('rest')",
        prints="rest\n",
        kinds={"magic"},
        person=True,
    ),
    case(
        "html_latex",
        "%%html\n<b>bold</b>",
        "%%latex\n$x^2$",
        "%%markdown\n# Head",
        "%%javascript\nalert(1)",
        "%%svg\n<svg/>",
        "print('shown')",
        prints="shown\n",
        person=None,
    ),
    case(
        "help",
        "len?",
        "import math\nmath.sqrt??",
        "?math",
        "print('asked')",
        prints="asked\n",
        kinds={"magic"},
        person=None,
    ),
    case("auto_call", "def told(*words):\n    print(words)", ",told a b", "/print 1", person=None),
    case(
        "other_languages",
        "%%perl\nprint 1;",
        "%%ruby\nputs 1",
        "%%cython\ncdef int x = 1",
        "%%R\nx <- 1",
        "print('only')",
        prints=None,
        person=True,
    ),
    case(
        "magic_in_text",
        "text = '''\n%matplotlib inline\n!ls\n'''\nprint(text)",
        "n = 7\nprint(n\n%4)",
        "x = not False\nprint(x != 1)",
    ),
    case(
        "prun",
        "def f():\n    return 1",
        "%prun -q f()",
        "%debug",
        "%%prun -q\nf()",
        "print(f())",
        prints=None,
        person=None,
    ),
]

DISPLAYS = [
    case(
        "display",
        "from IPython.display import display, HTML, Markdown\ndisplay(HTML('<b>x</b>'))",
        "display(Markdown('# head'))",
        "display('a', 'b')",
        "print('shown')",
        kinds={"display"},
    ),
    case(
        "display_builtin",
        "for n in range(2):\n    display(n)",
        "display({'a': 1}, [2])",
        "print('end')",
        kinds={"display"},
    ),
    case(
        "display_modules",
        "import IPython.display as ipd\nipd.display(ipd.Image(data=b'\\x89PNG', format='png'))",
        "from IPython import display as d\nd.clear_output(wait=True)",
        "print(1)",
        prints="1\n",
        kinds={"display"},
        person=None,
    ),
    case(
        "display_handles",
        "from IPython.display import display\nhandle = display('one', display_id=True)",
        "handle.update('two')",
        "print('updated')",
        prints="one\ntwo\nupdated\n",
        kinds={"display"},
        person=None,
    ),
    case(
        "get_ipython",
        "ip = get_ipython()\nprint(ip is not None)",
        "get_ipython().run_line_magic('matplotlib', 'inline')",
        "get_ipython().system('echo by system')",
        prints=None,
        person=None,
    ),
    case(
        "in_notebook",
        "def is_notebook():\n    try:\n        "
        "return get_ipython().__class__.__name__ == 'ZMQInteractiveShell'\n    except NameError:\n        return False",
        "print(type(is_notebook()).__name__)",
        person=None,
    ),
    case(
        "get_ipython_kernel",
        "get_ipython().kernel.do_shutdown(True)",
        "print('x')",
        prints=None,
        fails=ANYHOW,
        person=True,
    ),
    case(
        "widgets",
        "import ipywidgets as widgets\nslider = widgets.IntSlider(value=3, min=0, max=10, description='n')\nslider",
        "print(slider.value)",
        kinds={"widget"},
        person=None,
    ),
    case(
        "widgets_many",
        "from ipywidgets import Dropdown, Text, Checkbox, VBox\nchoice = Dropdown(options=['a', 'b'], value='b')\n"
        "word = Text(value='hi')\nbox = Checkbox(value=True)\nVBox([choice, word, box])",
        "print(choice.value, word.value, box.value)",
        kinds={"widget"},
        person=None,
    ),
    case(
        "interact",
        "from ipywidgets import interact\n\n@interact(x=(0, 10))\ndef show(x=4):\n    print('x is', x)",
        "print('end')",
        prints=None,
        kinds={"widget"},
        person=None,
    ),
    case(
        "observe",
        "import ipywidgets as w\nb = w.Button(description='go')\nseen = []\nb.on_click(lambda _: seen.append(1))\nb",
        "print(seen)",
        prints=None,
        kinds={"widget"},
        person=None,
    ),
    case(
        "audio_video",
        "from IPython.display import Audio, YouTubeVideo, IFrame, Latex, JSON, SVG\nYouTubeVideo('abc')",
        "IFrame('https://example.org', 10, 10)",
        "Latex('$x$')",
        "JSON({'a': 1})",
        "print(1)",
        kinds={"display"},
        person=None,
    ),
    case("last_expression", "value = 3\nvalue", "value;", "value + 1 # shown", "print(value)"),
    case("out_history", "6 * 7", "_ + 1", "print(Out is not None)", prints=None, fails=ANYHOW, person=True),
]

NAMES = [
    case(
        "loops",
        "for i in range(3):\n    print(i)",
        "for i in 'ab':\n    print(i)",
        "total = 0\nfor i in range(4):\n    total += i\nprint(total)",
        person=None,
    ),
    case(
        "rebound",
        SALES,
        "rows = [r for r in rows if r[1] > 5]\nprint(len(rows))",
        "rows = sorted(rows)\nprint(rows[0])",
        "print(rows)",
    ),
    case("rebound_by_itself", "x = 1", "x = x + 1", "x = x * 10", "print(x)"),
    case("augmented", "count = 0", "count += 5", "count *= 2", "print(count)"),
    case(
        "with_as",
        "with open('t.txt', 'w') as f:\n    f.write('one')",
        "with open('t.txt') as f:\n    print(f.read())",
        "print(f.closed)",
    ),
    case(
        "exceptions",
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    print(e)",
        "try:\n    [][0]\nexcept IndexError as e:\n    print('again', e)",
    ),
    case(
        "functions_twice",
        "def f():\n    return 'first'\nprint(f())",
        "def f():\n    return 'second'\nprint(f())",
        "print(f())",
    ),
    case(
        "late_binding",
        "def area():\n    return side ** 2",
        "side = 3\nprint(area())",
        "side = 4\nprint(area())",
        person=None,
    ),
    case("global", "x = 7\ndef g():\n    global x\n    x = 8", "g()\nprint(x)", "x = 9\nprint(x)", person=None),
    case(
        "global_counter",
        "hits = 0\ndef hit():\n    global hits\n    hits += 1",
        "hit()\nhit()",
        "print(hits)",
        person=None,
    ),
    case(
        "closure",
        "makers = []\nfor k in range(3):\n    makers.append(lambda k=k: k)",
        "k = 100\nprint([m() for m in makers])",
        "print(k)",
    ),
    case(
        "closure_nonlocal",
        "def counter():\n    n = 0\n"
        "    def add():\n        nonlocal n\n        n += 1\n        return n\n    return add",
        "n = counter()\nprint(n(), n())",
        "n = n()\nprint(n)",
        person=None,
    ),
    case("mutation", "seen = []", "seen.append(1)", "seen.append(2)", "print(seen)", person=None),
    case("mutation_dict", "d = {}", "d['a'] = 1", "d.update(b=2)\ndel d['a']", "print(d)", person=None),
    case(
        "mutation_attribute",
        "class Box:\n    pass\nbox = Box()",
        "box.value = 1",
        "box.value += 1",
        "print(box.value)",
        person=None,
    ),
    case("deletion", "temp = [1, 2]\nprint(temp)", "del temp", "temp = 'new'\nprint(temp)", person=None),
    case(
        "imports_twice",
        "import math\nimport os",
        "import math\nprint(math.pi > 3)",
        "from os import path\nimport os.path\nprint(os.sep == path.sep)",
        person=None,
    ),
    case(
        "imports_shadowed",
        "from math import sqrt\nprint(sqrt(4))",
        "def sqrt(x):\n    return 'mine'\nprint(sqrt(4))",
        person=None,
    ),
    case("star", "from math import *", "print(floor(pi))", "e = 1\nprint(e)", person=None),
    case("star_of_many", "from os.path import *\nfrom math import *", "print(join('a', 'b'), ceil(1.5))", person=None),
    case(
        "comprehensions",
        "x = [x for x in range(3)]\nprint(x)",
        "print([x for x in 'ab'], x)",
        "print({x: y for x, y in zip('ab', x)})",
    ),
    case("walrus", "if (n := 4) > 3:\n    print(n)", "print([n := m for m in range(3)])", "print(n)", person=None),
    case(
        "conditional",
        "import sys\nif sys.argv is None:\n    mode = 'none'",
        "mode = 'some'\nprint(mode)",
        "print(mode)",
        person=None,
    ),
    case("unbound", "print(undefined_name)", "print('never')", fails="NameError", person=None),
    case(
        "classes",
        "class A:\n    def hi(self):\n        return 'A'",
        "class B(A):\n    def hi(self):\n        return super().hi() + 'B'",
        "class A(B):\n    pass\nprint(A().hi())",
        person=None,
    ),
    case("annotations", "x: int = 3\nprint(x)", "y: 'list[int]'\ny = [x]\nprint(y)", person=None),
    case(
        "match",
        "value = {'k': [1, 2]}\nmatch value:\n    case {'k': [first, *rest]}:\n        print(first, rest)",
        "match 5:\n    case first:\n        print(first)",
        person=None,
    ),
    case("underscore", "_, last = (1, 2)\nprint(_)", "_hidden = 3", "print(_hidden, last)", person=None),
    case(
        "keywords_of_marimo",
        "app = 'mine'\nmo = 'mo'\nmarimo = 1",
        "print(app, mo, marimo)",
        markdown("uses marimo"),
        "display(1)\nprint(app)",
        person=None,
    ),
    case("builtins_shadowed", "list = [1]\nprint(list)", "sum = 5", "print(sum, len(list))", person=None),
    case("dunder", "print(__name__)", "__version__ = '1'\nprint(__version__)", prints=None, person=None),
    case("unpacking", "a, (b, *c) = 1, (2, 3, 4)\nprint(a, b, c)", "a, b = b, a\nprint(a, b)", "c = [a, *c]\nprint(c)"),
    case(
        "await",
        "import asyncio\nawait asyncio.sleep(0)\nprint('slept')",
        "async def f():\n    return 4\nprint(await f())",
        person=None,
    ),
    case(
        "async_for",
        "async def gen():\n    yield 1\n    yield 2\nasync for item in gen():\n    print(item)",
        "print(item)",
        person=None,
    ),
    case(
        "locals",
        "a = 1\nprint('a' in globals())",
        "globals()['b'] = 2\nprint(b)",
        person=None,
        prints=None,
        fails=ANYHOW,
    ),
    case("exec", "exec('made = 5')", "print(made)", person=None, prints=None, fails=ANYHOW),
    case("many_cells", *(f"v = {n}\nw = v * 2\nprint(w)" for n in range(30)), "print(v, w)"),
    case(
        "pandas",
        "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2, 3]})",
        "df['b'] = df['a'] * 2",
        "df = df[df.b > 2]\nprint(len(df))",
        "df.loc[:, 'c'] = 1\nprint(list(df.columns))",
        person=None,
    ),
    case(
        "matplotlib",
        "%matplotlib inline\nimport matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt",
        "fig, ax = plt.subplots()\nax.plot([1, 2])\nplt.show()",
        "plt.figure()\nplt.plot([3, 4])\nplt.title('x')\nprint(len(plt.get_fignums()) >= 0)",
        prints="True\n",
        person=None,
    ),
]

ORDERS = [
    case("order_kept", code("a = 1", count=1), code("b = a + 1", count=2), code("print(b)", count=3)),
    case(
        "order_back",
        code("print(late)", count=2),
        code("late = 5", count=1),
        kinds={"order"},
        prints=None,
        fails=ANYHOW,
        person=True,
    ),
    case("order_twice", code("x = 1", count=5), code("x += 1\nprint(x)", count=9), kinds=(), prints="2\n", person=None),
    case(
        "order_gaps",
        code("x = 1", count=1),
        code("print(x + y)", count=7),
        code("y = 2", count=6),
        kinds={"order"},
        prints=None,
        fails=ANYHOW,
        person=True,
    ),
    case(
        "order_deleted",
        code("x = gone + 1", count=3),
        code("print(x)", count=4),
        kinds=(),
        prints=None,
        fails="NameError",
        person=None,
    ),
]

KERNELS = [
    file("kernel_r", of_kernel("ir", "R", "x <- c(1, 2)"), refused=7, says="R"),
    file("kernel_julia", of_kernel("julia-1.9", "julia", "x = [1 2]"), refused=7, says="julia"),
    file("kernel_bash", of_kernel("bash", "bash", "echo hi"), refused=7, says="bash"),
    file("kernel_sos", of_kernel("sos", "sos", "%use R", "x <- 1"), refused=7, says="sos"),
    file("kernel_javascript", of_kernel("deno", "typescript", "let x = 1"), refused=7, says="typescript"),
    file("kernel_unnamed", {**notebook("x <- 1"), "metadata": {"kernelspec": {"name": "ir"}}}, refused=7, says="ir"),
    file(
        "kernel_by_language_info",
        {**notebook("x"), "metadata": {"language_info": {"name": "scala"}}},
        refused=7,
        says="scala",
    ),
    file(
        "kernel_own_python",
        {
            **notebook(*PLAIN),
            "metadata": {"kernelspec": {"name": "my-env", "display_name": "My env", "language": "python"}},
        },
    ),
    file(
        "kernel_pyspark_python",
        {**notebook(*PLAIN), "metadata": {"kernelspec": {"name": "conda-env-x-py", "display_name": "x"}}},
    ),
]

SYNTAX = [
    case("syntax_error", "x = 1", "def broken(:\n    pass", "print(x)", prints="1\n", kinds={"syntax"}, person=True),
    case("syntax_indent", "if True:\nprint(1)", "print('rest')", prints="rest\n", kinds={"syntax"}, person=True),
    case("python_2", "print 'hello'", "print('fine')", prints="fine\n", kinds={"syntax"}, person=True),
    case(
        "python_2_more",
        "try:\n    pass\nexcept Exception, e:\n    print e",
        "exec 'x = 1'",
        "print(`1`)",
        "print('fine')",
        prints="fine\n",
        kinds={"syntax"},
        person=True,
    ),
    case("top_level_return", "return 5", "print('on')", prints="on\n", person=None),
    case("top_level_yield", "yield 1", "print('on')", prints="on\n", person=True),
    case("prose", "This is not code at all, it's prose.", "print('on')", prints="on\n", kinds={"syntax"}, person=True),
    case("null_byte", "x = '\x00'", "print('on')", prints="on\n", person=None),
    case(
        "deep",
        "x = " + "(" * 300 + "1" + ")" * 300,
        "y = " + "-" * 5000 + "1",
        "print('on')",
        prints="on\n",
        person=None,
    ),
    case(
        "future", "from __future__ import annotations", "def f(x: Undefined):\n    return 1\nprint(f(2))", person=None
    ),
]

OUTPUTS = [
    case("output_streams", code("print('a')", count=1, outputs=[stream("a\n"), stream("warned\n", "stderr")])),
    case("output_result", code("1 + 1", count=1, outputs=[shown("execute_result", text__plain="2")]), "print(1)"),
    case(
        "output_html",
        code("'t'", count=1, outputs=[shown(text__html="<table><tr><td>1</td></tr></table>", text__plain="t")]),
    ),
    case("output_image", code("'i'", count=1, outputs=[shown(image__png=png(), text__plain="<Figure>")])),
    case(
        "output_svg_json",
        code("'s'", count=1, outputs=[shown(image__svg_xml="<svg/>"), shown(application__json={"a": [1]})]),
    ),
    case("output_latex", code("'l'", count=1, outputs=[shown(text__latex="$x$"), shown(text__markdown="*m*")])),
    case(
        "output_error",
        code("1 / 0", count=1, outputs=[failed("ZeroDivisionError", "division by zero")]),
        person=None,
    ),
    case(
        "output_error_old",
        code("print('fixed')", count=1, outputs=[failed("NameError", "name 'x' is not defined")]),
        person=None,
    ),
    case(
        "output_unknown_mime",
        code("'v'", count=1, outputs=[shown(**{"application__vnd.x+json": {"spec": 1}}), shown()]),
    ),
    case(
        "output_widget",
        code("'w'", count=1, outputs=[shown(**{"application__vnd.jupyter.widget-view+json": {"model_id": "a"}})]),
        person=None,
    ),
    case(
        "output_huge_text",
        code("print('big')", count=1, outputs=[stream("x" * 79 + "\n") for _ in range(20000)]),
        person=None,
    ),
    case("output_huge_image", code("'big'", count=1, outputs=[shown(image__png="A" * 6_000_000)]), person=None),
    case(
        "output_hostile",
        code(
            "print(1)",
            count=1,
            outputs=[
                stream("</script><script>alert(1)</script>\x1b]0;x\x07"),
                shown(text__html="<img src=x onerror=alert(1)>"),
            ],
        ),
        person=None,
    ),
    file(
        "output_broken",
        {
            **notebook(),
            "cells": [
                {
                    **code("print('kept')"),
                    "outputs": [None, 3, {"output_type": "new"}, {"data": 5}, {"output_type": "stream"}],
                }
            ],
        },
        person=None,
    ),
    case("output_surrogate", code("print('s')", count=1, outputs=[stream("half \\ud83d")]), person=None),
]

DAGSTER = [
    case(
        "dagstermill",
        "import dagstermill",
        code("context = dagstermill.get_context(op_config={'n': 3})\nn = 3", ["parameters"]),
        "result = n * 2\nprint(result)",
        "dagstermill.yield_result(result)",
        kinds={"dagster"},
        prints=None,
        fails=ANYHOW,
        person=None,
    ),
    case(
        "dagstermill_context",
        "import dagstermill as dm\ncontext = dm.get_context()",
        "context.log.info('hello')\nvalue = context.op_config",
        "dm.yield_result(5, output_name='total')\ndm.yield_event(1)",
        kinds={"dagster"},
        prints=None,
        fails=ANYHOW,
        person=None,
    ),
]

BROKEN = [
    file("nothing", b"", refused=7),
    file("spaces", b"  \n", refused=7),
    file("no_json", b"print('hello')\n", refused=7),
    file("truncated", written(notebook(*PLAIN))[:200], refused=7),
    file("a_list", [1, 2], refused=7),
    file("a_number", b"3", refused=7),
    file("other_json", {"version": 1, "items": []}, refused=7),
    file("cells_missing", {"nbformat": 4, "nbformat_minor": 5, "metadata": PYTHON}, refused=7),
    file("cells_wrong", {"nbformat": 4, "nbformat_minor": 5, "metadata": PYTHON, "cells": "none"}, refused=7),
    file("format_1", {"nbformat": 1, "nbformat_minor": 0, "metadata": {}, "notebook": []}, refused=7),
    file("format_99", {"nbformat": 99, "nbformat_minor": 0, "metadata": {}, "cells": []}, refused=7),
    file("format_text", {**notebook(*PLAIN), "nbformat": "four"}, person=None),
    file("binary", bytes(range(256)) * 8, refused=7),
    file("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", refused=7),
    file("deep_json", b"[" * 100_000, refused=7),
    file("html_page", b"<!DOCTYPE html><title>Login</title>", refused=7),
    file("merge_conflict", b"<<<<<<< HEAD\n" + written(notebook(*PLAIN)), refused=7),
]

HOSTILE = [
    case(
        "hostile_names",
        "print('x')",
        markdown("[x](javascript:alert(1)) <iframe src='file:///etc/passwd'>"),
        metadata={"title": "../../evil", "name": "$(touch evil)"},
    ),
    case(
        "hostile_end_of_text",
        markdown('""")\nopen("evil", "w")\nmo.md("""'),
        markdown('\\"""\nimport os'),
        raw('"""\nopen("evil", "w")\n"""'),
        "print('safe')",
        person=None,
    ),
    case(
        "hostile_header",
        "# /// script\n# dependencies = ['evil']\n# ///\nprint('h')",
        "# %%\nprint('again')",
        person=None,
    ),
    case(
        "hostile_pip",
        "!pip install 'x\"]\\n# evil'",
        "%pip install --index-url http://127.0.0.1:9/ evil; touch evil",
        "print('p')",
        prints=None,
        fails=ANYHOW,
        person=None,
    ),
    case(
        "hostile_cell",
        "if __name__ == '__main__':\n    app = None\nprint('m')",
        "import marimo\nprint('n')",
        prints=None,
        person=None,
    ),
    case(
        "hostile_decorator",
        "print('c')\n    return\n\n@app.cell\ndef _():\n    open('evil', 'w')",
        "print('d')",
        prints="d\n",
        kinds={"syntax"},
        person=True,
    ),
    case(
        "hostile_placeholder",
        "daglab__mo = 1\nprint(daglab__mo)",
        "text = 'daglab__mo.md'\nprint(text)",
        "display(1)",
        prints="daglab__mo.md\n",
        person=True,
    ),
]

CORPUS = [*FORMATS, *TEXTS, *TAGS, *MAGICS, *DISPLAYS, *NAMES, *ORDERS, *KERNELS, *SYNTAX, *OUTPUTS, *DAGSTER, *BROKEN]
CORPUS += HOSTILE
