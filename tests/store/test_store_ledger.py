"""Leases, order and news, on a clock that the tests move; no Redis anywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_fleet import observation, small_fleet

from gslb.clock import FakeClock
from gslb.errors import StoreError
from gslb.health.fold import fold_world
from gslb.store.ledger import Ledger
from gslb.store.state import StateStore
from gslb.world import Override, OverrideKind, Report, Verdict, World

NOW = 1_800_000_000.0
EU = "eu-west"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def ledger(clock: FakeClock) -> Ledger:
    return Ledger(small_fleet(), "me", clock)


def verdict(ledger: Ledger) -> Verdict:
    ledger.refold()
    return ledger.world.region(EU).verdict


def test_at_first_all_regions_are_there_and_unknown(ledger: Ledger) -> None:
    assert {name: state.verdict for name, state in ledger.world.regions.items()} == {
        "eu-west": Verdict.UNKNOWN,
        "us-east": Verdict.UNKNOWN,
    }
    assert all(state.eligible for state in ledger.world.regions.values())
    assert ledger.world.at == NOW


def test_a_foreign_observation_ends_with_its_lease(ledger: Ledger, clock: FakeClock) -> None:
    ledger.hear(observation(verdict=Verdict.DOWN), 5.0)
    assert verdict(ledger) is Verdict.DOWN
    assert ledger.next_end() == 5.0
    clock.advance(4.999)
    assert verdict(ledger) is Verdict.DOWN
    clock.advance(0.001)
    assert ledger.latest_observations() == ()
    assert verdict(ledger) is Verdict.UNKNOWN
    assert ledger.next_end() is None


def test_a_step_of_the_wall_clock_ends_no_lease(ledger: Ledger, clock: FakeClock) -> None:
    ledger.hear(observation(verdict=Verdict.DOWN), 5.0)
    clock.step(86_400.0)
    assert verdict(ledger) is Verdict.DOWN
    assert ledger.next_end() == 5.0


def test_hearing_it_again_renews_the_lease_and_is_no_news(ledger: Ledger, clock: FakeClock) -> None:
    assert ledger.hear(observation(), 5.0)
    clock.advance(4.0)
    assert not ledger.hear(observation(sequence=2, reason="200 in 99 ms"), 5.0)
    clock.advance(4.0)
    assert verdict(ledger) is Verdict.UP


def test_own_observations_always_count(ledger: Ledger, clock: FakeClock) -> None:
    ledger.own(observation(observer="me", verdict=Verdict.DOWN))
    assert not ledger.hear(observation(observer="me", epoch=99), 5.0), "we know better what we saw"
    clock.advance(1e6)
    assert verdict(ledger) is Verdict.DOWN


def test_older_news_undoes_nothing_until_the_lease_is_over(ledger: Ledger, clock: FakeClock) -> None:
    ledger.hear(observation(verdict=Verdict.DOWN, epoch=2, sequence=5), 5.0)
    assert not ledger.hear(observation(epoch=2, sequence=4), 60.0)
    assert not ledger.hear(observation(epoch=1, sequence=99), 60.0)
    assert verdict(ledger) is Verdict.DOWN
    clock.advance(5.0)
    ledger.refold()
    assert ledger.hear(observation(epoch=1, sequence=1), 5.0), "its clock may have been set back"
    assert verdict(ledger) is Verdict.UP


@given(st.permutations([1, 2, 3, 4, 5]))
def test_in_any_order_the_newest_stands(order: list[int]) -> None:
    ledger = Ledger(small_fleet(), "me", FakeClock(NOW))
    for number in order:
        ledger.hear(observation(verdict=Verdict.UP if number == 5 else Verdict.DOWN, sequence=number), 5.0)
    assert verdict(ledger) is Verdict.UP


def test_regions_stay_the_identical_object_while_nothing_changes(ledger: Ledger, clock: FakeClock) -> None:
    ledger.hear(observation(), 5.0)
    assert ledger.refold()
    before = ledger.world
    clock.advance(1.0)
    ledger.hear(observation(sequence=2, reason="200 in 340 ms", consecutive=7), 5.0)
    ledger.read_in_full()
    assert not ledger.refold()
    assert ledger.world is not before
    assert ledger.world.regions is before.regions
    assert (ledger.world.at, ledger.world.store_read_at) == (NOW + 1.0, NOW + 1.0)
    assert ledger.latest_observations()[0].reason == "200 in 340 ms", "the latest is there for people"
    ledger.hear(observation(sequence=3, verdict=Verdict.DOWN), 5.0)
    assert ledger.refold()
    assert ledger.world.regions is not before.regions


def test_reports_change_the_world_but_not_its_regions(ledger: Ledger, clock: FakeClock) -> None:
    report = Report(EU, "edge1", NOW, 10.0, 1, 0.0, None, None, epoch=1, sequence=1)
    regions = ledger.world.regions
    ledger.hear_report(report, 5.0)
    assert ledger.refold()
    ledger.hear_report(replace(report, at=NOW + 1, sequence=2), 5.0)
    assert not ledger.refold(), "an age is no difference"
    ledger.hear_report(replace(report, requests_per_second=99.0), 5.0)
    assert not ledger.refold(), "an older report undoes nothing"
    ledger.own_report(replace(report, in_flight=7, sequence=3))
    ledger.hear_report(replace(report, in_flight=8, sequence=4), 5.0)
    assert ledger.refold()
    assert ledger.world.reports[EU][0].in_flight == 7
    assert ledger.world.regions is regions
    clock.advance(1e6)
    assert not ledger.refold()


def test_what_is_heard_of_one_region_leaves_all_others_the_identical_objects(ledger: Ledger) -> None:
    ledger.own(observation(observer="me"))
    ledger.own(observation("us-east/198.51.100.1", observer="me"))
    ledger.refold()
    before = ledger.world
    ledger.own(observation(observer="me", verdict=Verdict.DOWN, sequence=2))
    assert ledger.refold()
    assert dict(ledger.changed) == {EU: ledger.world.region(EU)}
    assert ledger.world.region("us-east") is before.region("us-east")
    assert list(ledger.world.regions) == list(before.regions)
    assert ledger.world.reports is before.reports
    assert not ledger.refold()
    assert not ledger.changed


def test_reports_stand_in_the_order_of_the_fleet_and_those_of_strangers_nowhere(ledger: Ledger) -> None:
    for region in ("us-east", "mars", EU):
        ledger.hear_report(Report(region, "edge1", NOW, 10.0, 1, 0.0, None, None), 5.0)
    assert ledger.refold()
    assert list(ledger.world.reports) == ["eu-west", "us-east"]
    ledger.use_fleet(small_fleet(regions={"mars": ["203.0.113.1"], EU: ["192.0.2.1"]}))
    assert list(ledger.world.reports) == ["mars", "eu-west"]


def test_overrides_end_by_the_wall_clock_or_when_redis_has_none(ledger: Ledger, clock: FakeClock) -> None:
    drain = Override(EU, OverrideKind.DRAIN, "ana", "cables", NOW, NOW + 60.0)
    ledger.hear_override(EU, drain)
    assert ledger.refold()
    assert ledger.next_end() == 60.0
    clock.advance(60.0)
    assert ledger.next_end() == 0.0
    assert ledger.refold()
    assert ledger.world.region(EU).override is None
    ledger.hear_override(EU, replace(drain, until=None))
    ledger.hear_override(EU, None)
    assert not ledger.refold()


def test_another_fleet_is_folded_from_what_is_known(ledger: Ledger) -> None:
    ledger.own(observation("ap-south/203.0.113.1", observer="me"))
    ledger.own(observation(observer="me"))
    ledger.refold()
    assert EU in ledger.world.regions
    ledger.use_fleet(small_fleet(regions={"ap-south": ["203.0.113.1"]}))
    assert list(ledger.world.regions) == ["ap-south"]
    assert ledger.world.region("ap-south").verdict is Verdict.UP


def hear_all(ledger: Ledger, lease: float = 10.0, **verdicts: Verdict) -> None:
    for observer, seen in verdicts.items():
        ledger.hear(observation(observer=observer, verdict=seen), lease)


@pytest.fixture
def alone(ledger: Ledger, clock: FakeClock) -> Ledger:
    """This process sees the region down and two others see it up; then Redis goes away, and leases end."""
    ledger.own(observation(observer="me", verdict=Verdict.DOWN))
    hear_all(ledger, ns2=Verdict.UP)
    hear_all(ledger, 12.0, ns3=Verdict.UP)
    ledger.refold()
    ledger.store_lost()
    for _ in range(30):
        clock.advance(0.5)
        ledger.refold()
    assert ledger.world.observers == ("me",), "silent observers abstain"
    return ledger


def test_silence_while_redis_is_away_takes_no_region_down(alone: Ledger, clock: FakeClock) -> None:
    state = alone.world.region(EU)
    assert (state.verdict, state.reason) == (Verdict.UP, "1 of 2 observers: 200; held, as Redis is away")
    assert state.eligible
    clock.advance(86_400.0)
    assert verdict(alone) is Verdict.UP, "for as long as Redis is away"
    alone.own(observation(observer="me", verdict=Verdict.DOWN, reason="timeout", sequence=2))
    assert verdict(alone) is Verdict.UP, "another reason is not another fall"
    alone.use_fleet(small_fleet(regions={EU: ["192.0.2.1"], "ap-south": ["203.0.113.1"]}))
    assert verdict(alone) is Verdict.UP, "a reloaded file is no news either"


def test_what_is_seen_to_fall_while_redis_is_away_is_down(alone: Ledger, clock: FakeClock) -> None:
    alone.own(observation(observer="me", verdict=Verdict.UP, since=NOW + 20, sequence=2))
    assert verdict(alone) is Verdict.UP
    assert alone.world.region(EU).reason == "1 of 1 observer: 200"
    alone.own(observation(observer="me", verdict=Verdict.DOWN, since=NOW + 25, sequence=3))
    assert verdict(alone) is Verdict.DOWN
    assert alone.world.region(EU).since == NOW + 25


def test_a_fall_before_redis_went_away_waits_for_others_one_after_it_does_not(clock: FakeClock) -> None:
    ledger = Ledger(small_fleet(), "me", clock)
    ledger.own(observation(observer="me"))
    hear_all(ledger, ns2=Verdict.UP, ns3=Verdict.UP)
    ledger.refold()
    ledger.store_lost()
    ledger.store_lost()
    ledger.own(observation(observer="me", verdict=Verdict.DOWN, since=NOW + 1, sequence=2))
    ledger.store_lost()
    assert verdict(ledger) is Verdict.UP, "the others' leases hold"
    clock.advance(10.0)
    assert verdict(ledger) is Verdict.DOWN, "it fell under our eyes, and nobody alive says otherwise"


def test_an_empty_redis_that_is_back_takes_no_region_down(alone: Ledger, clock: FakeClock) -> None:
    alone.store_back(10.0)
    assert verdict(alone) is Verdict.UP
    assert alone.world.region(EU).reason.endswith("held, as Redis was away")
    assert alone.next_end() == 10.0
    clock.advance(9.0)
    assert verdict(alone) is Verdict.UP
    clock.advance(1.0)
    assert alone.next_end() == 0.0
    assert verdict(alone) is Verdict.DOWN, "after one lease silence means something again"
    assert alone.world.region(EU).reason == "1 of 1 observer: connection refused"
    assert alone.next_end() is None


def test_others_that_are_back_end_what_is_held(alone: Ledger) -> None:
    alone.store_back(10.0)
    hear_all(alone, ns2=Verdict.UP, ns3=Verdict.UP)
    assert verdict(alone) is Verdict.UP
    assert alone.world.region(EU).reason == "2 of 3 observers: 200"


def test_a_majority_of_those_heard_before_is_believed_at_once(alone: Ledger) -> None:
    alone.store_back(10.0)
    hear_all(alone, ns2=Verdict.DOWN)
    assert verdict(alone) is Verdict.DOWN
    assert alone.world.region(EU).reason == "2 of 2 observers: connection refused"


def test_a_region_that_left_the_fleet_holds_nothing_up(alone: Ledger, clock: FakeClock) -> None:
    alone.use_fleet(small_fleet(regions={"ap-south": ["203.0.113.1"]}))
    alone.store_back(10.0)
    clock.advance(10.0)
    alone.refold()
    assert alone.next_end() is None


VOICES = st.lists(st.tuples(st.sampled_from(Verdict), st.floats(0.1, 20.0)), max_size=6)


@given(VOICES, st.sampled_from(Verdict), st.lists(st.floats(0.1, 8.0), max_size=8))
def test_no_order_of_ends_of_leases_takes_a_region_down(
    voices: list[tuple[Verdict, float]], own: Verdict, pauses: list[float]
) -> None:
    clock = FakeClock(NOW)
    ledger = Ledger(small_fleet(), "me", clock)
    ledger.own(observation(observer="me", verdict=own))
    for number, (seen, lease) in enumerate(voices):
        ledger.hear(observation(observer=f"ns{number}", verdict=seen), lease)
    was_down = verdict(ledger) is Verdict.DOWN
    ledger.store_lost()
    for pause in pauses:
        clock.advance(pause)
        assert was_down or verdict(ledger) is not Verdict.DOWN
        was_down = verdict(ledger) is Verdict.DOWN


@given(VOICES, st.sampled_from(Verdict), st.lists(st.floats(0.1, 8.0), max_size=8))
def test_who_is_linked_folds_nothing_but_what_is_fresh(
    voices: list[tuple[Verdict, float]], own: Verdict, pauses: list[float]
) -> None:
    clock = FakeClock(NOW)
    ledger = Ledger(small_fleet(), "me", clock)
    ledger.own(observation(observer="me", verdict=own))
    for number, (seen, lease) in enumerate(voices):
        ledger.hear(observation(observer=f"ns{number}", verdict=seen), lease)
    for pause in pauses:
        clock.advance(pause)
        ledger.refold()
        fresh = fold_world(
            small_fleet(), ledger.latest_observations(), (), (), at=clock.now(), store_read_at=None
        )
        assert ledger.world.regions == fresh.regions


TARGETS = ["eu-west/192.0.2.1", "us-east/198.51.100.1", "us-east/2001:db8::1", "ap-south/203.0.113.1"]
FLEETS = [small_fleet(), small_fleet(regions={"ap-south": ["203.0.113.1"], EU: ["192.0.2.1"]})]
STEPS = st.one_of(
    st.tuples(st.just("own"), st.sampled_from(TARGETS), st.sampled_from(Verdict)),
    st.tuples(
        st.sampled_from(["ns1", "ns2"]),
        st.sampled_from(TARGETS),
        st.sampled_from(Verdict),
        st.floats(0.1, 9.0),
    ),
    st.tuples(st.just("report"), st.sampled_from([EU, "us-east", "ap-south"]), st.floats(0.1, 9.0)),
    st.tuples(
        st.just("override"),
        st.sampled_from([EU, "us-east", "ap-south"]),
        st.one_of(st.none(), st.sampled_from(OverrideKind)),
        st.one_of(st.none(), st.floats(0.1, 9.0)),
    ),
    st.tuples(st.just("fleet"), st.sampled_from(FLEETS)),
    st.tuples(st.just("pause"), st.floats(0.0, 5.0)),
)


@given(st.lists(STEPS, max_size=40))
def test_a_world_that_is_folded_bit_by_bit_is_the_world_that_is_folded_at_once(
    steps: list[tuple[Any, ...]],
) -> None:
    clock = FakeClock(NOW)
    ledger, fleet = Ledger(FLEETS[0], "me", clock), FLEETS[0]
    reports: dict[str, tuple[Report, float]] = {}
    overrides: dict[str, Override] = {}
    for number, step in enumerate(steps, 1):
        match step:
            case "own", target, seen:
                # Each is news, so that what is shown is what was heard last.
                ledger.own(observation(target, "me", seen, since=NOW + number, sequence=number))
            case "report", region, lease:
                report = Report(region, "edge1", NOW, number, 1, 0.0, None, None, sequence=number)
                reports[region] = report, clock.monotonic() + lease
                ledger.hear_report(report, lease)
            case "override", region, kind, lasts:
                overrides.pop(region, None)
                if kind is not None:
                    until = None if lasts is None else clock.now() + lasts
                    overrides[region] = Override(region, kind, "ana", "", clock.now(), until)
                ledger.hear_override(region, overrides.get(region))
            case "fleet", fleet:
                ledger.use_fleet(fleet)
            case "pause", seconds:
                clock.advance(seconds)
            case observer, target, seen, lease:
                heard = observation(target, observer, seen, since=NOW + number, sequence=number)
                ledger.hear(heard, lease)
        before = ledger.world
        changed = ledger.refold()
        fresh = fold_world(
            fleet,
            [each for each in ledger.latest_observations() if each.target in ledger.targets],
            [report for report, end in reports.values() if end > clock.monotonic()],
            overrides.values(),
            at=clock.now(),
            store_read_at=None,
        )
        assert ledger.world == fresh
        assert changed == (ledger.world != replace(before, at=clock.now()))


def test_what_nobody_looks_at_any_more_is_not_told_again(clock: FakeClock) -> None:
    ledger = Ledger(small_fleet(lease=10.0), "me", clock)
    ledger.own(observation(observer="me"))
    other = "us-east/198.51.100.1"
    ledger.own(observation(other, observer="me"))
    clock.advance(30.0)
    assert len(ledger.own_observations()) == 2
    ledger.own(observation(other, observer="me", sequence=2))
    clock.advance(0.001)
    assert [each.target for each in ledger.own_observations()] == [other]
    ledger.own(observation(observer="me", sequence=2))
    assert len(ledger.own_observations()) == 2, "the prober is back"


def test_a_check_that_is_slower_than_leases_is_told_all_the_same(clock: FakeClock) -> None:
    fleet = small_fleet(lease=10.0)
    slow = {
        name: replace(region, check=replace(region.check, interval=60.0, timeout=5.0))
        for name, region in fleet.regions.items()
    }
    ledger = Ledger(replace(fleet, regions=slow), "me", clock)
    ledger.own(observation(observer="me"))
    clock.advance(195.0)
    assert ledger.own_observations()
    clock.advance(0.001)
    assert not ledger.own_observations()


async def test_a_process_that_stands_alone(clock: FakeClock) -> None:
    store = StateStore(small_fleet(), "me", clock)
    worlds: list[World] = []
    store.subscribe(worlds.append)
    await store.start()
    try:
        assert (store.connected, store.last_error) == (False, "")
        store.observe(observation(verdict=Verdict.DOWN))
        store.observe(observation(verdict=Verdict.DOWN, consecutive=2, sequence=2))
        assert len(worlds) == 1, "what is no news is told to nobody"
        assert worlds[0] is store.world
        assert worlds[0].region(EU).verdict is Verdict.DOWN
        assert worlds[0].observers == ("me",)
        assert store.observations[0].epoch == store.epoch == int(NOW * 1000)
        drain = Override(EU, OverrideKind.FORCED_UP, "ana", "", NOW, NOW + 60.0)
        await store.set_override(drain)
        assert store.world.region(EU).eligible
        assert await store.clear_override(EU)
        assert not await store.clear_override(EU)
        assert [event["text"] for event in await store.events(2)] == [
            "the override of eu-west was cleared",
            "eu-west forced up by ana until 2027-01-15T08:01:00.000Z",
        ]
        assert (await store.events())[-1]["text"] == "eu-west is down: 1 of 1 observer: connection refused"
    finally:
        await store.stop()


async def test_a_failing_subscriber_harms_no_other(clock: FakeClock) -> None:
    def fails(world: World) -> None:
        raise RuntimeError("no such luck")

    store = StateStore(small_fleet(), "me", clock)
    worlds: list[World] = []
    store.subscribe(fails)
    store.subscribe(worlds.append)
    store.observe(observation())
    assert len(worlds) == 1


async def test_sequences_grow_whatever_the_observer_counts(clock: FakeClock) -> None:
    store = StateStore(small_fleet(), "me", clock)
    for sequence in (5, 1, 9):
        store.observe(observation(sequence=sequence))
    assert store.observations[0].sequence == 9
    store.observe(observation(sequence=1))
    assert store.observations[0].sequence == 10


async def test_a_reloaded_fleet_is_told_to_subscribers(clock: FakeClock) -> None:
    store = StateStore(small_fleet(), "me", clock)
    worlds: list[World] = []
    store.subscribe(worlds.append)
    store.use_fleet(small_fleet(regions={"ap-south": ["203.0.113.1"]}))
    assert [list(world.regions) for world in worlds] == [["ap-south"]]


@pytest.mark.parametrize("name", ["", "a:b"])
def test_names_that_no_key_could_carry(name: str, clock: FakeClock) -> None:
    with pytest.raises(StoreError, match="use a name without a colon"):
        StateStore(small_fleet(), name, clock)
