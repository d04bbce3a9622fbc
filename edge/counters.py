"""What an edge counts: plain numbers that only grow (and one gauge), cheap enough for every request."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

LATENCY_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Latency:
    """A histogram in seconds; `counts` has one more slot than LATENCY_BOUNDS, for everything above."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS) + 1))
    total: float = 0.0

    def __sub__(self, before: Latency) -> Latency:
        """What came since `before`."""
        counts = [now - then for now, then in zip(self.counts, before.counts, strict=True)]
        return Latency(counts, self.total - before.total)

    def copy(self) -> Latency:
        return Latency(list(self.counts), self.total)

    def quantile(self, share: float) -> float | None:
        """Seconds within which so many responses began, as far as the bounds tell; None without any."""
        wanted = share * sum(self.counts)
        if not wanted:
            return None
        below = 0.0
        lower = 0.0
        for bound, count in zip(LATENCY_BOUNDS, self.counts, strict=False):
            if count and below + count >= wanted:
                return lower + (bound - lower) * (wanted - below) / count
            below += count
            lower = bound
        return lower

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(LATENCY_BOUNDS, seconds)] += 1
        self.total += seconds


@dataclass(slots=True)
class PassedOn:
    """Of one listener that passes connections or datagrams on.

    taken: connections, or sessions of UDP; open: of them, now. refused: connections, or datagrams, that went
    nowhere. bytes_in, bytes_out: from clients, and to them.
    """

    taken: int = 0
    open: int = 0
    refused: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(slots=True)
class Counters:
    """Of one edge process since its start.

    requests: taken on, whatever became of them; probes: those of them for the edge's own health, which
    count nowhere else. in_flight: taken on and not done. retrying: those of them that are not at their first
    server any more. spilled: sent to another region's edge. hedged: tried twice at once. mirrored,
    mirrored_not: copies for other pools, and those that were not made. responses: by status, of servers and
    of the edge together; refusals: by status, of the edge alone. aborted: exchanges that ended without a
    complete response. bytes_in, bytes_out: bodies of requests and of responses. passed_on: by listener; what
    goes through these counts nowhere else but as client connections.
    """

    requests: int = 0
    probes: int = 0
    in_flight: int = 0
    retrying: int = 0
    errors: int = 0
    retries: int = 0
    spilled: int = 0
    hedged: int = 0
    mirrored: int = 0
    mirrored_not: int = 0
    connections: int = 0
    connections_refused: int = 0
    aborted_by_client: int = 0
    aborted_by_server: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    responses: dict[int, int] = field(default_factory=dict)
    refusals: dict[int, int] = field(default_factory=dict)
    passed_on: dict[str, PassedOn] = field(default_factory=dict)

    def responded(self, status: int) -> None:
        self.responses[status] = self.responses.get(status, 0) + 1
        if status >= 500:
            self.errors += 1

    def refused(self, status: int) -> None:
        self.refusals[status] = self.refusals.get(status, 0) + 1
        self.responded(status)
