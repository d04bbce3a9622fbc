"""Which requests go to a server again, to which one, and how often at most."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from edge_bench import Wire
from edge_stage import ok
from edge_yard import Yard, statuses

from gslb.fleet_edge import Retries, RetryBudget, Timeouts

GET = b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /web HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
ON_503 = Retries(on=frozenset((503,)))
MakeYard = Callable[..., Yard]


@pytest.fixture
def yard() -> Iterator[MakeYard]:
    made: list[Yard] = []

    def make(servers: str = "abc", **settings: object) -> Yard:
        made.append(Yard(servers, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()
        assert each.all_over()


def body(wire: Wire) -> bytes:
    """Of the last request that a server was sent."""
    return wire.written.rpartition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("request_bytes", [GET, POST])
def test_a_refused_connection_sends_any_request_on_to_every_server_there_is(
    yard: MakeYard, request_bytes: bytes
) -> None:
    there = yard("abcd", retries=Retries(tries=2))
    client = there.ask(request_bytes)
    visited = []
    while there.connecting:
        visited += there.going_to()
        there.refuse(visited[-1])
    assert visited == ["a", "b", "c", "d"]
    assert statuses(client) == [502]


def test_a_stale_connection_is_replaced_by_a_new_one_to_the_same_server(yard: MakeYard) -> None:
    there = yard("a")
    client = there.ask(GET)
    there.answer(there.connect("a"), ok())
    there.send(client, GET)
    there.end(there.wires[0][1])
    assert there.going_to() == ["a"]
    there.answer(there.connect("a"), ok())
    assert statuses(client) == [200, 200]
    assert there.servers["a"].in_flight == 0


def test_only_once_is_a_connection_called_stale(yard: MakeYard) -> None:
    there = yard("a")
    client = there.ask(GET)
    there.answer(there.connect("a"), ok())
    there.send(client, GET)
    there.end(there.wires[0][1])
    there.end(there.connect("a"))
    assert not there.connecting
    assert statuses(client) == [200, 502]


def test_a_stale_connection_costs_a_request_that_may_have_taken_effect(yard: MakeYard) -> None:
    there = yard("ab")
    client = there.ask(GET)
    there.answer(there.connect("a"), ok())
    there.send(client, GET)
    there.answer(there.connect("b"), ok())
    there.send(client, POST)
    there.end(there.wires[0][1])
    assert statuses(client) == [200, 200, 502]
    assert not there.connecting


def test_a_body_is_sent_again_as_far_as_it_is_kept(yard: MakeYard) -> None:
    there = yard(retries=Retries(on=frozenset((503,)), body=5))
    client = there.ask(b"PUT /web HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhe")
    first = there.connect("a")
    there.send(client, b"llo")
    there.answer(first, BUSY)
    there.send(client, b" you")  # while it is being connected to
    second = there.connect("b")
    assert (body(first), body(second)) == (b"hello", b"hello you")
    there.answer(second, ok())
    assert statuses(client) == [200]


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_longer_than_is_kept_is_sent_once(yard: MakeYard, framing: str) -> None:
    there = yard(retries=Retries(on=frozenset((503,)), body=5))
    client = there.ask(
        b"PUT /web HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhello!"
        if framing == "length"
        else b"PUT /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello!\r\n0\r\n\r\n"
    )
    there.answer(there.connect("a"), BUSY)
    assert not there.connecting
    assert client.written.endswith(b"\r\n\r\nbusy")


def test_chunks_and_trailers_are_sent_again_whole(yard: MakeYard) -> None:
    there = yard(retries=ON_503)
    there.ask(
        b"PUT /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\nChecksum: 5\r\n\r\n"
    )
    first = there.connect("a")
    there.answer(first, BUSY)
    second = there.connect("b")
    for wire in (first, second):
        assert wire.written.endswith(b"\r\n0\r\nChecksum: 5\r\n\r\n")
        assert b"abc" in wire.written
        assert b"de\r\n" in wire.written


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"get", b"LOCK"])
def test_what_is_not_idempotent_gets_the_response_that_there_is(yard: MakeYard, method: bytes) -> None:
    there = yard(retries=ON_503)
    client = there.ask(method + b" /web HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    there.answer(there.connect("a"), BUSY)
    assert not there.connecting
    assert client.written.endswith(b"\r\n\r\nbusy")


def test_a_status_that_the_route_does_not_name_is_an_answer(yard: MakeYard) -> None:
    there = yard(retries=Retries(on=frozenset((502,))))
    client = there.ask(GET)
    there.answer(there.connect("a"), BUSY)
    assert statuses(client) == [503]


def test_never_twice_to_the_same_server_and_the_last_response_counts(yard: MakeYard) -> None:
    there = yard("ab", retries=Retries(tries=9, on=frozenset((503,))))
    client = there.ask(GET)
    there.answer(there.connect("a"), BUSY.replace(b"busy", b"no 1"))
    there.answer(there.connect("b"), BUSY.replace(b"busy", b"no 2"))
    assert not there.connecting
    assert client.written.endswith(b"\r\n\r\nno 2")
    assert client.written.count(b"HTTP/1.1 ") == 1
    assert there.proxy.counters.retries == 1


def test_no_more_servers_than_tries(yard: MakeYard) -> None:
    there = yard("abc", retries=Retries(tries=2, on=frozenset((503,))))
    client = there.ask(GET)
    there.answer(there.connect("a"), BUSY)
    there.answer(there.connect("b"), BUSY)
    assert statuses(client) == [503]
    assert not there.connecting


def test_no_more_retries_at_a_time_than_the_budget_has(yard: MakeYard) -> None:
    there = yard("ab", retries=ON_503, retry_budget=RetryBudget(share=0.0, least=1))
    lucky, unlucky = there.ask(GET), there.ask(GET)
    first = there.connect("a")
    second = there.connect("b")
    there.answer(first, BUSY)
    there.answer(second, BUSY)
    assert (statuses(lucky), statuses(unlucky)) == ([], [503])
    assert there.proxy.counters.retrying == 1
    there.answer(there.connect("b"), ok())
    assert there.proxy.counters.retrying == 0
    again = there.ask(GET)
    there.answer(there.wires[-1][1], BUSY)
    there.answer(there.connect("a"), ok())
    assert statuses(again) == [200]


def test_a_retry_that_is_given_up_frees_its_share_of_the_budget(yard: MakeYard) -> None:
    there = yard("ab", retries=ON_503)
    client = there.ask(GET)
    there.answer(there.connect("a"), BUSY)
    assert there.proxy.counters.retrying == 1
    client.close()
    there.turn()
    assert there.proxy.counters.retrying == 0
    assert not there.connecting


def test_the_total_time_holds_for_all_tries_together(yard: MakeYard) -> None:
    there = yard("ab", retries=ON_503, timeouts=Timeouts(total=10.0))
    client = there.ask(GET)
    first = there.connect("a")
    there.wait(9.0)
    there.answer(first, BUSY)
    assert there.going_to() == ["b"]
    there.wait(1.5)
    assert statuses(client) == [504]
    assert not there.connecting


def test_when_its_time_is_over_the_response_that_there_is_counts(yard: MakeYard) -> None:
    there = yard("ab", retries=ON_503, timeouts=Timeouts(total=10.0))
    client = there.ask(GET)
    first = there.connect("a")
    there.now = 10.0
    there.answer(first, BUSY)
    assert statuses(client) == [503]


def test_a_server_that_is_too_slow_is_left_where_the_route_says_so(yard: MakeYard) -> None:
    there = yard("ab", retries=Retries(on=frozenset((504,))), timeouts=Timeouts(first_byte=30.0))
    client = there.ask(GET)
    first = there.connect("a")
    there.wait(31.0)
    assert first.closed
    assert there.going_to() == ["b"]
    there.wait(1.0)  # connecting has a time of its own
    there.answer(there.connect("b"), ok())
    assert statuses(client) == [200]


def test_slow_connections_share_two_time_outs(yard: MakeYard) -> None:
    there = yard("abc", timeouts=Timeouts(connect=2.0))
    client = there.ask(POST)
    for host in "ab":
        there.now += 2.0
        there.settle(there.connecting[0], TimeoutError())
        assert host not in there.going_to()
    assert statuses(client) == [504]


def test_nothing_is_tried_again_once_the_response_has_begun(yard: MakeYard) -> None:
    there = yard("ab", retries=Retries(on=frozenset((502, 503, 504))))
    client = there.ask(GET)
    wire = there.connect("a")
    there.answer(wire, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    there.end(wire)
    assert client.closed
    assert not there.connecting


def test_an_interim_response_does_not_keep_from_trying_again(yard: MakeYard) -> None:
    there = yard("ab", retries=ON_503)
    client = there.ask(GET)
    wire = there.connect("a")
    there.answer(wire, b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
    there.answer(wire, BUSY)
    there.answer(there.connect("b"), ok())
    assert statuses(client) == [103, 200]
