"""A DNS node's metrics, read from the counters when they are asked for and never on the query path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gslb.admin.documents import RCODES
from gslb.admin.reload import reload_metrics
from gslb.node import DnsNode
from gslb.world import Verdict


class NodeCollector(Collector):
    """Collects from one node."""

    def __init__(self, node: DnsNode) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        yield from self._queries()
        yield from reload_metrics(self._node.configuration)
        yield from self._regions()
        yield from self._store()

    def _queries(self) -> Iterator[Metric]:
        responder = self._node.responder
        yield CounterMetricFamily("gslb_dns_queries", "Packets received.", responder.queries)
        yield CounterMetricFamily("gslb_dns_cache_hits", "Queries answered from the cache.", responder.hits)
        yield CounterMetricFamily("gslb_dns_silences", "Packets not answered at all.", responder.silences)
        yield CounterMetricFamily(
            "gslb_dns_truncations", "Answers cut, with the TC bit.", responder.truncations
        )
        yield GaugeMetricFamily("gslb_dns_cache_answers", "Answers in the cache.", responder.cached)
        yield CounterMetricFamily(
            "gslb_dns_cache_overflows", "Times a cache had no room for more.", responder.overflows
        )
        yield from self._compiled()
        responses = CounterMetricFamily("gslb_dns_responses", "Responses by RCODE.", labels=["rcode"])
        for rcode, count in sorted(responder.responses.items()):
            responses.add_metric([RCODES.get(rcode, str(rcode))], count)
        yield responses
        served = CounterMetricFamily(
            "gslb_dns_answers", "Answers for services by region.", labels=["service", "region"]
        )
        for labels, count in sorted(responder.served.items()):
            served.add_metric(list(labels), count)
        yield served
        yield from self._askers()

    def _compiled(self) -> Iterator[Metric]:
        """Of the compiled loop, what `_queries` does not include."""
        counters = self._node.responder.counters
        yield GaugeMetricFamily(
            "gslb_dns_compiled", "Whether the compiled loop answers over UDP.", float(counters is not None)
        )
        if counters is None:
            return
        yield CounterMetricFamily(
            "gslb_dns_compiled_answers", "Queries answered by the compiled loop.", counters["answered"]
        )
        yield CounterMetricFamily(
            "gslb_dns_compiled_misses", "Queries it left to Python.", counters["misses"]
        )
        yield CounterMetricFamily(
            "gslb_dns_compiled_overloads", "Misses dropped, as Python was behind.", counters["overloads"]
        )
        yield CounterMetricFamily(
            "gslb_dns_compiled_stale_answers",
            "Answers of the last world, while their successors were made.",
            counters["stale"],
        )

    def _askers(self) -> Iterator[Metric]:
        """What became of those who ask much, who prove their address, and who want whole zones."""
        responder = self._node.responder
        yield from self._tcp()
        cookies = CounterMetricFamily(
            "gslb_dns_cookies", "Queries with a DNS cookie, by what it proved.", labels=["state"]
        )
        for state, count in sorted(responder.cookies.items()):
            cookies.add_metric([state], count)
        yield cookies
        transfers = CounterMetricFamily("gslb_dns_transfers", "Zone transfers asked for.", labels=["outcome"])
        for outcome, count in sorted(responder.transfers.items()):
            transfers.add_metric([outcome], count)
        yield transfers
        limiter = responder.rules.limiter
        if limiter is None:
            return
        limited = CounterMetricFamily(
            "gslb_dns_limited", "Responses over a rate limit.", labels=["outcome", "limit"]
        )
        limited.add_metric(["slipped", "network"], limiter.slipped)
        for limit, count in limiter.dropped.items():
            limited.add_metric(["dropped", limit], count)
        yield limited
        yield GaugeMetricFamily(
            "gslb_dns_limited_networks",
            "Client networks over their limit.",
            limiter.limited_networks(self._node.clock.now()),
        )

    def _tcp(self) -> Iterator[Metric]:
        listeners = self._node.tcp
        yield GaugeMetricFamily(
            "gslb_dns_tcp_connections", "TCP connections open.", sum(each.open for each in listeners)
        )
        accepted = sum(each.counts.accepted for each in listeners)
        yield CounterMetricFamily("gslb_dns_tcp_accepted", "TCP connections taken on.", accepted)
        queries = sum(each.counts.queries for each in listeners)
        yield CounterMetricFamily("gslb_dns_tcp_queries", "Queries over TCP.", queries)
        closed = CounterMetricFamily(
            "gslb_dns_tcp_closed", "TCP connections refused or cut, by reason.", labels=["reason"]
        )
        for reason in ("timed_out", "slow_readers", "displaced", "malformed"):
            closed.add_metric([reason], sum(getattr(each.counts, reason) for each in listeners))
        refused: Counter[str] = sum((each.counts.refused for each in listeners), Counter())
        for reason, count in sorted(refused.items()):
            closed.add_metric([reason.replace(" ", "_")], count)
        yield closed

    def _regions(self) -> Iterator[Metric]:
        world = self._node.store.world
        verdicts = GaugeMetricFamily(
            "gslb_region_verdict", "1 for the verdict in force.", labels=["region", "verdict"]
        )
        eligible = GaugeMetricFamily(
            "gslb_region_eligible", "Whether new clients are sent to the region.", labels=["region"]
        )
        overridden = GaugeMetricFamily(
            "gslb_region_override", "1 for the override in force.", labels=["region", "service", "override"]
        )
        utilisation = GaugeMetricFamily(
            "gslb_region_utilisation", "Share of its capacity in use, by edge.", labels=["region", "edge"]
        )
        intake = GaugeMetricFamily(
            "gslb_region_intake",
            "The part of its own clients that a region gives away (shed), of others' that it takes (takes), "
            "and of all while it comes back (ramp).",
            labels=["region", "part"],
        )
        live = GaugeMetricFamily(
            "gslb_region_live", "The part of the region's capacity that is healthy.", labels=["region"]
        )
        for name in self._node.fleet.regions:
            state = world.region(name)
            for verdict in Verdict:
                verdicts.add_metric([name, verdict.value], float(state.verdict is verdict))
            eligible.add_metric([name], float(state.eligible))
            live.add_metric([name], state.live)
            for part in ("shed", "takes", "ramp"):
                intake.add_metric([name, part], getattr(state.intake, part))
            if state.override is not None:
                overridden.add_metric([name, "", state.override.kind.value], 1)
            for service, override in state.overrides.items():
                overridden.add_metric([name, service, override.kind.value], 1)
            for report in world.reports.get(name, ()):
                if report.utilisation is not None:
                    utilisation.add_metric([name, report.edge], report.utilisation)
        yield from (verdicts, eligible, overridden, utilisation, intake, live)

    def _store(self) -> Iterator[Metric]:
        store = self._node.store
        yield GaugeMetricFamily("gslb_store_connected", "Whether Redis answers.", float(store.connected))
        recalled = store.recalled_at
        if recalled is not None:
            yield GaugeMetricFamily(
                "gslb_state_recalled_age_seconds",
                "Age of the copy on disk that is answered from; missing when nothing is.",
                max(0.0, self._node.clock.now() - recalled),
            )
        read_at = store.world.store_read_at
        if read_at is not None:
            age = max(0.0, self._node.clock.now() - read_at)
            yield GaugeMetricFamily("gslb_store_age_seconds", "Since Redis was last read in full.", age)
