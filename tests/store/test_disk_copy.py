"""A process starts with what it knew at its end where it can ask nobody; no file keeps it from starting."""

from __future__ import annotations

import asyncio
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from redis_process import RedisServer
from small_fleet import observation
from stores import EU, EU_TARGET, NEVER, US, WWW, eventually, is_down, serving_fleet

from gslb.clock import FakeClock, SystemClock
from gslb.fleet import Fleet
from gslb.store import disk_copy, keys
from gslb.store.codec_memory import VERSION, WHAT, decode_memory, encode_memory
from gslb.store.disk_copy import DiskCopy
from gslb.store.memory import Memory
from gslb.store.state import StateStore
from gslb.world import Intake, Override, OverrideKind, PoolReport, Report, Verdict

AT = 1_800_000_000.0
MEMORY = Memory(
    AT,
    (observation(), observation(observer="ns2", verdict=Verdict.DOWN)),
    (Report(EU, "edge1", AT, 12.5, 3, 0.01, 2000.0, 0.006, (PoolReport("web", 2, 3, 1),)),),
    (
        Override(EU, OverrideKind.WEIGHT, "ana", "", AT, weight=0.25),
        Override("", OverrideKind.HOLD, "bo", "", AT, AT + 60, WWW, held=((EU, Verdict.UP),)),
    ),
    {US: Intake(0.1, 1.0, 1.0, "gives 10 % of its clients away", AT, 7)},
)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    copy = DiskCopy(tmp_path / "state" / "ns1.json", FakeClock(AT + 90.0))
    assert copy.load() is None
    assert copy.save(MEMORY)
    with structlog.testing.capture_logs() as lines:
        assert copy.load() == MEMORY
    assert [line["age"] for line in lines] == ["90 s"]
    assert copy.save(Memory(AT + 1))
    assert copy.load() == Memory(AT + 1)
    assert [path.name for path in copy.path.parent.iterdir()] == ["ns1.json"]
    assert stat.S_IMODE(copy.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "it is not JSON"),
        (b"\x00\xff\xfe", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (encode_memory(MEMORY)[:-20], "it is not JSON"),
        (b"[]", "it is something else"),
        (b'{"version": 1}', "it is something else"),
        (json.dumps({"what": WHAT}).encode(), f"it is of version None, and not {VERSION}"),
        (json.dumps({"what": WHAT, "version": 0}).encode(), f"it is of version 0, and not {VERSION}"),
        (json.dumps({"what": WHAT, "version": VERSION}).encode(), "it does not say of when it is"),
        (json.dumps({"what": WHAT, "version": VERSION, "at": "soon"}).encode(), "it does not say of when"),
    ],
)
def test_a_file_that_is_not_ours_is_one_line_and_no_copy(tmp_path: Path, text: bytes, problem: str) -> None:
    path = tmp_path / "ns1.json"
    path.write_bytes(text)
    with structlog.testing.capture_logs() as lines:
        assert DiskCopy(path, FakeClock()).load() is None
    (line,) = lines
    assert line["event"] == "the copy of what was known cannot be used"
    assert line["problem"].startswith(problem)


def test_a_file_that_is_too_large_is_not_read_and_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = DiskCopy(tmp_path / "ns1.json", FakeClock())
    assert copy.save(MEMORY)
    monkeypatch.setattr(disk_copy, "MOST_BYTES", 100)
    with structlog.testing.capture_logs() as lines:
        assert copy.load() is None
        assert not copy.save(MEMORY)
    assert [line["problem"] for line in lines] == [
        "it is larger than 100 bytes",
        "it would be larger than 100 bytes",
    ]
    monkeypatch.undo()
    assert copy.load() == MEMORY, "the old one stands"


def test_what_cannot_be_saved_is_told_once_until_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("a file where the folder should be")
    copy = DiskCopy(folder / "ns1.json", FakeClock())
    with structlog.testing.capture_logs() as lines:
        assert not copy.save(MEMORY)
        assert not copy.save(MEMORY)
        assert len(lines) == 1
        folder.unlink()
        assert copy.save(MEMORY)
        assert len(lines) == 1


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "ns1.json.new").symlink_to(victim)
    assert DiskCopy(tmp_path / "ns1.json", FakeClock()).save(MEMORY)
    assert victim.read_text() == "untouched"


def test_one_record_that_cannot_be_read_costs_no_other() -> None:
    document = json.loads(encode_memory(MEMORY))
    document["observations"][0]["state"] = "sideways"
    document["overrides"] = [7, {"kind": 3}, *document["overrides"]]
    document["reports"] = "none"
    found = decode_memory(json.dumps(document).encode())
    assert found == replace(MEMORY, observations=MEMORY.observations[1:], reports=())
    unwritable = replace(MEMORY, observations=(observation(since=1e18), *MEMORY.observations))
    assert decode_memory(encode_memory(unwritable)) == MEMORY


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*json.loads(encode_memory(MEMORY))]), JSON))
def test_whatever_is_in_it_is_read_or_refused(changes: dict[str, object]) -> None:
    document = json.loads(encode_memory(MEMORY)) | changes
    try:
        assert isinstance(decode_memory(json.dumps(document).encode()), Memory)
    except ValueError:
        assert changes


def _store(fleet: Fleet, path: Path, **options: bool) -> StateStore:
    clock = SystemClock()
    return StateStore(fleet, "ns1", clock, copy=DiskCopy(path, clock), **options)


async def test_a_restart_where_nobody_can_be_asked_goes_on_as_before(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    fleet = serving_fleet(redis_server.url, poll=0.05, timeout=0.2)
    before = _store(fleet, tmp_path / "ns1.json")
    await before.start()
    await eventually(lambda: before.connected)
    assert before.recalled_at is None
    before.observe(observation(verdict=Verdict.DOWN))
    await before.set_override(Override(US, OverrideKind.DRAIN, "ana", "", SystemClock().now()))
    await before.propose_intake(US, MEMORY.intakes[US])
    await before.stop()

    redis_server.kill()
    after = _store(fleet, tmp_path / "ns1.json")
    await after.start()
    try:
        assert not after.connected
        assert after.recalled_at is not None
        assert is_down()(after.world)
        assert after.world.region(US).override == before.world.region(US).override
        assert after.world.region(US).intake == MEMORY.intakes[US]
        # Redis comes back with another word: that counts now, and not the copy.
        redis_server.start()
        await eventually(lambda: after.recalled_at is None)
        await eventually(lambda: after.world.region(US).override is None)
    finally:
        await after.stop()


async def test_own_probes_take_the_place_of_the_copy(tmp_path: Path) -> None:
    path = tmp_path / "ns1.json"
    DiskCopy(path, FakeClock()).save(MEMORY)
    store = _store(serving_fleet(), path)
    await store.start()
    try:
        assert store.recalled_at == AT
        store.observe(observation(US + "/198.51.100.1"))
        assert store.recalled_at == AT, "it has not looked at what the copy tells of"
        store.observe(observation(verdict=Verdict.DOWN))
        assert store.recalled_at is None
        assert is_down()(store.world)
    finally:
        await store.stop()


async def test_what_changes_is_saved_while_the_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_copy, "PAUSE", 0.01)
    store = _store(serving_fleet(), tmp_path / "ns1.json")
    await store.start()
    try:
        reader = DiskCopy(tmp_path / "ns1.json", FakeClock())
        for verdict in (Verdict.DOWN, Verdict.UP):
            store.observe(observation(verdict=verdict))

            def is_saved(wanted: Verdict = verdict) -> bool:
                memory = reader.load()
                return memory is not None and [each.verdict for each in memory.observations] == [wanted]

            await eventually(is_saved)
    finally:
        await store.stop()


async def test_without_redis_a_word_is_on_disk_before_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_copy, "PAUSE", NEVER)
    store = _store(serving_fleet(), tmp_path / "ns1.json")
    reader = DiskCopy(tmp_path / "ns1.json", FakeClock())
    await store.start()
    try:
        # After this there is no saving for an hour but what words bring about.
        store.observe(observation())
        await eventually(lambda: reader.load() is not None)
        drain = Override(US, OverrideKind.DRAIN, "ana", "", SystemClock().now())
        await store.set_override(drain)
        saved = reader.load()
        assert saved is not None
        assert [(each.region, each.kind) for each in saved.overrides] == [(US, OverrideKind.DRAIN)]
        assert await store.clear_override(US, "ana")
        saved = reader.load()
        assert saved is not None
        assert saved.overrides == ()
    finally:
        await store.stop()


async def test_it_is_saved_from_time_to_time_although_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_copy, "PAUSE", 0.0)
    monkeypatch.setattr(disk_copy, "REFRESH", 0.01)
    copy = DiskCopy(tmp_path / "ns1.json", FakeClock())
    moments = iter(range(1_800_000_000, 1_900_000_000))
    keeping = asyncio.create_task(copy.keep(lambda: Memory(float(next(moments)))))
    try:

        def saved_again() -> bool:
            memory = copy.load()
            return memory is not None and memory.at >= AT + 2

        await eventually(saved_again)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_a_disk_that_is_full_costs_nothing_but_the_copy(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    fleet = serving_fleet(redis_server.url, poll=NEVER)
    store = _store(fleet, tmp_path / "state" / "ns1.json", publishes_verdicts=True)
    await store.start()
    try:
        store.observe(observation(verdict=Verdict.DOWN))
        with redis_server.client() as client:
            await eventually(lambda: client.hget(keys.observation(EU_TARGET, "ns1"), "state") == "down")
    finally:
        await store.stop()
