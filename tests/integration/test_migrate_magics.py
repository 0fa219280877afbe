"""What magics and shell lines become does what IPython does: both are run, in folders of their own."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daglab.migrating import cells, imports, texts
from daglab.migrating.magic import magics

pytest.importorskip("IPython")
SCRIPT = Path(__file__).with_name("magic_runs.py")


def python_of(sources: list[str], folder: Path) -> list[str]:
    """The code cells that daglab makes of a notebook's, the imports first."""
    originals = tuple(cells.Original(number, "code", source) for number, source in enumerate(sources, 1))
    drafted = texts.begin(cells.Jupyter(folder / "notebook.ipynb", "4.5", originals))
    settled = imports.settle(magics.apply(drafted))
    return [cell.code for cell in settled.cells if cell.kind == "code"]


def both(cases: list[list[str]], tmp_path: Path) -> list[list[dict[str, Any]]]:
    """What IPython and Python make of each case: printed text, names, files, variables, failures."""
    (tmp_path / "script.py").write_text("import sys\nrun_value = 5\nprint('script', sys.argv[1:], __name__)\n")
    wanted = [{"cells": case, "code": python_of(case, tmp_path)} for case in cases]
    (tmp_path / "cases.json").write_text(json.dumps(wanted))
    environment = {**os.environ, "SHELL": "/bin/bash", "IPYTHONDIR": str(tmp_path / "ipython"), "AA_SECRET": "1"}
    environment.pop("AA", None)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "cases.json")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: list[list[dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    return answer


def compared(cases: list[list[str]], tmp_path: Path) -> None:
    for case, (theirs, ours) in zip(cases, both(cases, tmp_path), strict=True):
        made = "\n----\n".join(python_of(case, tmp_path))
        for what in ("printed", "names", "files", "changed"):
            assert ours[what] == theirs[what], f"{what} of {case}\n{made}"
        assert [bool(each) for each in ours["failed"]][-1:] == [bool(each) for each in theirs["failed"]][-1:], case


CASES = [
    ["!echo hello | tr a-z A-Z"],
    ["!echo one; echo two >&2; false", "print('after')"],
    ["n = 3\nname = 'it'", "!echo $n {n + 1} '$n' \"$n\" $$n {name!r}"],
    ["!echo $HOME {a,b}", "!for i in 1 2; do echo $i; done"],
    ["i = 7", "!for i in 1 2; do echo $i; done"],
    ["!printf 'a b\\nc d\\n' | awk '{print $2}'"],
    ["x = {'k': [1, 2]}", "!echo {x['k'][1]} {len(x)} {x}", '!echo {x["k"][0]}'],
    ["!echo {missing} {1 + 1}", "!echo {1 + 1} {'a' * 3} {[i for i in range(3)]}"],
    ["!echo {{literal}} {1}", "!echo } {1}"],
    ["def f(local):\n    !echo $local\nf('inside')"],
    ["for i in range(2):\n    !echo row $i\n    if i:\n        !echo last"],
    ["lines = !printf 'a\\n\\nb\\n'\nlines", "len(lines)"],
    ["lines = !printf 'a\\n\\n'", "!!printf 'x\\ny'"],
    ["out = !ls no-such-file\nlen(out)"],
    ["!!echo 1\n'mid'"],
    ["!echo a \\\n  b \\\n  c"],
    ["x = !echo a \\\n  b\nx"],
    ["!true\n_exit_code", "!exit 3\nprint(_exit_code)"],
    ['%%bash\necho hi\nfor i in 1 2; do echo $i; done\necho "a\\tb  \'"'],
    ["%%bash\nexit 3", "1"],
    ["%%bash --no-raise-error\necho x\nexit 3"],
    ["%%bash --out got --err bad\necho x\necho y >&2", "got, bad"],
    ["%%sh\necho sh"],
    ["%%script bash -s a b\necho $1 $2"],
    ["%%python3\nprint(1)\nprint('''a\n  b''')"],
    ["%%writefile a.txt\none\n  two\n\n", "%%writefile -a a.txt\nthree\\n\t{x} \"\"\" '''", "!cat a.txt"],
    ["%%writefile 'sp ace.txt'\nüß\x0c\n"],
    ["%%writefile sub/b.py\nx = 1", "%cd sub", "import os\nos.listdir('.')", "%pwd"],
    ["n = 'c'", "%%writefile {n}.txt\n{n}", "!cat c.txt"],
    ["%cd -q sub", "%pwd", "%cd ..", "%cd no-such-folder", "%cd deep", '%cd "sub"', "%cd sub/../sub/deep"],
    ["%cd sub", "%cd deep", "%cd -", "%cd -"],
    ["d = 'sub'", "%cd $d", "%cd {d + '/..'}/.."],
    ["cd sub", "pwd"],
    [
        "%env AA=1",
        "%env AA",
        "%env AA=b c=d",
        "%env AA 5",
        "%set_env BB=$x",
        "x = 'é'",
        "%set_env BB={x}",
        "x = %env BB\nx",
    ],
    ["y = 2", "%env AA=$y"],
    ["%%capture out\nprint(5)\nx = 3", "out.stdout, x", "out.show()", "out()"],
    ["%%capture --no-stdout\nprint(5)\n7", "%%capture\nprint(1)\n\n'''a\nb'''"],
    ["x = 5\n,print a b\n;print a b\n/print x x"],
    [">>> x = 1\n>>> for i in range(2):\n...     print(i)"],
    ["  x = 1\n  if x:\n      print('''a\n  b''')"],
    ["%run script.py a b", "run_value"],
    ["get_ipython().system('echo via')", "get_ipython().run_line_magic('pwd', '')"],
    ["%sx echo a", "%system echo b", "%%!\necho c\necho d", "%%sx\necho e"],
    ["%mkdir made\n!ls -d made*"],
    ["x = %pwd\nimport os\nx == os.getcwd()"],
    ["!echo 'it''s' \"q\\\"q\" \\\\ \\$HOME `echo back`"],
    ["text = 'a b'", "!printf '%s\\n' {text}", "!printf '%s\\n' \"{text}\""],
    ["!echo <(true) | cut -c1-5", "![[ a == a ]] && echo same"],
    ["print('''%cd x\n!ls\n''')\n!echo ok"],
]


WORDS = [
    "a",
    "'b c'",
    '"d e"',
    "$n",
    "{n + 1}",
    "'$n'",
    "$HOME",
    "{t}",
    "{{n}}",
    "{t[0]}",
    "$missing",
    "\\\\",
    "é",
]
NEAR = [
    "{print $1}",
    "}",
    "{missing}",
    "{n:>3}",
    "{t!r}",
    "{}",
    "$(echo sub)",
    "`echo tick`",
    "$((1 + 2))",
    "${n}",
    "#x",
]


def generated(seed: int) -> list[str]:
    """A notebook of shell lines, scripts, files, folders and variables."""
    chance = random.Random(seed)
    found = ["n = 3\nt = 'text'"]
    for _ in range(3):
        words = chance.sample(WORDS, chance.randint(0, 4)) + chance.sample(NEAR, chance.choice([0, 0, 1]))
        said = " ".join(words)
        plain = said.replace("`", "").replace("{", "")
        text = "print('''a\n  b''')\nk = n + 1"
        forms = [
            f"!echo {said}",
            f"got = !echo {said}\ngot",
            f"!!echo {said}",
            f"for i in range(2):\n    !echo $i {said}",
            f"def f(q):\n    r = !echo $q {said}\n    return list(r)\nf(5)",
            f"%%bash\necho {plain}",
            f"%%writefile out.txt\n{said}\n  {said}",
            f"%%writefile -a out.txt\n{said}\\n",
            "!cat out.txt 2>&1 | wc -l",
            f"%env AA={said}",
            "%env AA {n} $t",
            f"%cd {chance.choice(['sub', '..', 'sub/deep', '.', '$missing', '{t}'])}",
            f"%%capture out{chance.choice(['', ' --no-stdout', ' --no-stderr'])}\n{text}",
            f"%%bash --no-raise-error --out got\necho 1; exit {chance.choice('01')}",
        ]
        found.append(chance.choice(forms))
    return found


@pytest.mark.long
def test_magics_do_what_ipython_does(tmp_path: Path) -> None:
    compared(CASES, tmp_path)


@pytest.mark.slow
def test_generated_magics_do_what_ipython_does(tmp_path: Path) -> None:
    compared([generated(seed) for seed in range(40)], tmp_path)
