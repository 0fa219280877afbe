"""`daglab doctor`: what is wrong in the environment of a project, and mending what is safe to mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daglab import errors, events, files, output
from daglab.doctor import examination, findings, origins, records, report
from daglab.settings import config

WORDS = {findings.OK: "ok", findings.WARNING: "warning", findings.PROBLEM: "PROBLEM", findings.SKIPPED: "skipped"}


def document(found: examination.Examination) -> dict[str, Any]:
    """What was found, in JSON."""
    result: dict[str, Any] = {
        "findings": [findings.document(each) for each in found.findings],
        "problems": found.problems,
        "warnings": sum(each.status == findings.WARNING for each in found.findings),
        "fixable": found.fixable,
        "fixed": list(found.fixed),
    }
    if found.read:
        result["deep"] = records.document(found.read)
    return result


def tell(found: examination.Examination) -> None:
    """Print what was found, what helps, and what was mended."""
    output.table(
        [(each.name, WORDS[each.status], each.detail) for each in found.findings], ("Check", "Status", "Detail")
    )
    helps = [(each.name, each.remedy) for each in found.findings if each.remedy]
    if helps:
        output.data("")
        output.table(helps, ("Check", "What helps"))
    for bad in found.read.bad if found.read else ():
        output.data(f"{bad.file}{f':{bad.line}' if bad.line else ''}: {bad.flaw}")
    if found.read and found.read.bad_count > len(found.read.bad):
        output.data(f"... and {found.read.bad_count - len(found.read.bad)} more")
    for done in found.fixed:
        output.data(f"Mended: {done}")


@click.command(name="doctor")
@click.option("--fix", is_flag=True, help="Mend what is safe to mend, and say what was done.")
@click.option("--deep", is_flag=True, help="Read all that daglab has written, too, and name each bad line.")
@click.option("--check-deps", is_flag=True, help="Have pip check the packages of the project's Python.")
@click.option("--report", "report_file", metavar="FILE", help="Write one file for whoever helps, without secrets.")
@output.connection_options
@output.json_option
def command(fix: bool, deep: bool, check_deps: bool, report_file: str | None, as_json: bool) -> None:
    """Look for what is wrong in the environment of this project.

    Python, Dagster and marimo, ports, DAGSTER_HOME, the config, the files in .daglab, git, the clock. Ends with 4
    when it finds a problem; a warning is none. The project's Python is asked, and nothing of the project is imported.

    \b
    Examples:
      daglab doctor
      daglab doctor --fix
      daglab doctor --deep --check-deps --report report.md
    """
    project = origins.load(config.current_directory(), output.flags())
    if report_file:
        project.settings.refuse_own(Path(report_file))
    with events.recording(project.root, "doctor") as event:
        found = examination.examine(project, fix=fix, deep=deep, check_deps=check_deps)
        examination.remember(event, found)
        result = document(found)
        if report_file:
            files.write_atomic(Path(report_file), report.write(project, found), mode=0o600)
            result["report"] = report_file
            output.note(f"The report is in {report_file}; look through it before you send it.")
        if not as_json:
            tell(found)
        if found.fixable and not fix:
            output.note(f"`daglab doctor --fix` mends {found.fixable} of these.")
        if found.problems:
            raise errors.NotGood(
                f"{found.problems} problem{'s' if found.problems > 1 else ''} found.",
                "What helps stands beside each.",
                result=result,
            )
        if as_json:
            output.document({"ok": True, **result})
