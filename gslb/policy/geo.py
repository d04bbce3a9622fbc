"""`geo`: the operator's rules on who goes where, by place or network; the most specific match wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, ClassVar, Self, cast

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from gslb.fleet import Region
from gslb.geo import transition
from gslb.geo.location import IPNetwork
from gslb.policy.base import LOCATION, Client, Consults, PolicyOptions, Ranking
from gslb.policy.failover import rank_by_list


def _listed(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else (value,)


def _text(value: object) -> object:
    if isinstance(value, str | IPv4Network | IPv6Network):
        return value
    raise ValueError("must be a network in CIDR notation, such as 192.0.2.0/24")


def _upper(value: object) -> object:
    items = cast(Sequence[object], _listed(value))
    return tuple(item.upper() if isinstance(item, str) else item for item in items)


Codes2 = Annotated[tuple[Annotated[str, Field(pattern="^[A-Z]{2}$")], ...], BeforeValidator(_upper)]
Subdivisions = Annotated[
    tuple[Annotated[str, Field(pattern="^[A-Z]{2}-[A-Z0-9]{1,3}$")], ...], BeforeValidator(_upper)
]
Numbers = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], BeforeValidator(_listed)]
Networks = Annotated[
    tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(_text)], ...], BeforeValidator(_listed)
]


class GeoRuleOptions(BaseModel, extra="forbid", frozen=True):
    """One rule: every condition named must hold; of a list, any one."""

    continent: Codes2 = Field((), description="two-letter continent codes: AF AN AS EU NA OC SA")
    country: Codes2 = Field((), description="ISO 3166-1 codes")
    subdivision: Subdivisions = Field((), description="ISO 3166-2 codes: US-CA")
    asn: Numbers = Field((), description="autonomous system numbers")
    network: Networks = Field((), description="client networks in CIDR notation")
    regions: tuple[str, ...] = Field(min_length=1, description="where these clients go, first choice first")

    @model_validator(mode="after")
    def _has_a_condition(self) -> Self:
        if not (self.continent or self.country or self.subdivision or self.asn or self.network):
            raise ValueError("a rule needs a condition: continent, country, subdivision, asn or network")
        return self


class GeoOptions(PolicyOptions):
    """Options of `geo`."""

    rules: tuple[GeoRuleOptions, ...] = Field(min_length=1, description="rules; the most specific match wins")

    def region_names(self) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        return tuple(
            (("rules", index, "regions", place), name)
            for index, rule in enumerate(self.rules)
            for place, name in enumerate(rule.regions)
        )


@dataclass(frozen=True, slots=True)
class GeoRule:
    """A rule made ready; an empty condition holds for everyone."""

    regions: tuple[str, ...]
    continent: frozenset[str] = frozenset()
    country: frozenset[str] = frozenset()
    subdivision: frozenset[str] = frozenset()
    asn: frozenset[int] = frozenset()
    network: tuple[IPNetwork, ...] = ()

    def match(self, client: Client) -> tuple[tuple[int, int, int, int, int], str] | None:
        """How specific a match is (greater is more), and what matched, in words; None if it does not."""
        location = client.location
        specific = [-1, 0, 0, 0, 0]
        words: list[str] = []
        for place, (kind, wanted, actual) in enumerate(
            (
                ("AS", self.asn, location.asn),
                ("subdivision ", self.subdivision, location.subdivision),
                ("country ", self.country, location.country),
                ("continent ", self.continent, location.continent),
            ),
            1,
        ):
            if wanted:
                if actual not in wanted:
                    return None
                specific[place] = 1
                words.append(f"{kind}{actual}")
        if self.network:
            holding = [(length, str(each)) for each in self.network if (length := _held_length(client, each))]
            if not holding:
                return None
            specific[0], longest = max(holding)
            words.insert(0, f"network {longest}")
        first, second, third, fourth, fifth = specific
        return (first, second, third, fourth, fifth), ", ".join(words)


def _held_length(client: Client, network: IPNetwork) -> int | None:
    """How long a prefix of the client's address `network` is, plus one; None when it does not hold it.

    An IPv6 address that carries an IPv4 address is held by the networks of both.
    """
    address = client.address
    if address in network:
        return network.prefixlen + 1
    if isinstance(address, IPv6Address) and (carried := transition.carried(address)) is not None:
        inner, offset = carried
        if inner in network:
            return offset + network.prefixlen + 1
    return None


@dataclass(frozen=True, slots=True)
class Geo:
    """Network beats AS beats subdivision beats country beats continent; of equals the first rule wins.

    The regions of the winning rule come first, in its order; all others share the last tier, for the next
    policy to order.
    """

    rules: tuple[GeoRule, ...]
    name: ClassVar[str] = "geo"
    Options: ClassVar[type[PolicyOptions]] = GeoOptions

    @classmethod
    def from_options(cls, options: PolicyOptions) -> Self:
        return cls(
            tuple(
                GeoRule(
                    rule.regions,
                    frozenset(rule.continent),
                    frozenset(rule.country),
                    frozenset(rule.subdivision),
                    frozenset(rule.asn),
                    rule.network,
                )
                for rule in cast(GeoOptions, options).rules
            )
        )

    @property
    def consults(self) -> Consults:
        return LOCATION

    def networks(self) -> Sequence[IPNetwork]:
        return [network for rule in self.rules for network in rule.network]

    def rank(self, client: Client, candidates: Sequence[Region]) -> Ranking:
        best: tuple[tuple[int, ...], str, GeoRule] | None = None
        for rule in self.rules:
            matched = rule.match(client)
            if matched is not None and (best is None or matched[0] > best[0]):
                best = (*matched, rule)
        if best is None:
            return Ranking((tuple(region.name for region in candidates),), {}, "no geo rule matches")
        _, words, rule = best
        return rank_by_list(
            rule.regions,
            candidates,
            f"is choice {{position}} of the rule for {words}",
            f"the geo rule for {words} applies",
        )
