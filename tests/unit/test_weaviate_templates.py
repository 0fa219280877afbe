"""Templates of a project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daglab import errors
from daglab.weaviate import templates


def test_a_template_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = templates.save(tmp_path, "good", {"class": "Docs"}, force=False)
    pipe = path.with_name("pipe.json")
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    os.write(held, b"{}")  # with a writer that stays: a reader that opens it waits for its end
    try:
        with pytest.raises(errors.InvalidInput, match="no ordinary file"):
            templates.load(tmp_path, "pipe")
    finally:
        os.close(held)
    assert templates.load(tmp_path, "good")["class"] == "Docs"
