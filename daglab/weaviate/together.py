"""Several things that wait for a server, done side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

MOST = 8  # at a time


def each(work: Mapping[Key, Callable[[], Value]]) -> dict[Key, Value | Exception]:
    """What each function gives, or the exception that it raised.

    Who is stopped while waiting (Ctrl-C) is not held up by those that have not come to an end.
    """
    waiting: queue.SimpleQueue[tuple[Key, Callable[[], Value]]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Key, Value | Exception]] = queue.SimpleQueue()
    for item in work.items():
        waiting.put(item)

    def run() -> None:
        while True:
            try:
                key, function = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((key, function()))
            except Exception as error:  # it is for the caller to say which are expected
                done.put((key, error))

    for _ in range(min(len(work), MOST)):
        threading.Thread(target=run, daemon=True).start()
    found = dict(done.get() for _ in work)
    return {key: found[key] for key in work}
