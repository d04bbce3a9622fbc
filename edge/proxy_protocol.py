"""The PROXY protocol, versions 1 and 2: who is at the other end of a connection that a proxy passed on.

Bytes in, a header out, and no I/O: haproxy's proxy-protocol.txt is the specification, its sections are named
where they decide. The reader never takes more than the header: what follows it belongs to the connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from gslb.errors import GslbError
from gslb.fleet import SocketAddress

MOST_V1_BYTES = 107  # 2.1: the longest line that can be, its end included
MOST_V2_BYTES = 16 + 4096  # a fixed part, then addresses and TLVs; real ones have a few hundred
AUTHORITY, CRC32C, SSL = 0x02, 0x03, 0x20  # types of TLVs, 2.2

_V1_START: Final = b"PROXY "
_V2_START: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED = 16
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6 = 0x00, 0x11, 0x21
_ADDRESS_BYTES = {_TCP4: 4, _TCP6: 16}
_NOT_SERVED = {0x12: "UDP over IPv4", 0x22: "UDP over IPv6", 0x31: "UNIX streams", 0x32: "UNIX datagrams"}
_V1_FAMILIES: dict[bytes, type[IPv4Address] | type[IPv6Address]] = {
    b"TCP4": IPv4Address,
    b"TCP6": IPv6Address,
}
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
_CLIENT_SSL = 0x01  # in the first byte of the SSL TLV: the client came over TLS


class ProxyProtocolError(GslbError):
    """A connection does not begin with a PROXY header that can be used; close it."""

    def __init__(self, message: str) -> None:
        super().__init__(
            f"the PROXY header is refused: {message}",
            hint="does this proxy speak the PROXY protocol, over TCP, to this listener?",
        )


class _Need(Enum):
    DATA = "more bytes"


NEED_DATA: Final = _Need.DATA
"""The header is not complete."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a header says. source, destination: of the client's connection to the proxy; an IPv4 address
    written inside IPv6 is IPv4. None: the connection's own addresses count (LOCAL, UNKNOWN).

    version: 1 or 2. tlvs: type and value, in order. length: bytes of the header itself.
    """

    version: int
    source: SocketAddress | None
    destination: SocketAddress | None
    tlvs: tuple[tuple[int, bytes], ...]
    length: int

    def tlv(self, kind: int) -> bytes | None:
        """The value of the first TLV of this type."""
        return next((value for found, value in self.tlvs if found == kind), None)

    @property
    def client_used_tls(self) -> bool:
        """Whether the proxy says that the client came over TLS (2.2.6)."""
        value = self.tlv(SSL)
        return bool(value and value[0] & _CLIENT_SSL)


class ProxyHeaderReader:
    """Reads the header at the start of one connection. Any split of the bytes gives the same.

    After the header, `rest` is what came behind it. Who must not take that (TLS follows) can peek at a
    socket, show what it sees to a new reader, and then take `length` bytes.
    """

    __slots__ = ("_data", "_header")

    def __init__(self) -> None:
        self._data = b""
        self._header: ProxyHeader | None = None

    def receive(self, data: bytes) -> ProxyHeader | _Need:
        """Take more bytes; the header once it is complete, else NEED_DATA. Raises ProxyProtocolError."""
        self._data += data
        if self._header is None:
            self._header = _read(self._data)
        return self._header or NEED_DATA

    @property
    def rest(self) -> bytes:
        """What came after the header; b"" before it is complete."""
        return b"" if self._header is None else self._data[self._header.length :]


def _read(data: bytes) -> ProxyHeader | None:
    if data.startswith(_V1_START):
        return _read_v1(data)
    if data.startswith(_V2_START):
        return _read_v2(data)
    if _V1_START.startswith(data) or _V2_START.startswith(data):
        return None
    raise ProxyProtocolError("the connection begins with something else")


def _read_v1(data: bytes) -> ProxyHeader | None:
    """2.1: one line of ASCII, of which nothing may be left out or added."""
    end = data.find(b"\r\n", 0, MOST_V1_BYTES)
    if end < 0:
        if len(data) >= MOST_V1_BYTES:
            raise ProxyProtocolError(f"its line does not end within {MOST_V1_BYTES} bytes")
        return None
    words = data[:end].split(b" ")
    length = end + 2
    if words[1] == b"UNKNOWN":
        return ProxyHeader(1, None, None, (), length)
    family = _V1_FAMILIES.get(words[1])
    if family is None:
        raise ProxyProtocolError("its family is not TCP4, TCP6 or UNKNOWN")
    if len(words) != 6:
        raise ProxyProtocolError("its line does not have six words with one space between them")
    source, destination = (_v1_address(word, family) for word in words[2:4])
    ports = [_v1_port(word) for word in words[4:]]
    return ProxyHeader(1, _endpoint(source, ports[0]), _endpoint(destination, ports[1]), (), length)


def _v1_address(word: bytes, family: type[IPv4Address] | type[IPv6Address]) -> IPv4Address | IPv6Address:
    try:
        if b"%" in word:
            raise ValueError("a zone says nothing on another host")
        return family(word.decode("ascii"))
    except ValueError:
        raise ProxyProtocolError("an address is not one of its family") from None


def _v1_port(word: bytes) -> int:
    if not _PORT.fullmatch(word) or int(word) > 65535:
        raise ProxyProtocolError("a port is not a number from 0 to 65535")
    return int(word)


def _read_v2(data: bytes) -> ProxyHeader | None:
    """2.2: a binary block that tells its own length."""
    if len(data) < _V2_FIXED:
        return None
    command, family = data[12], data[13]
    length = _V2_FIXED + int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise ProxyProtocolError("its version is not 2, or its command neither LOCAL nor PROXY")
    if length > MOST_V2_BYTES:
        raise ProxyProtocolError(f"it is longer than {MOST_V2_BYTES} bytes")
    size = 0
    if command == _PROXY and family != _UNSPECIFIED:
        size = _ADDRESS_BYTES.get(family, 0)
        if not size:
            raise ProxyProtocolError(f"{_NOT_SERVED.get(family, 'its family')} is not served here")
        if length < _V2_FIXED + 2 * size + 4:
            raise ProxyProtocolError("it is too short for its addresses")
    if len(data) < length:
        return None
    if not size:
        # What else such a block holds is to be skipped: it may be addresses of a family nobody knows.
        return ProxyHeader(2, None, None, (), length)
    header = data[:length]
    ports = _V2_FIXED + 2 * size
    return ProxyHeader(
        2,
        _v2_endpoint(header[_V2_FIXED : _V2_FIXED + size], header[ports : ports + 2]),
        _v2_endpoint(header[_V2_FIXED + size : ports], header[ports + 2 : ports + 4]),
        _tlvs(header, ports + 4),
        length,
    )


def _v2_endpoint(address: bytes, port: bytes) -> SocketAddress:
    return _endpoint(ip_address(address), int.from_bytes(port, "big"))


def _endpoint(address: IPv4Address | IPv6Address, port: int) -> SocketAddress:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return SocketAddress(str(mapped or address), port)


def _tlvs(header: bytes, at: int) -> tuple[tuple[int, bytes], ...]:
    """The TLVs from `at` to the end; a checksum among them must be right (2.2.3)."""
    found: list[tuple[int, bytes]] = []
    while at < len(header):
        end = at + 3 + int.from_bytes(header[at + 1 : at + 3], "big")
        if at + 3 > len(header) or end > len(header):
            raise ProxyProtocolError("its last TLV is cut short")
        kind, value = header[at], header[at + 3 : end]
        if kind == CRC32C:
            blank = header[: at + 3] + bytes(len(value)) + header[end:]
            if len(value) != 4 or int.from_bytes(value, "big") != crc32c(blank):
                raise ProxyProtocolError("its checksum is wrong")
        found.append((kind, value))
        at = end
    return tuple(found)


def _crc32c_table() -> tuple[int, ...]:
    table: list[int] = []
    for byte in range(256):
        remainder = byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
        table.append(remainder)
    return tuple(table)


_CRC32C_TABLE = _crc32c_table()


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum (RFC 4960, appendix B)."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder = remainder >> 8 ^ _CRC32C_TABLE[(remainder ^ byte) & 0xFF]
    return remainder ^ 0xFFFFFFFF


def _alike(
    source: SocketAddress, destination: SocketAddress
) -> tuple[IPv4Address, ...] | tuple[IPv6Address, ...]:
    """Both addresses in one family; zones say nothing on another host. Raises ValueError for a name."""
    pair = [ip_address(each.host.partition("%")[0]) for each in (source, destination)]
    fours = tuple(each for each in pair if isinstance(each, IPv4Address))
    if len(fours) == 2:
        return fours
    return tuple(
        each if isinstance(each, IPv6Address) else IPv6Address(0xFFFF << 32 | int(each)) for each in pair
    )


def write_v1(source: SocketAddress | None, destination: SocketAddress | None) -> bytes:
    """A header of version 1 for a connection to a server. None: the connection speaks for itself (UNKNOWN).

    Raises ValueError if a host is not an address.
    """
    if source is None or destination is None:
        return b"PROXY UNKNOWN\r\n"
    pair = _alike(source, destination)
    line = f"PROXY TCP{pair[0].version} {pair[0]} {pair[1]} {source.port} {destination.port}\r\n"
    return line.encode("ascii")


def write_v2(source: SocketAddress | None, destination: SocketAddress | None) -> bytes:
    """The same of version 2; None makes it LOCAL, as the edge's own probes are."""
    if source is None or destination is None:
        return _V2_START + bytes((_LOCAL, _UNSPECIFIED, 0, 0))
    pair = _alike(source, destination)
    addresses = pair[0].packed + pair[1].packed
    ports = source.port.to_bytes(2, "big") + destination.port.to_bytes(2, "big")
    family = _TCP4 if pair[0].version == 4 else _TCP6
    length = len(addresses) + len(ports)
    return _V2_START + bytes((_PROXY, family)) + length.to_bytes(2, "big") + addresses + ports
