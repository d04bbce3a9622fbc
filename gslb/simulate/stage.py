"""Sets the stage for a scenario: the fleet from its file, or made up, and the clients from the databases."""

from __future__ import annotations

from pathlib import Path

from gslb.config import load
from gslb.errors import GslbError
from gslb.fleet import Fleet
from gslb.geo.locator import Locator
from gslb.simulate.made_up import made_up_fleet
from gslb.simulate.outcome import Outcome
from gslb.simulate.population import population
from gslb.simulate.run import run
from gslb.simulate.scenario import FLEET, SHIPPED, Scenario


def play(scenario: Scenario, config: Path | None = None, seed: int = 1) -> Outcome:
    """Run it on the fleet of a file, None for the fleet of the scenarios that come with the package.

    Raises GslbError: the file cannot be used, or says too little, or the scenario names what it has not.
    """
    fleet = _fleet(Path(str(SHIPPED / FLEET)) if config is None else config)
    members = population(Locator(fleet.geo, fleet.networks()), scenario.resolvers)
    if scenario.regions is not None:
        fleet = made_up_fleet(fleet, scenario.regions, members, seed)
    return run(fleet, scenario, members, seed)


def _fleet(file: Path) -> Fleet:
    fleet = load(file)
    if not any(region.capacity for region in fleet.regions.values()):
        raise GslbError(
            f"{file} says of no region how much it can carry",
            hint="add `capacity: REQUESTS_PER_SECOND` to them",
        )
    return fleet
