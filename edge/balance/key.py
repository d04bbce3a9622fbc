"""Finds what a request has in common with those that shall go to the same server."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

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
        return _first(b";".join(head.values(b"cookie")), b";", name)
    if key.kind is KeyKind.QUERY:
        return _first(head.resource.partition(b"?")[2], b"&", name)
    try:
        return normalise_path(head.resource)
    except PathError:
        return b""


def _first(text: bytes, separator: bytes, name: bytes) -> bytes:
    """The value of the first pair NAME=VALUE of that name (RFC 6265 4.2.1, as queries of forms are too)."""
    for pair in text.split(separator):
        each, equals, value = pair.partition(b"=")
        if equals and each.strip(b" \t") == name:
            return value.strip(b" \t")
    return b""
