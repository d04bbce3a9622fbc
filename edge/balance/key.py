"""Finds what a request has in common with those that shall go to the same server."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from edge.pairs import values
from edge.path import PathError, normalise_path
from gslb.balancing import BalancingKey, KeyKind

if TYPE_CHECKING:
    from edge.http1.events import RequestHead

_LONGEST = 64


def key_of(head: RequestHead, key: BalancingKey, address: str) -> str:
    """The request's key as methods take it; `address`, the client's, where the request lacks it.

    What is long is replaced by a digest: methods remember keys, and clients may write what they like.
    """
    if key.kind is KeyKind.ADDRESS:
        return address
    value = _value(head, key)
    if not value:
        return address
    if len(value) > _LONGEST:
        return blake2b(value, digest_size=16).hexdigest()
    return value.decode("latin-1")


def _value(head: RequestHead, key: BalancingKey) -> bytes:
    name = key.name.encode()
    if key.kind is KeyKind.HEADER:
        return b", ".join(head.values(name))  # as RFC 9110 5.3 reads several fields of one name
    if key.kind is KeyKind.COOKIE:
        return next(values(b";".join(head.values(b"cookie")), b";", name), b"")
    if key.kind is KeyKind.QUERY:
        return next(values(head.resource.partition(b"?")[2], b"&", name), b"")
    try:
        return normalise_path(head.resource)
    except PathError:
        return b""
