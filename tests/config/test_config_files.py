"""The files around the configuration: unreadable ones, zone files, databases, and paths relative to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fleet_file import GOOD, broken, checked, errors

from gslb.config import check, load, textfile
from gslb.errors import ConfigError

RECORDS = GOOD[GOOD.index("    records: |\n") : GOOD.index("checks:")]
ZONE = "$TTL 300\n@ IN SOA ns1 hostmaster 1 7200 900 1209600 300\n@ IN NS ns1\nns1 IN A 192.0.2.53\n"

OR_ANOTHER = ", or name another file with --config or GSLB_CONFIG"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "gone.yaml"
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value) == f"{file}: the configuration does not exist; check the path{OR_ANOTHER}"


def test_a_directory(tmp_path: Path) -> None:
    assert [str(problem) for problem in check(tmp_path).errors] == [
        f"{tmp_path}: the configuration is a directory; name a file in it{OR_ANOTHER}"
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    file = tmp_path / "regions.yaml"
    file.write_text(GOOD)
    file.chmod(0)
    assert "may not be read" in str(check(file).errors[0])


def test_bytes_that_are_not_utf_8_have_a_place(tmp_path: Path) -> None:
    file = tmp_path / "regions.yaml"
    file.write_bytes("a: 1\nb: ü\xa0".encode("latin-1"))
    assert [str(problem) for problem in check(file).errors] == [
        f"{file}:2:4: the configuration is not UTF-8 text; save it as UTF-8"
    ]


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfile, "MAXIMUM_BYTES", len(GOOD) - 1)
    (problem,) = checked(tmp_path, GOOD).errors
    assert "is larger than" in problem.message


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    assert checked(tmp_path, "\ufeff" + GOOD).fleet is not None


def test_a_zone_file(tmp_path: Path) -> None:
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "shop").write_text(ZONE)
    fleet = checked(tmp_path, GOOD.replace(RECORDS, "    file: zones/shop\n")).fleet
    assert fleet is not None
    source = fleet.zones["shop.example"]
    assert (source.text, source.first_line) == (ZONE, 1)
    assert Path(source.file) == tmp_path / "zones" / "shop"


def test_problems_of_a_zone_file_have_its_own_lines(tmp_path: Path) -> None:
    zone = tmp_path / "shop"
    zone.write_text(ZONE + "x IN WHAT 1\n")
    result = checked(tmp_path, GOOD.replace(RECORDS, "    file: shop\n"))
    assert [str(problem) for problem in result.errors] == [f"{zone}:5:6: 'WHAT' is not a record type"]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("gone", "9:11: zones.shop.example.file: 'gone' does not exist; check the path"),
        (".", "9:11: zones.shop.example.file: '.' is a directory; name a file in it"),
        (
            "../outside",
            "9:11: zones.shop.example.file: '../outside' lies outside this file's directory; move it beside "
            "this file",
        ),
        (
            "/etc/hosts",
            "9:11: zones.shop.example.file: '/etc/hosts' lies outside this file's directory; move it beside "
            "this file",
        ),
    ],
)
def test_zone_files_that_cannot_be(tmp_path: Path, file: str, expected: str) -> None:
    assert errors(tmp_path, GOOD.replace(RECORDS, f"    file: {file}\n")) == [expected]


def test_a_link_does_not_lead_outside(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_text(ZONE)
    (inside / "zone").symlink_to(tmp_path / "secret")
    (problem,) = errors(inside, GOOD.replace(RECORDS, "    file: zone\n"))
    assert "lies outside" in problem


def test_a_service_with_a_static_address_is_told_in_the_line_of_the_record(tmp_path: Path) -> None:
    text = broken("      ns1 IN A 192.0.2.53\n", "      ns1 IN A 192.0.2.53\n\n      www IN A 192.0.2.1\n")
    assert errors(tmp_path, text) == [
        "15:7: www.shop.example is a service, and has a static A record as well; "
        "remove the record, or the service"
    ]


def test_blank_lines_at_the_top_of_a_block_count(tmp_path: Path) -> None:
    text = broken("    records: |\n", "    records: |\n\n").replace("ns1 IN A ", "ns1 IN AA ")
    assert errors(tmp_path, text) == ["14:14: 'AA' is not a record type"]


def test_databases_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "city.mmdb").touch()
    fleet = checked(tmp_path, broken("dns:\n", "  databases: city.mmdb\ndns:\n")).fleet
    assert fleet is not None
    assert fleet.geo.databases == (str(tmp_path / "city.mmdb"),)
