from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import sample_databases as databases
from sample_worlds import override
from structlog.testing import capture_logs

from gslb.fleet import GeoSettings
from gslb.geo import locator as locator_module
from gslb.geo.database import Database
from gslb.geo.locator import Locator
from gslb.geo.network_map import NetworkMap
from gslb.geo.network_map_build import AbandonedError, build_network_map
from gslb.geo.reload import LocatorSource

CLIENT = ip_address("81.2.1.1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "city.mmdb"
    databases.write(path, {"81.2.0.0/16": databases.MAXMIND_CITY})
    return path


def _source(path: Path, cache: Path | None = None, poll: float = 7.0) -> LocatorSource:
    return LocatorSource(GeoSettings(databases=(str(path),), poll=poll, cache=str(cache) if cache else None))


def _replace(path: Path) -> None:
    databases.write(path, {"81.2.0.0/16": databases.FLAT})


def _country(source: LocatorSource) -> str | None:
    return source.current.locate(CLIENT).location.country


def _go_in_circles(database: Database) -> None:
    for slot, value in enumerate(database.tree):
        if value == database.node_count:
            database.tree[slot] = slot // 2


@pytest.fixture
def no_map_is_made(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Once called, databases are not walked through any more."""

    def build(*_: object) -> NetworkMap:
        raise AssertionError("a map that was there already is made again")

    return lambda: monkeypatch.setattr(locator_module, "build_network_map", build)


@asynccontextmanager
async def _watching_until(source: LocatorSource, done: Callable[[], bool]) -> AsyncIterator[None]:
    """Watch until `done` is found true between two looks."""
    reached = asyncio.Event()

    async def pause(seconds: float) -> None:
        await asyncio.sleep(0)
        if done():
            reached.set()

    watching = asyncio.create_task(source.watch(pause))
    try:
        async with asyncio.timeout(10):
            await reached.wait()
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def test_watching_maps_the_first_locator_and_tells_of_it_again(path: Path) -> None:
    source = _source(path)
    told: list[Locator] = []
    source.subscribe(told.append)
    first = source.current
    async with _watching_until(source, lambda: bool(told)):
        assert source.current is first
    assert told == [first]
    assert first.network_map is not None


async def test_a_replaced_database_has_its_map_before_it_is_current(path: Path) -> None:
    source = _source(path)
    assert await source.map_networks()
    told: list[tuple[Locator, NetworkMap | None]] = []
    source.subscribe(lambda locator: told.append((locator, locator.network_map)))
    _replace(path)
    assert await source.check()
    assert _country(source) == "DE"
    assert told == [(source.current, source.current.network_map)]
    assert source.current.network_map is not None


async def test_where_there_is_no_map_yet_a_replaced_database_does_not_wait_for_one(path: Path) -> None:
    source = _source(path)
    _replace(path)
    assert await source.check()
    assert _country(source) == "DE"
    assert source.current.network_map is None


async def test_a_map_is_given_up_when_its_database_is_replaced_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _source(path, poll=0.001)
    assert await source.map_networks()
    started: list[tuple[Database, ...]] = []

    def build(opened: tuple[Database, ...], *rest: Any) -> NetworkMap:
        wanted = rest[-1]
        started.append(opened)
        if len(started) == 1:
            databases.write(path, {"81.2.0.0/16": databases.MAXMIND_COUNTRY})
            while wanted():
                pass
            raise AbandonedError
        return build_network_map(opened, *rest)

    monkeypatch.setattr(locator_module, "build_network_map", build)
    told: list[Locator] = []
    source.subscribe(told.append)
    _replace(path)
    async with asyncio.timeout(10):
        assert await source.check()
    assert len(started) == 2
    assert _country(source) == "JP"
    assert told == [source.current]
    assert source.current.network_map is not None


async def test_the_old_locator_serves_on_when_the_watch_ends_while_a_map_is_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _source(path)
    assert await source.map_networks()
    before, loop = source.current, asyncio.get_running_loop()
    started, given_up = asyncio.Event(), asyncio.Event()

    def build(*arguments: Any) -> NetworkMap:
        wanted = arguments[-1]
        loop.call_soon_threadsafe(started.set)
        while wanted():
            pass
        loop.call_soon_threadsafe(given_up.set)
        raise AbandonedError

    monkeypatch.setattr(locator_module, "build_network_map", build)
    _replace(path)
    checking = asyncio.create_task(source.check())
    async with asyncio.timeout(10):
        await started.wait()
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking
        await given_up.wait()
    assert source.current is before


async def test_a_locator_that_is_replaced_meanwhile_gets_no_map(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _source(path)
    first = source.current

    async def replaced_meanwhile(work: Callable[[], bool]) -> bool:
        source.current = Locator(GeoSettings(databases=(str(path),)))
        return work()

    monkeypatch.setattr("gslb.geo.network_map_source.aside", replaced_meanwhile)
    assert not await source.map_networks()
    assert first.network_map is None
    assert source.current.network_map is None


async def test_without_a_map_the_databases_answer_on(path: Path) -> None:
    source = _source(path)
    _go_in_circles(source.current.databases[0])
    with capture_logs() as lines:
        assert not await source.map_networks()
        assert not await source.map_networks()
    assert [line["log_level"] for line in lines] == ["warning"]
    assert str(path) in lines[0]["error"]
    assert _country(source) == "GB"


async def test_a_database_that_cannot_be_mapped_is_taken_up_without(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _source(path)
    assert await source.map_networks()

    def build(opened: tuple[Database, ...], *rest: Any) -> NetworkMap:
        _go_in_circles(opened[0])
        return build_network_map(opened, *rest)

    monkeypatch.setattr(locator_module, "build_network_map", build)
    _replace(path)
    with capture_logs() as lines:
        assert await source.check()
        assert not await source.map_networks()
    assert [line["event"] for line in lines if line["log_level"] != "info"] == [
        "no network map, look-ups go on in the geo databases"
    ]
    assert source.current.network_map is None
    assert _country(source) == "DE"


async def test_not_even_a_defect_in_the_mapping_keeps_a_database_from_being_taken_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> NetworkMap:
        raise RuntimeError("no such luck")

    source = _source(path)
    assert await source.map_networks()
    monkeypatch.setattr(locator_module, "build_network_map", build)
    _replace(path)
    with capture_logs() as lines:
        assert await source.check()
    assert "error" in [line["log_level"] for line in lines]
    assert _country(source) == "DE"


async def test_a_changed_fleet_has_its_map_before_it_is_in_force(path: Path) -> None:
    source = _source(path)
    assert await source.map_networks()
    before, named = source.current, ip_network("81.2.1.0/25")
    async with source.prepared(GeoSettings(databases=(str(path),)), (named,)) as (_, use):
        assert source.current is before
        use()
        assert source.current.network_map is not None
        assert source.current.locate(CLIENT).network == named
    assert before.locate(CLIENT).network is None


async def test_a_changed_fleet_does_not_wait_for_the_first_map(
    path: Path, no_map_is_made: Callable[[], None]
) -> None:
    source = _source(path)
    no_map_is_made()
    async with source.prepared(GeoSettings(databases=(str(path),)), (ip_network("81.2.1.0/25"),)) as (_, use):
        use()
    assert source.current.network_map is None


async def test_what_an_override_says_is_changed_without_a_new_map(
    path: Path, no_map_is_made: Callable[[], None]
) -> None:
    settings = GeoSettings(databases=(str(path),), overrides=(override("81.2.0.0/20", "NZ"),))
    source = LocatorSource(settings, (ip_network("81.2.1.0/24"),))
    assert await source.map_networks()
    assert _country(source) == "NZ"
    no_map_is_made()
    changed = GeoSettings(databases=(str(path),), overrides=(override("81.2.0.0/20", "CL"),))
    async with source.prepared(changed, (ip_network("81.2.1.0/24"),)) as (_, use):
        use()
    assert source.current.network_map is not None
    located = source.current.locate(CLIENT)
    assert (located.location.country, located.network) == ("CL", ip_network("81.2.1.0/24"))
    assert source.current.locate(ip_address("81.2.200.1")).location.country == "GB"


async def test_another_poll_interval_keeps_the_locator_and_its_map(path: Path) -> None:
    source = _source(path)
    before = source.current
    assert await source.map_networks()
    async with source.prepared(GeoSettings(databases=(str(path),), poll=1.0), ()) as (_, use):
        use()
    assert source.current is before
    assert source.current.network_map is not None


async def test_a_node_that_starts_again_has_its_map_at_once(
    path: Path, tmp_path: Path, no_map_is_made: Callable[[], None]
) -> None:
    folder = tmp_path / "maps"
    first = _source(path, folder)
    assert first.current.network_map is None
    async with _watching_until(first, lambda: any(folder.glob("*.map"))):
        pass
    no_map_is_made()
    again = _source(path, folder)
    assert again.current.network_map is not None
    assert again.current.locate(CLIENT) == first.current.locate(CLIENT)


async def test_the_maps_of_replaced_databases_and_of_changed_fleets_are_kept_as_well(
    path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "maps"
    source = _source(path, folder)

    def kept() -> int:
        return len([*folder.glob("*.map")])

    async with _watching_until(source, lambda: kept() == 1):
        _replace(path)
    async with (
        _watching_until(source, lambda: kept() == 2),
        source.prepared(
            GeoSettings(databases=(str(path),), cache=str(folder)), (ip_network("81.2.1.0/25"),)
        ) as (_, use),
    ):
        use()
    async with _watching_until(source, lambda: kept() == 3):
        pass


async def test_another_folder_gets_the_map_that_there_is(path: Path, tmp_path: Path) -> None:
    source, folder = _source(path), tmp_path / "maps"
    assert await source.map_networks()
    before = source.current
    async with source.prepared(GeoSettings(databases=(str(path),), cache=str(folder)), ()) as (_, use):
        use()
    async with _watching_until(source, lambda: any(folder.glob("*.map"))):
        assert source.current is before


async def test_a_map_that_cannot_be_kept_costs_one_line(path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    source = _source(path, tmp_path / "file" / "maps")
    warnings: list[str] = []

    def warned() -> bool:
        warnings[:] = [line["event"] for line in lines if line["log_level"] == "warning"]
        return bool(warnings)

    with capture_logs() as lines:
        async with _watching_until(source, warned):
            pass
    assert warnings == ["the network map is not kept on disk"]
    assert source.current.network_map is not None
    assert _country(source) == "GB"
