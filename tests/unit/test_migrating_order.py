"""What depended on the order in which cells were run."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from daglab.migrating import cells, order, texts


def notes(*ran: tuple[int | None, str]) -> list[cells.Note]:
    made = [cells.Original(number, "code", code, execution_count=count) for number, (count, code) in enumerate(ran, 1)]
    draft = texts.begin(cells.Jupyter(Path("nb.ipynb"), "4.5", tuple(made)))
    applied = order.apply(draft)
    assert applied.cells == draft.cells
    assert all(note.kind == "order" for note in applied.notes)
    return list(applied.notes)


def people(*ran: tuple[int | None, str]) -> list[tuple[int | None, str]]:
    return [(note.cell, note.text) for note in notes(*ran) if note.needs_person]


def test_cells_in_order_have_nothing_to_tell() -> None:
    assert (
        notes((1, "import os\nx = 1"), (2, "x += 1\nprint(x)"), (3, "def f():\n    return y"), (4, "y = 1\nf()")) == []
    )
    assert notes((3, "x = 1"), (7, "print(x)")) == []


def test_without_counts_there_is_nothing_to_tell() -> None:
    assert notes((None, "print(x)"), (None, "x = 1")) == []


def test_a_name_bound_below_only() -> None:
    assert people((2, "print(df)"), (1, "df = 1")) == [
        (1, "It reads `df`, which is bound only below, by cell 2: from top to bottom there is none yet (NameError).")
    ]


def test_a_name_of_a_cell_that_was_deleted() -> None:
    (found,) = people((5, "print(df)"))
    assert found[0] == 1
    assert "`df`, which no cell binds" in found[1]


def test_a_value_that_came_from_below() -> None:
    assert people((1, "df = 1"), (3, "print(df)"), (2, "df = 2")) == [
        (2, "It ran after cell 3 and reads `df`, which cell 3 binds below: from top to bottom it sees that of cell 1.")
    ]


def test_a_value_that_came_from_further_above() -> None:
    assert people((1, "df = 1"), (3, "df = 2"), (2, "print(df)")) == [
        (3, "It ran after cell 1 and reads `df`, which cell 1 binds: from top to bottom it sees that of cell 2.")
    ]


def test_data_changed_in_place_below() -> None:
    (found,) = people((1, "df = {}"), (3, "print(df)"), (2, "df['a'] = 2"))
    assert found == (
        2,
        "It ran after cell 3 and reads `df`, which cell 3 changes below: from top to bottom it sees that of cell 1.",
    )


def test_the_last_to_bind_what_a_function_reads() -> None:
    (found,) = people((1, "def f():\n    return n"), (3, "n = 1"), (2, "n = 2"))
    assert found == (2, "It ran after cell 3, and both bind `n`: from top to bottom cell 3 does so last.")


def test_cells_out_of_order_that_share_nothing() -> None:
    assert notes((3, "a = 1"), (2, "b = 1\nprint(b)"), (1, "for i in 'ab': print(i)")) == []


def test_a_cell_that_was_never_run() -> None:
    found = notes((1, "x = 1"), (None, "x = 2"), (2, "print(x)"))
    assert [(note.cell, note.needs_person) for note in found] == [(2, True)]
    found = notes((1, "x = 1"), (None, "spare = 2"), (2, "print(x)"))
    assert [(note.cell, note.needs_person) for note in found] == [(2, False)]


def test_a_cell_that_may_have_run_twice() -> None:
    (found,) = notes((1, "x = 1"), (4, "x += 1"))
    assert (found.cell, found.needs_person) == (2, False)
    assert "more than once" in found.text


@pytest.mark.parametrize(
    "code",
    [
        "files = !ls\n%time y = len(files)\nprint(y)",
        "%%capture out\nz = 1",
        "%%bash\necho $x",
        "%matplotlib inline\n!ls {where}\nx = 1\nx?",
        "print(_, _3, In, Out, __name__, display, get_ipython())",
        "[q for q in range(3)]\nlambda w: w\nprint(*[e for e in 'a'])",
        "try:\n    thing\nexcept NameError:\n    pass",
    ],
)
def test_magics_and_what_the_kernel_gives_are_no_finding(code: str) -> None:
    assert notes((1, code)) == []


def test_what_a_magic_or_a_star_may_bind_is_not_missed() -> None:
    assert notes((1, "%pylab inline"), (2, "plot([1])")) == []
    assert notes((1, "from pylab import *"), (2, "plot([1])")) == []
    assert notes((1, "%run other.py"), (2, "other()")) == []


@pytest.mark.parametrize(
    "code",
    [
        "(" * 2000,
        "+".join(["x"] * 30000),
        "x = 1\n" * 20000,
        "\x00",
        "%" * 500,
        "?" * 5000,
        " " * 90000 + "!",
        " " * 90000 + "\nx y",
    ],
)
def test_no_source_makes_it_raise(code: str) -> None:
    notes((2, code), (1, "y = 1"))


def test_it_tells_just_when_top_to_bottom_differs() -> None:
    """Against running it: a permutation of cells that only copy numbers."""
    for seed in range(300):
        draw = random.Random(seed)
        count = draw.randint(2, 6)
        codes = [f"{draw.choice('ab')} = {index}\nseen{index} = {draw.choice('ab')}" for index in range(count)]
        codes = [
            f"a = b = {seed}",
            *[code if index % 2 else "\n".join(code.split("\n")[::-1]) for index, code in enumerate(codes)],
        ]
        counts = [0, *draw.sample(range(1, count + 1), count)]
        then: dict[str, object] = {}
        now: dict[str, object] = {}
        for _, code in sorted(zip(counts, codes, strict=True)):
            exec(code, then)
        for code in codes:
            exec(code, now)
        differs = {name for name in now if name.startswith("seen") and now[name] != then[name]}
        told = people(*[(number + 1, code) for number, code in zip(counts, codes, strict=True)])
        assert {f"seen{cell - 2}" for cell, text in told if cell and "it sees" in text} == differs, (codes, counts)


@pytest.mark.parametrize("code", [" " * 100_000 + "\n(", "\n".join(" " * 3000 + "if x:" for _ in range(300)) + "("])
def test_long_white_space_takes_no_square_of_time(code: str) -> None:
    assert order.python(code) == code
