"""Reads and writes operators' changes of servers, and keeps those of one region for an edge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import redis.asyncio as redis
import structlog
from redis.exceptions import ResponseError

from gslb.clock import iso
from gslb.errors import StoreError
from gslb.fleet import ServerMode
from gslb.server_change import ServerChange
from gslb.store import keys
from gslb.store.codec import LONGEST_VALUE, Fields
from gslb.store.codec_servers import decode_server_change, encode_server_change
from gslb.store.commands import Argument, Call, run
from gslb.store.events import Event, append_command
from gslb.store.scripts import READ
from gslb.store.scripts_words import CHANGE_SERVER, RESTORE
from gslb.store.watch import CHUNK, ILLEGIBLE, UnreadableError, fields_of

MOST_CHANGES = 5000
"""Of one region; those that last longest are read."""

_log = structlog.get_logger(__name__)


class ServerChanges:
    """What operators have changed of one region's servers, as Redis had it last; others' changes are none.

    What Redis has no more is no more; as long as it is away, what was read last holds.
    """

    def __init__(self, region: str) -> None:
        self.region = region
        self._held: tuple[ServerChange, ...] = ()
        self._subscribers: list[Callable[[], None]] = []

    @property
    def held(self) -> tuple[ServerChange, ...]:
        return self._held

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Have `callback` called whenever they have changed."""
        self._subscribers.append(callback)

    def concerned_by(self, key: str) -> bool:
        """Whether the key holds a change of this region's."""
        return keys.server_region_of(key) == self.region

    def take(self, found: tuple[ServerChange, ...]) -> None:
        """These are all that Redis has now."""
        if found != self._held:
            self._held = found
            for callback in self._subscribers:
                try:
                    callback()
                except Exception:
                    _log.exception("a subscriber failed over changed servers")


async def read_server_changes(
    client: redis.Redis, region: str
) -> tuple[tuple[ServerChange, ...], Mapping[str, str]]:
    """A region's changes by pool and address, and the keys that cannot be read, each with what is wrong."""
    index = ("ZREVRANGE", keys.servers(region), 0, MOST_CHANGES - 1)
    members = (await run(client, [index]))[0]
    if isinstance(members, ResponseError):
        if not str(members).startswith("WRONGTYPE"):
            raise members
        return (), {keys.servers(region): "it is not a sorted set"}
    wanted = [keys.server(region, member.decode(errors="replace")) for member in members]
    chunks = [tuple(wanted[start : start + CHUNK]) for start in range(0, len(wanted), CHUNK)]
    replies = await run(client, [Call(READ, chunk) for chunk in chunks])
    changes: list[ServerChange] = []
    unreadable: dict[str, str] = {}
    for chunk, reply in zip(chunks, replies, strict=True):
        if isinstance(reply, ResponseError):
            raise reply
        for key, found in zip(chunk, reply, strict=True):
            try:
                changes += _change(key, fields_of(found)[0])
            except UnreadableError as error:
                unreadable[key] = str(error)
    return tuple(sorted(changes, key=lambda each: (each.pool, each.address))), unreadable


def _change(key: str, fields: Fields) -> Sequence[ServerChange]:
    """One, or none where it has ended since the index was read."""
    if not fields:
        return ()
    change = decode_server_change(fields)
    if change is None:
        raise UnreadableError(ILLEGIBLE)
    if keys.server(change.region, f"{change.pool}/{change.address}") != key:
        raise UnreadableError("it speaks of another server than its key")
    return (change,)


def legible(change: ServerChange) -> ServerChange:
    """The change as every reader will read it; raises StoreError for one that nobody could use."""
    fields = encode_server_change(change)
    read = decode_server_change({name: _storable(text) for name, text in fields.items()})
    if read is None:
        raise StoreError(
            f"the change of {change.target} cannot be stored",
            hint=f"keep texts under {LONGEST_VALUE} characters",
        )
    return read


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


async def write_server_change(client: redis.Redis, change: ServerChange, now: float) -> None:
    """Put in force what `change` says; what it does not speak of stays as it is.

    Raises what the client raises when Redis is away or refuses.
    """
    flat = [text for item in encode_server_change(change).items() for text in item]
    # A new word on the mode has its own end, or none.
    gone = ["until"] if change.mode is not None and change.until is None else []
    await _write(client, change, _lifetime(change, now), gone, flat)
    why = f": {change.reason}" if change.reason else ""
    text = f"{change.target}: {described(change)}, by {change.by}{why}"
    await _tell(client, change, Event(now, "server", text, change.region))


async def clear_server_change(
    client: redis.Redis, change: ServerChange, fields: Iterable[str], now: float
) -> None:
    """Take back what these fields say; nothing is left of a change that says nothing any more.

    change: of which server, and by whom. Raises as write_server_change does.
    """
    await _write(client, change, 0, list(fields), [])
    who = f" by {change.by}" if change.by else ""
    text = f"{change.target}: as declared again, cleared{who}"
    await _tell(client, change, Event(now, "server_cleared", text, change.region))


def described(change: ServerChange) -> str:
    """`drain until 2026-...`, `weight 5`, `added, weight 3`: what the change says, for people."""
    said = [name for name in ("added", "removed") if getattr(change, name)]
    if change.mode is not None:
        said.append(change.mode.value + (f" until {iso(change.until)}" if change.until is not None else ""))
    if change.weight is not None:
        said.append(f"weight {change.weight}")
    return ", ".join(said)


async def _write(
    client: redis.Redis, change: ServerChange, lifetime: int, gone: Sequence[str], said: Sequence[str]
) -> None:
    member = f"{change.pool}/{change.address}"
    arguments: tuple[Argument, ...] = (member, lifetime, len(gone), *gone, *said)
    await _do(client, Call(CHANGE_SERVER, _keys(change), arguments))


def _keys(change: ServerChange) -> tuple[str, str, str]:
    key = keys.server(change.region, f"{change.pool}/{change.address}")
    return key, keys.servers(change.region), keys.CLEARED


def _lifetime(change: ServerChange, now: float) -> int:
    """Milliseconds for which the mode is kept; 0: for good, as a drain, which becomes maintenance."""
    if change.until is None or change.mode is ServerMode.DRAIN:
        return 0
    return max(1, int((change.until - now) * 1000))


def restoring(change: ServerChange, now: float) -> Call | None:
    """The call that enters it again if Redis has lost it; None where it has ended."""
    lasting = change.weight is not None or change.added or change.removed
    if not lasting and change.mode_at(now) is None:
        return None
    said = [text for item in encode_server_change(change).items() for text in item]
    member = f"{change.pool}/{change.address}"
    arguments: tuple[Argument, ...] = (member, 0 if lasting else _lifetime(change, now), *said)
    return Call(RESTORE, _keys(change), arguments)


async def _tell(client: redis.Redis, change: ServerChange, event: Event) -> None:
    # The poll finds what the nudge does not tell: who may not nudge goes without it. But history counts.
    await run(client, [("PUBLISH", keys.CHANGES, _keys(change)[0])])
    await _do(client, append_command(event))


async def _do(client: redis.Redis, command: tuple[Argument, ...] | Call) -> None:
    reply: object = (await run(client, [command]))[0]
    if isinstance(reply, ResponseError):
        raise reply
