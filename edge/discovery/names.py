"""Asks name servers for addresses and SRV records, and remembers what was answered last."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gslb.fleet import SocketAddress

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.resolver

LEAST_TTL, MOST_TTL = 1.0, 300.0
"""Seconds: an answer is asked for again after its TTL, but neither sooner nor later than this."""

AGAIN = 5.0
"""Seconds after which a name that could not be resolved is asked for again."""

PATIENCE = 3.0
"""Seconds that an answer may take, all attempts together."""

MOST_ADDRESSES = 1000
"""Of one name; further ones are not used."""


class NotFoundError(Exception):
    """Nothing can be said of a name now; the text says why, and can follow the name."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Of a name, in order. ttl: seconds, within the bounds."""

    texts: tuple[str, ...]
    ttl: float


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """One SRV record (RFC 2782). target: a name."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class _Answer:
    texts: tuple[str, ...]
    ttl: float
    failure: str = ""


class Names:
    """servers: who is asked; empty: whom the system asks. It belongs to one event loop."""

    def __init__(self, servers: Iterable[SocketAddress] = ()) -> None:
        self._servers = tuple(servers)
        self._made: dns.asyncresolver.Resolver | None = None
        self._last: dict[tuple[str, str], tuple[str, ...]] = {}

    async def addresses(self, name: str) -> Addresses:
        """All addresses of a name, IPv4 first. Raises NotFoundError.

        Where one family cannot be asked for now, its addresses are those of the last time.
        """
        answers = await asyncio.gather(self._texts(name, "A"), self._texts(name, "AAAA"))
        failures = [answer.failure for answer in answers if answer.failure]
        if len(failures) == len(answers):
            raise NotFoundError(failures[0])
        texts = tuple(dict.fromkeys(text for answer in answers for text in answer.texts))[:MOST_ADDRESSES]
        if not texts:
            raise NotFoundError(failures[0] if failures else "has no addresses")
        return Addresses(texts, min(answer.ttl for answer in answers))

    async def services(self, name: str) -> tuple[tuple[ServiceRecord, ...], float]:
        """The SRV records of a name, and their TTL within the bounds. Raises NotFoundError."""
        answer = await self._ask(name, "SRV")
        records = tuple(
            ServiceRecord(each.priority, each.weight, each.port, each.target.to_text(omit_final_dot=True))
            for each in answer.rrset or ()
            # A dot alone says that there is no such service (RFC 2782).
            if each.target.labels != (b"",)
        )
        if not records:
            raise NotFoundError("has no SRV records")
        return records, _bounded(answer)

    async def _texts(self, name: str, kind: str) -> _Answer:
        try:
            answer = await self._ask(name, kind)
        except NotFoundError as error:
            return _Answer(self._last.get((name, kind), ()), AGAIN, str(error))
        texts = tuple(sorted(each.address for each in answer.rrset or ()))
        self._last[name, kind] = texts
        # How long a family is missing for is told by the SOA, if at all; the other family's TTL counts.
        return _Answer(texts, _bounded(answer) if texts else MOST_TTL)

    async def _ask(self, name: str, kind: str) -> dns.resolver.Answer:
        # Imported only where there is somebody to ask: it takes a while.
        import dns.exception
        import dns.resolver

        try:
            return await self._resolver().resolve(name, kind, raise_on_no_answer=False, lifetime=PATIENCE)
        except dns.resolver.NXDOMAIN:
            raise NotFoundError("does not exist") from None
        except dns.exception.Timeout:
            raise NotFoundError(f"got no answer in {PATIENCE:g} s") from None
        except (dns.exception.DNSException, OSError) as error:
            # Whom the system asks may have changed.
            self._made = None
            raise NotFoundError(f"cannot be resolved: {_reason(error)}") from None

    def _resolver(self) -> dns.asyncresolver.Resolver:
        import dns.asyncresolver
        import dns.nameserver

        if self._made is None:
            self._made = dns.asyncresolver.Resolver(configure=not self._servers)
            if self._servers:
                self._made.nameservers = [
                    dns.nameserver.Do53Nameserver(server.host, server.port) for server in self._servers
                ]
        return self._made


def _bounded(answer: dns.resolver.Answer) -> float:
    return min(max(float(answer.chaining_result.minimum_ttl), LEAST_TTL), MOST_TTL)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
