"""`daglab scaffold`: write a marimo notebook for an asset, some assets or a job."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePath

import click

from daglab import config, dagster_api, entities, errors, events, files, output, parse, render

LONGEST_SLUG = 100  # bytes
# What a notebook imports lies behind its own folder.
HIDDEN = sys.stdlib_module_names | {"daglab", "dagster", "jinja2", "marimo", "requests", "tabulate", "yaml"}
CHECK_TIMEOUT = 2.0  # seconds; a notebook can be written where nothing answers, too


@dataclass(frozen=True)
class Target:
    """What the notebook is for: some assets (most often one) or a job."""

    assets: tuple[tuple[str, ...], ...] = ()
    job: str | None = None

    @property
    def name(self) -> str:
        """As people read it: `a/b, c` or the job's name."""
        return self.job or ", ".join("/".join(key) for key in self.assets)

    @property
    def recorded(self) -> str:
        """As events and documents have it: `asset:a/b,c` or `job:NAME`."""
        return f"job:{self.job}" if self.job else f"asset:{self.name.replace(', ', ',')}"


def file_name(target: Target) -> str:
    """The notebook's name: it starts with the kind of its target, so that no `json.py` hides a module.

    The parts of a key are joined by two underscores, as Dagster does in the name of an asset's op.
    """
    first = target.assets[0] if target.assets else (target.job or "",)
    slug = "__".join(re.sub(r"\W+", "_", part).strip("_") for part in first).strip("_")
    # A file's name has room for 255 bytes, and a temporary one beside it needs some of them.
    slug = slug.encode("utf-8", "ignore")[:LONGEST_SLUG].decode("utf-8", "ignore") or "unnamed"
    more = f"_and_{len(target.assets) - 1}_more" if len(target.assets) > 1 else ""
    return f"{'job' if target.job else 'asset'}_{slug}{more}.py"


def notebook(target: Target, path: str, title: str | None = None) -> str:
    """The notebook's code; names are data in it, whatever they hold. `path` is its own, from the project's root."""
    [asset] = target.assets if len(target.assets) == 1 else [None]
    attach = f" --attach {shlex.quote(f'asset:{target.name}')}" if asset else ""
    text = render.render(
        "notebook/default.py.j2",
        asset=list(asset) if asset else None,
        assets=[list(key) for key in target.assets] if len(target.assets) > 1 else None,
        job=target.job,
        title=title or f"Explore {target.name}",
        export=f"daglab export {shlex.quote(path)}{attach}",
        depth=len(PurePath(path).parent.parts),
        marimo_version=metadata.version("marimo"),
    )
    compile(text, path, "exec")
    return text


def place(settings: config.Config, target: Target, name: str | None) -> Path:
    """Where the notebook goes: into the notebooks folder, under a name of its own or the one that is asked for.

    Raises `InvalidInput` for a name that is no notebook's, and for a place outside of the project.
    """
    folder = settings.root / settings.notebooks_dir
    if name is not None and (not name.endswith(".py") or name.startswith((".", "-")) or PurePath(name).name != name):
        raise errors.InvalidInput(
            f"{name!r} is not the name of a notebook.", f"It lies in {folder}: give a name alone, such as orders.py."
        )
    if name is not None and not name.isprintable():
        raise errors.InvalidInput(f"{name!r} is not the name of a notebook.", "Give a name on one line.")
    if name is not None and (PurePath(name).stem in HIDDEN or name in ("__init__.py", "__main__.py")):
        raise errors.InvalidInput(
            f"A notebook called {name} would hide the Python module of that name.", "Choose another name."
        )
    path = folder / (name or file_name(target))
    if files.inside(settings.root, path) is None:
        raise errors.InvalidInput(
            f"{path} lies outside of the project {settings.root}.", "Set notebooks_dir to a folder of the project."
        )
    return path


def write(
    settings: config.Config, target: Target, *, name: str | None = None, title: str | None = None, force: bool = False
) -> tuple[Path, bool]:
    """Write the notebook; its path, and whether it has replaced one.

    Raises `Taken` when there is one of that name and `force` is not set.
    """
    path = place(settings, target, name)
    text = notebook(target, str(files.inside(settings.root, path)), title)
    replaced = path.exists()
    if replaced and force:
        files.write_atomic(path, text)
    else:
        files.write_new(path, text)
    return path, replaced


def check(api: dagster_api.DagsterApi, settings: config.Config, target: Target) -> bool:
    """Whether the deployment has the target; False where none answers, or not to us.

    Raises `InvalidInput` with the nearest names where it has none.
    """
    session = dataclasses.replace(api.session, timeout=min(api.session.timeout, CHECK_TIMEOUT), retries=0)
    quick = dataclasses.replace(api, session=session)
    try:
        if target.assets:
            entities.require_assets(quick, target.assets)
        else:
            _check_job(quick, target.job or "")
    except (errors.Unreachable, errors.NotAuthorised) as problem:
        output.note(f"Not checked, whether {target.name} is there: {problem.message}")
        return False
    return True


def _check_job(api: dagster_api.DagsterApi, name: str) -> None:
    """Several jobs of one name are good enough: the config or the notebook may say which."""
    if not any(job.name == name for job in entities.workspace(api).jobs):
        entities.find_job(api, name, repository=None, location=None)


def _target(asset: str | None, job: str | None, selection: str | None) -> Target:
    if sum(map(bool, (asset, job, selection))) != 1:
        raise errors.WrongUsage(
            "One of --asset, --job and --from-selection is needed, and only one.", "daglab scaffold --asset orders"
        )
    if job:
        return Target(job=job)
    return Target(assets=tuple(parse.asset_keys(selection)) if selection else (parse.asset_key(asset or ""),))


@click.command(name="scaffold")
@click.option("--asset", metavar="KEY", help="The asset, such as orders or src/customers.")
@click.option("--job", metavar="NAME", help="The job.")
@click.option("--from-selection", "selection", metavar="KEYS", help="Several assets in one notebook: orders,src/items.")
@click.option(
    "--filename", metavar="NAME.py", help="The notebook's name in the notebooks folder.  [default: by target]"
)
@click.option("--title", metavar="TEXT", help="Its title.  [default: by target]")
@click.option("--force", is_flag=True, help="Write over a notebook of that name.")
@output.connection_options
@output.json_option
def command(
    asset: str | None,
    job: str | None,
    selection: str | None,
    filename: str | None,
    title: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write a marimo notebook for an asset or a job.

    The notebook connects to the deployment, shows its target, launches it with a button and follows the run. Where
    a deployment answers, it is asked whether the target is there. A notebook that is there is written over with
    --force alone.

    \b
    Examples:
      daglab scaffold --asset orders
      daglab scaffold --from-selection orders,src/items --filename shop.py --title 'The shop'
      daglab scaffold --job report && marimo edit dagster/notebooks/job_report.py
    """
    target = _target(asset, job, selection)
    settings = config.load(output.flags())
    with events.recording(settings.root, "scaffold") as event:
        event.target = target.recorded
        place(settings, target, filename)
        api = dagster_api.connect(settings, operation=event.id)
        event.traffic = api.traffic
        checked = check(api, settings, target)
        path, replaced = write(settings, target, name=filename, title=title, force=force)
        event.detail["notebook"] = str(files.inside(settings.root, path))
        if as_json:
            result = {"notebook": str(path), "target": target.recorded, "checked": checked, "replaced": replaced}
            output.document({"ok": True, **result})
        else:
            output.data(str(path))
            output.note(f"{'Replaced' if replaced else 'Wrote'} it. Open it with: {editing(settings, path)}")


def editing(settings: config.Config, path: Path) -> str:
    """The command that opens a notebook."""
    return f"marimo edit --port {settings.marimo.port} {shlex.quote(str(path))}"
