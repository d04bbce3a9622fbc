"""Wildcards, static ones and services, cover what RFC 4592 says and nothing else."""

from __future__ import annotations

import pytest
from zone_answers import asked, served

from gslb.config import check
from gslb.config.schema import json_schema

# The shape of the example in RFC 4592 2.2.1, with which its text explains all cases.
EXAMPLE = """
*         TXT "wild"
*         MX 10 host1
sub.*     TXT "not a wildcard"
host1     A 192.0.2.1
_ssh._tcp.host1 SRV 0 0 22 host1
_ssh._tcp.host2 SRV 0 0 22 host1
subdel    NS ns.other.test.
"""
WEST = "192.0.2.2"


@pytest.fixture(scope="module")
def example():
    return served({"example": EXAMPLE})


@pytest.mark.parametrize(
    ("name", "rtype", "answer"),
    [
        ("host3.example", "MX", ["host3.example 300 MX 10 host1.example."]),
        ("foo.bar.example", "TXT", ['foo.bar.example 300 TXT "wild"']),
        ("host3.example", "TXT", ['host3.example 300 TXT "wild"']),
        ("*.example", "TXT", ['*.example 300 TXT "wild"']),
        ("sub.*.example", "TXT", ['sub.*.example 300 TXT "not a wildcard"']),
    ],
)
def test_a_wildcard_answers_in_the_name_of_what_it_covers(example, name, rtype, answer):
    """RFC 4592 2.2.1; a question for the wildcard itself is an ordinary one (2.3)."""
    given = asked(example, name, rtype)
    assert (given.rcode, given.aa, given.answer, given.authority) == ("NOERROR", True, answer, [])


@pytest.mark.parametrize(
    ("name", "rtype"),
    [
        ("host3.example", "A"),  # the wildcard has no such type
        ("host1.example", "MX"),  # exists
        ("sub.*.example", "MX"),  # exists, though below a wildcard
        ("host2.example", "MX"),  # exists, as an empty non-terminal
        ("_tcp.host1.example", "TXT"),  # the same, one deeper
    ],
)
def test_a_wildcard_covers_nothing_that_exists(example, name, rtype):
    assert asked(example, name, rtype).nodata


@pytest.mark.parametrize(
    "name",
    [
        "_telnet._tcp.host1.example",
        "x.host1.example",
        "ghost.*.example",
        "x.host2.example",
        "a.b.sub.*.example",
    ],
)
def test_a_closest_encloser_without_a_wildcard_of_its_own_hides_those_above(example, name):
    """RFC 4592 3.3.1; `ghost.*` has the closest encloser `*.example`, which has no wildcard below it."""
    given = asked(example, name, "MX")
    assert (given.rcode, given.answer) == ("NXDOMAIN", [])


def test_a_cut_beats_the_wildcard_beside_it(example):
    given = asked(example, "host.subdel.example", "MX")
    assert (given.aa, given.answer, given.authority) == (False, [], ["subdel.example 300 NS ns.other.test."])


def test_a_wildcard_that_only_has_names_below_it_makes_names_exist_without_data():
    """RFC 4592 4.9: the source of synthesis is an empty non-terminal."""
    known = served({"example": 'sub.* TXT "x"'})
    assert asked(known, "any.example", "TXT").nodata
    assert asked(known, "*.example", "TXT").nodata
    assert asked(known, "any.other.example", "TXT").nodata


def test_an_asterisk_that_is_not_the_first_label_or_not_alone_is_an_ordinary_label():
    """RFC 4592 2.1.1."""
    known = served({"example": 'a.*.b TXT "x"\n*x TXT "y"\nlit.\\*.c TXT "z"'})
    assert asked(known, "a.z.b.example", "TXT").nodata
    assert asked(known, "yx.example", "TXT").rcode == "NXDOMAIN"
    assert asked(known, "a.*.b.example", "TXT").answer == ['a.*.b.example 300 TXT "x"']
    assert asked(known, "*x.example", "TXT").answer == ['*x.example 300 TXT "y"']


def test_a_wildcard_alias_is_followed():
    """RFC 4592 4.3."""
    known = served({"example": "* CNAME host\n*.up CNAME x.down\n*.down CNAME host\nhost A 192.0.2.1"})
    assert asked(known, "any.example").answer == [
        "any.example 300 CNAME host.example.",
        "host.example 300 A 192.0.2.1",
    ]
    assert asked(known, "a.up.example").answer == [
        "a.up.example 300 CNAME x.down.example.",
        "x.down.example 300 CNAME host.example.",
        "host.example 300 A 192.0.2.1",
    ]
    assert asked(known, "any.example", "CNAME").answer == ["any.example 300 CNAME host.example."]


def test_a_wildcard_alias_to_what_it_covers_ends():
    given = asked(served({"example": "* CNAME x.y"}), "any.example")
    assert given.rcode == "NOERROR"
    assert given.answer == ["any.example 300 CNAME x.y.example.", "x.y.example 300 CNAME x.y.example."]


STATIC = """
static.apps A 192.0.2.99
text.apps   TXT "x"
deep.er.apps A 192.0.2.98
alias.apps  CNAME static.apps
given.apps  NS ns.other.test.
moved.apps  DNAME other.test.
in          CNAME some.apps
"""


@pytest.fixture(scope="module")
def apps():
    return served({"shop.test": STATIC}, ["*.apps.shop.test", "www.apps.shop.test", "*.www.apps.shop.test"])


@pytest.mark.parametrize(
    "name",
    [
        "any.apps.shop.test",
        "a.b.apps.shop.test",
        "*.apps.shop.test",
        "www.apps.shop.test",
        "x.www.apps.shop.test",
    ],
)
def test_a_wildcard_service_answers_for_every_name_it_covers(apps, name):
    given = asked(apps, name)
    assert [line.split()[0] for line in given.answer] == [name]
    assert given.answer[0].endswith(f" A {WEST}")
    assert asked(apps, name, "AAAA").answer[0].endswith(" AAAA 2001:db8::2")
    assert asked(apps, name, "TXT").nodata


def test_the_nearest_wildcard_service_and_the_exact_one_decide(apps):
    for name, service in (
        ("any.apps.shop.test", "*.apps.shop.test"),
        ("www.apps.shop.test", "www.apps.shop.test"),
        ("x.www.apps.shop.test", "*.www.apps.shop.test"),
    ):
        zone = apps.zones.by_apex[b"\x04shop\x04test\x00"]
        labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\x00"
        source = zone.source_of(labels)
        assert zone.services[source] == service


def test_static_names_below_a_wildcard_service_win(apps):
    assert asked(apps, "static.apps.shop.test").answer == ["static.apps.shop.test 300 A 192.0.2.99"]
    assert asked(apps, "text.apps.shop.test").nodata, "the name exists, so the wildcard does not cover it"
    assert asked(apps, "er.apps.shop.test").nodata, "an empty non-terminal exists as well (RFC 4592 2.2.2)"
    assert asked(apps, "x.er.apps.shop.test").rcode == "NXDOMAIN", "and is the closest encloser"
    assert asked(apps, "x.static.apps.shop.test").rcode == "NXDOMAIN"
    assert asked(apps, "alias.apps.shop.test").answer[-1] == "static.apps.shop.test 300 A 192.0.2.99"
    assert not asked(apps, "x.given.apps.shop.test").aa
    assert (
        asked(apps, "x.moved.apps.shop.test").answer[-1] == "x.moved.apps.shop.test 300 CNAME x.other.test."
    )


def test_a_wildcard_service_does_not_cover_the_name_it_hangs_below(apps):
    assert asked(apps, "apps.shop.test").nodata
    assert asked(apps, "shop.test").nodata
    assert asked(apps, "x.*.apps.shop.test").rcode == "NXDOMAIN", (
        "the wildcard itself is the closest encloser"
    )


def test_an_alias_leads_to_a_wildcard_service(apps):
    given = asked(apps, "in.shop.test")
    assert given.answer[0] == "in.shop.test 300 CNAME some.apps.shop.test."
    assert given.answer[1].startswith("some.apps.shop.test ")
    assert given.answer[1].endswith(f" A {WEST}")


def test_a_wildcard_service_may_lie_right_below_the_apex_and_have_static_text_beside_it():
    known = served({"shop.test": '* TXT "wild"'}, ["*.shop.test", "shop.test"])
    assert asked(known, "any.shop.test").answer[0].endswith(f" A {WEST}")
    assert asked(known, "shop.test").answer[0].endswith(f" A {WEST}")
    assert asked(known, "any.shop.test", "TXT").answer == ['any.shop.test 300 TXT "wild"']
    assert asked(known, "any.shop.test", "ANY").answer[0].startswith("any.shop.test 3600 HINFO")


FLEET = """\
zones:
  shop.test:
    records: |
      $TTL 300
      @ SOA ns.other.test. me 1 2 3 4 60
      @ NS ns.other.test.
regions:
  west: {{coordinates: [53.3, -6.3], edges: [{{addresses: [192.0.2.1]}}]}}
services:
  {name!r}: {{policy: nearest}}
"""


def checked(directory, name):
    file = directory / "regions.yaml"
    file.write_text(FLEET.format(name=name))
    return check(file, environment={})


@pytest.mark.parametrize("name", ["*.Apps.shop.test.", "*.shop.test"])
def test_a_service_may_be_a_wildcard(tmp_path, name):
    fleet = checked(tmp_path, name).fleet
    assert fleet is not None
    assert list(fleet.services) == [name.lower().removesuffix(".")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.*.shop.test", "'a.*.shop.test' has a wildcard inside; only the first label may be `*`"),
        ("*.*.shop.test", "'*.*.shop.test' has a wildcard inside; only the first label may be `*`"),
        ("*x.shop.test", "'*x.shop.test' is not a wildcard; the first label is `*` alone"),
        ("*", "'*' is a wildcard of nothing; write the name it lies below"),
        ("*." + "x." * 122 + "shop.test", "is longer than a domain name can be"),
        ("*.elsewhere.test", "the name lies in none of the zones"),
    ],
)
def test_what_is_no_wildcard_is_refused_with_the_remedy(tmp_path, name, said):
    assert any(said in str(problem) for problem in checked(tmp_path, name).errors)


def test_editors_know_wildcard_services():
    """The schema's pattern and the parser agree."""
    import re

    schema = json_schema()["properties"]["services"]["anyOf"][0]["propertyNames"]["pattern"]
    assert re.search(schema, "*.apps.shop.test")
    assert re.search(schema, "www.shop.test")
    assert not re.search(schema, "a.*.shop.test")
    zones = json_schema()["properties"]["zones"]["anyOf"][0]["propertyNames"]["pattern"]
    assert not re.search(zones, "*.shop.test")
