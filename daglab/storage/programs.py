"""Running a provider's own program (aws, gcloud, az): list arguments, its own variables, none of daglab's secrets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence

from daglab import errors, processes, redaction

# Dagster's, which no store has to know.
_FOREIGN = ("DAGSTER_GRAPHQL_TOKEN", "DAGSTER_CLOUD_API_TOKEN")


def find(name: str) -> str | None:
    """The path of a program, None where it is not installed."""
    return shutil.which(name)


def run(
    program: str,
    arguments: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    prefixes: Sequence[str] = (),
) -> processes.Finished:
    """Run a program to its end, in the current folder: variables may name files from there.

    `env` is laid over this process's environment, of which what daglab has read as a secret is left out, but for the
    variables that begin with one of `prefixes` (AWS_). Raises `Unreachable` when it has not ended after `timeout`
    seconds, `NotSetUp` when it can't be started.
    """
    laid_over = {**environment(os.environ, prefixes), **(env or {})}
    done = processes.run([program, *arguments], timeout=timeout, env=laid_over)
    if done.timed_out:
        name = os.path.basename(program)
        raise errors.Unreachable(
            f"{name} has not ended within {timeout:g} s.",
            f"Try `{name}` by hand: it may wait for a network or a login.",
        )
    return done


def environment(environ: Mapping[str, str], prefixes: Sequence[str]) -> dict[str, str]:
    """The environment for a program whose own variables begin with `prefixes`."""
    kept = processes.without_secrets(environ, _FOREIGN)
    return {
        name: value for name, value in kept.items() if name.startswith(tuple(prefixes)) or not redaction.occurs(value)
    }


def last_line(done: processes.Finished) -> str:
    """What a program said last of why it failed, without secrets; its exit code where it said nothing."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = redaction.masked_text(redaction.clean(lines[-1])) if lines else f"exit code {done.returncode}"
    return said if len(said) <= 500 else f"{said[:500]}..."
