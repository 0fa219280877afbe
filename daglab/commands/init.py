"""`daglab init`: set up a project for daglab, or make a new one."""

from __future__ import annotations

import contextlib
from pathlib import Path, PurePosixPath

import click

from daglab import errors, events, output
from daglab.authoring import projects
from daglab.settings import config, config_keys

PORTS = {"dagster": "dagster.port", "marimo": "marimo.port"}


def init(
    directory: Path, bootstrap: str | None, template: str, wishes: projects.Wishes
) -> tuple[Path, list[projects.Change]]:
    """Set up the project in `directory`, or make one called `bootstrap` below it; its root, and what was changed.

    Raises `InvalidInput` where there is no Dagster project to set up.
    """
    if bootstrap is not None:
        return projects.bootstrap(directory, bootstrap, template=template, wishes=wishes)
    if projects.marker(directory) is None:
        raise errors.InvalidInput(
            f"There is no Dagster project in {directory}: none of {', '.join(projects.MARKERS)}, and no file of"
            " dependencies (pyproject.toml, requirements.txt and the like) that names dagster.",
            "Go to the folder of your project, or make a new one with `daglab init --bootstrap NAME`.",
        )
    return directory, projects.adopt(directory, wishes)


def ports(text: str) -> dict[str, int]:
    """The ports of `dagster=3000,marimo=3010`, by config key. Raises `WrongUsage` for another form."""
    found: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        key = PORTS.get(name.strip())
        if key is None or not number.strip().isdecimal() or not 1 <= int(number) <= 65535 or key in found:
            raise errors.WrongUsage(
                f"{part!r} is no port of dagster or marimo.", "Write it like --ports dagster=3000,marimo=3010."
            )
        found[key] = int(number)
    if len(set(found.values())) < len(found):
        raise errors.WrongUsage("dagster and marimo can't have the same port.", "Give them two.")
    return found


def notebooks_folder(text: str) -> str:
    """The folder, from the project's root, as the config has it. Raises `InvalidInput` for one outside."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise errors.InvalidInput(f"{text!r} is no folder of the project.", "Name it from the project's root.")
    return str(config_keys.checked(config_keys.known()["notebooks_dir"], path.as_posix(), "--notebooks-dir"))


def warn(root: Path, changes: list[projects.Change], wishes: projects.Wishes) -> None:
    """Say what was asked for and is not so, and what will go wrong."""
    for key, now in projects.differing(root, wishes).items():
        output.warn(f"daglab.yaml says {key}: {now}. Change it with `daglab config set {key} {wishes.values[key]}`.")
    if (root / "dagster" / "__init__.py").exists():
        output.warn("dagster/__init__.py hides the installed dagster package from the project's code: delete it.")
    for change in changes:
        if wishes.makefile and change.path in projects.MAKEFILES and change.what == "kept":
            output.warn(f"{change.path} has targets of these names already: no target was added.")


def show(root: Path, changes: list[projects.Change], bootstrap: str | None, wishes: projects.Wishes) -> None:
    """Print what was changed, and what to do next."""
    changed = [change for change in changes if change.what != "kept"]
    for change in changed:
        output.data(f"{change.what:9} {change.path}")
    if not changed:
        output.note(f"{root} is set up already; nothing {'is to be' if wishes.dry else 'was'} changed.")
    if wishes.dry:
        output.note("Nothing was done: --dry-run only tells.")
        return
    if bootstrap:
        output.note(f"Next: cd {bootstrap} && daglab dev")
        output.note("and in a second shell there: daglab discover")


@click.command(name="init")
@click.option("--bootstrap", metavar="NAME", help="Make a new project in a folder of this name.")
@click.option(
    "--template", type=click.Choice(projects.TEMPLATES), help="What the new project holds.  [default: minimal]"
)
@click.option("--no-examples", is_flag=True, help="Leave the new project's definitions empty.")
@click.option("--notebooks-dir", metavar="DIR", help="The folder of the notebooks.  [default: dagster/notebooks]")
@click.option("--ports", "port_list", metavar="LIST", help="Ports, such as dagster=3000,marimo=3010.")
@click.option(
    "--makefile", is_flag=True, help="Add targets to the Makefile: dagster-dev, discover, maintenance-clean ..."
)
@click.option("--force", is_flag=True, help="Write over what daglab made: the template's files, keys of daglab.yaml.")
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@output.json_option
def command(
    bootstrap: str | None,
    template: str | None,
    no_examples: bool,
    notebooks_dir: str | None,
    port_list: str | None,
    makefile: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Set up a project for daglab, or make a new one.

    Adds daglab.yaml, the notebooks folder, .daglab/ and lines in .gitignore to the Dagster project in this folder. A
    file that is there is not written over without --force; a second call adds only what is missing.

    The templates: minimal (a shop's orders), standard (several groups, a schedule, a resource, daily and static
    partitions), ml (a small model, trained and evaluated).

    \b
    Examples:
      daglab init --bootstrap weather --template standard
      cd my-dagster-project && daglab init --ports dagster=3001 --dry-run
    """
    if bootstrap is None and (template or no_examples):
        raise errors.WrongUsage("--template and --no-examples are for new projects.", "Add --bootstrap NAME.")
    if template and no_examples:
        raise errors.WrongUsage("--template has examples, and --no-examples wants none.", "Leave one of them out.")
    values: dict[str, str | int] = {**(ports(port_list) if port_list else {})}
    if notebooks_dir is not None:
        values["notebooks_dir"] = notebooks_folder(notebooks_dir)
    wishes = projects.Wishes(values, makefile, force, dry_run)
    directory = config.current_directory()
    if bootstrap is not None:
        projects.package_name(bootstrap)  # before the event: a name that is a path leads anywhere
    root = directory / (bootstrap or "")
    with contextlib.nullcontext() if dry_run else events.recording(root, "init") as event:
        if event:
            event.target = bootstrap or "."
        chosen = projects.EMPTY if no_examples else template or projects.TEMPLATES[0]
        root, changes = init(directory, bootstrap, chosen, wishes)
    if not dry_run:
        warn(root, changes, wishes)
    if as_json:
        document = [{"path": change.path, "change": change.what} for change in changes]
        output.document({"ok": True, "project": str(root), "dry_run": dry_run, "files": document})
    else:
        show(root, changes, bootstrap, wishes)
