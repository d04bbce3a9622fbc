from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gslb.geo.distance import EARTH_RADIUS, distance
from gslb.geo.location import Coordinates

points = st.builds(Coordinates, st.floats(-90, 90), st.floats(-180, 180))


@pytest.mark.parametrize(
    ("one", "other", "kilometres"),
    [
        ((51.4700, -0.4543), (40.6413, -73.7781), 5540),  # Heathrow, Kennedy
        ((1.3644, 103.9915), (-33.9399, 151.1753), 6300),  # Changi, Sydney
        ((0, 179), (0, -179), 222.4),  # across the date line
        ((90, 0), (-90, 123), 20015),  # pole to pole
    ],
)
def test_known_distances(one: tuple[float, float], other: tuple[float, float], kilometres: float) -> None:
    assert distance(Coordinates(*one), Coordinates(*other)) == pytest.approx(kilometres, rel=2e-3)


@given(points, points)
def test_is_a_bounded_symmetric_measure(one: Coordinates, other: Coordinates) -> None:
    assert distance(one, other) == pytest.approx(distance(other, one), abs=1e-6)
    assert 0 <= distance(one, other) <= EARTH_RADIUS * 3.1416
    assert distance(one, one) == 0


@given(points, points, points)
def test_no_detour_is_shorter(one: Coordinates, other: Coordinates, via: Coordinates) -> None:
    assert distance(one, other) <= distance(one, via) + distance(via, other) + 1e-3
