"""Datagrams that are passed on: a client keeps its server while it talks, unless that refuses."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest_asyncio
from edge_stage import REGION, Stage, make_fleet, until
from ports import free_port

from edge.process import EdgeProcess
from edge.proxy.proxy import Proxy
from gslb.clock import SystemClock
from gslb.fleet import BalancingMethod, Fleet, Listener, ListenerKind, SocketAddress
from gslb.world import Verdict

UDP = Listener(SocketAddress("127.0.0.1", 0), kind=ListenerKind.UDP, pool="web")


def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


class Resolver(asyncio.DatagramProtocol):
    """Answers each datagram with its own name and what it was sent; not what begins with `later`."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.asked: list[tuple[bytes, Any]] = []
        self._lost = asyncio.Event()

    async def start(self, port: int | None = None) -> Resolver:
        loop = asyncio.get_running_loop()
        port = port or free_port()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", port))
        self.address = SocketAddress(*self.transport.get_extra_info("sockname"))
        # What answers questions in datagrams is probed over TCP, as name servers can be.
        self._probed = await asyncio.start_server(_hang_up, "127.0.0.1", self.address.port)
        return self

    def close(self) -> None:
        self.transport.close()
        self._probed.close()

    async def gone(self) -> None:
        """Close, and wait until the port is."""
        self.close()
        await self._lost.wait()
        await asyncio.sleep(0)  # asyncio closes the socket after it has told

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked.append((data, addr))
        if not data.startswith(b"later"):
            self.transport.sendto(self.name + b":" + data, addr)

    def answer(self) -> None:
        """The last question, late."""
        data, addr = self.asked[-1]
        self.transport.sendto(self.name + b":" + data, addr)


class Asker:
    """A client with a port of its own."""

    def __init__(self, host: str = "127.0.0.1", family: int = socket.AF_INET) -> None:
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host, 0))

    def send(self, to: SocketAddress, data: bytes) -> None:
        self._socket.sendto(data, (to.host, to.port))

    async def heard(self, within: float = 5.0) -> tuple[bytes, Any]:
        async with asyncio.timeout(within):
            while True:
                try:
                    return self._socket.recvfrom(65535)
                except BlockingIOError:
                    await asyncio.sleep(0.001)

    async def ask(self, to: SocketAddress, data: bytes = b"?", within: float = 5.0) -> bytes:
        self.send(to, data)
        answer, origin = await self.heard(within)
        assert origin[:2] == (to.host, to.port), "an answer must come from where the question went"
        return answer.partition(b":")[0]

    def close(self) -> None:
        self._socket.close()


@pytest_asyncio.fixture
async def scene(stage: Stage) -> AsyncIterator[Scene]:
    made = Scene(stage)
    yield made
    await made.close()


class Scene:
    """Resolvers and clients, all of them gone in the end."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._ends: list[Callable[[], None]] = []
        self._running: list[EdgeProcess] = []

    async def resolvers(self, *names: bytes) -> list[Resolver]:
        made = []
        for name in names:
            made.append(await Resolver(name).start())
            self._ends.append(made[-1].close)
        return made

    def asker(self, *args: Any) -> Asker:
        asker = Asker(*args)
        self._ends.append(asker.close)
        return asker

    async def pass_on(
        self, resolvers: list[Resolver], listener: Listener = UDP, **options: Any
    ) -> tuple[Proxy, SocketAddress]:
        """The proxy, and where it listens."""
        fleet = make_fleet({"web": [each.address for each in resolvers]}, listener=listener, **options)
        proxy = await self._stage.serve(fleet)
        return proxy, SocketAddress("127.0.0.1", self._stage.port)

    async def process(self, fleet: Fleet, *listeners: Listener) -> EdgeProcess:
        declared = replace(fleet.regions[REGION].edges[0], listen=listeners)
        process = EdgeProcess(fleet, declared, SystemClock(), loop=asyncio.get_running_loop())
        await process.start()
        self._running.append(process)
        return process

    async def close(self) -> None:
        for process in self._running:
            await process.stop()
        for end in self._ends:
            end()


def at_servers(proxy: Proxy) -> list[int]:
    return [server.in_flight for server in proxy.pools.by_name["web"].servers]


async def test_clients_are_spread_and_each_stays_with_its_server(scene: Scene) -> None:
    resolvers = await scene.resolvers(b"a", b"b", b"c")
    proxy, where = await scene.pass_on(resolvers)
    askers = [scene.asker() for _ in range(6)]
    names = [await asker.ask(where) for asker in askers]
    assert Counter(names) == {b"a": 2, b"b": 2, b"c": 2}
    assert at_servers(proxy) == [2, 2, 2]
    for _ in range(3):
        assert [await asker.ask(where) for asker in askers] == names
    (passed,) = proxy.counters.passed_on.values()
    assert (passed.taken, passed.open, passed.refused) == (6, 6, 0)
    assert (passed.bytes_in, passed.bytes_out) == (24, 24 * 3)


async def test_an_address_decides_where_the_method_goes_by_it(scene: Scene) -> None:
    resolvers = await scene.resolvers(b"a", b"b", b"c", b"d")
    _, where = await scene.pass_on(resolvers, methods={"web": BalancingMethod.IP_HASH})
    names = {
        host: {await scene.asker(host).ask(where) for _ in range(3)}
        for host in map("127.0.0.{}".format, range(1, 17))
    }
    assert all(len(each) == 1 for each in names.values())
    assert len(set.union(*names.values())) > 1


async def test_datagrams_keep_their_bounds_empty_and_large_ones_too(scene: Scene) -> None:
    _, where = await scene.pass_on(await scene.resolvers(b"a"))
    asker = scene.asker()
    for data in (b"", b"x", bytes(9000), bytes(60000)):
        asker.send(where, data)
        answer, _ = await asker.heard()
        assert answer == b"a:" + data


async def test_a_server_that_refuses_loses_its_clients_to_the_next(scene: Scene) -> None:
    first, second = await scene.resolvers(b"a", b"b")
    proxy, where = await scene.pass_on([first, second])
    asker = scene.asker()
    assert await asker.ask(where) == b"a"
    await first.gone()
    server = proxy.pools.by_name["web"].servers[0]
    asker.send(where, b"lost")
    await until(lambda: server.connect_failures == 1)
    assert [await asker.ask(where) for _ in range(3)] == [b"b"] * 3
    assert at_servers(proxy) == [0, 1]


async def test_a_server_that_is_down_loses_its_clients(scene: Scene) -> None:
    proxy, where = await scene.pass_on(await scene.resolvers(b"a", b"b"))
    asker = scene.asker()
    assert await asker.ask(where) == b"a"
    proxy.pools.judge(proxy.pools.by_name["web"].servers[0].server.target, Verdict.DOWN, "test", 0.0)
    assert await asker.ask(where) == b"b"
    assert at_servers(proxy) == [0, 1]


async def test_without_any_server_datagrams_are_dropped_and_counted(scene: Scene) -> None:
    (only,) = await scene.resolvers(b"a")
    proxy, where = await scene.pass_on([only])
    proxy.pools.judge(proxy.pools.by_name["web"].servers[0].server.target, Verdict.DOWN, "test", 0.0)
    scene.asker().send(where, b"?")
    (passed,) = proxy.counters.passed_on.values()
    await until(lambda: passed.refused == 1)
    assert passed.open == 0


async def test_a_server_that_refused_is_tried_again_when_there_is_no_other(scene: Scene) -> None:
    only = await Resolver(b"a").start()
    proxy, where = await scene.pass_on([only])
    asker = scene.asker()
    assert await asker.ask(where) == b"a"
    await only.gone()
    asker.send(where, b"lost")
    await until(lambda: proxy.pools.by_name["web"].servers[0].connect_failures == 1)
    back = await Resolver(b"again").start(only.address.port)
    answers = []
    for _ in range(2):  # the first may be the price of learning that all have refused
        asker.send(where, b"?")
        try:
            answers.append((await asker.heard(0.3))[0])
        except TimeoutError:
            answers.append(b"")
    assert answers[-1] == b"again:?"
    back.close()


async def test_a_client_that_was_silent_for_long_is_forgotten(scene: Scene) -> None:
    proxy, where = await scene.pass_on(await scene.resolvers(b"a", b"b"), replace(UDP, idle=0.1))
    asker = scene.asker()
    assert await asker.ask(where) == b"a"
    await until(lambda: at_servers(proxy) == [0, 0])
    assert await asker.ask(where) == b"b"  # and balanced anew
    (passed,) = proxy.counters.passed_on.values()
    assert passed.taken == 2


async def test_of_too_many_clients_the_one_that_was_silent_longest_is_forgotten(scene: Scene) -> None:
    proxy, where = await scene.pass_on(await scene.resolvers(b"a"), replace(UDP, sessions=2))
    first, second, third = (scene.asker() for _ in range(3))
    for asker in (first, second, first, third, first):
        assert await asker.ask(where) == b"a"
    (passed,) = proxy.counters.passed_on.values()
    assert (passed.open, passed.taken) == (2, 3)
    assert await second.ask(where) == b"a"
    assert (passed.open, passed.taken) == (2, 4)


async def test_on_all_addresses_answers_leave_from_where_the_question_came(scene: Scene) -> None:
    (only,) = await scene.resolvers(b"a")
    everywhere = replace(UDP, address=SocketAddress("0.0.0.0", 0))
    process = await scene.process(make_fleet({"web": [only.address]}), everywhere)
    port = process.listening[0].port
    for host in ("127.0.0.1", "127.0.0.2", "127.1.2.3"):
        assert await scene.asker().ask(SocketAddress(host, port)) == b"a"


async def test_servers_may_be_named(scene: Scene) -> None:
    (only,) = await scene.resolvers(b"a")
    named = SocketAddress("localhost", only.address.port)
    fleet = make_fleet({"web": [named]})
    process = await scene.process(fleet, UDP)
    asker = scene.asker()
    for number in range(3):
        asker.send(process.listening[0], b"%d" % number)
    assert sorted([(await asker.heard())[0] for _ in range(3)]) == [b"a:0", b"a:1", b"a:2"]


async def test_tcp_and_udp_share_a_port(scene: Scene, stage: Stage) -> None:
    (only,) = await scene.resolvers(b"a")
    address = SocketAddress("127.0.0.1", free_port())
    tcp = Listener(address, kind=ListenerKind.TCP, pool="web")
    process = await scene.process(make_fleet({"web": [only.address]}), replace(UDP, address=address), tcp)
    assert process.listening == (address, address)
    assert await scene.asker().ask(address) == b"a"
    assert set(process.counters.passed_on) == {f"udp {address}", f"tcp {address}"}


async def test_a_reload_leaves_clients_with_their_servers(scene: Scene) -> None:
    first, second = await scene.resolvers(b"a", b"b")
    process = await scene.process(make_fleet({"web": [first.address]}), UDP)
    asker, where = scene.asker(), process.listening[0]
    assert await asker.ask(where) == b"a"
    await process.take_up(make_fleet({"web": [second.address, first.address]}), process.edge)
    assert await asker.ask(where) == b"a"
    await process.take_up(make_fleet({"web": [second.address]}), process.edge)
    assert await asker.ask(where) == b"b"


async def test_what_was_asked_is_answered_though_the_listener_changes(scene: Scene) -> None:
    first, second = await scene.resolvers(b"a", b"b")
    process = await scene.process(make_fleet({"web": [first.address]}), UDP)
    asker, where = scene.asker(), process.listening[0]
    asker.send(where, b"later")
    await until(lambda: bool(first.asked))
    fleet = make_fleet({"other": [second.address]})
    await process.take_up(fleet, replace(process.edge, listen=(replace(UDP, pool="other"),)))
    assert len(process.proxy.connections) == 1
    first.answer()
    assert await asker.heard() == (b"a:later", (where.host, where.port))
    assert await asker.ask(where) == b"b"
    await until(lambda: not process.proxy.connections)


async def test_what_was_asked_is_answered_though_the_edge_leaves(scene: Scene) -> None:
    """And the address is free for a successor at once."""
    first, second = await scene.resolvers(b"a", b"b")
    address = SocketAddress("127.0.0.1", free_port())
    listener = replace(UDP, address=address)
    process = await scene.process(make_fleet({"web": [first.address]}, drain_timeout=5.0), listener)
    asker = scene.asker()
    asker.send(address, b"later")
    await until(lambda: bool(first.asked))
    stopping = asyncio.ensure_future(process.stop())
    await until(lambda: bool(process.proxy.connections))
    successor = await scene.process(make_fleet({"web": [second.address]}), listener)
    assert [await scene.asker().ask(address) for _ in range(8)] == [b"b"] * 8
    first.answer()
    assert await asker.heard() == (b"a:later", (address.host, address.port))
    async with asyncio.timeout(3):
        await stopping
    assert successor.counters.passed_on[f"udp {address}"].taken == 8


async def test_leaving_does_not_wait_for_an_answer_for_ever(scene: Scene) -> None:
    (only,) = await scene.resolvers(b"a")
    process = await scene.process(make_fleet({"web": [only.address]}, drain_timeout=0.2), UDP)
    scene.asker().send(process.listening[0], b"later")
    await until(lambda: bool(only.asked))
    async with asyncio.timeout(3):
        assert await process.front.leave() == 1
    assert process.counters.passed_on[process.edge.listen[0].label].open == 0
