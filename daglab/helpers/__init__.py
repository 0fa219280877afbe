"""What notebooks, scripts and tests import: the deployment, its runs, their history, and a notebook's own work.

No function waits for longer than a request takes, so that a notebook stays alive while a run is under way; those that
do (`run_inprocess`, `export`, and `follow` outside of a cell) say so. Errors are `DaglabError` with a hint; in a cell
`with explained():` shows one as a callout. What is given back shows itself in a notebook, every text from outside
escaped, and prints as plain text elsewhere.
"""

from __future__ import annotations

from daglab.errors import DaglabError
from daglab.helpers.client import (
    Client,
    assets_of,
    choose_assets,
    connect,
    discover,
    discover_assets,
    discover_jobs,
    find_asset,
    find_assets,
    find_job,
    health,
    name_of,
    partition_keys,
    places,
    show,
)
from daglab.helpers.display import controls, explained, heading, preview
from daglab.helpers.exporting import attach_metadata, exploration_metadata, export, record_usage, result
from daglab.helpers.history import last_materializations, metrics, overview, recent_failures, recent_runs
from daglab.helpers.in_process import load_value, run_inprocess
from daglab.helpers.launching import (
    Run,
    compare_runs,
    config_template,
    follow,
    last_run,
    load_config_from_file,
    retry,
    run_assets,
    run_job,
    run_status,
    validate_config,
)
from daglab.helpers.measuring import (
    get_memory_usage,
    last_known,
    manage_state,
    performance_chart,
    performance_report,
    recovery,
    resource_usage,
    track_performance,
)
from daglab.helpers.parameters import parameter_controls, parameters, with_parameters
from daglab.helpers.vector_store import (
    Collection,
    collection,
    collection_metadata,
    collection_objects,
    search_collection,
)

__all__ = [
    "Client",
    "Collection",
    "DaglabError",
    "Run",
    "assets_of",
    "attach_metadata",
    "choose_assets",
    "collection",
    "collection_metadata",
    "collection_objects",
    "compare_runs",
    "config_template",
    "connect",
    "controls",
    "discover",
    "discover_assets",
    "discover_jobs",
    "explained",
    "exploration_metadata",
    "export",
    "find_asset",
    "find_assets",
    "find_job",
    "follow",
    "get_memory_usage",
    "heading",
    "health",
    "last_known",
    "last_materializations",
    "last_run",
    "load_config_from_file",
    "load_value",
    "manage_state",
    "metrics",
    "name_of",
    "overview",
    "parameter_controls",
    "parameters",
    "partition_keys",
    "performance_chart",
    "performance_report",
    "places",
    "preview",
    "recent_failures",
    "recent_runs",
    "record_usage",
    "recovery",
    "resource_usage",
    "result",
    "retry",
    "run_assets",
    "run_inprocess",
    "run_job",
    "run_status",
    "search_collection",
    "show",
    "track_performance",
    "validate_config",
    "with_parameters",
]
