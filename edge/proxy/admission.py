"""Decides whether a request may go to its pool at all, before any server is looked for."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from edge.balance.key import key_of
from edge.rate_limit import client_of

if TYPE_CHECKING:
    from edge.http1.events import RequestHead
    from edge.rate_limit import Buckets


@dataclass(frozen=True, slots=True)
class Turned:
    """Why a request is turned away. retry_after: seconds, None where waiting does not help."""

    status: int
    reason: str
    retry_after: int | None = None


def turned_away(
    head: RequestHead, address: str, most: int | None, rates: Buckets | None, now: float
) -> Turned | None:
    """None for a request that may go on; it is counted then. address: the client's. most: bytes of its body.
    now: loop time."""
    if most is not None and head.length > most:
        return Turned(413, f"the request's body has {head.length} bytes, and {most} are the most here")
    if rates is None:
        return None
    key = "" if rates.limit.key is None else key_of(head, rates.limit.key, client_of(address))
    wait = rates.take(key, now)
    if not wait:
        return None
    limit = rates.limit
    whose = "all clients together" if limit.key is None else "one client"
    return Turned(
        429, f"{limit.requests} requests in {limit.per:g} s are the most for {whose} here", max(1, ceil(wait))
    )
