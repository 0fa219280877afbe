"""`daglab collections template`: schemas kept for further collections."""

from __future__ import annotations

import json

import click

from daglab import events, output
from daglab.commands.collection import options
from daglab.settings import config


@click.group(name="template", cls=output.Group)
def command() -> None:
    """Keep the schemas of collections as templates.

    They are in .daglab/templates/collections/, without what belongs to a server; a few come with daglab.

    \b
    Examples:
      daglab collections template list
      daglab collections template save articles Articles
      daglab collections create Notes --template articles
    """


@command.command(name="list")
@output.json_option
def list_command(as_json: bool) -> None:
    """List the templates of the project, and daglab's own.

    \b
    Example:
      daglab collections template list
    """
    from daglab.weaviate import schemas, templates

    rows = []
    root = config.load(output.flags()).root
    for each in templates.listed(root):
        schema = templates.load(root, each.name)
        rows.append(
            {
                "name": each.name,
                "own": each.is_own,
                "path": str(each.path),
                "properties": len(schema.get("properties") or ()),
                "vectors": [name or "" for name in schemas.vector_indexes(schema)],
                "description": schema.get("description"),
            }
        )
    if as_json:
        output.document({"ok": True, "templates": rows})
        return
    shown = [
        (row["name"], "daglab" if row["own"] else "project", row["properties"], row["description"] or "")
        for row in rows
    ]
    output.table(shown, ("Template", "Of", "Properties", "Description"))


@command.command(name="show")
@click.argument("name")
@output.json_option
def show_command(name: str, as_json: bool) -> None:
    """Show the schema of a template, as JSON.

    \b
    Example:
      daglab collections template show documents > schema.json
    """
    from daglab.weaviate import templates

    schema = templates.load(config.load(output.flags()).root, name)
    if as_json:
        output.document({"ok": True, "name": name, "schema": schema})
    else:
        output.text(json.dumps(schema, indent=2, ensure_ascii=False))


@command.command(name="save")
@click.argument("name")
@click.argument("collection")
@click.option("--force", is_flag=True, help="Write over a template of this name.")
@options.cluster_options
@output.env_option
@output.json_option
def save_command(name: str, collection: str, force: bool, cluster: str | None, auth: str | None, as_json: bool) -> None:
    """Keep the schema of COLLECTION as the template NAME.

    \b
    Example:
      daglab collections template save articles Articles --cluster main
    """
    from daglab.weaviate import api, clusters, templates

    settings = config.load(output.flags())
    with events.recording(settings.root, "collections template save") as event:
        event.target = name
        there = clusters.connect(settings, cluster, auth, event_id=event.id)
        event.traffic = there.session.traffic
        path = templates.save(settings.root, name, api.schema(there, collection), force=force)
    if as_json:
        output.document({"ok": True, "name": name, "path": str(path)})
    else:
        output.data(str(path))


@command.command(name="rm")
@click.argument("name")
@output.json_option
def rm_command(name: str, as_json: bool) -> None:
    """Delete a template of the project.

    \b
    Example:
      daglab collections template rm articles
    """
    from daglab.weaviate import templates

    path = templates.remove(config.load(output.flags()).root, name)
    if as_json:
        output.document({"ok": True, "name": name, "path": str(path)})
    else:
        output.data(f"{path} is deleted.")
