"""Who is the client behind a chain of proxies, as far as trusted ones vouch for it?

Each proxy writes whom it was asked by, so a chain is read from its end: what the peer wrote counts if the
peer is trusted, what the one before it wrote if that one is trusted too, and so on. Whatever stands left of
the first untrusted address anybody may have made up. Pure functions; what they read may be any bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from gslb.geo.location import IPNetwork
from gslb.geo.prefixes import Prefixes

Fields = Sequence[tuple[bytes, bytes]]

MOST_HOPS = 32  # a chain is read this far; whoever writes longer ones wants something else
_MOST_NODE_BYTES = 64  # an address with zone, brackets and port; longer words are not kept in the cache
_MOST_CLAIM_BYTES = 300  # a host name has 255 at most, and its port 6
_MOST_COMMAS = 8  # in quotes, in one element of Forwarded

_V4_NODE = re.compile(rb"([0-9.]+)(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
_BRACKETED_NODE = re.compile(rb"\[([0-9A-Fa-f:.]+)(?:%[^\]]*)?\](?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
_V6_NODE = re.compile(rb"([0-9A-Fa-f:.]+)(?:%[A-Za-z0-9._~-]*)?")
# RFC 7239 4. Addresses with ports often come without the quotes they need, so those are not insisted on.
_PAIR = re.compile(
    rb"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:([!#$%&'*+.^_`|~0-9A-Za-z:\[\]-]+)"
    rb'|"((?:[^"\\]|\\.)*+)")[ \t]*(?:;|\Z)',
    re.DOTALL,
)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SCHEMES = {b"http": "http", b"https": "https"}
_MAPPED = IPv6Network("::ffff:0:0/96")


class TrustedProxies:
    """The networks whose word counts; false when there are none."""

    __slots__ = ("_any", "_four", "_six", "has")

    def __init__(self, networks: Iterable[IPNetwork]) -> None:
        plain = [_unmapped(network) for network in networks]
        self._any = bool(plain)
        self._four = Prefixes(4, plain)
        self._six = Prefixes(6, plain)
        self.has = lru_cache(4096)(self._has)
        """has(address: str) -> bool; what is no address is trusted by nobody."""

    def __bool__(self) -> bool:
        return self._any

    def _has(self, address: str) -> bool:
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, IPv6Address):
            found = found.ipv4_mapped or found
        prefixes = self._four if found.version == 4 else self._six
        return prefixes.find(int(found))[0] is not None


def _unmapped(network: IPNetwork) -> IPNetwork:
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


@dataclass(frozen=True, slots=True)
class Origin:
    """The client as far as trusted proxies vouch for it, and what it asked the first of them for.

    address: canonical text. scheme: "http" or "https". host: what it named, with a port if it did; None:
    nobody trusted said so, and the Host field counts. port: where it asked, None likewise.
    hops: the addresses from the client to the peer, both included; one if nobody is in between.
    """

    address: str
    scheme: str
    host: bytes | None
    port: int | None
    hops: tuple[str, ...]


def client_of(peer: str, scheme: str, fields: Fields, trusted: TrustedProxies) -> Origin:
    """Who sent a request that came from `peer` with these fields, over `scheme`. Never raises.

    peer: an address as text; the PROXY header's source, if there was one. X-Forwarded-For comes first and
    Forwarded counts where that is missing, so a trusted proxy must write X-Forwarded-For or remove what
    clients send of it. An entry that is no address ends the walk at the proxy that wrote it.
    """
    if not trusted or not trusted.has(peer):
        return Origin(peer, scheme, None, None, (peer,))
    lists: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        name = name.lower()
        if name in _CLAIMS:
            lists.setdefault(name, []).append(value)
    chain = lists.get(b"x-forwarded-for")
    if chain is not None:
        hops, depth = _walk(peer, map(address_of, _from_right(chain)), trusted)
        claims = [_at_depth(lists.get(name), depth) for name in _ALONGSIDE]
    elif forwarded := lists.get(b"forwarded"):
        elements: list[dict[bytes, bytes]] = []
        hops, depth = _walk(peer, _nodes(forwarded, elements), trusted)
        last = elements[-1] if elements else {}
        claims = [last.get(b"proto", b""), last.get(b"host", b""), b""]
    else:
        hops = (peer,)
        claims = [_at_depth(lists.get(name), 1) for name in _ALONGSIDE]
    # Whatever is longer is no host or scheme, and would only crowd the cache.
    proto, host, port = (claim if len(claim) <= _MOST_CLAIM_BYTES else b"" for claim in claims)
    return _origin(hops, scheme, proto, host, port)


_ALONGSIDE = (b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port")
_CLAIMS = frozenset((b"x-forwarded-for", b"forwarded", *_ALONGSIDE))


def _walk(peer: str, nodes: Iterator[str | None], trusted: TrustedProxies) -> tuple[tuple[str, ...], int]:
    """The hops, client first, and how many entries that trusted proxies wrote were looked at (at least 1)."""
    hops = [peer]
    depth = 0
    while depth < MOST_HOPS and trusted.has(hops[-1]):
        node = next(nodes, None)
        depth += 1
        if node is None:
            break
        hops.append(node)
    return tuple(reversed(hops)), depth


@lru_cache(1024)
def _origin(hops: tuple[str, ...], scheme: str, proto: bytes, host: bytes, port: bytes) -> Origin:
    told_scheme = _SCHEMES.get(proto.lower())
    named = _HOST.fullmatch(host)
    told_port = _port(port)
    if told_port is None and named is not None:
        told_port = _port(named[1] or b"")
    if told_port is None and (told_scheme or named):
        told_port = 443 if (told_scheme or scheme) == "https" else 80
    return Origin(hops[0], told_scheme or scheme, host if named else None, told_port, hops)


def _port(digits: bytes) -> int | None:
    number = int(digits) if digits.isdigit() and len(digits) <= 5 else 0
    return number if 0 < number <= 65535 else None


def _from_right(lines: Sequence[bytes]) -> Iterator[bytes]:
    """The entries of a comma-separated list over several lines, the last one first."""
    for line in reversed(lines):
        rest, comma = line, b","
        while comma:
            rest, comma, entry = rest.rpartition(b",")
            yield entry.strip(b" \t")


def _at_depth(lines: Sequence[bytes] | None, depth: int) -> bytes:
    """The entry that belongs to the hop at `depth` from the right.

    Proxies that do not append but write one value mean the client's, so a shorter list's first entry counts.
    """
    if not lines:
        return b""
    if len(lines) == 1 and b"," not in lines[0]:
        return lines[0].strip(b" \t")
    value = b""
    for at, entry in enumerate(_from_right(lines)):
        if at == depth:
            break
        value = entry
    return value


def address_of(node: bytes) -> str | None:
    """The address in an entry of X-Forwarded-For or a `for` of Forwarded, as canonical text, else None.

    Ports and zones are dropped; brackets and quotes may be there; IPv4 inside IPv6 is IPv4.
    """
    return _address_of(node) if len(node) <= _MOST_NODE_BYTES else None


@lru_cache(4096)
def _address_of(node: bytes) -> str | None:
    if len(node) > 1 and node[:1] == node[-1:] == b'"':
        node = node[1:-1]
    for pattern in (_V4_NODE, _BRACKETED_NODE, _V6_NODE):
        if found := pattern.fullmatch(node):
            try:
                address = ip_address(found[1].decode("ascii"))
            except ValueError:
                return None
            if pattern is _BRACKETED_NODE and address.version == 4:
                return None
            mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
            return str(mapped or address)
    return None


def _nodes(lines: Sequence[bytes], elements: list[dict[bytes, bytes]]) -> Iterator[str | None]:
    """The `for` of each element of Forwarded, the last one first; `elements` gets what each says."""
    for line in reversed(lines):
        for element in _elements_from_right(line):
            elements.append(element)
            yield address_of(element[b"for"]) if b"for" in element else None


def _elements_from_right(line: bytes) -> Iterator[dict[bytes, bytes]]:
    """RFC 7239 4, read from the right, so that a quote left open by a client hides nothing written after it.

    That is sound: what begins inside a quoted string of a well-formed element has an odd number of quotes
    that are not escaped, which no well-formed element has, so no comma in a string is taken for the end of
    an element. A broken element is empty, and the last one that is looked at.
    """
    rest: bytes = line
    comma = b","
    while comma:
        rest, comma, tail = rest.rpartition(b",")
        element = _element(tail)
        commas = 0
        while element is None and comma and commas < _MOST_COMMAS:
            rest, comma, more = rest.rpartition(b",")
            tail = more + b"," + tail
            element = _element(tail)
            commas += 1
        yield element or {}
        if element is None:
            return


def _element(text: bytes) -> dict[bytes, bytes] | None:
    """The pairs of one element, names in lower case; None if it is not well-formed."""
    text = text.strip(b" \t")
    pairs: dict[bytes, bytes] = {}
    at = 0
    while at < len(text):
        found = _PAIR.match(text, at)
        if found is None or found[1].lower() in pairs:
            return None
        pairs[found[1].lower()] = found[2] if found[2] is not None else _ESCAPED.sub(rb"\1", found[3])
        at = found.end()
    return pairs or None


def node_text(address: str) -> bytes:
    """An address as Forwarded wants it: IPv6 in brackets and quotes; `unknown` for none (RFC 7239 6)."""
    if not address:
        return b"unknown"
    plain = address.partition("%")[0].encode("latin-1", "replace")
    return b'"[%b]"' % plain if b":" in plain else plain


class Introduction:
    """Tells servers who the client is, in the fields they know. One per connection; cheap without proxies.

    peer, scheme, port: of the connection as it came, or as its PROXY header says; port is where the client
    connected to.
    """

    __slots__ = ("_host", "_lines", "_origin", "_peer", "_port", "_scheme", "_trusted", "peer_is_trusted")

    def __init__(self, peer: str, scheme: str, port: int, trusted: TrustedProxies) -> None:
        self._peer = peer
        self._scheme = scheme
        self._port = port
        self._trusted = trusted
        self._origin = Origin(peer, scheme, None, None, (peer,))
        self.peer_is_trusted = bool(trusted) and trusted.has(peer)
        # The lines of the request before, which the next one mostly shares.
        self._host: bytes | None = None
        self._lines = b""

    def origin(self, fields: Fields) -> Origin:
        """Who sent a request with these fields: see client_of."""
        if not self.peer_is_trusted:
            return self._origin
        return client_of(self._peer, self._scheme, fields, self._trusted)

    def lines(self, origin: Origin, host: bytes, fields: Fields) -> bytes:
        """The fields for the server, each with its line end. host: the request's own, checked; may be b"".

        A trusted peer's X-Forwarded-For is continued, anybody else's replaced. Forwarded is always written
        anew, from the hops that were vouched for.
        """
        if not self.peer_is_trusted:
            if host != self._host:
                self._host, self._lines = host, self._written(origin, host, self._peer.encode("latin-1"))
            return self._lines
        values = (value.strip(b" \t") for name, value in fields if name.lower() == b"x-forwarded-for")
        earlier = [value for value in values if value]
        chain = b", ".join((*earlier, self._peer.encode("latin-1")))
        return self._written(origin, host, chain)

    def _written(self, origin: Origin, host: bytes, chain: bytes) -> bytes:
        host = origin.host or host
        scheme = origin.scheme.encode("latin-1")
        parts = [
            b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Port: %d\r\nX-Real-IP: %b\r\n"
            % (chain, scheme, origin.port or self._port, origin.address.encode("latin-1")),
            b"X-Forwarded-Host: %b\r\n" % host if host else b"",
            b"Forwarded: for=%b;proto=%b" % (node_text(origin.address), scheme),
        ]
        if host:
            parts.append(b";host=%b" % (host if _TOKEN.fullmatch(host) else _quoted(host)))
        parts += [b", for=%b" % node_text(hop) for hop in origin.hops[1:]]
        parts.append(b"\r\n")
        return b"".join(parts)


def _quoted(value: bytes) -> bytes:
    return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
