"""How the loop understands and rewrites heads and chunks, told to tests: nothing else uses this."""

from typing import Literal, TypedDict

READ: Literal[1]
MORE: Literal[0]
"""All so far could become a whole plain head, or a body."""
UNUSUAL: Literal[-1]
"""Python is to look at it."""
TRAILER: Literal[2]

_Limits = tuple[int, int, int]
"""Of the first line and of the head, in bytes; of fields."""

class Request(TypedDict):
    """A plain request's head; what is absent is empty. length: -1 without a Content-Length. claims: what the
    client says of itself. written: the head as a server gets it."""

    size: int
    method: bytes
    target: bytes
    path: bytes
    host: bytes
    request_id: bytes
    via: bytes
    authorization: bytes
    referer: bytes
    user_agent: bytes
    cookie: bytes
    length: int
    is_head: bool
    idempotent: bool
    keep_alive: bool
    traced: bool
    plain_path: bool
    claims: list[tuple[bytes, bytes]]
    written: bytes

class Response(TypedDict):
    """A plain response's head. length, announced: -1 if there is none. written: as a client gets it."""

    size: int
    status: int
    reason: bytes
    framing: Literal["none", "length", "chunked"]
    length: int
    announced: int
    keep_alive: bool
    in_doubt: bool
    dated: bool
    written: bytes

def request(
    data: bytes, limits: _Limits, new_id: bytes, lines: bytes, via: bytes, entropy: bytes
) -> Request | Literal[0, -1]:
    """new_id: for a request without a usable one. lines: about the client. via: the edge's name. entropy: 32
    bytes."""

def response(
    data: bytes, limits: _Limits, is_head: bool, keep_alive: bool, date: bytes, marks: bytes
) -> Response | Literal[0, -1]:
    """is_head: whether it answers a HEAD. keep_alive: whether the client's connection stays. date, marks:
    whole lines."""

class Dechunker:
    """Undoes one body. line_limit: bytes of a size line. most: pieces that one call returns, at most 256."""

    def __init__(self, line_limit: int, most: int) -> None: ...
    def receive(self, data: bytes) -> tuple[int, list[bytes], int]:
        """READ, MORE, UNUSUAL or TRAILER; the pieces; how many bytes of `data` were used."""

def request_ids(entropy: bytes, count: int) -> list[bytes]:
    """entropy: 32 bytes. Raises ValueError for another number of them."""
