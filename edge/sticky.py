"""Keeps a client at its server by a cookie that names the server to nobody but the edges."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import TYPE_CHECKING

from edge.pairs import values
from gslb.fleet_pool import SameSite, Sticky

if TYPE_CHECKING:
    from edge.http1.events import RequestHead

_TOKEN_BYTES = 16
_SAME_SITE = {SameSite.LAX: b"Lax", SameSite.STRICT: b"Strict", SameSite.NONE: b"None"}


class Tokens:
    """What the cookie of one pool may say: one token a server, which follows from the secret and the names.

    A token is the HMAC (RFC 2104, SHA-256, cut to 16 bytes) of the pool's and the server's names. So it tells
    no address, nobody makes one up, one of another pool or of a server that is gone means nothing here, and
    all edges and processes with the same secret agree on it. Nothing of what a client sends is taken apart:
    it is a token of this pool, or it is not. Looking it up in a dictionary tells an attacker's stopwatch
    nothing: bytes are compared only where their hashes, which are keyed at random, are equal.
    """

    __slots__ = ("_cookie", "_servers", "_tokens")

    def __init__(self, sticky: Sticky, pool: str, server_names: Iterable[str]) -> None:
        """server_names: as `ServerState.name` has them."""
        secret = sticky.secret.reveal().encode()
        self._cookie = sticky.cookie.encode()
        self._tokens = {name: _token(secret, pool, name) for name in server_names}
        self._servers = {token: name for name, token in self._tokens.items()}

    def server(self, value: bytes) -> str | None:
        """The name of the server that a cookie's value stands for; None for everything else."""
        return self._servers.get(value)

    def token(self, name: str) -> bytes:
        """The cookie's value for a server of this pool."""
        return self._tokens[name]

    def read(self, head: RequestHead) -> str | None:
        """The name of the server that a request asks for; None where it brings no valid cookie.

        A browser may send several cookies of one name (RFC 6265 5.4), some of them set by others: the first
        valid one counts.
        """
        if b"cookie" not in head.names:
            return None
        for value in values(b";".join(head.values(b"cookie")), b";", self._cookie):
            server = self._servers.get(value)
            if server is not None:
                return server
        return None


def set_cookie(token: bytes, sticky: Sticky, *, secured: bool) -> bytes:
    """The field line that has a client keep a token (RFC 6265 4.1).

    secured: whether the request came over HTTPS. With SameSite=None, browsers want Secure.
    """
    line = b"Set-Cookie: %b=%b; Path=/; HttpOnly; SameSite=%b" % (
        sticky.cookie.encode(),
        token,
        _SAME_SITE[sticky.same_site],
    )
    secure = secured if sticky.secure is None else sticky.secure
    if secure or sticky.same_site is SameSite.NONE:
        line += b"; Secure"
    if sticky.max_age is not None:
        line += b"; Max-Age=%d" % sticky.max_age
    return line + b"\r\n"


def _token(secret: bytes, pool: str, server: str) -> bytes:
    # No name has a NUL, so no two pairs of names make one text.
    signed = hmac.digest(secret, f"{pool}\0{server}".encode(), "sha256")[:_TOKEN_BYTES]
    return urlsafe_b64encode(signed).rstrip(b"=")
