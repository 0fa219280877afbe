"""The floors of the house: a module imports only from floors below its own."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiers

PACKAGE = Path(__file__).resolve().parent.parent / "daglab"

# From the ground up. What two modules of one floor both need moves a floor down.
FLOORS = [
    ["__init__"],
    [
        "migrating.cells",
        "migrating.comparing.noise",
        "migrating.comparing.scratch",
        "migrating.edits",
        "migrating.glances",
        "migrating.keeping.pictures",
        "migrating.magic.escapes",
        "migrating.naming.calls",
        "migrating.naming.scopes",
    ],
    [
        "migrating.comparing.probes",
        "migrating.converting.literals",
        "migrating.displaying.meanings",
        "migrating.displaying.rewriting",
        "migrating.imports",
        "migrating.keeping.printed",
        "migrating.magic.expansion",
        "migrating.naming.bindings",
        "migrating.naming.public_names",
        "migrating.order",
        "migrating.reading.attachments",
    ],
    [
        "migrating.comparing.contents",
        "migrating.dagstermill",
        "migrating.displaying.controls",
        "migrating.displaying.media",
        "migrating.displaying.shown",
        "migrating.keeping.outputs",
        "migrating.naming.flow",
        "migrating.naming.mutations",
        "migrating.naming.renaming",
        "migrating.naming.spoken",
        "migrating.naming.stars",
        "migrating.parameters",
    ],
    [
        "migrating.comparing.drawings",
        "migrating.displaying.interacts",
        "migrating.displaying.plots",
        "migrating.naming.futures",
        "migrating.naming.repeats",
        "migrating.naming.versions",
        "migrating.tags",
    ],
    ["migrating.displaying.widgets", "migrating.naming.merging"],
    ["migrating.naming.names"],
    [
        "settings",
        "deployment",
        "launching",
        "exporting",
        "attaching",
        "authoring",
        "debugging",
        "exported",
        "migrating",
        "migrating.comparing",
        "migrating.converting",
        "migrating.displaying",
        "migrating.keeping",
        "migrating.magic",
        "migrating.naming",
        "migrating.reading",
    ],
    ["errors", "redaction"],
    [
        "migrating.magic.rewrites",
        "migrating.reading.ipynb",
        "migrating.reading.kernels",
        "migrating.reading.upgrades",
        "migrating.sources",
    ],
    [
        "migrating.magic.other_magics",
        "migrating.magic.scripts",
        "migrating.magic.shell",
        "migrating.magic.timing",
        "migrating.reading.jupyter",
        "migrating.texts",
    ],
    ["migrating.converting.refusals", "migrating.magic.surroundings"],
    [
        "children.keeper",
        "children.observation",
        "children.tokens",
        "children.transformer",
        "children.comparison",
        "children.converter",
        "children.exporter",
        "children",
    ],
    ["debugging.differences", "explanations", "files", "json_values", "attaching.observations", "parse", "render"],
    ["migrating.magic.installs", "migrating.magic.sql"],
    ["migrating.magic.magics"],
    ["migrating.displaying.interactive"],
    ["migrating.displaying.displays"],
    ["migrating.drafts"],
    [
        "exporting.batch_reports",
        "exporting.crontab",
        "exported.export_copies",
        "exported.export_lines",
        "exporting.export_locks",
        "exporting.export_parameters",
        "json_files",
        "json_lines",
        "processes",
        "process_table",
        "scales",
        "sheets",
        "svg",
    ],
    ["migrating.comparing.trials", "migrating.converting.conversions"],
    ["migrating.comparing.likeness"],
    ["migrating.comparing.comparisons"],
    ["migrating.reports"],
    [
        "charts",
        "env_files",
        "dev.entrance",
        "dev.logs",
        "dev.ports",
        "dev.record",
        "dev",
        "exporting.exporters",
        "git",
        "interpreters",
        "state_files",
        "debugging.traces",
    ],
    ["authoring.notebook_templates", "settings.config_checks", "output", "state"],
    ["notebooks", "settings.config_keys", "screen"],
    ["page", "page.markup", "page.notebook"],
    ["page.allowed", "page.styles", "page.tables"],
    ["page.controls", "page.plots"],
    ["page.outputs"],
    ["page.console", "page.content", "page.elements", "page.results"],
    ["page.harmless"],
    ["migrating.keeping.shown_outputs"],
    ["migrating.keeping.sessions"],
    ["page.source"],
    ["page.body"],
    ["page.writing"],
    ["settings.config_files", "settings.config_edit"],
    ["settings.config"],
    ["exporting.export_names", "debugging.surroundings", "settings.trust"],
    ["connections", "settings.credentials"],
    ["web"],
    ["deployment.dagster_api", "events", "deployment.metadata"],
    ["storage", "storage.places"],
    ["storage.programs", "storage.sigv4", "storage.transfers"],
    [
        "storage.aws_answers",
        "storage.aws_settings",
        "storage.azure_accounts",
        "storage.google_keys",
        "storage.shared_keys",
        "storage.sums",
        "storage.ways",
    ],
    ["storage.aws_program", "storage.azure_program", "storage.gcs_answers", "storage.google_accounts"],
    ["storage.gcs_json", "storage.gcs_program", "storage.gcs_xml"],
    ["storage.azure", "storage.gcs", "storage.local", "storage.presigned", "storage.s3"],
    ["storage.objects"],
    ["deployment.entities", "deployment.materializations", "performance", "debugging.token_counts"],
    ["figures", "figures.months", "figures.values"],
    ["figures.cells"],
    ["figures.lines"],
    ["figures.days"],
    ["figures.ledger"],
    ["figures.exposition", "figures.retention", "figures.summary"],
    ["deployment.partitions", "deployment.runs", "deployment.samples", "deployment.selection", "launching.targets"],
    ["deployment.run_logs", "deployment.run_records"],
    ["deployment.filters", "launching.launches", "launching.cancellation", "deployment.deployments"],
    ["launching.backfills"],
    ["launching.outcomes", "launching.plans", "launching.progress", "launching.reexecution", "launching.run_config"],
    ["launching.launch_keys"],
    ["launching.dispatch"],
    ["authoring.definitions", "exporting.exports", "authoring.projects", "attaching.reports", "authoring.scaffolds"],
    ["migrating.connecting", "migrating.destinations"],
    ["migrating.migrations"],
    [
        "attaching.attach",
        "exporting.export_entries",
        "exported.export_record",
        "dev.in_flight",
        "dev.services",
        "dev.supervision",
    ],
    ["attaching.asset_checks", "exporting.uploads"],
    ["exporting.broken_off"],
    ["exporting.publication"],
    [
        "checks",
        "exporting.publishing",
        "dashboard",
        "dashboard.latest",
        "dashboard.published",
        "dev.environment",
        "inventory",
    ],
    ["exporting.unchanged"],
    ["exporting.batches"],
    ["exported.evidence", "exported.latest", "exported.listing"],
    ["exported.opening", "exported.resigning", "exported.retention", "exported.verification"],
    ["exported.telling"],
    ["asset_pages"],
    ["authoring.asset_code", "assets"],
    ["progress"],
    ["checks.findings"],
    ["checks.deployment", "checks.endpoints", "checks.project", "checks.uploads"],
    ["checks.running"],
    [
        "weaviate",
        "weaviate.copying",
        "weaviate.examining",
        "weaviate.improving",
        "weaviate.keeping",
        "weaviate.measuring",
        "weaviate.moving",
        "weaviate.copying.transforms",
        "weaviate.improving.balances",
        "weaviate.journals",
        "weaviate.measuring.listener",
        "weaviate.objects",
        "weaviate.protection",
        "weaviate.rest",
        "weaviate.schemas",
        "weaviate.together",
        "weaviate.verbatim",
    ],
    [
        "weaviate.api",
        "weaviate.clusters",
        "weaviate.improving.indexes",
        "weaviate.improving.replication",
        "weaviate.keeping.archive_lines",
        "weaviate.searches",
        "weaviate.store",
        "weaviate.templates",
    ],
    [
        "weaviate.batches",
        "weaviate.cursors",
        "weaviate.examining.samples",
        "weaviate.examining.vitals",
        "weaviate.improving.plans",
        "weaviate.measuring.measures",
        "weaviate.tenants",
    ],
    [
        "weaviate.examining.judgements",
        "weaviate.improving.advice",
        "weaviate.improving.improvements",
        "weaviate.improving.surveys",
        "weaviate.lifecycle",
        "weaviate.measuring.looks",
        "weaviate.placement",
        "weaviate.transfers",
    ],
    [
        "weaviate.comparisons",
        "weaviate.examining.diagnoses",
        "weaviate.improving.tunings",
        "weaviate.measuring.board",
        "weaviate.measuring.standing",
        "weaviate.moving.changes",
        "weaviate.moving.destinations",
        "weaviate.moving.freezing",
    ],
    [
        "weaviate.copying.copies",
        "weaviate.examining.repairs",
        "weaviate.keeping.archives",
        "weaviate.keeping.revivals",
        "weaviate.moving.passes",
    ],
    ["weaviate.copying.previews", "weaviate.copying.replacing", "weaviate.moving.relocations"],
    ["weaviate.copying.steps", "authoring.sightings"],
    ["upkeep", "upkeep.tree"],
    ["upkeep.contents", "upkeep.leftovers"],
    ["upkeep.archives", "upkeep.journal", "upkeep.untouched"],
    ["upkeep.cleaning", "upkeep.restoring", "upkeep.tables", "upkeep.turns"],
    ["doctor", "doctor.findings"],
    ["doctor.folder", "doctor.machine", "doctor.network", "doctor.origins", "doctor.packages", "doctor.repository"],
    ["doctor.records"],
    ["doctor.mending"],
    ["doctor.examination"],
    ["doctor.report"],
    ["snapshot"],
    ["dashboard.drawing"],
    ["dashboard.board"],
    ["dashboard.pages"],
    ["dashboard.routes"],
    ["dashboard.server"],
    ["helpers.display", "helpers.parameters"],
    ["helpers.client", "helpers.measuring", "helpers.vector_store"],
    ["helpers.exporting", "helpers.history", "helpers.in_process", "helpers.launching"],
    ["helpers"],
    ["commands.collection.options"],
    ["commands", "commands.*"],
    ["commands.collection"],
    ["cli"],
    ["__main__"],
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
MODULES = sorted(
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if "templates" not in path.parts
)
HEAVY = ["requests", "yaml", "jinja2", "tabulate", "dagster", "marimo"]


def floor(module: str) -> int:
    inside = module.startswith("commands.") and module not in FLOOR
    return FLOOR["commands.*" if inside else module]


def source(module: str) -> Path:
    path = PACKAGE / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def imported(module: str) -> list[str]:
    """The modules of daglab that `module` imports, inside functions too; names of other packages as they are."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} uses a relative import"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name if source_exists(name) else str(node.module) for name in full]
    return found


def source_exists(full: str) -> bool:
    return full.removeprefix("daglab.") in MODULES and full.startswith("daglab.")


def own(module: str) -> list[str]:
    names = [name for name in imported(module) if name.split(".")[0] == "daglab"]
    return [name.removeprefix("daglab").lstrip(".") or "__init__" for name in names]


def test_a_module_imports_only_from_floors_below() -> None:
    above = {module: [name for name in own(module) if floor(name) >= floor(module)] for module in MODULES}
    assert {module: names for module, names in above.items() if names} == {}


def test_no_floor_is_kept_for_a_module_that_is_gone() -> None:
    named = {name for names in FLOORS for name in names if not name.endswith("*")}
    assert named <= {*MODULES, "__init__"}


def test_the_architecture_names_every_module_from_the_ground_up() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [name.replace("/", ".") for name in re.findall(r"^\| `([a-z0-9_/*]+)` \|", text, re.MULTILINE)]
    packages = {"__init__", "__main__", *(name for name in MODULES if source(name).name == "__init__.py")}
    assert {name for name in MODULES if not name.startswith("commands.")} - packages <= set(rows)
    floors = [FLOOR[name] for name in rows if name in FLOOR]
    assert floors == sorted(floors)


def test_click_stays_at_the_command_line() -> None:
    inside = [name for name in MODULES if name not in ("cli", "output") and not name.startswith("commands.")]
    assert [module for module in inside if "click" in {name.split(".")[0] for name in imported(module)}] == []


def test_no_module_is_named_after_one_of_pythons_own() -> None:
    taken = sys.stdlib_module_names | set(HEAVY)
    names = [module for module in MODULES if not module.startswith("commands.")]
    assert [module for module in names if module.split(".")[-1] in taken] == []


def test_modules_are_short() -> None:
    lines = {module: source(module).read_text(encoding="utf-8").count("\n") for module in MODULES}
    assert {module: count for module, count in lines.items() if count > 400} == {}


def test_all_can_be_imported_and_none_needs_a_floor_above() -> None:
    """From the ground up, in one process: when a module is imported, nothing above it has been."""
    modules = sorted({*MODULES} - {"__main__"}, key=floor)
    names = [f"daglab.{module}".removesuffix(".__init__") for module in modules]
    code = f"""
import importlib, sys
for name in {names}:
    importlib.import_module(name)
    assert not {{"dagster", "marimo"}} & set(sys.modules), name
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=False
    )
    assert done.returncode == 0, done.stderr


@tiers.unmeasured
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["-h"]])
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from daglab.cli import main
try:
    main({arguments!r})
except SystemExit as done:
    assert not done.code, done.code
print([name for name in {[*HEAVY, "json", "logging", "daglab.commands"]!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "[]"), done.stderr


def test_an_export_that_is_not_attached_does_without_requests() -> None:
    code = "import sys, daglab.commands.export, daglab.commands.exports; sys.exit('requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, timeout=60, check=False).returncode == 0
