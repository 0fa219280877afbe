"""What the commands of collections print and answer, over two servers in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from daglab import errors, output
from daglab.commands import collection
from tests.weaviate_in_memory import Killed, Refusal, Server

Run = Callable[..., tuple[int, str]]
ONE, OTHER = ("--cluster", "http://one.test:8080"), ("--target", "http://other.test:8080")
STATES = {"a": "ACTIVE", "b": "INACTIVE"}


@pytest.fixture
def run(servers: list[Server]) -> Run:
    """`run("ls", ...)` in this process: the exit code, and all that is printed."""

    def command(*words: str, typed: str | None = None) -> tuple[int, str]:
        done = CliRunner().invoke(collection.command, list(words), input=typed)
        if isinstance(done.exception, errors.DaglabError):
            error = done.exception
            told = json.dumps(error.result, default=str) if "--json" in words else ""
            return error.exit_code, f"{done.output}\n{error.message}\n{error.hint}\n{told}"
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    return command


def fill(server: Server, states: dict[str, str] | None = None, many: int = 5, name: str = "Docs") -> None:
    """A collection; each object but the first refers to the one before."""
    server.make(name, states)
    for tenant in states or [None]:  # type: ignore[list-item]
        for number in range(1, many + 1):
            server.put(name, number, tenant, of=number - 1 if number > 1 else None, text=f"text {number}")


def test_collections_are_listed_and_shown(run: Run, servers: list[Server]) -> None:
    assert run("ls", *ONE)[1].splitlines()[-1].startswith("There is none in")
    fill(servers[0])
    fill(servers[0], STATES, name="Papers")
    servers[0].aliases["Live"] = "Docs"
    servers[0].there["Docs"].schema["description"] = "What was read."
    code, text = run("ls", *ONE)
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert code == 0
    assert (rows["Docs"][1], rows["Papers"][1], rows["Papers"][2]) == ("5", "5+", "2")
    code, text = run("show", "Docs", *ONE)
    assert code == 0
    assert "Live" in text
    assert "What was read." in text
    assert json.loads(run("show", "Docs", "--schema", *ONE)[1])["class"] == "Docs"
    assert json.loads(run("show", "Docs", "--schema", "--json", *ONE)[1])["schema"]["class"] == "Docs"


def test_a_collection_that_can_not_be_counted_is_shown_and_an_error(run: Run, servers: list[Server]) -> None:
    fill(servers[0])

    def refuse(method: str, path: str) -> None:
        if path == "graphql":
            raise Refusal(500, "the shard is lost")

    servers[0].on = refuse
    for words in (("ls",), ("show", "Docs")):
        code, text = run(*words, *ONE)
        assert code == 5
        assert "Docs" in text
        assert "could not be counted" in text


@pytest.mark.parametrize("states", [None, STATES], ids=["plain", "tenants"])
def test_a_migration_is_told_before_and_after(run: Run, servers: list[Server], states: Any) -> None:
    fill(servers[0], states)
    words = ("migrate", "Docs", *ONE, *OTHER, "--as", "Papers", "--alias", "Live")
    code, plan = run(*words, "--dry-run")
    assert code == 0
    assert "Docs of http://one.test:8080 becomes Papers of http://other.test:8080: 5 objects" in plan
    assert ("tenants that are not active" in plan) is bool(states)
    assert "The alias Live of http://other.test:8080 leads to Papers then" in plan
    assert json.loads(run(*words, "--dry-run", "--json")[1])["dry_run"] is True
    assert "Papers" not in servers[1].there
    code, text = run(*words, "--yes")
    assert code == 0, text
    assert "Docs stays where it is." in text
    assert "Read-only for" in text
    assert servers[1].aliases == {"Live": "Papers"}


def test_an_offline_migration_says_that_it_is_read_only_at_once(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    servers[1].make("Other")
    servers[1].aliases["Live"] = "Other"
    code, plan = run("migrate", "Docs", *ONE, *OTHER, "--strategy", "offline", "--alias", "Live", "--dry-run")
    assert code == 0
    assert "Docs is read-only from the start until all is copied." in plan
    assert "leads to Docs then, now to Other." in plan


def test_a_migration_is_begun_by_a_yes_gone_on_with_and_undone(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    words = ("migrate", "Docs", *ONE, *OTHER)
    for more, code, told in (
        (("--resume",), 7, "No migration of Docs to http://other.test:8080 was begun."),
        (("--resume", "--abort"), 2, "--resume goes on and --abort undoes."),
        (("--dry-run", "--abort"), 2, "--dry-run says what a new migration would do."),
    ):
        found = run(*words, *more)
        assert (found[0], told in found[1]) == (code, True), found

    def fail(method: str, path: str) -> None:
        if path == "batch/references":
            raise Refusal(422, "out of memory")

    servers[1].on = fail
    code, text = run(*words, "--yes", "--json")
    assert code != 0
    assert "--resume" in text
    assert '"stages"' in text
    servers[1].on = lambda *_: None
    code, text = run(*words, "--yes")
    assert code != 0
    assert "Go on with `daglab collections migrate Docs" in text
    assert run(*words, "--abort")[0] == 0
    assert "Docs" not in servers[1].there
    assert run(*words, "--yes")[0] == 0
    assert servers[0].contents("Docs") == servers[1].contents("Docs")


def test_who_stops_a_migration_is_told_how_to_go_on(run: Run, servers: list[Server]) -> None:
    fill(servers[0])

    def stop(method: str, path: str) -> None:
        if path == "batch/objects":
            raise KeyboardInterrupt

    servers[1].on = stop
    code, text = run("migrate", "Docs", *ONE, *OTHER, "--yes")
    assert code == 130
    assert "--resume" in text


def test_a_backup_and_its_way_back(run: Run, servers: list[Server], tmp_path: Path) -> None:
    fill(servers[0], STATES)
    there = servers[0].there["Docs"]

    def change(method: str, path: str) -> None:
        if path == "objects":
            there.schema["properties"].append({"name": f"p{len(there.schema['properties'])}", "dataType": ["text"]})

    servers[0].on = change
    code, text = run("backup", "Docs", *ONE, "--output", "docs.gz")
    assert code == 0
    assert "It changed meanwhile: the schema of Docs was changed" in text
    assert str(tmp_path / "docs.gz") in text
    servers[0].on = lambda *_: None
    into = ("--cluster", "http://other.test:8080")
    code, text = run("restore", "docs.gz", *into, "--dry-run")
    assert code == 0
    assert "10 objects would be restored as Docs of http://other.test:8080; the file is whole." in text
    assert "It changed while it was written" in text
    assert json.loads(run("restore", "docs.gz", *into, "--dry-run", "--json")[1])["backup"]["objects"] == 10
    code, text = run("restore", "docs.gz", *into)
    assert code == 0
    assert "10 objects of Docs are restored, 10 as in the file." in text
    assert json.loads(run("restore", "docs.gz", *into, "--as", "Again", "--json")[1])["verified"]["same"] == 10


def test_what_a_restore_could_not_do_is_listed(run: Run, servers: list[Server]) -> None:
    fill(servers[0], {"a": "ACTIVE", "b": "OFFLOADED"}, many=30)
    assert run("backup", "Docs", *ONE, "--output", "docs.gz")[0] == 0
    servers[1].refuse = lambda found: "too odd" if str(found.get("id", ""))[-1:] in "13579bdf" else None
    made: list[str] = []

    def alter(method: str, path: str) -> None:
        if (method, path) == ("POST", "schema"):
            servers[1].there["Docs"].schema["vectorIndexType"] = "flat"
            made.append(path)

    servers[1].after = alter
    code, text = run("restore", "docs.gz", "--cluster", "http://other.test:8080")
    assert (code, made) == (4, ["schema"])
    assert "The server has made vectorIndexType of the schema otherwise." in text
    assert "too odd" in text
    assert "more: --json lists all." in text
    assert "Docs is not as in the file:" in text


def test_an_older_server_is_asked_about(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    assert run("backup", "Docs", *ONE, "--output", "docs.gz")[0] == 0
    servers[1].version = "1.30.0"
    into = ("restore", "docs.gz", "--cluster", "http://other.test:8080")
    code, text = run(*into)
    assert code == 2, text
    assert "Docs" not in servers[1].there
    assert run(*into, "--yes")[0] == 0


def test_a_backup_that_was_stopped_goes_on(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    pages: list[str] = []

    def stop(method: str, path: str) -> None:
        pages.append(path)
        if pages.count("objects") == 2:
            raise KeyboardInterrupt

    servers[0].on = stop
    assert "the same command goes on where it was" in run("backup", "Docs", *ONE, "--output", "docs.gz")[1]
    servers[0].on = lambda *_: None
    code, text = run("backup", "Docs", *ONE, "--output", "docs.gz")
    assert code == 0
    assert "It went on with the backup that was begun at" in text


def test_a_copy_is_told_before_and_after(run: Run, servers: list[Server]) -> None:
    fill(servers[0], STATES)
    words = ("copy", "Docs", "Next", *ONE)
    code, text = run(*words, "--dry-run")
    assert code == 0
    assert "inactive tenants" in text
    assert "Nothing was done: --dry-run only tells." in text
    code, text = run(*words)
    assert code == 0, text
    assert "Next: 10 objects, 8 references" in text
    code, text = run("copy", "Docs", "Empty", *ONE, "--schema-only")
    assert (code, "no objects: --schema-only." in text) == (0, True)


def test_what_is_replaced_has_its_name_typed(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    fill(servers[0], many=2, name="Next")
    words = ("copy", "Docs", "Next", *ONE, "--overwrite")
    assert "Next is replaced" in run(*words, "--dry-run")[1]
    assert run(*words)[0] == 2
    assert len(servers[0].there["Next"].objects[None]) == 2
    assert run(*words, "--yes")[0] == 0
    assert len(servers[0].there["Next"].objects[None]) == 5


def test_a_copy_that_breaks_off_tells_how_far_it_came(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    words = ("copy", "Docs", "Next", *ONE)

    def stop(method: str, path: str) -> None:
        if path == "batch/references":
            raise KeyboardInterrupt

    servers[0].on = stop
    code, text = run(*words)
    assert code == 130
    assert "Stopped: 5 objects of Docs are written." in text
    servers[0].on = lambda *_: None
    assert "an earlier try is gone on with" in run(*words, "--dry-run")[1]
    code, text = run(*words)
    assert code == 0
    assert "An earlier try is gone on with: 5 objects were written by it." in text


def test_deleting_needs_the_name_or_a_yes(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    code, text = run("clear", "Docs", *ONE, "--dry-run")
    assert (code, "5 objects of Docs would be deleted." in text) == (0, True)
    assert run("rm", "Docs", *ONE)[0] == 2
    code, text = run("clear", "Docs", *ONE, "--yes")
    assert (code, "5 objects of Docs are deleted." in text) == (0, True)
    assert servers[0].contents("Docs") == {}
    assert run("rm", "Docs", *ONE, "--yes")[0] == 0
    assert "Docs" not in servers[0].there
    servers[0].make("Docs")
    servers[0].aliases["Live"] = "Docs"
    assert "It is an alias, of Docs" in run("rm", "Live", *ONE, "--yes")[1]


def test_batches_do_the_same_to_all_that_match(run: Run, servers: list[Server], tmp_path: Path) -> None:
    fill(servers[0])
    fill(servers[0], many=2, name="DocsOld")
    code, text = run("batch", "--pattern", "Docs*", "--operation", "backup", "--output", "kept", *ONE)
    assert code == 0, text
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert "2 of 2:" in text
    assert run("batch", "--pattern", "Docs*", "--operation", "backup", *ONE)[0] == 2

    def refuse(method: str, path: str) -> None:
        if path == "schema/DocsOld":
            raise Killed if method == "DELETE" else Refusal(403, "not for you")

    servers[0].on = refuse
    code, text = run("batch", "--pattern", "Docs*", "--operation", "backup", "--output", "more", "--json", *ONE)
    assert code != 0
    assert "1 of 2 failed" in text


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits at the terminal, and may answer."""
    monkeypatch.setattr(output, "require_answer", lambda **_: None)


@pytest.mark.usefixtures("somebody")
def test_names_are_typed_and_another_word_does_nothing(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    fill(servers[0], many=2, name="Next")
    assert run("rm", "Docs", *ONE, typed="docs\n")[0] == 2
    assert "Docs" in servers[0].there
    code, text = run("clear", "Docs", *ONE, typed="Docs\n")
    assert code == 0
    assert "Docs in http://one.test:8080: 5 objects" in text
    words = ("copy", "Next", "Docs", *ONE, "--overwrite")
    code, text = run(*words, typed="no\n")
    assert (code, "That is not its name" in text) == (2, True)
    assert servers[0].contents("Docs") == {}
    assert run(*words, typed="Docs\n")[0] == 0
    assert len(servers[0].there["Docs"].objects[None]) == 2
    code, text = run("migrate", "Docs", *ONE, *OTHER, typed="n\n")
    assert (code, "Nothing was done." in text) == (0, True)
    assert servers[1].there == {}


@pytest.mark.long
@pytest.mark.usefixtures("somebody")
def test_what_can_be_put_right_is_told_asked_about_and_done(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    docs = servers[0].there["Docs"]
    assert run("health", *ONE)[0] == 0
    docs.readonly.add(docs.shard)
    code, text = run("health", *ONE)
    assert code == 4
    assert "Docs" in text
    code, text = run("health", "--fix", "--dry-run", *ONE)
    assert "Would" in text
    assert docs.readonly
    assert "Nothing was done." in run("health", "--fix", *ONE, typed="n\n")[1]
    code, text = run("health", "--fix", *ONE, typed="y\n")
    assert code == 0, text
    assert "Done:" in text
    assert not docs.readonly
    assert "There is nothing that can be put right from here." in run("health", "--fix", *ONE)[1]


def test_what_can_not_be_put_right_is_told(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    docs = servers[0].there["Docs"]
    docs.readonly.add(docs.shard)

    def refuse(method: str, path: str) -> None:
        if method == "PUT":
            raise Refusal(422, "the disk is full")

    servers[0].on = refuse
    code, text = run("health", "Docs", "--fix", "--yes", *ONE)
    assert code == 4
    assert "Not done:" in text
    assert docs.readonly


@pytest.mark.parametrize("operation", ["health", "stats"])
def test_a_batch_has_a_row_for_each(run: Run, servers: list[Server], operation: str) -> None:
    fill(servers[0])
    fill(servers[0], many=2, name="DocsOld")
    code, text = run("batch", "--pattern", "Docs*", "--operation", operation, *ONE)
    assert code == 0, text
    rows = [line.split() for line in text.splitlines() if line.startswith("Docs")]
    assert [row[0] for row in rows] == ["Docs", "DocsOld"]
    code, text = run("batch", "--pattern", "Docs*", "--operation", operation, "--json", *ONE)
    assert json.loads(text[text.index("{") :])["counts"] == {"collections": 2, "failed": 0}


def test_a_batch_of_which_one_is_not_well_ends_so(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    fill(servers[0], many=2, name="DocsOld")
    old = servers[0].there["DocsOld"]
    old.readonly.add(old.shard)
    code, text = run("batch", "--pattern", "Docs*", "--operation", "health", *ONE)
    assert code == 4
    assert "1 of 2 failed: DocsOld is degraded." in text


def test_templates_are_shown_and_taken_away(run: Run, servers: list[Server], tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").touch()
    fill(servers[0])
    names = {each["name"] for each in json.loads(run("template", "list", "--json")[1])["templates"]}
    name = sorted(names)[0]
    assert name in run("template", "list")[1]
    schema = json.loads(run("template", "show", name)[1])
    assert schema == json.loads(run("template", "show", name, "--json")[1])["schema"]
    for more in ([], ["--json"]):
        assert run("template", "save", "mine", "Docs", *ONE)[0] == 0
        assert "mine" in run("template", "rm", "mine", *more)[1]
    assert run("template", "show", "mine")[0] == 7


def test_one_source_of_a_schema_alone(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    code, text = run("create", "Next", "--like", "Docs", "--template", "documents", *ONE)
    assert (code, "both say which schema" in text) == (2, True)
    assert "Next" not in servers[0].there


def test_a_collection_is_shown_as_json_with_what_leads_to_it(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    servers[0].aliases.update(Live="Docs", Another="Papers")
    found = json.loads(run("show", "Docs", "--json", *ONE)[1])
    assert (found["ok"], found["name"], found["objects"], found["aliases"]) == (True, "Docs", 5, ["Live"])
    assert [each["name"] for each in found["schema"]["properties"]] == ["t", "of"]


def test_a_collection_without_properties_has_no_table_of_them(run: Run, servers: list[Server]) -> None:
    fill(servers[0])
    assert "Property" in run("show", "Docs", *ONE)[1]
    servers[0].there["Docs"].schema["properties"] = []
    code, text = run("show", "Docs", *ONE)
    assert (code, "Docs" in text, "Property" in text) == (0, True, False)
    assert all(text.splitlines())  # and no room is left for it


def test_figures_of_a_cluster_that_holds_nothing_say_so(run: Run, servers: list[Server]) -> None:
    code, text = run("stats", *ONE)
    assert (code, "There is no collection in http://one.test:8080." in text) == (0, True)
    assert json.loads(run("stats", "--json", *ONE)[1])["collections"] == []
    fill(servers[0])
    code, text = run("stats", *ONE)
    assert (code, "There is no collection" in text) == (0, False)


def test_figures_that_no_node_tells_are_a_warning_and_the_rest_is_shown(run: Run, servers: list[Server]) -> None:
    fill(servers[0])

    def refuse(method: str, path: str) -> None:
        if path.startswith("nodes"):
            raise Refusal(403, "nodes are not for you")

    servers[0].on = refuse
    code, text = run("stats", "Docs", *ONE)
    assert (code, "Warning: " in text) == (0, True), text
    row = next(line.split() for line in text.splitlines() if line.startswith("Docs"))
    assert "5" in row


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["tables", "json"])
def test_figures_of_what_could_not_be_counted_come_with_the_error(
    run: Run, servers: list[Server], more: list[str]
) -> None:
    fill(servers[0])

    def refuse(method: str, path: str) -> None:
        if path == "graphql":
            raise Refusal(500, "the shard is lost")

    servers[0].on = refuse
    code, text = run("stats", *more, *ONE)
    assert code == 5
    assert "Not counted: Docs." in text
    if more:
        [collection] = json.loads(text.splitlines()[-1])["collections"]
        assert (collection["name"], collection["objects"]) == ("Docs", None)
    else:
        assert any(line.split()[:2] == ["Docs", "-"] for line in text.splitlines())


def test_a_fault_of_daglab_is_not_shown_as_a_cluster_that_does_not_answer(run: Run, servers: list[Server]) -> None:
    fill(servers[0])

    def fail(method: str, path: str) -> None:
        raise ZeroDivisionError

    servers[0].on = fail
    for words in (("dashboard",), ("dashboard", "--json")):
        with pytest.raises(ZeroDivisionError):
            run(*words, *ONE)
