"""Accepts connections that begin with a PROXY header or with TLS, so many at once and no more."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

from edge.proxy import transports
from edge.proxy_protocol import NEED_DATA, ProxyHeader, ProxyHeaderReader, ProxyProtocolError

_MOST_AT_ONCE = 1024
"""Connections whose header or TLS handshake is not complete; more wait in the kernel."""

_LOOK_AGAIN = 0.01  # seconds; only for a header that came in pieces
_LONGEST = 4096 + 16


class Acceptor:
    """Of one listening socket. A PROXY header is looked at in the kernel's buffer and then taken from there,
    so that not a byte behind it is missed by who comes next."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        connected: Callable[[ProxyHeader | None], asyncio.Protocol],
        *,
        trusts: Callable[[str], bool] | None,
        context: ssl.SSLContext | None,
        timeout: float,
        shutdown_timeout: float,
        complain: Callable[..., None],
    ) -> None:
        """connected: makes the protocol of a connection. trusts: whether the word of a peer's address counts;
        None where connections begin without a header.

        timeout: seconds for a header to come, and again for a TLS handshake. shutdown_timeout: seconds for a
        client to take what is left when TLS ends.
        """
        self._loop = loop
        self._listening = listening
        self._connected = connected
        self._context = context
        self._timeout = timeout
        self._shutdown_timeout = shutdown_timeout
        self._trusts = trusts
        self._complain = complain
        self._name = "{}:{}".format(*listening.getsockname()[:2])
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting = loop.create_task(self._accept(), name="accepting")

    def close(self) -> None:
        """Accept no more; those who are here already have their time for a header, until `finish` ends."""
        self._accepting.cancel()
        self._listening.close()

    async def finish(self) -> None:
        """Wait until all headers have come, or their time is over; cancelled: close those that have not."""
        try:
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _accept(self) -> None:
        while True:
            while len(self._tasks) >= _MOST_AT_ONCE:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            try:
                accepted, peer = await self._loop.sock_accept(self._listening)
            except OSError as error:
                # Too many open files, as a rule: the kernel keeps those that wait.
                self._complain("cannot accept connections", reason=error.strerror or str(error))
                await asyncio.sleep(1.0)
                continue
            if not self.introduce(accepted, str(peer[0])):
                await asyncio.sleep(0)  # else a flood of them would leave nobody else a turn

    def introduce(self, accepted: socket.socket, peer: str) -> bool:
        """Take over a connection, whoever has accepted it; False, and it is closed, if nobody trusts it.

        peer: the address that it comes from.
        """
        # Anybody can write a header: who may not is closed before a byte is read.
        if self._trusts is not None and not self._trusts(peer):
            accepted.close()
            self._complain("PROXY header of nobody trusted", peer=peer, listener=self._name)
            return False
        task = self._loop.create_task(self._introduce(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _introduce(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        handed_over = False
        header: ProxyHeader | None = None
        try:
            if self._trusts is not None:
                async with asyncio.timeout(self._timeout):
                    header = await self._header(accepted)
            handed_over = True
            await transports.accepted(
                self._loop,
                lambda: self._connected(header),
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._timeout if self._context else None,
                ssl_shutdown_timeout=self._shutdown_timeout if self._context else None,
            )
        except ProxyProtocolError as error:
            self._complain("no PROXY header", reason=str(error))
        except (OSError, EOFError, TimeoutError):
            pass  # gone before it said who it is
        finally:
            if not handed_over:
                with contextlib.suppress(OSError):
                    accepted.close()

    async def _header(self, accepted: socket.socket) -> ProxyHeader:
        """Read the header, and nothing behind it. Raises ProxyProtocolError, EOFError."""
        seen = 0
        while True:
            data = await self._peek(accepted)
            if not data:
                raise EOFError
            if len(data) > seen:
                seen = len(data)
                header = ProxyHeaderReader().receive(data)
                if header is not NEED_DATA:
                    assert isinstance(header, ProxyHeader)
                    left = header.length
                    while left:
                        left -= len(accepted.recv(left))
                    return header
            await asyncio.sleep(_LOOK_AGAIN)

    async def _peek(self, accepted: socket.socket) -> bytes:
        while True:
            try:
                return accepted.recv(_LONGEST, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                await self._readable(accepted)

    async def _readable(self, accepted: socket.socket) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(accepted, _settle, ready)
        try:
            await ready
        finally:
            self._loop.remove_reader(accepted)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
