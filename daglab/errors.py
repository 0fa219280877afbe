"""Every error daglab raises on purpose: a message, a hint that says what to do next, and an exit code.

Exit codes mean one thing each, and `cli` is the only place that turns an error into text and a code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class DaglabError(Exception):
    """The base of all of them.

    `message` says what is wrong, `hint` the command or the edit that helps. `result` is the document that
    the command has so far (a run id, say): with `--json` it is printed with the error inside.
    """

    code = "error"
    exit_code = 1

    def __init__(self, message: str, hint: str | None = None, *, result: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.result = result

    def document(self) -> dict[str, Any]:
        """The error as the `error` member of a JSON document."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "exit_code": self.exit_code,
        }


class WrongUsage(DaglabError):
    """The command line asks for something that makes no sense."""

    code = "usage"
    exit_code = 2


class NotSetUp(DaglabError):
    """Something is not installed or not set up: a program, a package, a named variable, a named file."""

    code = "not_set_up"
    exit_code = 3


class NotGood(DaglabError):
    """The work was done and is not good: a failed run, a failed notebook."""

    code = "not_good"
    exit_code = 4


class Unreachable(DaglabError):
    """A server can't be reached, or what answers there is not the server we asked for."""

    code = "unreachable"
    exit_code = 5


class OutcomeUnknown(DaglabError):
    """Something was sent and its answer was lost: it may or may not have happened."""

    code = "outcome_unknown"
    exit_code = 5


class NotAuthorised(DaglabError):
    """The server refused us, or the sandbox did."""

    code = "not_authorised"
    exit_code = 6


class InvalidInput(DaglabError):
    """A value, a file or a config that is not valid."""

    code = "invalid_input"
    exit_code = 7


class Taken(DaglabError):
    """A port, a file or a lock belongs to somebody else."""

    code = "taken"
    exit_code = 8


class TimedOut(DaglabError):
    """The time given was not enough."""

    code = "timed_out"
    exit_code = 9


class Interrupted(DaglabError):
    """Stopped by the user (130) or by a SIGTERM (143)."""

    code = "interrupted"
    exit_code = 130

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        result: Mapping[str, Any] | None = None,
        exit_code: int = 130,
    ) -> None:
        super().__init__(message, hint, result=result)
        self.exit_code = exit_code


class Terminated(BaseException):
    """A SIGTERM, raised where the program is, so that everything is cleaned up on the way out."""


def stop_code(stop: BaseException) -> int:
    """The exit code of a command that was stopped: 143 by a SIGTERM, 130 by the user."""
    return 143 if isinstance(stop, Terminated) else 130
