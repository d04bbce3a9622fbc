"""What an edge tells the world about its region, made from two readings of its counters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge.counters import Counters
from edge.pool import PoolState
from gslb.fleet import Edge, Region
from gslb.world import PoolReport, Report


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters at one moment. at: monotonic seconds."""

    at: float
    requests: int
    errors: int


def read(counters: Counters, at: float) -> Reading:
    """Take a reading; the DNS nodes' probes are no load."""
    return Reading(at, counters.requests - counters.probes, counters.errors)


def make_report(
    edge: Edge,
    region: Region,
    before: Reading,
    after: Reading,
    *,
    now: float,
    in_flight: int,
    pools: Iterable[PoolState],
) -> Report:
    """The report on the time between two readings.

    error_rate: responses of 500 and above per request, 0 to 1. capacity is the region's; utilisation is
    this edge's part of it, so that the sum over a region's edges is the region's utilisation.
    """
    elapsed = after.at - before.at
    requests = after.requests - before.requests
    errors = after.errors - before.errors
    rate = requests / elapsed if elapsed > 0 else 0.0
    return Report(
        region=region.name,
        edge=edge.name,
        at=now,
        requests_per_second=rate,
        in_flight=in_flight,
        # Errors of requests that began before the interval may outnumber those that began in it.
        error_rate=min(1.0, errors / requests) if requests else float(errors > 0),
        capacity=region.capacity,
        utilisation=rate / region.capacity if region.capacity else None,
        pools=tuple(
            PoolReport(pool.name, pool.healthy, len(pool.servers), pool.in_flight)
            for pool in pools
            if pool.servers
        ),
    )
