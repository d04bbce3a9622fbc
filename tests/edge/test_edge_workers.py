"""Several processes that serve as one edge: their numbers add up, and none of them is indispensable."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from edge_file import COMMAND, ENVIRONMENT, REGION, Load, write
from edge_stage import Origin, Stage, answering, make_fleet, ok, read_message, until
from ports import free_port

from edge.balance.least_connections import LeastConnections
from edge.counters import Counters
from edge.pool import Pools
from edge.spill_over import Neighbourhood
from edge.worker import Inbox
from edge.workers.channel import Shared
from edge.workers.columns import Board
from edge.workers.parcel import Parcel, ParcelError, pack, unpack
from edge.workers.sharing import HeadsShare, WorkersShare, layout_of
from gslb.config import load
from gslb.errors import GslbError
from gslb.fleet import Fleet, SocketAddress
from gslb.world import Verdict

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
A, B, C = (SocketAddress("127.0.0.1", port) for port in (1, 2, 3))


class Sharers:
    """A head and two workers in one process, which share a board by its descriptor as processes do."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.pools = self.new_pools()
        self.counters = Counters()
        self.head = HeadsShare(self.pools, self.counters, Board.create(self.layout(fleet)))
        self.workers = [self.worker(number) for number in range(2)]

    def layout(self, fleet: Fleet) -> Any:
        return layout_of(fleet, fleet.regions[REGION].edges[0], 2)

    def new_pools(self) -> Pools:
        return Pools(self.fleet, self.fleet.regions[REGION])

    def board(self) -> Board:
        return Board(os.dup(self.head.board.fd), self.layout(self.fleet))

    def worker(self, number: int) -> tuple[WorkersShare, Pools, Counters]:
        pools, counters = self.new_pools(), Counters()
        share = WorkersShare(number, pools, counters)
        share.attach(self.board())
        return share, pools, counters

    def take_up(self, fleet: Fleet) -> None:
        self.fleet = fleet
        region = fleet.regions[REGION]
        fresh = self.head.board.successor(self.layout(fleet))
        self.pools.use(fleet, region, 0.0)
        self.head.use(fresh)
        self.head.tell(Neighbourhood())
        for share, pools, _ in self.workers:
            pools.use(fleet, region, 0.0)
            share.attach(self.board())

    def close(self) -> None:
        for share, _, _ in self.workers:
            share.close()
        self.head.board.close()


@pytest.fixture
def sharers() -> Any:
    made = Sharers(make_fleet({"web": [A, B]}))
    yield made
    made.close()


def test_requests_at_a_server_are_seen_by_all_workers_at_once(sharers: Sharers) -> None:
    (_, mine, _), (_, yours, _) = sharers.workers
    first, second = mine.by_name["web"].servers
    first.enter()
    first.enter()
    second.enter()
    assert [server.in_flight for server in yours.by_name["web"].servers] == [2, 1]
    assert [server.own for server in yours.by_name["web"].servers] == [0, 0]
    assert next(LeastConnections(yours.by_name["web"].servers).candidates("x")).name == str(B)
    first.leave()
    assert [server.in_flight for server in sharers.pools.by_name["web"].servers] == [1, 1]


def test_counts_add_up_and_outlive_the_worker_that_made_them(sharers: Sharers) -> None:
    for at, (share, pools, counters) in enumerate(sharers.workers):
        counters.requests += 10 + at
        counters.responded(200)
        counters.refused(503)
        pools.by_name["web"].latency.add(0.2)
        pools.by_name["web"].servers[0].enter()
        share.publish(3)
    sharers.head.gather()
    head = sharers.counters
    assert (head.requests, head.errors, sharers.head.connections) == (21, 2, 6)
    assert (head.responses, head.refusals) == ({200: 2, 503: 2}, {503: 2})
    pool = sharers.pools.by_name["web"]
    assert (pool.servers[0].requests, pool.in_flight) == (2, 2)
    assert sum(pool.latency.counts) == 2
    assert pool.latency.total == pytest.approx(0.4)
    # One dies; the next of its number counts on.
    sharers.workers[1][0].close()
    sharers.head.board.forget(1)
    sharers.workers[1] = sharers.worker(1)
    share, pools, counters = sharers.workers[1]
    counters.requests += 5
    pools.by_name["web"].servers[0].enter()
    share.publish(1)
    sharers.head.gather()
    assert (head.requests, sharers.head.connections) == (26, 4)
    assert (pool.servers[0].requests, pool.in_flight) == (3, 2)


def test_totals_never_go_back_when_a_fleet_is_taken_up(sharers: Sharers) -> None:
    for share, pools, counters in sharers.workers:
        counters.requests += 7
        pools.by_name["web"].servers[1].enter()
        share.publish(0)
        counters.requests += 1  # not published when the board is replaced
    gone = sharers.workers[0][1].by_name["web"].servers[0]
    gone.enter()
    sharers.take_up(make_fleet({"web": [B, C], "more": [A]}))
    gone.leave()  # it ends where it began, and nobody counts it here
    sharers.head.gather()
    assert sharers.counters.requests == 14
    for share, pools, _ in sharers.workers:
        pools.by_name["web"].servers[1].enter()
        share.publish(0)
    sharers.head.gather()
    assert sharers.counters.requests == 16
    assert [server.requests for server in sharers.pools.by_name["web"].servers] == [2, 2]
    assert [server.in_flight for server in sharers.pools.by_name["web"].servers] == [2, 2]


def test_verdicts_of_the_head_hold_for_workers_and_for_those_that_start_later(sharers: Sharers) -> None:
    sharers.pools.judge(f"{REGION}/web/{A}", Verdict.DOWN, "refused", 1.0)
    sharers.pools.judge(f"{REGION}/web/{B}", Verdict.UP, "ok", 1.0)
    sharers.head.tell(Neighbourhood())
    share, pools, _ = sharers.workers[0]
    share.look()
    assert [server.verdict for server in pools.by_name["web"].servers] == [Verdict.DOWN, Verdict.UP]
    assert pools.by_name["web"].usable == 1
    sharers.workers[1][0].close()
    sharers.workers[1] = sharers.worker(1)
    assert sharers.workers[1][1].by_name["web"].usable == 1


def test_a_worker_knows_how_many_connections_the_others_have(sharers: Sharers) -> None:
    (one, _, _), (other, _, _) = sharers.workers
    one.publish(4)
    other.publish(2)
    one.publish(4)
    assert (one.connections_elsewhere, other.connections_elsewhere) == (2, 4)


def test_a_fleet_reaches_workers_as_it_was_read(tmp_path: Path) -> None:
    checks = {"type": "http", "path": "/health", "headers": {"Authorization": "secret"}}
    write(tmp_path / "regions.yaml", ["127.0.0.1:80"], {"web": [A]}, pool={"check": "http"})
    with open(tmp_path / "regions.yaml", "a", encoding="utf-8") as file:
        file.write(json.dumps({"checks": {"http": checks}})[1:-1] + "\n")
        file.write('redis: {url: "redis://:password@127.0.0.1:1/0"}\n')
    fleet = load(tmp_path / "regions.yaml")
    parcel = Parcel(fleet, fleet.regions[REGION].edges[0], 3)
    fd = pack(parcel)
    try:
        assert unpack(fd) == parcel
    finally:
        os.close(fd)


def test_what_is_no_parcel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    with pytest.raises(ParcelError, match="holds no fleet"):
        unpack(fd)
    os.close(fd)


def test_a_worker_takes_only_what_belongs_together(sharers: Sharers) -> None:
    inbox = Inbox()
    parcel = Parcel(sharers.fleet, sharers.fleet.regions[REGION].edges[0], 2)
    inbox.add(Shared("fleet", 1, pack(parcel)))
    assert inbox.take() is None
    inbox.add(Shared("fleet", 2, pack(parcel)))
    inbox.add(Shared("board", 1, os.dup(sharers.head.board.fd)))
    assert inbox.take() is None
    inbox.add(Shared("board", 2, os.dup(sharers.head.board.fd)))
    news = inbox.take()
    assert news is not None
    assert news[0] == parcel
    news[1].close()
    assert inbox.take() is None
    other = make_fleet({"web": [A]})
    inbox.add(Shared("fleet", 3, pack(Parcel(other, other.regions[REGION].edges[0], 2))))
    inbox.add(Shared("board", 3, os.dup(sharers.head.board.fd)))
    with pytest.raises(GslbError, match="another layout"):
        inbox.take()
    inbox.close()


class Edge:
    """An edge of two workers as processes, with its admin side."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.folder = folder
        self.port = stage.port = free_port()
        self.admin = free_port()
        self.process: asyncio.subprocess.Process

    def declare(self, *origins: Origin, **options: Any) -> None:
        write(
            self.folder / "regions.yaml",
            [f"127.0.0.1:{self.port}"],
            {"web": [origin.address for origin in origins]},
            **{"admin": f"127.0.0.1:{self.admin}", "workers": 2, "report_interval": "200ms", **options},
        )

    async def start(self) -> None:
        ready = self.folder / "ready"
        log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *("--region", REGION, "--ready-file", str(ready)),
            cwd=self.folder,
            env=ENVIRONMENT,
            stdout=log,
            stderr=log,
        )
        os.close(log)
        await until(lambda: ready.exists() or self.process.returncode is not None, within=60)
        assert self.process.returncode is None, self.said

    @property
    def said(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said.splitlines()]

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"http://127.0.0.1:{self.admin}{path}")

    async def state_where(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The state, once it is so."""
        async with asyncio.timeout(30):
            while not holds(state := (await self.get("/v1/state")).json()):
                await asyncio.sleep(0.01)
        return dict(state)

    async def taken_up(self, times: int) -> None:
        await self.state_where(lambda state: bool(state["configuration"]["taken_up"] >= times))

    async def in_flight(self, count: int) -> None:
        """Until so many requests are at servers."""

        def reached(state: dict[str, Any]) -> bool:
            servers = state["pools"]["web"]["servers"]
            return bool(sum(server["in_flight"] for server in servers) == count)

        await self.state_where(reached)


@pytest_asyncio.fixture
async def edge(stage: Stage, tmp_path: Path) -> AsyncIterator[Edge]:
    made = Edge(stage, tmp_path)
    yield made
    if hasattr(made, "process"):
        # Its workers see its end and leave.
        with contextlib.suppress(ProcessLookupError):
            made.process.kill()
        await made.process.wait()


async def test_workers_serve_as_one_edge_and_leave_as_one(stage: Stage, edge: Edge) -> None:
    origin = await stage.origin(answering(ok()))
    edge.declare(origin, lame_duck="300ms")
    await edge.start()
    async with Load(edge.port, keeping=4, anew=4) as clients:
        await clients.more(200)
    assert clients.failed == []
    total = clients.said.total()
    state = await edge.state_where(lambda state: state["requests"] >= total)
    assert state["requests"] == total
    assert state["responses"] == {"200": total}
    (server,) = state["pools"]["web"]["servers"]
    assert (server["requests"], server["in_flight"], server["verdict"]) == (total, 0, "up")
    assert len(state["workers"]) == 2
    metrics = (await edge.get("/metrics")).text
    assert f'gslb_edge_response_seconds_count{{pool="web"}} {float(total)}' in metrics
    assert (await edge.get("/healthz")).json()["status"] == "ready"
    edge.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        assert await edge.process.wait() == 0
    assert [line["event"] for line in edge.events].count("stopped") == 3


async def test_a_worker_that_is_killed_is_started_again_and_the_others_go_on(
    stage: Stage, edge: Edge
) -> None:
    edge.declare(await stage.origin(answering(ok())))
    await edge.start()
    before = (await edge.get("/v1/state")).json()["workers"]
    os.kill(before["0"], signal.SIGKILL)
    state = await edge.state_where(lambda state: state["workers"].get("0") not in (None, before["0"]))
    assert state["workers"]["1"] == before["1"]
    assert "killed by SIGKILL" in edge.said
    for _ in range(20):
        # A connection that the kernel had given to the dead one may have been reset; none is from now on.
        assert (await stage.ask(GET)).status == 200


async def test_all_workers_take_up_a_changed_file_under_load(stage: Stage, edge: Edge) -> None:
    old, new = [await stage.origin(answering(ok(name))) for name in (b"old", b"new")]
    edge.declare(old)
    await edge.start()
    async with Load(edge.port, keeping=4, anew=4) as clients:
        for turn in range(4):
            await clients.more(50)
            edge.declare(old, new, pool={"method": "ip_hash"}) if turn % 2 else edge.declare(new)
            edge.process.send_signal(signal.SIGHUP)
            await edge.taken_up(turn + 1)
        edge.declare(new)
        edge.process.send_signal(signal.SIGHUP)
        await edge.taken_up(5)
        await clients.more(100)
    assert clients.failed == []
    assert set(clients.said) == {(200, b"old"), (200, b"new")}
    async with asyncio.timeout(20):
        while {(await stage.ask(GET)).body for _ in range(8)} != {b"new"}:
            pass
    assert [line for line in edge.events if line["level"] == "error"] == []


async def test_least_connections_counts_what_other_workers_have_in_flight(stage: Stage, edge: Edge) -> None:
    gate = asyncio.Event()

    async def gated(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await read_message(reader)
            await gate.wait()
            writer.write(ok())
            await reader.read()

    origins = [await stage.origin(gated) for _ in range(2)]
    edge.declare(*origins, pool={"method": "least_connections"})
    await edge.start()
    asked = []
    for count in range(1, 13):
        asked.append(asyncio.ensure_future(stage.ask(GET)))
        # One after the other, so that each finds those before it counted.
        await edge.in_flight(count)
    state = (await edge.get("/v1/state")).json()
    assert [server["in_flight"] for server in state["pools"]["web"]["servers"]] == [6, 6]
    gate.set()
    assert {response.status for response in await asyncio.gather(*asked)} == {200}
