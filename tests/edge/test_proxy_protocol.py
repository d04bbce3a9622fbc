"""The PROXY protocol: every legal header is understood, everything else refused in words."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.proxy_protocol import (
    AUTHORITY,
    CRC32C,
    MOST_V1_BYTES,
    MOST_V2_BYTES,
    NEED_DATA,
    SSL,
    ProxyHeader,
    ProxyHeaderReader,
    ProxyProtocolError,
    crc32c,
    write_v1,
    write_v2,
)
from gslb.fleet import SocketAddress

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST_V1 = b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"
CLIENT = SocketAddress("192.0.2.1", 56324)
EDGE = SocketAddress("198.51.100.9", 443)
ADDRESSES = bytes((192, 0, 2, 1, 198, 51, 100, 9)) + struct.pack("!HH", 56324, 443)

ports = st.integers(0, 65535)
pairs = st.one_of(
    *(
        st.tuples(*(st.builds(SocketAddress, st.ip_addresses(v=version).map(str), ports) for _ in range(2)))
        for version in (4, 6)
    )
)


def v2(command: int = 0x21, family: int = 0x11, payload: bytes = ADDRESSES) -> bytes:
    return SIGNATURE + bytes((command, family)) + len(payload).to_bytes(2, "big") + payload


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


def with_checksum(*before: bytes) -> bytes:
    blank = v2(payload=ADDRESSES + b"".join(before) + tlv(CRC32C, bytes(4)))
    return blank[:-4] + crc32c(blank).to_bytes(4, "big")


def read(data: bytes) -> ProxyHeader:
    header = ProxyHeaderReader().receive(data)
    assert isinstance(header, ProxyHeader)
    return header


def outcome(pieces: list[bytes]) -> object:
    reader = ProxyHeaderReader()
    answer: object = NEED_DATA
    for piece in pieces:
        try:
            answer = reader.receive(piece)
        except ProxyProtocolError as error:
            return str(error)
    return answer, reader.rest


def test_version_1_names_both_ends() -> None:
    header = read(b"PROXY TCP4 192.0.2.1 198.51.100.9 56324 443\r\n")
    assert (header.version, header.source, header.destination) == (1, CLIENT, EDGE)
    header = read(b"PROXY TCP6 2001:DB8::1 ::1 0 65535\r\n")
    assert (header.source, header.destination) == (
        SocketAddress("2001:db8::1", 0),
        SocketAddress("::1", 65535),
    )


def test_version_2_names_both_ends() -> None:
    header = read(v2())
    assert (header.version, header.source, header.destination) == (2, CLIENT, EDGE)
    assert header.length == 28


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY UNKNOWN\r\n",
        LONGEST_V1,
        b"PROXY UNKNOWN \xff\n\r\n",
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11),
        v2(0x20, 0xFF, b"whatever"),
        v2(0x21, 0x00, b""),
        v2(0x21, 0x00, b"unknown addresses"),
    ],
)
def test_local_and_unknown_leave_the_connection_its_own_addresses(data: bytes) -> None:
    header = read(data)
    assert (header.source, header.destination, header.tlvs) == (None, None, ())
    assert header.length == len(data)


def test_what_follows_the_header_is_left_to_the_connection() -> None:
    for data in (b"PROXY TCP4 192.0.2.1 198.51.100.9 56324 443\r\n", v2(payload=ADDRESSES + tlv(4, b""))):
        reader = ProxyHeaderReader()
        header = reader.receive(data + b"GET / ")
        assert isinstance(header, ProxyHeader)
        assert (header.length, reader.rest) == (len(data), b"GET / ")
        assert reader.receive(b"HTTP/1.1") is header
        assert reader.rest == b"GET / HTTP/1.1"


def test_version_4_inside_version_6_is_version_4() -> None:
    mapped = bytes(10) + b"\xff\xff" + bytes((192, 0, 2, 1))
    header = read(v2(family=0x21, payload=mapped * 2 + bytes(4)))
    assert header.source == SocketAddress("192.0.2.1", 0)
    assert read(b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n").source == SocketAddress("192.0.2.1", 1)


def test_tlvs_are_kept_raw_and_in_order() -> None:
    header = read(
        v2(payload=ADDRESSES + tlv(AUTHORITY, b"shop.example") + tlv(4, bytes(3)) + tlv(0xEA, b"x"))
    )
    assert header.tlvs == ((AUTHORITY, b"shop.example"), (4, bytes(3)), (0xEA, b"x"))
    assert header.tlv(AUTHORITY) == b"shop.example"
    assert header.tlv(SSL) is None
    assert not header.client_used_tls


@pytest.mark.parametrize(
    ("flags", "used"), [(b"\x01", True), (b"\x07", True), (b"\x06", False), (b"", False)]
)
def test_the_ssl_tlv_tells_whether_the_client_came_over_tls(flags: bytes, used: bool) -> None:
    value = flags + bytes(4) if flags else b""
    assert read(v2(payload=ADDRESSES + tlv(SSL, value))).client_used_tls is used


def test_a_checksum_is_looked_at() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    good = with_checksum(tlv(AUTHORITY, b"shop.example"))
    assert read(good).tlv(AUTHORITY) == b"shop.example"
    for at in range(16, len(good)):
        broken = good[:at] + bytes((good[at] ^ 0x40,)) + good[at + 1 :]
        try:
            header = read(broken)
        except ProxyProtocolError:
            continue
        # Only a broken type or length can make the checksum into something else.
        assert header.tlv(CRC32C) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "something else"),
        (b"\x16\x03\x01", "something else"),
        (b"proxy TCP4", "something else"),
        (b"PROXY\t", "something else"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n" + b" " * MOST_V1_BYTES, "does not end"),
        (b"PROXY " + b"x" * MOST_V1_BYTES, "does not end"),
        (b"PROXY UNKNOWN" + b"x" * 94 + b"\r\n", "does not end"),
        (b"PROXY \r\n", "family"),
        (b"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", "family"),
        (b"PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", "family"),
        (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", "family"),
        (b"PROXY UNKNOWNS\r\n", "family"),
        (b"PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "family"),
        (b"PROXY TCP4\r\n", "six words"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "six words"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", "six words"),
        (b"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", "six words"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", "six words"),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", "address"),
        (b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "address"),
        (b"PROXY TCP4 1.2.3.4 ::1 1 2\r\n", "address"),
        (b"PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", "address"),
        (b"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", "address"),
        (b"PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n", "address"),
        (b"PROXY TCP4 \xb2.2.3.4 5.6.7.8 1 2\r\n", "address"),
        (b"PROXY TCP6 fe80::1%lo ::1 1 2\r\n", "address"),
        (b"PROXY TCP6 [::1] ::1 1 2\r\n", "address"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", "port"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", "port"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", "port"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n\r\n", "port"),
        (v2(0x11), "version"),
        (v2(0x01), "version"),
        (v2(0x31), "version"),
        (v2(0x22), "version"),
        (v2(0x2F), "version"),
        (v2(family=0x12), "UDP over IPv4"),
        (v2(family=0x22, payload=bytes(36)), "UDP over IPv6"),
        (v2(family=0x31, payload=bytes(216)), "UNIX"),
        (v2(family=0x32, payload=bytes(216)), "UNIX"),
        (v2(family=0x10), "family"),
        (v2(family=0x01), "family"),
        (v2(family=0x13), "family"),
        (v2(family=0x41), "family"),
        (v2(payload=ADDRESSES[:-1]), "too short"),
        (v2(payload=b""), "too short"),
        (v2(family=0x21, payload=bytes(35)), "too short"),
        (v2(payload=bytes(4097)), "longer than"),
        (v2(payload=ADDRESSES + b"\x04"), "cut short"),
        (v2(payload=ADDRESSES + b"\x04\x00"), "cut short"),
        (v2(payload=ADDRESSES + b"\x04\x00\x02x"), "cut short"),
        (v2(payload=ADDRESSES + tlv(CRC32C, bytes(4))), "checksum"),
        (v2(payload=ADDRESSES + tlv(CRC32C, b"")), "checksum"),
        (v2(payload=ADDRESSES + tlv(CRC32C, bytes(5))), "checksum"),
    ],
)
def test_what_the_specification_forbids_is_refused_with_the_reason(data: bytes, why: str) -> None:
    with pytest.raises(ProxyProtocolError, match=why):
        read(data)
    assert outcome([data[at : at + 1] for at in range(len(data))]) == outcome([data])


def test_a_connection_that_cannot_begin_so_is_refused_at_its_first_byte() -> None:
    assert ProxyHeaderReader().receive(b"") is NEED_DATA
    assert ProxyHeaderReader().receive(b"P") is NEED_DATA
    assert ProxyHeaderReader().receive(b"\r") is NEED_DATA
    with pytest.raises(ProxyProtocolError):
        ProxyHeaderReader().receive(b"G")


def test_the_largest_headers_fit() -> None:
    line = b"PROXY UNKNOWN " + b"x" * (MOST_V1_BYTES - 16) + b"\r\n"
    assert read(line).length == MOST_V1_BYTES
    block = v2(payload=ADDRESSES + tlv(4, bytes(4096 - len(ADDRESSES) - 3)))
    assert read(block).length == MOST_V2_BYTES


@given(
    st.one_of(
        st.binary(max_size=60),
        st.binary(max_size=60).map(lambda data: b"PROXY TCP4 " + data + b"\r\n"),
        st.builds(
            v2, st.sampled_from([0x20, 0x21]), st.sampled_from([0, 0x11, 0x21]), st.binary(max_size=80)
        ),
        pairs.map(lambda pair: write_v1(*pair) + b"GET"),
        pairs.map(lambda pair: write_v2(*pair) + b"GET"),
    ),
    st.lists(st.integers(0, 120), max_size=5),
)
def test_any_split_of_the_bytes_gives_the_same(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert outcome([data[start:end] for start, end in pairwise(edges)]) == outcome([data])


@given(pairs)
def test_what_is_written_is_read_again(pair: tuple[SocketAddress, SocketAddress]) -> None:
    one, two = read(write_v1(*pair)), read(write_v2(*pair))
    assert (one.source, one.destination) == (two.source, two.destination)
    assert (one.source.port, one.destination.port) == (pair[0].port, pair[1].port) if one.source else False
    assert one.length == len(write_v1(*pair)) <= MOST_V1_BYTES


def test_what_is_written_is_what_the_specification_shows() -> None:
    assert write_v1(CLIENT, EDGE) == b"PROXY TCP4 192.0.2.1 198.51.100.9 56324 443\r\n"
    assert write_v2(CLIENT, EDGE) == v2()
    assert write_v1(None, None) == b"PROXY UNKNOWN\r\n"
    assert write_v2(None, EDGE) == v2(0x20, 0x00, b"")


def test_ends_of_different_families_are_written_in_the_larger_one() -> None:
    six = SocketAddress("fe80::1%eth0", 80)
    for data in (write_v1(CLIENT, six), write_v2(CLIENT, six)):
        header = read(data)
        assert (header.source, header.destination) == (CLIENT, SocketAddress("fe80::1", 80))


def test_a_host_that_is_a_name_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="web"):
        write_v1(SocketAddress("web", 1), EDGE)
