"""Ports for the services: the preferred one, else the next free one of a range, held for this process."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from daglab import errors, files, json_files

LAST = Path(".daglab/last_ports.json")
RANGE = (3000, 3100)


def parse_range(text: str) -> tuple[int, int]:
    """`START-END` as two ports. Raises `WrongUsage`."""
    first, dash, last = text.partition("-")
    numbers = [int(part) for part in (first, last) if part.strip().isdecimal()]
    if not dash or len(numbers) != 2 or not 0 < numbers[0] <= numbers[1] < 65536:
        raise errors.WrongUsage(f"{text!r} is no range of ports.", "Write the first and the last: 3000-3100.")
    return numbers[0], numbers[1]


def choose(
    preferred: int, among: tuple[int, int], host: str, held: contextlib.ExitStack, without: Sequence[int]
) -> int:
    """A port that is free, preferably this one, held until the stack is closed; none of those in `without`.

    Raises `Taken` when the whole range is.
    """
    for port in [preferred, *(port for port in range(among[0], among[1] + 1) if port != preferred)]:
        if port not in without and is_free(port, host) and _hold(port, held):
            return port
    raise errors.Taken(
        f"No port from {among[0]} to {among[1]} is free.",
        "Name others with --port-range, or see `ss -ltn` for who is there.",
    )


def is_free(port: int, host: str) -> bool:
    """Whether nobody listens on a port of this host. Raises `InvalidInput` for a host that is not this machine's."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen()
    except (socket.gaierror, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no name"
        raise errors.InvalidInput(f"{host} is no host: {why}.", "Name an address of this machine.") from None
    except PermissionError:
        return False  # those below 1024 are root's
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            message = f"{host} is no address of this machine."
            raise errors.InvalidInput(message, "Take 127.0.0.1, or 0.0.0.0 for all of them.") from None
        return False
    return True


def remembered(root: Path) -> dict[str, int]:
    """The ports of the last time, by service; none where nothing, or something else, is written there."""
    found = json_files.read(root / LAST)
    return {name: port for name, port in found.items() if type(port) is int and 0 < port < 65536}


def remember(root: Path, ports: Mapping[str, int]) -> None:
    """Keep the ports for the next time, beside those of services that do not run now."""
    files.write_atomic(root / LAST, json.dumps({**remembered(root), **ports}, indent=2) + "\n", follow=False)


def _hold(port: int, held: contextlib.ExitStack) -> bool:
    """Have no other daglab of this user take the port while the service that is to have it still starts."""
    folder = Path(tempfile.gettempdir()) / f"daglab-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return True  # somebody else's: then two may meet, and the later one notices
        descriptor = files.open_lock(folder / f"port-{port}")
    except OSError:
        return True
    if files.try_lock(descriptor):
        held.callback(os.close, descriptor)
        return True
    os.close(descriptor)
    return False
