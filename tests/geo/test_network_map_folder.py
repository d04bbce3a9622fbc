from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
import sample_databases as databases
from structlog.testing import capture_logs

from gslb.fleet import GeoSettings
from gslb.geo import network_map_folder
from gslb.geo.locator import Locator
from gslb.geo.network_map import Tables
from gslb.geo.network_map_file import Origin, file_size
from gslb.geo.network_map_folder import MapFolder, folder_of

Made = tuple[Origin, Tables]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    path = tmp_path_factory.mktemp("databases") / "city.mmdb"
    locator = Locator(GeoSettings(databases=(databases.write(path, {"81.2.0.0/16": databases.FLAT}),)))
    assert locator.map_networks()
    assert locator.network_map is not None
    return locator.origin(), locator.network_map.tables


@pytest.fixture
def folder(tmp_path: Path) -> MapFolder:
    return MapFolder(tmp_path / "cache" / "gslb")


def _kept(folder: MapFolder) -> list[Path]:
    return sorted(folder.path.iterdir())


def _other(origin: Origin, number: int) -> Origin:
    return Origin((bytes([number]) * 32,), origin.named, origin.overridden)


def test_what_is_kept_is_found_again(folder: MapFolder, made: Made) -> None:
    origin, tables = made
    with capture_logs() as lines:
        assert folder.load(origin) is None
        folder.keep(origin, tables)
        found = folder.load(origin)
    assert lines == []
    assert found is not None
    assert (found.ipv4, found.ipv6) == (tables.ipv4, tables.ipv6)
    assert folder.load(_other(origin, 1)) is None


def test_only_this_user_can_read_and_write_a_kept_map(folder: MapFolder, made: Made) -> None:
    folder.keep(*made)
    [path] = _kept(folder)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_a_damaged_map_is_ignored_and_replaced(folder: MapFolder, made: Made) -> None:
    folder.keep(*made)
    [path] = _kept(folder)
    os.truncate(path, path.stat().st_size // 2)
    with capture_logs() as lines:
        assert folder.load(made[0]) is None
    assert [(line["log_level"], line["path"]) for line in lines] == [("warning", str(path))]
    folder.keep(*made)
    assert folder.load(made[0]) is not None


def test_a_map_that_others_could_have_written_is_ignored(folder: MapFolder, made: Made) -> None:
    folder.keep(*made)
    [path] = _kept(folder)
    path.chmod(0o620)
    with capture_logs() as lines:
        assert folder.load(made[0]) is None
    assert "others" in lines[0]["error"]
    folder.keep(*made)
    assert folder.load(made[0]) is not None


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_ignored(folder: MapFolder, made: Made, kind: str) -> None:
    folder.keep(*made)
    [path] = _kept(folder)
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with capture_logs() as lines:
        assert folder.load(made[0]) is None
    assert [line["log_level"] for line in lines] == ["warning"]


def test_a_folder_that_cannot_be_made_costs_one_line(tmp_path: Path, made: Made) -> None:
    (tmp_path / "file").touch()
    folder = MapFolder(tmp_path / "file" / "maps")
    with capture_logs() as lines:
        assert folder.load(made[0]) is None
        folder.keep(*made)
    assert [line["log_level"] for line in lines] == ["warning"]


def test_a_path_that_can_be_none_is_no_reason_to_fail(made: Made) -> None:
    folder = MapFolder(Path("/nowhere\0"))
    assert folder.load(made[0]) is None
    folder.keep(*made)


def test_a_full_disk_leaves_nothing_behind(
    folder: MapFolder, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(network_map_folder, "write_map", full)
    with capture_logs() as lines:
        folder.keep(*made)
    assert [line["error"] for line in lines] == ["No space left on device"]
    assert _kept(folder) == []


def test_of_many_maps_those_that_were_used_last_stay(folder: MapFolder, made: Made) -> None:
    origin, tables = made
    origins = [_other(origin, number) for number in range(network_map_folder.MOST_FILES)]
    for age, each in enumerate(origins):
        folder.keep(each, tables)
        os.utime(folder._path_of(each), (1e9 + age, 1e9 + age))
    assert folder.load(origins[0]) is not None
    folder.keep(origin, tables)
    assert len(_kept(folder)) == network_map_folder.MOST_FILES
    assert folder.load(origin) is not None
    assert folder.load(origins[0]) is not None
    assert folder.load(origins[1]) is None


def test_maps_take_no_more_room_than_they_may(
    folder: MapFolder, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, tables = made
    monkeypatch.setattr(network_map_folder, "MOST_BYTES", 2 * file_size(tables))
    for number in range(3):
        folder.keep(_other(origin, number), tables)
    assert len(_kept(folder)) == 2
    monkeypatch.setattr(network_map_folder, "MOST_BYTES", file_size(tables) - 1)
    with capture_logs() as lines:
        folder.keep(origin, tables)
    assert [line["log_level"] for line in lines] == ["warning"]
    assert folder.load(origin) is None


def test_what_a_process_that_died_left_is_removed_and_nothing_else(folder: MapFolder, made: Made) -> None:
    folder.path.mkdir(parents=True)
    files = [
        folder.path / name for name in ("networks-old.tmp", "networks-new.tmp", "notes.tmp", "notes.map")
    ]
    for file in files:
        file.touch()
    for file in (files[0], *files[2:]):
        os.utime(file, (1e9, 1e9))
    folder.keep(*made)
    assert [file.exists() for file in files] == [False, True, True, True]


@pytest.mark.parametrize(
    ("cache", "environment", "expected"),
    [
        (None, {"HOME": "/home/u"}, None),
        ("/var/lib/maps", {"CACHE_DIRECTORY": "/var/cache/x"}, "/var/lib/maps"),
        ("auto", {"CACHE_DIRECTORY": "/var/cache/x:/var/cache/y", "XDG_CACHE_HOME": "/c"}, "/var/cache/x"),
        ("auto", {"XDG_CACHE_HOME": "/c", "HOME": "/home/u"}, "/c/gslb"),
        ("auto", {"XDG_CACHE_HOME": "relative", "HOME": "/home/u"}, "/home/u/.cache/gslb"),
        ("auto", {"HOME": "/home/u"}, "/home/u/.cache/gslb"),
        ("auto", {}, None),
    ],
)
def test_the_folder_is_the_one_that_the_system_provides(
    cache: str | None, environment: dict[str, str], expected: str | None
) -> None:
    folder = folder_of(cache, environment)
    assert (str(folder.path) if folder else None) == expected
