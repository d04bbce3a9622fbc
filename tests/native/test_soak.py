"""The soak in short, so that it is known to work when somebody has an hour; and what it judges by."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench" / "dns"

with pytest.MonkeyPatch.context() as patched:
    patched.syspath_prepend(str(BENCH.parent / "rig"))
    patched.syspath_prepend(str(BENCH))
    from asking import Told, query_packet, told
    from truth import History, Truth
    from verdict import Curve, Findings, least_squares_slope
    from world import REGIONS, Sample

ASIA = Sample(IPv4Network("192.0.2.0/24"), REGIONS[2].address)
PASSED = Findings(1000, 0, 0, 0, 50, (), (), Curve(100.0, 100.0, 100.0, 0.0, 0.0, 1800.0), bound=20)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the generator is written in C")
def test_a_node_under_load_and_change_loses_nothing_and_is_never_wrong():
    options = "--json --coarse --names 50 --seconds 60 --rate 200 --probes 20 --patience 15 --grace 4"
    changes = "--reload-every 4 --database-every 7 --flip-every 1"
    command = [sys.executable, str(BENCH / "soak.py"), *options.split(), *changes.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert not found["failures"]
    assert found["sent"]
    assert found["sampled"]
    assert all(told["done"] for told in found["changes"].values()), found["changes"]


@pytest.mark.parametrize(
    "findings",
    [
        replace(PASSED, sent=0),
        replace(PASSED, sampled=0),
        replace(PASSED, lost=1),
        replace(PASSED, unexpected=1),
        replace(PASSED, bad=1),
        replace(PASSED, wrong=("www: 192.0.2.1, and not 192.0.2.2",)),
        replace(PASSED, problems=("the node ended with status 1",)),
        replace(PASSED, memory=Curve(100.0, 120.0, 120.0, slope=25.0, grown=12.0, span=1800.0)),
    ],
)
def test_whatever_must_not_happen_fails_the_soak(findings):
    assert len(findings.failures()) == 1


def test_a_soak_without_fault_passes():
    assert PASSED.failures() == []


def test_the_same_problem_is_told_once_with_its_number():
    (failure,) = replace(PASSED, problems=("a sound file was refused",) * 3).failures()
    assert failure == "a sound file was refused (3 times)"


def test_answers_that_came_too_late_are_told_as_loss_alone():
    (failure,) = replace(PASSED, lost=2, unexpected=2).failures()
    assert "lost" in failure


def test_memory_that_is_steady_after_warming_up_does_not_grow():
    warming = [(second, min(150.0, 100.0 + second)) for second in range(1000)]
    assert not Curve.of([(float(second), megabytes) for second, megabytes in warming]).grows(20)


def test_memory_that_goes_on_growing_grows():
    leaking = [(float(second), 100.0 + second * 30 / 3600) for second in range(3600)]
    curve = Curve.of(leaking)
    assert curve.slope == pytest.approx(30)
    assert curve.grows(20)
    assert not curve.grows(40)


def test_a_step_of_the_allocator_in_a_short_run_is_not_growth():
    assert not Curve.of([(0.0, 100.0), (5.0, 100.0), (10.0, 110.0)]).grows(20)


def test_a_short_run_that_takes_memory_as_if_there_were_no_end_of_it_grows():
    assert Curve.of([(float(second), 100.0 + second) for second in range(200)]).grows(20)


def test_the_slope_of_points_at_one_place_is_none():
    assert least_squares_slope([(1.0, 5.0), (1.0, 7.0)]) == 0


def test_while_something_changes_both_states_may_show_and_afterwards_the_old_one_for_a_while():
    history = History("old", grace=1.0)
    assert history.possible(0, 5) == {"old"}
    history.begin("new", at=10)
    assert history.possible(8, 9) == {"old"}
    assert history.possible(9, 10) == {"old", "new"}
    assert history.possible(50, 51) == {"old", "new"}
    history.done(12)
    assert history.possible(13, 14) == {"old", "new"}
    assert history.possible(13.5, 14) == {"new"}


def test_clients_of_a_region_that_is_down_may_be_sent_to_any_other_and_nobody_to_it():
    truth = Truth(grace=1.0, first_ttl=30)
    americas, emea, asia = (region.address for region in REGIONS)
    assert truth.fault(Told(1, 0, asia), ASIA, 0, 1) is None
    assert truth.fault(Told(1, 0, emea), ASIA, 0, 1) is not None
    truth.up["asia"].begin(False, 10)
    truth.up["asia"].done(11)
    assert truth.allowed(ASIA, 11, 11.5) == {americas, emea, asia}
    assert truth.allowed(ASIA, 13, 13.5) == {americas, emea}
    assert truth.fault(Told(1, 2), ASIA, 13, 14) is not None


def test_the_probers_packets_are_those_that_a_library_reads_and_writes():
    query = dns.message.from_wire(query_packet(7, "www.bench.test", IPv4Network("198.51.100.0/24")))
    assert (query.id, query.question[0].to_text()) == (7, "www.bench.test. IN A")
    assert [option.to_text() for option in query.options] == ["ECS 198.51.100.0/24 scope/0"]
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text("www.bench.test.", 9, "IN", "A", "203.0.113.1"))
    whole = response.to_wire()
    assert told(whole) == Told(7, 0, "203.0.113.1", 9)
    response.answer.clear()
    response.set_rcode(2)
    assert told(response.to_wire()) == Told(7, 2)
    for nonsense in (b"", whole[:40], query.to_wire()):
        with pytest.raises(ValueError, match="answer"):
            told(nonsense)
