"""The docs name what there is, and their links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from daglab import cli, errors
from daglab.settings import config_keys

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", text(page), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The names that a page's headings can be linked by, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def command_paths() -> Iterator[str]:
    context = click.Context(cli.main, info_name="daglab")
    for name in cli.main.list_commands(context):
        command = cli.main.get_command(context, name)
        yield f"daglab {name}"
        if isinstance(command, click.Group):
            yield from (f"daglab {name} {below}" for below in command.list_commands(context))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), f"{page.name} links to {target}"
        assert goal.is_relative_to(REPOSITORY)
        assert not anchor or anchor in anchors(goal), f"{page.name} links to {target}"


def test_the_links_of_the_readme_reach_every_page() -> None:
    linked = {(REPOSITORY / target).resolve() for target in LINK.findall(text(REPOSITORY / "README.md"))}
    pages = {page for page in PAGES if page.parent.name == "docs"}
    assert pages
    for page in list(linked & pages):
        linked |= {(page.parent / target.partition("#")[0]).resolve() for target in LINK.findall(text(page))}
    assert pages - linked == set()


@pytest.mark.parametrize("path", list(command_paths()))
def test_every_command_is_in_the_reference(path: str) -> None:
    assert f"## `{path}`" in text(REPOSITORY / "docs" / "cli.md")


@pytest.mark.parametrize("name", list(config_keys.known()))
def test_every_config_key_is_in_the_docs(name: str) -> None:
    assert f"`{name}`" in text(REPOSITORY / "docs" / "config.md")


def test_every_exit_code_is_in_the_readme() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", text(REPOSITORY / "README.md"), flags=re.MULTILINE)
    named = {int(code) for row in rows for code in row.split(",")}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DaglabError)]
    assert {kind.exit_code for kind in kinds} | {0, 143, 141} == named
