from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gslb.geo import transition


@pytest.mark.parametrize(
    ("address", "inner", "offset"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1", 96),
        ("64:ff9b::192.0.2.33", "192.0.2.33", 96),  # RFC 6052 2.4
        ("2002:c000:0204::1", "192.0.2.4", 16),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45", 96),  # RFC 4380 4, as IANA's example
    ],
)
def test_the_ipv4_address_is_found(address: str, inner: str, offset: int) -> None:
    assert transition.carried(IPv6Address(address)) == (IPv4Address(inner), offset)


@pytest.mark.parametrize(
    "address", ["::1", "::192.0.2.1", "2001:db8::1", "64:ff9b:1::1", "2a00:1450::1", "fe80::1", "::fffe:1:2"]
)
def test_native_addresses_carry_none(address: str) -> None:
    assert transition.carried(IPv6Address(address)) is None


@given(st.sampled_from(transition.NETWORKS), st.integers(0, 2**128 - 1), st.integers(0, 32))
def test_a_prefix_of_the_carried_address_is_one_of_the_carrier(
    network: transition.IPv6Network, noise: int, length: int
) -> None:
    hosts = (1 << (128 - network.prefixlen)) - 1
    number = int(network.network_address) | (noise & hosts)
    found = transition.carried(IPv6Address(number))
    assert found is not None
    inner, offset = found
    # Whatever is flipped behind offset + length leaves the first `length` bits of the inner address.
    other = transition.carried(IPv6Address(number ^ (noise & ((1 << (128 - offset - length)) - 1))))
    assert other is not None
    assert other[0] in ip_network((int(inner), length), strict=False)


@given(st.integers(0, 2**128 - 1))
def test_exactly_the_listed_networks_carry(number: int) -> None:
    address = IPv6Address(number)
    assert (transition.carried(address) is not None) == any(address in n for n in transition.NETWORKS)
