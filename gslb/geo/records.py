"""What the records of the many kinds of MMDB say, put into the one vocabulary of Location."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from math import isfinite

from gslb.geo.countries import CONTINENTS, countries
from gslb.geo.location import Coordinates, Location
from gslb.geo.subdivisions import subdivision_code

DATABASE = "database"
CENTROID = "country centroid"

_NOTHING = Location(source=DATABASE)
_COUNTRY = re.compile(r"[A-Z]{2}")
_SUBDIVISION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")
_SUBDIVISION_PART = re.compile(r"[A-Z0-9]{1,3}")
_ASN = re.compile(r"(?:AS)?(\d{1,10})")
# Codes that stand for no country but a continent; old data still has them.
_CONTINENT_CODES_AS_COUNTRY = {"EU": "EU", "AP": "AS"}


def read_record(record: object) -> Location:
    """What a record says, in the schema of MaxMind, DB-IP, IPinfo, ip-location-db or a flat one like them.

    Never raises: what is missing, out of range or of a wrong type is unknown. Unknown fields stay so; the
    continent and the coordinates that follow from the country are for `complete` to add.
    """
    if not isinstance(record, dict):
        return _NOTHING
    code = _country(record)
    country = code if code in countries() else None
    return Location(
        source=DATABASE,
        coordinates=_coordinates(record),
        country=country,
        continent=_continent(record) or _CONTINENT_CODES_AS_COUNTRY.get(code or ""),
        subdivision=_subdivision(record, country) if country else None,
        asn=_asn(record),
        city=_city(record),
    )


def fill(location: Location, other: Location) -> Location:
    """`location`, with what it does not know taken from `other`.

    Another country is another place: then only the ASN of `other`, which is no place, is of use.
    """
    if location.asn is None and other.asn is not None:
        location = replace(location, asn=other.asn)
    if location.country and other.country and location.country != other.country:
        return location
    return replace(
        location,
        coordinates=location.coordinates or other.coordinates,
        country=location.country or other.country,
        continent=location.continent or other.continent,
        subdivision=location.subdivision or other.subdivision,
        city=location.city or other.city,
    )


def complete(location: Location) -> Location:
    """`location` with what follows from the rest of it.

    A subdivision tells the country; a country the continent, and for want of better the centroid.
    """
    if location.country is None and location.subdivision is not None:
        location = replace(location, country=location.subdivision[:2])
    country = countries().get(location.country or "")
    if country is None:
        return location
    if location.continent is None:
        location = replace(location, continent=country.continent)
    if location.coordinates is None:
        source = CENTROID if location.source == DATABASE else location.source
        location = replace(location, coordinates=country.centroid, source=source)
    return location


def knows_place(location: Location) -> bool:
    """Whether anything says where this is; an ASN alone does not."""
    return location.coordinates is not None or location.country is not None or location.continent is not None


def _at(record: object, *keys: str) -> object:
    """The value at a path of keys; None where the path ends early."""
    for key in keys:
        if not isinstance(record, dict):
            return None
        record = record.get(key)
    return record


def _texts(record: dict[object, object], *paths: tuple[str, ...]) -> Iterator[str]:
    for path in paths:
        value = _at(record, *path)
        if isinstance(value, str) and (text := value.strip()):
            yield text


def _country(record: dict[object, object]) -> str | None:
    texts = _texts(
        record,
        ("country", "iso_code"),
        ("country_code",),
        ("country",),
        ("country_iso_code",),
        ("registered_country", "iso_code"),
    )
    return next((code for text in texts if _COUNTRY.fullmatch(code := text.upper())), None)


def _continent(record: dict[object, object]) -> str | None:
    for text in _texts(record, ("continent", "code"), ("continent_code",), ("continent",)):
        if (code := text.upper()) in CONTINENTS.values():
            return code
        if named := CONTINENTS.get(text.lower()):
            return named
    return None


def _subdivision(record: dict[object, object], country: str) -> str | None:
    subdivisions = record.get("subdivisions")
    first = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else None
    for value in (_at(first, "iso_code"), record.get("region_code"), record.get("subdivision_code")):
        if isinstance(value, str):
            code = value.strip().upper()
            if _SUBDIVISION.fullmatch(code) and code.startswith(country):
                return code
            if _SUBDIVISION_PART.fullmatch(code):
                return f"{country}-{code}"
    names = (_at(first, "names", "en"), *(record.get(key) for key in ("region", "state1", "stateprov")))
    for value in names:
        if isinstance(value, str) and (name := value.strip()):
            if _SUBDIVISION.fullmatch(name.upper()) and name.upper().startswith(country):
                return name.upper()
            if code_of_name := subdivision_code(country, name):
                return code_of_name
    return None


def _coordinates(record: dict[object, object]) -> Coordinates | None:
    for holder in (record.get("location"), record):
        for latitude_key, longitude_key in (("latitude", "longitude"), ("lat", "lng"), ("lat", "lon")):
            found = _point(_at(holder, latitude_key), _at(holder, longitude_key))
            if found is not None:
                return found
    pair = record.get("loc")
    if isinstance(pair, str) and pair.count(",") == 1:
        return _point(*pair.split(","))
    return None


def _point(latitude: object, longitude: object) -> Coordinates | None:
    north, east = _number(latitude), _number(longitude)
    if north is None or east is None or abs(north) > 90 or abs(east) > 180:
        return None
    # Four decimals are 11 m. Single-precision databases would otherwise show noise in the digits after.
    point = Coordinates(round(north, 4) + 0.0, round(east, 4) + 0.0)
    # Nobody lives at 0, 0 in the Gulf of Guinea: it is how databases write "unknown".
    return None if point == Coordinates(0.0, 0.0) else point


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _asn(record: dict[object, object]) -> int | None:
    for key in ("autonomous_system_number", "asn", "as_number"):
        value = record.get(key)
        if isinstance(value, str):
            match = _ASN.fullmatch(value.strip().upper())
            value = int(match.group(1)) if match else None
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 32:
            return value
    return None


def _city(record: dict[object, object]) -> str | None:
    return next(_texts(record, ("city", "names", "en"), ("city",), ("city_name",)), None)
