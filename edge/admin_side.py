"""The edge's admin side as a running thing: a predecessor that is about to leave may have its address yet."""

from __future__ import annotations

import asyncio
import errno

import structlog

from edge.admin import Shown, edge_app
from gslb.admin.listener import AdminServer
from gslb.errors import GslbError
from gslb.fleet import SocketAddress

_AGAIN = 0.5  # seconds


class AdminSide:
    """Serves as soon as its address is free; in use counts as not yet, for an edge serves without it too."""

    def __init__(self, process: Shown, address: SocketAddress) -> None:
        self._process = process
        self._address = address
        self._server: AdminServer | None = None
        self._waiting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises GslbError when the address is none of this machine's, or may not be bound."""
        if not await self._serves():
            structlog.get_logger("edge").warning(
                "the admin side waits for its address", address=str(self._address), reason="it is in use"
            )
            self._waiting = asyncio.get_running_loop().create_task(self._wait(), name="admin side")

    async def stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.gather(self._waiting, return_exceptions=True)
        if self._server is not None:
            await self._server.stop()

    async def _wait(self) -> None:
        while True:
            await asyncio.sleep(_AGAIN)
            if await self._serves():
                return

    async def _serves(self) -> bool:
        server = AdminServer(edge_app(self._process), self._address)
        try:
            await server.start()
        except GslbError as error:
            cause = error.__context__
            if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
                return False
            raise
        self._server = server
        return True
