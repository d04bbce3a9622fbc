"""What every balancing method is: it puts a pool's usable servers in order; retries take the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """A server as methods see it. `name`, `full_weight` and `backup` never change, the rest may.

    weight: above 0 while it is usable; less than `full_weight` while it starts slowly.
    in_flight: requests that are there, or on their way.
    max_in_flight: more requests than these it shall not have, counted as `in_flight` is; infinite: no bound.
    response_time: seconds to the first byte, as `PeakEwma.at` tells for now; None: not known yet.
    load: share of its resources in use, 0 to 1, as it told last; None: it tells none.
    backup: whether it serves only while no other can.
    """

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> float: ...

    @property
    def full_weight(self) -> int: ...

    @property
    def usable(self) -> bool: ...

    @property
    def in_flight(self) -> int: ...

    @property
    def max_in_flight(self) -> float: ...

    @property
    def response_time(self) -> float | None: ...

    @property
    def load(self) -> float | None: ...

    @property
    def backup(self) -> bool: ...


CandidateT = TypeVar("CandidateT", bound=Candidate, covariant=True)


class Method(Protocol[CandidateT]):
    """One file each in this package; one instance for each pool. No I/O, no clock.

    A pool makes another instance when its servers or their full weights change, so that what follows from
    these is computed once. A server that starts slowly has less than its full weight, and more each moment:
    methods heed that too.

    What rotates (a position, current weights) lives in the instance and moves once for each call of
    `candidates`, when its first server is taken; taking further ones is a retry and moves nothing.
    """

    __slots__ = ()

    def candidates(self, key: str, /) -> Iterator[CandidateT]:
        """All usable servers, best first, each once.

        key: what those requests have in common that shall go to one server: the client's address, or what
        else the pool goes by, as text. The first server is asked for at every request and must be cheap;
        the work for further ones is done when they are asked for.
        """
        ...

    @property
    def timed(self) -> bool:
        """Whether it goes by response times; else nobody needs to measure them for it."""
        return False

    @property
    def loaded(self) -> bool:
        """Whether it goes by the loads that servers tell; else nobody needs to listen for it."""
        return False
