"""Writes marimo notebooks with marimo's own converter and has `marimo check` look at them, a batch in one process.

Run by the project's own Python under daglab's keeper, in a folder of its own: `converter.py WANTED.json`, a list of
`{"name", "header", "options", "cells": [{"code", "hidden", "disabled"}]}`; `made.json` beside it is the answer,
`ready` says that marimo is there. Cells are never run. This is the one place where the conversion touches marimo's
private names; where they are gone, `marimo convert` is asked.

The cells reach marimo as cells, not as a Jupyter notebook: its reading of those renames, strips and drops, and has a
line of text that begins with `!pip install` looked up by uv, which may run what it finds.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # neither what lies beside this file nor what lies in the current folder is a module
    sys.path[:] = [each for each in sys.path[1:] if each]

import ast
import contextlib
import dataclasses
import gc
import importlib
import io
import json
import os
import re
import runpy
from collections.abc import Iterator
from typing import Any

Answer = dict[str, Any]
TOO_MUCH = (SyntaxError, ValueError, RecursionError, MemoryError)
LEAST, MOST = 10, 4  # notebooks for a process of their own, and such processes
GARBAGE = 100_000
TOLD = ("sql", "duckdb", "execute", "test")  # in code about which marimo's compiling may have something to say
LOCAL = re.compile(r"(?<!\w)_(?!_)")  # begins a name that marimo makes one of its cell alone, by the cell's id
EARLY = ("marimo._cli.cli", "marimo._lint", "marimo._convert.converters")  # what the copies would import each
STATE = ("config", "_status", "_run_result_status", "_stale", "_output")  # of a compiled cell: not to be shared
COMMANDS = ("!", "%")  # lines that marimo's reading of Jupyter notebooks takes for commands
TEXT = re.compile(r'(?:mo\.md\(r?|_text = )""".*"""(?:\)|\nmo\.md\(_text\))', re.DOTALL)  # shows a text alone


def main(wanted: str) -> None:
    """Convert all, check all, write the answer."""
    import marimo  # noqa: F401

    with open(wanted, encoding="utf-8") as file:
        orders = json.load(file)
    with open("ready", "w", encoding="utf-8"):
        pass
    answers = divided(orders) if sys.platform.startswith("linux") else worked(orders)
    if answers is not None:
        with open("made.json", "w", encoding="utf-8") as file:
            json.dump(answers, file)


def divided(orders: list[Answer]) -> list[Answer] | None:
    """The work shared among this process's copies, where there is enough of it; None where one did not end well."""
    parts = max(1, min(len(os.sched_getaffinity(0)), len(orders) // LEAST, MOST))
    gc.set_threshold(GARBAGE)  # syntax trees by the thousand, and hardly one that only the collector could free
    if parts == 1:
        return worked(orders)
    for name in EARLY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    children = [copied(orders[part::parts], f"part{part}") for part in range(parts)]
    ends = [os.waitpid(pid, 0)[1] for pid in children]
    if any(ends):
        return None
    answers: list[Answer] = [{}] * len(orders)
    for part in range(parts):
        with open(os.path.join(f"part{part}", "made.json"), encoding="utf-8") as file:
            answers[part::parts] = json.load(file)
    return answers


def copied(orders: list[Answer], folder: str) -> int:
    """A copy of this process that does a part of the work in a folder of its own."""
    os.makedirs(folder)
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.chdir(folder)
        with open("made.json", "w", encoding="utf-8") as file:
            json.dump(worked(orders), file)
        code = 0
    finally:
        os._exit(code)


def worked(orders: list[Answer]) -> list[Answer]:
    """The answers to orders."""
    from marimo import __version__

    written = private_writer() or public_writer
    answers: list[Answer] = []
    for index in range(len(orders)):
        answer: Answer = {"text": "", "codes": [], "lines": [], "lost": [], "issues": [], "header_hash": None}
        answers.append({**answer, "marimo_version": __version__, "flaw": None})
        os.makedirs(str(index))
    with remembering():
        for index, order in enumerate(orders):
            try:
                answers[index]["text"] = written(order, str(index))
                read_back(order, answers[index])
            except Exception as error:  # whatever marimo makes of one notebook, the others are converted
                answers[index].update(text="", flaw=f"{type(error).__name__}: {error}")
        files = put_down(orders, answers)
        check(files, answers)
    tidy(files, orders, answers)
    return answers


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """Within, marimo reads each text and compiles each cell once: writing and three of its rules do so anew each time.

    Nothing is remembered where marimo has other names for it.
    """
    try:
        from marimo._ast import compiler, parse, toplevel
        from marimo._lint.rules.runtime import reusable_definition_order

        read, compiled = read_once(parse.parse_notebook), compiled_once(compiler.compile_cell)
        places = [(parse, "parse_notebook", read), (compiler, "compile_cell", compiled)]
        places += [(module, "compile_cell", compiled) for module in (toplevel, reusable_definition_order)]
        before = [(module, name, getattr(module, name)) for module, name, _ in places]
    except (ImportError, AttributeError):
        places = before = []
    try:
        for module, name, new in places:
            setattr(module, name, new)
        yield
    finally:
        for module, name, old in before:
            setattr(module, name, old)


def read_once(read: Any) -> Any:
    """What reads a notebook's text, and knows it when it comes again."""
    known: dict[str, Any] = {}

    def parse_notebook(contents: str, filepath: str = "<marimo>") -> Any:
        if contents not in known:
            known[contents] = read(contents, filepath=filepath)
        found = known[contents]
        return dataclasses.replace(found, filename=filepath) if found is not None else None

    return parse_notebook


def compiled_once(compile_cell: Any) -> Any:
    """What compiles a cell's code, and knows it when it comes again; where its traceback would point is no matter."""
    known: dict[tuple[str, str], Any] = {}

    def again(code: str, cell_id: Any, *args: Any, filename: str | None = None, **kwargs: Any) -> Any:
        if args or any(kwargs.values()) or any(word in code.lower() for word in TOLD):
            return compile_cell(code, cell_id, *args, filename=filename, **kwargs)
        key = (code, str(cell_id) if LOCAL.search(code) else "")
        if key not in known:
            known[key] = compile_cell(code, cell_id)
        found = known[key]
        fields: Any = dataclasses.fields(found)
        own = {each.name: each.default_factory() for each in fields if each.name in STATE}
        return dataclasses.replace(found, cell_id=cell_id, **own)

    return again


def private_writer() -> Any:
    """What writes an order's text with marimo's converter; None where this marimo has none by these names."""
    try:
        from marimo._convert.converters import MarimoConvert
        from marimo._schemas.serialization import AppInstantiation, Header
    except ImportError:
        return None

    def write(order: Answer, folder: str) -> str:
        try:
            frame = [
                {
                    "id": None,
                    "code": cell["code"],
                    "code_hash": None,
                    "name": "_",
                    "config": {"hide_code": cell["hidden"], "disabled": cell["disabled"]},
                }
                for cell in order["cells"]
            ]
            notebook: Any = {"version": "1", "metadata": {}, "cells": frame}
            ir = MarimoConvert.from_notebook_v1(notebook).to_ir()
            app, header = AppInstantiation(options=order["options"]), Header(value=order["header"])
            ir = dataclasses.replace(ir, app=app, header=header)
            return str(MarimoConvert.from_ir(ir).to_py())
        except (AttributeError, TypeError, KeyError):  # its ways have changed
            return public_writer(order, folder)

    return write


def public_writer(order: Answer, folder: str) -> str:
    """The same by `marimo convert` of a Jupyter notebook.

    Raises ValueError where that might look a package up.
    """
    codes = [on_one_line(cell["code"]) if has_commands(cell["code"]) else cell["code"] for cell in order["cells"]]
    if any(map(has_commands, codes)):
        raise ValueError("This marimo would take a line of text that begins with ! or % for a command.")
    cells: list[Answer] = [
        {
            "cell_type": "code",
            "id": f"c{index}",
            "source": codes[index],
            "metadata": {"marimo": {"config": {"hide_code": cell["hidden"], "disabled": cell["disabled"]}}},
            "outputs": [],
            "execution_count": None,
        }
        for index, cell in enumerate(order["cells"])
    ]
    about = {"marimo": {"header": order["header"], "app_config": order["options"]}}
    source, target = os.path.join(folder, "prepared.ipynb"), os.path.join(folder, "prepared.py")
    with open(source, "w", encoding="utf-8") as file:
        json.dump({"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": cells}, file)
    _, said = command("convert", source, "-o", target)
    if not os.path.exists(target):
        raise ValueError(f"`marimo convert` writes nothing: {said.strip()}")
    with open(target, encoding="utf-8") as file:
        return file.read()


def has_commands(code: str) -> bool:
    """Whether marimo's reading of Jupyter notebooks takes a line of the code for a command."""
    return any(line.lstrip().startswith(COMMANDS) for line in code.splitlines())


def on_one_line(code: str) -> str:
    """Code that shows a text, without line ends in the text; any other as it is."""
    return ast.unparse(ast.parse(code)) if TEXT.fullmatch(code) else code


def read_back(order: Answer, answer: Answer) -> None:
    """Read the text as marimo will; `lost` are the cells that do not come back with the meaning they were sent with."""
    found = parsed(answer["text"])
    if len(found) != len(order["cells"]):
        raise ValueError(f"marimo makes {len(found)} cells of {len(order['cells'])}.")
    answer["codes"] = [code for code, _ in found]
    answer["lines"] = [line for _, line in found]
    sent = [cell["code"] for cell in order["cells"]]
    answer["lost"] = [index for index, code in enumerate(sent) if not same(code, answer["codes"][index])]
    answer["header_hash"] = header_hash(order["header"])


def parsed(text: str) -> list[tuple[str, int]]:
    """The code of each cell and the line where it begins, as marimo reads them."""
    try:
        from marimo._convert.converters import MarimoConvert

        return [(cell.code, cell.lineno) for cell in MarimoConvert.from_py(text).to_ir().cells]
    except (ImportError, AttributeError, TypeError):
        return parsed_by_hand(text)


def parsed_by_hand(text: str) -> list[tuple[str, int]]:
    """The same from the functions in the text."""
    import textwrap

    found = []
    lines = text.split("\n")
    for node in ast.parse(text).body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or not node.decorator_list:
            continue
        mark = ast.unparse(node.decorator_list[0])
        if mark.startswith("app.cell"):
            kept = node.body[:-1] if isinstance(node.body[-1], ast.Return) else node.body
            start = node.body[0].lineno if kept else (node.body[0].lineno - 1)
            last = (node.body[-1].lineno - 1) if kept != node.body else node.end_lineno
            begin = body_line(lines, node)
            found.append((textwrap.dedent("\n".join(lines[begin - 1 : last])).strip("\n").rstrip(), start))
        elif mark.startswith(("app.function", "app.class_definition")):
            begin = node.decorator_list[0].end_lineno or node.lineno
            found.append(("\n".join(lines[begin : node.end_lineno]), begin + 1))
    return found


def body_line(lines: list[str], node: Any) -> int:
    """The line below a function's signature, where its comments and its code begin."""
    import tokenize

    depth, at = 0, iter(lines[node.lineno - 1 :])
    for token in tokenize.generate_tokens(lambda: next(at, "") + "\n"):
        depth += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        if token.type == tokenize.OP and token.string == ":" and not depth:
            return int(node.lineno) + token.end[0]
    return int(node.body[0].lineno)


def same(sent: str, got: str) -> bool:
    """Whether two cells mean the same; comments may move."""
    if sent == got:
        return True
    try:
        one, other = ast.parse(sent), ast.parse(got)
        return ast.dump(one) == ast.dump(other) and (bool(one.body) or sent.split() == got.split())
    except TOO_MUCH:
        return sent.split() == got.split()


def header_hash(header: str) -> str | None:
    """What marimo's session record asks for of a notebook's requirements."""
    import hashlib

    if not header:
        return None
    try:
        from marimo._utils.inline_script_metadata import script_metadata_hash_from_filename
    except ImportError:
        return None
    with open("header.py", "w", encoding="utf-8") as file:
        file.write(header + "\n")
    found = script_metadata_hash_from_filename("header.py")
    return found if isinstance(found, str) else hashlib.md5(b"", usedforsecurity=False).hexdigest()


def put_down(orders: list[Answer], answers: list[Answer]) -> dict[str, int]:
    """Write what there is into files; each one's path and the place of its order."""
    files: dict[str, int] = {}
    for index, answer in enumerate(answers):
        if answer["text"]:
            path = os.path.join(str(index), orders[index]["name"])
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(answer["text"])
            files[path] = index
    return files


def tidy(files: dict[str, int], orders: list[Answer], answers: list[Answer]) -> None:
    """Have `marimo check` put right how those look of which it asks it."""
    untidy = {path: index for path, index in files.items() if is_untidy(answers[index]["issues"])}
    if untidy:
        command("check", "--fix", *untidy)
        for path, index in untidy.items():
            with open(path, encoding="utf-8", newline="") as file:
                answers[index].update(text=file.read(), issues=[])
            try:
                read_back(orders[index], answers[index])
            except Exception as error:  # as above
                answers[index].update(text="", flaw=f"{type(error).__name__}: {error}")
        check({path: index for path, index in untidy.items() if answers[index]["text"]}, answers)


def is_untidy(issues: list[Answer]) -> bool:
    """Whether only the looks of a file are wrong."""
    return bool(issues) and all(issue["code"].startswith("MF") for issue in issues)


def check(files: dict[str, int], answers: list[Answer]) -> None:
    """What `marimo check --strict` says of files."""
    if not files:
        return
    code, said = command("check", "--strict", "--format", "json", *files)
    try:
        issues = json.loads(said[said.index("{") :])["issues"]
    except (ValueError, KeyError):
        for index in files.values():
            answers[index].update(text="", flaw=f"`marimo check` breaks off: {code}")
        return
    for issue in issues:
        index = files[issue["filename"]]
        at = issue.get("lines") or [issue["line"]] if "line" in issue else []
        message = issue.get("message") or issue.get("error", "")
        answers[index]["issues"].append({"code": issue.get("code") or "", "message": message, "lines": at})


def command(*words: str) -> tuple[Any, str]:
    """marimo's public command in this process: its exit code, and what it prints to stdout."""
    sys.argv = ["marimo", *words]
    said = io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(said):
        try:
            runpy.run_module("marimo", run_name="__main__", alter_sys=True)
        except SystemExit as stop:
            code = stop.code
        except Exception as error:  # marimo 0.22 stumbles after it has said that there is nothing to say
            code = f"{type(error).__name__}: {error}"
    return code, said.getvalue()


if __name__ == "__main__":
    main(sys.argv[1])
