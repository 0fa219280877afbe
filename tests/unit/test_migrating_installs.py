"""Packages that a notebook installs: what stands in its header then."""

from __future__ import annotations

from pathlib import Path

import pytest

from daglab.migrating import cells, texts
from daglab.migrating.magic import installs, magics


def draft(*sources: str) -> cells.Draft:
    originals = tuple(cells.Original(number, "code", source) for number, source in enumerate(sources, 1))
    return installs.complete(magics.apply(texts.begin(cells.Jupyter(Path("notebook.ipynb"), "4.5", originals))))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%pip install pandas", ["pandas"]),
        ("%pip install pandas==2.0 numpy", ["pandas==2.0", "numpy"]),
        (
            "!pip install -q -U 'pandas>=1,<3' \"scikit-learn[extra]~=1.0\"",
            ["pandas>=1,<3", "scikit-learn[extra]~=1.0"],
        ),
        ("!pip3 install --quiet a --user", ["a"]),
        ("!pip install pandas>=1.5", ["pandas>=1.5"]),
        ("!python -m pip install a > /dev/null", ["a"]),
        ("!python3.11 -m pip install a 2>&1 | tail -1", ["a"]),
        ("!{sys.executable} -m pip install a", ["a"]),
        ("!/opt/bin/python -m pip install a", ["a"]),
        ("!uv pip install a --system", ["a"]),
        ("%uv pip install a", ["a"]),
        ("!sudo pip install a", ["a"]),
        ("!yes | pip install a", ["a"]),
        ("!pip --quiet install a", ["a"]),
        ("!pip install \"a; python_version < '3.9'\"", ["a; python_version < '3.9'"]),
        ("!pip install a \\\n   b", ["a", "b"]),
        ("!pip install a && pip install b; pip install c", ["a", "b", "c"]),
        ("!conda install -c conda-forge -y a=1.2 b==3 c", ["a==1.2.*", "b==3", "c"]),
        ("%conda install conda-forge::a>=2 python=3.9", ["a>=2"]),
        ("!mamba install -n env a=1.2=py39", ["a==1.2"]),
        ("pip install a", ["a"]),
        ("pip install a\n# more\npip install b", ["a", "b"]),
        ("!pip install 'a @ https://host/a.whl'", ["a @ https://host/a.whl"]),
        ("!pip install -i https://pypi.org/simple a", ["a"]),
        ("!pip install -ihttps://pypi.org/simple --trusted-host h a", ["a"]),
    ],
)
def test_what_is_installed_stands_in_the_header(line: str, expected: list[str]) -> None:
    made = draft(line)
    assert list(made.requirements) == [*expected, "marimo"]
    assert made.cells == ()
    assert any(note.kind == "install" for note in made.notes)


@pytest.mark.parametrize(
    "line",
    [
        "!pip install -r requirements.txt",
        "!pip install -rrequirements.txt",
        "!pip install git+https://t0ken@github.com/a/b.git",
        "!pip install -e .",
        "!pip install ./a-1.0-py3-none-any.whl",
        "!pip install --extra-index-url https://me:t0ken@host/simple a",
        "!pip install $package",
        "!pip install 'a @ https://me:t0ken@host/a.whl'",
        "!pip install https://host/a.whl?sig=t0ken",
    ],
)
def test_what_a_header_cant_say_needs_a_person_and_shows_no_token(line: str) -> None:
    made = draft(line)
    assert any(note.needs_person for note in made.notes)
    assert "t0ken" not in repr([made.notes, made.requirements, [cell.code for cell in made.cells]])
    assert made.cells == ()


@pytest.mark.parametrize(
    "line", ["!pip list", "!pip --version", "%pip show a", "!pip freeze > a.txt", "!conda env list", "!ls pip install"]
)
def test_what_installs_nothing_is_run(line: str) -> None:
    made = draft(line)
    assert "daglab__subprocess" in made.cells[0].code
    assert made.requirements == ()


def test_what_else_a_line_does_is_still_done() -> None:
    made = draft("!pip install a && echo 'a && b' | cat && pip uninstall -y b")
    assert made.requirements == ("a", "marimo")
    assert "\"echo 'a && b' | cat\"" in made.cells[0].code


def test_the_header_lists_what_is_well_known_and_never_a_name_that_may_be_a_strangers() -> None:
    made = draft(
        "!pip install Pandas==2",
        "import pandas, numpy\nimport sklearn.svm\nfrom ourcompany import x\nimport os",
        "%time x",
    )
    assert made.requirements == ("Pandas==2", "marimo", "daglab", "numpy", "scikit-learn")
    assert any("ourcompany" in note.text for note in made.notes)


def test_without_installs_there_is_no_header() -> None:
    assert draft("import pandas", "!pip uninstall -y x").requirements == ()


@pytest.mark.parametrize(
    "line", ["a", "a-b_c.d", "a[x,y]>=1.0,!=2", "a===1+local", "a (>=1)", "a; sys_platform == 'win32' and extra in 'x'"]
)
def test_requirements_that_are_valid(line: str) -> None:
    assert installs.valid(line)


@pytest.mark.parametrize(
    "line", ["", "-a", "a b", "a>=", "a[", "a>=1;", "a; import os", "a\nb", "./a", "a>=1 --hash=x", "a; x == 1", "é"]
)
def test_requirements_that_are_not(line: str) -> None:
    assert not installs.valid(line)


@pytest.mark.parametrize("text", ["!pip install " + "a" * 300_000, "!pip install x" + "[" * 300_000])
def test_a_word_without_end_takes_no_square_of_time(text: str) -> None:
    assert len(draft(text).cells) < 2
