"""Random notebooks run to the same end after the migration: by real marimo, against Python itself."""

from __future__ import annotations

import pytest

from tests import migrating_differential as differential

pytestmark = pytest.mark.long


@pytest.mark.slow
def test_random_notebooks_run_to_the_same_end() -> None:
    cases = {seed: differential.notebook(seed) for seed in range(100)}
    told = differential.differences(list(cases.values()))
    differ = {seed: why for seed, why in zip(cases, told, strict=True) if why}
    said = [f"seed {seed}: {why}\n" + "\n# ---\n".join(cases[seed]) for seed, why in differ.items()]
    assert not differ, "\n".join(said)
