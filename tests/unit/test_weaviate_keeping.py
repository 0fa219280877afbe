"""Collections kept in files and brought back, over servers in memory: killed at any request, and what goes wrong."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, files
from daglab.weaviate import batches, cursors, rest, transfers
from daglab.weaviate.keeping import archive_lines, archives, revivals
from tests.weaviate_in_memory import Killed, Refusal, Server

Sides = tuple[transfers.Side, transfers.Side]
STATES = {"a": "ACTIVE", "b": "INACTIVE"}
PLAIN_AND_TENANTS = pytest.mark.parametrize("states", [None, STATES], ids=["plain", "tenants"])
BESIDE = (("GET", "nodes"), ("GET", "schema"), ("POST", "graphql"))  # go out several at a time
pytestmark = pytest.mark.usefixtures("few_at_a_time")


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and portions are small, so that there are several of each."""
    monkeypatch.setattr(cursors, "FIRST_PAGE", 2)
    monkeypatch.setattr(cursors, "MOST", 2)
    monkeypatch.setattr(revivals, "PORTION", 2)
    monkeypatch.setattr(transfers, "MOST_REFERENCES", 2)


def fill(server: Server, states: dict[str, str] | None = None, many: int = 5, **more: Any) -> None:
    """Docs; each object but the first refers to the one before."""
    server.make("Docs", states, **more)
    for tenant in states or [None]:  # type: ignore[list-item]
        for number in range(1, many + 1):
            server.put("Docs", number, tenant, of=number - 1 if number > 1 else None, text=f"text {number}")


def write(side: transfers.Side, path: Path, **more: Any) -> archives.Written:
    return archives.write(side.cluster, "Docs", path, root=path.parent, **more)


def restore(side: transfers.Side, path: Path, name: str | None = None) -> revivals.Outcome:
    plan = revivals.planned(path, name)
    return revivals.restore(side.cluster, plan, batches.pace(1, 10), root=path.parent, tell=lambda *_: None)


def at(number: int) -> Callable[[str, str], None]:
    """Killed at the request of this number, but for those `BESIDE` others."""
    left = [number]

    def on(method: str, path: str) -> None:
        left[0] -= (method, path) not in BESIDE
        if left[0] == 0:
            raise Killed

    return on


def once(wanted: str, do: Callable[[], Any]) -> Callable[[str, str], None]:
    """Does something at the first request that begins so: `"GET objects"`."""
    done: list[str] = []

    def on(method: str, path: str) -> None:
        if f"{method} {path}".startswith(wanted) and not done:
            done.append(path)
            do()

    return on


def ids(path: Path) -> list[tuple[str | None, int]]:
    """The tenant and the number of each object of a file."""
    return [(each.get("tenant"), int(str(each["id"]).replace("-", ""), 16)) for each, _ in archive_lines.found_in(path)]


@PLAIN_AND_TENANTS
def test_what_is_kept_comes_back(servers: list[Server], sides: Sides, tmp_path: Path, states: Any) -> None:
    fill(servers[0], states)
    before = servers[0].contents("Docs")
    kept = write(sides[0], tmp_path / "docs.gz")
    found = restore(sides[1], kept.path)
    assert servers[1].contents("Docs") == before
    assert servers[0].contents("Docs") == before
    assert [each.there["Docs"].tenants for each in servers] == [states or {}, states or {}]
    many = len(states or [None])
    assert (kept.objects, kept.tenants, kept.changed, kept.resumed) == (5 * many, states and 2, (), False)
    assert kept.bytes == kept.path.stat().st_size
    assert (found.objects, found.references, found.is_good, found.settings) == (5 * many, 4 * many, True, [])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["docs.gz"]
    document = archives.document(kept)
    assert document["file"] == str(kept.path)
    assert document["changed_meanwhile"] == []


@PLAIN_AND_TENANTS
def test_one_that_is_killed_at_any_request_goes_on(
    servers: list[Server], sides: Sides, tmp_path: Path, states: Any
) -> None:
    """Killed again and again, one request further each time; in the end nothing is there twice, and none is lost."""
    fill(servers[0], states)
    before, path = servers[0].contents("Docs"), tmp_path / "docs.gz"
    works: list[Callable[[], Any]] = [lambda: write(sides[0], path), lambda: restore(sides[1], path)]
    for server, work in zip(servers, works, strict=True):
        killed = 0
        while True:
            server.on = at(killed + 1)
            try:
                found = work()
                break
            except Killed:
                killed += 1
        assert killed > 3
        assert found.resumed
        server.on = lambda *_: None
    assert len(ids(path)) == len(set(ids(path))) == 5 * len(states or [None])
    assert servers[1].contents("Docs") == before
    assert [each.there["Docs"].tenants for each in servers] == [states or {}, states or {}]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["docs.gz"]


def test_a_backup_tells_what_others_have_changed(servers: list[Server], sides: Sides, tmp_path: Path) -> None:
    fill(servers[0], STATES)
    there = servers[0].there["Docs"]

    def change() -> None:
        servers[0].put("Docs", 9, "a")
        there.schema["properties"].append({"name": "new", "dataType": ["text"]})
        there.tenants["c"] = "ACTIVE"

    servers[0].on = once("GET objects", change)
    kept = write(sides[0], tmp_path / "docs.gz")
    assert kept.changed == (
        "the tenant a had 5 objects, then 6; 6 are in the file",
        "the schema of Docs was changed; the file has it as it was before",
        "the tenant c was made, and is not in the file",
    )


def test_a_tenant_that_is_deleted_meanwhile_is_told(servers: list[Server], sides: Sides, tmp_path: Path) -> None:
    fill(servers[0], {"a": "ACTIVE", "b": "ACTIVE"})

    def delete() -> None:
        del servers[0].there["Docs"].tenants["b"]

    servers[0].on = once("GET objects", delete)
    kept = write(sides[0], tmp_path / "docs.gz")
    assert kept.changed == ("the tenant b was deleted; 0 of its objects are in the file",)
    assert [tenant for tenant, _ in ids(kept.path)] == ["a"] * 5


def test_a_file_that_is_there_stays_unless_forced(servers: list[Server], sides: Sides, tmp_path: Path) -> None:
    fill(servers[0])
    path = tmp_path / "docs.gz"
    path.write_text("mine")
    with pytest.raises(errors.Taken, match="is there already"):
        write(sides[0], path)
    assert path.read_text() == "mine"
    assert write(sides[0], path, force=True).objects == 5
    assert len(ids(path)) == 5
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(errors.InvalidInput, match="is not an ordinary file"):
        write(sides[0], tmp_path / "pipe", force=True)


def test_a_file_that_comes_meanwhile_stays(servers: list[Server], sides: Sides, tmp_path: Path) -> None:
    """What was written is kept beside it, and takes its place when that is asked for."""
    fill(servers[0])
    path = tmp_path / "docs.gz"
    servers[0].on = once("GET objects", lambda: path.write_text("another's"))
    with pytest.raises(errors.Taken, match="is there already"):
        write(sides[0], path)
    assert path.read_text() == "another's"
    found = write(sides[0], path, force=True)
    assert (found.resumed, found.objects, len(ids(path))) == (True, 5, 5)


def test_in_a_folder_it_has_a_name_of_its_own(servers: list[Server], sides: Sides, tmp_path: Path) -> None:
    fill(servers[0])
    (tmp_path / "kept").mkdir()
    found = write(sides[0], tmp_path / "kept")
    assert found.path.parent == tmp_path / "kept"
    assert found.path.name.startswith("Docs-20")
    assert found.path.name.endswith(".jsonl.gz")


def test_nobody_else_writes_the_same_part(servers: list[Server], sides: Sides, tmp_path: Path) -> None:
    fill(servers[0])
    descriptor = os.open(tmp_path / ".docs.gz.part", os.O_RDWR | os.O_CREAT)
    assert files.try_lock(descriptor)
    with pytest.raises(errors.Taken, match="Somebody else writes"):
        write(sides[0], tmp_path / "docs.gz")
    os.close(descriptor)
    assert write(sides[0], tmp_path / "docs.gz").objects == 5


def killed_in_the_middle(servers: list[Server], side: transfers.Side, path: Path) -> Path:
    """The part of a backup that was killed."""
    pages = []

    def on(method: str, path: str) -> None:
        pages.append(path)
        if pages.count("objects") == 3:
            raise Killed

    servers[0].on = on
    with pytest.raises(Killed):
        write(side, path)
    servers[0].on = lambda *_: None
    part = path.with_name(f".{path.name}.part")
    assert part.stat().st_size > 100
    return part


def test_a_part_that_has_lost_bytes_is_begun_anew(servers: list[Server], sides: Sides, tmp_path: Path) -> None:
    """A machine that crashed may not have written to its disk what the journal says."""
    fill(servers[0])
    part = killed_in_the_middle(servers, sides[0], tmp_path / "docs.gz")
    os.truncate(part, 10)
    found = write(sides[0], tmp_path / "docs.gz")
    assert (found.resumed, [number for _, number in ids(found.path)]) == (False, [1, 2, 3, 4, 5])


def test_what_was_begun_long_ago_is_begun_anew(
    servers: list[Server], sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(servers[0])
    killed_in_the_middle(servers, sides[0], tmp_path / "docs.gz")
    monkeypatch.setattr(archives, "OLDEST", 0)
    servers[0].put("Docs", 0)
    found = write(sides[0], tmp_path / "docs.gz")
    assert (found.resumed, found.changed, len(ids(found.path))) == (False, (), 6)


def test_a_disk_that_keeps_something_else_is_found_out(servers: list[Server], sides: Sides, tmp_path: Path) -> None:
    """Nothing of it is left to go on with."""
    fill(servers[0])
    part = killed_in_the_middle(servers, sides[0], tmp_path / "docs.gz")
    with part.open("r+b") as file:
        file.seek(40)
        file.write(b"????")
    with pytest.raises(errors.InvalidInput, match="The disk has not kept what was written"):
        write(sides[0], tmp_path / "docs.gz")
    assert list(tmp_path.iterdir()) == []
    assert write(sides[0], tmp_path / "docs.gz").objects == 5


def test_a_full_disk_keeps_what_is_written(
    servers: list[Server], sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(servers[0])
    room = [3]  # members
    real = archives._append

    def append(*arguments: Any) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(*arguments)

    monkeypatch.setattr(archives, "_append", append)
    with pytest.raises(errors.InvalidInput, match="can't be written: No space left on device") as caught:
        write(sides[0], tmp_path / "docs.gz")
    assert "the same command then goes on" in str(caught.value.hint)
    room[0] = 100
    found = write(sides[0], tmp_path / "docs.gz")
    assert (found.resumed, [number for _, number in ids(found.path)]) == (True, [1, 2, 3, 4, 5])


@pytest.mark.parametrize("is_linked", [True, False])
def test_one_killed_while_the_file_gets_its_name(
    servers: list[Server], sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_linked: bool
) -> None:
    """The file has its name beside that of its part, or instead of it; the same command ends what was begun."""
    fill(servers[0])
    path = tmp_path / "docs.gz"

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(*(archives.os, "unlink") if is_linked else (archives.files, "sync_folder"), kill)  # type: ignore[attr-defined]
        with pytest.raises(Killed):
            write(sides[0], path)
    assert len(ids(path)) == 5
    found = write(sides[0], path)
    assert (found.resumed, found.objects, found.path) == (True, 5, path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["docs.gz"]


@pytest.fixture
def kept(servers: list[Server], sides: Sides, tmp_path: Path) -> Path:
    """The file of a collection of five objects."""
    fill(servers[0])
    return write(sides[0], tmp_path / "docs.gz").path


def test_it_comes_back_under_another_name(servers: list[Server], sides: Sides, kept: Path) -> None:
    assert restore(sides[1], kept, "Papers").is_good
    assert list(servers[1].there) == ["Papers"]
    second = servers[1].there["Papers"].objects[None]["00000000-0000-0000-0000-000000000002"]
    assert [each["beacon"].split("/")[-2] for each in second["properties"]["of"]] == ["Papers"]
    with pytest.raises(errors.InvalidInput, match="no name of a collection"):
        revivals.planned(kept, "no name")


def test_what_is_there_is_not_touched(servers: list[Server], sides: Sides, kept: Path) -> None:
    servers[1].make("Docs")
    servers[1].put("Docs", 77)
    with pytest.raises(errors.Taken, match="There is a collection Docs"):
        restore(sides[1], kept)
    assert [len(each) for each in servers[1].there["Docs"].objects.values()] == [1]
    assert not revivals.is_begun(sides[1].cluster, revivals.planned(kept), kept.parent)


def test_one_that_somebody_makes_meanwhile_is_not_touched(servers: list[Server], sides: Sides, kept: Path) -> None:
    servers[1].on = once("POST schema", lambda: servers[1].make("Docs"))
    with pytest.raises(rest.Refused, match="it is there already"):
        restore(sides[1], kept)
    assert servers[1].there["Docs"].objects == {}
    assert not revivals.is_begun(sides[1].cluster, revivals.planned(kept), kept.parent)


def test_one_that_somebody_fills_before_it_goes_on_is_not_touched(
    servers: list[Server], sides: Sides, kept: Path
) -> None:
    def kill() -> None:
        raise Killed

    servers[1].after = once("POST schema", kill)
    with pytest.raises(Killed):
        restore(sides[1], kept)
    assert revivals.is_begun(sides[1].cluster, revivals.planned(kept), kept.parent)
    servers[1].put("Docs", 77)
    with pytest.raises(errors.Taken, match="somebody else has filled it"):
        restore(sides[1], kept)
    assert len(servers[1].there["Docs"].objects[None]) == 1


def test_what_the_server_does_not_take_is_told(servers: list[Server], sides: Sides, kept: Path) -> None:
    servers[1].refuse = lambda found: "too odd" if str(found.get("id", "")).endswith("3") else None
    found = restore(sides[1], kept)
    reasons = [(each.id.split("/")[-1][-1], each.reason) for each in found.failed]
    assert reasons[0] == ("3", "too odd")
    assert (found.objects, found.is_good) == (4, False)
    assert [uuid[-1] for _, uuid in found.difference.missing] == ["3"]


def test_an_object_without_the_vector_that_the_server_would_make_is_not_sent(
    servers: list[Server], sides: Sides, tmp_path: Path
) -> None:
    fill(servers[0], vectorizer="text2vec-any")
    del next(iter(servers[0].there["Docs"].objects[None].values()))["vector"]
    found = restore(sides[1], write(sides[0], tmp_path / "docs.gz").path)
    assert found.failed[0].reason == "it has no vector, and the server would make one"
    assert len(servers[1].there["Docs"].objects[None]) == 4


def test_settings_that_the_server_makes_otherwise_are_told(servers: list[Server], sides: Sides, tmp_path: Path) -> None:
    fill(servers[0], invertedIndexConfig={"bm25": {"b": 0.5}})
    path = write(sides[0], tmp_path / "docs.gz").path

    def alter() -> None:
        schema = servers[1].there["Docs"].schema
        schema["invertedIndexConfig"]["bm25"]["b"] = 0.75
        schema["properties"][0]["tokenization"] = "word"  # added, which is no difference
        schema["properties"][1]["dataType"] = ["text"]

    servers[1].after = once("POST schema", alter)
    assert restore(sides[1], path).settings == ["properties.of.dataType", "invertedIndexConfig.bm25.b"]


def test_a_state_that_the_server_refuses_is_told(servers: list[Server], sides: Sides, tmp_path: Path) -> None:
    fill(servers[0], {"a": "ACTIVE", "b": "OFFLOADED"})
    path = write(sides[0], tmp_path / "docs.gz").path
    changes: list[str] = []

    def on(method: str, path: str) -> None:
        if method == "PUT":
            changes.append(path)
        if len(changes) == most:
            raise Refusal(422, "no module to offload")

    most, servers[1].on = -1, on
    assert restore(sides[1], path).is_good
    assert servers[1].there["Docs"].tenants == {"a": "ACTIVE", "b": "OFFLOADED"}
    del servers[1].there["Docs"]
    most = len(changes)
    changes.clear()
    found = restore(sides[1], path)
    assert list(found.states) == ["b"]
    assert "no module to offload" in found.states["b"]
    assert not found.is_good
    assert found.difference.is_none
