"""Exports marimo notebooks, each in a fresh process that begins with marimo imported: a start-up that many share.

Run by the project's own Python under daglab's keeper. Standard input is a Unix socket. The first answer is one JSON
line: `{"ready": true}`, or `{"ready": false, "why": ...}` where notebooks are to be exported without this. An order is
four bytes of length and `{"words", "side_file"}` in JSON: what comes after `python -m marimo`, and whether marimo is to
write its `__marimo__/session` file. With it come four descriptors: of a keeper's control and status channel, and what
takes stdout and stderr.

An order forks a keeper of its own (`keeper.py` beside this file), which forks the process that runs marimo's public
command: it sees to it that a notebook which hangs, leaves processes or takes its process down affects only itself.
marimo's names are used to import them early, and a name that is not there any more costs nothing but time.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import runpy
import signal
import socket
import struct
import sys
import threading
import time
from typing import Any

DESCRIPTORS = 4
COMMAND = "command"  # as processes.COMMAND
GRACE = 5.0  # seconds in which marimo ends by itself, once its kernel has ended badly
# What `marimo export html` and its kernel import; from one marimo to the next the export has moved.
EARLY = (
    "marimo._cli.cli",
    "marimo._cli.export.commands",
    "marimo._export.file",
    "marimo._server.export",
    "marimo._session.session",
    "marimo._runtime.runtime",
    "multiprocessing.popen_fork",
    "multiprocessing.synchronize",
)
# Where marimo writes its session file, which parallel exports of one notebook would share.
SIDE_FILE = ("marimo._export._session_cache", "marimo._server.export._session_cache")


def main() -> None:
    """Import marimo, then serve orders to the end of the channel, and wait for those that are still at it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # those who run the notebooks get it from their own keepers
    channel = socket.socket(fileno=os.dup(0))
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    keeper = load_keeper()
    why = prepare()
    channel.sendall(json.dumps({"ready": not why, "why": why}).encode() + b"\n")
    while not why and (order := receive(channel)):
        wanted, descriptors = order
        if os.fork() == 0:
            channel.close()
            attend(keeper, wanted, descriptors)
            return  # the notebook's process, when marimo has returned: it ends as any Python does
        for descriptor in descriptors:
            os.close(descriptor)
        reap(os.WNOHANG)
    reap(0)


def load_keeper() -> Any:
    """The keeper's functions: its file lies beside this one, and daglab may not be installed here."""
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "keeper.py")
    spec = importlib.util.spec_from_file_location("daglab_keeper", place)
    if spec is None or spec.loader is None:
        raise ImportError(place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prepare() -> str | None:
    """Import what all have in common, on the path that `python -m marimo` has; why that can't be shared, else None."""
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.getcwd()
    try:
        importlib.import_module("marimo")
    except Exception as error:  # whatever it is, marimo's own command says it better
        return f"marimo can't be imported: {error!r}"
    for name in EARLY:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    if threading.active_count() > 1:
        return "marimo has started a thread"
    gc.collect()
    gc.freeze()  # the processes share these pages for as long as nobody writes to them
    return None


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next order; None when there is none any more."""
    flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    head, descriptors, _, _ = socket.recv_fds(channel, 4, DESCRIPTORS, flags)
    if len(head) < 4 or len(descriptors) < DESCRIPTORS:
        return None
    [length] = struct.unpack("!I", head)
    body = b""
    while len(body) < length:
        part = channel.recv(length - len(body))
        if not part:
            return None
        body += part
    return json.loads(body), descriptors


def reap(options: int) -> None:
    """Collect the keepers that have ended; without options, wait for all of them."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def attend(keeper: Any, order: dict[str, Any], descriptors: list[int]) -> None:
    """Be the keeper of one notebook to its end; returns in the process that has run it."""
    control, status, out, err = descriptors
    for source, target in ((control, keeper.CONTROL), (status, keeper.STATUS)):
        os.dup2(source, target)
        os.close(source)
    keeper.prepare()
    subreaper = keeper.become_subreaper()
    pid = os.fork()
    if pid == 0:
        become_ordinary(keeper, out, err)
        run(order["words"], side_file=order["side_file"])
        return
    os.close(out)
    os.close(err)
    keeper.services[pid] = COMMAND
    keeper.groups.add(pid)
    keeper.report(event="started", name=COMMAND, pid=pid)
    gone = False
    try:
        keeper.serve()
    finally:
        gone = keeper.end_everything(subreaper)
        os._exit(0 if gone else 1)


def become_ordinary(keeper: Any, out: int, err: int) -> None:
    """Have what a process has that a keeper has just started: a group, signals, descriptors."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for descriptor in keeper.wakeups:
        os.close(descriptor)
    for number in keeper.DEFAULT_SIGNALS:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # as Python has them
        signal.signal(number, signal.SIG_IGN)
    empty = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((empty, 0), (out, 1), (err, 2)):
        os.dup2(source, target)
        os.close(source)


def run(words: list[str], *, side_file: bool) -> None:
    """marimo's public command, in this process."""
    fork_the_kernel()
    for name in () if side_file else SIDE_FILE:
        if hasattr(sys.modules.get(name), "write_session_snapshot"):
            sys.modules[name].write_session_snapshot = lambda **_: None  # type: ignore[attr-defined]
    sys.argv[1:] = words
    runpy.run_module("marimo", run_name="__main__", alter_sys=True)


def fork_the_kernel() -> None:
    """marimo spawns its kernel, which imports marimo once more: have it forked, while there is no thread yet.

    Only the first process, which is the kernel; what the notebook starts, starts as it always does.
    """
    from multiprocessing import context, popen_fork

    kind: Any = context.SpawnProcess
    spawned = kind._Popen

    def start(process: Any) -> Any:
        kind._Popen = staticmethod(spawned)
        kernel = popen_fork.Popen(process) if threading.active_count() == 1 else spawned(process)
        threading.Thread(target=end_with, args=(kernel,), daemon=True).start()
        return kernel

    kind._Popen = staticmethod(start)


def end_with(kernel: Any) -> None:
    """End where the kernel was killed or gave up in the middle of a cell: marimo would wait for it for ever.

    One that ended with 0 may have done its work, and what marimo makes of that may take as long as it takes.
    """
    with contextlib.suppress(ChildProcessError):  # marimo has collected it
        os.waitid(os.P_PID, kernel.pid, os.WEXITED | os.WNOWAIT)
    time.sleep(GRACE)
    code = kernel.poll()
    if not code or code == -signal.SIGTERM:  # that is how it is told to end
        return
    how = f"ended with exit code {code}" if code > 0 else f"was killed by signal {-code}"
    why = ": has the memory run out?" if code == -signal.SIGKILL else "."
    os.write(2, f"The process that ran the notebook {how}{why}\n".encode())
    os._exit(1)


if __name__ == "__main__":
    main()
