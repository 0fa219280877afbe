"""One file for whoever helps: versions, findings, config, recent events, and nothing that is private.

What goes in is chosen, not filtered: no value of a variable, no target, link or detail of an event. What is left, such
as the messages of findings, is cleaned all the same: secrets of the environment, addresses' users and queries, home.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from daglab import __version__, json_lines, parse, redaction
from daglab.doctor import origins, packages
from daglab.doctor.examination import Examination
from daglab.doctor.findings import Project
from daglab.settings import config_keys

LAST_EVENTS = 20
EVENT_BYTES = 1 << 20  # an event's line is no longer
SECRET = re.compile(
    r"TOKEN|PASSW|SECRET|KEY|CREDENTIAL|AUTH|COOKIE|SIGNATURE|CONN|DSN|_URL|_URI|PROXY|SAS|PAT$|PWD_", re.IGNORECASE
)
NOT_SECRET = {"SSH_AUTH_SOCK", "PWD", "OLDPWD", "LS_COLORS", "XAUTHORITY", "NO_PROXY", "no_proxy"}
NAMED = re.compile(
    r"(DAGLAB|DAGSTER|MARIMO)_\w+|PYTHON\w+|VIRTUAL_ENV|CONDA_PREFIX|(HTTPS?|ALL|NO)_PROXY|SSL_CERT_FILE"
)
# The keys whose text is shown; other text, such as a header or a file's name, is only said to be set.
SHOWN = {
    *("defaults.notebook_template", "logging.level", "dagster.auth.type", "dagster.path_prefix", "notebooks_dir"),
    *("dagster.auth.token_env", "dagster.auth.username_env", "dagster.auth.password_env", "dagster.auth.header_name"),
}
_USER = re.compile(r"(?<=//)[^\s/@'\"]+@")
_QUERY = re.compile(r"(?<=\S)\?[^\s'\"`)>|]+=[^\s'\"`)>|]*")
_HOST = re.compile(r"(https?://)(\[[^\]\s]+\]|[^\s/:'\"`)|]+)")


def write(project: Project, examination: Examination) -> str:
    """The report as Markdown."""
    parts = [
        "# Report of daglab doctor\n",
        _table(("what", "is"), _versions(project)),
        "## Findings\n",
        _table(
            ("check", "status", "detail", "remedy"),
            ((each.name, each.status, each.detail, each.remedy or "") for each in examination.findings),
        ),
        "## Config\n",
        _table(("key", "value", "origin"), _config(project)),
        "## Variables that are set\n\nTheir values are left out.\n",
        "".join(f"- {name}\n" for name in sorted(project.environ) if NAMED.fullmatch(name.upper())),
        f"## The last {LAST_EVENTS} events\n",
        _table(("at", "command", "exit", "error", "s", "requests", "failed", "runs"), _events(project)),
    ]
    return private("\n".join(parts), project.environ)


def private(text: str, environ: Mapping[str, str]) -> str:
    """A text without secrets, without users and queries in addresses, without hosts and names of this machine."""
    harmless = {*NOT_SECRET, *(name for name, key in origins.variables(environ).items() if key in SHOWN)}
    secrets = {
        value
        for name, value in environ.items()
        if name not in harmless and (SECRET.search(name) or redaction.looks_secret(name))
    }
    # A password inside of an address is a secret of its own.
    inside = {part for value in environ.values() for part in _userinfo(value)}
    for secret in sorted({*secrets, *inside}, key=len, reverse=True):
        if len(secret) >= redaction.SHORTEST and not secret.startswith("/"):
            text = text.replace(secret, "***")
    text = _QUERY.sub("?***", _USER.sub("***@", redaction.clean(text)))
    text = _HOST.sub(lambda match: match[0] if _is_here(match[0]) else f"{match[1]}[host]", text)
    for path in {environ.get("HOME", ""), os.path.expanduser("~")}:
        if len(path) > 1:
            text = re.sub(re.escape(path.rstrip("/")) + r"(?![\w.-])", "~", text)
    for name, instead in ((socket.gethostname(), "[this host]"), (_user(environ), "[user]")):
        if len(name) >= redaction.SHORTEST:
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", instead, text)
    return text


def _is_here(address: str) -> bool:
    try:
        return parse.is_loopback(address)
    except ValueError:  # somebody's text, and no address
        return False


def _userinfo(value: str) -> Iterator[str]:
    for match in _USER.finditer(value):
        whole = match[0].rstrip("@")
        yield from (whole, whole.partition(":")[2])


def _user(environ: Mapping[str, str]) -> str:
    name = environ.get("USER") or environ.get("LOGNAME") or ""
    return "" if name in ("root", "user", "daglab", "dagster", "marimo") else name


def _versions(project: Project) -> Iterator[tuple[str, str]]:
    yield "written", datetime.now(timezone.utc).isoformat(timespec="seconds")
    yield "daglab", __version__
    yield "Python of daglab", sys.version.split()[0]
    yield "platform", f"{platform.system()} {platform.release()} {platform.machine()}"
    there = packages.installed(project)
    yield "Python of the project", ".".join(map(str, there.version)) or "does not work"
    for name, version in there.versions.items():
        yield name, version or "not installed"


def _config(project: Project) -> Iterator[tuple[str, str, str]]:
    if project.flaw:
        yield "", "not valid; these are the defaults", ""
    for name, key in config_keys.known().items():
        origin = project.settings.origins.get(name, "default")
        yield name, _value(name, key, project.settings.value(name)), origin


def _value(name: str, key: config_keys.Key, value: Any) -> str:
    if value is None or value == key.default or isinstance(value, (bool, int, float)):
        return config_keys.to_text(value)
    if name in SHOWN:
        return str(value)
    if name == "dagster.url" or name.endswith("_url"):
        parts = urlsplit(value)
        return value if parse.is_loopback(value) and "@" not in value else f"{parts.scheme}://[host]"
    return "(set)"


def _events(project: Project) -> Iterator[tuple[str, ...]]:
    """Counts and codes of the newest events; whatever a user, a server or a notebook has named is left out."""
    shown = 0
    for path in sorted((project.folder / "events").glob("????-??.jsonl"), reverse=True):
        with contextlib.suppress(OSError):
            for text in json_lines.backwards(path):
                row = _event(text)
                if row:
                    yield row
                    shown += 1
                if shown == LAST_EVENTS:
                    return


def _event(text: bytes) -> tuple[str, ...] | None:
    line = json_lines.parsed(text) if len(text) < EVENT_BYTES else None
    if line is None or line.get("v") != 1:
        return None
    try:
        requests = line["requests"]
        at, command, code = str(line["at"]), str(line["command"]), str(line.get("error_code") or "")
        if not (re.fullmatch(r"[\d:T+.-]{19,32}", at) and re.fullmatch(r"[a-z. _]{1,40}", command)):
            return None
        counts = (int(line["exit_code"]), round(float(line["seconds"]), 3), int(requests["n"]), int(requests["errors"]))
        exit_code, seconds, asked, failed = map(str, counts)
        shown = code if re.fullmatch("[a-z_]{0,30}", code) else ""
        return at, command, exit_code, shown, seconds, asked, failed, str(len(line["runs"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Rows as Markdown; what would end a cell or begin HTML is made harmless."""
    lines = [list(headers), ["---"] * len(list(headers)), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()
