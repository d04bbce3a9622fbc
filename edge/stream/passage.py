"""What all connections through one listener that passes them on have in common."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edge.counters import PassedOn
from edge.pool import PoolState
from edge.proxy_protocol import ProxyHeader
from edge.stream.relay import Relay
from edge.stream.server_names import ServerNames
from edge.tls.handshake import ServerSideObject

if TYPE_CHECKING:
    from edge.proxy.entrance import Entrance, Peer
    from edge.proxy.proxy import Proxy


class Passage:
    """Of one reading of the file: connections go on as they began, whatever is read later.

    peeks: whether the name that TLS asks for has to be read from the client's first bytes.
    """

    __slots__ = ("_early", "_entrance", "_names", "counts", "listener", "peeks", "proxy")

    def __init__(self, proxy: Proxy, entrance: Entrance) -> None:
        self.proxy = proxy
        self.listener = listener = entrance.listener
        self.counts = proxy.counters.passed_on.setdefault(listener.label, PassedOn())
        self.peeks = bool(listener.server_names) and not listener.tls
        self._entrance = entrance
        self._names = ServerNames(listener.server_names, listener.pool)
        # Its pools may not be there yet while a changed file is being taken up.
        self._early: list[tuple[Relay, str | None]] | None = []

    def relay(self, header: ProxyHeader | None) -> Relay:
        """The protocol of one more connection. header: the PROXY header that it began with."""
        return Relay(self, header)

    def start(self) -> None:
        """Its listener is in use: its pools are there."""
        early, self._early = self._early, None
        for relay, name in early or ():
            relay.go(name)

    def begin(self, relay: Relay, name: str | None) -> None:
        """Let a connection go on as soon as it may. name: that its client asks for."""
        if self._early is None:
            relay.go(name)
        else:
            self._early.append((relay, name))

    def peer(self, transport: asyncio.Transport, header: ProxyHeader | None) -> Peer:
        return self._entrance.peer(transport, header)

    def asked_name(self, transport: asyncio.Transport) -> str | None:
        """What a client asked for whose TLS ends here."""
        secured = transport.get_extra_info("ssl_object")
        return secured.asked_name if isinstance(secured, ServerSideObject) else None

    def pool(self, name: str | None) -> PoolState | None:
        """Where a client goes that asks for `name`; None: nowhere."""
        found = self._names.pool(name)
        return self.proxy.pools.by_name.get(found) if found is not None else None
