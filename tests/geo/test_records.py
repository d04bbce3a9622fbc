from __future__ import annotations

from typing import Any

import pycountry
import pytest
import sample_databases as databases
from hypothesis import given
from hypothesis import strategies as st

from gslb.geo.countries import CONTINENTS, countries
from gslb.geo.location import Coordinates, Location
from gslb.geo.records import CENTROID, complete, fill, knows_place, read_record
from gslb.geo.subdivisions import subdivision_code


@pytest.mark.parametrize(
    ("record", "location"),
    [
        (
            databases.MAXMIND_CITY,
            Location("database", Coordinates(51.5142, -0.0931), "GB", "EU", "GB-ENG", None, "London"),
        ),
        (databases.MAXMIND_COUNTRY, Location("database", None, "JP", "AS")),
        (databases.MAXMIND_ASN, Location("database", asn=15169)),
        (
            databases.IPINFO,
            Location(
                "database", Coordinates(37.4056, -122.0775), "US", "NA", "US-CA", 15169, "Mountain View"
            ),
        ),
        (databases.IPINFO_LITE, Location("database", None, "FR", "EU", None, 3215)),
        (
            databases.FLAT,
            Location("database", Coordinates(48.1374, 11.575), "DE", None, "DE-BY", None, "Munich"),
        ),
        (
            {"loc": "52.5, 13.4", "country": "de", "region_code": "BE"},
            Location("database", Coordinates(52.5, 13.4), "DE", None, "DE-BE"),
        ),
        ({"registered_country": {"iso_code": "SE"}}, Location("database", country="SE")),
        ({"country_code": "EU"}, Location("database", continent="EU")),
        ({"asn": "64512", "country_code": "ZZ"}, Location("database", asn=64512)),
        ({"country_code": "US", "state1": "Nowhere"}, Location("database", country="US")),
        (
            {"country_code": "US", "subdivision_code": "US-NY"},
            Location("database", None, "US", None, "US-NY"),
        ),
    ],
)
def test_every_schema_is_read(record: object, location: Location) -> None:
    assert read_record(record) == location


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        "US",
        {"country": 7, "location": "here", "subdivisions": {}, "city": ["x"], "asn": True},
        {"latitude": 91.0, "longitude": 0.0},
        {"latitude": 0.0, "longitude": 0.0},
        {"latitude": float("nan"), "longitude": 1},
        {"latitude": "north", "longitude": "1"},
        {"latitude": 10**400, "longitude": 1},
        {"loc": "1,2,3", "asn": 0},
        {"asn": "AS99999999999", "continent": "Atlantis"},
        {"asn": 1 << 32},
        {"latitude": True, "longitude": True},
    ],
)
def test_what_makes_no_sense_is_unknown(record: object) -> None:
    assert read_record(record) == Location("database")


_keys = st.sampled_from(
    (
        *("country", "country_code", "iso_code", "registered_country", "continent", "code", "location"),
        *("latitude", "longitude", "lat", "lng", "loc", "subdivisions", "region", "region_code", "state1"),
        *("city", "names", "en", "asn", "autonomous_system_number"),
    )
)
_scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=3),
    st.sampled_from(["US", "EU", "1,2", "AS1", "California", "NA"]),
)
_records = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=8),
    max_leaves=12,
)


@given(st.dictionaries(_keys, _records, max_size=10) | _records)
def test_reading_never_raises_and_gives_only_what_is_valid(record: object) -> None:
    location = complete(read_record(record))
    assert location.country is None or location.country in countries()
    assert location.continent is None or location.continent in CONTINENTS.values()
    assert location.asn is None or 0 < location.asn < 1 << 32
    if location.coordinates is not None:
        assert abs(location.coordinates.latitude) <= 90
        assert abs(location.coordinates.longitude) <= 180
    if location.subdivision is not None:
        assert location.subdivision.startswith(f"{location.country}-")
    hash(location)


def test_a_country_gives_its_continent_and_its_centre() -> None:
    location = complete(Location("database", country="CA"))
    assert (location.continent, location.source) == ("NA", CENTROID)
    # Where Canadians are, which is far to the south of the middle of Canada.
    assert location.coordinates is not None
    assert 43 < location.coordinates.latitude < 52


def test_a_subdivision_tells_its_country() -> None:
    location = complete(Location("override 10.0.0.0/8", subdivision="US-CA"))
    assert (location.country, location.continent) == ("US", "NA")


def test_what_is_known_is_not_completed_over() -> None:
    point = Coordinates(10.0, 20.0)
    known = Location("override 10.0.0.0/8", point, "TR", "EU")
    assert complete(known) == known
    assert complete(Location("override x", country="TR")).source == "override x"


def test_the_next_database_fills_what_the_first_leaves_unknown() -> None:
    city, asn = read_record(databases.MAXMIND_CITY), read_record(databases.MAXMIND_ASN)
    both = fill(city, asn)
    assert (both.city, both.asn) == ("London", 15169)
    assert fill(asn, city).city == "London"


def test_places_of_different_countries_are_not_mixed() -> None:
    french = Location("database", country="FR")
    filled = fill(french, Location("database", Coordinates(52.5, 13.4), "DE", "EU", "DE-BE", 3320, "Berlin"))
    assert filled == Location("database", country="FR", asn=3320)


def test_an_asn_alone_is_no_place() -> None:
    assert not knows_place(Location("database", asn=1))
    assert knows_place(Location("database", continent="EU"))


@pytest.mark.parametrize(
    ("country", "name", "code"),
    [
        ("US", "New York", "US-NY"),
        ("US", "Washington", "US-WA"),
        ("BR", "Sao Paulo", "BR-SP"),
        ("BR", "São Paulo", "BR-SP"),
        ("CA", "Quebec", "CA-QC"),
        ("DE", "North Rhine-Westphalia", "DE-NW"),
        ("JP", "Tokyo", "JP-13"),
        ("CN", "Guangdong", "CN-GD"),
        ("RU", "Moscow", "RU-MOW"),
        ("IN", "Maharashtra", "IN-MH"),
        ("US", "Atlantis", None),
        ("ZZ", "Anywhere", None),
    ],
)
def test_subdivision_names_become_codes(country: str, name: str, code: str | None) -> None:
    assert subdivision_code(country, name) == code


def test_every_aliased_code_exists() -> None:
    import csv
    from importlib.resources import files

    with (files("gslb.geo") / "data" / "subdivisions.csv").open(encoding="utf-8") as file:
        codes = [row["code"] for row in csv.DictReader(file)]
    known = {subdivision.code for subdivision in pycountry.subdivisions}
    assert codes
    assert [code for code in codes if code not in known] == []


def test_every_iso_country_is_in_the_table() -> None:
    assert {country.alpha_2 for country in pycountry.countries} <= set(countries())
    assert {country.continent for country in countries().values()} == set(CONTINENTS.values())
