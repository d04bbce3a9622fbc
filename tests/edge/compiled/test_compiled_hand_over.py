"""What is not plain goes over to the general path and comes back, and nobody outside can tell."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme
from compiled_scene import (
    GET,
    ODD,
    POST,
    Clock,
    Pausing,
    ask_on,
    at_rest,
    back,
    compiled,
    deaf_address,
    handed_over,
    only,
    refusing_address,
)
from edge_stage import ANYWHERE, Handler, Seen, Stage, answering, make_fleet, ok, read_message, until

from edge.listeners import Listeners, Terms
from edge.proxy.downstream import Downstream
from edge.proxy.proxy import Proxy
from gslb.fleet import Listener, Route, SocketAddress
from gslb.fleet_edge import Connections, QueueSettings, Retries, ServerTls, Timeouts
from gslb.world import Verdict

MOST_HAND_OVERS = 8
QUICK = {"queue": QueueSettings(timeout=0.08)}
"""With this the edge looks after its time limits all the time."""


@pytest.fixture
def stage(stage: Stage) -> Stage:
    return compiled(stage)


def served(proxy: Proxy, requests: int) -> None:
    assert proxy.counters.requests == requests
    assert sum(proxy.counters.responses.values()) == requests - proxy.counters.probes
    assert at_rest(proxy)


def asked(line: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join((line, *fields, "\r\n")).encode() + body


ODD_REQUESTS = {
    "a body in chunks": (ODD, 200),
    "an absolute target": (asked("GET http://a/b HTTP/1.1", "Host: a"), 200),
    "HTTP/1.0": (asked("GET / HTTP/1.0", "Host: a", "Connection: keep-alive"), 200),
    "an expectation": (
        asked("POST / HTTP/1.1", "Host: a", "Content-Length: 2", "Expect: 100-continue", body=b"hi"),
        200,
    ),
    "trailers are welcome": (asked("GET / HTTP/1.1", "Host: a", "TE: trailers"), 200),
    "a field of the connection": (asked("GET / HTTP/1.1", "Host: a", "X-A: b", "Connection: x-a"), 200),
    "an empty line before": (b"\r\n" + GET, 200),
    "all of the server": (asked("OPTIONS * HTTP/1.1", "Host: a"), 200),
    "a big body": (asked("POST / HTTP/1.1", "Host: a", "Content-Length: 50000", body=b"b" * 50000), 200),
    "too big a body": (asked("POST / HTTP/1.1", "Host: a", "Content-Length: 60001", body=b"b" * 60001), 413),
    "a path above the root": (asked("GET /a/../.. HTTP/1.1", "Host: a"), 400),
    "a path with half an escape": (asked("GET /%2 HTTP/1.1", "Host: a"), 400),
    "the edge's health": (asked("GET /.gslb/health HTTP/1.1", "Host: a"), 200),
    "no route": (asked("GET / HTTP/1.1", "Host: elsewhere"), 404),
    "a loop": (asked("GET / HTTP/1.1", "Host: a", "Via: 1.1 eu-west-1"), 508),
}


@pytest.mark.parametrize("name", ODD_REQUESTS)
async def test_an_odd_request_is_answered_and_plain_ones_are_plain_again(stage: Stage, name: str) -> None:
    request, status = ODD_REQUESTS[name]
    origin = await stage.origin(answering(ok()))
    fleet = make_fleet({"web": [origin.address]}, routes=[Route("a", "/", "web")], max_body=60000)
    proxy = await stage.serve(fleet)
    reader, writer = await stage.connect()
    assert await ask_on(reader, writer, GET) == 200
    assert (await back(proxy, 0)).requests == 1
    assert await ask_on(reader, writer, request) == status
    assert (await back(proxy, 1)).requests == 2
    assert await ask_on(reader, writer, GET) == 200
    assert (await back(proxy, 1)).requests == 3
    served(proxy, 3)
    assert origin.connections == 1


def only_odd(odd: bytes, *, ends: bool = False) -> Handler:
    """Answers `odd` to whoever asks for /odd, and is plain else."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            message = await read_message(reader)
            is_odd = message.start.split()[1] == "/odd"
            writer.write(odd if is_odd else ok())
            if is_odd and ends:
                return

    return handle


ASK_ODD = asked("GET /odd HTTP/1.1", "Host: a")
ODD_RESPONSES = {
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", True, 200),
    "until the end": (b"HTTP/1.1 200 OK\r\n\r\nhi", True, 200),
    "a field of the connection": (
        b"HTTP/1.1 200 OK\r\nConnection: x-a\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi",
        False,
        200,
    ),
    "a switch": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", False, 502),
    "garbage": (b"garbage\r\n\r\n", False, 502),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi", False, 502),
    "half a head": (b"HTTP/1.1 200 OK\r\nConte", True, 502),
    "a long head": (b"HTTP/1.1 200 OK\r\nX: %b\r\n\r\n" % (b"y" * 40000), False, 502),
    "nothing": (b"", True, 502),
}


@pytest.mark.parametrize("name", ODD_RESPONSES)
async def test_an_odd_response_is_passed_on_or_explained(stage: Stage, name: str) -> None:
    response, ends, status = ODD_RESPONSES[name]
    proxy = await stage.one_pool(await stage.origin(only_odd(response, ends=ends)))
    server = proxy.pools.by_name["web"].servers[0]
    reader, writer = await stage.connect()
    # POST, lest it be tried again: the connection to the server was used before.
    for request, expected in ((GET, 200), (ASK_ODD.replace(b"GET", b"POST"), status), (GET, 200)):
        assert await ask_on(reader, writer, request) == expected
    await back(proxy, 1)
    served(proxy, 3)
    assert server.failures == (status == 502)
    assert proxy.counters.errors == (status == 502)


async def test_interim_responses_come_through(stage: Stage) -> None:
    pausing = Pausing(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", ok())
    proxy = await stage.one_pool(await stage.origin(pausing.handler))
    reader, writer = await stage.connect()
    writer.write(GET)
    early = await read_message(reader)
    assert (early.status, early.get("link")) == (103, "x")
    pausing.going_on.set()
    assert (await read_message(reader)).status == 200
    await back(proxy, 1)
    served(proxy, 1)


@pytest.mark.parametrize("whole", [POST, GET, b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"y" * 20000)])
async def test_a_request_that_comes_slowly_is_waited_for(stage: Stage, whole: bytes) -> None:
    proxy = await stage.one_pool(await stage.origin(answering(ok())), pool=QUICK)
    clock = Clock(proxy)
    reader, writer = await stage.connect()
    writer.write(whole[:-1])
    await until(lambda: bool(proxy.connections) and only(proxy).busy)
    clock.forward(0.3)
    await handed_over(proxy)
    writer.write(whole[-1:] + GET)
    for _ in range(2):
        assert (await read_message(reader)).status == 200
    await back(proxy, 1)
    served(proxy, 2)


async def test_a_head_that_does_not_come_at_all_is_a_408(stage: Stage) -> None:
    proxy = await stage.one_pool(await stage.origin(answering(ok())), pool=QUICK)
    clock = Clock(proxy)
    reader, writer = await stage.connect()
    writer.write(GET[:-1])
    await until(lambda: bool(proxy.connections) and only(proxy).busy)
    clock.forward(1.0)
    await handed_over(proxy)
    clock.forward(proxy.settings.header_timeout)
    response = await read_message(reader)
    assert (response.status, response.get("connection")) == (408, "close")
    served(proxy, 1)


async def test_who_has_to_wait_for_a_server_is_served_in_turn(stage: Stage) -> None:
    pausing = Pausing(b"", ok())
    options = {"connections": Connections(most=1), "queue": QueueSettings(size=2, timeout=60.0)}
    origin = await stage.origin(pausing.handler)
    proxy = await stage.one_pool(origin, pool=options)
    pool = proxy.pools.by_name["web"]
    clients = [await stage.connect() for _ in range(4)]
    for number, (_, writer) in enumerate(clients[:3]):
        writer.write(GET)
        await until(lambda wanted=number: pausing.asked == 1 and len(pool.waiting) == wanted)  # type: ignore[misc]
    assert await ask_on(*clients[3], GET) == 503  # no more may wait
    pausing.going_on.set()
    for reader, _ in clients[:3]:
        assert (await read_message(reader)).status == 200
    await until(lambda: all(not isinstance(each, Downstream) for each in proxy.connections))
    for client in clients:
        assert await ask_on(*client, GET) == 200
    served(proxy, 8)
    assert origin.connections == 1


async def test_without_a_server_that_is_up_it_is_a_503_until_there_is_one(stage: Stage) -> None:
    proxy = await stage.one_pool(await stage.origin(answering(ok())))
    server = proxy.pools.by_name["web"].servers[0]
    reader, writer = await stage.connect()
    assert await ask_on(reader, writer, GET) == 200
    server.judge(Verdict.DOWN, "test", 0.0)
    assert await ask_on(reader, writer, GET) == 503
    server.judge(Verdict.UP, "test", 0.0)
    assert await ask_on(reader, writer, GET) == 200
    await back(proxy, 1)
    served(proxy, 3)
    assert proxy.counters.refusals == {503: 1}


async def test_a_pool_that_wants_proxy_headers_gets_them(stage: Stage) -> None:
    lines: list[bytes] = []

    async def introduced(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        await answering(ok())(reader, writer)

    proxy = await stage.one_pool(await stage.origin(introduced), pool={"proxy_protocol": 1})
    reader, writer = await stage.connect()
    for _ in range(3):
        assert await ask_on(reader, writer, GET) == 200
    mine = writer.get_extra_info("sockname")[1]
    assert [line.split()[:2] + line.split()[4:5] for line in lines] == [[b"PROXY", b"TCP4", b"%d" % mine]] * 3
    served(proxy, 3)


async def test_a_pool_that_wants_tls_gets_it(stage: Stage, tmp_path: Path) -> None:
    authority = trustme.CA()
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    handler = answering(ok(b"in secret"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    address = SocketAddress(*server.sockets[0].getsockname()[:2])
    fleet = make_fleet(
        {"web": [address]}, routes=[Route(None, "/", "web")], pool={"tls": ServerTls(ca=str(roots))}
    )
    proxy = await stage.serve(fleet)
    reader, writer = await stage.connect()
    for _ in range(3):
        writer.write(GET)
        assert (await read_message(reader)).body == b"in secret"
    served(proxy, 3)
    assert proxy.pools.by_name["web"].servers[0].opened == 1
    server.close()


async def test_a_server_with_a_name_is_looked_up(stage: Stage) -> None:
    origin = await stage.origin(answering(ok()))
    named = SocketAddress("localhost", origin.address.port)
    proxy = await stage.serve(make_fleet({"web": [named]}, routes=[Route(None, "/", "web")]))
    reader, writer = await stage.connect()
    for _ in range(3):
        assert await ask_on(reader, writer, GET) == 200
    await back(proxy, 1)  # the connection is there from then on
    served(proxy, 3)
    assert origin.connections == 1


async def test_clients_behind_a_trusted_proxy_stay_who_they_are(stage: Stage) -> None:
    """Their connections are accepted by the general path, which gives them to the compiled one."""
    seen = Seen()
    origin = await stage.origin(answering(ok(), seen))
    proxy = await stage.one_pool(origin, trusted_proxies=(ip_network("127.0.0.0/8"),))
    listeners = Listeners(proxy)
    introduced = Terms(Listener(ANYWHERE.address, proxy_protocol=True), None, handshake=5.0)
    bound = listeners.prepare([introduced])
    await listeners.begin(bound)
    listeners.use(bound)
    stage.port = listeners.addresses[0].port
    reader, writer = await stage.connect()
    writer.write(b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 80\r\n")
    for number in range(3):
        assert await ask_on(reader, writer, GET) == 200
        assert (await back(proxy, 0)).requests == number + 1
    assert [each.get("x-forwarded-for") for each in seen.requests] == ["198.51.100.7"] * 3
    await listeners.close()


# A server that goes away.


async def second_unanswered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_message(reader)
    writer.write(ok())
    await read_message(reader)


async def test_who_asks_on_a_connection_that_dies_is_asked_for_on_a_fresh_one(stage: Stage) -> None:
    origin = await stage.origin(second_unanswered)
    proxy = await stage.one_pool(origin)
    reader, writer = await stage.connect()
    for number in range(3):
        assert await ask_on(reader, writer, GET) == 200
        await back(proxy, number)
        assert origin.connections == number + 1
    served(proxy, 3)


async def test_what_may_have_taken_effect_is_not_sent_again(stage: Stage) -> None:
    origin = await stage.origin(second_unanswered)
    proxy = await stage.one_pool(origin)
    reader, writer = await stage.connect()
    for status in (200, 502, 200, 502):
        assert await ask_on(reader, writer, POST) == status
    assert origin.connections == 2
    assert proxy.pools.by_name["web"].servers[0].failures == 2
    await back(proxy, 2)
    served(proxy, 4)


@pytest.mark.parametrize(("request_", "status", "tries"), [(GET, 200, 2), (POST, 502, 1)])
async def test_a_server_that_ends_a_fresh_connection_is_passed_over_where_that_is_safe(
    stage: Stage, request_: bytes, status: int, tries: int
) -> None:
    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)

    origins = [await stage.origin(dying), await stage.origin(answering(ok()))]
    proxy = await stage.one_pool(*origins)
    reader, writer = await stage.connect()
    assert await ask_on(reader, writer, request_) == status
    await back(proxy, 1)
    assert proxy.counters.retries == tries - 1
    assert [server.requests for server in proxy.pools.by_name["web"].servers] == [1, tries - 1]
    served(proxy, 1)


@pytest.mark.parametrize("request_", [GET, POST])
async def test_a_server_that_refuses_is_passed_over_whatever_is_asked(stage: Stage, request_: bytes) -> None:
    with refusing_address() as dead:
        origin = await stage.origin(answering(ok()))
        proxy = await stage.serve(
            make_fleet({"web": [dead, origin.address]}, routes=[Route(None, "/", "web")])
        )
        reader, writer = await stage.connect()
        assert await ask_on(reader, writer, request_) == 200
        await back(proxy)
        assert [each.connect_failures for each in proxy.pools.by_name["web"].servers] == [1, 0]
        assert proxy.counters.retries == 1
        served(proxy, 1)


async def test_when_every_server_refuses_it_is_a_502(stage: Stage) -> None:
    with refusing_address() as dead:
        proxy = await stage.serve(make_fleet({"web": [dead] * 3}, routes=[Route(None, "/", "web")]))
        reader, writer = await stage.connect()
        writer.write(GET)
        response = await read_message(reader)
        assert (response.status, b"(3 tried)" in response.body) == (502, True)
        await back(proxy)
        served(proxy, 1)


async def test_a_server_that_takes_no_connections_is_passed_over(stage: Stage) -> None:
    with deaf_address() as deaf:
        origin = await stage.origin(answering(ok()))
        proxy = await stage.serve(
            make_fleet({"web": [deaf, origin.address]}, routes=[Route(None, "/", "web")], pool=QUICK)
        )
        clock = Clock(proxy)
        reader, writer = await stage.connect()
        writer.write(GET)
        await until(lambda: proxy.pools.by_name["web"].in_flight == 1)
        clock.forward(proxy.settings.timeouts.connect + 0.1)
        assert (await read_message(reader)).status == 200
        assert [each.connect_failures for each in proxy.pools.by_name["web"].servers] == [1, 0]
        await back(proxy)
        served(proxy, 1)


async def test_when_no_server_takes_connections_it_is_a_504(stage: Stage) -> None:
    with deaf_address() as deaf:
        fleet = make_fleet({"web": [deaf]}, routes=[Route(None, "/", "web")], timeouts=Timeouts(connect=0.05))
        proxy = await stage.serve(fleet)
        reader, writer = await stage.connect()
        assert await ask_on(reader, writer, GET) == 504
        await back(proxy)
        served(proxy, 1)


# Time limits.


async def waiting(stage: Stage, first: bytes, **options: object) -> tuple[Proxy, Clock, asyncio.StreamReader]:
    """A request at a server that has said `first` and says nothing more."""
    pausing = Pausing(first)
    proxy = await stage.one_pool(await stage.origin(pausing.handler), pool=QUICK, **options)
    clock = Clock(proxy)
    reader, writer = await stage.connect()
    writer.write(GET)
    await until(lambda: pausing.asked == 1)
    return proxy, clock, reader


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nConten"])
async def test_a_server_that_does_not_answer_in_time_is_a_504_at_once(stage: Stage, first: bytes) -> None:
    """Whoever takes the request over does not wait all that time again."""
    proxy, clock, reader = await waiting(stage, first)
    clock.forward(proxy.settings.timeouts.first_byte + 0.1)
    response = await read_message(reader)
    assert (response.status, b"did not answer in time" in response.body) == (504, True)
    assert proxy.pools.by_name["web"].servers[0].failures == 1
    await back(proxy, 1)
    served(proxy, 1)


async def test_where_the_route_says_so_another_server_is_asked_then(stage: Stage) -> None:
    silent = Pausing(b"")
    origins = [await stage.origin(silent.handler), await stage.origin(answering(ok()))]
    proxy = await stage.one_pool(*origins, pool=QUICK, retries=Retries(on=frozenset((504,))))
    clock = Clock(proxy)
    reader, writer = await stage.connect()
    writer.write(GET)
    await until(lambda: silent.asked == 1)
    clock.forward(proxy.settings.timeouts.first_byte + 0.1)
    assert (await read_message(reader)).status == 200
    await back(proxy, 1)
    served(proxy, 1)


async def test_a_request_that_takes_too_long_altogether_is_a_504(stage: Stage) -> None:
    proxy, clock, reader = await waiting(stage, b"", timeouts=Timeouts(total=5.0))
    clock.forward(5.1)
    response = await read_message(reader)
    assert (response.status, b"was not done in time" in response.body) == (504, True)
    await back(proxy, 1)
    served(proxy, 1)


@pytest.mark.parametrize("limit", [{}, {"timeouts": Timeouts(total=5.0)}])
async def test_a_response_that_stops_is_broken_off(stage: Stage, limit: dict[str, object]) -> None:
    proxy, clock, reader = await waiting(stage, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", **limit)
    assert await reader.readuntil(b"half")
    clock.forward(5.1 if limit else proxy.settings.timeouts.idle + 0.1)
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    await until(lambda: not proxy.connections)
    assert proxy.counters.aborted_by_server == 1
    served(proxy, 1)


@pytest.mark.parametrize(("request_", "status"), [(GET, 200), (POST, 503)])
async def test_a_status_that_counts_as_a_failure_is_tried_elsewhere_where_that_is_safe(
    stage: Stage, request_: bytes, status: int
) -> None:
    busy = await stage.origin(answering(ok().replace(b"200 OK", b"503 Busy")))
    good = await stage.origin(answering(ok()))
    proxy = await stage.one_pool(busy, good, retries=Retries(on=frozenset((503,))))
    reader, writer = await stage.connect()
    assert await ask_on(reader, writer, request_) == status
    await back(proxy, 1)
    served(proxy, 1)
    assert proxy.counters.retries == (status == 200)


# To and fro.


async def test_each_path_goes_on_with_the_others_connections_to_servers(stage: Stage) -> None:
    origin = await stage.origin(answering(ok()))
    proxy = await stage.one_pool(origin)
    clients = [await stage.connect() for _ in range(3)]
    for request in (GET, ODD, ODD, GET, POST, ODD, GET):
        for client in clients:
            assert await ask_on(*client, request) == 200
    assert origin.connections == 1
    assert proxy.pools.by_name["web"].servers[0].opened == 1
    served(proxy, 21)


async def test_an_idle_connection_that_the_server_closed_is_used_by_neither_path(stage: Stage) -> None:
    origin = await stage.origin(answering(ok()))
    proxy = await stage.one_pool(origin)
    server = proxy.pools.by_name["web"].servers[0]
    reader, writer = await stage.connect()
    for before, after in ((GET, ODD), (ODD, GET), (POST, POST)):
        assert await ask_on(reader, writer, before) == 200
        await until(lambda: len(server.idle) == 1)
        origin.drop_connections()
        await until(lambda: not server.idle)
        assert await ask_on(reader, writer, after) == 200
    served(proxy, 6)
    assert server.failures == 0


async def test_who_asks_oddly_again_and_again_stays_on_the_general_path(stage: Stage) -> None:
    proxy = await stage.one_pool(await stage.origin(answering(ok())))
    reader, writer = await stage.connect()
    for number in range(MOST_HAND_OVERS - 1):
        assert await ask_on(reader, writer, ODD) == 200
        await back(proxy, number + 1)
    for request in (ODD, GET, POST, GET):
        assert await ask_on(reader, writer, request) == 200
        assert isinstance(only(proxy), Downstream)
    served(proxy, MOST_HAND_OVERS + 3)


async def test_pipelined_requests_of_both_kinds_are_answered_in_order(stage: Stage) -> None:
    async def named(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            message = await read_message(reader)
            writer.write(ok(message.start.split()[1].encode()))

    proxy = await stage.one_pool(await stage.origin(named))
    reader, writer = await stage.connect()
    requests = [(GET, ODD)[number % 3 == 2].replace(b" / ", b" /%d " % number) for number in range(12)]
    writer.write(b"".join(requests))
    for number in range(12):
        assert (await read_message(reader)).body == b"/%d" % number
    await back(proxy)
    served(proxy, 12)


async def test_limits_of_a_connection_hold_across_both_paths(stage: Stage) -> None:
    origin = await stage.origin(answering(ok()))
    proxy = await stage.one_pool(origin, max_requests_per_connection=3, max_connections_per_client=1)
    for requests in ((GET, ODD, GET), (ODD, GET, ODD)):
        reader, writer = await stage.connect()
        for number, request in enumerate(requests):
            writer.write(request)
            response = await read_message(reader)
            assert (response.status, response.get("connection")) == (200, "close" if number == 2 else None)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        await until(lambda: not proxy.connections)
    served(proxy, 6)
    assert proxy.counters.connections == 2
    assert proxy.counters.connections_refused == 0
