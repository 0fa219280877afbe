"""Starts services for a supervisor and ends all they have left behind, once the supervisor stops or dies.

Run as `python -I -S -X utf8 keeper.py`, in a session of its own. Standard input is the control channel, a
pipe whose only write end the supervisor holds; standard output is the status channel. Both carry one JSON
document a line.

Control: `{"name", "argv", "cwd", "env", "stdout", "stderr"}` starts a service; `cwd` null is `/`, `env` null
the keeper's own, an output is an inherited descriptor's number, a file to append to, or null; so is `stdin`, an
inherited descriptor's number, which is closed here then, or left out for nothing to read. `{"stop": true}`
and the end of the channel both end everything: SIGINT to the services; SIGTERM to whatever is left of their
descendants after 5 s, or as soon as no service is left; SIGKILL to whatever is left after 7 s.

Status: `{"event": "started", "name", "pid"}`, `{"event": "failed", "name", "error", "path"}` with the errno's
name and the path at fault, `{"event": "ended", "name", "returncode"}` with minus the signal where one ended it.

Exits with 0 when nothing is left, with 1 when something withstood even SIGKILL (another user's process).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

CONTROL, STATUS = 0, 1
INTERRUPT_SECONDS, TERMINATE_SECONDS, KILL_SECONDS = 5.0, 2.0, 10.0
# Processes that start while the tree is being ended show up in the next look at it.
LOOK_SECONDS = 0.1
PR_SET_CHILD_SUBREAPER = 36
DEFAULT_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}

# This process is one keeper, so its state is the module's.
services: dict[int, str] = {}
groups: set[int] = set()
unsent = bytearray()
wakeups: list[int] = []  # both ends of a pipe, which a signal writes to


def main() -> int:
    """Serve the control channel to its end, then end all that runs."""
    prepare()
    subreaper = become_subreaper()
    try:
        serve()
    finally:
        gone = end_everything(subreaper)
    return 0 if gone else 1


def prepare() -> None:
    """Survive the signals that are meant for others, and wake up when a child ends."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    readable, writable = os.pipe()
    for descriptor in (readable, writable, STATUS):
        # A supervisor that does not read must not hold up the keeper.
        os.set_blocking(descriptor, False)
    wakeups.extend((readable, writable))
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda signum, frame: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # for the services too
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the descriptor that listed the folder is closed by now
                os.set_inheritable(int(name), False)


def become_subreaper() -> bool:
    """Have orphaned descendants become our children, however they detached. Linux alone can do that.

    Elsewhere (macOS) only the services' process groups are ended: what leaves its group gets away.
    """
    if not sys.platform.startswith("linux") or not os.path.exists("/proc/self/stat"):
        return False
    return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def serve() -> None:
    """Start what the control channel asks for until it says stop or ends."""
    torn = b""
    while True:
        if CONTROL in wait(None, [CONTROL]):
            data = os.read(CONTROL, 1 << 16)
            *lines, torn = (torn + data).split(b"\n")
            if not all(obey(line) for line in lines) or not data:
                return
        reap()


def obey(line: bytes) -> bool:
    """Do what one control line says; False when it says stop."""
    name = None
    try:
        order = json.loads(line)
        if order.get("stop"):
            return False
        name = str(order["name"])
        pid = start(order)
    except Exception as error:  # whatever is wrong with one line, the other services depend on us
        number = getattr(error, "errno", None) or errno.EINVAL
        path = str(getattr(error, "filename", None) or "")
        report(event="failed", name=name, error=errno.errorcode.get(number, str(number)), path=path)
    else:
        services[pid] = name
        groups.add(pid)
        report(event="started", name=name, pid=pid)
    return True


def start(order: dict[str, Any]) -> int:
    """Start a service in a process group of its own, with every signal as a program expects it."""
    argv: list[str] = order["argv"]
    env: dict[str, str] = os.environ.copy() if order["env"] is None else order["env"]
    opened: list[int] = []
    try:
        outputs = [output(order[name], opened) for name in ("stdout", "stderr")]
        source = order.get("stdin")
        opened += [source] if source else []  # ours would keep the channel open when the service has ended
        os.chdir(order["cwd"] or "/")
        return os.posix_spawn(
            find_program(argv[0], env),
            argv,
            env,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, source, 0) if source else (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                *((os.POSIX_SPAWN_DUP2, each, target) for target, each in enumerate(outputs, start=1)),
            ],
            setpgroup=0,
            setsigdef=DEFAULT_SIGNALS,
        )
    finally:
        os.chdir("/")
        for descriptor in opened:
            os.close(descriptor)


def output(wanted: int | str | None, opened: list[int]) -> int:
    """The descriptor to write to. What had to be opened for it is added to `opened`."""
    if isinstance(wanted, int):
        if wanted <= 2:  # the keeper's own channels
            raise OSError(errno.EBADF, "not an inherited descriptor")
        return wanted
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT if wanted else os.O_WRONLY
    opened.append(os.open(wanted or os.devnull, flags, 0o600))
    return opened[-1]


def find_program(name: str, env: dict[str, str]) -> str:
    """Where the service's own PATH has a program; a name with a slash is a path already."""
    if "/" in name:
        return name
    candidates = [os.path.join(folder, name) for folder in os.get_exec_path(env)]
    found = [path for path in candidates if os.path.isfile(path)]
    if not found:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return next((path for path in found if os.access(path, os.X_OK)), found[0])


def report(**event: Any) -> None:
    """Send a status line, now or when the reader has room for it."""
    unsent.extend(json.dumps(event).encode() + b"\n")
    send()


def send() -> None:
    """Send what the status channel takes; forget it all when nobody reads it any more."""
    try:
        while unsent:
            del unsent[: os.write(STATUS, unsent)]
    except BlockingIOError:
        pass
    except OSError:
        unsent.clear()


def wait(seconds: float | None, readers: Iterable[int] = ()) -> list[int]:
    """Wait for a child's end, one of `readers`, or room in the status channel."""
    readable, _, _ = select.select([wakeups[0], *readers], [STATUS] if unsent else [], [], seconds)
    if wakeups[0] in readable:
        os.read(wakeups[0], 1 << 12)
    send()
    return readable


def reap() -> bool:
    """Collect the children that have ended; False when there is no child any more."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        if pid in services:
            report(event="ended", name=services.pop(pid), returncode=os.waitstatus_to_exitcode(status))
            groups.intersection_update(members())  # the number of an empty group may come again


def end_everything(subreaper: bool) -> bool:
    """SIGINT to the services, then SIGTERM and at last SIGKILL to all that is left; False if some stay."""
    reap()
    for pid in services:
        tell(pid, signal.SIGINT)
    deadline = time.monotonic() + INTERRUPT_SECONDS
    while services and (left := deadline - time.monotonic()) > 0:
        wait(left)
        reap()
    # What the services did not use of their time goes to the others: on a busy machine a Dagster run needs
    # more than TERMINATE_SECONDS to record that it was interrupted.
    deadline += TERMINATE_SECONDS
    if subreaper:
        groups.clear()  # with every descendant ours in the end, having no child says it all
    look, say = (descendants, tell) if subreaper else (members, tell_group)
    if end(look, say, signal.SIGTERM, deadline):
        return True
    return end(look, say, signal.SIGKILL, deadline + KILL_SECONDS)


def end(look: Callable[[], set[int]], say: Callable[[int, int], None], signum: int, deadline: float) -> bool:
    """Send one signal to each process that is left, new ones too; True as soon as none is."""
    told: set[int] = set()
    while reap() or members():
        if time.monotonic() >= deadline:
            return False
        for target in look() - told:
            say(target, signum)
            told.add(target)
        wait(LOOK_SECONDS)
    return True


def tell(pid: int, signum: int) -> None:
    """Signal a process, if it is still there and ours."""
    with contextlib.suppress(OSError):
        os.kill(pid, signum)


def tell_group(pgid: int, signum: int) -> None:
    """Signal a process group, if it is still there and ours."""
    with contextlib.suppress(OSError):
        os.killpg(pgid, signum)


def members() -> set[int]:
    """The services' process groups in which there still is a process."""
    alive = set()
    for pgid in groups:
        with contextlib.suppress(OSError):  # macOS answers EPERM for a group of zombies
            os.killpg(pgid, 0)
            alive.add(pgid)
    return alive


def descendants() -> set[int]:
    """The processes below this one, from one look at /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):  # ended while we looked
                with open(f"/proc/{name}/stat", "rb") as stat:
                    # The command name in parentheses may hold anything, parentheses too. A zombie counts:
                    # a process whose first thread has ended looks like one.
                    parent = int(stat.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found: set[int] = set()
    fresh = [os.getpid()]
    while fresh:
        fresh = [child for pid in fresh for child in children.get(pid, ())]
        found.update(fresh)
    return found


if __name__ == "__main__":
    code = main()
    # Nothing is buffered here, and taking the interpreter down in order would keep the supervisor waiting.
    os._exit(code)
