"""Properties of what reads people's texts and files: none makes it fail otherwise than on purpose."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import os
import string
import tarfile
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from daglab import env_files, errors, json_lines, parse
from daglab.deployment import entities, selection
from daglab.migrating import cells
from daglab.migrating.reading import jupyter
from daglab.settings import config, config_edit, config_files
from daglab.storage import places
from daglab.upkeep import archives
from daglab.weaviate.keeping import archive_lines
from tests.properties import changed, fits, outcome, plain, texts, tried, values, words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all the examples of a test; each writes its file anew."""
    return tmp_path_factory.mktemp("properties")


# --- what people type


@tried
@given(st.text(max_size=40))
def test_an_asset_key_is_whole_or_refused(text: str) -> None:
    found = outcome(parse.asset_key, text)
    if not isinstance(found, errors.InvalidInput):
        assert all(found)
        assert parse.asset_key("/".join(found)) == found


@tried
@given(st.lists(st.lists(words, min_size=1, max_size=3), min_size=1, max_size=4))
def test_asset_keys_come_back_each_once_and_in_order(keys: list[list[str]]) -> None:
    found = parse.asset_keys(",".join("/".join(key) for key in keys))
    assert found == list(dict.fromkeys(map(tuple, keys)))


ADDRESSES = [
    "http://",
    "https://",
    "//",
    "@",
    ":",
    "[::1]",
    "[",
    "]",
    "?",
    "#",
    "\\",
    "%",
    " ",
    "\r\n",
    "a.test",
    "65536",
]


@tried
@given(st.lists(st.sampled_from(ADDRESSES) | texts, max_size=6).map("".join))
@example("http://a.test\\@b.test/")
@example("http://[::1%25eth0]:80/")
@example("http://a.test:0x50/")
def test_an_address_is_refused_or_names_one_host(text: str) -> None:
    """What is taken stays what it is, holds nobody's name and password, and no other library sees another host."""
    found = outcome(parse.base_url, text)
    if isinstance(found, errors.InvalidInput):
        return
    assert parse.base_url(found) == found
    assert not set("@?#\\\r\n") & set(found.partition("://")[2].partition("/")[0])
    sent = requests.Request("GET", found).prepare().url or ""
    assert parse.origin(sent) == parse.origin(found)
    assert (parse_url(sent).host or "").strip("[]") == parse.origin(found).split("://")[1].rpartition(":")[0].strip(
        "[]"
    )


@tried
@given(words, st.text(string.ascii_letters + string.digits + "/:?#@%", min_size=1, max_size=12), texts)
def test_a_shown_address_has_no_password_and_no_signature(name: str, password: str, signature: str) -> None:
    marked = f"Pa55{password}Wd"
    shown = parse.display_url(f"https://{name}:{marked}@a.test/x?sig=S1g{signature}")
    assert "Pa55" not in shown
    assert "S1g" not in shown


PLACES = ["s3://", "gs://", "az://", "file://", "https://", "/", "bucket", "acc/", "..", "\\", "%2e%2e", "?sig=S1gned"]


@settings(tried, max_examples=80)
@given(st.lists(st.sampled_from(PLACES + ADDRESSES) | texts, max_size=5).map("".join))
@example("s3://bucket/a b/é?#%")
@example("az://acc/bucket/a")
@example("file://localhost/srv/a%20b")
@example("file:///srv/a%2525b")
@example("https://a.test/x?sig=S1gned")
@example("https://[/x?sig=S1gned")
def test_a_place_for_uploads_is_refused_or_found_again(text: str) -> None:
    """Where an upload goes is recorded as an address, which leads back to it, and tells nobody's signature."""
    found = outcome(places.parse, text)
    if isinstance(found, errors.DaglabError):
        assert isinstance(found, errors.InvalidInput)
        assert "S1gned" not in f"{found.message}{found.hint}" or not text.strip().startswith("http")
        return
    key = places.key(found, "a.html")
    address = places.address(found, key)
    assert places.address(*places.located(address)) == address
    assert "S1gned" not in address or found.scheme != "https"


TARGETS = ["asset:", "asset://", "job:", "@", ":", "/", "a", " "]


@tried
@given(st.lists(st.sampled_from(TARGETS) | texts, max_size=6).map("".join))
def test_a_target_to_attach_to_is_an_asset_or_a_job_or_refused(text: str) -> None:
    found = outcome(parse.attach_target, text)
    if not isinstance(found, (errors.WrongUsage, errors.InvalidInput)):
        assert fits(found, parse.AttachTarget)
        assert bool(found.asset) != bool(found.job)
        assert all(found.asset)


@tried
@given(st.lists(words, min_size=1, max_size=3), st.none() | st.text(min_size=1, max_size=9))
def test_a_target_comes_back_in_both_forms(key: list[str], partition: str | None) -> None:
    name, asset = "/".join(key), parse.AttachTarget(tuple(key), partition)
    assert parse.attach_target(f"asset://{name}" + ("" if partition is None else f":{partition}")) == asset
    if "@" not in (partition or "") and not (partition or "").startswith("//"):
        assert parse.attach_target(f"asset:{name}" + ("" if partition is None else f"@{partition}")) == asset


SELECTION = [
    "key:",
    "tag:",
    "group:",
    "+",
    "*",
    "(",
    ")",
    "and ",
    "or ",
    "not ",
    "sinks(",
    '"',
    "=",
    ",",
    "a",
    "1",
    "<null>",
    "9" * 30,
]


@tried
@given(st.lists(st.sampled_from(SELECTION) | texts, max_size=10).map("".join))
@example("9" * 5000 + "+a")
@example("key:a+" + "9" * 5000)
@example("(" * 3000 + "a")
@example("not " * 3000 + "a")
@example("+" * 5000 + "a")
def test_a_selection_is_read_and_resolved_or_refused(text: str) -> None:
    asset = entities.Asset(("a",), None, None, (), {}, (), True, None, (), (), (), "r", "l")
    found = outcome(selection.read, text)
    if isinstance(found, selection.Selection):
        chosen = outcome(selection.select, found, [asset])
        assert isinstance(chosen, errors.DaglabError) or chosen in ([], [asset])


# --- files


@tried
@given(st.dictionaries(plain, values, max_size=4))
def test_run_config_comes_back_as_it_was_written(body: dict[str, Any]) -> None:
    assert parse.run_config(json.dumps(body), "run config") == json.loads(json.dumps(body))
    assert parse.run_config(yaml.safe_dump(body, allow_unicode=True), "run config") == body


YAML = [
    "a: ",
    "b:\n  ",
    "- ",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "!!python/name:os.system ",
    "0x",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\n",
    "1e9",
    "~",
    "? ",
]
KEYS = [
    "dagster:\n  ",
    "url: ",
    "auth:\n    ",
    "headers: ",
    "models: ",
    "environments:\n  ",
    "credentials: ",
    "token: ",
    "port: ",
]


@tried
@given(st.lists(st.sampled_from(YAML) | texts, max_size=10).map("".join))
@example("a: 0x" + "f" * 5000)
@example("a: 1" + ":0" * 2000)
@example("a: !!python/object/apply:os.abort []")
def test_any_text_is_run_config_or_refused(text: str) -> None:
    found = outcome(parse.run_config, text, "run config")
    assert isinstance(found, errors.InvalidInput) or json.loads(json.dumps(found)) == found


@settings(tried, max_examples=80)
@given(st.lists(st.sampled_from(KEYS + YAML) | texts, max_size=8).map("".join))
def test_any_text_is_a_config_or_refused(folder: Path, text: str) -> None:
    """Nothing that a project's file says makes daglab fail otherwise, and the values that it takes can be shown."""
    path = folder / "daglab.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    found = outcome(functools.partial(config.load, directory=folder, environ={"HOME": str(folder)}))
    if isinstance(found, config.Config):
        json.dumps([found.shown(name) for name in found.origins])


LINES = ["A", "=", " ", "export ", "'", '"', "#", "\\", "${A}", "${B:-c}", "${", "\n", "\r\n", "\ufeff", "\0", "\u2028"]


@settings(tried, max_examples=80)
@given(st.lists(st.sampled_from(LINES) | texts, max_size=12).map("".join))
@example("A='" + "\\'" * 20_000)
@example("A=a\0b")
def test_any_text_is_an_environment_file_or_refused(text: str) -> None:
    """And what it says can be an environment."""
    found = outcome(env_files.parse, text, {"B": "b"}, "file")
    if isinstance(found, errors.DaglabError):
        assert isinstance(found, errors.InvalidInput)
        assert found.message.startswith("file:")
    else:
        assert fits(found, dict[str, str])
        assert not any("\0" in name + value or "=" in name for name, value in found.items())


@tried
@given(st.dictionaries(words, st.text(st.characters(exclude_characters="\0$"), max_size=20), max_size=4))
def test_variables_come_back_as_they_were_quoted(variables: dict[str, str]) -> None:
    escaped = {name: text.replace("\\", "\\\\").replace("'", "\\'") for name, text in variables.items()}
    text = "".join(f"export {name}='{text}'  # said\n" for name, text in escaped.items())
    assert env_files.parse(text, {}, "file") == variables


@tried
@given(st.integers(1, 65535), words, st.lists(words, max_size=3))
def test_a_value_that_is_set_is_read_again(port: int, name: str, operations: list[str]) -> None:
    text = "# kept\ndagster:\n  host: a.test  # and this\n"
    expected = {"dagster.port": port, "dagster.repository_name": name, "security.allowed_operations": operations}
    for key, value in expected.items():
        text = config_edit.set_value(text, tuple(key.split(".")), value, "daglab.yaml")
        assert config_edit.set_value(text, tuple(key.split(".")), value, "daglab.yaml") == text
    found = {entry.key: entry.value for entry in config_files.entries(text, Path("daglab.yaml"))}
    assert found == {"dagster.host": "a.test", **expected}
    assert "# kept" in text
    assert "# and this" in text


@tried
@given(
    st.lists(st.dictionaries(words, values, max_size=3), max_size=4),
    st.binary(max_size=20),
)
def test_lines_that_were_appended_are_there_whatever_was_left_before(
    folder: Path, records: list[dict[str, Any]], torn: bytes
) -> None:
    path = folder / "lines.jsonl"
    path.write_bytes(torn)
    for record in records:
        json_lines.append(path, record)
    found = json_lines.read(path)
    expected = [json.loads(json.dumps(record).encode("utf-8", "replace")) for record in records]
    assert found[len(found) - len(records) :] == [cleaned(each) for each in expected]
    assert len(found) - len(records) in (0, 1)
    assert list(json_lines.backwards(path))[::-1] == path.read_bytes().split(b"\n")


def cleaned(value: Any) -> Any:
    """As a file in UTF-8 holds it: half a letter is a question mark."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


@tried
@given(st.binary(max_size=60))
def test_any_bytes_are_lines_or_left_out(folder: Path, content: bytes) -> None:
    path = folder / "any.jsonl"
    path.write_bytes(content)
    left_out: list[int] = []
    assert len(json_lines.read(path, left_out)) + len(left_out) == len(content.splitlines())


STREAM = {"output_type": "stream", "name": "stdout", "text": "x"}
RESULT = {"output_type": "execute_result", "data": {"text/plain": ["2"]}, "metadata": {}, "execution_count": 1}
PICTURE = {"p.png": {"image/png": "aGk="}}
MARKDOWN = {"cell_type": "markdown", "id": "a", "metadata": {"tags": ["x"]}, "source": ["# T"], "attachments": PICTURE}
CODE = {"cell_type": "code", "id": "b", "metadata": {}, "execution_count": 1, "source": "1"}
SHOWN = {**CODE, "outputs": [STREAM, RESULT]}
NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "language": "python"}, "title": "T", "authors": [{"name": "A"}]},
    "cells": [MARKDOWN, SHOWN],
}


@settings(tried, max_examples=80)
@given(changed(NOTEBOOK))
def test_a_notebook_is_read_or_refused_whatever_is_wrong_in_it(folder: Path, notebook: Any) -> None:
    path = folder / "n.ipynb"
    path.write_text(json.dumps(notebook))
    found = outcome(jupyter.read, path)
    if isinstance(found, cells.Jupyter):
        for each in found.cells:
            each.source.encode()


@tried
@given(
    st.binary(max_size=80) | st.sampled_from([b"[" * 9000, b'{"cells": ' * 500, b'{"nbformat": ' + b"9" * 5000 + b"}"])
)
def test_any_bytes_are_a_notebook_or_refused(folder: Path, content: bytes) -> None:
    path = folder / "n.ipynb"
    path.write_bytes(content)
    assert isinstance(outcome(jupyter.read, path), (errors.InvalidInput, cells.Jupyter))


ENDLESS = "[" + ", ".join(["&a0 [x]", *(f"&a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))]) + "]"


@pytest.mark.parametrize(
    "keys", ["dagster:\n  auth:\n    headers:\n      X-A: ", "models: ", "notebooks_dir: ", "unknown: "]
)
def test_aliases_of_aliases_are_refused(folder: Path, keys: str) -> None:
    """They stand for 10^11 values in a few lines: what makes text of them first takes all time and memory."""
    (folder / "daglab.yaml").write_text(keys + ENDLESS)
    with pytest.raises(errors.InvalidInput, match="more than 10000 values"):
        config.load({}, directory=folder, environ={"HOME": str(folder)})
    with pytest.raises(errors.InvalidInput, match="more than 1000000 values"):
        parse.run_config(f"a: {ENDLESS}", "run config")


# --- archives


def member(name: str, content: bytes, **more: Any) -> bytes:
    about = tarfile.TarInfo(name)
    about.size = len(content)
    for key, value in more.items():
        setattr(about, key, value)
    return about.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def manifest(**more: Any) -> dict[str, Any]:
    entry = {"path": "notebooks/a.py", "size": 1, "mode": 0o644, "sha256": hashlib.sha256(b"x").hexdigest()}
    about = {"v": 1, "project": "p", "created": "2026-11-01T00:00:00+00:00", "notebooks_dir": "notebooks"}
    return {**about, "files": [entry], **more}


def archive(head: Any, *rest: bytes) -> bytes:
    return gzip.compress(b"".join([member("manifest.json", json.dumps(head).encode()), *rest, bytes(1024)]), 1)


GOOD = archive(manifest(), member("notebooks/a.py", b"x"))


def read_archive(folder: Path, content: bytes) -> tuple[Any, dict[str, bytes]]:
    path, taken = folder / "a.tar.gz", {}
    path.write_bytes(content)

    def take(entry: Any, blocks: Any) -> None:
        taken[entry.path] = b"".join(blocks)

    return outcome(archives.read, path, None, take), taken


@tried
@given(changed(manifest()))
def test_an_archive_is_what_its_manifest_says_or_refused(folder: Path, head: Any) -> None:
    found, taken = read_archive(folder, archive(head, member("notebooks/a.py", b"x")))
    assert isinstance(found, errors.InvalidInput) or taken == {"notebooks/a.py": b"x"}


PARTS = [
    "..",
    ".",
    "",
    "/",
    "a",
    "notebooks",
    "daglab.yaml",
    ".daglab",
    ".git",
    "\x00",
    "\ud800",
    "é",
    "e\u0301",
    "A" * 300,
    "~",
    "C:",
    "\\",
]


@tried
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("/".join))
@example("notebooks/\ud800")
def test_no_path_of_an_archive_leads_elsewhere(folder: Path, path: str) -> None:
    head = manifest(files=[{**manifest()["files"][0], "path": path}])
    found, taken = read_archive(folder, archive(head, member("notebooks/a.py", b"x")))
    assert not taken or os.path.realpath(folder / next(iter(taken))).startswith(os.path.realpath(folder) + os.sep)
    assert taken == {} or found is not None


@tried
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255), st.booleans())
def test_a_damaged_archive_is_refused_or_the_same(folder: Path, place: int, bits: int, cut: bool) -> None:
    damaged = GOOD[:place] if cut else GOOD[:place] + bytes([GOOD[place] ^ bits]) + GOOD[place + 1 :]
    found, taken = read_archive(folder, damaged)
    assert isinstance(found, errors.InvalidInput) or taken == {"notebooks/a.py": b"x"}


@pytest.mark.parametrize("size", ["9" * 5000, "9" * 21, "", "-1", "1_0"])
def test_an_extended_header_says_no_strange_size(folder: Path, size: str) -> None:
    """Python refuses to read a number of more than 4300 digits."""
    said = f"99 size={size}\n".encode()
    content = archive(manifest(), member("x", said, type=tarfile.XHDTYPE), member("notebooks/a.py", b"x"))
    found, taken = read_archive(folder, content)
    assert isinstance(found, errors.InvalidInput)
    assert taken == {}


SCHEMA = {"class": "Docs", "properties": [{"name": "a", "dataType": ["text"]}]}
HEAD = archive_lines.Head("Docs", SCHEMA, None, "1.39.0", "1", "2026-11-01T00:00:00+00:00")
OBJECT = {"class": "Docs", "id": "00000000-0000-4000-8000-000000000001", "properties": {"a": "b"}, "vector": [1.0, 2.0]}


def collection(head: Any, found: Any) -> bytes:
    """A backup of a collection with a sum that is right."""
    chain, members = (
        archive_lines.START,
        [gzip.compress(json.dumps(each).encode() + b"\n", 1, mtime=0) for each in (head, found)],
    )
    for each in members:
        chain = archive_lines.summed(chain, each)
    return b"".join([*members, archive_lines.end_member(archive_lines.End(1, chain.hex()))])


WHOLE_HEAD = {"format": archive_lines.FORMAT, "version": archive_lines.VERSION, **vars(HEAD)}


@settings(tried, max_examples=80)
@given(st.tuples(changed(WHOLE_HEAD), st.just(OBJECT)) | st.tuples(st.just(WHOLE_HEAD), changed(OBJECT)))
@example((WHOLE_HEAD, OBJECT))
def test_a_backup_of_a_collection_is_whole_or_refused(folder: Path, both: tuple[Any, Any]) -> None:
    path = folder / "c.jsonl.gz"
    path.write_bytes(collection(*both))
    found = outcome(archive_lines.check, path)
    assert isinstance(found, archive_lines.Broken) or found[1].objects == 1


def test_the_backup_that_is_changed_above_is_good(folder: Path) -> None:
    path = folder / "c.jsonl.gz"
    path.write_bytes(collection(WHOLE_HEAD, OBJECT))
    assert archive_lines.check(path)[1].objects == 1
    assert read_archive(folder, GOOD)[1] == {"notebooks/a.py": b"x"}
