"""What every policy is: it ranks regions for a client and says why; it never picks one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, Self

from pydantic import BaseModel

from gslb.fleet import Region
from gslb.geo.location import IPAddress, IPNetwork, Located, Location


@dataclass(frozen=True, slots=True)
class Consults:
    """What of the client a policy looks at; it bounds the scope an answer may claim (RFC 7871 7.2.1).

    Two plain fields and no `enum.Flag`, whose operators would be a fifth of the cost of a query.
    """

    location: bool = False
    share: bool = False

    def __or__(self, other: Consults) -> Consults:
        return Consults(self.location or other.location, self.share or other.share)


NOTHING = Consults()
LOCATION = Consults(location=True)
SHARE = Consults(share=True)


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, as far as policies may know. share: 0 to SHARES - 1, a stable hash of its network."""

    address: IPAddress
    located: Located
    share: int

    @property
    def location(self) -> Location:
        return self.located.location


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a ranking is as it is.

    reasons: for each region, a sentence that can follow its name: "is nearest (412 km)".
    note: one sentence about the whole, when there is something to say: "the geo rule for country GB applies".
    """

    reasons: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Regions in tiers, best first; those within one tier are equal to this policy.

    explain: tells why, from what the ranking was made of. It is called for people alone: no packet shows
    sentences, and to write them would cost more than to rank.
    """

    tiers: tuple[tuple[str, ...], ...]
    explain: Callable[[], Explanation]


class PolicyOptions(BaseModel, extra="forbid", frozen=True):
    """Root of all policies' options, so that unknown keys are errors everywhere."""

    def region_names(self) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        """Every region the options name, with its path inside them, for the configuration's checks."""
        return ()


class Policy(Protocol):
    """One file each in this package. Instances are frozen; `rank` is pure."""

    name: ClassVar[str]
    Options: ClassVar[type[PolicyOptions]]

    @classmethod
    def from_options(cls, options: PolicyOptions) -> Self: ...

    @property
    def consults(self) -> Consults: ...

    def networks(self) -> Sequence[IPNetwork]:
        """Networks the policy tells apart by itself (CIDR rules)."""
        ...

    def rank(self, client: Client, candidates: Sequence[Region]) -> Ranking:
        """Put all `candidates` in order for `client`; health is not its business."""
        ...
