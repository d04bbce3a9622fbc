"""`weighted`: clients divided by weights, each network always on the same side of the division."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, ClassVar, Self, cast

from pydantic import Field

from gslb.fleet import Region
from gslb.geo.location import IPNetwork
from gslb.policy.base import SHARE, Client, Consults, Explanation, PolicyOptions, Ranking
from gslb.policy.candidates import Candidates


class WeightedOptions(PolicyOptions):
    """Options of `weighted`."""

    weights: Mapping[str, Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]] = Field(
        min_length=1, description="region to weight; a region left out, or of weight 0, comes last"
    )

    def region_names(self) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        return tuple((("weights", name), name) for name in self.weights)


@dataclass(frozen=True, slots=True)
class Weighted:
    """Weighted rendezvous hashing: changing one weight moves only clients to or from that region.

    Every region draws a number from the client's share and its own name, scaled by its weight; the regions
    stand in the order of what they drew, so the second choice is as evenly spread as the first.
    """

    weights: tuple[tuple[str, float], ...]
    name: ClassVar[str] = "weighted"
    Options: ClassVar[type[PolicyOptions]] = WeightedOptions

    @classmethod
    def from_options(cls, options: PolicyOptions) -> Self:
        return cls(tuple(cast(WeightedOptions, options).weights.items()))

    @property
    def consults(self) -> Consults:
        return SHARE

    def networks(self) -> Sequence[IPNetwork]:
        return ()

    def rank(self, client: Client, candidates: Sequence[Region]) -> Ranking:
        weights, rest = _weighed(self.weights, Candidates.of(candidates))
        drawn = sorted([(_draw(client.share, name) / weight, name) for name, weight in weights.items()])
        tiers = tuple((name,) for _, name in drawn)

        def explain() -> Explanation:
            total = sum(weights[name] for _, name in drawn)
            reasons = {
                name: f"is choice {position} of share {client.share} (weight {weights[name]:g} of {total:g})"
                for position, (_, name) in enumerate(drawn, 1)
            }
            return Explanation(reasons | dict.fromkeys(rest, "has no weight"))

        return Ranking((*tiers, rest) if rest else tiers, explain)


@lru_cache(maxsize=512)
def _weighed(
    weights: tuple[tuple[str, float], ...], candidates: Candidates
) -> tuple[Mapping[str, float], tuple[str, ...]]:
    """The candidates that have a weight, with it, and those that have none."""
    said = dict(weights)
    weighed = {name: said[name] for name in candidates.names if said.get(name)}
    return weighed, tuple(name for name in candidates.names if name not in weighed)


@lru_cache(maxsize=65536)
def _draw(share: int, region: str) -> float:
    """An exponentially distributed number (mean 1) that depends on nothing but its arguments."""
    digest = blake2b(f"{share}/{region}".encode(), digest_size=8).digest()
    uniform = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
    return -math.log(uniform)
