"""Addresses that several processes are to listen on, held by the one that starts them."""

from __future__ import annotations

import socket
from dataclasses import replace

from edge.listeners import bind
from gslb.fleet import Edge, SocketAddress

Held = dict[tuple[SocketAddress, bool], list[socket.socket]]
"""By address, and whether it is for datagrams."""


class Reserved:
    """Keeps the edge's addresses: bound here and never listened on, so that port 0 is the same for all."""

    def __init__(self) -> None:
        self._sockets: Held = {}

    def prepare(self, edge: Edge) -> tuple[Edge, Held]:
        """The edge with real ports, and its sockets, for `use`; raises GslbError, and then holds no more."""
        had = {address: list(sockets) for address, sockets in self._sockets.items()}
        wanted: Held = {}
        fresh: list[socket.socket] = []
        listen = []
        try:
            for listener in edge.listen:
                key = (listener.address, listener.datagrams)
                left = had.get(key)
                if left:
                    held = left.pop(0)
                else:
                    held = bind(listener.address, datagrams=listener.datagrams)
                    fresh.append(held)
                    if listener.datagrams:
                        # Else it would get its share of them; connected it gets its own only, of which
                        # there are none.
                        held.connect(held.getsockname())
                wanted.setdefault(key, []).append(held)
                port = held.getsockname()[1]
                listen.append(replace(listener, address=replace(listener.address, port=port)))
        except BaseException:
            for held in fresh:
                held.close()
            raise
        return replace(edge, listen=tuple(listen)), wanted

    def use(self, wanted: Held) -> None:
        """Keep these; `{}` for none."""
        before, self._sockets = self._sockets, wanted
        kept = {id(each) for sockets in wanted.values() for each in sockets}
        for sockets in before.values():
            for each in sockets:
                if id(each) not in kept:
                    each.close()

    def give_up(self, wanted: Held) -> None:
        """These are not wanted after all."""
        held = {id(each) for sockets in self._sockets.values() for each in sockets}
        for sockets in wanted.values():
            for each in sockets:
                if id(each) not in held:
                    each.close()
