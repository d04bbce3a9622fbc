"""Every mistake has one exact line that tells place, what is wrong, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_file import broken, checked, errors

from gslb.config import load
from gslb.errors import ConfigError

EDGES = "edges: [{addresses: [192.0.2.1]}]"
NODE = 'ns1: {listen: ["127.0.0.1:5300"]}'
CASES = [
    # sections and keys
    (
        "regions:\n",
        "regoins:\n",
        "16:1: regoins: unknown section; did you mean 'regions'?",
    ),
    (
        "pools:\n  web: {check: quick}",
        "pools: [web]",
        "28:8: pools: must map names to entries, and a list does not; write `name:` lines below it",
    ),
    (
        "routes:\n  - {path: /, pool: web}",
        "routes: {path: /}",
        "30:9: routes: must be a list, and a mapping is not; write lines that begin with `-`",
    ),
    (
        "check: quick\n",
        "chekc: quick\n",
        "19:5: regions.east.chekc: unknown key; did you mean 'check'?",
    ),
    (
        "coordinates: [39.04, -77.49]\n    ",
        "",
        "17:3: regions.east: `coordinates` is missing; add `coordinates`: `{latitude, longitude}` or "
        "`[latitude, longitude]`",
    ),
    (
        "  east:\n",
        "  ea st:\n",
        "17:3: regions.ea st: 'ea st' cannot be a name; use up to 63 letters, digits, `-`, `_` and `.`",
    ),
    # redis
    (
        "redis://127.0.0.1:6379/0",
        "http://:pa55@h",
        "1:14: redis.url: does not begin with redis://, rediss://, unix://, redis+sentinel://, "
        "redis+cluster://; write redis://HOST:PORT/DATABASE, rediss://, unix:///PATH, "
        "redis+sentinel://HOST,HOST/SERVICE or redis+cluster://HOST,HOST",
    ),
    (
        '/0"}',
        '/0", lease: 10 parsecs}',
        "1:49: redis.lease: the value is not a duration; write 500ms, 1s, 2m, 1h or a number of seconds",
    ),
    # geo
    (
        "country: US",
        "country: UK",
        "3:22: geo.default.country: 'UK' is not an ISO 3166-1 country code; did you mean GB?",
    ),
    (
        "country: US",
        "country: EU",
        "3:22: geo.default.country: 'EU' is a continent, not a country; write continent: EU",
    ),
    (
        "latitude: 39.04, ",
        "",
        "3:12: geo.default: has no latitude; latitude and longitude come together",
    ),
    (
        "latitude: 39.04, ",
        "latitude: 139.04, ",
        "3:36: geo.default.latitude: 139.04 is not a latitude; latitudes are -90 to 90 degrees",
    ),
    (
        "dns:\n",
        "  overrides: [{network: 198.18.0.1/15, country: JP}]\ndns:\n",
        "4:25: geo.overrides[0].network: '198.18.0.1/15' has bits beyond its prefix length; write "
        "198.18.0.0/15, or the length you mean",
    ),
    (
        "dns:\n",
        "  overrides: [{network: 10.0.0.0/8}]\ndns:\n",
        "4:15: geo.overrides[0]: says nothing of the network; add country, continent, subdivision, asn "
        "or coordinates",
    ),
    (
        "dns:\n",
        "  overrides:\n  - {network: 10.0.0.0/8, asn: 1}\n  - {network: 10.0.0.0/8, asn: AS2}\ndns:\n",
        "6:15: geo.overrides[1].network: '10.0.0.0/8' is overridden in line 5 already; remove one of them",
    ),
    (
        "dns:\n",
        "  databases: [gone.mmdb]\ndns:\n",
        "4:15: geo.databases[0]: 'gone.mmdb' is not a file; relative paths begin at this file's "
        "directory; leave `databases` out for the bundled one",
    ),
    # dns
    (
        NODE,
        'ns1: {listen: ["*:53"]}',
        "6:20: dns.nodes.ns1.listen[0]: '*:53' has no address; for all addresses write "
        '"0.0.0.0:PORT" and "[::]:PORT"',
    ),
    (
        NODE,
        'ns1: {listen: ["ns.example:53"]}',
        "6:20: dns.nodes.ns1.listen[0]: 'ns.example:53' is a name, not an address; write the address "
        "to listen on",
    ),
    (
        NODE,
        'ns1: {listen: ["::1:53"]}',
        "6:20: dns.nodes.ns1.listen[0]: '::1:53' is ambiguous; write IPv6 addresses in brackets: [::1]:80",
    ),
    (
        NODE,
        "ns1: {admin: 8053}",
        "6:18: dns.nodes.ns1.admin: 8053 is only a port; write ADDRESS:PORT, such as 127.0.0.1:80 or "
        "[::1]:80",
    ),
    (
        NODE,
        'ns1: {listen: ["0.0.0.0:8053"]}',
        "6:10: dns.nodes.ns1.admin: '127.0.0.1:8053' is taken by '0.0.0.0:8053' of DNS node ns1 "
        "already; use another address or port",
    ),
    (
        "dns:\n",
        "dns:\n  udp_payload: 9999\n",
        "5:16: dns.udp_payload: 9999 is too large; the most is 4096",
    ),
    (
        "dns:\n",
        "dns:\n  client_subnet: perhaps\n",
        "5:18: dns.client_subnet: 'perhaps' is neither true nor false",
    ),
    # zones
    (
        "    records: |\n",
        "    file: /etc/hostname\n    x: |\n",
        "10:5: zones.shop.example.x: unknown key; keys here: records, file, transfers",
    ),
    (
        "records: |",
        "records: >",
        "9:14: zones.shop.example.records: `>` joins the lines of the zone's data; write `records: |`",
    ),
    (
        "ns1 IN A 192.0.2.53",
        "ns1 IN AA 192.0.2.53",
        "13:14: 'AA' is not a record type",
    ),
    # checks
    (
        "type: tcp",
        "type: tpc",
        "15:17: checks.quick.type: there is no type 'tpc'; did you mean 'tcp'?",
    ),
    (
        "{type: tcp, ",
        "{",
        "15:3: checks.quick: `type` is missing; types: http, tcp, agent",
    ),
    (
        "interval: 1s",
        "intervall: 1s",
        "15:22: checks.quick.intervall: unknown key; did you mean 'interval'?",
    ),
    (
        "interval: 1s",
        "rise: 0",
        "15:28: checks.quick.rise: 0 is too small; the least is 1",
    ),
    # regions
    (
        EDGES,
        "edges: []",
        "20:12: regions.east.edges: is empty; write one entry at least",
    ),
    (
        EDGES,
        "edges: [{addresses: []}]",
        "20:25: regions.east.edges[0].addresses: is empty; write one entry at least",
    ),
    (
        EDGES,
        "edges: [{addresses: [0.0.0.0]}]",
        "20:26: regions.east.edges[0].addresses[0]: '0.0.0.0' is not an address that clients can "
        "connect to; write the address under which clients reach the edge; where it listens is said by "
        "`listen`",
    ),
    (
        EDGES,
        "edges: [{addresses: [192.0.2.1:80]}]",
        "20:26: regions.east.edges[0].addresses[0]: '192.0.2.1:80' is not an IP address; write the "
        "address alone; the port has a key of its own",
    ),
    (
        EDGES,
        "edges: [{addresses: [192.0.2.1], port: 80800}]",
        "20:44: regions.east.edges[0].port: 80800 is not a port; ports are 1 to 65535",
    ),
    (
        EDGES,
        "edges: [{addresses: [192.0.2.1], admin: 192.0.2.1:80}]",
        "20:45: regions.east.edges[0].admin: edge east-1 listens on '192.0.2.1:80' already; use "
        "another address or port",
    ),
    (
        EDGES,
        "edges: [{addresses: [192.0.2.1]}, {addresses: [192.0.2.1], port: 81}]",
        "20:52: regions.east.edges[1].addresses[0]: '192.0.2.1' is an address of another edge "
        "of the region already; remove one of them",
    ),
    (
        EDGES,
        "edges: [{addresses: [192.0.2.1], name: west-1}]",
        "24:13: regions.west.edges[0].name: the region east has an edge named 'west-1' already; edges "
        "need names that no other edge has",
    ),
    (
        EDGES,
        'edges: [{addresses: [192.0.2.1], listen: ["192.0.2.2:80"]}]',
        "24:26: regions.west.edges[0].addresses[0]: edge east-1 listens on '192.0.2.2:80' too; use "
        "another address or port",
    ),
    (
        EDGES,
        "edges: [{addresses: [192.0.2.1], probe: {192.0.2.9: 10.0.0.1:80}}]",
        "20:13: regions.east.edges[0]: `probe` names an address that is not among `addresses`; make "
        "them agree",
    ),
    (
        "    check: quick\n",
        "    check: qiuck\n",
        "19:12: regions.east.check: there is no check 'qiuck'; did you mean 'quick'?",
    ),
    (
        "servers: {web: [10.0.0.1:80]}",
        "servers: {wbe: [10.0.0.1:80]}",
        "21:15: regions.east.servers.wbe: there is no pool 'wbe'; did you mean 'web'?",
    ),
    (
        "servers: {web: [10.0.0.1:80]}",
        "servers: {web: [10.0.0.1]}",
        "21:21: regions.east.servers.web[0]: '10.0.0.1' has no port; write ADDRESS:PORT, such as "
        "127.0.0.1:80 or [::1]:80",
    ),
    (
        "[10.0.0.1:80]",
        "[{address: 10.0.0.1:80, weight: much}]",
        "21:52: regions.east.servers.web[0].weight: 'much' is not a whole number",
    ),
    # services
    (
        "www.shop.example:",
        "www.shop.exampel:",
        "27:3: services.www.shop.exampel: the name lies in none of the zones; did you mean 'shop.example'?",
    ),
    (
        "policy: nearest",
        "policy: nearst",
        "27:30: services.www.shop.example.policy: there is no policy 'nearst'; did you mean 'nearest'?",
    ),
    (
        "policy: nearest",
        "policy: {nearest: {}, failover: {order: [east]}}",
        "27:30: services.www.shop.example.policy: has several names at once; write a name, such as "
        "nearest, or {name: {options}}, or a list of these",
    ),
    (
        "policy: nearest",
        "policy: []",
        "27:30: services.www.shop.example.policy: names no policy; write a name, such as nearest, or "
        "{name: {options}}, or a list of these",
    ),
    (
        "policy: nearest",
        "policy: failover",
        "27:22: services.www.shop.example.policy: `order` is missing; add `order`: regions, first "
        "choice first",
    ),
    (
        "policy: nearest",
        "policy: [{failover: {order: [east, wets]}}]",
        "27:57: services.www.shop.example.policy[0].failover.order[1]: there is no region 'wets'; did "
        "you mean 'west'?",
    ),
    (
        "policy: nearest",
        "policy: {weighted: {weights: {east: 1, wets: 1}}}",
        "27:61: services.www.shop.example.policy.weighted.weights.wets: there is no region 'wets'; did "
        "you mean 'west'?",
    ),
    (
        "policy: nearest",
        "policy: [{geo: {rules: [{country: UK, regions: [east]}]}}, nearest]",
        "27:56: services.www.shop.example.policy[0].geo.rules[0].country: 'UK' is not an ISO 3166-1 "
        "country code; did you mean GB?",
    ),
    (
        "policy: nearest",
        "policy: nearest, regions: [east, north]",
        "27:55: services.www.shop.example.regions[1]: there is no region 'north'; regions: east, west",
    ),
    (
        "policy: nearest",
        "policy: nearest, ttl: 1.5s",
        "27:44: services.www.shop.example.ttl: '1.5s' is not a whole number of seconds; write 30s or 5m",
    ),
    (
        "policy: nearest",
        "policy: nearest, ttl: {minimum: 60, maximum: 5}",
        "27:44: services.www.shop.example.ttl: minimum, wanted and maximum are not in this order; "
        "minimum <= wanted <= maximum",
    ),
    (
        "policy: nearest",
        "policy: nearest, all_down: answerall",
        "27:49: services.www.shop.example.all_down: 'answerall' is not one of the choices; did you "
        "mean 'answer_all'?",
    ),
    (
        "pools:\n",
        "  WWW.shop.example.: {policy: nearest}\npools:\n",
        "28:3: services.WWW.shop.example.: this is the same name as 'www.shop.example'; remove one of them",
    ),
    # pools and routes
    (
        "web: {check: quick}",
        "web: {method: round-robin}",
        "29:17: pools.web.method: there is no method 'round-robin'; did you mean 'round_robin'?",
    ),
    (
        "{path: /, pool: web}",
        "{path: cart, pool: web}",
        "31:12: routes[0].path: 'cart' is not a path; a path begins with /",
    ),
    (
        "{path: /, pool: web}",
        "{pool: wbe}",
        "31:12: routes[0].pool: there is no pool 'wbe'; did you mean 'web'?",
    ),
    (
        "{path: /, pool: web}",
        "{host: 'http://a', pool: web}",
        "31:12: routes[0].host: 'http://a' is more than a host; leave out scheme, port and path",
    ),
    (
        "{path: /, pool: web}",
        "{path: /, pool: web}\n  - {path: /a, pool: web}\n  - {path: /a/, pool: web}",
        "33:5: routes[2]: the route in line 32 has the same host and path; remove one of them",
    ),
    (
        "{path: /, pool: web}",
        "{methods: [GET, POST], pool: web}\n  - {methods: post, pool: web}",
        "32:5: routes[1]: the route in line 31 has the same host and path for POST; remove one of them",
    ),
    # edge
    (
        "routes:\n",
        "edge: {max_header_bytes: 12}\nroutes:\n",
        "30:26: edge.max_header_bytes: 12 is too small; the least is 1024",
    ),
    # YAML itself
    (
        "    check: quick\n",
        "\tcheck: quick\n",
        "19:1: a tab cannot indent in YAML; use spaces",
    ),
    (
        "    check: quick\n",
        "    check: quick\n    check: quick\n",
        "20:5: the key 'check' is here twice (first in line 19); remove one of them",
    ),
    (
        "    check: quick\n",
        "    check: *quick\n",
        "19:12: no anchor goes by the name of the alias 'quick'; define it above with &",
    ),
    (
        "    check: quick\n",
        "    check: a: b\n",
        "19:13: a second `: ` on this line; put the value in quotes, or the key on a line of its own",
    ),
    (
        "    check: quick\n",
        "    check: !tag quick\n",
        "19:12: the tag !tag has no meaning here; remove it",
    ),
    (
        "regions:\n",
        "---\nregions:\n",
        "16:1: a second YAML document begins here; keep the whole fleet in one document: remove the `---`",
    ),
    (
        "redis: {",
        "%YAML 1.1\n---\nredis: {",
        "1:1: only YAML 1.2 is read here; remove the %YAML directive",
    ),
    (
        "    check: quick\n",
        "    check: ${CHECK}\n",
        "19:12: the environment has no variable CHECK; set it, or give it a default: ${CHECK:-default}",
    ),
    (
        "    check: quick\n",
        "    check: ${CHECK\n",
        "19:12: a `${` here does not begin a variable; write ${NAME} or ${NAME:-default}; for a dollar "
        "sign itself write $$",
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), CASES, ids=[case[1][:40] for case in CASES])
def test_one_mistake_one_exact_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    found = errors(tmp_path, broken(old, new))
    assert found == [expected]


TEN_MISTAKES = """\
redis: {url: redis://127.0.0.1/0, lease: soon}
geo: {default: {country: UK}}
dns: {nodes: {ns1: {listen: ["*:53"]}}}
zones: {shop.example: {records: ""}}
checks: {quick: {type: tpc}}
regions:
  east: {coordinates: [91, 0], edges: [{addresses: [192.0.2.1], port: 0}]}
services:
  www.shop.example: {policy: {failover: {order: [wset]}}}
pools: {web: {method: fastest}}
routes: [{path: cart, pool: web}]
"""


def test_ten_mistakes_are_told_at_once(tmp_path: Path) -> None:
    found = errors(tmp_path, TEN_MISTAKES)
    told = [(line.split(":")[0], line.split(": ")[1]) for line in found]
    assert told == [
        ("1", "redis.lease"),
        ("2", "geo.default.country"),
        ("3", "dns.nodes.ns1.listen[0]"),
        ("4", "the zone shop.example has no NS record at its apex; add `@ IN NS ns1`"),
        ("4", "the zone shop.example has no SOA record; add `@ IN SOA …` at its apex"),
        ("5", "checks.quick.type"),
        ("7", "regions.east.coordinates"),
        ("7", "regions.east.edges[0].port"),
        ("9", "services.www.shop.example.policy.failover.order[0]"),
        ("10", "pools.web.method"),
        ("11", "routes[0].path"),
    ]


def test_load_raises_them_all_in_the_order_of_the_file(tmp_path: Path) -> None:
    result = checked(tmp_path, TEN_MISTAKES)
    assert result.fleet is None
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "regions.yaml", environment={})
    assert caught.value.problems == result.errors
    assert [problem.place.line for problem in result.errors] == sorted(
        problem.place.line for problem in result.errors
    )


def test_a_bad_entry_hides_no_clash_of_another(tmp_path: Path) -> None:
    """The edges of a region with a mistake elsewhere still take part in the search for clashes."""
    text = broken("[39.04, -77.49]", "[nowhere, -77.49]").replace("192.0.2.2", "192.0.2.1, 192.0.2.1")
    assert errors(tmp_path, text) == [
        "18:18: regions.east.coordinates: 'nowhere' is not a number of degrees; "
        "write decimal degrees: 53.35, -6.26",
        "24:13: regions.west.edges[0]: has the same address twice; remove one of them",
    ]
    text = broken("[39.04, -77.49]", "[nowhere, -77.49]").replace("192.0.2.2", "192.0.2.1")
    assert errors(tmp_path, text)[1:] == [
        "24:26: regions.west.edges[0].addresses[0]: edge east-1 listens on '192.0.2.1:80' too; "
        "use another address or port",
    ]


def test_a_misspelt_section_is_not_missed_as_well(tmp_path: Path) -> None:
    assert errors(tmp_path, broken("pools:\n", "poools:\n")) == [
        "28:1: poools: unknown section; did you mean 'pools'?"
    ]


def test_names_from_a_partly_bad_policy_are_checked_too(tmp_path: Path) -> None:
    policy = "policy: {geo: {rules: [{regions: [east]}, {asn: 1, regions: [wets]}]}}"
    assert errors(tmp_path, broken("policy: nearest", policy)) == [
        "27:45: services.www.shop.example.policy.geo.rules[0]: a rule needs a condition: continent, country, "
        "subdivision, asn or network",
        "27:83: services.www.shop.example.policy.geo.rules[1].regions[0]: there is no region 'wets'; "
        "did you mean 'west'?",
    ]


SECRET = "hunter2-from-the-environment"
SECRET_PLACES = [
    ('"redis://127.0.0.1:6379/0"', '"nonsense://:${SECRET}@h"'),
    ('"redis://127.0.0.1:6379/0"', "['${SECRET}']"),
    ("country: US", "country: '${SECRET}'"),
    ("latitude: 39.04", "latitude: '${SECRET}'"),
    ("interval: 1s", "interval: '${SECRET}'"),
    ("type: tcp", "type: '${SECRET}'"),
    ("type: tcp", "type: http, path: '${SECRET}'"),
    ("type: tcp", "type: http, status: [200, '${SECRET}']"),
    ("    check: quick\n", "    check: ${SECRET}\n"),
    ("policy: nearest", "policy: '${SECRET}'"),
    ("policy: nearest", "policy: {failover: {order: ['${SECRET}']}}"),
    ("policy: nearest", "policy: {geo: {rules: [{country: '${SECRET}', regions: [east]}]}}"),
    ("policy: nearest", "policy: nearest, all_down: '${SECRET}'"),
    ("{check: quick}", "{method: '${SECRET}'}"),
    ("[10.0.0.1:80]", '["${SECRET}:80:"]'),
    ("ns1 IN A 192.0.2.53", "ns1 IN ${SECRET} 192.0.2.53"),
    ("zones:\n", "zones:\n  other.example: {file: '${SECRET}'}\n"),
]


@pytest.mark.parametrize(("old", "new"), SECRET_PLACES, ids=[new[:40] for _, new in SECRET_PLACES])
def test_values_from_the_environment_never_show(tmp_path: Path, old: str, new: str) -> None:
    found = errors(tmp_path, broken(old, new), {"SECRET": SECRET})
    assert found
    assert "hunter2" not in "".join(found).lower()
    assert any("${SECRET}" in line for line in found) or "redis.url" in found[0]


def test_a_secret_does_not_show_in_what_follows_from_it(tmp_path: Path) -> None:
    text = broken("[{addresses: [192.0.2.1]}]", "[{addresses: ['${ADDRESS}']}]")
    text = text.replace("192.0.2.2", "192.0.2.1")
    found = errors(tmp_path, text, {"ADDRESS": "192.0.2.1"})
    assert found == [
        "24:26: regions.west.edges[0].addresses[0]: edge east-1 listens on '192.0.2.1:80' too; "
        "use another address or port",
    ]
    fleet = checked(tmp_path, broken("127.0.0.1:6379", ":${PASSWORD}@h"), {"PASSWORD": SECRET}).fleet
    assert fleet is not None
    assert SECRET not in repr(fleet)
    assert fleet.redis.url is not None
    assert fleet.redis.url.reveal() == f"redis://:{SECRET}@h/0"
