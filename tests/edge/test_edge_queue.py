"""Where every server has as many requests as it may: who waits, who goes on when, who is sent away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from edge_bench import Wire
from edge_stage import ok
from edge_yard import Yard, statuses

from gslb.fleet_edge import Connections, QueueSettings, Retries
from gslb.world import Verdict

BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
MakeYard = Callable[..., Yard]


@pytest.fixture
def yard() -> Iterator[MakeYard]:
    made: list[Yard] = []

    def make(
        servers: str = "a", *, most: int = 1, size: int = 3, timeout: float = 5.0, **settings: Any
    ) -> Yard:
        pool = {"connections": Connections(most=most), "queue": QueueSettings(size, timeout)}
        made.append(Yard(servers, pool=pool, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()
        assert each.all_over()


def get(number: int) -> bytes:
    return b"GET /web HTTP/1.1\r\nHost: a\r\nX-Request-Id: %d\r\n\r\n" % number


def served(there: Yard) -> list[str]:
    return [request_id for _, _, request_id in there.sent()]


def test_who_comes_first_is_served_first_and_on_the_same_connection(yard: MakeYard) -> None:
    there = yard()
    clients = [there.ask(get(number)) for number in range(4)]
    wire = there.connect("a")
    assert len(there.pool.waiting) == 3
    for number in range(4):
        assert served(there) == [str(each) for each in range(number + 1)]
        there.answer(wire, ok())
    assert [statuses(client) for client in clients] == [[200]] * 4
    assert there.servers["a"].opened == 1


def test_one_more_than_may_wait_is_told_when_to_come_again(yard: MakeYard) -> None:
    there = yard(size=1, timeout=7.0)
    there.ask()
    there.ask()
    refused = there.ask()
    assert statuses(refused) == [503]
    assert b"\r\nRetry-After: 7\r\n" in refused.written
    assert b"region eu-west has no room at a server of pool web" in refused.written
    assert len(there.pool.waiting) == 1


def test_who_waits_too_long_is_told_when_to_come_again(yard: MakeYard) -> None:
    there = yard(timeout=5.0)
    there.ask()
    wire = there.connect("a")
    early = there.ask()
    there.wait(3.0)
    late = there.ask()
    there.wait(2.5)
    assert statuses(early) == [503]
    assert b"\r\nRetry-After: 5\r\n" in early.written
    assert statuses(late) == []
    there.answer(wire, ok())
    there.answer(wire, ok())
    assert statuses(late) == [200]


def test_who_was_refused_keeps_the_connection_and_may_ask_again(yard: MakeYard) -> None:
    there = yard(size=0)
    there.ask()
    wire = there.connect("a")
    refused = there.ask()
    there.answer(wire, ok())
    there.send(refused, get(2))
    there.answer(wire, ok())
    assert statuses(refused) == [503, 200]


@pytest.mark.parametrize(
    "leave", [Wire.close, lambda wire: wire.protocol.eof_received()], ids=["lost", "end"]
)
def test_a_client_that_leaves_gives_up_its_turn(yard: MakeYard, leave: Callable[[Wire], None]) -> None:
    there = yard()
    there.ask(get(0))
    wire = there.connect("a")
    leaving, staying = there.ask(get(1)), there.ask(get(2))
    leave(leaving)
    assert len(there.pool.waiting) == 1
    there.answer(wire, ok())
    there.answer(wire, ok())
    assert served(there) == ["0", "2"]
    assert statuses(staying) == [200]


def test_a_client_that_leaves_its_server_lets_the_next_one_in(yard: MakeYard) -> None:
    there = yard()
    first = there.ask(get(0))
    there.connect("a")
    there.ask(get(1))
    first.close()
    there.turn()
    there.connect("a")
    assert served(there) == ["0", "1"]


def test_a_connection_that_is_refused_lets_the_next_one_in(yard: MakeYard) -> None:
    there = yard()
    first, second = there.ask(get(0)), there.ask(get(1))
    there.refuse("a")
    assert statuses(first) == [502]
    there.answer(there.connect("a"), ok())
    assert statuses(second) == [200]


def test_a_tunnel_takes_a_place_until_it_is_over(yard: MakeYard) -> None:
    there = yard()
    there.ask(b"GET /web HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
    tunnel = there.connect("a")
    there.answer(tunnel, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n")
    waiting = there.ask()
    assert len(there.pool.waiting) == 1
    there.end(tunnel)
    there.answer(there.connect("a"), ok())
    assert statuses(waiting) == [200]


def test_a_server_that_comes_back_serves_those_who_wait_at_once(yard: MakeYard) -> None:
    there = yard("ab")
    pools, target = there.proxy.pools, there.servers["b"].server.target
    pools.judge(target, Verdict.DOWN, "test", 0.0)
    there.ask()
    waiting = there.ask()
    assert there.going_to() == ["a"]
    pools.judge(target, Verdict.UP, "test", 0.0)
    there.turn()
    assert there.going_to() == ["a", "b"]
    there.answer(there.connect("b"), ok())
    assert statuses(waiting) == [200]


def test_a_request_never_waits_for_the_server_that_it_has_been_to(yard: MakeYard) -> None:
    there = yard("ab", most=2, retries=Retries(on=frozenset((503,))))
    clients = [there.ask(get(number)) for number in range(4)]
    wires = [there.connect(host) for host in "abab"]
    on_a, on_b = [[wire for host, wire in there.wires if host == name] for name in "ab"]
    assert len(wires) == 4
    there.answer(on_a[0], BUSY)  # goes to b, which has no room, and waits for it
    assert len(there.pool.waiting) == 1
    there.answer(on_a[1], ok())  # room at a is no use to it
    assert len(there.pool.waiting) == 1
    overtaking = there.ask(get(9))  # but to others it is
    there.answer(on_a[1], ok())
    assert statuses(overtaking) == [200]
    there.answer(on_b[0], ok())
    there.answer(on_b[0], ok())
    there.answer(on_b[1], ok())
    assert [statuses(client) for client in clients] == [[200]] * 4
    assert [host for host, _, request_id in there.sent() if request_id == "0"] == ["a", "b"]


def test_a_request_that_tries_again_waits_its_full_time_however_long_the_first_try_took(
    yard: MakeYard,
) -> None:
    there = yard("ab", most=1, timeout=5.0, retries=Retries(on=frozenset((504,))))
    first = there.ask(get(0))
    there.connect("a")
    there.wait(20.0)
    there.ask(get(1))
    there.connect("b")
    there.wait(10.5)  # the first has waited for its 30 seconds
    assert len(there.pool.waiting) == 1
    there.wait(2.0)
    assert statuses(first) == []
    there.answer(there.wires[1][1], ok())
    there.answer(there.wires[1][1], ok())
    assert statuses(first) == [200]


def test_a_thousand_that_wait_are_sent_away_without_nesting(yard: MakeYard) -> None:
    there = yard(size=1000, timeout=5.0)
    there.ask()
    pipelined = [Wire(there._connected(None)) for _ in range(1000)]
    for client in pipelined:
        there.clients.append(client)
        client.protocol.data_received(get(1))
    assert len(there.pool.waiting) == 1000
    there.wait(6.0)
    assert all(statuses(client) == [503] for client in pipelined)
    assert there.proxy.counters.refusals == {503: 1000}
