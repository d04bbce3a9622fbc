"""`failover`: an ordered list of regions; the first eligible one serves everybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self, cast

from pydantic import Field

from gslb.fleet import Region
from gslb.geo.location import IPNetwork
from gslb.policy.base import NOTHING, Client, Consults, Explanation, PolicyOptions, Ranking
from gslb.policy.candidates import Candidates

_Tiers = tuple[tuple[str, ...], ...]


class FailoverOptions(PolicyOptions):
    """Options of `failover`."""

    order: tuple[str, ...] = Field(min_length=1, description="regions, first choice first")

    def region_names(self) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        return tuple((("order", index), name) for index, name in enumerate(self.order))


@dataclass(frozen=True, slots=True)
class Failover:
    """Listed regions in their order; those not listed share the last tier."""

    order: tuple[str, ...]
    name: ClassVar[str] = "failover"
    Options: ClassVar[type[PolicyOptions]] = FailoverOptions

    @classmethod
    def from_options(cls, options: PolicyOptions) -> Self:
        return cls(cast(FailoverOptions, options).order)

    @property
    def consults(self) -> Consults:
        return NOTHING

    def networks(self) -> Sequence[IPNetwork]:
        return ()

    def rank(self, client: Client, candidates: Sequence[Region]) -> Ranking:
        return rank_by_list(self.order, candidates, lambda: ("the failover order", ""))


def rank_by_list(
    order: tuple[str, ...], candidates: Sequence[Region], words: Callable[[], tuple[str, str]]
) -> Ranking:
    """Candidates in `order`, a tier each, and all that it does not name in one last tier.

    words: for explanations, what the order is called, and a note about the whole.
    """
    listed, tiers = _listed(order, Candidates.of(candidates))

    def explain() -> Explanation:
        called, note = words()
        return Explanation(
            {name: f"is choice {position} of {called}" for position, name in enumerate(listed, 1)}, note
        )

    return Ranking(tiers, explain)


@lru_cache(maxsize=512)
def _listed(order: tuple[str, ...], candidates: Candidates) -> tuple[tuple[str, ...], _Tiers]:
    """The candidates that `order` names, in that order, and the tiers of all."""
    names = dict.fromkeys(candidates.names)
    listed = dict.fromkeys(name for name in order if name in names)
    rest = tuple(name for name in names if name not in listed)
    tiers = tuple((name,) for name in listed)
    return tuple(listed), (*tiers, rest) if rest else tiers
