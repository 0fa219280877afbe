"""A user at work: daglab as it is installed, a home and a folder of their own, all that it prints kept.

Also what all of these tests ask without daglab: which processes are left, and what a Dagster knows.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import requests

DAGLAB = Path(sys.executable).with_name("daglab")
MARK = "TEST_USER_MARK"


@dataclass(frozen=True)
class User:
    """Somebody in a folder, with variables of their own; `said` is all that the commands have printed so far."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def at(self, folder: str | Path, **variables: str) -> User:
        """The same user in another folder, who has set these variables, too."""
        return replace(self, folder=self.folder / folder, variables={**self.variables, **variables})

    def types(
        self, *arguments: str, exit_code: int = 0, before: Callable[[], object] | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """A command of daglab's that ends with this exit code; `before` is called in its process first."""
        done = self.runs(str(DAGLAB), *arguments, exit_code=exit_code, before=before, **variables)
        assert "Traceback (most recent call last)" not in done.stderr, done
        return done

    def runs(
        self, *command: str, exit_code: int = 0, before: Callable[[], object] | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Any command, without a terminal."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment(), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
            preexec_fn=before,
        )
        self.said.extend((done.stdout, done.stderr))
        assert done.returncode == exit_code, done
        return done

    def asks(self, *arguments: str, exit_code: int = 0, **variables: str) -> Any:
        """The document that a command prints with --json."""
        return json.loads(self.types(*arguments, "--json", exit_code=exit_code, **variables).stdout)

    @contextlib.contextmanager
    def begins(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command at work; it is ended where it has not ended by itself."""
        process = subprocess.Popen(
            [DAGLAB, *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.terminate()

    def environment(self) -> dict[str, str]:
        """A virtual environment's programs are on the PATH."""
        return {**os.environ, "PATH": f"{DAGLAB.parent}:/usr/local/bin:/usr/bin:/bin", **self.variables}


def document(process: subprocess.Popen[str]) -> Any:
    """The first JSON document that a process prints, which goes on."""
    text = ""
    for line in process.stdout or ():
        text += line
        with contextlib.suppress(ValueError):
            return json.loads(text)
    raise AssertionError(f"it has ended with {process.wait()}: {text}{process.stderr and process.stderr.read()}")


def read_to(stream: IO[str] | None, text: str) -> str:
    """The line with `text`, which is waited for."""
    lines = []
    for line in stream or ():
        lines.append(line)
        if text in line:
            return line
    raise AssertionError(f"{text!r} is not in {lines}")


def marked(mark: str) -> dict[int, str]:
    """The processes that began with this mark in their environment, by /proc."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


def end(mark: str) -> None:
    """Kill what carries the mark."""
    for pid in marked(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def graphql(url: str, query: str, **variables: Any) -> Any:
    """The data of Dagster's own answer."""
    answer = requests.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
    assert "errors" not in answer, answer["errors"]
    return answer["data"]
