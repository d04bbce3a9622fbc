"""Rate limits that edges share: what each has admitted, added up in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import redis.asyncio as redis
from redis.exceptions import ResponseError

from gslb.store import keys
from gslb.store.commands import Argument, Call, run
from gslb.store.scripts import LIMITING, SPEND

SILENT = 5.0
"""Seconds after which a process that tells nothing counts no more as one that shares limits."""

CLIENTS_KEPT = 65_536
"""Clients of one limit in Redis; of more, those that come closest to their whole burst are forgotten."""

_SLACK = 1.0  # seconds that what is told may be on its way, and more is admitted meanwhile


@dataclass(frozen=True, slots=True)
class Client:
    """What one was admitted since it was told last. count: requests.

    full_in: seconds until its bucket would be full again if these had been all; below 0: it was before now.
    """

    name: str
    count: int
    full_in: float


@dataclass(frozen=True, slots=True)
class Spending:
    """What one process admitted under one limit. limit: its name. cost: seconds in which one request is
    refilled. burst: requests in a full bucket."""

    limit: str
    cost: float
    burst: int
    clients: Sequence[Client]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all processes together have come to. processes: how many share limits, this one included.

    missing: for each spending, for each of its clients, seconds until its bucket is full again.
    """

    processes: int
    missing: tuple[tuple[float, ...], ...]


async def spend(client: redis.Redis, process: str, spendings: Sequence[Spending]) -> Shared:
    """Tell what was admitted, and learn what that makes with what the others told. process: its name.

    Raises what the client raises when Redis is away, or refuses any of it.
    """
    here = Call(LIMITING, (keys.LIMITERS,), (process, int(SILENT * 1000)))
    # In this order: how much may be owed depends on how many there are.
    replies = await run(client, [here, *map(_spend, spendings)])
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    processes, *missing = replies
    return Shared(processes, tuple(tuple(float(ms) / 1000 for ms in each) for each in missing))


def _spend(spending: Spending) -> Call:
    in_advance = spending.burst * spending.cost + _SLACK
    arguments: list[Argument] = [_milliseconds(spending.cost), _milliseconds(in_advance), CLIENTS_KEPT]
    for client in spending.clients:
        arguments += [client.name, client.count, _milliseconds(client.full_in)]
    return Call(SPEND, (keys.rate(spending.limit), keys.LIMITERS), tuple(arguments))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.6f}"
