"""What is looked at before a collection is deleted, and deleting its objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from daglab import errors
from daglab.weaviate import api, cursors, rest, schemas, store, tenants

MOST_DELETED = 500  # objects of a request


def objects_of(cluster: rest.Cluster, name: str) -> int | None:
    """How many objects a collection has; None where a tenant that is not active may have more."""
    count, states = tenants.counted(cluster, name)
    return count if set(states.values()) <= {tenants.ACTIVE} else None


def refuse_aliased(cluster: rest.Cluster, names: Iterable[str]) -> None:
    """Raise `Taken` for a collection that an alias leads to; servers before 1.32 have none."""
    there = api.known_aliases(cluster) or {}
    for name in names:
        leading = [alias for alias, to in there.items() if to == name]
        if leading:
            raise errors.Taken(
                f"The alias {leading[0]} leads to {name}.",
                "Have it lead elsewhere first; --force deletes all the same.",
            )


def clear(cluster: rest.Cluster, name: str, tell: Callable[[int], None]) -> int:
    """Delete all objects, tenant by tenant; how many there were. A tenant is active meanwhile."""
    schema = api.schema(cluster, name)
    if not schemas.is_multi_tenant(schema):
        return _clear(cluster, name, None, tell, 0)
    deleted = 0
    for tenant, status in api.tenants(cluster, name).items():
        with tenants.readable(cluster, name, tenant, status):
            deleted = _clear(cluster, name, tenant, tell, deleted)
    return deleted


def _clear(cluster: rest.Cluster, name: str, tenant: str | None, tell: Callable[[int], None], deleted: int) -> int:
    for page in cursors.pages(cluster, name, tenant=tenant, vectors=False):
        ids = [str(each["id"]) for each in page.objects]
        for start in range(0, len(ids), MOST_DELETED):
            deleted += store.delete_objects(cluster, name, ids[start : start + MOST_DELETED], tenant=tenant)
            tell(deleted)
    return deleted
