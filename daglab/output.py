"""What a person or a script sees: data on stdout, messages on stderr, one JSON document where it is asked for."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import click

from daglab import errors, redaction

Command = TypeVar("Command", bound=Callable[..., Any])

# Options that several commands have, so that they are named and explained the same everywhere.
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
url_option = click.option(
    "--url", metavar="URL", help="Address of Dagster's webserver.  [default: dagster.url, else host and port]"
)
_FLAGS = "daglab.flags"
_hasty: list[bool] = []  # for the whole process: messages come after the command's own context, too
TOKEN_VARIABLE = "DAGLAB_AUTH_TOKEN"  # noqa: S105 (a variable's name)


def env_option(command: Command) -> Command:
    """The option --env, which `flags` tells of."""
    text = "The environment of the config.  [default: $DAGLAB_ENV]"
    return _config_option("--env", "env", metavar="NAME", help=text)(command)


def connection_options(command: Command) -> Command:
    """The options that say which deployment, as whom, and whether it may be changed; `flags` tells of them."""
    options = (
        _config_option(
            "--url",
            "dagster.url",
            metavar="URL",
            help="Address of Dagster's webserver.  [default: dagster.url, else host and port]",
        ),
        _config_option(
            "--dagster-port", "dagster.port", type=click.IntRange(1, 65535), help="Its port on dagster.host."
        ),
        click.option(
            "--auth-token",
            metavar="TOKEN",
            expose_value=False,
            callback=_remember_token,
            help="The token: env:NAME, file:PATH, or the token itself, which other users of the machine can see.",
        ),
        env_option,
        _config_option(
            "--sandbox",
            "security.sandbox_mode",
            is_flag=True,
            default=None,
            help="Ask the deployment, and change nothing there but what security.allowed_operations names.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def flags(more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the options above say, and `more`, for `config.load`: values by dotted key, None for not given."""
    given = {**click.get_current_context().meta.get(_FLAGS, {}), **(more or {})}
    if given.get("dagster.url") is not None and given.get("dagster.port") is not None:
        raise errors.WrongUsage("--url and --dagster-port both say where Dagster is.", "Give one of them.")
    return given


def _config_option(flag: str, key: str, **settings: Any) -> Callable[[Command], Command]:
    def remember(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value not in (None, False):
            context.meta.setdefault(_FLAGS, {})[key] = value

    return click.option(flag, key.replace(".", "_"), expose_value=False, callback=remember, **settings)


def _remember_token(context: click.Context, _: click.Parameter, value: str | None) -> None:
    """A token itself goes on by way of a variable, as every other one: it is in no config and no error."""
    if value is None:
        return
    found = context.meta.setdefault(_FLAGS, {})
    kind, colon, name = value.partition(":")
    if kind == "file" and colon:
        found["dagster.auth.token_file"] = name
    elif kind == "env" and colon:
        found["dagster.auth.token_env"] = name
    else:
        redaction.hide(value)
        os.environ[TOKEN_VARIABLE] = value
        found["dagster.auth.token_env"] = TOKEN_VARIABLE


class Seconds(click.FloatRange):
    """A span of time, in seconds: more than nothing (or that, too), and no more than a socket can wait."""

    def __init__(self, most: float = 2_000_000, *, or_nothing: bool = False) -> None:
        super().__init__(min=0, max=most, min_open=not or_nothing)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click does, for `5m` and `2h` too, and without NaN, which lies in every range."""
        from daglab import parse

        try:
            seconds = parse.seconds(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a number of seconds, nor a span of time such as 90s, 5m or 2h.", param, ctx)
        return super().convert(seconds, param, ctx)


timeout_option = click.option(
    "--timeout",
    type=Seconds(),
    metavar="SECONDS",
    help="How long to wait at most.  [default: performance.max_wait_time]",
)


# Terminals act on these, and a server's text must not: C0 but tab and newline, DEL, C1, marks that turn text around.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Group(click.Group):
    """A group that shows its help when it is called alone: as wrong usage, whatever click's version."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, once there is something to parse."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest commands for an unknown one."""
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-") and not ctx.resilient_parsing:
            from daglab import parse

            hint = parse.did_you_mean(args[0], names) or f"`{ctx.command_path} --help` lists the commands."
            raise errors.WrongUsage(f"There is no command {args[0]!r}.", hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, each with its whole first line, which click would cut."""
        rows = [(name, (each.help or "").partition("\n")[0]) for name, each in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def plain(text: str) -> str:
    """`text` with what a terminal would act on made visible, and without tokens."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), redaction.clean(text))


def document(result: Mapping[str, Any]) -> None:
    """Print the one JSON document of a command."""
    text = json_text(result)
    if redaction.occurs(text):
        text = json_text(redaction.clean_values(result))
    _print(_escaped(text).encode("utf-8", "backslashreplace"))


def json_text(result: Mapping[str, Any]) -> str:
    """A result as JSON text that a person can read, too: a line for each key, and for each item of a list."""
    import json

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, default=str)  # with an indent, json would leave its fast path

    def block(value: Any) -> str:
        if not (isinstance(value, list) and value and isinstance(value[0], dict)):
            return line(value)
        return "[\n    " + ",\n    ".join(map(line, value)) + "\n  ]"

    return "{\n  " + ",\n  ".join(f"{line(str(key))}: {block(value)}" for key, value in result.items()) + "\n}"


def clean(text: str) -> str:
    """JSON, CSV or Markdown without tokens, and with what a terminal would act on as an escape."""
    return _escaped(redaction.clean(text))


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def text(written: str) -> None:
    """Print a text that is a result in itself."""
    _print(clean(written).rstrip("\n").encode("utf-8", "backslashreplace"))


def line(result: Mapping[str, Any]) -> None:
    """Print one line of JSON, for a command that goes on printing."""
    import json

    text = json.dumps(redaction.clean_values(result), ensure_ascii=False, default=str)
    _print(_escaped(text).encode("utf-8", "backslashreplace"))
    flush()


def piece(text: str) -> None:
    """Print a piece of a longer text as it is, without an end of its line."""
    with _to_stdout():
        click.echo(plain(text), nl=False)


def data(text: str) -> None:
    """Print a piece of the result for a person."""
    _print(plain(text))


def note(text: str) -> None:
    """Say on stderr what is being done; silenced by -q."""
    if not _meta("quiet"):
        _say(plain(text))


def replaceable(line: str) -> None:
    """Put a line on stderr, a terminal, in place of the one that was put there so before; silenced by -q."""
    if not _meta("quiet"):
        with contextlib.suppress(OSError):
            click.echo(f"\r{line}\x1b[K", err=True, nl=False, color=True)


def labelled(label: str, text: str, colour: str) -> None:
    """Show lines of somebody else's on stderr, each after a label; silenced by -q."""
    if not _meta("quiet"):
        begin = f"{_style(label, colour)} | "
        _say("\n".join(begin + plain(line) for line in text.splitlines()))


def warn(text: str) -> None:
    """Say on stderr what may be wrong; silenced by -q."""
    if not _meta("quiet"):
        _say(f"{_style('Warning:', 'yellow')} {plain(text)}")


def error(message: str, hint: str | None) -> None:
    """Say on stderr what went wrong and what helps; never silenced."""
    _say(f"{_style('Error:', 'red')} {plain(message)}")
    if hint:
        _say(f"{_style('Hint:', 'cyan')} {plain(hint)}")


def trace(text: str) -> None:
    """Show the traceback of a bug on stderr."""
    _say(plain(text))


def require_answer(*, yes: bool, as_json: bool) -> None:
    """Raises `WrongUsage` where a question would be asked that nobody is there to answer."""
    if not yes and (as_json or not (sys.stdin.isatty() and sys.stderr.isatty())):
        raise errors.WrongUsage(
            "This asks before it does something, and nobody is there to answer.", "Add --yes to have it done unasked."
        )


def agreed(question: str, *, yes: bool) -> bool:
    """Whether the user says yes, or has said so before."""
    return yes or click.confirm(plain(question), err=True)


def table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> None:
    """Print rows as a table, cut to the terminal's width on a terminal only; nothing for no rows."""
    if not rows:
        return
    import tabulate

    cells = [[one_line(str(cell)) for cell in row] for row in rows]
    text = tabulate.tabulate(cells, headers=headers, tablefmt="simple", disable_numparse=True)
    columns = width() if sys.stdout.isatty() else None
    for line in text.split("\n"):
        _print(line if columns is None else cut(line, columns))


def raw(text: str) -> None:
    """Print what a terminal is to act on."""
    with _to_stdout():
        click.echo(text, nl=False, color=True)
        sys.stdout.flush()


def width() -> int:
    """The columns of the terminal, of COLUMNS, or 80."""
    import shutil

    return max(shutil.get_terminal_size().columns, 20)


def one_line(text: str) -> str:
    """`text` as it can be printed, on one line."""
    return re.sub(r"[\n\t]", " ", plain(text))


def set_meta(name: str) -> None:
    """Remember `quiet` or `verbose` for this command line."""
    click.get_current_context().meta[f"daglab.{name}"] = True


def drop_when_full() -> None:
    """From now on, what nobody reads from stderr is dropped: who supervises must not stand still for a reader."""
    _hasty.append(True)


def show_log() -> None:
    """Show daglab's own log on stderr: its warnings, with -v each request, with -q nothing."""
    import logging

    class Messages(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            (warn if record.levelno >= logging.WARNING else note)(record.getMessage())

    logger = logging.getLogger("daglab")
    logger.handlers[:] = [Messages()]
    logger.setLevel(logging.DEBUG if _meta("verbose") else logging.WARNING)


class OutputLost(errors.InvalidInput):
    """What is printed on stdout can't be written there."""


def flush() -> None:
    """Give the reader what is printed so far; what goes wrong with it shows here and not at exit."""
    with _to_stdout():
        sys.stdout.flush()


def discard(*descriptors: int) -> None:
    """Let what is still to be written there go nowhere: Python tries again at exit, and would end with 120."""
    for descriptor in descriptors:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _say(text: str) -> None:
    """A message that can't be shown is no reason to lose what is being done."""
    try:
        if _hasty:
            _write_what_fits(f"{text}\n")
        else:
            click.echo(text, err=True, color=True)
    except OSError:
        discard(2)


def _write_what_fits(text: str) -> None:
    """As much as the reader has room for; a pipe that is writable takes so many bytes (PIPE_BUF) without waiting."""
    import select

    data, place = text.encode("utf-8", "backslashreplace"), 0
    while place < len(data) and select.select([], [sys.stderr], [], 0)[1]:
        place += os.write(sys.stderr.fileno(), data[place : place + select.PIPE_BUF])


def _print(text: str | bytes) -> None:
    with _to_stdout():
        click.echo(text)


@contextlib.contextmanager
def _to_stdout() -> Iterator[None]:
    """A full disk below stdout is no bug; a closed pipe is for `cli`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as problem:
        discard(1)
        raise OutputLost(
            f"The output can't be written: {problem.strerror}.", "Make room, or send it somewhere else."
        ) from None


def cut(line: str, columns: int) -> str:
    """As much of a line as fits, with a mark where something is missing; some letters take two columns."""
    import unicodedata

    widths = [0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in line]
    if sum(widths) <= columns:
        return line
    ends = itertools.accumulate(widths)
    return line[: sum(end < columns for end in ends)] + "…"


def _meta(name: str) -> bool:
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(f"daglab.{name}"))


def _style(text: str, colour: str) -> str:
    """Coloured on a terminal; NO_COLOR switches it off, FORCE_COLOR on."""
    wanted = bool(os.environ.get("FORCE_COLOR")) or sys.stderr.isatty()
    return click.style(text, fg=colour) if wanted and not os.environ.get("NO_COLOR") else text
