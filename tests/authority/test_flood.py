"""A flood in the name of others, on real sockets: what is limited, who is still served, and what shows."""

from __future__ import annotations

import asyncio
import socket
import sys
from ipaddress import ip_network

import dns.asyncquery
import dns.edns
import dns.flags
import dns.message
import pytest
from fleets import NOW, authority, fleet
from ports import free_port

from gslb.clock import FakeClock
from gslb.dns.responder import Responder
from gslb.dns.tcp import TcpListener
from gslb.dns.udp import UdpListener
from gslb.fleet import RateLimitSettings, SocketAddress, TcpSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have only 127.0.0.1")

VICTIMS = [f"127.7.7.{host}" for host in range(1, 21)]
"""Addresses of one network; whoever forges them sends from them."""

LIMIT = RateLimitSettings(responses_per_second=50, errors_per_second=10, slip=2, ceiling=90)


class Server:
    """One socket of each kind; the clock stands still, so that all of a test happens within one second."""

    def __init__(self, limit: RateLimitSettings = LIMIT) -> None:
        self.responder = Responder(authority(fleet(rate_limit=limit)), FakeClock(NOW))
        address = SocketAddress("127.0.0.1", free_port())
        self.udp = UdpListener(address, self.responder)
        self.tcp = TcpListener(address, self.responder, TcpSettings())

    async def __aenter__(self) -> Server:
        self.udp.start()
        await self.tcp.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.tcp.stop()
        await asyncio.to_thread(self.udp.stop)

    async def flood(
        self, sources: list[str], count: int, name: str = "www.shop.test"
    ) -> list[dns.message.Message]:
        """`count` queries from each source; what came back, once every query has been judged."""
        wire = dns.message.make_query(name, "A").to_wire()
        before = self.responder.queries
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in sources]
        for sender, source in zip(sockets, sources, strict=True):
            sender.bind((source, 0))
            sender.setblocking(False)
        for number in range(count):
            for sender in sockets:
                sender.sendto(wire, ("127.0.0.1", self.udp.port))
            while self.responder.queries < before + (number + 1) * len(sources):
                await asyncio.sleep(0)
        await asyncio.to_thread(self.udp.stop)
        answers = []
        for sender in sockets:
            with sender:
                while packet := received(sender):
                    answers.append(dns.message.from_wire(packet))
        return answers


def received(sender: socket.socket) -> bytes | None:
    try:
        return sender.recv(4096)
    except BlockingIOError:
        return None


def whole(answers: list[dns.message.Message]) -> list[dns.message.Message]:
    return [answer for answer in answers if not answer.flags & dns.flags.TC]


async def test_a_flood_in_the_name_of_a_network_gets_it_no_more_than_its_limit():
    async with Server() as server:
        answers = await server.flood(VICTIMS, 20)
    assert len(whole(answers)) == 50
    assert len(answers) == 90
    limiter = server.responder.rules.limiter
    assert (limiter.slipped, sum(limiter.dropped.values())) == (40, 310)
    query = len(dns.message.make_query("www.shop.test", "A").to_wire())
    assert all(len(answer.to_wire()) <= query for answer in answers if answer.flags & dns.flags.TC)
    assert limiter.limited_networks(NOW) == 1


async def test_a_flood_of_names_that_do_not_exist_has_the_smaller_limit():
    async with Server() as server:
        answers = await server.flood(VICTIMS, 5, "nothing.shop.test")
    assert len(whole(answers)) == 10


async def test_floods_in_the_name_of_many_networks_reach_the_ceiling():
    async with Server() as server:
        answers = await server.flood([f"127.7.{network}.1" for network in range(20)], 20)
    assert len(whole(answers)) == 90


async def test_the_exempt_are_served_through_it_all():
    async with Server(
        RateLimitSettings(responses_per_second=5, exempt=(ip_network("127.0.0.0/8"),))
    ) as server:
        answers = await server.flood(VICTIMS, 20)
    assert len(whole(answers)) == 400


async def test_a_real_client_of_a_flooded_network_is_served_over_tcp_or_with_a_cookie():
    async with Server() as server:
        port = server.udp.port
        cookie = dns.edns.CookieOption(b"12345678", b"")
        query = dns.message.make_query("www.shop.test", "A", options=[cookie])
        first = await dns.asyncquery.udp(query, "127.0.0.1", 5, port, source="127.7.7.7")
        (full,) = first.options
        wire = dns.message.make_query("www.shop.test", "A").to_wire()
        for _ in range(400):
            server.responder.respond(wire, "127.7.7.9", 4000)
        with_cookie = dns.message.make_query("www.shop.test", "A", options=[full])
        for _ in range(10):
            answer = await dns.asyncquery.udp(with_cookie, "127.0.0.1", 5, port, source="127.7.7.7")
            assert whole([answer])
        plain = dns.message.make_query("www.shop.test", "A")
        answer = await dns.asyncquery.tcp(plain, "127.0.0.1", 5, port, source="127.7.7.7")
        assert answer.answer
