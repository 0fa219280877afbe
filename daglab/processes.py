"""Child processes that leave nothing behind, however they or this process end.

Each is started by a keeper (`children/keeper.py`), which outlives this process for the seconds it takes to
end everything that is left. On Linux that is every descendant; on macOS the process groups of the services.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from daglab import errors

if TYPE_CHECKING:
    import socket

SCRIPT = Path(__file__).resolve().parent / "children" / "keeper.py"
SECRET_WORDS = ("TOKEN", "PASSWORD", "SECRET")
LONGEST_POLL = 2**31 - 1
COMMAND = "command"  # the name of the one that is run to its end

Command = Sequence["str | os.PathLike[str]"]


@dataclass(frozen=True)
class Finished:
    """A command that has ended. `returncode` is minus the signal where one ended it."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float
    timed_out: bool


@dataclass(frozen=True)
class Service:
    """A program to run for longer, and the file that its output is appended to.

    `name` tells the services of one keeper apart. `cwd` None is the current folder, `env` None this
    process's environment.
    """

    name: str
    command: Command
    cwd: Path | None
    env: Mapping[str, str] | None
    log: Path


@dataclass(frozen=True)
class Forked:
    """In the place of a keeper's process where that is not ours: the end of its channel says that it has ended."""

    pid: int = 0

    def wait(self) -> int:
        """Nothing to wait for."""
        return 0


@dataclass(frozen=True)
class Keeper:
    """A running keeper, the two ends of its channels, and what it has reported so far."""

    process: subprocess.Popen[bytes] | Forked
    control: IO[bytes]
    status: IO[bytes]
    reports: list[dict[str, Any]] = field(default_factory=list)
    torn: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True)
class Capture:
    """A keeper for one command, and the files that take what the command prints."""

    kept: Keeper
    out: IO[bytes]
    err: IO[bytes]


@contextlib.contextmanager
def capturing() -> Iterator[Capture]:
    """A keeper for one `run`, which starts up while we still find out what is to be run."""
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        keeper(pass_fds=(out.fileno(), err.fileno())) as kept,
    ):
        yield Capture(kept, out, err)


def run(
    command: Command,
    *,
    timeout: float | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    capture: Capture | None = None,
) -> Finished:
    """Run a command to its end or for `timeout` seconds, and end whatever it leaves running.

    Nothing that it started is left when this returns or raises, and its standard input is empty. Ending a
    command at its timeout takes up to 7 seconds more: SIGINT, SIGTERM 5 s later, SIGKILL 2 s after that.
    `capture` is one of `capturing` that nothing else has used.

    Raises NotSetUp when there is no such program or folder, or the program can't be executed.
    """
    if capture is None:
        with capturing() as capture:
            return run(command, timeout=timeout, cwd=cwd, env=env, capture=capture)
    try:
        _start(capture.kept, COMMAND, command, cwd, env, (capture.out.fileno(), capture.err.fileno()))
        return finished(capture, timeout)
    finally:
        stop(capture.kept)


def finished(capture: Capture, timeout: float | None) -> Finished:
    """How a command that was just started (its name is `COMMAND`) has ended; nothing of it is left after `timeout`."""
    started = time.monotonic()
    try:
        in_time = _wait_ended(capture.kept, COMMAND, timeout)
        seconds = time.monotonic() - started
    finally:
        stop(capture.kept)
    files = (capture.out, capture.err)
    for file in files:
        file.seek(0)
    stdout, stderr = (file.read().decode("utf-8", errors="replace") for file in files)
    returncode = ended(capture.kept).get(COMMAND, -signal.SIGKILL)
    return Finished(returncode, stdout, stderr, seconds, timed_out=not in_time)


@contextlib.contextmanager
def keeper(*, pass_fds: Sequence[int] = ()) -> Iterator[Keeper]:
    """A keeper for `start`; what it has started, and all that came of it, is gone after the block."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        pass_fds=pass_fds,
        start_new_session=True,
    )
    kept = Keeper(process, cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout))
    try:
        yield kept
    finally:
        stop(kept)


def forked(control: int, status: int) -> Keeper:
    """A keeper that is no child of ours, by our ends of its channels; `stop` closes them."""
    return Keeper(Forked(), os.fdopen(control, "wb"), os.fdopen(status, "rb"))


def start(kept: Keeper, service: Service) -> int:
    """Start a service and return its process id. Its name may be one that has ended.

    Raises NotSetUp when its program, folder or log can't be used.
    """
    log = _native(service.log.absolute())
    return _start(kept, service.name, service.command, service.cwd, service.env, (log, log))


def start_talking(kept: Keeper, name: str, command: Command, env: Mapping[str, str] | None, talk: int, log: int) -> int:
    """Start a service that reads its orders from the descriptor `talk` and prints to `log`; its process id.

    Both were passed to the keeper. Raises NotSetUp when its program can't be used.
    """
    return _start(kept, name, command, None, env, (log, log), talk)


def tell_to_stop(kept: Keeper) -> None:
    """Have a keeper begin to end everything, and do not wait: for who is at work in another thread."""
    with contextlib.suppress(errors.DaglabError, ValueError, OSError):
        _send(kept, {"stop": True})


def ended(kept: Keeper) -> dict[str, int]:
    """The return codes of the services that have ended, by name, without waiting.

    Raises OutcomeUnknown when somebody has killed the keeper, for then nobody can tell.
    """
    while not kept.status.closed and _receive(kept, 0):
        pass
    codes: dict[str, int] = {}
    for report in kept.reports:
        if report["event"] == "started":
            codes.pop(report["name"], None)
        elif report["event"] == "ended":
            codes[report["name"]] = report["returncode"]
    return codes


def stop(kept: Keeper) -> bool:
    """End all services and what they have started, wait until they are gone: at most 17 seconds.

    False when something could not be ended, such as another user's process.
    """
    try:
        with contextlib.suppress(errors.DaglabError, ValueError):  # gone, or stopped already
            # The end of the channel says it too, but not while a fork of this process has a copy of it.
            _send(kept, {"stop": True})
        return _close(kept)
    except BaseException:  # one Ctrl-C must not let us go on while the keeper is at work; a second one may
        _close(kept)
        raise


def find_free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on just now."""
    with _listen(host, 0) as listener:
        return int(listener.getsockname()[1])


def without_secrets(environ: Mapping[str, str], names: Iterable[str] = ()) -> dict[str, str]:
    """An environment for a child that needs no tokens: without daglab's own, and those in `names`."""
    dropped = set(names)
    return {
        name: value
        for name, value in environ.items()
        if name not in dropped
        and not (name.startswith("DAGLAB_") and any(word in name.upper() for word in SECRET_WORDS))
    }


def _start(
    kept: Keeper,
    name: str,
    command: Command,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    outputs: tuple[int, int] | tuple[str, str],
    source: int | None = None,
) -> int:
    folder = _native((cwd or Path()).absolute())
    order = {
        "name": name,
        "argv": [_native(word) for word in command],
        "cwd": folder,
        "env": {_native(key): _native(value) for key, value in (os.environ if env is None else env).items()},
        "stdout": outputs[0],
        "stderr": outputs[1],
        "stdin": source,
    }
    seen = len(kept.reports)
    _send(kept, order)
    while True:
        for report in kept.reports[seen:]:
            if report["name"] == name and report["event"] == "started":
                return int(report["pid"])
            if report["name"] == name and report["event"] == "failed":
                raise _not_set_up(report, folder)
        _receive(kept, None)


def _native(value: str | os.PathLike[str]) -> str:
    """The text that means the same bytes to a keeper, whose encoding is UTF-8 wherever ours is not."""
    return os.fsencode(value).decode("utf-8", errors="surrogateescape")


def _not_set_up(report: Mapping[str, Any], folder: str) -> errors.NotSetUp:
    path, reason = report["path"], report["error"]
    if reason == "ENOENT" and path != folder and os.path.isfile(os.path.join(folder, path)):
        hint = "Its first line names an interpreter that is not there; a moved virtual environment is made anew."
    elif reason == "ENOENT" and "/" not in path:
        hint = f"Install {path}, or put the folder that has it on PATH."
    elif reason == "EACCES":
        hint = f"Look at its permissions: ls -ld {path}"
    else:
        hint = "Look at the path and at what is there."
    text = os.strerror(getattr(errno, reason, errno.EINVAL))
    return errors.NotSetUp(f"{path or 'The command'} can't be used: {text}.", hint)


def _send(kept: Keeper, order: Mapping[str, Any]) -> None:
    try:
        kept.control.write(json.dumps(order).encode() + b"\n")
        kept.control.flush()
    except BrokenPipeError:
        raise _keeper_gone(kept) from None


def _receive(kept: Keeper, timeout: float | None) -> bool:
    """Take in what the keeper reports within `timeout` seconds; False when that is nothing."""
    poll = select.poll()
    poll.register(kept.status, select.POLLIN)
    if not poll.poll(None if timeout is None else min(timeout * 1000, LONGEST_POLL)):
        return False
    data = os.read(kept.status.fileno(), 1 << 16)
    if not data:
        raise _keeper_gone(kept)
    *lines, torn = (kept.torn + data).split(b"\n")
    kept.torn[:] = torn
    kept.reports.extend(json.loads(line) for line in lines)
    return True


def _wait_ended(kept: Keeper, name: str, timeout: float | None) -> bool:
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    while name not in ended(kept):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        _receive(kept, left)
    return True


def _close(kept: Keeper) -> bool:
    with contextlib.suppress(OSError):
        kept.control.close()
    with contextlib.suppress(errors.DaglabError):
        while not kept.status.closed:
            _receive(kept, None)
    returncode = kept.process.wait()
    kept.status.close()
    return returncode == 0


def _keeper_gone(kept: Keeper) -> errors.DaglabError:
    """Somebody has killed the keeper: end what is known to run, which is less than it would have found."""
    gone = {report["name"] for report in kept.reports if report["event"] == "ended"}
    for report in kept.reports:
        if report["event"] == "started" and report["name"] not in gone:
            with contextlib.suppress(OSError):
                os.killpg(report["pid"], signal.SIGKILL)
    return errors.OutcomeUnknown(
        "The process that looks after the child processes was killed.",
        "Children that left their process group may still run: look with `ps -ef`, and end those you know.",
    )


def _listen(host: str, port: int) -> socket.socket:
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)
