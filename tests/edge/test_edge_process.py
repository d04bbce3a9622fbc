"""The whole edge: starting, probing, reporting, its admin side, leaving; in process and as a process."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from edge_file import COMMAND, ENVIRONMENT
from edge_stage import (
    REGION,
    Origin,
    Stage,
    answering,
    make_fleet,
    ok,
    read_head,
    read_message,
    tcp_check,
    until,
)
from ports import free_port

from edge.admin import edge_app
from edge.counters import Counters
from edge.identity import edge_of
from edge.listeners import bind
from edge.pool import Pools
from edge.process import EdgeProcess
from edge.report import make_report, read
from gslb.admin.listener import AdminServer
from gslb.clock import SystemClock
from gslb.errors import GslbError
from gslb.fleet import Fleet, SocketAddress
from gslb.world import Verdict

GET = b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n"
LOOPBACK = SocketAddress("127.0.0.1", 0)


class Running:
    """An edge in this process, with its admin side."""

    def __init__(self, fleet: Fleet) -> None:
        loop = asyncio.get_running_loop()
        self.process = EdgeProcess(fleet, edge_of(fleet, REGION, None), SystemClock(), loop=loop)
        self.admin = AdminServer(edge_app(self.process), LOOPBACK)

    async def get(self, path: str, *, admin: bool = True) -> httpx.Response:
        port = self.admin.port if admin else self.process.listening[0].port
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"http://127.0.0.1:{port}{path}")


@pytest_asyncio.fixture
async def running(stage: Stage) -> AsyncIterator[tuple[Running, list[Origin]]]:
    origins = [await stage.origin(answering(ok())) for _ in range(2)]
    fleet = make_fleet(
        {"web": [origin.address for origin in origins]},
        check=tcp_check(interval=0.05, timeout=0.5, rise=1, fall=1),
        report_interval=0.05,
        drain_timeout=5.0,
    )
    edge = Running(fleet)
    await edge.admin.start()
    await edge.process.start()
    stage.port = edge.process.listening[0].port
    yield edge, origins
    await edge.process.stop()
    await edge.admin.stop()


async def test_servers_are_known_before_the_first_request_and_watched_after(
    running: tuple[Running, list[Origin]],
) -> None:
    edge, origins = running
    servers = edge.process.pools.by_name["web"].servers
    assert [server.verdict for server in servers] == [Verdict.UP, Verdict.UP]
    assert (await edge.get("/.gslb/health", admin=False)).text == "ok\nweb 2/2\n"
    await origins[0].kill()
    await until(lambda: servers[0].verdict is Verdict.DOWN)
    assert (await edge.get("/.gslb/health", admin=False)).text == "ok\nweb 1/2\n"
    assert {(await edge.get("/web", admin=False)).status_code for _ in range(4)} == {200}
    await origins[1].kill()
    await until(lambda: servers[1].verdict is Verdict.DOWN)
    assert (await edge.get("/.gslb/health", admin=False)).status_code == 503
    assert (await edge.get("/web", admin=False)).status_code == 503


async def test_reports_reach_the_world(running: tuple[Running, list[Origin]]) -> None:
    edge, _ = running
    world = edge.process.store
    assert (await edge.get("/web", admin=False)).status_code == 200

    def reported() -> bool:
        return any(report.requests_per_second > 0 for report in world.world.reports.get(REGION, ()))

    await until(reported)
    (report,) = world.world.reports[REGION]
    assert (report.edge, report.capacity, report.healthy, report.servers) == ("eu-west-1", 100.0, 2, 2)
    assert report.utilisation == pytest.approx(report.requests_per_second / 100.0)


async def test_the_admin_side_tells_state_and_metrics(running: tuple[Running, list[Origin]]) -> None:
    edge, origins = running
    for _ in range(2):
        await edge.get("/web", admin=False)
    await edge.get("/nowhere", admin=False)
    assert (await edge.get("/healthz")).json()["status"] == "ready"
    state = (await edge.get("/v1/state")).json()
    assert (state["region"], state["requests"], state["refusals"]) == (REGION, 3, {"404": 1})
    servers = state["pools"]["web"]["servers"]
    assert [server["address"] for server in servers] == [str(origin.address) for origin in origins]
    assert [server["requests"] for server in servers] == [1, 1]
    assert {server["verdict"] for server in servers} == {"up"}
    metrics = (await edge.get("/metrics")).text
    assert 'gslb_edge_responses_total{status="200"} 2.0' in metrics
    assert 'gslb_edge_refusals_total{status="404"} 1.0' in metrics
    assert 'gslb_edge_response_seconds_count{pool="web"} 2.0' in metrics
    assert f'gslb_edge_server_up{{pool="web",server="{origins[0].address}"}} 1.0' in metrics


async def test_leaving_finishes_what_is_in_flight_and_says_goodbye(stage: Stage) -> None:
    gate = asyncio.Event()

    async def gated(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        await gate.wait()
        writer.write(ok(b"late"))
        await reader.read()

    origin = await stage.origin(gated)
    edge = Running(make_fleet({"web": [origin.address]}, drain_timeout=10.0))
    await edge.process.start()
    stage.port = edge.process.listening[0].port
    idle, _ = await stage.connect()
    reader, writer = await stage.connect()
    writer.write(GET)
    await until(lambda: edge.process.pools.by_name["web"].in_flight == 1)
    leaving = asyncio.ensure_future(edge.process.stop())
    assert await idle.read() == b""
    with pytest.raises(ConnectionRefusedError):
        await stage.connect()
    gate.set()
    response = await read_message(reader)
    assert (response.body, response.get("connection")) == (b"late", "close")
    assert await reader.read() == b""
    writer.close()
    async with asyncio.timeout(5):
        await leaving


async def test_whoever_comes_while_it_is_a_lame_duck_is_served(stage: Stage) -> None:
    origin = await stage.origin(answering(ok()))
    edge = Running(make_fleet({"web": [origin.address]}, lame_duck=600.0))
    await edge.process.start()
    stage.port = edge.process.listening[0].port
    reader, writer = await stage.connect()
    leaving = asyncio.ensure_future(edge.process.stop())
    await until(lambda: edge.process.proxy.draining)
    health = await stage.ask(b"GET /.gslb/health HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (health.status, health.body.splitlines()[0]) == (503, b"draining")
    response = await stage.ask(GET)
    assert (response.status, response.get("connection"), response.trailing_data) == (200, "close", b"")
    writer.write(GET)  # on a connection from before
    assert (await read_message(reader)).get("connection") == "close"
    writer.close()
    assert not leaving.done()
    edge.process.hurry()
    async with asyncio.timeout(10):
        await leaving
    with pytest.raises(ConnectionRefusedError):
        await stage.connect()


async def test_connections_that_wait_to_be_accepted_are_served_before_the_listener_goes(stage: Stage) -> None:
    origin = await stage.origin(answering(ok()))
    edge = Running(make_fleet({"web": [origin.address]}, lame_duck=0.0))
    await edge.process.start()
    # The kernel takes the connection and its request; the loop has had no turn to see either.
    waiting = socket.create_connection(("127.0.0.1", edge.process.listening[0].port))
    waiting.sendall(GET)
    leaving = asyncio.ensure_future(edge.process.stop())
    reader, writer = await asyncio.open_connection(sock=waiting)
    response = await read_message(reader)
    assert (response.status, response.get("connection")) == (200, "close")
    writer.close()
    async with asyncio.timeout(10):
        await leaving


async def test_a_keep_alive_promised_before_does_not_hold_up_leaving(stage: Stage) -> None:
    gate = asyncio.Event()

    async def halting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await gate.wait()
        writer.write(b"half")
        await reader.read()

    origin = await stage.origin(halting)
    edge = Running(make_fleet({"web": [origin.address]}, drain_timeout=600.0))
    await edge.process.start()
    stage.port = edge.process.listening[0].port
    reader, writer = await stage.connect()
    writer.write(GET)
    head = await read_head(reader)
    assert head.get("connection") is None
    leaving = asyncio.ensure_future(edge.process.stop())
    await until(lambda: edge.process.proxy.leaving)
    gate.set()
    async with asyncio.timeout(10):
        assert await reader.read() == b"halfhalf"
        writer.close()
        await leaving


async def test_leaving_does_not_wait_longer_than_the_drain_time_out(stage: Stage) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    edge = Running(make_fleet({"web": [(await stage.origin(never)).address]}, drain_timeout=0.05))
    await edge.process.start()
    stage.port = edge.process.listening[0].port
    reader, writer = await stage.connect()
    writer.write(GET)
    await until(lambda: edge.process.pools.by_name["web"].in_flight == 1)
    async with asyncio.timeout(5):
        await edge.process.stop()
        assert await reader.read() == b""
    assert edge.process.pools.by_name["web"].in_flight == 0


async def test_a_taken_port_is_an_error_with_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = SocketAddress(*taken.getsockname())
        with pytest.raises(GslbError, match=str(address)):
            bind(address)


def test_which_edge_to_be() -> None:
    fleet = make_fleet({})
    assert edge_of(fleet, REGION, None).name == "eu-west-1"
    for region, name, hint in (("mars", None, "regions: eu-west"), (REGION, "x", "edges: eu-west-1")):
        with pytest.raises(GslbError) as wrong:
            edge_of(fleet, region, name)
        assert wrong.value.hint == hint


def test_a_report_is_about_the_time_between_two_readings() -> None:
    fleet = make_fleet({"web": [SocketAddress("127.0.0.1", 1)], "bare": []}, capacity=200.0)
    region = fleet.regions[REGION]
    counters = Counters(requests=100, probes=10)
    before = read(counters, (), 10.0)
    counters.requests += 53
    counters.probes += 3
    for status in (200, 502, 503, 404):
        counters.responded(status)
    report = make_report(
        region.edges[0],
        region,
        before,
        read(counters, (), 12.0),
        now=5.0,
        in_flight=4,
        pools=Pools(fleet, region),
    )
    assert report.requests_per_second == 25.0
    assert report.error_rate == pytest.approx(2 / 50)
    assert report.utilisation == pytest.approx(0.125)
    # Nobody has looked at it yet, and unknown is not down.
    assert [(pool.pool, pool.healthy, pool.servers) for pool in report.pools] == [("web", 1, 1)]


CONFIG = """\
regions:
  eu-west:
    coordinates: {{latitude: 53.35, longitude: -6.26}}
    edges: [{{addresses: [127.0.0.1], port: {port}}}]
    servers: {{web: ["{server}"]}}
pools:
  web: {{method: round_robin}}
routes:
  - {{path: /, pool: web}}
edge: {{lame_duck: {lame_duck}}}
"""


async def test_the_command_serves_says_when_and_leaves_on_sigterm_at_once_on_the_second(
    stage: Stage, tmp_path: Path
) -> None:
    origin = await stage.origin(answering(ok()))
    port = free_port()
    (tmp_path / "regions.yaml").write_text(CONFIG.format(port=port, server=origin.address, lame_duck="10m"))
    ready = tmp_path / "ready"
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("--region", "eu-west", "--ready-file", str(ready)),
        cwd=tmp_path,
        env=ENVIRONMENT,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        # It is there a moment before its text is.
        await until(lambda: ready.exists() and ready.read_text() == "ready\n", within=20)
        async with httpx.AsyncClient(trust_env=False) as client:
            response = await client.get(f"http://127.0.0.1:{port}/")
            assert (response.status_code, response.headers["x-gslb-server"]) == (200, str(origin.address))
            process.send_signal(signal.SIGTERM)
            while (await client.get(f"http://127.0.0.1:{port}/.gslb/health")).status_code != 503:
                pass
            assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 200
            process.send_signal(signal.SIGTERM)  # enough of it
            async with asyncio.timeout(10):
                _, errors = await process.communicate()
        assert process.returncode == 0
        events = [json.loads(line)["event"] for line in errors.decode().splitlines()]
        assert [event for event in events if event in ("serving", "stopped")] == ["serving", "stopped"]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    ("config", "arguments", "status", "words"),
    [
        (CONFIG.replace("pool: web", "pool: wbe"), ("--region", "eu-west"), 2, "regions.yaml:9:21: "),
        (CONFIG, ("--region", "mars"), 1, "regions: eu-west"),
    ],
)
def test_mistakes_are_told_and_end_the_command(
    tmp_path: Path, config: str, arguments: tuple[str, ...], status: int, words: str
) -> None:
    (tmp_path / "regions.yaml").write_text(
        config.format(port=free_port(), server="127.0.0.1:1", lame_duck="0s")
    )
    ended = subprocess.run(
        [*COMMAND, *arguments], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == status
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
