"""The command line: the group, the options that every command has, and where errors become text and exit codes."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import click

from daglab import __version__, errors, output

# Section -> command -> its one-line help (the first line of its docstring; a test keeps the two equal), so that
# `daglab --help` imports no command.
COMMANDS = {
    "Start": {
        "init": "Set up a project for daglab, or make a new one.",
    },
    "Notebooks": {
        "scaffold": "Write a marimo notebook for an asset or a job.",
        "export": "Run notebooks, write them as HTML, attach them to assets.",
        "migrate": "Make marimo notebooks of Jupyter's, checked, with a report.",
        "exports": "List what was exported, renew links, take away what is over, verify it.",
        "notebooks": "List the project's notebooks.",
        "state": "Show what notebooks keep across restarts, and go back to an earlier state.",
    },
    "Dagster": {
        "discover": "List code locations, jobs and assets of a deployment.",
        "run": "Launch a job or assets on the deployment, and wait for the end.",
        "runs": "List runs, look at one, wait for it, end it, run it again.",
    },
    "Environment": {
        "dev": "Start Dagster and marimo side by side, and look after them.",
        "stop": "End the `daglab dev` of this project, from any of its folders.",
        "clean": "Take away what daglab has made and nobody needs any more.",
        "cache": "Show what the cache holds, and empty it.",
        "backup": "Archive a project's files, and bring them back.",
        "config": "Show, check and change the config.",
        "completion": "Print the script that completes daglab in your shell.",
    },
    "How things stand": {
        "status": "Show on one screen how things stand now.",
        "stats": "Show what was done, how fast, and what failed.",
        "metrics": "Print figures over time, also for other programs.",
        "health": "Check that all the project needs is there.",
        "doctor": "Look for what is wrong in the environment of this project.",
        "dashboard": "Serve a page that shows how things stand.",
        "explain": "Say what an error means and what helps.",
        "debug": "Look at requests, send one again, show what daglab runs with.",
    },
    "Collections": {
        "collections": "List, copy, move, check and back up Weaviate collections.",
    },
}
ALIASES = {"col": "collections"}
_MODULES = {"collections": "collection"}  # where it is another than the command's own name
COMPLETION = "_DAGLAB_COMPLETE"
_AGAIN = "Nothing is left running here; the same command can be given again."
WIDEST_HELP = 100
_stopped: list[int] = []  # the signals that came
NAMES = [name for section in COMMANDS.values() for name in section]


class Cli(output.Group):
    """Loads a command's module when it is invoked, and turns errors into text and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the help."""
        return NAMES

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As any group does, with the short names."""
        return super().resolve_command(ctx, [ALIASES.get(args[0], args[0]), *args[1:]])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, with the options that every command has."""
        if cmd_name not in NAMES:
            return None
        command: click.Command = importlib.import_module(f"daglab.commands.{_MODULES.get(cmd_name, cmd_name)}").command
        for each in _with_those_below(command):
            if not any(param.name == "quiet" for param in each.params):
                for param in each.params:
                    _refuse_empty(param)
                each.params.extend(_shared_options())
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """As click does, with the warnings of daglab's log shown."""
        output.show_log()
        return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by section, each with one line."""
        for section, commands in COMMANDS.items():
            with formatter.section(section):
                formatter.write_dl(list(commands.items()))

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run a command line and exit with the truth."""
        arguments = list(sys.argv[1:] if args is None else args)
        if COMPLETION in os.environ:  # the shell asks at each Tab
            self._main_shell_completion({}, "daglab", COMPLETION)
        as_json = "--json" in arguments[: arguments.index("--") if "--" in arguments else None]
        _prepare_streams()
        try:
            code = self._run(arguments, prog_name or "daglab", as_json)
            _deafen()
            sys.exit(code)
        except output.OutputLost as error:
            sys.exit(_report(error, as_json))
        except BrokenPipeError:
            output.discard(1, 2)  # either may be the closed one
            sys.exit(141)

    def _run(self, arguments: list[str], prog_name: str, as_json: bool) -> int:
        try:
            with self.make_context(prog_name, arguments, terminal_width=_help_width()) as context:
                self.invoke(context)
                output.flush()
            return 0
        except click.exceptions.Exit as done:
            output.flush()
            return done.exit_code
        except click.ClickException as error:
            return _report(_from_click(error), as_json)
        except errors.DaglabError as error:
            return _report(error, as_json)
        except (KeyboardInterrupt, click.Abort):
            return _report(errors.Interrupted("Interrupted.", _AGAIN), as_json)
        except errors.Terminated:
            return _report(errors.Interrupted("Terminated.", _AGAIN, exit_code=143), as_json)
        except BrokenPipeError:
            raise
        except OSError as error:
            return _report(_from_system(error), as_json)
        except Exception as bug:  # whatever it is: the traceback is kept, and a script gets its document
            if _stopped:  # a signal in the middle of an import becomes an ImportError
                return _report(errors.Interrupted("Interrupted.", _AGAIN, exit_code=128 + _stopped[0]), as_json)
            return _report_bug(bug, as_json)


def _with_those_below(command: click.Command) -> Iterator[click.Command]:
    yield command
    for each in getattr(command, "commands", {}).values():
        yield from _with_those_below(each)


def _help_width() -> int:
    """Columns for help, as click reckons them; click would import shutil for it, and with that three compressors."""
    columns = 0
    with contextlib.suppress(ValueError):
        columns = int(os.environ.get("COLUMNS", ""))
    with contextlib.suppress(OSError):
        columns = columns or os.get_terminal_size(1).columns
    return max(min(columns or 80, WIDEST_HELP) - 2, 50)


def _from_click(error: click.ClickException) -> errors.DaglabError:
    """click's own errors are all wrong usage; the hint names the help to read."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "daglab"
    hint = f"`{path} --help` shows how it is used."
    if context and isinstance(error, click.NoSuchOption):  # click compares whole words; a beginning says more
        names = [name for param in context.command.get_params(context) for name in param.opts]
        if begun := [name for name in names if name.startswith(error.option_name)]:
            return errors.WrongUsage(
                f"No such option {error.option_name}.", f"Did you mean {' or '.join(begun)}? {hint}"
            )
    return errors.WrongUsage(error.format_message(), hint)


def _from_system(error: OSError) -> errors.DaglabError:
    """What nobody below has a better word for: no file left to open, a folder that may not be looked into."""
    name = f": {error.filename}" if error.filename else ""
    return errors.InvalidInput(
        f"The operating system refused: {error.strerror or error}{name}.",
        "Look at permissions, limits (ulimit -a) and room on the disk.",
        result=getattr(error, "result", None),
    )


def _report(error: errors.DaglabError, as_json: bool) -> int:
    if as_json and not isinstance(error, output.OutputLost):
        output.document({**(error.result or {}), "ok": False, "error": error.document()})
    else:
        output.error(error.message, error.hint)
    output.flush()
    return error.exit_code


def _report_bug(bug: Exception, as_json: bool) -> int:
    import traceback

    output.trace(traceback.format_exc())
    error = errors.DaglabError(
        f"This is a bug in daglab: {type(bug).__name__}.",
        "Please report it with the traceback on stderr.",
        result=getattr(bug, "result", None),
    )
    return _report(error, as_json)


def _shared_options() -> list[click.Option]:
    """-q and -v, which every command takes after its name, too."""
    return [
        click.Option(
            ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_remember, help="Say nothing but errors."
        ),
        click.Option(
            ["-v", "--verbose"], is_flag=True, expose_value=False, callback=_remember, help="Say what is done."
        ),
    ]


def _refuse_empty(param: click.Parameter) -> None:
    """Have an option refuse empty text: it comes of a variable that is not set, and would mean another target."""
    if not isinstance(param, click.Option) or not isinstance(param.type, (click.types.StringParamType, click.Path)):
        return
    callback = param.callback

    def check(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
        given = value if isinstance(value, (list, tuple)) else [value]
        if any(each is not None and not str(each).strip(" ,") for each in given) and option.name != "config_yaml":
            raise errors.WrongUsage(
                f"{option.opts[0]} is empty.", "Give it a value, or leave it out: is a variable unset?"
            )
        return callback(ctx, option, value) if callback else value

    param.callback = check


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and param.name:
        output.set_meta(param.name)
        output.show_log()


def _prepare_streams() -> None:
    """No output fails for a letter that the locale lacks; a SIGTERM or a closed terminal cleans up as Ctrl-C does."""
    import signal

    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by the caller: daglab >&-
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (it stays open to the end)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
    _stopped.clear()
    signal.signal(signal.SIGTERM, _stop)
    for number in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it, and a shell for what runs behind it
            signal.signal(number, _stop)


def _deafen() -> None:
    """Once it is said that we were stopped, a further signal must not change the exit code."""
    import signal

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM) if _stopped else ():
        signal.signal(number, signal.SIG_IGN)


def _stop(number: int, _frame: object) -> None:
    """The first signal stops what is done; a second one does not stop it from being said and cleared up."""
    first = not _stopped  # asked before it is noted: the next signal may come between any two lines here
    _stopped.append(2 if number == 2 else 15)
    if first:
        raise KeyboardInterrupt if number == 2 else errors.Terminated


def _help_and_version() -> list[click.Parameter]:
    return [
        click.Option(
            ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version."
        ),
        *_shared_options(),
    ]


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"daglab {__version__}")
        ctx.exit()


main = Cli(
    name="daglab",
    params=_help_and_version(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST_HELP},
    help="""Pair marimo notebooks with Dagster.

    \b
    daglab init --bootstrap shop      make a project
    daglab discover                   see what the deployment holds
    daglab scaffold --asset orders    write a notebook for an asset
    daglab run --asset-selection orders
    daglab export NOTEBOOK --attach asset:orders
    """,
)
