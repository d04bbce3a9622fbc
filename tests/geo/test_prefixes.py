from __future__ import annotations

from ipaddress import IPv4Address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from gslb.geo.location import IPNetwork
from gslb.geo.prefixes import Prefixes

# Networks crowded into 10.0.0.0/24, and the whole space, so that they nest and touch often.
_networks = st.builds(
    lambda low, length: ip_network((0x0A000000 | low, length), strict=False),
    st.integers(0, 255),
    st.integers(22, 32) | st.sampled_from([0, 1, 5, 8]),
)
_addresses = st.integers(0x0A000000 - 300, 0x0A000000 + 600) | st.integers(0, 2**32 - 1)


def _longest(networks: list[IPNetwork], number: int) -> IPNetwork | None:
    holding = [n for n in networks if IPv4Address(number) in n]
    return max(holding, key=lambda n: n.prefixlen, default=None)


def _uniform(networks: list[IPNetwork], boundaries: list[IPNetwork], number: int, length: int) -> bool:
    """Whether the /length around the address crosses no border that matters, by looking at every network."""
    around = ip_network((number, length), strict=False)
    match = _longest(networks, number)
    for network in networks:
        inside = network.subnet_of(around) and network != around  # type: ignore[arg-type]
        if inside and (match is None or network.prefixlen > match.prefixlen):
            return False
    if match is not None and not around.subnet_of(match):  # type: ignore[arg-type]
        return False
    return not any(b.subnet_of(around) and b != around for b in boundaries)  # type: ignore[arg-type]


@given(st.lists(_networks, max_size=8), st.lists(_networks, max_size=2), _addresses)
def test_agrees_with_looking_at_every_network(
    networks: list[IPNetwork], boundaries: list[IPNetwork], number: int
) -> None:
    found, length = Prefixes(4, networks, boundaries).find(number)
    assert found == _longest(networks, number)
    assert _uniform(networks, boundaries, number, length)
    # And no shorter one would do.
    assert length == 0 or not _uniform(networks, boundaries, number, length - 1)


def test_without_networks_everything_is_one() -> None:
    assert Prefixes(4, []).find(12345) == (None, 0)
    assert Prefixes(6, []).find(1 << 127) == (None, 0)


def test_other_families_are_left_aside() -> None:
    six = ip_network("2001:db8::/32")
    assert Prefixes(4, [six]).find(int(six.network_address) >> 96) == (None, 0)
    assert Prefixes(6, [six]).find(int(six.network_address) + 5) == (six, 32)


def test_a_hole_in_a_network_narrows_its_neighbours() -> None:
    outer, hole = ip_network("10.0.0.0/8"), ip_network("10.1.2.0/24")
    prefixes = Prefixes(4, [outer, hole])
    assert prefixes.find(int(IPv4Address("10.1.2.3"))) == (hole, 24)
    assert prefixes.find(int(IPv4Address("10.1.3.1"))) == (outer, 24)
    assert prefixes.find(int(IPv4Address("10.128.0.1"))) == (outer, 9)
    assert prefixes.find(int(IPv4Address("11.0.0.1"))) == (None, 8)
