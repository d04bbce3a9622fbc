"""A request while it is being received: what the parser has seen of it so far."""

from __future__ import annotations

from edge.proxy.headers import Fields
from edge.proxy.refusal import Refusal


class Request:
    """Filled by the client's connection, emptied by the exchange.

    body: parts not yet forwarded; buffered: their bytes. complete: nothing more will come.
    last: the parser takes what follows for no request, whatever the fields seem to say.
    refusal: set when what came is not a request that can be forwarded.
    """

    __slots__ = ("body", "buffered", "complete", "fields", "last", "method", "refusal", "target", "version")

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.version = ""
        self.fields: Fields = []
        self.body: list[bytes] = []
        self.buffered = 0
        self.complete = False
        self.last = False
        self.refusal: Refusal | None = None

    def take(self) -> bytes:
        """The body parts received so far; they are the caller's now."""
        data = self.body[0] if len(self.body) == 1 else b"".join(self.body)
        self.body.clear()
        self.buffered = 0
        return data
