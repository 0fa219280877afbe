"""What another Python has, asked in a child that imports nothing of the project, and neither dagster nor marimo."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daglab import errors, processes, redaction

SECONDS = 60.0
Version = tuple[int, ...]
# In the project's own Python. Its folder comes onto the path again once all is imported that this needs.
_LOOK = """
import sys
path, sys.path[:] = sys.path[:], [each for each in sys.path if each]
import importlib.util, json
try:
    from importlib import metadata
except ImportError:
    metadata = None
sys.path[:] = path
def version(name):
    try:
        return metadata.version(name)
    except Exception:
        return None
def origin(name):
    try:
        return importlib.util.find_spec(name).origin
    except Exception:
        return None
names, modules = ([name for name in each.split(",") if name] for each in sys.argv[1:])
found = {"python": sys.version_info[:3], "versions": {name: version(name) for name in names}}
print(json.dumps({**found, "origins": {name: origin(name) for name in modules}}))
"""


@dataclass(frozen=True)
class Installed:
    """What a Python has: its own version, versions by distribution, None for what is not installed.

    `origins` are the files that it would import modules from. With a `flaw`, it does not work.
    """

    python: str
    version: Version = ()
    versions: Mapping[str, str | None] = field(default_factory=dict)
    origins: Mapping[str, str | None] = field(default_factory=dict)
    flaw: str | None = None


def without_any_secret(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without what is a secret by its name, whoever's it is (`AWS_SECRET_ACCESS_KEY`)."""
    return {name: value for name, value in environ.items() if not redaction.looks_secret(name)}


def look(
    python: str, distributions: Sequence[str], modules: Sequence[str] = (), *, cwd: Path, env: Mapping[str, str]
) -> Installed:
    """Ask a Python for these distributions, and where it would find these modules, in the folder `cwd`.

    It may be one that somebody else's config names: of `env` it gets nothing that is a secret by its name.
    """
    command = [python, "-c", _LOOK, ",".join(distributions), ",".join(modules)]
    try:
        done = processes.run(command, timeout=SECONDS, cwd=cwd, env=without_any_secret(env))
    except errors.NotSetUp as error:
        return Installed(python, flaw=error.message)
    try:
        found = json.loads(done.stdout.strip().splitlines()[-1])
        return Installed(python, tuple(found["python"]), found["versions"], found["origins"])
    except (ValueError, IndexError, KeyError, TypeError):
        said = "it does not end" if done.timed_out else (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        return Installed(python, flaw=f"{python} does not work as a Python: {said}")
