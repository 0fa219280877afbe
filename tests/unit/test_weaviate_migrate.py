"""What changed since a pass, journals of migrations, and what a freeze leaves."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daglab import errors, files, json_lines, progress
from daglab.weaviate import api, batches, journals, rest, store, tenants, transfers
from daglab.weaviate.moving import changes, freezing, passes, relocations


class Sides:
    """Two collections in memory, with the requests that a pass makes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, page: int = 7) -> None:
        self.page, self.now = page, 10_000_000
        self.there: dict[str, dict[str, dict[str, Any]]] = {"A": {}, "B": {}}
        self.refused: set[str] = set()
        self.on_page: Any = lambda: None
        self.vectors_read = 0
        monkeypatch.setattr(changes.cursors, "pages", self._pages)
        monkeypatch.setattr(changes.batches, "write", self._write)
        monkeypatch.setattr(changes.store, "fetch", lambda _, name, uid, **__: self._read(self.there[name].get(uid)))
        monkeypatch.setattr(changes.store, "delete_objects", self._delete)

    def put(self, number: int, text: str = "x") -> None:
        self.now += 1
        uid = str(uuid.UUID(int=number))
        self.there["A"][uid] = {"id": uid, "properties": {"t": text}, "lastUpdateTimeUnix": self.now}

    def drop(self, number: int) -> None:
        del self.there["A"][str(uuid.UUID(int=number))]

    def way(self, folder: Path) -> changes.Way:
        sides = (transfers.Side(None, name) for name in ("A", "B"))  # type: ignore[arg-type]
        return changes.Way(*sides, folder, batches.pace(1, 10), {}, [], lambda _: None)

    def follow(self, folder: Path) -> changes.Changes:
        found = changes.Changes()
        changes.follow(self.way(folder), None, found)
        return found

    @property
    def same(self) -> bool:
        ours, theirs = ({uid: each["properties"] for uid, each in self.there[name].items()} for name in "AB")
        return ours == theirs

    def later(self) -> None:
        """So much later that each time is sure."""
        self.now += 60_000

    def _read(self, found: Any) -> Any:
        self.vectors_read += found is not None
        return found

    def _pages(self, _: Any, name: str, *, tenant: Any, after: str, vectors: bool) -> Any:
        while True:
            listed = sorted(uid for uid in self.there[name] if uid > after)[: self.page]
            if not listed:
                return
            found = [dict(self.there[name][uid]) for uid in listed]
            self.vectors_read += len(found) * vectors
            after = listed[-1]
            page = store.Page(found, 1, self.now / 1000)
            self.on_page()
            yield page

    def _write(self, _: Any, sent: Any, __: Any) -> list[batches.Failure]:
        for each in sent:
            if each["id"] not in self.refused:
                self.there["B"][each["id"]] = each
        return [batches.Failure(each["id"], "no") for each in sent if each["id"] in self.refused]

    def _delete(self, _: Any, name: str, ids: list[str], *, tenant: Any) -> int:
        assert len(ids) <= changes.MOST_DELETED
        for uid in ids:
            self.there[name].pop(uid, None)
        return len(ids)


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> Sides:
    return Sides(monkeypatch)


def test_only_what_changed_is_copied_in_the_next_pass(sides: Sides, tmp_path: Path) -> None:
    for number in range(1, 40):
        sides.put(number)
    sides.later()
    assert sides.follow(tmp_path).new == 39
    sides.put(5, "changed")
    sides.put(100)
    sides.put(0)
    sides.drop(7)
    sides.drop(39)
    sides.later()
    sides.vectors_read = 0
    found = sides.follow(tmp_path)
    assert (found.new, found.changed, found.deleted, found.again) == (2, 1, 2, 0)
    assert sides.vectors_read == 3
    assert sides.same
    assert sides.follow(tmp_path).found == 0


def test_what_was_just_updated_is_copied_again(sides: Sides, tmp_path: Path) -> None:
    sides.put(1, "first")
    sides.follow(tmp_path)
    uid = str(uuid.UUID(int=1))
    sides.there["A"][uid] = {**sides.there["A"][uid], "properties": {"t": "second"}}  # in the same millisecond
    sides.later()
    found = sides.follow(tmp_path)
    assert (found.again, found.changed) == (1, 0)
    assert sides.same


@pytest.mark.parametrize("at", range(6))
def test_a_killed_pass_goes_on(sides: Sides, tmp_path: Path, at: int) -> None:
    for number in range(1, 30):
        sides.put(number)
    sides.later()
    if at % 2:
        sides.follow(tmp_path)
        for number in range(1, 30, 3):
            sides.drop(number)
            sides.put(number + 1, "new")
    pages = 0

    def kill() -> None:
        nonlocal pages
        pages += 1
        if pages == at // 2 + 1:
            raise KeyboardInterrupt

    sides.on_page = kill
    with pytest.raises(KeyboardInterrupt):
        sides.follow(tmp_path)
    sides.on_page = lambda: None
    sides.drop(3 if at % 2 else 2)  # it was written already, and is gone before the next pass
    sides.later()
    sides.follow(tmp_path)
    assert sides.same
    assert not list(tmp_path.glob("*.part"))


def test_what_was_being_written_when_it_was_killed_is_deleted_when_it_goes(
    sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides.put(1)
    write = sides._write

    def killed(*given: Any) -> Any:
        write(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(changes.batches, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        sides.follow(tmp_path)
    monkeypatch.setattr(changes.batches, "write", write)
    sides.drop(1)
    sides.follow(tmp_path)
    assert sides.there["B"] == {}


def test_what_was_not_yet_written_when_it_was_killed_is_written_after(
    sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    sides.put(1)
    sides.later()
    monkeypatch.setattr(changes.batches, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        sides.follow(tmp_path)
    monkeypatch.setattr(changes.batches, "write", sides._write)
    sides.follow(tmp_path)
    assert sides.same
    assert sides.there["B"]


def test_a_torn_record_is_left_out(sides: Sides, tmp_path: Path) -> None:
    for number in range(1, 10):
        sides.put(number)
    sides.later()
    sides.follow(tmp_path)
    path = changes.known(tmp_path, None)
    path.rename(path.with_suffix(".part"))
    with path.with_suffix(".part").open("ab") as file:
        file.write(b"torn")
    assert sides.follow(tmp_path).found == 0
    assert path.stat().st_size == 9 * changes.RECORD.size


def test_what_is_refused_is_tried_in_each_pass_and_counted(sides: Sides, tmp_path: Path) -> None:
    sides.put(1)
    sides.put(2)
    sides.refused = {str(uuid.UUID(int=2))}
    sides.later()
    for _ in range(2):
        found = sides.follow(tmp_path)
        assert [each.id for each in found.failed] == list(sides.refused)
    sides.refused = set()
    assert sides.follow(tmp_path).failures == 0
    assert sides.same


def test_of_references_that_a_read_only_shard_refuses_none_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"result": {"status": "FAILED", "errors": {"error": [{"message": "store is read-only due to: disk"}]}}}
    results = [{"result": {"status": "SUCCESS"}}, said, {"result": {}}]
    answer = SimpleNamespace(content=json.dumps(results).encode())
    monkeypatch.setattr(rest, "answer", lambda *_, **__: answer)
    assert store.put_references(None, []) == ["store is read-only due to: disk"] * 3  # type: ignore[arg-type]


def test_a_source_that_was_left_read_only_is_named(tmp_path: Path) -> None:
    work = {"kind": "migrate", "collection": "Docs", "source": "http://a", "target": "http://b", "as": "Docs"}
    with journals.opened(tmp_path, work) as journal:
        assert not journals.unfinished(tmp_path)[0]["frozen"]
        journal.note("frozen", shards={"s1": "READY", "s2": "READONLY"})
        [found] = journals.unfinished(tmp_path)
        assert (found["collection"], found["source"], found["frozen"], found["running"]) == (
            "Docs",
            "http://a",
            True,
            True,
        )
    [line] = journals.unfinished(tmp_path, "migrate")
    assert (line["frozen"], line["running"], line["stage"]) == (True, False, "frozen")
    assert journals.unfinished(tmp_path, "copy") == []
    with journals.opened(tmp_path, work) as journal:
        journal.note("thawed")
    assert journals.unfinished(tmp_path)[0]["frozen"] is False
    with journals.opened(tmp_path, work) as journal:
        journals.finish(journal)
    assert not (tmp_path / ".daglab").exists()


def test_a_migration_is_not_begun_twice(tmp_path: Path) -> None:
    work = {"kind": "migrate", "collection": "Docs"}
    with journals.opened(tmp_path, work), pytest.raises(files.errors.Taken), journals.opened(tmp_path, work):
        pass
    with pytest.raises(files.errors.Taken, match="did not end"):
        journals.refuse_unfinished(tmp_path, work, "--resume")


class Nodes:
    """Two nodes that have both shards of a collection; the second one does what it is told some looks later."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lag: int = 3) -> None:
        self.lag, self.looks = lag, 0
        self.told: list[tuple[str, str]] = []
        self.first = {"s1": "READY", "s2": "READY"}
        self.second = dict(self.first)
        self.coming: list[tuple[int, str, str]] = []
        self.lost: set[str] = set()
        self.ill: range = range(0)  # the looks at which the nodes are
        schema = {"class": "A", "shardingConfig": {"actualCount": 2}, "replicationConfig": {"factor": 2}}
        monkeypatch.setattr(api, "schema", lambda *_: schema)
        monkeypatch.setattr(api, "exists", lambda *_: True)
        monkeypatch.setattr(api, "nodes", self._nodes)
        monkeypatch.setattr(api, "set_shard_status", self._set)
        monkeypatch.setattr(freezing, "LOOK_SECONDS", 0)
        monkeypatch.setattr(freezing, "SETTLING", 0)

    side = transfers.Side(SimpleNamespace(name="main"), "A")  # type: ignore[arg-type]

    def health(self) -> str:
        return "UNHEALTHY" if self.looks in self.ill else "HEALTHY"

    def _set(self, _: Any, __: str, shard: str, status: str) -> None:
        self.told.append((shard, status))
        self.first[shard] = status
        self.coming.append((self.looks + self.lag, shard, status))

    def _nodes(self, *_: Any) -> list[api.Node]:
        self.looks += 1
        for at, shard, status in self.coming:
            if at <= self.looks:
                self.second[shard] = status
        self.coming = [each for each in self.coming if each[0] > self.looks]
        return [
            api.Node(name, self.health(), None, tuple(replica(each, name, status) for each, status in there.items()))
            for name, there in (("n1", self.first), ("n2", self.second))
            if name not in self.lost
        ]


def replica(name: str, node: str, status: str) -> api.Shard:
    return api.Shard("A", name, node, 1, True, status, None, None)


def test_a_freeze_waits_for_each_replica_and_so_does_the_thaw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nodes = Nodes(monkeypatch)
    with journals.opened(tmp_path, {"kind": "migrate", "collection": "A"}) as journal:
        assert freezing.freeze(journal, nodes.side) == {"s1": "READY", "s2": "READY"}
        assert nodes.second == {"s1": "READONLY", "s2": "READONLY"}
        assert freezing.is_whole(nodes.side, {})
        freezing.thaw(journal, nodes.side)
        assert nodes.second == nodes.first == {"s1": "READY", "s2": "READY"}
        assert not journals.is_frozen(journal.lines)


def test_what_a_killed_freeze_has_told_only_some_nodes_is_thawed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nodes = Nodes(monkeypatch)
    nodes.first["s1"] = nodes.second["s1"] = "READONLY"  # by somebody else
    with journals.opened(tmp_path, {"kind": "migrate", "collection": "A"}) as journal:
        monkeypatch.setattr(freezing, "LONGEST", -1.0)
        nodes.lag = 10
        with pytest.raises(errors.TimedOut):
            freezing.freeze(journal, nodes.side)
        monkeypatch.setattr(freezing, "LONGEST", 60.0)
        freezing.thaw(journal, nodes.side)
        while nodes.coming:
            nodes._nodes()
        assert nodes.first == nodes.second == {"s1": "READONLY", "s2": "READY"}
        assert ("s1", "READY") not in nodes.told


def test_a_node_that_is_gone_can_not_be_frozen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nodes = Nodes(monkeypatch)
    with journals.opened(tmp_path, {"kind": "migrate", "collection": "A"}) as journal:
        freezing.freeze(journal, nodes.side)
        nodes.lost = {"n2"}
        assert not freezing.is_whole(nodes.side, {})
        with pytest.raises(rest.Failed, match="Not all replicas"):
            freezing.freeze(journal, nodes.side)
        freezing.thaw(journal, nodes.side)
        assert nodes.first == {"s1": "READY", "s2": "READY"}


def test_a_node_that_is_ill_for_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nodes = Nodes(monkeypatch)
    with journals.opened(tmp_path, {"kind": "migrate", "collection": "A"}) as journal:
        nodes.ill = range(1, 100)
        with pytest.raises(rest.Failed, match="n1 of main is UNHEALTHY"):
            freezing.freeze(journal, nodes.side)
        assert not nodes.told
        nodes.looks = 0
        monkeypatch.setattr(freezing, "SETTLING", 60)
        assert freezing.freeze(journal, nodes.side) == {"s1": "READY", "s2": "READY"}


def test_a_target_that_the_journal_did_not_make_is_not_deleted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deleted: list[str] = []
    there = [api.Node("n1", "HEALTHY", None, (replica("s1", "n1", "READY"),))]
    monkeypatch.setattr(api, "exists", lambda *_: True)
    monkeypatch.setattr(api, "delete", lambda _, name: deleted.append(name))
    monkeypatch.setattr(api, "schema", lambda *_: {"class": "B"})
    monkeypatch.setattr(api, "nodes", lambda *_: there)
    monkeypatch.setattr(relocations.passes, "restore", lambda _: None)
    for lines, counted, own in (
        ([], (0, {}), False),
        (["making"], (0, {}), True),
        (["making"], (5, {}), None),
        (["making"], (0, {"a": "INACTIVE"}), None),  # tenants that are not active may have objects
        (["making", "refused"], (0, {}), False),
        (["making", "refused", "making"], (0, {}), True),
        (["making", ("made", ["s1"])], (5, {}), True),
        (["making", ("made", ["s9"])], (5, {}), None),  # it was deleted, and made anew by somebody else
    ):
        monkeypatch.setattr(tenants, "counted", lambda *_, counted=counted: counted)
        with journals.opened(tmp_path, {"kind": "migrate", "collection": "A"}) as journal:
            for each in lines:
                stage, shards = (each, []) if isinstance(each, str) else each
                journal.note(stage, shards=shards)
            side = transfers.Side(SimpleNamespace(name="other"), "B")  # type: ignore[arg-type]
            move: Any = SimpleNamespace(source=side, target=side, journal=journal, alias=None)
            if own is None:
                with pytest.raises(errors.Taken, match="ours"):
                    relocations.abort(move)
                journals.finish(journal)
            else:
                assert relocations.abort(move) is own
        assert deleted == (["B"] if own else []), lines
        deleted.clear()


@pytest.mark.parametrize("asked", ["Docs", "Other", None])
def test_a_target_that_the_alias_leads_to_is_not_deleted_whatever_alias_is_asked_for(
    asked: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    restored: list[object] = []
    monkeypatch.setattr(api, "aliases", lambda *_: {"Docs": "B"})
    monkeypatch.setattr(api, "delete", lambda *_: pytest.fail("deleted"))
    monkeypatch.setattr(relocations.passes, "restore", restored.append)
    side = transfers.Side(SimpleNamespace(name="other"), "B")  # type: ignore[arg-type]
    with journals.opened(tmp_path, {"kind": "migrate", "collection": "A"}) as journal:
        journal.note("switching", alias="Docs")
        move: Any = SimpleNamespace(target=side, source=side, journal=journal, alias=asked)
        with pytest.raises(errors.Taken, match="Docs leads to B"):
            relocations.abort(move)
    assert restored == [move]


def test_a_source_is_thawed_though_the_target_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def gone(*_: Any) -> dict[str, str]:
        raise errors.Unreachable("gone")

    restored: list[object] = []
    monkeypatch.setattr(api, "aliases", gone)
    monkeypatch.setattr(relocations.passes, "restore", restored.append)
    side = transfers.Side(SimpleNamespace(name="other"), "B")  # type: ignore[arg-type]
    with journals.opened(tmp_path, {"kind": "migrate", "collection": "A"}) as journal:
        journal.note("switching", alias="Docs")
        move: Any = SimpleNamespace(target=side, source=side, journal=journal, alias="Docs")
        for work in (relocations.run, relocations.abort):
            with pytest.raises(errors.Unreachable):
                work(move)
            assert restored.pop() is move


@pytest.mark.parametrize("strategy", [passes.ONLINE, passes.OFFLINE])
def test_tenants_that_a_killed_try_has_activated_are_put_back_before_their_states_are_read(
    strategy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []
    for name in ("_make", "_pass_until_few", "_freeze", "_last", "_finish_target", "_switch"):
        monkeypatch.setattr(relocations, name, lambda _, name=name: done.append(name))
    monkeypatch.setattr(relocations.passes, "restore", lambda _: done.append("restore"))
    with journals.opened(tmp_path, {"kind": "migrate", "collection": "A"}) as journal:
        side = transfers.Side(SimpleNamespace(name="other"), "B")  # type: ignore[arg-type]
        relocations.run(passes.Move(side, side, journal, batches.pace(1, 2), progress.shown, strategy))
    assert done.index("restore") < done.index("_freeze")


def test_a_journal_that_cannot_be_written_is_named_and_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: Any, **__: Any) -> None:
        path.touch()  # the file is made before the disk says that it is full
        raise OSError(28, "No space left on device")

    work = {"kind": "migrate", "collection": "Docs"}
    with monkeypatch.context() as patched:
        patched.setattr(json_lines, "append", full)
        with pytest.raises(errors.InvalidInput, match=r"journal\.jsonl can't be written: No space left"):
            journals.opened(tmp_path, work).__enter__()
    assert list(tmp_path.iterdir()) == []
    journals.refuse_unfinished(tmp_path, work, "")

    with journals.opened(tmp_path, work) as journal, monkeypatch.context() as patched:
        patched.setattr(json_lines, "append", full)
        with pytest.raises(errors.InvalidInput, match="No space left") as raised:
            journal.note("made")
    assert "Make room" in str(raised.value.hint)
    assert [line["stage"] for line in journals.lines_of(journal.folder)] == ["begun"]
