"""Backup servers, which wait for the day on which all the others are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from edge.balance.base import Candidate, Method

ServerT = TypeVar("ServerT", bound=Candidate)


class Tiers(Method[ServerT]):
    """Any method, for the normal servers; and for the backups while no normal one is usable.

    Retries stay within the tier: normal servers that are merely full, or that fail here and there, must not
    bring traffic to servers that may be few, or dear. State: that of the method, for each tier its own.
    """

    __slots__ = ("_backups", "_normal", "_servers")

    def __init__(
        self, servers: Sequence[ServerT], make: Callable[[Sequence[ServerT]], Method[ServerT]]
    ) -> None:
        """make: the method for the servers of one tier."""
        self._servers = tuple(server for server in servers if not server.backup)
        self._normal = make(self._servers)
        self._backups = make(tuple(server for server in servers if server.backup))

    @property
    def timed(self) -> bool:
        return self._normal.timed

    @property
    def loaded(self) -> bool:
        return self._normal.loaded

    def candidates(self, key: str, /) -> Iterator[ServerT]:
        for server in self._servers:
            if server.usable:
                return self._normal.candidates(key)
        return self._backups.candidates(key)
