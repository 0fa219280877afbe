"""A user for each test, and a second Dagster, which may be broken."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from daglab import processes
from tests import users


@pytest.fixture
def user(tmp_path: Path, need: Callable[[object, str], None]) -> Iterator[users.User]:
    """Somebody with an empty home and an empty folder, who leaves no process behind."""
    need(users.DAGLAB.exists(), f"daglab is not installed beside {users.DAGLAB.parent}/python")
    (tmp_path / "work").mkdir()
    mark = uuid.uuid4().hex
    yield users.User(tmp_path / "work", {"HOME": os.environ["HOME"], users.MARK: mark})
    left = users.marked(mark)
    users.end(mark)
    assert left == {}


@pytest.fixture
def shop(user: users.User) -> users.User:
    """The user in a new project, whose ports nobody else has."""
    dagster, marimo, dashboard = (processes.find_free_port() for _ in range(3))
    user.types("init", "--bootstrap", "shop", "--ports", f"dagster={dagster},marimo={marimo}")
    return user.at("shop", DAGLAB_DASHBOARD__PORT=str(dashboard))


@pytest.fixture(scope="session")
def second(serving: Callable[..., AbstractContextManager[Any]]) -> Iterator[Any]:
    with serving("held") as served:
        yield served


@pytest.fixture
def held(second: Any) -> Any:
    """A deployment whose runs go on until the file `release` is in its project; whoever breaks it mends it again."""
    (second.project / "release").unlink(missing_ok=True)
    return second
