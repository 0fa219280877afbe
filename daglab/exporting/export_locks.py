"""One export of an output at a time: a lock that ends with the process at the latest, and leaves no file behind."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from daglab import errors, files

FOLDER = Path(".daglab", "locks")


@contextlib.contextmanager
def held(root: Path, output: Path, seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock of an output for the block; wait for it so many `seconds` at most.

    The lock is a file in the project's .daglab/locks/, where there is a .daglab/, else one beside the output, whose
    folder is made when it is missing. Raises `Taken` when somebody else has it for longer than that.
    """
    real = Path(os.path.realpath(output))
    mark = hashlib.sha256(os.fsencode(real)).hexdigest()[:24]
    folder = root / FOLDER
    if (root / FOLDER.parent).is_dir() and files.inside(root, root / FOLDER.parent) is not None:
        path = folder / f"{mark}.lock"
    else:
        path = real.with_name(f".daglab-{mark}.lock")
    files.make_folder(path.parent)
    lock = files.held(path, seconds)
    try:
        lock.__enter__()
    except errors.Taken:
        raise errors.Taken(
            f"Another export is writing {output}.", "Wait for it to end: --wait-lock SECONDS waits by itself."
        ) from None
    with contextlib.ExitStack() as stack:
        stack.push(lock)
        stack.callback(path.unlink, missing_ok=True)  # while it is ours: who waits for it sees that it is gone
        yield
