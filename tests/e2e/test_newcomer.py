"""The commands of the README as somebody types them who logs in over ssh to a host without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import users

pytestmark = pytest.mark.slow

README = Path(__file__).parents[2] / "README.md"
# In a network of its own, where loopback is not there until it is switched on; then what was given.
ALONE = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
os.execvp(sys.argv[1], sys.argv[1:])
"""
CUT = ["unshare", "--map-root-user", "--net", sys.executable, "-c", ALONE]


def commands() -> list[str]:
    """The README's from the new project to the end of `daglab dev`, once daglab is installed."""
    lines = README.read_text(encoding="utf-8").splitlines()
    [first] = [number for number, line in enumerate(lines) if line.startswith("daglab init --bootstrap shop")]
    [last] = [number for number, line in enumerate(lines) if line.startswith("daglab stop")]
    return lines[first : last + 1]


def test_the_readme_to_the_letter(user: users.User) -> None:
    """No terminal, no network but loopback, an empty home: each command ends well, and nothing is left."""
    if not shutil.which("unshare") or subprocess.run([*CUT, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody make a network of their own")
    done = user.runs(*CUT, "sh", "-eu", "-c", "\n".join(commands()), before=os.setsid)
    assert "Attached to asset:orders" in done.stderr
    assert "SUCCESS" in done.stdout
    assert done.stdout.endswith("Stopped: nothing is left running.\n")
    assert (user.folder / "shop" / "exports" / "asset_orders.html").stat().st_size > 10_000
