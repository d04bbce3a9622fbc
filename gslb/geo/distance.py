"""Distance on the Earth's surface, the measure behind "nearest"."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

from gslb.geo.location import Coordinates

# The mean radius of the Earth (IUGG), km. The sphere is within 0.6 % of the ellipsoid, which is far below
# what any location database knows.
EARTH_RADIUS = 6371.0088


def distance(one: Coordinates, other: Coordinates) -> float:
    """Great-circle distance in km between two points, by the haversine formula (exact for near points)."""
    latitude, other_latitude = radians(one.latitude), radians(other.latitude)
    half_height = sin((other_latitude - latitude) / 2)
    half_width = sin(radians(other.longitude - one.longitude) / 2)
    haversine = half_height**2 + cos(latitude) * cos(other_latitude) * half_width**2
    # Rounding can lift the haversine of antipodes just above 1.
    return 2 * EARTH_RADIUS * asin(min(1.0, sqrt(haversine)))
