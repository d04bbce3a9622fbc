from __future__ import annotations

import random
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path

import maxminddb
import pytest
import sample_databases as databases
from typer.testing import CliRunner

from gslb.cli.geo import app
from gslb.errors import GeoError
from gslb.fleet import GeoSettings
from gslb.geo.agreement import REGIONS, agreement, sample
from gslb.geo.build import DATABASE_TYPE, SMALLEST, build, label_of
from gslb.geo.location import Coordinates, Location
from gslb.geo.locator import Locator, bundled
from gslb.geo.mmdb_writer import MmdbWriter

TOWNS = [
    {"country_code": "GB", "state1": "England", "latitude": 51.51, "longitude": -0.09},
    {"country_code": "GB", "state1": "Scotland", "latitude": 55.95, "longitude": -3.19},
    {"country_code": "US", "state1": "New York", "latitude": 40.71, "longitude": -74.01},
    {"country_code": "US", "state1": "California", "latitude": 37.77, "longitude": -122.42},
    {"country_code": "JP", "state1": "Tokyo", "latitude": 35.68, "longitude": 139.69},
]


def _source(path: Path, *, networks: int, ip_version: int = 6) -> Path:
    """Towns over 60.0.0.0/8 (or 2400::/16): one for each /12, and single small networks of others."""
    chance = random.Random(7)
    writer = MmdbWriter("Full-City", ip_version=ip_version)
    base, bits, length = (60 << 24, 32, 24) if ip_version == 4 else (0x2400 << 112, 128, 44)
    top = 8 if ip_version == 4 else 16
    for part in range(16):
        writer.insert_prefix(base + (part << (bits - top - 4)), top + 4, writer.add(TOWNS[part % 5]))
    for number in range(networks):
        first = base + (chance.getrandbits(length - top) << (bits - length))
        town = TOWNS[chance.randrange(5)] | {"city": f"town {number % 50}"}
        writer.insert_prefix(first, length, writer.add(town))
    writer.write(path, databases.BUILT)
    return path


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    four = _source(tmp_path / "four.mmdb", networks=3000, ip_version=4)
    return [four, _source(tmp_path / "six.mmdb", networks=1000)]


def test_the_result_is_small_and_agrees(sources: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "small.mmdb"
    result = build(sources, output, max_bytes=30_000, attribution="By us.")
    assert result.size == output.stat().st_size <= 30_000
    # It makes use of what is allowed.
    assert result.size > 24_000
    assert result.networks[4] < result.source_networks[4]
    assert result.networks[6] < result.source_networks[6]
    full = Locator(GeoSettings(databases=tuple(map(str, sources))))
    small = Locator(GeoSettings(databases=(str(output),)))
    for version in (4, 6):
        found = agreement(full, small, sample(full, version, 2000, by="address"))
        assert found.addresses == 2000
        assert min(found.same_country, found.same_region) > 0.9
        assert found.moved < 60
    assert small.locate(ip_address("61.0.0.1")).location.source == "default"


def test_everything_is_kept_when_there_is_room(sources: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "small.mmdb"
    build(sources, output, max_bytes=3_000_000)
    full = Locator(GeoSettings(databases=tuple(map(str, sources))))
    small = Locator(GeoSettings(databases=(str(output),)))
    for version in (4, 6):
        found = agreement(full, small, sample(full, version, 1000, by="network"))
        assert (found.same_country, found.same_region, found.same_subdivision) == (1.0, 1.0, 1.0)
        assert found.extra_distance == 0


def test_any_reader_can_use_it(sources: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "small.mmdb"
    build(sources, output, max_bytes=100_000, attribution="By us.")
    with maxminddb.open_database(output) as reader:
        metadata = reader.metadata()
        assert (metadata.database_type, metadata.record_size) == (DATABASE_TYPE, 24)
        assert metadata.build_epoch == databases.BUILT
        assert metadata.description["en"] == "Condensed from four.mmdb, six.mmdb. By us."
        assert reader.get("60.32.0.1") == {
            "country": {"iso_code": "US"},
            "location": {"latitude": 40.5, "longitude": -74.0},
            "subdivisions": [{"iso_code": "NY"}],
        }
        assert reader.get("::60.32.0.1") == reader.get("60.32.0.1")


def test_both_families_in_one_file(tmp_path: Path) -> None:
    writer = MmdbWriter("Full-City")
    writer.insert(ip_network("2000::/3"), TOWNS[0])
    writer.insert(ip_network("60.0.0.0/8"), TOWNS[4])
    # Relays' places are not their clients'; these are left out.
    writer.insert(ip_network("2002::/16"), TOWNS[2])
    source, output = tmp_path / "full.mmdb", tmp_path / "small.mmdb"
    writer.write(source, databases.BUILT)
    build([source], output, max_bytes=SMALLEST)
    with maxminddb.open_database(output) as reader:
        assert reader.get("2001:db8::1")["country"] == {"iso_code": "GB"}  # type: ignore[call-overload, index]
        assert reader.get("60.1.1.1")["country"] == {"iso_code": "JP"}  # type: ignore[call-overload, index]
        assert reader.get("2002:808:808::1") is None


@pytest.mark.parametrize(
    ("location", "country", "subdivision", "point"),
    [
        (Location("database", Coordinates(40.71, -74.01), "US", "NA", "US-NY"), "US", "US-NY", (40.5, -74.0)),
        (Location("database", Coordinates(-0.1, 0.1), "GB", "EU", "GB-ENG"), "GB", None, (0.0, 0.0)),
        (Location("database", None, "JP"), "JP", None, (35.5, 137.0)),
    ],
)
def test_labels_keep_what_matters(
    location: Location, country: str, subdivision: str | None, point: tuple[float, float]
) -> None:
    label = label_of(location)
    assert label is not None
    assert (label.country, label.subdivision) == (country, subdivision)
    assert label.coordinates == Coordinates(*point)


def test_a_record_without_place_has_no_label() -> None:
    assert label_of(Location("database", asn=64500)) is None


def test_too_small_a_size_is_refused(sources: list[Path], tmp_path: Path) -> None:
    with pytest.raises(GeoError, match="too few for a database"):
        build(sources, tmp_path / "x", max_bytes=SMALLEST - 1)


def test_an_input_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mmdb").write_text("hello")
    with pytest.raises(GeoError, match=r"text\.mmdb: is not a usable MMDB file"):
        build([tmp_path / "text.mmdb"], tmp_path / "x", max_bytes=SMALLEST)
    assert not (tmp_path / "x").exists()


def test_agreement_counts_what_differs(tmp_path: Path) -> None:
    networks = {"60.0.0.0/9": TOWNS[2], "60.128.0.0/9": TOWNS[0]}
    truth = Locator(GeoSettings(databases=(databases.write(tmp_path / "a.mmdb", networks),)))
    wrong = {"60.0.0.0/9": TOWNS[2], "60.128.0.0/9": TOWNS[4]}
    other = Locator(GeoSettings(databases=(databases.write(tmp_path / "b.mmdb", wrong),)))
    addresses = [IPv4Address("60.1.1.1"), IPv4Address("60.129.1.1"), IPv4Address("10.0.0.1")]
    found = agreement(truth, other, addresses)
    # The third is in neither, so nothing can be said of it.
    assert (found.addresses, found.same_region, found.same_country) == (2, 0.5, 0.5)
    assert found.by_country == {"US": (1, 1.0), "GB": (1, 0.0)}
    assert found.extra_distance > 5000


def test_samples_are_repeatable_and_known(sources: list[Path]) -> None:
    full = Locator(GeoSettings(databases=tuple(map(str, sources))))
    for version in (4, 6):
        for by in ("address", "network"):
            once = sample(full, version, 50, by=by)
            assert once == sample(full, version, 50, by=by)
            assert once != sample(full, version, 50, by=by, seed=2)
            assert all(full.locate(address).location.source == "database" for address in once)


def test_the_coasts_are_told_apart_by_the_bundled_database() -> None:
    locator = Locator(GeoSettings())
    coasts = (REGIONS["Virginia"], REGIONS["Oregon"])
    # Columbia University and New York University; UC San Francisco and UC Berkeley.
    for text, subdivision, nearest in (
        ("128.59.1.1", "US-NY", 0),
        ("128.122.1.1", "US-NY", 0),
        ("128.218.1.1", "US-CA", 1),
        ("128.32.1.1", "US-CA", 1),
    ):
        location = locator.locate(ip_address(text)).location
        assert location.subdivision == subdivision
        assert location.coordinates is not None
        found = agreement(locator, locator, [ip_address(text)], coasts)
        assert found.same_region == 1.0
        assert (location.coordinates.longitude < -100) == bool(nearest)


def test_maxminddb_reads_the_bundled_database_as_we_do() -> None:
    locator = Locator(GeoSettings())
    chance = random.Random(3)
    addresses = [IPv4Address(chance.getrandbits(32)) for _ in range(500)]
    with maxminddb.open_database(bundled()) as reader:
        for address in addresses:
            record, length = reader.get_with_prefix_len(address)
            located = locator.locate(address)
            assert located.prefix_length == length
            if isinstance(record, dict):
                point = record["location"]
                assert located.location.coordinates == Coordinates(point["latitude"], point["longitude"])  # type: ignore[call-overload, index, arg-type]
            else:
                assert located.location.source == "default"


# The commands.


def test_lookup_shows_the_place_and_how_far_it_holds(tmp_path: Path) -> None:
    path = databases.write(tmp_path / "x.mmdb", {"81.2.0.0/16": databases.MAXMIND_CITY})
    shown = CliRunner().invoke(app, ["lookup", "81.2.1.1", "--database", path])
    assert shown.exit_code == 0
    assert "London GB-ENG EU (51.51, -0.09) [database], the same for all of its /16" in shown.output
    assert "Dublin" in shown.output
    assert "Test-City" in shown.output


def test_lookup_names_what_is_no_address() -> None:
    shown = CliRunner().invoke(app, ["lookup", "example.com"])
    assert shown.exit_code == 2
    assert "'example.com' is not an IP address" in shown.output


def test_build_and_agreement_as_commands(sources: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "out.mmdb"
    texts = [str(path) for path in sources]
    built = CliRunner().invoke(app, ["build", *texts, "--output", str(output), "--max-bytes", "50000"])
    assert built.exit_code == 0
    assert f"{output.stat().st_size} bytes" in built.output.replace("\n", " ")
    compared = CliRunner().invoke(
        app, ["agreement", *texts, "--database", str(output), "--count", "200"], env={"COLUMNS": "200"}
    )
    assert compared.exit_code == 0
    assert "200 IPv4, by address" in compared.output
    assert "200 IPv6, by network" in compared.output
