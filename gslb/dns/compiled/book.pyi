"""What was learned of answers, in tables that threads search while Python fills them."""

from __future__ import annotations

from collections.abc import Iterable

from gslb.dns.compiled.answering import Exchange
from gslb.dns.packing import Packed
from gslb.geo.location import IPAddress
from gslb.geo.network_map import NetworkMap

MOST_QUESTIONS: int
MOST_PASSING: int
MOST_RANKS: int
MOST_OUTCOMES: int
"""A table that has so many is replaced by an empty one, and filled again by what is asked for. Of ranks there
are as many as the map has vantages, known or not, for each plan and level that is met (four bytes each)."""

class Epochs:
    """Shared by an exchange and its books; of no use from Python."""

class Book:
    """For one fleet, its zones and one network map. Any thread of Python may teach it at any time, in use or
    not: each `learn_` is one step to all others.

    Numbers that are out of range raise ValueError or OverflowError, and no memory MemoryError; the book is as
    it was then.
    """

    epochs: Epochs

    def __init__(
        self,
        exchange: Exchange,
        network_map: NetworkMap | None,
        served: int,
        *,
        most_questions: int = ...,
        most_passing: int = ...,
        most_ranks: int = ...,
        most_outcomes: int = ...,
    ) -> None:
        """served: how many counters of what was served there are. Without a map nothing that depends on where
        a client is can be repeated. Raises ValueError for a map that is damaged."""

    def learn_answer(self, question: bytes, packed: Packed, *, passing: bool = False) -> None:
        """A question with one answer for everybody. question: its name in lower case and in wire form, then
        the two bytes of its type. passing: whether there are endlessly many such questions."""

    def learn_question(
        self, question: bytes, group: int, plan: int, flags: int, served: int, *, passing: bool = False
    ) -> None:
        """A question whose answer is one of a group's. group: 1 to 2**26 - 1. plan: whose ranks they go by, 1
        to 2**31 - 1; 0 without LOCATED. flags: LOCATED, SHARED, ORDERED. served: the first of the counters
        for its service, -1 for none."""

    def learn_rank(self, plan: int, level: int, vantage: int, rank: int) -> None:
        """What clients with this vantage prefer. level: 0 for the region that comes first, 1 for the order.
        rank: 1 to 2**24 - 1. A vantage that the book's map does not have is passed over."""

    def learn_outcome(self, key: int, packed: Packed | None, served: int = -1) -> None:
        """A group's answer, instead of any before; None: the level below has it. served: which of the
        counters of the question's service counts it. key: gslb.dns.answer_groups.outcome_key."""

    def expire(self, keys: Iterable[int], at: float) -> None:
        """From `at` on (seconds since 1970; 0: now) these outcomes are not given any more; if that was to
        happen earlier, it still does. Learning one anew ends it."""

    def vantage(self, address: IPAddress) -> int:
        """Of a client, as the compiled look-up finds it; 0 (UNMAPPED) also without a map."""

    def served(self) -> list[int]:
        """The counters, summed over all threads; they go on until the last thread has left the book."""

    @property
    def questions(self) -> int: ...
    @property
    def passing(self) -> int: ...
    @property
    def ranks(self) -> int:
        """Room for so many, most of it filled in time."""
    @property
    def outcomes(self) -> int: ...
    @property
    def overflows(self) -> int:
        """How often a table was full."""
