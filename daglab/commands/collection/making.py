"""`daglab collections create`, `rm` and `clear`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daglab import errors, events, output, parse, progress
from daglab.commands.collection import options
from daglab.settings import config

if TYPE_CHECKING:
    from daglab.weaviate import rest


def schema_of(
    settings: config.Config, there: rest.Cluster, name: str, sources: Mapping[str, str | None], assigned: Sequence[str]
) -> dict[str, Any]:
    """The schema that a command line asks for. Raises `WrongUsage` for more than one source of it, or another name."""
    from daglab.weaviate import api, templates

    given = [flag for flag, value in sources.items() if value]
    if len(given) > 1:
        raise errors.WrongUsage(f"{' and '.join(given)} both say which schema.", "Give one of them.")
    if sources["--template"]:
        schema = templates.load(settings.root, sources["--template"])
    elif sources["--schema-file"]:
        schema = templates.read(Path(sources["--schema-file"]))
    elif sources["--like"]:
        schema = api.schema(there, sources["--like"])
    else:
        schema = {"vectorizer": "none"}
    found = templates.changed(templates.named(schema, name), parse.whole_pairs(assigned, "--set", "path"))
    if found["class"] != name:
        raise errors.WrongUsage(f"--set class is not {name}.", "The argument says the name: leave out --set class.")
    return found


@click.command(name="create")
@click.argument("name")
@click.option("--template", metavar="TEMPLATE", help="The schema of a template.")
@click.option("--schema-file", type=click.Path(), metavar="FILE", help="The schema in a JSON or YAML file.")
@click.option("--like", metavar="NAME", help="The schema of another collection of the cluster, without its objects.")
@click.option("--set", "assigned", multiple=True, metavar="PATH=VALUE", help="Change one value of it. Repeatable.")
@click.option("--dry-run", is_flag=True, help="Show the schema, and make nothing.")
@options.cluster_options
@output.env_option
@output.json_option
def create_command(
    name: str,
    template: str | None,
    schema_file: str | None,
    like: str | None,
    assigned: tuple[str, ...],
    dry_run: bool,
    cluster: str | None,
    auth: str | None,
    as_json: bool,
) -> None:
    """Make a collection, empty.

    Without a template, a file or another collection it takes objects with vectors of their own and any properties. In
    --set, a property is named by its name: properties.title.tokenization=field. VALUE is JSON, or else text.

    \b
    Examples:
      daglab collections create Articles --template documents
      daglab collections create Articles --like Notes --set replicationConfig.factor=3
      daglab collections create Articles --schema-file schema.json --dry-run
    """
    from daglab.weaviate import api, clusters, placement

    settings = config.load(output.flags())
    sources = {"--template": template, "--schema-file": schema_file, "--like": like}
    if dry_run:
        schema = schema_of(settings, clusters.connect(settings, cluster, auth), name, sources, assigned)
        _show_schema(name, schema, as_json, dry_run=True)
        return
    with events.recording(settings.root, "collections create") as event:
        event.target = name
        there = clusters.connect(settings, cluster, auth, event_id=event.id)
        event.traffic = there.session.traffic
        schema = schema_of(settings, there, name, sources, assigned)
        placement.refuse_taken(there, name, "It is left as it is: take another name, or rm it.")
        made = api.create(there, schema)
    if as_json:
        _show_schema(name, made, as_json, dry_run=False)
    else:
        output.data(f"{name} is made in {there.name}.")


def _show_schema(name: str, schema: Mapping[str, Any], as_json: bool, *, dry_run: bool) -> None:
    if as_json:
        output.document({"ok": True, "name": name, "schema": schema, "dry_run": dry_run})
        return
    output.text(json.dumps(schema, indent=2, ensure_ascii=False))
    output.note("Nothing is made: this is what would be.")


def _checked(
    settings: config.Config, there: rest.Cluster, names: Sequence[str], *, unprotect: bool, force: bool
) -> dict[str, int | None]:
    """How many objects each has (None where that can't be told, tenants being inactive); those missing are left out."""
    from daglab.weaviate import api, lifecycle, protection

    protection.refuse(settings, names, unprotect=unprotect)
    known = api.schemas(there)
    missing = [name for name in names if name not in known]
    if missing and not force:
        hint = parse.did_you_mean(missing[0], known) or "With --force, what is not there is no error."
        if leads := (api.known_aliases(there) or {}).get(missing[0]):
            hint = f"It is an alias, of {leads}: name that."
        raise errors.InvalidInput(f"There is no collection {missing[0]!r} in {there.name}.", hint)
    return {name: lifecycle.objects_of(there, name) for name in dict.fromkeys(names) if name in known}


def _agree(found: Mapping[str, int | None], there: rest.Cluster, what: str, *, yes: bool, as_json: bool) -> None:
    """Have the user type the name, or how many there are. Raises `WrongUsage` for another answer."""
    output.require_answer(yes=yes, as_json=as_json)
    if yes or not found:
        return
    for name, count in found.items():
        output.note(f"{name} in {there.name}: {'?' if count is None else format(count, ',')} objects")
    word = next(iter(found)) if len(found) == 1 else f"{len(found)} collections"
    typed = click.prompt(output.plain(f"Type {word!r} to {what}"), err=True, default="", show_default=False)
    if typed != word:
        raise errors.WrongUsage("That is another word: nothing is done.", "Type it as it is shown, or leave it.")


def _tell(document: Mapping[str, Any], lines: Sequence[str], as_json: bool) -> None:
    if as_json:
        output.document(document)
        return
    for line in lines:
        output.data(line)


def _dangerous(command: Any) -> Any:
    """The options of the commands that delete."""
    for option in (
        click.option("--unprotect", is_flag=True, help="Also what weaviate.protected protects."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Tell what would be deleted, and delete nothing."),
    ):
        command = option(command)
    return command


@click.command(name="rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--force", is_flag=True, help="Also where an alias leads to it; what is not there is no error.")
@_dangerous
@options.cluster_options
@output.env_option
@output.json_option
def rm_command(
    names: tuple[str, ...],
    force: bool,
    dry_run: bool,
    yes: bool,
    unprotect: bool,
    cluster: str | None,
    auth: str | None,
    as_json: bool,
) -> None:
    """Delete collections with all of their objects.

    Their names have to be typed, or --yes given. Those that weaviate.protected protects need --unprotect besides.

    \b
    Examples:
      daglab collections rm Drafts
      daglab collections rm Drafts Notes --dry-run
      daglab collections rm Drafts --yes --json
    """
    from daglab.weaviate import api, clusters, lifecycle

    settings = config.load(output.flags())
    with events.recording(settings.root, "collections rm") as event:
        event.target = ",".join(names)
        there = clusters.connect(settings, cluster, auth, event_id=event.id)
        event.traffic = there.session.traffic
        found = _checked(settings, there, names, unprotect=unprotect, force=force)
        if not force:
            lifecycle.refuse_aliased(there, found)
        if not dry_run:
            _agree(found, there, "delete it with all of its objects", yes=yes, as_json=as_json)
        document: dict[str, Any] = {"ok": True, "dry_run": dry_run, "removed": []}
        event.detail = {"dry_run": dry_run, "removed": document["removed"]}
        try:
            for name, count in found.items():
                if not dry_run:
                    api.delete(there, name)
                document["removed"].append({"name": name, "objects": count})
        except errors.DaglabError as error:
            error.result = document
            raise
    would = "would be" if dry_run else "is"
    lines = [f"{name} {would} deleted." for name in found] or ["There is nothing to delete."]
    _tell(document, lines, as_json)


@click.command(name="clear")
@click.argument("name")
@_dangerous
@options.cluster_options
@output.env_option
@output.json_option
def clear_command(
    name: str, dry_run: bool, yes: bool, unprotect: bool, cluster: str | None, auth: str | None, as_json: bool
) -> None:
    """Delete all objects of a collection; its schema, tenants and aliases stay.

    Objects are deleted in the order of their ids. One that is written meanwhile may stay.

    \b
    Examples:
      daglab collections clear Drafts
      daglab collections clear Drafts --yes --json
    """
    from daglab.weaviate import clusters, lifecycle

    settings = config.load(output.flags())
    with events.recording(settings.root, "collections clear") as event:
        event.target = name
        there = clusters.connect(settings, cluster, auth, event_id=event.id)
        event.traffic = there.session.traffic
        found = _checked(settings, there, [name], unprotect=unprotect, force=False)
        deleted = 0
        if not dry_run:
            _agree(found, there, "delete all of its objects", yes=yes, as_json=as_json)
            with progress.shown(f"Clearing {name}", found[name]) as tell:
                deleted = lifecycle.clear(there, name, tell)
        event.detail = {"deleted": deleted}
    document = {"ok": True, "dry_run": dry_run, "name": name, "objects": found[name], "deleted": deleted}
    count = "all" if found[name] is None else format(found[name], ",")
    line = f"{count} objects of {name} would be deleted." if dry_run else f"{deleted:,} objects of {name} are deleted."
    _tell(document, [line], as_json)
