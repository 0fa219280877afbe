"""Projects of people who have never heard of daglab, from `init` on, each served as its own files say."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

pytestmark = pytest.mark.long

Serving = Callable[[str], AbstractContextManager[Any]]


@pytest.mark.slow
def test_several_locations(serving: Serving, cli: Callable[..., Any]) -> None:
    with serving("strangers/locations") as there:

        def daglab(*arguments: str) -> Any:
            return cli(*arguments, cwd=there.project)

        assert daglab("init", "--ports", f"dagster={there.port}").exit_code == 0
        found = daglab("discover", "--json")
        everything = json.loads(found.stdout)
        assert {each["name"]: each["loaded"] for each in everything["locations"]} == {
            "ingest": True,
            "marts": True,
            "legacy": False,
        }
        [broken] = [each for each in everything["locations"] if not each["loaded"]]
        assert "warehouse_client_of_2019" in broken["error"]
        assert {each["key"] for each in everything["assets"]} == {"raw/events", "raw/users", "sessions", "churn"}
        assert [(each["name"], each["location"]) for each in everything["jobs"]] == [
            ("daily", "ingest"),
            ("daily", "marts"),
        ]
        vague = daglab("run", "--job", "daily")
        assert vague.exit_code == 7
        assert "ingest" in vague.stderr
        assert "marts" in vague.stderr
        assert "--location" in vague.stderr
        assert daglab("run", "--job", "daily", "--location", "ingest").exit_code == 0
        failed = daglab("run", "--asset-selection", "churn,sessions")
        assert failed.exit_code == 4
        assert "no sessions to divide by" in failed.stderr
        assert "Did you mean sessions" in daglab("run", "--asset-selection", "sesions").stderr
        assert daglab("scaffold", "--asset", "raw/events").exit_code == 0


@pytest.mark.slow
def test_repositories_of_the_old_style(serving: Serving, cli: Callable[..., Any]) -> None:
    with serving("strangers/repositories") as there:

        def daglab(*arguments: str) -> Any:
            return cli(*arguments, cwd=there.project)

        assert daglab("init", "--ports", f"dagster={there.port}").exit_code == 0
        everything = json.loads(daglab("discover", "--json").stdout)
        assert {each["name"] for each in everything["repositories"]} == {"finance", "operations"}
        assert {(each["name"], each["repository"]) for each in everything["jobs"]} == {
            ("etl", "finance"),
            ("heartbeat", "finance"),
            ("heartbeat", "operations"),
        }
        vague = daglab("run", "--job", "heartbeat")
        assert vague.exit_code == 7
        assert "--repo" in vague.stderr
        assert daglab("run", "--job", "heartbeat", "--repo", "operations").exit_code == 0
        missing = daglab("run", "--job", "etl", "--validate-only")
        assert missing.exit_code == 7
        assert "ops.extract" in missing.stderr or "extract" in missing.stderr
        assert "table" in missing.stderr
        good = daglab("run", "--job", "etl", "--config-yaml", "ops: {extract: {config: {table: t}}}")
        assert good.exit_code == 0, good.stderr


@pytest.mark.slow
def test_jobs_alone(serving: Serving, cli: Callable[..., Any]) -> None:
    with serving("strangers/jobs") as there:

        def daglab(*arguments: str) -> Any:
            return cli(*arguments, cwd=there.project)

        assert daglab("init", "--ports", f"dagster={there.port}").exit_code == 0
        everything = json.loads(daglab("discover", "--json").stdout)
        assert (everything["assets"], {each["name"] for each in everything["jobs"]}) == ([], {"monthly", "broken"})
        failed = daglab("run", "--job", "broken")
        assert failed.exit_code == 4
        assert "ledger" in failed.stderr
        missing = daglab("run", "--job", "monthly")
        assert missing.exit_code == 7
        assert "month" in missing.stderr
        assert daglab("run", "--job", "monthly", "--config-yaml", "ops: {make: {config: {month: may}}}").exit_code == 0
        assert "--asset-selection" in daglab("run", "--asset", "monthly").stderr
        nothing = daglab("run", "--asset-selection", "monthly")
        assert nothing.exit_code == 7
        assert "monthly is a job" in nothing.stderr
        assert daglab("scaffold", "--job", "broken").exit_code == 0
        told = daglab("export", "dagster/notebooks/job_broken.py", "--attach", "job:monthly")
        assert "has no assets" in told.stderr
