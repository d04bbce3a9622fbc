"""The files around the configuration: unreadable ones, zone files, databases, and paths relative to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fleet_file import GOOD, broken, checked, errors

import gslb.geo
from gslb.config import check, load, textfile
from gslb.dns.zones import load_zones
from gslb.errors import ConfigError

RECORDS = GOOD[GOOD.index("    records: |\n") : GOOD.index("checks:")]
ZONE = "$TTL 300\n@ IN SOA ns1 hostmaster 1 7200 900 1209600 300\n@ IN NS ns1\nns1 IN A 192.0.2.53\n"

BUNDLED = Path(gslb.geo.__file__).parent / "data" / "world.mmdb"
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


def test_bytes_of_a_zone_file_that_are_not_utf_8_have_a_place(tmp_path: Path) -> None:
    (tmp_path / "shop.zone").write_bytes(f"{ZONE}a TXT é\n".encode("latin-1"))
    assert [
        str(each) for each in checked(tmp_path, GOOD.replace(RECORDS, "    file: shop.zone\n")).errors
    ] == [f"{tmp_path}/shop.zone:5:7: the zone file is not UTF-8 text; save it as UTF-8"]


def test_a_name_from_the_environment_is_no_place_either(tmp_path: Path) -> None:
    (tmp_path / "hunter2").write_bytes(b"\xff")
    text = GOOD.replace(RECORDS, "    file: ${ZONE}\n")
    assert errors(tmp_path, text, {"ZONE": "hunter2"}) == [
        "9:11: zones.shop.example.file: the value of ${ZONE} is not UTF-8 text; save it as UTF-8"
    ]


JOINED = (
    "zones.shop.example.records: without a `|` YAML joins the lines of the zone's data; write `records: |`"
)


@pytest.mark.parametrize(
    ("opening", "closing", "column"),
    [("", "", 7), (" '", "'", 14), (' "', '"', 14), (" &zone '", "'", 14), ('\n      "', '"', 7)],
)
def test_data_over_several_lines_needs_a_literal_block(
    tmp_path: Path, opening: str, closing: str, column: int
) -> None:
    lines = "".join(f"      {line}\n" for line in ZONE.splitlines()).rstrip("\n")
    line = 9 if opening.startswith(" ") else 10
    lines = lines.lstrip() if opening else lines
    text = GOOD.replace(RECORDS, f"    records:{opening or chr(10)}{lines}{closing}\n")
    assert errors(tmp_path, text) == [f"{line}:{column}: {JOINED}"]


@pytest.mark.parametrize(
    "written",
    [
        '"$TTL 300\\n@ SOA a b 1 2 3 4 5\\n@ NS ns1\\nns1 A 192.0.2.53\\n"',
        '&zone "$INCLUDE shop.zone"',
        "'$INCLUDE shop.zone'",
        "$INCLUDE shop.zone  # and nothing else",
        "\n      $INCLUDE shop.zone",
        "&zone\n      $INCLUDE shop.zone",
    ],
)
def test_data_in_one_line_needs_none(tmp_path: Path, written: str) -> None:
    (tmp_path / "shop.zone").write_text(ZONE)
    assert errors(tmp_path, GOOD.replace(RECORDS, f"    records: {written}\n")) == []


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
    (tmp_path / "city.mmdb").symlink_to(BUNDLED)
    fleet = checked(tmp_path, broken("dns:\n", "  databases: city.mmdb\ndns:\n")).fleet
    assert fleet is not None
    assert fleet.geo.databases == (str(tmp_path / "city.mmdb"),)


def test_a_database_that_cannot_be_used_is_told_before_a_node_starts(tmp_path: Path) -> None:
    text = broken("dns:\n", "  databases: [gone.mmdb, junk.mmdb]\ndns:\n")
    (tmp_path / "junk.mmdb").write_bytes(b"junk" * 100)
    gone, junk = errors(tmp_path, text)
    assert gone.startswith("4:15: geo.databases[0]: 'gone.mmdb' is not a file; ")
    assert junk.startswith("4:26: geo.databases[1]: 'junk.mmdb' is not a usable MMDB file")
    (tmp_path / "junk.mmdb").unlink()
    (tmp_path / "junk.mmdb").symlink_to(BUNDLED)
    assert [line[:24] for line in errors(tmp_path, text)] == ["4:15: geo.databases[0]: "]


def test_who_checks_a_file_gets_its_zones_as_they_are_served(tmp_path: Path) -> None:
    result = checked(tmp_path, broken("zones:\n", "zones:\n  sub.shop.example: {file: z}\n"))
    assert result.zones is None
    (tmp_path / "z").write_text(ZONE)
    result = check(tmp_path / "regions.yaml", environment={})
    assert result.fleet is not None
    assert result.zones == load_zones(result.fleet)
