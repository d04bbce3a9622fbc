"""Feeds readers and collects what they tell, in a form that does not depend on how the bytes came."""

from __future__ import annotations

from collections.abc import Sequence

from edge.http1 import (
    CLOSED,
    Data,
    End,
    ProtocolError,
    RequestHead,
    RequestReader,
    ResponseHead,
    ResponseReader,
    Signal,
)

Told = RequestHead | ResponseHead | bytes | End | tuple[int, str] | Signal


class Telling:
    """Everything that a reader tells. Pieces of a body that follow one another are one; an error, or that the
    connection was closed, is the last thing told."""

    def __init__(self, reader: RequestReader | ResponseReader) -> None:
        self.reader = reader
        self.told: list[Told] = []
        self.over = False

    def receive(self, piece: bytes) -> None:
        self.reader.receive(piece)
        self.drain()

    def end(self) -> None:
        self.reader.receive_eof()
        self.drain()

    def drain(self) -> None:
        while not self.over:
            try:
                event = self.reader.next_event()
            except ProtocolError as error:
                self._tell((error.status, error.reason))
                self.over = True
                return
            if isinstance(event, Signal):
                if event is CLOSED:
                    self._tell(event)
                    self.over = True
                return
            if isinstance(event, Data):
                assert event.data
                self._more(event.data)
                continue
            self._tell(event)
            if isinstance(event, End) and isinstance(self.reader, RequestReader):
                self.reader.next_message()

    def _tell(self, told: Told) -> None:
        self.told.append(told)

    def _more(self, data: bytes) -> None:
        if self.told and isinstance(self.told[-1], bytes):
            data = self.told.pop() + data  # type: ignore[operator]
        self.told.append(data)


def requests(*pieces: bytes, reader: RequestReader | None = None, eof: bool = False) -> list[Told]:
    """What a reader tells of requests that come in these pieces."""
    telling = Telling(reader or RequestReader())
    for piece in pieces:
        telling.receive(piece)
    if eof:
        telling.end()
    return telling.told


def responses(
    *pieces: bytes,
    method: bytes = b"GET",
    upgrade: bool = False,
    reader: ResponseReader | None = None,
    eof: bool = False,
) -> list[Told]:
    """What a reader tells of the response to one request that comes in these pieces."""
    reader = reader or ResponseReader()
    reader.expect(method, upgrade=upgrade)
    telling = Telling(reader)
    for piece in pieces:
        telling.receive(piece)
    if eof:
        telling.end()
    return telling.told


def error(told: Sequence[Told]) -> tuple[int, str]:
    """The error that it all ended with."""
    last = told[-1]
    assert isinstance(last, tuple), told
    return last


def request_head(text: bytes) -> RequestHead:
    """The one head in it."""
    head = requests(text)[0]
    assert isinstance(head, RequestHead), head
    return head


def response_head(text: bytes, method: bytes = b"GET", *, upgrade: bool = False) -> ResponseHead:
    """The first head in it."""
    head = responses(text, method=method, upgrade=upgrade)[0]
    assert isinstance(head, ResponseHead), head
    return head
