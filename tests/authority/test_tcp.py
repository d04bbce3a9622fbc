"""DNS over TCP on real sockets, against a responder that does as each test says."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import socket
import struct

import pytest
import structlog

from gslb.dns.tcp import PASS_TIME, Clients, TcpListener
from gslb.dns.tcp_connection import KEPT_FOR_CLIENT, TURN_ANSWERS, client_of
from gslb.fleet import SocketAddress, TcpSettings

ANYWHERE = SocketAddress("127.0.0.1", 0)
PATIENCE = 20
"""Seconds after which a test fails that waits for what does not come."""


def query(number=0, size=12):
    """A message of `size` bytes that names itself."""
    return struct.pack("!H", number).ljust(size, b"q")


def framed(*messages):
    return b"".join(struct.pack("!H", len(message)) + message for message in messages)


class Echo:
    """Answers every query with itself; a test may say otherwise."""

    def __init__(self, answers=lambda packet: (packet,)):
        self.answers = answers
        self.asked = []

    def respond_stream(self, packet, source, port):
        self.asked.append((packet, source, port))
        return self.answers(packet)


class Client:
    """One connection to the listener, and what comes from there."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, data):
        self.writer.write(data)

    async def receive(self):
        async with asyncio.timeout(PATIENCE):
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            return await self.reader.readexactly(length)

    async def ask(self, packet):
        self.send(framed(packet))
        return await self.receive()

    async def rest(self):
        """Everything until the other side closes."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read()
        return b""

    def port(self):
        return self.writer.get_extra_info("sockname")[1]

    def close(self):
        self.writer.close()


@pytest.fixture
async def start():
    """Starts listeners that are stopped in the end."""
    listeners = []

    async def begin(responder=None, address=ANYWHERE, **settings):
        listener = TcpListener(address, responder or Echo(), TcpSettings(**settings))
        listeners.append(listener)
        await listener.start()
        return listener

    yield begin
    for listener in listeners:
        await listener.stop()
        assert listener.open == 0


@pytest.fixture
async def connect():
    """Connects clients that are closed in the end."""
    clients = []

    async def begin(listener, source="127.0.0.1", limit=2**16):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", listener.port, local_addr=(source, 0), limit=limit
        )
        clients.append(Client(reader, writer))
        return clients[-1]

    yield begin
    for client in clients:
        client.close()


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


class Advance:
    """The loop's clock, which runs by itself and may be put forward."""

    def __init__(self, time):
        self._time, self.seconds = time, 0.0

    def __call__(self):
        return self._time() + self.seconds


@pytest.fixture
async def clock(monkeypatch):
    loop = asyncio.get_running_loop()
    clock = Advance(loop.time)
    monkeypatch.setattr(loop, "time", clock)
    return clock


async def silent_client(listener, source="127.0.0.1"):
    """A connected socket that reads nothing unless told to, with little room for what it does not read."""
    client = socket.socket()
    client.bind((source, 0))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", listener.port))
    return client


# Queries and answers.


async def test_queries_in_one_segment_are_all_answered_in_their_order(start, connect):
    """RFC 7766 6.2.1.1."""
    echo = Echo()
    listener = await start(echo)
    client = await connect(listener)
    queries = [query(number, 12 + number % 40) for number in range(500)]
    client.send(framed(*queries))
    assert [await client.receive() for _ in queries] == queries
    assert listener.counts.queries == 500
    assert {(source, port) for _, source, port in echo.asked} == {client.writer.get_extra_info("sockname")}


async def test_a_query_may_arrive_byte_by_byte(start, connect):
    client = await connect(await start())
    for byte in framed(query(1), query(2)):
        client.send(bytes((byte,)))
        await client.writer.drain()
        await asyncio.sleep(0)
    assert [await client.receive(), await client.receive()] == [query(1), query(2)]


async def test_length_and_message_leave_together_as_do_answers_to_queries_that_came_together(
    start, monkeypatch
):
    """RFC 7766 8: a reader that takes the first segment for the whole message must not be let down."""
    monkeypatch.setattr("gslb.dns.tcp_connection.TURN_TIME", math.inf)
    listener = await start()
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", listener.port))
        for queries in ([query(1)], [query(number) for number in range(TURN_ANSWERS)]):
            await loop.sock_sendall(client, framed(*queries))
            assert await loop.sock_recv(client, 65536) == framed(*queries)


async def test_the_longest_message_goes_both_ways(start, connect):
    client = await connect(await start(), limit=2**18)
    assert await client.ask(query(7, 65535)) == query(7, 65535)


async def test_a_client_that_has_asked_everything_gets_every_answer(start, connect):
    listener = await start(Echo(lambda packet: [packet] * 40))
    client = await connect(listener, limit=2**20)
    client.send(framed(*(query(number, 1000) for number in range(20))) + b"\x00")
    client.writer.write_eof()
    answers = await client.rest()
    assert answers == framed(*(query(number, 1000) for number in range(20) for _ in range(40)))
    await until(lambda: not listener.open)


async def test_a_client_that_asks_nothing_and_ends_is_let_go(start, connect):
    listener = await start()
    client = await connect(listener)
    client.writer.write_eof()
    assert await client.rest() == b""
    await until(lambda: not listener.open)
    assert listener.counts.timed_out == 0


@pytest.mark.parametrize("broken", [b"\x00\x00", b"\x00\x0bshort"], ids=["empty", "shorter than a header"])
async def test_what_is_no_message_closes_the_connection_after_the_answers_before_it(start, connect, broken):
    listener = await start()
    client = await connect(listener)
    client.send(framed(query(1)) + broken + framed(query(2)))
    assert await client.rest() == framed(query(1))
    assert listener.counts.malformed == 1


async def test_a_query_that_gets_silence_closes_the_connection(start, connect):
    listener = await start(Echo(lambda packet: () if packet == query(2) else (packet,)))
    client = await connect(listener)
    client.send(framed(query(1), query(2), query(3)))
    assert await client.rest() == framed(query(1))


async def test_a_responder_that_fails_costs_one_connection_only(start, connect):
    def answers(packet):
        if packet == query(2):
            raise RuntimeError("inside")
        yield packet
        if packet == query(3):
            raise RuntimeError("in the middle of a transfer")

    listener = await start(Echo(answers))
    good = await connect(listener)
    assert await good.ask(query(1)) == query(1)
    for number in (2, 3):
        bad = await connect(listener)
        bad.send(framed(query(number)))
        assert await bad.rest() in (b"", framed(query(3)))
    assert await good.ask(query(1)) == query(1)


# Streams of messages.


async def test_a_transfer_waits_for_its_client_while_others_are_served(start, connect):
    made = []

    def answers(packet):
        if packet == query(1):
            return (packet,)

        def messages():
            for number in range(400):
                made.append(number)
                yield query(number, 16000)

        return messages()

    listener = await start(Echo(answers))
    loop = asyncio.get_running_loop()
    with await silent_client(listener) as slow:
        await loop.sock_sendall(slow, framed(query(2)))
        await until(lambda: made)
        other = await connect(listener)
        seen = -1
        while seen != len(made):  # until no more is made for the one that does not read
            seen = len(made)
            for _ in range(20):
                assert await other.ask(query(1)) == query(1)
        assert seen < 400
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        received = b""
        while len(received) < 400 * 16002:
            received += await loop.sock_recv(slow, 2**20)
        assert received == framed(*(query(number, 16000) for number in range(400)))
    assert listener.counts.slow_readers == 0


# Turns.


@pytest.mark.parametrize(("cost", "queries"), [(0.002, 20), (0.0009, 1)], ids=["pipelined", "one each"])
async def test_timers_run_between_turns_however_many_clients_ask_what_is_expensive(
    start, connect, clock, cost, queries
):
    rounds = [0]
    loop = asyncio.get_running_loop()

    def go_round():
        rounds.append(0)
        timer[0] = loop.call_at(loop.time(), go_round)

    def answers(packet):
        clock.seconds += cost
        rounds[-1] += 1
        return (packet,)

    listener = await start(Echo(answers))
    clients = [await connect(listener) for _ in range(40)]
    timer = [loop.call_soon(go_round)]
    for client in clients:
        client.send(framed(*(query(number) for number in range(queries))))
    for client in clients:
        assert [await client.receive() for _ in range(queries)] == [
            query(number) for number in range(queries)
        ]
    timer[0].cancel()
    assert sum(rounds) == 40 * queries
    # What is served at once and what was queued may come together, each with one turn beyond its time.
    assert max(rounds) <= 2 * (PASS_TIME / cost + 1)


async def test_a_connection_whose_queries_are_expensive_has_one_in_each_turn(start, connect, clock):
    def answers(packet):
        clock.seconds += 0.002
        return (packet,)

    listener = await start(Echo(answers))
    first, second = await connect(listener), await connect(listener)
    for client in (first, second):
        client.send(framed(*(query(number) for number in range(50))))
    for client in (first, second):
        for number in range(50):
            assert await client.receive() == query(number)
    ports = [port for _, _, port in listener.responder.asked]
    one, other = ports[0], next(port for port in ports if port != ports[0])
    both = ports[ports.index(other) : len(ports) - ports[::-1].index(one)]
    assert len(both) > 50
    assert all(port != following for port, following in itertools.pairwise(both))


async def test_a_client_that_asks_without_end_does_not_keep_the_loop_to_itself(start, connect, clock):
    answered_before_the_other = 0

    def answers(packet):
        nonlocal answered_before_the_other
        clock.seconds += 0.0001
        if packet == query(9, 13):
            answered_before_the_other = listener.counts.queries
        return (packet,)

    listener = await start(Echo(answers))
    busy, other = await connect(listener, limit=2**20), await connect(listener)
    assert await other.ask(query(1)) == query(1)
    busy.send(framed(*(query(number) for number in range(5000))))
    other.send(framed(query(9, 13)))
    assert await other.receive() == query(9, 13)
    for number in range(5000):
        assert await busy.receive() == query(number)
    assert 0 < answered_before_the_other < 1000


async def test_a_turn_that_fails_costs_nobody_else_theirs(start, connect, monkeypatch):
    monkeypatch.setattr("gslb.dns.tcp.PASS_TIME", 0.0)  # so that everybody waits in the queue
    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
    listener = await start()
    bad, good = await connect(listener), await connect(listener)
    await bad.ask(query(1))
    (broken,) = (each for each in listener._connections if each._port == bad.port())

    def fail(data):
        raise RuntimeError("inside")

    monkeypatch.setattr(broken._transport, "write", fail)
    bad.send(framed(query(2)))
    good.send(framed(query(3)))
    assert await good.receive() == query(3)
    await until(lambda: failures)
    assert await good.ask(query(4)) == query(4)


async def test_a_connection_that_waits_for_its_turn_is_not_read_meanwhile(start, connect, monkeypatch):
    monkeypatch.setattr("gslb.dns.tcp.PASS_TIME", 0.0)
    monkeypatch.setattr("gslb.dns.tcp_connection.TURN_ANSWERS", 1)
    most = 0

    def answers(packet):
        nonlocal most
        most = max(most, *(len(each._incoming) for each in listener._connections))
        return (packet[:12],)

    listener = await start(Echo(answers))
    client = await connect(listener)
    client.send(framed(*(query(number, 5000) for number in range(1000))))
    client.writer.write_eof()
    assert await client.rest() == framed(*(query(number) for number in range(1000)))
    assert 0 < most < 2**19


async def test_a_query_that_waits_for_its_turn_is_not_late(start, connect, clock):
    """Its deadline passes while others are served, but it is there already."""

    def answers(packet):
        clock.seconds += 20
        return (packet,)

    listener = await start(Echo(answers), idle_timeout=1000)
    clients = [await connect(listener) for _ in range(3)]
    await until(lambda: listener.open == 3)
    for client in clients:
        client.send(framed(query(1)))
    for client in clients:
        assert await client.reader.readexactly(14) == framed(query(1))
    assert listener.counts.timed_out == 0


async def test_an_answer_too_long_for_tcp_ends_the_connection_and_is_logged(start, connect):
    listener = await start(Echo(lambda packet: (packet if packet != query(2) else bytes(65536),)))
    client = await connect(listener)
    with structlog.testing.capture_logs() as lines:
        client.send(framed(query(1), query(2), query(3)))
        assert await client.rest() == framed(query(1))
    assert [(line["log_level"], line["bytes"]) for line in lines] == [("error", 65536)]


# Limits.


async def test_a_full_socket_closes_the_connection_that_is_idle_longest(start, connect):
    """RFC 7766 6.2.3 wants idle connections closed rather than new ones refused."""
    listener = await start(connections=3)
    first, second, third = [await connect(listener) for _ in range(3)]
    for client in (first, second, third, first):
        await client.ask(query(1))
    fourth = await connect(listener)
    assert await fourth.ask(query(4)) == query(4)
    assert await second.rest() == b""
    assert await first.ask(query(5)) == query(5)
    assert await third.ask(query(5)) == query(5)
    assert (listener.counts.displaced, listener.refused, listener.open) == (1, 0, 3)


async def test_one_byte_of_a_query_does_not_make_a_connection_less_idle(start, connect):
    listener = await start(connections=2)
    first, second = await connect(listener), await connect(listener)
    await first.ask(query(1))
    await second.ask(query(1))
    first.send(b"\x00")
    await first.writer.drain()
    third = await connect(listener)
    assert await third.ask(query(1)) == query(1)
    assert await first.rest() == b""
    assert await second.ask(query(1)) == query(1)


async def test_with_none_idle_the_client_with_most_connections_gives_up_the_one_busy_longest(start, connect):
    listener = await start(
        Echo(
            lambda packet: (
                (query(number, 60000) for number in range(100)) if packet == query(1) else (packet,)
            )
        ),
        connections=3,
    )
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as clients:
        ports = []
        for source in ("127.0.0.2", "127.0.0.1", "127.0.0.1"):
            client = clients.enter_context(await silent_client(listener, source))
            await loop.sock_sendall(client, framed(query(1)))
            ports.append(client.getsockname()[1])
            await until(lambda: listener.counts.queries == len(ports))
        newcomer = await connect(listener, "127.0.0.3")
        assert await newcomer.ask(query(2)) == query(2)
        left = {each._port for each in listener._connections}
        assert left == {ports[0], ports[2], newcomer.port()}
    assert (listener.counts.displaced, listener.refused) == (1, 0)


class Counted:
    """A connection as far as it is counted."""

    def __init__(self, client):
        self.client = client


def test_who_has_most_connections_is_known_whatever_comes_and_goes():
    clients = Clients()
    first, second, third = Counted(b"a"), Counted(b"a"), Counted(b"b")
    for each in (first, third):
        clients.add(each)
        assert clients.busy_longest(b"c") is None
    clients.add(second)
    assert clients.busy_longest(b"c") is first
    clients.busy(first)
    assert clients.busy_longest(b"b") is second
    fourth = Counted(b"b")
    clients.add(fourth)
    assert clients.busy_longest(b"a") is second
    assert clients.busy_longest(b"b") is third  # who has most already takes nothing from others
    for each in (first, second):
        clients.remove(each)
    assert clients.busy_longest(b"c") is third
    clients.remove(third)
    assert clients.busy_longest(b"c") is None
    assert [clients.having(client) for client in (b"a", b"b")] == [0, 1]


async def test_a_connection_that_is_being_answered_is_not_closed_for_a_new_one(start, connect):
    listener = await start(
        Echo(lambda packet: (query(number, 60000) for number in range(100))), connections=1
    )
    loop = asyncio.get_running_loop()
    with await silent_client(listener) as slow:
        await loop.sock_sendall(slow, framed(query(1)))
        await until(lambda: listener.counts.queries)
        late = await connect(listener)
        assert await late.rest() == b""
        assert listener.counts.refused == {"socket limit": 1}
        received = 0
        while received < 100 * 60002:
            received += len(await loop.sock_recv(slow, 2**20))
    await until(lambda: not listener.open)


async def test_one_client_may_have_so_many_connections_only(start, connect):
    listener = await start(connections_per_client=2)
    clients = [await connect(listener) for _ in range(2)]
    for client in clients:
        await client.ask(query(1))
    assert await (await connect(listener)).rest() == b""
    assert listener.counts.refused == {"client limit": 1}
    somebody_else = await connect(listener, "127.0.0.2")
    assert await somebody_else.ask(query(1)) == query(1)
    clients[0].close()
    await until(lambda: listener.open == 2)
    again = await connect(listener)
    assert await again.ask(query(2)) == query(2)
    assert listener.counts.accepted == 4


def test_ipv6_clients_are_counted_by_their_56_bits():
    """As many as a site may have; by /64 it could take 256 times the connections of others."""
    assert client_of("2001:db8:1:200::3") == client_of("2001:db8:1:2ff:ffff::1")
    assert client_of("2001:db8:1:200::3") != client_of("2001:db8:1:300::3")
    assert client_of("fe80::1%eth0") == client_of("fe80::2")
    assert client_of("::ffff:192.0.2.1") == client_of("192.0.2.1") != client_of("192.0.2.2")


async def test_new_settings_hold_without_a_new_socket(start, connect):
    listener = await start(connections_per_client=1)
    first = await connect(listener)
    await first.ask(query(1))
    listener.settings = TcpSettings(connections_per_client=2)
    second = await connect(listener)
    assert await second.ask(query(1)) == query(1)
    listener.settings = TcpSettings(idle_timeout=0.05)
    for client in (first, second):
        assert await client.ask(query(2)) == query(2)
        assert await client.rest() == b""
    assert listener.counts.timed_out == 2


async def test_a_lower_limit_holds_from_the_next_connection_on(start, connect):
    listener = await start(connections=3)
    old = [await connect(listener) for _ in range(3)]
    for client in old:
        await client.ask(query(1))
    listener.settings = TcpSettings(connections=1)
    new = await connect(listener)
    assert await new.ask(query(1)) == query(1)
    assert [await client.rest() for client in old] == [b"", b"", b""]
    assert listener.open == 1


# Time.


async def test_a_client_that_says_nothing_is_let_go(start, connect, monkeypatch):
    monkeypatch.setattr("gslb.dns.tcp_connection.FIRST_QUERY_TIMEOUT", 0.05)
    listener = await start(idle_timeout=60)
    client = await connect(listener)
    assert await client.rest() == b""
    assert listener.counts.timed_out == 1


async def test_a_client_that_is_idle_is_let_go(start, connect):
    listener = await start()
    client = await connect(listener)
    await until(lambda: listener.open)
    listener.settings = TcpSettings(idle_timeout=0.05)
    assert await client.ask(query(1)) == query(1)
    assert await client.rest() == b""
    assert listener.counts.timed_out == 1


@pytest.mark.parametrize("queries_before", [0, 1])
async def test_a_query_that_trickles_is_bounded_as_a_whole(start, connect, monkeypatch, queries_before):
    timeout = "QUERY_TIMEOUT" if queries_before else "FIRST_QUERY_TIMEOUT"
    monkeypatch.setattr(f"gslb.dns.tcp_connection.{timeout}", 0.1)
    listener = await start(idle_timeout=60)
    client = await connect(listener)
    for _ in range(queries_before):
        await client.ask(query(1))
    client.send(b"\xff\xff")
    ended = asyncio.create_task(client.rest())
    with contextlib.suppress(ConnectionError):
        while not ended.done():
            client.send(b"x")
            await client.writer.drain()
            await asyncio.sleep(0.01)
    assert await ended == b""
    assert listener.counts.timed_out == 1


async def test_a_client_that_never_reads_is_cut_off_and_leaves_nothing_open(start, monkeypatch):
    monkeypatch.setattr("gslb.dns.tcp_connection.WRITE_TIMEOUT", 0.05)
    made = 0

    def answers(packet):
        nonlocal made
        while True:
            made += 1
            yield query(1, 16000)

    listener = await start(Echo(answers))
    with await silent_client(listener) as client:
        await asyncio.get_running_loop().sock_sendall(client, framed(query(1)))
        await until(lambda: made and not listener.open)
    assert listener.counts.slow_readers == 1


async def read_a_little_for(seconds, listener, clock, made, client):
    """Puts the clock forward by 5 s whenever the client is behind, and reads until more is made for it."""
    loop = asyncio.get_running_loop()
    until_then = clock.seconds + seconds
    while clock.seconds < until_then:
        await until(lambda: not listener.open or all(each._blocked for each in listener._connections))
        clock.seconds += 5
        for _ in range(3):
            await asyncio.sleep(0)  # timers that are due
        before = len(made)
        while listener.open and len(made) == before:
            with contextlib.suppress(ConnectionError):
                await loop.sock_recv(client, 2**16)
            await asyncio.sleep(0)


async def test_a_client_that_reads_just_enough_is_cut_off_in_the_end(start, clock):
    made = []
    listener = await start(Echo(lambda packet: made.append(packet) or (packet.ljust(60000),)))
    with await silent_client(listener) as client:
        await asyncio.get_running_loop().sock_sendall(client, framed(*(query() for _ in range(4000))))
        await read_a_little_for(20, listener, clock, made, client)
        assert listener.open == 1
        await read_a_little_for(30, listener, clock, made, client)
        assert listener.open == 0
    assert listener.counts.slow_readers == 1


async def test_a_transfer_may_take_longer_than_that(start, clock):
    made = []

    def answers(packet):
        while True:
            made.append(packet)
            yield packet.ljust(60000)

    listener = await start(Echo(answers))
    with await silent_client(listener) as client:
        await asyncio.get_running_loop().sock_sendall(client, framed(query()))
        await read_a_little_for(100, listener, clock, made, client)
        assert listener.open == 1
    await until(lambda: not listener.open)
    assert listener.counts.slow_readers == 0


async def test_the_last_answers_are_waited_for_no_longer_than_others(start, monkeypatch):
    """The client ends what it sends, but reads too little for the last answers to leave."""
    monkeypatch.setattr("gslb.dns.tcp_connection.WRITE_TIMEOUT", 0.05)
    size = 0

    def answers(packet):
        nonlocal size
        while not listener_is_full():
            size += 1000
            yield query(1, 1000)

    def listener_is_full():
        return any(each._transport.get_write_buffer_size() for each in listener._connections)

    listener = await start(Echo(answers))
    with await silent_client(listener) as client:
        await asyncio.get_running_loop().sock_sendall(client, framed(query(1)))
        client.shutdown(socket.SHUT_WR)
        await until(lambda: size and not listener.open)
    assert listener.counts.slow_readers == 1


async def test_a_client_that_floods_queries_and_never_reads_fills_no_memory(start, monkeypatch):
    monkeypatch.setattr("gslb.dns.tcp_connection.WRITE_TIMEOUT", 0.2)
    listener = await start()
    loop = asyncio.get_running_loop()
    most = 0
    with await silent_client(listener) as client, contextlib.suppress(ConnectionError):
        while True:
            await loop.sock_sendall(client, framed(*(query(number, 1000) for number in range(100))))
            for each in listener._connections:
                most = max(most, len(each._incoming) + each._transport.get_write_buffer_size())
    assert 0 < most < 2**19 + 2 * KEPT_FOR_CLIENT
    await until(lambda: not listener.open)
    assert listener.counts.slow_readers == 1


# The end.


async def test_stopping_finishes_what_is_being_answered_and_closes_the_rest(start, connect):
    listener = await start(Echo(lambda packet: (query(number, 60000) for number in range(100))))
    loop = asyncio.get_running_loop()
    idle = await connect(listener)
    with await silent_client(listener) as slow:
        await loop.sock_sendall(slow, framed(query(1)))
        await until(lambda: listener.counts.queries)
        stopping = asyncio.create_task(listener.stop())
        assert await idle.rest() == b""
        received = b""
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        while chunk := await loop.sock_recv(slow, 2**20):
            received += chunk
        assert received == framed(*(query(number, 60000) for number in range(100)))
    await stopping
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(*idle.writer.get_extra_info("peername"))


async def test_stopping_does_not_wait_for_a_client_that_does_not_read(start, monkeypatch):
    monkeypatch.setattr("gslb.dns.tcp.STOP_TIMEOUT", 0.05)
    listener = await start(Echo(lambda packet: (query(number, 60000) for number in range(200))))
    with await silent_client(listener) as slow:
        await asyncio.get_running_loop().sock_sendall(slow, framed(query(1)))
        await until(lambda: listener.counts.queries)
        await listener.stop()
    assert listener.open == 0


async def test_a_listener_that_was_never_started_gives_its_port_back():
    listener = TcpListener(ANYWHERE, Echo(), TcpSettings())
    port = listener.port
    await listener.stop()
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))
