"""Turns what an exchange knows at its end into what the access log is told of it. Pure."""

from __future__ import annotations

import binascii
from collections.abc import Sequence

from edge.access_lines import Ended, Entry
from edge.http1.events import Field, RequestHead
from edge.proxy.entrance import Peer
from edge.proxy.headers import Going

CLIENT_LEFT = 499
"""The status of a request whose client left before there was any, as other web servers log it."""


def entry(
    head: RequestHead | None,
    way: Going | None,
    peer: Peer,
    *,
    now: float,
    total: float,
    first_byte: float | None,
    status: int,
    sent: int,
    received: int,
    request_id: bytes,
    region: str,
    edge: str,
    pool: str | None,
    server: str | None,
    tries: int,
    ended: Ended,
) -> Entry:
    """head, way: None for a request that could not be read. now: its end, in seconds since 1970.

    total, first_byte: seconds since it began. status: 0 if nothing was answered. sent, received: bytes of
    bodies, or through a tunnel. server: the last one tried.
    """
    return Entry(
        client=way.origin.address if way is not None else peer.address,
        user=_user(_value(head, b"authorization")),
        moment=now - total,
        method=head.method if head is not None else b"",
        target=head.target if head is not None else b"",
        minor=head.minor if head is not None else 1,
        status=status or CLIENT_LEFT,
        sent=sent,
        referer=_value(head, b"referer"),
        agent=_value(head, b"user-agent"),
        request_id=request_id,
        host=(head.host or None) if head is not None else None,
        region=region,
        edge=edge,
        pool=pool or "-",
        server=server or "-",
        tries=tries,
        first_byte=first_byte,
        total=total,
        received=received,
        tls=peer.tls,
        ended=ended,
    )


def plain_entry(
    peer: Peer,
    claims: Sequence[Field],
    *,
    now: float,
    total: float,
    first_byte: float | None,
    method: bytes,
    target: bytes,
    host: bytes,
    referer: bytes | None,
    agent: bytes | None,
    authorization: bytes | None,
    request_id: bytes,
    status: int,
    sent: int,
    received: int,
    region: str,
    edge: str,
    pool: str,
    server: str,
    ended: Ended,
) -> Entry:
    """The same for what the compiled path has served, at the first server it came to.

    claims: the fields that tell who the client is. host, target: as they came.
    """
    return Entry(
        client=peer.introduction.origin(claims).address,
        user=_user(authorization),
        moment=now - total,
        method=method,
        target=target,
        minor=1,
        status=status or CLIENT_LEFT,
        sent=sent,
        referer=referer,
        agent=agent,
        request_id=request_id,
        host=host,
        region=region,
        edge=edge,
        pool=pool,
        server=server,
        tries=1,
        first_byte=first_byte,
        total=total,
        received=received,
        tls=peer.tls,
        ended=ended,
    )


def _value(head: RequestHead | None, name: bytes) -> bytes | None:
    if head is None or name not in head.names:
        return None
    return head.values(name)[0]


def _user(credentials: bytes | None) -> bytes | None:
    """The name that Basic credentials claim (RFC 7617 2), never the password; None for anything else."""
    if credentials is None or credentials[:6].lower() != b"basic ":
        return None
    try:
        name, colon, _ = binascii.a2b_base64(credentials[6:].strip(), strict_mode=True).partition(b":")
    except binascii.Error:
        return None
    return name if name and colon else None
