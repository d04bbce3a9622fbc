"""`failover`: an ordered list of regions; the first eligible one serves everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, cast

from pydantic import Field

from gslb.fleet import Region
from gslb.geo.location import IPNetwork
from gslb.policy.base import NOTHING, Client, Consults, PolicyOptions, Ranking


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
        return rank_by_list(self.order, candidates, "is choice {position} of the failover order")


def rank_by_list(order: Sequence[str], candidates: Sequence[Region], reason: str, note: str = "") -> Ranking:
    """Candidates in `order`, a tier each, and all that it does not name in one last tier.

    reason: a sentence part in which `{position}` becomes the place in the list, from 1.
    """
    names = [region.name for region in candidates]
    listed = [name for name in dict.fromkeys(order) if name in names]
    rest = tuple(name for name in names if name not in listed)
    tiers: list[tuple[str, ...]] = [(name,) for name in listed]
    if rest:
        tiers.append(rest)
    reasons = {name: reason.format(position=position) for position, name in enumerate(listed, 1)}
    return Ranking(tuple(tiers), reasons, note)
