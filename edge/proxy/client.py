"""What an exchange and a tunnel need of the client's connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edge.proxy.entrance import Peer
    from edge.proxy.tunnel import Tunnel


class Client(Protocol):
    """Whoever is answered. write_paused: it does not take what it is sent.

    may_drain: whether what is still to come of its request is little enough to be read for what follows.
    """

    write_paused: bool

    @property
    def peer(self) -> Peer: ...

    @property
    def may_drain(self) -> bool: ...

    def write(self, data: bytes) -> None: ...

    def body_taken(self) -> None: ...

    def exchange_done(self, keep_alive: bool) -> None: ...

    def tunnel_with(self, tunnel: Tunnel) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def finish(self) -> None: ...

    def abort(self, *, reset: bool = False) -> None: ...
