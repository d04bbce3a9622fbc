"""A small authoritative name server for tests of discovery: records that change, and silence."""

from __future__ import annotations

import asyncio
from collections import Counter

from dnslib import AAAA, QTYPE, RCODE, RR, SRV, A, DNSRecord

from gslb.fleet import SocketAddress

_KINDS = {"A": A, "AAAA": AAAA}


class NameServer(asyncio.DatagramProtocol):
    """records: by name and type, what is answered; names that are not there do not exist.

    ttl: of every answer. silent: whether it answers at all. asked: how often, by name and type.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[object]] = {}
        self.ttl = 1
        self.silent = False
        self.asked: Counter[tuple[str, str]] = Counter()

    async def start(self) -> NameServer:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        self.address = SocketAddress(*self._transport.get_extra_info("sockname")[:2])
        return self

    def stop(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        pass

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        query = DNSRecord.parse(data)
        name, kind = str(query.q.qname).rstrip("."), QTYPE[query.q.qtype]
        self.asked[name, kind] += 1
        if self.silent:
            return
        reply = query.reply()
        for value in self.records.get((name, kind), ()):
            data_of = SRV(*value) if kind == "SRV" else _KINDS[kind](value)  # type: ignore[misc]
            reply.add_answer(RR(name, query.q.qtype, rdata=data_of, ttl=self.ttl))
        if not any(known == name for known, _ in self.records):
            reply.header.rcode = RCODE.NXDOMAIN
        self._transport.sendto(reply.pack(), address)  # type: ignore[attr-defined]
