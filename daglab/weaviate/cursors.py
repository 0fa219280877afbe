"""All objects of a collection or a tenant, page by page in the order of their ids, in bounded memory."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from daglab import web
from daglab.weaviate import rest, store

FIRST_PAGE = 20  # objects
MOST = 1000  # objects of a page
GOOD_SIZE = 2_000_000  # bytes of a page: a few of them are in memory at a time
MOST_SIZE = 8_000_000  # bytes of a page of several objects
TRIES = 6  # of a page whose answer is none


def pages(
    cluster: rest.Cluster,
    name: str,
    *,
    tenant: str | None = None,
    after: str = "",
    vectors: bool,
    as_text: bool = False,
) -> Iterator[store.Page]:
    """The objects behind the id `after`, read one page ahead; `as_text` as in `store.page`, and raises as that does."""
    return _ahead(_pages(cluster, name, tenant, after, vectors, as_text))


def _pages(
    cluster: rest.Cluster, name: str, tenant: str | None, after: str, vectors: bool, as_text: bool
) -> Iterator[store.Page]:
    limited = dataclasses.replace(cluster, session=dataclasses.replace(cluster.session, largest=MOST_SIZE))
    limit, attempt = FIRST_PAGE, 0
    while True:
        asked = cluster if limit == 1 else limited
        try:
            found = store.page(asked, name, after, limit, tenant=tenant, vectors=vectors, as_text=as_text)
        except (rest.Refused, rest.TooLarge) as error:
            if limit == 1 or not _is_of_size(error):
                raise
            limit = max(limit // 4, 1)
            continue
        except rest.Failed:
            if attempt + 1 >= TRIES:
                raise
            time.sleep(web.delay(attempt))
            attempt += 1
            continue
        if not found.objects:
            return
        attempt = 0
        after = _further(cluster, after, found)
        yield found
        fits = GOOD_SIZE * len(found.objects) // max(found.size, 1)
        limit = min(max(fits, 1), limit * 2, MOST)


def _is_of_size(error: Exception) -> bool:
    """Whether fewer objects would do: a server may allow fewer than we ask for (QUERY_MAXIMUM_RESULTS)."""
    return isinstance(error, rest.TooLarge) or "maximum results" in str(error)


def _further(cluster: rest.Cluster, after: str, found: store.Page) -> str:
    """The id that was reached. Raises `Failed` when it is none behind the last one: that would have no end."""
    reached = str(found.objects[-1]["id"])
    if reached <= after:
        raise rest.Failed(
            f"{cluster.name} lists the same objects again.", "Is something in between that keeps answers?"
        )
    return reached


def _ahead(source: Iterator[store.Page]) -> Iterator[store.Page]:
    """The same, the next one fetched while this one is worked on."""
    pool = ThreadPoolExecutor(1)
    try:
        coming = pool.submit(next, source, None)
        while (found := coming.result()) is not None:
            coming = pool.submit(next, source, None)
            yield found
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
