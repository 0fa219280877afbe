"""A daglab that is forked for a test comes to the same as one that is started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import forks


def started(arguments: list[str], env: Mapping[str, str], cwd: Path, given: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "daglab", *arguments]
    done = subprocess.run(command, env=env, cwd=cwd, input=given, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["no-such-command"],
        ["config", "show", "--origin"],
        ["config", "set", "dagster.port", "3100"],
        ["config", "get", "dagster.port", "--json"],
        ["clean", "--categories", "nothing", "--json"],
        ["collections", "ls", "--cluster", "http://127.0.0.1:9", "--json"],
    ],
    ids=" ".join,
)
def test_it_says_and_ends_as_one_that_is_started(forked: forks.Server, tmp_path: Path, arguments: list[str]) -> None:
    env = {**os.environ, "DAGLAB_DAGSTER__HOST": "from.the.environment", "DAGLAB_WEAVIATE__MAX_RETRIES": "0"}
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "daglab.yaml").write_text("dagster: {port: 3001}\n")
    new = started(arguments, env, tmp_path / "one", "given\n")
    (tmp_path / "one" / "daglab.yaml").write_text("dagster: {port: 3001}\n")
    done = forked.run(arguments, env, tmp_path / "one", "given\n", 60)
    assert (done.returncode, done.stdout, done.stderr) == new


def test_what_may_not_be_the_same_is_started(forked: forks.Server, tmp_path: Path) -> None:
    env = dict(os.environ)
    assert forked.fits(env, tmp_path)
    assert not forked.fits({**env, "PYTHONUTF8": "0"}, tmp_path)
    (tmp_path / "yaml.py").touch()
    assert not forked.fits(env, tmp_path)


def test_one_that_takes_too_long_is_killed(forked: forks.Server, tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        forked.run(["status", "--watch", "60"], dict(os.environ), tmp_path, None, 1)
