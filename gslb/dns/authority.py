"""Everything an answer depends on, in one frozen object, and clients made of addresses."""

from __future__ import annotations

from dataclasses import dataclass

from gslb.dns.name import from_text
from gslb.dns.query import IN
from gslb.dns.rdata import type_number
from gslb.dns.reply import Reply, reply_to
from gslb.dns.zones import Zones
from gslb.errors import GslbError
from gslb.fleet import Fleet
from gslb.geo.location import IPAddress
from gslb.geo.locator import Locator
from gslb.policy.base import Client
from gslb.policy.decision import Decision, decide
from gslb.policy.share import share_of
from gslb.world import World


@dataclass(frozen=True, slots=True)
class Authority:
    """What is declared, where clients are, and how the world stands: enough to answer any question."""

    fleet: Fleet
    zones: Zones
    locator: Locator
    world: World

    def client(self, address: IPAddress) -> Client:
        """The client at (or the client network around) an address."""
        return Client(address, self.locator.locate(address), share_of(address))

    def decide(self, service: str, client: Client, now: float) -> Decision:
        """The decision for one of the fleet's services; `now` in seconds since 1970."""
        return decide(self.fleet, self.fleet.services[service], client, self.world, now)

    def reply(self, name: bytes, rtype: int, class_: int, client: Client, now: float) -> Reply:
        """The answer to a question (name in lower-case wire form) from a client."""
        return reply_to(name, rtype, class_, self.zones, lambda service: self.decide(service, client, now))

    def explain(self, name: str, rtype: str, address: IPAddress, now: float) -> Reply:
        """The answer to a question as a person spells it; raises GslbError when it cannot be asked."""
        try:
            wire = from_text(name).lower()
        except ValueError as error:
            raise GslbError(f"{name!r} is not a domain name: {error}") from None
        number = type_number(rtype)
        if number is None:
            raise GslbError(f"{rtype!r} is not a record type", hint="such as A, AAAA, TXT, MX")
        return self.reply(wire, number, IN, self.client(address), now)
