"""The state of notebooks: two kernels, kills at any point, broken files, full disks, migrations, going back."""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, state, state_files

NOTEBOOK = "dagster/notebooks/orders.py"


def manage(root: Path, **more: Any) -> state.State:
    return state.manage(root, NOTEBOOK, **more)


def count_up(values: dict[str, Any]) -> None:
    values["count"] += 1


def backup(kept: state.State) -> Path:
    return kept.path.with_name(kept.path.name + ".bak")


def broken(kept: state.State) -> Path:
    return kept.path.with_name(kept.path.name + ".broken")


def beside(kept: state.State) -> list[str]:
    """The endings of the files of a state."""
    return sorted(entry.name.partition(".json")[2] for entry in kept.path.parent.iterdir())


def rewrite(path: Path, **more: Any) -> None:
    """Change members of a state's file, with a checksum that fits."""
    found = json.loads(path.read_bytes())
    del found["sha256"]
    path.write_bytes(state_files._framed(json.dumps({**found, **more}, ensure_ascii=False).encode()))


@pytest.fixture
def kept(tmp_path: Path) -> state.State:
    """A state of two revisions, of which the first is in the file before."""
    kept = manage(tmp_path)
    kept.update(count=1, name="é")
    kept.update(count=2)
    return kept


# --- what it is for


def test_values_outlast_the_kernel(tmp_path: Path) -> None:
    manage(tmp_path).update({"rows": [1, {"a": None}]}, name="ünï ✓")
    kept = manage(tmp_path)
    assert kept.values == {"rows": [1, {"a": None}], "name": "ünï ✓"}
    assert (kept["name"], kept.get("name"), kept.get("other"), kept.get("other", 5)) == ("ünï ✓", "ünï ✓", None, 5)
    assert ("name" in kept, "other" in kept, list(kept)) == (True, False, ["rows", "name"])
    with pytest.raises(KeyError):
        kept["other"]


def test_nothing_is_written_before_something_is_stored(tmp_path: Path) -> None:
    kept = manage(tmp_path, defaults={"a": 1})
    assert (kept.values, kept.history(), kept.recovered) == ({"a": 1}, [], None)
    assert list(tmp_path.iterdir()) == []


def test_set_delete_and_change(tmp_path: Path) -> None:
    kept = manage(tmp_path)
    kept.set("a", 1)
    kept.set("b", 2)
    kept.delete("a")
    kept.delete("missing")
    assert kept.values == {"b": 2}
    assert kept.change(lambda values: {"c": values["b"]}) == {"c": 2} == kept.values
    assert kept.change(lambda values: values.update(d=1)) == {"c": 2, "d": 1} == kept.values


def test_defaults_stand_for_what_was_never_stored(tmp_path: Path) -> None:
    defaults: dict[str, Any] = {"rows": [], "count": 0}
    kept = manage(tmp_path, defaults=defaults)
    defaults["rows"].append("later")
    kept.values["rows"].append("a copy")
    kept.set("count", 1)
    assert kept.values == {"rows": [], "count": 1}
    later = manage(tmp_path, defaults={"rows": [1], "count": 5, "new": True})
    assert later.values == {"rows": [1], "count": 1, "new": True}
    later.delete("count")
    assert later["count"] == 5
    assert later.change(lambda values: values["rows"].append(2)) == {"rows": [1, 2], "count": 5, "new": True}
    assert later.values == {"rows": [1, 2], "count": 5, "new": True}


def test_values_that_are_handed_out_are_copies(tmp_path: Path) -> None:
    kept = manage(tmp_path)
    given: dict[str, Any] = {"rows": [1]}
    kept.update(given)
    given["rows"].append(2)
    kept.values["rows"].append(3)
    kept["rows"].append(4)
    kept.history()[0].values["rows"].append(5)
    kept.change(lambda values: values["rows"].append(6))["rows"].append(7)
    assert [each.values for each in kept.history()] == [{"rows": [1, 6]}, {"rows": [1]}]


def test_what_is_the_same_is_no_revision(tmp_path: Path) -> None:
    kept = manage(tmp_path)
    for value in (1, 1, 1.0, True, True):
        kept.set("a", value)
    assert [each.values["a"] for each in kept.history()] == [True, 1.0, 1]
    assert [type(each.values["a"]) for each in kept.history()] == [bool, float, int]


# --- the file


def test_the_file(kept: state.State, tmp_path: Path) -> None:
    assert kept.path.parent == tmp_path / ".daglab" / "state"
    assert kept.path.name.startswith("orders-")
    found = json.loads(kept.path.read_bytes())
    assert {name: found[name] for name in ("v", "notebook", "version", "revision", "values")} == {
        "v": 1,
        "notebook": NOTEBOOK,
        "version": 1,
        "revision": 2,
        "values": {"count": 2, "name": "é"},
    }
    assert [each["revision"] for each in found["history"]] == [1]
    assert found["saved"].endswith("+00:00")
    assert [entry.stat().st_mode & 0o777 for entry in kept.path.parent.iterdir()] == [0o600] * 3
    assert beside(kept) == ["", ".bak", ".lock"]


def test_each_notebook_has_its_own(tmp_path: Path) -> None:
    names = ["a.py", "b/a.py", "b/../c/a.py", "é" * 120 + ".py", "a\nb.py", os.fsdecode(b"\xff.py"), "/elsewhere/a.py"]
    for number, name in enumerate(names):
        state.manage(tmp_path, name).set("number", number)
    assert [state.manage(tmp_path, tmp_path / name)["number"] for name in names] == list(range(len(names)))
    assert state.manage(tmp_path, "c/a.py")["number"] == 2
    found = state_files.notebooks(tmp_path)
    assert found == sorted(["a.py", "b/a.py", "c/a.py", "é" * 120 + ".py", "a\nb.py", "\\xff.py", "/elsewhere/a.py"])


def test_a_project_that_has_moved_keeps_its_states(kept: state.State, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / ".daglab", tmp_path / "copy" / ".daglab")
    assert manage(tmp_path / "copy").values == kept.values


def test_a_newer_format_is_left_alone(kept: state.State) -> None:
    rewrite(kept.path, v=2, other=[1])
    before = kept.path.read_bytes()
    for act in (lambda: kept.values, lambda: kept.set("a", 1), kept.rollback, kept.reset):
        with pytest.raises(errors.NotSetUp, match=r"newer daglab \(format 2\)") as caught:
            act()
        assert caught.value.hint
    assert kept.path.read_bytes() == before
    assert beside(kept) == ["", ".bak", ".lock"]


# --- broken files


def test_a_file_that_is_cut_or_changed_anywhere_is_told(kept: state.State, tmp_path: Path) -> None:
    whole, now, before = kept.path.read_bytes(), kept.values, {"count": 1, "name": "é"}
    flipped = [whole[:n] + bytes([whole[n] ^ bit]) + whole[n + 1 :] for n in range(len(whole)) for bit in (1, 2, 128)]
    for content in [*(whole[:length] for length in range(len(whole))), *flipped, whole * 2, b"\0" * len(whole)]:
        kept.path.write_bytes(content)
        assert kept.values == before
        assert "revision 1 of" in (kept.recovered or "")
    kept.path.write_bytes(whole)
    assert (kept.values, kept.recovered) == (now, None)


def test_a_broken_file_is_put_aside_with_the_next_change(kept: state.State, caplog: pytest.LogCaptureFixture) -> None:
    kept.path.write_bytes(b"{torn")
    assert kept["count"] == 1
    assert kept.path.read_bytes() == b"{torn"
    assert kept.change(count_up) == {"count": 2, "name": "é"}
    assert broken(kept).read_bytes() == b"{torn"
    assert kept.recovered is None
    assert [each.revision for each in kept.history()] == [2, 1]
    [said] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said.startswith(f"The state {kept.path} can't be read (it is torn or was changed by hand): this is the")


def test_the_same_values_heal_a_broken_file(kept: state.State) -> None:
    kept.path.write_bytes(b"")
    kept.set("count", 1)
    assert (kept.recovered, kept.values) == (None, {"count": 1, "name": "é"})


def test_a_missing_file_is_answered_from_the_one_before(kept: state.State) -> None:
    kept.path.unlink()
    assert kept["count"] == 1
    assert "it is missing" in (kept.recovered or "")
    kept.set("count", 5)
    assert (kept.values, kept.recovered, broken(kept).exists()) == ({"count": 5, "name": "é"}, None, False)


def test_a_state_that_is_first_written_just_now_is_not_recovered(
    kept: state.State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is looked for before there is one, and once more when there are both."""
    real, looks = state_files._load, []

    def load(path: Path) -> state_files.Stored | None:
        looks.append(path)
        return None if len(looks) == 1 else real(path)

    monkeypatch.setattr(state_files, "_load", load)
    found = state_files.read(kept.path)
    assert (found.now.values, found.recovered) == ({"count": 2, "name": "é"}, None)


def test_two_broken_files_are_an_error_until_a_reset(kept: state.State) -> None:
    kept.path.write_bytes(b"one")
    backup(kept).write_bytes(b"two")
    for act in (lambda: kept.values, lambda: kept.set("a", 1), kept.rollback, kept.history, lambda: kept.recovered):
        with pytest.raises(errors.NotGood, match="nor can the version before it") as caught:
            act()
        assert "daglab state reset" in (caught.value.hint or "")
    kept.reset()
    assert (kept.values, kept.recovered) == ({}, None)
    assert broken(kept).read_bytes() == b"one"
    assert backup(kept).with_name(f"{backup(kept).name}.broken").read_bytes() == b"two"
    kept.set("a", 1)
    assert [each.values for each in kept.history()] == [{"a": 1}, {}]


@pytest.mark.parametrize(
    "more",
    [{"values": [1]}, {"values": 5}, {"history": None}, {"history": [{}]}, {"revision": "x"}, {"v": None}, {"v": "1"}],
)
def test_a_file_of_somebody_else_with_a_checksum_that_fits(kept: state.State, more: dict[str, Any]) -> None:
    rewrite(kept.path, **more)
    assert kept["count"] == 1
    assert "it is no state" in (kept.recovered or "")


@pytest.mark.parametrize("body", [b"[]", b"{", b"{}", b'{"v":1}', b'{"a":' * 100_000, b"\xff"])
def test_what_is_no_state_with_a_checksum_that_fits(kept: state.State, body: bytes) -> None:
    kept.path.write_bytes(state_files._framed(body))
    assert kept["count"] == 1


def test_a_file_that_is_far_too_large_is_not_read(kept: state.State) -> None:
    with kept.path.open("r+b") as file:
        file.truncate(1 << 40)
    assert kept["count"] == 1
    assert "far too large" in (kept.recovered or "")


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_a_link_or_a_pipe_is_not_followed(kept: state.State, tmp_path: Path, kind: str) -> None:
    mine = tmp_path / "mine.json"
    kept.path.rename(mine)
    text = mine.read_bytes()
    if kind == "link":
        kept.path.symlink_to(mine)
    else:
        os.mkfifo(kept.path)
    assert kept["count"] == 1
    kept.set("count", 5)
    assert (mine.read_bytes(), kept["count"], kept.recovered) == (text, 5, None)


@pytest.mark.parametrize("folder", [".daglab", ".daglab/state"])
def test_a_folder_that_leads_out_of_the_project_is_refused(tmp_path: Path, folder: str) -> None:
    root, outside = tmp_path / "project", tmp_path / "outside"
    (root / folder).parent.mkdir(parents=True)
    outside.mkdir()
    (root / folder).symlink_to(outside)
    kept = manage(root)
    for act in (lambda: kept.values, lambda: kept.set("a", 1), kept.reset):
        with pytest.raises(errors.InvalidInput, match="leads out of the project"):
            act()
    assert list(outside.iterdir()) == []


# --- what can't be written


@pytest.mark.parametrize("call", ["fsync", "link", "replace"])
def test_a_full_disk_leaves_the_old_state(kept: state.State, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(errors.InvalidInput, match="No space left on device"):
            kept.change(count_up)
    assert (kept["count"], kept.recovered) == (2, None)
    assert ".new" not in beside(kept)
    kept.change(count_up)
    assert kept["count"] == 3


def test_a_disk_that_takes_only_a_part_leaves_the_old_state(kept: state.State, tmp_path: Path) -> None:
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    state.manage(root, sys.argv[2]).set("text", "x" * 5000)
except errors.InvalidInput as error:
    print(error.message)
"""
    done = subprocess.run(python(code, tmp_path, NOTEBOOK), capture_output=True, text=True, check=True)
    assert "can't be written: File too large" in done.stdout
    assert (kept.values, kept.recovered, beside(kept)) == ({"count": 2, "name": "é"}, None, ["", ".bak", ".lock"])


def test_a_read_only_folder_can_be_read() -> None:
    root = Path(tempfile.mkdtemp())
    try:
        kept = manage(root)
        kept.set("count", 1)
        for entry in kept.path.parent.iterdir():
            entry.chmod(0o444)
        for folder in (kept.path.parent, kept.path.parent.parent):
            folder.chmod(0o555)
        root.chmod(0o755)
        code = """
if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)
kept = state.manage(root, sys.argv[2])
print(kept.values)
try:
    kept.set("count", 2)
except errors.InvalidInput as error:
    print(error.message, error.hint)
"""
        done = subprocess.run(python(code, root, NOTEBOOK), capture_output=True, text=True, check=True)
        first, second = done.stdout.splitlines()
        assert first == "{'count': 1}"
        assert "can't be written: Permission denied" in second
        assert kept.values == {"count": 1}
    finally:
        for folder in (root / ".daglab", root / ".daglab" / "state"):
            folder.chmod(0o755)
        shutil.rmtree(root)


def test_a_state_that_may_not_be_read_is_not_taken_for_broken(
    kept: state.State, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(state_files.files, "read_own", refuse)
    with pytest.raises(errors.InvalidInput, match="can't be read: Permission denied"):
        kept.values  # noqa: B018


def test_what_is_not_json_is_refused_and_nothing_written(kept: state.State) -> None:
    before = kept.path.read_bytes()
    for bad in ({1}, (1,), float("nan"), {"rows": [1, {2: 3}]}):
        with pytest.raises(errors.InvalidInput, match=r"^values\.day"):
            kept.set("day", bad)
    with pytest.raises(errors.InvalidInput, match=r"^values: a list"):
        kept.change(lambda _: [])  # type: ignore[arg-type, return-value]
    with pytest.raises(errors.InvalidInput, match=r"^defaults\.day: a set"):
        manage(kept.path.parents[2], defaults={"day": {1}})
    assert kept.path.read_bytes() == before


def test_a_large_state_is_refused(kept: state.State) -> None:
    kept.set("text", "x" * (state_files.LARGEST_VALUES - 100))
    with pytest.raises(errors.InvalidInput, match=r"would be 1\.1 MB; no more than 1 MB is kept"):
        kept.set("more", "é" * 50_000)
    assert list(kept) == ["count", "name", "text"]


def test_what_fails_inside_a_change_changes_nothing(kept: state.State) -> None:
    def fail(values: dict[str, Any]) -> None:
        values["count"] = 99
        raise OSError("mine")

    with pytest.raises(OSError, match="mine"):
        kept.change(fail)
    assert kept.values == {"count": 2, "name": "é"}
    kept.change(count_up)


def test_a_change_within_a_change_is_refused_at_once(kept: state.State) -> None:
    with pytest.raises(errors.InvalidInput, match="while a change of it is under way"):
        kept.change(lambda _: kept.set("a", 1))
    other = state.manage(kept.path.parents[2], "other.py")
    kept.change(lambda values: values.update(other=other.change(lambda more: more.update(a=1))))
    assert kept["other"] == {"a": 1}


# --- history


def test_history_is_capped_in_number(tmp_path: Path) -> None:
    kept = manage(tmp_path)
    for number in range(30):
        kept.set("number", number)
    assert [each.revision for each in kept.history()] == list(range(30, 9, -1))
    assert [each.values["number"] for each in kept.history()] == list(range(29, 8, -1))


def test_history_is_capped_in_size(tmp_path: Path) -> None:
    kept = manage(tmp_path)
    for number in range(8):
        kept.set("text", f"{number}" * 300_000)
    assert [each.revision for each in kept.history()] == [8, 7, 6, 5]
    kept.set("text", "x" * 1_048_000)
    kept.set("text", "y" * 1_048_000)
    assert [each.revision for each in kept.history()] == [10, 9]
    assert kept.path.stat().st_size < state_files.LARGEST_FILE / 2


def test_rollback_brings_values_back_as_a_new_revision(tmp_path: Path) -> None:
    kept = manage(tmp_path)
    for letter in "abc":
        kept.set("letter", letter)
    assert kept.rollback() == {"letter": "b"}
    assert kept.rollback() == {"letter": "c"}  # it undoes itself
    assert kept.rollback(1) == {"letter": "a"}
    assert [(each.revision, each.values["letter"]) for each in kept.history()] == [
        *((6, "a"), (5, "c"), (4, "b")),
        *((3, "c"), (2, "b"), (1, "a")),
    ]


@pytest.mark.parametrize(("revision", "said"), [(2, "is the one in force"), (3, "no revision 3"), (0, "no revision 0")])
def test_rollback_to_what_is_not_there(kept: state.State, revision: int, said: str) -> None:
    with pytest.raises(errors.InvalidInput, match=said) as caught:
        kept.rollback(revision)
    assert caught.value.hint == "These are kept: 1."


def test_rollback_without_anything_earlier(tmp_path: Path) -> None:
    kept = manage(tmp_path)
    for _ in range(2):
        with pytest.raises(errors.InvalidInput, match="no earlier revision"):
            kept.rollback()
        kept.set("a", 1)


def test_reset_can_be_undone(tmp_path: Path) -> None:
    kept = manage(tmp_path, defaults={"a": 1})
    kept.update(a=2, b=3)
    kept.reset()
    assert kept.values == {"a": 1}
    assert kept.rollback() == {"a": 2, "b": 3}


# --- versions


STEPS: dict[int, state.Step] = {
    1: lambda values: {"total": values["count"], **{name: values[name] for name in values if name != "count"}},
    2: lambda values: values.update(total=values["total"] * 10),
}


def test_migrations_run_in_order_and_are_written_with_the_next_change(kept: state.State, tmp_path: Path) -> None:
    newer = manage(tmp_path, version=3, migrations=STEPS)
    before = kept.path.read_bytes()
    assert newer.values == {"total": 20, "name": "é"}
    assert kept.path.read_bytes() == before
    newer.set("name", "e")
    assert newer.values == {"total": 20, "name": "e"}
    assert [(each.version, each.revision) for each in newer.history()] == [(3, 3), (1, 2), (1, 1)]
    with pytest.raises(errors.InvalidInput, match="has version 3, and the notebook knows 1"):
        kept.values  # noqa: B018
    with pytest.raises(errors.InvalidInput, match="has version 3, and the notebook knows 1"):
        kept.set("a", 1)
    assert newer.values == {"total": 20, "name": "e"}


def test_a_change_that_changes_nothing_writes_the_migrated_values(kept: state.State, tmp_path: Path) -> None:
    newer = manage(tmp_path, version=2, migrations={1: lambda values: values})
    newer.set("count", 2)
    assert [each.version for each in newer.history()] == [2, 1, 1]
    newer.set("count", 2)
    assert len(newer.history()) == 3


def test_a_rollback_over_a_migration_is_migrated_again(kept: state.State, tmp_path: Path) -> None:
    newer = manage(tmp_path, version=3, migrations=STEPS)
    newer.set("name", "e")
    assert newer.rollback(1) == {"total": 10, "name": "é"} == newer.values
    assert [each.version for each in newer.history()] == [1, 3, 1, 1]
    assert kept["count"] == 1


def test_a_migration_that_is_missing(kept: state.State, tmp_path: Path) -> None:
    before = kept.path.read_bytes()
    newer = manage(tmp_path, version=3, migrations={1: STEPS[1]})
    for act in (lambda: newer.values, lambda: newer.set("a", 1), newer.rollback):
        with pytest.raises(errors.InvalidInput, match="needs a migration from version 2 to 3"):
            act()
    assert kept.path.read_bytes() == before


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda values: values["missing"], "KeyError: 'missing'"),
        (lambda values: {"rows": [{1}]}, r"values\.rows\[0\]: a set is no JSON value"),
        (lambda values: [1], "values: a list is no object with names"),
        (lambda values: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_migration_that_fails(kept: state.State, tmp_path: Path, step: Callable[..., Any], said: str) -> None:
    before = kept.path.read_bytes()
    newer = manage(tmp_path, version=2, migrations={1: step})
    for act in (lambda: newer.values, lambda: newer.set("a", 1), newer.rollback):
        with pytest.raises(errors.NotGood, match=f"from version 1 to 2 failed: {said}") as caught:
            act()
        assert "daglab state rollback" in (caught.value.hint or "")
        assert caught.value.__cause__ is not None
    assert kept.path.read_bytes() == before


def test_an_empty_state_has_nothing_to_migrate(kept: state.State, tmp_path: Path) -> None:
    """As `daglab state reset` leaves it, which knows no versions."""
    state_files.reset(kept.path, NOTEBOOK)
    newer = manage(tmp_path, version=3, migrations=STEPS, defaults={"total": 0})
    assert newer.values == {"total": 0}
    newer.reset()
    assert kept.values == {}


@pytest.mark.parametrize("version", [0, -1, True, "2", 1.5])
def test_what_is_no_version(tmp_path: Path, version: Any) -> None:
    with pytest.raises(errors.InvalidInput, match="is no version of a state"):
        manage(tmp_path, version=version)


# --- the check


def positive(values: dict[str, Any]) -> str | None:
    return None if values.get("count", 0) >= 0 else f"count is {values['count']}."


def raises(values: dict[str, Any]) -> None:
    if positive(values):
        raise ValueError("count is -1")


CHECKS = [(positive, "count is -1"), (raises, "ValueError: count is -1"), (lambda v: not positive(v), "the check says")]


@pytest.mark.parametrize(("check", "said"), CHECKS)
def test_what_is_not_valid_is_not_written(kept: state.State, tmp_path: Path, check: state.Check, said: str) -> None:
    strict = manage(tmp_path, validate=check, defaults={"other": 1})
    before = kept.path.read_bytes()
    for act in (lambda: strict.set("count", -1), lambda: strict.change(lambda values: values.update(count=-1))):
        with pytest.raises(errors.InvalidInput, match=f"would not be valid: {said}"):
            act()
    assert kept.path.read_bytes() == before
    strict.set("count", 3)
    assert strict.values == {"count": 3, "name": "é", "other": 1}


@pytest.mark.parametrize(("check", "said"), CHECKS)
def test_stored_values_that_are_not_valid(kept: state.State, tmp_path: Path, check: state.Check, said: str) -> None:
    kept.set("count", -1)
    strict = manage(tmp_path, validate=check)
    with pytest.raises(errors.NotGood, match=f"in revision 3 is not valid: {said}") as caught:
        strict.values  # noqa: B018
    assert f"daglab state rollback {NOTEBOOK}" in (caught.value.hint or "")
    assert strict.rollback() == {"count": 2, "name": "é"}
    with pytest.raises(errors.NotGood, match="is not valid"):
        strict.rollback()
    assert strict["count"] == 2


def test_a_change_can_mend_what_is_not_valid(kept: state.State, tmp_path: Path) -> None:
    kept.set("count", -1)
    strict = manage(tmp_path, validate=positive)
    strict.set("count", 1)
    assert strict["count"] == 1


def test_the_check_can_change_nothing(kept: state.State, tmp_path: Path) -> None:
    meddling = manage(tmp_path, validate=lambda values: values.clear(), defaults={"rows": [1]})
    meddling.set("a", 1)
    assert meddling.values == {"count": 2, "name": "é", "a": 1, "rows": [1]}


# --- several at once


def python(code: str, *arguments: object) -> list[str]:
    head = "import os, sys\nfrom pathlib import Path\nfrom daglab import errors, state\nroot = Path(sys.argv[1])\n"
    return [sys.executable, "-c", head + code, *map(str, arguments)]


def test_two_kernels_that_change_1000_times_each_lose_nothing(tmp_path: Path) -> None:
    code = """
kept = state.manage(root, sys.argv[2], defaults={"count": 0})
def count_up(values):
    values["count"] += 1
print("ready", flush=True)
sys.stdin.readline()
for _ in range(1000):
    kept.change(count_up)
"""
    command = python(code, tmp_path, NOTEBOOK)
    kernels = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for kernel in kernels:
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == b"ready\n"
    for kernel in kernels:
        assert kernel.stdin is not None
        kernel.stdin.write(b"go\n")
        kernel.stdin.flush()
    for kernel in kernels:
        kernel.communicate(timeout=120)
    kept = manage(tmp_path)
    assert [kernel.returncode for kernel in kernels] == [0, 0]
    assert (kept["count"], kept.history()[0].revision, beside(kept)) == (2000, 2000, ["", ".bak", ".lock"])


def test_threads_lose_nothing_and_readers_see_whole_states(tmp_path: Path) -> None:
    kept, done, seen = manage(tmp_path, defaults={"count": 0}), threading.Event(), [0]

    def read() -> None:
        while not done.is_set():
            assert kept.recovered is None
            seen.append(kept["count"])

    def write() -> None:
        for _ in range(100):
            kept.change(count_up)

    reader, writers = threading.Thread(target=read), [threading.Thread(target=write) for _ in range(3)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert kept["count"] == 300
    assert seen == sorted(seen)


# --- kills

# Each line on stdin begins one more process, which counts until it is killed: with a number, at its so many-th call of
# the system. A fork takes a hundredth of the time that Python needs to start.
NURSERY = """
import signal
def kill_at(step):
    left = [step]
    def counted(call):
        def made(*arguments, **more):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **more)
        return made
    for name in ("open", "fsync", "link", "replace", "unlink", "close"):
        setattr(os, name, counted(getattr(os, name)))
def count(step):
    kept = state.manage(root, sys.argv[2], defaults={"count": 0})
    if step:
        kill_at(step)
    while True:
        values = kept.change(lambda values: {"count": values["count"] + 1, "pad": "x" * 50_000})
        os.write(1, b"%d\\n" % values["count"])
for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            count(int(line))
        finally:
            os._exit(1)
    os.write(1, b"pid %d\\n" % child)
    os.write(1, b"ended %d\\n" % os.waitpid(child, 0)[1])
"""


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = python(NURSERY, tmp_path, NOTEBOOK)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as process:
        yield process
        os.killpg(process.pid, signal.SIGKILL)  # and what still counts, should a test have broken off


def lives(nursery: subprocess.Popen[str], *, step: int = 0, updates: int = 0, delay: float = 0) -> int:
    """Have one process count until it is killed; the last count that it has told, 0 for none.

    Without a `step`, it is killed a `delay` in seconds after it has told so many `updates`.
    """
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    nursery.stdin.write(f"{step}\n")
    nursery.stdin.flush()
    pid, told, last, is_killed = 0, 0, 0, bool(step)
    for line in nursery.stdout:
        if line.startswith("ended"):
            assert line == f"ended {signal.SIGKILL}\n"
            return last
        if line.startswith("pid"):
            pid = int(line.split()[1])
        else:
            last, told = int(line), told + 1
        if pid and told >= updates and not is_killed:
            time.sleep(delay)  # any moment of an update will do
            os.kill(pid, signal.SIGKILL)
            is_killed = True
    raise AssertionError("the nursery is gone")


@pytest.mark.slow
def test_200_random_kills_lose_nothing_that_was_told(nursery: subprocess.Popen[str], tmp_path: Path) -> None:
    chance, kept, last = random.Random(), manage(tmp_path, defaults={"count": 0}), 0
    for _ in range(200):
        told = lives(nursery, updates=chance.randrange(3), delay=chance.uniform(0, 0.03))
        last, before = kept["count"], max(told, last)
        assert last in (before, before + 1)
        assert (kept.recovered, kept.history()[0].revision if last else 0) == (None, last)
    assert last > 100
    kept.change(count_up)
    assert beside(kept) == ["", ".bak", ".lock"]


@pytest.mark.long
def test_a_kill_at_each_step_of_an_update(nursery: subprocess.Popen[str], tmp_path: Path) -> None:
    kept, count, left = manage(tmp_path, defaults={"count": 0}), 0, set()
    for step in range(1, 61):
        told = lives(nursery, step=step)
        count, before = kept["count"], max(told, count)
        assert count in (before, before + 1)
        assert (kept.recovered, kept.history()[0].revision if count else 0) == (None, count)
        left |= {*beside(kept)} if count else set()
        if count:
            count = kept.change(count_up)["count"]
            assert set(beside(kept)) <= {"", ".bak", ".lock"}
    assert ".new" in left  # so that something was there to be cleared away
