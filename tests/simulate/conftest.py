"""The fleet of the scenarios that come with the package, and clients for it, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gslb.config import load
from gslb.fleet import GeoSettings
from gslb.geo.locator import Locator
from gslb.simulate.population import population
from gslb.simulate.scenario import FLEET, SHIPPED


@pytest.fixture(scope="session")
def located():
    locator = Locator(GeoSettings())
    locator.map_networks()
    return locator


@pytest.fixture(scope="session")
def members(located):
    return population(located, 1000)


@pytest.fixture(scope="session")
def shipped_fleet():
    return load(Path(str(SHIPPED / FLEET)))
