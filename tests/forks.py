"""daglab's command line in processes that cost little: forked from one that has imported all of daglab.

Each is a process of its own, with its environment, current folder, streams, signals and exit code. What it shares with
the others is what was imported. Where that may matter (variables that steer Python, a module in the current folder
that would be imported in place of another), `Server.fits` says no, and the caller starts Python anew.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

REPOSITORY = Path(__file__).resolve().parent.parent
STEERING = ("PYTHON", "LC_", "LANG", "COVERAGE_")
OTHERS = ("requests", "yaml", "jinja2", "tabulate")
ALONE = ("daglab.__main__", "daglab.assets", "daglab.children", "daglab.helpers", "daglab.templates")
MOST = 1 << 20  # bytes of an order


class Server:
    """The process that is forked. It ends with this one."""

    def __init__(self) -> None:
        self._steering = _steering(os.environ)
        self._lock = threading.Lock()
        self._socket, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST)
        with there:
            command = [sys.executable, "-m", "tests.forks", str(there.fileno())]
            pipes: dict[str, Any] = dict.fromkeys(
                ("stdin", "stdout", "stderr"), subprocess.PIPE
            )  # as those that follow
            self._process = subprocess.Popen(command, pass_fds=[there.fileno()], cwd=REPOSITORY, **pipes)

    def close(self) -> None:
        """End it."""
        with self._process:
            self._socket.close()

    def fits(self, env: Mapping[str, str], cwd: Path) -> bool:
        """Whether a process that begins as a copy comes to the same as a new one."""
        return _steering(env) == self._steering and not any(cwd.glob("*.py"))

    def run(
        self, arguments: Sequence[str], env: Mapping[str, str], cwd: Path, given: str | None, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run daglab to its end, as `subprocess.run` does, and raise as that."""
        order = json.dumps({"arguments": list(arguments), "env": dict(env), "cwd": str(cwd)}).encode()
        with contextlib.ExitStack() as open_files:
            here, there = socket.socketpair()
            open_files.enter_context(here)
            read_in, write_in = os.pipe() if given is not None else (os.open(os.devnull, os.O_RDONLY), None)
            (read_out, write_out), (read_err, write_err) = os.pipe(), os.pipe()
            with self._lock:
                socket.send_fds(self._socket, [order], [there.fileno(), read_in, write_out, write_err])
            there.close()
            for descriptor in (read_in, write_out, write_err):
                os.close(descriptor)
            found: dict[int, bytes] = {}
            readers = [threading.Thread(target=_read, args=(each, found), daemon=True) for each in (read_out, read_err)]
            for reader in readers:
                reader.start()
            if write_in is not None:
                _write(write_in, given or "")
            answers = here.makefile("r", encoding="ascii")
            pid = int(answers.readline())
            deadline = time.monotonic() + timeout
            for reader in readers:
                reader.join(max(deadline - time.monotonic(), 0))
            here.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                if any(reader.is_alive() for reader in readers):
                    raise TimeoutError
                code = int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(["daglab", *arguments], timeout) from None
            out, err = (found[each].decode("utf-8") for each in (read_out, read_err))
            return subprocess.CompletedProcess(["daglab", *arguments], code, _lines(out), _lines(err))


def _steering(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(STEERING)}


def _lines(text: str) -> str:
    """As a text file is read."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read(descriptor: int, found: dict[int, bytes]) -> None:
    with open(descriptor, "rb") as file:
        found[descriptor] = file.read()


def _write(descriptor: int, given: str) -> None:
    with contextlib.suppress(BrokenPipeError), open(descriptor, "wb") as file:
        file.write(given.encode())


def main(descriptor: int) -> None:
    """Import daglab, then fork for each order; returns in each fork, once it is what was ordered."""
    _import_all()
    _save_what_was_measured()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait
    control = socket.socket(fileno=descriptor)
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, MOST, 4)
        if not order:
            sys.exit()
        if os.fork():
            for each in descriptors:
                os.close(each)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.detach()
        reply, *streams = descriptors
        if child := os.fork():
            _wait(child, reply, streams)
        _become(json.loads(order), streams)
        return


def _wait(child: int, reply: int, streams: Sequence[int]) -> NoReturn:
    for each in streams:
        os.close(each)
    os.write(reply, f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):  # nobody asks any more
        os.write(reply, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(order: Mapping[str, Any], streams: Sequence[int]) -> None:
    for number, each in enumerate(streams):
        os.dup2(each, number)
    os.closerange(3, 256)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    sys.path[0] = order["cwd"]
    sys.argv[1:] = order["arguments"]


def _import_all() -> None:
    import daglab

    for each in (*OTHERS, *(module.name for module in pkgutil.walk_packages(daglab.__path__, "daglab."))):
        if not each.startswith(ALONE):
            importlib.import_module(each)


def _save_what_was_measured() -> None:
    """Importing is told by this process alone: a fork that told it again would take ten times as long to end."""
    if (coverage := sys.modules.get("coverage")) and (measured := coverage.Coverage.current()):
        measured.save()
        measured.get_data().close(force=True)  # before its descriptor is another file's in a fork


if __name__ == "__main__":
    main(int(sys.argv[1]))
    from daglab.cli import main as daglab

    daglab(prog_name="daglab")
