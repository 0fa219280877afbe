"""One thing, and several ways to do it: by the provider's program, or by plain HTTP. The first that works is taken.

A program that is there need not be logged in, and credentials that are there need not be the right ones: what is
refused one way is tried the other way, and where none works the error says why not, of each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from daglab import errors

log = logging.getLogger(__name__)

Result = TypeVar("Result")


def first(*ways: Callable[[], Result]) -> Result:
    """What the first way gives that is set up and let in.

    Raises `NotAuthorised` when one of them was refused, `NotSetUp` when none is set up, with the reasons and hints of
    all; what else a way raises ends it.
    """
    problems: list[errors.DaglabError] = []
    for way in ways:
        try:
            return way()
        except (errors.NotSetUp, errors.NotAuthorised) as problem:
            log.debug("%s", problem.message)
            problems.append(problem)
    problems.sort(key=lambda problem: not isinstance(problem, errors.NotAuthorised))  # what was refused comes first
    message = " ".join(dict.fromkeys(problem.message for problem in problems))
    hint = " Or: ".join(dict.fromkeys(problem.hint for problem in problems if problem.hint))
    raise type(problems[0])(message, hint) from None
