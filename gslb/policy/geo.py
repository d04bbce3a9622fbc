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
from gslb.policy.base import LOCATION, Client, Consults, Explanation, PolicyOptions, Ranking
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

    def specificity(self, client: Client) -> tuple[int, int, int, int, int] | None:
        """How specifically the rule matches (greater is more); None if it does not."""
        held = 0
        if self.network:
            held = max((length for length, _ in self._holding(client)), default=0)
            if not held:
                return None
        location = client.location
        if (
            (self.asn and location.asn not in self.asn)
            or (self.subdivision and location.subdivision not in self.subdivision)
            or (self.country and location.country not in self.country)
            or (self.continent and location.continent not in self.continent)
        ):
            return None
        return held, bool(self.asn), bool(self.subdivision), bool(self.country), bool(self.continent)

    def words(self, client: Client) -> str:
        """What a client that the rule matches has in common with it."""
        location = client.location
        words = []
        if self.network:
            _, longest = max((length, str(each)) for length, each in self._holding(client))
            words.append(f"network {longest}")
        for kind, wanted, actual in (
            ("AS", self.asn, location.asn),
            ("subdivision ", self.subdivision, location.subdivision),
            ("country ", self.country, location.country),
            ("continent ", self.continent, location.continent),
        ):
            if wanted:
                words.append(f"{kind}{actual}")
        return ", ".join(words)

    def _holding(self, client: Client) -> list[tuple[int, IPNetwork]]:
        """The rule's networks that hold the client, each after how long a prefix it is."""
        return [(length, each) for each in self.network if (length := _held_length(client, each))]


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
        best: tuple[tuple[int, ...], GeoRule] | None = None
        for rule in self.rules:
            specificity = rule.specificity(client)
            if specificity is not None and (best is None or specificity > best[0]):
                best = specificity, rule
        if best is None:
            names = tuple(region.name for region in candidates)
            return Ranking((names,), lambda: Explanation(note="no geo rule matches"))
        _, winner = best

        def words() -> tuple[str, str]:
            matched = winner.words(client)
            return f"the rule for {matched}", f"the geo rule for {matched} applies"

        return rank_by_list(winner.regions, candidates, words)
