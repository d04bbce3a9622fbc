"""Scenarios as files: what they may say, and what is said of those that say something else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gslb.errors import ConfigError, GslbError
from gslb.simulate.demand import DemandCourse
from gslb.simulate.scenario import (
    Event,
    Scenario,
    Where,
    check_against,
    find_scenario,
    read_scenario,
    shipped,
)

MINIMUM = "title: Nothing happens\nduration: 60s\nload: 0.5\n"


def scenario_of(tmp_path, text):
    path = tmp_path / "story.yaml"
    path.write_text(text)
    return read_scenario(path)


def faults_of(tmp_path, text):
    with pytest.raises(ConfigError) as raised:
        scenario_of(tmp_path, text)
    return [str(problem).replace(f"{tmp_path}/", "") for problem in raised.value.problems]


def test_every_scenario_that_comes_along_fits_its_fleet(shipped_fleet):
    assert len(shipped()) == 6
    for name in shipped():
        scenario = read_scenario(find_scenario(name))
        check_against(scenario, shipped_fleet)
        assert scenario.description, name


def test_the_story_in_the_documentation_is_one(tmp_path, shipped_fleet):
    page = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text()
    (story,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    scenario = scenario_of(tmp_path, story)
    check_against(scenario, shipped_fleet)
    # It shows everything that there is.
    assert {event.kind for event in scenario.events} == Event.model_fields.keys() - {"at"}
    assert {"regions", "description", "warm_up"} == Scenario.model_fields.keys() - scenario.model_fields_set


def test_a_scenario_is_found_by_name_or_by_file(tmp_path):
    assert find_scenario("drain").name == "drain.yaml"
    own = tmp_path / "own.yaml"
    own.write_text(MINIMUM)
    assert find_scenario(str(own)) == own
    with pytest.raises(GslbError, match=r"no scenario 'nonsense'.*drain"):
        find_scenario("nonsense")


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("{at: 10s}", "an event is one thing"),
        ("{at: 10s, dies: eu-west, returns: eu-west}", "an event is one thing"),
        ("{at: 2m, dies: eu-west}", "the scenario is over by then"),
        ("{at: 10s, flaps: {region: eu-west, every: 10s, down: 10s, until: 50s}}", "it would never be there"),
        ("{at: 10s, demand: {times: 2, where: {continent: XX}}}", "there is no such continent"),
        ("{at: 10s, demand: {times: 2, where: {country: XX}}}", "there is no such country"),
        ("{at: 10s, explodes: eu-west}", "explodes"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, event, told):
    (fault,) = faults_of(tmp_path, f"{MINIMUM}events:\n  - {event}\n")
    assert fault.startswith("story.yaml:5:")
    assert told in fault


def test_no_operator_is_heard_while_redis_is_away(tmp_path):
    events = "events:\n  - {at: 30s, drain: eu-west}\n  - {at: 10s, redis: lost}\n"
    (fault,) = faults_of(tmp_path, MINIMUM + events)
    assert "Redis is away then" in fault
    assert scenario_of(tmp_path, MINIMUM + events + "  - {at: 20s, redis: returns}\n").events


def test_a_region_that_the_fleet_does_not_have_is_told(tmp_path, shipped_fleet):
    scenario = scenario_of(tmp_path, MINIMUM + "events: [{at: 1s, dies: atlantis}]\n")
    with pytest.raises(GslbError, match=r"no region 'atlantis'.*us-east"):
        check_against(scenario, shipped_fleet)
    with pytest.raises(GslbError, match=r"no service 'ftp'.*www\.example\.net"):
        check_against(scenario.model_copy(update={"events": (), "service": "ftp"}), shipped_fleet)


def test_demand_rises_step_by_step_and_each_change_sets_out_from_the_one_before(tmp_path):
    europe, everybody = Where(continent="EU"), Where()
    scenario = scenario_of(
        tmp_path,
        MINIMUM
        + """
events:
  - {at: 10s, demand: {times: 3, over: 20s, where: {continent: EU}}}
  - {at: 20s, demand: {times: 1, over: 10s, where: {continent: EU}}}
  - {at: 40s, demand: {times: 0.5}}
""",
    )
    course = DemandCourse(scenario, [frozenset({europe, everybody}), frozenset({everybody})])
    told = [course.at(at) for at in (0, 10, 15, 20, 25, 30, 39, 40)]
    assert [round(in_europe, 6) for in_europe, _ in told] == [1, 1, 1.5, 2, 1.5, 1, 1, 0.5]
    assert [elsewhere for _, elsewhere in told] == [1, 1, 1, 1, 1, 1, 1, 0.5]
