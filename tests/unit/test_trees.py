"""Files of a project are read only where they are ordinary ones, on a way of folders."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daglab.upkeep import tree


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_bytes(b"text")
    with tree.reading(tmp_path, "logs/a.log") as file:
        assert file.read() == b"text"


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "way by a link", "nothing"])
def test_what_is_no_ordinary_file_is_not_read_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    """A pipe that nobody writes to would hold up who opens it; and no descriptor is left open."""
    (tmp_path / "logs").mkdir()
    place = tmp_path / "logs" / "a.log"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "link":
        (tmp_path / "other").write_text("text")
        place.symlink_to(tmp_path / "other")
    elif kind == "way by a link":
        place.write_text("text")
        (tmp_path / "logs").rename(tmp_path / "moved")
        (tmp_path / "logs").symlink_to("moved")
    with pytest.raises(OSError), tree.reading(tmp_path, "logs/a.log"):  # noqa: PT011  each system says it otherwise
        pytest.fail("it was read")
    assert not [each for each in _opened() if each.startswith(str(tmp_path))]


def _opened() -> Iterator[str]:
    """What the descriptors of this process lead to, where the system tells."""
    listed = Path("/proc/self/fd")
    for each in listed.iterdir() if listed.is_dir() else ():
        with contextlib.suppress(OSError):
            yield str(each.readlink())
