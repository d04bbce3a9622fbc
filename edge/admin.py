"""The edge's private side: its own health, metrics, the state of its servers as JSON, and its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Protocol

from aiohttp import web
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from edge.counters import LATENCY_BOUNDS, Counters, Latency
from edge.health import region_health
from edge.pool import Pools, PoolState
from edge.reload import Configuration
from edge.server import ServerState
from gslb.admin.listener import admin_app
from gslb.admin.reload import reload_metrics, reload_response
from gslb.clock import Clock, iso
from gslb.fleet import Edge
from gslb.store.state import StateStore
from gslb.world import Verdict


class Shown(Protocol):
    """One edge, however many processes it has. connections: of clients, now. pids: of those that serve."""

    clock: Clock
    configuration: Configuration

    @property
    def edge(self) -> Edge: ...

    @property
    def ready(self) -> bool: ...

    @property
    def draining(self) -> bool: ...

    @property
    def pools(self) -> Pools: ...

    @property
    def counters(self) -> Counters: ...

    @property
    def connections(self) -> int: ...

    @property
    def pids(self) -> Mapping[int, int]: ...

    @property
    def store(self) -> StateStore: ...

    def gather(self) -> None:
        """Bring counters, connections and pools up to date; called before they are read."""
        ...


EDGE: web.AppKey[Shown] = web.AppKey("edge")


def edge_app(process: Shown) -> web.Application:
    """`/healthz`: whether the process itself works; `/metrics`: Prometheus; `/v1/state`: JSON.

    `/v1/reload`: takes the changed file up, for the holder of the token.
    """
    app = admin_app(EdgeCollector(process))
    app[EDGE] = process
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/v1/state", _state)
    app.router.add_post("/v1/reload", _reload)
    return app


async def _healthz(request: web.Request) -> web.Response:
    process = request.app[EDGE]
    store = process.store
    document = {
        "status": "draining" if process.draining else "ready" if process.ready else "starting",
        "store": {"connected": store.connected, "error": store.last_error or None},
    }
    return web.json_response(document, status=200 if document["status"] == "ready" else 503)


async def _state(request: web.Request) -> web.Response:
    return web.json_response(state_document(request.app[EDGE]))


async def _reload(request: web.Request) -> web.Response:
    process = request.app[EDGE]
    return await reload_response(request, "edge", process.edge.name, process.configuration)


def state_document(process: Shown) -> dict[str, Any]:
    """Everything an operator may want to know of this edge, times as ISO 8601."""
    process.gather()
    counters, edge = process.counters, process.edge
    status, text = region_health(process.pools, draining=process.draining)
    world = process.store.world
    return {
        "region": edge.region,
        "edge": edge.name,
        "now": iso(process.clock.now()),
        "health": {"status": status, "text": text.splitlines()[0]},
        "verdict": world.region(edge.region).verdict.value,
        "connections": process.connections,
        "in_flight": counters.in_flight,
        "requests": counters.requests,
        "retries": counters.retries,
        "spilled": counters.spilled,
        "hedged": counters.hedged,
        "mirrored": counters.mirrored,
        "responses": {str(code): count for code, count in sorted(counters.responses.items())},
        "refusals": {str(code): count for code, count in sorted(counters.refusals.items())},
        "passed_on": {label: asdict(passed) for label, passed in counters.passed_on.items()},
        "workers": {str(number): pid for number, pid in sorted(process.pids.items())},
        "pools": {pool.name: _pool_document(pool) for pool in process.pools if pool.servers},
        "configuration": process.configuration.state(),
    }


def _pool_document(pool: PoolState) -> dict[str, Any]:
    return {
        "method": pool.pool.method.name.value,
        "usable": pool.usable,
        "healthy": pool.healthy,
        "panics": pool.panics,
        "waiting": len(pool.waiting),
        "concurrency_limit": pool.concurrency.limit if pool.concurrency.bounded else None,
        "spill_over": pool.pool.spill_over.value,
        "servers": [_server_document(server) for server in pool.servers],
    }


def _server_document(server: ServerState) -> dict[str, Any]:
    return {
        "address": server.name,
        "weight": server.full_weight,
        "weight_now": server.weight,
        "mode": server.mode.value,
        "usable": server.usable,
        "ejected": _ejected(server),
        "load": server.load,
        "verdict": server.verdict.value,
        "reason": server.reason,
        "since": iso(server.since) if server.since else None,
        "in_flight": server.in_flight,
        "requests": server.requests,
        "failures": server.failures,
        "connect_failures": server.connect_failures,
        "connections_opened": server.opened,
        "connections_idle": len(server.idle) + server.idle_elsewhere,
    }


def _ejected(server: ServerState) -> str | None:
    """Why it is ejected; by how many workers, when they do not serve in this process."""
    if server.standing.ejected is not None:
        return server.standing.ejected.reason
    return f"by {server.ejected_elsewhere} workers" if server.ejected_elsewhere else None


class EdgeCollector(Collector):
    """Reads the edge's plain counters when Prometheus asks; the data path never pays for it."""

    def __init__(self, process: Shown) -> None:
        self._process = process

    def collect(self) -> Iterator[Metric]:
        process = self._process
        process.gather()
        counters = process.counters
        for name, text, value in (
            ("gslb_edge_requests", "Requests taken on.", counters.requests),
            ("gslb_edge_probes", "Requests for the edge's own health.", counters.probes),
            ("gslb_edge_retries", "Further tries after one that failed.", counters.retries),
            ("gslb_edge_spilled", "Requests sent to another region's edge.", counters.spilled),
            ("gslb_edge_hedged", "Second tries beside a slow first.", counters.hedged),
            ("gslb_edge_mirrored", "Copies of requests sent to another pool.", counters.mirrored),
            ("gslb_edge_mirrored_not", "Copies not made, as too many were under way.", counters.mirrored_not),
            ("gslb_edge_connections_accepted", "Client connections accepted.", counters.connections),
            (
                "gslb_edge_connections_refused",
                "Client connections over the limit.",
                counters.connections_refused,
            ),
            ("gslb_edge_aborted_by_client", "Requests whose client went away.", counters.aborted_by_client),
            ("gslb_edge_aborted_by_server", "Responses broken off midway.", counters.aborted_by_server),
            ("gslb_edge_request_body_bytes", "Bytes of request bodies forwarded.", counters.bytes_in),
            ("gslb_edge_response_body_bytes", "Bytes of response bodies forwarded.", counters.bytes_out),
        ):
            yield CounterMetricFamily(name, text, value)
        yield GaugeMetricFamily("gslb_edge_in_flight", "Requests taken on and not done.", counters.in_flight)
        yield GaugeMetricFamily("gslb_edge_connections", "Client connections now.", process.connections)
        yield _by_status("gslb_edge_responses", "Responses by status.", counters.responses)
        yield _by_status("gslb_edge_refusals", "Responses of the edge's own by status.", counters.refusals)
        yield from self._passed_on()
        yield from self._servers()
        yield self._latency()
        store = process.store
        yield GaugeMetricFamily("gslb_store_connected", "Whether Redis answers.", float(store.connected))
        yield from reload_metrics(process.configuration)

    def _passed_on(self) -> Iterator[Metric]:
        labels = ["listener"]
        taken = CounterMetricFamily("gslb_edge_passed_on", "Connections and UDP sessions.", labels=labels)
        now = GaugeMetricFamily("gslb_edge_passed_on_now", "Those that are open.", labels=labels)
        refused = CounterMetricFamily(
            "gslb_edge_passed_on_refused", "Connections and datagrams that went nowhere.", labels=labels
        )
        bytes_in = CounterMetricFamily("gslb_edge_passed_on_in_bytes", "Bytes of clients.", labels=labels)
        bytes_out = CounterMetricFamily("gslb_edge_passed_on_out_bytes", "Bytes to clients.", labels=labels)
        for label, passed in self._process.counters.passed_on.items():
            taken.add_metric([label], passed.taken)
            now.add_metric([label], passed.open)
            refused.add_metric([label], passed.refused)
            bytes_in.add_metric([label], passed.bytes_in)
            bytes_out.add_metric([label], passed.bytes_out)
        yield from (taken, now, refused, bytes_in, bytes_out)

    def _servers(self) -> Iterator[Metric]:
        labels = ["pool", "server"]
        usable = GaugeMetricFamily("gslb_edge_server_usable", "Whether it may get requests.", labels=labels)
        up = GaugeMetricFamily("gslb_edge_server_up", "Whether its verdict is UP.", labels=labels)
        in_flight = GaugeMetricFamily("gslb_edge_server_in_flight", "Requests at it now.", labels=labels)
        idle = GaugeMetricFamily("gslb_edge_server_idle", "Idle connections to it.", labels=labels)
        ejected = GaugeMetricFamily("gslb_edge_server_ejected", "Whether it is ejected.", labels=labels)
        weight = GaugeMetricFamily("gslb_edge_server_weight", "Its weight by now.", labels=labels)
        load = GaugeMetricFamily("gslb_edge_server_load", "Its load as it tells, 0 to 1.", labels=labels)
        requests = CounterMetricFamily("gslb_edge_server_requests", "Requests sent to it.", labels=labels)
        failures = CounterMetricFamily("gslb_edge_server_failures", "Failed or 5xx responses.", labels=labels)
        unreachable = CounterMetricFamily(
            "gslb_edge_server_connect_failures", "Connections it did not take.", labels=labels
        )
        panics = GaugeMetricFamily("gslb_edge_pool_panics", "Whether all servers are used.", labels=["pool"])
        for pool in self._process.pools:
            panics.add_metric([pool.name], float(pool.panics))
            for server in pool.servers:
                key = [pool.name, server.name]
                usable.add_metric(key, float(server.usable))
                up.add_metric(key, float(server.verdict is Verdict.UP))
                ejected.add_metric(key, float(server.ejected or server.ejected_elsewhere > 0))
                weight.add_metric(key, server.weight)
                if server.load is not None:
                    load.add_metric(key, server.load)
                in_flight.add_metric(key, server.in_flight)
                idle.add_metric(key, len(server.idle) + server.idle_elsewhere)
                requests.add_metric(key, server.requests)
                failures.add_metric(key, server.failures)
                unreachable.add_metric(key, server.connect_failures)
        yield from (
            usable,
            up,
            ejected,
            weight,
            load,
            in_flight,
            idle,
            requests,
            failures,
            unreachable,
            panics,
        )

    def _latency(self) -> Metric:
        family = HistogramMetricFamily(
            "gslb_edge_response_seconds", "From a request's head to its response's head.", labels=["pool"]
        )
        for pool in self._process.pools:
            if pool.servers:
                family.add_metric([pool.name], _buckets(pool.latency), pool.latency.total)
        return family


def _by_status(name: str, text: str, counts: dict[int, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=["status"])
    for status, count in sorted(counts.items()):
        family.add_metric([str(status)], count)
    return family


def _buckets(latency: Latency) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus wants them."""
    bounds = [*(str(bound) for bound in LATENCY_BOUNDS), "+Inf"]
    running = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip(bounds, latency.counts, strict=True):
        running += count
        buckets.append((bound, float(running)))
    return buckets
