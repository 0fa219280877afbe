"""What became of a batch of exports, as one document, and a line for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daglab import errors


def line(notebook: Path, result: Mapping[str, Any]) -> str:
    """What became of a notebook, on one line whatever its name is."""
    to = [str(each["target"]) for each in result.get("attached") or ()]
    if "error" in result:
        told = f"{notebook}: failed: {str(result['error']['message']).splitlines()[0]}"
    elif result["skipped"]:
        told = f"{notebook}: unchanged since {result['exported_at']}"
    else:
        told = f"{notebook} -> {result['output']} ({result['seconds']:.1f} s)" + (f", {', '.join(to)}" if to else "")
    return " ".join(told.splitlines())


def document(outputs: Sequence[Path], results: Mapping[Path, dict[str, Any]], seconds: float) -> dict[str, Any]:
    """The exports in the order that they were asked for, each as its own document, and how many there are of a kind."""
    found = [results[output] for output in outputs if output in results]
    failed = sum("error" in each for each in found)
    skipped = sum(bool(each["skipped"]) for each in found)
    counts = {
        "exported": len(found) - failed - skipped,
        "skipped": skipped,
        "failed": failed,
        "not_started": len(outputs) - len(found),
    }
    done = len(found) == len(outputs)
    return {"ok": not failed and done, "exports": found, "counts": counts, "seconds": round(seconds, 3)}


def not_good(report: dict[str, Any]) -> errors.NotGood:
    """The error of a batch in which something failed, with what that was."""
    failed = [each for each in report["exports"] if "error" in each]
    lines = [f"{each['notebook']}: {str(each['error']['message']).strip()}" for each in failed]
    counts = report["counts"]
    more = f" {counts['not_started']} were not begun." if counts["not_started"] else ""
    return errors.NotGood(
        "\n".join([f"{counts['failed']} of {sum(counts.values())} notebooks failed.{more}", *lines]),
        "What is good is exported. Mend them and run it again; --if-changed leaves out what has not changed.",
        result=report,
    )


def stopped(report: dict[str, Any], stop: BaseException) -> errors.Interrupted:
    """The error of a batch that was stopped, with what was done before."""
    return errors.Interrupted(
        f"Stopped: {len(report['exports'])} of {sum(report['counts'].values())} notebooks were done.",
        "Run it again; with --if-changed what is done is not done again.",
        result=report,
        exit_code=stop.exit_code if isinstance(stop, errors.Interrupted) else errors.stop_code(stop),
    )
