"""What a certificate says of its names and its end is read exactly, or not at all."""

from __future__ import annotations

import binascii
import contextlib
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from edge.tls.certificate import CertificateFacts, DerError, certificate_facts

AUTHORITY = trustme.CA()


def der_of(pem: bytes) -> bytes:
    return binascii.a2b_base64(b"".join(pem.splitlines()[1:-1]))


def issued(*names: str, until: datetime | None = None) -> bytes:
    pair = AUTHORITY.issue_cert(*names, not_after=until)
    return der_of(pair.cert_chain_pems[0].bytes())


GOOD = issued("shop.example", "*.shop.example", "192.0.2.1", "2001:db8::1")


def element(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def made(
    *,
    times: tuple[bytes, ...] = (element(0x17, b"200101000000Z"), element(0x17, b"300101000000Z")),
    before_extensions: bytes = b"",
    extensions: tuple[bytes, ...] = (),
    after: bytes = b"",
) -> bytes:
    """A certificate without a signature worth the name, from parts that may be wrong."""
    empty = element(0x30)
    body = element(
        0x30, b"\xa0\x03\x02\x01\x02\x02\x01\x01", empty, empty, element(0x30, *times), empty, empty
    )
    inside = body[2:] + before_extensions
    if extensions:
        inside += element(0xA3, element(0x30, *extensions))
    return element(0x30, element(0x30, inside + after), empty, element(0x03, b"\0"))


def alternative_names(*names: bytes, critical: bytes = b"") -> bytes:
    value = element(0x04, element(0x30, *names))
    return element(0x30, element(0x06, bytes.fromhex("551d11")), critical, value)


def test_names_addresses_and_the_end_are_read() -> None:
    end = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    facts = certificate_facts(issued("Shop.Example", "*.shop.example", "192.0.2.1", "2001:db8::1", until=end))
    assert facts.names == ("shop.example", "*.shop.example", "192.0.2.1", "2001:db8::1")
    assert facts.expires == end.timestamp()


def test_an_end_after_2049_is_written_in_another_form_and_read_too() -> None:
    end = datetime(2061, 1, 2, tzinfo=UTC)
    assert certificate_facts(issued("a.example", until=end)).expires == end.timestamp()


def test_years_of_two_digits_lie_between_1950_and_2049() -> None:
    for text, year in ((b"490101000000Z", 2049), (b"500101000000Z", 1950)):
        times = (element(0x17, b"500101000000Z"), element(0x17, text))
        assert certificate_facts(made(times=times)).expires == datetime(year, 1, 1, tzinfo=UTC).timestamp()


def test_a_certificate_without_alternative_names_has_no_names() -> None:
    other = element(0x30, element(0x06, b"\x55\x1d\x13"), b"\x01\x01\xff", element(0x04, element(0x30)))
    assert certificate_facts(made()).names == ()
    assert certificate_facts(made(extensions=(other,))).names == ()
    assert (
        certificate_facts(made(before_extensions=element(0x81, b"\0x") + element(0x82, b"\0y"))).names == ()
    )


def test_names_of_other_kinds_and_names_that_nobody_can_ask_for_are_passed_over() -> None:
    names = (
        element(0x81, b"mail@a.example"),
        element(0x82, b""),
        element(0x82, b"b\0ad.example"),
        element(0x82, "ä.example".encode()),
        element(0x82, b"A.example"),
        element(0x82, b"a.example"),
        element(0xA0, b"whatever"),
        element(0x87, ip_address("192.0.2.9").packed),
    )
    facts = certificate_facts(made(extensions=(alternative_names(*names, critical=b"\x01\x01\xff"),)))
    assert facts.names == ("a.example", "192.0.2.9")


@pytest.mark.parametrize(
    ("der", "why"),
    [
        (b"", "cut short"),
        (b"\x30", "cut short"),
        (b"\x31\x00", "tag"),
        (b"\x3f\x81\x00\x00", "several bytes"),
        (b"\x30\x80\x00\x00", "indefinite"),
        (b"\x30\x85\x01\x00\x00\x00\x00", "too large"),
        (b"\x30\x82\x01", "cut short"),
        (b"\x30\x81\x05" + bytes(5), "longer than needed"),
        (b"\x30\x82\x00\x85" + bytes(0x85), "longer than needed"),
        (b"\x30\x05\x30\x00", "longer than what holds it"),
        (GOOD + b"\0", "follows the last"),
        (made(after=element(0x04)), "follows the last"),
        (made(times=(element(0x17, b"300101000000Z"),)), "cut short"),
        (made(times=(element(0x17, b"300101000000Z"),) * 3), "follows the last"),
        (made(times=(element(0x17, b"3001010000Z"),) * 2), "pair of times"),
        (made(times=(element(0x18, b"300101000000Z"),) * 2), "pair of times"),
        (made(times=(element(0x04, b"300101000000Z"),) * 2), "pair of times"),
        (made(times=(element(0x17, b"30010100000+Z"),) * 2), "digits and a Z"),
        (made(times=(element(0x17, b"3001010000000"),) * 2), "digits and a Z"),
        (made(times=(element(0x17, b"301301000000Z"),) * 2), "does not exist"),
        (made(times=(element(0x18, b"00000101000000Z"),) * 2), "does not exist"),
        (made(extensions=(alternative_names(), alternative_names())), "twice"),
        (made(extensions=(alternative_names(element(0x87, b"\x01\x02\x03")),)), "neither of 4"),
    ],
)
def test_what_is_not_der_or_no_certificate_is_refused(der: bytes, why: str) -> None:
    with pytest.raises(DerError, match=why):
        certificate_facts(der)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(DerError):
        certificate_facts(data)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255), st.integers(0, len(GOOD)))
def test_a_damaged_certificate_is_read_or_refused(at: int, change: int, end: int) -> None:
    damaged = GOOD[:at] + bytes((GOOD[at] ^ change,)) + GOOD[at + 1 :]
    with contextlib.suppress(DerError):
        assert isinstance(certificate_facts(damaged), CertificateFacts)
    if end < len(GOOD):
        with pytest.raises(DerError):
            certificate_facts(GOOD[:end])


@given(
    st.lists(
        st.one_of(
            st.from_regex(r"[a-z0-9]{1,20}(\.[a-z0-9]{1,20}){1,4}", fullmatch=True).map(
                lambda name: (element(0x82, name.encode()), name)
            ),
            st.ip_addresses().map(lambda address: (element(0x87, address.packed), str(address))),
        ),
        max_size=30,
        unique_by=lambda pair: pair[1],
    )
)
def test_every_name_is_found_in_its_order(pairs: list[tuple[bytes, str]]) -> None:
    der = made(extensions=(alternative_names(*(encoded for encoded, _ in pairs)),))
    assert certificate_facts(der).names == tuple(name for _, name in pairs)
