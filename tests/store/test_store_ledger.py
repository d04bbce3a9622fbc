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
from gslb.fleet import Fleet, Quorum, Service
from gslb.health.fold import fold_world
from gslb.store.ledger import Ledger
from gslb.store.state import StateStore
from gslb.world import Intake, Override, OverrideKind, PoolReport, Report, Verdict, World

NOW = 1_800_000_000.0
EU = "eu-west"
TARGETS = ["eu-west/192.0.2.1", "us-east/198.51.100.1", "us-east/2001:db8::1", "ap-south/203.0.113.1"]


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
    ledger.hear_override(EU, "", drain)
    assert ledger.refold()
    assert ledger.next_end() == 60.0
    clock.advance(60.0)
    assert ledger.next_end() == 0.0
    assert ledger.refold()
    assert ledger.world.region(EU).override is None
    ledger.hear_override(EU, "", replace(drain, until=None))
    ledger.hear_override(EU, "", None)
    assert not ledger.refold()


SHOP = "www.shop.example"


def with_shop(fleet: Fleet) -> Fleet:
    """A service that is answered from eu-west alone."""
    return replace(fleet, services={SHOP: Service(SHOP, "shop.example", (EU,), ())})


def test_words_on_services_come_and_go_each_by_itself(ledger: Ledger, clock: FakeClock) -> None:
    ledger.use_fleet(with_shop(small_fleet()))
    us = ledger.world.region("us-east")
    region = Override(EU, OverrideKind.WEIGHT, "ana", "", NOW, weight=0.5)
    here = Override(EU, OverrideKind.DRAIN, "ana", "", NOW, NOW + 60.0, service=SHOP)
    everywhere = Override("", OverrideKind.FORCED_DOWN, "ana", "", NOW, service=SHOP)
    for word in (region, everywhere, here):
        ledger.hear_override(word.region, word.service, word)
    assert ledger.refold()
    assert set(ledger.overrides) == {region, here, everywhere}
    assert ledger.world.region(EU).override == region
    assert ledger.world.region(EU).overrides == {SHOP: here}
    clock.advance(60.0)
    assert ledger.next_end() == 0.0
    assert set(ledger.overrides) == {region, everywhere}
    assert ledger.refold()
    assert ledger.world.region(EU).overrides == {SHOP: everywhere}
    ledger.hear_override("", SHOP, None)
    assert ledger.refold()
    assert ledger.world.region(EU).overrides == {}
    assert ledger.world.region(EU).override == region
    assert ledger.world.region("us-east") is us, "nothing was said of what is served there"
    ledger.hear_override(EU, SHOP, None)
    assert not ledger.refold()


def test_of_intakes_the_newest_counts_and_of_two_alike_the_stores(ledger: Ledger) -> None:
    def hear(shed: float, sequence: int, *, from_store: bool) -> float:
        ledger.hear_intake(EU, Intake(shed=shed, sequence=sequence), from_store=from_store)
        ledger.refold()
        assert ledger.intakes[EU] == ledger.world.region(EU).intake
        return ledger.world.region(EU).intake.shed

    assert hear(0.1, 1, from_store=False) == 0.1
    assert hear(0.2, 1, from_store=False) == 0.1
    assert hear(0.3, 1, from_store=True) == 0.3, "others have the store's"
    assert hear(0.4, 1, from_store=False) == 0.3
    assert hear(0.5, 2, from_store=False) == 0.5
    assert hear(0.6, 1, from_store=True) == 0.5, "a store that was emptied undoes nothing"
    ledger.hear_intake(EU, ledger.intakes[EU], from_store=True)
    assert not ledger.refold()


def edge_report(healthy: int, sequence: int, requests: float = 1.0) -> Report:
    pools = (PoolReport("web", healthy, 4),)
    return Report(EU, "edge1", NOW, requests, 1, 0.0, None, None, pools, epoch=1, sequence=sequence)


def test_a_report_makes_a_region_another_when_other_servers_are_healthy_and_only_then(
    ledger: Ledger, clock: FakeClock
) -> None:
    ledger.own(observation(observer="me"))
    ledger.hear_report(edge_report(4, 1), 5.0)
    assert ledger.refold()
    whole = ledger.world.region(EU)
    assert whole.live == 1.0
    ledger.hear_report(edge_report(4, 2, requests=99.0), 5.0)
    assert ledger.refold()
    assert ledger.world.region(EU) is whole, "load alone decides nothing"
    ledger.hear_report(edge_report(0, 3), 5.0)
    assert ledger.refold()
    assert (ledger.world.region(EU).without, ledger.world.region(EU).live) == ({"web"}, 0.0)
    clock.advance(5.0)
    assert ledger.refold()
    assert ledger.world.region(EU) == whole, "an edge that is not heard says nothing of its servers"
    ledger.own_report(edge_report(1, 4))
    assert ledger.refold()
    assert ledger.world.region(EU).live == 0.25


def test_quorums_hold_through_silence_as_well(clock: FakeClock) -> None:
    fleet = small_fleet()
    shares = {
        name: replace(region, check=replace(region.check, quorum=Quorum(0.4, strict=True)))
        for name, region in fleet.regions.items()
    }
    ledger = Ledger(replace(fleet, regions=shares), "me", clock)
    ledger.own(observation(observer="me", verdict=Verdict.DOWN))
    hear_all(ledger, ns2=Verdict.UP)
    hear_all(ledger, 20.0, ns3=Verdict.UP)
    assert verdict(ledger) is Verdict.UP
    ledger.store_lost()
    clock.advance(10.0)
    assert verdict(ledger) is Verdict.UP, "one of two would suffice, if two were all there are"
    ledger.store_back(1.0)
    clock.advance(1.0)
    assert verdict(ledger) is Verdict.DOWN


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


DRAIN = Override(EU, OverrideKind.DRAIN, "ana", "cables", NOW, NOW + 60.0)


def passed_on(ledger: Ledger, clock: FakeClock, *, url: str | None = "redis://store") -> Ledger:
    """A process of the same name that begins where the other ended."""
    after = Ledger(small_fleet(url), "me", clock)
    after.recall(ledger.memory())
    after.refold()
    return after


@pytest.fixture
def ended(ledger: Ledger) -> Ledger:
    """It and two others saw eu-west down and us-east up; an operator and reports have said something too."""
    for target, seen in ((TARGETS[0], Verdict.DOWN), (TARGETS[1], Verdict.UP), (TARGETS[2], Verdict.UP)):
        ledger.own(observation(target, "me", seen))
        ledger.hear(observation(target, "ns2", seen), 5.0)
        ledger.hear(observation(target, "ns3", seen), 5.0)
    ledger.own(observation("eu-west/web/10.0.0.1:80", "me"))
    ledger.hear_report(edge_report(1, 1), 5.0)
    ledger.hear_override(EU, "", DRAIN)
    ledger.hear_intake(EU, Intake(ramp=0.5, sequence=7), from_store=True)
    ledger.refold()
    return ledger


def test_who_follows_begins_with_the_world_as_it_was(ended: Ledger, clock: FakeClock) -> None:
    after = passed_on(ended, clock)
    assert after.world == ended.world
    assert after.memory() == replace(ended.memory(), at=clock.now())
    assert (after.overrides, dict(after.intakes)) == ((DRAIN,), {EU: Intake(ramp=0.5, sequence=7)})
    assert after.own_observations() == (), "it tells nobody what it has not seen itself"
    assert after.own_observation_of(TARGETS[0]) is None


def test_overrides_that_have_ended_meanwhile_are_not_recalled(ended: Ledger, clock: FakeClock) -> None:
    memory = ended.memory()
    clock.advance(60.0)
    after = Ledger(small_fleet("redis://store"), "me", clock)
    after.recall(memory)
    assert after.overrides == ()


def test_what_was_heard_already_is_newer_than_any_memory(ended: Ledger, clock: FakeClock) -> None:
    after = Ledger(small_fleet("redis://store"), "me", clock)
    other = replace(DRAIN, kind=OverrideKind.FORCED_UP)
    after.hear_override(EU, "", other)
    after.own(observation(TARGETS[0], "me", Verdict.UP))
    after.hear_intake(EU, Intake(ramp=0.6, sequence=8), from_store=True)
    after.recall(ended.memory())
    assert verdict(after) is Verdict.UP
    assert after.overrides == (other,)
    assert after.intakes[EU].sequence == 8


def test_what_is_remembered_stays_so_until_anybody_is_heard(ended: Ledger, clock: FakeClock) -> None:
    after = passed_on(ended, clock)
    clock.advance(3600.0)
    after.refold()
    assert after.next_end() is None
    assert [state.verdict for state in after.world.regions.values()] == [Verdict.DOWN, Verdict.UP]
    assert after.world.reports == {}, "reports are remembered for a lease and no longer"
    # It looks for itself, and finds what it remembers; now the memory is over where it looked.
    after.own(observation(TARGETS[0], "me", Verdict.UP, since=clock.now()))
    assert verdict(after) is Verdict.UP
    assert after.world.region(EU).reason == "1 of 1 observer: 200"
    assert after.world.region("us-east").verdict is Verdict.UP


def test_the_others_of_before_count_beside_a_first_look_for_a_lease(ended: Ledger, clock: FakeClock) -> None:
    after = passed_on(ended, clock)
    assert after.own(observation(TARGETS[0], "me", Verdict.UP)), "the others want to hear of it"
    assert verdict(after) is Verdict.DOWN
    assert after.world.region(EU).reason == "2 of 3 observers: connection refused"
    clock.advance(10.0)
    assert verdict(after) is Verdict.UP


def test_cut_off_from_everything_it_answers_as_before(ended: Ledger, clock: FakeClock) -> None:
    """Nobody is heard, and its own first look finds everything down, as its own line is."""
    after, since = passed_on(ended, clock), clock.now()
    for number, pause in enumerate((1.0, 20.0, 3600.0), 1):
        for target in TARGETS[1:3]:
            after.own(observation(target, "me", Verdict.DOWN, since=since, sequence=number))
        clock.advance(pause)
        after.refold()
        assert after.world.region("us-east").verdict is Verdict.UP


def is_in(fleet: Fleet, region: str, service: str) -> bool:
    return region in {"", *fleet.regions} and service in {"", *fleet.services}


def look(ledger: Ledger, target: str, seen: Verdict, consecutive: int) -> None:
    looked = observation(target, "me", seen, since=NOW + 1.0, consecutive=consecutive, sequence=consecutive)
    ledger.own(looked)


@pytest.mark.parametrize("age", [0.0, 3600.0])
def test_what_it_finds_down_again_and_again_is_down_whatever_is_remembered(
    ended: Ledger, clock: FakeClock, age: float
) -> None:
    """Redis is away, as it was when the copy was made; but other regions can be reached."""
    ended.hear(observation(TARGETS[0], "ns2", Verdict.UP, sequence=2), 5.0)
    ended.hear(observation(TARGETS[0], "ns3", Verdict.UP, sequence=2), 5.0)
    assert verdict(ended) is Verdict.UP
    after = passed_on(ended, clock)
    look(after, TARGETS[1], Verdict.UP, 1)
    look(after, TARGETS[0], Verdict.DOWN, 1)
    clock.advance(age)
    for consecutive in (1, 2):
        look(after, TARGETS[0], Verdict.DOWN, consecutive)
        assert verdict(after) is Verdict.UP
    look(after, TARGETS[0], Verdict.DOWN, 3)
    assert verdict(after) is Verdict.DOWN
    assert after.world.region(EU).reason == "1 of 1 observer: connection refused"
    clock.advance(60.0)
    assert verdict(after) is Verdict.DOWN


def test_it_is_sure_only_while_it_sees_others_and_nobody_else_is_heard(
    alone: Ledger, clock: FakeClock
) -> None:
    after = passed_on(alone, clock)
    clock.advance(20.0)
    for consecutive in (1, 2, 3):
        look(after, TARGETS[0], Verdict.DOWN, consecutive)
        look(after, TARGETS[1], Verdict.DOWN, consecutive)
        assert verdict(after) is Verdict.UP, "it sees nothing at all"
    after.hear(observation(TARGETS[0], "ns3", sequence=9), 60.0)
    look(after, TARGETS[1], Verdict.UP, 4)
    assert verdict(after) is Verdict.UP, "somebody who lives says otherwise"


def test_once_it_sees_another_region_it_is_sure(alone: Ledger, clock: FakeClock) -> None:
    after = passed_on(alone, clock)
    clock.advance(20.0)
    look(after, TARGETS[0], Verdict.DOWN, 3)
    assert verdict(after) is Verdict.UP
    look(after, TARGETS[1], Verdict.UP, 1)
    assert verdict(after) is Verdict.DOWN


def test_words_on_what_left_the_fleet_are_forgotten(clock: FakeClock) -> None:
    fleet = with_shop(small_fleet())
    ledger = Ledger(fleet, "me", clock)
    words = [
        Override(EU, OverrideKind.DRAIN, "ana", "", NOW),
        Override("us-east", OverrideKind.DRAIN, "ana", "", NOW),
        Override("us-east", OverrideKind.DRAIN, "ana", "", NOW, service=SHOP),
        Override("", OverrideKind.DRAIN, "ana", "", NOW, service=SHOP),
    ]
    for word in words:
        ledger.hear_override(word.region, word.service, word)
    memory = ledger.memory()
    assert memory.overrides == ledger.overrides == tuple(words)
    smaller = replace(fleet, services={}, regions={EU: fleet.regions[EU]})
    ledger.use_fleet(smaller)
    assert ledger.memory().overrides == ledger.overrides == (words[0],)
    ledger.use_fleet(fleet)
    assert ledger.overrides == (words[0],), "Redis is asked for the others"
    after = Ledger(smaller, "me", clock)
    after.recall(memory)
    assert after.overrides == (words[0],)


def test_one_of_another_clock_is_heard_once_its_memory_is_over(ended: Ledger, clock: FakeClock) -> None:
    after = passed_on(ended, clock)
    set_back = observation(TARGETS[0], "ns2", Verdict.UP, epoch=0)
    assert not after.hear(set_back, 5.0)
    clock.advance(10.0)
    assert after.hear(set_back, 5.0)
    assert verdict(after) is Verdict.UP


def test_who_stands_alone_remembers_itself_and_no_others(ended: Ledger, clock: FakeClock) -> None:
    after = passed_on(ended, clock, url=None)
    assert after.world.observers == ("me",)
    assert after.world.region(EU).reason == "1 of 1 observer: connection refused"
    after.own(observation(TARGETS[1], "me", Verdict.DOWN))
    after.own(observation(TARGETS[2], "me", Verdict.DOWN))
    after.refold()
    assert after.world.region("us-east").verdict is Verdict.DOWN


def test_verdicts_that_were_held_are_passed_on_with_those_they_rest_on(
    alone: Ledger, clock: FakeClock
) -> None:
    after = passed_on(alone, clock)
    assert verdict(after) is Verdict.UP
    after.own(observation(observer="me", verdict=Verdict.DOWN, since=clock.now()))
    clock.advance(60.0)
    assert verdict(after) is Verdict.UP
    assert after.world.region(EU).reason == "1 of 2 observers: 200; held, as Redis is away"
    after.store_back(10.0)
    clock.advance(10.0)
    assert verdict(after) is Verdict.DOWN


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


FLEETS = [
    with_shop(small_fleet()),
    with_shop(small_fleet(regions={"ap-south": ["203.0.113.1"], EU: ["192.0.2.1"]})),
]
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
        st.sampled_from(
            [(EU, ""), ("us-east", ""), ("ap-south", ""), (EU, SHOP), ("us-east", SHOP), ("", SHOP)]
        ),
        st.one_of(st.none(), st.sampled_from(OverrideKind)),
        st.one_of(st.none(), st.floats(0.1, 9.0)),
    ),
    st.tuples(st.just("intake"), st.sampled_from([EU, "us-east"]), st.integers(0, 3)),
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
    overrides: dict[tuple[str, str], Override] = {}
    intakes: dict[str, Intake] = {}
    for number, step in enumerate(steps, 1):
        match step:
            case "own", target, seen:
                # Each is news, so that what is shown is what was heard last.
                ledger.own(observation(target, "me", seen, since=NOW + number, sequence=number))
            case "report", region, lease:
                pools = (PoolReport("web", number % 3, 2),)
                report = Report(region, "edge1", NOW, number, 1, 0.0, None, None, pools, sequence=number)
                reports[region] = report, clock.monotonic() + lease
                ledger.hear_report(report, lease)
            case "override", (region, service), kind, lasts:
                overrides.pop((region, service), None)
                if kind is not None:
                    until = None if lasts is None else clock.now() + lasts
                    word = Override(region, kind, "ana", "", clock.now(), until, service)
                    if is_in(fleet, region, service):
                        overrides[region, service] = word
                    ledger.hear_override(region, service, word)
                else:
                    ledger.hear_override(region, service, None)
            case "intake", region, sequence:
                intake = Intake(shed=number / 100, sequence=sequence)
                if region not in intakes or sequence >= intakes[region].sequence:
                    intakes[region] = intake
                ledger.hear_intake(region, intake, from_store=True)
            case "fleet", fleet:
                ledger.use_fleet(fleet)
                overrides = {subject: word for subject, word in overrides.items() if is_in(fleet, *subject)}
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
            intakes=intakes,
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
