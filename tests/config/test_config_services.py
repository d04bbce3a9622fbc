"""Hostname regions and what a service answers, as regions.yaml says it, and every mistake in them."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from fleet_file import GOOD, broken, checked, errors, warnings

from gslb.config.document import parse
from gslb.config.schema import json_schema
from gslb.fleet import Answers, Fleet, Region, SocketAddress
from gslb.health.checks import HttpCheck, TcpCheck

SERVICE = "www.shop.example: {policy: nearest}"
WEST = "edges: [{addresses: [192.0.2.2]}]\n    servers: {web: [10.0.0.2:80]}\n"


def fleet_of(directory: Path, text: str) -> Fleet:
    result = checked(directory, text)
    assert result.errors == ()
    assert result.fleet is not None
    data = parse(text, "regions.yaml", {}).data
    assert list(jsonschema.Draft202012Validator(json_schema()).iter_errors(data)) == []
    return result.fleet


def cdn(text: str) -> str:
    """The good file with its region west made of these lines."""
    return broken(WEST, text + "\n")


def west(directory: Path, text: str) -> Region:
    return fleet_of(directory, cdn(text)).regions["west"]


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        ("1", Answers()),
        ("3", Answers(regions=3)),
        ("{}", Answers()),
        ("{regions: 2, addresses: 4, order: rotated}", Answers(2, 4, rotate=True)),
        ("{addresses: 1, order: ranked}", Answers(addresses=1)),
    ],
)
def test_how_much_is_answered_has_a_short_and_a_long_form(
    tmp_path: Path, said: str, answers: Answers
) -> None:
    text = broken(SERVICE, f"www.shop.example: {{policy: nearest, answers: {said}}}")
    assert fleet_of(tmp_path, text).services["www.shop.example"].answers == answers


def test_a_hostname_is_probed_at_its_port_443_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    region = west(tmp_path, "hostname: WWW.Example.CDN.test.")
    assert (region.hostname, region.edges, region.capacity) == ("www.example.cdn.test", (), None)
    assert region.probe == SocketAddress("www.example.cdn.test", 443)
    assert region.check.check == TcpCheck()
    assert region.target == "west/www.example.cdn.test"


def test_a_hostname_may_have_its_own_check_and_socket(tmp_path: Path) -> None:
    region = west(tmp_path, "hostname: cdn.test\n    check: quick\n    probe: origin.cdn.test:8443")
    assert region.check.name == "quick"
    assert region.probe == SocketAddress("origin.cdn.test", 8443)


def test_a_hostname_need_not_be_probed(tmp_path: Path) -> None:
    assert west(tmp_path, "hostname: cdn.test\n    probe: null").probe is None


def test_a_region_with_edges_has_the_check_of_edges_still(tmp_path: Path) -> None:
    region = fleet_of(tmp_path, GOOD).regions["west"]
    assert isinstance(region.check.check, HttpCheck)
    assert (region.hostname, region.probe) == (None, None)


def test_a_service_with_hostnames_knows_which_of_its_regions_they_are(tmp_path: Path) -> None:
    made = fleet_of(tmp_path, cdn("hostname: cdn.test"))
    assert made.services["www.shop.example"].hostname_regions(made.regions) == ("west",)
    made = fleet_of(tmp_path, GOOD)
    assert made.services["www.shop.example"].hostname_regions(made.regions) == ()


WRONG_REGIONS = [
    (
        "description: ''",
        "23:5: regions.west: has neither edges nor a hostname; list its reverse proxies under `edges`, or "
        "somebody else's name as `hostname`",
    ),
    (
        "hostname: cdn.test\n    edges: [{addresses: [192.0.2.2]}]",
        "23:5: regions.west: has edges beside a hostname, which stands for what is somebody else's; remove "
        "`edges`, or `hostname`",
    ),
    (
        "hostname: cdn.test\n    servers: {web: [10.0.0.2:80]}",
        "23:5: regions.west: has servers beside a hostname, which stands for what is somebody else's; remove "
        "`servers`, or `hostname`",
    ),
    (
        "hostname: cdn.test\n    capacity: 100",
        "23:5: regions.west: has capacity beside a hostname, which stands for what is somebody else's; "
        "remove `capacity`, or `hostname`",
    ),
    (
        "edges: [{addresses: [192.0.2.2]}]\n    probe: 192.0.2.2:80",
        "23:5: regions.west: `probe` is for a hostname only; move it to each of the `edges`",
    ),
    (
        "hostname: 192.0.2.2",
        "24:15: regions.west.hostname: '192.0.2.2' is not a host name; addresses are listed under `edges`",
    ),
    (
        "hostname: https://cdn.test/",
        "24:15: regions.west.hostname: 'https://cdn.test/' is not a domain name; labels are 1 to 63 letters, "
        "digits, `-` and `_`, with dots between them",
    ),
    (
        "hostname: WWW.shop.example.",
        "24:15: regions.west.hostname: 'www.shop.example' is a service of this fleet, so that nobody would "
        "arrive; write the name under which the other side serves you",
    ),
]


@pytest.mark.parametrize(("text", "expected"), WRONG_REGIONS, ids=[case[0] for case in WRONG_REGIONS])
def test_a_wrong_region_has_one_exact_line(tmp_path: Path, text: str, expected: str) -> None:
    assert errors(tmp_path, cdn(text)) == [expected]


WRONG_ANSWERS = [
    ("0", "27:48: services.www.shop.example.answers: 0 is too small; the least is 1"),
    ("two", "27:48: services.www.shop.example.answers: 'two' is not a whole number"),
    (
        "{order: random}",
        "27:56: services.www.shop.example.answers.order: 'random' is not one of the choices; did you "
        "mean 'ranked'?",
    ),
    (
        "{adresses: 2}",
        "27:49: services.www.shop.example.answers.adresses: unknown key; did you mean 'addresses'?",
    ),
]


@pytest.mark.parametrize(("said", "expected"), WRONG_ANSWERS, ids=[case[0] for case in WRONG_ANSWERS])
def test_wrong_answers_have_one_exact_line(tmp_path: Path, said: str, expected: str) -> None:
    text = broken(SERVICE, f"www.shop.example: {{policy: nearest, answers: {said}}}")
    assert errors(tmp_path, text) == [expected]


def test_no_hostname_serves_the_apex_of_a_zone(tmp_path: Path) -> None:
    text = cdn("hostname: cdn.test").replace("www.shop.example: {", "shop.example: {")
    assert errors(tmp_path, text) == [
        "26:3: services.shop.example: it is the apex of its zone, where no CNAME can stand, and west is a "
        "hostname; list only regions with edges under the service's `regions`"
    ]
    only = text.replace("policy: nearest}", "policy: nearest, regions: [east]}")
    assert errors(tmp_path, only) == []


def test_a_lacking_ip_version_beside_a_hostname_is_warned_of(tmp_path: Path) -> None:
    assert warnings(tmp_path, cdn("hostname: cdn.test")) == [
        "26:3: services.www.shop.example: AAAA has no data, even where west answers: no edge has IPv6; give "
        "one an address of it: whether there is data may not depend on the region"
    ]
    both = cdn("hostname: cdn.test").replace("[192.0.2.1]", '[192.0.2.1, "2001:db8::1"]')
    assert warnings(tmp_path, both) == []


def test_more_regions_than_have_addresses_are_warned_of(tmp_path: Path) -> None:
    said = "www.shop.example: {policy: nearest, answers: 3}"
    assert warnings(tmp_path, broken(SERVICE, said)) == [
        "27:48: services.www.shop.example.answers: asks for more regions than have addresses, which are 2; "
        "ask for fewer, or add regions with edges"
    ]
    assert warnings(tmp_path, broken(SERVICE, said.replace("3", "2"))) == []


def test_plain_http_to_the_port_of_https_is_warned_of(tmp_path: Path) -> None:
    text = cdn("hostname: cdn.test\n    check: quick").replace("type: tcp", "type: http")
    text = text.replace("[192.0.2.1]", '[192.0.2.1, "2001:db8::1"]')
    assert warnings(tmp_path, text) == [
        "25:12: regions.west.check: the check speaks plain HTTP, to port 443; give the check `tls: true`, or "
        "say where plain HTTP is spoken with `probe`"
    ]
    assert warnings(tmp_path, text.replace("type: http", "type: http, tls: true")) == []


@pytest.mark.parametrize("wrong", [{}, {"edges": [{"addresses": ["192.0.2.1"]}], "hostname": "cdn.test"}])
def test_the_schema_wants_either_edges_or_a_hostname(wrong: dict[str, object]) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    assert validator.is_valid({"regions": {"a": {"coordinates": [1, 2], "hostname": "cdn.test"}}})
    assert not validator.is_valid({"regions": {"a": {"coordinates": [1, 2], **wrong}}})
