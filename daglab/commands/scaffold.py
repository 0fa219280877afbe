"""`daglab scaffold`: write a marimo notebook for an asset, some assets, a selection or a job."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from daglab import errors, events, files, git, output, processes
from daglab.authoring import asset_code, definitions, notebook_templates, scaffolds, sightings
from daglab.deployment import dagster_api, samples
from daglab.settings import config

FOR_COLLECTIONS = "collection"  # a template
TARGETS = ("asset", "job", "selected", "collection")
AS_ASSET = ("as_asset", "asset", "module", "git_commit", "force", "dry_run", "as_json")
BESIDE_COLLECTION = (
    "collection",
    "cluster",
    "filename",
    "title",
    "template",
    "template_vars",
    "git_commit",
    "force",
    "dry_run",
    "as_json",
)


def each_of(target: scaffolds.Target, seen: sightings.Seen | None) -> list[scaffolds.Target]:
    """A target for each asset. Raises `NotSetUp` for a selection that no deployment has told the assets of."""
    if target.job:
        raise errors.WrongUsage("--each is for assets, and --job names one job.", "Leave --each out.")
    keys = target.assets or tuple(dict.fromkeys(asset.key for asset in (seen.assets if seen else ())))
    if not keys:
        raise errors.NotSetUp("--each of a selection needs a deployment that says which assets it holds.", "Start it.")
    return [scaffolds.Target(assets=(key,)) for key in keys]


def show_templates(root: Path, *, as_json: bool) -> None:
    """Print the templates there are."""
    found = notebook_templates.every(root)
    rows = [{"name": each.name, "for": each.what, "own": each.is_own, "path": str(each.path)} for each in found]
    if as_json:
        output.document({"ok": True, "templates": rows})
    else:
        output.table([[row["name"], row["for"]] for row in rows], ["template", "for"])


def _wishes(
    settings: config.Config, seen: sightings.Seen | None, options: dict[str, Any], path: Path
) -> scaffolds.Wishes:
    """How the notebooks are to be. Raises for a module that is asked for and can't be imported."""
    module = options["module"]
    if module:
        definitions.require(settings, module, path)
    elif options["inprocess"]:
        module = definitions.find(settings.root, seen.location if seen else None)
    columns = seen.columns if seen else ()
    if options["seed_data"] and not columns:
        output.note("No sample is written: the asset tells of no columns.")
    if seen and seen.problems:
        output.warn("It can't be launched as it is:\n  " + "\n  ".join(each.line for each in seen.problems))
    return scaffolds.Wishes(
        template=template_of(settings, options["template"]),
        title=options["title"],
        author=git.author(settings.root, processes.without_secrets(os.environ, settings.token_variables)),
        module=module if options["inprocess"] else None,
        attach=options["attach"],
        variables=scaffolds.variables(options["template_vars"]),
        sample=samples.rows(columns) if options["seed_data"] else (),
    )


def _refuse_taken(paths: Sequence[Path]) -> None:
    """Before the first of several is written."""
    if taken := [str(path) for path in paths if path.exists()]:
        raise errors.Taken(f"There already: {', '.join(taken)}.", "Write over all of them with --force.")


def _write_all(
    settings: config.Config,
    wanted: Sequence[scaffolds.Target],
    wishes: scaffolds.Wishes,
    options: dict[str, Any],
    detail: dict[str, Any],
) -> list[dict[str, Any]]:
    """All of them, or none where one is there already. `detail` of the event keeps what was made: `clean` asks it."""
    paths = [scaffolds.place(settings, each, options["filename"]) for each in wanted]
    if twice := [path.name for path in paths if paths.count(path) > 1]:
        raise errors.InvalidInput(f"Several assets would be in {twice[0]}.", "Scaffold each with a --filename.")
    if not options["force"]:
        _refuse_taken(paths if len(paths) > 1 or options["dry_run"] else ())
    made: list[dict[str, Any]] = []
    for each, path in zip(wanted, paths, strict=True):
        if options["dry_run"]:
            own = str(files.inside(settings.root, path))
            text = scaffolds.notebook(settings.root, each, own, wishes)
            made.append({"notebook": str(path), "target": each.recorded, "replaced": False, "text": text})
            continue
        _, replaced, digest = scaffolds.write(settings, each, wishes, name=options["filename"], force=options["force"])
        own = str(files.inside(settings.root, path))
        detail["notebook"] = own
        detail.setdefault("made", []).append({"notebook": own, "sha256": digest})
        made.append({"notebook": str(path), "target": each.recorded, "replaced": replaced})
    return made


def _commit(settings: config.Config, made: Sequence[dict[str, Any]], result: dict[str, Any]) -> None:
    """Each in a commit of its own. Raises with what was written in its result."""
    environ = processes.without_secrets(os.environ, settings.token_variables)
    for each in made:
        try:
            git.commit_file(Path(each["notebook"]), f"Scaffold a notebook for {each['target']}", environ)
        except errors.NotGood as error:
            raise errors.NotGood(error.message, error.hint, result=result) from None


@click.command(name="scaffold")
@click.option("--asset", metavar="KEY", help="The asset, such as orders or src/customers.")
@click.option("--job", metavar="NAME", help="The job.")
@click.option(
    "--from-selection",
    "selected",
    metavar="SELECTION",
    help="Several assets in one notebook: orders,src/items or a selection in Dagster's language.",
)
@click.option("--collection", metavar="NAME", help="A Weaviate collection: its figures, objects, and a search.")
@click.option(
    "--cluster", metavar="NAME|URL", help="The collection's cluster.  [default: the only one of weaviate.clusters]"
)
@click.option("--each", is_flag=True, help="A notebook for each of the assets instead of one for all.")
@click.option(
    "--filename", metavar="NAME.py", help="The notebook's name in the notebooks folder.  [default: by target]"
)
@click.option("--title", metavar="TEXT", help="Its title.  [default: by target]")
@click.option(
    "--template", metavar="NAME|PATH", help="What it is made from.  [default: defaults.notebook_template, default]"
)
@click.option("--template-vars", multiple=True, metavar="NAME=VALUE", help="A value for a template of your own.")
@click.option(
    "--module",
    metavar="MODULE|FILE.py",
    help="Where the cells that run in the kernel import from.  [default: what the project tells Dagster to load]",
)
@click.option("--inprocess/--no-inprocess", default=True, help="Cells that run the target in the kernel.")
@click.option("--attach/--no-attach", default=True, help="Cells that export the notebook and attach it.")
@click.option(
    "--validate-config/--no-validate-config",
    default=True,
    help="Ask the deployment whether the run config that the notebook begins with is valid.",
)
@click.option("--seed-data", is_flag=True, help="A few made-up rows in the shape of the asset's columns.")
@click.option("--git-commit", is_flag=True, help="Commit what is written, and nothing else.")
@click.option("--force", is_flag=True, help="Write over a notebook of that name.")
@click.option(
    "--as-asset",
    type=click.Path(path_type=Path),
    metavar="NOTEBOOK",
    help="Write code that makes an asset of this notebook, which Dagster then runs; --asset is its key.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option("--list-templates", is_flag=True, help="List the templates, and write nothing.")
@click.option("--eject", metavar="TEMPLATE", help="Copy one of daglab's templates into the project, to change it.")
@output.connection_options
@output.json_option
def command(list_templates: bool, eject: str | None, as_json: bool, **options: Any) -> None:
    """Write a marimo notebook for an asset or a job.

    The notebook connects to the deployment, shows its target, launches it with a button and follows the run. Where
    a deployment answers, it is asked whether the target is there. A notebook that is there is written over with
    --force alone. Templates of your own lie in .daglab/templates/ and may extend daglab's.

    \b
    Examples:
      daglab scaffold --asset orders
      daglab scaffold --from-selection 'group:mart' --template asset-group --filename mart.py
      daglab scaffold --job report && marimo edit dagster/notebooks/job_report.py
      daglab scaffold --collection Docs --cluster main
      daglab scaffold --as-asset dagster/notebooks/asset_orders.py --asset reports/orders
    """
    settings = config.load(output.flags())
    if sum(map(bool, (list_templates, eject, any(options[name] for name in TARGETS)))) > 1:
        raise errors.WrongUsage("--list-templates and --eject write no notebook.", "Give them alone.")
    if options["as_asset"]:
        _refuse_others(click.get_current_context(), AS_ASSET, "--as-asset takes a notebook that is there")
        _as_asset(settings, options, as_json=as_json)
    elif list_templates:
        show_templates(settings.root, as_json=as_json)
    elif options["collection"]:
        _refuse_others(click.get_current_context(), BESIDE_COLLECTION, "--collection is explored alone")
        _collection(settings, options, as_json=as_json)
    elif eject:
        with events.recording(settings.root, "scaffold") as event:
            event.target = f"template:{eject}"
            path = notebook_templates.eject(settings.root, eject)
        if as_json:
            output.document({"ok": True, "template": str(path)})
        else:
            output.data(str(path))
    else:
        _scaffold(settings, options, as_json=as_json)


def _scaffold(settings: config.Config, options: dict[str, Any], *, as_json: bool) -> None:
    target = scaffolds.read_target(options["asset"], options["job"], options["selected"])
    if options["each"] and options["filename"]:
        raise errors.WrongUsage("--each writes several notebooks, and --filename names one.", "Give one of them.")
    environ = processes.without_secrets(os.environ, settings.token_variables)
    if options["git_commit"] and not git.is_inside(settings.root, environ):
        raise errors.NotSetUp(f"{settings.root} is no git repository, and --git-commit needs one.", "git init")
    with events.recording(settings.root, "scaffold") as event:
        event.target = target.recorded
        path = scaffolds.place(settings, target, options["filename"])
        api = dagster_api.connect(settings, operation=event.id)
        event.traffic = api.traffic
        seen = sightings.in_dagster(api, target, validate=options["validate_config"], columns=options["seed_data"])
        wanted = each_of(target, seen) if options["each"] else [target]
        made = _write_all(settings, wanted, _wishes(settings, seen, options, path), options, event.detail)
        result = _document(made, seen, each=options["each"])
        if options["git_commit"] and not options["dry_run"]:
            _commit(settings, made, result)
        _end(settings, made, result, dry_run=options["dry_run"], as_json=as_json)


def _collection(settings: config.Config, options: dict[str, Any], *, as_json: bool) -> None:
    from daglab.weaviate import clusters

    target = scaffolds.read_target(None, None, None, options["collection"])
    target = dataclasses.replace(target, cluster=options["cluster"])
    environ = processes.without_secrets(os.environ, settings.token_variables)
    if options["git_commit"] and not git.is_inside(settings.root, environ):
        raise errors.NotSetUp(f"{settings.root} is no git repository, and --git-commit needs one.", "git init")
    wishes = scaffolds.Wishes(
        template=options["template"] or FOR_COLLECTIONS,
        title=options["title"],
        author=git.author(settings.root, environ),
        variables=scaffolds.variables(options["template_vars"]),
    )
    with events.recording(settings.root, "scaffold") as event:
        event.target = target.recorded
        there = clusters.connect(settings, target.cluster, event_id=event.id)
        event.traffic = there.session.traffic
        checked = sightings.in_weaviate(there, target.name)
        made = _write_all(settings, [target], wishes, options, event.detail)
        result = {"ok": True, **made[0], "checked": checked, "config_problems": []}
        if options["git_commit"] and not options["dry_run"]:
            _commit(settings, made, result)
    _end(settings, made, result, dry_run=options["dry_run"], as_json=as_json)


def _end(
    settings: config.Config, made: Sequence[dict[str, Any]], result: dict[str, Any], *, dry_run: bool, as_json: bool
) -> None:
    if as_json:
        output.document(result)
    elif dry_run:
        for each in made:
            output.text(each["text"])
            output.note(f"Would write {each['notebook']}")
    else:
        _tell(settings, made)


def _refuse_others(context: click.Context, allowed: Sequence[str], why: str) -> None:
    """Raise `WrongUsage` for an option that means nothing beside the one that was given."""
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) not in (None, click.core.ParameterSource.DEFAULT)
        if given and name not in allowed and parameter.expose_value:
            raise errors.WrongUsage(f"{parameter.opts[0]} means nothing here: {why}.", "Leave it out.")


def _as_asset(settings: config.Config, options: dict[str, Any], *, as_json: bool) -> None:
    environ = processes.without_secrets(os.environ, settings.token_variables)
    if options["git_commit"] and not git.is_inside(settings.root, environ):
        raise errors.NotSetUp(f"{settings.root} is no git repository, and --git-commit needs one.", "git init")
    with events.recording(settings.root, "scaffold") as event:
        event.target = str(options["as_asset"])
        module = asset_code.plan(settings, options["as_asset"], options["asset"], options["module"])
        dry = options["dry_run"]
        replaced = asset_code.write(module, force=options["force"], dry=dry)
        written = [module.path, *([module.package[0]] if module.package else [])]
        event.detail["modules"] = [] if dry else [str(files.inside(settings.root, path)) for path in written]
        result = {
            **{"ok": True, "module": str(module.path), "files": list(map(str, written)), "asset": module.asset},
            **{"notebook": module.notebook, "deps": list(module.deps), "replaced": replaced, "dry_run": dry},
            **{"definitions": str(module.definitions), "add": list(module.add), "text": module.text},
        }
        if options["git_commit"] and not dry:
            for path in written:
                _commit(settings, [{"notebook": str(path), "target": f"asset:{module.asset}"}], result)
    if as_json:
        output.document(result)
        return
    output.text(module.text) if dry else output.data(str(module.path))
    output.note(f"{'Would write' if dry else 'Replaced' if replaced else 'Wrote'} {', '.join(map(str, written))}")
    if module.add:
        output.note(f"Dagster does not load it yet. Add to {module.definitions}:")
        output.note("\n".join(f"    {line}" for line in module.add))
    elif not dry:
        output.note("Dagster loads it with the rest. See: daglab discover --pattern " + shlex.quote(module.asset))


def _document(made: Sequence[dict[str, Any]], seen: sightings.Seen | None, *, each: bool) -> dict[str, Any]:
    problems = [problem.document for problem in seen.problems] if seen else []
    return {
        "ok": True,
        **({"notebooks": list(made)} if each else made[0]),
        "checked": seen is not None,
        "config_problems": problems,
    }


def _tell(settings: config.Config, made: Sequence[dict[str, Any]]) -> None:
    for each in made:
        output.data(each["notebook"])
    said = "Replaced" if any(each["replaced"] for each in made) else "Wrote"
    output.note(f"{said} it. Open it with: {editing(settings, Path(made[-1]['notebook']))}")


def template_of(settings: config.Config, given: str | None) -> str:
    """What a notebook is made from: what is asked for, else what the config names."""
    named = settings.defaults.notebook_template
    if given is None and not notebook_templates.is_name(named):  # a project's config reads no file elsewhere
        raise errors.InvalidInput(f"defaults.notebook_template is {named!r}, and takes a name.", "Use --template PATH.")
    if (given or named) == FOR_COLLECTIONS:
        raise errors.WrongUsage(
            f"The template {FOR_COLLECTIONS} is for a Weaviate collection.", "Use --collection NAME."
        )
    return given or named


def editing(settings: config.Config, path: Path) -> str:
    """The command that opens a notebook."""
    return f"marimo edit --port {settings.marimo.port} {shlex.quote(str(path))}"
