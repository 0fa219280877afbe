"""What git has of a project, and what it should not have."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from daglab import git, processes
from daglab.authoring import projects
from daglab.doctor import findings
from daglab.doctor.findings import Finding, Project
from daglab.settings import config

OWN_TEMPLATES = ".daglab/templates/"  # the user's, who may well keep them in git


def look(project: Project) -> Iterator[Finding]:
    """Whether `.daglab` is kept out of the repository, and the config and the notebooks are in it."""
    environ = _environ(project)
    if shutil.which("git", path=project.environ.get("PATH")) is None:
        yield findings.skipped("git", "git is not installed")
        return
    if not git.is_inside(project.root, environ):
        yield findings.skipped("git", "the project is in no git repository")
        return
    yield from _tracked(project)
    if project.settings.file:  # else it is no project of daglab's, and nothing of it is to be in git
        yield from _ignored(project)
        yield from _uncommitted(project)


def _tracked(project: Project) -> Iterator[Finding]:
    answer = git.ask(project.root, _environ(project), "ls-files", "-z", "--", ".daglab")
    there = [name for name in answer.split("\0") if name and not name.startswith(OWN_TEMPLATES)]
    if there:
        yield findings.problem(
            "git.secrets",
            f"{len(there)} files of .daglab are in the repository: {findings.some(there)}.",
            "git rm -r --cached .daglab, and commit; change what was secret in them if it was pushed",
        )


def missing_lines(project: Project) -> list[str]:
    """What git should ignore and does not: a path below it is asked about, so that the user's own ways count, too."""
    probes = {line.strip("/"): f"{line.strip('/')}/x" for line in projects.IGNORED}
    ignored = git.ignored(project.root, _environ(project), list(probes.values()))
    return [name for name, probe in probes.items() if probe not in ignored]


def _ignored(project: Project) -> Iterator[Finding]:
    missing = missing_lines(project)
    if missing:
        fixable = projects.ignore(project.root, dry=True).what != "kept"
        yield findings.warning(
            "git.ignored",
            f"git does not ignore {', '.join(missing)}.",
            f"Add these lines to .gitignore: {' '.join(projects.IGNORED)}",
            fixable=fixable,
        )
    else:
        yield findings.fine("git.ignored", "git ignores what is not for version control")


def _uncommitted(project: Project) -> Iterator[Finding]:
    """What is in no commit at all is lost with the folder; what was changed since is everyday work."""
    paths = (config.FILE_NAME, project.settings.notebooks_dir)
    answer = git.ask(
        project.root, _environ(project), "status", "--porcelain", "-z", "--untracked-files=all", "--", *paths
    )
    entries = [entry for entry in answer.split("\0") if len(entry) > 3]
    new = [entry[3:] for entry in entries if entry.startswith("??") and entry.endswith((".py", config.FILE_NAME))]
    if new:
        yield findings.warning(
            "git.uncommitted",
            f"In no commit yet: {findings.some(new)}.",
            f"git add {' '.join(findings.quoted(name) for name in new[: findings.MOST_NAMED])}, and commit",
        )
    else:
        changed = f", {len(entries)} of them changed since" if entries else ""
        yield findings.fine("git.uncommitted", f"the config and the notebooks are in the repository{changed}")


def _environ(project: Project) -> dict[str, str]:
    """Without secrets: the repository may name filters that git runs."""
    return processes.without_secrets(project.environ, project.settings.token_variables)
