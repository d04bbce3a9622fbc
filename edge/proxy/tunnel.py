"""Passes bytes both ways once client and server have switched protocols."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.proxy.client import Client

if TYPE_CHECKING:
    from edge.proxy.proxy import Proxy
    from edge.proxy.upstream import Upstream


class Tunnel:
    """Who is slow pauses the other side; when one side ends, what it has sent still arrives.

    bytes_in, bytes_out: from the client, and to it.
    """

    __slots__ = ("_client", "_ended", "_on_end", "_progress", "_proxy", "_upstream", "bytes_in", "bytes_out")

    def __init__(
        self, proxy: Proxy, client: Client, upstream: Upstream, on_end: Callable[[Tunnel], None]
    ) -> None:
        """on_end: called once, when nothing more is passed."""
        self._proxy = proxy
        self._client = client
        self._upstream = upstream
        self._on_end = on_end
        self._progress = proxy.time()
        self._ended = False
        self.bytes_in = 0
        self.bytes_out = 0

    def from_client(self, data: bytes) -> None:
        self._progress = self._proxy.time()
        self.bytes_in += len(data)
        self._upstream.write(data)
        if self._upstream.write_paused:
            self._client.pause_reading()

    def from_server(self, data: bytes) -> None:
        self._progress = self._proxy.time()
        self.bytes_out += len(data)
        self._client.write(data)
        if self._client.write_paused:
            self._upstream.pause_reading()

    def client_writable(self) -> None:
        self._upstream.resume_reading()

    def server_writable(self) -> None:
        self._client.resume_reading()

    def client_ended(self) -> None:
        """The client sends no more: the server is told, once it has taken what came before."""
        self._upstream.finish()
        self._end()
        self._client.finish()

    def client_gone(self) -> None:
        self._upstream.close()
        self._end()

    def server_ended(self) -> None:
        self._end()
        self._client.finish()

    def check(self, now: float, *, client_took: bool) -> None:
        """End it when neither side has sent anything for too long. now: loop time."""
        if client_took or self._upstream.took():
            self._progress = now
        settings = self._proxy.settings
        # Once the server has ended it, all that is left is for the client to take the rest.
        limit = settings.write_timeout if self._ended else settings.tunnel_timeout
        if now - self._progress > limit:
            self._upstream.close()
            self._end()
            self._client.abort()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._on_end(self)
