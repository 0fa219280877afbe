"""Notebooks that bring a bug to light, are refused, or would be written over: the others are migrated all the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

import click
import pytest

from daglab import errors, files
from daglab.authoring import scaffolds
from daglab.migrating import cells, connecting, migrations, reports, sources
from daglab.migrating.comparing import comparisons
from daglab.migrating.converting import conversions
from daglab.settings import config
from tests.jupyter_notebooks import notebook, written

POISON = "poisoned = 1"
Migrate = Callable[..., dict[str, reports.Result]]


@pytest.fixture
def migrate(tmp_path: Path) -> Migrate:
    """`migrate({"a": source, ...}, to=..., ...)`: what became of each, by name."""

    def migrated(texts: dict[str, str | bytes], **wish: Any) -> dict[str, reports.Result]:
        results: dict[Path, reports.Result] = {}
        for name, text in texts.items():
            (tmp_path / f"{name}.ipynb").write_bytes(text if isinstance(text, bytes) else written(notebook(text)))
        found = [sources.Source(tmp_path / f"{name}.ipynb", PurePath(f"{name}.ipynb")) for name in texts]
        wished = migrations.Wish(**{"to": tmp_path / "out", **wish})
        with click.Context(click.Command("migrate")):
            migrations.migrate(config.load({}, directory=tmp_path), found, wished, results)
        return {path.stem: result for path, result in results.items()}

    return migrated


@pytest.fixture
def converter(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], Any]], None]:
    """Puts something in the way of the real converter: it is asked about each notebook's code."""
    real = conversions.convert

    def put(look: Callable[[str], Any]) -> None:
        def convert(drafts: Sequence[cells.Draft], *more: Any) -> list[conversions.Conversion]:
            found = [look("".join(cell.code for cell in draft.cells)) for draft in drafts]
            made = real(drafts, *more)
            return [dataclasses.replace(one, **(more or {})) for one, more in zip(made, found, strict=True)]

        monkeypatch.setattr(conversions, "convert", convert)

    return put


@pytest.mark.long
def test_a_bug_that_one_brings_to_light_does_not_take_the_others_down(
    migrate: Migrate, converter: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def look(text: str) -> None:
        if POISON in text:
            raise KeyError(text)

    converter(look)
    found = migrate({"a": "x = 1", "b": POISON, "c": "y = 2"})
    assert [found[name].error is None for name in "abc"] == [True, False, True]
    error = found["b"].error
    assert error is not None
    assert "This is a bug in daglab: KeyError" in error.message
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.py", "c.py"]
    assert capsys.readouterr().err.count("Traceback") == 1


def test_without_marimo_none_is_begun(migrate: Migrate, converter: Any, tmp_path: Path) -> None:
    def look(text: str) -> None:
        raise errors.NotSetUp("marimo is not installed.", "Install it.")

    converter(look)
    with pytest.raises(errors.NotSetUp, match="marimo is not installed"):
        migrate({"a": "x = 1", "b": "y = 2"})
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_what_marimo_makes_nothing_of_is_refused_alone(migrate: Migrate, converter: Any, tmp_path: Path) -> None:
    converter(lambda text: {"flaw": "it has a flaw"} if POISON in text else None)
    found = migrate({"a": "x = 1", "b": POISON})
    assert found["a"].error is None
    error = found["b"].error
    assert error is not None
    assert "marimo can't convert it: it has a flaw." in error.message
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.py"]


@pytest.mark.long
def test_one_that_can_not_be_connected_is_refused_alone(migrate: Migrate, monkeypatch: pytest.MonkeyPatch) -> None:
    real = connecting.apply

    def apply(draft: cells.Draft, *more: Any) -> cells.Draft:
        if any(POISON in cell.code for cell in draft.cells):
            raise errors.InvalidInput("It has no place for that.", "Make one.")
        return real(draft, *more)

    monkeypatch.setattr(connecting, "apply", apply)
    found = migrate({"a": "x = 1", "b": POISON}, target=scaffolds.Target(assets=(("orders",),)))
    assert [found[name].error is None for name in "ab"] == [True, False]


def test_an_original_is_not_written_over(migrate: Migrate, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.py").symlink_to(tmp_path / "a.ipynb")
    with pytest.raises(errors.InvalidInput, match="is a notebook that is to be migrated"):
        migrate({"a": "x = 1"}, force=True)
    assert b'"cells"' in (tmp_path / "a.ipynb").read_bytes()


@pytest.mark.long
def test_a_report_is_no_notebook(migrate: Migrate, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="is one of the notebooks' own files"):
        migrate({"a": "x = 1"}, report=tmp_path / "out" / "a.py")
    assert not (tmp_path / "out" / "a.py").exists()


@pytest.mark.long
def test_what_can_not_be_compared_is_migrated_and_said(migrate: Migrate, monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(*_: Any) -> None:
        raise errors.NotSetUp("There is no kernel.", "Install one.")

    monkeypatch.setattr(comparisons, "compare", compare)
    [result] = migrate({"a": "x = 1"}, run=True).values()
    assert result.error is None
    assert [note.text for note in result.notes if note.kind == "check"] == ["Not compared: There is no kernel."]


@pytest.mark.long
def test_one_that_could_not_be_written_is_not_run(migrate: Migrate, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_new", full)
    monkeypatch.setattr(comparisons, "compare", None)
    [result] = migrate({"a": "x = 1"}, run=True).values()
    assert result.error is not None
    assert "No space left on device" in result.error.message


@pytest.mark.long
def test_one_that_can_not_be_read_is_told_and_a_name_that_hides_a_module_is_another(
    migrate: Migrate, tmp_path: Path
) -> None:
    found = migrate({"torn": b"{", "json": "x = 1"}, keep="session")
    assert isinstance(found["torn"].error, errors.InvalidInput)
    assert found["json"].error is None
    made = found["json"].target
    assert made is not None
    assert made.name != "json.py"
    assert made.is_file()
    assert any("would hide the Python module json" in note.text for note in found["json"].draft.notes)  # type: ignore[union-attr]


@pytest.mark.long
def test_a_dry_run_writes_nothing_and_what_is_there_is_not_written_over(migrate: Migrate, tmp_path: Path) -> None:
    [result] = migrate({"a": "x = 1"}, dry_run=True).values()
    assert result.error is None
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.py").write_text("mine\n")
    with pytest.raises(errors.Taken, match=r"There already: .*a\.py"):
        migrate({"a": "x = 1"})
    assert (tmp_path / "out" / "a.py").read_text() == "mine\n"
    migrate({"a": "x = 1"}, force=True)
    assert (tmp_path / "out" / "a.py").read_text() != "mine\n"
