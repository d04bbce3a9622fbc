"""An operator's words as they are said: on regions and services, refused where they leave nobody."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest
from typer.testing import CliRunner

from gslb.cli import app
from gslb.cli.override import named
from gslb.cli.weight import part_of
from gslb.errors import GslbError, StoreError
from gslb.geo.location import Coordinates, Located, Location
from gslb.policy import Client
from gslb.simulate.population import Member

FLEET = """
redis: {{url: "{url}", timeout: 1s}}
dns: {{nodes: {{ns1: {{listen: ["127.0.0.1:5399"], admin: "127.0.0.1:1"}}}}}}
zones:
  shop.test:
    records: |
      @ 300 SOA ns1 hostmaster 1 2 3 4 60
      @ 300 NS ns1
      ns1 300 A 192.0.2.53
regions:
  west: {{coordinates: [53.3, -6.3], edges: [{{addresses: [192.0.2.1]}}]}}
  asia: {{coordinates: [1.3, 103.8], capacity: 100, edges: [{{addresses: [192.0.2.2]}}]}}
services:
  www.shop.test: {{policy: nearest, ttl: 20}}
  api.shop.test: {{policy: nearest, regions: [west]}}
pools: {{}}
routes: []
"""


@pytest.fixture
def gslb(tmp_path, redis_server):
    """Runs a command; what it says, or the error that is expected."""
    file = tmp_path / "regions.yaml"
    file.write_text(FLEET.format(url=redis_server.url))

    def run(*arguments, error=None):
        result = CliRunner().invoke(app, [*arguments, "--config", str(file)])
        if error is not None:
            assert isinstance(result.exception, error), result.output
            return str(result.exception)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    return run


def overrides(gslb):
    """What is in force: kind and weight by region and service."""
    told = {}
    for region in json.loads(gslb("status", "--json"))["regions"]:
        for word in (region["override"], *region["service_overrides"]):
            if word:
                told[word["region"], word["service"]] = (word["kind"], word["weight"])
    return told


def test_words_on_services_and_regions_stand_beside_each_other(gslb):
    gslb("drain", "asia")
    gslb("force", "west", "up", "--service", "WWW.shop.test.")
    gslb("hold", "--service", "www.shop.test")
    gslb("weight", "west", "25%", "--reason", "new cables", "--by", "ana")
    assert overrides(gslb) == {
        ("asia", ""): ("drain", None),
        ("west", "www.shop.test"): ("forced_up", None),
        ("", "www.shop.test"): ("hold", None),
        ("west", ""): ("weight", 0.25),
    }
    shown = gslb("status")
    assert "west: weight 0.25 by ana since" in shown
    assert "www.shop.test in west: forced up by" in shown
    assert shown.count("www.shop.test everywhere: hold (west UNKNOWN, asia UNKNOWN) by") == 1
    assert gslb("clear", "--service", "www.shop.test").startswith("www.shop.test everywhere: cleared\n")
    assert ("", "www.shop.test") not in overrides(gslb)
    assert len(overrides(gslb)) == 3


def test_what_was_done_is_told_with_what_follows(gslb):
    said = gslb("drain", "west", "--service", "www.shop.test", "--for", "30m").splitlines()
    assert said[0].startswith("www.shop.test in west: drain until 20")
    assert said[1:] == [
        "  www.shop.test is answered with other regions from now on",
        "  clients follow as their answers age, which takes up to 20 s",
        "  `gslb wait --region west --service www.shop.test --state drained`",
    ]
    said = gslb("force", "west", "up", "--service", "www.shop.test", "--by", "ben")
    assert "until `gslb clear west --service www.shop.test`" in said
    assert "in place of: drain by" in said
    assert "new clients of www.shop.test come here from now on" in said
    said = gslb("hold", "asia", "--until", "2100-01-01T00:00Z")
    assert said.splitlines() == [
        "asia: hold until 2100-01-01T00:00:00.000Z",
        "  kept whatever is observed: asia UNKNOWN",
    ]


def test_nobody_is_left_without_a_region_by_accident(gslb):
    said = gslb("drain", "west", error=GslbError)
    assert said == (
        "then api.shop.test has no eligible region (bring another region back first, or insist with --force)"
    )
    for words in (
        ("force", "west", "down"),
        ("weight", "west", "0"),
        ("drain", "--service", "api.shop.test"),
        ("force", "down", "--service", "www.shop.test"),
    ):
        assert "no eligible region" in gslb(*words, error=GslbError)
    assert overrides(gslb) == {}
    gslb("drain", "west", "--force")
    assert "no eligible region" in gslb("drain", "asia", error=GslbError)
    gslb("drain", "west", "--reason", "takes nothing that it had")
    assert list(overrides(gslb)) == [("west", "")]


def test_taking_back_may_leave_nobody_as_well(gslb):
    gslb("force", "west", "down", "--force")
    gslb("force", "west", "up", "--service", "api.shop.test")
    assert "api.shop.test has no" in gslb("clear", "west", "--service", "api.shop.test", error=GslbError)
    assert len(overrides(gslb)) == 2
    said = gslb("clear", "west")
    assert "still in force: api.shop.test in west: forced up by" in said
    assert "(`gslb clear west --service api.shop.test`)" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("drain",), "name a region, a service with --service, or both"),
        (("drain", "nowhere"), "regions: west, asia"),
        (("drain", "--service", "w.shop.test"), "services: www.shop.test and api.shop.test"),
        (("hold", "asia", "--service", "api.shop.test"), "it is served from: west"),
        (("drain", "asia", "--for", "1h", "--until", "14:00"), "give one of them"),
        (("drain", "asia", "--until", "2020-01-01T00:00Z"), "has passed"),
        (("force", "asia"), "as in `gslb force eu-west down`"),
        (("force", "asia", "sideways"), "say which way"),
        (("force", "asia", "west", "down"), "say which way"),
        (("weight", "asia", "125%"), "not a part"),
        (("weight", "asia", "west", "0.5"), "one region at a time"),
    ],
)
def test_what_is_not_understood_has_a_remedy(gslb, words, said):
    assert said in gslb(*words, error=GslbError)


def test_parts_are_numbers_or_percents():
    assert [part_of(text) for text in ("0.25", "25%", "1", "100%", "0", "0%")] == [0.25, 0.25, 1, 1, 0, 0]
    for text in ("", "%", "-0.1", "nan", "inf", "1.1", "a quarter"):
        with pytest.raises(GslbError):
            part_of(text)


def test_names_are_counted_where_there_are_many():
    assert named("a") == "a"
    assert named("ab") == "a and b"
    assert named("abc") == "a, b and c"
    assert named("abcd") == "a, b, c and 1 other"
    assert named("abcdef") == "a, b, c and 3 others"


@pytest.fixture
def _two_clients(monkeypatch):
    """The world has one client beside each region."""
    west = Location("database", Coordinates(53.3, -6.3))
    asia = Location("database", Coordinates(1.3, 103.8))
    members = tuple(
        Member(Client(ip_address(f"10.{number}.0.1"), Located(place, 24), 0), 0.5, "XX")
        for number, place in enumerate((west, asia))
    )
    monkeypatch.setattr("gslb.simulate.population.population", lambda locator, size: members)


@pytest.mark.usefixtures("_two_clients")
def test_a_word_can_be_tried_out(gslb):
    document = json.loads(gslb("drain", "west", "--dry-run", "--json"))
    assert document["subject"] == "west"
    # api.shop.test has no other region, and a drained one is answered rather than none.
    assert [(each["region"], each["share_before"], each["share_after"]) for each in document["regions"]] == [
        ("west", 1.5 / 2, 1 / 2),
        ("asia", 0.5 / 2, 1 / 2),
    ]
    assert {each["service"]: each["stranded"] for each in document["services"]} == {
        "www.shop.test": False,
        "api.shop.test": True,
    }
    shown = gslb("force", "west", "down", "--dry-run")
    assert "www.shop.test" in shown
    assert "asia 50.0%" in shown
    assert "no eligible region is left" in shown
    assert "only shares of clients can be told" in shown
    assert "no client would be sent elsewhere" in gslb("weight", "asia", "1", "--dry-run")
    assert overrides(gslb) == {}, "nothing was done"
    assert gslb("history") == ""


def test_history_tells_words_and_how_it_was(gslb):
    gslb("drain", "asia", "--by", "ana", "--reason", "works")
    gslb("weight", "west", "0.5", "--by", "ana")
    gslb("clear", "asia", "--by", "ben")
    lines = gslb("history").splitlines()
    assert "asia drained by ana: works" in lines[0]
    assert "cleared by ben" in lines[-1]
    assert gslb("history", "--newest-first").splitlines() == lines[::-1]
    assert gslb("history", "--count", "1").splitlines() == lines[-1:]
    assert gslb("history", "--region", "asia", "--since", "1h").splitlines() == [lines[0], lines[2]]
    (cleared,) = json.loads(gslb("history", "--kind", "override_cleared", "--json"))
    (drained, _, _) = json.loads(gslb("history", "--json"))
    assert drained["state"] == "drain"
    then = json.loads(gslb("history", "--at", drained["at"], "--json"))
    assert [(each["region"], each["kind"]) for each in then["overrides"]] == [("asia", "drain")]
    now = json.loads(gslb("history", "--at", cleared["at"], "--json"))
    assert [(each["region"], each["kind"], each["weight"]) for each in now["overrides"]] == [
        ("west", "weight", 0.5)
    ]
    assert "override of west, since" in gslb("history", "--at", cleared["at"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--kind", "verdicts"), "there is no kind 'verdicts'"),
        (("--region", "nowhere"), "there is no region 'nowhere'"),
        (("--since", "soon"), "'soon' is not a time"),
        (("--at", "25:00"), "'25:00' is not a time"),
        (("--at", "10m", "--kind", "verdict"), "leave the other options out"),
        (("--follow", "--newest-first"), "goes on with what is to come"),
    ],
)
def test_history_says_what_it_cannot_be_asked(gslb, options, said):
    assert said in gslb("history", *options, error=GslbError)


def test_without_redis_nothing_is_said(tmp_path):
    file = tmp_path / "regions.yaml"
    file.write_text(FLEET.format(url="redis://127.0.0.1:1/0"))
    for words in (("weight", "asia", "0.5"), ("hold", "asia"), ("history",), ("history", "--at", "10m")):
        result = CliRunner().invoke(app, [*words, "--config", str(file)])
        assert isinstance(result.exception, StoreError)
        assert "127.0.0.1:1" in str(result.exception)
