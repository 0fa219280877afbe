"""Every key of the config changes something: what it says is seen where it is used."""

from __future__ import annotations

import base64
import hashlib
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from daglab import errors, helpers, json_lines, web
from daglab.attaching import attach
from daglab.authoring import scaffolds
from daglab.checks import findings, running
from daglab.commands import clean, dev, scaffold
from daglab.commands import config as config_command
from daglab.commands import export as export_command
from daglab.commands import exports as exports_command
from daglab.deployment import dagster_api, entities, runs
from daglab.dev import environment, services
from daglab.exported import export_record, latest
from daglab.exporting import export_entries, exports
from daglab.launching import dispatch, plans, targets
from daglab.settings import config, config_keys
from daglab.storage import places
from daglab.weaviate import batches, clusters, protection
from daglab.weaviate.examining import judgements, vitals

Loaded = config.Config
NAMED = {"DAGLAB_T": "t0ken", "DAGLAB_U": "ann", "DAGLAB_P": "pass"}
PAIR = {"dagster.auth.username_env": "DAGLAB_U", "dagster.auth.password_env": "DAGLAB_P"}
IN_S3 = {"export.cloud_storage.provider": "s3", "export.cloud_storage.bucket": "exports"}
TOKEN = {"dagster.auth.token_env": "DAGLAB_T"}


def load(directory: Path, **more: Any) -> Loaded:
    """The config with these keys, as a flag has them."""
    return config.load(more, directory=directory, environ={})


def sent(settings: Loaded) -> dict[str, str]:
    """The headers that say who we are."""
    request = requests.Request("GET", "http://x.test").prepare()
    before = dict(request.headers)
    auth = web.session(settings).http.auth
    assert callable(auth)
    auth(request)
    return {name: text for name, text in request.headers.items() if name not in before}


def exported(settings: Loaded) -> exports.Export:
    return exports.Export(
        id="x",
        notebook=settings.root / "a.py",
        notebook_sha256="0",
        output=settings.root / "exports" / "a.html",
        sha256="1",
        bytes=1,
        exported_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        seconds=1.0,
        marimo_version="0",
        failed=(),
    )


def uploaded(settings: Loaded, _: Any) -> str:
    """The address that a.html is uploaded to."""
    place = places.from_config(settings)
    assert place is not None
    return places.address(place, places.key(place, "a.html"))


def too_many(settings: Loaded) -> tuple[str, ...]:
    """The exports that `exports expire` would take away: of two with three bytes each."""
    (settings.root / ".daglab").mkdir(exist_ok=True)
    for name in ("old.html", "new.html"):
        (settings.root / name).write_text("abc")
        line = {"v": 1, "id": name, "output": name, "bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
        json_lines.append(settings.root / export_record.FILE, line)
    now = datetime.now(timezone.utc)
    gone = exports_command.expired(settings, now, latest.Linked({}), dry_run=True)
    return tuple(each["place"] for each in gone.removed)


def batch_sizes(settings: Loaded) -> tuple[int, int]:
    """How small batches become for a slow Weaviate, and how large for a quick one."""
    sizes = []
    for seconds in (100.0, 0.1):
        pace = batches.pace(settings.weaviate.batch.min, settings.weaviate.batch.max)
        for _ in range(20):
            batches._adapt(pace, pace.size, seconds)
        sizes.append(pace.size)
    return sizes[0], sizes[1]


def labels(settings: Loaded) -> list[str]:
    return [entry.label for entry in export_entries.entries(settings, exported(settings), "http://x.test", None)]


def waited(settings: Loaded, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `run` asks for when it follows a run."""
    asked: dict[str, Any] = {}

    def follow(*_: Any, **limits: Any) -> list[list[runs.Run]]:
        asked.update(limits)
        return []

    monkeypatch.setattr(runs, "follow", follow)
    plan = plans.Plan(targets.Target("j", "r", "l"), {}, {})
    result = {"runs": [{"run_id": "r", "status": "SUCCESS"}]}
    limit = settings.performance.max_wait_time
    dispatch.carry_out(dagster_api.connect(settings), settings, [plan], result, timeout=limit, cancels=False)
    return asked


def under_way(settings: Loaded) -> int:
    """How many of 20 runs are launched at first."""
    plan = plans.Plan(targets.Target("j", "r", "l"), {}, {})
    entries: list[dict[str, Any]] = [{"run_id": None, "status": "NOT_LAUNCHED"} for _ in range(20)]
    for number in dispatch._ready([plan] * 20, entries, settings.performance.max_concurrent_runs):
        entries[number].update(run_id="r", status="STARTED")
    return sum(entry["run_id"] is not None for entry in entries)


def found(settings: Loaded, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """With which place a job is looked for."""
    asked: dict[str, Any] = {}
    monkeypatch.setattr(entities, "find_job", lambda *_, **place: asked.update(place))
    helpers.find_job(helpers.Client(dagster_api.connect(settings), settings, "1"), "j")
    return asked


def permitted(settings: Loaded) -> bool:
    try:
        attach.permit(dagster_api.connect(settings), "graphql")
    except errors.NotAuthorised:
        return False
    return True


def opens(settings: Loaded, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    return dev.wants_pages(settings, None, ci=False)


def planned(settings: Loaded, monkeypatch: pytest.MonkeyPatch) -> environment.Plan:
    """What `daglab dev` is to run in the project."""
    (settings.root / "workspace.yaml").touch()
    monkeypatch.setattr(services, "check_python", lambda *_: None)
    options = dict.fromkeys(("notebook", "python", "log_level", "dagster_port", "marimo_port", "port_range"))
    off = dict.fromkeys(("no_dagster", "no_marimo", "no_dashboard", "ci", "behind"), False)
    return dev.plan(settings, {**options, **off, "env_file": (), "host": "127.0.0.1"}, {})


def checked(settings: Loaded, name: str) -> str:
    """The status of a check."""
    return running.run(settings, [name], 20)[0].status


def seconds_left(settings: Loaded, monkeypatch: pytest.MonkeyPatch) -> float:
    """What a check is given, to the half second."""
    left: list[float] = []

    def look(inquiry: findings.Inquiry) -> findings.Finding:
        left.append(inquiry.deadline - time.monotonic())
        return findings.ok("")

    monkeypatch.setitem(running.CHECKS, "storage", look)
    running.run(settings, ["storage"])
    return round(left[0] * 2) / 2


def header(text: str) -> dict[str, str]:
    return {"Authorization": text}


BASIC = header("Basic " + base64.b64encode(b"ann:pass").decode())
DASHBOARD = "http://127.0.0.1:3030/exports/a.html"
Look = Callable[[Loaded, pytest.MonkeyPatch], Any]

# Key -> what else is set, its value, what is looked at, what is seen without the key, and what with it.
EFFECTS: dict[str, tuple[dict[str, Any], Any, Look, Any, Any]] = {
    "notebooks_dir": (
        {},
        "nb",
        lambda s, _: str(scaffolds.place(s, scaffolds.Target(job="j"), None).relative_to(s.root)),
        "dagster/notebooks/job_j.py",
        "nb/job_j.py",
    ),
    "dagster.host": ({}, "other", lambda s, _: s.url, "http://127.0.0.1:3000", "http://other:3000"),
    "dagster.port": ({}, 7, lambda s, _: s.url, "http://127.0.0.1:3000", "http://127.0.0.1:7"),
    "dagster.url": ({}, "https://d.test/x", lambda s, _: s.url, "http://127.0.0.1:3000", "https://d.test/x"),
    "dagster.path_prefix": ({}, "/p", lambda s, _: s.url, "http://127.0.0.1:3000", "http://127.0.0.1:3000/p"),
    "dagster.repository_name": ({}, "r", lambda s, m: found(s, m)["repository"], None, "r"),
    "dagster.repository_location_name": ({}, "l", lambda s, m: found(s, m)["location"], None, "l"),
    "dagster.python": ({}, "/py", lambda s, _: s.python_for(s.root / "a.py"), sys.executable, "/py"),
    "dagster.auth.type": (
        TOKEN,
        "dagster-plus",
        lambda s, _: sent(s),
        header("Bearer t0ken"),
        {"Dagster-Cloud-Api-Token": "t0ken"},
    ),
    "dagster.auth.token_env": ({}, "DAGLAB_T", lambda s, _: sent(s), {}, header("Bearer t0ken")),
    "dagster.auth.token_file": ({}, "token", lambda s, _: sent(s), {}, header("Bearer in-file")),
    "dagster.auth.token_command": ({}, "echo said", lambda s, _: sent(s), {}, header("Bearer said")),
    "dagster.auth.header_name": (TOKEN, "X-Own", lambda s, _: sent(s), header("Bearer t0ken"), {"X-Own": "t0ken"}),
    "dagster.auth.headers": ({}, {"X-Team": "a"}, lambda s, _: sent(s), {}, {"X-Team": "a"}),
    "dagster.graphql.timeout": ({}, 4.5, lambda s, _: web.session(s).timeout, 30.0, 4.5),
    "dagster.graphql.max_retries": ({}, 9, lambda s, _: web.session(s).retries, 3, 9),
    "defaults.attach_metadata_key": ({}, "look", lambda s, _: labels(s)[0], "exploration", "look"),
    "performance.polling_interval": ({}, 7.5, lambda s, m: waited(s, m)["interval"], 1.0, 7.5),
    "performance.max_concurrent_runs": ({}, 3, lambda s, _: under_way(s), 10, 3),
    "performance.max_wait_time": ({}, 7.5, lambda s, m: waited(s, m)["timeout"], 300.0, 7.5),
    "export.base_url": (
        {},
        "https://p.test",
        lambda s, _: exports.link(s, s.root / "exports" / "a.html"),
        DASHBOARD,
        "https://p.test/exports/a.html",
    ),
    "events.retention_days": (
        {},
        1,
        lambda s, _: clean.wishes(s, None, notebooks=False, archive=False).retention_days,
        365,
        1,
    ),
    "export.retention_days": (
        {},
        1,
        lambda s, _: export_record.expires_at(exported(s), s.export.retention_days),
        "2026-01-31T00:00:00+00:00",
        "2026-01-02T00:00:00+00:00",
    ),
    "export.max_total_bytes": ({}, 3, lambda s, _: too_many(s), (), ("old.html",)),
    "export.compress": (
        {},
        True,
        lambda s, _: exports.with_suffix(Path("a.html"), compress=s.export.compress).name,
        "a.html",
        "a.html.gz",
    ),
    "export.cloud_storage.provider": (
        {"export.cloud_storage.bucket": "exports"},
        "gcs",
        lambda s, _: places.from_config(s),
        None,
        places.Place("gs", "exports"),
    ),
    "export.cloud_storage.bucket": (IN_S3, "reports", uploaded, "s3://exports/a.html", "s3://reports/a.html"),
    "export.cloud_storage.prefix": (IN_S3, "by/day/", uploaded, "s3://exports/a.html", "s3://exports/by/day/a.html"),
    "export.cloud_storage.account": (
        {**IN_S3, "export.cloud_storage.provider": "azure", "export.cloud_storage.account": "ours"},
        "theirs",
        uploaded,
        "az://ours/exports/a.html",
        "az://theirs/exports/a.html",
    ),
    "dashboard.port": (
        {},
        7,
        lambda s, _: exports.link(s, s.root / "exports" / "a.html"),
        DASHBOARD,
        "http://127.0.0.1:7/exports/a.html",
    ),
    "health.timeout": ({}, 20.0, seconds_left, 5.0, 20.0),
    "health.min_free_bytes": ({}, 10**18, lambda s, _: checked(s, "storage"), "ok", "degraded"),
    "health.export_max_age_days": ({}, 7, lambda s, _: checked(s, "exports"), "skipped", "degraded"),
    "weaviate.clusters": (
        {},
        ({"name": "main", "url": "http://127.0.0.1:1"},),
        lambda s, _: [name for name in running.names(s) if name.startswith("weaviate")],
        ["weaviate"],
        ["weaviate:main"],
    ),
    "weaviate.protected": ({}, ("Docs*",), lambda s, _: protection.pattern_of(s, "DocsNext"), None, "Docs*"),
    "weaviate.max_query_ms": (
        {},
        100.0,
        lambda s, _: judgements.performance(0.2, vitals.limits(s).query_ms).status,
        "ok",
        "degraded",
    ),
    "weaviate.max_queue": (
        {},
        10,
        lambda s, _: judgements.queue({("s", "n1"): 50}, {("s", "n1"): 40}, vitals.limits(s).queue).status,
        "ok",
        "degraded",
    ),
    "weaviate.timeout": ({}, 7.0, lambda s, _: clusters.connect(s, "http://x.test").session.timeout, 60.0, 7.0),
    "weaviate.max_retries": ({}, 0, lambda s, _: clusters.connect(s, "http://x.test").session.retries, 3, 0),
    "weaviate.batch.min": ({}, 40, lambda s, _: batch_sizes(s)[0], 10, 40),
    "weaviate.batch.max": ({}, 250, lambda s, _: batch_sizes(s)[1], 1000, 250),
    "security.sandbox_mode": ({}, True, lambda s, _: permitted(s), True, False),
    "security.allowed_operations": (
        {"security.sandbox_mode": True},
        ("reportRunlessAssetEvents",),
        lambda s, _: permitted(s),
        False,
        True,
    ),
    "marimo.port": (
        {},
        7,
        lambda s, _: scaffold.editing(s, Path("a.py")),
        "marimo edit --port 3010 a.py",
        "marimo edit --port 7 a.py",
    ),
    "defaults.notebook_template": ({}, "ml", lambda s, _: scaffold.template_of(s, None), "default", "ml"),
    "defaults.open_browser": ({}, False, lambda s, m: opens(s, m), True, False),
    "logging.level": ({}, "ERROR", lambda s, m: planned(s, m).level, "INFO", "ERROR"),
    "logging.max_bytes": ({}, 100_000, lambda s, m: planned(s, m).largest_log, 10_000_000, 100_000),
    "logging.backup_count": ({}, 0, lambda s, m: planned(s, m).backups, 3, 0),
    "models": (
        {},
        ({"name": "small"},),
        lambda s, _: config_command.document(s, origin=False)["values"]["models"],
        (),
        ({"name": "small"},),
    ),
}
# Proven below: by a refusal, together, and by the command.
OTHERWISE = {"version", "dagster.auth.username_env", "dagster.auth.password_env", "export.timeout"}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty directory, with the variables and the file that the secrets are in."""
    for name, text in NAMED.items():
        monkeypatch.setenv(name, text)
    (tmp_path / "token").write_text("in-file\n")
    monkeypatch.chdir(tmp_path)


def test_every_key_is_proven() -> None:
    assert EFFECTS.keys() | OTHERWISE == config_keys.known().keys()
    assert not EFFECTS.keys() & OTHERWISE


@pytest.mark.parametrize("key", EFFECTS)
def test_the_key_changes_something(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more, value, look, without, with_it = EFFECTS[key]
    assert without != with_it
    assert look(load(tmp_path, **more), monkeypatch) == without
    assert look(load(tmp_path, **{**more, key: value}), monkeypatch) == with_it


def test_the_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("version: 2\n")
    with pytest.raises(errors.InvalidInput, match="reads version 1"):
        load(tmp_path)


def test_a_name_and_its_password(tmp_path: Path) -> None:
    assert sent(load(tmp_path, **PAIR)) == BASIC
    for half in PAIR:
        with pytest.raises(errors.InvalidInput, match="only one is set"):
            sent(load(tmp_path, **{half: PAIR[half]}))


def test_the_time_of_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    class Called(Exception):
        """With the limits that the notebook is run with."""

    def export_html(*_: Any, **limits: Any) -> None:
        raise Called(limits["timeout"])

    monkeypatch.setattr(exports, "export_html", export_html)
    (tmp_path / "a.py").write_text("import marimo\napp = marimo.App()\n")
    for text, seconds in (("{}", 3600.0), ("export: {timeout: 5}", 5.0)):
        (tmp_path / "daglab.yaml").write_text(text)
        done = CliRunner().invoke(export_command.command, ["a.py"])
        assert isinstance(done.exception, Called), done.exception
        assert done.exception.args == (seconds,)


def test_an_environment_changes_them(tmp_path: Path) -> None:
    (tmp_path / "daglab.yaml").write_text("environments: {prod: {dagster: {port: 7}}}\n")
    assert (load(tmp_path).url, load(tmp_path, env="prod").url) == ("http://127.0.0.1:3000", "http://127.0.0.1:7")
