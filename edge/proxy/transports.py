"""Gives sockets to the event loop, so that exactly one side closes their descriptors.

uvloop closes the descriptor with its transport and makes the socket forget it, but only of a transport that
still is open when the call that made it returns. A socket that had been closed by then would later close
whatever has got the same descriptor meanwhile.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from gslb.fleet import SocketAddress

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)


async def connected(
    loop: asyncio.AbstractEventLoop,
    protocol: Callable[[], ProtocolT],
    opened: socket.socket,
    **options: Any,
) -> ProtocolT:
    """`create_connection` over a socket that is connected. Whatever it raises, the socket is closed then."""
    with _Given(loop, opened):
        _, made = await loop.create_connection(protocol, sock=opened, **options)
    return made


async def accepted(
    loop: asyncio.AbstractEventLoop,
    protocol: Callable[[], asyncio.BaseProtocol],
    taken: socket.socket,
    **options: Any,
) -> None:
    """`connect_accepted_socket`. Whatever it raises, the socket is closed then."""
    with _Given(loop, taken):
        await loop.connect_accepted_socket(protocol, taken, **options)


async def opened_with(
    loop: asyncio.AbstractEventLoop, address: SocketAddress, preface: bytes
) -> socket.socket:
    """A connection that begins with `preface`. Raises OSError."""
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, where = found[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setblocking(False)
        await loop.sock_connect(opened, where)
        await loop.sock_sendall(opened, preface)
    except BaseException:
        opened.close()
        raise
    return opened


class _Given:
    __slots__ = ("_socket", "_uvloop")

    def __init__(self, loop: asyncio.AbstractEventLoop, given: socket.socket) -> None:
        self._socket = given
        self._uvloop = type(loop).__module__.startswith("uvloop")

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *about: object) -> None:
        if self._uvloop:
            self._socket.detach()
        elif kind is not None:
            self._socket.close()


def why_not(error: Exception) -> str:
    """Why there is no connection, in a few words."""
    # UnicodeError: a host name that cannot be one. OSError: everything else, resolving included.
    if isinstance(error, OSError | UnicodeError):
        return getattr(error, "strerror", None) or str(error)
    return repr(error)
