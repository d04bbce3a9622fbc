"""How much more than its share of what is in flight a server may have before others take over."""

from __future__ import annotations

from collections.abc import Sequence

from edge.balance.base import Candidate


def in_flight_per_weight(servers: Sequence[Candidate], bound: float) -> float:
    """A server is below the bound while it has fewer requests in flight than this times its weight.

    bound: 1 or more, times the average of usable servers. The request to come is counted in, so that there
    always is a usable server below the bound, and one with nothing in flight always is below it. Whoever
    sends requests to such servers only keeps each at `ceil(bound * average * weight)` or less (Mirrokni,
    Thorup and Zadimoghaddam: Consistent Hashing with Bounded Loads).
    """
    requests, weight = 1, 0.0
    for server in servers:
        if server.usable:
            requests += server.in_flight
            weight += server.weight
    return bound * requests / (weight or 1)
