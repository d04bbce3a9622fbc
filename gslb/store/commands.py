"""Runs batches of Redis commands and our few scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import redis.asyncio as redis
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from gslb.store.cluster import is_of_cluster, tagged
from gslb.store.scripts import CONCLUDE, GONE, LIMITING, READ, SEEN, SPEND, WRITE_VERSIONED, Script
from gslb.store.scripts_words import CHANGE_SERVER, PROPOSE, REMEMBER, RESTORE, SAY, TAKE_BACK, UNLIST

BATCH = 500
"""Commands sent at once; more would hold up others in Redis and here."""

_OF_A_CLUSTER = (AskError, ClusterCrossSlotError, ClusterDownError)
"""What only nodes of a cluster answer, to who takes one for a single server; MovedError is an AskError."""

_WITHOUT_KEY = ("PUBLISH", "SCRIPT LOAD")
"""Commands whose first argument is no key. A channel reaches all nodes of a cluster, under its own name."""

Argument = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a script on `keys`."""

    script: Script
    keys: tuple[str, ...]
    arguments: tuple[Argument, ...] = ()


SCRIPTS = (
    *(READ, WRITE_VERSIONED, CONCLUDE, SEEN, GONE, LIMITING, SPEND),
    *(SAY, TAKE_BACK, CHANGE_SERVER, RESTORE, UNLIST, PROPOSE, REMEMBER),
)


async def load_scripts(client: redis.Redis) -> None:
    """Make our scripts known to this Redis."""
    replies = await _run(client, [("SCRIPT LOAD", script.text) for script in SCRIPTS])
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply


async def run(client: redis.Redis, commands: Sequence[tuple[Argument, ...] | Call]) -> list[Any]:
    """The replies to `commands`, in order, with a ResponseError in place of the reply to a refused one.

    Raises what the client raises when Redis is away.
    """
    replies = await _run(client, commands)
    unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if unknown:
        # Redis forgets scripts when it restarts or is told to.
        await load_scripts(client)
        again = await _run(client, [commands[index] for index in unknown])
        for index, reply in zip(unknown, again, strict=True):
            replies[index] = reply
    return replies


async def _run(client: redis.Redis, commands: Sequence[tuple[Argument, ...] | Call]) -> list[Any]:
    replies: list[Any] = []
    in_cluster = is_of_cluster(client)
    for start in range(0, len(commands), BATCH):
        async with client.pipeline(transaction=False) as pipeline:
            for command in commands[start : start + BATCH]:
                pipeline.execute_command(*_words(_tagged(command) if in_cluster else command))
            replies += await pipeline.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, Exception) and not isinstance(reply, ResponseError):
            raise reply
        if isinstance(reply, _OF_A_CLUSTER) and not isinstance(reply, MasterDownError):
            raise RedisConnectionError("it is a Redis Cluster: write redis+cluster:// in redis.url")
    return replies


def _words(command: tuple[Argument, ...] | Call) -> tuple[Argument, ...]:
    if isinstance(command, Call):
        return ("EVALSHA", command.script.sha, len(command.keys), *command.keys, *command.arguments)
    return command


def _tagged(command: tuple[Argument, ...] | Call) -> tuple[Argument, ...] | Call:
    """As a cluster is told it. Only here: everybody else knows keys as keys.py spells them."""
    if isinstance(command, Call):
        return replace(command, keys=tuple(map(tagged, command.keys)))
    name, *rest = command
    if name in _WITHOUT_KEY:
        return command
    return (name, tagged(str(rest[0])), *rest[1:])
