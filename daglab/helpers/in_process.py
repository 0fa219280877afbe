"""Running assets and jobs in this process, from their code: Dagster records nothing of it, and nothing is stored.

The values that a run makes stay in memory. What it needs and does not make itself is loaded as the deployment does, by
the assets' own IO managers. Needs dagster from 1.6 on: before, definitions did not tell what they hold.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any

from daglab import errors, parse
from daglab.attaching import reports
from daglab.deployment import entities, partitions
from daglab.helpers import client as deployment
from daglab.helpers import display

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
Made = dict[tuple[object, ...], tuple[str, Any]]  # by place: the name, and the value
LONGEST_ERROR = 2000  # characters that are shown of an error


@dataclass(frozen=True)
class InProcess(display.Shown):
    """A run in this process: whether it was good, what it made by asset or op, and how long it took in seconds."""

    target: str
    succeeded: bool
    seconds: float
    values: Mapping[str, Any] = field(repr=False)
    steps: tuple[tuple[str, float | None], ...] = ()
    failures: tuple[str, ...] = ()

    def html(self) -> str:
        """A line, the time of each step, why it failed, and that Dagster knows nothing of it."""
        said = f"<strong>{'SUCCESS' if self.succeeded else 'FAILURE'}</strong> in {display.seconds(self.seconds)}"
        head = f"<p>{display.mark('good' if self.succeeded else 'bad')}In this process: {said}</p>"
        rows = [(key, display.seconds(took)) for key, took in self.steps]
        why = "".join(f"<li>{escape(failure)}</li>" for failure in self.failures)
        note = '<p class="quiet">Not recorded in Dagster, and nothing was stored.</p>'
        return head + display.table(("step", "took"), rows) + (f"<ul>{why}</ul>" if why else "") + note

    def __str__(self) -> str:
        said = f"{'SUCCESS' if self.succeeded else 'FAILURE'} in {display.seconds(self.seconds)}"
        return "\n  ".join([f"{self.target}, in this process and not recorded in Dagster: {said}", *self.failures])


def run_inprocess(
    client: deployment.Client,
    target: deployment.Target,
    module: str,
    *,
    partition: str | None = None,
    run_config: Mapping[str, Any] | str | None = None,
) -> InProcess:
    """Run assets or a job here, from the code in `module` (`shop.definitions`, or a file `defs.py` of the project).

    Returns when it is over; a step that fails is no error, but told in what is given back. Raises `DaglabError` when
    the code can't be imported, holds no definitions, or has no such target.
    """
    body: Mapping[str, Any]
    body = parse.run_config(run_config, "run config") if isinstance(run_config, str) else run_config or {}
    name = deployment.name_of(target)
    if not isinstance(target, entities.Job) and not deployment.several(target):
        raise errors.InvalidInput("There is no asset to run.", "`discover_assets` lists assets.")
    with deployment.recorded(client, "helpers.run_inprocess", name) as (event, api):
        if isinstance(target, entities.Job) and run_config is None:
            _, body = partitions.job_launch(api, target, partition, None)
        definitions = load_definitions(module, client.settings.root)
        started = time.perf_counter()
        with _instance(client) as instance:
            options = {"instance": instance, "partition_key": partition, "raise_on_error": False}
            result, values = _execute(client, definitions, target, body, options)
        took = time.perf_counter() - started
        event.detail.update(seconds=round(took, 3), succeeded=result.success)
        event.failed = None if result.success else errors.NotGood
    return InProcess(name, result.success, took, values, _steps(result), _failures(result))


def load_value(client: deployment.Client, asset: entities.Asset, module: str, *, partition: str | None = None) -> Any:
    """What was stored of an asset, loaded here by its own IO manager. Raises `DaglabError` when that can't be."""
    definitions = load_definitions(module, client.settings.root)
    import dagster  # after what says how to install it

    with _instance(client) as instance:
        try:
            return definitions.load_asset_value(
                dagster.AssetKey(list(asset.key)), partition_key=partition, instance=instance
            )
        except Exception as error:  # whatever the user's own IO manager raises
            raise errors.NotGood(
                f"The value of {asset.name} can't be loaded here: {_said(error)}", "Materialize it first."
            ) from error


def load_definitions(module: str, root: Path) -> Any:
    """The Dagster definitions in a module, or in a file of the project. Raises `DaglabError` with the cause."""
    try:
        import dagster
    except ImportError as error:
        raise errors.NotSetUp(
            f"dagster is not installed for {sys.executable}.", "Install it there: pip install dagster"
        ) from error
    found = _import(module, root)
    held = [value for value in vars(found).values() if isinstance(value, dagster.Definitions)]
    # What `@dagster.definitions` makes, as `dg` writes it, is known by its name alone.
    lazy = [value for value in vars(found).values() if type(value).__name__ == "LazyDefinitions"]
    try:
        held += [value() for value in lazy]
    except (Exception, SystemExit) as error:
        raise errors.NotGood(f"The definitions in {module} can't be made: {_said(error)}", "Mend them.") from error
    if len(held) != 1:
        raise errors.InvalidInput(
            f"{module} holds {len(held) or 'no'} Definitions.", "Name the module that Dagster loads, with one of them."
        )
    if not hasattr(held[0], "assets"):
        raise errors.NotSetUp(
            f"Dagster {dagster.__version__} does not tell what definitions hold.", "It needs Dagster 1.6 or newer."
        )
    return held[0]


def _import(module: str, root: Path) -> ModuleType:
    """The module as it is now: what was imported of the project before may have been edited since."""
    if str(root) not in sys.path:
        sys.path.append(str(root))  # after all that is installed
    for name in [name for name, loaded in sys.modules.items() if name != "__main__" and _is_of(root, loaded)]:
        del sys.modules[name]
    try:
        return _import_file(root / module) if module.endswith(".py") else importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise errors.NotGood(
            f"{module} can't be imported: {_said(error)}", f"Mend it, or name another with --module; it is in {root}."
        ) from error


def _is_of(root: Path, module: ModuleType) -> bool:
    """Whether a module is of the project: it lies in its folder, and is neither Python's, nor installed, nor ours."""
    path = Path(getattr(module, "__file__", None) or os.sep)
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    others = (sys.prefix, sys.base_prefix, os.path.dirname(errors.__file__))
    return root in path.parents and not installed and not any(Path(other) in path.parents for other in others)


def _import_file(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None or not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    found = importlib.util.module_from_spec(specification)
    sys.modules.setdefault(path.stem, found)
    specification.loader.exec_module(found)
    return found


@contextlib.contextmanager
def _instance(client: deployment.Client) -> Iterator[Any]:
    """An instance that keeps nothing, and looks for stored values where the deployment on this machine has them."""
    import dagster

    home = os.environ.get("DAGSTER_HOME") or reports.home_of_dev(client.settings, client.api.url)
    with dagster.DagsterInstance.ephemeral(tempdir=home or None) as instance:
        yield instance


def _execute(
    client: deployment.Client,
    definitions: Any,
    target: deployment.Target,
    body: Mapping[str, Any],
    options: Mapping[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """Dagster's result, and the values by asset or op."""
    import dagster

    made: Made = {}
    try:
        if isinstance(target, entities.Job) and not target.is_asset_job:
            job = definitions.get_job_def(target.name)
            own = job.with_top_level_resources(_in_memory(job.resource_defs, made))
            quiet = QUIET if "console" in job.loggers else {}
            result = own.execute_in_process(run_config={**quiet, **body}, **options)
            return result, dict(made.values())
        keys = [dagster.AssetKey(list(asset.key)) for asset in deployment.assets_of(client, target)]
        _refuse_own_storage(definitions, set(keys))
        resources = _in_memory({"io_manager": dagster.FilesystemIOManager(), **(definitions.resources or {})}, made)
        result = dagster.materialize(
            list(definitions.assets or ()),
            selection=dagster.AssetSelection.assets(*keys),
            resources=resources,
            run_config={**QUIET, **body},
            **options,
        )
    except errors.DaglabError:
        raise
    except Exception as error:  # whatever the user's own code, or Dagster over it, raises
        raise errors.NotGood(f"It can't run in this process: {_said(error)}", "Run it on the deployment.") from error
    return result, dict(made.values())


def _refuse_own_storage(definitions: Any, keys: set[Any]) -> None:
    """An IO manager that an asset brings itself can't be stood before, and would store what is made here."""
    for asset in definitions.assets or ():
        own = getattr(asset, "resource_defs", {}) if keys & set(getattr(asset, "keys", ())) else {}
        if any(_is_storage(resource) for resource in own.values()):
            name = "/".join(next(iter(asset.keys)).path)
            raise errors.NotGood(
                f"{name} brings its own IO manager, which would store it.", "Run it on the deployment."
            )


def _is_storage(resource: Any) -> bool:
    import dagster

    if hasattr(resource, "get_resource_definition"):
        resource = resource.get_resource_definition()
    return isinstance(resource, (dagster.IOManagerDefinition, dagster.IOManager))


def _in_memory(resources: Mapping[str, Any], made: Made) -> dict[str, Any]:
    """The resources, each IO manager behind one that keeps what it is given: nothing of the deployment is changed."""
    return {name: _kept(resource, made) for name, resource in resources.items()}


def _kept(resource: Any, made: Made) -> Any:
    import dagster

    if isinstance(resource, dagster.IOManager) and not hasattr(resource, "get_resource_definition"):
        resource = dagster.IOManagerDefinition.hardcoded_io_manager(resource)
    elif hasattr(resource, "get_resource_definition"):
        definition = resource.get_resource_definition()
        resource = definition if isinstance(definition, dagster.IOManagerDefinition) else resource
    if not isinstance(resource, dagster.IOManagerDefinition):
        return resource

    class Kept(dagster.IOManager):  # type: ignore[misc]  # dagster has no types here
        def __init__(self, own: Any) -> None:
            self.own = own

        def handle_output(self, context: Any, obj: Any) -> None:
            made[_place(context)] = (_name(context), obj)

        def load_input(self, context: Any) -> Any:
            place = _wanted(context)
            return made[place][1] if place in made else self.own.load_input(context)

    def make(context: Any) -> Kept:
        own = resource.resource_fn
        return Kept(own(context) if inspect.signature(own).parameters else own())

    needs = resource.required_resource_keys
    return dagster.io_manager(config_schema=resource.config_schema, required_resource_keys=needs)(make)


def _name(context: Any) -> str:
    """An output as people read it: by its asset, else by its step; one of several dynamic ones with its key."""
    if context.has_asset_key:
        return "/".join(context.asset_key.path)
    output = "" if context.name == "result" else f".{context.name}"
    return f"{context.step_key}{output}" + (f"[{context.mapping_key}]" if context.mapping_key else "")


def _place(context: Any) -> tuple[object, ...]:
    """An output by what tells it from all others of the run: its asset and partition, else step, name, dynamic key."""
    if context.has_asset_key:
        keys = tuple(context.asset_partition_keys) if context.has_asset_partitions else ()
        return (context.asset_key, keys)
    return (context.step_key, context.name, context.mapping_key)


def _wanted(context: Any) -> tuple[object, ...] | None:
    """The output that an input asks for: of another partition than the one that was made, it is another."""
    if context.has_asset_key:
        keys = tuple(context.asset_partition_keys) if context.has_asset_partitions else ()
        return (context.asset_key, keys)
    return _place(context.upstream_output) if context.upstream_output else None


def _steps(result: Any) -> tuple[tuple[str, float | None], ...]:
    ended = [event for event in result.all_events if event.is_step_success or event.is_step_failure]
    return tuple(
        (event.step_key, event.step_success_data.duration_ms / 1000 if event.is_step_success else None)
        for event in ended
    )


def _failures(result: Any) -> tuple[str, ...]:
    """The exception of each step, which Dagster wraps in its own."""
    found = [event for event in result.all_events if event.is_step_failure]
    inner = [(event.step_key, event.event_specific_data.error) for event in found]
    told = tuple(f"{key}: {((error.cause or error).message).strip()}" for key, error in inner if error)
    if told or result.success:
        return told
    ends = [event for event in result.all_events if event.event_type_value.endswith("_FAILURE")]
    causes = [getattr(event.event_specific_data, "error", None) for event in ends]  # before any step has begun
    return tuple(_root(cause) for cause in causes if cause) or tuple(
        event.message or "no reason given" for event in ends
    )


def _root(error: Any) -> str:
    while error.cause:
        error = error.cause
    return str(error.message).strip()


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split()) or "no reason given"
    return f"{type(error).__name__}: {text[:LONGEST_ERROR]}"
