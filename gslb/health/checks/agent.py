"""The agent check: a small server beside the target says in a few words whether it is up, and how busy.

The protocol is that of HAProxy's `agent-check`, so that agents which exist can be used as they are.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import Field

from gslb.fleet import SocketAddress
from gslb.health.checks.base import CheckOptions, Judgement, ProbeOutcome
from gslb.health.checks.connection import connected
from gslb.health.checks.failure import failure_phrase
from gslb.health.checks.load import load_of_text
from gslb.health.checks.timed import timed_probe

LINE_LIMIT = 4096
"""Bytes of an agent's line; whoever sends more without an end is no agent."""

_AGAINST = ("down", "fail", "failed", "stopped", "maint", "drain")
_IN_FAVOUR = ("up", "ready")
_LONGEST_SHOWN = 80
_LINE_END = re.compile(rb"[\r\n]")
_DELIMITERS = re.compile(r"[ \t,]+")
_WEIGHT = re.compile(r"\d{1,9}(?:\.\d{1,9})?%", re.ASCII)


class AgentCheckOptions(CheckOptions):
    """Options of `type: agent`."""

    port: int = Field(ge=1, le=65535, description="where the agent listens, at the target's address")
    send: str | None = Field(None, description="text sent to the agent once connected")
    connect: bool = Field(True, description="whether the target itself must take a connection, too")


def judge_line(line: str) -> Judgement:
    """What an agent's line means: words with spaces, tabs or commas between them, then perhaps `#why`.

    A word against the target outdoes all others. `NN%` is the part of its weight that it shall keep.
    """
    said, _, why = line.partition("#")
    words = [word for word in _DELIMITERS.split(said.strip().lower()) if word]
    for word in _AGAINST:
        if word in words:
            return Judgement(False, f"agent says {word}: {_shown(why)}".removesuffix(": "))
    verdict = next((word for word in _IN_FAVOUR if word in words), None)
    told = [word for word in words if word.startswith("load=") or _WEIGHT.fullmatch(word)]
    if verdict is None and not told and not any(word.startswith("maxconn:") for word in words):
        return Judgement(False, f"agent says nothing that is known: {_shown(line)}".removesuffix(": "))
    load = _load(told)
    remark = ", load illegible" if told and load is None else ""
    return Judgement(True, "agent answers" if verdict is None else f"agent says {verdict}", load, remark)


def _load(told: Sequence[str]) -> float | None:
    """The load from `load=0.42`, which is the plainer word, or else from what is left of the weight."""
    for word in told:
        if word.startswith("load="):
            return load_of_text(word.removeprefix("load="))
    return max(0.0, 1 - float(told[0].removesuffix("%")) / 100) if told else None


def _shown(text: str) -> str:
    """Foreign text as a reason may have it: in one short line, without control characters."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(plain.split())[:_LONGEST_SHOWN]


@dataclass(frozen=True, slots=True)
class AgentCheck:
    """Asks the agent at `port`, and then, as the agent may outlive its target, connects to the target."""

    name: ClassVar[str] = "agent"
    Options: ClassVar[type[CheckOptions]] = AgentCheckOptions

    port: int
    send: bytes | None = None
    connect: bool = True

    @classmethod
    def from_options(cls, options: CheckOptions) -> Self:
        assert isinstance(options, AgentCheckOptions)
        return cls(
            port=options.port,
            send=None if options.send is None else options.send.encode(),
            connect=options.connect,
        )

    async def probe(self, target: SocketAddress, timeout: float) -> ProbeOutcome:
        """See Check.probe; the agent's line and the connection to the target must fit into `timeout`."""
        return await timed_probe(self._exchange(target), timeout, failure_phrase)

    async def _exchange(self, target: SocketAddress) -> Judgement:
        try:
            line = await self._line(SocketAddress(target.host, self.port))
        except OSError as error:
            return Judgement(False, f"agent: {failure_phrase(error)}")
        if line is None:
            return Judgement(False, f"agent sends more than {LINE_LIMIT} bytes in one line")
        judged = judge_line(line)
        if judged.ok and self.connect and target.port != self.port:
            async with connected(target):
                pass
        return judged

    async def _line(self, agent: SocketAddress) -> str | None:
        """The first line of what the agent says; None if it is too long to be one."""
        async with connected(agent) as (reader, writer):
            if self.send is not None:
                writer.write(self.send)
                await writer.drain()
            received = await _first_line(reader)
        return None if received is None else received.decode("utf-8", "replace")


async def _first_line(reader: asyncio.StreamReader) -> bytes | None:
    received = b""
    while len(received) <= LINE_LIMIT:
        data = await reader.read(LINE_LIMIT)
        received += data
        if not data or _LINE_END.search(data):
            line = _LINE_END.split(received, maxsplit=1)[0]
            return line if len(line) <= LINE_LIMIT else None
    return None
