"""How commands are called in the tests' own process."""

from __future__ import annotations

import inspect
from typing import Any

from click.testing import CliRunner


def apart() -> CliRunner:
    """click's runner, with stdout and stderr each on their own, as it has them by itself from 8.2 on."""
    settings: dict[str, Any] = {}
    if "mix_stderr" in inspect.signature(CliRunner).parameters:
        settings["mix_stderr"] = False
    return CliRunner(**settings)
