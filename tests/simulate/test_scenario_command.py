"""`gslb simulate run`: what people, programs and pictures are told of a scenario."""

from __future__ import annotations

import json
from math import inf

import pytest
from typer.testing import CliRunner

from gslb.cli.simulate import app
from gslb.errors import ConfigError, GslbError
from gslb.simulate.made_up import made_up_fleet
from gslb.simulate.outcome import Outcome, RegionSecond, Second
from gslb.simulate.run import run
from gslb.simulate.scenario import Event, Scenario, find_scenario, read_scenario
from gslb.simulate.table import bars, most_eventful

SMALL = """
title: eu-central is lost
duration: 60s
warm_up: 20s
load: 0.5
resolvers: 300
nodes: 1
events: [{at: 10s, dies: eu-central}]
"""


@pytest.fixture
def story(tmp_path):
    path = tmp_path / "story.yaml"
    path.write_text(SMALL)
    return path


def simulate(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)


def test_it_tells_what_happened_in_a_chart_and_in_few_numbers(story):
    told = simulate("run", story)
    assert told.exit_code == 0
    assert "eu-central is lost: 1000000 clients, 9 regions, 60 seconds." in told.output
    assert "10 s  eu-central dies" in told.output
    (line,) = [line for line in told.output.splitlines() if line.startswith("eu-central  ")]
    assert "xxx" in line
    assert "avoidable overload   0 s" in told.output


def test_as_json_it_tells_everything(story):
    told = json.loads(simulate("run", story, "--json").output)
    assert told["summary"]["errors"] > 0
    assert told["summary"]["clients"] == 1_000_000
    assert told["events"] == [{"at": 10, "what": "eu-central dies"}]
    course = told["regions"]["eu-central"]
    assert len(course["requests"]) == 60
    assert course["errors"][5] == 0
    assert course["errors"][11] == course["requests"][11] > 0


@pytest.mark.long
def test_the_same_seed_draws_the_same_picture_byte_by_byte(story, tmp_path):
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    for drawing in (one, two):
        assert simulate("run", story, "--picture", drawing, "--seed", 7).exit_code == 0
    assert one.read_bytes() == two.read_bytes()
    assert "eu-central is lost" in one.read_text()


def test_a_picture_of_another_kind_is_refused_before_anything_is_run(story, tmp_path):
    with pytest.raises(GslbError, match=r"story\.pdf is not a kind of picture"):
        simulate("run", story, "--picture", tmp_path / "story.pdf")


def test_a_fleet_of_ones_own_can_be_tried(story, tmp_path):
    shipped = find_scenario("drain").with_name("fleet.yaml").read_text()
    own = tmp_path / "regions.yaml"
    own.write_text(shipped.replace("capacity: 16000", "capacity: 32000"))
    told = json.loads(simulate("run", story, "--config", own, "--json").output)
    assert told["capacities"]["eu-central"] == 32000
    with pytest.raises(ConfigError, match="does not exist"):
        simulate("run", story, "--config", tmp_path / "missing.yaml")


def test_a_fleet_that_says_of_no_region_what_it_carries_cannot_be_simulated(story, tmp_path):
    own = tmp_path / "regions.yaml"
    own.write_text(
        "regions:\n  eu-central:\n    coordinates: {latitude: 50.1, longitude: 8.7}\n"
        "    edges: [{addresses: [192.0.2.1], port: 443}]\n"
    )
    with pytest.raises(GslbError, match="says of no region how much it can carry"):
        simulate("run", story, "--config", own)


def test_scenarios_are_listed_with_what_they_are_about():
    lines = simulate("scenarios").output.splitlines()
    assert len(lines) == 6
    for line in lines:
        name, title = line.split(maxsplit=1)
        assert read_scenario(find_scenario(name)).title == title


def test_a_fleet_can_be_made_up_of_any_size(shipped_fleet, members):
    fleet = made_up_fleet(shipped_fleet, 40, members)
    assert list(fleet.regions)[::39] == ["r001", "r040"]
    assert len({region.coordinates for region in fleet.regions.values()}) == 40
    assert made_up_fleet(shipped_fleet, 40, members) == fleet
    story = Scenario(
        title="many",
        duration=60,
        warm_up=20,
        load=0.5,
        nodes=1,
        events=(Event(at=10, dies="r001"),),
    )
    outcome = run(fleet, story, members)
    assert outcome.recovery > 0
    assert outcome.seconds[-1].errors == 0
    with pytest.raises(GslbError, match="more than there are places"):
        made_up_fleet(shipped_fleet, 100_000, members)


def second(at, *utilisations, errors=0.0, fits=True):
    regions = tuple(RegionSecond(100.0, 0.0, each, 0.05) for each in utilisations)
    return Second(at, regions, errors, moved=0, needlessly=0, fits=fits)


def test_trouble_that_returns_at_once_was_never_over():
    bad = {3, 4, 9, 30, 31}
    seconds = [second(at, 0.5, 1.2 if at in bad else 0.5) for at in range(60)]
    outcome = Outcome("", ("a", "b"), 1, seconds)
    assert outcome.avoidable_overload == len(bad)
    assert outcome.recovery == 9 - 3 + 1
    assert outcome.worst == 1.2


def test_what_the_whole_fleet_cannot_carry_is_no_avoidable_overload():
    seconds = [second(at, 1.2, 1.2, errors=40.0, fits=False) for at in range(10)]
    assert Outcome("", ("a", "b"), 1, seconds).avoidable_overload == 0
    assert Outcome("", ("a", "b"), 1, seconds).recovery == 0
    assert Outcome("", ("a", "b"), 1, seconds).errors == 400.0


def test_the_chart_shows_the_worst_of_each_part_of_the_time():
    assert bars([0.0, 0.1, 0.5, 1.0, 1.5, inf], 6) == "▁▁▅█!x"
    assert bars([0.0, 0.1, 0.5, 1.0, 1.5, inf], 2) == "▅x"
    assert bars([0.2], 40) == "▂"


def test_the_chart_shows_those_who_went_through_most():
    seconds = [second(0, 0.1, 0.5, 0.9), second(1, 0.8, 0.5, 0.6)]
    outcome = Outcome("", ("a", "b", "c"), 1, seconds)
    assert most_eventful(outcome, 2) == [0, 2]
    assert most_eventful(outcome, 5) == [0, 1, 2]
