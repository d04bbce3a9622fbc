"""A response on its way to a client: framed anew, and gathered so that one read becomes one write."""

from __future__ import annotations

from edge.http1.events import Framing, ResponseHead, Trailers
from edge.http1.writing import chunk, last_chunk
from edge.proxy.headers import client_head, interim_head


class Download:
    """minor: of the client's HTTP/1.x. head: of the final response, once it has begun. body: bytes so far.

    chunked: whether the client gets the body in chunks: every HTTP/1.1 client whose server did not say how
    long it is. counted: whether a client can tell a body that breaks off from one that ends.
    """

    __slots__ = ("_minor", "_out", "body", "chunked", "head")

    def __init__(self, minor: int) -> None:
        self._minor = minor
        self._out: list[bytes] = []
        self.head: ResponseHead | None = None
        self.chunked = False
        self.body = 0

    @property
    def counted(self) -> bool:
        return self.chunked or (self.head is not None and self.head.framing is Framing.LENGTH)

    def inform(self, head: ResponseHead) -> None:
        """An interim response: for those who know what it is (RFC 9110 15.2)."""
        if self._minor == 1:
            self._out.append(interim_head(head))

    def take_up(self, head: ResponseHead) -> bool:
        """This is the final response; whether its end will show without the connection's."""
        self.head = head
        self.chunked = self._minor == 1 and head.framing in (Framing.CHUNKED, Framing.UNTIL_CLOSE)
        return self.chunked or head.framing in (Framing.LENGTH, Framing.NONE)

    def begin(self, *, keep_alive: bool, date: bytes, marks: bytes) -> None:
        """Write its head. date: a field line, for a head without one. marks: the edge's own field lines."""
        assert self.head is not None
        self._out.append(
            client_head(
                self.head,
                minor=self._minor,
                chunked=self.chunked,
                keep_alive=keep_alive,
                date=date,
                marks=marks,
            )
        )

    def add(self, data: bytes) -> None:
        """More of the body."""
        self.body += len(data)
        self._out.append(chunk(data) if self.chunked else data)

    def end(self, trailers: Trailers) -> None:
        """The body is complete. trailers: for those clients that get chunks."""
        if self.chunked:
            self._out.append(last_chunk(trailers))

    def take(self) -> bytes:
        """All that is to be written now; empty when there is nothing."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data
