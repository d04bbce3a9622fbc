"""What a supervisor decides, under a clock of the test's, and what it does, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.workers.channel import ChannelError, Shared, WorkerEnd, channel
from edge.workers.plan import (
    FIRST_PAUSE,
    LONG_LIFE,
    LONGEST_PAUSE,
    End,
    Plan,
    Start,
    Tell,
    Wait,
    how_it_ended,
)
from edge.workers.supervisor import Supervisor
from gslb.clock import SystemClock

GRACE = 5.0


def steps(plan: Plan, now: float) -> list[object]:
    """All that is to be done at this moment; the last one is Wait or End."""
    taken: list[object] = []
    while True:
        taken.append(plan.next(now))
        if isinstance(taken[-1], Wait | End):
            return taken


def serving(workers: int, now: float = 0.0) -> Plan:
    plan = Plan(workers, GRACE, now)
    steps(plan, now)
    for number in range(workers):
        plan.ready(number)
    return plan


# What is decided.


def test_all_workers_are_started_at_once_and_complete_when_each_is_ready():
    plan = Plan(3, GRACE, 0.0)
    assert steps(plan, 0.0) == [Start(0), Start(1), Start(2), Wait(None)]
    plan.ready(2)
    plan.ready(0)
    assert not plan.complete
    plan.ready(1)
    assert plan.complete


def test_a_worker_that_dies_is_started_again_after_a_pause_that_doubles_up_to_a_bound():
    plan = serving(2)
    now, pauses = 0.0, []
    for _ in range(9):
        pause = plan.ended(1, 1, now)
        assert pause is not None
        pauses.append(pause)
        assert steps(plan, now) == [Wait(now + pause)]
        now += pause
        assert steps(plan, now) == [Start(1), Wait(None)]
        plan.ready(1)
    assert pauses[:4] == [FIRST_PAUSE, 0.2, 0.4, 0.8]
    assert pauses[-2:] == [LONGEST_PAUSE, LONGEST_PAUSE]


def test_a_long_life_makes_the_pause_short_again():
    plan = serving(1)
    for _ in range(5):
        plan.ended(0, 1, 0.0)
        steps(plan, 100.0)
    steps(plan, 200.0)
    assert plan.ended(0, 1, 200.0 + LONG_LIFE) == FIRST_PAUSE


def test_a_worker_that_ends_well_without_being_asked_is_started_again():
    plan = serving(1)
    assert plan.ended(0, 0, 100.0) == FIRST_PAUSE


@pytest.mark.parametrize(("status", "end"), [(2, 2), (0, 1), (-signal.SIGSEGV, 1)])
def test_a_worker_that_ends_before_all_are_ready_ends_the_start(status, end):
    plan = Plan(3, GRACE, 0.0)
    steps(plan, 0.0)
    plan.ready(0)
    assert plan.ended(1, status, 1.0) is None
    assert steps(plan, 1.0) == [Tell(0, signal.SIGTERM), Tell(2, signal.SIGTERM), Wait(1.0 + GRACE)]
    plan.ended(0, 0, 1.1)
    plan.ended(2, -signal.SIGTERM, 1.2)
    assert steps(plan, 1.2) == [End(end)]


def test_stopping_asks_all_hurries_them_when_asked_again_and_ends_with_the_last():
    plan = serving(2)
    plan.stop(10.0)
    asked = [Tell(0, signal.SIGTERM), Tell(1, signal.SIGTERM), Wait(10.0 + GRACE)]
    assert steps(plan, 10.0) == asked
    assert steps(plan, 11.0) == [Wait(10.0 + GRACE)]
    plan.stop(12.0)
    assert steps(plan, 12.0) == asked
    plan.ended(0, 0, 13.0)
    assert steps(plan, 13.0) == [Wait(10.0 + GRACE)]
    plan.ended(1, 0, 13.0)
    assert steps(plan, 13.0) == [End(0)]


def test_whoever_does_not_end_in_time_is_killed_and_the_status_tells():
    plan = serving(2)
    plan.stop(10.0)
    steps(plan, 10.0)
    plan.ended(0, 0, 11.0)
    assert steps(plan, 10.0 + GRACE) == [Tell(1, signal.SIGKILL), Wait(10.0 + 2 * GRACE)]
    plan.ended(1, -signal.SIGKILL, 15.1)
    assert steps(plan, 15.1) == [End(1)]


def test_a_worker_that_fails_while_it_ends_makes_the_status():
    plan = serving(2)
    plan.stop(10.0)
    steps(plan, 10.0)
    plan.ended(0, 3, 11.0)
    plan.ended(1, 0, 11.0)
    assert steps(plan, 11.0) == [End(1)]


def test_a_worker_that_rests_when_the_end_comes_is_not_started_again():
    plan = serving(1)
    plan.ended(0, 1, 1.0)
    plan.stop(1.05)
    assert steps(plan, 2.0) == [End(0)]


def test_signals_wait_for_workers_that_are_not_ready_and_are_sent_once():
    plan = Plan(2, GRACE, 0.0)
    steps(plan, 0.0)
    plan.ready(0)
    for _ in range(2):
        plan.pass_on(signal.SIGHUP)
    plan.pass_on(signal.SIGUSR1)
    assert steps(plan, 1.0) == [Tell(0, signal.SIGHUP), Tell(0, signal.SIGUSR1), Wait(None)]
    plan.ready(1)
    assert steps(plan, 2.0) == [Tell(1, signal.SIGHUP), Tell(1, signal.SIGUSR1), Wait(None)]


def test_a_worker_started_after_a_signal_does_not_get_it():
    plan = serving(1)
    plan.ended(0, 1, 1.0)
    plan.pass_on(signal.SIGHUP)
    assert steps(plan, 2.0) == [Start(0), Wait(None)]
    plan.ready(0)
    assert steps(plan, 3.0) == [Wait(None)]


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from("redhs"), st.integers(0, 3), st.floats(0, 20)), max_size=40),
)
def test_whatever_happens_no_worker_runs_twice_and_the_end_is_reached(workers, events):
    plan, now, running = Plan(workers, GRACE, 0.0), 0.0, set()

    def do() -> object:
        for step in (taken := steps(plan, now)):
            if isinstance(step, Start):
                assert step.number not in running
                assert not plan.stopping
                running.add(step.number)
            elif isinstance(step, Tell):
                assert step.number in running
        return taken[-1]

    do()
    for event, number, passed in events:
        now += passed
        if event == "s":
            plan.stop(now)
        elif event == "h":
            plan.pass_on(signal.SIGHUP)
        elif number in running:
            if event == "r":
                plan.ready(number)
            else:
                running.discard(number)
                plan.ended(number, 1 if event == "e" else -9, now)
        last = do()
        if isinstance(last, End):
            assert not running
            return
        assert isinstance(last, Wait)
        assert last.until is None or now < last.until <= now + LONGEST_PAUSE
    plan.stop(now)
    do()
    for number in tuple(running):
        running.discard(number)
        plan.ended(number, 0, now)
    assert isinstance(do(), End)


def test_an_end_is_told_in_words():
    assert how_it_ended(3) == "exit status 3"
    assert how_it_ended(-11) == "killed by SIGSEGV"
    assert how_it_ended(-99) == "killed by signal 99"


# What goes through a channel.


def test_descriptors_arrive_with_their_names_even_when_several_lines_come_together():
    ours, theirs = channel()
    worker = WorkerEnd(theirs.detach())
    assert worker.receive() == ()
    pairs = [os.pipe() for _ in range(3)]
    for generation, (_, writing) in enumerate(pairs):
        assert ours.share(Shared("board", generation, writing))
    got = worker.receive(wait=True) or ()
    got += worker.receive() or ()
    assert [(each.name, each.generation) for each in got] == [("board", 0), ("board", 1), ("board", 2)]
    for each, (reading, writing) in zip(got, pairs, strict=True):
        os.write(each.fd, b"%d" % each.generation)
        assert os.read(reading, 9) == b"%d" % each.generation
        assert not os.get_inheritable(each.fd)
        for fd in (each.fd, reading, writing):
            os.close(fd)
    assert not ours.says_ready()
    worker.ready()
    assert ours.says_ready()
    assert not ours.says_ready()
    ours.close()
    assert worker.receive() is None
    worker.ready()
    worker.close()


def test_a_worker_without_a_channel_says_who_starts_workers():
    reading, writing = os.pipe()
    with pytest.raises(ChannelError, match="workers are started by gslb-edge itself"):
        WorkerEnd(reading)
    os.close(reading)
    os.close(writing)


def test_a_line_that_nobody_knows_is_an_error():
    ours, theirs = channel()
    worker = WorkerEnd(theirs.detach())
    ours.socket.send(b"dance\n")
    with pytest.raises(ChannelError, match="another version"):
        worker.receive()
    worker.close()
    ours.close()


# What is done, with processes.


WORKER = textwrap.dedent(
    """
    import os, signal, sys
    number, fd, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

    def say(what):
        with open(os.path.join(folder, f"{number}"), "a") as file:
            file.write(what + chr(10))

    asked = []

    def end(signum, frame):
        asked.append(signum)
        say("term")
        if "stubborn" not in sys.argv[4:]:
            sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, lambda *_: say("hup"))
    signal.signal(signal.SIGUSR1, lambda *_: say("usr1"))
    if "refuse" in sys.argv[4:] and number == 1:
        sys.exit(2)
    say("begun")
    os.write(fd, b"ready" + bytes([10]))
    while True:
        signal.pause()
    """
)


class Crew:
    """A supervisor of small workers, each of which writes down what happens to it."""

    def __init__(self, folder: object, *manners: str, workers: int = 2, grace: float = 30.0) -> None:
        self.folder = folder
        self.ready = asyncio.Event()
        self.gone: list[int] = []
        self.supervisor = Supervisor(
            workers,
            lambda number, fd: [sys.executable, "-c", WORKER, str(number), str(fd), str(folder), *manners],
            SystemClock(),
            grace=grace,
            on_ready=self.ready.set,
            on_gone=self.gone.append,
        )
        self.running = asyncio.ensure_future(self.supervisor.run())

    async def told(self, number: int, *lines: str) -> None:
        """Wait until worker `number` has written exactly this."""
        file = self.folder / str(number)
        async with asyncio.timeout(30):
            while not file.exists() or tuple(file.read_text().split()) != lines:
                await asyncio.sleep(0.01)


@pytest.fixture
async def crews():
    made: list[Crew] = []
    yield lambda *args, **more: made.append(Crew(*args, **more)) or made[-1]
    for crew in made:
        crew.running.cancel()
        await asyncio.gather(crew.running, return_exceptions=True)


async def test_workers_start_get_signals_and_end_when_asked(crews, tmp_path):
    crew = crews(tmp_path)
    await crew.ready.wait()
    crew.supervisor.pass_on(signal.SIGHUP)
    await crew.told(0, "begun", "hup")
    crew.supervisor.pass_on(signal.SIGUSR1)
    await crew.told(0, "begun", "hup", "usr1")
    await crew.told(1, "begun", "hup", "usr1")
    crew.supervisor.stop()
    assert await crew.running == 0
    assert (tmp_path / "0").read_text().split()[-1] == "term"
    assert crew.supervisor.pids == {}


async def test_a_killed_worker_is_started_again_and_the_others_do_not_notice(crews, tmp_path):
    crew = crews(tmp_path)
    await crew.ready.wait()
    before = crew.supervisor.pids
    os.kill(before[1], signal.SIGKILL)
    await crew.told(1, "begun", "begun")
    await crew.told(0, "begun")
    assert crew.gone == [1]
    assert crew.supervisor.pids[0] == before[0]
    assert crew.supervisor.pids[1] != before[1]


async def test_a_worker_that_cannot_start_ends_all_with_its_status(crews, tmp_path):
    crew = crews(tmp_path, "refuse", workers=3)
    assert await crew.running == 2
    assert not crew.ready.is_set()


async def test_a_second_stop_reaches_the_workers_and_a_stubborn_one_is_killed(crews, tmp_path):
    crew = crews(tmp_path, "stubborn", workers=1, grace=2.0)
    await crew.ready.wait()
    crew.supervisor.stop()
    await crew.told(0, "begun", "term")
    crew.supervisor.stop()
    await crew.told(0, "begun", "term", "term")
    assert await crew.running == 1


async def test_a_program_that_does_not_exist_ends_the_start():
    supervisor = Supervisor(1, lambda number, fd: ["/nonexistent/program"], SystemClock(), grace=1.0)
    assert await supervisor.run() == 126


async def test_a_cancelled_supervisor_leaves_no_worker_behind(crews, tmp_path):
    crew = crews(tmp_path)
    await crew.ready.wait()
    pids = crew.supervisor.pids
    crew.running.cancel()
    await asyncio.gather(crew.running, return_exceptions=True)
    for pid in pids.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_signals_to_the_supervisor_reach_the_workers(crews, tmp_path):
    crew = crews(tmp_path, workers=1)
    crew.supervisor.take_signals()
    await crew.ready.wait()
    os.kill(os.getpid(), signal.SIGUSR1)
    await crew.told(0, "begun", "usr1")
    os.kill(os.getpid(), signal.SIGHUP)
    await crew.told(0, "begun", "usr1", "hup")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await crew.running == 0


async def test_what_is_shared_reaches_workers_that_run_and_those_that_come_later(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from edge.workers.channel import WorkerEnd\n"
        "end = WorkerEnd(int(sys.argv[1]))\n"
        "for fd in [each.fd for each in end.receive(wait=True)]:\n"
        "    os.write(fd, b'%d ' % os.getpid())\n"
        "end.ready()\n"
        "while (got := end.receive(wait=True)) is not None:\n"
        "    for each in got:\n"
        "        os.write(each.fd, b'%s-%d ' % (each.name.encode(), each.generation))\n"
    )
    ready = asyncio.Event()
    supervisor = Supervisor(
        1,
        lambda number, fd: [sys.executable, "-c", code, str(fd)],
        SystemClock(),
        grace=30.0,
        on_ready=ready.set,
    )
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    async def heard(expected: bytes) -> None:
        data = b""
        async with asyncio.timeout(30):
            while data != expected:
                try:
                    data += os.read(reading, 100)
                except BlockingIOError:
                    await asyncio.sleep(0.01)

    supervisor.share(Shared("board", 1, writing))
    running = asyncio.ensure_future(supervisor.run())
    await ready.wait()
    await heard(b"%d " % supervisor.pids[0])
    supervisor.share(Shared("board", 2, writing))
    await heard(b"board-2 ")
    first = supervisor.pids[0]
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(30):
        while supervisor.pids.get(0, first) == first:
            await asyncio.sleep(0.01)
    await heard(b"%d " % supervisor.pids[0])
    supervisor.stop()
    assert await running == 0
    os.close(reading)
    os.close(writing)
