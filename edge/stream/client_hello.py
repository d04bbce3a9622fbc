"""Reads the first words of a TLS client (RFC 8446 4.1.2), to learn which name it asks for. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_BYTES = 16384
"""Of the client's first bytes, TLS records and all; whoever needs more for its hello is refused."""

_RECORD_HEADER = 5
_MESSAGE_HEADER = 4
_LONGEST_RECORD = 1 << 14  # RFC 8446 5.1
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _ALPN = 0, 16
_HOST_NAME = 0
_NAME = re.compile(rb"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_LONGEST_NAME = 254


@dataclass(frozen=True, slots=True)
class ClientHello:
    """server_name: what it asks for (RFC 6066 3), in lower case without a final dot; None if nothing.

    protocols: those it offers, the best first (ALPN, RFC 7301 3.1).
    """

    server_name: str | None
    protocols: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class NotHello:
    """The client's first bytes are no hello of TLS; reason says why, for the log."""

    reason: str


class HelloReader:
    """Takes the client's first bytes in any pieces: its answer depends on the bytes alone.

    received: all bytes so far, for whoever is to see them next.
    """

    __slots__ = ("_at", "_message", "_outcome", "received")

    def __init__(self) -> None:
        self.received = bytearray()
        self._at = 0  # where the next record begins
        self._message = bytearray()  # what the records so far hold
        self._outcome: ClientHello | NotHello | None = None

    def receive(self, data: bytes) -> ClientHello | NotHello | None:
        """None: more is needed. Once there is an answer it stays."""
        self.received += data
        if self._outcome is None:
            self._outcome = self._read()
        return self._outcome

    def _read(self) -> ClientHello | NotHello | None:
        received = self.received
        while True:
            if len(received) > self._at and received[self._at] != _HANDSHAKE:
                return NotHello("it does not begin with a handshake of TLS")
            if len(received) < self._at + _RECORD_HEADER:
                return None
            version, length = received[self._at + 1], int.from_bytes(received[self._at + 3 : self._at + 5])
            if version != 3:
                return NotHello("it speaks no version of TLS that is known")
            if not 0 < length <= _LONGEST_RECORD:
                return NotHello("a record has an impossible length")
            end = self._at + _RECORD_HEADER + length
            if end > MOST_BYTES:
                return NotHello("its hello is too long")
            if len(received) < end:
                return None
            self._message += received[self._at + _RECORD_HEADER : end]
            self._at = end
            outcome = self._message_read()
            if outcome is not None:
                return outcome

    def _message_read(self) -> ClientHello | NotHello | None:
        message = self._message
        if message[0] != _CLIENT_HELLO:
            return NotHello("its handshake does not begin with a hello")
        if len(message) < _MESSAGE_HEADER:
            return None
        end = _MESSAGE_HEADER + int.from_bytes(message[1:_MESSAGE_HEADER])
        if end > MOST_BYTES:
            return NotHello("its hello is too long")
        if len(message) < end:
            return None
        try:
            return _hello(_Bytes(bytes(message[_MESSAGE_HEADER:end])))
        except _MalformedError as error:
            return NotHello(str(error))


class _MalformedError(Exception):
    """What is wrong with the hello."""


class _Bytes:
    """Takes a structure apart from its front (the presentation language of RFC 8446 3)."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, length: int) -> bytes:
        if length > self.left:
            raise _MalformedError("its hello is shorter than it says")
        self._at += length
        return self._data[self._at - length : self._at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width))

    def vector(self, width: int) -> bytes:
        """width: bytes of its length."""
        return self.take(self.number(width))


def _hello(body: _Bytes) -> ClientHello:
    body.take(2 + 32)  # legacy_version, random
    body.vector(1)  # legacy_session_id
    body.vector(2)  # cipher_suites
    body.vector(1)  # legacy_compression_methods
    extensions: dict[int, bytes] = {}
    if body.left:  # before TLS 1.3 there may be none
        listed = _Bytes(body.vector(2))
        while listed.left:
            kind = listed.number(2)
            if kind in extensions:
                raise _MalformedError("its hello has an extension twice")
            extensions[kind] = listed.vector(2)
    if body.left:
        raise _MalformedError("its hello is longer than it says")
    return ClientHello(
        _server_name(extensions[_SERVER_NAME]) if _SERVER_NAME in extensions else None,
        _protocols(extensions[_ALPN]) if _ALPN in extensions else (),
    )


def _server_name(extension: bytes) -> str | None:
    """The one host name of the list; there must not be two names of one type."""
    named: dict[int, bytes] = {}
    for_all = _whole(extension)
    while for_all.left:
        kind = for_all.number(1)
        name = for_all.vector(2)
        if kind in named:
            raise _MalformedError("it asks for two names")
        named[kind] = name
    host = named.get(_HOST_NAME)
    if host is None:
        return None
    if len(host) > _LONGEST_NAME or not _NAME.fullmatch(host):
        raise _MalformedError("it asks for what is no host name")
    return host.decode("ascii").lower().removesuffix(".")


def _protocols(extension: bytes) -> tuple[bytes, ...]:
    listed = _whole(extension)
    protocols = []
    while listed.left:
        protocol = listed.vector(1)
        if not protocol:
            raise _MalformedError("it offers a protocol without a name")
        protocols.append(protocol)
    return tuple(protocols)


def _whole(extension: bytes) -> _Bytes:
    """The list that an extension consists of."""
    outer = _Bytes(extension)
    listed = _Bytes(outer.vector(2))
    if outer.left or not listed.left:
        raise _MalformedError("an extension of its hello is not a list")
    return listed
