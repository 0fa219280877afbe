"""`daglab collections`: the Weaviate collections that pipelines fill; each module here is a command or two."""

from __future__ import annotations

import click

from daglab import output
from daglab.commands.collection import (
    backup,
    batch,
    copying,
    dashboard,
    health,
    listing,
    making,
    migrating,
    optimize,
    stats,
    template,
)


@click.group(name="collections", cls=output.Group)
def command() -> None:
    """List, copy, move, check and back up Weaviate collections.

    CLUSTER is the name of one in the config (weaviate.clusters), or an address; without --cluster it is the only one,
    or the one called `default`. `daglab col` is the same, and shorter.

    \b
    Examples:
      daglab collections ls
      daglab collections copy Docs DocsNext --transform rename.py
      daglab collections migrate Docs --target https://weaviate.example.com --target-auth env:DAGLAB_WEAVIATE_KEY
      daglab collections health --json
    """


for each in (
    listing.ls_command,
    listing.show_command,
    making.create_command,
    making.rm_command,
    making.clear_command,
    stats.command,
    copying.command,
    migrating.command,
    health.command,
    optimize.command,
    batch.command,
    backup.backup_command,
    backup.restore_command,
    template.command,
    dashboard.command,
):
    command.add_command(each)
