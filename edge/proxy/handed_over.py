"""What the compiled path knows of a connection when it hands it over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.pool import PoolState
from edge.server import ServerState
from gslb.fleet import Route

if TYPE_CHECKING:
    from edge.compiled.client import Client


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that is at a server already, which counts it as one of those in flight.

    request_id: that the server was told. begun, since: loop time of its beginning, and when anything moved
    last. route, pool: of the request. candidates: further servers, in the order of the pool's method. reused:
    whether its connection was an idle one. unsent: what the server has not taken of it yet. response: what
    came back so far. reason: why there is no connection to the server; empty if there is one. timed_out:
    whether it took too long.
    """

    request_id: bytes
    begun: float
    since: float
    route: Route
    pool: PoolState
    server: ServerState
    candidates: Iterator[ServerState]
    reused: bool = False
    unsent: bytes = b""
    response: bytes = b""
    reason: str = ""
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class HandedOver:
    """client: that the proxy counts until its successor is there. data: all that came since the last
    response; its first request is `unanswered`, unless that is None."""

    client: Client
    data: bytes
    unanswered: Unanswered | None
