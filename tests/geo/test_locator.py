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
from gslb.fleet import GeoSettings, LocationOverride
from gslb.geo.location import IPAddress, Location
from gslb.geo.locator import Locator, bundled


@cache
def _bundled() -> Locator:
    return Locator(GeoSettings(default=DEFAULT))


@pytest.fixture
def city(tmp_path: Path) -> str:
    networks = {
        "81.2.0.0/16": databases.MAXMIND_CITY,
        "81.2.69.0/24": databases.FLAT,
        "2a00::/16": databases.MAXMIND_COUNTRY,
        "8.8.8.0/24": databases.IPINFO,
    }
    return databases.write(tmp_path / "city.mmdb", networks)


@pytest.fixture
def asn(tmp_path: Path) -> str:
    networks: dict[str, object] = {
        "81.2.128.0/17": databases.MAXMIND_ASN,
        "5.0.0.0/8": databases.MAXMIND_ASN,
    }
    return databases.write(tmp_path / "asn.mmdb", networks, kind="Test-ASN")


def test_databases_complement_each_other(city: str, asn: str) -> None:
    locator = Locator(GeoSettings(databases=(city, asn), default=DEFAULT))
    located = locator.locate(ip_address("81.2.200.1"))
    assert (located.location.city, located.location.asn) == ("London", 15169)
    # Half of the /16 has another ASN, so no more than the half is claimed.
    assert located.prefix_length == 17
    assert locator.locate(ip_address("81.2.69.1")).prefix_length == 24
    assert locator.locate(ip_address("81.2.69.1")).location.subdivision == "DE-BY"


def test_only_an_asn_leaves_the_default_place(city: str, asn: str) -> None:
    location = (
        Locator(GeoSettings(databases=(city, asn), default=DEFAULT)).locate(ip_address("5.1.1.1")).location
    )
    assert (location.country, location.continent, location.asn) == ("US", "NA", 15169)
    assert location.source == "default"


def test_separate_files_for_both_families(tmp_path: Path) -> None:
    four = databases.write(tmp_path / "4.mmdb", {"81.0.0.0/8": databases.FLAT}, ip_version=4)
    six = databases.write(tmp_path / "6.mmdb", {"2a00::/16": databases.MAXMIND_COUNTRY})
    for paths in ((four, six), (six, four)):
        locator = Locator(GeoSettings(databases=paths, default=DEFAULT))
        assert locator.locate(ip_address("81.1.1.1")).location.country == "DE"
        assert locator.locate(ip_address("81.1.1.1")).prefix_length == 8
        assert locator.locate(ip_address("2a00::1")).location.country == "JP"
        assert locator.locate(ip_address("2a00::1")).prefix_length == 16


def test_country_alone_puts_clients_where_its_people_are(city: str) -> None:
    location = Locator(GeoSettings(databases=(city,))).locate(ip_address("2a00::1")).location
    assert location.source == "country centroid"
    assert location.coordinates is not None


def test_the_default_is_for_what_nobody_knows(city: str) -> None:
    locator = Locator(GeoSettings(databases=(city,), default=DEFAULT))
    located = locator.locate(ip_address("192.168.1.1"))
    assert (located.location.source, located.location.continent) == ("default", "NA")
    # The tree says nothing from 128.0.0.0 on, and so all of that is the same.
    assert (located.prefix_length, located.network) == (1, None)
    assert Locator(GeoSettings(databases=(city,))).locate(ip_address("::1")).location == Location("default")


def test_the_longest_override_wins_over_databases(city: str) -> None:
    overrides = (override("81.0.0.0/8", "FR"), override("81.2.69.128/25", "IT"))
    locator = Locator(GeoSettings(databases=(city,), overrides=overrides))
    inside, beside = locator.locate(ip_address("81.2.69.200")), locator.locate(ip_address("81.2.69.1"))
    assert (inside.location.country, inside.prefix_length) == ("IT", 25)
    assert inside.network == ip_network("81.2.69.128/25")
    assert inside.location.continent == "EU"
    assert inside.location.source == "override 81.2.69.128/25"
    assert (beside.location.country, beside.prefix_length) == ("FR", 25)
    # No database is consulted for it, so the leaves of none narrow it.
    assert locator.locate(ip_address("81.128.0.1")).prefix_length == 9


def test_an_override_without_a_place_leaves_the_default_one(city: str) -> None:
    override = LocationOverride(ip_network("81.2.0.0/16"), Location("override 81.2.0.0/16", asn=64500))
    locator = Locator(GeoSettings(databases=(city,), default=DEFAULT, overrides=(override,)))
    location = locator.locate(ip_address("81.2.1.1")).location
    assert (location.source, location.asn, location.country) == ("override 81.2.0.0/16", 64500, "US")


def test_a_rules_network_is_reported_and_narrows(city: str) -> None:
    named = (ip_network("81.2.3.0/24"), ip_network("2a00:1::/32"))
    locator = Locator(GeoSettings(databases=(city,), overrides=(override("81.2.0.0/20"),)), named)
    located = locator.locate(ip_address("81.2.3.4"))
    assert (located.network, located.prefix_length) == (named[0], 24)
    assert located.location.country == "NZ"
    assert locator.locate(ip_address("2a00:1::1")).network == named[1]
    assert locator.locate(ip_address("2a00:2::1")).prefix_length == 31


@pytest.mark.parametrize(
    ("carrier", "prefix_length"),
    [
        ("::ffff:81.2.69.9", 120),
        ("64:ff9b::81.2.69.9", 120),
        ("2002:5102:4509::1", 40),
        ("2001:0:4136:e378:8000:63bf:aefd:baf6", 120),
    ],
)
def test_carried_addresses_are_located_as_what_they_carry(
    city: str, carrier: str, prefix_length: int
) -> None:
    locator = Locator(GeoSettings(databases=(city,)), (ip_network("81.2.69.0/26"),))
    located, plain = locator.locate(ip_address(carrier)), locator.locate(ip_address("81.2.69.9"))
    assert located.location is plain.location
    assert located.network == plain.network == ip_network("81.2.69.0/26")
    assert located.prefix_length == prefix_length + 2


def test_an_ipv6_network_named_more_exactly_beats_the_carried_address(city: str) -> None:
    overrides = (
        override("::/0", "FR"),
        override("81.0.0.0/8", "IT"),
        override("2002:5102:4500::/40", "NZ"),
    )
    locator = Locator(GeoSettings(databases=(city,), overrides=overrides))
    assert locator.locate(ip_address("2002:5102:4501::1")).location.country == "NZ"
    assert locator.locate(ip_address("2002:5102:4501::1")).network == ip_network("2002:5102:4500::/40")
    assert locator.locate(ip_address("2002:5103::1")).location.country == "IT"
    assert locator.locate(ip_address("2002:5203::1")).location.country == "FR"


def test_equal_locations_are_one_object(tmp_path: Path) -> None:
    networks: dict[str, object] = {
        "10.0.0.0/24": databases.FLAT | {"postcode": "80331"},
        "10.0.1.0/24": databases.FLAT | {"postcode": "80333"},
    }
    locator = Locator(GeoSettings(databases=(databases.write(tmp_path / "x.mmdb", networks),)))
    first, second = (locator.locate(ip_address(text)) for text in ("10.0.0.1", "10.0.1.1"))
    assert first.location is second.location
    assert locator.locate(ip_address("10.0.0.200")).location is first.location


def test_describe_says_what_is_in_use(city: str, asn: str) -> None:
    described = Locator(GeoSettings(databases=(city, asn))).describe()
    assert [(d.path, d.type, d.built) for d in described] == [
        (city, "Test-City", databases.BUILT),
        (asn, "Test-ASN", databases.BUILT),
    ]
    assert str(described[0]).startswith(f"{city}: Test-City, built 2026-05-28")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is not a usable MMDB file"),
        (b"not a database at all", "is not a usable MMDB file"),
    ],
)
def test_what_cannot_be_opened_is_named_with_a_remedy(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "bad.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GeoError, match=message) as caught:
        Locator(GeoSettings(databases=(str(path),)))
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(GeoError, match="cannot be read"):
        Locator(GeoSettings(databases=(str(tmp_path),)))


def test_a_database_without_places_is_refused(tmp_path: Path) -> None:
    path = databases.write(tmp_path / "x.mmdb", {"10.0.0.0/8": {"is_anonymous": True}}, kind="Anonymous-IP")
    with pytest.raises(GeoError, match="no record of this Anonymous-IP database tells a place"):
        Locator(GeoSettings(databases=(path,)))


@given(st.integers(0, 2**20), st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damaged_files_are_refused_or_read_but_never_crash(tmp_path: Path, at: int, byte: int) -> None:
    good = Path(databases.write(tmp_path / "good.mmdb", {"81.2.0.0/16": databases.MAXMIND_CITY})).read_bytes()
    damaged = bytearray(good)
    damaged[at % len(damaged)] = byte
    path = tmp_path / "damaged.mmdb"
    path.write_bytes(damaged)
    try:
        locator = Locator(GeoSettings(databases=(str(path),)))
    except GeoError:
        return
    for text in ("81.2.1.1", "8.8.8.8", "2a00::1", "::1"):
        located = locator.locate(ip_address(text))
        assert 0 <= located.prefix_length <= located_bits(text)


def located_bits(text: str) -> int:
    return 128 if ":" in text else 32


def test_the_bundled_database_knows_the_world() -> None:
    cases = {
        "8.8.8.8": "US",
        "139.130.4.5": "AU",
        "81.2.69.142": "GB",
        "133.11.0.1": "JP",
        "200.160.2.3": "BR",
        "196.25.1.1": "ZA",
        "2a00:1450:4009::1": None,
    }
    for text, country in cases.items():
        location = _bundled().locate(ip_address(text)).location
        assert location.source == "database"
        assert location.coordinates is not None
        assert country is None or location.country == country


@pytest.mark.parametrize(
    "text",
    ["10.1.2.3", "127.0.0.1", "192.168.0.1", "172.16.0.1", "100.64.0.1", "198.51.100.7", "fc00::1", "::1"],
)
def test_the_bundled_database_leaves_private_addresses_to_the_default(text: str) -> None:
    assert _bundled().locate(ip_address(text)).location.source == "default"


def test_the_bundled_database_carries_its_attribution() -> None:
    assert "DB-IP" in _bundled().describe()[0].description
    assert Path(bundled()).stat().st_size < 8_000_000


# The rest is the invariant: within the claimed prefix nothing differs.


@given(worlds(), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_nothing_differs_within_the_claimed_prefix(tmp_path: Path, world: World, data: st.DataObject) -> None:
    locator = locator_of(world, tmp_path)
    for _ in range(3):
        _check_claim(locator, data.draw(near(networks_of(world))), data)


@given(
    st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address)),
    st.data(),
)
def test_nothing_differs_within_the_claimed_prefix_of_the_bundled_database(
    address: IPAddress, data: st.DataObject
) -> None:
    _check_claim(_bundled(), address, data)


def _check_claim(locator: Locator, address: IPAddress, data: st.DataObject) -> None:
    located = locator.locate(address)
    around = ip_network((int(address), located.prefix_length), strict=False) if address.version == 4 else None
    bits = 32 if around is not None else 128
    assert 0 <= located.prefix_length <= bits
    for _ in range(3):
        # Flip one bit behind the prefix, and change those after it at will: neighbours are where errors hide.
        free = bits - located.prefix_length
        if not free:
            return
        flipped = 1 << data.draw(st.integers(0, free - 1))
        number = int(address) ^ flipped ^ (data.draw(st.integers(0, 2**128 - 1)) & (flipped - 1))
        other = locator.locate(type(address)(number))
        assert (other.location, other.network) == (located.location, located.network)
        assert other.location is located.location
