"""`$INCLUDE` (RFC 1035 5.1) brings in what lies beside regions.yaml, and nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from gslb.config import check
from gslb.dns.name import from_text, to_text
from gslb.dns.zone import load_zone
from gslb.dns.zonefile import DEEPEST_INCLUDE, MOST_INCLUDES, include_path, included_names, read_zone_text

ORIGIN = from_text("shop.test")
HEAD = "$TTL 300\n@ SOA ns1 me 1 2 3 4 60\n@ NS ns1\nns1 A 192.0.2.53\n"
FLEET = """\
zones:
  shop.test:
    {zone}
regions:
  west: {{coordinates: [53.3, -6.3], edges: [{{addresses: [192.0.2.1]}}]}}
services:
  www.shop.test: {{policy: nearest}}
"""


def read(text, **files):
    included = {include_path("zones", name): content for name, content in files.items()}
    return read_zone_text(text, ORIGIN, file="zones/main", included=included, include_root="zones")


def owners(text, **files):
    records, problems = read(text, **files)
    assert problems == []
    return [to_text(record.owner).removesuffix(".shop.test.") for record in records]


def fleet_with(directory: Path, text: str):
    """What `check` says of a fleet whose zone is the block `text`."""
    block = "".join(f"      {line}\n" for line in (HEAD + text).splitlines())
    file = directory / "regions.yaml"
    file.write_text(FLEET.format(zone=f"records: |\n{block}"))
    return check(file, environment={})


def errors(directory: Path, text: str) -> list[str]:
    prefix = f"{directory}/"
    return [str(problem).removeprefix(prefix) for problem in fleet_with(directory, text).errors]


def test_a_file_is_read_in_the_place_of_its_line():
    assert owners("$TTL 1\na A 192.0.2.1\n$INCLUDE more\nc A 192.0.2.3\n", more="b A 192.0.2.2") == [
        "a",
        "b",
        "c",
    ]


def test_origin_and_last_owner_are_afterwards_what_they_were():
    text = "$TTL 1\na A 192.0.2.1\n$INCLUDE more in\n A 192.0.2.2\nd A 192.0.2.3\n"
    assert owners(text, more="b A 192.0.2.2\n$ORIGIN further\nc A 192.0.2.2") == [
        "a",
        "b.in",
        "c.further.in",
        "a",
        "d",
    ]


def test_an_included_file_inherits_the_origin_and_not_the_owner():
    assert owners("$TTL 1\n$ORIGIN in\na A 192.0.2.1\n$INCLUDE more\n", more="b A 192.0.2.2") == [
        "a.in",
        "b.in",
    ]
    _, (problem,) = read("$TTL 1\na A 192.0.2.1\n$INCLUDE more\n", more="\n A 192.0.2.2")
    assert str(problem).startswith("zones/more:2:2: the first record has no owner")


def test_a_ttl_that_a_file_sets_holds_after_it():
    records, problems = read("$INCLUDE head\na A 192.0.2.1\n", head="$TTL 7\n")
    assert (problems, records[0].ttl) == ([], 7)


def test_files_include_files_and_may_be_included_several_times():
    files = {"host": "host A 192.0.2.1", "both": "$INCLUDE host a\n$INCLUDE host b"}
    assert owners("$TTL 1\n$INCLUDE both\n$INCLUDE both x\n", **files) == [
        "host.a",
        "host.b",
        "host.a.x",
        "host.b.x",
    ]


def test_a_file_name_may_be_quoted_and_hold_blanks():
    assert owners('$TTL 1\n$INCLUDE "a b;c" ; comment\n', **{"a b;c": "b A 192.0.2.2"}) == ["b"]
    assert owners("$TTL 1\n$INCLUDE a\\032b\\;c\n", **{"a b;c": "b A 192.0.2.2"}) == ["b"]


@pytest.mark.parametrize(
    ("text", "files", "said"),
    [
        ("$INCLUDE gone", {}, "zones/main:1:10: 'gone' cannot be included"),
        (
            "$INCLUDE main",
            {},
            "zones/main:1:10: 'main' would include itself; remove one $INCLUDE of the circle",
        ),
        ("$INCLUDE a", {"a": "\n$INCLUDE b", "b": "$INCLUDE a"}, "zones/b:1:10: 'a' would include itself"),
        ("$INCLUDE a a..b", {"a": ""}, "zones/main:1:12: 'a..b' is not a name"),
        ("$INCLUDE a b c", {"a": ""}, "zones/main:1:1: $INCLUDE takes a file and perhaps an origin"),
        ('$INCLUDE ""', {}, "zones/main:1:10: '' cannot be a file's name"),
        ("$INCLUDE \\255", {}, "zones/main:1:10: '\\\\255' cannot be a file's name"),
        ("$INCLUDE a", {"a": "\nx 1 A 1.2"}, "zones/a:2:7: A: Expected 4 octets"),
        ("$INCLUDE a", {"a": 'x 1 TXT "'}, "zones/a:1:9: this quote is never closed"),
        ("$INCLUDE a", {"a": "x 1 A ("}, "zones/a:1:7: this ( is never closed"),
    ],
)
def test_every_fault_is_told_in_the_file_and_line_where_it_stands(text, files, said):
    _, problems = read(text, **files)
    assert str(problems[0]).startswith(said)


def test_depth_and_number_have_bounds():
    chain = {str(number): f"$INCLUDE {number + 1}" for number in range(DEEPEST_INCLUDE + 1)}
    last = str(DEEPEST_INCLUDE)
    assert read("$INCLUDE 1", **{**chain, last: ""}) == ([], [])
    _, (problem,) = read("$INCLUDE 1", **chain)
    assert str(problem).startswith(f"zones/{last}:1:10: $INCLUDE goes deeper than {DEEPEST_INCLUDE} files")
    bomb = {str(number): f"$INCLUDE {number + 1}\n" * 10 for number in range(9)} | {"9": "x 1 A 192.0.2.1"}
    records, (problem,) = read("$INCLUDE 1", **bomb)
    assert f"includes files more than {MOST_INCLUDES} times" in problem.message
    assert len(records) < MOST_INCLUDES


def test_names_are_found_with_their_places_and_what_is_not_a_directive_is_not():
    text = 'a TXT "$INCLUDE b"\n; $INCLUDE c\n$include (\n d )\n$INCLUDE\n $INCLUDE e\n'
    assert [(str(place), name) for place, name in included_names(text, "f", 5)] == [
        ("f:8:2", "d"),
        ("f:10:11", "e"),
    ]


def test_a_block_of_regions_yaml_includes_files_beside_it(tmp_path):
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "hosts").write_text("\ufeffa A 192.0.2.1\r\n$INCLUDE zones/more\r\n")
    (tmp_path / "zones" / "more").write_text("b A 192.0.2.2")
    fleet = fleet_with(tmp_path, "$INCLUDE zones/hosts deep\n").fleet
    assert fleet is not None
    source = fleet.zones["shop.test"]
    assert sorted(source.included) == [str(tmp_path / "zones" / name) for name in ("hosts", "more")]
    zone = load_zone(source, ["www.shop.test"])
    assert {from_text("a.deep.shop.test"), from_text("b.deep.shop.test")} < zone.nodes.keys()


def test_names_in_a_zone_file_are_relative_to_the_directory_of_regions_yaml(tmp_path):
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "shop").write_text(f"{HEAD}$INCLUDE hosts\n$INCLUDE {tmp_path}/hosts in\n")
    (tmp_path / "hosts").write_text("a A 192.0.2.1\n")
    file = tmp_path / "regions.yaml"
    file.write_text(FLEET.format(zone="file: zones/shop"))
    result = check(file, environment={})
    assert result.errors == ()
    assert result.fleet is not None
    zone = load_zone(result.fleet.zones["shop.test"], [])
    assert {from_text("a.shop.test"), from_text("a.in.shop.test")} < zone.nodes.keys()


def test_a_problem_in_an_included_file_has_that_file_and_line(tmp_path):
    (tmp_path / "hosts").write_text("a A 192.0.2.1\nb AA 192.0.2.2\nout.test. A 192.0.2.3\n")
    assert errors(tmp_path, "$INCLUDE hosts\nc AA 192.0.2.4\n") == [
        "hosts:2:3: 'AA' is not a record type",
        "hosts:3:1: out.test lies outside the zone shop.test; "
        "names without a final dot are relative to $ORIGIN",
        "regions.yaml:9:9: 'AA' is not a record type",
    ]


def test_a_file_that_is_included_twice_has_its_faults_once(tmp_path):
    (tmp_path / "hosts").write_text("b AA 192.0.2.2\n")
    assert errors(tmp_path, "$INCLUDE hosts\n$INCLUDE hosts deep\n") == [
        "hosts:1:3: 'AA' is not a record type"
    ]


OUTSIDE = "lies outside the directory of regions.yaml; move it into it"
RELATIVE = "; names are relative to the directory of regions.yaml"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("$INCLUDE gone", "regions.yaml:8:16: $INCLUDE: 'gone' does not exist; check the path" + RELATIVE),
        ("$INCLUDE . x", "regions.yaml:8:16: $INCLUDE: '.' is a directory; name a file in it" + RELATIVE),
        (
            "$INCLUDE binary",
            "binary:2:7: the included file is not UTF-8 text; save it as UTF-8",
        ),
        ("$INCLUDE nested", "nested:1:10: $INCLUDE: 'gone' does not exist; check the path" + RELATIVE),
        ("$INCLUDE itself", "itself:1:10: 'itself' would include itself; remove one $INCLUDE of the circle"),
        (
            "$INCLUDE ../secret",
            f"regions.yaml:8:16: $INCLUDE: '../secret' {OUTSIDE}{RELATIVE}",
        ),
        (
            "$INCLUDE link",
            f"regions.yaml:8:16: $INCLUDE: 'link' {OUTSIDE}{RELATIVE}",
        ),
    ],
)
def test_what_cannot_be_included_is_told_where_it_is_named(tmp_path, line, said):
    directory = tmp_path / "fleet"
    directory.mkdir()
    (tmp_path / "secret").write_text("secret A 192.0.2.1\n")
    (directory / "link").symlink_to(tmp_path / "secret")
    (directory / "binary").write_bytes(b"a TXT x\na TXT \xff\n")
    (directory / "nested").write_text("$INCLUDE gone\n")
    (directory / "itself").write_text("$INCLUDE itself\n")
    assert errors(directory, line + "\n") == [said]


def test_what_may_stand_in_a_missing_file_is_not_missed(tmp_path):
    file = tmp_path / "regions.yaml"
    file.write_text(FLEET.format(zone='records: "$INCLUDE head"'))
    (problem,) = check(file, environment={}).errors
    assert "'head' does not exist" in problem.message


def test_an_included_file_is_found_through_a_link_inside(tmp_path):
    (tmp_path / "real").write_text("a A 192.0.2.1\n")
    (tmp_path / "link").symlink_to("real")
    assert errors(tmp_path, "$INCLUDE link\n") == []
