"""The options that commands about collections share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def cluster_options(command: Command) -> Command:
    """The options that say which Weaviate cluster, and as whom; for `clusters.connect`."""
    return _options(command, "the only one of weaviate.clusters, or the one called default")


def any_cluster_options(command: Command) -> Command:
    """The same for a command that takes all clusters of the config where none is named."""
    return _options(command, "all of weaviate.clusters")


def _options(command: Command, default: str) -> Command:
    options = (
        click.option("--cluster", metavar="NAME|URL", help=f"The Weaviate cluster.  [default: {default}]"),
        click.option(
            "--auth",
            metavar="env:NAME|file:PATH",
            help="Where the key for an address stands: in a variable, or in a file.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
