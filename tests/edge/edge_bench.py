"""A proxy between two wires that are no sockets: everything happens at once, and the clock is the test's."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

import pytest
from edge_stage import REGION, make_fleet

from edge.pool import Pools
from edge.proxy.proxy import Proxy
from edge.proxy.upstream import Upstream
from gslb.fleet import SocketAddress


class Wire(asyncio.Transport):
    """A transport that remembers what was written, and loses its protocol when it is closed."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("192.0.2.1", 4711)})
        self.protocol = protocol
        self.written = b""
        self.closed = False
        self.unsent = 0
        protocol.connection_made(self)

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.protocol.connection_lost(None)

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Bench:
    """A proxy between one client and one server, both of them wires."""

    def __init__(self, **settings: Any) -> None:
        fleet = make_fleet({"web": [SocketAddress("192.0.2.2", 80)]}, **settings)
        region = fleet.regions[REGION]
        self.loop = mock.Mock(spec=asyncio.AbstractEventLoop)
        self.loop.time.return_value = 0.0
        self.loop.create_task.side_effect = self._connect
        self.proxy = Proxy(fleet, region.edges[0], Pools(fleet, region), self.loop, compiled=False)
        self.server = self.proxy.pools.by_name["web"].servers[0]
        # One connection waits already, so that no exchange has to connect.
        upstream = Upstream(self.server, self.proxy.limits, now=0.0)
        self.upstream = Wire(upstream)
        self.server.idle.append(upstream)
        self.connection = self.proxy.protocol(self.proxy.entrance(region.edges[0].listen[0]))(None)
        self.client = Wire(self.connection)

    def _connect(self, coroutine: Any) -> None:
        coroutine.close()
        pytest.fail("the idle connection was not used")
