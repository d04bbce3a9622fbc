"""What operators say of servers, and what discovery finds, an edge serves by: soon, and without harm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog
from edge_file import COMMAND, ENVIRONMENT, REGION, Load, document
from edge_stage import Stage, answering, ok, until
from name_server import NameServer
from ports import free_port
from redis_process import RedisServer

from edge.identity import edge_of
from edge.process import EdgeProcess
from gslb.clock import SystemClock
from gslb.config import load
from gslb.fleet import ServerMode, SocketAddress
from gslb.reload_outcome import Status
from gslb.server_change import ServerChange
from gslb.store import oneshot
from gslb.world import Verdict

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
NEVER = "24h"
"""So that what is heard is heard by nudge."""


class Live:
    """An edge in this process, its file, and the operators."""

    def __init__(self, stage: Stage, file: Path, redis: RedisServer) -> None:
        self.stage = stage
        self.file = file
        self.redis = redis
        self.listen = f"127.0.0.1:{free_port()}"
        self.process: EdgeProcess | None = None
        self.clock = SystemClock()
        self.more = ""  # of the file

    def declare(self, servers: list[object], **options: Any) -> None:
        made = document([self.listen], {"web": []}, **options)
        made["regions"][REGION]["servers"] = {"web": servers}
        made["redis"] = {"url": self.redis.url, "poll": NEVER}
        lines = [f"{key}: {json.dumps(value)}\n" for key, value in made.items()]
        self.file.write_text("".join(lines) + self.more)

    async def start(self, servers: list[object], **options: Any) -> EdgeProcess:
        self.declare(servers, **options)
        fleet = load(self.file)
        loop = asyncio.get_running_loop()
        self.process = EdgeProcess(fleet, edge_of(fleet, REGION, None), self.clock, loop=loop)
        await self.process.start()
        self.stage.port = self.process.listening[0].port
        return self.process

    async def say(self, address: SocketAddress, **said: Any) -> None:
        assert self.process is not None
        change = ServerChange(REGION, "web", address, by="ana", since=self.clock.now(), **said)
        await oneshot.change_server(self.process.fleet, self.clock, change)

    async def clear(self, address: SocketAddress) -> None:
        assert self.process is not None
        change = ServerChange(REGION, "web", address, by="ana")
        await oneshot.clear_server(self.process.fleet, self.clock, change)

    def servers(self) -> dict[str, ServerMode]:
        """What is in effect, by address."""
        assert self.process is not None
        return {each.name: each.server.mode for each in self.process.pools.by_name["web"].servers}


@pytest_asyncio.fixture
async def live(stage: Stage, tmp_path: Path, redis_server: RedisServer) -> AsyncIterator[Live]:
    made = Live(stage, tmp_path / "regions.yaml", redis_server)
    yield made
    if made.process is not None:
        await made.process.stop()


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


async def test_an_operators_word_comes_by_nudge_and_goes_when_it_is_taken_back(
    stage: Stage, live: Live
) -> None:
    a, b = [await stage.origin(answering(ok(name))) for name in (b"a", b"b")]
    process = await live.start([str(a.address), str(b.address)])
    declared = process.fleet
    await live.say(a.address, mode=ServerMode.DRAIN)
    await until(lambda: live.servers()[str(a.address)] is ServerMode.DRAIN)
    await live.say(b.address, weight=7)
    await until(lambda: process.pools.by_name["web"].servers[1].weight == 7)
    await live.clear(a.address)
    await until(lambda: live.servers()[str(a.address)] is ServerMode.READY)
    await live.say(b.address, removed=True)
    await until(lambda: list(live.servers()) == [str(a.address)])
    assert {(await stage.ask(GET)).body for _ in range(3)} == {b"a"}
    assert process.fleet is declared


async def test_what_was_said_before_the_start_holds_from_the_first_request(stage: Stage, live: Live) -> None:
    a, b, c = [await stage.origin(answering(ok(name))) for name in (b"a", b"b", b"c")]
    live.declare([str(a.address), str(b.address)])
    fleet, now = load(live.file), live.clock.now()
    for address, said in ((a.address, {"removed": True}), (c.address, {"added": True})):
        await oneshot.change_server(
            fleet,
            live.clock,
            ServerChange(REGION, "web", address, since=now, **said),  # type: ignore[arg-type]
        )
    process = await live.start([str(a.address), str(b.address)])
    assert list(live.servers()) == [str(b.address), str(c.address)]
    assert {(await stage.ask(GET)).body for _ in range(4)} == {b"b", b"c"}
    assert {state.verdict for state in process.pools.by_name["web"].servers} == {Verdict.UP}


async def test_many_words_under_load_cost_not_one_request_and_few_turns(stage: Stage, live: Live) -> None:
    a, b, c = [await stage.origin(answering(ok(name))) for name in (b"a", b"b", b"c")]
    process = await live.start([str(a.address), str(b.address)])
    turns, take_up = 0, process.take_up

    async def counted(*given: Any) -> None:
        nonlocal turns
        turns += 1
        await take_up(*given)

    process.take_up = counted  # type: ignore[method-assign]
    async with Load(stage.port, keeping=3, anew=2) as clients:
        for weight in range(1, 41):
            await live.say(b.address, weight=weight)
        await live.say(c.address, added=True)
        await until(lambda: str(c.address) in live.servers())
        await live.say(a.address, removed=True)
        await until(lambda: list(live.servers()) == [str(b.address), str(c.address)])
        await clients.more(50)
        await live.clear(a.address)
        await live.clear(c.address)
        await until(lambda: list(live.servers()) == [str(a.address), str(b.address)])
        await clients.more(50)
    assert clients.failed == []
    assert set(clients.said) == {(200, b"a"), (200, b"b"), (200, b"c")}
    assert turns < 40


async def test_a_server_that_comes_is_probed_first_and_keeps_nobody_waiting(stage: Stage, live: Live) -> None:
    reached = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await reader.read()

    good, slow = await stage.origin(answering(ok(b"good"))), await stage.origin(silent)
    live.more = "checks: {speaks: {type: http, path: /, interval: 1h, timeout: 1s, fall: 1}}\n"
    process = await live.start([str(good.address)], pool={"check": "speaks"})
    await live.say(slow.address, added=True)
    await reached.wait()
    await live.say(good.address, weight=9)
    await until(lambda: process.pools.by_name["web"].servers[0].weight == 9)
    assert list(live.servers()) == [str(good.address)]
    await until(lambda: str(slow.address) in live.servers())
    assert process.pools.by_name["web"].servers[1].verdict is Verdict.DOWN
    assert {(await stage.ask(GET)).body for _ in range(3)} == {b"good"}


async def test_a_word_with_an_end_ends_by_the_clock_alone(stage: Stage, live: Live) -> None:
    a, b = [await stage.origin(answering(ok())) for _ in range(2)]
    await live.start([str(a.address), str(b.address)])
    soon = live.clock.now() + 0.5
    await live.say(a.address, mode=ServerMode.DRAIN, until=soon)
    await live.say(b.address, mode=ServerMode.MAINTENANCE, until=soon)
    await until(lambda: list(live.servers().values()) == [ServerMode.DRAIN, ServerMode.MAINTENANCE])
    live.redis.kill()
    await until(lambda: list(live.servers().values()) == [ServerMode.MAINTENANCE, ServerMode.READY])


async def test_the_file_and_the_operators_words_both_count(
    stage: Stage, live: Live, lines: list[Any]
) -> None:
    a, b = [await stage.origin(answering(ok())) for _ in range(2)]
    process = await live.start([str(a.address), str(b.address)])
    await live.say(a.address, mode=ServerMode.DRAIN)
    await until(lambda: live.servers()[str(a.address)] is ServerMode.DRAIN)
    live.declare([{"address": str(a.address), "weight": 5}])
    outcome = await process.configuration.reload("test")
    assert outcome.told == (
        f"~ server {a.address} of pool web: weight 1 → 5",
        f"- server {b.address} of pool web",
    )
    assert live.servers() == {str(a.address): ServerMode.DRAIN}
    assert process.pools.by_name["web"].servers[0].weight == 5
    assert (await process.configuration.reload("test")).status is Status.UNCHANGED
    # What is said of a server that is declared no more is not heard, and told once.
    live.declare([str(b.address)])
    await process.configuration.reload("test")
    assert live.servers() == {str(b.address): ServerMode.READY}
    await live.say(b.address, weight=3)
    await until(lambda: process.pools.by_name["web"].servers[0].weight == 3)
    told = [line for line in lines if "has no effect" in line["event"]]
    assert [line["server"] for line in told] == [f"{REGION}/web/{a.address}"]
    changes = [line["changes"] for line in lines if line["event"] == "servers changed"]
    assert changes[-1] == [f"~ server {b.address} of pool web: weight 1 → 3"]


async def test_found_servers_are_served_by_from_the_start_and_followed(
    stage: Stage, live: Live, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("edge.discovery.names.LEAST_TTL", 0.02)
    monkeypatch.setattr("edge.discovery.listing.LOOK_EVERY", 0.02)
    a, b = [await stage.origin(answering(ok(name))) for name in (b"a", b"b")]
    dns = await NameServer().start()
    try:
        dns.ttl, dns.records = 0, {("web.internal", "A"): ["127.0.0.1"]}
        (tmp_path / "servers.yaml").write_text("[]")
        where = [{"dns": "web.internal", "port": a.address.port}, {"file": "servers.yaml"}]
        await live.start(where, resolver=str(dns.address))
        assert (await stage.ask(GET)).body == b"a"
        async with Load(stage.port, keeping=2, anew=1) as clients:
            (tmp_path / "servers.yaml").write_text(f"- {b.address}\n")
            await until(lambda: str(b.address) in live.servers())
            await clients.more(20)
            dns.records.clear()
            before = dns.asked["web.internal", "A"]
            await until(lambda: dns.asked["web.internal", "A"] > before)
            assert set(live.servers()) == {str(a.address), str(b.address)}
        assert clients.failed == []
        await live.say(a.address, mode=ServerMode.MAINTENANCE)
        await until(lambda: live.servers()[str(a.address)] is ServerMode.MAINTENANCE)
    finally:
        dns.stop()


@pytest.mark.processes
async def test_the_workers_of_several_edges_hear_of_it_as_soon(
    stage: Stage, tmp_path: Path, redis_server: RedisServer
) -> None:
    a, b = [await stage.origin(answering(ok(name))) for name in (b"a", b"b")]
    ports = [free_port() for _ in range(2)]
    made = document([], {"web": [a.address]}, workers=2)
    edge = made["regions"][REGION]["edges"][0]
    made["regions"][REGION]["edges"] = [
        {**edge, "name": f"e{port}", "addresses": [f"127.0.0.{number}"], "listen": [f"127.0.0.1:{port}"]}
        for number, port in enumerate(ports, 1)
    ]
    made["redis"] = {"url": redis_server.url, "poll": NEVER}
    file = tmp_path / "regions.yaml"
    file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in made.items()))
    processes = []
    try:
        for port in ports:
            ready = tmp_path / f"ready{port}"
            names = ("--region", REGION, "--edge", f"e{port}", "--ready-file", str(ready))
            processes.append(
                await asyncio.create_subprocess_exec(
                    *COMMAND, *names, cwd=tmp_path, env=ENVIRONMENT, stderr=asyncio.subprocess.DEVNULL
                )
            )
            await until(ready.exists, within=60)
        fleet, clock = load(file), SystemClock()
        for change, expected in (
            (ServerChange(REGION, "web", b.address, added=True), {b"a", b"b"}),
            (ServerChange(REGION, "web", a.address, removed=True), {b"b"}),
        ):
            await oneshot.change_server(fleet, clock, change)
            for stage.port in ports:
                # Twice what the workers would answer in turn.
                async with asyncio.timeout(20):
                    while {(await stage.ask(GET)).body for _ in range(8)} != expected:
                        pass
    finally:
        for process in processes:
            process.kill()
            await process.wait()
