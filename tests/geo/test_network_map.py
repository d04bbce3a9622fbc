from __future__ import annotations

from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
import sample_databases as databases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_worlds import DEFAULT, World, locator_of, near, networks_of, override, worlds

from gslb.errors import GeoError
from gslb.fleet import GeoSettings
from gslb.geo import transition
from gslb.geo.database import Database
from gslb.geo.location import IPAddress, IPNetwork, Located
from gslb.geo.locator import Locator
from gslb.geo.network_map import UNMAPPED, NetworkMap

NETWORKS = {
    "81.2.0.0/16": databases.MAXMIND_CITY,
    "81.2.69.0/24": databases.FLAT,
    "2a00::/16": databases.MAXMIND_COUNTRY,
    "2a00:1::/80": databases.FLAT,
}


@pytest.fixture
def city(tmp_path: Path) -> str:
    return databases.write(tmp_path / "city.mmdb", NETWORKS)


@cache
def _bundled(*, mapped: bool) -> Locator:
    locator = Locator(GeoSettings(default=DEFAULT))
    if mapped:
        locator.map_networks()
    return locator


def _map_of(locator: Locator) -> NetworkMap:
    assert locator.map_networks()
    assert locator.network_map is not None
    return locator.network_map


def _found(network_map: NetworkMap, address: IPAddress) -> Located | None:
    find = network_map.find4 if isinstance(address, IPv4Address) else network_map.find6
    return find(int(address))


def _edges(networks: list[IPNetwork]) -> list[IPAddress]:
    """First and last addresses, their neighbours outside, and the IPv6 addresses that carry those of IPv4."""
    found: dict[IPAddress, None] = {}
    for network in [*networks, *transition.NETWORKS, ip_network("0.0.0.0/0"), ip_network("::/0")]:
        first, last = int(network.network_address), int(network.broadcast_address)
        for number in (first - 1, first, last, last + 1):
            if 0 <= number < 1 << network.max_prefixlen:
                found[type(network.network_address)(number)] = None
                if network.version == 4:
                    found[IPv6Address(0x2002 << 112 | number << 80 | 7)] = None
                    found[IPv6Address(0x64FF9B << 96 | number)] = None
    return list(found)


def _same(mapped: Located, direct: Located) -> bool:
    return (
        mapped.location is direct.location
        and mapped.network is direct.network
        and mapped.carrier is direct.carrier
        and mapped.prefix_length == direct.prefix_length
    )


@given(worlds(), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_map_is_a_partition_that_says_what_the_search_trees_say(
    tmp_path: Path, world: World, data: st.DataObject
) -> None:
    locator = locator_of(world, tmp_path)
    networks = networks_of(world)
    addresses = [*_edges(networks), *(data.draw(near(networks)) for _ in range(3))]
    direct = {address: locator.locate(address) for address in addresses}
    network_map = _map_of(locator)
    _check_partition(network_map)
    for address, expected in direct.items():
        assert _same(locator.locate(address), expected), address
        found = _found(network_map, address)
        if found is not None:
            assert _same(found, expected), address
        else:
            # Only what lies deeper than the map goes, and what is elsewhere for the IPv4 address it carries.
            assert address.version == 6, address
            assert expected.carrier is not None or expected.prefix_length > 64, address


def _check_partition(network_map: NetworkMap) -> None:
    for spans, bits in ((network_map.ipv4, 32), (network_map.ipv6, 64)):
        expected = 0
        for start, length in zip(spans.starts, spans.prefix_lengths, strict=True):
            assert start == expected
            assert start % (1 << (bits - length)) == 0
            expected = start + (1 << (bits - length))
        assert expected == 1 << bits
        assert len(spans.vantages) == len(spans)
        assert max(spans.vantages) < len(network_map.vantages)


@settings(deadline=None)
@given(st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address)))
def test_the_bundled_database_is_mapped_faithfully(address: IPAddress) -> None:
    mapped, direct = _bundled(mapped=True).locate(address), _bundled(mapped=False).locate(address)
    assert mapped == direct


def test_every_network_of_the_bundled_database_has_its_span() -> None:
    mapped = _bundled(mapped=True)
    direct = _bundled(mapped=False)
    network_map = mapped.network_map
    assert network_map is not None
    for spans, of in ((network_map.ipv4, IPv4Address), (network_map.ipv6, lambda n: IPv6Address(n << 64))):
        for start in spans.starts[:: len(spans) // 3000]:
            address = of(start)
            assert mapped.locate(address) == direct.locate(address), address


def test_a_vantage_is_one_location_and_one_named_network(city: str) -> None:
    named = ip_network("81.2.3.0/24")
    locator = Locator(GeoSettings(databases=(city,), overrides=(override("81.2.0.0/20"),)), (named,))
    network_map = _map_of(locator)
    spans = network_map.ipv4
    vantages = set()
    for address in ("81.2.3.4", "81.2.0.1", "81.2.69.1", "81.2.200.1", "9.9.9.9"):
        at = max(n for n, start in enumerate(spans.starts) if start <= int(ip_address(address)))
        vantage, located = spans.vantages[at], locator.locate(ip_address(address))
        assert network_map.location(vantage) is located.location
        assert network_map.network(vantage) is located.network
        assert spans.prefix_lengths[at] == located.prefix_length
        vantages.add(vantage)
    assert len(vantages) == 5
    with pytest.raises(IndexError):
        network_map.location(UNMAPPED)


def test_equal_records_are_one_vantage_in_both_families(tmp_path: Path) -> None:
    networks = {"10.0.0.0/8": databases.FLAT, "11.5.0.0/16": databases.FLAT, "2a00::/16": databases.FLAT}
    locator = Locator(GeoSettings(databases=(databases.write(tmp_path / "x.mmdb", networks),)))
    network_map = _map_of(locator)
    # Nothing known, Munich, and UNMAPPED.
    assert len(network_map.vantages) == 3


def test_a_key_is_a_vantage_and_a_length(city: str) -> None:
    locator = Locator(GeoSettings(databases=(city,)))
    network_map = _map_of(locator)
    number, upper = int(ip_address("81.2.69.1")), int(ip_address("2a00:2::1")) >> 64
    for key, length, country in ((network_map.key4(number), 24, "DE"), (network_map.key6(upper), 31, "JP")):
        located = network_map.located(key)
        assert located is not None
        assert (key & 0xFF, located.prefix_length) == (length, length)
        assert located.location is network_map.location(key >> 8)
        assert located.location.country == country
    divided = network_map.key6(int(ip_address("2a00:1::1")) >> 64)
    assert divided >> 8 == UNMAPPED
    assert network_map.located(divided) is None
    with pytest.raises(IndexError):
        network_map.located(len(network_map.vantages) << 8 | 24)


def test_several_databases_are_mapped_together(city: str, tmp_path: Path) -> None:
    asns = {"81.2.128.0/17": databases.MAXMIND_ASN, "2a00:8000::/17": databases.MAXMIND_ASN}
    asn = databases.write(tmp_path / "asn.mmdb", asns, kind="Test-ASN")
    locator = Locator(GeoSettings(databases=(city, asn)))
    network_map = _map_of(locator)
    located = network_map.find4(int(ip_address("81.2.200.1")))
    assert located is not None
    assert (located.location.city, located.location.asn, located.prefix_length) == ("London", 15169, 17)
    located = network_map.find6(int(ip_address("2a00:8000::1")))
    assert located is not None
    assert (located.location.country, located.location.asn, located.prefix_length) == ("JP", 15169, 17)


def test_what_differs_within_64_bits_is_found_in_the_tree(city: str) -> None:
    locator = Locator(GeoSettings(databases=(city,)))
    network_map = _map_of(locator)
    inside, beside = ip_address("2a00:1::1"), ip_address("2a00:1:0:0:1::1")
    assert network_map.find6(int(inside)) is None
    assert locator.locate(inside).location.country == "DE"
    assert locator.locate(beside).location.country == "JP"
    assert network_map.find6(int(ip_address("2a00:1:0:1::1"))) is not None


def test_a_transition_network_that_the_operator_names_is_still_looked_up_by_ipv4(city: str) -> None:
    overrides = (override("2002::/16", "FR"), override("2002:5102:4500::/40", "IT"))
    locator = Locator(GeoSettings(databases=(city,), overrides=overrides), (ip_network("81.2.69.0/26"),))
    addresses = [ip_address(text) for text in ("2002:5102:4509::1", "2002:5102:7777::1", "2002::1")]
    direct = [locator.locate(address) for address in addresses]
    network_map = _map_of(locator)
    for address, expected in zip(addresses, direct, strict=True):
        assert _found(network_map, address) is None
        assert _same(locator.locate(address), expected), address


def test_ipv4_trees_that_are_reached_by_several_ways_are_mapped_once(tmp_path: Path) -> None:
    leaves = {str(network): databases.FLAT for network in (transition.SIX_TO_FOUR, transition.IPV4_MAPPED)}
    path = databases.write(tmp_path / "city.mmdb", {**NETWORKS, **leaves})
    plain, aliased = (Locator(GeoSettings(databases=(path,))) for _ in range(2))
    database = aliased.databases[0]
    # As MaxMind's files do: 6to4 and IPv4-mapped addresses lead into the IPv4 part.
    for network in (transition.SIX_TO_FOUR, transition.IPV4_MAPPED):
        _lead(database, network, database.root(4))
    assert len(_map_of(aliased).ipv6) == len(_map_of(plain).ipv6)
    for text in ("2002:5102:4509::1", "::ffff:81.2.69.9", "2a00::1", "::1"):
        assert aliased.locate(ip_address(text)) == plain.locate(ip_address(text))


def _lead(database: Database, network: IPNetwork, node: int) -> None:
    """Make the slot of the network, a leaf so far, lead to the node."""
    at, slot, number = 0, 0, int(network.network_address)
    for bit in range(network.prefixlen):
        slot = at + at + (number >> (127 - bit) & 1)
        at = database.tree[slot]
    database.tree[slot] = node


def test_a_tree_that_goes_in_circles_is_not_mapped_and_still_answers(city: str) -> None:
    locator = Locator(GeoSettings(databases=(city,)))
    before = locator.locate(ip_address("81.2.1.1"))
    database = locator.databases[0]
    for slot, value in enumerate(database.tree):
        if value == database.node_count:
            database.tree[slot] = slot // 2
    with pytest.raises(
        GeoError, match=r"city\.mmdb: a search tree that shares or repeats its parts"
    ) as caught:
        locator.map_networks()
    assert caught.value.hint
    assert locator.network_map is None
    assert locator.locate(ip_address("81.2.1.1")) == before


def test_a_map_that_nobody_wants_is_given_up(city: str) -> None:
    locator = Locator(GeoSettings(databases=(city,)))
    assert not locator.map_networks(lambda: False)
    assert locator.network_map is None
