"""The process that a notebook is exported in: what it has of the keeper that it is forked from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from daglab.children import exporter

# What asyncio does in each fork, from Python 3.12 on.
CODE = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import exporter
os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
keeper = exporter.load_keeper()
before = set(os.listdir("/dev/fd"))
out, err = os.dup(2), os.dup(2)
keeper.prepare()
pid = os.fork()
if pid == 0:
    exporter.become_ordinary(keeper, out, err)
    print("as before:", set(os.listdir("/dev/fd")) == before, "fresh:", signal.set_wakeup_fd(-1))
    sys.exit()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_nothing_of_the_keeper_is_left_where_a_fork_has_no_wakeup_descriptor() -> None:
    folder = Path(exporter.__file__).parent
    command = [sys.executable, "-c", CODE, str(folder)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "as before: True fresh: -1\n"), done
