"""A plain DNS client with a client subnet, for the demo's own check and for machines without dig."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Network, IPv6Network, ip_network

import dnslib

from gslb.errors import GslbError
from gslb.fleet import SocketAddress


def ask(server: SocketAddress, name: str, *, subnet: str | None = None, timeout: float = 2.0) -> list[str]:
    """The addresses that `server` answers with for an A question, or the name it refers to; blocking.

    subnet: the client's network, as dig's +subnet. Raises GslbError when no answer comes or it is no success.
    """
    query = dnslib.DNSRecord.question(name, "A")
    options = [dnslib.EDNSOption(8, _client_subnet(ip_network(subnet)))] if subnet else []
    query.add_ar(dnslib.EDNS0(udp_len=1232, opts=options))
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect((server.host, server.port))
        try:
            client.send(query.pack())
            while True:
                answer = dnslib.DNSRecord.parse(client.recv(65535))
                if answer.header.id == query.header.id:
                    break
        except OSError as error:
            raise GslbError(f"{server} does not answer for {name}: {error}") from None
    if answer.header.rcode:
        raise GslbError(f"{server} answers {dnslib.RCODE[answer.header.rcode]} for {name}")
    told = (dnslib.QTYPE.A, dnslib.QTYPE.CNAME)
    return [str(record.rdata) for record in answer.rr if record.rtype in told]


def _client_subnet(network: IPv4Network | IPv6Network) -> bytes:
    """The option's data (RFC 7871 6)."""
    family = 1 if network.version == 4 else 2
    address = network.network_address.packed[: (network.prefixlen + 7) // 8]
    return struct.pack("!HBB", family, network.prefixlen, 0) + address
