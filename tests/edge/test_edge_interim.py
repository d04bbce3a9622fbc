"""Trailers, interim responses, answers that come early, and old versions of HTTP."""

from __future__ import annotations

import re

import pytest
from edge_bench import Bench
from edge_stage import Seen, Stage, answering, ok, read_message

from gslb.fleet_edge import Timeouts

GET = b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n"
HEALTH = b"GET /.gslb/health HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECTING = b"POST /web HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"


def ask(bench: Bench, *pieces: bytes) -> None:
    for piece in pieces:
        bench.connection.data_received(piece)


def answer(bench: Bench, *pieces: bytes) -> None:
    for piece in pieces:
        bench.upstream.protocol.data_received(piece)


def over(bench: Bench) -> bool:
    return bench.proxy.counters.in_flight == bench.server.in_flight == 0


def closes(bench: Bench) -> bool:
    return b"\r\nConnection: close\r\n" in bench.client.written


def statuses(bench: Bench) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", bench.client.written)]


# Trailers.


def test_trailers_of_a_request_reach_the_server_but_not_those_for_this_hop() -> None:
    bench = Bench()
    ask(bench, CHUNKED, b"2\r\nhi\r\n0\r\nChecksum: abc\r\nX-Two: 2\r\nConnection: x\r\n\r\n")
    assert bench.upstream.written.endswith(b"2\r\nhi\r\n0\r\nChecksum: abc\r\nX-Two: 2\r\n\r\n")
    answer(bench, ok())
    assert over(bench)


@pytest.mark.parametrize(
    "trailer",
    [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: evil", b"no colon", b" folded: x"],
)
def test_a_trailer_that_changes_what_the_head_said_is_refused(trailer: bytes) -> None:
    bench = Bench()
    ask(bench, CHUNKED, b"2\r\nhi\r\n0\r\n" + trailer + b"\r\n\r\n")
    assert bench.client.written.startswith(b"HTTP/1.1 400 ")
    assert closes(bench)
    assert bench.upstream.written.endswith(b"2\r\nhi\r\n")
    assert bench.upstream.closed
    assert over(bench)


def test_trailers_of_a_response_reach_the_client() -> None:
    bench = Bench()
    ask(bench, GET)
    answer(
        bench, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nGrpc-Status: 0\r\n\r\n"
    )
    assert bench.client.written.endswith(b"2\r\nhi\r\n0\r\nGrpc-Status: 0\r\n\r\n")
    assert over(bench)
    assert len(bench.server.idle) == 1


def test_a_client_of_http_1_0_gets_no_trailers() -> None:
    bench = Bench()
    ask(bench, b"GET /web HTTP/1.0\r\n\r\n")
    answer(bench, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: 1\r\n\r\n")
    assert bench.client.written.endswith(b"\r\n\r\nhi")
    assert closes(bench)


@pytest.mark.parametrize(
    ("te", "sent"),
    [(b"trailers", True), (b"gzip, Trailers", True), (b"deflate;q=0.5", False), (b"", False)],
)
def test_te_goes_on_only_as_trailers(te: bytes, sent: bool) -> None:
    bench = Bench()
    ask(bench, b"GET /web HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: " + te + b"\r\n\r\n")
    assert (b"\r\nTE: trailers\r\n" in bench.upstream.written) is sent
    assert bench.upstream.written.lower().count(b"\r\nte:") == sent


# Interim responses.


def test_interim_responses_pass_in_order_before_the_final_one() -> None:
    bench = Bench()
    ask(bench, GET)
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </%d.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n"
    answer(bench, hints % 1, b"HTTP/1.1 102 Processing\r\n\r\n" + hints % 2)
    assert bench.client.written == (
        b"HTTP/1.1 103 Early Hints\r\nLink: </1.css>\r\n\r\n"
        b"HTTP/1.1 102 Processing\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </2.css>\r\n\r\n"
    )
    assert bench.proxy.counters.in_flight == 1
    answer(bench, ok())
    assert statuses(bench) == [103, 102, 103, 200]
    assert over(bench)


def test_interim_responses_are_none_of_an_http_1_0_clients_business() -> None:
    bench = Bench()
    ask(bench, b"GET /web HTTP/1.0\r\n\r\n")
    answer(bench, b"HTTP/1.1 103 Early Hints\r\n\r\n", ok())
    assert statuses(bench) == [200]


def test_interim_responses_keep_a_slow_server_from_being_given_up() -> None:
    bench = Bench(timeouts=Timeouts(first_byte=30.0))
    ask(bench, GET)
    for now in (25.0, 50.0, 75.0):
        bench.loop.time.return_value = now
        bench.connection.check(now)
        answer(bench, b"HTTP/1.1 102 Processing\r\n\r\n")
    bench.connection.check(106.0)
    assert statuses(bench) == [102, 102, 102, 504]


def test_a_server_that_ends_after_an_interim_response_has_not_answered() -> None:
    bench = Bench()
    ask(bench, GET)
    answer(bench, b"HTTP/1.1 103 Early Hints\r\n\r\n")
    bench.upstream.protocol.eof_received()
    assert statuses(bench) == [103, 502]
    assert over(bench)


def test_continue_is_asked_for_once_and_told_once() -> None:
    bench = Bench()
    ask(bench, EXPECTING)
    assert bench.upstream.written.count(b"Expect: 100-continue\r\n") == 1
    assert bench.client.written == b""  # the edge promises nothing for the server
    answer(bench, b"HTTP/1.1 100 Continue\r\n\r\n")
    assert bench.client.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    ask(bench, b"body")
    answer(bench, ok())
    assert statuses(bench) == [100, 200]
    assert not closes(bench)
    assert over(bench)


def test_a_server_that_answers_without_100_may_still_take_the_body() -> None:
    bench = Bench()
    ask(bench, EXPECTING, b"bo")  # the client did not wait
    answer(bench, ok())
    assert statuses(bench) == [200]
    assert not closes(bench)
    ask(bench, b"dy" + HEALTH)
    assert statuses(bench) == [200, 200]


@pytest.mark.parametrize("path", [b"/web", b"/nowhere"])
def test_a_body_that_was_held_back_is_not_taken_for_the_next_request(path: bytes) -> None:
    bench = Bench()
    ask(bench, EXPECTING.replace(b"/web", path))
    if path == b"/web":
        answer(bench, TOO_LARGE)
    assert statuses(bench) in ([413], [404])
    # Whether the client sends its body now or another request cannot be told.
    assert closes(bench)
    ask(bench, HEALTH)
    assert len(statuses(bench)) == 1
    assert over(bench)


# Answers that come before the request has.


def early(bench: Bench, length: int) -> None:
    ask(bench, b"POST /web HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length, b"some")
    answer(bench, TOO_LARGE)


def test_a_short_rest_is_read_and_the_connection_goes_on() -> None:
    bench = Bench()
    early(bench, 4 + 65536)
    assert bench.upstream.closed  # a server that has not read its request cannot take another
    assert not closes(bench)
    ask(bench, b"x" * 65536 + HEALTH)
    assert statuses(bench) == [413, 200]
    assert over(bench)


def test_a_long_rest_costs_the_connection() -> None:
    bench = Bench()
    early(bench, 4 + 65537)
    assert closes(bench)
    ask(bench, b"x" * 65537 + HEALTH)
    assert statuses(bench) == [413]
    bench.loop.time.return_value = 3.0
    bench.connection.check(3.0)
    assert bench.client.closed


def test_a_rest_in_chunks_is_read_as_far_as_another_would_be() -> None:
    bench = Bench()
    ask(bench, CHUNKED, b"4\r\nsome\r\n")
    answer(bench, TOO_LARGE)
    assert not closes(bench)
    ask(bench, b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\n\r\n" + HEALTH)
    assert statuses(bench) == [413, 200]


def test_a_rest_in_chunks_without_end_costs_the_connection() -> None:
    bench = Bench()
    ask(bench, CHUNKED, b"4\r\nsome\r\n")
    answer(bench, TOO_LARGE)
    ask(bench, b"10001\r\n" + b"x" * 65537 + b"\r\n0\r\n\r\n" + HEALTH)
    assert statuses(bench) == [413]


def test_a_rest_that_does_not_come_is_not_waited_for_long() -> None:
    bench = Bench()
    early(bench, 10)
    bench.connection.check(2.5)  # says that it will close
    ask(bench, b"x" * 6 + HEALTH)
    assert statuses(bench) == [413]
    bench.connection.check(5.0)
    assert bench.client.closed


def test_a_response_that_goes_on_while_the_request_does_takes_the_whole_of_it() -> None:
    bench = Bench()
    ask(bench, CHUNKED, b"2\r\nab\r\n")
    answer(bench, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nAB\r\n")
    ask(bench, b"2\r\ncd\r\n0\r\n\r\n")
    answer(bench, b"2\r\nCD\r\n0\r\n\r\n")
    assert bench.upstream.written.endswith(b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")
    assert bench.client.written.endswith(b"2\r\nAB\r\n2\r\nCD\r\n0\r\n\r\n")
    assert over(bench)
    assert len(bench.server.idle) == 1


# What may follow a response, and what may not.


@pytest.mark.parametrize("surplus", [b"x", b"\r\n", ok(b"for somebody else")])
def test_bytes_behind_a_response_cost_the_servers_connection_and_nobody_reads_them(surplus: bytes) -> None:
    bench = Bench()
    ask(bench, GET)
    answer(bench, ok(b"mine") + surplus)
    assert bench.client.written.endswith(b"\r\n\r\nmine")
    assert bench.upstream.closed
    assert not bench.server.idle
    assert not closes(bench)


@pytest.mark.parametrize(
    ("method", "head"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 404 Not Found\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 77\r\n\r\n"),
    ],
)
def test_responses_without_a_body_are_over_with_their_head(method: bytes, head: bytes) -> None:
    bench = Bench()
    ask(bench, method + b" /web HTTP/1.1\r\nHost: a\r\n\r\n")
    answer(bench, head)
    assert over(bench)
    assert bench.client.written.endswith(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in bench.client.written
    assert (b"Content-Length: 77\r\n" in bench.client.written) is (b"77" in head)
    assert not closes(bench)
    assert len(bench.server.idle) == 1


@pytest.mark.parametrize(
    "half",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nT: 1\r\n",
    ],
)
def test_half_a_response_breaks_the_clients_connection(half: bytes) -> None:
    bench = Bench()
    ask(bench, GET)
    answer(bench, half)
    bench.upstream.protocol.eof_received()
    assert bench.client.closed
    assert not bench.client.written.endswith(b"0\r\n\r\n")
    assert bench.proxy.counters.aborted_by_server == 1
    assert over(bench)


# Old versions.


@pytest.mark.parametrize(
    ("response", "kept"),
    [
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", False),
    ],
)
def test_what_a_server_says_of_its_connection_is_not_the_clients_business(
    response: bytes, kept: bool
) -> None:
    bench = Bench()
    ask(bench, GET)
    answer(bench, response)
    assert bench.client.written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert not closes(bench)
    assert (len(bench.server.idle) == 1) is kept


async def test_a_client_of_http_1_0_that_wants_no_more_gets_the_end(stage: Stage) -> None:
    seen = Seen()
    await stage.one_pool(await stage.origin(answering(ok(), seen)))
    reader, writer = await stage.connect()
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    response = await read_message(reader)
    assert (response.get("connection"), response.body) == ("close", b"hello")
    assert await reader.read() == b""
    assert seen.requests[0].start == "GET / HTTP/1.1"
    assert seen.requests[0].get("via") == "1.0 eu-west-1"
