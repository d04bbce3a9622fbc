from __future__ import annotations

import asyncio
import os
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
import sample_databases as databases
import structlog
from structlog.testing import capture_logs

from gslb.errors import GeoError
from gslb.fleet import GeoSettings, LocationOverride
from gslb.geo.location import Location
from gslb.geo.locator import Locator
from gslb.geo.reload import LocatorSource

CLIENT = ip_address("81.2.1.1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "city.mmdb"
    databases.write(path, {"81.2.0.0/16": databases.MAXMIND_CITY})
    return path


def _source(*paths: Path) -> LocatorSource:
    return LocatorSource(GeoSettings(databases=tuple(map(str, paths)), poll=7.0))


def _content(path: Path) -> bytes:
    return Path(databases.write(path, {"81.2.0.0/16": databases.FLAT})).read_bytes()


def _write(path: Path, content: bytes) -> None:
    """In place: the same inode, first emptied and then filled, as `cp` does it."""
    with path.open("wb") as file:
        file.write(content)


def _country(source: LocatorSource) -> str | None:
    return source.current.locate(CLIENT).location.country


async def test_an_unchanged_file_changes_nothing(path: Path) -> None:
    source = _source(path)
    before = source.current
    assert not await source.check()
    assert source.current is before


async def test_a_renamed_replacement_is_taken_up(path: Path) -> None:
    source = _source(path)
    told: list[Locator] = []
    source.subscribe(told.append)
    before = source.current
    databases.write(path, {"81.2.0.0/16": databases.FLAT})
    assert await source.check()
    assert _country(source) == "DE"
    assert told == [source.current]
    # Who still holds the old one goes on with the old answers.
    assert before.locate(CLIENT).location.country == "GB"
    assert not await source.check()


async def test_a_file_written_in_place_is_taken_up_when_whole(path: Path, tmp_path: Path) -> None:
    source = _source(path)
    before = source.current
    fresh = _content(tmp_path / "fresh.mmdb")
    _write(path, fresh[: len(fresh) // 2])
    with capture_logs() as lines:
        assert not await source.check()
        assert not await source.check()
    assert [line["log_level"] for line in lines] == ["warning"]
    assert str(path) in lines[0]["error"]
    # The old content is in memory, however short the file is now.
    assert source.current is before
    assert _country(source) == "GB"
    _write(path, fresh)
    assert await source.check()
    assert _country(source) == "DE"


async def test_a_vanished_file_is_no_reason_to_forget(path: Path, tmp_path: Path) -> None:
    source = _source(path)
    os.remove(path)
    with capture_logs() as lines:
        assert not await source.check()
        assert not await source.check()
    assert len(lines) == 1
    assert _country(source) == "GB"
    _write(path, _content(tmp_path / "fresh.mmdb"))
    assert await source.check()
    assert _country(source) == "DE"


async def test_a_replacement_without_places_is_refused(path: Path) -> None:
    source = _source(path)
    databases.write(path, {"81.2.0.0/16": {"is_anonymous": True}})
    with capture_logs() as lines:
        assert not await source.check()
    assert "tells a place" in lines[0]["error"]
    assert _country(source) == "GB"


async def test_only_the_changed_file_is_read_again(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "asn.mmdb"
    databases.write(other, {"81.2.0.0/16": databases.MAXMIND_ASN}, kind="ASN")
    source = _source(path, other)
    city = source.current.databases[0]
    databases.write(other, {"81.2.0.0/16": {"asn": "AS64500"}}, kind="ASN")
    assert await source.check()
    assert source.current.databases[0] is city
    assert source.current.locate(CLIENT).location.asn == 64500


async def test_a_changed_fleet_keeps_open_files(path: Path) -> None:
    source = _source(path)
    database = source.current.databases[0]
    override = LocationOverride(ip_network("81.2.1.0/24"), Location("override 81.2.1.0/24", country="NZ"))
    told: list[Locator] = []
    source.subscribe(told.append)
    async with source.prepared(GeoSettings(databases=(str(path),), overrides=(override,)), ()) as (_, use):
        assert _country(source) == "GB"
        use()
    assert told == [], "who changes the fleet swaps more than the locator, and all of it at once"
    assert source.current.databases[0] is database
    assert _country(source) == "NZ"
    # A later replacement of the file must not bring the old overrides back.
    databases.write(path, {"81.2.0.0/16": databases.FLAT})
    assert await source.check()
    assert _country(source) == "NZ"


async def test_a_changed_fleet_with_a_bad_database_changes_nothing(path: Path, tmp_path: Path) -> None:
    source = _source(path)
    before = source.current
    with pytest.raises(GeoError, match=r"gone\.mmdb"):
        async with source.prepared(GeoSettings(databases=(str(tmp_path / "gone.mmdb"),)), ()) as (_, use):
            use()
    async with source.prepared(GeoSettings(databases=(str(path),), poll=1.0), ()):
        pass
    assert source.current is before, "what was made ready was not used"


async def test_a_fleet_whose_places_stay_keeps_its_locator(path: Path) -> None:
    source = _source(path)
    before = source.current
    async with source.prepared(GeoSettings(databases=(str(path),), poll=7.0), ()) as (_, use):
        use()
    assert source.current is before


async def test_watching_looks_after_every_pause(path: Path) -> None:
    source = _source(path)
    swapped = asyncio.Event()
    source.subscribe(lambda _: swapped.set())
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            databases.write(path, {"81.2.0.0/16": databases.FLAT})
        await asyncio.sleep(0)

    watching = asyncio.create_task(source.watch(pause))
    async with asyncio.timeout(10):
        await swapped.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert len(pauses) >= 2
    assert set(pauses) == {7.0}
    assert _country(source) == "DE"


async def test_a_failing_subscriber_harms_no_other(path: Path) -> None:
    def fails(locator: Locator) -> None:
        raise RuntimeError("no such luck")

    source = _source(path)
    told: list[Locator] = []
    source.subscribe(fails)
    source.subscribe(told.append)
    databases.write(path, {"81.2.0.0/16": databases.FLAT})
    with capture_logs() as lines:
        assert await source.check()
    assert told == [source.current]
    assert lines[0]["event"] == "a subscriber failed over new geo databases"


async def test_no_failure_ends_the_watch_not_even_one_to_tell_of_it(path: Path) -> None:
    def fails(*_: object) -> dict[str, object]:
        raise OSError("no space left on device")

    source = _source(path)
    told: list[Locator] = []
    rounds = 0
    second_round = asyncio.Event()
    source.subscribe(told.append)

    async def pause(seconds: float) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 2:
            second_round.set()
        await asyncio.sleep(0)

    structlog.configure(processors=[fails])
    databases.write(path, {"81.2.0.0/16": databases.FLAT})
    watching = asyncio.create_task(source.watch(pause))
    await asyncio.wait([watching, asyncio.create_task(second_round.wait())], return_when="FIRST_COMPLETED")
    assert not watching.done()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert told
    assert {*told} == {source.current}, "subscribers come before words"
    assert _country(source) == "DE"


async def test_a_node_does_not_start_on_a_broken_database(path: Path) -> None:
    os.truncate(path, 10)
    with pytest.raises(GeoError):
        _source(path)
