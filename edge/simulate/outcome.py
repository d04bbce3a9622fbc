"""What came of a simulated load with one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerOutcome:
    """utilisation: the share of its workers that was in use on average, while requests came. most_in_flight:
    of all edges, at one moment."""

    name: str
    requests: int
    errors: int
    utilisation: float
    most_in_flight: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """seconds: from a request's coming to the end of its response, without those that failed, in order of
    size. unserved: requests for which no server was usable. moved: of the requests of clients who had sent
    one before, the share (0 to 1) that went to another server than that.
    """

    seconds: Sequence[float]
    servers: tuple[ServerOutcome, ...]
    unserved: int
    moved: float

    @property
    def requests(self) -> int:
        return sum(server.requests for server in self.servers) + self.unserved

    @property
    def errors(self) -> int:
        """Requests that got no good response."""
        return sum(server.errors for server in self.servers) + self.unserved

    @property
    def most_in_flight(self) -> int:
        """At any server."""
        return max((server.most_in_flight for server in self.servers), default=0)

    @property
    def spread(self) -> float:
        """The utilisation of the busiest server, over that of all on average; 1: they are all alike."""
        utilisations = [server.utilisation for server in self.servers]
        total = sum(utilisations)
        return max(utilisations) * len(utilisations) / total if total else 1.0

    def percentile(self, share: float) -> float | None:
        """Seconds within which this share (0 to 1) of good responses came; None if there were none."""
        if not self.seconds:
            return None
        return self.seconds[min(int(len(self.seconds) * share), len(self.seconds) - 1)]

    def document(self) -> dict[str, object]:
        """All of it as plain values for JSON; times in seconds."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "p50": self.percentile(0.5),
            "p90": self.percentile(0.9),
            "p99": self.percentile(0.99),
            "max": self.percentile(1),
            "spread": self.spread,
            "most_in_flight": self.most_in_flight,
            "moved": self.moved,
            "servers": [
                {
                    "name": server.name,
                    "requests": server.requests,
                    "errors": server.errors,
                    "utilisation": server.utilisation,
                    "most_in_flight": server.most_in_flight,
                }
                for server in self.servers
            ],
        }
