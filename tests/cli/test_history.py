"""What the stream of events tells: its lines, what is wanted of it, and the world as it was."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fleets import fleet
from hypothesis import given
from hypothesis import strategies as st

from gslb.cli.history import go_on, line, past_document, selected
from gslb.clock import iso
from gslb.errors import StoreError
from gslb.history import Entry, Wanted, as_it_was, entries_of, entry_of, newer
from gslb.world import Verdict

FLEET = fleet(services=("www.shop.test", "api.shop.test"))
T = 1_800_000_000.0


def event(at: float, kind: str, region: str = "", text: str = "", **more: str) -> dict[str, str]:
    return {"at": iso(T + at), "kind": kind, "region": region, "text": text, **more}


def verdict(at: float, region: str, state: str, why: str = "connection refused") -> dict[str, str]:
    return event(at, "verdict", region, f"{region} is {state}: {why}", state=state)


def past(at: float, *events: dict[str, str]):
    """As it was `at`; events oldest first."""
    return as_it_was(entries_of(events[::-1]), FLEET, T + at)


def test_a_region_was_what_was_last_said_of_it():
    events = (
        verdict(0, "eu-west", "up", "200 in 12 ms"),
        verdict(60, "eu-west", "down"),
        verdict(120, "eu-west", "up", "200 in 9 ms"),
    )
    (eu_west,) = (each for each in past(90, *events).regions if each.region == "eu-west")
    assert (eu_west.verdict, eu_west.since, eu_west.why) == (Verdict.DOWN, T + 60, "connection refused")
    (eu_west,) = (each for each in past(120, *events).regions if each.region == "eu-west")
    assert eu_west.verdict is Verdict.UP
    assert past(90, *events).begins == T


def test_what_is_older_than_the_history_is_not_known():
    told = past(-10, verdict(0, "eu-west", "up"))
    assert [each.verdict for each in told.regions] == [None, None, None]
    assert "no verdict of it so early" in told.regions[0].why
    assert past(0).begins is None


def test_words_were_in_force_until_they_ended_or_were_cleared():
    events = (
        event(0, "override", "eu-west", "eu-west drained by ana", state="drain"),
        event(
            10, "override", "", "www.shop.test held as it is by ben", service="www.shop.test", state="hold"
        ),
        event(
            20,
            "override",
            "us-east",
            f"us-east given weight 0.25 by ana until {iso(T + 50)}: new cables",
            state="weight",
            weight="0.25",
            until=iso(T + 50),
        ),
        event(30, "override_cleared", "eu-west", "the override of eu-west was cleared by ana"),
    )

    def in_force(at: float) -> list[tuple[str, str, str]]:
        return [(each.region, each.service, each.state) for each in past(at, *events).words]

    drain, hold, weight = ("eu-west", "", "drain"), ("", "www.shop.test", "hold"), ("us-east", "", "weight")
    assert in_force(5) == [drain]
    assert in_force(25) == [drain, hold, weight]
    assert in_force(35) == [hold, weight]
    assert in_force(50) == [hold]
    assert past(25, *events).words[2].weight == 0.25


def test_a_word_that_was_cleared_later_was_there_before_the_history_begins():
    events = (
        verdict(0, "eu-west", "up"),
        event(60, "override_cleared", "eu-west", "the override of eu-west was cleared by ana"),
    )
    (word,) = past(30, *events).words
    assert (word.region, word.state, word.since) == ("eu-west", "", None)
    assert past(60, *events).words == ()


def test_intakes_are_told_in_their_sentence():
    events = (
        event(0, "intake", "eu-west", "eu-west gives clients away: 91 % of its capacity"),
        event(60, "intake", "eu-west", "eu-west takes whoever comes again"),
    )
    intakes = {each.region: each.intake for each in past(30, *events).regions}
    assert intakes == {
        "us-east": "",
        "eu-west": "eu-west gives clients away: 91 % of its capacity",
        "ap-southeast": "",
    }


def test_regions_that_the_file_does_not_declare_any_more_are_told():
    assert [each.region for each in past(10, verdict(0, "sa-east", "up")).regions][-1] == "sa-east"


@pytest.mark.parametrize(
    ("fields", "state", "until"),
    [
        (event(0, "verdict", "eu-west", "eu-west is down: timed out: 2 s"), "down", None),
        (event(0, "verdict", "eu-west", "something else"), "", None),
        (event(0, "override", "eu-west", "eu-west drained by ana@desk"), "drain", None),
        (event(0, "override", "eu-west", f"eu-west forced up by a until {iso(T)}: b"), "forced_up", T),
        (event(0, "override", "eu-west", f"eu-west forced down by a: until {iso(T)}"), "forced_down", None),
        (event(0, "override", "eu-west", "something else"), "", None),
        (event(0, "override", "eu-west", "", until="soon", weight="much", state="weight"), "weight", None),
    ],
)
def test_events_of_older_versions_tell_what_their_text_tells(fields, state, until):
    entry = entry_of(fields)
    assert (entry.state, entry.until, entry.weight) == (state, until, None)


FIELDS = st.dictionaries(
    st.sampled_from(["at", "kind", "region", "service", "text", "state", "until", "weight"]),
    st.one_of(
        st.text(max_size=30),
        st.sampled_from([iso(T), "verdict", "override", "override_cleared", "intake", "eu-west", "down"]),
    ),
)


@given(st.lists(FIELDS), st.floats(T - 1e6, T + 1e6))
def test_whatever_stands_in_the_stream_is_no_trouble(stream, at):
    told = as_it_was(entries_of(stream), FLEET, at)
    assert {each.region for each in told.regions} >= set(FLEET.regions)
    json.dumps(past_document(told))
    for fields in selected(stream, Wanted(), FLEET):
        assert "\n" not in line(fields, as_json=False)


EVENTS = [
    verdict(0, "eu-west", "down"),
    event(10, "override", "us-east", "us-east drained by ana", state="drain"),
    event(20, "override_cleared", "us-east", "the override of us-east was cleared"),
    event(30, "override", "", "www.shop.test drained by ana", service="www.shop.test", state="drain"),
    event(40, "observer_joined", "", "ns1 observes the regions"),
]


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        (Wanted(), [0, 1, 2, 3, 4]),
        (Wanted(region="us-east"), [1, 2, 3]),
        (Wanted(region="nowhere"), []),
        (Wanted(service="www.shop.test"), [3]),
        (Wanted(kinds=("override",)), [1, 2, 3]),
        (Wanted(kinds=("override_cleared", "observer")), [2, 4]),
        (Wanted(since=T + 10, until=T + 30), [1, 2, 3]),
        (Wanted(region="us-east", kinds=("override",), until=T + 10), [1]),
    ],
)
def test_only_what_is_wanted_is_shown(wanted, places):
    assert selected(EVENTS[::-1], wanted, FLEET) == [EVENTS[place] for place in places]
    assert wanted.everything == (wanted == Wanted())


def test_a_region_is_concerned_by_words_on_its_services_alone():
    elsewhere = replace(FLEET.services["www.shop.test"], regions=("eu-west",))
    fleet_elsewhere = replace(FLEET, services={elsewhere.name: elsewhere})
    entry = Entry(T, "override", "", service=elsewhere.name)
    assert Wanted(region="eu-west").has(entry, fleet_elsewhere)
    assert not Wanted(region="us-east").has(entry, fleet_elsewhere)


@given(st.lists(st.integers(), unique=True), st.integers(0, 20), st.integers(1, 30))
def test_following_tells_each_event_once(numbers, new, kept):
    stream = [{"n": str(number)} for number in numbers]
    known, latest = stream[new:][:kept], stream[:kept]
    missed = len(latest) == new >= kept or not known
    assert newer(latest, known) == (len(latest) if missed else min(new, len(latest)))


class _EndError(Exception):
    pass


def test_following_goes_on_while_redis_is_away(capsys):
    one, two, three = (verdict(at, "eu-west", "up") for at in (0, 1, 2))
    readings: list[list[dict[str, str]] | StoreError] = [
        [one],
        [two, one],
        StoreError("away"),
        StoreError("away"),
        [three],
        [three],
    ]
    shown: list[list[dict[str, str]]] = []

    def read() -> list[dict[str, str]]:
        reading = readings.pop(0)
        if isinstance(reading, StoreError):
            raise reading
        return reading

    def pause() -> None:
        if not readings:
            raise _EndError

    with pytest.raises(_EndError):
        go_on(read, shown.append, pause)
    assert shown == [[two], [three]]
    assert capsys.readouterr().err == "gslb: away; it is tried again\n"
