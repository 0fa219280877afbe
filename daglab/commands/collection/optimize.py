"""`daglab collections optimize`: what makes a collection better, planned with reasons; done where the server can."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from daglab import errors, events, output, scales
from daglab.commands.collection import options
from daglab.settings import config

if TYPE_CHECKING:
    from daglab.weaviate import rest
    from daglab.weaviate.improving import improvements, plans, tunings

OPERATIONS = ("auto", "reindex", "rebalance", "compact")
TIMEOUT = 3600.0


def show(found: tunings.Tuning) -> None:
    """Print a plan for a person."""
    from daglab.weaviate.improving import advice, tunings

    output.data(_heading(tunings.figures(found.picture), found.picture))
    rows = [(each.what, _needs(each), "yes" if each.hindrance is None else each.hindrance) for each in found.actions]
    output.table(rows, ("Action", "Needs", "Can be done now"))
    for reason in dict.fromkeys(each.reason for each in found.actions):
        output.data(f"Why: {reason}")
    if not found.actions and found.operation != "compact":
        output.data("There is nothing to do that a server could be asked for.")
    for tip in found.advice:
        output.data(f"Advice: {tip.what} {tip.reason} ({_said(tip.figures)})")
    for each in advice.BY_ITSELF:
        output.data(f"By itself: {each.what} Settings: {_said(each.settings)}.")


def _heading(figures: dict[str, Any], picture: plans.Picture) -> str:
    from daglab.weaviate.improving import plans as planning

    told = {name: "-" if value is None else scales.figure(value) for name, value in figures.items() if _is_told(value)}
    bears = ", ".join(f"{node} {load:,}" for node, load in sorted(figures["nodes"].items()))
    told.pop("nodes", None)
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told.items())
    version = planning.version_text(picture.version)
    return f"{picture.name} in {picture.cluster} (Weaviate {version}): {said}; {figures['nodes_bear']} by node: {bears}"


def _is_told(value: Any) -> bool:
    return value is None or isinstance(value, (int, float))


def _needs(action: plans.Action) -> str:
    from daglab.weaviate.improving import plans as planning

    return ", ".join(filter(None, (f"Weaviate {planning.version_text(action.version[:2])}", action.setting)))


def _said(figures: Any) -> str:
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in figures.items()
    )


def show_requests(actions: Sequence[plans.Action]) -> None:
    """Print the requests that would be sent."""
    for each in actions:
        if each.hindrance is None and each.method:
            body = "" if each.body is None else f" {json.dumps(each.body)}"
            output.data(f"{each.method} /v1/{each.path}{body}")


def refusal(found: tunings.Tuning) -> str | None:
    """Why what was asked for by name can't be done by this server; None where it can, or there is nothing to do."""
    from daglab.weaviate.improving import plans as planning

    if found.operation == planning.COMPACT and not planning.is_tidy(found.picture):
        return "Weaviate compacts by itself, and has no request for it: nothing was done."
    hindered = [each.hindrance for each in found.actions if each.hindrance]
    if found.operation != planning.AUTO and hindered:
        return f"{len(hindered)} of {len(found.actions)} actions can't be done there. {hindered[0]}"
    return None


def carry_out(
    there: rest.Cluster, found: tunings.Tuning, seconds: float, steps: list[improvements.Step], result: dict[str, Any]
) -> None:
    """Do what can be done, and tell of it. Raises what it ended with, with `result` and what is known by then."""
    from daglab.weaviate.improving import improvements

    look = f"`daglab collections optimize {found.picture.name} --analyze` shows what is under way."
    try:
        improvements.carry_out(there, steps, _tell, seconds)
    except (KeyboardInterrupt, errors.Terminated) as stop:
        told, code = "Stopped looking; what was begun goes on in the server.", errors.stop_code(stop)
        raise errors.Interrupted(told, look, result=_outcome(result, steps), exit_code=code) from None
    except errors.DaglabError as error:
        error.result = _outcome(result, steps)
        if isinstance(error, errors.TimedOut):
            error.hint = f"It goes on in the server. {look}"
        raise
    result.update(_outcome(result, steps))
    bad = [each for each in steps if each.state != improvements.DONE]
    if bad:
        message = f"{len(bad)} of {len(steps)} actions {bad[0].state}: {bad[0].action.what}: {bad[0].problem or '-'}"
        raise errors.NotGood(message, "The server's own log says more.", result={**result, "ok": False})


def _tell(step: improvements.Step) -> None:
    progress = f" ({step.progress:.0%})" if step.state == "running" and step.progress else ""
    problem = f": {step.problem}" if step.problem else ""
    output.note(f"{step.action.what}: {step.state}{progress}{problem}")


def _outcome(result: dict[str, Any], steps: Sequence[improvements.Step]) -> dict[str, Any]:
    done = [each.document() for each in steps if each.state == "done"]
    undone = [each.document() for each in steps if each.state != "done"]
    return {**result, "ok": not undone, "done": done, "undone": undone}


@click.command(name="optimize")
@click.argument("name")
@click.option(
    "--operation",
    type=click.Choice(OPERATIONS),
    default="auto",
    show_default=True,
    help="auto: what is worth it; reindex: all inverted indexes; rebalance: replicas on nodes; compact: see above.",
)
@click.option("--analyze", is_flag=True, help="Only look, and show the plan.")
@click.option("--dry-run", is_flag=True, help="Show the plan and the requests that would be sent, and do nothing.")
@click.option("--restarted", is_flag=True, help="All nodes were restarted since an index was rebuilt; see above.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--timeout",
    type=output.Seconds(),
    default=TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="How long to follow what the server does.",
)
@options.cluster_options
@output.env_option
@output.json_option
def command(
    name: str,
    operation: str,
    analyze: bool,
    dry_run: bool,
    restarted: bool,
    yes: bool,
    timeout: float,
    cluster: str | None,
    auth: str | None,
    as_json: bool,
) -> None:
    """Plan what makes a collection better, and do what its server can.

    The plan is shown before anything is done: each action with its reason, the version and setting that it needs, and
    whether this server can do it now. Inverted indexes are rebuilt (Weaviate 1.39), replicas moved between nodes
    (1.31, where it is switched on), and each task is followed to its end. auto rebuilds indexes that are not ready or
    have the old form, and moves replicas when a node bears less than 80 % of what another does. Of filterable
    indexes that are rebuilt between two restarts, Weaviate 1.39 keeps one, and of those that get the new form: so one
    property is done, and the next with --restarted once the nodes were.

    Exits with 4 when an action failed, and when what --operation names can't be done there: compaction and the cleanup
    of tombstones can't be asked for at all.

    \b
    Examples:
      daglab collections optimize Docs --analyze
      daglab collections optimize Docs --operation rebalance --dry-run
      daglab collections optimize Docs --yes --timeout 600 --json
    """
    from daglab.weaviate import clusters
    from daglab.weaviate.improving import improvements, tunings

    only = analyze or dry_run
    if not only:
        output.require_answer(yes=yes, as_json=as_json)
    settings = config.load(output.flags())
    with events.recording(settings.root, "collections optimize") as event:
        event.target = name
        there = clusters.connect(settings, cluster, auth, event_id=event.id)
        event.traffic = there.session.traffic
        found = tunings.analyze(there, name, operation, restarted=restarted)
        steps = [] if only else improvements.steps_of(found.actions)
        event.detail = {"actions": len(found.actions), "possible": len(improvements.steps_of(found.actions))}
        result = {"ok": True, "dry_run": only, **tunings.document(found), "done": [], "undone": []}
        if not as_json:
            show(found)
        if only:
            _finish_dry(found, result, dry_run=dry_run, as_json=as_json)
            return
        if steps and not output.agreed(f"Do {len(steps)} of these actions?", yes=yes):
            output.note("Nothing was done.")
            return
        carry_out(there, found, timeout, steps, result)
        event.detail["done"] = len(result["done"])
        if problem := refusal(found):
            hint = "`--analyze` shows the plan, what it needs, and what goes by itself with which settings."
            raise errors.NotGood(problem, hint, result={**result, "ok": False})
    if as_json:
        output.document(result)


def _finish_dry(found: tunings.Tuning, result: dict[str, Any], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        output.document(result)
        return
    if dry_run:
        show_requests(found.actions)
    output.note("Nothing was done.")
