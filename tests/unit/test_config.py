"""Where values come from, what a file may say, and which token may go where."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from daglab import errors, web
from daglab.settings import config, config_files, config_keys, trust

PACKAGE = Path(errors.__file__).parent
KNOWN = config_keys.known()
TRUSTED = ("dagster.auth.token_file", "dagster.auth.token_command")

# A valid value that is not the default, for each key that a check guards; else by type.
SAMPLES: dict[str, Any] = {
    "export.cloud_storage.provider": "azure",
    "export.cloud_storage.bucket": "reports",
    "export.cloud_storage.account": "shop",
    "defaults.open_browser": False,
    "logging.level": "ERROR",
    "logging.max_bytes": 100_000,
    "dagster.host": "dagster.example.com",
    "dagster.url": "https://dagster.example.com/team",
    "dagster.path_prefix": "/team",
    "dagster.auth.token_env": "DAGLAB_SAMPLE",
    "export.base_url": "https://pages.example.com",
    "dagster.auth.type": "basic",
    "dagster.auth.username_env": "DAGLAB_USER",
    "dagster.auth.password_env": "DAGLAB_PASSWORD",
    "dagster.auth.header_name": "X-Sample",
    "dagster.auth.headers": {"X-Team": "shop", "X-Key": "env:DAGLAB_KEY"},
    "security.allowed_operations": ("launchRun", "terminateRun"),
    "models": ({"name": "small", "provider": "someone"},),
    "weaviate.clusters": ({"name": "main", "url": "https://weaviate.example.com"},),
    "weaviate.protected": ("Docs*", "*_SYSTEM"),
}
BY_TYPE: dict[type, Any] = {str: "a sample", int: 4321, float: 12.5, bool: True}

Load = Callable[..., config.Config]


def sample(key: config_keys.Key) -> Any:
    return SAMPLES[key.name] if key.name in SAMPLES else BY_TYPE[key.type]


def variable(name: str) -> str:
    return "DAGLAB_" + name.upper().replace(".", "__")


def yaml_of(values: Mapping[str, Any]) -> str:
    """Dotted keys as YAML sections."""
    import yaml

    tree: dict[str, Any] = {}
    for name, value in values.items():
        *sections, last = name.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = list(value) if isinstance(value, tuple) else value
    return str(yaml.safe_dump(tree))


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    path = tmp_path / "user" / "daglab" / "config.yaml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def project_file(tmp_path: Path) -> Path:
    path = tmp_path / "project" / "daglab.yaml"
    path.parent.mkdir()
    return path


@pytest.fixture
def load(user_file: Path, project_file: Path) -> Load:
    """The config of the project, with these files, variables and flags."""

    def load(
        project: str | Mapping[str, Any] | None = None,
        user: str | Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        flags: Mapping[str, Any] | None = None,
    ) -> config.Config:
        for path, content in ((project_file, project), (user_file, user)):
            if content is not None:
                path.write_text(content if isinstance(content, str) else yaml_of(content), encoding="utf-8")
        variables = {"XDG_CONFIG_HOME": str(user_file.parent.parent), **(environ or {})}
        return config.load(flags, directory=project_file.parent, environ=variables)

    return load


def refused(load: Load, *layers: Any, **more: Any) -> errors.DaglabError:
    with pytest.raises(errors.DaglabError) as caught:
        load(*layers, **more)
    assert caught.value.hint
    return caught.value


# precedence


# One key of each type: text, optional text, whole number, number.
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("defaults.attach_metadata_key", ["flag", "environment", "project", "user"]),
        ("dagster.repository_name", ["flag", "environment", "project", "user"]),
        ("dagster.port", [1, 2, 3, 4]),
        ("dagster.graphql.timeout", [1.5, 2.5, 3.5, 4.5]),
    ],
)
def test_the_first_layer_that_has_a_value_wins(load: Load, project_file: Path, name: str, values: list[Any]) -> None:
    names = ("flag", "environment", "project", "user")
    for first in range(5):
        flag, environment, project, user = [value if n >= first else None for n, value in enumerate(values)]
        settings = load(
            {} if project is None else {name: project},
            {} if user is None else {name: user},
            {} if environment is None else {variable(name): str(environment)},
            {name: flag},
        )
        expected = [*values, KNOWN[name].default][first]
        assert settings.value(name) == expected
        assert type(settings.value(name)) is type(expected)
        assert settings.layers[name] == [*names, "default"][first]
    assert settings.file == project_file


def test_origins_say_where_a_value_comes_from(load: Load, project_file: Path, user_file: Path) -> None:
    settings = load(
        "version: 1\n\ndagster:\n  graphql:\n    timeout: 7\n",
        "# mine\nnotebooks_dir: nb\n",
        {"DAGLAB_DAGSTER__PORT": "4000"},
        {"dagster.url": "http://h", "dagster.repository_name": "r", "dagster.repository_location_name": "l"},
    )
    assert settings.origins["dagster.graphql.timeout"] == f"{project_file}:5"
    assert settings.origins["notebooks_dir"] == f"{user_file}:2"
    assert settings.origins["dagster.port"] == "environment DAGLAB_DAGSTER__PORT"
    assert settings.origins["dagster.url"] == "flag --url"
    assert settings.origins["dagster.repository_name"] == "flag --repo"
    assert settings.origins["dagster.repository_location_name"] == "flag --location"
    assert settings.origins["dagster.host"] == "default"
    assert set(settings.origins) == set(settings.layers) == set(KNOWN)


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "version"])
def test_each_key_can_be_set_by_file_and_by_environment(load: Load, name: str) -> None:
    key = KNOWN[name]
    value = sample(key)
    assert value != key.default
    from_environment = load(environ={variable(name): config_keys.to_text(value)})
    assert (from_environment.value(name), from_environment.layers[name]) == (value, "environment")
    from_user = load(user={name: value})
    assert (from_user.value(name), from_user.layers[name]) == (value, "user")
    if name not in TRUSTED:
        from_project = load(project={name: value}, user={})
        assert (from_project.value(name), from_project.layers[name]) == (value, "project")


def test_each_key_is_read_by_some_code_beside_the_config() -> None:
    read = set()
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("config_keys.py", "config_files.py") and "templates" not in path.parts:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            read |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert [name for name in KNOWN if name.rpartition(".")[2] not in read] == []


def test_the_defaults_are_valid() -> None:
    for key in KNOWN.values():
        assert config_keys.checked(key, key.default, "default") == key.default
        assert key.doc.endswith(".")


def test_an_empty_variable_is_no_value_where_that_is_allowed(load: Load) -> None:
    settings = load({"dagster.url": "http://h"}, environ={"DAGLAB_DAGSTER__URL": ""})
    assert (settings.dagster.url, settings.layers["dagster.url"]) == (None, "environment")
    assert "DAGLAB_DAGSTER__PORT" in refused(load, environ={"DAGLAB_DAGSTER__PORT": ""}).message


def test_unknown_variables_are_left_alone(load: Load) -> None:
    environ = {
        "DAGLAB_TOKEN": "x",
        "DAGLAB_DAGSTER__PROT": "x",
        "DAGLAB_": "x",
        "DAGLAB_REQUIRE": "1",
    }
    assert set(load(environ=environ).layers.values()) == {"default"}


# environments

STAGING = """
dagster:
  port: 1
  graphql: {timeout: 5}
environments:
  staging:
    dagster: {port: 2}
  prod:
    dagster: {url: https://dagster.example.com}
    security: {sandbox_mode: true}
  empty:
"""


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_an_environment_overlays_the_file_it_stands_in(load: Load, project_file: Path, by: str) -> None:
    chosen: dict[str, Any] = {"flags": {"env": "staging"}} if by == "flag" else {"environ": {"DAGLAB_ENV": "staging"}}
    settings = load(STAGING, "dagster: {port: 3, host: h}\nenvironments: {staging: {dagster: {host: i}}}", **chosen)
    assert (settings.dagster.port, settings.dagster.host, settings.dagster.graphql.timeout) == (2, "i", 5.0)
    assert settings.origins["dagster.port"] == f"{project_file}:7 (environment staging)"
    assert (settings.layers["dagster.port"], settings.environment) == ("project", "staging")


def test_without_a_choice_no_environment_counts(load: Load) -> None:
    settings = load(STAGING)
    assert (settings.dagster.port, settings.dagster.url, settings.environment) == (1, None, None)
    assert load(flags={"env": "empty"}).dagster.port == 1
    assert load(flags={"env": ""}, environ={"DAGLAB_ENV": "staging"}).dagster.port == 1
    assert load(flags={"env": "prod"}, environ={"DAGLAB_ENV": "staging"}).security.sandbox_mode is True


def test_an_unknown_environment_is_refused_with_those_there_are(load: Load) -> None:
    error = refused(load, STAGING, flags={"env": "stagng"})
    assert "stagng" in error.message
    assert "Did you mean staging?" in (error.hint or "")
    assert "prod" in (error.hint or "")
    assert refused(load, "version: 1\n", environ={"DAGLAB_ENV": "prod"}).exit_code == 7


@pytest.mark.parametrize(
    ("text", "problem", "code"),
    [
        ("environments: {prod: {dagster: {prot: 1}}}", "unknown key dagster.prot", 7),
        ("environments: {prod: {dagster: {port: no}}}", "dagster.port", 7),
        ("environments: {prod: 7}", "environments.prod is a section", 7),
        ("environments: 7", "environments is a section", 7),
        ("environments: {prod: {credentials: {x: {token_env: DAGLAB_T}}}}", "may not set credentials", 6),
        ("environments: {prod: {dagster: {auth: {token_command: id}}}}", "token_command", 6),
        ("environments: {prod: {dagster: {auth: {token: abc}}}}", "would hold a secret", 7),
        ("environments: {prod: {environments: {a: {version: 1}}}}", "unknown key", 7),
    ],
)
def test_an_environment_that_is_not_chosen_is_checked_too(load: Load, text: str, problem: str, code: int) -> None:
    error = refused(load, text)
    assert problem in error.message
    assert error.exit_code == code


def test_a_child_finds_the_same_config(load: Load) -> None:
    flags = {
        "dagster.port": 4001,
        "env": "prod",
        "dagster.auth.token_env": "DAGLAB_T",
        "security.sandbox_mode": True,
        "dagster.host": None,
    }
    here = load(STAGING, flags=flags)
    there = load(environ=config.as_environment(flags))
    assert here.url == there.url == "http://127.0.0.1:4001"  # a port given by hand wins over an address in a file
    assert vars(here)["dagster"] == vars(there)["dagster"]
    assert (there.environment, there.security.sandbox_mode) == ("prod", True)


# what a file may say


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("version: 1\ndagster:\n  prot: 1", ":3", "unknown key dagster.prot"),
        ("dagsetr:\n  port: 1", ":2", "unknown key dagsetr.port"),
        ("nonsense: 1", ":1", "unknown key nonsense"),
        ("dagster: 1", ":1", "dagster is a section"),
        ("dagster: []", ":1", "dagster is a section"),
        ("dagster:\n  port: {a: 1}", ":2", "unknown key dagster.port.a"),
        ("dagster:\n  port: '3000'", ":2", "dagster.port is text, not a whole number"),
        ("dagster:\n  port: true", ":2", "dagster.port is true or false, not a whole number"),
        ("dagster:\n  port: 3000.0", ":2", "dagster.port is a number, not a whole number"),
        ("dagster:\n  port:", ":2", "dagster.port is empty, not a whole number"),
        ("dagster:\n  port: [1]", ":2", "dagster.port is a list, not a whole number"),
        ("dagster:\n  port: {}", ":2", "dagster.port is a section, not a whole number"),
        ("dagster:\n  port: 0", ":2", "dagster.port is not valid: a port is a number from 1 to 65535"),
        ("dagster:\n  port: 65536", ":2", "dagster.port is not valid"),
        ("notebooks_dir: 3", ":1", "notebooks_dir is a whole number, not text"),
        ("notebooks_dir: 2024-01-01\nversion: 1.5", ":2", "version is a number"),
        ("notebooks_dir: ''", ":1", "notebooks_dir is not valid: it must not be empty"),
        ('notebooks_dir: "a\\0b"', ":1", "notebooks_dir is not valid: it holds a control character"),
        ("version: 2", ":1", "version is not valid: this daglab reads version 1"),
        ("performance: {polling_interval: 0}", ":1", "performance.polling_interval is not valid"),
        ("performance: {polling_interval: .nan}", ":1", "performance.polling_interval is not valid"),
        ("performance: {max_wait_time: .inf}", ":1", "performance.max_wait_time is not valid"),
        ("performance: {max_wait_time: -1}", ":1", "performance.max_wait_time is not valid"),
        ("performance: {max_wait_time: true}", ":1", "performance.max_wait_time is true or false, not a number"),
        ("dagster: {graphql: {timeout: 1.0e+12}}", ":1", "dagster.graphql.timeout is not valid"),
        ("dagster: {graphql: {max_retries: -1}}", ":1", "dagster.graphql.max_retries is not valid"),
        ("dagster: {url: 'localhost:3000'}", ":1", "dagster.url is not valid"),
        ("dagster: {url: ''}", ":1", "dagster.url is not valid"),
        ("dagster: {host: 'localhost:3000'}", ":1", "dagster.host is not valid: a host is a name or a number alone"),
        ("dagster: {host: 'http://h'}", ":1", "dagster.host is not valid"),
        ("dagster: {host: ''}", ":1", "dagster.host is not valid"),
        ("dagster: {path_prefix: '/a?b'}", ":1", "dagster.path_prefix is not valid"),
        ("dagster: {path_prefix: '//evil'}", ":1", "dagster.path_prefix is not valid"),
        ("defaults: {attach_metadata_key: ' '}", ":1", "defaults.attach_metadata_key is not valid"),
        ("dagster:\n  port: 1\n  port: 2", ":3", "the key dagster.port stands here twice"),
        ("- a", ":1", "a mapping is expected"),
        ("just text", ":1", "a mapping is expected"),
    ],
)
@pytest.mark.parametrize("layer", ["project", "user"])
def test_an_error_names_file_and_line(
    load: Load, project_file: Path, user_file: Path, layer: str, text: str, place: str, said: str
) -> None:
    error = refused(load, **{layer: text})
    path = project_file if layer == "project" else user_file
    assert error.message.startswith(f"{path}{place}: {said}")
    assert error.exit_code == 7


def test_yaml_that_can_t_be_read_names_file_and_line(load: Load, project_file: Path) -> None:
    error = refused(load, "dagster:\n  port: [3000\n")
    assert error.message.startswith(f"{project_file}: line 3, column 1: ")
    project_file.write_bytes(b"notebooks_dir: \xe9\n")
    assert f"{project_file} is not UTF-8" in refused(load).message


@pytest.mark.parametrize("layer", ["project", "user"])
@pytest.mark.parametrize(
    "text",
    [
        "version: !!python/object/apply:os.system ['touch {mark}']",
        "version: !!python/object/new:os.system ['touch {mark}']",
        "dagster: !!python/object/apply:os.mkdir ['{mark}']",
        "dagster: {{url: !!python/object/apply:subprocess.getoutput ['touch {mark}']}}",
        "models: [!!python/object/apply:os.mkdir ['{mark}']]",
        "environments: {{e: {{version: !!python/object/apply:os.mkdir ['{mark}']}}}}",
        "!!python/object/apply:os.mkdir ['{mark}']: 1",
        "? !!python/object/apply:os.mkdir ['{mark}']\n: 1",
        "version: !!python/name:os.system ''",
        "version: !!python/module:antigravity ''",
    ],
)
def test_a_tag_runs_nothing(load: Load, tmp_path: Path, layer: str, text: str) -> None:
    mark = tmp_path / "mark"
    error = refused(load, **{layer: text.format(mark=mark)})
    assert isinstance(error, errors.InvalidInput)
    assert not mark.exists()
    assert "antigravity" not in sys.modules


def test_an_unknown_key_shows_the_nearest(load: Load) -> None:
    assert str(refused(load, "dagster:\n  prot: 1").hint).startswith("Did you mean dagster.port")
    assert "`daglab config show`" in str(refused(load, "zzzzzzzz: 1").hint)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "dagster:\n", "dagster: {}\nperformance:\n", "\ufeffversion: 1\n"]
)
def test_a_file_without_values_is_valid(load: Load, text: str) -> None:
    settings = load(text)
    assert settings.dagster == config_keys.Dagster()
    assert settings.file is not None


def test_a_whole_number_will_do_for_a_number(load: Load) -> None:
    value = load({"dagster.graphql.timeout": 7}).dagster.graphql.timeout
    assert (value, type(value)) == (7.0, float)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("dagster.port", "three", "is text, not a whole number"),
        ("dagster.port", "3.5", "is text, not a whole number"),
        ("dagster.port", "70000", "is not valid"),
        ("dagster.graphql.timeout", "soon", "is text, not a number"),
        ("dagster.graphql.timeout", "nan", "is not valid"),
        ("performance.max_wait_time", "inf", "is not valid"),
        ("dagster.url", "somewhere", "is not valid"),
    ],
)
def test_a_variable_of_the_wrong_kind_is_named(load: Load, name: str, text: str, said: str) -> None:
    error = refused(load, environ={variable(name): text})
    assert error.message.startswith(f"{variable(name)}: {name} {said}")
    assert error.exit_code == 7


def test_a_flag_of_the_wrong_kind_is_named(load: Load) -> None:
    assert refused(load, flags={"dagster.url": "somewhere"}).message.startswith("--url: dagster.url is not valid")
    assert refused(load, flags={"dagster.repository_name": "a\x1b"}).message.startswith("--repo: ")


@pytest.mark.parametrize("key", ["token", "Token", "password", "secret", "api_key"])
@pytest.mark.parametrize("layer", ["project", "user"])
def test_a_secret_in_a_file_is_refused_and_not_shown(load: Load, layer: str, key: str) -> None:
    error = refused(load, **{layer: f"dagster:\n  auth:\n    {key}: hunter2\n"})
    assert error.exit_code == 7
    assert f":3: dagster.auth.{key}" in error.message
    assert "dagster.auth.token_env" in str(error.hint)
    assert "hunter2" not in error.message + str(error.hint)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ("project", "dagster: {auth: {token_env: hunter2}}"),
        ("project", "dagster: {auth: {token_env: hunter2-x.y}}"),
        ("user", "dagster: {auth: {token_env: hunter2-x.y}}"),
        ("user", "dagster: {url: 'https://me:hunter2@h'}"),
        ("user", "credentials: {https://me:hunter2@h: {token_env: A}}"),
        ("user", "credentials: {https://h: hunter2}"),
        ("user", "credentials: {https://h: {token_env: {a: hunter2}}}"),
        ("user", "credentials: {https://h: {token: hunter2}}"),
        ("user", "dagster: {port: hunter2}"),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(load: Load, layer: str, text: str) -> None:
    error = refused(load, **{layer: text})
    assert "hunter2" not in error.message + str(error.hint)
    assert ":1: " in error.message


def test_a_file_of_another_user_is_refused(
    load: Load, project_file: Path, user_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, layer in ((project_file, "project"), (user_file, "user")):
        path.write_text("version: 1\n")
        if os.geteuid() == 0:
            os.chown(path, 4242, -1)
            owner = 4242
        else:
            owner = os.geteuid()
            monkeypatch.setattr(os, "geteuid", lambda: 4243)
        error = refused(load)
        assert (error.exit_code, str(path) in error.message) == (6, True), layer
        assert f"uid {owner}" in error.message
        monkeypatch.setenv("SUDO_UID", str(owner))
        load()
        monkeypatch.undo()
        path.unlink()


# which file


@pytest.mark.parametrize("git", ["folder", "file"])
def test_the_file_is_looked_for_up_to_the_git_root(tmp_path: Path, git: str) -> None:
    root, deep = tmp_path / "root", tmp_path / "root" / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "daglab.yaml").touch()
    (root / ".git").mkdir() if git == "folder" else (root / ".git").touch()
    assert config.find_project_file(deep) is None
    (root / "daglab.yaml").touch()
    assert config.find_project_file(deep) == root / "daglab.yaml"
    (root / "a" / "daglab.yaml").touch()
    assert config.find_project_file(deep) == root / "a" / "daglab.yaml"
    assert config.find_project_file(root) == root / "daglab.yaml"


def test_without_git_only_the_directory_counts(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "daglab.yaml").touch()
    assert config.find_project_file(tmp_path / "a") is None
    assert config.find_project_file(tmp_path) == tmp_path / "daglab.yaml"


@pytest.mark.parametrize("kind", ["folder", "link", "fifo"])
def test_what_is_no_file_is_no_config_and_no_reason_to_take_the_defaults(kind: str, tmp_path: Path) -> None:
    """A person's settings, the sandbox too, would drop out without a word."""
    path = tmp_path / "daglab.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    with pytest.raises(errors.InvalidInput, match="is no ordinary file"):
        config.load({}, directory=tmp_path)


def test_the_root_is_that_of_the_file_else_the_directory(load: Load, project_file: Path, tmp_path: Path) -> None:
    assert load("version: 1").root == project_file.parent
    assert config.load(directory=tmp_path, environ={}).root == tmp_path


def test_a_directory_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(errors.InvalidInput, match="current directory is gone"):
        config.load()


@pytest.mark.parametrize(
    "environ", [{"XDG_CONFIG_HOME": "inside"}, {"HOME": "inside"}, {"HOME": "", "XDG_CONFIG_HOME": ""}]
)
def test_a_relative_path_does_not_make_a_project_s_file_the_user_s(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("inside", "inside/.config", ".config", "~/.config"):
        (tmp_path / folder / "daglab").mkdir(parents=True)
        (tmp_path / folder / "daglab" / "config.yaml").write_text("dagster: {auth: {token_command: env}}")
    assert config.load(directory=tmp_path, environ=environ).dagster.auth == config_keys.Auth()


def test_home_config_is_the_user_s_without_xdg(tmp_path: Path) -> None:
    (tmp_path / ".config" / "daglab").mkdir(parents=True)
    (tmp_path / ".config" / "daglab" / "config.yaml").write_text("dagster: {port: 4000}")
    assert config.load(directory=tmp_path, environ={"HOME": str(tmp_path)}).dagster.port == 4000


# addresses


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, "http://127.0.0.1:3000"),
        ({"dagster.host": "dagster", "dagster.port": 80}, "http://dagster:80"),
        ({"dagster.host": "::1"}, "http://[::1]:3000"),
        ({"dagster.url": "https://h/team/", "dagster.host": "other"}, "https://h/team"),
        ({"dagster.path_prefix": "/team/"}, "http://127.0.0.1:3000/team"),
        ({"dagster.url": "https://h/a", "dagster.path_prefix": "team"}, "https://h/a/team"),
        ({"dagster.url": "https://h/team", "dagster.path_prefix": "team"}, "https://h/team"),
        ({"dagster.path_prefix": "/"}, "http://127.0.0.1:3000"),
    ],
)
def test_the_address(load: Load, values: dict[str, Any], url: str) -> None:
    assert load(values).url == url


def test_the_python_of_the_project_s_notebooks(load: Load, project_file: Path) -> None:
    notebook = project_file.parent / "dagster" / "notebooks" / "nb.py"
    assert load({}).python_for(notebook) == sys.executable
    own = project_file.parent / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.touch()
    assert load({}).python_for(notebook) == str(own)
    assert load({"dagster.python": "/usr/bin/python3"}).python_for(notebook) == "/usr/bin/python3"
    assert load({"dagster.python": "python3"}).python_for(notebook) == "python3"
    assert load({"dagster.python": "env/bin/python"}).python_for(notebook) == str(
        project_file.parent / "env" / "bin" / "python"
    )


def test_a_project_s_python_does_not_run_a_notebook_from_elsewhere(
    load: Load, project_file: Path, tmp_path: Path
) -> None:
    own = project_file.parent / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.touch()
    link = project_file.parent / "link.py"
    link.symlink_to(tmp_path / "nb.py")
    for notebook in (tmp_path / "nb.py", project_file.parent / ".." / "nb.py", link):
        assert load({}).python_for(notebook) == sys.executable
        assert load({"dagster.python": "/evil"}).python_for(notebook) == sys.executable
        assert load({}, {"dagster.python": "/mine"}).python_for(notebook) == "/mine"
        (project_file.parent.parent / "user" / "daglab" / "config.yaml").write_text("")
        assert load({}, environ={"DAGLAB_DAGSTER__PYTHON": "/mine"}).python_for(notebook) == "/mine"


# what a project's file is not trusted with


@pytest.mark.parametrize(
    "text",
    [
        "dagster: {auth: {token_file: /etc/passwd}}",
        "dagster: {auth: {token_command: 'cat /etc/passwd'}}",
        "dagster: {auth: {token_env: AWS_SECRET_ACCESS_KEY}}",
        "dagster: {auth: {token_env: daglab_x}}",
        "dagster: {auth: {token_env: 3}}",
        "credentials: {https://h: {token_env: A}}",
        "credentials: {https://h: {token_file: /f}}",
        "credentials:\n",
        "credentials: x",
    ],
)
def test_a_project_s_file_may_not_say_where_secrets_are(load: Load, project_file: Path, text: str) -> None:
    error = refused(load, text)
    assert error.exit_code == 6
    assert error.message.startswith(f"{project_file}:1: ")


@pytest.mark.parametrize("name", ["DAGLAB_TEAM_TOKEN", *config_files.PROJECT_VARIABLES])
def test_a_project_s_file_may_name_these_variables(load: Load, name: str) -> None:
    settings = load({"dagster.auth.token_env": name})
    found = trust.credential(settings, {name: "x"})
    assert found is not None
    assert found.auth == config_keys.Auth(token_env=name)


@pytest.mark.parametrize("layer", ["user", "environ"])
@pytest.mark.parametrize(
    ("name", "value"), [("token_file", "/f"), ("token_command", "pass show x"), ("token_env", "ANY_NAME")]
)
def test_the_user_may(load: Load, layer: str, name: str, value: str) -> None:
    key = f"dagster.auth.{name}"
    settings = load(user={key: value}) if layer == "user" else load(environ={variable(key): value})
    found = trust.credential(settings, {})
    assert found is not None
    assert found.auth == config_keys.Auth(**{name: value})


@pytest.mark.parametrize(
    "layers",
    [
        {"user": "dagster: {auth: {token_env: A, token_file: /f}}"},
        {"environ": {"DAGLAB_DAGSTER__AUTH__TOKEN_ENV": "A", "DAGLAB_DAGSTER__AUTH__TOKEN_COMMAND": "c"}},
        {"user": "credentials: {https://h: {token_env: A, token_file: /f}}"},
        {"user": "credentials: {https://h: {token_env: A}, 'https://H:443/x': {token_file: /f}}"},
        {"user": "credentials: {http://127.0.0.1:3000: {token_env: A}}\ndagster: {auth: {token_file: /f}}"},
    ],
)
def test_two_ways_to_one_token_are_refused(load: Load, layers: dict[str, Any]) -> None:
    error = refused(load, **layers)
    assert "both name a token" in error.message
    assert error.exit_code == 7


@pytest.mark.parametrize(
    ("layers", "url"),
    [
        ({"user": {"dagster.url": "https://prod"}, "project": {"dagster.port": 4000}}, "http://127.0.0.1:4000"),
        ({"user": {"dagster.url": "https://prod"}, "project": {"dagster.host": "dev"}}, "http://dev:3000"),
        (
            {"project": {"dagster.url": "https://prod"}, "environ": {"DAGLAB_DAGSTER__PORT": "4000"}},
            "http://127.0.0.1:4000",
        ),
        ({"project": {"dagster.url": "https://prod", "dagster.port": 4000}}, "https://prod"),
        ({"project": {"dagster.url": "https://prod"}, "user": {"dagster.port": 4000}}, "https://prod"),
        ({"project": {"dagster.port": 4000}, "environ": {"DAGLAB_DAGSTER__URL": "https://prod"}}, "https://prod"),
    ],
)
def test_what_says_where_dagster_is_wins_in_whatever_words(load: Load, layers: dict[str, Any], url: str) -> None:
    """Of one layer the url counts; host and port of a higher layer go before the url of a lower one."""
    assert load(**layers).url == url


def test_an_environment_says_where_dagster_is(tmp_path: Path) -> None:
    text = "dagster: {url: https://prod}\nenvironments: {dev: {dagster: {host: 127.0.0.1, port: 3000}}}\n"
    (tmp_path / "daglab.yaml").write_text(text)
    assert config.load({"env": "dev"}, directory=tmp_path).url == "http://127.0.0.1:3000"
    assert config.load({}, directory=tmp_path).url == "https://prod"


TOKEN = {"DAGSTER_GRAPHQL_TOKEN": "hunter2"}
DEFAULT_TOKEN = config_keys.Auth(token_env="DAGSTER_GRAPHQL_TOKEN")
OTHER = "http://127.0.0.1:4000"


@pytest.mark.parametrize(
    ("layers", "sent"),
    [
        # the address is nobody's, the user's, or a flag's: sent
        ({}, True),
        ({"user": {"dagster.url": OTHER}}, True),
        ({"user": {"dagster.port": 4000}}, True),
        ({"environ": {"DAGLAB_DAGSTER__URL": OTHER}}, True),
        ({"environ": {"DAGLAB_DAGSTER__PORT": "4000"}}, True),
        ({"flags": {"dagster.url": OTHER}}, True),
        ({"project": {"dagster.url": "http://other"}, "flags": {"dagster.url": OTHER}}, True),
        ({"project": {"dagster.url": "http://127.0.0.1:3000/team"}}, True),
        ({"project": {"dagster.path_prefix": "/team"}}, True),
        # the project's file has a say in where it goes: not sent
        ({"project": {"dagster.url": OTHER}}, False),
        ({"project": {"dagster.url": "https://127.0.0.1:3000"}}, False),
        ({"project": {"dagster.host": "evil.example.com"}}, False),
        ({"project": {"dagster.port": 4000}}, False),
        ({"project": {"dagster.port": 4000}, "environ": {"DAGLAB_DAGSTER__HOST": "dagster"}}, False),
        ({"project": {"dagster.host": "evil"}, "user": {"dagster.port": 4000}}, False),
        ({"project": {"dagster.host": "other"}, "user": {"dagster.url": OTHER}}, False),
        ({"project": {"dagster.url": OTHER}, "user": {"dagster.url": "http://mine"}}, False),
        ({"project": {"dagster.url": OTHER, "dagster.auth.token_env": "DAGSTER_GRAPHQL_TOKEN"}}, False),
    ],
)
def test_dagster_s_own_token_does_not_go_where_only_the_project_s_file_says(
    load: Load, layers: dict[str, Any], sent: bool
) -> None:
    found = trust.credential(load(**layers), TOKEN)
    assert found is not None
    assert found.auth == (DEFAULT_TOKEN if sent else None)
    assert (found.withheld is None) is sent
    assert sent or "daglab.yaml:" in str(found.withheld)


@pytest.mark.parametrize("name", ["token_env", "token_file", "token_command"])
def test_a_token_named_by_the_environment_does_not_go_there_either(load: Load, name: str) -> None:
    environ = {variable(f"dagster.auth.{name}"): "SOMETHING"}
    found = trust.credential(load({"dagster.url": OTHER}, environ=environ), {})
    assert found is not None
    assert (found.auth, "DAGLAB_DAGSTER__AUTH" in found.origin) == (None, True)


def test_no_token_is_no_credential(load: Load) -> None:
    assert trust.credential(load({"dagster.url": OTHER}), {}) is None
    assert trust.credential(load(), {"DAGSTER_GRAPHQL_TOKEN": ""}) is None


def test_the_user_s_credentials_go_to_their_origin_alone(load: Load) -> None:
    user = (
        "credentials:\n"
        "  https://Dagster.example.com/team: {token_env: PROD}\n"
        "  http://127.0.0.1:4000: {token_file: /local}\n"
    )

    def auth(url: str) -> config_keys.Auth | None:
        found = trust.credential(load({"dagster.url": url}, user), {})
        return found.auth if found else None

    prod = config_keys.Auth(token_env="PROD")
    assert auth("https://dagster.example.com") == prod
    assert auth("https://dagster.example.com:443/elsewhere") == prod
    assert auth("http://127.0.0.1:4000") == config_keys.Auth(token_file="/local")
    for other in (
        "http://dagster.example.com",
        "https://dagster.example.com:8443",
        "https://dagster.example.com.evil.example",
        "https://evil.example/dagster.example.com",
        "http://localhost:4000",
    ):
        assert auth(other) is None, other


def test_the_user_s_own_token_is_bound_to_the_user_s_own_address(load: Load) -> None:
    user = {"dagster.url": "https://mine.example.com", "dagster.auth.token_file": "/f"}
    found = trust.credential(load(user=user), {})
    assert found is not None
    assert found.auth == config_keys.Auth(token_file="/f")
    assert trust.credential(load({"dagster.url": OTHER}, user), {}) is None
    assert trust.credential(load({}, user, flags={"dagster.url": OTHER}), {}) is None


BOUND = f"credentials: {{'{OTHER}': {{token_env: BOUND}}}}"
NAMED = {"DAGLAB_DAGSTER__AUTH__TOKEN_ENV": "NAMED"}


@pytest.mark.parametrize(
    ("project", "environ", "flags", "expected"),
    [
        # one named by the environment wins where the address is the user's, too
        ({}, {**NAMED, "DAGLAB_DAGSTER__URL": OTHER}, {}, "NAMED"),
        ({"dagster.url": OTHER}, NAMED, {"dagster.url": OTHER}, "NAMED"),
        # to an address of the project's file goes only what is bound to it
        ({"dagster.url": OTHER}, NAMED, {}, "BOUND"),
        # what is bound wins over what the project's file names, and over Dagster's own
        ({"dagster.auth.token_env": "DAGLAB_TEAM"}, {}, {"dagster.url": OTHER}, "BOUND"),
        ({"dagster.url": OTHER, "dagster.auth.token_env": "DAGLAB_TEAM"}, {}, {}, "BOUND"),
        ({"dagster.url": OTHER}, TOKEN, {}, "BOUND"),
        ({}, TOKEN, {"dagster.url": OTHER}, "BOUND"),
        # the project's file names one for the user's address
        ({"dagster.auth.token_env": "DAGLAB_TEAM"}, TOKEN, {}, "DAGLAB_TEAM"),
    ],
)
def test_which_of_several_tokens(
    load: Load, project: dict[str, str], environ: dict[str, str], flags: dict[str, str], expected: str
) -> None:
    found = trust.credential(load(project, BOUND, environ, flags), environ)
    assert found is not None
    assert found.auth == config_keys.Auth(token_env=expected)


@pytest.mark.parametrize(
    "text",
    [
        "credentials: {https://h: {password: x}}",
        "credentials: {https://h: {token_envs: X}}",
        "credentials: {https://h: {token_env: [X]}}",
        "credentials: {https://h: {token_env: ''}}",
        "credentials: {https://h: }",
        "credentials: {h: {token_env: X}}",
        "credentials: []",
    ],
)
def test_credentials_of_another_shape_are_refused(load: Load, user_file: Path, text: str) -> None:
    error = refused(load, user=text)
    assert error.exit_code == 7
    assert error.message.startswith(f"{user_file}:1: ")


def test_token_variables_are_what_children_must_not_get(load: Load) -> None:
    settings = load(
        {"dagster.auth.token_env": "DAGLAB_TEAM"},
        "credentials: {https://h: {token_env: A}, https://i: {token_file: f}}",
    )
    assert set(settings.token_variables) == {*config_files.PROJECT_VARIABLES, "DAGLAB_TEAM", "A"}


@pytest.mark.parametrize(
    "values",
    [{"token_env": "NOT_THERE"}, {"token_file": "/not/there"}, {"token_command": "false"}, {"token_command": "true"}],
)
def test_a_missing_token_is_not_set_up(load: Load, values: dict[str, str]) -> None:
    settings = load(user={f"dagster.auth.{name}": value for name, value in values.items()})
    with pytest.raises(errors.NotSetUp) as caught:
        web.session(settings)
    assert caught.value.exit_code == 3
    assert caught.value.hint


# further ways to say who one is


def test_a_project_s_file_may_not_name_foreign_variables_in_any_way(load: Load) -> None:
    for auth in (
        "{username_env: HOME, password_env: DAGLAB_P}",
        "{username_env: DAGLAB_U, password_env: AWS_SECRET_ACCESS_KEY}",
        "{headers: {X-A: env:AWS_SECRET_ACCESS_KEY}}",
    ):
        error = refused(load, f"dagster: {{auth: {auth}}}")
        assert error.exit_code == 6
        assert "AWS" not in error.message
    assert load("dagster: {auth: {headers: {X-A: 'env:DAGLAB_A', X-B: b}}}").dagster.auth.headers == {
        "X-A": "env:DAGLAB_A",
        "X-B": "b",
    }


@pytest.mark.parametrize("header", ["Authorization: Bearer abc", "X-Api-Key: abc", "Cookie: a=b"])
def test_a_secret_header_is_not_written_out(load: Load, header: str) -> None:
    error = refused(load, f"dagster: {{auth: {{headers: {{{header}}}}}}}")
    assert "abc" not in error.message
    assert "env:DAGLAB_" in (error.hint or "")


@pytest.mark.parametrize("header", ["Host: x", "Content-Length: '1'", "'A b': x", "A: 'x\\ny'", "A: ''", "A: 7"])
def test_a_header_that_can_not_be_sent(load: Load, header: str) -> None:
    assert (
        refused(load, user=f"dagster: {{auth: {{headers: {{{header}}}}}}}".replace("'x\\ny'", '"x\\ny"')).exit_code == 7
    )


def test_a_name_and_its_password_go_together(load: Load) -> None:
    both = load(environ={"DAGLAB_DAGSTER__AUTH__USERNAME_ENV": "U", "DAGLAB_DAGSTER__AUTH__PASSWORD_ENV": "P"})
    found = trust.credential(both, {})
    assert found
    assert found.auth == config_keys.Auth(username_env="U", password_env="P")
    assert set(both.token_variables) >= {"U", "P"}
    alone = load(environ={"DAGLAB_DAGSTER__AUTH__USERNAME_ENV": "U"})
    with pytest.raises(errors.InvalidInput, match="only one is set"):
        trust.credential(alone, {})
    two = {"DAGLAB_DAGSTER__AUTH__USERNAME_ENV": "U", "DAGLAB_DAGSTER__AUTH__TOKEN_ENV": "T"}
    assert "both name a token" in refused(load, environ=two).message


def test_what_says_how_a_token_is_sent_goes_with_it(load: Load) -> None:
    project = "dagster: {auth: {type: custom, header_name: X-Key, headers: {X-Team: a}, token_env: DAGLAB_T}}"
    found = trust.credential(load(project), {})
    assert found
    assert found.auth == config_keys.Auth(
        type="custom", header_name="X-Key", headers={"X-Team": "a"}, token_env="DAGLAB_T"
    )
    found = trust.credential(load(project, flags={"dagster.auth.token_file": "/t"}), {})
    assert found
    assert found.auth
    assert (found.auth.token_file, found.auth.token_env) == ("/t", None)
    assert found.auth.header_name == "X-Key"


def test_headers_with_a_secret_are_withheld_and_others_are_not(load: Load) -> None:
    project = f"dagster: {{url: {OTHER}, auth: {{headers: {{X-Team: a, X-Key: 'env:DAGLAB_K'}}}}}}"
    found = trust.credential(load(project), {})
    assert found
    assert found.auth == config_keys.Auth(headers={"X-Team": "a"})
    assert found.withheld
    plain = trust.credential(load(f"dagster: {{url: {OTHER}, auth: {{headers: {{X-Team: a}}}}}}"), {})
    assert plain
    assert (plain.withheld, plain.auth) == (None, config_keys.Auth(headers={"X-Team": "a"}))


def test_the_user_s_headers_go_to_the_user_s_own_address_alone(load: Load) -> None:
    user = f"dagster: {{url: {OTHER}, auth: {{headers: {{X-Key: 'env:KEY'}}}}}}"
    found = trust.credential(load(user=user), {})
    assert found
    assert found.auth
    assert found.auth.headers == {"X-Key": "env:KEY"}
    assert trust.credential(load({}, user, flags={"dagster.url": "http://third.example.com"}), {}) is None
    named = f"credentials: {{'{OTHER}': {{headers: {{X-Key: 'env:KEY', X-B: b}}, token_env: T}}}}"
    found = trust.credential(load({}, named, flags={"dagster.url": OTHER}), {})
    assert found
    assert found.auth == config_keys.Auth(token_env="T", headers={"X-Key": "env:KEY", "X-B": "b"})


@pytest.mark.parametrize(
    ("url", "variable_name"),
    [
        ("https://acme.dagster.cloud/prod", "DAGSTER_CLOUD_API_TOKEN"),
        ("https://acme.dagster.plus/prod", "DAGSTER_CLOUD_API_TOKEN"),
        ("https://dagster.example.com", "DAGSTER_GRAPHQL_TOKEN"),
        ("https://dagster.cloud.example.com", "DAGSTER_GRAPHQL_TOKEN"),
    ],
)
def test_dagster_s_own_variables_are_for_their_own_servers(load: Load, url: str, variable_name: str) -> None:
    both = {"DAGSTER_CLOUD_API_TOKEN": "a", "DAGSTER_GRAPHQL_TOKEN": "b"}
    found = trust.credential(load(flags={"dagster.url": url}), both)
    assert found
    assert found.auth
    assert found.auth.token_env == variable_name
    cloud_only = trust.credential(load(flags={"dagster.url": url}), {"DAGSTER_CLOUD_API_TOKEN": "a"})
    assert (cloud_only is not None) == ("CLOUD" in variable_name)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("models: [{provider: x}]", "needs a name"),
        ("models: [{name: a}, {name: a}]", "same name"),
        ("models: [{name: a, size: {b: c}}]", "must be text"),
        ("models: [a]", "not a list of mappings"),
        ("models: {a: b}", "unknown key models.a"),
        ("models: [{name: a, token: abc}]", "would hold a secret"),
        ("models: [{name: a, url: ftp://x}]", "url of a model: ftp://x is not the address"),
        ("models: [{name: a, url: 'https://me:pass@x.test'}]", "holds credentials"),
        ("models: [{name: a, token_env: DAGLAB_sk-abc}]", "token_env of a model: it must be the name of a variable"),
        ("weaviate: {clusters: [{name: a}]}", "each cluster needs a url"),
        ("weaviate: {clusters: [{url: 'http://x.test'}]}", "each cluster needs a name"),
        ("weaviate: {clusters: [{name: a, url: 'http://x.test', api_key: abc}]}", "would hold a secret"),
        ("health: {timeout: 0}", "more than 0"),
        ("health: {min_free_bytes: -1}", "less than 0"),
        ("health: {export_max_age_days: -1}", "from 0"),
        ("security: {allowed_operations: launchRun}", "not a list of text"),
        ("security: {allowed_operations: [launch run]}", "no name of an operation"),
        ("security: {sandbox_mode: 1}", "not true or false"),
        ("export: {retention_days: -1}", "from 0"),
        ("dagster: {auth: {type: magic}}", "bearer"),
    ],
)
def test_further_values_that_are_not_valid(load: Load, text: str, problem: str) -> None:
    assert problem in refused(load, text).message
