"""Config: where each value comes from, which values are allowed, and which of them are trusted.

A value is taken from the first of these that has it:

1. a flag of the command line
2. a variable `DAGLAB_<SECTION>__<KEY>`
3. `daglab.yaml` in the directory or its parents, up to the git root (without one: the directory alone)
4. `$XDG_CONFIG_HOME/daglab/config.yaml`, the user's own
5. the default

A project's file may be somebody else's, so it can't name a file, a command or a foreign variable to read a
token from (`config_files.refuse_untrusted`), and no token goes to an address that only it names (`trust`).
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from daglab import errors, files, parse
from daglab.settings import config_checks, config_files, config_keys

FILE_NAME = "daglab.yaml"
_AUTH = "dagster.auth."
ENVIRONMENT = "DAGLAB_ENV"
_FLAGS = {
    "dagster.repository_name": "--repo",
    "dagster.repository_location_name": "--location",
    "dagster.port": "--dagster-port",
    "dagster.auth.token_env": "--auth-token",
    "dagster.auth.token_file": "--auth-token",
    "security.sandbox_mode": "--sandbox",
    "defaults.attach_metadata_key": "--metadata-key",
    "health.export_max_age_days": "--max-export-age",
}


@dataclass(frozen=True)
class Config(config_keys.Values):
    """The values in force, where each came from, and the project's root (None outside of a project)."""

    origins: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, config_keys.Auth] = field(default_factory=dict)
    file: Path | None = None
    directory: Path = Path()
    environment: str | None = None

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

    def refuse_own(self, path: Path) -> None:
        """Raises `InvalidInput` for a file that no result may take the place of: the project's config and record."""
        place = files.inside(self.root, path)
        if place is not None and (place.parts[:1] == (".daglab",) or place == Path(FILE_NAME)):
            raise errors.InvalidInput(f"{path} is the project's own.", "Name a file outside of .daglab/.")

    @property
    def token_variables(self) -> list[str]:
        """The variables that hold tokens: what a child that needs none must not get."""
        named = [name for auth in (self.dagster.auth, *self.credentials.values()) for name in auth.variables]
        endpoints = (*self.models, *self.weaviate.clusters)
        named += [each["token_env"] for each in endpoints if each.get("token_env")]
        return [*config_files.PROJECT_VARIABLES, *named]

    def value(self, name: str) -> Any:
        """The value of a dotted key."""
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part)
        return value

    def shown(self, name: str) -> Any:
        """The value as it may be shown: a command's arguments may hold a secret, and so may a header."""
        value = self.value(name)
        if name == "dagster.auth.headers" and value:
            return {header: "..." if _is_secret(header, text) else text for header, text in value.items()}
        return value.split()[0] + " ..." if name == "dagster.auth.token_command" and value else value


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    directory: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """The config for `directory` (default: the one we are in).

    `flags` are values of the command line by dotted key, and `env`, the name of one of the files' `environments`;
    None means not given, and an empty `env` none. Raises `InvalidInput` for an unknown key, a wrong type or a value
    out of range (file and line are named), `NotAuthorised` for what a file may not say.
    """
    directory = current_directory() if directory is None else directory
    environ = os.environ if environ is None else environ
    flags = dict(flags or {})
    name = flags.pop("env", None)
    name = environ.get(ENVIRONMENT) if name is None else name
    project = find_project_file(directory)
    user = _user_file(environ)
    user_values, credentials = config_files.split_credentials(config_files.read(user))
    project_layer, project_names = _file_layer(config_files.read(project), name, trusted=False)
    user_layer, user_names = _file_layer(user_values, name, trusted=True)
    if name and name not in project_names | user_names:
        raise _no_environment(name, sorted(project_names | user_names))
    layers = [
        ("flag", _from_flags(flags)),
        ("environment", _from_environment(environ)),
        ("project", project_layer),
        ("user", user_layer),
    ]
    for _, layer in layers:
        _refuse_several_tokens({name: place for name, (value, place) in layer.items() if value})
    config = _merge(layers, directory=directory.resolve(), file=project)
    found = _credentials(credentials, user_layer)
    return dataclasses.replace(config, credentials=found, environment=name or None)


def environments(directory: Path, environ: Mapping[str, str]) -> list[str]:
    """The environments that the two config files have. Raises as reading them does."""
    user_values, _ = config_files.split_credentials(config_files.read(_user_file(environ)))
    found = [user_values, config_files.read(find_project_file(directory))]
    return sorted({name for entries in found for name in config_files.split_environments(entries)[1]})


def check_text(text: str, path: Path, *, trusted: bool) -> None:
    """Whether `text` could stand in the config file `path`; raises as `load` does. `trusted` is the user's own file."""
    entries, credentials = config_files.split_credentials(config_files.entries(text, path))
    layer, _ = _file_layer(entries if trusted else [*entries, *credentials], None, trusted=trusted)
    _refuse_several_tokens({name: place for name, (value, place) in layer.items() if value})
    if trusted:
        _credentials(credentials, layer)


def defaults(directory: Path) -> Config:
    """The defaults, for the project around `directory`: its files are not read."""
    try:
        file = find_project_file(directory)
    except errors.InvalidInput:
        file = None
    return _merge([], directory=directory.resolve(), file=file)


def flaw(entry: config_files.Entry, *, trusted: bool) -> errors.DaglabError | None:
    """What is wrong with one value of a config file, beside all others; None for nothing."""
    try:
        entries, credentials = config_files.split_credentials(config_files.alone(entry))
        _file_layer(entries if trusted else [*entries, *credentials], None, trusted=trusted)
        _credentials(credentials if trusted else [], {})
    except errors.DaglabError as error:
        return error
    return None


def as_environment(flags: Mapping[str, Any]) -> dict[str, str]:
    """The `flags` of `load` as variables, with which daglab in a child process finds the same config."""
    found = {}
    for name, value in _implied(flags).items():
        if name == "env":
            found[ENVIRONMENT] = value
        else:
            found["DAGLAB_" + name.upper().replace(".", "__")] = config_keys.to_text(value)
    return found


def current_directory() -> Path:
    """Where we are. Raises `InvalidInput` when somebody has deleted it."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise errors.InvalidInput("The current directory is gone.", "Go to one that is there: cd DIRECTORY") from None


def project_root(directory: Path | None = None) -> Path:
    """The root of the project around `directory` (default: the one we are in), without reading its config."""
    directory = current_directory() if directory is None else directory
    file = find_project_file(directory)
    return file.parent if file else directory.resolve()


def find_project_file(directory: Path) -> Path | None:
    """The nearest `daglab.yaml` upwards, not beyond the git root; without one, only in the directory."""
    here = directory.resolve()
    chain = [here, *here.parents]
    top = next((folder for folder in chain if os.path.exists(folder / ".git")), here)
    # os.path: a folder above that we may not look into holds nothing for us, and is no error.
    for folder in chain[: chain.index(top) + 1]:
        if os.path.isfile(folder / FILE_NAME):
            return folder / FILE_NAME
        if os.path.lexists(folder / FILE_NAME):
            raise errors.InvalidInput(
                f"{folder / FILE_NAME} is no ordinary file, and its settings are not known.", "Delete it, or mend it."
            )
    return None


Layer = dict[str, tuple[Any, str]]  # dotted key -> value, where it came from


def _is_secret(header: str, text: str) -> bool:
    return config_checks.is_secret_header(header) and not text.startswith(config_checks.FROM_VARIABLE)


def _implied(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that are given; a port given by hand wins over an address in a file."""
    given = {name: value for name, value in flags.items() if value is not None}
    return {"dagster.url": "", **given} if "dagster.port" in given else given


def _from_flags(flags: Mapping[str, Any]) -> Layer:
    known = config_keys.known()
    layer: Layer = {}
    for name, value in _implied(flags).items():
        flag = _FLAGS.get(name) or f"--{name.rpartition('.')[2].replace('_', '-')}"
        if value == "" and known[name].optional:
            layer[name] = (None, "flag --dagster-port")
        else:
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


def _file_layer(entries: list[config_files.Entry], environment: str | None, *, trusted: bool) -> tuple[Layer, set[str]]:
    """What a file says, the chosen environment over the rest, and the environments that it has.

    The environments that are not chosen are checked, too.
    """
    values, environments = config_files.split_environments(entries)
    parts = {"": values, **{f" {name}": found for name, found in environments.items()}}
    for part in () if trusted else parts.values():
        for entry in part:
            config_files.refuse_untrusted(entry)
    layers = {name: _from_file(part) for name, part in parts.items()}
    base, over = layers[""], layers.get(f" {environment}", {})
    if _says_where(over):
        base.pop("dagster.url", None)
    return {**base, **over}, set(environments)


def _no_environment(name: str, names: list[str]) -> errors.InvalidInput:
    """The name may have come from the variable that is named, too."""
    there = f"There are {', '.join(names)}." if names else "Add it to daglab.yaml, below environments:."
    hint = f"{parse.did_you_mean(name, names) or ''} {there} It is chosen by --env or {ENVIRONMENT}."
    return errors.InvalidInput(f"No config file has an environment {name!r}.", hint.strip())


def _from_file(entries: list[config_files.Entry]) -> Layer:
    known = config_keys.known()
    layer: Layer = {}
    for entry in entries:
        config_files.refuse_unknown(entry, known)
        if entry.key in known:  # else an empty section, such as `dagster:` alone
            layer[entry.key] = (config_keys.checked(known[entry.key], entry.value, entry.place), entry.place)
    return layer


def _says_where(layer: Layer) -> bool:
    """Whether a layer says where Dagster is by host or port alone, which goes before every `url` below it."""
    return "dagster.url" not in layer and ("dagster.host" in layer or "dagster.port" in layer)


def _merge(layers: list[tuple[str, Layer]], *, directory: Path, file: Path | None) -> Config:
    values, origins, chosen = {}, {}, {}
    for name, key in config_keys.known().items():
        values[name], origins[name], chosen[name] = key.default, "default", "default"
        for layer_name, layer in layers:
            if name in layer:
                values[name], origins[name] = layer[name]
                chosen[name] = layer_name
                break
            if name == "dagster.url" and _says_where(layer):
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
    if own.keys() & {f"{_AUTH}{name}" for name in (*config_keys.SOURCES, "headers")}:
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
    ways = [f"{_AUTH}{name}" for name in config_keys.SOURCES if name != "password_env"]
    several = [(name, place) for name, place in places.items() if name in ways]
    if len(several) > 1:
        (first, _), (second, place) = several[:2]
        raise errors.InvalidInput(f"{place}: {first} and {second} both name a token.", "Keep one of them.")


def user_path(environ: Mapping[str, str]) -> Path:
    """Where the user's own file lies, which is trusted: a relative path would lead to one of the project's.

    Raises `NotSetUp` for a user without a home.
    """
    home = environ.get("HOME") or os.path.expanduser("~")
    choices = [environ.get("XDG_CONFIG_HOME", ""), os.path.join(home, ".config")]
    base = next((choice for choice in choices if os.path.isabs(choice)), None)
    if base is None:
        raise errors.NotSetUp("You have no home directory, so there is no config of your own.", "Set HOME.")
    return Path(base, "daglab", "config.yaml")


def _user_file(environ: Mapping[str, str]) -> Path | None:
    try:
        path = user_path(environ)
        return path if path.is_file() else None
    except errors.NotSetUp:
        return None
    except PermissionError:
        raise errors.InvalidInput(
            f"The config file {user_path(environ)} can't be read: permission denied.",
            "Set HOME to your own home directory.",
        ) from None
