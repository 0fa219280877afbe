"""Where the config comes from, and what looks as if it should be in it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from daglab import errors, files, parse
from daglab.doctor import findings
from daglab.doctor.findings import Finding, Project
from daglab.settings import config, config_files, config_keys

PREFIX = "DAGLAB_"


def load(directory: Path, flags: Mapping[str, Any]) -> Project:
    """The project around a directory, with the defaults where its config is not valid."""
    environ = dict(os.environ)
    try:
        settings = config.load(flags, directory=directory)
        return Project(settings.root, settings, environ, None, flags)
    except errors.DaglabError as error:
        settings = config.defaults(directory)
        return Project(settings.root, settings, environ, error, flags)


def look(project: Project) -> Iterator[Finding]:
    """Whether the config is valid, and which files and variables take part."""
    if project.flaw:
        yield findings.problem("config", project.flaw.message, project.flaw.hint or "Mend it.")
    elif project.settings.file is None:
        yield findings.warning(
            "config", f"There is no daglab.yaml in {project.root}.", "Set the project up: daglab init"
        )
    else:
        named = [str(path) for path in config_paths(project)]
        used = [*named, *(name for name in variables(project.environ) if name in project.environ)]
        shown = f", environment {project.settings.environment}" if project.settings.environment else ""
        yield findings.fine("config", f"valid: {', '.join(used)}{shown}")
    yield from _misspelt(project)
    yield from _token_files(project)


def config_paths(project: Project) -> list[Path]:
    """The config files that take part: the project's, the user's own."""
    found = [project.settings.file] if project.settings.file else []
    try:
        own = config.user_path(project.environ)
        return [*found, *([own] if own.is_file() else [])]
    except (errors.NotSetUp, OSError):
        return found


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that stand for a key, and the key; and `DAGLAB_ENV`."""
    known = {PREFIX + name.upper().replace(".", "__"): name for name in config_keys.known()}
    return {**known, config.ENVIRONMENT: "environment"}


def _misspelt(project: Project) -> Iterator[Finding]:
    """Variables that daglab does not know and that look as if they were for it: one underscore, another letter."""
    known = variables(project.environ)
    named = {*known, *project.settings.token_variables}
    near: dict[str, str] = {}
    for name in sorted(project.environ):
        if name.startswith(PREFIX) and name not in named:
            meant = _meant(name, list(known))
            if meant:
                near[name] = meant
            elif "__" in name:
                near[name] = "no key"
    if near:
        listed = ", ".join(f"{name} ({meant}?)" for name, meant in near.items())
        yield findings.warning(
            "variables",
            f"These variables change nothing: {listed}.",
            "A variable is DAGLAB_SECTION__KEY; `daglab config docs` lists the keys.",
        )
    else:
        yield findings.fine("variables", "no variable looks like a misspelt one")


def _meant(name: str, known: list[str]) -> str | None:
    """The variable that another was to be: the same but for underscores and case, else one that is very near."""
    plain = name.replace("_", "").upper()
    same = next((each for each in known if each.replace("_", "") == plain), None)
    if same or "__" not in name:
        return same
    hint = parse.did_you_mean(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known])
    return PREFIX + hint.split()[3].rstrip("?") if hint else None


def _token_files(project: Project) -> Iterator[Finding]:
    """Files that hold a token and that others can read."""
    settings = project.settings
    named = {auth.token_file for auth in (settings.dagster.auth, *settings.credentials.values()) if auth.token_file}
    loose = []
    for name in sorted(named):
        path = Path(name).expanduser()
        try:
            if path.stat().st_mode & 0o077:
                loose.append(findings.quoted(path))
        except OSError:
            continue  # whether it is needed shows where it is read
    if loose:
        files_named = " ".join(loose)
        yield findings.warning("token.file", f"Others can read {files_named}.", f"chmod 600 {files_named}")


def flaws(project: Project) -> Iterator[tuple[Path, str]]:
    """Every flaw of the config files, and not the first alone; each names its line."""
    for path in config_paths(project):
        trusted = path != project.settings.file
        try:
            text = files.read_text(path, "config file")
            scalars = parse.yaml_scalars(text, str(path))
        except errors.DaglabError as error:
            yield path, error.message
            continue
        for scalar in scalars:
            line = config_files.Entry(scalar.path, scalar.value, f"{path}:{scalar.line}")
            if flaw := config.flaw(line, trusted=trusted):
                yield path, flaw.message
