"""`daglab collections batch`: one operation for each collection that matches a pattern, some at a time."""

from __future__ import annotations

import concurrent.futures
import fnmatch
import functools
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daglab import errors, events, files, output, parse
from daglab.commands.collection import options
from daglab.settings import config

if TYPE_CHECKING:
    from daglab.weaviate import rest

Operate = Callable[[str], dict[str, Any]]  # a collection's name; its document; what goes wrong is raised
OPERATIONS = ("health", "stats", "backup", "optimize")
# The worst first: what could not be asked or reached says more than what was asked and is not good.
WORST = (1, 6, 5, 3, 7, 8, 9, 4, 2)


@dataclass(frozen=True)
class Outcome:
    """What came of a collection: its document, or the error, which may have a document, too."""

    name: str
    document: dict[str, Any] | None
    error: errors.DaglabError | None = None


def matching(there: Sequence[str], pattern: str) -> list[str]:
    """The collections whose whole name matches, in the order of names. Raises `InvalidInput` for none."""
    found = sorted(name for name in there if fnmatch.fnmatchcase(name, pattern))
    if not found:
        plain = pattern.strip("*?")
        hint = parse.did_you_mean(plain, there) or f"There are {', '.join(sorted(there)[:20]) or 'none'}."
        raise errors.InvalidInput(f"No collection matches {pattern!r}.", f"{hint} Upper and lower case matter.")
    return found


def each(names: Sequence[str], operate: Operate, parallel: int) -> Iterator[Outcome]:
    """Do it for all, so many at a time; each outcome as it comes. When nobody takes more, no other one is begun."""
    pool = concurrent.futures.ThreadPoolExecutor(parallel, thread_name_prefix="batch")
    try:
        waiting = [pool.submit(_outcome, name, operate) for name in names]
        for done in concurrent.futures.as_completed(waiting):
            yield done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _outcome(name: str, operate: Operate) -> Outcome:
    try:
        return Outcome(name, operate(name))
    except errors.DaglabError as error:
        return Outcome(name, dict(error.result) if error.result else None, error)
    except OSError as error:
        said, hint = f"The operating system refused: {error}.", "Look at permissions and room on the disk."
        return Outcome(name, None, errors.InvalidInput(said, hint))
    except Exception as bug:  # one that fails does not stop the others, whatever it is
        output.trace(traceback.format_exc())
        said, hint = f"This is a bug in daglab: {type(bug).__name__}.", "Please report it with the traceback on stderr."
        return Outcome(name, None, errors.DaglabError(said, hint))


def worst(outcomes: Sequence[Outcome]) -> errors.DaglabError | None:
    """The error that the command ends with, of all that there are."""
    found = [outcome.error for outcome in outcomes if outcome.error is not None]
    order = {code: place for place, code in enumerate(WORST)}
    return min(found, key=lambda error: order.get(error.exit_code, len(WORST)), default=None)


def document(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a member of the command's document."""
    error = outcome.error
    problem = None if error is None else error.document()
    return {"name": outcome.name, "ok": error is None, "error": problem, "result": outcome.document}


# What a collection is done to: from the settings, and a cluster for each thread, to a function of its name.


def _health(settings: config.Config, cluster: rest.Cluster, name: str) -> dict[str, Any]:
    from daglab.weaviate.examining import diagnoses, vitals

    look = vitals.Look(vitals.bounded(cluster, settings.health.timeout), settings.root, vitals.limits(settings), name)
    found = diagnoses.of_collection(look, name)
    checks = [{"name": check, **vars(each)} for check, each in found.checks.items()]
    result = {"name": name, "status": found.status, "checks": checks}
    if found.status != "healthy":
        kind = errors.Unreachable if found.status == "down" else errors.NotGood
        raise kind(f"{name} is {found.status}.", f"`daglab collections health {name}` tells more.", result=result)
    return result


def _stats(settings: config.Config, cluster: rest.Cluster, name: str) -> dict[str, Any]:
    from daglab.weaviate.measuring import looks

    [result] = looks.document(looks.take(cluster, [name]), settings.weaviate.max_queue)["collections"]
    if result["problem"]:
        raise errors.Unreachable(
            f"{name} could not be counted: {result['problem']}", "Its server's log says why.", result=result
        )
    return dict(result)


def _backup(settings: config.Config, cluster: rest.Cluster, folder: Path, name: str) -> dict[str, Any]:
    from daglab.weaviate.keeping import archives

    files.make_folder(folder)
    return archives.document(archives.write(cluster, name, folder, root=settings.root))


def _optimize(cluster: rest.Cluster, name: str, *, seconds: float, yes: bool) -> dict[str, Any]:
    from daglab.weaviate.improving import improvements, tunings

    found = tunings.analyze(cluster, name)
    result = tunings.document(found)
    if yes:
        steps = improvements.steps_of(found.actions)
        improvements.carry_out(cluster, steps, lambda _: None, seconds)
        result["done"] = [step.document() for step in steps]
        bad = [step for step in steps if step.state != improvements.DONE]
        if bad:
            message = f"{name}: {bad[0].action.what}: {bad[0].state}: {bad[0].problem or '-'}"
            raise errors.NotGood(message, "The server's own log says more.", result=result)
    return result


def said(operation: str, outcome: Outcome) -> str:
    """What a table says of an outcome."""
    if outcome.error is not None:
        return outcome.error.message
    found = outcome.document or {}
    if operation == "optimize":
        return f"{len(found['done'])} done" if "done" in found else f"{len(found['actions'])} actions"
    if operation == "stats":
        count = found["objects"]
        return f"{'-' if count is None else format(count, ',')} objects, {found['shards']} shards"
    if operation == "backup":
        return str(found["file"])
    return str(found.get("status", "ok"))


@click.command(name="batch")
@click.option("--pattern", required=True, metavar="PATTERN", help="Which collections: 'Docs*'; * and ? and [abc].")
@click.option("--operation", required=True, type=click.Choice(OPERATIONS), help="What to do with each.")
@click.option(
    "--parallel", type=click.IntRange(1, 32), default=4, show_default=True, help="How many collections at a time."
)
@click.option(
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where backups go, each into a place of its own name.  [needed for backup]",
)
@click.option("--yes", is_flag=True, help="With optimize: do what the server can. Without it, plans are made.")
@click.option(
    "--timeout",
    type=output.Seconds(),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="With optimize: how long to follow what the server does for a collection.",
)
@options.cluster_options
@output.env_option
@output.json_option
def command(
    pattern: str,
    operation: str,
    parallel: int,
    folder: Path | None,
    yes: bool,
    timeout: float,
    cluster: str | None,
    auth: str | None,
    as_json: bool,
) -> None:
    """Check, measure, back up or optimize all collections that match a pattern.

    One that fails does not stop the others. Exits as the worst of them: what can't be done or reached comes before what
    is not good.

    \b
    Examples:
      daglab collections batch --pattern 'Docs*' --operation health
      daglab collections batch --pattern '*' --operation backup --output backups --parallel 2
      daglab collections batch --pattern 'Docs*' --operation optimize --yes --json
    """
    from daglab.weaviate import api, clusters

    if (operation == "backup") != (folder is not None):
        raise errors.WrongUsage("--output and --operation backup belong together.", "Add --output FOLDER to a backup.")
    settings = config.load(output.flags())
    with events.recording(settings.root, "collections batch") as event:
        event.target = pattern
        there = clusters.connect(settings, cluster, auth, event_id=event.id)
        event.traffic = there.session.traffic
        names = matching(list(api.schemas(there)), pattern)
        connect = functools.partial(clusters.connect, settings, cluster, auth, event_id=event.id)

        def operate(name: str) -> dict[str, Any]:
            own = connect()  # a session is one thread's own
            if operation == "health":
                return _health(settings, own, name)
            if operation == "backup":
                return _backup(settings, own, folder or Path(), name)
            return (
                _stats(settings, own, name) if operation == "stats" else _optimize(own, name, seconds=timeout, yes=yes)
            )

        outcomes = _gathered(names, operate, parallel, operation, as_json=as_json)
        failed = [outcome for outcome in outcomes if outcome.error is not None]
        event.detail = {"operation": operation, "collections": len(names), "failed": len(failed)}
        result = _result(operation, outcomes)
        if not as_json:
            rows = [
                (each.name, "ok" if each.error is None else each.error.code, said(operation, each)) for each in outcomes
            ]
            output.table(rows, ("Collection", operation.capitalize(), "Detail"))
        if error := worst(outcomes):
            raise type(error)(f"{len(failed)} of {len(outcomes)} failed: {error.message}", error.hint, result=result)
    if as_json:
        output.document(result)


def _result(operation: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    failed = sum(outcome.error is not None for outcome in outcomes)
    counts = {"collections": len(outcomes), "failed": failed}
    found = [document(each) for each in outcomes]
    return {"ok": not failed, "operation": operation, "counts": counts, "collections": found}


def _gathered(names: Sequence[str], operate: Operate, parallel: int, operation: str, *, as_json: bool) -> list[Outcome]:
    """All outcomes in the order of names, each told as it comes. Raises `Interrupted` with those that there are."""
    found: dict[str, Outcome] = {}
    try:
        for outcome in each(names, operate, parallel):
            found[outcome.name] = outcome
            output.note(f"{len(found)} of {len(names)}: {outcome.name}: {said(operation, outcome)}")
    except (KeyboardInterrupt, errors.Terminated) as stop:
        told = [found[name] for name in names if name in found]
        result = {**_result(operation, told), "ok": False}
        message, hint = f"Stopped after {len(found)} of {len(names)}.", "Those that were begun were ended."
        raise errors.Interrupted(message, hint, result=result, exit_code=errors.stop_code(stop)) from None
    return [found[name] for name in names]
