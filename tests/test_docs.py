"""The docs name what there is, their links lead somewhere, and what they show can be typed.

What of it needs no server is run by tests/integration/test_doc_pages.py, and so are the pages that are a walk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from daglab import cli, errors
from daglab.settings import config_keys
from tests import doc_pages
from tests.doc_pages import REPOSITORY, prose
from tests.doc_pages import read as text

PAGES = doc_pages.DOCS
SHOWN = [
    path for path in [*PAGES, *doc_pages.EXAMPLES] if path.suffix not in (".py", ".j2") and path.name != "CHANGELOG.md"
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Options of other programs that the prose names.
FOREIGN = {
    "--constraint",
    "--read-only",
    "--collector.textfile.directory",
    "--force",
    "--user",
    "--port",
    "--strict",
    "--import-mode",
    "--platform",
}


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


def linked(page: Path) -> set[Path]:
    """The files that a page links to."""
    return {(page.parent / target.partition("#")[0]).resolve() for target in LINK.findall(text(page))}


def test_the_readme_leads_to_the_index_and_the_index_to_every_page() -> None:
    index = REPOSITORY / "docs" / "README.md"
    assert index in linked(REPOSITORY / "README.md")
    assert {page for page in PAGES if page.parent == index.parent} - {index} - linked(index) == set()


def test_every_example_is_in_their_index() -> None:
    index = REPOSITORY / "examples" / "README.md"
    named = linked(index) | linked(REPOSITORY / "docs" / "deployment.md")
    assert {*doc_pages.EXAMPLES} - {index} - named == set()


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_line_can_be_typed(page: Path) -> None:
    for line in doc_pages.lines(page):
        try:
            doc_pages.parsed(line)
        except click.UsageError as error:
            pytest.fail(f"{line}: {error.format_message()}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$ daglab run --job x > run.json 2>&1", [("run", "--job", "x")]),
        ("17 3 * * * cd /srv && daglab -q stats && daglab clean >/dev/null", [("-q", "stats"), ("clean",)]),
        ("said=$(daglab health --json) || exit 2", [("health", "--json")]),
        ("cd daglab && pip install ./daglab", []),
        ("docker compose exec daglab daglab status", [("status",)]),
        ("DAGLAB_TRACE=1 .venv/bin/daglab discover | jq .", [("discover",)]),
    ],
)
def test_command_lines_are_found(text: str, words: list[tuple[str, ...]]) -> None:
    assert list(doc_pages.commands(text)) == words


@pytest.mark.parametrize("words", ["rum", "run --jobs x", "run --job", "runs lists", "run x", "export a.py --via post"])
def test_a_command_line_that_there_is_not_is_refused(words: str) -> None:
    with pytest.raises(click.UsageError):
        doc_pages.parsed(doc_pages.Line("", tuple(words.split()), is_whole=True))


def test_every_option_that_prose_names_is_there() -> None:
    known = {"--help", "--version"} | FOREIGN
    for path in command_paths():
        command, _ = doc_pages.parsed(doc_pages.Line("", tuple(path.split()[1:]), is_whole=False))
        known |= {name for param in command.params for name in [*param.opts, *param.secondary_opts]}
    for page in PAGES:
        if page.name != "CHANGELOG.md":
            named = {*re.findall(r"`(--[a-z][a-z.-]*)", prose(page))}
            assert named - known == set(), page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_python_compiles(page: Path) -> None:
    if page.name == "helpers.md":  # signatures, which are written by make docs, below one block
        compile(doc_pages.blocks(page, "python")[0], page.name, "exec")
        return
    for number, code in enumerate(doc_pages.blocks(page, "python"), 1):
        compile(code, f"{page.name}, block {number}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_what_it_is(page: Path) -> None:
    """A block without a language is shown without colours, and nothing knows whether to try it."""
    fences = re.findall(r"^```(.*)$", text(page), re.MULTILINE)
    assert all(fences[::2]), page.name
    assert not any(fences[1::2]), page.name


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


def test_what_the_page_of_wishes_names_is_there() -> None:
    rows = [line.split("|")[1:-1] for line in text(REPOSITORY / "docs" / "coverage.md").splitlines() if line[:1] == "|"]
    assert [row for row in rows if len(row) != 2 or not all(cell.strip() for cell in row)] == []
    named = [word for row in rows for word in re.findall(r"`([^`]+)`", row[1])]
    top = {path.name for path in REPOSITORY.iterdir()}
    files = [word for word in named if word.split("/")[0] in top and " " not in word]
    assert len(files) > 100
    assert [name for name in files if not (REPOSITORY / name).exists()] == []
    targets = {*re.findall(r"^([a-z-]+):", text(REPOSITORY / "Makefile"), re.MULTILINE)}
    assert {word.split()[1] for word in named if word.startswith("make ")} <= targets
