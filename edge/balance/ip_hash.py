"""A client stays on one server: weighted rendezvous hashing on its address, or what else the pool goes by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import log
from typing import TypeVar

from edge.balance.base import Candidate, Method
from edge.balance.slow_start import takes

ServerT = TypeVar("ServerT", bound=Candidate)

_REMEMBERED_KEYS = 16384


class IpHash(Method[ServerT]):
    """Every key has its own order of all servers, and takes the first usable one of it.

    So a server's failure moves its own keys only, and they return with it, one after another if it starts
    slowly; two edges of a region agree without talking. State: none but a bounded memory of orders computed
    already.
    """

    __slots__ = ("_order", "_servers")

    def __init__(self, servers: Sequence[ServerT]) -> None:
        self._servers = tuple(servers)
        self._order = lru_cache(_REMEMBERED_KEYS)(self._compute)

    def candidates(self, key: str, /) -> Iterator[ServerT]:
        passed_over = []
        for server in self._order(key):
            if server.usable:
                if server.weight == server.full_weight or takes(server, key):
                    yield server
                else:
                    passed_over.append(server)
        yield from passed_over

    def _compute(self, key: str) -> tuple[ServerT, ...]:
        text = key.encode(errors="surrogatepass")
        return tuple(sorted(self._servers, key=lambda server: (_distance(text, server), server.name)))


def _distance(key: bytes, server: Candidate) -> float:
    """Exponentially distributed with rate `full_weight`: the least falls on each in proportion to it."""
    if server.full_weight <= 0:
        return float("inf")
    digest = blake2b(key, digest_size=8, key=blake2b(server.name.encode(), digest_size=32).digest()).digest()
    return -log((int.from_bytes(digest, "big") + 1) / (2**64 + 1)) / server.full_weight
