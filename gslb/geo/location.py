"""What is known of where a client is, and where that knowledge came from."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Coordinates:
    """A point on the Earth, in degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Location:
    """Where a client is; every field but `source` may be unknown.

    country, continent: ISO 3166-1 alpha-2 and two-letter continent code, upper case (`GB`, `EU`).
    subdivision: ISO 3166-2 code, upper case (`US-CA`); names without a code are not kept.
    asn: autonomous system number.
    city: a name for people; no rule looks at it.
    source: a few words: `database`, `override 10.1.0.0/16`, `default`, `country centroid`.
    """

    source: str
    coordinates: Coordinates | None = None
    country: str | None = None
    continent: str | None = None
    subdivision: str | None = None
    asn: int | None = None
    city: str | None = None

    def __str__(self) -> str:
        words = [word for word in (self.city, self.subdivision or self.country, self.continent) if word]
        if self.asn is not None:
            words.append(f"AS{self.asn}")
        if self.coordinates is not None:
            words.append(f"({self.coordinates.latitude:.2f}, {self.coordinates.longitude:.2f})")
        return f"{' '.join(words) or 'unknown'} [{self.source}]"


@dataclass(frozen=True, slots=True)
class Located:
    """The outcome of one look-up.

    location: shared between all clients of the same vantage as far as the database goes.
    prefix_length: of the largest network around the address (in the address's own family) for which
        this very outcome is certain; what an honest client-subnet scope may claim (RFC 7871 7.2.1).
    network: the longest of the operator's own networks (overrides, CIDR rules) that holds the address.
    carrier: the transition network (6to4, NAT64 and so on) of an IPv6 address that carries an IPv4 one, or
        the operator's own network inside it that holds the address.
    Location, network and carrier together tell all that any rule can tell of the address.
    """

    location: Location
    prefix_length: int
    network: IPNetwork | None = None
    carrier: IPNetwork | None = None
