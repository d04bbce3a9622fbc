"""Majorities, ties and abstentions; and that neither order nor repetition of what arrives matters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_fleet import observation, small_fleet

from gslb.fleet import Fleet, Quorum, Service
from gslb.health.fold import fold_world
from gslb.health.quorum import NOT_OBSERVED, conclude
from gslb.world import (
    EVERYBODY,
    Intake,
    Observation,
    Override,
    OverrideKind,
    Report,
    TargetState,
    Verdict,
    World,
)

T = "eu-west/192.0.2.1"
US4, US6 = "us-east/198.51.100.1", "us-east/2001:db8::1"
ALL = Quorum(1.0, strict=False)
UP, DOWN, UNKNOWN = Verdict.UP, Verdict.DOWN, Verdict.UNKNOWN


def verdict_of(*verdicts: Verdict) -> TargetState:
    return conclude(
        T, [observation(observer=f"ns{number}", verdict=each) for number, each in enumerate(verdicts)]
    )


@pytest.mark.parametrize(
    ("verdicts", "expected", "reason"),
    [
        ([], UNKNOWN, NOT_OBSERVED),
        ([UNKNOWN, UNKNOWN], UNKNOWN, NOT_OBSERVED),
        ([UP], UP, "1 of 1 observer: 200"),
        ([DOWN], DOWN, "1 of 1 observer: connection refused"),
        ([UP, DOWN], UP, "1 of 2 observers: 200"),
        ([UP, DOWN, DOWN], DOWN, "2 of 3 observers: connection refused"),
        ([UP, UP, DOWN, DOWN], UP, "2 of 4 observers: 200"),
        ([UP, DOWN, DOWN, UNKNOWN, UNKNOWN], DOWN, "2 of 3 observers: connection refused"),
        ([DOWN, UNKNOWN], DOWN, "1 of 1 observer: connection refused"),
    ],
)
def test_the_majority_of_opinions(verdicts: list[Verdict], expected: Verdict, reason: str) -> None:
    state = verdict_of(*verdicts)
    assert (state.verdict, state.reason) == (expected, reason)
    assert len(state.observations) == len(verdicts)


@pytest.mark.parametrize(
    ("up_since", "down_since", "expected"),
    [
        ([], [10, 30, 20], 20),  # the second of three makes the majority
        ([], [10, 40], 40),  # of two, both are needed to go down ...
        ([10, 40], [], 10),  # ... and one suffices to stay up
        ([5], [10, 30, 20], 30),  # three of four
        ([30, 10, 20], [5], 20),
    ],
)
def test_since_is_when_the_majority_was_reached(
    up_since: list[float], down_since: list[float], expected: float
) -> None:
    voices = [
        observation(observer=f"up{number}", verdict=UP, since=since) for number, since in enumerate(up_since)
    ] + [
        observation(observer=f"down{number}", verdict=DOWN, since=since)
        for number, since in enumerate(down_since)
    ]
    assert conclude(T, voices).since == expected


def test_it_could_flip_when_the_first_observer_could() -> None:
    voices = [observation(observer="a", flip_in=3.0), observation(observer="b", flip_in=1.0)]
    assert conclude(T, voices).flip_in == 1.0


def test_the_commonest_reason_is_given() -> None:
    voices = [
        observation(observer="a", verdict=DOWN, reason="timeout after 500 ms"),
        observation(observer="b", verdict=DOWN, reason="connection refused"),
        observation(observer="c", verdict=DOWN, reason="connection refused"),
    ]
    assert conclude(T, voices).reason == "3 of 3 observers: connection refused"


def test_of_one_observer_the_newest_counts() -> None:
    old, new = observation(epoch=1, sequence=99), observation(verdict=DOWN, epoch=2, sequence=1)
    assert conclude(T, [new, old]).observations == (new,)


OBSERVATIONS = st.lists(
    st.builds(
        observation,
        target=st.sampled_from([T, US4, US6, "mars/203.0.113.1"]),
        observer=st.sampled_from(["ns1", "ns2", "ns3", "ns4"]),
        verdict=st.sampled_from(Verdict),
        reason=st.sampled_from(["200 in 1 ms", "200 in 2 ms", "timeout"]),
        since=st.sampled_from([10.0, 20.0, 30.0]),
        flip_in=st.sampled_from([1.0, 2.0]),
        epoch=st.integers(1, 2),
        sequence=st.integers(1, 2),
    ),
    max_size=12,
)


def fold(
    observations: list[Observation], *, overrides: tuple[Override, ...] = (), reports: tuple[Report, ...] = ()
) -> World:
    return fold_world(small_fleet(), observations, reports, overrides, at=50.0, store_read_at=None)


@given(OBSERVATIONS, st.data())
def test_order_and_repetition_do_not_matter(observations: list[Observation], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(observations))
    repeated = data.draw(st.lists(st.sampled_from(observations), max_size=4)) if observations else []
    assert fold(observations) == fold([*repeated, *shuffled])


@given(OBSERVATIONS, st.data())
def test_one_more_vote_for_up_never_brings_a_target_down(
    observations: list[Observation], data: st.DataObject
) -> None:
    of_target = [each for each in observations if each.target == T]
    before = conclude(T, of_target)
    after = conclude(T, [*of_target, observation(observer="ns9", verdict=UP)])
    assert after.verdict is UP or before.verdict is not UP
    without = data.draw(st.sampled_from(["ns1", "ns2", "ns3", "ns4"]))
    silent = conclude(T, [each for each in of_target if each.observer != without])
    cut_off = conclude(
        T, [replace(each, verdict=UNKNOWN) if each.observer == without else each for each in of_target]
    )
    assert (silent.verdict, silent.since) == (cut_off.verdict, cut_off.since), "silence and UNKNOWN abstain"


@pytest.mark.parametrize(
    ("four", "six", "expected", "since"),
    [
        (None, None, UNKNOWN, 0.0),
        (UP, UP, UP, 10.0),
        (DOWN, UP, UP, 20.0),
        (UP, None, UP, 10.0),
        (DOWN, DOWN, DOWN, 20.0),
        (DOWN, None, UNKNOWN, 0.0),
    ],
)
def test_a_region_is_up_with_one_address_and_down_without_any(
    four: Verdict | None, six: Verdict | None, expected: Verdict, since: float
) -> None:
    observations = []
    if four is not None:
        observations.append(observation(target=US4, verdict=four, since=10.0))
    if six is not None:
        observations.append(observation(target=US6, verdict=six, since=20.0))
    state = fold(observations).region("us-east")
    assert (state.verdict, state.since) == (expected, since)
    assert list(state.targets) == ["198.51.100.1", "2001:db8::1"]


def test_a_region_of_several_addresses_says_how_many_and_which() -> None:
    half = fold([observation(target=US4), observation(target=US6, verdict=DOWN)]).region("us-east")
    assert half.reason == ("1 of 2 addresses up; 2001:db8::1 is down, 1 of 1 observer: connection refused")
    whole = fold([observation(target=US4), observation(target=US6)]).region("us-east")
    assert whole.reason == "2 of 2 addresses up"
    assert fold([]).region("us-east").reason == NOT_OBSERVED


def override(region: str = "eu-west", since: float = 1.0, until: float | None = None) -> Override:
    return Override(region, OverrideKind.DRAIN, "ana", "cables", since, until)


def test_overrides_stand_beside_the_real_state_until_their_end() -> None:
    for until, stands in ((None, True), (50.001, True), (50.0, False), (49.0, False)):
        state = fold([observation()], overrides=(override(until=until),)).region("eu-west")
        assert state.verdict is UP
        assert (state.override is not None) == stands
        assert state.eligible != stands


def test_of_several_overrides_the_latest_counts_in_any_order() -> None:
    old, new = override(since=1.0), override(since=2.0)
    for overrides in ((old, new), (new, old)):
        assert fold([], overrides=overrides).region("eu-west").override == new


SHOP, API = "www.shop.example", "api.shop.example"


def fleet_with_services() -> Fleet:
    """The shop is answered from both regions, the API from one."""
    regions = {SHOP: ("eu-west", "us-east"), API: ("eu-west",)}
    services = {name: Service(name, "shop.example", where, ()) for name, where in regions.items()}
    return replace(small_fleet(), services=services)


@pytest.mark.parametrize(
    ("said", "of_service", "expected"),
    [
        # By region: the kind of the word on the service that counts there.
        ([("eu-west", SHOP, "drain")], SHOP, {"eu-west": "drain"}),
        ([("", SHOP, "drain")], SHOP, {"eu-west": "drain", "us-east": "drain"}),
        ([("", SHOP, "drain"), ("eu-west", SHOP, "hold")], SHOP, {"eu-west": "hold", "us-east": "drain"}),
        ([("", API, "drain")], API, {"eu-west": "drain"}),
        ([("us-east", API, "drain")], API, {"us-east": "drain"}),
        ([("", SHOP, "drain")], API, {}),
        ([("eu-west", "", "drain")], SHOP, {}),
    ],
)
def test_what_is_said_of_a_service_here_beats_what_is_said_of_it_everywhere(
    said: list[tuple[str, str, str]], of_service: str, expected: dict[str, str]
) -> None:
    overrides = [
        Override(region, OverrideKind(kind), "ana", "cables", 1.0, service=service)
        for region, service, kind in said
    ]
    world = fold_world(fleet_with_services(), (), (), overrides, at=50.0, store_read_at=None)
    found = {name: state.overrides.get(of_service) for name, state in world.regions.items()}
    assert {name: each.kind.value for name, each in found.items() if each is not None} == expected


def test_a_word_on_a_service_is_none_on_its_region() -> None:
    words = (override(), replace(override(), service=SHOP, kind=OverrideKind.FORCED_UP))
    state = fold([], overrides=words).region("eu-west")
    assert (state.override, dict(state.overrides)) == (words[0], {SHOP: words[1]})
    assert state.eligible_for(SHOP)
    assert not state.eligible_for(API)


def test_an_intake_is_its_regions() -> None:
    intake = Intake(shed=0.5, sequence=3)
    world = fold_world(
        small_fleet(), (), (), (), at=50.0, store_read_at=None, intakes={"eu-west": intake, "mars": intake}
    )
    assert [state.intake for state in world.regions.values()] == [intake, EVERYBODY]


def test_each_region_is_judged_by_its_own_quorum() -> None:
    fleet = small_fleet()
    regions = {
        name: replace(region, check=replace(region.check, quorum=Quorum(0.0) if name == "eu-west" else ALL))
        for name, region in fleet.regions.items()
    }
    voices = [
        observation(target, f"ns{number}", DOWN if number == 1 else UP)
        for target in (T, US4, US6)
        for number in range(3)
    ]
    world = fold_world(replace(fleet, regions=regions), voices, (), (), at=50.0, store_read_at=None)
    assert {name: state.verdict for name, state in world.regions.items()} == {"eu-west": DOWN, "us-east": UP}


def test_what_is_not_of_the_fleet_is_left_out() -> None:
    stranger = Report("mars", "edge1", 1.0, 1.0, 1, 0.0, None, None)
    world = fold(
        [observation(target="mars/203.0.113.1", observer="ns7"), observation(observer="ns2")],
        overrides=(override("mars"),),
        reports=(stranger, replace(stranger, region="eu-west")),
    )
    assert list(world.regions) == ["eu-west", "us-east"]
    assert list(world.reports) == ["eu-west"]
    assert world.observers == ("ns2",)
    assert world.region("mars").verdict is UNKNOWN


def test_of_one_edge_the_newest_report_counts() -> None:
    old = Report("eu-west", "edge1", 9.0, 1.0, 1, 0.0, None, None, epoch=1, sequence=9)
    new = replace(old, at=1.0, epoch=2, sequence=1)
    other = replace(old, edge="edge0")
    assert fold([], reports=(new, other, old)).reports == {"eu-west": (other, new)}
