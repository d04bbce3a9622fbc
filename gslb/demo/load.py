"""A small, steady load of requests, which counts what clients would have seen."""

from __future__ import annotations

import http.client
import time
from collections import Counter
from dataclasses import dataclass, field
from email.message import Message
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from gslb.fleet import SocketAddress

_CLIENTS = 4
_TIMEOUT = 10.0  # seconds


def get(address: SocketAddress, host: str, path: str) -> tuple[int, Message]:
    """Status and fields of one response, on a connection of its own."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=_TIMEOUT)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        response.read()
        return response.status, response.headers
    finally:
        connection.close()


@dataclass
class Load:
    """GET `path` at `rate` requests per second from a few clients, each on a connection that it keeps.

    regions: responses by the region that answered. servers: by the origin that says so. failures: what went
    wrong, one sentence each.
    """

    address: SocketAddress
    host: str
    path: str
    rate: float = 200.0
    regions: Counter[str] = field(default_factory=Counter)
    servers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _done: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)
    _threads: list[Thread] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Requests that succeeded so far."""
        return self.regions.total()

    def __enter__(self) -> Self:
        self._threads = [Thread(target=self._ask, daemon=True) for _ in range(_CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=_TIMEOUT)
        pause = _CLIENTS / self.rate
        due = time.monotonic()
        while not self._done.wait(max(0.0, due - time.monotonic())):
            due += pause
            try:
                connection.request("GET", self.path, headers={"Host": self.host})
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._count(f"{type(error).__name__}: {error}")
            else:
                self._count("" if response.status == 200 else f"status {response.status}", response)
        connection.close()

    def _count(self, failure: str, response: http.client.HTTPResponse | None = None) -> None:
        with self._lock:
            if failure:
                self.failures.append(failure)
            elif response is not None:
                self.regions[response.headers.get("X-GSLB-Region", "?")] += 1
                self.servers[response.headers.get("X-Origin", "?")] += 1
