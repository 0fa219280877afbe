"""Runs notebooks' cells in IPython, and the Python that daglab makes of them by exec; says what each printed and left.

`magic_runs.py CASES.json` holds a list of `{"cells": [source], "code": [source]}`; the answer is printed.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from typing import Any

PLAIN = (int, str, float, list, tuple, dict, bool, type(None))


def show(value: object) -> None:
    """What a cell shows, as a line."""
    if value is not None:
        print(f"SHOWN {value!r}")


def in_ipython(cells: list[str]) -> dict[str, Any]:
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(colors="nocolor")
    shell.history_manager.enabled = False
    before = {*shell.user_ns}

    def hook(value: object = None) -> None:
        if not shell.displayhook.quiet():
            show(value)

    failed = []
    for cell in cells:
        shell.displayhook.exec_result = None
        sys.displayhook = hook
        shell.display_trap.hook = hook
        shell.showtraceback = lambda *_a, **_k: None
        result = shell.run_cell(cell, store_history=False)
        error = result.error_in_exec or result.error_before_exec
        failed.append(type(error).__name__ if error else "")
    return left(shell.user_ns, before, failed)


def in_python(cells: list[str]) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    failed = []
    for cell in cells:
        try:
            tree = ast.parse(cell)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            end = cell.rstrip()
            exec(compile(tree, "cell", "exec"), names)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
                if not end.endswith(";"):
                    show(value)
            failed.append("")
        except Exception as error:
            failed.append(type(error).__name__)
            traceback.print_exc(file=sys.__stderr__)
    return left(names, {"__name__"}, failed)


def left(names: dict[str, Any], before: set[str], failed: list[str]) -> dict[str, Any]:
    found = {
        name: repr(list(value) if isinstance(value, list) else value)
        for name, value in names.items()
        if name not in before and not name.startswith("_") and isinstance(value, PLAIN)
    }
    return {"names": found, "failed": failed}


def run(how: Callable[[list[str]], dict[str, Any]], cells: list[str]) -> dict[str, Any]:
    home, environment, argv = os.getcwd(), dict(os.environ), sys.argv[:]
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        base = os.path.realpath(folder)
        real = os.path.join(base, "a", "b", "c")  # deep enough for some `%cd ..`
        os.makedirs(real)
        os.chdir(real)
        os.makedirs("sub/deep")
        with open("script.py", "w") as file:
            file.write("import sys\nrun_value = 5\nprint('script', sys.argv[1:], __name__)\n")
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
                done = how(cells)
            files = {}
            for path, _, names in os.walk(folder):
                for name in names:
                    with open(os.path.join(path, name), "rb") as found:
                        files[os.path.relpath(os.path.join(path, name), folder)] = found.read().decode("latin-1")
        finally:
            os.chdir(home)
        done["names"] = {name: text.replace(base, "FOLDER") for name, text in done["names"].items()}
        done |= {"files": {name: text for name, text in files.items() if "__pycache__" not in name}}
    changed = {name: value for name, value in os.environ.items() if environment.get(name) != value}
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    text = printed.getvalue().replace("\r\n", "\n").replace(base, "FOLDER")
    return {
        **done,
        "printed": text,
        "changed": {name: value for name, value in changed.items() if name in ("AA", "BB")},
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with open(sys.argv[1], encoding="utf-8") as given:
        cases = json.load(given)
    print(json.dumps([[run(in_ipython, case["cells"]), run(in_python, case["code"])] for case in cases]))
