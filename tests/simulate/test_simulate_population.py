"""The world's clients, as simulations and dry runs have them."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import ip_network

import pytest

from gslb.fleet import GeoSettings, LocationOverride
from gslb.geo.countries import countries
from gslb.geo.location import Coordinates, Location
from gslb.geo.locator import Locator
from gslb.policy.share import share_of
from gslb.simulate.population import internet_users, population


def by_country(members):
    weights = defaultdict(float)
    for member in members:
        weights[member.country] += member.weight
    return weights


def test_countries_have_as_many_clients_as_they_have_internet_users(located):
    users = internet_users()
    weights = by_country(population(located, 2000))
    assert sum(weights.values()) == pytest.approx(1.0)
    for country in ("CN", "IN", "US", "BR", "DE", "NG"):
        assert weights[country] == pytest.approx(users[country] / sum(users.values()), rel=0.001)


def test_no_country_is_forgotten_however_few_clients_there_are(located):
    assert by_country(population(located, 10)).keys() == by_country(population(located, 2000)).keys()


def test_there_are_about_as_many_as_were_asked_for(located):
    assert len(population(located, 5000)) == pytest.approx(5000, rel=0.05)


def test_clients_are_where_look_ups_find_them_and_in_the_shares_that_answers_go_by(located):
    for member in population(located, 500):
        assert member.client.located == located.locate(member.client.address)
        assert member.client.location.country == member.country
        assert member.client.share == share_of(member.client.address)


def test_large_countries_have_clients_in_many_places(located):
    places = defaultdict(set)
    for member in population(located, 3000):
        places[member.country].add(member.client.location.coordinates)
    assert len(places["US"]) > 50
    assert len(places["IN"]) > 50


def test_the_same_databases_give_the_same_clients(located):
    assert population(located, 700) == population(Locator(GeoSettings()), 700)


def test_private_addresses_are_nobodys_though_the_operator_places_them():
    home = Location("default", Coordinates(52.5, 13.4), country="DE", continent="EU")
    office = LocationOverride(ip_network("10.0.0.0/8"), Location("override", country="DE"))
    locator = Locator(GeoSettings(default=home, overrides=(office,)))
    of_country = [member for member in population(locator, 5000) if member.country == "DE"]
    assert of_country
    assert all(member.client.address.is_global for member in of_country)


def test_the_table_of_internet_users_is_of_countries_that_there_are():
    users = internet_users()
    assert users.keys() <= countries().keys()
    assert min(users.values()) > 0
    assert 5000 < sum(users.values()) < 6000
