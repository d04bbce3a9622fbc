"""Who asks: the address that counts, what it has proved, and the EDNS options that go back to it."""

from __future__ import annotations

from ipaddress import ip_address

from gslb.dns import edns
from gslb.dns.cookie import CLIENT_LENGTH
from gslb.dns.edns import Edns
from gslb.dns.extended_error import ExtendedError
from gslb.dns.query import LONGEST_MESSAGE
from gslb.dns.rules import Rules
from gslb.dns.tsig import Signer
from gslb.geo.location import IPAddress

CLASSIC_PAYLOAD = 512
"""Bytes over UDP for a client that speaks no EDNS (RFC 1035 4.2.1)."""


UNANSWERED_PORTS = frozenset({0, 7, 13, 17, 19, 37, 464})
"""Of services that answer whatever comes (echo, chargen and so on): to answer them is to begin a loop."""


class Asker:
    """The sender of one packet, as far as it is known yet.

    subnet: the client subnet that counts. cookie: the data of the option to send back. known: whether it has
    proved that its address is its own. key: the TSIG key it signed with. brief: whether it is to be told no
    more than it must be.
    """

    __slots__ = ("brief", "cookie", "key", "known", "missed", "signer", "source", "stream", "subnet")

    def __init__(self, source: str, stream: bool, missed: bool = False) -> None:
        """source: the address, as the socket tells it. stream: over TCP, where nobody can pretend.

        missed: whether the compiled loop could not answer it.
        """
        self.source = source.partition("%")[0]
        self.stream = stream
        self.known = stream
        self.missed = missed
        self.subnet: edns.ClientSubnet | None = None
        self.cookie: bytes | None = None
        self.key: str | None = None
        self.brief = False
        self.signer: Signer | None = None

    @property
    def address(self) -> IPAddress:
        return ip_address(self.source)

    @property
    def client(self) -> IPAddress:
        """Whose location decides: that of the client's network if we were told it, else the asker's own."""
        if self.subnet is not None and self.subnet.source_prefix_length:
            return self.subnet.address
        return self.address

    def limit(self, asked: Edns | None, rules: Rules) -> int:
        """The most bytes that a message to it may have."""
        if self.stream:
            return LONGEST_MESSAGE
        if asked is None:
            return CLASSIC_PAYLOAD
        return min(max(asked.payload, CLASSIC_PAYLOAD), rules.settings.udp_payload)

    def introduce(self, asked: Edns, rules: Rules, now: float) -> str | None:
        """Take up what the OPT record says; how its cookie was found: `good`, `bad`, `new`, None without.

        Raises WireError (FORMERR) for an option that is malformed, but not for one that does not count.
        """
        subnet = asked.client_subnet
        trust = rules.trust
        if subnet is not None and (trust.everybody or (not trust.nobody and trust.includes(self.address))):
            self.subnet = edns.read_client_subnet(subnet)
        if asked.cookie is None or rules.cookies is None:
            return None
        checked = rules.cookies.check(asked.cookie, self.address.packed, now)
        self.cookie = checked.option
        self.known = self.known or checked.good
        if checked.good:
            return "good"
        return "bad" if len(asked.cookie) > CLIENT_LENGTH else "new"

    def options(self, asked: Edns, rules: Rules, scope: int, error: ExtendedError | None) -> bytes:
        """The options of the answer. scope: for which the client subnet's answer holds."""
        options = b""
        if self.subnet is not None:
            known = self.subnet.source_prefix_length
            options = edns.client_subnet_option(self.subnet, scope if known else 0)
        if self.cookie is not None:
            options += edns.option(edns.COOKIE, self.cookie)
        if self.brief:
            return options
        if asked.nsid:
            options += rules.nsid
        if asked.tcp_keepalive and self.stream:
            options += rules.keepalive
        if error is not None:
            options += edns.extended_error_option(error)
        return options
