"""Repeats, without Python and from many threads at once, answers that Python has made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from gslb.dns.compiled.book import Book as Book
from gslb.dns.compiled.book import Epochs
from gslb.dns.compiled.limiter import Limiter
from gslb.geo.location import IPNetwork

LOCATED: int
SHARED: int
ORDERED: int
"""What a group's answers depend on of the client: its vantage, its share; and whether of the regions' whole
order from the first."""

MOST_PREFIXES: int
"""Of resolvers whose client subnet counts; with more, queries that bring one are left to Python."""

Outcome = bytes | Literal["miss", "silence"]

class Counters(TypedDict):
    """Since the exchange was made. A query that is left to Python is one of the misses and nothing else.

    answered: sent. silences: dropped by the limiter. ignored: no queries, or from ports nobody asks from.
    overloads: misses that could not be handed on. stale: answered from an outcome that was about to expire.
    cookies: "good", "bad" and "new", also of queries that the limiter dropped.
    """

    answered: int
    silences: int
    ignored: int
    misses: int
    overloads: int
    truncations: int
    stale: int
    rcodes: dict[int, int]
    cookies: dict[str, int]

class Settings:
    """How queries are treated; never changed."""

    def __init__(
        self,
        udp_payload: int,
        trust: Sequence[IPNetwork] | None,
        cookie_secrets: Sequence[bytes] | None,
        limiter: Limiter | None,
        counts_subnet: bool,
    ) -> None:
        """udp_payload: bytes. trust: the resolvers whose client subnet counts, None for all; nobody's does
        unless `counts_subnet`. cookie_secrets: the first one signs, all verify; none: cookies are off.

        Raises ValueError when a secret does not have 16 bytes, or the payload cannot be."""

class Exchange:
    """Between Python, which learns, and the threads that answer, which read without ever waiting."""

    threads: int
    epochs: Epochs

    def __init__(self, threads: int) -> None:
        """threads: how many may answer, numbered from 0, beside the one that calls `answer`."""

    def use(self, book: Book, settings: Settings) -> None:
        """Answer from these from now on, both at once. The ones before are kept until every thread has moved
        on. Raises ValueError for a book that was made for another exchange."""

    def reclaim(self) -> None:
        """Free what was replaced and is read by nobody any more; learning does so too, little by little."""

    @property
    def retired(self) -> int:
        """How much waits for that: answers, tables, books."""

    def answer(self, packet: bytes, source: str, port: int, now: float) -> bytes | None:
        """What the loop sends; None for nothing."""

    def outcome(self, packet: bytes, source: str, port: int, now: float) -> Outcome:
        """The same, telling silence from what is left to Python. now: seconds since 1970."""

    def rehearse(
        self,
        packets: Sequence[bytes],
        source: str,
        port: int,
        now: float,
        *,
        thread: int | None = None,
        rounds: int = 1,
    ) -> list[Outcome]:
        """Answer packets that never came, so often, and tell the last round's outcomes; for tests and for
        measuring. All rounds but the last are without the GIL, and need a thread's number that no other uses
        meanwhile. Raises ValueError for a number that there is not."""

    def counters(self) -> Counters:
        """Summed over all threads."""
