"""Star imports become the names that are used; modules are read, never run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from daglab.migrating import cells
from daglab.migrating.naming import public_names, stars

HERE = Path(__file__).parent


def drafted(*codes: str, folder: Path = HERE) -> cells.Draft:
    path = folder / "nb.ipynb"
    original = cells.Jupyter(
        path, "4.5", tuple(cells.Original(number, "code", code) for number, code in enumerate(codes, 1))
    )
    return cells.Draft(original, tuple(cells.Cell(code, "code", (number,)) for number, code in enumerate(codes, 1)))


def applied(*codes: str, folder: Path = HERE) -> tuple[list[str], list[cells.Note]]:
    made = stars.apply(drafted(*codes, folder=folder))
    return [cell.code for cell in made.cells], [note for note in made.notes if note.needs_person]


def test_the_names_that_are_used_are_imported() -> None:
    codes, people = applied(
        "from math import *  # all\nx = sqrt(2)", "def area(r):\n    return pi * r ** 2", "print(tau)"
    )
    assert codes[0] == "from math import pi, sqrt, tau  # all\nx = sqrt(2)"
    assert not people


def test_a_name_that_the_notebook_binds_itself_is_still_the_modules_where_the_module_has_it() -> None:
    codes, _ = applied("e = 1\nfrom math import *\nprint(e)")
    assert codes == ["e = 1\nfrom math import e\nprint(e)"]


def test_parameters_and_comprehensions_are_no_use_of_a_name() -> None:
    codes, _ = applied("from math import *\ndef f(e, *pi):\n    return e, pi\n[tau for tau in [1]]\nlambda gcd: gcd")
    assert codes[0].startswith("import math\n")


def test_a_module_of_which_nothing_is_used_is_imported_still() -> None:
    assert applied("from math import *", "x = 1")[0][0] == "import math"
    assert applied("from math import *", "math = 1")[0][0] == "_ = __import__('math')"


def test_many_names_stand_one_a_line() -> None:
    import math

    names = [name for name in dir(math) if not name.startswith("_")]
    codes, _ = applied(
        "try:\n    from math import *; y = 1\nexcept ImportError:\n    pass", f"print({', '.join(names)})"
    )
    space: dict[str, object] = {}
    exec(codes[0], space)
    assert set(names) <= set(space)


def test_builtins_that_a_module_has_are_the_modules(tmp_path: Path) -> None:
    (tmp_path / "numbers_of_ours.py").write_text(
        "def sum(x): return 7\ndef mean(x): return 1\n_hidden = 1\nimport os\n"
    )
    codes, people = applied("from numbers_of_ours import *", "print(sum([1]), os.sep)", folder=tmp_path)
    assert codes[0] == "from numbers_of_ours import os, sum"
    assert not people


def test_what_lies_beside_the_notebook_is_read_and_not_run(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text(
        "raise SystemExit('never')\nfrom .first import *\nfrom . import second\n"
        "__all__ = ['one'] + second.__all__\n__all__ += ['two']\n__all__.extend(('three',))\n"
    )
    (package / "first.py").write_text("one = 1\ntwo = 2\n")
    (package / "second.py").write_text("__all__ = ['four', 'five']\n__all__.remove('five')\n")
    assert public_names.of("shop", public_names.roots(tmp_path)) == {"one", "two", "three", "four"}
    assert "shop" not in sys.modules


def test_modules_that_import_stars_of_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text("from there import *\na = 1\n")
    (tmp_path / "there.py").write_text("from here import *\nb = 1\n")
    found = public_names.of("here", public_names.roots(tmp_path))
    assert {"a", "b"} <= found


@pytest.mark.parametrize(
    "name", ["math", "os", "os.path", "socket", "itertools", "typing", "collections", "decimal", "time"]
)
def test_the_names_of_the_standard_librarys_modules(name: str) -> None:
    space: dict[str, object] = {}
    exec(f"from {name} import *", space)
    assert set(space) - {"__builtins__"} <= set(public_names.of(name, public_names.roots(HERE)))


@pytest.mark.parametrize("name", ["numpy", "pandas", "matplotlib.pyplot", "altair"])
def test_the_names_of_large_packages(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    space: dict[str, object] = {}
    exec(f"from {name} import *", space)
    found = public_names.of(name, public_names.roots(tmp_path))  # this Python's, and no other environment's
    assert found - {public_names.MORE} <= set(space)
    assert public_names.MORE in found or set(space) - {"__builtins__"} <= found


def test_numpys_own_sum_is_meant_after_its_star_import() -> None:
    pytest.importorskip("numpy")
    codes, _ = applied("from numpy import *", "print(sum([[1], [2]], 0), float64(1), max(2, 3), abs(-1))")
    assert codes[0] == "from numpy import abs, float64, max, sum"


def test_what_is_bound_nowhere_comes_from_the_module_that_is_not_there() -> None:
    codes, people = applied("from math import *\nfrom notthere import *", "print(load(), pi, len(x), display)", "x = 1")
    assert codes[0] == "from math import pi\nfrom notthere import load"
    assert not people


def test_of_two_modules_that_are_not_there_the_last_is_taken_and_a_person_asked() -> None:
    codes, people = applied("from here_not import *\nfrom notthere import *\nprint(load())")
    assert codes[0] == "import here_not\nfrom notthere import load\nprint(load())"
    assert len(people) == 1
    assert "here_not, notthere" in people[0].text


def test_builtins_may_be_those_of_a_module_that_is_not_there() -> None:
    _, people = applied("from notthere import *\nprint(sum([1]))")
    assert "its own sum" in people[0].text


def test_names_in_a_text_that_is_evaluated_count() -> None:
    codes, people = applied("from math import *\neval('pi * 2')")
    assert codes[0] == "from math import pi\neval('pi * 2')"
    assert not people
    assert applied("from math import *\nt = 'pi'\neval(t)")[1]


def test_relative_stars_and_cells_without_one_stay() -> None:
    assert applied("from . import *", "x = 1")[0] == ["from . import *", "x = 1"]


@pytest.mark.parametrize(
    "code", ["(" * 500 + ")" * 500, "+".join(["x"] * 20000), "from math import *\n" + "-" * 3000 + "1"]
)
def test_no_source_makes_it_raise(code: str) -> None:
    applied(code, "from math import *\npi")


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("__all__ = ['a', 'b']\n__all__ += ('c',)", {"a", "b", "c"}),
        ("more = ['a']\n__all__ = list(more) + [*more, 'b']", {"a", "b"}),
        ("more = ['a', 'b']\n__all__ = more.copy()", {"a", "b"}),
        ("__all__ = list()", set()),
        ("a = b = _c = 1\nimport os\n__all__ = [n for n in globals() if n[0] != '_']", {"a", "b"}),
        ("from other import __all__", {"x", "y"}),
        ("import other\n__all__ = ['a'] + other.__all__", {"a", "x", "y"}),
        ("from other import *\na = 1", {"a", "x", "y"}),
    ],
)
def test_what_a_module_offers_is_read_from_its_text(tmp_path: Path, module: str, names: set[str]) -> None:
    (tmp_path / "other.py").write_text("__all__ = ['x', 'y']")
    (tmp_path / "mine.py").write_text(module)
    assert public_names.of("mine", (str(tmp_path),)) - {"__all__"} == names


@pytest.mark.parametrize(
    "module",
    [
        "__all__ = unknown",
        "__all__ = made()",
        "__all__ = ['a', unknown]",
        "__all__ = missing.__all__",
        "__all__ = made().names.__all__",
        "from nowhere import *",
        "a = (",
    ],
)
def test_what_only_running_it_would_tell_may_be_more(tmp_path: Path, module: str) -> None:
    (tmp_path / "mine.py").write_text(module)
    assert public_names.of("mine", (str(tmp_path),)) >= public_names.UNKNOWN


def test_modules_are_looked_for_beside_the_notebook_then_in_the_next_environment(tmp_path: Path) -> None:
    packages = tmp_path / ".venv" / "lib" / "python3.12" / "site-packages"
    packages.mkdir(parents=True)
    folder = tmp_path / "deep" / "notebooks"
    folder.mkdir(parents=True)
    assert public_names.roots(folder)[:2] == (str(folder), str(packages))
    (tmp_path / "deep" / ".git").mkdir()
    assert str(packages) not in public_names.roots(folder)
    assert public_names.of("a\0b", (str(tmp_path),)) == public_names.UNKNOWN
