"""`daglab debug`: the requests of recent commands, one of them sent again, what daglab runs with, recorded tokens."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from daglab import errors, events, output, parse, scales
from daglab.debugging import differences, surroundings, token_counts, traces
from daglab.deployment import dagster_api
from daglab.settings import config, config_keys

SHOWN = ("id", "operation", "command", "at", "url", "name", "kind", "query", "variables", "masked")
BECAME = ("status", "ms", "bytes", "outcome", "error")
LONGEST_VALUE = 100  # characters of a value in a difference
MOST_SHOWN = 100  # differences that are printed for people
SWITCH_ON = "DAGLAB_TRACE=1 before a command keeps its requests, redacted, in .daglab/traces/."


def requests_document(root: Path, last: int) -> dict[str, Any]:
    """The last requests that are kept, and the last commands that asked something, with how long they waited (ms)."""
    kept = list(itertools.islice(traces.newest(root), last))
    asked = (line for line in events.newest(root) if _count(line))
    return {
        "ok": True,
        "tracing": traces.wanted(os.environ),
        "requests": [{name: line.get(name) for name in (*SHOWN, *BECAME)} for line in kept],
        "operations": [_operation(line) for line in itertools.islice(asked, last)],
        "unreadable": traces.unreadable(root),
    }


def _operation(line: Mapping[str, Any]) -> dict[str, Any]:
    times = [each for each in line["requests"].get("ms") or [] if isinstance(each, (int, float))]
    return {
        **{name: line.get(name) for name in ("id", "command", "at")},
        "requests": _count(line),
        "errors": line["requests"].get("errors"),
        "mean_ms": round(statistics.fmean(times), 1) if times else None,
        "max_ms": max(times, default=None),
    }


def _count(line: Mapping[str, Any]) -> int:
    """How many requests an event tells of; somebody else may have written it."""
    asked = line.get("requests")
    number = asked.get("n") if isinstance(asked, dict) else None
    return number if isinstance(number, int) else 0


def find(root: Path, text: str) -> dict[str, Any]:
    """The kept request whose id begins like this. Raises `InvalidInput` for none, and for several.

    The id of an operation stands for its request, where it has one.
    """
    lines = [line for line in traces.newest(root) if text]
    found = [line for line in lines if line["id"].startswith(text)]
    found = found or [line for line in lines if str(line.get("operation")).startswith(text)]
    if not found:
        raise errors.InvalidInput(f"No request {text} is kept.", f"`daglab debug requests` lists them. {SWITCH_ON}")
    if len(found) > 1:
        several = ", ".join(line["id"] for line in found[:10])
        raise errors.InvalidInput(f"{text} is not one request but {len(found)}.", f"Choose one of them: {several}.")
    return found[0]


def replay(settings: config.Config, line: Mapping[str, Any], event: events.Event, *, anywhere: bool) -> dict[str, Any]:
    """Send a query again, and compare the answers, both redacted. Raises for a mutation, and for another address."""
    if line.get("kind") != "query" or dagster_api.is_mutation(line["query"]):
        raise errors.WrongUsage(
            f"{line['name']} is a mutation, which is not sent again.", "`daglab debug requests` shows what was sent."
        )
    where = parse.display_url(f"{settings.url}/graphql")
    if where != line["url"] and not anywhere:
        raise errors.InvalidInput(
            f"It was sent to {line['url']}, and the config names {where}; nothing was sent.",
            "Say where it is to go: --url URL",
        )
    variables = line.get("variables")
    api = dagster_api.connect(settings, operation=event.id)
    # Nothing may be changed, whatever the text is taken for.
    api = dataclasses.replace(api, session=dataclasses.replace(api.session, allowed=frozenset()))
    event.traffic = api.traffic
    started = time.monotonic()
    content = dagster_api.ask_again(api, line["query"], variables if isinstance(variables, dict) else {})
    spent = round((time.monotonic() - started) * 1000)
    before, kept = line.get("answer"), line.get("sha256")
    found = None if before is None else list(differences.between(before, traces.answered(content)))
    same = hashlib.sha256(content).hexdigest() == kept if found is None else not found
    return {
        "ok": same,
        **{name: line.get(name) for name in ("id", "command", "at", "name", "masked")},
        "url": where,
        "same": same,
        "ms": [line.get("ms"), spent],
        "differences": None if found is None else [_difference(each) for each in found],
    }


def _difference(each: differences.Difference) -> dict[str, Any]:
    """A difference as JSON; what was not there has no member."""
    sides = {"changed": ("before", "after"), "added": ("after",), "removed": ("before",)}[each.kind]
    return {"path": each.path, "kind": each.kind, **{side: getattr(each, side) for side in sides}}


def tokens_document(
    settings: config.Config, path: Path, tolerance: float | None, since: float | None
) -> dict[str, Any]:
    """Each recorded amount beside the local count, and the sums of the events beside those of all texts."""
    entries = token_counts.read(path)
    counts = token_counts.count(entries, settings)
    used = token_counts.recorded(settings.root, since)
    rows = token_counts.check(entries, counts, tolerance)
    sums = token_counts.check_events(entries, counts, used, tolerance)
    return {
        "ok": all(row.ok for row in (*rows, *sums)),
        "texts": len(entries),
        "counted": sum(each.tokens for each in counts),
        "methods": sorted({each.method for each in counts}),
        "why": sorted({each.why for each in counts if each.why}),
        "entries": [_amounts(row) for row in rows],
        "events": [_amounts(row) for row in sums],
    }


def _amounts(row: token_counts.Row) -> dict[str, Any]:
    line = {} if row.line is None else {"line": row.line}
    amounts = {name: getattr(row, name) for name in ("model", "kind", "recorded", "counted", "percent", "method", "ok")}
    return {**line, **amounts}


def _cells(row: list[object]) -> list[object]:
    """A row as it is printed: what is not known is left empty."""
    return ["" if cell is None else cell for cell in row]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def show_requests(result: Mapping[str, Any]) -> None:
    """Print the requests; without any, the commands that asked something."""
    if result["unreadable"]:
        output.warn(f"{result['unreadable']} lines of .daglab/traces are left out: torn, foreign, or a newer daglab's.")
    if not result["requests"]:
        output.note(f"No requests are kept. {SWITCH_ON}")
        rows = [_cells(list(each.values())[1:]) for each in result["operations"]]
        output.table(rows, ("Command", "At", "Requests", "Errors", "Mean ms", "Most ms"))
        return
    lines: list[list[object]] = []
    for each in result["requests"]:
        outcome = " ".join(str(part) for part in (each["outcome"], each["error"]) if part)
        row = [each[name] for name in ("id", "at", "command", "name", "kind", "status", "ms", "bytes")]
        lines.append(_cells([*row, outcome]))
    output.table(lines, ("Id", "At", "Command", "Name", "Kind", "Status", "ms", "Bytes", "Outcome"))


def show_replay(result: Mapping[str, Any]) -> None:
    """Print the differences, each with its path."""
    before, after = result["ms"]
    then = "" if before is None else f"{before} ms then, "
    output.note(f"{result['name']} of {result['at']}: {then}{after} ms now.")
    found = result["differences"]
    for each in (found or [])[:MOST_SHOWN]:
        sides = [_short(each[side]) for side in ("before", "after") if side in each]
        output.data(f"{each['path']}: {each['kind']} {' -> '.join(sides)}")
    if found and len(found) > MOST_SHOWN:
        output.note(f"And {len(found) - MOST_SHOWN} more; --json has them all.")
    if result["same"]:
        output.data("The answer is the same.")


def show_dump(result: Mapping[str, Any]) -> None:
    """Print it as tables."""
    shown = result["config"]
    output.data("Config")
    if "error" in shown:
        output.data(f"  not valid: {shown['error']['message']}")
    else:
        rows = [(name, config_keys.to_text(each["value"]), each["origin"]) for name, each in shown["values"].items()]
        output.table(rows, ("Key", "Value", "Origin"))
    project = result["project_python"] or {}
    for title, found in (
        ("Versions", result["versions"]),
        ("The project's Python", {**project, **project.get("packages", {}), "packages": None}),
        ("Environment", result["environment"]),
    ):
        output.data(f"\n{title}")
        output.table([(name, value) for name, value in found.items() if value is not None], ("Name", "Value"))


def show_tokens(result: Mapping[str, Any]) -> None:
    """Print what is recorded beside what is counted."""
    output.note(
        f"{result['texts']} texts, {result['counted']} tokens counted by {', '.join(result['methods']) or 'none'}."
    )
    for why in result["why"]:
        output.note(f"By the characters, because {why}: about {token_counts.CHARACTERS} make a token.")
    rows = [
        (each.get("line", "events"), each["model"] or "", each["kind"] or "", f"{each['recorded']:g}", each["counted"],
         "" if each["percent"] is None else f"{each['percent']:+g} %", "yes" if each["ok"] else "NO")
        for each in (*result["entries"], *result["events"])
    ]  # fmt: skip
    output.table(rows, ("Line", "Model", "Kind", "Recorded", "Counted", "More", "Within"))


@click.group(name="debug", cls=output.Group)
def command() -> None:
    """Look at requests, send one again, show what daglab runs with.

    \b
    Examples:
      DAGLAB_TRACE=1 daglab discover
      daglab debug requests --last 5
      daglab debug replay 3f9c2a
      daglab debug dump --json > dump.json
    """


@command.command(name="requests")
@click.option(
    "--last", type=click.IntRange(1, 10**9), default=20, show_default=True, metavar="N", help="At most so many."
)
@output.json_option
def requests_command(last: int, as_json: bool) -> None:
    """Show the GraphQL requests of recent commands, the newest first.

    They are kept where DAGLAB_TRACE=1 was set, without what looks like a secret. As JSON with text and variables, and
    beside them the commands that asked something, of which the events tell how often and how long.

    \b
    Examples:
      daglab debug requests
      daglab debug requests --last 1 --json | jq -r '.requests[0].query'
    """
    result = requests_document(config.project_root(), last)
    if as_json:
        output.document(result)
    else:
        show_requests(result)


@command.command(name="replay")
@click.argument("request", metavar="ID")
@output.connection_options
@output.json_option
def replay_command(request: str, as_json: bool) -> None:
    """Send a query again, and show what is different from the answer that was kept.

    ID is that of a request, or the beginning of one. It goes to the deployment of the config only; to another one than
    before only where --url says so. A mutation is never sent. Exits with 4 where the answer is another one.

    \b
    Example:
      daglab debug replay 3f9c2a
    """
    flags = output.flags()
    settings = config.load(flags)
    with events.recording(settings.root, "debug replay") as event:
        event.target = request
        line = find(settings.root, request)
        if line.get("masked"):
            output.warn("Its secrets were not kept; they are sent as ***, and the answer may be another one for that.")
        result = replay(settings, line, event, anywhere=flags.get("dagster.url") is not None)
        event.detail.update(same=result["same"])
        if not as_json:
            show_replay(result)
        elif result["same"]:
            output.document(result)
        if not result["same"]:
            found = result["differences"]
            much = "in more than was kept of it" if found is None else f"in {scales.counted(len(found), 'place')}"
            raise errors.NotGood(
                f"The answer differs from the one of {result['at']} {much}.",
                "What runs do changes answers, too: `daglab runs list` shows the newest.",
                result=result,
            )


@command.command(name="dump")
@output.env_option
@output.json_option
def dump_command(as_json: bool) -> None:
    """Print config with origins, versions, and the environment, redacted.

    \b
    Example:
      daglab debug dump > for-the-issue.txt
    """
    result = {"ok": True, **surroundings.document(output.flags(), os.environ)}
    if as_json:
        output.document(result)
    else:
        show_dump(result)


@command.command(name="tokens")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="PERCENT",
    help="How far both may be apart.  [default: 10; 50 where tokens are reckoned by the characters]",
)
@click.option("--since", metavar="TIME", help="Only events since: 7d, 12h, 2026-11-01.")
@output.json_option
def tokens_command(file: Path, tolerance: float | None, since: str | None, as_json: bool) -> None:
    """Check recorded token usage against a local count.

    FILE has a JSON object a line: text, and where known tokens (as recorded), model, kind. Texts are counted with the
    tiktoken of the project's Python, where it is there with the model's encoding, else about 4 characters are a token.
    What record_usage("tokens", ...) has recorded of a model and kind is compared with all of their texts. Exits with 4
    for what is further apart than the tolerance.

    \b
    Example:
      daglab debug tokens prompts.jsonl --since 2026-11-01
    """
    after = None if since is None else parse.since(since, "--since")
    result = tokens_document(config.load(), file, tolerance, after)
    if not as_json:
        show_tokens(result)
    elif result["ok"]:
        output.document(result)
    if not result["ok"]:
        off = sum(not each["ok"] for each in (*result["entries"], *result["events"]))
        raise errors.NotGood(
            f"{off} recorded amounts are further from the count than is allowed.",
            "--tolerance PERCENT allows more.",
            result=result,
        )
