"""Whatever happens in whatever order, the books balance: every request is counted once, and is over once."""

from __future__ import annotations

from collections import Counter

from edge_bench import Wire
from edge_stage import ok
from edge_yard import Yard
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gslb.fleet_edge import Connections, QueueSettings, Retries, Timeouts
from gslb.world import Verdict

MOST = 2
REQUESTS = {
    "get": b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n",
    "last get": b"GET /web HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "post": b"POST /web HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    "put begun": b"PUT /web HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
    "put held back": b"PUT /web HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    "chunks begun": b"PUT /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "long put": b"PUT /web HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nlonger",
    "upgrade": b"GET /web HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
}
RESPONSES = {
    "200": ok(),
    "503": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
    "half": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
    "rest": b"llo",
    "until close": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "too much": ok() + b"surplus",
    "rubbish": b"rubbish\r\n\r\n",
}
SECONDS = (0.1, 1.0, 2.5, 6.0, 20.0)
somewhere = strategies.integers(0, 100)


class Accounts(RuleBasedStateMachine):
    """Three servers of two places each; a queue for three."""

    def __init__(self) -> None:
        super().__init__()
        self.yard = Yard(
            "abc",
            pool={
                "connections": Connections(most=MOST, idle=1, idle_timeout=10.0),
                "queue": QueueSettings(size=3, timeout=5.0),
            },
            timeouts=Timeouts(first_byte=15.0, idle=15.0, total=40.0),
            retries=Retries(tries=3, on=frozenset((502, 503, 504)), body=4),
            tunnel_timeout=15.0,
        )

    def open_clients(self) -> list[Wire]:
        return [client for client in self.yard.clients if not client.closed]

    def open_wires(self) -> list[Wire]:
        return [wire for _, wire in self.yard.wires if not wire.closed]

    # Clients.

    @rule(kind=strategies.sampled_from(sorted(REQUESTS)))
    def a_request_comes(self, kind: str) -> None:
        self.yard.ask(REQUESTS[kind])

    @precondition(lambda self: self.open_clients())
    @rule(which=somewhere, more=strategies.sampled_from([b"llo", b"0\r\n\r\n", REQUESTS["get"]]))
    def a_client_goes_on(self, which: int, more: bytes) -> None:
        clients = self.open_clients()
        self.yard.send(clients[which % len(clients)], more)

    @precondition(lambda self: self.open_clients())
    @rule(which=somewhere, gently=strategies.booleans())
    def a_client_leaves(self, which: int, gently: bool) -> None:
        clients = self.open_clients()
        client = clients[which % len(clients)]
        if gently:
            self.yard.end(client)
        else:
            client.close()
            self.yard.turn()

    @precondition(lambda self: self.open_clients())
    @rule(which=somewhere)
    def a_client_is_slow_for_a_moment(self, which: int) -> None:
        clients = self.open_clients()
        client = clients[which % len(clients)]
        connection = client.protocol
        if connection.write_paused:  # type: ignore[attr-defined]
            connection.resume_writing()
        else:
            connection.pause_writing()
        self.yard.turn()

    # Servers.

    @precondition(lambda self: self.yard.connecting)
    @rule(
        which=somewhere,
        error=strategies.sampled_from([None, None, None, ConnectionRefusedError, TimeoutError]),
    )
    def connecting_is_over(self, which: int, error: type[Exception] | None) -> None:
        under_way = self.yard.connecting
        self.yard.settle(under_way[which % len(under_way)], error() if error else None)

    @precondition(lambda self: self.open_wires())
    @rule(which=somewhere, kind=strategies.sampled_from(["200", "200", *sorted(RESPONSES)]))
    def a_server_says(self, which: int, kind: str) -> None:
        wires = self.open_wires()
        self.yard.answer(wires[which % len(wires)], RESPONSES[kind])

    @precondition(lambda self: self.open_wires())
    @rule(which=somewhere, gently=strategies.booleans())
    def a_server_closes(self, which: int, gently: bool) -> None:
        wires = self.open_wires()
        wire = wires[which % len(wires)]
        if gently:
            self.yard.end(wire)
        else:
            wire.closed = True
            wire.protocol.connection_lost(ConnectionResetError())
            self.yard.turn()

    @rule(host=strategies.sampled_from("abc"), up=strategies.booleans())
    def a_verdict_comes(self, host: str, up: bool) -> None:
        target = self.yard.servers[host].server.target
        self.yard.proxy.pools.judge(target, Verdict.UP if up else Verdict.DOWN, "test", self.yard.now)
        self.yard.turn()

    @rule(seconds=strategies.sampled_from(SECONDS))
    def time_passes(self, seconds: float) -> None:
        self.yard.wait(seconds)

    # What always holds.

    @invariant()
    def servers_have_the_requests_that_are_counted_there(self) -> None:
        for host, state in self.yard.servers.items():
            assert state.in_flight == self.yard.going_to().count(host) + self.yard.busy_wires(host)
            assert 0 <= state.in_flight <= MOST

    @invariant()
    def every_request_is_at_a_server_or_waits(self) -> None:
        counters, pool = self.yard.proxy.counters, self.yard.pool
        assert counters.in_flight == pool.in_flight + len(pool.waiting)
        assert 0 <= counters.retrying <= counters.in_flight

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        waiting = self.yard.pool.waiting
        assert len(waiting) <= 3
        assert not waiting.due()

    @invariant()
    def nobody_gets_two_answers(self) -> None:
        counters = self.yard.proxy.counters
        assert sum(counters.responses.values()) <= counters.requests

    def teardown(self) -> None:
        self.yard.close()
        assert self.yard.all_over()
        assert not self.yard.proxy.connections
        assert not self.open_wires()
        times = Counter(self.yard.sent())
        for (_, method, _), count in times.items():
            assert count <= (1 if method == "POST" else 2)
        servers = Counter(request_id for _, _, request_id in times)
        assert all(count <= 3 for count in servers.values())
        posts = Counter(request_id for _, method, request_id in times if method == "POST")
        assert all(count == 1 for count in posts.values())


TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
