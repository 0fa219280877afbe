"""What the docs and the examples show: their code blocks, and each command line of daglab in them, parsed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from daglab import cli

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "examples" / "README.md"])
EXAMPLES = sorted(path for path in (REPOSITORY / "examples").rglob("*") if path.is_file())
SHELL = {"sh", "cron", "yaml"}  # the languages of blocks in which commands stand

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(daglab [^`]+)`")
_REDIRECTION = re.compile(r"(?<!\S)\d?>{1,2}(?:&\d|\s*\S+)")
_DAGLAB = re.compile(r"(?:.*/)?daglab|\$\{?DAGLAB(?::-daglab\})?|\$daglab", re.IGNORECASE)
_OTHERS = ("cd", "cp", "pip", "pipx", "uv", "git", "COPY", "RUN", "FROM", "which")


@dataclass(frozen=True)
class Line:
    """A command line of daglab: where it stands, its words after `daglab`, and whether it stands in a block."""

    page: str
    words: tuple[str, ...]
    is_whole: bool

    def __str__(self) -> str:
        return f"{self.page}: daglab {shlex.join(self.words)}"


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    """The code blocks of a page in these languages, in their order; all of them without any."""
    return [text for language, text in _BLOCK.findall(read(page)) if language in languages or not languages]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return _BLOCK.sub("", read(page))


def lines(page: Path) -> Iterator[Line]:
    """The command lines of daglab in a page, or in an example: in its blocks, and in its prose."""
    name = str(page.relative_to(REPOSITORY))
    if page.name == "cli.md":  # the examples of each help, which stand four columns in
        texts = re.findall(r"^    [^\s-].*", read(page), re.MULTILINE)
    elif page.suffix == ".md":
        texts = [text for language, text in _BLOCK.findall(read(page)) if language in SHELL]
        for found in _INLINE.findall(prose(page)):
            yield from (Line(name, words, is_whole=False) for words in commands(" ".join(found.split())))
    else:
        texts = [read(page)]
    for text in texts:
        for each in re.sub(r"\\\n\s*", " ", text).splitlines():
            yield from (Line(name, words, is_whole=True) for words in commands(each))


def commands(text: str) -> Iterator[tuple[str, ...]]:
    """The words after each `daglab` that a line of a shell, a crontab or a help runs."""
    text = _REDIRECTION.sub(" ", text.strip().removeprefix("$ ").removeprefix("- "))
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();|&")
    lexer.whitespace_split = True
    piece: list[str] = []
    try:
        words = list(lexer)
    except ValueError:  # a quotation over several lines: a script within, prose
        return
    for word in [*words, ";"]:
        if not set(word) <= set("();|&"):
            piece.append(word)
            continue
        found = [at for at, each in enumerate(piece) if _DAGLAB.fullmatch(each)]
        if found and piece[0] not in _OTHERS and not piece[0].startswith("Usage"):
            yield tuple(piece[found[-1] + 1 :])
        piece = []


def command_of(words: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the command that the words call: `("exports", "list")`."""
    command, names = parsed(Line("", words, is_whole=False))
    assert command
    return names


def parsed(line: Line) -> tuple[click.Command, tuple[str, ...]]:
    """The command that a line calls, and its names. Raises a `click.UsageError` where no such thing can be typed.

    That an option has to be given is asked of whole lines alone: prose names parts.
    """
    context = click.Context(cli.main, info_name="daglab", **cli.main.context_settings)
    command: click.Command = cli.main
    words, names = list(line.words), []
    while isinstance(command, click.Group):
        _, words, _ = command.make_parser(context).parse_args(words)
        if not words:
            return command, tuple(names)
        if words[0].isupper():  # COMMAND stands for any
            return command, tuple(names)
        name = cli.ALIASES.get(words[0], words[0]) if command is cli.main else words[0]
        below = command.get_command(context, name)
        if below is None:
            raise click.UsageError(f"No such command {name}.")
        command, words = below, words[1:]
        names.append(name)
        context = click.Context(command, info_name=name, parent=context, **command.context_settings)
    _check(command, context, words, line.is_whole)
    return command, tuple(names)


def _check(command: click.Command, context: click.Context, words: list[str], is_whole: bool) -> None:
    if {"-h", "--help"} & {*words}:
        return
    if words and words[-1].startswith("--") and not is_whole:
        words = [*words, "TEXT"] if _takes_text(command, words[-1]) else words  # prose leaves the value out
    values, rest, _ = command.make_parser(context).parse_args(words)
    if rest:
        raise click.UsageError(f"Unexpected {' '.join(rest)}.")
    for param in command.params:
        value = values.get(param.name or "")
        given = [each for each in (value if isinstance(value, (list, tuple)) else [value]) if each is not None]
        if is_whole and param.required and not given:
            raise click.MissingParameter(param=param, ctx=context)
        if isinstance(param.type, (click.Choice, click.types.IntParamType, click.types.FloatParamType)):
            for each in given:
                if isinstance(each, str) and not each.isupper() and "$" not in each:  # SECONDS stands for a number
                    param.type.convert(each, param, context)


def _takes_text(command: click.Command, option: str) -> bool:
    found = [param for param in command.params if isinstance(param, click.Option) and option in param.opts]
    return bool(found) and not found[0].is_flag
