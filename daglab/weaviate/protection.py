"""Collections that are not deleted by mistake: those that match a pattern of weaviate.protected."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from daglab import errors
from daglab.settings import config


def pattern_of(settings: config.Config, name: str) -> str | None:
    """The pattern that protects a collection; None for none."""
    return next((each for each in settings.weaviate.protected if fnmatch.fnmatchcase(name, each)), None)


def refuse(settings: config.Config, names: Iterable[str], *, unprotect: bool) -> None:
    """Raise `NotAuthorised` for a collection that is protected, unless its protection is lifted by name."""
    for name in names:
        pattern = None if unprotect else pattern_of(settings, name)
        if pattern is not None:
            raise errors.NotAuthorised(
                f"{name} is protected: it matches {pattern!r} of weaviate.protected.",
                "--unprotect lifts that for this command; --force and --yes do not.",
            )
