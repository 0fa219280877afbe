"""`daglab explain`: what an error means, and what helps."""

from __future__ import annotations

from typing import Any

import click

from daglab import errors, explanations, output, parse


def document(each: explanations.Explanation) -> dict[str, Any]:
    """An explanation in JSON."""
    return {
        "name": each.name,
        "title": each.title,
        "cause": " ".join(each.cause.split()),
        "remedies": list(each.remedies),
        "page": each.page and f"docs/{each.page}",
    }


def known(code: str) -> explanations.Explanation:
    """The explanation of a code. Raises `WrongUsage` with the nearest ones."""
    found = explanations.find(code)
    if found is None:
        near = parse.did_you_mean(code.lower(), explanations.names())
        raise errors.WrongUsage(f"There is no code {code!r}.", near or "`daglab explain` lists them.")
    return found


def _complete(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in explanations.names() if name.startswith(incomplete)]


@click.command(name="explain")
@click.argument("code", required=False, shell_complete=_complete)
@output.json_option
def command(code: str | None, as_json: bool) -> None:
    """Say what an error means and what helps.

    CODE is the code of an error, the number that a command ended with, or a symptom; without it, all are listed.

    \b
    Examples:
      daglab explain unreachable
      daglab explain 5
      daglab explain package-hidden
    """
    if code is None:
        if as_json:
            output.document({"ok": True, "explanations": [document(each) for each in explanations.every()]})
        else:
            output.table([(each.name, each.title) for each in explanations.every()], ("Code", "Meaning"))
        return
    found = known(code)
    if as_json:
        output.document({"ok": True, **document(found)})
        return
    output.data(f"{found.name}: {found.title}\n\n{found.cause}\n")
    for remedy in found.remedies:
        output.data(f"- {remedy}")
    if found.page:
        output.data(f"\nMore: docs/{found.page}, in daglab's repository")
