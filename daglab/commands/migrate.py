"""`daglab migrate`: marimo notebooks from Jupyter's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from daglab import errors, events, files, output
from daglab.authoring import scaffolds
from daglab.migrating import migrations, reports, sources
from daglab.settings import config

SECONDS = 600.0
KEEPS = ("session", "comments", "markdown")


def wish(options: Mapping[str, Any]) -> migrations.Wish:
    """What the options ask for. Raises `WrongUsage` for those that contradict each other."""
    if options["run"] and options["dry_run"]:
        raise errors.WrongUsage("--run runs what is written, and --dry-run writes nothing.", "Give one of them.")
    if options["timeout"] is not None and not options["run"]:
        raise errors.WrongUsage("--timeout is for notebooks that are run, and --run is missing.", "Add --run.")
    report = Path(options["report"]) if options["report"] else None
    if report is not None and report.suffix not in reports.SUFFIXES:
        raise errors.WrongUsage(f"--report {report} is no report.", "Name a file that ends in .md or .json.")
    target = None
    if options["asset"] or options["job"]:
        target = scaffolds.read_target(options["asset"], options["job"], None)
    return migrations.Wish(
        Path(options["to"]) if options["to"] else None,
        options["outputs_as"] or ("session" if options["preserve_outputs"] else None),
        target,
        report,
        options["force"],
        options["dry_run"],
        options["run"],
        options["timeout"] or SECONDS,
    )


def check_report(settings: config.Config, report: Path, found: Sequence[sources.Source], *, force: bool) -> None:
    """Raise where the report can't be written: over a notebook, or over what is no report, without --force."""
    settings.refuse_own(report)
    if files.is_special(report):
        raise errors.InvalidInput(f"{report} is not an ordinary file.", "Name another --report.")
    if any(report.exists() and report.samefile(each.path) for each in found):
        raise errors.InvalidInput(f"The report would overwrite the notebook {report}.", "Name another --report.")
    if report.exists() and not force:
        with report.open("rb") as file:
            begin = file.read(1000).decode("utf-8", "replace")
        if not reports.is_own(begin):
            raise errors.Taken(f"{report} is there already, and is no report of daglab's.", "Name another --report.")


def show(results: Sequence[reports.Result], *, dry_run: bool, verbose: bool) -> None:
    """Print a line for each notebook, what needs a person, and how many there are of each outcome."""
    for result in results:
        if result.error and len(results) == 1:
            return  # the error says it
        output.data(reports.line(result))
        for remark in reports.remarks(result, verbose=verbose):
            output.data(f"  {' '.join(remark.split())}")
        if dry_run and verbose and result.conversion:
            output.text(result.conversion.text)
    if len(results) > 1:
        output.data(reports.summary(results))
    if dry_run:
        output.note("Nothing is written: this is what would be.")


def carry_out(
    settings: config.Config, found: Sequence[sources.Source], asked: migrations.Wish, event: events.Event
) -> list[reports.Result]:
    """Migrate all, and tell the event. Raises `Interrupted` with what was done until then."""
    done: dict[Path, reports.Result] = {}
    try:
        migrations.migrate(settings, found, asked, done)
    except (KeyboardInterrupt, errors.Terminated, errors.Interrupted) as stop:
        results = [done[each.path] for each in found if each.path in done]
        written = sum(not each.error for each in results)
        raise errors.Interrupted(
            f"Stopped: {written} of {len(found)} notebooks were written.",
            "Give the same command again: what is written already stays as it is.",
            result=reports.document(results),
            exit_code=stop.exit_code if isinstance(stop, errors.Interrupted) else errors.stop_code(stop),
        ) from None
    finally:
        _record(settings, done.values(), event, asked)
    return [done[each.path] for each in found]


def _record(settings: config.Config, results: Any, event: events.Event, asked: migrations.Wish) -> None:
    """What was made, for whoever asks the record whether a notebook is still as it was."""
    made = []
    for each in results:
        own = files.inside(settings.root, each.target) if each.target and not each.error else None
        if own is not None and not asked.dry_run:
            made.append({"notebook": str(own), "sha256": each.sha256})
    event.detail["made"] = made


def _write_report(path: Path, results: Sequence[reports.Result], found: dict[str, Any]) -> None:
    """Write the report. Raises what `files.write_atomic` does, with the document: the notebooks are there by then."""
    try:
        files.write_atomic(path, reports.written(results, path.suffix))
    except errors.DaglabError as error:
        found["ok"] = False
        error.result = found
        raise
    found["report"] = str(path.absolute())


def _end(results: Sequence[reports.Result], found: dict[str, Any], *, strict: bool) -> None:
    """Raise what is not good, with the document."""
    failed = [each.error for each in results if each.error]
    if failed and len(results) == 1:
        failed[0].result = found
        raise failed[0]
    if failed:
        raise reports.refused(results, found)
    waiting = [str(each.target) for each in results if each.outcome == reports.NEEDS_PERSON]
    if strict and waiting:
        raise errors.NotGood(
            f"{len(waiting)} of {len(results)} notebooks need a person: {', '.join(waiting)}.",
            "What to look at stands in the report; without --strict this is no failure.",
            result=found,
        )


@click.command(name="migrate")
@click.argument("paths", nargs=-1, type=click.Path(), metavar="PATH...")
@click.option(
    "--from-jupyter",
    "more_paths",
    multiple=True,
    type=click.Path(),
    metavar="PATH",
    help="The same as PATH. Repeatable.",
)
@click.option(
    "--to",
    type=click.Path(),
    metavar="FILE|DIR",
    help="The .py file to write, or the folder to write to.  [default: beside the original]",
)
@click.option("--preserve-outputs", is_flag=True, help="Keep the outputs of the cells.")
@click.option(
    "--outputs-as",
    type=click.Choice(KEEPS),
    help="How to keep them: in marimo's own record, which `marimo edit` shows, or in the notebook itself.  "
    "[default: session]",
)
@click.option("--recursive", is_flag=True, help="Look in the folders below a folder, too.")
@click.option("--dry-run", is_flag=True, help="Show what would become of them, and write nothing.")
@click.option("--force", is_flag=True, help="Write over what is there.")
@click.option("--run", is_flag=True, help="Run both notebooks of each pair, and compare what they print and hold.")
@click.option(
    "--timeout",
    type=output.Seconds(),
    metavar="SECONDS",
    help="How long a notebook may run at most, with --run.  [default: 600]",
)
@click.option("--strict", is_flag=True, help="Exit with 4 if anything needs a person.")
@click.option(
    "--report",
    type=click.Path(),
    metavar="FILE",
    help="Write what was done, cell by cell, as .md or .json.",
)
@click.option("--asset", metavar="KEY", help="Add cells that connect to the deployment and launch this asset.")
@click.option("--job", metavar="NAME", help="Add cells that connect to the deployment and launch this job.")
@output.json_option
def command(paths: tuple[str, ...], more_paths: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Make marimo notebooks of Jupyter's, checked, with a report.

    PATH is an .ipynb file, or a folder of them. What marimo has another way for is rewritten, the result runs to the
    same end, and what can't be carried over is kept as text and told. Nothing in a notebook is executed but with
    --run. The originals stay as they are, and nothing is overwritten without --force.

    \b
    Examples:
      daglab migrate analysis.ipynb
      daglab migrate notebooks/ --recursive --to marimo/ --report migration.md
      daglab migrate report.ipynb --preserve-outputs --run --strict
      daglab migrate explore.ipynb --asset orders --dry-run
    """
    named = [Path(each) for each in (*paths, *more_paths) if each]
    if not named or not all(paths):  # an empty one comes of a variable that is not set
        raise errors.WrongUsage("Say which notebooks.", "daglab migrate analysis.ipynb")
    asked = wish(options)
    settings = config.load(output.flags())
    with events.recording(settings.root, "migrate") as event:
        event.target = str(named[0]) if len(named) == 1 else f"{len(named)} paths"
        found = sources.find(named, recursive=options["recursive"])
        if asked.report:
            check_report(settings, asked.report, found, force=asked.force)
        results = carry_out(settings, found, asked, event)
        document = reports.document(results, dry_run=asked.dry_run)
        event.detail.update(document["counts"])
        if not as_json:
            show(results, dry_run=asked.dry_run, verbose=bool(click.get_current_context().meta.get("daglab.verbose")))
        if asked.report and not asked.dry_run:
            _write_report(asked.report, results, document)
        _end(results, document, strict=options["strict"])
        if as_json:
            output.document(document)
