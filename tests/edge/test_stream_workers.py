"""Connections and datagrams through an edge of several processes count and stay as through one."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from edge_file import write
from edge_stage import Stage
from ports import free_port
from test_edge_workers import Edge, edge
from test_stream_tcp import greeted, saying
from test_stream_udp import Asker, Resolver

from gslb.fleet import SocketAddress

__all__ = ["edge"]


async def test_workers_pass_on_as_one_edge(stage: Stage, edge: Edge, tmp_path: Path) -> None:
    resolvers = [await Resolver(name).start() for name in (b"a", b"b")]
    origin = await stage.origin(saying(b"hello"))
    udp = SocketAddress("127.0.0.1", free_port())
    listen = [
        {"address": f"127.0.0.1:{edge.port}", "kind": "tcp", "pool": "web"},
        {"address": str(udp), "kind": "udp", "pool": "names"},
    ]
    write(
        tmp_path / "regions.yaml",
        listen,
        {"web": [origin.address], "names": [each.address for each in resolvers]},
        admin=f"127.0.0.1:{edge.admin}",
        workers=2,
        drain_timeout="1s",
    )
    await edge.start()
    assert [await greeted(stage) for _ in range(20)] == [b"hello"] * 20
    askers = [Asker() for _ in range(20)]
    try:
        names = [await asker.ask(udp) for asker in askers]
        assert set(names) == {b"a", b"b"}
        for _ in range(3):
            assert [await asker.ask(udp) for asker in askers] == names
    finally:
        for asker in askers:
            asker.close()
    tcp_label, udp_label = f"tcp 127.0.0.1:{edge.port}", f"udp {udp}"
    state = await edge.state_where(
        lambda state: (
            [state["passed_on"].get(label, {}).get("taken") for label in (tcp_label, udp_label)] == [20, 20]
        )
    )
    assert state["passed_on"][udp_label]["open"] == 20
    metrics = (await edge.get("/metrics")).text
    assert f'gslb_edge_passed_on_total{{listener="{tcp_label}"}} 20.0' in metrics
    assert f'gslb_edge_passed_on_now{{listener="{udp_label}"}} 20.0' in metrics
    edge.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        assert await edge.process.wait() == 0
    for each in resolvers:
        each.close()
