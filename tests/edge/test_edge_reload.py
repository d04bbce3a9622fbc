"""A running edge takes up a changed file: nobody who is connected notices, and a bad file changes nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme
from edge_file import REGION, Load, write
from edge_stage import Origin, Stage, answering, ok, read_head, read_message, until
from ports import free_port

from edge.admin import state_document
from edge.changes import in_effect, lines, restarts
from edge.identity import edge_of
from edge.process import EdgeProcess
from gslb.clock import SystemClock
from gslb.config import load
from gslb.fleet import Fleet, SocketAddress
from gslb.reload_outcome import Outcome, Status
from gslb.reload_turns import LOOKS_BEFORE_RETRY
from gslb.world import Verdict

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Edge:
    """An edge in this process and its file."""

    def __init__(self, stage: Stage, file: Path) -> None:
        self.stage = stage
        self.file = file
        self.listen = f"127.0.0.1:{free_port()}"
        self.process: EdgeProcess

    def declare(self, servers: Any, **options: Any) -> None:
        write(self.file, options.pop("listen", [self.listen]), servers, **options)

    async def start(self, servers: Any, **options: Any) -> None:
        self.declare(servers, **options)
        fleet = load(self.file, certificates=True)
        loop = asyncio.get_running_loop()
        self.process = EdgeProcess(fleet, edge_of(fleet, REGION, None), SystemClock(), loop=loop)
        await self.process.start()
        self.stage.port = self.process.listening[0].port

    async def reload(self, servers: Any, **options: Any) -> Outcome:
        self.declare(servers, **options)
        return await self.process.configuration.reload("test")

    def server(self, origin: Origin, pool: str = "web") -> Any:
        return self.process.pools.servers[f"{REGION}/{pool}/{origin.address}"]


@pytest_asyncio.fixture
async def edge(stage: Stage, tmp_path: Path) -> AsyncIterator[Edge]:
    made = Edge(stage, tmp_path / "regions.yaml")
    yield made
    if hasattr(made, "process"):
        await made.process.stop()


async def test_ten_reloads_under_constant_load_cost_not_one_request(stage: Stage, edge: Edge) -> None:
    a, b, c = [await stage.origin(answering(ok(name))) for name in (b"a", b"b", b"c")]
    one, two = [(a.address, 1), (b.address, 5)], [(b.address, 2), (c.address, 1)]
    await edge.start({"web": one})
    async with Load(stage.port, keeping=4, anew=2) as clients:
        for turn in range(10):
            await clients.more(30)
            pool = {"method": ("weighted_round_robin", "least_connections", "ip_hash")[turn % 3]}
            servers = {"web": two if turn % 2 == 0 else one, f"spare-{turn}": [a.address]}
            routes = {"/": "web", f"/spare/{turn}": f"spare-{turn}"}
            outcome = await edge.reload(servers, pool=pool, routes=routes)
            assert (outcome.status, outcome.problems) == (Status.CHANGED, ())
        await clients.more(30)
    assert clients.failed == []
    assert set(clients.said) == {(200, b"a"), (200, b"b"), (200, b"c")}
    assert edge.process.proxy.counters.in_flight == 0
    assert all(pool.in_flight == 0 for pool in edge.process.pools)
    assert edge.process.configuration.taken_up == 10


async def test_a_tunnel_and_a_slow_download_outlive_the_servers_they_come_from(
    stage: Stage, edge: Edge
) -> None:
    gate = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = await read_message(reader)
        if message.get("upgrade"):
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            while data := await reader.read(100):
                writer.write(data)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await gate.wait()
        writer.write(b"half")
        await reader.read()

    old, new = await stage.origin(slow), await stage.origin(answering(ok(b"new")))
    await edge.start({"web": [old.address]})
    tunnel, to_tunnel = await stage.connect()
    to_tunnel.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
    assert (await read_head(tunnel)).status == 101
    download, to_download = await stage.connect()
    to_download.write(GET)
    assert (await read_head(download)).status == 200
    assert (await download.readexactly(4)) == b"half"
    was = edge.server(old)
    assert (await edge.reload({"web": [new.address]})).status is Status.CHANGED
    assert [*edge.process.pools.servers] == [f"{REGION}/web/{new.address}"]
    assert (await stage.ask(GET)).body == b"new"
    to_tunnel.write(b"still there?")
    assert await tunnel.readexactly(12) == b"still there?"
    gate.set()
    assert await download.readexactly(4) == b"half"
    to_download.write(GET)
    assert (await read_message(download)).body == b"new"  # on the same connection
    to_tunnel.close()
    await until(lambda: was.in_flight == 0)
    assert was.idle == []


async def test_a_bad_file_changes_nothing_and_every_problem_is_told(stage: Stage, edge: Edge) -> None:
    origin = await stage.origin(answering(ok(b"good")))
    await edge.start({"web": [origin.address]})
    fleet = edge.process.fleet
    outcome = await edge.reload(
        {"web": [origin.address]}, routes={"/": "wbe"}, lame_duck="soon", colour="red"
    )
    assert outcome.status is Status.REFUSED
    assert len(outcome.problems) == 3
    assert all(str(edge.file) in problem for problem in outcome.problems)
    assert edge.process.fleet is fleet
    assert (await stage.ask(GET)).body == b"good"
    state = state_document(edge.process)["configuration"]
    assert (state["refused"], "wbe" in state["last_error"]) == (1, True)
    assert (await edge.reload({"web": [origin.address]})).status is Status.UNCHANGED
    assert edge.process.configuration.last_error == ""


async def test_an_edge_that_is_declared_no_more_serves_on(stage: Stage, edge: Edge) -> None:
    await edge.start({"web": [(await stage.origin(answering(ok()))).address]})
    edge.file.write_text(edge.file.read_text().replace(REGION, "elsewhere"))
    outcome = await edge.process.configuration.reload("test")
    assert outcome.status is Status.REFUSED
    assert f"has no region '{REGION}'" in outcome.problems[0]
    assert (await stage.ask(GET)).status == 200


async def test_servers_that_stay_keep_what_is_known_of_them_and_those_that_go_lose_their_connections(
    stage: Stage, edge: Edge
) -> None:
    stays, goes = [await stage.origin(answering(ok())) for _ in range(2)]
    await edge.start({"web": [stays.address, goes.address]})
    for _ in range(2):
        await stage.ask(GET)
    kept, gone = edge.server(stays), edge.server(goes)
    assert (len(kept.idle), len(gone.idle)) == (1, 1)
    latency = edge.process.pools.by_name["web"].latency.total
    await edge.reload({"web": [(stays.address, 7)]})
    assert edge.server(stays) is kept
    assert (kept.requests, len(kept.idle), kept.weight, kept.verdict) == (1, 1, 7, Verdict.UP)
    assert (gone.idle, gone.usable) == ([], False)
    assert edge.process.pools.by_name["web"].latency.total == latency
    assert (await stage.ask(GET)).status == 200
    assert stays.connections - edge.process.prober.probes <= 1  # the idle one was used


async def test_new_servers_are_known_before_they_get_a_request(stage: Stage, edge: Edge) -> None:
    good = await stage.origin(answering(ok(b"good")))
    dead = SocketAddress("127.0.0.1", free_port())
    await edge.start({"web": [good.address]})
    edge.declare({"web": [good.address, dead]}, pool={"check": "quick"})
    text = edge.file.read_text() + "checks: {quick: {type: tcp, interval: 10s, timeout: 1s, fall: 1}}\n"
    edge.file.write_text(text)
    assert (await edge.process.configuration.reload("test")).problems == ()
    assert edge.process.pools.servers[f"{REGION}/web/{dead}"].verdict is Verdict.DOWN
    assert {(await stage.ask(GET)).body for _ in range(4)} == {b"good"}


async def test_who_waits_for_a_server_gets_one_that_a_reload_brings(stage: Stage, edge: Edge) -> None:
    gate = asyncio.Event()

    async def gated(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        await gate.wait()
        writer.write(ok(b"slow"))
        await reader.read()

    slow, quick = await stage.origin(gated), await stage.origin(answering(ok(b"quick")))
    bounds: dict[str, object] = {"pool": {"connections": {"most": 1}, "queue": {"timeout": "5m"}}}
    await edge.start({"web": [slow.address]}, **bounds)
    first, second = [asyncio.ensure_future(stage.ask(GET)) for _ in range(2)]
    await until(lambda: len(edge.process.pools.by_name["web"].waiting) == 1)
    await edge.reload({"web": [slow.address, quick.address]}, **bounds)
    done, _ = await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert [each.result().body for each in done] == [b"quick"]
    gate.set()
    assert sorted(each.body for each in await asyncio.gather(first, second)) == [b"quick", b"slow"]


async def test_who_waits_in_a_pool_that_goes_is_told_at_once(stage: Stage, edge: Edge) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    busy, other = await stage.origin(never), await stage.origin(answering(ok()))
    bounds: dict[str, object] = {"pool": {"connections": {"most": 1}, "queue": {"timeout": "5m"}}}
    await edge.start({"web": [busy.address]}, **bounds, drain_timeout="10ms")
    waiting = [asyncio.ensure_future(stage.ask(GET)) for _ in range(2)]
    pool = edge.process.pools.by_name["web"]
    await until(lambda: len(pool.waiting) == 1)
    await edge.reload({"shop": [other.address]}, routes={"/": "shop"}, drain_timeout="10ms")
    done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert [each.result().status for each in done] == [503]
    for each in left:
        each.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def test_servers_that_are_spoken_to_otherwise_are_sent_nothing_on_older_connections(
    stage: Stage, edge: Edge
) -> None:
    origin = await stage.origin(answering(ok()))
    await edge.start({"web": [origin.address]})
    await stage.ask(GET)
    (idle,) = edge.server(origin).idle
    await edge.reload({"web": [origin.address]}, pool={"proxy_protocol": 1})
    assert edge.server(origin).idle == []
    assert not idle.usable


async def test_listeners_come_and_go_and_connections_stay(stage: Stage, edge: Edge) -> None:
    origin = await stage.origin(answering(ok()))
    await edge.start({"web": [origin.address]})
    reader, writer = await stage.connect()
    writer.write(GET)
    assert (await read_message(reader)).status == 200
    old, new = stage.port, free_port()
    outcome = await edge.reload({"web": [origin.address]}, listen=[f"127.0.0.1:{new}"])
    assert outcome.told == (f"- listener {edge.listen}", f"+ listener 127.0.0.1:{new}")
    with pytest.raises(ConnectionRefusedError):
        await stage.connect()
    stage.port = new
    assert (await stage.ask(GET)).status == 200
    writer.write(GET)
    assert (await read_message(reader)).status == 200
    await edge.reload({"web": [origin.address]})
    stage.port = old
    assert (await stage.ask(GET)).status == 200


@pytest.mark.parametrize("introduced", [False, True])
async def test_who_waits_to_be_accepted_by_a_listener_that_goes_is_served(
    stage: Stage, edge: Edge, introduced: bool
) -> None:
    origin = await stage.origin(answering(ok()))
    listen: list[object] = [{"address": edge.listen, "proxy_protocol": introduced}]
    await edge.start({"web": [origin.address]}, listen=listen, trusted_proxies=["127.0.0.0/8"])
    waiting = socket.create_connection(("127.0.0.1", stage.port))  # the loop has no turn to accept it
    if introduced:
        waiting.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n")
    waiting.sendall(GET)
    edge.process.front.listeners.use([])
    reader, writer = await asyncio.open_connection(sock=waiting)
    assert (await read_message(reader)).status == 200
    writer.close()
    assert edge.process.listening == ()


async def test_an_address_that_cannot_be_had_refuses_the_whole_file(stage: Stage, edge: Edge) -> None:
    old, new = [await stage.origin(answering(ok(name))) for name in (b"old", b"new")]
    await edge.start({"web": [old.address]})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        extra = f"127.0.0.1:{free_port()}"
        outcome = await edge.reload({"web": [new.address]}, listen=[edge.listen, extra, address])
        assert outcome.status is Status.REFUSED
        assert address in outcome.problems[0]
        assert (await stage.ask(GET)).body == b"old"
        stage.port, port = int(extra.rpartition(":")[2]), stage.port
        with pytest.raises(ConnectionRefusedError):
            await stage.connect()
        stage.port = port
    # It is free now: what was refused is tried again, though the file has not changed.
    for _ in range(LOOKS_BEFORE_RETRY):
        tried = await edge.process.configuration.look()
    assert tried is not None
    assert tried.status is Status.CHANGED
    assert (await stage.ask(GET)).body == b"new"


async def test_a_listener_takes_up_tls_and_gives_it_up_again(
    stage: Stage, edge: Edge, tmp_path: Path
) -> None:
    origin = await stage.origin(answering(ok()))
    authority = trustme.CA()
    issued = authority.issue_cert("shop.example")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    tls = {"certificates": [{"chain": "chain.pem", "key": "key.pem"}]}
    context = ssl.create_default_context()
    authority.configure_trust(context)
    await edge.start({"web": [origin.address]})
    plain, to_plain = await stage.connect()
    secured = [{"address": edge.listen, "tls": True}]
    assert (await edge.reload({"web": [origin.address]}, listen=secured, tls=tls)).problems == ()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", stage.port, ssl=context, server_hostname="shop.example"
    )
    assert (await edge.reload({"web": [origin.address]})).problems == ()
    for sent, read in ((to_plain, plain), (writer, reader)):
        sent.write(GET)
        assert (await read_message(read)).status == 200
    assert (await stage.ask(GET)).status == 200
    writer.close()
    await writer.wait_closed()


async def test_a_changed_file_is_taken_up_by_itself_once_nobody_writes_it(stage: Stage, edge: Edge) -> None:
    old, new = [await stage.origin(answering(ok(name))) for name in (b"old", b"new")]
    await edge.start({"web": [old.address]})
    configuration = edge.process.configuration
    assert await configuration.look() is None
    edge.declare({"web": [new.address], "more": [old.address]})
    assert await configuration.look() is None  # somebody may be writing yet
    outcome = await configuration.look()
    assert outcome is not None
    assert outcome.status is Status.CHANGED
    assert (await stage.ask(GET)).body == b"new"


async def test_limits_hold_for_the_next_request_of_a_connection(stage: Stage, edge: Edge) -> None:
    origin = await stage.origin(answering(ok()))
    await edge.start({"web": [origin.address]})
    reader, writer = await stage.connect()
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    writer.write(post)
    assert (await read_message(reader)).status == 200
    await edge.reload({"web": [origin.address]}, max_body=4)
    writer.write(post)
    assert (await read_message(reader)).status == 413


async def test_what_needs_a_restart_is_said_and_left_as_it_is(stage: Stage, edge: Edge) -> None:
    origin = await stage.origin(answering(ok()))
    await edge.start({"web": [origin.address]})
    options: dict[str, object] = {"admin": "127.0.0.1:9001", "workers": 3}
    outcome = await edge.reload({"web": [(origin.address, 2)]}, **options)
    assert outcome.status is Status.CHANGED
    assert outcome.restarts == ("admin of eu-west-1", "edge.workers")
    process = edge.process
    assert (process.edge.admin, process.fleet.edge.workers, edge.server(origin).weight) == (None, 1, 2)
    assert state_document(process)["configuration"]["needs_restart"] == list(outcome.restarts)
    assert (await edge.reload({"web": [(origin.address, 2)]})).restarts == ()


async def test_a_reload_while_the_edge_leaves_is_refused(stage: Stage, edge: Edge) -> None:
    await edge.start({"web": [(await stage.origin(answering(ok()))).address]})
    await edge.process.stop()
    assert (await edge.process.configuration.reload("test")).status is Status.REFUSED
    del edge.process


def read(folder: Path, *args: Any, **options: Any) -> Fleet:
    write(folder / "regions.yaml", *args, **options)
    return load(folder / "regions.yaml")


def test_every_change_that_concerns_an_edge_is_a_line(tmp_path: Path) -> None:
    a, b, c = (SocketAddress("10.0.0.1", port) for port in (1, 2, 3))
    before = read(tmp_path, ["127.0.0.1:80"], {"web": [a, b], "old": [a]}, routes={"/": "web", "/o": "old"})
    after = read(
        tmp_path,
        ["127.0.0.1:80", "127.0.0.1:81"],
        {"web": [(b, 3), (c, 2)]},
        pool={"method": "ip_hash", "connections": {"idle": 3}},
        idle_timeout="5s",
        timeouts={"connect": "1s"},
    )
    mine, declared = edge_of(before, REGION, None), edge_of(after, REGION, None)
    assert list(lines(before, mine, after, declared)) == [
        "+ listener 127.0.0.1:81",
        "~ pool web: method, connections.idle",
        "- pool old",
        f"- server {a} of pool web",
        f"~ server {b} of pool web: weight 1 → 3",
        f"+ server {c} of pool web with weight 2",
        f"- server {a} of pool old",
        "- route */o",
        "~ setting edge.timeouts.connect",
        "~ setting edge.idle_timeout",
    ]
    assert list(lines(before, mine, before, mine)) == []


def test_what_a_running_process_keeps_is_kept_everywhere(tmp_path: Path) -> None:
    a = SocketAddress("10.0.0.1", 1)
    before = read(tmp_path, ["127.0.0.1:80"], {"web": [a]}, admin="127.0.0.1:9000")
    after = read(tmp_path, ["127.0.0.1:80"], {"web": [a]}, admin="127.0.0.1:9001", workers=4)
    mine, declared = edge_of(before, REGION, None), edge_of(after, REGION, None)
    assert restarts(before, mine, after, declared) == ("admin of eu-west-1", "edge.workers")
    fleet, edge = in_effect(before, mine, after, declared)
    assert edge == mine
    assert fleet.regions[REGION].edges == (mine,)
    assert fleet == before
