"""What every balancing method is: it puts a pool's usable servers in order; retries take the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """A server as methods see it. `usable` and `in_flight` change between calls, the rest never."""

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> int: ...

    @property
    def in_flight(self) -> int: ...

    @property
    def usable(self) -> bool: ...


CandidateT = TypeVar("CandidateT", bound=Candidate, covariant=True)


class Method(Protocol[CandidateT]):
    """One file each in this package; one instance for each pool. No I/O, no clock.

    What rotates (a position, current weights) lives in the instance and moves once for each call of
    `candidates`, when its first server is taken; taking further ones is a retry and moves nothing.
    """

    def candidates(self, client: str) -> Iterator[CandidateT]:
        """All usable servers, best first, each once. client: the address, as text."""
        ...


class MethodClass(Protocol):
    """How a method is made for the servers of one pool."""

    def __call__(self, servers: Sequence[CandidateT], /) -> Method[CandidateT]: ...
