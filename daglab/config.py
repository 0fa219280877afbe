"""Config: where each value comes from, which values are allowed, and which of them are trusted.

A value is taken from the first of these that has it:

1. a flag of the command line
2. a variable `DAGLAB_<SECTION>__<KEY>`
3. `daglab.yaml` in the directory or its parents, up to the git root (without one: the directory alone)
4. `$XDG_CONFIG_HOME/daglab/config.yaml`, the user's own
5. the default

A project's file may be somebody else's, so it can't name a file, a command or a foreign variable to read a
token from (`config_files.refuse_untrusted`), and no token goes to an address that only it names (`credential`).
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from daglab import config_files, config_keys, errors, files, parse

FILE_NAME = "daglab.yaml"
_AUTH = "dagster.auth."
_DEFAULT_ADDRESS = f"http://{config_keys.Dagster.host}:{config_keys.Dagster.port}"
TOKEN_VARIABLES = ("DAGSTER_GRAPHQL_TOKEN",)  # read when no other is named
_FLAGS = {"dagster.repository_name": "--repo", "dagster.repository_location_name": "--location"}


@dataclass(frozen=True)
class Config(config_keys.Values):
    """The values in force, where each came from, and the project's root (None outside of a project)."""

    origins: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, config_keys.Auth] = field(default_factory=dict)
    file: Path | None = None
    directory: Path = Path()

    @property
    def root(self) -> Path:
        """The project's root: the folder of its file, else the directory we are in."""
        return self.file.parent if self.file else self.directory

    @property
    def url(self) -> str:
        """The address of Dagster's webserver, with its path prefix, without a trailing slash."""
        dagster = self.dagster
        host = f"[{dagster.host}]" if ":" in dagster.host else dagster.host
        base = parse.base_url(dagster.url or f"http://{host}:{dagster.port}")
        prefix = (dagster.path_prefix or "").strip("/")
        return f"{base}/{prefix}" if prefix and not base.endswith(f"/{prefix}") else base

    def python_for(self, notebook: Path) -> str:
        """The Python that runs a notebook: for one of the project's dagster.python, else that of its .venv.

        Without either, and for a notebook that lies elsewhere, the one that runs daglab: a project must not get
        to run the user's own notebooks, and see what is in their environment.
        """
        if not self._owns(notebook) and self.layers.get("dagster.python") in ("default", "project"):
            return sys.executable
        own = self.root / ".venv" / "bin" / "python"
        named = self.dagster.python or (str(own) if own.exists() else sys.executable)
        return str(self.root / named) if os.sep in named and self.layers["dagster.python"] == "project" else named

    def flags_for(self, notebook: Path) -> list[str]:
        """Python's flags for a notebook: for one that lies elsewhere, no module comes from the directory we are in.

        Python 3.10 has no flag for that.
        """
        safe = self.python_for(notebook) == sys.executable and sys.version_info >= (3, 11)
        return ["-P"] if safe and not self._owns(notebook) else []

    def _owns(self, notebook: Path) -> bool:
        return files.inside(self.root, notebook) is not None

    @property
    def token_variables(self) -> list[str]:
        """The variables that hold tokens: what a child that needs none must not get."""
        named = [self.dagster.auth.token_env, *(auth.token_env for auth in self.credentials.values())]
        return [*config_files.PROJECT_VARIABLES, *(name for name in named if name)]

    def value(self, name: str) -> Any:
        """The value of a dotted key."""
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part)
        return value


@dataclass(frozen=True)
class Credential:
    """Which token goes to the deployment (never the token itself), or why a named one does not."""

    auth: config_keys.Auth | None
    origin: str
    withheld: str | None = None


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    directory: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """The config for `directory` (default: the one we are in).

    `flags` are values of the command line by dotted key; None means not given. Raises `InvalidInput` for
    an unknown key, a wrong type or a value out of range (file and line are named), `NotAuthorised` for what
    a file may not say.
    """
    directory = current_directory() if directory is None else directory
    environ = os.environ if environ is None else environ
    project = find_project_file(directory)
    user = _user_file(environ)
    user_values, credentials = config_files.split_credentials(config_files.read(user))
    project_values = config_files.read(project)
    for entry in project_values:
        config_files.refuse_untrusted(entry)
    layers = [
        ("flag", _from_flags(flags or {})),
        ("environment", _from_environment(environ)),
        ("project", _from_file(project_values)),
        ("user", _from_file(user_values)),
    ]
    for _, layer in layers:
        _refuse_several_tokens({name: place for name, (value, place) in layer.items() if value})
    config = _merge(layers, directory=directory.resolve(), file=project)
    return dataclasses.replace(config, credentials=_credentials(credentials, layers[3][1]))


def current_directory() -> Path:
    """Where we are. Raises `InvalidInput` when somebody has deleted it."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise errors.InvalidInput("The current directory is gone.", "Go to one that is there: cd DIRECTORY") from None


def find_project_file(directory: Path) -> Path | None:
    """The nearest `daglab.yaml` upwards, not beyond the git root; without one, only in the directory."""
    here = directory.resolve()
    chain = [here, *here.parents]
    top = next((folder for folder in chain if os.path.exists(folder / ".git")), here)
    # os.path: a folder above that we may not look into holds nothing for us, and is no error.
    for folder in chain[: chain.index(top) + 1]:
        if os.path.isfile(folder / FILE_NAME):
            return folder / FILE_NAME
    return None


def credential(config: Config, environ: Mapping[str, str]) -> Credential | None:
    """Which token to send to `config.url`, by these rules; None for none.

    1. one named by a flag or a DAGLAB_ variable
    2. one that the user's config holds for just this origin
    3. one named in the project's file
    4. one of Dagster's own variables

    All but the second are withheld from an address that only the project's file names.
    """
    bound = config.credentials.get(parse.origin(config.url))
    foreign = _project_address(config)
    if bound and (foreign or _named_auth(config, "flag", "environment") is None):
        return Credential(bound, f"your config, for {parse.origin(config.url)}")
    named = _named_auth(config, "flag", "environment", "project")
    if named is None:
        found = next((name for name in TOKEN_VARIABLES if environ.get(name)), None)
        if found is None:
            return None
        named = config_keys.Auth(token_env=found), f"${found}"
    if foreign:
        return Credential(None, named[1], f"the address {config.url} comes from {foreign}")
    return Credential(*named)


def _named_auth(config: Config, *layers: str) -> tuple[config_keys.Auth, str] | None:
    """The token named in the first of these layers that names one, and where."""
    for layer in layers:
        for name in (item.name for item in dataclasses.fields(config_keys.Auth)):
            value = config.value(f"{_AUTH}{name}")
            if value and config.layers[f"{_AUTH}{name}"] == layer:
                return config_keys.Auth(**{name: value}), config.origins[f"{_AUTH}{name}"]
    return None


def _project_address(config: Config) -> str | None:
    """The file and line that chose the address, when that is the project's file; the default's own is nobody's."""
    if parse.origin(config.url) == parse.origin(_DEFAULT_ADDRESS):
        return None
    deciding = ["dagster.url"] if config.dagster.url else ["dagster.host", "dagster.port"]
    return next((config.origins[name] for name in deciding if config.layers[name] == "project"), None)


Layer = dict[str, tuple[Any, str]]  # dotted key -> value, where it came from


def _from_flags(flags: Mapping[str, Any]) -> Layer:
    known = config_keys.known()
    layer: Layer = {}
    for name, value in flags.items():
        if value is not None:
            flag = _FLAGS.get(name) or f"--{name.rpartition('.')[2].replace('_', '-')}"
            layer[name] = (config_keys.checked(known[name], value, flag), f"flag {flag}")
    return layer


def _from_environment(environ: Mapping[str, str]) -> Layer:
    layer: Layer = {}
    for name, key in config_keys.known().items():
        variable = "DAGLAB_" + name.upper().replace(".", "__")
        if variable in environ:
            value = config_keys.from_text(key, environ[variable], variable)
            layer[name] = (config_keys.checked(key, value, variable), f"environment {variable}")
    return layer


def _from_file(entries: list[config_files.Entry]) -> Layer:
    known = config_keys.known()
    layer: Layer = {}
    for entry in entries:
        config_files.refuse_unknown(entry, known)
        if entry.key in known:  # else an empty section, such as `dagster:` alone
            layer[entry.key] = (config_keys.checked(known[entry.key], entry.value, entry.place), entry.place)
    return layer


def _merge(layers: list[tuple[str, Layer]], *, directory: Path, file: Path | None) -> Config:
    values, origins, chosen = {}, {}, {}
    for name, key in config_keys.known().items():
        values[name], origins[name], chosen[name] = key.default, "default", "default"
        for layer_name, layer in layers:
            if name in layer:
                values[name], origins[name] = layer[name]
                chosen[name] = layer_name
                break
    base = _build(config_keys.Values, "", values)
    return Config(**vars(base), origins=origins, layers=chosen, file=file, directory=directory)


def _build(section: Any, prefix: str, values: Mapping[str, Any]) -> Any:
    hints = get_type_hints(section)
    arguments = {
        item.name: _build(hints[item.name], f"{prefix}{item.name}.", values)
        if dataclasses.is_dataclass(hints[item.name])
        else values[f"{prefix}{item.name}"]
        for item in dataclasses.fields(section)
    }
    return section(**arguments)


def _credentials(entries: list[config_files.Entry], user: Layer) -> dict[str, config_keys.Auth]:
    """The user's tokens by origin: what stands under `credentials`, and `dagster.auth` for the file's own address."""
    known = {name.removeprefix(_AUTH): key for name, key in config_keys.known().items() if name.startswith(_AUTH)}
    found: dict[str, Layer] = {}
    for entry in entries:
        address, name = config_files.credential_name(entry, known)
        value = config_keys.checked(known[name], entry.value, entry.place)
        found.setdefault(_origin(address, entry.place), {})[_AUTH + name] = (value, entry.place)
    own = {name: user[name] for name in user if name.startswith(_AUTH) and user[name][0]}
    if own:
        only_user = _merge([("user", user)], directory=Path(), file=None)
        found.setdefault(parse.origin(only_user.url), {}).update(own)
    for layer in found.values():
        _refuse_several_tokens({name: place for name, (_, place) in layer.items()})
    return {
        address: config_keys.Auth(**{name.removeprefix(_AUTH): value for name, (value, _) in layer.items()})
        for address, layer in found.items()
    }


def _origin(address: str, place: str) -> str:
    try:
        return parse.origin(parse.base_url(address))
    except errors.InvalidInput as error:
        raise errors.InvalidInput(f"{place}: {error.message}", error.hint) from None


def _refuse_several_tokens(places: Mapping[str, str]) -> None:
    """Of two ways to one token, nobody could say which one counts."""
    several = [(name, place) for name, place in places.items() if name.startswith(_AUTH)]
    if len(several) > 1:
        (first, _), (second, place) = several[:2]
        raise errors.InvalidInput(f"{place}: {first} and {second} both name a token.", "Keep one of them.")


def _user_file(environ: Mapping[str, str]) -> Path | None:
    """The user's own file, which is trusted: a relative path would lead to one of the project's."""
    home = environ.get("HOME") or os.path.expanduser("~")
    choices = [environ.get("XDG_CONFIG_HOME", ""), os.path.join(home, ".config")]
    base = next((choice for choice in choices if os.path.isabs(choice)), None)
    path = Path(base, "daglab", "config.yaml") if base else None
    try:
        return path if path and path.is_file() else None
    except PermissionError:
        raise errors.InvalidInput(
            f"The config file {path} can't be read: permission denied.", "Set HOME to your own home directory."
        ) from None
