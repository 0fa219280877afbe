"""The examples by the rules of the programs that read them; those that run, run in integration/test_doc_pages.py."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from daglab.settings import config_keys
from tests import doc_pages

EXAMPLES = doc_pages.REPOSITORY / "examples"
SCRIPTS = [path for path in doc_pages.EXAMPLES if path.suffix == ".sh"]
UNITS = sorted((EXAMPLES / "systemd").iterdir())
COMPOSE = EXAMPLES / "compose" / "compose.yaml"


def documents(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def sound(script: str) -> bool:
    """Whether a shell can read a script."""
    return subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("path", doc_pages.EXAMPLES, ids=lambda path: path.name)
def test_what_they_set_are_config_keys(path: Path) -> None:
    """A misspelt `DAGLAB_` variable would be left alone, and change nothing."""
    for section in re.findall(r"\bDAGLAB_([A-Z]+(?:_[A-Z]+)*__[A-Z_]+)\b", path.read_text(encoding="utf-8")):
        assert section.lower().replace("__", ".") in config_keys.known(), section


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(path: Path) -> None:
    assert sound(path.read_text(encoding="utf-8"))


def test_the_workflow_for_github() -> None:
    workflow = documents(EXAMPLES / "ci" / "github-actions.yml")
    assert {"name", "jobs", "permissions"} <= {*workflow}
    for job in workflow["jobs"].values():
        assert {"runs-on", "timeout-minutes", "steps"} <= {*job}
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert "run" not in step or sound(step["run"])
            # What others type in must not become a part of a script.
            assert "${{" not in step.get("run", "")
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_the_pipeline_for_gitlab() -> None:
    job = documents(EXAMPLES / "ci" / "gitlab-ci.yml")["refresh"]
    assert {"image", "script", "artifacts", "rules"} <= {*job}
    assert all(sound(line) for line in [*job["before_script"], *job["script"]])


def test_the_crontab() -> None:
    lines = [line for line in doc_pages.read(EXAMPLES / "cron" / "crontab").splitlines() if line[:1] not in ("", "#")]
    for line in lines:
        if re.match(r"[A-Z_]+=", line):
            continue
        *when, command = line.split(None, 5)
        assert all(re.fullmatch(r"[\d*/,-]+", field) for field in when), line
        assert sound(command)
        assert "%" not in command  # cron would make a new line of it
        for script in re.findall(r"/srv/daglab/(\S+)", command):
            assert (doc_pages.REPOSITORY / script).is_file(), script


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_are_sound(path: Path, need: Callable[[object, str], None], tmp_path: Path) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path, encoding="utf-8")
    assert unit.has_option("Unit", "Description")
    if path.suffix == ".service":
        assert unit.has_option("Service", "User")
        assert unit.has_option("Service", "MemoryMax")
    verify = shutil.which("systemd-analyze")
    if not verify:
        return
    for each in UNITS:  # what it names has to be here to be found good
        text = each.read_text(encoding="utf-8").replace("/srv/shop/.venv/bin/dagster-", "/bin/true -")
        (tmp_path / each.name).write_text(text)
    line = [verify, "verify", "--man=no", tmp_path / path.name]
    env = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:/lib/systemd/system"}
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=env)
    assert [said for said in done.stderr.splitlines() if path.name in said] == []


def test_the_compose_file() -> None:
    compose = documents(COMPOSE)
    assert {"webserver", "daemon", "daglab"} <= {*compose["services"]}
    for name, service in compose["services"].items():
        assert ("build" in service) != ("image" in service), name
        assert {"healthcheck", "cpus", "mem_limit", "pids_limit", "restart", "volumes"} <= {*service}, name
        assert service["healthcheck"]["test"][0] == "CMD", name
        for volume in service["volumes"]:
            assert volume.split(":")[0] in compose["volumes"], (name, volume)
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "nobody is asked who they are"
        for other in service.get("depends_on", {}):
            assert other in compose["services"], (name, other)
    used = {volume.split(":")[0] for service in compose["services"].values() for volume in service["volumes"]}
    assert used == {*compose["volumes"]}


def test_what_the_containers_run_can_be_typed() -> None:
    services = documents(COMPOSE)["services"].values()
    words = [service["healthcheck"]["test"][1:] for service in services]
    words += [["daglab", *found] for service in services for found in doc_pages.commands("; ".join(_script(service)))]
    daglab = [tuple(line[1:]) for line in words if line[0] == "daglab"]
    assert len(daglab) > 4
    for line in daglab:
        doc_pages.parsed(doc_pages.Line(COMPOSE.name, line, is_whole=True))


def _script(service: dict[str, Any]) -> list[str]:
    command = service.get("command", [])
    return [line for line in command[-1].splitlines() if line] if command[:1] == ["sh"] else [json.dumps(command)]


def test_the_image_has_what_the_services_write_to() -> None:
    made = doc_pages.read(EXAMPLES / "compose" / "Dockerfile")
    for service in ("webserver", "daemon", "daglab"):
        for volume in documents(COMPOSE)["services"][service]["volumes"]:
            folder = volume.split(":")[1]
            assert f" {folder} " in made or f" {folder}\n" in made, folder  # else it would belong to root
