"""The bundled table of countries: the continent of each, and the point where its people are on average."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from gslb.geo.location import Coordinates

CONTINENTS = {
    "africa": "AF",
    "antarctica": "AN",
    "asia": "AS",
    "europe": "EU",
    "north america": "NA",
    "oceania": "OC",
    "south america": "SA",
}


@dataclass(frozen=True, slots=True)
class Country:
    """continent: two-letter code. centroid: population-weighted (bench/country_centroids.py makes it)."""

    continent: str
    centroid: Coordinates


@cache
def countries() -> Mapping[str, Country]:
    """Every ISO 3166-1 alpha-2 code, and XK (Kosovo), which databases use as well."""
    with (files("gslb.geo") / "data" / "countries.csv").open(encoding="utf-8") as file:
        return MappingProxyType(
            {
                row["country"]: Country(
                    row["continent"], Coordinates(float(row["latitude"]), float(row["longitude"]))
                )
                for row in csv.DictReader(file)
            }
        )
