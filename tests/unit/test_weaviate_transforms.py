"""A transform file in its child process, without a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daglab import errors
from daglab.commands.collection import copying
from daglab.settings import config
from daglab.weaviate.copying import transforms

OBJECTS: list[dict[str, Any]] = [
    {
        "id": f"00000000-0000-4000-8000-{n:012d}",
        "properties": {"n": n},
        "vector": [0.1, n],
        "vectors": {"m": [[1.5, 2.0], [3.0, 4.0]]},
    }
    for n in range(250)
]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def opened(tmp_path: Path, said: list[str], request: pytest.FixtureRequest) -> Iterator[transforms.Transform]:
    path = tmp_path / "t.py"
    path.write_text(request.param)
    with transforms.opened(path, [sys.executable], dict(os.environ), 20, said.append) as transform:
        yield transform


@pytest.mark.parametrize("opened", ["def transform(obj):\n    return obj\n"], indirect=True)
def test_what_is_left_as_it_is_comes_back_the_same(opened: transforms.Transform) -> None:
    assert transforms.changed(opened, OBJECTS) == OBJECTS
    assert transforms.schema(opened, {"class": "A"}) == {"class": "A"}


@pytest.mark.parametrize(
    "opened",
    [
        "print('loaded')\n"
        "def transform(obj):\n"
        "    print('seen', obj['properties']['n'])\n"
        "    if obj['properties']['n'] == 3: return None\n"
        "    obj['vector'][1] = 7.5\n"
        "    obj['vectors'] = {'m': [[9, 9.5]], 'x': [1]}\n"
        "    return obj\n"
        "def transform_schema(schema):\n"
        "    return {**schema, 'description': 'x'}\n"
    ],
    indirect=True,
)
def test_what_is_changed_comes_back_changed(opened: transforms.Transform, said: list[str]) -> None:
    found = transforms.changed(opened, OBJECTS[:5])
    assert found[3] is None
    assert found[4] == {
        "id": OBJECTS[4]["id"],
        "properties": {"n": 4},
        "vector": [0.1, 7.5],
        "vectors": {"m": [[9.0, 9.5]], "x": [1.0]},
    }
    assert transforms.schema(opened, {"class": "A"}) == {"class": "A", "description": "x"}
    assert said == ["loaded", *(f"seen {n}" for n in range(5))]


@pytest.mark.parametrize("opened", ["def transform(obj):\n    return {**obj, 'class': 'B'}\n"], indirect=True)
def test_what_has_no_place_in_an_object_is_refused(opened: transforms.Transform) -> None:
    with pytest.raises(errors.NotGood, match="it has class beside id"):
        transforms.changed(opened, OBJECTS[:1])


@pytest.mark.parametrize("opened", ["def transform(obj):\n    return 1 / obj['properties']['n']\n"], indirect=True)
def test_a_failure_names_object_file_and_line(opened: transforms.Transform) -> None:
    with pytest.raises(errors.NotGood, match=rf"t\.py, line 2, object {OBJECTS[0]['id']}: ZeroDivisionError"):
        transforms.changed(opened, OBJECTS)
    with pytest.raises(errors.NotGood, match="a float"):  # it goes on answering
        transforms.changed(opened, OBJECTS[1:])


def test_nothing_of_it_is_left(tmp_path: Path) -> None:
    path = tmp_path / "t.py"
    path.write_text("import os\nprint(os.getpid())\ndef transform(obj):\n    while True: pass\n")
    said: list[str] = []
    with (
        pytest.raises(errors.TimedOut),
        transforms.opened(path, [sys.executable], dict(os.environ), 3, said.append) as transform,
    ):
        transforms.changed(transform, OBJECTS)
    with pytest.raises(ProcessLookupError):
        os.kill(int(said[0]), 0)


@pytest.mark.parametrize(
    "text", ["x = 1\n", "def transform(obj):\n", "import gone_module\n"], ids=["no function", "no code", "no module"]
)
def test_a_file_that_can_not_be_used_is_refused(tmp_path: Path, said: list[str], text: str) -> None:
    path = tmp_path / "t.py"
    path.write_text(text)
    with (
        pytest.raises(errors.InvalidInput, match="can't be used"),
        transforms.opened(path, [sys.executable], dict(os.environ), 20, said.append),
    ):
        pytest.fail("it was used")


@pytest.mark.parametrize(
    "opened",
    ["import os\ndef transform(obj):\n    print('so far', end='', flush=True)\n    os._exit(3)\n"],
    indirect=True,
)
def test_a_process_that_ends_leaves_its_last_words(opened: transforms.Transform, said: list[str]) -> None:
    with pytest.raises(errors.NotGood, match=r"runs .*t\.py has ended") as refused:
        transforms.changed(opened, OBJECTS[:1])
    assert refused.value.hint == "It printed last:\nso far"
    assert said == ["so far"]
    with pytest.raises(errors.NotGood, match="has ended"):  # asked again, it is not waited for
        transforms.changed(opened, OBJECTS[:1])


@pytest.mark.parametrize("opened", ["import os\ndef transform(obj):\n    os._exit(3)\n"], indirect=True)
def test_a_process_that_ends_without_a_word(opened: transforms.Transform) -> None:
    with pytest.raises(errors.NotGood) as refused:
        transforms.changed(opened, OBJECTS[:1])
    assert "It printed nothing" in str(refused.value.hint)


@pytest.mark.parametrize("opened", ["def transform(obj):\n    return obj\n"], indirect=True)
def test_an_object_without_vectors_stays_without(opened: transforms.Transform) -> None:
    [found] = transforms.changed(opened, [{"id": OBJECTS[0]["id"], "properties": None}])
    assert found is not None
    assert not found.get("vector")
    assert not found.get("vectors")


def test_another_text_is_another_transform(tmp_path: Path) -> None:
    path = tmp_path / "t.py"
    path.write_text("a = 1\n")
    before = transforms.identity(path)
    path.write_text("a = 2\n")
    assert transforms.identity(path) != before


@pytest.mark.parametrize("opened", ["def transform(obj):\n    return obj\n"], indirect=True)
def test_an_object_that_no_pipe_takes_at_once_comes_back_whole(opened: transforms.Transform) -> None:
    large = {**OBJECTS[0], "properties": {"text": "é" * 8 * transforms.READ}}
    assert transforms.changed(opened, [large, OBJECTS[1]]) == [large, OBJECTS[1]]


@pytest.mark.parametrize(
    "opened",
    [
        "import os, time\n"
        "def transform(obj):\n"
        "    os.closerange(3, 256)\n"
        "    time.sleep(0.1)\n"
        "    print('closed all')\n"
        "    time.sleep(60)\n"
    ],
    indirect=True,
)
def test_what_is_printed_after_the_channel_was_closed_is_passed_on(
    opened: transforms.Transform, said: list[str]
) -> None:
    with pytest.raises(errors.NotGood, match=r"runs .*t\.py has ended") as refused:
        transforms.changed(opened, OBJECTS[:1])
    assert (said, refused.value.hint) == (["closed all"], "It printed last:\nclosed all")


def test_a_transform_sees_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of both command lines' clusters, of the config's, and of Dagster; what is nobody's key stays."""
    path, own = tmp_path / "t.py", Path(os.environ["XDG_CONFIG_HOME"], "daglab", "config.yaml")
    path.write_text("import os\ndef transform(obj):\n    return {**obj, 'properties': dict(os.environ)}\n")
    entry = "{name: main, url: 'http://one.test', token_env: CLUSTER}"
    bound = "'http://two.test': {token_env: BOUND}"
    own.parent.mkdir(parents=True)
    own.write_text(f"weaviate: {{clusters: [{entry}]}}\ncredentials: {{{bound}}}\n")
    own.chmod(0o600)
    keys = ("CLUSTER", "BOUND", "FROM", "INTO", "DAGLAB_ANY_TOKEN", "DAGSTER_GRAPHQL_TOKEN", "DAGSTER_CLOUD_API_TOKEN")
    for name in keys:
        monkeypatch.setenv(name, f"the-key-of-{name}")
    monkeypatch.setenv("HARMLESS", "1")
    given = copying.Given(
        "A", "B", "http://x.test", "env:FROM", "http://y.test", "env:INTO", False, False, False, path, True, None,
        True, True,
    )  # fmt: skip
    with copying.transforming(config.load(directory=tmp_path), given) as transform:
        assert transform
        [found] = transforms.changed(transform, OBJECTS[:1])
    assert found
    seen = found["properties"]
    assert seen["HARMLESS"] == "1"
    assert "the-key-of-" not in str(seen)
