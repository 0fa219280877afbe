"""What somebody else's project can't make daglab do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from daglab import errors, events, json_lines
from daglab.authoring import projects
from daglab.settings import config, trust
from daglab.storage import azure_accounts, places, s3

USER = "http://127.0.0.1:3977"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / ".daglab").mkdir(parents=True)
    (root / "daglab.yaml").write_text(
        f"dagster:\n  url: {USER}\n  python: ./steal\n  auth: {{token_env: DAGLAB_THEIRS}}\n"
    )
    return root


def user_config(text: str) -> None:
    path = Path(os.environ["XDG_CONFIG_HOME"], "daglab", "config.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_a_project_can_not_choose_which_token_goes_to_an_address_of_the_users(project: Path) -> None:
    user_config(f"credentials: {{'{USER}': {{token_env: MINE}}}}\n")
    for environ in ({}, {"DAGSTER_GRAPHQL_TOKEN": "x"}, {"DAGLAB_DAGSTER__AUTH__TOKEN_ENV": "OTHER"}):
        found = trust.credential(config.load(directory=project, environ={**os.environ, **environ}), environ)
        assert found is not None
        assert found.auth is not None
        assert found.auth.token_env == "MINE"


def test_a_flag_or_a_variable_counts_where_the_user_chose_the_address(project: Path) -> None:
    user_config(f"credentials: {{'{USER}': {{token_env: MINE}}}}\n")
    environ = {**os.environ, "DAGLAB_DAGSTER__AUTH__TOKEN_ENV": "OTHER", "DAGLAB_DAGSTER__URL": USER}
    found = trust.credential(config.load(directory=project, environ=environ), environ)
    assert found is not None
    assert found.auth is not None
    assert found.auth.token_env == "OTHER"


def test_a_projects_python_runs_the_projects_notebooks_alone(project: Path, tmp_path: Path) -> None:
    settings = config.load(directory=project)
    assert settings.python_for(project / "nb.py") == str(project / "steal")
    assert settings.python_for(tmp_path / "nb.py") == sys.executable
    chosen = config.load(directory=project, environ={**os.environ, "DAGLAB_DAGSTER__PYTHON": "/usr/bin/python3"})
    assert chosen.python_for(tmp_path / "nb.py") == "/usr/bin/python3"


def test_a_virtual_environment_of_the_project_runs_its_notebooks_alone(tmp_path: Path) -> None:
    python = tmp_path / "project" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (tmp_path / "project" / "daglab.yaml").touch()
    settings = config.load(directory=tmp_path / "project")
    assert settings.python_for(settings.root / "nb.py") == str(settings.root / ".venv" / "bin" / "python")
    assert settings.python_for(tmp_path / "nb.py") == sys.executable


def test_a_link_for_the_events_is_not_followed(project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mine = tmp_path / "bashrc"
    mine.write_text("mine\n")
    (project / ".daglab" / "events").mkdir()
    with events.recording(project, "try") as event:
        event.target = "$(touch x)"
    [line] = (project / ".daglab" / "events").iterdir()
    line.unlink()
    line.symlink_to(mine)
    with events.recording(project, "try"):
        pass
    assert "not recorded" in caplog.text
    assert mine.read_text() == "mine\n"


@pytest.mark.parametrize("name", [".daglab", ".daglab/events"])
def test_a_folder_of_events_that_leads_out_gets_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    link = tmp_path / "project" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path / "outside")
    with events.recording(tmp_path / "project", "try"):
        pass
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_gitignore_that_leads_out_stays_as_it_is(project: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine\n")
    (project / ".gitignore").symlink_to(mine)
    with pytest.raises(errors.InvalidInput, match="outside of the project"):
        projects.adopt(project)
    assert mine.read_text() == "mine\n"


def test_a_line_is_never_appended_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="symbolic links"):
        json_lines.append(tmp_path / "link", {})
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    "text",
    [
        "{provider: s3, bucket: evil.test/x}",
        "{provider: s3, bucket: 'evil.test:443'}",
        "{provider: s3, bucket: 'me@evil.test'}",
        "{provider: s3, bucket: 'evil.test#'}",
        "{provider: s3, bucket: box, endpoint: 'https://evil.test'}",
        "{provider: azure, bucket: box, account: evil.test/}",
        "{provider: azure, bucket: box, account: 'evil@evil.test'}",
        "{provider: azure, bucket: box, account: evil.test}",
        "{provider: file, bucket: box}",
        "{provider: https, bucket: evil.test}",
    ],
)
def test_a_project_names_no_host_that_the_users_cloud_keys_go_to(project: Path, text: str) -> None:
    (project / "daglab.yaml").write_text(f"export: {{cloud_storage: {text}}}\n")
    with pytest.raises(errors.InvalidInput, match="cloud_storage"):
        places.from_config(config.load(directory=project))


def test_a_bucket_that_a_project_names_is_the_providers(project: Path) -> None:
    (project / "daglab.yaml").write_text("export: {cloud_storage: {provider: azure, bucket: box, account: evil}}\n")
    place = places.from_config(config.load(directory=project))
    assert place == places.parse("az://evil/box")
    assert azure_accounts.endpoint("evil") == "https://evil.blob.core.windows.net"
    assert s3.address("evil.test", None, None, "auto") == "https://s3.amazonaws.com/evil.test/"


@pytest.mark.parametrize(
    "text", ["javascript:alert(1)", "data:text/html,x", "file:///etc", "//x", "https://me:pw@x.test"]
)
def test_a_link_of_a_projects_choice_is_an_address_of_the_web(project: Path, text: str) -> None:
    (project / "daglab.yaml").write_text(f"export: {{base_url: '{text}'}}\n")
    with pytest.raises(errors.InvalidInput, match=r"export\.base_url is not valid|holds credentials"):
        config.load(directory=project)
