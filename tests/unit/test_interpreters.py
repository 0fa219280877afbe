"""A Python that somebody else's config names is asked, and told no secret."""

from __future__ import annotations

import os
from pathlib import Path

from daglab import interpreters


def test_a_python_that_is_asked_gets_no_secret(tmp_path: Path) -> None:
    python, told = tmp_path / "python", tmp_path / "told"
    python.write_text(f"#!/bin/sh\nenv > '{told}'\n")
    python.chmod(0o755)
    secrets = {"AWS_SECRET_ACCESS_KEY": "s1", "OPENAI_API_KEY": "s2", "GH_TOKEN": "s3", "DB_PASSWORD": "s4"}
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **secrets}
    found = interpreters.look(str(python), ["marimo"], cwd=tmp_path, env=env)
    assert found.flaw
    names = {line.partition("=")[0] for line in told.read_text().splitlines()}
    assert {"PATH", "LANG"} <= names
    assert not names & set(secrets)
