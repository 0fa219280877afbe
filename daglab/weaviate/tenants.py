"""Tenants of a collection: read in whatever state they are, counted, and left in the state that they were in."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping

from daglab import errors, web
from daglab.weaviate import api, rest, schemas

log = logging.getLogger(__name__)

ACTIVE, INACTIVE, OFFLOADED = "ACTIVE", "INACTIVE", "OFFLOADED"
SLEEPS = "tenant not active"  # in a server's words, of a request for one that is not
# A tenant on its way is put back to where it was going, and is where it was before until it has come there.
GOES_TO = {"OFFLOADING": OFFLOADED, "ONLOADING": ACTIVE}
LONGEST = 120.0  # seconds until one is active: it may come back from a store far away
LOOK_SECONDS = 0.2
ROUNDS = 4  # of a count while tenants come and go

Note = Callable[[str, str], None]  # called with a tenant and its state before that is changed


@contextlib.contextmanager
def readable(cluster: rest.Cluster, name: str, tenant: str, status: str, note: Note | None = None) -> Iterator[None]:
    """A tenant that is active meanwhile, and has its former `status` at the end.

    `note` is called before it is made active, so that somebody knows of it where this does not come to its end.
    """
    if status == ACTIVE:
        yield
        return
    if note:
        note(tenant, status)
    activate(cluster, name, tenant)
    try:
        yield
    finally:
        _put_differing(cluster, name, {tenant: api.tenant(cluster, name, tenant)}, {tenant: status})


def counted(cluster: rest.Cluster, name: str) -> tuple[int, dict[str, str]]:
    """How many objects a collection has, exactly, and the states of its tenants, of which only active ones are counted.

    Without tenants there are no states. Raises as `api.counts` does.
    """
    if not schemas.is_multi_tenant(api.schema(cluster, name)):
        return api.counts(cluster, [name])[name], {}
    for attempt in range(ROUNDS):
        states = api.tenants(cluster, name)
        try:
            found = api.tenant_counts(cluster, name, [each for each, status in states.items() if status == ACTIVE])
            break
        except rest.Failed:  # one may be gone meanwhile, or have slept for a moment, after which all is as before
            if attempt + 1 == ROUNDS:
                raise
            time.sleep(web.delay(attempt))
    return sum(found.values()), states


def activate(cluster: rest.Cluster, name: str, tenant: str) -> None:
    """Make a tenant active, and wait until it is. Raises `TimedOut`, and `Missing` when it is deleted meanwhile."""
    deadline, pause = time.monotonic() + LONGEST, 0.0
    while (status := api.tenant(cluster, name, tenant)) != ACTIVE:
        if status is None:
            raise rest.Missing(f"There is no tenant {tenant} of {name} any more.", "It was deleted meanwhile.")
        if time.monotonic() > deadline:
            raise errors.TimedOut(f"The tenant {tenant} of {name} did not become active.", "Its server's log says why.")
        if status in (INACTIVE, OFFLOADED):
            api.set_tenants(cluster, name, {tenant: ACTIVE})
        time.sleep(pause)
        pause = LOOK_SECONDS


def create_like(
    source_cluster: rest.Cluster, source_name: str, target_cluster: rest.Cluster, target_name: str
) -> dict[str, str]:
    """Make all tenants of the source on the target, active ones; their states at the source by their names.

    Those that the target has already are made active, too. Give the states to `put_states` when all is written.
    """
    states = api.tenants(source_cluster, source_name)
    make(target_cluster, target_name, states)
    return states


def make(cluster: rest.Cluster, name: str, wanted: Collection[str]) -> None:
    """Have these tenants on a collection, all of them active. Raises as `activate` does."""
    there = api.tenants(cluster, name)
    api.create_tenants(cluster, name, [each for each in wanted if each not in there])
    for each in wanted:
        if there.get(each, ACTIVE) != ACTIVE:
            activate(cluster, name, each)


def put_states(cluster: rest.Cluster, name: str, states: Mapping[str, str]) -> None:
    """Put each of these tenants that is in another state into its own, where it is still there.

    What this server can't offload becomes inactive, and a warning says so.
    """
    _put_differing(cluster, name, api.tenants(cluster, name), states)


def _put_differing(
    cluster: rest.Cluster, name: str, there: Mapping[str, str | None], states: Mapping[str, str]
) -> None:
    differing = {}
    for tenant, status in states.items():
        wanted, now = GOES_TO.get(status, status), there.get(tenant)
        if now is not None and GOES_TO.get(now, now) != wanted:
            differing[tenant] = wanted
    for status in (ACTIVE, INACTIVE, OFFLOADED):
        _put(cluster, name, [tenant for tenant, wanted in differing.items() if wanted == status], status)


def _put(cluster: rest.Cluster, name: str, listed: Collection[str], status: str) -> None:
    try:
        api.set_tenants(cluster, name, dict.fromkeys(listed, status))
    except (rest.Refused, rest.Failed) as error:
        if status != OFFLOADED:
            raise
        log.warning("%s can't offload tenants of %s; they become inactive: %s", cluster.name, name, error.message)
        api.set_tenants(cluster, name, dict.fromkeys(listed, INACTIVE))
