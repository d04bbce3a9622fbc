"""`gslb wait` ends when it is so, and tells time that ran out from what could not be seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fleets import NOW, fleet, state, world
from typer.testing import CliRunner

from gslb.cli import app
from gslb.cli.wait import Awaited, Waiting, wait_for
from gslb.clock import FakeClock
from gslb.errors import StoreError
from gslb.world import Override, OverrideKind, Report, ServiceReport, Verdict

FLEET = fleet()
DRAIN = Override("eu-west", OverrideKind.DRAIN, "ana", "", NOW)


def known(rate: float | None = None, sequence: int = 0, **more: object):
    """A world with a report of eu-west."""
    told = (ServiceReport("www.shop.test", 1, 1, 0, rate / 2, 0.0),) if rate is not None else ()
    reports = (
        {"eu-west": (Report("eu-west", "edge1", NOW, rate, 0, 0.0, None, None, (), told, 1, sequence),)}
        if rate is not None
        else {}
    )
    return replace(world(state("eu-west", **more)), reports=reports)


def looks(waiting, *worlds):
    return [waiting.look(each)[0] for each in worlds]


def test_drained_is_who_is_drained_and_quiet_for_two_reports():
    waiting = Waiting(FLEET, "eu-west", Awaited.DRAINED)
    assert looks(
        waiting,
        known(0.5, 1),
        known(5, 2, override=DRAIN),
        known(0.5, 3, override=DRAIN),
        known(0.5, 3, override=DRAIN),
        known(5, 4, override=DRAIN),
        known(0.5, 5, override=DRAIN),
        known(0.0, 6, override=DRAIN),
    ) == [False, False, False, False, False, False, True]


def test_silence_is_not_quiet():
    waiting = Waiting(FLEET, "eu-west", Awaited.DRAINED)
    assert looks(waiting, known(override=DRAIN), known(override=DRAIN)) == [False, False]
    assert "no edge reports" in waiting.look(known(override=DRAIN))[1]
    assert "nobody has drained" in waiting.look(known(0.0, 1))[1]


def test_a_service_is_drained_when_its_own_requests_are_gone():
    word = replace(DRAIN, service="www.shop.test")
    waiting = Waiting(FLEET, "eu-west", Awaited.DRAINED, below=2.0, service="www.shop.test")
    more = {"overrides": {"www.shop.test": word}}
    assert looks(waiting, known(3.9, 1, **more), known(3.9, 2, **more)) == [False, True]


@pytest.mark.parametrize(
    ("awaited", "verdict", "come"),
    [
        (Awaited.UP, Verdict.UP, True),
        (Awaited.UP, Verdict.UNKNOWN, False),
        (Awaited.DOWN, Verdict.DOWN, True),
        (Awaited.DOWN, Verdict.UNKNOWN, False),
        (Awaited.ELIGIBLE, Verdict.UNKNOWN, True),
        (Awaited.ELIGIBLE, Verdict.DOWN, False),
    ],
)
def test_states_are_those_of_the_region(awaited, verdict, come):
    assert looks(Waiting(FLEET, "eu-west", awaited), known(verdict=verdict)) == [come]


def run(readings, most=10.0):
    """Wait through readings (worlds or errors), a second each; whether it came, and what was told."""
    clock = FakeClock()
    told: list[str] = []
    left = list(readings)

    def read():
        reading = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reading, StoreError):
            raise reading
        return reading

    waiting = Waiting(FLEET, "eu-west", Awaited.UP)
    come = wait_for(waiting, read, clock, most, pause=lambda: clock.advance(1.0), tell=told.append)
    return come, told


DOWN, UP, AWAY = known(verdict=Verdict.DOWN), known(), StoreError("Redis is away")


def test_waiting_ends_as_soon_as_it_is_so_or_time_is_up():
    assert run([UP]) == (True, ["eu-west is up: "])
    come, told = run([DOWN, DOWN, UP])
    assert come
    assert len(told) == 3
    come, told = run([DOWN])
    assert not come
    assert len(told) == 11


def test_redis_may_be_away_in_between_but_not_at_first_or_at_last():
    assert run([DOWN, AWAY, AWAY, UP])[0]
    with pytest.raises(StoreError):
        run([AWAY, UP])
    with pytest.raises(StoreError):
        run([DOWN, AWAY])


def test_errors_are_told_from_time_that_ran_out(tmp_path):
    file = tmp_path / "regions.yaml"
    file.write_text(
        """
redis: {url: "redis://127.0.0.1:1/0", timeout: 300ms}
dns: {nodes: {ns1: {listen: ["127.0.0.1:5399"]}}}
regions: {west: {coordinates: [53.3, -6.3], edges: [{addresses: [192.0.2.1]}]}}
pools: {}
routes: []
"""
    )
    for region, said in (("west", "127.0.0.1:1"), ("nowhere", "there is no region 'nowhere'")):
        arguments = ["wait", "--region", region, "--state", "up", "--timeout", "1s", "--config", str(file)]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2, result.output
        assert said in result.stderr
