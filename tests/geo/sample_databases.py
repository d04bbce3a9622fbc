"""Small MMDB files of every schema we read, made with our own writer."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

from gslb.geo.mmdb_writer import MmdbWriter

BUILT = 1_780_000_000


def write(path: Path, networks: Mapping[str, object], *, kind: str = "Test-City", ip_version: int = 6) -> str:
    """Write a database with these networks (the later inside the earlier) and return its path as text."""
    writer = MmdbWriter(kind, ip_version=ip_version, description="for tests")
    for network, record in networks.items():
        writer.insert(ip_network(network), record)
    writer.write(path, BUILT)
    return str(path)


MAXMIND_CITY = {
    "continent": {"code": "EU", "names": {"en": "Europe"}},
    "country": {"iso_code": "GB", "names": {"en": "United Kingdom"}},
    "registered_country": {"iso_code": "US"},
    "subdivisions": [{"iso_code": "ENG", "names": {"en": "England"}}, {"iso_code": "LND"}],
    "city": {"names": {"de": "London", "en": "London"}},
    "location": {"latitude": 51.5142, "longitude": -0.0931, "accuracy_radius": 10},
}
MAXMIND_COUNTRY = {"continent": {"code": "AS"}, "country": {"iso_code": "JP"}}
MAXMIND_ASN = {"autonomous_system_number": 15169, "autonomous_system_organization": "Google"}
IPINFO = {
    "country": "US",
    "country_name": "United States",
    "continent": "NA",
    "region": "California",
    "city": "Mountain View",
    "lat": "37.4056",
    "lng": "-122.0775",
    "asn": "AS15169",
}
IPINFO_LITE = {
    "asn": "AS3215",
    "continent": "Europe",
    "continent_code": "EU",
    "country": "France",
    "country_code": "FR",
}
FLAT = {
    "country_code": "DE",
    "state1": "Bavaria",
    "state2": "",
    "city": "Munich",
    "latitude": 48.137401580810547,
    "longitude": 11.575,
}
