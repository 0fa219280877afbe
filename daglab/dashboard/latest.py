"""What takes long to find, as it was last found."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

log = logging.getLogger(__name__)


class Latest(Generic[Value]):
    """The last value that `find` has given, with the `mark` of then; found anew, by one thread at a time, for another.

    However many ask at once, and however often: what is asked of others does not become more.
    """

    def __init__(self, find: Callable[[], Value], mark: Callable[[], object]) -> None:
        self._find, self._mark = find, mark
        self._found: tuple[object, Value] | None = None
        self._busy = False
        self._changed = threading.Condition()

    def get(self, patience: float) -> Value | None:
        """The value of now where it can be had within so many seconds; else the one before, None for none."""
        with self._changed:
            mark = self._mark()
            if self._found is None or self._found[0] != mark:
                if not self._busy:
                    self._busy = True
                    threading.Thread(target=self._work, args=(mark,), daemon=True).start()
                self._changed.wait_for(lambda: not self._busy, patience)
            return self._found[1] if self._found else None

    def _work(self, mark: object) -> None:
        try:
            value = self._find()
            with self._changed:
                self._found = (mark, value)
        except Exception as error:  # whatever it is: the pages go on with what they have
            log.warning("Something could not be looked at (%s: %s).", type(error).__name__, error)
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
