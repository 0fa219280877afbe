"""What daglab runs with: its config with origins, versions, the environment; nothing that looks like a secret."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from typing import Any

from daglab import __version__, errors, interpreters, processes, redaction
from daglab.settings import config, config_keys

OURS = ("click", "requests", "urllib3", "PyYAML", "Jinja2", "tabulate")
PROJECTS = ("dagster", "dagster-webserver", "dagster-graphql", "marimo", "tiktoken", "daglab")
# What steers daglab, Python, Dagster, marimo and their requests; the rest of an environment is nobody's business.
PREFIXES = (
    "DAGLAB_",
    "DAGSTER_",
    "MARIMO_",
    "WEAVIATE_",
    "PYTHON",
    "XDG_",
    "LC_",
    "REQUESTS_",
    "SSL_",
    "CURL_",
    "PIP_",
)
NAMES = {
    "CI", "COLUMNS", "FORCE_COLOR", "HOME", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "LANG", "NO_COLOR", "NO_PROXY",
    "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "VIRTUAL_ENV", "CONDA_PREFIX",
}  # fmt: skip


def document(flags: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """All of it; a config that is not valid is told in its place, with `error`, and the rest is there."""
    settings, shown = _config(flags)
    return {
        "config": shown,
        "versions": versions(),
        "project_python": project_python(settings) if settings else None,
        "environment": environment(environ, settings.token_variables if settings else ()),
    }


def versions() -> dict[str, str | None]:
    """daglab, the Python that it runs in, and what it stands on."""
    return {
        "daglab": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        **{name: _version(name) for name in OURS},
    }


def project_python(settings: config.Config) -> dict[str, Any]:
    """What the project's own Python has, by the metadata of its packages: nothing of them is imported."""
    environ = processes.without_secrets(os.environ, settings.token_variables)
    found = interpreters.look(settings.python_for(settings.root), PROJECTS, cwd=settings.root, env=environ)
    if found.flaw:
        return {"executable": found.python, "error": found.flaw}
    return {"executable": found.python, "python": ".".join(map(str, found.version)), "packages": dict(found.versions)}


def environment(environ: Mapping[str, str], secret: Any = ()) -> dict[str, str]:
    """The variables that matter here, by name; the values of `secret` ones and of those that look so are masked."""
    return {
        name: redaction.MASK if name in secret or redaction.looks_secret(name) else redaction.masked_text(value)
        for name, value in sorted(environ.items())
        if name.startswith(PREFIXES) or name.upper() in NAMES
    }


def _config(flags: Mapping[str, Any]) -> tuple[config.Config | None, dict[str, Any]]:
    try:
        settings = config.load(flags)
    except errors.DaglabError as error:
        return None, {"error": error.document()}
    values = {name: settings.shown(name) for name in config_keys.known()}
    # What stands under `auth` says where a secret is, and is none.
    values = {
        name: each if name.startswith("dagster.auth.") else redaction.masked(each) for name, each in values.items()
    }
    return settings, {
        "file": str(settings.file) if settings.file else None,
        "environment": settings.environment,
        "url": settings.url,
        "values": {name: {"value": each, "origin": settings.origins[name]} for name, each in values.items()},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
