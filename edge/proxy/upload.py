"""A request's body on its way to a server: framed anew, bounded, kept for another try while it is short."""

from __future__ import annotations

from edge.http1.errors import ProtocolError
from edge.http1.events import Trailers
from edge.http1.writing import chunk, last_chunk


class Upload:
    """What has come of a body and what of it was taken for a server.

    Invariants: a server never gets more bytes than `length` announced; while `replayable`, everything that
    was ever taken can be taken again after `restart`.

    chunked: how it is framed towards the server, whatever pieces it came in. length: of a body that is not;
    the reader sees to it that neither more nor less comes.
    keep: bytes that are held for another try. most: bytes that a body may have, None for any number.
    complete: nothing more will come. taken: bytes that a server was given in this try.
    """

    __slots__ = (
        "_chunked",
        "_ended",
        "_keep",
        "_kept",
        "_most",
        "_trailers",
        "_waiting",
        "buffered",
        "complete",
        "received",
        "replayable",
        "taken",
    )

    def __init__(self, *, chunked: bool, length: int, keep: int, most: int | None) -> None:
        self._chunked = chunked
        self._keep = keep
        self._most = most
        self._waiting: list[bytes] = []
        self._kept: list[bytes] = []
        self._trailers: Trailers = ()
        self._ended = False
        self.buffered = 0
        self.received = 0
        self.taken = 0
        self.complete = not chunked and length == 0
        self.replayable = True

    @property
    def done(self) -> bool:
        """Whether the server has been given the last byte of the request."""
        return self._ended or (self.complete and not self._chunked and not self._waiting)

    def add(self, data: bytes) -> None:
        """More has come. Raises ProtocolError (413) for more than may."""
        self.received += len(data)
        if self._most is not None and self.received > self._most:
            raise ProtocolError(413, f"the request's body has more than {self._most} bytes")
        self._waiting.append(data)
        self.buffered += len(data)

    def end(self, trailers: Trailers) -> None:
        """Nothing more will come. trailers: field lines after a chunked body."""
        self.complete = True
        self._trailers = trailers

    def take(self) -> bytes:
        """What a server is to be given now, framed; empty when there is nothing new."""
        parts = self._waiting
        framed = b""
        if parts:
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            self._waiting = []
            self.buffered = 0
            self.taken += len(data)
            self._remember(data)
            framed = chunk(data) if self._chunked else data
        if self.complete and self._chunked and not self._ended:
            self._ended = True
            framed += last_chunk(self._trailers)
        return framed

    def whole(self) -> bytes | None:
        """All of the body, framed for one more server; None while it is not complete, or not kept."""
        if not (self.complete and self.replayable):
            return None
        data = b"".join((*self._kept, *self._waiting))
        if not self._chunked:
            return data
        return (chunk(data) if data else b"") + last_chunk(self._trailers)

    def restart(self) -> None:
        """Begin again for another server; only while `replayable`."""
        assert self.replayable
        self._waiting = self._kept + self._waiting
        self._kept = []
        self.buffered = sum(map(len, self._waiting))
        self.taken = 0
        self._ended = False

    def settle(self) -> None:
        """There will be no other try: nothing need be kept for it."""
        self.replayable = False
        self._kept = []

    def _remember(self, data: bytes) -> None:
        if not self.replayable:
            return
        if self.taken > self._keep:
            self.settle()
        else:
            self._kept.append(data)
