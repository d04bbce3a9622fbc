"""What an edge tells the world about its region, made from two readings of its counters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from edge.counters import Counters, Latency
from edge.pool import Pools, PoolState
from edge.services import ServiceStats
from gslb.fleet import Edge, Region
from gslb.world import PoolReport, Report, ServiceReport


@dataclass(frozen=True, slots=True)
class ServiceReading:
    """What was counted of one service."""

    requests: int = 0
    errors: int = 0
    latency: Latency = field(default_factory=Latency)


_NOTHING = ServiceReading()


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters at one moment. at: monotonic seconds. services: by name."""

    at: float
    requests: int
    errors: int
    services: Mapping[str, ServiceReading] = field(default_factory=dict)


def read(counters: Counters, services: Iterable[ServiceStats], at: float) -> Reading:
    """Take a reading; the DNS nodes' probes are no load."""
    return Reading(
        at,
        counters.requests - counters.probes,
        counters.errors,
        {each.name: ServiceReading(each.requests, each.errors, each.latency.copy()) for each in services},
    )


def make_report(
    edge: Edge,
    region: Region,
    before: Reading,
    after: Reading,
    *,
    now: float,
    in_flight: int,
    pools: Pools,
    processes: int = 1,
) -> Report:
    """The report on the time between two readings.

    error_rate: responses of 500 and above per request, 0 to 1. capacity is the region's, or what this edge's
    concurrency limits let through; utilisation is this edge's part of it, so that the sum over a region's
    edges is the region's utilisation, if it is declared. processes: that serve for the edge. Servers that
    are still UNKNOWN count as healthy: requests go there, and a slow check must not cost a region clients.
    """
    elapsed = after.at - before.at
    requests = after.requests - before.requests
    rate = requests / elapsed if elapsed > 0 else 0.0
    capacity = region.capacity
    return Report(
        region=region.name,
        edge=edge.name,
        at=now,
        requests_per_second=rate,
        in_flight=in_flight,
        error_rate=_error_rate(after.errors - before.errors, requests),
        capacity=capacity,
        utilisation=rate / capacity if capacity else None,
        pools=tuple(
            PoolReport(pool.name, pool.not_down, len(pool.servers), pool.in_flight)
            for pool in pools
            if pool.servers
        ),
        services=tuple(
            _service(
                stats,
                before.services.get(stats.name, _NOTHING),
                after.services[stats.name],
                elapsed,
                [pools.by_name[name] for name in stats.pools],
                capacity,
                processes,
            )
            for stats in pools.services
            if stats.name in after.services
        ),
    )


def _service(
    stats: ServiceStats,
    before: ServiceReading,
    after: ServiceReading,
    elapsed: float,
    pools: list[PoolState],
    capacity: float | None,
    processes: int,
) -> ServiceReport:
    requests = after.requests - before.requests
    rate = requests / elapsed if elapsed > 0 else 0.0
    latency = after.latency - before.latency
    if capacity is None:
        capacity = estimated_capacity(pools, latency, processes)
    return ServiceReport(
        service=stats.name,
        healthy=sum(pool.not_down for pool in pools),
        servers=sum(len(pool.servers) for pool in pools),
        in_flight=sum(pool.in_flight for pool in pools),
        requests_per_second=rate,
        error_rate=_error_rate(after.errors - before.errors, requests),
        p50=latency.quantile(0.5),
        p99=latency.quantile(0.99),
        capacity=capacity,
        utilisation=rate / capacity if capacity else None,
    )


def _error_rate(errors: int, requests: int) -> float:
    # Errors of requests that began before the interval may outnumber those that began in it.
    return min(1.0, errors / requests) if requests else float(errors > 0)


def estimated_capacity(pools: Iterable[PoolState], latency: Latency, processes: int) -> float | None:
    """Requests per second that concurrency limits let through, while responses take as long as now.

    By Little's law; None where a pool has no limit, or nothing is known of response times. What adapts in
    other processes is not known here.
    """
    count = sum(latency.counts)
    limits = 0.0
    for pool in pools:
        adapts_elsewhere = pool.pool.concurrency.adaptive and processes > 1
        limits += inf if adapts_elsewhere else pool.concurrency.limit * processes
    if not count or not latency.total or not 0 < limits < inf:
        return None
    return limits * count / latency.total
