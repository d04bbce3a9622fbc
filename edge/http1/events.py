"""What a reader tells its owner: heads as understood, pieces of bodies, ends, or nothing for now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Literal

Field = tuple[bytes, bytes]
Trailers = Sequence[Field]


class Framing(Enum):
    """How the end of a body is known (RFC 9112 6.3). NONE: there is no body."""

    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()
    UNTIL_CLOSE = auto()


class TargetForm(Enum):
    """The four forms of a request target (RFC 9112 3.2)."""

    ORIGIN = auto()
    ABSOLUTE = auto()
    AUTHORITY = auto()
    ASTERISK = auto()


# Heads and Data are not frozen: frozen ones take three times as long to make, and one is made per message.
@dataclass(slots=True)
class RequestHead:
    """A request as understood; every rule of RFC 9112 2, 3, 5 and 6 holds for it.

    target: as it came. resource: the same in origin-form or as `*`, to be sent to an origin server; a
    CONNECT's authority. host: the authority it is for, with its port if one was given: of the target if it
    has one, and then the Host field among `fields` may say otherwise; empty only in HTTP/1.0. minor: of
    HTTP/1.x.
    fields: names as spelled, values without the whitespace around them, in order; names: their names in
    lower case, at the same places.
    length: the body's, in bytes, where framing is LENGTH, else 0.
    connection, upgrade: the members of those lists, in lower case. keep_alive: whether the client wants
    another request on this connection. expects_continue: whether it waits for a 100 (RFC 9110 10.1.1).
    """

    method: bytes
    target: bytes
    form: TargetForm
    resource: bytes
    host: bytes
    minor: int
    fields: list[Field]
    names: list[bytes]
    framing: Framing
    length: int
    connection: tuple[bytes, ...]
    upgrade: tuple[bytes, ...]
    keep_alive: bool
    expects_continue: bool

    def values(self, name: bytes) -> list[bytes]:
        """The values of all fields of this name, which is in lower case."""
        return values(self.fields, self.names, name)


@dataclass(slots=True)
class ResponseHead:
    """A response as understood, interim ones (1xx) included: those have no body and another head follows.

    fields, names, length, connection, upgrade: as in a request. announced: what Content-Length says though
    no body follows, in a response to HEAD or a 304. keep_alive: whether the server will take another
    request on this connection once this response is over.
    """

    status: int
    reason: bytes
    minor: int
    fields: list[Field]
    names: list[bytes]
    framing: Framing
    length: int
    announced: int | None
    connection: tuple[bytes, ...]
    upgrade: tuple[bytes, ...]
    keep_alive: bool

    def values(self, name: bytes) -> list[bytes]:
        """The values of all fields of this name, which is in lower case."""
        return values(self.fields, self.names, name)


@dataclass(slots=True)
class Data:
    """A piece of a body, never empty, its chunks undone."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The message is over. trailers: what followed its last chunk, without fields meant for one hop."""

    trailers: Trailers = ()


class Signal(Enum):
    """What a reader says when it has no event.

    NEED_DATA: more bytes must come, or the owner must begin the next message. CLOSED: the peer closed the
    connection where a message could have begun, and not a byte of one had come.
    """

    NEED_DATA = auto()
    CLOSED = auto()


NEED_DATA: Final[Literal[Signal.NEED_DATA]] = Signal.NEED_DATA
CLOSED: Final[Literal[Signal.CLOSED]] = Signal.CLOSED
END_WITHOUT_TRAILERS = End()

RequestEvent = RequestHead | Data | End | Signal
ResponseEvent = ResponseHead | Data | End | Signal


def values(fields: list[Field], names: list[bytes], name: bytes) -> list[bytes]:
    """The values of the fields that have this lower-case name. names: all fields' names in lower case."""
    if names.count(name) == 1:
        return [fields[names.index(name)][1]]
    return [field[1] for field, each in zip(fields, names, strict=True) if each == name]
