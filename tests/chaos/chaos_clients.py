"""Clients of every place who ask every DNS node all the time, and remember what they were told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import dns.edns
import dns.exception
import dns.message
import dns.query
import dns.rcode

NAME = "www.shop.test"
PAUSE = 0.04
"""Seconds between two questions to one node."""
PATIENCE = 2.0
"""Seconds that a client waits: an answer that takes longer is none."""
WAIT = 20.0
"""Seconds that only a failing story waits for."""

HOME: Mapping[str, tuple[str, str]] = {
    "west": ("10.1.0.0", "192.0.2.1"),
    "east": ("10.2.0.0", "192.0.2.2"),
    "asia": ("10.3.0.0", "192.0.2.3"),
}
"""For each region the network of those who are nearest to it, and its address."""


def address_of(region: str) -> str:
    return HOME[region][1]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. region: whose neighbour asks. began, ended: monotonic seconds. addresses: what it was
    sent to, nothing if no answer came."""

    node: str
    region: str
    began: float
    ended: float
    addresses: frozenset[str]
    failure: str = ""

    @property
    def usual(self) -> bool:
        """Whether it was sent home."""
        return self.addresses == {address_of(self.region)}

    def __str__(self) -> str:
        what = self.failure or ", ".join(sorted(self.addresses))
        return f"{self.node} to {self.region}: {what} after {self.ended - self.began:.3f} s"


class Clients:
    """A thread asks each node, whatever becomes of it, for each place in turn."""

    def __init__(self, nodes: Mapping[str, int], places: Collection[str], *, pause: float = PAUSE) -> None:
        """nodes: ports, by name."""
        self.asked: list[Asked] = []
        self._nodes, self._places, self._pause = nodes, places, pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._go_on, args=node) for node in nodes.items()]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def strays(self, *, nodes: Iterable[str] = (), since: float = 0.0) -> list[str]:
        """Who was not sent home, a sentence each; of those who asked these nodes (none: all) since then."""
        chosen = set(nodes) or set(self._nodes)
        return [
            str(each)
            for each in list(self.asked)
            if each.node in chosen and each.began >= since and not each.usual
        ]

    def unanswered(self) -> list[str]:
        return [str(each) for each in list(self.asked) if each.failure]

    def told(self, region: str, *, since: float = 0.0) -> set[frozenset[str]]:
        """All that a region's neighbours were told."""
        return {each.addresses for each in list(self.asked) if each.region == region and each.began >= since}

    async def until(self, region: str, answered_by: str, *, nodes: Iterable[str] = ()) -> float:
        """Until every node (or these) sends a region's neighbours there: when the last one did."""
        now, left = time.monotonic(), set(nodes) or set(self._nodes)
        wanted, looked_at = {address_of(answered_by)}, len(self.asked)
        last = now
        async with asyncio.timeout(WAIT):
            while left:
                new = self.asked[looked_at:]
                looked_at += len(new)
                for each in new:
                    if each.region == region and each.began >= now and each.addresses == wanted:
                        last = each.ended if each.node in left else last
                        left.discard(each.node)
                await asyncio.sleep(0.01)
        return last

    async def more(self, rounds: int = 1) -> None:
        """Until every place has asked every node so many times more."""
        before = len(self.asked)
        wanted = {(node, place) for node in self._nodes for place in self._places}
        async with asyncio.timeout(WAIT):
            while True:
                asked = [(each.node, each.region) for each in self.asked[before:]]
                if all(asked.count(each) >= rounds for each in wanted):
                    return
                await asyncio.sleep(0.01)

    def _go_on(self, node: str, port: int) -> None:
        while True:
            for place in self._places:
                self.asked.append(ask(node, port, place))
                if self._stop.wait(self._pause):
                    return


def ask(node: str, port: int, region: str, *, patience: float = PATIENCE) -> Asked:
    """One question, over UDP, as a resolver asks that tells where its client is."""
    query = dns.message.make_query(NAME, "A")
    query.use_edns(options=[dns.edns.ECSOption(HOME[region][0], 24)])
    began = time.monotonic()
    try:
        answer = dns.query.udp(query, "127.0.0.1", port=port, timeout=patience)
    except (OSError, dns.exception.DNSException) as error:
        return Asked(node, region, began, time.monotonic(), frozenset(), f"{type(error).__name__} {error}")
    addresses = frozenset(str(each) for records in answer.answer for each in records)
    failure = "" if addresses else dns.rcode.to_text(answer.rcode())
    return Asked(node, region, began, time.monotonic(), addresses, failure)
