"""Tenants that come, go and sleep while they are counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from daglab.weaviate import api, rest, tenants


@pytest.mark.parametrize(("failures", "counted"), [(0, 7), (1, 7), (tenants.ROUNDS - 1, 7), (tenants.ROUNDS, None)])
def test_a_tenant_that_slept_for_a_moment_is_counted_once_it_is_as_before(
    monkeypatch: pytest.MonkeyPatch, failures: int, counted: int | None
) -> None:
    left = [failures]

    def counts(_: Any, __: str, names: Sequence[str]) -> dict[str, int]:
        left[0] -= 1
        if left[0] >= 0:
            raise rest.Failed("tenant not active", "Its own log says more.")
        return dict.fromkeys(names, 7)

    monkeypatch.setattr(api, "schema", lambda *_: {"multiTenancyConfig": {"enabled": True}})
    monkeypatch.setattr(api, "tenants", lambda *_: {"a": tenants.ACTIVE, "b": tenants.INACTIVE})
    monkeypatch.setattr(api, "tenant_counts", counts)
    there: Any = None
    if counted is None:
        with pytest.raises(rest.Failed):
            tenants.counted(there, "Docs")
    else:
        assert tenants.counted(there, "Docs")[0] == counted
