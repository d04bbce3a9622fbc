"""What an exchange needs of the client's connection."""

from __future__ import annotations

from typing import Protocol


class Client(Protocol):
    """Whoever is answered. address: of the peer, as text; write_paused: it does not take what it is sent."""

    address: str
    write_paused: bool

    def write(self, data: bytes) -> None: ...

    def body_taken(self) -> None: ...

    def exchange_done(self, keep_alive: bool) -> None: ...

    def abort(self, *, reset: bool = False) -> None: ...
