"""dagstermill notebooks do without dagstermill."""

from __future__ import annotations

from pathlib import Path

from daglab.migrating import cells, dagstermill, texts


def applied(*codes: str | tuple[str, str]) -> cells.Draft:
    made = [
        cells.Original(
            number, "code", code if isinstance(code, str) else code[0], () if isinstance(code, str) else code[1:]
        )
        for number, code in enumerate(codes, 1)
    ]
    return dagstermill.apply(texts.begin(cells.Jupyter(Path("report.ipynb"), "4.5", tuple(made))))


def codes(draft: cells.Draft) -> list[str]:
    return [cell.code for cell in draft.cells]


def test_other_notebooks_stay_as_they_are() -> None:
    draft = applied("import dagster\ncontext = 1\ncontext.log.info(1)")
    assert codes(draft) == ["import dagster\ncontext = 1\ncontext.log.info(1)"]
    assert draft.notes == ()


def test_the_context_the_log_and_plain_results() -> None:
    draft = applied(
        "import dagstermill",
        'import os, dagstermill as dm  # two\ncontext = dm.get_context(op_config={"n": 3})',
        'context.log.info(f"{1}")\nn = context.solid_config["n"]',
        'dm.yield_result(len("abc"), output_name="length")',
    )
    assert codes(draft) == [
        "import os  # two\ncontext = daglab__types.SimpleNamespace("
        'op_config={**({"n": 3} or {}), **daglab__mo.cli_args().to_dict()}, '
        'log=daglab__logging.getLogger("notebook"))',
        'print(f"{1}")\nn = context.op_config["n"]',
        "daglab__helpers.result('length', len(\"abc\"))",
    ]
    assert [note.cell for note in draft.notes if note.needs_person] == [None]
    assert "notebook_asset('report.py', key='report', params={'n': 3})" in draft.notes[-1].text


def test_what_can_not_be_told_asks_a_person() -> None:
    draft = applied(
        "from dagstermill import get_context, yield_result, yield_event",
        "c = get_context()\nc.resources.db.query()",
        "yield_result(df)",
        "yield_event(AssetMaterialization('x'))",
    )
    assert codes(draft)[1:] == ["(df)", "(AssetMaterialization('x'))"]
    assert [note.cell for note in draft.notes if note.needs_person] == [2, 3, 4, None]


def test_injected_cells_are_left_out_and_parameters_stay() -> None:
    draft = applied("import dagstermill", ("a = 3\nb = 'x'", "parameters"), ("import json", "injected-parameters"))
    assert codes(draft) == ["a = 3\nb = 'x'"]
    assert "params={'a': 3, 'b': 'x'}" in draft.notes[-1].text
