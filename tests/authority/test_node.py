"""A whole DNS node on real sockets, with a real Redis, asked by an independent client."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import aiohttp
import dns.asyncquery
import dns.edns
import dns.message
import dns.rcode
import pytest
from ports import free_port

from gslb.admin.listener import AdminServer
from gslb.admin.node_app import node_app
from gslb.clock import SystemClock
from gslb.config import load
from gslb.dns.responder import Responder
from gslb.dns.tcp import TcpListener
from gslb.dns.udp import UdpListener
from gslb.errors import GslbError
from gslb.fleet import SocketAddress
from gslb.node import DnsNode, node_of

FLEET = """
redis: {{url: "{redis}", poll: 200ms, lease: 3s}}
geo:
  overrides:
    - {{network: 10.1.0.0/16, country: GB, latitude: 51.5, longitude: -0.1}}
    - {{network: 10.2.0.0/16, country: JP, latitude: 35.7, longitude: 139.7}}
dns:
  initial_round: 2s
  nodes:
    ns1: {{listen: ["127.0.0.1:{dns}"], admin: "127.0.0.1:{admin}"}}
zones:
  shop.test:
    records: |
      $TTL 300
      @ SOA ns1 hostmaster 1 2 3 4 60
      @ NS ns1
      ns1 A 192.0.2.53
      big TXT {big}
checks:
  tcp: {{type: tcp, interval: 100ms, timeout: 100ms, rise: 2, fall: 2}}
regions:
  west:
    coordinates: [53.3, -6.3]
    check: tcp
    edges: [{{addresses: [192.0.2.1], probe: "127.0.0.1:{west}"}}]
  asia:
    coordinates: [1.3, 103.8]
    check: tcp
    edges: [{{addresses: [192.0.2.2], probe: "127.0.0.1:{asia}"}}]
services:
  www.shop.test: {{policy: nearest, ttl: {{wanted: 30s, minimum: 1s}}}}
pools: {{}}
routes: []
"""

BRITAIN, JAPAN = "10.1.0.0", "10.2.0.0"


class Stage:
    """A node, the two edges that it probes (bare TCP listeners), and how to ask."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        self.ports = {name: free_port() for name in ("dns", "admin", "west", "asia")}
        file = directory / "regions.yaml"
        big = " ".join(f'"{"x" * 200}{number}"' for number in range(12))
        file.write_text(FLEET.format(redis=redis_url, big=big, **self.ports))
        self.fleet = load(file)
        self.edges: dict[str, socket.socket] = {}

    async def open(self, *, plain: bool) -> None:
        for name in ("west", "asia"):
            self.raise_edge(name)
        self.node = DnsNode(self.fleet, node_of(self.fleet, None), SystemClock(), plain=plain)
        self.admin = AdminServer(node_app(self.node), self.node.node.admin)
        await self.admin.start()
        await self.node.start()

    async def close(self) -> None:
        await self.node.stop()
        await self.admin.stop()
        for name in list(self.edges):
            self.fell_edge(name)

    def raise_edge(self, name: str) -> None:
        # Nobody accepts: to a prober it is up as soon as the kernel has shaken hands.
        self.edges[name] = socket.create_server(("127.0.0.1", self.ports[name]), backlog=4096)

    def fell_edge(self, name: str) -> None:
        self.edges.pop(name).close()

    async def ask(self, client: str = BRITAIN, name="www.shop.test", rtype="A", *, tcp=False):
        query = dns.message.make_query(name, rtype)
        query.use_edns(options=[dns.edns.ECSOption(client, 24)], payload=1232)
        how = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await how(query, "127.0.0.1", port=self.ports["dns"], timeout=5)

    async def address(self, client: str = BRITAIN) -> str:
        return str((await self.ask(client)).answer[0][0])

    async def until_address(self, expected: str) -> None:
        async with asyncio.timeout(10):
            while await self.address() != expected:
                await asyncio.sleep(0.02)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.ports['admin']}{path}"


@pytest.fixture(params=[True, False], ids=["plain", "compiled"])
async def stage(tmp_path, redis_server, monkeypatch, request):
    if not request.param:
        pytest.importorskip("gslb.dns.compiled.loop", reason="the compiled loop is not built")
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", "sesame")
    made = Stage(tmp_path, redis_server.url)
    await made.open(plain=request.param)
    yield made
    await made.close()


async def test_clients_are_sent_to_the_nearest_region_over_udp_and_tcp(stage):
    assert await stage.address(BRITAIN) == "192.0.2.1"
    assert await stage.address(JAPAN) == "192.0.2.2"
    over_tcp = await stage.ask(JAPAN, tcp=True)
    assert over_tcp.answer == (await stage.ask(JAPAN)).answer


async def test_a_region_that_is_lost_is_left_and_found_again(stage):
    assert await stage.address() == "192.0.2.1"
    stage.fell_edge("west")
    await stage.until_address("192.0.2.2")
    stage.raise_edge("west")
    await stage.until_address("192.0.2.1")


async def test_losing_redis_loses_no_answer(stage, redis_server):
    redis_server.kill()
    for client, expected in ((BRITAIN, "192.0.2.1"), (JAPAN, "192.0.2.2")) * 5:
        assert await stage.address(client) == expected
    stage.fell_edge("west")
    await stage.until_address("192.0.2.2")


async def test_a_truncated_answer_is_whole_over_tcp(stage):
    cut = await stage.ask(name="big.shop.test", rtype="TXT")
    assert not cut.answer
    whole = await stage.ask(name="big.shop.test", rtype="TXT", tcp=True)
    assert len(whole.answer[0][0].strings) == 12


async def test_an_operator_drains_over_http_with_the_token_only(stage):
    order = {"kind": "drain", "by": "ana", "reason": "works", "duration": 60}
    async with aiohttp.ClientSession() as session:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic sesame"}):
            async with session.put(stage.url("/v1/overrides/west"), json=order, headers=headers) as refused:
                assert refused.status == 401
        assert await stage.address() == "192.0.2.1"
        token = {"Authorization": "Bearer sesame"}
        async with session.put(stage.url("/v1/overrides/west"), json=order, headers=token) as done:
            assert done.status == 200
        await stage.until_address("192.0.2.2")
        async with session.get(stage.url("/v1/state")) as response:
            state = await response.json()
        (west,) = (region for region in state["regions"] if region["region"] == "west")
        assert west["override"]["by"] == "ana"
        assert west["verdict"] == "up"
        async with session.delete(stage.url("/v1/overrides/west?by=ana"), headers=token) as cleared:
            assert (await cleared.json())["cleared"] is True
        await stage.until_address("192.0.2.1")
        async with session.get(stage.url("/v1/events?count=10")) as response:
            texts = [event["text"] for event in await response.json()]
        assert any("drained by ana" in text for text in texts)


async def test_an_operator_speaks_of_one_service_over_http(stage):
    url = stage.url("/v1/overrides/west")
    words = [
        ({"kind": "drain", "by": "ana", "service": "www.shop.test"}, "192.0.2.2"),
        ({"kind": "forced_up", "by": "ana", "service": "www.shop.test"}, "192.0.2.1"),
        ({"kind": "weight", "weight": 0, "by": "ana", "service": "www.shop.test"}, "192.0.2.2"),
        ({"kind": "hold", "by": "ana", "service": "www.shop.test"}, "192.0.2.1"),
    ]
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer sesame"}) as session:
        for word, answered in words:
            async with session.put(url, json=word) as done:
                assert done.status == 200, await done.text()
            await stage.until_address(answered)
        async with session.get(stage.url("/v1/state")) as response:
            (west,) = (each for each in (await response.json())["regions"] if each["region"] == "west")
        assert [each["kind"] for each in west["service_overrides"]] == ["hold"]
        assert west["override"] is None
        async with session.delete(f"{url}?by=ana&service=www.shop.test") as cleared:
            assert (await cleared.json())["cleared"] is True


async def test_a_word_that_leaves_a_service_without_a_region_has_to_be_forced(stage):
    url = stage.url("/v1/overrides/*")
    word = {"kind": "drain", "by": "ana", "service": "www.shop.test"}
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer sesame"}) as session:
        async with session.put(url, json=word) as refused:
            assert refused.status == 400
            assert "www.shop.test would be left without a region" in await refused.text()
        async with session.put(url, json={**word, "force": True}) as done:
            assert done.status == 200
        async with session.delete(f"{url}?by=ana&service=www.shop.test") as cleared:
            assert (await cleared.json())["cleared"] is True


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/overrides/*", {"kind": "drain", "by": "ana"}, "there is no region '*'"),
        ("/v1/overrides/west", {"kind": "drain", "by": "ana", "service": "x.test"}, "no service 'x.test'"),
        ("/v1/overrides/west", {"kind": "drain", "by": "ana", "weight": 0.5}, "weight goes with"),
        ("/v1/overrides/west", {"kind": "weight", "by": "ana"}, "weight goes with"),
        ("/v1/overrides/nowhere", {"kind": "drain", "by": "ana"}, "there is no region 'nowhere'"),
        ("/v1/overrides/west", {"kind": "explode", "by": "ana"}, "kind: "),
        ("/v1/overrides/west", {"kind": "drain"}, "by: Field required"),
        ("/v1/overrides/west", {"kind": "drain", "by": "ana", "duration": 1e300}, "duration: "),
        ("/v1/overrides/west", {"kind": "drain", "by": "ana", "x": 1}, "x: Extra"),
    ],
)
async def test_a_wrong_order_is_refused_with_its_reason(stage, path, body, said):
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Bearer sesame"}) as session,
        session.put(stage.url(path), json=body) as response,
    ):
        assert response.status == 400
        assert said in (await response.json())["error"]


async def test_the_admin_side_explains_as_the_answer_is(stage):
    async with aiohttp.ClientSession() as session:
        parameters = {"name": "www.shop.test", "from": "10.2.0.1"}
        async with session.get(stage.url("/v1/explain"), params=parameters) as response:
            document = await response.json()
        answer = await stage.ask(JAPAN)
        decision = document["decision"]
        assert decision["answering"]["A"][0]["addresses"] == [str(answer.answer[0][0])]
        assert document["served_by"] == "asia"
        assert decision["scope"] == answer.options[0].scopelen
        assert decision["ranked"][0]["reasons"][0].startswith("asia is nearest (")
        for count in ("0", "x", "²", "1" * 5000):
            async with session.get(stage.url("/v1/events"), params={"count": count}) as response:
                assert response.status == 400
        async with session.post(
            stage.url("/v1/state"), headers={"Authorization": "Bearer sesame"}
        ) as response:
            assert response.status == 405
            assert "GET" in response.headers["Allow"]
        for broken in ({}, {"name": "x"}, {"name": "x", "from": "y"}, {**parameters, "type": "OPT"}):
            async with session.get(stage.url("/v1/explain"), params=broken) as response:
                assert response.status == 400


async def test_the_admin_side_tells_health_metrics_and_has_a_page(stage):
    await stage.ask()
    async with aiohttp.ClientSession() as session:
        async with session.get(stage.url("/healthz")) as response:
            assert (response.status, await response.json()) == (
                200,
                {"answering": True, "store_connected": True},
            )
        async with session.get(stage.url("/metrics")) as response:
            text = await response.text()
        assert 'gslb_dns_answers_total{region="west",service="www.shop.test"} 1.0' in text
        assert 'gslb_region_verdict{region="west",verdict="up"} 1.0' in text
        async with session.get(stage.url("/")) as response:
            assert "<title>gslb</title>" in await response.text()


async def test_a_wildcard_socket_answers_from_the_address_that_was_asked(stage):
    responder = stage.node.responder
    udp = UdpListener(SocketAddress("0.0.0.0", 0), responder)
    udp.start()
    try:
        query = dns.message.make_query("shop.test", "SOA")
        answer = await dns.asyncquery.udp(query, "127.0.0.2", port=udp.port, timeout=5)
        assert answer.rcode() == dns.rcode.NOERROR
    finally:
        await asyncio.to_thread(udp.stop)


async def test_ipv6_is_served(stage):
    try:
        udp = UdpListener(SocketAddress("::1", 0), stage.node.responder)
    except GslbError:
        pytest.skip("this machine has no IPv6")
    udp.start()
    tcp = TcpListener(SocketAddress("::1", udp.port), stage.node.responder)
    await tcp.start()
    try:
        query = dns.message.make_query("shop.test", "SOA")
        for how in (dns.asyncquery.udp, dns.asyncquery.tcp):
            answer = await how(query, "::1", port=udp.port, timeout=5)
            assert answer.rcode() == dns.rcode.NOERROR
    finally:
        await tcp.stop()
        await asyncio.to_thread(udp.stop)


async def test_an_address_that_cannot_be_bound_is_one_clear_error(stage):
    with pytest.raises(GslbError, match=r"cannot listen on 127\.0\.0\.1:\d+: Address already in use"):
        UdpListener(SocketAddress("127.0.0.1", stage.ports["dns"]), stage.node.responder)
    with pytest.raises(GslbError, match="this machine does not have the address"):
        UdpListener(SocketAddress("192.0.2.77", 0), stage.node.responder)


async def test_a_responder_that_fails_inside_says_servfail_and_goes_on(stage):
    class Broken:
        def locate(self, address):
            raise RuntimeError("inside")

    broken = stage.node.responder.authority
    who = Responder(replace(broken, locator=Broken()), SystemClock())
    query = dns.message.make_query("www.shop.test", "A")
    answer = dns.message.from_wire(who.respond(query.to_wire(), "10.1.0.1"))
    assert answer.rcode() == dns.rcode.SERVFAIL
