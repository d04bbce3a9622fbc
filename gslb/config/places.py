"""The operator's words on where something is: coordinates, country, continent, subdivision, ASN."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, PlainValidator, WithJsonSchema, model_validator

from gslb.config.suggest import remedy
from gslb.config.values import Network, parse_number, parse_whole_number, text_of
from gslb.config.wrong_value import WrongError
from gslb.geo.countries import CONTINENTS, countries
from gslb.geo.location import Coordinates, Location

_CONTINENT_CODES = frozenset(CONTINENTS.values())
_OFTEN_MEANT = {"UK": "GB", "EL": "GR", "EN": "GB", "KO": "KR", "SWE": "SE"}
_SUBDIVISION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}", re.ASCII)
_MAXIMUM_ASN = 2**32 - 1


def parse_country(value: object) -> str:
    """An ISO 3166-1 alpha-2 code (or XK), upper case. Raises WrongError."""
    if value is False:
        raise WrongError("must be a country code", 'for Norway write "NO", in quotes')
    text = text_of(value)
    code = text.strip().upper()
    if code in countries():
        return code
    meant = _OFTEN_MEANT.get(code) or _country_named(text)
    if meant:
        raise WrongError("{value} is not an ISO 3166-1 country code", derived=f"did you mean {meant}?")
    if code in _CONTINENT_CODES:
        raise WrongError("{value} is a continent, not a country", derived=f"write continent: {code}")
    raise WrongError("{value} is not an ISO 3166-1 country code", "write two letters: GB, US, JP")


def _country_named(text: str) -> str | None:
    import pycountry

    name = text.strip().casefold()
    for country in pycountry.countries:
        names = (country.name, country.alpha_3, getattr(country, "common_name", ""))
        if name in (each.casefold() for each in names):
            return str(country.alpha_2)
    return None


def parse_continent(value: object) -> str:
    """A two-letter continent code, upper case. Raises WrongError."""
    text = text_of(value)
    code = text.strip().upper()
    if code in _CONTINENT_CODES:
        return code
    named = CONTINENTS.get(text.strip().lower())
    hint = "continents: " + ", ".join(sorted(_CONTINENT_CODES))
    derived = f"did you mean {named}?" if named else ""
    raise WrongError("{value} is not a continent code", hint, derived=derived)


def parse_subdivision(value: object) -> str:
    """An ISO 3166-2 code, upper case. Raises WrongError."""
    text = text_of(value)
    code = text.strip().upper()
    if not _SUBDIVISION.fullmatch(code):
        hint = "write country, hyphen and part: US-CA, DE-BY"
        raise WrongError("{value} is not an ISO 3166-2 subdivision code", hint)
    import pycountry

    known = sorted(part.code for part in pycountry.subdivisions if part.code.startswith(code[:3]))
    if code not in known:
        derived = remedy(code, known, f"subdivisions of {code[:2]}") if known else ""
        hint = "write country, hyphen and part: US-CA, DE-BY"
        raise WrongError("{value} is not an ISO 3166-2 subdivision code", hint, derived=derived)
    return code


def parse_asn(value: object) -> int:
    """An autonomous system number, as a number or as `AS64500` (RFC 5396). Raises WrongError."""
    plain = re.sub(r"(?i)^\s*as(?=\d)", "", value) if isinstance(value, str) else value
    number = parse_whole_number(plain)
    if not 0 <= number <= _MAXIMUM_ASN:
        raise WrongError("{value} is not an AS number", f"they are 0 to {_MAXIMUM_ASN}")
    return number


def _parse_degrees(value: object, limit: float, what: str) -> float:
    try:
        number = parse_number(value)
    except WrongError:
        raise WrongError(
            "{value} is not a number of degrees", "write decimal degrees: 53.35, -6.26"
        ) from None
    if not -limit <= number <= limit:
        raise WrongError(f"{{value}} is not a {what}", f"{what}s are -{limit:g} to {limit:g} degrees")
    return number


def parse_latitude(value: object) -> float:
    """Degrees north, -90 to 90. Raises WrongError."""
    return _parse_degrees(value, 90, "latitude")


def parse_longitude(value: object) -> float:
    """Degrees east, -180 to 180. Raises WrongError."""
    return _parse_degrees(value, 180, "longitude")


def _code(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


_LATITUDE_SCHEMA: dict[str, Any] = {"type": "number", "minimum": -90, "maximum": 90}
_LONGITUDE_SCHEMA: dict[str, Any] = {"type": "number", "minimum": -180, "maximum": 180}
_ASN_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": _MAXIMUM_ASN},
        {"type": "string", "pattern": "^[Aa][Ss]\\d+$"},
    ]
}

Latitude = Annotated[float, PlainValidator(parse_latitude), WithJsonSchema(_LATITUDE_SCHEMA)]
Longitude = Annotated[float, PlainValidator(parse_longitude), WithJsonSchema(_LONGITUDE_SCHEMA)]
Country = Annotated[str, PlainValidator(parse_country), _code("^[A-Za-z]{2}$|\\$\\{", "GB")]
Continent = Annotated[str, PlainValidator(parse_continent), _code("^[A-Za-z]{2}$|\\$\\{", "EU")]
Subdivision = Annotated[
    str, PlainValidator(parse_subdivision), _code("^[A-Za-z]{2}-[A-Za-z0-9]{1,3}$|\\$\\{", "US-CA")
]
AutonomousSystem = Annotated[int, PlainValidator(parse_asn), WithJsonSchema(_ASN_SCHEMA)]


class CoordinatesEntry(BaseModel, extra="forbid", frozen=True):
    """A point on the Earth: {latitude, longitude}, or a list of the two."""

    latitude: Latitude = Field(description="degrees north, -90 to 90")
    longitude: Longitude = Field(description="degrees east, -180 to 180")

    @model_validator(mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        if not isinstance(value, list):
            return value
        if len(value) != 2:
            raise WrongError(
                "must be two numbers, and here are " + str(len(value)), "write [latitude, longitude]"
            )
        return {"latitude": value[0], "longitude": value[1]}

    def coordinates(self) -> Coordinates:
        return Coordinates(self.latitude, self.longitude)


class LocationEntry(BaseModel, extra="forbid", frozen=True):
    """A place; whatever is left out is unknown, but coordinates follow from a country when they are."""

    country: Country | None = Field(None, description="ISO 3166-1 alpha-2 code: `GB`")
    continent: Continent | None = Field(None, description="`AF`, `AN`, `AS`, `EU`, `NA`, `OC` or `SA`")
    subdivision: Subdivision | None = Field(None, description="ISO 3166-2 code: `US-CA`")
    latitude: Latitude | None = Field(None, description="degrees north; together with `longitude`")
    longitude: Longitude | None = Field(None, description="degrees east; together with `latitude`")
    asn: AutonomousSystem | None = Field(None, description="autonomous system number: `64500` or `AS64500`")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            lacking = "latitude" if self.latitude is None else "longitude"
            raise WrongError(f"has no {lacking}", "latitude and longitude come together")
        if self.subdivision and self.country and not self.subdivision.startswith(self.country):
            raise WrongError(
                "the subdivision is not a part of the country", "one of the two is wrong; leave it out"
            )
        return self

    def location(self, source: str) -> Location:
        """The location; country and continent follow from what is more exact."""
        coordinates = None
        if self.latitude is not None and self.longitude is not None:
            coordinates = Coordinates(self.latitude, self.longitude)
        country = self.country or (self.subdivision[:2] if self.subdivision else None)
        continent = self.continent
        if continent is None and country is not None and country in countries():
            continent = countries()[country].continent
        return Location(source, coordinates, country, continent, self.subdivision, self.asn)


class OverrideEntry(LocationEntry):
    """The operator's word on where a network is; at least one thing must be said."""

    network: Network = Field(description="the network, in CIDR notation")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set - {"network"}:
            raise WrongError(
                "says nothing of the network", "add country, continent, subdivision, asn or coordinates"
            )
        return self
