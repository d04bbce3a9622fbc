"""Leases, order and news, on a clock that the tests move; no Redis anywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_fleet import observation, small_fleet

from gslb.clock import FakeClock
from gslb.errors import StoreError
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
