"""What changes between two files: every declared thing shows, no secret does, and a slip is noticed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from fleet_file import GOOD, broken

from gslb.config import load
from gslb.config.declaration import HIDDEN, declaration, marked, without_marks
from gslb.config.difference import Difference, difference
from gslb.fleet import Fleet

SECRET = "c2VjcmV0LW9mLXRoZS10ZXN0LTEyMzQ="

FULL = (
    GOOD.replace('"redis://127.0.0.1:6379/0"', '"redis://:pa55word@127.0.0.1:6379/0"')
    .replace(
        "  nodes:\n",
        "  cookies: {secrets: [0123456789abcdef0123456789abcdef]}\n"
        f"  keys: {{transfer.example: {{secret: {SECRET}}}}}\n"
        "  nodes:\n",
    )
    .replace(
        "checks:\n",
        "checks:\n"
        "  deep: {type: http, path: /health?key=opensesame, headers: {Authorization: Bearer letmein}}\n"
        "  mail: {type: tcp, send: AUTH knockknock, expect: +OK}\n",
    )
    .replace(
        "    edges: [{addresses: [192.0.2.2]}]\n", "    check: deep\n    edges: [{addresses: [192.0.2.2]}]\n"
    )
    .replace("web: {check: quick}", "web: {check: mail}")
)
SECRETS = ("pa55word", "0123456789abcdef", SECRET, "opensesame", "letmein", "knockknock")


@pytest.fixture
def read(tmp_path):
    def fleet(text: str) -> Fleet:
        file = tmp_path / "regions.yaml"
        file.write_text(text, encoding="utf-8")
        return load(file, environment={})

    return fleet


@pytest.fixture
def lines(read):
    def told(old: str, new: str) -> list[str]:
        return difference(declaration(read(old)), declaration(read(new))).lines()

    return told


def test_the_same_file_differs_in_nothing(read):
    told = difference(declaration(read(FULL)), declaration(read(FULL)))
    assert not told
    assert told.lines() == []
    assert told.too_much is None


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "policy: nearest",
            "policy: {failover: {order: [east, west]}}",
            "~ service www.shop.example: policies.1: nearest → failover {order: east, west}",
        ),
        (
            "ns1 IN A 192.0.2.53",
            "ns1 60 IN A 192.0.2.54",
            "~ record ns1.shop.example A: 300 192.0.2.53 → 60 192.0.2.54",
        ),
        (
            "country: US, latitude: 39.04",
            "country: US, latitude: 40",
            "~ setting geo.default: {source: default, coordinates: {latitude: 39.04, longitude: -77.49}, "
            "country: US, continent: NA, subdivision: none, asn: none, city: none} → {source: default, "
            "coordinates: {latitude: 40, longitude: -77.49}, country: US, continent: NA, subdivision: none, "
            "asn: none, city: none}",
        ),
        (
            "interval: 1s, timeout: 500ms",
            "interval: 2s, timeout: 500ms",
            "~ check quick: interval: 1 → 2",
        ),
        (
            "west:\n    coordinates: {latitude: 45.84",
            "west:\n    description: Oregon\n    coordinates: {latitude: 45.84",
            '~ region west: description: "" → Oregon',
        ),
        (
            "dns:\n",
            "dns:\n  udp_payload: 1400\n",
            "~ setting dns.udp_payload: 1232 → 1400",
        ),
        (
            "6379/0",
            "6380/0",
            "~ setting redis.url: another secret (needs a restart: redis)",
        ),
        (
            'ns1: {listen: ["127.0.0.1:5300"]}',
            'ns1: {listen: ["127.0.0.1:5300"], admin: null}',
            "~ setting dns.nodes.ns1.admin: 127.0.0.1:8053 → none (needs a restart: admin of ns1)",
        ),
        (
            "web: {check: quick}",
            "web: {check: quick, method: ip_hash}",
            "~ pool web: method: round_robin → ip_hash",
        ),
        (
            "servers: {web: [10.0.0.2:80]}",
            "servers: {web: [10.0.0.3:80]}",
            "~ region west: servers.web: 10.0.0.2:80 weight 1 → 10.0.0.3:80 weight 1",
        ),
        (
            "edges: [{addresses: [192.0.2.2]}]",
            "edges: [{addresses: [192.0.2.2], listen: {address: '0.0.0.0:80', redirect: true}}]",
            "~ edge west-1: listen.1: 192.0.2.2:80 → 0.0.0.0:80 redirect",
        ),
        (
            "web: {check: quick}",
            "web: {check: quick, connections: {most: 9}, tls: {ca: roots.pem}}",
            "~ pool web: connections.most: none → 9; tls: none → nothing; tls.verify: nothing → yes; tls.ca: "
            "nothing → roots.pem; tls.server_name: nothing → none; tls.certificate: nothing → none",
        ),
        (
            "{path: /, pool: web}",
            "{path: /, pool: web, max_body: 1 MiB}",
            "~ route */: max_body: none → 1048576",
        ),
        (
            "edges: [{addresses: [192.0.2.2]}]",
            "edges: [{addresses: [192.0.2.2], admin: '127.0.0.1:8055'}]",
            "~ edge west-1: admin: none → 127.0.0.1:8055 (needs a restart: admin of west-1)",
        ),
        (
            "check: quick\n    edges",
            "check: quick\n    ramp: 5m\n    min_live: 0.5\n    edges",
            "~ region east: ramp: 0 → 300; min_live: 0 → 0.5",
        ),
        (
            "check: quick\n    edges",
            "check: quick\n    spill: 0.7\n    edges",
            "~ region east: spill: none → nothing; spill.soft: nothing → 0.7; spill.hard: nothing → 1; "
            "spill.max_shift: nothing → 0.1; spill.interval: nothing → 30; spill.hysteresis: nothing → 0.1",
        ),
        (
            "interval: 1s, timeout: 500ms",
            "interval: 1s, timeout: 500ms, quorum: 0.6, damping: off",
            "~ check quick: quorum: majority → 0.6; damping: {flaps: 3, window: 300, hold: 10, most: 300} "
            "→ off",
        ),
        (
            "dns:\n",
            "dns:\n  state: known\n",
            "~ setting dns.state: auto → known (needs a restart: dns.state)",
        ),
        (
            "routes:\n",
            "edge: {workers: 4}\nroutes:\n",
            "~ setting edge.workers: 1 → 4 (needs a restart: edge.workers)",
        ),
        (
            "routes:\n",
            "edge: {timeouts: {idle: 5s}}\nroutes:\n",
            "~ setting edge.timeouts.idle: 30 → 5",
        ),
        (
            "routes:\n",
            "edge: {tls: {certificates: {chain: tls/c.pem, key: tls/k.pem}}}\nroutes:\n",
            "~ setting edge.tls.certificates: none → [{chain: tls/c.pem, key: tls/k.pem}]",
        ),
    ],
)
def test_a_change_is_a_line_that_says_from_what_to_what(read, old, new, line):
    mark = marked(b"key")
    told = difference(declaration(read(GOOD), seal=mark), declaration(read(broken(old, new)), seal=mark))
    assert told.lines() == [line]


def test_what_comes_and_goes_has_a_sign(lines):
    more = GOOD.replace("services:\n", "services:\n  api.shop.example: {policy: nearest}\n").replace(
        "      ns1 IN A 192.0.2.53\n", "      ns1 IN A 192.0.2.53\n      mail IN MX 10 ns1\n"
    )
    assert lines(GOOD, more) == [
        "+ service api.shop.example",
        "+ record mail.shop.example MX: 300 10 ns1.shop.example.",
    ]
    assert lines(more, GOOD) == [
        "- service api.shop.example",
        "- record mail.shop.example MX: 300 10 ns1.shop.example.",
    ]


def test_what_is_said_for_all_regions_changes_each_of_them(lines):
    assert lines(GOOD, broken("services:\n", "capacity: {ramp: 60s}\nservices:\n")) == [
        "~ region east: ramp: 0 → 60",
        "~ region west: ramp: 0 → 60",
    ]
    spilling = broken("services:\n", "capacity: {spill: 0.7, ramp: 60s}\nservices:\n")
    otherwise = spilling.replace("check: quick\n", "check: quick\n    spill: {soft: 0.6}\n    ramp: off\n", 1)
    assert lines(spilling, otherwise) == ["~ region east: spill.soft: 0.7 → 0.6; ramp: 60 → 0"]


def test_a_route_that_goes_elsewhere_is_told_once(lines):
    other = GOOD.replace("web: {check: quick}", "web: {check: quick}\n  cart: {}").replace(
        "servers: {web: [10.0.0.1:80]}", "servers: {web: [10.0.0.1:80], cart: [10.0.0.1:81]}"
    )
    moved = other.replace("{path: /, pool: web}", "{path: /, pool: cart}")
    assert lines(other, moved) == ["~ route */: pool: web → cart"]


def test_the_order_of_policies_counts_and_that_of_records_does_not(lines):
    two = GOOD.replace("policy: nearest", "policy: [{weighted: {weights: {east: 1}}}, nearest]")
    turned = GOOD.replace("policy: nearest", "policy: [nearest, {weighted: {weights: {east: 1}}}]")
    assert lines(two, turned) == [
        "~ service www.shop.example: policies.1: weighted {weights: [east, 1]} → nearest; "
        "policies.2: nearest → weighted {weights: [east, 1]}"
    ]
    apart = GOOD.replace("ns1 IN A 192.0.2.53", "ns1 IN A 192.0.2.53\n      ns1 IN A 192.0.2.54")
    swapped = GOOD.replace("ns1 IN A 192.0.2.53", "ns1 IN A 192.0.2.54\n      ns1 IN A 192.0.2.53")
    assert lines(apart, swapped) == []


def test_of_several_records_only_those_that_differ_are_told(lines):
    apart = GOOD.replace("ns1 IN A 192.0.2.53", "ns1 IN A 192.0.2.53\n      ns1 IN A 192.0.2.54")
    assert lines(GOOD, apart) == ["~ record ns1.shop.example A: nothing → 300 192.0.2.54"]


def test_no_secret_is_in_a_declaration_and_yet_another_one_is_noticed(read):
    fleet = read(FULL)
    shown = json.dumps(declaration(fleet))
    assert HIDDEN in shown
    mark = marked(b"of this process")
    before = declaration(fleet, seal=mark)
    assert difference(before, declaration(read(FULL), seal=mark)).lines() == []
    for number, secret in enumerate(SECRETS):
        assert secret not in shown
        assert secret not in json.dumps(before)
        other = FULL.replace(secret, secret[::-1] if number < 2 else "YW5vdGhlcg==")
        told = difference(before, declaration(read(other), seal=mark))
        assert len(told.changed) == 1, secret
        said = json.dumps([*told.lines(), told.document()])
        assert "***#" not in said
    assert "***#" not in without_marks(json.dumps(before))


def test_everything_a_service_or_a_setting_has_is_in_the_declaration(read):
    fleet = read(FULL)
    declared = declaration(fleet)
    (service,) = declared["services"].values()
    for field in dataclasses.fields(fleet.services["www.shop.example"]):
        assert field.name in ("name", "pools") or f"{field.name}" in service
    for name, part in (("dns", fleet.dns), ("geo", fleet.geo), ("redis", fleet.redis), ("edge", fleet.edge)):
        for field in dataclasses.fields(part):
            if getattr(part, field.name) not in ((), {}):
                assert any(key.startswith(f"{name}.{field.name}") for key in declared["settings"]), field.name


def test_a_declaration_is_json_and_comes_back_the_same(read):
    declared = declaration(read(FULL))
    assert json.loads(json.dumps(declared)) == declared


def test_how_a_file_was_named_is_no_difference(tmp_path, monkeypatch, read):
    here = Path(__file__).resolve().parents[2]
    (tmp_path / "world.mmdb").write_bytes((here / "gslb/geo/data/world.mmdb").read_bytes())
    text = GOOD.replace("geo:\n", "geo:\n  databases: [world.mmdb]\n") + (
        "edge:\n  access_log: {format: json, file: access.log}\n"
        "  tls: {certificates: {chain: c.pem, key: k.pem}, client_ca: r.pem, client_certificate: required}\n"
    )
    text = text.replace("dns:\n", "dns:\n  state: known\n").replace(
        "web: {check: quick}",
        "web: {check: quick, tls: {ca: a.pem, certificate: {chain: c.pem, key: k.pem}}}",
    )
    absolute = declaration(read(text))
    monkeypatch.chdir(tmp_path)
    relative = declaration(load(Path("regions.yaml"), environment={}))
    assert difference(absolute, relative).lines() == []
    assert absolute["settings"]["geo.databases"] == "world.mmdb"
    assert absolute["settings"]["edge.access_log.file"] == "access.log"
    assert str(tmp_path) not in json.dumps(absolute)


def test_data_of_a_type_that_nobody_knows_is_told_in_hexadecimal(read):
    fleet = read(GOOD.replace("ns1 IN A", "odd IN TYPE65400 \\# 2 abcd\n      ns1 IN A"))
    assert declaration(fleet)["records"]["shop.example odd.shop.example TYPE65400"] == "300 \\# 2 abcd"


SIX = GOOD.replace(
    "      ns1 IN A 192.0.2.53\n",
    "      ns1 IN A 192.0.2.53\n" + "".join(f"      n{n} IN A 192.0.2.{n}\n" for n in (1, 2, 3, 4)),
)
"""Six owners of records: the apex, ns1 and four more."""


def counts(told: Difference) -> dict[str, tuple[int, int]]:
    return {dropped.kind: (dropped.gone, dropped.of) for dropped in told.dropped}


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [((1, 2), None), ((1, 2, 3), "drops 3 of 6 names, more than a third")],
)
def test_more_than_a_third_of_the_names_is_too_much(read, gone, sentence):
    fewer = SIX
    for number in gone:
        fewer = fewer.replace(f"      n{number} IN A 192.0.2.{number}\n", "")
    told = difference(declaration(read(SIX)), declaration(read(fewer)))
    assert told.too_much == sentence
    assert counts(told)["names"] == (len(gone), 6)


def test_more_than_a_third_of_the_regions_is_too_much(read):
    one = GOOD[: GOOD.index("  west:")] + GOOD[GOOD.index("services:") :]
    told = difference(declaration(read(GOOD)), declaration(read(one)))
    assert told.too_much == "drops 1 of 2 regions, more than a third"
    assert difference(declaration(read(one)), declaration(read(GOOD))).too_much is None


def test_all_services_are_too_much_however_many_records_there_are(read):
    none = broken("  www.shop.example: {policy: nearest}\n", "").replace("services:\n", "services: {}\n")
    records = "".join(f"      n{n} IN A 192.0.2.9\n" for n in range(100))
    old, new = (text.replace("      ns1 IN", f"{records}      ns1 IN") for text in (GOOD, none))
    told = difference(declaration(read(old)), declaration(read(new)))
    assert told.too_much == "drops 1 of 1 service, more than a third"


def test_most_zones_are_too_much_however_small_they_are(read):
    records = "".join(f"      n{n} IN A 192.0.2.9\n" for n in range(100))
    one = GOOD.replace("      ns1 IN", f"{records}      ns1 IN")
    apex = '"$TTL 1\\n@ SOA a. b. 1 2 3 4 5\\n@ NS n.other.net.\\n"'
    three = one.replace("zones:\n", f"zones:\n  a.test: {{records: {apex}}}\n  b.test: {{records: {apex}}}\n")
    told = difference(declaration(read(three)), declaration(read(one)))
    assert told.too_much == "drops 2 of 3 zones, more than a third"


def test_a_name_that_turns_from_a_record_into_a_service_stays(read):
    static = GOOD.replace("      ns1 IN A", "      api IN A 192.0.2.7\n      ns1 IN A")
    balanced = GOOD.replace("services:\n", "services:\n  api.shop.example: {policy: nearest}\n")
    there = difference(declaration(read(static)), declaration(read(balanced)))
    assert counts(there)["names"] == (0, 3)
    back = difference(declaration(read(balanced)), declaration(read(static)))
    assert counts(back)["services"] == (1, 2), "it is balanced no more"


def given_away(serial: int, address: str = "192.0.2.53", transfers: str = "[{network: 192.0.2.0/24}]") -> str:
    zone = GOOD.replace("hostmaster 1 ", f"hostmaster {serial} ").replace(
        "ns1 IN A 192.0.2.53", f"ns1 IN A {address}"
    )
    assert f"hostmaster {serial} " in zone
    return zone.replace("    records: |\n", f"    transfers: {transfers}\n    records: |\n")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (given_away(7), given_away(8, "192.0.2.54"), None),
        (given_away(7), given_away(7, "192.0.2.54"), "stays 7"),
        (given_away(7), given_away(5), "goes back from 7 to 5"),
        (given_away(2**32 - 1), given_away(0, "192.0.2.54"), None),
        (given_away(0), given_away(2**31, "192.0.2.54"), "goes back from 0 to 2147483648"),
        (given_away(7, transfers="[]"), given_away(7, "192.0.2.54", "[]"), None),
        (given_away(7), given_away(7).replace("nearest", "{failover: {order: [east]}}"), None),
    ],
)
def test_a_zone_that_changes_without_its_secondaries_noticing_is_warned_of(read, before, after, said):
    told = difference(declaration(read(before)), declaration(read(after)))
    assert told, "something changes"
    if said is None:
        assert told.warnings == ()
    else:
        (warning,) = told.warnings
        assert warning.startswith(f"the zone shop.example changes, but the serial in its SOA {said}: ")
        assert told.document()["warnings"] == [warning]


def test_of_what_edges_read_only_their_admin_side_and_workers_need_a_restart(read):
    other = GOOD.replace("6379/0", "6380/0").replace(
        "edges: [{addresses: [192.0.2.2]}]", "edges: [{addresses: [192.0.2.2], admin: '127.0.0.1:8055'}]"
    )
    other = other.replace("routes:\n", "edge: {workers: auto, lame_duck: 1s}\nroutes:\n")
    mark = marked(b"key")
    told = difference(declaration(read(GOOD), seal=mark), declaration(read(other), seal=mark))
    assert sorted(told.restarts) == ["admin of west-1", "edge.workers", "redis"]


def test_an_edge_that_comes_or_goes_with_an_admin_side_asks_nobody_to_restart(read):
    more = GOOD.replace(
        "edges: [{addresses: [192.0.2.2]}]",
        "edges: [{addresses: [192.0.2.2]}, {addresses: [192.0.2.3], admin: '127.0.0.1:8055'}]",
    )
    old, new = declaration(read(GOOD)), declaration(read(more))
    assert difference(old, new).restarts == difference(new, old).restarts == ()


def test_many_changes_are_counted_and_a_long_value_is_cut(read):
    old, new = declaration(read(GOOD)), declaration(read(SIX))
    assert difference(old, new).lines(2) == [
        "+ record n1.shop.example A: 300 192.0.2.1",
        "+ record n2.shop.example A: 300 192.0.2.2",
        "… and 2 more",
    ]
    long = GOOD.replace("ns1 IN A", f'long IN TXT "{"x" * 250}"\n      ns1 IN A')
    (line,) = difference(old, declaration(read(long))).lines()
    assert len(line) < 200
    assert line.endswith("…")
