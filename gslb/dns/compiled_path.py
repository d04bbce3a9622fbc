"""The compiled loop as the rest of a node sees it: what it is taught, what it counted, and its threads.

To import this raises ModuleNotFoundError where the modules of `gslb.dns.compiled` were not built.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gslb.dns.authority import Authority
from gslb.dns.compiled.answering import Exchange, Settings
from gslb.dns.compiled.book import Book
from gslb.dns.compiled.limiter import Limiter
from gslb.dns.compiled.loop import Loop
from gslb.dns.lessons import Lessons
from gslb.dns.rules import Rules
from gslb.dns.served_places import ServedPlaces
from gslb.errors import GslbError
from gslb.fleet import DnsSettings, RateLimitSettings

if TYPE_CHECKING:
    from gslb.dns.compiled.answering import Counters as Counters

MOST_THREADS = 64
"""Of one process, on all its sockets together."""


class CompiledPath:
    """One for each process."""

    def __init__(self) -> None:
        self._exchange = Exchange(MOST_THREADS)
        self._free = list(range(MOST_THREADS))
        self._lessons: Lessons | None = None
        self._served: Counter[tuple[str, str]] = Counter()

    @staticmethod
    def limiter(settings: RateLimitSettings) -> Limiter:
        """One that the loop's threads and Python share."""
        return Limiter(settings)

    def lessons(self, authority: Authority) -> Lessons:
        """An empty book for what `authority` answers in whatever world, which is to be used later."""
        network_map = authority.locator.network_map
        book = Book(self._exchange, network_map, ServedPlaces(authority.fleet).size)
        return Lessons(book, authority.fleet, network_map)

    def use(self, lessons: Lessons, rules: Rules) -> None:
        """Answer from these from now on."""
        before, self._lessons = self._lessons, lessons
        subnet = rules.settings.client_subnet
        settings = Settings(
            rules.settings.udp_payload,
            subnet.trusted or None,
            rules.cookies.secrets if rules.cookies is not None else None,
            rules.limiter if isinstance(rules.limiter, Limiter) else None,
            subnet.enabled,
        )
        self._exchange.use(lessons.book, settings)
        if before is not None and before is not lessons:
            self._served.update(before.served())

    def reclaim(self) -> None:
        """Free what no thread reads any more."""
        self._exchange.reclaim()

    @property
    def counters(self) -> Counters:
        """What the loop's threads did."""
        return self._exchange.counters()

    @property
    def served(self) -> Counter[tuple[str, str]]:
        """How often they answered, by service and region."""
        return self._served + (self._lessons.served() if self._lessons is not None else Counter())

    def loop(self, sockets: Sequence[int], *, wildcard: bool) -> Loop:
        """A loop on sockets of one address, a thread for each; raises GslbError when there are too many."""
        count = len(sockets)
        for first in self._free:
            numbers = range(first, first + count)
            if set(numbers) <= set(self._free):
                loop = Loop(self._exchange, sockets, first, wildcard=wildcard)
                self._free = [number for number in self._free if number not in numbers]
                return loop
        raise GslbError(
            f"a node has at most {MOST_THREADS} threads that answer over UDP",
            hint="lower dns.udp_threads, or listen on fewer addresses",
        )

    def release(self, loop: Loop, count: int) -> None:
        """The numbers of a loop whose threads have ended may be another's."""
        self._free = sorted({*self._free, *range(loop.first, loop.first + count)})


def threads_of(settings: DnsSettings, addresses: int) -> int:
    """How many threads answer on each of so many addresses."""
    wanted = settings.udp_threads or len(os.sched_getaffinity(0))
    return max(1, min(wanted, MOST_THREADS // max(1, addresses)))
