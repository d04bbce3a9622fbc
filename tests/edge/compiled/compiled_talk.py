"""One conversation through an edge: what a client is told, what servers hear, what the edge counts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import pytest
from edge_stage import Origin, Stage, make_fleet, until
from strict_reading import IncompleteError, NotStrictlyHttpError, Read, read_request, read_response

from edge.access_lines import Entry
from edge.access_log import AccessLog
from edge.proxy.proxy import Proxy
from gslb.fleet import Route

pytest.importorskip("edge.compiled.client", reason="it takes a C compiler")

_TURNS = 3  # of the loop, in which the other side reads what was written
_MADE_UP = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(-[0-9a-f]{16}-00)?(?![0-9a-f])")
_OF_THE_LISTENER = re.compile(rb"(?i)^(x-forwarded-port|date)$")


@dataclass(frozen=True)
class Answer:
    """What a server says to a request.

    ends: the connection, then. early: before the request's body has come. stale: the server hangs up instead
    where it has answered on the connection before.
    """

    pieces: tuple[bytes, ...]
    ends: bool = False
    early: bool = False
    stale: bool = False


@dataclass(frozen=True)
class Step:
    """One request. waits: until it is answered, before the client says more."""

    method: bytes
    pieces: tuple[bytes, ...]
    answer: Answer
    waits: bool = True


def cut(data: bytes, places: list[int]) -> tuple[bytes, ...]:
    """`data` in pieces, none of them empty."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return tuple(data[start:end] for start, end in pairwise(edges))


async def turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


class Server:
    """Answers by the number in X-Step, and writes down what it hears: a list for each connection."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.heard: list[list[object]] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard: list[object] = []
        self.heard.append(heard)
        data, answered = b"", False
        try:
            while True:
                request = _begun(data)
                if request is not None and request.complete:
                    heard.append(_as_heard(request))
                    data = data[request.end :]
                    if not answered and await self._hangs_up(request, writer, len(heard) > 1):
                        return
                    answered = False
                    continue
                if request is not None and not answered and self._answer(request).early:
                    answered = True
                    if await self._hangs_up(request, writer, bool(heard)):
                        return
                received = await reader.read(65536)
                if not received:
                    return
                data += received
        except NotStrictlyHttpError as error:
            heard.append(repr(error))
        finally:
            if data:
                heard.append(_plain(data))

    def _answer(self, request: Read) -> Answer:
        return self.steps[int(request.get(b"x-step")[0])].answer

    async def _hangs_up(self, request: Read, writer: asyncio.StreamWriter, reused: bool) -> bool:
        answer = self._answer(request)
        if answer.stale and reused:
            return True
        for piece in answer.pieces:
            writer.write(piece)
            await turns()
        return answer.ends


def _begun(data: bytes) -> Read | None:
    """The request at the beginning, perhaps without all of its body; None while its head is incomplete."""
    try:
        return read_request(data, 0) if data else None
    except IncompleteError:
        return None


def _plain(data: bytes) -> bytes:
    """Without what an edge makes up."""
    return _MADE_UP.sub(b"(made up)", data)


def _fields(message: Read) -> list[tuple[bytes, bytes]]:
    return [
        (name, b"(its own)" if _OF_THE_LISTENER.match(name) else _plain(value))
        for name, value in message.fields
        if name.lower() != b"content-length" or message.complete
    ]


def _as_heard(message: Read) -> tuple[object, ...]:
    return (b" ".join(message.start), _fields(message), _plain(message.body))


class Kept:
    """An access log that keeps what it is told, as far as it can be the same twice."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def now(self) -> float:
        return 0.0

    def flush(self) -> None:
        pass

    def write(self, entry: Entry) -> None:
        self.entries.append(
            entry._replace(
                moment=0.0,
                total=0.0,
                first_byte=None if entry.first_byte is None else 0.0,
                request_id=_plain(entry.request_id),
            )
        )


@dataclass
class Outcome:
    """told: the responses that came whole. broken_off: what came of another one. Of what no two runs have in
    common, as ids that an edge makes up, nothing is here."""

    told: list[tuple[object, ...]] = field(default_factory=list)
    broken_off: Read | None = None
    heard: list[list[object]] = field(default_factory=list)
    counted: dict[str, Any] = field(default_factory=dict)
    logged: list[Entry] = field(default_factory=list)


class _Client:
    def __init__(self, steps: list[Step]) -> None:
        self._methods = [step.method for step in steps]
        self._data = bytearray()
        self._ended = False

    async def talk(self, port: int, steps: list[Step]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        listening = asyncio.ensure_future(self._listen(reader))
        for number, step in enumerate(steps):
            for piece in step.pieces:
                if not writer.is_closing():
                    writer.write(piece)
                    await turns()
            if step.waits:
                await until(lambda wanted=number: self._ended or self._finals() > wanted)  # type: ignore[misc]
        async with asyncio.timeout(10):
            await listening
        writer.close()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self._data += data
        self._ended = True

    def read(self) -> tuple[list[Read], Read | None]:
        """The responses that are whole, interim ones too, and what there is of another."""
        data, found, at, finals = bytes(self._data), list[Read](), 0, 0
        while at < len(data):
            method = self._methods[finals] if finals < len(self._methods) else b"GET"
            try:
                message = read_response(data, at, method, closed=self._ended)
            except IncompleteError:
                break
            if not message.complete:
                return found, message
            found.append(message)
            at = message.end
            finals += message.status >= 200
        return found, None

    def _finals(self) -> int:
        return sum(message.status >= 200 for message in self.read()[0])


async def converse(
    stage: Stage, origin: Origin, server: Server, steps: list[Step], **options: Any
) -> Outcome:
    """The last step has to end the connection."""
    server.steps, server.heard = steps, []
    fleet = make_fleet({"web": [origin.address]}, routes=[Route("h", "/", "web")], **options)
    proxy = await stage.serve(fleet)
    kept = Kept()
    proxy.access_log = cast(AccessLog, kept)
    client = _Client(steps)
    await client.talk(stage.port, steps)
    await until(lambda: not proxy.connections and not proxy.counters.in_flight)
    whole, rest = client.read()
    counted = _counted(proxy)
    proxy.pools.close_idle()
    await turns()
    told = [_as_heard(each) for each in whole]
    return Outcome(told, rest, server.heard, counted, kept.entries)


def _counted(proxy: Proxy) -> dict[str, Any]:
    pool = proxy.pools.by_name["web"]
    (server,) = pool.servers
    return {
        **dataclasses.asdict(proxy.counters),
        "answered": sum(pool.latency.counts),
        "own": server.own,
        "sent": server.requests,
        "failures": server.failures,
        "connect_failures": server.connect_failures,
        "opened": server.opened,
        "idle": len(server.idle),
    }


async def both(steps: list[Step], **options: Any) -> tuple[Outcome, Outcome]:
    """By the general path alone, and by the compiled one as far as it goes."""
    behind, general, compiled = Stage(), Stage(), Stage()
    general.compiled, compiled.compiled = False, True
    server = Server()
    try:
        origin = await behind.origin(server.handle)
        return (
            await converse(general, origin, server, steps, **options),
            await converse(compiled, origin, server, steps, **options),
        )
    finally:
        for stage in (general, compiled, behind):
            await stage.close()


def assert_alike(general: Outcome, compiled: Outcome) -> None:
    """Of a response that was broken off each may have passed on another part."""
    assert compiled.told == general.told
    assert compiled.heard == general.heard
    assert compiled.counted == general.counted
    assert compiled.logged == general.logged
    one, other = general.broken_off, compiled.broken_off
    if one is not None and other is not None:
        assert (one.start, _fields(one)) == (other.start, _fields(other))
        assert one.body.startswith(other.body) or other.body.startswith(one.body)
