"""How a region really is, whatever anybody thinks of it: whether it is there, and how it bears its load."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from gslb.fleet import Region
from gslb.simulate.scenario import Flapping
from gslb.world import Override, OverrideKind

WORK = 0.02
"""Seconds that a request takes a region without any other."""

_LONGEST_WAIT = 50
"""Times `WORK`: who waits longer has given up, or was turned away."""

SERVERS = 20
"""Into so many servers a region's capacity is divided, so that some of them can be lost."""


@dataclass(frozen=True, slots=True)
class Served:
    """What became of a second's requests. utilisation: of the capacity that is left. latency: seconds in the
    region, on average, of those that were served."""

    requests: float
    errors: float
    utilisation: float
    latency: float


class Site:
    """Times are seconds of the scenario. capacity: requests per second with all servers, infinite if unsaid.
    servers: of SERVERS, how many are well. word: an operator's."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.capacity = inf if region.capacity is None else region.capacity
        self.there = True
        self.servers = SERVERS
        self.word: Override | None = None
        self.served = Served(0.0, 0.0, 0.0, WORK)
        self._flapping: tuple[float, Flapping] | None = None

    def flap(self, flapping: Flapping, since: float) -> None:
        """From `since` on be gone for a part of the time."""
        self._flapping = since, flapping

    def answers(self, at: float) -> bool:
        """Whether its edges can be reached."""
        if self.there and self._flapping is not None:
            since, flapping = self._flapping
            if since <= at < flapping.until:
                return (at - since) % flapping.every >= flapping.down
        return self.there

    def carries(self, at: float) -> float:
        """Requests per second that it can serve now."""
        if not self.answers(at) or not self.servers:
            return 0.0
        return self.capacity * self.servers / SERVERS

    @property
    def is_taken_out(self) -> bool:
        """Whether an operator wants nobody here."""
        return self.word is not None and self.word.kind is OverrideKind.DRAIN

    def is_troubled(self, at: float) -> bool:
        """Whether there is something to see for which clients may be sent elsewhere, its load apart."""
        return not self.answers(at) or self.servers < SERVERS or self.word is not None

    def serve(self, requests: float, at: float) -> Served:
        """One second's requests. What is too much is turned away, and who is served then waits longest."""
        carries = self.carries(at)
        if not carries:
            self.served = Served(requests, requests, inf if requests else 0.0, 0.0)
            return self.served
        utilisation = requests / carries
        waits = min(_LONGEST_WAIT, 1 / (1 - utilisation)) if utilisation < 1 else _LONGEST_WAIT
        self.served = Served(requests, max(0.0, requests - carries), utilisation, WORK * waits)
        return self.served
