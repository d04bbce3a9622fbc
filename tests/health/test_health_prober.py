"""The prober on a clock that tests move: bounded rounds, no overlap, jitter, and clean ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar, Self

import pytest
import structlog

from gslb.clock import FakeClock
from gslb.fleet import HealthCheck, SocketAddress
from gslb.health.checks import CheckOptions, ProbeOutcome
from gslb.health.prober import CONCURRENT_PROBES, Prober
from gslb.world import Observation, Verdict

ADDRESS = SocketAddress("192.0.2.1", 80)


@dataclass
class ScriptedCheck:
    """Answers as told, counts how many probes are in flight, and can be held."""

    name: ClassVar[str] = "scripted"
    Options: ClassVar[type[CheckOptions]] = CheckOptions
    answer: Callable[[SocketAddress], ProbeOutcome] = lambda target: ProbeOutcome(True, "200 in 1 ms", 0.001)
    release: asyncio.Event | None = None
    in_flight: int = 0
    most_in_flight: int = 0
    asked: list[SocketAddress] = field(default_factory=list)

    @classmethod
    def from_options(cls, options: CheckOptions) -> Self:
        return cls()

    async def probe(self, target: SocketAddress, timeout: float) -> ProbeOutcome:
        self.asked.append(target)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.release is not None:
                await self.release.wait()
            else:
                await asyncio.sleep(0)
            return self.answer(target)
        finally:
            self.in_flight -= 1


class Night:
    """Sleeps that end when the test says that time has passed."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.clock.monotonic() + seconds, future))
        await future

    async def pass_(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        while True:
            for _ in range(10):
                await asyncio.sleep(0)
            due = sorted((at, index) for index, (at, _) in enumerate(self.sleepers) if at <= end)
            if not due:
                break
            at, index = due[0]
            self.clock.advance(max(0.0, at - self.clock.monotonic()))
            _, future = self.sleepers.pop(index)
            if not future.done():
                future.set_result(None)
        self.clock.advance(end - self.clock.monotonic())


def prober_of(
    check: ScriptedCheck, count: int, clock: FakeClock, night: Night | None = None
) -> tuple[Prober, list[Observation]]:
    told: list[Observation] = []
    health = HealthCheck("scripted", check, interval=1.0, timeout=0.5, rise=2, fall=2)
    targets = {f"r/{number}": (health, SocketAddress("192.0.2.1", number + 1)) for number in range(count)}
    sleep = night.sleep if night else asyncio.sleep
    return Prober(targets, "ns1", clock, told.append, 7, random=Random(1), sleep=sleep), told


@asynccontextmanager
async def running(prober: Prober) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(prober.run())
    try:
        yield task
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_initial_round_makes_everything_known() -> None:
    check = ScriptedCheck(lambda target: ProbeOutcome(target.port % 2 == 0, "as told", 0.0))
    prober, told = prober_of(check, 600, FakeClock())
    assert await prober.initial_round(30.0)
    assert len(told) == len(prober.observations) == prober.probes == 600
    assert prober.failures == 300
    assert prober.observations["r/1"].verdict is Verdict.UP
    assert prober.observations["r/0"].verdict is Verdict.DOWN
    assert check.most_in_flight == CONCURRENT_PROBES


async def test_the_initial_round_ends_at_its_deadline() -> None:
    check = ScriptedCheck(release=asyncio.Event())
    prober, told = prober_of(check, 3, FakeClock())
    assert not await prober.initial_round(0.01)
    assert told == []
    assert check.in_flight == 0, "abandoned probes are cancelled, not left behind"
    assert check.release is not None
    check.release.set()
    assert await prober.initial_round(30.0)


async def test_every_target_is_probed_at_its_interval_with_spread_and_jitter() -> None:
    clock = FakeClock()
    night, check = Night(clock), ScriptedCheck()
    prober, _ = prober_of(check, 20, clock, night)
    async with running(prober):
        await night.pass_(1.0)
        assert {target.port for target in check.asked} == set(range(1, 21)), "all within one interval"
        starts = night.slept[:20]
        assert len(set(starts)) == 20
        assert max(starts) - min(starts) > 0.5
        check.asked.clear()
        night.slept.clear()
        await night.pass_(100.0)
    assert 20 * 90 <= len(check.asked) <= 20 * 112
    assert 0.9 <= min(night.slept) < 0.95
    assert 1.05 < max(night.slept) <= 1.1


async def test_jitter_is_the_checks_own() -> None:
    clock = FakeClock()
    night = Night(clock)
    health = HealthCheck("steady", ScriptedCheck(), interval=1.0, timeout=0.5, jitter=0.0)
    prober = Prober({"r/0": (health, ADDRESS)}, "ns1", clock, lambda each: None, 1, sleep=night.sleep)
    async with running(prober):
        await night.pass_(10.0)
    assert night.slept[1:] == pytest.approx([1.0] * (len(night.slept) - 1))
    assert len(night.slept) >= 10


async def test_a_target_in_doubt_is_probed_at_the_fast_interval() -> None:
    clock = FakeClock()
    night, answers = Night(clock), iter([True, False, False, False])
    check = ScriptedCheck(lambda target: ProbeOutcome(next(answers, False), "as told", 0.0))
    health = HealthCheck("quick", check, 5.0, 0.5, rise=2, fall=3, fast_interval=0.5, jitter=0.0)
    told: list[Observation] = []
    prober = Prober({"r/0": (health, ADDRESS)}, "ns1", clock, told.append, 1, sleep=night.sleep)
    async with running(prober):
        await night.pass_(11.5)
    assert night.slept[0] <= 0.5, "nothing is known of it yet"
    assert night.slept[1:5] == pytest.approx([5.0, 0.5, 0.5, 5.0])
    assert [each.verdict.value for each in told[:4]] == ["up", "up", "up", "down"]


async def test_a_load_is_told_as_often_as_it_comes_and_its_end_once() -> None:
    clock = FakeClock()
    night, loads = Night(clock), iter([None, 0.2, 0.2, 0.7, None])
    check = ScriptedCheck(lambda target: ProbeOutcome(True, "as told", 0.0, next(loads, None)))
    health = HealthCheck("scripted", check, interval=1.0, timeout=0.5)
    told: list[tuple[str, float | None]] = []

    def listen(target: str, load: float | None) -> None:
        told.append((target, load))
        if load == 0.2:
            raise OSError("no space left on device")

    prober = Prober(
        {"r/0": (health, ADDRESS)}, "ns1", clock, lambda each: None, 1, on_load=listen, sleep=night.sleep
    )
    with structlog.testing.capture_logs() as lines:
        async with running(prober):
            while len(told) < 3:
                await night.pass_(0.1)
            assert dict(prober.loads) == {"r/0": 0.7}
            await night.pass_(5.0)
    assert told == [("r/0", 0.2), ("r/0", 0.2), ("r/0", 0.7), ("r/0", None)]
    assert dict(prober.loads) == {}
    assert {line["event"] for line in lines} == {"a load could not be passed on"}


async def test_the_load_of_a_target_that_goes_is_forgotten() -> None:
    check = ScriptedCheck(lambda target: ProbeOutcome(True, "as told", 0.0, 0.5))
    prober, _ = prober_of(check, 2, FakeClock())
    assert await prober.initial_round(30.0)
    assert dict(prober.loads) == {"r/0": 0.5, "r/1": 0.5}
    prober.use({"r/1": (HealthCheck("scripted", check), ADDRESS)})
    assert dict(prober.loads) == {"r/1": 0.5}


async def test_a_slow_target_is_not_probed_twice_at_a_time_and_holds_up_nobody() -> None:
    clock = FakeClock()
    night, slow, quick = Night(clock), ScriptedCheck(release=asyncio.Event()), ScriptedCheck()
    targets = {
        "r/slow": (HealthCheck("slow", slow, 1.0, 0.5), ADDRESS),
        "r/quick": (HealthCheck("quick", quick, 1.0, 0.5), ADDRESS),
    }
    prober = Prober(targets, "ns1", clock, lambda each: None, 1, random=Random(2), sleep=night.sleep)
    async with running(prober):
        await night.pass_(20.0)
        assert len(slow.asked) == slow.most_in_flight == 1
        assert len(quick.asked) >= 18
        assert slow.release is not None
        slow.release.set()
        await night.pass_(0.5)
        assert len(slow.asked) == 2, "the next one follows at once, not as many as were missed"


async def test_verdicts_flip_as_rise_and_fall_say() -> None:
    clock = FakeClock()
    night, answers = Night(clock), iter([True, False, False, True, True])
    check = ScriptedCheck(lambda target: ProbeOutcome(next(answers, True), "as told", 0.0))
    prober, told = prober_of(check, 1, clock, night)
    async with running(prober):
        await night.pass_(4.9)
    assert [each.verdict.value for each in told[:5]] == ["up", "up", "down", "down", "up"]
    assert [each.sequence for each in told] == list(range(1, len(told) + 1))
    assert {each.epoch for each in told} == {7}


async def test_a_broken_check_is_a_failure_and_not_the_end() -> None:
    def broken(target: SocketAddress) -> ProbeOutcome:
        raise RuntimeError("no such luck")

    clock = FakeClock()
    night = Night(clock)
    prober, told = prober_of(ScriptedCheck(broken), 1, clock, night)
    with structlog.testing.capture_logs() as lines:
        async with running(prober):
            await night.pass_(5.0)
    assert len(told) >= 4
    assert told[-1].verdict is Verdict.DOWN
    assert told[-1].reason == "check scripted is broken: RuntimeError"
    assert lines[0]["event"] == "a health check is broken"


async def test_a_listener_that_fails_ends_no_probing() -> None:
    clock = FakeClock()
    night, told = Night(clock), []
    check = HealthCheck("scripted", ScriptedCheck(), interval=1.0, timeout=0.5)

    def listen(observation: Observation) -> None:
        told.append(observation.target)
        if observation.target == "r/bad":
            raise OSError("no space left on device")

    targets = {"r/bad": (check, ADDRESS), "r/good": (check, ADDRESS)}
    prober = Prober(targets, "ns1", clock, listen, 1, random=Random(1), sleep=night.sleep)
    with structlog.testing.capture_logs() as lines:
        assert await prober.initial_round(30.0)
        async with running(prober):
            await night.pass_(5.0)
    assert told.count("r/good") >= 4
    assert told.count("r/bad") >= 4
    assert {(line["event"], line["target"]) for line in lines} == {
        ("an observation could not be passed on", "r/bad")
    }


async def test_cancelled_in_the_middle_of_a_probe_it_ends_and_says_nothing() -> None:
    clock = FakeClock()
    night, check = Night(clock), ScriptedCheck(release=asyncio.Event())
    prober, told = prober_of(check, 5, clock, night)
    async with running(prober):
        await night.pass_(1.0)
        assert check.in_flight == 5
    assert check.in_flight == 0
    assert told == []


def prober_and_targets(
    night: Night, clock: FakeClock, **checks: ScriptedCheck
) -> tuple[Prober, dict[str, tuple[HealthCheck, SocketAddress]], list[Observation]]:
    told: list[Observation] = []
    targets = {name: (HealthCheck(name, check, 1.0, 0.5), ADDRESS) for name, check in checks.items()}
    prober = Prober(targets, "ns1", clock, told.append, 1, random=Random(1), sleep=night.sleep)
    return prober, targets, told


async def test_targets_that_stay_keep_their_history_and_their_schedule() -> None:
    clock = FakeClock()
    night, kept = Night(clock), ScriptedCheck()
    prober, targets, told = prober_and_targets(night, clock, kept=kept)
    async with running(prober):
        await night.pass_(10.0)
        before = len(kept.asked)
        for _ in range(20):
            prober.use(dict(targets))
        await night.pass_(0.0)
        assert len(kept.asked) == before, "nothing is probed out of turn"
        await night.pass_(10.0)
    assert 9 <= len(kept.asked) - before <= 12, "and nothing twice"
    assert [each.sequence for each in told] == list(range(1, len(told) + 1))


async def test_new_targets_are_probed_at_once_and_those_that_go_no_more() -> None:
    clock = FakeClock()
    night, gone, new = Night(clock), ScriptedCheck(), ScriptedCheck()
    prober, _, told = prober_and_targets(night, clock, gone=gone)
    async with running(prober):
        await night.pass_(3.0)
        prober.use({"new": (HealthCheck("new", new, 60.0, 0.5), ADDRESS)})
        assert list(prober.observations) == []
        asked = len(gone.asked)
        await night.pass_(0.0)
        assert len(new.asked) == 1
        await night.pass_(50.0)
        assert len(gone.asked) == asked
        assert list(prober.observations) == ["new"]
        prober.use({})
        told.clear()
        await night.pass_(100.0)
        assert told == []
        prober.use({"new": (HealthCheck("new", new, 60.0, 0.5), ADDRESS)})
        await night.pass_(0.0)
        assert [each.target for each in told] == ["new"], "even after there was nothing to probe"


async def test_a_first_look_is_at_what_is_new_alone_and_spreads_what_follows() -> None:
    clock = FakeClock()
    night, old, new = Night(clock), ScriptedCheck(), ScriptedCheck()
    prober, targets, told = prober_and_targets(night, clock, old=old)
    more = {**targets, "new": (HealthCheck("new", new, 60.0, 0.5), ADDRESS)}
    async with running(prober):
        await night.pass_(1.0)
        asked = len(old.asked)
        assert await prober.first_look(more, 30.0)
        assert (len(old.asked), len(new.asked)) == (asked, 1)
        assert told[-1].target == "new"
        prober.use(more)
        await night.pass_(0.0)
        assert len(new.asked) == 1
        await night.pass_(60.0)
        assert len(new.asked) == 2


async def test_a_first_look_ends_at_its_deadline() -> None:
    clock = FakeClock()
    night, new = Night(clock), ScriptedCheck(release=asyncio.Event())
    prober, _, told = prober_and_targets(night, clock)
    assert not await prober.first_look({"new": (HealthCheck("new", new, 1.0, 0.5), ADDRESS)}, 0.01)
    assert new.in_flight == 0
    assert told == []


async def test_a_target_that_is_probed_otherwise_is_probed_at_once_and_keeps_its_history() -> None:
    clock = FakeClock()
    night, before = Night(clock), ScriptedCheck()
    failing = ScriptedCheck(lambda target: ProbeOutcome(False, "refused", 0.0))
    prober, _, told = prober_and_targets(night, clock, same=before)
    async with running(prober):
        await night.pass_(5.0)
        asked, since = len(before.asked), told[-1].since
        prober.use(
            {"same": (HealthCheck("other", failing, 1.0, 0.5, fall=2), SocketAddress("192.0.2.9", 81))}
        )
        await night.pass_(0.0)
        assert failing.asked == [SocketAddress("192.0.2.9", 81)]
        assert (told[-1].verdict, told[-1].consecutive, told[-1].since) == (Verdict.UP, -1, since)
        await night.pass_(1.2)
        assert told[-1].verdict is Verdict.DOWN
        assert len(before.asked) == asked


async def test_a_probe_in_flight_of_a_target_that_goes_is_broken_off() -> None:
    clock = FakeClock()
    night, slow = Night(clock), ScriptedCheck(release=asyncio.Event())
    prober, _, told = prober_and_targets(night, clock, slow=slow)
    async with running(prober):
        await night.pass_(1.0)
        assert slow.in_flight == 1
        prober.use({})
        await night.pass_(0.0)
        assert slow.in_flight == 0
        assert slow.release is not None
        slow.release.set()
        await night.pass_(1.0)
    assert told == []
