"""Exchanges of `requests` that end when their time is up, whatever the server does.

The timeouts of a request are for each piece of its answer, and none are for finding the address of a name. So an
exchange runs in a thread of its own, and when the time is up its connection is shut down, which ends the thread, too:
who goes on asking for weeks must not gather threads that wait for a server which sends a byte a second.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

import requests
import urllib3

PIECE = 1 << 16  # bytes; what is packed may become a thousand times as much


class TooLarge(requests.exceptions.ContentDecodingError):
    """The answer has more bytes than it may have."""


class Adapter(requests.adapters.HTTPAdapter):
    """An adapter that knows which thread uses which connection, so that it can be shut down from another one."""

    def __init__(self) -> None:
        self.in_use: dict[int, _Noted] = {}
        super().__init__()

    def init_poolmanager(self, *args: Any, **settings: Any) -> None:
        """As requests does, with connections that are known here."""
        super().init_poolmanager(*args, **settings)
        self.poolmanager.pool_classes_by_scheme = _pools(self.in_use)

    def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
        """As requests does; connections by way of SOCKS are of a kind of their own."""
        manager = super().proxy_manager_for(proxy, **settings)
        if type(manager) is urllib3.ProxyManager:
            manager.pool_classes_by_scheme = _pools(self.in_use)
        return manager

    def cut(self, thread: int | None) -> None:
        """Shut down the connection that a thread uses: what it waits for there ends with an error."""
        connection = self.in_use.get(thread or 0)
        # An answer that ends with the connection holds the socket alone by now.
        found = (connection.sock or connection.made) if connection else None
        if found is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(found, socket.SHUT_RDWR)  # not TLS's own, which takes the lock of its reader


def session() -> requests.Session:
    """A session whose exchanges can be cut."""
    http = requests.Session()
    for scheme in ("http://", "https://"):
        http.mount(scheme, Adapter())
    return http


def within(seconds: float, http: requests.Session, exchange: Callable[[], requests.Response]) -> requests.Response:
    """What `exchange`, with the session `http`, gives; or `requests.ReadTimeout` after so many seconds."""
    results: queue.SimpleQueue[requests.Response | BaseException] = queue.SimpleQueue()
    adapters = [adapter for adapter in http.adapters.values() if isinstance(adapter, Adapter)]

    def work() -> None:
        try:
            results.put(exchange())
        except BaseException as error:  # it is raised where it is waited for
            results.put(error)
        finally:
            for adapter in adapters:
                adapter.in_use.pop(threading.get_ident(), None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        for adapter in adapters:
            adapter.cut(thread.ident)
        raise requests.ReadTimeout("the time is up") from None
    if isinstance(result, BaseException):
        raise result
    return result


def body(response: requests.Response, largest: int) -> bytes:
    """The whole answer, which must have an end: no server may fill this machine's memory. Raises `TooLarge`."""
    found = bytearray()
    for piece in response.iter_content(PIECE):
        found += piece
        if len(found) > largest:
            response.close()
            raise TooLarge("the answer is too large")
    return bytes(found)


class _Noted(urllib3.connection.HTTPConnection):
    """A connection that notes who uses it, and keeps the socket that it was made with."""

    in_use: dict[int, _Noted]
    made: socket.socket | None = None

    def connect(self) -> None:
        self.in_use[threading.get_ident()] = self
        super().connect()
        self.made = self.sock

    def putrequest(self, *args: Any, **settings: Any) -> None:
        self.in_use[threading.get_ident()] = self
        super().putrequest(*args, **settings)


def _pools(known: dict[int, _Noted]) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """urllib3's pools, with connections that are noted in `known`."""

    class Noted(_Noted):
        in_use = known

    class NotedSafe(Noted, urllib3.connection.HTTPSConnection):
        pass

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Noted

    class SafePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = NotedSafe

    return {"http": Pool, "https": SafePool}
