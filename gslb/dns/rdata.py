"""Record data from zone-file words: readers of our own for common types, dnspython's for the others."""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.wire
import dnslib
from dnslib.label import DNSBuffer

from gslb.dns.name import ROOT, Name, escaped_octet, from_labels, from_text, labels_of, to_text
from gslb.dns.zone_words import Word

RecordData = Any
"""An object of dnslib's RD family; it packs itself."""

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, DNAME, OPT, DS = 1, 2, 5, 6, 12, 15, 16, 28, 33, 39, 41, 43
RRSIG, NSEC, DNSKEY, NSEC3, NSEC3PARAM, ANY, CAA, HINFO = 46, 47, 48, 50, 51, 255, 257, 13
IXFR, AXFR = 251, 252


class AddressData:
    """Data of A and AAAA records, made of an address; dnslib's takes twenty times as long to make."""

    __slots__ = ("_address", "packed")

    def __init__(self, address: IPv4Address | IPv6Address) -> None:
        self._address = address
        self.packed = address.packed

    def pack(self, buffer: DNSBuffer) -> None:
        """As every record's data can."""
        buffer.append(self.packed)

    def toZone(self) -> str:  # noqa: N802
        """In presentation format."""
        return str(self._address)


Reader = Callable[[Sequence[str], Name], RecordData]

_LONGEST_DATA = 65535
_MOST_DIGITS = 10

_DIGITS = "0123456789"
_TIME_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Presented(dnslib.RD):  # type: ignore[misc]
    """Data packed as it is, without compression (RFC 3597 4), that knows how it reads."""

    def __init__(self, data: bytes, text: str) -> None:
        super().__init__(data)
        self._text = text

    def __repr__(self) -> str:
        return self._text


class UncompressedDname(dnslib.DNAME):  # type: ignore[misc]
    """DNAME data, whose target must not be compressed (RFC 6672 2.5)."""

    def pack(self, buffer: DNSBuffer) -> None:
        buffer.encode_name_nocompress(self.label)


class _Uncompressed(dns.wire.Parser):
    """Reads data in which no name may be compressed: there is no packet that a pointer could lead into."""

    def get_name(self, origin: dns.name.Name | None = None, decompress: bool = False) -> dns.name.Name:
        start = self.current
        name = dns.name.from_wire_parser(self)
        # A pointer takes two bytes, what it stands for never exactly as many.
        if self.current - start != len(name.to_wire() or b""):
            raise ValueError("they hold a compressed name (RFC 3597 4)")
        return name


@lru_cache(maxsize=1024)
def type_number(word: str) -> int | None:
    """`MX` or `TYPE15` to 15; None when it names no type that can stand in a zone."""
    try:
        number = dns.rdatatype.from_text(word)
    except (dns.rdatatype.UnknownRdatatype, ValueError):
        return None
    return None if not number or dns.rdatatype.is_metatype(number) else int(number)


def type_text(number: int) -> str:
    """15 to `MX`; what has no name is written as `TYPE65280` (RFC 3597 5)."""
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(number))


def time_to_live(word: str) -> int:
    """`3600`, `1h` or `1h30m` to seconds (0 to 2^31 - 1, RFC 2181 8); raises ValueError."""
    total, digits = 0, ""
    for character in word.lower():
        if character in _DIGITS and len(digits) < _MOST_DIGITS:
            digits += character
        elif character in _TIME_UNITS and digits:
            total += int(digits) * _TIME_UNITS[character]
            digits = ""
        else:
            raise ValueError(f"{word!r} is not a time: write seconds, or like 1h30m")
    total += int(digits) if digits else 0
    if not word or total >= 2**31:
        raise ValueError(f"{word!r} is not a time between 0 and {2**31 - 1} seconds")
    return total


def read(rtype: int, words: Sequence[Word], origin: Name) -> RecordData:
    """Record data of type `rtype` from its words; raises ValueError with a sentence about what is wrong."""
    texts = [word.text for word in words]
    if texts[:1] == ["\\#"] and not words[0].quoted:
        return _generic(rtype, texts)
    reader = _READERS.get(rtype)
    if reader is not None:
        return reader(texts, origin)
    if type_text(rtype).startswith("TYPE"):
        raise ValueError(f"{type_text(rtype)} data must be written in the \\# form of RFC 3597")
    try:
        relative_to = dns.name.from_text(to_text(origin))
        line = " ".join(word.presented() for word in words)
        data = dns.rdata.from_text("IN", type_text(rtype), line, relative_to, relativize=False)
        wire = data.to_wire() or b""
    except (dns.exception.DNSException, ValueError, NotImplementedError, struct.error) as error:
        raise ValueError(f"this is not valid {type_text(rtype)} data: {error}") from error
    if len(wire) > _LONGEST_DATA:
        raise ValueError(f"the data is longer than {_LONGEST_DATA} bytes")
    return Presented(wire, data.to_text())


def target(rtype: int, data: RecordData) -> Name | None:
    """The name, in lower case, that NS, CNAME, DNAME, MX or SRV data leads to; None for other types."""
    if rtype in (NS, CNAME, DNAME, MX):
        return from_labels(data.label.label).lower()
    return from_labels(data.target.label).lower() if rtype == SRV else None


def identity(data: RecordData) -> Hashable:
    """What is equal for equal record data, names in any case (RFC 4343)."""
    parts = (getattr(data, name) for name in data.attrs)
    return (type(data), *(tuple(part) if isinstance(part, list) else part for part in parts))


def _dnslib_name(name: Name) -> dnslib.DNSLabel:
    return dnslib.DNSLabel(labels_of(name))


def _expect(words: Sequence[str], count: int, form: str) -> None:
    if len(words) != count:
        raise ValueError(f"expected {form}, found {len(words)} word{'' if len(words) == 1 else 's'}")


def _number(word: str, bits: int, what: str) -> int:
    digits = word.isascii() and word.isdigit() and len(word) <= _MOST_DIGITS
    if not digits or int(word) >= 2**bits:
        raise ValueError(f"{what} must be a number from 0 to {2**bits - 1}, not {word!r}")
    return int(word)


def _target(word: str, origin: Name) -> dnslib.DNSLabel:
    return _dnslib_name(from_text(word, origin))


def _generic(rtype: int, words: Sequence[str]) -> RecordData:
    """RFC 3597 5: `\\# length hex…`; a type that we know becomes what it is in its own form."""
    if len(words) < 2:
        raise ValueError("expected \\# LENGTH HEX")
    length = _number(words[1], 16, "the length")
    try:
        wire = binascii.unhexlify("".join(words[2:]))
    except (binascii.Error, ValueError):
        raise ValueError("the data after \\# is not hexadecimal") from None
    if len(wire) != length:
        raise ValueError(f"\\# says {length} bytes, but {len(wire)} follow")
    try:
        known = dns.rdatatype.RdataType.make(rtype)
        parser = _Uncompressed(wire)
        with parser.restrict_to(length):  # which raises if anything is left over
            data: Any = dns.rdata.from_wire_parser(dns.rdataclass.IN, known, parser)
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"the bytes after \\# are not {type_text(rtype)} data: {error}") from error
    if rtype == TXT:
        return dnslib.TXT(list(data.strings))
    if rtype not in _READERS or rtype == CAA:
        return Presented(wire, data.to_text())
    return _READERS[rtype](data.to_text().split(), ROOT)


def _a(words: Sequence[str], origin: Name) -> RecordData:
    _expect(words, 1, "one IPv4 address")
    return dnslib.A(tuple(IPv4Address(words[0]).packed))


def _aaaa(words: Sequence[str], origin: Name) -> RecordData:
    _expect(words, 1, "one IPv6 address")
    return dnslib.AAAA(tuple(IPv6Address(words[0]).packed))


def _one_name(factory: Callable[[dnslib.DNSLabel], RecordData]) -> Reader:
    def reader(words: Sequence[str], origin: Name) -> RecordData:
        _expect(words, 1, "one name")
        return factory(_target(words[0], origin))

    return reader


def _mx(words: Sequence[str], origin: Name) -> RecordData:
    _expect(words, 2, "PREFERENCE NAME")
    return dnslib.MX(_target(words[1], origin), _number(words[0], 16, "the preference"))


def _srv(words: Sequence[str], origin: Name) -> RecordData:
    _expect(words, 4, "PRIORITY WEIGHT PORT NAME")
    numbers = [
        _number(word, 16, f"the {what}")
        for word, what in zip(words, ("priority", "weight", "port"), strict=False)
    ]
    return dnslib.SRV(*numbers, _target(words[3], origin))


def _soa(words: Sequence[str], origin: Name) -> RecordData:
    _expect(words, 7, "MNAME RNAME SERIAL REFRESH RETRY EXPIRE MINIMUM")
    serial = _number(words[2], 32, "the serial")
    times = [time_to_live(word) for word in words[3:]]
    return dnslib.SOA(_target(words[0], origin), _target(words[1], origin), (serial, *times))


def _txt(words: Sequence[str], origin: Name) -> RecordData:
    if not words:
        raise ValueError("expected at least one string")
    strings = [string_bytes(word) for word in words]
    for string in strings:
        if len(string) > 255:
            raise ValueError(f"a string is {len(string)} bytes long; split it: 255 is the limit")
    if sum(1 + len(string) for string in strings) > 65535:
        raise ValueError("the strings are longer than 65535 bytes together")
    return dnslib.TXT(strings)


def string_bytes(word: str) -> bytes:
    """The bytes of a character-string whose escapes the zone-file reader kept (RFC 1035 5.1)."""
    out = bytearray()
    position = 0
    while position < len(word):
        if word[position] == "\\":
            octet, position = escaped_octet(word, position + 1)
            out.append(octet)
        else:
            out += word[position].encode()
            position += 1
    return bytes(out)


def _caa(words: Sequence[str], origin: Name) -> RecordData:
    """RFC 8659 4.1."""
    _expect(words, 3, "FLAGS TAG VALUE")
    flags = _number(words[0], 8, "the flags")
    tag = words[1].encode()
    if not (tag.isalnum() and len(tag) < 256):
        raise ValueError(f"the tag must be letters and digits, not {words[1]!r}")
    value = string_bytes(words[2])
    escaped = words[2].replace('"', '\\"') if '\\"' not in words[2] else words[2]
    return Presented(bytes((flags, len(tag))) + tag + value, f'{flags} {words[1]} "{escaped}"')


_READERS: Mapping[int, Reader] = {
    A: _a,
    AAAA: _aaaa,
    NS: _one_name(dnslib.NS),
    CNAME: _one_name(dnslib.CNAME),
    PTR: _one_name(dnslib.PTR),
    DNAME: _one_name(UncompressedDname),
    MX: _mx,
    SRV: _srv,
    SOA: _soa,
    TXT: _txt,
    CAA: _caa,
}
