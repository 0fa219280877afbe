"""Random Jupyter notebooks that end without an error, and what they print and show before and after the migration.

A seed makes a notebook: cells are drawn from patterns that use, bind, change and bind again a few names, and one that
raises is drawn anew. The oracle is Python itself: the cells executed one after the other in one namespace. The subject
is daglab's draft, converted and run by marimo. `shrunk` finds the smallest cells that still differ.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daglab.migrating import cells, drafts
from daglab.migrating.converting import conversions

NAMES = ("a", "b", "c", "x", "y", "total", "items", "data")
PRIVATE = ("_t", "_x", "_i")
FUNCTIONS = ("f", "g", "step")
CLASSES = ("Box", "Pair")
SHADOWED = ("list", "max", "input", "id")
ADDRESS = re.compile(r"\bat 0x[0-9a-f]+")
RUNNER = """
import contextlib, importlib.util, io, json, re, sys
import marimo
from marimo._runtime.app import script_runner
# A value is shown when its cell ends, and may be changed by others after.
handle = script_runner.AppScriptRunner._handle_run_result
def shown(self, cid, result, outputs):
    handle(self, cid, result, outputs)
    one = outputs.get(cid)
    if one is not None:
        said_by[cid] = type(one).__name__ + ":" + repr(one)[:2000]
script_runner.AppScriptRunner._handle_run_result = shown
cases = json.load(open(sys.argv[1]))
made = []
for index, path in enumerate(cases):
    said, said_by = io.StringIO(), {}
    each = {"printed": "", "shown": [], "flaw": None}
    try:
        with contextlib.redirect_stdout(said):
            spec = importlib.util.spec_from_file_location(f"notebook_{index}", path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # where marimo looks for definitions
            spec.loader.exec_module(module)
            module.app.run()
        each["shown"] = [said_by.get(one) for one in module.app._cell_manager.cell_ids() if one != "setup"]
    except BaseException as error:
        each["flaw"] = f"{type(error).__name__}: {error}"[:600]
    each["printed"] = said.getvalue()
    made.append(each)
json.dump(made, open(sys.argv[2], "w"))
"""


@dataclass(frozen=True)
class Outcome:
    """What was printed in all, and what each cell showed: `type:repr`, None for nothing, by the cell's number."""

    printed: str
    shown: dict[int, str | None]


class Failed(Exception):
    """A notebook that does not end as it should."""


# --- the oracle ---------------------------------------------------------------------------------------------------


def original(codes: Sequence[str], namespace: dict[str, Any] | None = None) -> Outcome:
    """Execute cells in one namespace, as a kernel does. Raises `Failed`."""
    module = types.ModuleType("__main__")
    space = vars(module) if namespace is None else namespace
    space.setdefault("__name__", "__main__")
    shown: dict[int, str | None] = {}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for number, code in enumerate(codes, 1):
            tree = ast.parse(code)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            try:
                exec(compile(tree, f"cell {number}", "exec"), space)
                value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), space) if last else None
                shown[number] = None if value is None else f"{type(value).__name__}:{repr(value)[:2000]}"
            except BaseException as error:
                raise Failed(f"cell {number}: {type(error).__name__}: {error}") from None
    return Outcome(said.getvalue(), shown)


# --- the subject --------------------------------------------------------------------------------------------------


def jupyter(codes: Sequence[str]) -> cells.Jupyter:
    """Code cells, run from top to bottom."""
    made = [cells.Original(number, "code", code, execution_count=number) for number, code in enumerate(codes, 1)]
    return cells.Jupyter(Path("case.ipynb"), "4.5", tuple(made))


def differences(
    cases: Sequence[Sequence[str]], draft: Callable[[cells.Jupyter], cells.Draft] = drafts.draft
) -> list[str | None]:
    """Of each notebook what is not the same after the migration; None for one that runs to the same end."""
    wanted = [original(case) for case in cases]
    made: list[cells.Draft | None] = []
    found: list[str | None] = []
    for case in cases:
        try:
            made.append(draft(jupyter(case)))
            found.append(None)
        except Exception as error:
            made.append(None)
            found.append(f"the draft raises {type(error).__name__}: {error}")
    there = [index for index, each in enumerate(made) if each is not None]
    env = {**os.environ, "PYTHONHASHSEED": "0"}
    converted = conversions.convert(
        [made[index] for index in there], [sys.executable], env, [f"case{index}.py" for index in there]
    )
    ran = _run([each.text for each in converted], env)
    for index, conversion, run in zip(there, converted, ran, strict=True):
        found[index] = _difference(wanted[index], made[index], conversion, run)
    return found


def _run(texts: Sequence[str], env: dict[str, str]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"case{index}.py") for index in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, encoding="utf-8")
        cases, answer, runner = (Path(folder, name) for name in ("cases.json", "answer.json", "runner.py"))
        cases.write_text(json.dumps([str(path) for path in paths]))
        runner.write_text(RUNNER)
        done = subprocess.run(
            [sys.executable, runner, cases, answer], env=env, cwd=folder, capture_output=True, text=True, timeout=600
        )
        if not answer.exists():
            raise AssertionError(done.stderr[-3000:])
        return json.loads(answer.read_text())


def _difference(
    wanted: Outcome, draft: cells.Draft, conversion: conversions.Conversion, run: dict[str, Any]
) -> str | None:
    if conversion.flaw:
        return f"marimo can't convert it: {conversion.flaw}"
    if not draft.cells:
        return None if not wanted.printed else "nothing is left"
    if conversion.issues:
        return "marimo check: " + "; ".join(f"{each.code} {each.message}" for each in conversion.issues)[:600]
    if run["flaw"]:
        return f"it raises {run['flaw']}"
    if plain(run["printed"]) != plain(wanted.printed):
        return f"it prints {run['printed']!r} in place of {wanted.printed!r}"
    draft = getattr(conversion, "draft", None) or draft
    if len(run["shown"]) != len(draft.cells):
        return None  # definitions that marimo has made its own; their cells show nothing
    # What several cells showed that have become one is shown otherwise.
    pairs = zip(draft.cells, run["shown"], strict=True)
    last = {cell.origins[0]: shown for cell, shown in pairs if len(cell.origins) == 1}
    for number, shown in wanted.shown.items():
        if number in last and plain(last[number]) != plain(shown):
            return f"cell {number} shows {last[number]} in place of {shown}"
    return None


def plain(text: str | None) -> str | None:
    """Without what differs from one process to the next."""
    return None if text is None else ADDRESS.sub("at 0x", text)


def shrunk(
    case: Sequence[str],
    draft: Callable[[cells.Jupyter], cells.Draft] = drafts.draft,
    *,
    rounds: int = 12,
) -> tuple[list[str], str]:
    """The smallest cells, by leaving out cells and statements, that still differ, and how."""
    kept = list(case)
    why = differences([kept], draft)[0] or "it no longer differs"
    for _ in range(rounds):
        smaller = [each for each in _smaller(kept) if _ends(each)][:80]
        if not smaller:
            break
        told = differences(smaller, draft)
        kind = why[:20]
        failing = [
            (sum(map(len, each)), each, said)
            for each, said in zip(smaller, told, strict=True)
            if said and said[:20] == kind
        ]
        if not failing:
            break
        _, kept, why = min(failing, key=lambda each: each[0])
    return kept, why


def _smaller(case: list[str]) -> list[list[str]]:
    """Without one cell, or without one statement at whatever depth, or a block's body in the block's place."""
    found = [[*case[:index], *case[index + 1 :]] for index in range(len(case))] if len(case) > 1 else []
    for index, code in enumerate(case):
        for less in _less(code):
            found.append([*case[:index], less, *case[index + 1 :]])
    return [[code for code in each if code.strip()] for each in found if any(code.strip() for code in each)]


def _less(code: str) -> list[str]:
    found = []
    count = sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(code)))
    for wanted in range(count):
        tree = ast.parse(code)
        statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
        for node in ast.walk(tree):
            for name in ("body", "orelse", "finalbody"):
                block = getattr(node, name, None)
                if isinstance(block, list) and statements[wanted] in block:
                    at = block.index(statements[wanted])
                    for instead in ([], getattr(statements[wanted], "body", None)):
                        if instead is None or (not instead and len(block) == 1 and not isinstance(node, ast.Module)):
                            continue
                        with contextlib.suppress(Exception):
                            setattr(node, name, [*block[:at], *instead, *block[at + 1 :]])
                            found.append(ast.unparse(tree))
                            setattr(node, name, block)
                    break
    return [each for each in dict.fromkeys(found) if each != code]


def _ends(case: Sequence[str]) -> bool:
    try:
        original(case)
    except (Failed, SyntaxError):
        return False
    return True


# --- the generator ------------------------------------------------------------------------------------------------


def notebook(seed: int) -> list[str]:
    """The cells of a notebook; the same for the same seed."""
    draw = random.Random(seed)
    made: list[str] = []
    space: dict[str, Any] = {}
    wanted = draw.randint(3, 8)
    for _ in range(wanted * 6):
        if len(made) == wanted:
            break
        code = _Writer(draw, space).cell()
        fresh: dict[str, Any] = {}
        try:
            compile(code, "cell", "exec")
            outcome = original([*made, code], fresh)
        except (Failed, SyntaxError, RecursionError):
            continue
        fresh.pop("__builtins__", None)
        if len(outcome.printed) < 4000 and all(len(repr(each)) < 3000 for each in fresh.values() if _is_data(each)):
            made.append(code)
            space = fresh
    if draw.random() < 0.6:
        held = [name for name in (*NAMES, *PRIVATE) if name in space and _is_data(space[name])]
        made.append(f"print({', '.join(held)})")
    return made


def _is_data(value: object) -> bool:
    return isinstance(value, (int, str, list, dict, tuple))


class _Writer:
    """Writes a cell for what the namespace holds just now."""

    def __init__(self, draw: random.Random, space: dict[str, Any]) -> None:
        self.draw = draw
        self.kinds = {name: _kind(value) for name, value in space.items() if not name.startswith("__") and _kind(value)}
        self.wrote_import = False

    def cell(self) -> str:
        lines: list[str] = []
        for _ in range(self.draw.choice((1, 1, 2, 2, 3, 4))):
            lines += self.statement(0)
        if self.draw.random() < 0.35:
            lines.append(self.shown())
        return "\n".join(lines)

    def shown(self) -> str:
        return self.pick([self.number, self.sequence, lambda: f"print({self.number()}, {self.text()})", self.text])

    def statement(self, depth: int) -> list[str]:
        options: list[tuple[int, Callable[[int], list[str]]]] = [
            (10, self.assign),
            (6, self.augmented),
            (6, self.change),
            (7, self.printed),
            (4, self.unpack),
            (3, self.comprehension),
            (2, self.alias),
            (2, self.walrus),
            (2, self.delete),
            (2, self.read_private),
        ]
        if depth < 2:
            options += [(5, self.loop), (3, self.branch), (2, self.attempt), (2, self.context), (1, self.while_loop)]
        if depth == 0:
            options += [
                (6, self.function),
                (4, self.globals_function),
                (2, self.closure),
                (2, self.generator),
                (2, self.decorator),
                (3, self.class_),
                (3, self.imports),
                (2, self.lambda_),
                (1, self.shadow),
                (2, self.chained),
                (1, self.annotated),
                (1, self.match_),
                (1, self.unpack_call),
                (1, self.conditional_bind),
            ]
        total = sum(weight for weight, _ in options)
        at = self.draw.uniform(0, total)
        for weight, option in options:
            at -= weight
            if at <= 0:
                return option(depth)
        return self.assign(depth)

    # names and expressions

    def pick(self, options: Sequence[Callable[[], str]]) -> str:
        return self.draw.choice(options)()

    def new(self, kind: str) -> str:
        name = self.draw.choice(NAMES if self.draw.random() < 0.82 else PRIVATE)
        self.kinds[name] = kind
        return name

    def of(self, *kinds: str) -> str | None:
        found = sorted(name for name, kind in self.kinds.items() if kind in kinds)
        return self.draw.choice(found) if found else None

    def number(self, depth: int = 0) -> str:
        draw = self.draw.random()
        held = self.of("int")
        if held and draw < 0.5:
            return held if depth or draw < 0.25 else f"{held} {self.draw.choice('+-*')} {self.number(1)}"
        if draw < 0.6 and (values := self.of("list")):
            return f"{self.draw.choice(('len', 'sum'))}({values})"
        if draw < 0.7 and (function := self.of("function")) and depth == 0:
            return f"{function}({self.number(1)})"
        if draw < 0.76 and (box := self.of("object")):
            return f"{box}.v"
        if draw < 0.8 and (mapping := self.of("dict")):
            return f"{mapping}.get('k', {self.draw.randint(0, 9)})"
        return str(self.draw.randint(0, 9))

    def sequence(self) -> str:
        held = self.of("list")
        if held and self.draw.random() < 0.5:
            return held
        return f"[{self.number(1)}, {self.number(1)}]"

    def text(self) -> str:
        held = self.of("str", "int", "list")
        return f"f'{{{held}}}-{{{self.number(1)}:>3}}'" if held and self.draw.random() < 0.7 else "'t'"

    # statements

    def assign(self, depth: int) -> list[str]:
        kind = self.draw.choice(("int", "int", "int", "list", "dict", "str", "object"))
        if kind == "object":
            made = self.of("class")
            value = f"{made}({self.number(1)})" if made else "0"
            kind = "object" if made else "int"
        else:
            value = {
                "int": self.number,
                "list": self.sequence,
                "dict": lambda: f"{{'k': {self.number(1)}}}",
                "str": self.text,
            }[kind]()
        return [f"{self.new(kind)} = {value}"]

    def annotated(self, depth: int) -> list[str]:
        value = self.number()
        return [f"{self.new('int')}: int = {value}"]

    def chained(self, depth: int) -> list[str]:
        value = self.sequence()
        return [f"{self.new('list')} = {self.new('list')} = {value}"]

    def augmented(self, depth: int) -> list[str]:
        name = self.of("int", "list")
        if name is None:
            return self.assign(depth)
        return [f"{name} += {self.number(1) if self.kinds[name] == 'int' else self.sequence()}"]

    def change(self, depth: int) -> list[str]:
        name = self.of("list", "dict", "object")
        if name is None:
            return self.assign(depth)
        kind = self.kinds[name]
        if kind == "list":
            return [
                self.draw.choice(
                    (f"{name}.append({self.number(1)})", f"{name}[0:1] = [{self.number(1)}]", f"{name}.sort()")
                )
            ]
        if kind == "dict":
            return [f"{name}['k'] = {self.number(1)}"]
        return [self.draw.choice((f"{name}.v = {self.number(1)}", f"{name}.v += {self.number(1)}", f"{name}.up()"))]

    def printed(self, depth: int) -> list[str]:
        return [f"print({self.number()}, {self.pick([self.text, self.sequence])})"]

    def unpack(self, depth: int) -> list[str]:
        values = f"[{self.number(1)}, {self.number(1)}, {self.number(1)}]"
        return self.draw.choice(
            (
                lambda: [f"{self.new('int')}, *{self.new('list')} = {values}"],
                lambda: [f"{self.new('int')}, ({self.new('int')}, _) = 1, ({self.number(1)}, 3)"],
                self.swap,
            )
        )()

    def swap(self) -> list[str]:
        first, second = self.of("int"), self.of("int")
        return [f"{first}, {second} = {second}, {first}"] if first and second else self.assign(0)

    def comprehension(self, depth: int) -> list[str]:
        inner = self.draw.choice((*NAMES[:4], "_i"))
        body = f"[{inner} * {self.number(1)} for {inner} in {self.sequence()} if {inner} != {self.number(1)}]"
        return [f"{self.new('list')} = {body}"]

    def alias(self, depth: int) -> list[str]:
        name = self.of("list", "dict", "object", "function")
        if name is None:
            return self.assign(depth)
        kind = self.kinds[name]
        return [f"{self.new(kind)} = {name}"]

    def walrus(self, depth: int) -> list[str]:
        value = self.number()
        return [f"print(({self.new('int')} := {value}) + 1)"]

    def delete(self, depth: int) -> list[str]:
        name = self.of("int", "list", "str")
        if name is None or depth:
            return self.assign(depth)
        del self.kinds[name]
        return [f"del {name}"]

    def read_private(self, depth: int) -> list[str]:
        held = [name for name in PRIVATE if name in self.kinds]
        return [f"print({self.draw.choice(held)})"] if held else self.assign(depth)

    def block(self, depth: int) -> list[str]:
        lines = self.statement(depth + 1)
        if self.draw.random() < 0.5:
            lines += self.statement(depth + 1)
        return ["    " + line for line in lines]

    def loop(self, depth: int) -> list[str]:
        over = self.draw.choice(
            (f"range({self.draw.randint(1, 3)})", f"list({self.sequence()})[:3]", "enumerate('ab')")
        )
        if over.startswith("enum"):
            head = f"for {self.new('int')}, {self.new('str')} in {over}:"
        else:
            head = f"for {self.new('int')} in {over}:"
        return [head, *self.block(depth)]

    def while_loop(self, depth: int) -> list[str]:
        name = self.new("int")
        return [f"{name} = 0", f"while {name} < 2:", f"    {name} += 1", f"    print({name}, {self.text()})"]

    def branch(self, depth: int) -> list[str]:
        before = dict(self.kinds)
        lines = [f"if {self.number()} > {self.number(1)}:", *self.block(depth)]
        after = self.kinds
        if self.draw.random() < 0.5:
            self.kinds = dict(before)
            lines += ["else:", *self.block(depth)]
        self.kinds = {name: kind for name, kind in self.kinds.items() if after.get(name) == kind}
        return lines

    def conditional_bind(self, depth: int) -> list[str]:
        name = self.of("int")
        if name is None:
            return self.assign(depth)
        return [f"if {name} % 2:", f"    {name} = {self.number(1)}", f"print({name})"]

    def attempt(self, depth: int) -> list[str]:
        error = self.draw.choice(("e", "err", *NAMES[:2]))
        self.kinds.pop(error, None)
        lines = ["try:", *self.block(depth), f"    {self.draw.choice(('1 / 0', 'undefined_name', 'pass'))}"]
        self.kinds.pop(error, None)
        lines += [f"except Exception as {error}:", f"    print(type({error}).__name__)"]
        return [*lines, "finally:", *self.block(depth)] if self.draw.random() < 0.3 else lines

    def context(self, depth: int) -> list[str]:
        name = self.new("other")
        lines = [f"with io.StringIO('one') as {name}:", f"    {self.new('str')} = {name}.read()"]
        return ["import io", *lines] if not depth else lines

    def function(self, depth: int) -> list[str]:
        name = self.draw.choice(FUNCTIONS)
        parameter = self.draw.choice(("n", *NAMES[:4]))
        inner = [each for each in self.kinds if self.kinds[each] == "int" and each != parameter]
        used = self.draw.choice(sorted(inner)) if inner else "1"
        default = self.draw.choice(("", f"={self.number(1)}"))
        lines = [f"def {name}({parameter}{default}):"]
        if self.draw.random() < 0.4:
            local = self.draw.choice([each for each in (*NAMES, *PRIVATE) if each not in (parameter, used)])
            lines += [f"    {local} = {parameter} + 1", f"    return {local} + {used}"]
        elif (other := self.of("function")) and self.draw.random() < 0.4 and other != name:
            lines.append(f"    return {other}({parameter}) + {used}")
        elif (values := self.of("list")) and self.draw.random() < 0.4 and values != parameter:
            lines += [f"    {values}.append({parameter})", f"    return len({values})"]
        else:
            lines.append(f"    return {parameter} * 2 + {used}")
        self.kinds[name] = "function"
        return lines

    def globals_function(self, depth: int) -> list[str]:
        held = self.of("int")
        if held is None:
            return self.function(depth)
        name = self.draw.choice(FUNCTIONS)
        self.kinds[name] = "function"
        lines = [f"def {name}(n):", f"    global {held}", f"    {held} {self.draw.choice(('=', '+='))} n"]
        lines.append(f"    return {held}")
        return [*lines, f"{name}({self.number(1)})"] if self.draw.random() < 0.6 else lines

    def closure(self, depth: int) -> list[str]:
        name, held = self.draw.choice(FUNCTIONS), self.of("int") or "1"
        lines = ["def make():", "    count = 0", "    def inner(n):", "        nonlocal count", "        count += n"]
        self.kinds[name] = "function"
        return [*lines, f"        return count + {held}", "    return inner", f"{name} = make()"]

    def generator(self, depth: int) -> list[str]:
        held, target = self.of("int") or "2", self.new("list")
        self.kinds["gen"] = "other"
        return ["def gen(n):", "    for i in range(n):", f"        yield i + {held}", f"{target} = list(gen(2))"]

    def decorator(self, depth: int) -> list[str]:
        name, held = self.draw.choice(FUNCTIONS), self.of("int") or "1"
        self.kinds[name] = "function"
        return [
            "def twice(inner):",
            "    def outer(n):",
            f"        return inner(inner(n)) + {held}",
            "    return outer",
            "@twice",
            f"def {name}(n):",
            "    return n + 1",
        ]

    def class_(self, depth: int) -> list[str]:
        name, held = self.draw.choice(CLASSES), self.of("int") or "1"
        base = next((f"({each})" for each in CLASSES if each != name and self.kinds.get(each) == "class"), "")
        base = base if self.draw.random() < 0.4 else ""
        self.kinds[name] = "class"
        word = self.draw.choice(("a", "size", "x"))
        return [
            f"class {name}{base}:",
            f"    {word} = {held}",
            "    def __init__(self, v):",
            f"        self.v = v + self.{word}",
            "    def up(self):",
            f"        self.v += {held}",
            "        return self.v",
            "    def __repr__(self):",
            "        return f'box {self.v}'",
        ]

    def imports(self, depth: int) -> list[str]:
        line, use = self.draw.choice(
            (
                ("import math", "math.floor(2.5)"),
                ("import math as m", "m.ceil(2.5)"),
                ("from math import floor", "floor(3.7)"),
                ("from math import ceil as floor", "floor(3.2)"),
                ("import os.path", "len(os.path.join('a', 'b'))"),
                ("import json, re", "len(json.dumps([1]))"),
                ("from collections import Counter as a", "len(a('abca'))"),
                ("import math as x", "x.floor(1.5)"),
            )
        )
        bound = line.split(" as ")[-1]
        self.kinds.pop(bound, None)
        return [line, f"print({use})"]

    def lambda_(self, depth: int) -> list[str]:
        name, held = self.draw.choice((*FUNCTIONS, "a", "b")), self.of("int") or "1"
        self.kinds[name] = "function"
        return [f"{name} = lambda n, k={held}: n + k + {held if held != name else 1}"]

    def shadow(self, depth: int) -> list[str]:
        name = self.draw.choice(SHADOWED)
        assert hasattr(builtins, name)
        if name == "max":
            return ["def max(*n):", "    return 99", "print(max(1, 2))"]
        self.kinds[name] = "int"
        return [f"{name} = {self.number(1)}", f"print({name})"]

    def match_(self, depth: int) -> list[str]:
        value, name = self.sequence(), self.new("other")
        lines = [f"match {value}:", f"    case [{name}, *_]:", f"        print({name})"]
        return [*lines, "    case _:", "        pass"]

    def unpack_call(self, depth: int) -> list[str]:
        value = self.sequence()
        return [f"print(*{value}, *[{self.number(1)}], sep=';')", f"{self.new('list')} = [*{value}, 1]"]


def _kind(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    for kind, of in (("int", int), ("str", str), ("list", list), ("dict", dict), ("class", type)):
        if isinstance(value, of):
            if kind == "list" and not all(isinstance(each, int) for each in value):
                return None
            return kind if kind != "class" or hasattr(value, "up") else None
    if hasattr(value, "up"):
        return "object"
    is_own = isinstance(value, types.FunctionType) and value.__name__ in (*FUNCTIONS, "outer", "inner", "<lambda>")
    return "function" if is_own else None


def main() -> None:
    """`python -m tests.migrating_differential FIRST COUNT`: what differs, shrunk, in markdown."""
    first, count = int(sys.argv[1]), int(sys.argv[2])
    seeds = range(first, first + count)
    cases = [notebook(seed) for seed in seeds]
    told: list[str | None] = []
    for at in range(0, count, 100):
        told += differences(cases[at : at + 100])
    failed = [(seed, case, why) for seed, case, why in zip(seeds, cases, told, strict=True) if why]
    print(f"{len(failed)} of {count} differ", file=sys.stderr)
    limit = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    for seed, case, _ in failed[:limit]:
        small, why = shrunk(case)
        print(f"### seed {seed}: {why}\n")
        print("\n".join(f"```python\n{code}\n```" for code in small), "\n", flush=True)


if __name__ == "__main__":
    main()
