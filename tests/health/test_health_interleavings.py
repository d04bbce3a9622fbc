"""Every order in which things can happen to a few observers and readers, and long random ones: what holds.

Two real ledgers, `a` and `b`, which observe a region themselves, a third observer `c`, and a store between
them with leases. What is seen, delivered, lost and restarted comes in any order; time only passes when told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from small_fleet import observation, small_fleet

from gslb.clock import FakeClock
from gslb.fleet import Fleet, Quorum
from gslb.health.fold import fold_world
from gslb.health.quorum import MAJORITY, votes_needed
from gslb.store.ledger import Ledger
from gslb.world import Observation, Override, OverrideKind, RegionState, Verdict

NOW, LEASE = 1_800_000_000.0, 10.0
EU = "eu-west"
UP, DOWN = Verdict.UP, Verdict.DOWN
OBSERVERS, READERS = ("a", "b", "c"), ("a", "b")


def fleet_of(quorum: Quorum) -> Fleet:
    fleet = small_fleet("redis://store", regions={EU: ["192.0.2.1"]}, lease=LEASE)
    region = fleet.regions[EU]
    return replace(fleet, regions={EU: replace(region, check=replace(region.check, quorum=quorum))})


@dataclass
class Reader:
    """A process that observes and reads. shown: the verdict it had when it was looked at last."""

    ledger: Ledger
    epoch: int = 1
    linked: bool = True
    grace_until: float = 0.0
    shown: Verdict = UP

    @property
    def region(self) -> RegionState:
        self.ledger.refold()
        return self.ledger.world.region(EU)


class Net:
    """The readers, the third observer, and the store between them. Everybody has seen the region up."""

    def __init__(self, quorum: Quorum = MAJORITY) -> None:
        self.quorum = quorum
        self.fleet = fleet_of(quorum)
        self.clock = FakeClock(NOW)
        self.readers = {name: Reader(Ledger(self.fleet, name, self.clock)) for name in READERS}
        self.c_linked = True
        self.sequence = 0
        self.saw: dict[str, Observation] = {}
        self.past: list[Observation] = []
        # What is in the store by observer, and until when.
        self.store: dict[str, tuple[Observation, float]] = {}
        for name in OBSERVERS:
            self.see(name, UP)
        for name in READERS:
            self.sync(name)
            assert self.readers[name].region.verdict is UP

    def see(self, observer: str, verdict: Verdict) -> None:
        """It sees this from now on, and publishes it if it can."""
        before = self.saw.get(observer)
        self.sequence += 1
        since = before.since if before is not None and before.verdict is verdict else self.clock.now()
        epoch = self.readers[observer].epoch if observer in self.readers else 1
        seen = observation(
            observer=observer, verdict=verdict, since=since, epoch=epoch, sequence=self.sequence
        )
        self.saw[observer] = seen
        self.past.append(seen)
        if observer in self.readers:
            self.readers[observer].ledger.own(seen)
        self.publish(observer)

    def is_linked(self, observer: str) -> bool:
        return self.readers[observer].linked if observer in self.readers else self.c_linked

    def publish(self, observer: str) -> None:
        if self.is_linked(observer):
            self.store[observer] = (self.saw[observer], self.clock.monotonic() + LEASE)

    def sync(self, reader: str) -> None:
        """It reads everything that the store has, if it can."""
        if not self.readers[reader].linked:
            return
        for seen, end in self.store.values():
            if end > self.clock.monotonic():
                self.readers[reader].ledger.hear(seen, end - self.clock.monotonic())

    def deliver_old(self, reader: str, number: int) -> bool:
        """Something of the past comes (again): True if it made anything another."""
        # A notice is never older than its lease: what has left the ledger by then comes back to nobody.
        ledger = self.readers[reader].ledger
        held = {each.observer: (each.epoch, each.sequence) for each in ledger.latest_observations()}
        late = [each for each in self.past if (each.epoch, each.sequence) <= held.get(each.observer, (0, 0))]
        if not late:
            return False
        self.readers[reader].region  # noqa: B018  what was due before is not its doing
        ledger.hear(late[number % len(late)], LEASE)
        return ledger.refold()

    def pass_time(self, seconds: float = LEASE) -> None:
        """Who can renews what it said, and reads, all the while."""
        while seconds > 0:
            step = min(seconds, LEASE / 4)
            self.clock.advance(step)
            seconds -= step
            for name in OBSERVERS:
                self.publish(name)
            for name in READERS:
                self.sync(name)

    def lose(self, name: str) -> None:
        """The store cannot be reached from there any more."""
        if name not in self.readers:
            self.c_linked = False
        elif self.readers[name].linked:
            self.readers[name].linked = False
            self.readers[name].ledger.store_lost()

    def find(self, name: str) -> None:
        """The store is back for it."""
        if name not in self.readers:
            self.c_linked = True
            self.publish(name)
        elif not self.readers[name].linked:
            self.readers[name].linked = True
            self._link(name)

    def _link(self, name: str) -> None:
        reader = self.readers[name]
        reader.grace_until = self.clock.monotonic() + LEASE
        reader.ledger.store_back(LEASE)
        self.publish(name)
        self.sync(name)

    def restart(self, name: str) -> None:
        """It begins anew from what it remembers, and looks at once."""
        reader = self.readers[name]
        memory = reader.ledger.memory()
        reader.ledger = Ledger(self.fleet, name, self.clock)
        reader.ledger.recall(memory)
        reader.epoch += 1
        seen = self.saw.pop(name)
        self.see(name, seen.verdict)
        if reader.linked:
            self._link(name)

    # What must hold.

    def check(self) -> None:
        for name, reader in self.readers.items():
            state = reader.region
            assert not reader.ledger.refold(), "nothing new, nothing else"
            assert reader.ledger.world.region(EU) is state
            if state.verdict is DOWN:
                self._check_quorum(state)
                if reader.shown is UP:
                    self._check_fall(name, reader)
            reader.shown = state.verdict

    def _check_quorum(self, state: RegionState) -> None:
        (target,) = state.targets.values()
        opinions = [each for each in target.observations if each.verdict is not Verdict.UNKNOWN]
        down = sum(each.verdict is DOWN for each in opinions)
        assert down >= votes_needed(self.quorum, len(opinions)), "who says so is there at this moment"

    def _check_fall(self, name: str, reader: Reader) -> None:
        """Nothing goes from up to down by what one observer sees, as long as two of three are heard.

        But who is cut off from all others believes its own eyes.
        """
        down = [observer for observer in OBSERVERS if self.saw[observer].verdict is DOWN]
        on_its_own = not reader.linked or self.clock.monotonic() < reader.grace_until
        heard = [other for other in OBSERVERS if other != name and self.is_linked(other)]
        assert (
            len(down) >= votes_needed(self.quorum, 3)
            or (on_its_own and name in down)
            or (not on_its_own and not heard)
            or self.quorum != MAJORITY
        ), f"{name} shows it down, as {down} see it"


def without_ages(state: RegionState) -> RegionState:
    """A world keeps what was said as it last was news, so that its ages are each reader's own."""
    (target,) = state.targets.values()
    voices = tuple(replace(each, epoch=0, sequence=0) for each in target.observations)
    return replace(state, targets={"": replace(target, observations=voices)})


Event = tuple[str, ...]


def happen(net: Net, event: Event) -> None:
    match event:
        case "down", name:
            net.see(name, DOWN)
        case "up", name:
            net.see(name, UP)
        case "sync", name:
            net.sync(name)
        case "old", name:
            assert not net.deliver_old(name, 0), "what is older or the same changes nothing"
        case "lost", name:
            net.lose(name)
        case "back", name:
            net.find(name)
        case "restart", name:
            net.restart(name)
        case ("lease",):
            net.pass_time()


def interleavings(*scripts: Sequence[Event]) -> Iterator[tuple[Event, ...]]:
    """All orders in which several can happen, each script in its own order."""
    owners = [number for number, script in enumerate(scripts) for _ in script]
    for order in sorted(set(permutations(owners))):
        each = [iter(script) for script in scripts]
        yield tuple(next(each[owner]) for owner in order)


ONE_SEES_IT_DOWN = [
    # Whatever else happens to anyone: as long as one observer sees it down, and two see it up, nobody does.
    ([("down", "c")], [("lost", "a"), ("lease",), ("back", "a")], [("sync", "b")], [("old", "b")]),
    ([("down", "c"), ("sync", "a")], [("lost", "b"), ("lease",), ("lease",)], [("old", "a")]),
    ([("down", "c"), ("sync", "b")], [("lost", "c"), ("lease",), ("back", "c")], [("sync", "a")]),
    ([("down", "c"), ("up", "c"), ("down", "c")], [("sync", "a"), ("lease",)], [("old", "a")]),
    ([("down", "c"), ("sync", "a")], [("restart", "a"), ("lease",)], [("old", "a")], [("sync", "a")]),
    ([("down", "c"), ("sync", "a")], [("lost", "a"), ("restart", "a"), ("lease",)], [("lease",)]),
    ([("down", "c")], [("lost", "a"), ("restart", "a"), ("back", "a")], [("lease",), ("sync", "a")]),
    ([("down", "c")], [("restart", "b"), ("restart", "a")], [("lease",), ("sync", "a"), ("sync", "b")]),
]


@pytest.mark.parametrize("scripts", ONE_SEES_IT_DOWN)
def test_what_one_of_three_sees_takes_nobody_down(scripts: tuple[Sequence[Event], ...]) -> None:
    for order in interleavings(*scripts):
        net = Net()
        for event in order:
            happen(net, event)
            net.check()
            for name in READERS:
                assert net.readers[name].region.verdict is UP, order


def test_a_cut_off_reader_that_saw_it_down_before_waits_for_others() -> None:
    for order in interleavings([("lease",), ("lease",)], [("old", "a")], [("restart", "a")], [("sync", "a")]):
        net = Net()
        net.see("a", DOWN)
        net.pass_time(1.0)
        net.lose("a")
        for event in order:
            happen(net, event)
            net.check()
            assert net.readers["a"].region.verdict is UP, order


TWO_SEE_IT_DOWN = [
    ([("down", "c"), ("sync", "a")], [("down", "b"), ("sync", "b")], [("old", "a")], [("lease",)]),
    ([("down", "c")], [("down", "b")], [("lost", "a"), ("lease",), ("back", "a")]),
    ([("down", "c"), ("down", "a")], [("lost", "a"), ("back", "a")], [("restart", "b")], [("sync", "a")]),
    ([("down", "a"), ("down", "b")], [("restart", "a"), ("restart", "b")], [("lost", "c"), ("back", "c")]),
]


@pytest.mark.parametrize("scripts", TWO_SEE_IT_DOWN)
def test_what_two_of_three_see_all_know_in_the_end_and_agree(scripts: tuple[Sequence[Event], ...]) -> None:
    for order in interleavings(*scripts):
        net = Net()
        for event in order:
            happen(net, event)
            net.check()
        net.pass_time(3 * LEASE)
        net.check()
        states = [net.readers[name].region for name in READERS]
        assert without_ages(states[0]) == without_ages(states[1]), order
        assert states[0].verdict is DOWN, order


@pytest.mark.parametrize("newest", ["uuu", "uud", "udd", "ddd"])
def test_the_order_of_arrival_does_not_matter_once_all_has_come(newest: str) -> None:
    records = [
        observation(observer=name, verdict=verdict, since=NOW + sequence, sequence=sequence)
        for name, letter in zip(OBSERVERS, newest, strict=True)
        for sequence, verdict in ((2, UP if letter == "u" else DOWN), (1, DOWN if letter == "u" else UP))
    ]
    fleet, clock = fleet_of(MAJORITY), FakeClock(NOW)
    expected = fold_world(fleet, records, (), (), at=NOW, store_read_at=None).region(EU)
    for order in permutations(records):
        ledger = Ledger(fleet, "reader", clock)
        for record in order:
            ledger.hear(record, LEASE)
        ledger.refold()
        state = ledger.world.region(EU)
        assert state == expected
        for record in order:
            assert not ledger.hear(record, LEASE)
        assert not ledger.refold()
        assert ledger.world.region(EU) is state, "duplicates and what is older change nothing"


QUORUMS = [Quorum(0.0), MAJORITY, Quorum(1.0, strict=False), Quorum(0.4), Quorum(2 / 3, strict=False)]


class Interleavings(RuleBasedStateMachine):
    """The same for long, with all of it at any time, by any quorum, and an operator beside it."""

    @initialize(quorum=st.sampled_from(QUORUMS))
    def begin(self, quorum: Quorum) -> None:
        self.net = Net(quorum)
        self.word: Override | None = None

    @rule(observer=st.sampled_from(OBSERVERS), verdict=st.sampled_from([UP, DOWN]))
    def see(self, observer: str, verdict: Verdict) -> None:
        self.net.see(observer, verdict)

    @rule(reader=st.sampled_from(READERS))
    def sync(self, reader: str) -> None:
        self.net.sync(reader)

    @rule(reader=st.sampled_from(READERS), number=st.integers(0, 50))
    def deliver_old(self, reader: str, number: int) -> None:
        assert not self.net.deliver_old(reader, number)

    @rule(seconds=st.sampled_from([0.5, 4.0, LEASE, 2 * LEASE]))
    def pass_time(self, seconds: float) -> None:
        self.net.pass_time(seconds)

    @rule(seconds=st.sampled_from([-3600.0, 3600.0]))
    def step_the_wall_clock(self, seconds: float) -> None:
        self.net.clock.step(seconds)

    @rule(name=st.sampled_from(OBSERVERS))
    def lose(self, name: str) -> None:
        self.net.lose(name)

    @rule(name=st.sampled_from(OBSERVERS))
    def find(self, name: str) -> None:
        self.net.find(name)

    @rule(name=st.sampled_from(READERS))
    def restart(self, name: str) -> None:
        self.net.restart(name)

    @rule(kind=st.sampled_from([OverrideKind.FORCED_UP, OverrideKind.FORCED_DOWN, OverrideKind.DRAIN]))
    def override(self, kind: OverrideKind) -> None:
        self.word = Override(EU, kind, "ana", "", NOW)
        for reader in self.net.readers.values():
            reader.ledger.hear_override(EU, "", self.word)

    @rule()
    def clear(self) -> None:
        self.word = None
        for reader in self.net.readers.values():
            reader.ledger.hear_override(EU, "", None)

    @precondition(lambda self: all(reader.linked for reader in self.net.readers.values()))
    @rule()
    def settle(self) -> None:
        """With the same to read for long enough, all readers see the same, and just what is fresh."""
        self.net.find("c")
        self.net.pass_time(2 * LEASE)
        first, second = (reader.region for reader in self.net.readers.values())
        assert without_ages(first) == without_ages(second)
        fresh = fold_world(
            self.net.fleet, self.net.saw.values(), (), (), at=self.net.clock.now(), store_read_at=None
        )
        assert without_ages(replace(first, override=None)) == without_ages(fresh.region(EU))

    @invariant()
    def holds(self) -> None:
        self.net.check()
        for reader in self.net.readers.values():
            state = reader.region
            assert state.override == self.word
            if self.word is not None:
                assert state.eligible == (self.word.kind is OverrideKind.FORCED_UP), "an operator always wins"
            else:
                assert state.eligible == (state.verdict is not DOWN)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
