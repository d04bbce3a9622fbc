"""Finds the node of a Redis Cluster that has our keys, at each connecting, so that a failover is followed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis.asyncio as redis
from redis.asyncio.connection import Connection
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError

from gslb.fleet import SocketAddress
from gslb.store.keys import PREFIX

TAGGED_PREFIX = "{" + PREFIX.removesuffix(":") + "}:"
"""What every key starts with in a Cluster. What is in braces alone decides about the slot: so all are in one,
as our scripts need."""

SLOT = key_slot(TAGGED_PREFIX.encode())

MOST_KNOWN = 16
"""Nodes that are asked beside those of the URL; in a Cluster of more, these are enough."""

_FAILURES = (RedisError, OSError, TimeoutError, EOFError)
_NOT_THE_OWNER = (AskError, ClusterDownError, TryAgainError)
_SHOWN = 3


def tagged(key: str) -> str:
    """The key as it is spelled in a Cluster."""
    return TAGGED_PREFIX + key.removeprefix(PREFIX)


def is_of_cluster(client: redis.Redis) -> bool:
    """Whether keys are to be tagged for this client."""
    return issubclass(client.connection_pool.connection_class, OwnersConnection)


@dataclass(frozen=True, slots=True)
class Told:
    """What a node says. owner: who has our slot, None: nobody. nodes: all that it named, ours first."""

    owner: SocketAddress | None
    nodes: tuple[SocketAddress, ...]


def told_by(reply: object, asked: SocketAddress) -> Told:
    """What `asked` says in its reply to CLUSTER SLOTS; what is illegible in it says nothing."""
    owner: SocketAddress | None = None
    ours: list[SocketAddress] = []
    others: list[SocketAddress] = []
    for entry in reply if isinstance(reply, list) else ():
        match entry:
            case [int(first), int(last), primary, *replicas]:
                members = [_address(each, asked) for each in (primary, *replicas)]
                named = [each for each in members if each is not None]
                if first <= SLOT <= last:
                    owner = members[0]
                    ours += named
                else:
                    others += named
    return Told(owner, tuple(dict.fromkeys([*ours, *others])))


def _address(described: object, asked: SocketAddress) -> SocketAddress | None:
    """A node's address; who does not know his own name has the one that he was asked by."""
    match described:
        case [None | b"", int(port), *_] if 0 < port < 65536:
            return SocketAddress(asked.host, port)
        case [bytes(host), int(port), *_] if 0 < port < 65536 and host != b"?":
            return SocketAddress(host.decode(errors="replace"), port)
    return None


class Nodes:
    """The nodes of a Cluster: those of the URL, and those that they told of.

    patience: seconds for one search. options: what connections to all of them have in common.
    reason: puts into words why a node could not be asked.
    """

    def __init__(
        self,
        seeds: Sequence[SocketAddress],
        patience: float,
        options: Mapping[str, Any],
        reason: Callable[[BaseException], str],
    ) -> None:
        self._seeds = tuple(seeds)
        self._known: tuple[SocketAddress, ...] = ()
        self._patience = patience
        self._options = dict(options)
        self._reason = reason

    async def owner(self) -> SocketAddress:
        """Who has our slot, as most of the nodes say. Raises RedisConnectionError, or TimeoutError.

        The first answer may be wrong: a node that is cut off from the others goes on naming the last owner.
        """
        answers = await self._answers(list(dict.fromkeys([*self._seeds, *self._known])))
        owners = Counter(each.owner for each in answers if isinstance(each, Told) and each.owner is not None)
        if not owners:
            raise RedisConnectionError(_complaint(answers))
        owner = owners.most_common(1)[0][0]
        told = next(each for each in answers if isinstance(each, Told) and each.owner == owner)
        self._known = told.nodes[:MOST_KNOWN]
        return owner

    async def _answers(self, asked: Sequence[SocketAddress]) -> list[Told | str]:
        """What they tell, or why they do not; enough when more than half of all agree, or time is up."""
        answers: list[Told | str] = []
        searches = [asyncio.create_task(self._ask(node)) for node in asked]
        try:
            async with asyncio.timeout(self._patience):
                for search in asyncio.as_completed(searches):
                    answers.append(await search)
                    if _agree(answers, len(asked)):
                        break
        except TimeoutError:
            if not answers:
                raise
        finally:
            for task in searches:
                task.cancel()
            await asyncio.gather(*searches, return_exceptions=True)
        return answers

    async def _ask(self, node: SocketAddress) -> Told | str:
        """What the node tells, or why it does not."""
        connection = Connection(host=node.host, port=node.port, **self._options)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("CLUSTER", "SLOTS")
            return told_by(await connection.read_response(), node)
        except _FAILURES as error:
            return self._reason(error)
        finally:
            with suppress(*_FAILURES):
                await connection.disconnect(nowait=True)


def _agree(answers: Sequence[Told | str], asked: int) -> bool:
    newest = answers[-1]
    if isinstance(newest, str) or newest.owner is None:
        return False
    return 2 * sum(isinstance(each, Told) and each.owner == newest.owner for each in answers) > asked


def _complaint(answers: Sequence[Told | str]) -> str:
    reasons = [each if isinstance(each, str) else f"nobody has slot {SLOT}" for each in answers]
    if any("cluster support disabled" in each for each in reasons):
        return "it is no Redis Cluster: write redis:// in redis.url"
    why = "; ".join(list(dict.fromkeys(reasons))[:_SHOWN])
    return f"no node of the Redis Cluster tells where our keys are: {why}"


class OwnersConnection(Connection):
    """A connection to whoever has our slot when it is made; broken off when that has become another."""

    def __init__(self, *, nodes: Nodes, **options: Any) -> None:
        super().__init__(**options)
        self._nodes = nodes

    async def _connect(self) -> None:
        owner = await self._nodes.owner()
        self.host, self.port = owner.host, owner.port
        await super()._connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)
        except _NOT_THE_OWNER as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(_described(error)) from None


def _described(error: AskError | ClusterDownError | TryAgainError) -> str:
    if isinstance(error, MovedError):
        return "our keys have moved to another node of the Redis Cluster"
    if isinstance(error, ClusterDownError):
        return f"the Redis Cluster does not serve our keys: {error}"
    return "our keys are being moved to another node of the Redis Cluster"
