from __future__ import annotations

import hashlib
import io
import sys
from array import array
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
import sample_databases as databases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_worlds import World, locator_of, near, networks_of, override, worlds

from gslb.fleet import GeoSettings
from gslb.geo import network_map_file
from gslb.geo.locator import Locator
from gslb.geo.network_map import Spans, Tables
from gslb.geo.network_map_file import Origin, UnusableMapError, file_size, read_map, write_map

NETWORKS = {"81.2.0.0/16": databases.MAXMIND_CITY, "2a00::/16": databases.MAXMIND_COUNTRY}
NAMED = (ip_network("81.2.3.0/24"), ip_network("2a00::/20"))


def _locator(path: Path, networks: dict[str, object] | None = None) -> Locator:
    database = databases.write(path / "city.mmdb", networks or NETWORKS)
    return Locator(GeoSettings(databases=(database,), overrides=(override("81.2.0.0/20"),)), NAMED)


@pytest.fixture
def locator(tmp_path: Path) -> Locator:
    return _locator(tmp_path)


def _tables(locator: Locator) -> Tables:
    assert locator.network_map is not None or locator.map_networks()
    assert locator.network_map is not None
    return locator.network_map.tables


def _written(tables: Tables, origin: Origin) -> bytes:
    file = io.BytesIO()
    write_map(file, tables, origin.key)
    assert file.tell() == file_size(tables)
    return file.getvalue()


def _read(content: bytes, origin: Origin) -> Tables:
    return read_map(io.BytesIO(content), len(content), origin)


@given(worlds(), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_map_that_was_written_and_read_says_what_it_said(
    tmp_path: Path, world: World, data: st.DataObject
) -> None:
    made, again = locator_of(world, tmp_path), locator_of(world, tmp_path)
    addresses = data.draw(st.lists(near(networks_of(world)), min_size=1, max_size=9))
    direct = [again.locate(address) for address in addresses]
    again.use_tables(_read(_written(_tables(made), made.origin()), again.origin()))
    assert again.network_map is not None
    for address, expected in zip(addresses, direct, strict=True):
        found = again.locate(address)
        assert found == expected
        # Caches go by identity.
        assert found.location is expected.location
        assert found.network is expected.network


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
def test_any_changed_byte_is_noticed(locator: Locator, data: st.DataObject) -> None:
    content = bytearray(_written(_tables(locator), locator.origin()))
    at = data.draw(st.one_of(st.integers(0, 120), st.integers(0, len(content) - 1)))
    content[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(UnusableMapError):
        _read(bytes(content), locator.origin())


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
def test_a_file_that_is_cut_short_or_goes_on_is_noticed(locator: Locator, data: st.DataObject) -> None:
    content = _written(_tables(locator), locator.origin())
    size = data.draw(st.integers(0, len(content) - 1))
    for wrong in (content[:size], content + b"\0", b""):
        with pytest.raises(UnusableMapError):
            _read(wrong, locator.origin())


def test_a_file_that_shrinks_while_it_is_read_is_noticed(locator: Locator) -> None:
    content = _written(_tables(locator), locator.origin())
    with pytest.raises(UnusableMapError, match="cut short"):
        read_map(io.BytesIO(content[: len(content) // 2]), len(content), locator.origin())


def test_no_room_is_made_for_what_a_damaged_header_promises(locator: Locator) -> None:
    content = bytearray(_written(_tables(locator), locator.origin()))
    lengths = network_map_file._HEADER.size - 32
    content[lengths : lengths + 8] = (1 << 60).to_bytes(8, sys.byteorder)
    with pytest.raises(UnusableMapError, match="cut short"):
        _read(bytes(content), locator.origin())


def test_the_same_databases_and_networks_are_the_same_origin_wherever_they_are(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    one, other = _locator(first), _locator(second)
    assert one.origin() == other.origin()
    path = other.databases[0].path
    elsewhere = GeoSettings(databases=(path,), overrides=(override("81.2.0.0/20", "CL"),))
    assert Locator(elsewhere, NAMED[::-1]).origin().key == one.origin().key, "order and say-so do not matter"


def test_whatever_a_map_depends_on_makes_another_origin(locator: Locator, tmp_path: Path) -> None:
    content = _written(_tables(locator), locator.origin())
    other = tmp_path / "other"
    other.mkdir()
    path = locator.databases[0].path
    overrides = (override("81.2.0.0/20"),)
    different = [
        _locator(other, {**NETWORKS, "9.0.0.0/8": databases.FLAT}),
        Locator(GeoSettings(databases=(path,), overrides=overrides), NAMED[:1]),
        Locator(GeoSettings(databases=(path,)), (*NAMED, overrides[0].network)),
        Locator(GeoSettings(databases=(path, path), overrides=overrides), NAMED),
    ]
    for each in different:
        assert each.origin().key != locator.origin().key
        with pytest.raises(UnusableMapError, match="something else"):
            _read(content, each.origin())


def test_another_format_is_another_origin(locator: Locator, monkeypatch: pytest.MonkeyPatch) -> None:
    content, key = _written(_tables(locator), locator.origin()), locator.origin().key
    monkeypatch.setattr(network_map_file, "FORMAT", network_map_file.FORMAT + 1)
    assert locator.origin().key != key
    with pytest.raises(UnusableMapError, match="something else"):
        _read(content, locator.origin())


def _with(column: array[int], at: int, value: int) -> array[int]:
    changed = column[:]
    changed[at] = value
    return changed


def _spans(change: Callable[[Spans], Spans]) -> Callable[[Tables], Tables]:
    return lambda tables: replace(tables, ipv4=change(tables.ipv4))


CONTRADICTIONS: dict[str, Callable[[Tables], Tables]] = {
    "starts not from 0": _spans(lambda s: replace(s, starts=_with(s.starts, 0, 1))),
    "starts that stay": _spans(lambda s: replace(s, starts=_with(s.starts, 3, s.starts[2]))),
    "starts that descend": _spans(lambda s: replace(s, starts=_with(s.starts, 3, s.starts[1]))),
    "a vantage that there is not": lambda t: replace(
        t, ipv6=replace(t.ipv6, vantages=_with(t.ipv6.vantages, 5, len(t.vantages)))
    ),
    "a vantage of 32 bits": _spans(lambda s: replace(s, vantages=_with(s.vantages, 5, 2**32 - 1))),
    "too long a length": _spans(lambda s: replace(s, prefix_lengths=s.prefix_lengths[:-1] + bytearray([33]))),
    "a head of 0": _spans(lambda s: replace(s, heads=_with(s.heads, 0, 0))),
    "a head beyond": _spans(lambda s: replace(s, heads=_with(s.heads, 1 << 16, len(s) + 1))),
    "a head too late": _spans(lambda s: replace(s, heads=_with(s.heads, 0x2000, s.heads[0x2000] + 1))),
    "a head too early": _spans(lambda s: replace(s, heads=_with(s.heads, 0xF000, s.heads[0xF000] - 1))),
    "a network that there is not": lambda t: replace(
        t, vantages=replace(t.vantages, networks=_with(t.vantages.networks, 1, len(t.vantages.named)))
    ),
    "an override that there is not": lambda t: replace(
        t, vantages=replace(t.vantages, overrides=_with(t.vantages.overrides, 1, len(t.vantages.named)))
    ),
    "an override that is none": lambda t: replace(
        t, vantages=replace(t.vantages, overrides=_with(t.vantages.overrides, 1, 2))
    ),
    "fewer names": lambda t: replace(
        t, vantages=replace(t.vantages, named=t.vantages.named[:-1], overrides=t.vantages.overrides[:-1])
    ),
    "no vantage": lambda t: replace(
        t,
        ipv4=replace(t.ipv4, vantages=array("I", bytes(4 * len(t.ipv4)))),
        ipv6=replace(t.ipv6, vantages=array("I", bytes(4 * len(t.ipv6)))),
        vantages=replace(t.vantages, networks=array("I"), handles=[array("I")]),
    ),
    "no span": _spans(
        lambda s: replace(s, starts=array("I"), vantages=array("I"), prefix_lengths=bytearray())
    ),
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_columns_that_would_mislead_a_reader_are_refused_even_with_a_right_checksum(
    locator: Locator, what: str
) -> None:
    tables = _tables(locator)
    assert tables.vantages.named[2] not in locator.origin().overridden
    origin = locator.origin()
    assert _read(_written(tables, origin), origin)
    with pytest.raises(UnusableMapError, match="contradict"):
        _read(_written(CONTRADICTIONS[what](tables), origin), origin)


def test_what_is_made_of_the_same_databases_changes_with_the_format_only(locator: Locator) -> None:
    """When this fails, the walk makes other maps than it did: raise FORMAT, and put the new digest here."""
    written = hashlib.sha256()
    for column in network_map_file._columns(_tables(locator)):
        content = array(column.typecode, column) if isinstance(column, array) else array("B", column)
        if sys.byteorder == "big":
            content.byteswap()
        written.update(content)
    digest = "e5e15e1e410f17df91db0454236466b122f1120763162191f6377f409f63d108"
    assert (network_map_file.FORMAT, written.hexdigest()) == (1, digest)
