"""`daglab exports`, of what it needs no server for: lists, one in full, opening, a folder as the cloud, bad records."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import webbrowser
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from daglab import cli as main_cli
from daglab import errors, json_lines
from daglab.commands import exports
from daglab.exported import export_copies, export_record, listing, opening, resigning, retention, telling, verification
from daglab.settings import config
from tests import runners

Cli = Callable[..., Any]
NOW = datetime.now(timezone.utc)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".daglab").mkdir()
    (tmp_path / "daglab.yaml").write_text("dagster: {url: 'http://127.0.0.1:9'}\n")
    (tmp_path / "store").mkdir()
    return tmp_path


def add(root: Path, identity: str, **more: Any) -> dict[str, Any]:
    """A line of the record, and the HTML of it here and in the folder that is the cloud."""
    line: dict[str, Any] = {"v": 1, "id": identity, "notebook": "nb/a.py", "output": f"exports/{identity}.html"}
    content = f"marimo {identity}".encode()
    about = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    line.update(ok=True, exported_at=NOW.isoformat(), expires_at=None, link="http://127.0.0.1:3030/x", **about)
    line.update(upload={"address": (root / "store" / f"{identity}.html").as_uri(), **about})
    line.update(more)
    for path in (root / "store" / f"{identity}.html", root / str(line["output"])):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    json_lines.append(root / export_record.FILE, line, mode=0o600)
    return line


def document(result: Any, code: int = 0) -> dict[str, Any]:
    assert result.exit_code == code, (result.stdout, result.stderr)
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["ok"] is (code == 0)
    return found


def wanted(root: Path, **filters: Any) -> list[str]:
    return [row["id"] for row in listing.chosen(listing.rows(root), listing.Wanted(**filters))]


def test_rows_are_the_newest_first_and_filtered(project: Path) -> None:
    add(project, "a1", attached=[{"target": "asset:a"}])
    add(project, "b1", ok=False, targets=["asset:b"], exported_at=(NOW - timedelta(days=3)).isoformat())
    add(project, "c1", notebook="nb/c.py", attach="unknown")
    add(project, "d1", upload=None)
    json_lines.append(project / export_record.FILE, {"v": 1, "expired": "d1"})
    add(project, "a2", output="exports/a1.html", upload=None)
    export_record.intend(project, "e1", "upload", export={"notebook": "nb/e.py", "output": "exports/e1.html"})
    states = {row["id"]: row["state"] for row in listing.rows(project)}
    assert states == {"e1": "unfinished", "a2": "ok", "d1": "gone", "c1": "unfinished", "b1": "failed", "a1": "ok"}
    assert wanted(project) == ["e1", "a2", "c1", "b1", "a1"]
    assert wanted(project, all=True) == ["e1", "a2", "d1", "c1", "b1", "a1"]
    assert wanted(project, failed=True) == ["b1"]
    assert wanted(project, notebook="nb/c.py") == ["c1"]
    assert wanted(project, target="asset:a") == ["a1"]
    assert wanted(project, target="asset:b") == ["b1"]
    assert wanted(project, since=NOW - timedelta(days=1)) == ["e1", "a2", "c1", "a1"]
    [a1] = [row for row in listing.rows(project) if row["id"] == "a1"]
    assert (a1["copies"], a1["uploaded"]) == (["cloud"], (project / "store" / "a1.html").as_uri())


def test_one_is_found_by_its_beginning_or_its_path(project: Path) -> None:
    for identity in ("abc1", "abd2", "x9"):
        add(project, identity)
    add(project, "y9", output="exports/x9.html")
    assert listing.find(project, "abc", project)["id"] == "abc1"
    assert listing.find(project, "exports/x9.html", project)["id"] == "y9"
    assert listing.find(project, "x9.html", project / "exports")["id"] == "y9"
    for named in ("ab", "zz", "", "a\0b", "../etc"):
        with pytest.raises(errors.InvalidInput):
            listing.find(project, named, project)


def test_the_command_lists_and_shows(project: Path, cli: Cli) -> None:
    add(project, "abc123def456789", parameters={"date": "2026-01-01"}, results={"rows": 42}, git={"commit": "c0ffee"})
    add(project, "b2", ok=False)
    filters = ["--notebook", "nb/a.py", "--since", "1d", "--limit", "1", "--all"]
    found = document(cli("exports", "list", "--json", *filters))
    assert (found["total"], [row["id"] for row in found["exports"]]) == (2, ["b2"])
    assert document(cli("exports", "list", "--failed", "--target", "asset:none", "--json"))["exports"] == []
    table = cli("exports", "list")
    assert (table.exit_code, "abc123def456 " in table.stdout, "failed" in table.stdout) == (0, True, True)
    shown = document(cli("exports", "show", "abc", "--json"))
    assert (shown["parameters"], shown["results"]) == ({"date": "2026-01-01"}, {"rows": 42})
    assert [each["what"] for each in shown["history"]] == ["exported"]
    told = cli("exports", "show", "exports/abc123def456789.html").stdout
    assert "rows 42" in told
    assert "c0ffee" in told
    wrong = cli("exports", "show", "nope", "--json")
    assert document(wrong, 7)["error"]["hint"]


def test_a_signed_link_is_masked_and_opened_by_a_page_of_the_users_own(project: Path, cli: Cli) -> None:
    url, later = "https://b.test/a.html?sig=s1gnature", (NOW + timedelta(days=1)).isoformat()
    add(project, "a1", signed={"url": url, "expires_at": later, "seconds": 9}, entries=[{"label": "x", "value": url}])
    for words in (["list", "--json"], ["show", "a1"], ["show", "a1", "--json"], ["open", "a1"]):
        result = cli("exports", *words)
        assert result.exit_code == 0, result.stderr
        assert "s1gnature" not in result.stdout + result.stderr
    assert cli("exports", "open", "a1", "--no-open").stdout.strip() == "https://b.test/a.html"
    assert document(cli("exports", "open", "a1", "--json"))["kind"] == "signed"
    row = listing.find(project, "a1", project)
    assert opening.address(project, row, NOW) == (url, "signed")
    assert opening.address(project, row, NOW + timedelta(days=2)) == ((project / "exports/a1.html").as_uri(), "file")
    page = opening.leading_to(project, url)
    assert page == (project / opening.PAGE).as_uri()
    assert stat.S_IMODE((project / opening.PAGE).stat().st_mode) == 0o600
    assert "s1gnature" in (project / opening.PAGE).read_text()
    (project / "exports" / "a1.html").unlink()
    assert opening.address(project, row, NOW + timedelta(days=2)) == ("http://127.0.0.1:3030/x", "link")
    json_lines.append(project / export_record.FILE, {"v": 1, "expired": "a1"})
    export_record.amend(project, "a1", removed={"address": row["uploaded"]})
    assert document(cli("exports", "open", "a1", "--json"), 4)["error"]["hint"].startswith("Export it again")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "--new-window", "x"])
def test_a_strangers_record_has_nothing_opened_but_pages(url: str, project: Path) -> None:
    later = (NOW + timedelta(days=1)).isoformat()
    add(project, "a1", link=url, signed={"url": url, "expires_at": later, "seconds": 9})
    (project / "exports" / "a1.html").unlink()
    with pytest.raises(errors.NotGood, match="is not there any more"):
        opening.address(project, listing.find(project, "a1", project), NOW)


def test_a_strangers_record_leads_to_no_file_beside_the_project(project: Path, tmp_path_factory: Any) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "mine.html").write_text("mine")
    (project / "link").symlink_to(elsewhere)
    for number, output in enumerate((f"../{elsewhere.name}/mine.html", "link/mine.html")):
        add(project, f"a{number}", link=None)
        line = {"v": 1, "id": f"b{number}", "ok": True, "output": output}
        json_lines.append(project / export_record.FILE, line)
        with pytest.raises(errors.NotGood):
            opening.address(project, listing.find(project, f"b{number}", project), NOW)


def test_an_address_of_a_strangers_stays_text_in_the_page_that_leads_to_it(project: Path) -> None:
    page = opening.leading_to(project, "https://b.test/?a='\"><script>alert(1)</script>&x")
    text = Path(page.removeprefix("file://")).read_text()
    assert "<script" not in text
    assert "&quot;&gt;&lt;script&gt;" in text


def test_a_folder_is_a_place_like_another(project: Path, cli: Cli) -> None:
    over = (NOW - timedelta(days=1)).isoformat()
    add(project, "a1", expires_at=over)
    add(project, "b1")
    assert document(cli("exports", "verify", "--json"), 4)["counts"]["expired"] == 2
    asked = cli("exports", "expire", "--json")
    assert document(asked, 2)["error"]["hint"].startswith("Add --yes")
    assert {each["where"] for each in document(cli("exports", "expire", "--dry-run", "--json"))["removed"]} == {
        "local",
        "cloud",
    }
    assert cli("exports", "expire", "--dry-run").stdout.count("a1.html") == 2
    done = cli("exports", "expire", "--yes", "--even-latest")
    assert (done.exit_code, done.stdout.splitlines()[-1].startswith("Removed 2, freed")) == (0, True)
    assert sorted(os.listdir(project / "store")) == ["b1.html"]
    assert document(cli("exports", "verify", "--json"))["compared"] == {"local": 1, "cloud": 1}
    (project / "store" / "b1.html").write_text("other")
    (project / "store" / "stray.html").write_text("marimo")
    counts = document(cli("exports", "verify", "--json"), 4)["counts"]
    assert counts == {"missing": 0, "changed": 1, "unfinished": 0, "orphan": 1, "expired": 0}


def test_a_file_of_the_users_that_a_strangers_record_names_stays(project: Path, cli: Cli) -> None:
    """Its size and checksum are known to the stranger; it is no page of a notebook."""
    mine = project / "store" / "LICENSE"
    other = project / "store" / "mine.html"
    for path in (mine, other):
        path.write_text("well known")
        about = {"bytes": 10, "sha256": hashlib.sha256(b"well known").hexdigest(), "address": path.as_uri()}
        line = {"v": 1, "id": path.name, "ok": True, "output": f"{path.name}.html", "upload": about}
        json_lines.append(project / export_record.FILE, {**line, "expires_at": "2020-01-01T00:00:00+00:00"})
    assert document(cli("exports", "expire", "--yes", "--json"))["removed"] == []
    assert (mine.read_text(), other.read_text()) == ("well known", "well known")


def test_a_page_outside_of_the_project_goes_only_when_its_folder_is_named(
    project: Path, cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A stranger's record may know the checksum of a page of the user's."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (project / "link").symlink_to(folder)
    text = "<html>marimo, and mine</html>"
    about = {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    for name, path in (("a", folder / "a.html"), ("b", project / "link" / "b.html")):
        path.write_text(text)
        line = {"v": 1, "id": name, "ok": True, "output": f"{name}.html", "expires_at": "2020-01-01T00:00:00+00:00"}
        upload = {**about, "address": f"file://{path}"}
        json_lines.append(project / export_record.FILE, {**line, "upload": upload})
    left = document(cli("exports", "expire", "--yes", "--json"))
    assert (left["removed"], ["--folder" in each["why"] for each in left["kept"]]) == ([], [True, True])
    other = document(cli("exports", "expire", "--yes", "--json", "--folder", str(folder)[:-1]))
    assert other["removed"] == []
    assert sorted(os.listdir(folder)) == ["a.html", "b.html"]
    named = document(cli("exports", "expire", "--yes", "--json", "--folder", str(folder)))
    assert "a.html" in {Path(each["place"]).name for each in named["removed"]}
    assert "a.html" not in os.listdir(folder)


@pytest.mark.parametrize("line", ["list", "show a", "open a", "resign", "expire --yes", "verify"])
def test_a_record_that_can_not_be_read_is_no_empty_one(line: str, project: Path) -> None:
    add(project, "a1")
    with (project / export_record.FILE).open("a") as file:
        file.write("{torn\n")
    result = runners.apart().invoke(exports.command, [*line.split(), "--json"])
    assert isinstance(result.exception, errors.InvalidInput)
    assert "can't be read" in result.exception.message


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [7], [{}], True, "\0", "s3://B/..", 1e400])
def test_hostile_lines_crash_nothing(value: Any, project: Path) -> None:
    names = ("notebook", "output", "ok", "exported_at", "expires_at", "link", "bytes", "sha256", "upload", "signed")
    names += ("attached", "targets", "partition", "partitions", "entries", "check", "parameters", "results", "git")
    names += ("pending", "attach", "removed", "failed")
    good = {"v": 1, "id": "h1", "output": "h.html", "ok": True}
    lines = [
        {**good, **dict.fromkeys(names, value)},
        {**good, "id": "h2", "upload": dict.fromkeys(("address", "bytes", "sha256", "export_id"), value)},
        {**good, "id": "h3", "signed": {"url": value, "expires_at": value, "seconds": value}},
        {"v": 1, "intent": "h4", "step": "upload", "export": value, "address": value, "at": value},
        {"v": 1, "amends": "h2", **dict.fromkeys(names, value)},
    ]
    (project / export_record.FILE).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    shown = [["show", "h1"], ["show", "h4"], ["open", "h1"], ["open", "h2", "--no-open"]]
    for words in (["list", "--all"], *shown, ["resign", "--within", "9d"], ["verify"], ["expire", "--yes"]):
        result = runners.apart().invoke(exports.command, [*words, "--json"])
        good = (errors.DaglabError, SystemExit, type(None))
        assert isinstance(result.exception, good), (words, result.exception, result.exc_info)
    assert telling.rows(listing.rows(project))


def test_a_link_that_can_not_be_signed_leaves_nothing_unfinished(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(project, "a", signed={"url": "https://store/x?sig=1", "expires_at": NOW.isoformat(), "seconds": 60})
    begun: list[str] = []

    def refused(*_: Any) -> dict[str, Any]:
        begun.extend(step["step"] for each in export_record.unfinished(project) for step in each["steps"])
        raise errors.NotAuthorised("The credentials have run out.", "Get new ones.")

    monkeypatch.setattr(resigning.evidence, "look", lambda _: resigning.evidence.SAME)
    monkeypatch.setattr(resigning.uploads, "signed", refused)
    [due] = resigning.due(project, NOW, None)
    with pytest.raises(errors.NotAuthorised):
        resigning.renew(config.load(directory=project), due, 60, lambda: pytest.fail("nothing is attached"))
    assert (begun, export_record.unfinished(project)) == (["sign"], [])


def test_what_was_renewed_before_a_signal_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The links that were renewed are known to nobody else."""
    signed = {"url": "https://store/x?sig=1", "expires_at": NOW.isoformat(), "seconds": 60}
    for identity in "ab":
        add(project, identity, signed=signed)
    calls: list[str] = []

    def renew(_: Any, each: resigning.Due, *__: Any) -> dict[str, Any]:
        calls.append(each.copy.id)
        if len(calls) > 1:
            raise errors.Terminated
        return {"id": each.copy.id, "place": each.copy.place, "expires_at": NOW.isoformat(), "attached": []}

    monkeypatch.setattr(resigning, "renew", renew)
    monkeypatch.chdir(project)
    monkeypatch.setattr("sys.argv", ["daglab", "exports", "resign", "--json"])
    with pytest.raises(SystemExit) as stopped:
        sys.exit(main_cli.main())
    found = json.loads(capsys.readouterr().out)
    assert (stopped.value.code, found["error"]["code"], found["ok"]) == (143, "interrupted", False)
    assert [each["id"] for each in found["renewed"]] == calls[:1]


# --- what a person sees


@pytest.fixture
def context() -> Any:
    with click.Context(click.Command("exports")) as found:
        yield found


def copy_of(root: Path, identity: str) -> export_copies.Copy:
    add(root, identity)
    [found] = [each for each in export_record.copies(root) if each.id == identity and each.where == export_copies.CLOUD]
    return found


@pytest.mark.usefixtures("context")
def test_links_that_would_be_renewed_are_listed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = copy_of(project, "abcdef0123456789")
    aims = (("asset:a", None), ("asset:b", "eu"))
    found = telling.due([resigning.Due(copy, {}, aims, NOW, 60), resigning.Due(copy, {}, (), NOW, 60)])
    assert [each["attached"] for each in found] == [["asset:a", "asset:b@eu"], []]
    assert [(each["id"], each["expires_at"]) for each in found] == [("abcdef0123456789", NOW.isoformat())] * 2
    telling.show_due(found)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[2:]] == ["abcdef012345"] * 2
    assert "asset:a" in shown[2]


@pytest.mark.usefixtures("context")
def test_what_stays_and_what_differs_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    kept = retention.Outcome()
    kept.kept.append({"place": "s3://box/a.html", "why": "it is the latest attachment of asset:a"})
    telling.show_expired(kept)
    assert capsys.readouterr() == ("", "s3://box/a.html stays: it is the latest attachment of asset:a.\n")
    found = verification.Outcome(compared={export_copies.LOCAL: 2, export_copies.CLOUD: 1})
    found.add("missing", "nb.html", "the HTML is gone")
    found.fail("s3://box", errors.Unreachable("Nothing answers.", "h"))
    found.out_of_sight.append("https://x.test/a.html")
    telling.show_verified(found)
    out, err = capsys.readouterr()
    assert ["missing", "nb.html", "the", "HTML", "is", "gone"] in [line.split() for line in out.splitlines()]
    assert out.endswith("Compared 2 files and 1 object: 1 difference.\n")
    assert "Warning: s3://box could not be read: Nothing answers." in err
    assert "https://x.test/a.html was uploaded to a presigned address" in err


@pytest.mark.parametrize(
    ("answer", "why"), [(True, None), (False, "it did not start"), (webbrowser.Error("none here"), "none here")]
)
def test_a_browser_that_does_not_start_is_said(answer: Any, why: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def start(address: str) -> bool:
        asked.append(address)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    monkeypatch.setattr(webbrowser, "open", start)
    assert opening.show("file:///a.html") == why
    assert asked == ["file:///a.html"]


def said(*words: str) -> Any:
    """What a command of `daglab exports` prints, run in this process."""
    done = runners.apart().invoke(exports.command, list(words))
    assert done.exit_code == 0, done.exception
    return done


def test_of_many_exports_it_is_said_how_many_are_shown(project: Path) -> None:
    for identity in ("a1", "b2", "c3"):
        add(project, identity)
    done = said("list", "--limit", "2")
    assert "These are 2 of 3." in done.stderr
    assert ("b2" in done.stdout, "a1" in done.stdout) == (True, False)
    assert "These are" not in said("list").stderr


@pytest.mark.parametrize(
    ("answer", "problem"), [(True, None), (False, "It could not be opened in a browser: it did not start.")]
)
def test_an_export_is_opened_at_a_terminal_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch, answer: bool, problem: str | None
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: asked.append(address) or answer)
    add(project, "a1")
    where = (project / "exports/a1.html").as_uri()
    assert (said("open", "a1").stdout.strip(), asked) == (where, [])
    monkeypatch.setattr(exports, "sys", SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: True)))
    assert (said("open", "a1", "--no-open").stdout.strip(), asked) == (where, [])
    done = said("open", "a1")
    assert (done.stdout.strip(), asked) == (where, [where])
    assert done.stderr.strip() == (problem or "")


def test_links_that_are_due_are_told_before_they_are_renewed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No signed link runs out within 1d." in said("resign", "--within", "1d").stderr
    signed = {"url": "https://store/x?sig=s1gn", "expires_at": NOW.isoformat(), "seconds": 60}
    add(project, "a1", signed=signed)
    done = said("resign", "--dry-run")
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["a1"]
    assert "Nothing was done: --dry-run only tells." in done.stderr
    assert "s1gn" not in done.output

    def renew(_: Any, each: resigning.Due, seconds: int, *__: Any) -> dict[str, Any]:
        until = (NOW + timedelta(seconds=seconds)).isoformat()
        return {"id": each.copy.id, "place": each.copy.place, "expires_at": until, "attached": ["asset:a", "asset:b"]}

    monkeypatch.setattr(resigning, "renew", renew)
    done = said("resign", "a1", "--sign", "7d")
    [line] = done.stderr.splitlines()
    assert "a1.html: good until " in line
    assert telling.moment((NOW + timedelta(days=7)).isoformat()) in line
    assert line.endswith(", attached to asset:a, asset:b")
