"""The reference example loads, and schema and documentation tell of everything there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_network
from pathlib import Path

import jsonschema
import pytest
from pydantic import BaseModel

from gslb.balancing import METHOD_OPTIONS
from gslb.config import check, load
from gslb.config import models as config_models
from gslb.config.document import parse
from gslb.config.entry import Entry
from gslb.config.places import CoordinatesEntry, LocationEntry, OverrideEntry
from gslb.config.redis_url import SCHEMES
from gslb.config.schema import json_schema
from gslb.fleet import (
    AllDown,
    Balancing,
    BalancingMethod,
    EdgeSettings,
    Listener,
    Secret,
    SocketAddress,
    TimeToLive,
)
from gslb.geo.location import Coordinates
from gslb.health.checks import CHECKS
from gslb.policy import POLICIES
from gslb.policy.geo import GeoRuleOptions
from gslb.store import connect

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "regions.yaml"


def _entries(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Every section and entry there is, in whichever module."""
    for model in root.__subclasses__():
        yield model
        yield from _entries(model)


MODELS: list[type[BaseModel]] = [
    *_entries(Entry),
    CoordinatesEntry,
    LocationEntry,
    OverrideEntry,
    GeoRuleOptions,
    *(policy.Options for policy in POLICIES.values()),
    *(each.Options for each in CHECKS.values()),
    *METHOD_OPTIONS.values(),
]


def test_the_reference_loads_without_a_warning() -> None:
    result = check(REFERENCE, environment={})
    assert result.errors == ()
    assert result.warnings == ()
    assert result.fleet == load(REFERENCE, environment={})


def test_regions_of_the_reference() -> None:
    fleet = load(REFERENCE, environment={})
    assert list(fleet.regions) == ["us-east", "eu-west", "ap-southeast"]
    east = fleet.regions["us-east"]
    assert east.coordinates == Coordinates(39.04, -77.49)
    assert (east.description, east.capacity) == ("Ashburn, Virginia", 3000)
    assert (east.check.name, east.check.interval, east.check.timeout) == ("edge", 1.0, 0.5)
    (edge,) = east.edges
    address = IPv4Address("127.0.10.1")
    assert (edge.name, edge.addresses, edge.port) == ("us-east-1", (address,), 8080)
    assert edge.listen == (Listener(SocketAddress("127.0.10.1", 8080)),)
    assert dict(edge.probe) == {address: SocketAddress("127.0.10.1", 8080)}
    assert edge.admin == SocketAddress("127.0.10.1", 8054)
    assert [server.weight for server in east.servers["media"]] == [3, 2, 1]
    assert east.servers["media"][2].target == "us-east/media/127.0.10.13:9002"


def test_services_and_zones_of_the_reference() -> None:
    fleet = load(REFERENCE, environment={})
    api = fleet.services["api.shop.example"]
    assert [policy.name for policy in api.policies] == ["geo", "nearest"]
    assert api.zone == "shop.example"
    assert api.ttl == TimeToLive(20, 5, 60)
    assert api.all_down is AllDown.ANSWER_ALL
    assert fleet.services["www.shop.example"].regions == ("us-east", "eu-west", "ap-southeast")
    assert fleet.services["admin.shop.example"].regions == ("eu-west", "us-east")
    zone = fleet.zones["shop.example"]
    lines = REFERENCE.read_text().splitlines()
    assert lines[zone.first_line - 1].strip() == zone.text.splitlines()[0] == "$TTL 3600"


def test_settings_of_the_reference() -> None:
    fleet = load(REFERENCE, environment={})
    assert fleet.redis.url == Secret("redis://127.0.0.1:6390/0")
    assert fleet.redis.lease == 10.0
    assert fleet.edge == EdgeSettings(trusted_proxies=(ip_network("127.0.0.0/8"),))
    assert fleet.networks() == (ip_network("198.18.0.0/15"),)
    assert fleet.geo.overrides[0].location.source == "override 198.18.0.0/15"
    assert fleet.geo.default.country == "US"
    assert fleet.geo.default.source == "default"
    assert fleet.dns.nodes["ns1"].listen == (SocketAddress("127.0.0.1", 5300),)
    assert fleet.pools["media"].method == Balancing(BalancingMethod.WEIGHTED_ROUND_ROBIN)
    assert fleet.pools["cart"].method.uses(BalancingMethod.IP_HASH)
    assert fleet.pools["cart"].method.uses(BalancingMethod.LEAST_CONNECTIONS)
    assert fleet.pools["cart"].check.name == "origin"
    assert [route.host for route in fleet.routes][-2:] == ["api.shop.example", None]


def test_the_fleet_cannot_be_changed() -> None:
    fleet = load(REFERENCE, environment={})
    for mapping in (fleet.regions, fleet.dns.nodes, fleet.regions["us-east"].servers):
        with pytest.raises(TypeError):
            mapping["new"] = None  # type: ignore[index]


def test_the_schema_is_legal_and_accepts_the_reference() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    data = parse(REFERENCE.read_text(), "regions.yaml", {}).data
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(data)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"regoins": {}},
        {"dns": {"udp_payload": 5}},
        {"dns": {"cookies": "yes"}},
        {"dns": {"rate_limit": {"slip": -1}}},
        {"dns": {"keys": {"a": {"algorithm": "hmac-md5", "secret": "c2VjcmV0"}}}},
        {"zones": {"a": {"records": "", "transfers": [{"network": "192.0.2.0/24", "who": "x"}]}}},
        {"checks": {"x": {"type": "icmp"}}},
        {"checks": {"x": {"type": "tcp", "body": "http has that"}}},
        {"services": {"www.shop.example": {"policy": "failover"}}},
        {"services": {"www.shop.example": {"policy": {"failover": {"ordre": ["a"]}}}}},
        {"pools": {"web": {"method": "fastest"}}},
        {"pools": {"web": {"method": "then"}}},
        {"pools": {"web": {"method": {"name": "ip_hash", "bound": 2}}}},
        {"pools": {"web": {"method": {"name": "consistent_hash", "bound": 0.5}}}},
        {"pools": {"web": {"method": {"name": "then", "first": "ip_hash", "second": "quickest"}}}},
        {"pools": {"web": {"key": "header"}}},
        {"pools": {"web": {"key": {"header": "a", "cookie": "b"}}}},
        {"routes": [{"path": "/"}]},
        {"edge": {"max_connections": 0}},
    ],
)
def test_the_schema_refuses(change: dict[str, object]) -> None:
    data = {"regions": {"a": {"coordinates": [1, 2], "edges": [{"addresses": ["192.0.2.1"]}]}}}
    validator = jsonschema.Draft202012Validator(json_schema())
    assert validator.is_valid(data)
    assert not validator.is_valid(data | change)


def test_the_published_schema_is_up_to_date() -> None:
    published = (ROOT / "docs" / "regions.schema.json").read_text(encoding="utf-8")
    assert published == json.dumps(json_schema(), indent=2) + "\n"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_documented_in_the_words_of_its_model(model: type[BaseModel]) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z0-9_]+)` \| [^|]+ \| [^|]* \| (.*) \|$", text, re.MULTILINE))
    for name, field in model.model_fields.items():
        if model is config_models.FleetFile:
            assert f"\n## `{name}`\n" in text
        elif field.description:
            assert (name, field.description) in documented
        else:
            assert name in {key for key, _ in documented}


def test_every_policy_check_and_choice_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for choice in (*POLICIES, *CHECKS, *BalancingMethod, *AllDown):
        assert f"`{choice}`" in text


def test_examples_in_the_documentation_are_yaml_that_loads(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    (whole,) = re.findall(r"```yaml\n# A whole file.*?```", text, re.DOTALL)
    file = tmp_path / "regions.yaml"
    file.write_text(whole.removeprefix("```yaml\n").removesuffix("```"))
    environment = {"REDIS_PASSWORD": "x", "COOKIE_SECRET": "0" * 32, "TRANSFER_SECRET": "c2VjcmV0"}
    result = check(file, environment=environment)
    assert (result.errors, result.warnings) == ((), ())
    for example in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        assert parse(example, "example", environment).problems == ()


def test_config_and_store_know_the_same_urls() -> None:
    assert set(SCHEMES) == set(connect.SCHEMES)
