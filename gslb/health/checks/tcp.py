"""The TCP check: a connection can be made, and after what is sent, what is expected comes back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import Field, model_validator

from gslb.fleet import SocketAddress
from gslb.health.checks.base import BODY_LIMIT, CheckOptions, Judgement, ProbeOutcome
from gslb.health.checks.connection import connected
from gslb.health.checks.failure import failure_phrase
from gslb.health.checks.timed import timed_probe
from gslb.health.checks.tls import tls_context


class TcpCheckOptions(CheckOptions):
    """Options of `type: tcp`."""

    send: str | None = Field(None, description="text sent once connected")
    expect: str | None = Field(
        None, min_length=1, description="text that must occur in what comes back (its first 64 KiB)"
    )
    tls: bool = Field(False, description="whether to speak TLS")
    verify: bool = Field(True, description="whether the certificate must be valid")
    server_name: str | None = Field(None, description="the name asked for in TLS; else the target's host")

    @model_validator(mode="after")
    def _tls_only(self) -> Self:
        if self.server_name is not None and not self.tls:
            raise ValueError("server_name is for TLS only; add tls: true or leave it out")
        return self


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """Connects, optionally over TLS, and optionally has a short exchange."""

    name: ClassVar[str] = "tcp"
    Options: ClassVar[type[CheckOptions]] = TcpCheckOptions

    send: bytes | None = None
    expect: bytes | None = None
    tls: bool = False
    verify: bool = True
    server_name: str | None = None

    @classmethod
    def from_options(cls, options: CheckOptions) -> Self:
        assert isinstance(options, TcpCheckOptions)
        return cls(
            send=None if options.send is None else options.send.encode(),
            expect=None if options.expect is None else options.expect.encode(),
            tls=options.tls,
            verify=options.verify,
            server_name=options.server_name,
        )

    async def probe(self, target: SocketAddress, timeout: float) -> ProbeOutcome:
        """See Check.probe; the whole exchange must fit into `timeout` seconds."""
        return await timed_probe(self._exchange(target), timeout, failure_phrase)

    async def _exchange(self, target: SocketAddress) -> Judgement:
        context = tls_context(self.verify) if self.tls else None
        server_name = (self.server_name or target.host) if self.tls else None
        async with connected(target, context, server_name) as (reader, writer):
            if self.send is not None:
                writer.write(self.send)
                await writer.drain()
            if self.expect is None:
                return Judgement(True, "connected")
            if await _comes(reader, self.expect):
                return Judgement(True, "expected text")
            return Judgement(False, f"answer does not contain {self.expect.decode()!r}")


async def _comes(reader: asyncio.StreamReader, expected: bytes) -> bool:
    """Whether `expected` occurs in the first BODY_LIMIT bytes that arrive before the end of the stream."""
    received = b""
    while len(received) < BODY_LIMIT:
        data = await reader.read(BODY_LIMIT - len(received))
        if not data:
            return False
        received += data
        if expected in received:
            return True
    return False
