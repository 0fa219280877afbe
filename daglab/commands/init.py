"""`daglab init`: set up a project for daglab, or make a new one."""

from __future__ import annotations

from pathlib import Path

import click

from daglab import config, errors, events, output, projects


def init(directory: Path, bootstrap: str | None) -> tuple[Path, list[projects.Change]]:
    """Set up the project in `directory`, or make one called `bootstrap` below it; its root, and what was changed.

    Raises `InvalidInput` where there is no Dagster project to set up.
    """
    if bootstrap is not None:
        return projects.bootstrap(directory, bootstrap)
    if not projects.is_dagster_project(directory):
        raise errors.InvalidInput(
            f"There is no Dagster project in {directory}: none of {', '.join(projects.MARKERS)}, and no"
            f" {', '.join(projects.DEPENDENCIES)} that names dagster.",
            "Go to the folder of your project, or make a new one with `daglab init --bootstrap NAME`.",
        )
    return directory, projects.adopt(directory)


def show(root: Path, changes: list[projects.Change], bootstrap: str | None) -> None:
    """Print what was changed, and what to do next."""
    changed = [change for change in changes if change.what != "kept"]
    for change in changed:
        output.data(f"{change.what:9} {change.path}")
    if not changed:
        output.note(f"{root} is set up already; nothing was changed.")
    if (root / "dagster" / "__init__.py").exists():
        output.warn("dagster/__init__.py hides the installed dagster package from the project's code: delete it.")
    if bootstrap:
        output.note(f"Next: cd {bootstrap} && mkdir -p .dagster_home && DAGSTER_HOME=$PWD/.dagster_home dagster dev")
        output.note("and in a second shell there: daglab discover")


@click.command(name="init")
@click.option("--bootstrap", metavar="NAME", help="Make a new project in a folder of this name.")
@output.json_option
def command(bootstrap: str | None, as_json: bool) -> None:
    """Set up a project for daglab, or make a new one.

    Adds daglab.yaml, the notebooks folder, .daglab/ and lines in .gitignore to the Dagster project in this folder. A
    file that is there is never written over; a second call adds only what is missing.

    \b
    Examples:
      daglab init --bootstrap shop
      cd my-dagster-project && daglab init
    """
    directory = config.current_directory()
    if bootstrap is not None:
        projects.package_name(bootstrap)  # before the event: a name that is a path leads anywhere
    with events.recording(directory / (bootstrap or ""), "init") as event:
        event.target = bootstrap or "."
        root, changes = init(directory, bootstrap)
    if as_json:
        document = [{"path": change.path, "change": change.what} for change in changes]
        output.document({"ok": True, "project": str(root), "files": document})
    else:
        show(root, changes, bootstrap)
