"""What two runs told, compared: no notebook is run here."""

from __future__ import annotations

import ast
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from daglab.migrating import cells
from daglab.migrating.comparing import comparisons, likeness, noise, probes, scratch, trials


def line(
    stdout: str = "", *shown: str | dict[str, Any], stderr: str = "", error: str = "", stopped: bool | None = None
) -> dict[str, Any]:
    """What a cell told; with an `error` it stopped there, unless it is said that it did not."""
    return {
        "stdout": stdout,
        "stderr": stderr,
        "shown": [each if isinstance(each, dict) else {"text": each, "data": {}} for each in shown],
        "error": {"type": error, "text": "why"} if error else None,
        "stopped": bool(error) if stopped is None else stopped,
        "ended": not error,
    }


def draft_of(*sources: str, made: tuple[cells.Cell, ...] | None = None) -> cells.Draft:
    own = tuple(cells.Original(number, "code", source) for number, source in enumerate(sources, 1))
    original = cells.Jupyter(Path("nb.ipynb"), "4.5", own)
    return cells.Draft(original, made or tuple(cells.Cell(each.source, origins=(each.number,)) for each in own))


def judged(
    draft: cells.Draft, before: list[dict[str, Any] | None], after: list[dict[str, Any] | None]
) -> list[tuple[str, str]]:
    one = trials.Ran({number: each for number, each in enumerate(before, 1) if each})
    other = trials.Ran({place: each for place, each in enumerate(after) if each})
    return [(each.verdict, each.why) for each in likeness.verdicts(draft, one, other)]


def verdict(before: dict[str, Any], after: dict[str, Any], source: str = "x") -> str:
    [(found, why)] = judged(draft_of(source), [before], [after])
    assert bool(why) or found == "same"
    return found


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (line("1"), line("1"), "same"),
        (line("1"), line("2"), "different"),
        (line("1", "2"), line("1", "2"), "same"),
        (line("1", "2"), line("1", "3"), "different"),
        (line("1", "2"), line("1"), "different"),
        (line("1"), line("1", "2"), "different"),
        (line("", "[]"), line(), "different"),
        (line("", "2"), line("2"), "same"),  # displayed there, printed here
        (line("1", "<Figure size 640x480 with 1 Axes>"), line("1"), "same"),
        (line(stderr="a"), line(stderr="a"), "same"),
        (line(stderr="a"), line(stderr="b"), "different"),
        (line(stderr="UserWarning: a\nUserWarning: a"), line(stderr="UserWarning: a"), "same"),
        (line(stderr="UserWarning: a"), line(), "unknown"),
        (line(error="KeyError"), line(error="KeyError"), "same"),
        (line(error="KeyError"), line(error="NameError"), "different"),
        (line(error="StdinNotImplementedError"), line(error="EOFError"), "same"),
        (line(error="KeyError"), line(), "different"),
        (line(error="UsageError"), line(), "unknown"),
        (line(), line(error="NameError"), "different"),
        (line(error="KeyError", stopped=False), line(stderr="KeyError: why"), "same"),
        (line(error="KeyError", stopped=False), line(), "unknown"),
    ],
)
def test_cells(before: dict[str, Any], after: dict[str, Any], expected: str) -> None:
    assert verdict(before, after) == expected


def test_what_marimo_shows_is_the_same_where_its_words_or_its_value_are() -> None:
    def html(text: str) -> dict[str, Any]:
        return {"text": None, "data": {}, "marimo": {"kind": "md", "html": text}}

    rich = {"text": "<IPython.core.display.Markdown object>", "data": {"text/markdown": "# A *title*"}}
    assert verdict(line("", rich), line("", html("<h1>A <em>title</em></h1>"))) == "same"
    assert verdict(line("", rich), line("", html("<h1>Another title</h1>"))) == "unknown"
    slider = {"text": None, "data": {}, "marimo": {"kind": "slider", "html": "<marimo-slider/>", "value": "3"}}
    assert verdict(line("", "IntSlider(value=3, max=9)"), line("", slider)) == "same"
    assert verdict(line("", "IntSlider(value=4, max=9)"), line("", slider)) == "unknown"


def test_what_marimo_shows_is_the_same_where_it_holds_the_same() -> None:
    def page(text: str, **more: Any) -> dict[str, Any]:
        return {"text": None, "data": {}, "marimo": {"kind": "Html", "html": text, **more}}

    def rich(kind: str, content: str) -> dict[str, Any]:
        return {"text": "<IPython.core.display.X object>", "data": {kind: content}}

    frame = "<iframe src=\"https://e.org/a?b=1&amp;c\" width='10'></iframe>"
    for one, other in (
        (rich("text/html", f"\n   {frame}"), page("<iframe src='https://e.org/a?b=1&amp;c' />")),
        (rich("image/png", "iVBO\nRw==\n"), page("<img src='data:image/png;base64,iVBORw==' />")),
        (rich("application/json", '{"a": [1]}'), page("<marimo-json-output data-json-data='{&quot;a&quot;:[1]}' />")),
        (rich("image/svg+xml", "<svg>\n<text>1</text></svg>"), page("<svg> <text>1</text></svg>")),
        (rich("text/latex", "$x$"), page("<marimo-tex>||(x||)</marimo-tex>")),
    ):
        assert verdict(line("", one), line("", other)) == "same"
        for changed in (page(""), page("<img src='b'>"), page(other["marimo"]["html"].replace("1", "2") + "!y")):
            assert verdict(line("", one), line("", changed)) == "unknown"
    box = "VBox(children=(Dropdown(index=1, options=('a', 'b'), value='b'), Checkbox(value=True)))"
    made = [page("<marimo-dropdown>", value="'b'"), page("<marimo-checkbox>", value="True")]
    assert verdict(line("", box), line("", *made)) == "same"
    assert verdict(line("", box), line("", made[0], page("", value="False"))) == "unknown"


PLOT = "<Figure size 640x480 with 1 Axes>"


@pytest.mark.parametrize(
    "part",
    [
        "[<matplotlib.lines.Line2D at 0x>]",
        "<matplotlib.collections.PathCollection at 0x>",
        "<Axes: title={'center': 'a b'}, xlabel='x'>",
        "<Axes3D: xlabel='x'>",
        "<AxesSubplot:>",
        "Text(0.5, 1.0, 'a (b) title')",
        "(array([1., 2.]),\n array([0. , 0.5, 1e+02]),\n <BarContainer object of 2 artists>)",
        "{'whiskers': [<matplotlib.lines.Line2D at 0x>],\n 'caps': []}",
        "array([[<Axes: >, <Axes: >]], dtype=object)",
        "<seaborn.axisgrid.FacetGrid at 0x>",
    ],
)
def test_what_a_drawing_gives_back_need_not_be_shown(part: str) -> None:
    assert verdict(line("", part, PLOT), line()) == "same"
    assert verdict(line("", part, PLOT), line("", part)) == "same"
    assert verdict(line("", part, PLOT), line("", part + "!")) == "different"
    for value in ("5", "'Text'", f"(1, {part}, 'a result')"):
        assert verdict(line("", value, PLOT), line()) == "different"


def test_what_sets_something_of_a_drawing_gives_no_value_that_counts() -> None:
    shown = line("", "(0.0, 1.0)", PLOT)
    assert verdict(shown, line(), "plt.plot(a)\nplt.xlim(0, 1)") == "same"
    assert verdict(shown, line(), "plt.plot(a)\nlimits(0, 1)") == "different"
    assert verdict(line("", "(0.0, 1.0)"), line(), "box.axis()") == "different"


def test_what_is_printed_inside_a_widget_is_printed_in_the_cell() -> None:
    assert verdict({**line("a"), "inside": "x is 4"}, line("a\nx is 4")) == "same"
    assert verdict({**line("a"), "inside": "x is 4"}, line("a\nx is 5")) == "different"


def test_ipythons_objects_are_compared_by_what_they_hold() -> None:
    def html(text: str) -> dict[str, Any]:
        return {"text": "<IPython.core.display.HTML object>", "data": {"text/html": text}}

    assert verdict(line("", html("<b>a</b>")), line("", html("<b>a</b>"))) == "same"
    assert verdict(line("", html("<b>a</b>")), line("", html("<b>b</b>"))) == "different"


def test_a_shell_may_print_its_words_in_another_order_and_a_timed_cell_its_times() -> None:
    assert verdict(line("a  b\nc"), line("a\nc\nb"), "!ls") == "same"
    assert verdict(line("a  b\nc"), line("a\nc\nb"), "f()") == "different"
    assert verdict(line("1"), line("1\ntook 3.1 ms"), "%%time\nf()") == "same"
    assert verdict(line("1"), line("2\ntook 3.1 ms"), "%%time\nf()") == "different"


def test_what_goes_to_jupyters_pager_is_not_known() -> None:
    assert verdict(line(), line("3 function calls"), "%prun f()") == "unknown"
    assert verdict(line("1"), line("2"), "f(prun)") == "different"


def test_code_that_became_markdown_is_compared_and_text_that_says_why_is_not() -> None:
    shown = {"text": "<IPython.core.display.Markdown object>", "data": {"text/markdown": "# A"}}
    now = {"text": None, "data": {}, "marimo": {"kind": "_md", "html": "<h1>A</h1>"}}
    for why, expected in (("", "same"), ("no Python", "unknown")):
        draft = draft_of("display(Markdown('# A'))", made=(cells.Cell("# A", "markdown", (1,), why=why),))
        [(found, _)] = judged(draft, [line("", shown)], [line("", now)])
        assert found == expected


def test_merged_cells_are_compared_as_one() -> None:
    merged = draft_of("a", "b", made=(cells.Cell("a\nb", origins=(1, 2)),))
    assert judged(merged, [line("1", "2"), line("3", "4")], [line("1\n3", "2", "4")]) == [("same", "")] * 2
    for shown in (line("1\n3", "4"), line("1\n3")):
        assert {each[0] for each in judged(merged, [line("1", "2"), line("3", "4")], [shown])} == {"unknown"}
    [one, other] = judged(merged, [line("1", "2"), line("3", "4")], [line("1\n3", "2")])
    assert one[0] == other[0] == "different"


def test_of_merged_cells_those_that_the_original_does_not_reach_are_unknown() -> None:
    merged = draft_of("a", "b", "c", made=(cells.Cell("a\nb\nc", origins=(1, 2, 3)),))
    found = judged(merged, [line(), line(error="E")], [line(error="E")])
    assert [each[0] for each in found] == ["same", "same", "unknown"]


def test_split_cells_are_compared_as_one() -> None:
    split = draft_of("a", made=(cells.Cell("a", origins=(1,)), cells.Cell("b", origins=(1,))))
    assert judged(split, [line("1\n2")], [line("1"), line("2")]) == [("same", "")]


def test_cells_that_are_left_out_kept_as_text_or_not_run() -> None:
    made = (cells.Cell("text", "markdown", (2,), why="no magic"), cells.Cell("b", origins=(3,), disabled=True))
    draft = draft_of("%gone", "%%odd", "b", "%out", "", made=made)
    found = judged(draft, [line(), line("x"), None, line("1"), line()], [])
    assert found == [
        ("same", ""),
        ("unknown", "kept as text: no magic"),
        ("unknown", "not run"),
        ("unknown", "left out"),
        ("same", ""),
    ]
    assert likeness.not_run(draft) == {3}


def test_how_far_they_run() -> None:
    draft = draft_of("a", "b", "c")
    full = [line(), line(), line()]
    assert [each[0] for each in judged(draft, [line(), line(error="E")], [line(), line(error="E")])] == [
        "same",
        "same",
        "unknown",
    ]
    one = trials.Ran(dict(enumerate(full, 1)))
    assert likeness.as_far(draft, one, trials.Ran(dict(enumerate(full))))
    assert not likeness.as_far(draft, one, trials.Ran({0: line(), 1: line(error="E")}))
    failed = trials.Ran({1: line(), 2: line(error="E")})
    assert likeness.as_far(draft, failed, trials.Ran({0: line(), 1: line(error="E")}))


def test_a_notebook_that_stops_in_a_cell_of_ours_is_different() -> None:
    added = draft_of("a", made=(cells.Cell("import marimo as mo"), cells.Cell("a", origins=(1,))))
    assert [each[0] for each in judged(added, [line("1")], [line(error="ImportError")])] == ["different"]


def test_the_verdict_on_the_notebook() -> None:
    def of(*verdicts: str, far: bool = True, flaw: str | None = None) -> str:
        made = tuple(comparisons.Verdict(number, each) for number, each in enumerate(verdicts, 1))
        return comparisons.Comparison(made, far, flaw=flaw).verdict

    assert [of("same", "unknown"), of("same", "different"), of("unknown"), of()] == [
        "same",
        "different",
        "unknown",
        "same",
    ]
    assert of("same", far=False) == "different"
    assert of("same", flaw="no") == "unknown"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<a.B object at 0x7f00aa112233>", "<a.B object at 0x>"),
        ("0x7f00aa112233", "0x7f00aa112233"),  # a value
        ("\x1b[31ma\x1b[0m\r\nb  \n\n", "a\nb"),
        ("1%\r50%\r100\n", "100"),
        ("a\nCPU times: user 1 s\nWall time: 2 s\nb", "a\nb"),
        (" 50%|#####     | 5/10 [00:00<00:00]\nx", "x"),
        ("/tmp/ipykernel_12/345.py:3: UserWarning: hm\n  warnings.warn('hm')\nx", "UserWarning: hm\nx"),
        ("Automatically created module for IPython interactive environment\n1", "None\n1"),
        ("Created for the marimo kernel.\n1", "None\n1"),
        ("/scratch/1/data.csv", "/own/data.csv"),
        ("0.1 + 0.2 = 0.30000000000000004", "0.1 + 0.2 = 0.30000000000000004"),
    ],
)
def test_noise(text: str, expected: str) -> None:
    assert noise.settled(text, [("/scratch/1", "/own")]) == expected


def test_the_first_difference_is_told_cut() -> None:
    assert noise.difference("a\nb", "a\nc") == "line 2: 'b' before, 'c' now"
    assert noise.difference("a", "a\nb") == "line 2: nothing before, 'b' now"
    assert len(noise.difference("x" * 1000, "y" * 1000)) < 200


@pytest.mark.parametrize("text", ["<" * 200_000, "1." * 100_000, "\x1b]" * 100_000, "\r" * 200_000, "a:1: " * 40_000])
def test_long_texts_of_any_kind_come_to_an_end(text: str) -> None:
    assert verdict(line(noise.settled(text)), line(noise.settled(text)), "%time") == "same"


@pytest.mark.parametrize(
    "piece", [" src='", ' src="', "<svg ", "<marimo-json-output data-json-data='", "Text('x' ", "["]
)
def test_rich_outputs_of_any_kind_come_to_an_end(piece: str) -> None:
    page = piece * (200_000 // len(piece))
    shown = {"text": page, "data": {"text/html": page}}
    now = {"text": None, "data": {}, "marimo": {"kind": "Html", "html": page}}
    assert verdict(line("", shown), line("", now)) in ("same", "unknown")
    assert verdict(line("", shown), line()) == "different"


def test_what_installs_is_not_run() -> None:
    source = "%pip install a \\\n  b\nx = 1\n  !{sys.executable} -m pip install c\n!ls pip install\n!pip list\n"
    assert trials.without_installs(source) == "pass\nx = 1\n  pass\n!ls pip install\n!pip list\n"
    assert trials.without_installs("%%bash\npip install a\nls") == "%%bash\n:\nls"
    assert trials.without_installs("pip = 'install'") == "pip = 'install'"


def test_a_run_that_is_cut_off_tells_where() -> None:
    told = [{"begun": 1}, {"cell": 1, **line("a")}, {"begun": 2}]
    ran = trials.read(told, trials.TIMEOUT, [])
    assert (ran.last, ran.flaw, list(ran.cells)) == (2, trials.TIMEOUT, [1])
    interrupted = trials.read([*told, {"cell": 2, **line(error="KeyboardInterrupt")}], trials.TIMEOUT, [])
    assert (interrupted.last, list(interrupted.cells)) == (2, [1])
    assert trials.read([{"flaw": "it does not start"}], "", []).flaw == "it does not start"
    assert trials.read([], "died", []).flaw == "died"
    assert trials.read([{"done": True}], "a warning on stderr", []) == trials.Ran({})
    direct = [{"cell": 1, **line("a"), "direct": {"stdout": "b", "stderr": ""}}]
    assert [(each["stdout"], each["mixed"]) for each in trials.read(direct, "", []).cells.values()] == [("a\nb", True)]


NOTEBOOK = """import marimo

app = marimo.App()


@app.cell
def _():
    x = 1  # a
    return (x,)


@app.function
def f(x):
    return x


@app.cell(hide_code=True)
def _(x):
    "text"
    (
        x
        + 1
    )
    return


@app.cell
async def _(x):
    @property
    def g(): pass
    await x;
    return


@app.cell
def _():
    # nothing
    return


if __name__ == "__main__":
    app.run()
"""


def test_probes_stand_at_both_ends_of_each_cell() -> None:
    probed = probes.probe(NOTEBOOK)
    assert probed
    assert [each.kind for each in probed.found] == ["cell", "function", "cell", "cell", "cell"]
    ast.parse(probed.text)
    assert "    daglab__begin(0)\n    x = 1\n    daglab__end(0)  # a\n" in probed.text
    assert '    daglab__begin(2)\n    "text"\n    (\n        daglab__end(2, (x\n        + 1))\n    )\n' in probed.text
    assert "    daglab__begin(3)\n    @property\n" in probed.text
    assert "    await x\n    daglab__end(3);\n" in probed.text
    assert "    daglab__begin(4)\n    daglab__end(4)\n    return\n" in probed.text
    assert probes.probe("def (") is None


def test_found_cells_are_placed_by_order_or_by_text() -> None:
    found = [probes.Found("cell", text) for text in ("a", "b", "c")]
    assert probes.places(found, draft_of("x", "y", "z")) == [0, 1, 2]
    assert probes.places(found, draft_of("a", " c ")) == [0, None, 1]


def test_a_folder_is_copied_with_the_way_to_what_lies_above(tmp_path: Path) -> None:
    own = tmp_path / "work" / "books"
    (own / "sub").mkdir(parents=True)
    (own / "__pycache__").mkdir()
    (own / "sub" / "a.txt").write_text("a")
    (tmp_path / "work" / "data.csv").write_text("1")
    place = tmp_path / "place"
    made = scratch.copy(own, place)
    assert made.name == "books"
    assert made.is_relative_to(place)
    assert (made / "sub" / "a.txt").read_text() == "a"
    assert (made / ".." / "data.csv").read_text() == "1"
    assert not (made / "__pycache__").exists()
    (made / "sub" / "a.txt").write_text("b")
    assert (own / "sub" / "a.txt").read_text() == "a"


def test_a_big_folder_is_one_of_links_and_a_huge_one_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "a").write_bytes(bytes(11))
    monkeypatch.setattr(scratch, "BYTES", 10)
    made = scratch.copy(own, tmp_path / "place")
    assert (made / "a").readlink() == own / "a"
    (made / "new").write_text("x")
    assert [path.name for path in own.iterdir()] == ["a"]
    monkeypatch.setattr(scratch, "ENTRIES", 0)
    assert scratch.copy(own, tmp_path / "other") == own
    assert not (tmp_path / "other").exists()


def test_groups_hold_each_cell_once() -> None:
    for seed in range(300):
        chance = random.Random(seed)
        numbers = range(1, chance.randrange(1, 8))
        made = tuple(
            cells.Cell("x", origins=tuple(sorted(chance.sample(numbers, chance.randrange(min(3, len(numbers)) + 1)))))
            for _ in range(chance.randrange(8))
        )
        groups = likeness.groups(draft_of(*["x"] * len(numbers), made=made))
        assert sorted(number for group in groups for number in group.numbers) == list(numbers)
        for place, cell in enumerate(made):
            holding = [group for group in groups if set(cell.origins) & set(group.numbers)]
            assert len(holding) == min(1, len(cell.origins))
            assert all(place in group.places and set(cell.origins) <= set(group.numbers) for group in holding)


def test_where_two_texts_differ() -> None:
    assert noise.difference("a\nb", "a\nc") == "line 2: 'b' before, 'c' now"
    assert noise.difference("a", "a\nb").startswith("line 2: ")
    assert noise.difference("a\nb", "a\nb") == "no difference"


# --- both runs, by a stand-in for the children: `original` and `new` are the lines that each tells

CHILD = """
import json, pathlib, sys
order = json.loads(pathlib.Path(sys.argv[-1]).read_text())
lines = {lines}[sys.argv[-2]]
pathlib.Path(order["answer"]).write_text("".join(json.dumps(each) + "\\n" for each in lines))
print("last words", file=sys.stderr)
"""


def compared(
    folder: Path, original: list[dict[str, Any]], new: list[dict[str, Any]], text: str = NOTEBOOK, count: int = 5
) -> comparisons.Comparison:
    (folder / "child.py").write_text(CHILD.format(lines={"original": original, "new": new}))
    (folder / "books").mkdir()
    notebook = folder / "books" / "nb.py"
    notebook.write_text(text)
    own = tuple(cells.Original(number, "code", "x") for number in range(1, count + 1))
    jupyter = cells.Jupyter(folder / "books" / "nb.ipynb", "4.5", own)
    drafted = cells.Draft(jupyter, tuple(cells.Cell("x", origins=(each.number,)) for each in own))
    return comparisons.compare(jupyter, drafted, notebook, [sys.executable, str(folder / "child.py")], {}, 60)


def told(number: int, *words: str, error: str = "") -> dict[str, Any]:
    return {"cell": number, **line(*words, error=error)}


def test_two_runs_that_tell_the_same_are_the_same(tmp_path: Path) -> None:
    before = [told(number, "1") for number in range(1, 6)]
    # The function is none of a marimo run's cells: it tells nothing, as little as the original's cell may print.
    before[1] = told(2)
    made = compared(tmp_path, before, [told(number, "1") for number in (0, 2, 3, 4)])
    assert (made.verdict, made.flaw, made.original_stop, made.new_stop) == ("same", None, None, None)
    assert made.seconds > 0
    assert made.document()["counts"] == {"same": 5, "different": 0, "unknown": 0}


@pytest.mark.parametrize(
    ("original", "new", "text", "flaw"),
    [
        ([], [], "def (", "nb.py is no marimo notebook that daglab's own Python can read"),
        ([{"flaw": "there is no nbclient"}], [], NOTEBOOK, "there is no nbclient"),
        ([], [], NOTEBOOK, "last words"),
        ([told(1, "1")], [{"flaw": "two cells define x"}], NOTEBOOK, "marimo does not run it: two cells define x"),
    ],
)
def test_why_two_notebooks_can_not_be_compared_is_told(
    tmp_path: Path, original: list[dict[str, Any]], new: list[dict[str, Any]], text: str, flaw: str
) -> None:
    made = compared(tmp_path, original, new, text)
    assert (made.verdict, made.flaw, made.cells) == ("unknown", flaw, ())


def test_where_each_of_two_runs_ended_early_is_told(tmp_path: Path) -> None:
    made = compared(
        tmp_path,
        [told(1, "1"), told(2, error="KeyError")],
        [told(0, "1"), {"begun": 2}],
    )
    assert made.original_stop == comparisons.Stop(2, "KeyError")
    assert made.new_stop == comparisons.Stop(3, "died")  # by the number that the cell has in Jupyter
    assert made.document()["new_stop"] == {"cell": 3, "error": "died"}


def test_a_cell_of_the_file_that_is_none_of_the_draft_s_has_no_say(tmp_path: Path) -> None:
    """The file has five cells and the draft two: of the others it is not known what they were made of."""
    made = compared(tmp_path, [told(1, "1"), told(2, "2")], [told(n, "odd") for n in (0, 2, 3, 4)], count=2)
    assert [each.verdict for each in made.cells] == ["different", "different"]
    assert made.new_stop is None


def test_what_is_printed_inside_a_widget_is_settled_as_all_else() -> None:
    ran = trials.read([{**told(1, "a"), "inside": "\x1b[31mb\x1b[0m <x object at 0x7f00aa>"}], "", [])
    assert ran.cells[1]["inside"] == "b <x object at 0x>"
