"""A DNS node whose queries the compiled loop answers, on real sockets, asked by an independent client."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

import dns.asyncquery
import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest
from ports import free_port
from prometheus_client import CollectorRegistry

pytest.importorskip("gslb.dns.compiled.loop", reason="the compiled modules are not built")

from gslb.admin.metrics import NodeCollector
from gslb.clock import SystemClock
from gslb.config import load
from gslb.fleet import SocketAddress
from gslb.geo.mmdb_writer import MmdbWriter
from gslb.node import DnsNode, node_of
from gslb.reload import Status

FLEET = """
redis: {{url: "{redis}", poll: 200ms, lease: 3s}}
geo: {{databases: [small.mmdb]}}
dns:
  initial_round: 2s
  watch: null
  udp_threads: 3
  version: "{version}"
  rate_limit: {{enabled: false}}
  nodes:
    ns1: {{listen: [{listen}]}}
zones:
  shop.test:
    records: |
      $TTL 300
      @ SOA ns1 hostmaster 1 2 3 4 60
      @ NS ns1
      ns1 A 192.0.2.53
      txt TXT "{version}"
      big TXT {big}
checks:
  tcp: {{type: tcp, interval: 500ms, timeout: 500ms, rise: 1, fall: 2}}
regions:
  west:
    coordinates: [53.3, -6.3]
    check: tcp
    edges: [{{addresses: [192.0.2.1, "2001:db8::1"], probe: "127.0.0.1:{edge}"}}]
  asia:
    coordinates: [1.3, 103.8]
    check: tcp
    edges: [{{addresses: [192.0.2.2, "2001:db8::2"], probe: "127.0.0.1:{edge}"}}]
services:
  www.shop.test: {{policy: nearest, ttl: {{wanted: 30s, minimum: 1s}}}}
pools: {{}}
routes: []
"""

BRITAIN, JAPAN = "10.1.0.0", "10.2.0.0"
PLACES = {
    "10.1.0.0/16": {"country": {"iso_code": "GB"}, "location": {"latitude": 51.5, "longitude": -0.1}},
    "10.2.0.0/16": {"country": {"iso_code": "JP"}, "location": {"latitude": 35.7, "longitude": 139.7}},
}
WEST, ASIA = "192.0.2.1", "192.0.2.2"
Message = dns.message.Message
PATIENCE = 20.0
"""Seconds until a test gives up on what should come at once."""


def query(name: str = "www.shop.test", rtype: str = "A", client: str | None = BRITAIN) -> Message:
    made = dns.message.make_query(name, rtype)
    made.use_edns(options=[dns.edns.ECSOption(client, 24)] if client else [], payload=1232)
    return made


class Edge:
    """Is there, which is all that is asked of it. In a thread, so that it never waits for the node."""

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._hang_up)
        self._thread.start()

    def _hang_up(self) -> None:
        with suppress(OSError):
            while True:
                self._socket.accept()[0].close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


class Stage:
    """A node that listens on an address, on a wildcard, and on IPv6 where there is any."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        hosts = ["127.0.0.1", "0.0.0.0", *(["::1", "::"] if free_port("::1") else [])]
        self.ports = {host: free_port(host) for host in hosts}
        self.redis = redis_url
        self.file = directory / "regions.yaml"
        writer = MmdbWriter("Test-City")
        for network, record in PLACES.items():
            writer.insert(ip_network(network), record)
        writer.write(directory / "small.mmdb", 1_780_000_000)

    def write(self, version: str = "one") -> None:
        listen = ", ".join(f'"{SocketAddress(host, port)}"' for host, port in self.ports.items())
        big = " ".join(f'"{"x" * 200}{number}"' for number in range(12))
        self.file.write_text(
            FLEET.format(redis=self.redis, listen=listen, big=big, edge=self.edge.port, version=version)
        )

    async def open(self) -> None:
        self.edge = Edge()
        self.write()
        fleet = load(self.file)
        self.node = DnsNode(fleet, node_of(fleet, None), SystemClock())
        await self.node.start()

    async def close(self) -> None:
        await self.node.stop()
        self.edge.close()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.02)

    async def until_mapped(self) -> None:
        """Without its map the loop does not know where a client is."""
        await self.until(lambda: self.node.responder.authority.locator.network_map is not None)
        await self.until(lambda: self.node.responder._serving[1].lessons.network_map is not None)

    async def ask(self, asked: Message, host: str = "127.0.0.1", at: str = "") -> Message:
        """at: the address to ask, where the node listens on a wildcard."""
        return await dns.asyncquery.udp(asked, at or host, port=self.ports[host], timeout=PATIENCE)

    def loop(self, counter: str) -> int:
        return self.node.compiled.counters[counter]

    def metric(self, name: str, **labels: str) -> float:
        registry = CollectorRegistry()
        registry.register(NodeCollector(self.node))
        return registry.get_sample_value(f"gslb_dns_{name}", labels) or 0.0


@pytest.fixture
async def stage(tmp_path: Path, redis_server: object) -> AsyncIterator[Stage]:
    made = Stage(tmp_path, redis_server.url)
    await made.open()
    await made.until_mapped()
    yield made
    await made.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_what_was_asked_once_is_answered_by_the_loop(stage, host):
    if host not in stage.ports:
        pytest.skip("this machine has no IPv6")
    for client, expected in ((BRITAIN, WEST), (JAPAN, ASIA)):
        first = await stage.ask(query(client=client), host)
        misses, answered = stage.loop("misses"), stage.loop("answered")
        second = await stage.ask(query(client=client), host)
        assert first.answer[0][0].to_text() == expected
        assert (second.answer, second.options) == (first.answer, first.options)
        assert stage.loop("misses") == misses
        assert stage.loop("answered") == answered + 1


@pytest.mark.parametrize(("host", "at"), [("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.0.0.77"), ("::", "::1")])
async def test_at_a_wildcard_answers_come_from_the_address_that_was_asked(stage, host, at):
    if host not in stage.ports:
        pytest.skip("this machine has no IPv6")
    # dnspython refuses answers from anywhere else.
    for _ in range(3):
        answer = await stage.ask(query(), host, at)
        assert answer.answer[0][0].to_text() == WEST
    assert stage.loop("answered") >= 2


async def test_every_thread_answers_the_clients_that_the_kernel_gives_it(stage):
    assert stage.node.path == "compiled, threads for each socket: 3"
    assert [each.threads for each in stage.node.udp] == [3] * len(stage.ports)
    names = {thread.name for thread in threading.enumerate()}
    assert {f"udp {number}" for number in range(3 * len(stage.ports))} <= names
    # Each question has a socket of its own, and so some thread.
    asked = [query(client=(BRITAIN, JAPAN)[number % 2]) for number in range(60)]
    answers = await asyncio.gather(*(stage.ask(each) for each in asked))
    assert [answer.answer[0][0].to_text() for answer in answers] == [WEST, ASIA] * 30


async def test_a_region_that_is_lost_is_left_and_found_again_by_the_loop(stage):
    assert (await stage.ask(query())).answer[0].ttl >= 1
    stage.edge.close()
    async with asyncio.timeout(PATIENCE):
        while (answer := await stage.ask(query())).options[-1].otype != dns.edns.OptionType.EDE:
            await asyncio.sleep(0.02)
    assert answer.rcode() == dns.rcode.NOERROR
    stage.edge = Edge(stage.edge.port)
    async with asyncio.timeout(PATIENCE):
        while (await stage.ask(query())).options[-1].otype == dns.edns.OptionType.EDE:
            await asyncio.sleep(0.02)
    assert stage.loop("answered")


async def test_the_metrics_count_what_either_answered(stage):
    before = {name: stage.metric(name) for name in ("queries_total", "cache_hits_total", "truncations_total")}
    for _ in range(5):
        await stage.ask(query())
        await stage.ask(query(client=JAPAN))
        await stage.ask(query("txt.shop.test", "TXT"))
        await stage.ask(query("nothing.shop.test"))
        await stage.ask(query("www.elsewhere.test"))
        assert (await stage.ask(query("big.shop.test", "TXT"))).flags & dns.flags.TC
    await dns.asyncquery.tcp(query(), "127.0.0.1", port=stage.ports["127.0.0.1"], timeout=PATIENCE)
    assert stage.metric("queries_total") == before["queries_total"] + 31
    assert stage.metric("responses_total", rcode="NOERROR") == 21
    assert stage.metric("responses_total", rcode="NXDOMAIN") == 5
    assert stage.metric("responses_total", rcode="REFUSED") == 5
    assert stage.metric("answers_total", service="www.shop.test", region="west") == 6
    assert stage.metric("answers_total", service="www.shop.test", region="asia") == 5
    assert stage.metric("truncations_total") == before["truncations_total"] + 5
    # What nobody knows of is refused by Python each time; all else was asked once.
    assert stage.metric("compiled_misses_total") == 5 + 5
    assert stage.metric("compiled_answers_total") == 5 * 4
    assert stage.metric("cache_hits_total") == before["cache_hits_total"] + 5 * 4 + 1


async def test_no_query_is_lost_and_none_is_wrong_while_files_are_taken_up(stage):
    port, stop = stage.ports["127.0.0.1"], threading.Event()
    texts: list[str] = []
    wrong: list[object] = []

    def keep_asking(client: str, expected: str) -> None:
        try:
            while not stop.is_set():
                for asked in (query(client=client), query("txt.shop.test", "TXT")):
                    answer = dns.query.udp(asked, "127.0.0.1", port=port, timeout=PATIENCE)
                    told = answer.answer[0][0].to_text()
                    if len(texts) < 100_000 and '"' in told:
                        texts.append(told)
                    elif told != expected:
                        wrong.append(told)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=keep_asking, args=each) for each in ((BRITAIN, WEST), (JAPAN, ASIA))]
    for thread in threads:
        thread.start()
    answered = stage.loop("answered")
    for version in ("two", "three", "four", "five"):
        stage.write(version)
        outcome = await stage.node.configuration.reload("test")
        assert outcome.status is Status.CHANGED
        await stage.until(lambda version=version: texts and texts[-1] == f'"{version}"')
    stop.set()
    for thread in threads:
        await asyncio.to_thread(thread.join, PATIENCE)
    assert not wrong
    assert set(texts) == {f'"{version}"' for version in ("one", "two", "three", "four", "five")}
    assert stage.loop("answered") > answered


async def test_after_stopping_no_thread_is_left_and_the_addresses_are_free(tmp_path, redis_server):
    made = Stage(tmp_path, redis_server.url)
    await made.open()
    assert await made.ask(query())
    await made.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("udp")]
    for host, port in made.ports.items():
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind((host, port))
