"""Notebooks as assets: a step of Dagster runs a notebook's export, wherever the deployment runs its steps.

For the user's own Dagster code: `from daglab.assets import notebook_asset`. Needs dagster, from 1.5 on, and marimo in
the same Python.
"""

from __future__ import annotations

import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from daglab import asset_pages, errors, events, redaction
from daglab.attaching import observations
from daglab.deployment import metadata
from daglab.exporting import exports, publishing
from daglab.settings import config

__all__ = ["notebook_asset"]

KIND = "marimo"
LONGEST_DESCRIPTION = 20_000  # characters that are kept of tracebacks, from their end
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def notebook_asset(
    notebook: str | os.PathLike[str],
    *,
    key: Any = None,
    deps: Sequence[Any] = (),
    partitions_def: Any = None,
    params: Mapping[str, Any] | None = None,
    upload: str | None = None,
    sign: timedelta | None = None,
    timeout: float | None = None,
    **options: Any,
) -> Any:
    """An asset (`dagster.AssetsDefinition`) whose step runs a marimo notebook and links its page.

    A relative `notebook` is one of the project's: of the nearest folder, upwards from the file that calls, with a
    daglab.yaml, .git, pyproject.toml, setup.py, workspace.yaml or dg.toml; without one, of the folder that the file's
    package is imported from. `key` is an AssetKey, its parts, or text (`reports/orders`); left out, it is the
    notebook's name. `deps` are assets or keys: the notebook runs after them, and gets nothing of them.

    `params` are texts, numbers, true and false, or lists of these; the notebook reads them with `mo.cli_args()`. They
    are the defaults of the step's config, so each may be set for a run, and others beside them. A partitioned one gets
    `partition`, too, each dimension of several by its name, and for times `partition_start` and `partition_end`.

    The page goes to `upload` (`s3://bucket/prefix`; left out: export.cloud_storage of the config), and to exports/ of
    the project where that can be written. `sign` makes the link a signed one for so long, where the place is not
    public. `timeout` is in seconds (left out: export.timeout). `options` go to `dagster.asset`: group_name,
    description, retry_policy, op_tags, owners, ...

    A cell that fails fails the step, with its traceback. Raises `DaglabError` for what can't be a notebook's name or a
    parameter; a notebook that is not there fails its step, and does not keep the others from loading.
    """
    import dagster

    caller = Path(sys._getframe(1).f_code.co_filename)  # of a prompt or a cell, none that is there
    beside = Path(notebook) if Path(notebook).is_absolute() else caller if caller.is_file() else Path("here").absolute()
    root = asset_pages.project_root(beside.resolve().parent)
    path = root / notebook
    if path.suffix not in exports.NOTEBOOK_SUFFIXES:
        raise errors.InvalidInput(f"{path} is not a marimo notebook.", "Name a .py file that marimo has written.")
    defaults = checked(params or {})
    name = _key(path.stem if key is None else key)

    def of(context: Any) -> asset_pages.Step:
        partition, values = _partition(context)
        inner = getattr(context, "op_execution_context", context)  # in 1.5 it is one itself
        both = {**defaults, **checked(inner.op_config or {}), **values}
        return asset_pages.Step(path, root, tuple(name.path), partition, both, upload, sign, timeout)

    has_kinds = "kinds" in inspect.signature(dagster.asset).parameters  # from 1.8 on
    kinds = {KIND, *(options.pop("kinds", None) or ())}
    options.setdefault("description", f"The notebook {notebook}, run and exported by daglab.")
    decorate = dagster.asset(
        key=name,
        deps=[_key(each) if isinstance(each, str) else each for each in deps],
        partitions_def=partitions_def,
        config_schema=_schema(defaults),
        dagster_type=dagster.Nothing,  # no IO manager has to store anything
        **({"kinds": kinds} if has_kinds else {"compute_kind": KIND}),
        **options,
    )
    return decorate(_compute(of))


def checked(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that a notebook's command line can take. Raises `InvalidInput` for others."""
    for name, value in params.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise errors.InvalidInput(f"{name!r} can't be a parameter's name.", "Use letters, digits and _.")
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if not isinstance(each, (str, int, float)) or (isinstance(each, float) and not math.isfinite(each)):
                raise errors.InvalidInput(
                    f"The parameter {name} is {each!r:.80}, which a command line can't take.",
                    "Give text, a number, true, false, or a list of these.",
                )
    return dict(params)


def _compute(of: Callable[[Any], asset_pages.Step]) -> Any:
    """The step's function. What ends the run (a signal, SIGKILL too) ends the notebook and all that it has started."""

    def run_notebook(context):  # type: ignore[no-untyped-def]  # Dagster checks annotations, each version its own
        import dagster

        try:
            step = of(context)
            settings = config.load(directory=step.root)
            page, told, problem = _run(context, settings, step)
        except errors.DaglabError as error:
            raise _failure(error) from None
        values = {entry.label: metadata.typed(entry.kind, entry.value) for entry in told}
        if problem:
            asset_pages.record(settings, step, page, attached=False)
            raise _failure(problem, values)
        yield dagster.MaterializeResult(metadata=values)
        asset_pages.record(settings, step, page, attached=True)  # Dagster has it by now

    return run_notebook


def _run(
    context: Any, settings: config.Config, step: asset_pages.Step
) -> tuple[asset_pages.Page, list[observations.Entry], errors.NotGood | None]:
    with events.recording(settings.root, "assets.notebook_asset") as event:
        event.target = step.target
        event.runs.append(context.run.run_id if hasattr(context, "run") else context.run_id)
        context.log.info(f"Running {step.notebook} with {redaction.masked(dict(step.parameters))}")
        page = asset_pages.make(settings, step)
        event.bytes = page.export.bytes
        told = asset_pages.entries(settings, page)
        if page.warning:
            context.log.warning(page.warning)
        try:
            publishing.refuse_failed(page.export)
        except errors.NotGood as problem:
            event.failed = errors.NotGood
            return page, told, problem
        return page, told, None


def _failure(error: errors.DaglabError, values: Mapping[str, Any] | None = None) -> Any:
    """Dagster's own failure, with all that is known: where the page is that shows what failed."""
    import dagster

    kept = (error.result or {}).get("output")
    found = values or ({"html": dagster.MetadataValue.path(kept)} if kept else {})
    text = error.message if values else "\n".join(filter(None, (error.message, error.hint)))
    text = redaction.clean(text)
    if len(text) > LONGEST_DESCRIPTION:
        text = f"...{text[-LONGEST_DESCRIPTION:]}"
    return dagster.Failure(description=text, metadata=found)


def _key(value: Any) -> Any:
    import dagster

    if isinstance(value, str):
        return dagster.AssetKey(value.split("/"))
    return value if isinstance(value, dagster.AssetKey) else dagster.AssetKey(list(value))


def _schema(defaults: Mapping[str, Any]) -> Any:
    """The step's config: each default by its type, and whatever else is set beside them."""
    import dagster

    kinds = {bool: dagster.Bool, int: dagster.Int, str: dagster.String}
    fields = {
        name: dagster.Field(kinds.get(type(value), dagster.Any), default_value=value, is_required=False)
        for name, value in defaults.items()
    }
    return dagster.Field(dagster.Permissive(fields), is_required=False)


def _partition(context: Any) -> tuple[str | None, dict[str, Any]]:
    """The step's partition, and what the notebook is told of it. Raises `InvalidInput` for a range without times."""
    import dagster

    if not context.has_partition_key and not _is_range(context):
        return None, {}
    values: dict[str, Any] = {}
    if not _is_range(context):
        key = context.partition_key
        values = {**getattr(key, "keys_by_dimension", {}), "partition": str(key)}
    definition = context.assets_def.partitions_def
    if isinstance(definition, dagster.TimeWindowPartitionsDefinition):
        window = context.partition_time_window
        values.update(partition_start=window.start.isoformat(), partition_end=window.end.isoformat())
    if not values:
        raise errors.InvalidInput(
            "One run of several partitions, and these are no times.", "Launch a backfill: it makes a run for each."
        )
    if "partition" in values:
        return values["partition"], values
    return f"{values['partition_start']}..{values['partition_end']}", values


def _is_range(context: Any) -> bool:
    """Whether one run is for several partitions."""
    tags = context.run.tags if hasattr(context, "run") else {}
    first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    return first is not None and first != last
