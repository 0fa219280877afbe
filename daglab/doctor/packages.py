"""The Pythons and the packages: what is there, in which version, what is missing, and what hides it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from daglab import errors, files, interpreters, processes
from daglab.authoring import projects
from daglab.dev import services
from daglab.doctor import findings
from daglab.doctor.findings import Finding, Project
from daglab.interpreters import Installed, Version

# What daglab was tried with: the oldest that will do, and the newest.
OLDEST_PYTHON: Version = (3, 10)
TRIED: dict[str, tuple[Version, Version]] = {"dagster": ((1, 5), (1, 13)), "marimo": ((0, 22), (0, 25))}
# A package below a version does not work with another from a version on: why, and what to install instead.
BAD_PAIRS = (
    (
        "dagster",
        (1, 6),
        "setuptools",
        (81,),
        "Dagster 1.5 imports pkg_resources, which setuptools has not any more",
        "setuptools<81",
    ),
)
TOGETHER = ("dagster-webserver", "dagster-graphql")  # released with dagster, in the same version
CHECK_SECONDS = 120.0
DISTRIBUTIONS = ("dagster", *TOGETHER, "marimo", "setuptools", "daglab", "pip")
MODULES = ("dagster", "marimo")


def installed(project: Project) -> Installed:
    """What the project's Python has; with a `flaw` where it does not work."""
    environ = processes.without_secrets(project.environ, project.settings.token_variables)
    python = project.settings.python_for(project.root)
    return interpreters.look(python, DISTRIBUTIONS, MODULES, cwd=project.root, env=environ)


def look(project: Project) -> list[Finding]:
    """The findings about both Pythons, the packages, and what hides them."""
    there = installed(project)
    found = [own_python(sys.version_info[:3]), *project_python(project, there)]
    if there.flaw is None:
        found += [*dagster(project, there), *marimo(there), *pairs(there)]
    return [*found, *hidden(project)]


def own_python(version: Version) -> Finding:
    """The Python that runs daglab."""
    shown = _text(version)
    if version < OLDEST_PYTHON:
        return findings.problem(
            "daglab.python", f"daglab runs on Python {shown}.", f"Install it for {_text(OLDEST_PYTHON)} or newer."
        )
    return findings.fine("daglab.python", f"Python {shown} runs daglab: {sys.executable}")


def project_python(project: Project, there: Installed) -> Iterator[Finding]:
    """The project's Python, and whether all commands mean the same."""
    name = "dagster.python"
    if there.flaw is not None:
        yield findings.problem(
            name, there.flaw, "Name the project's own: daglab config set dagster.python PATH, or make a .venv in it."
        )
        return
    shown = f"Python {_text(there.version)} runs the project: {there.python}"
    other = services.find_python(project.settings, None, project.environ)
    if there.version < OLDEST_PYTHON:
        yield findings.problem(name, shown, f"Take {_text(OLDEST_PYTHON)} or newer: daglab config set {name} PATH")
    elif os.path.dirname(os.path.abspath(other)) != os.path.dirname(os.path.abspath(there.python)):
        yield findings.warning(
            name,
            f"{shown}; but daglab dev would take {other}, of the active environment.",
            f"Name one for both: daglab config set {name} {findings.quoted(other)}",
        )
    else:
        yield findings.fine(name, shown)


def dagster(project: Project, there: Installed) -> Iterator[Finding]:
    """Dagster and what is released with it."""
    version = there.versions.get("dagster")
    if version is None and not projects.is_loaded_by_dagster(project.root):
        yield findings.skipped("dagster", f"not installed in {there.python}; only `daglab dev` would need it here")
        return
    needed = ("dagster", "dagster-webserver")
    missing = [name for name in needed if there.versions.get(name) is None]
    if missing:
        command = install(there, *(name if version is None else f"{name}=={version}" for name in missing))
        yield findings.problem("dagster", f"{there.python} has no {' and no '.join(missing)}.", command)
    if version is None:
        return
    yield _tried("dagster", version, install(there, "dagster>=1.5", "dagster-webserver>=1.5"))
    different = [name for name in TOGETHER if there.versions.get(name) not in (None, version)]
    if different:
        listed = ", ".join(f"{name} {there.versions[name]}" for name in different)
        command = install(there, *(f"{name}=={version}" for name in ("dagster", *different)))
        yield findings.problem("dagster.versions", f"dagster is {version}, and beside it {listed}.", command)


def marimo(there: Installed) -> Iterator[Finding]:
    """marimo, which opens and exports notebooks."""
    version = there.versions.get("marimo")
    if version is None:
        yield findings.problem("marimo", f"{there.python} has no marimo.", install(there, "marimo>=0.22"))
    else:
        yield _tried("marimo", version, install(there, "marimo>=0.22"))


def pairs(there: Installed) -> Iterator[Finding]:
    """Versions that are known not to go together."""
    for first, below, second, since, why, instead in BAD_PAIRS:
        one, other = (release(there.versions.get(name) or "") for name in (first, second))
        if one and other and one < below and other >= since:
            yield findings.problem(f"{first}.versions", f"{why} ({second} {_text(other)}).", install(there, instead))


def install(there: Installed, *requirements: str) -> str:
    """The command that installs something for a Python, with its own pip where it has one."""
    python = findings.quoted(there.python)
    words = " ".join(map(shlex.quote, requirements))
    if there.versions.get("pip"):
        return f"{python} -m pip install {words}"
    return f"uv pip install --python {python} {words}"


def hidden(project: Project) -> Iterator[Finding]:
    """Files of the project that Python finds instead of an installed package."""
    found = [
        path
        for folder in _searched(project)
        for module in MODULES
        for path in (folder / module / "__init__.py", folder / f"{module}.py")
        if path.is_file() and not _is_installed(folder, module)
    ]
    for path in found:
        empty = path.name == "__init__.py" and path.stat().st_size == 0
        remedy = (
            f"Delete it: rm {findings.quoted(path)}" if empty else "Give it another name; code that imports it, too."
        )
        name = path.parent.name if path.name == "__init__.py" else path.stem
        yield findings.problem("hidden", f"{path} hides the installed package {name}.", remedy)
    if not found:
        yield findings.fine("hidden", "nothing in the project hides dagster or marimo")


def dependencies(project: Project) -> list[Finding]:
    """What pip says of the packages of the project's Python, beside each other."""
    name = "dependencies"
    python = project.settings.python_for(project.root)
    environ = processes.without_secrets(project.environ, project.settings.token_variables)
    environ = interpreters.without_any_secret(environ)
    try:
        # Not in the project's folder, whose modules would be found first.
        done = processes.run([_whole(python), "-m", "pip", "check"], timeout=CHECK_SECONDS, cwd=Path("/"), env=environ)
    except errors.NotSetUp as error:
        return [findings.skipped(name, error.message)]
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.timed_out:
        return [findings.skipped(name, f"pip check was not done after {CHECK_SECONDS:.0f} s")]
    if done.returncode == 0:
        return [findings.fine(name, lines[-1] if lines else "pip check finds nothing")]
    if not lines:  # pip itself does not work
        said = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1]
        return [findings.skipped(name, f"{said}; `uv pip check --python {findings.quoted(python)}` tells it, too")]
    remedy = f"{findings.quoted(python)} -m pip install --upgrade PACKAGE, for those that it names"
    return [findings.problem(name, f"{len(lines)} packages do not go together: {'; '.join(lines[:10])}", remedy)]


def release(version: str) -> Version:
    """The numbers that a version begins with: 1.13.2 of `1.13.2rc1`; none for what is no version."""
    begin = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in begin[0].split(".")) if begin else ()


def _tried(name: str, version: str, command: str) -> Finding:
    oldest, newest = TRIED[name]
    found = release(version)
    if found < oldest:
        return findings.problem(name, f"{name} {version} is too old: {_text(oldest)} is needed.", command)
    if found[: len(newest)] > newest:
        return findings.warning(
            name,
            f"{name} {version} is newer than what daglab was tried with ({_text(newest)}).",
            "Go on, and look whether daglab has a newer version when something goes wrong.",
        )
    return findings.fine(name, f"{name} {version}")


def _searched(project: Project) -> list[Path]:
    """The folders that Python looks into before the installed packages."""
    notebooks = project.root / project.settings.notebooks_dir
    inside = [folder for folder in (notebooks, *notebooks.parents) if files.inside(project.root, folder) is not None]
    named = [Path(part) for part in project.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(part)]
    return list(dict.fromkeys([project.root, *inside, *named]))


def _is_installed(folder: Path, module: str) -> bool:
    """Whether a folder is where packages are installed, or where this one is made."""
    return (
        any(next(folder.glob(f"{module}-*.{kind}"), None) for kind in ("dist-info", "egg-info"))
        or (folder / f"{module}.egg-info").exists()
    )


def _whole(python: str) -> str:
    return os.path.abspath(python) if os.sep in python else python


def _text(version: Version) -> str:
    return ".".join(map(str, version))
