"""Every key of `dns` and of a zone's transfers becomes a setting, or one clear error without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from fleet_file import GOOD, broken, checked, errors, warnings

from gslb.config.document import parse
from gslb.config.name_servers import DnsSection, ZoneEntry
from gslb.fleet import (
    ClientSubnetSettings,
    CookieSettings,
    DnsSettings,
    Fleet,
    RateLimitSettings,
    Secret,
    TcpSettings,
    TransferKey,
    TransferRule,
)

HEX = "e5e973e5a6b2a43f48e7dc849e37bfcf"
OTHER_HEX = "445536bcd2513298075a5d379663c962"
BASE64 = "aHVudGVyMi1mcm9tLXRoZS1maWxl"
KEY = f"  keys: {{xfr.shop.example: {{secret: {BASE64}}}}}\n"


def dns(text: str) -> str:
    """The good file with more in its section `dns`, which begins in line 5."""
    return broken("dns:\n", "dns:\n" + text)


def transfers(text: str, keys: str = "") -> str:
    """The good file with the zone's transfers, in line 9 when there are no keys."""
    return dns(keys).replace("    records: |\n", f"    transfers: {text}\n    records: |\n")


def fleet(directory: Path, text: str, environment: Mapping[str, str] | None = None) -> Fleet:
    result = checked(directory, text, environment)
    assert result.errors == ()
    assert result.fleet is not None
    return result.fleet


def settings(directory: Path, text: str) -> DnsSettings:
    return fleet(directory, dns(text)).dns


def test_left_out_all_have_their_defaults(tmp_path: Path) -> None:
    loaded = fleet(tmp_path, GOOD)
    assert loaded.dns == DnsSettings(loaded.dns.nodes, state="auto")
    assert loaded.zones["shop.example"].transfers == ()


@pytest.mark.parametrize("heading", ["client_subnet", "cookies", "rate_limit", "keys"])
def test_a_heading_with_nothing_below_it_is_the_same_as_none(tmp_path: Path, heading: str) -> None:
    loaded = settings(tmp_path, f"  {heading}:\n")
    assert loaded == DnsSettings(loaded.nodes, state="auto")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("client_subnet: false", {"client_subnet": ClientSubnetSettings(False)}),
        (
            "client_subnet: {trusted: [192.0.2.0/24, '2001:db8::/32']}",
            {
                "client_subnet": ClientSubnetSettings(
                    True, (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
                )
            },
        ),
        (
            "client_subnet: {trusted: 192.0.2.1}",
            {"client_subnet": ClientSubnetSettings(True, (ip_network("192.0.2.1/32"),))},
        ),
        ("identity: false", {"tells_identity": False}),
        ("version: gslb 1", {"version": "gslb 1"}),
        ("version: null", {"version": None}),
        ("cookies: false", {"cookies": CookieSettings(False)}),
        ("cookies: true", {"cookies": CookieSettings(True)}),
        (
            f"cookies: {{secrets: [{HEX.upper()}, '{OTHER_HEX}']}}",
            {"cookies": CookieSettings(True, (Secret(HEX), Secret(OTHER_HEX)))},
        ),
        (f"cookies: {{secrets: {HEX}}}", {"cookies": CookieSettings(True, (Secret(HEX),))}),
        ("rate_limit: false", {"rate_limit": RateLimitSettings(False)}),
        (
            "rate_limit: {responses_per_second: 5, errors_per_second: 2, ceiling: 20, slip: 0, "
            "ipv4_prefix_length: 32, ipv6_prefix_length: 64, exempt: 192.0.2.0/24}",
            {"rate_limit": RateLimitSettings(True, 5, 2, 20, 0, 32, 64, (ip_network("192.0.2.0/24"),))},
        ),
        (
            "tcp: {idle_timeout: 500ms, connections: 5, connections_per_client: 2}",
            {"tcp": TcpSettings(0.5, 5, 2)},
        ),
        (
            f"keys: {{XFR.Shop.Example.: {{algorithm: hmac-sha512, secret: {BASE64}}}, "
            f"b: {{secret: {BASE64}}}}}",
            {
                "keys": {
                    "xfr.shop.example": TransferKey("xfr.shop.example", "hmac-sha512", Secret(BASE64)),
                    "b": TransferKey("b", "hmac-sha256", Secret(BASE64)),
                }
            },
        ),
        ("watch: null", {"watch": None}),
        ("watch: 5s", {"watch": 5.0}),
        ("state: auto", {"state": "auto"}),
        ("state: null", {"state": None}),
        ("state: /var/lib/world", {"state": "/var/lib/world"}),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_is_said_is_what_the_name_servers_get(
    tmp_path: Path, text: str, expected: dict[str, Any]
) -> None:
    loaded = settings(tmp_path, f"  {text}\n")
    assert loaded == DnsSettings(loaded.nodes, **{"state": "auto", **expected})


def test_a_node_is_called_by_its_name_or_as_it_says(tmp_path: Path) -> None:
    node = 'ns1: {listen: ["127.0.0.1:5300"]}'
    text = broken(
        node, 'ns1: {listen: ["127.0.0.1:5300"], identity: fra 1}\n    ns2: {listen: ["127.0.0.2:5300"]}'
    )
    nodes = fleet(tmp_path, text).dns.nodes
    assert (nodes["ns1"].identity, nodes["ns2"].identity) == ("fra 1", "ns2")


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("192.0.2.0/24", [TransferRule(ip_network("192.0.2.0/24"))]),
        (
            "[192.0.2.7, '2001:db8::7']",
            [TransferRule(ip_network(f"{a}")) for a in ("192.0.2.7", "2001:db8::7")],
        ),
        ("{key: XFR.shop.example.}", [TransferRule(None, "xfr.shop.example")]),
        (
            "[{network: 192.0.2.0/24, key: xfr.shop.example}, 198.51.100.1]",
            [
                TransferRule(ip_network("192.0.2.0/24"), "xfr.shop.example"),
                TransferRule(ip_network("198.51.100.1")),
            ],
        ),
        ("[]", []),
    ],
)
def test_who_may_transfer_a_zone(tmp_path: Path, text: str, rules: list[TransferRule]) -> None:
    assert fleet(tmp_path, transfers(text, KEY)).zones["shop.example"].transfers == tuple(rules)


def test_a_zone_in_a_file_has_transfers_too(tmp_path: Path) -> None:
    records = "$TTL 300\n@ IN SOA ns1 hostmaster 1 7200 900 1209600 300\n@ IN NS ns1\nns1 IN A 192.0.2.53\n"
    (tmp_path / "other.zone").write_text(records, encoding="utf-8")
    text = broken("zones:\n", "zones:\n  other.example: {file: other.zone, transfers: 192.0.2.7}\n")
    zones = fleet(tmp_path, text).zones
    assert zones["other.example"].transfers == (TransferRule(ip_network("192.0.2.7")),)


SWITCH = "is neither true nor false"
SECRET = "is not a cookie secret; write 32 hexadecimal digits: `openssl rand -hex 16`"
NOT_BASE64 = "is not a key in base64; make one with `openssl rand -base64 32`"
WRONG = [
    ("client_subnet: {enabled: perhaps}", f"5:28: dns.client_subnet.enabled: 'perhaps' {SWITCH}"),
    (
        "client_subnet: {trused: 192.0.2.0/24}",
        "5:19: dns.client_subnet.trused: unknown key; did you mean 'trusted'?",
    ),
    (
        "client_subnet: {trusted: [192.0.2.1/24]}",
        "5:29: dns.client_subnet.trusted[0]: '192.0.2.1/24' has bits beyond its prefix length; write "
        "192.0.2.0/24, or the length you mean",
    ),
    ("identity: ns1", "5:13: dns.identity: 'ns1' is neither true nor false"),
    (
        "version: Zürich",
        "5:12: dns.version: 'Zürich' cannot be told in a packet; write 1 to 255 printable ASCII characters",
    ),
    ("version: 9.1", "5:12: dns.version: must be text, and 9.1 is not; put it in quotes"),
    (
        f"cookies: {HEX}",
        f"5:12: dns.cookies: {SWITCH}; secrets have a key of their own: {{secrets: [...]}}",
    ),
    ("cookies: {secrets: [abc]}", f"5:23: dns.cookies.secrets[0]: {SECRET}"),
    ("cookies: {secrets: }", f"5:21: dns.cookies.secrets: {SECRET}"),
    (
        "cookies: {secrets: [12345678901234567890123456789e12]}",
        "5:23: dns.cookies.secrets[0]: is a number to YAML; put the 32 hexadecimal digits in quotes",
    ),
    (
        f"cookies: {{secrets: [{', '.join([HEX] * 5)}]}}",
        "5:22: dns.cookies.secrets: has too many secrets; keep 4 at most: each one costs a hash for every "
        "forged cookie",
    ),
    ("rate_limit: 500", f"5:15: dns.rate_limit: 500 {SWITCH}"),
    ("rate_limit: {ceiling: 0}", "5:25: dns.rate_limit.ceiling: 0 is too small; the least is 1"),
    (
        "rate_limit: {responses_per_second: many}",
        "5:38: dns.rate_limit.responses_per_second: 'many' is not a whole number",
    ),
    (
        "rate_limit: {errors_per_second: 0}",
        "5:35: dns.rate_limit.errors_per_second: 0 is too small; the least is 1",
    ),
    ("rate_limit: {slip: 101}", "5:22: dns.rate_limit.slip: 101 is too large; the most is 100"),
    (
        "rate_limit: {ipv4_prefix_length: 33}",
        "5:36: dns.rate_limit.ipv4_prefix_length: 33 is too large; the most is 32",
    ),
    (
        "rate_limit: {ipv6_prefix_length: 8}",
        "5:36: dns.rate_limit.ipv6_prefix_length: 8 is too small; the least is 16",
    ),
    (
        "rate_limit: {exempt: [here]}",
        "5:25: dns.rate_limit.exempt[0]: 'here' is not a network; write it like 192.0.2.0/24 or "
        "2001:db8::/32",
    ),
    (
        "tcp: {idle_timeout: 0}",
        "5:23: dns.tcp.idle_timeout: 0 is no time at all; write 500ms, 1s, 2m, 1h or a number of seconds",
    ),
    ("tcp: {connections: 0}", "5:22: dns.tcp.connections: 0 is too small; the least is 1"),
    (
        "tcp: {connections_per_client: 0}",
        "5:33: dns.tcp.connections_per_client: 0 is too small; the least is 1",
    ),
    ("tcp: 10s", "5:8: dns.tcp: must be a mapping, and '10s' is not; write `key: value` lines"),
    (f"keys: {BASE64}", "5:9: dns.keys: must map names to keys; write `NAME: {secret: ...}` lines below it"),
    (
        f"keys: {{a: {BASE64}}}",
        "5:13: dns.keys.<key>: must be a mapping with a secret in it; write {algorithm: ..., secret: ...}",
    ),
    ("keys: {a: {secret: hunter2}}", f"5:22: dns.keys.<key>.secret: {NOT_BASE64}"),
    ("keys: {a: {secret: 1234}}", f"5:22: dns.keys.<key>.secret: {NOT_BASE64}"),
    ("keys: {a: {secret: ''}}", f"5:22: dns.keys.<key>.secret: {NOT_BASE64}"),
    (
        "keys: {a: {}}",
        "5:10: dns.keys.<key>: `secret` is missing; add `secret`: the key in base64; best from the "
        "environment: `${NAME}`",
    ),
    (
        f"keys: {{a: {{algorithm: hmac-sha-256, secret: {BASE64}}}}}",
        "5:25: dns.keys.<key>.algorithm: the value is not one of the choices; choices: hmac-sha1, "
        "hmac-sha224, hmac-sha256, hmac-sha384, hmac-sha512",
    ),
    (
        f"keys: {{A.b: {{secret: {BASE64}}}, a.B.: {{secret: {BASE64}}}}}",
        "5:55: dns.keys.<key>: this is the same name as that of the key in line 5; remove one of them",
    ),
    (
        "watch: 0",
        "5:10: dns.watch: 0 is no time at all; write 500ms, 1s, 2m, 1h or a number of seconds",
    ),
]


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[case[0][:40] for case in WRONG])
def test_a_wrong_value_is_one_error_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert errors(tmp_path, dns(f"  {text}\n")) == [expected]


NOBODY = "names nobody; say `network`, `key` or both; for nobody, leave `transfers` out"
WRONG_TRANSFERS = [
    (
        "192.0.2.0/33",
        "9:16: zones.shop.example.transfers: the value is not a network; write it like 192.0.2.0/24 or "
        "2001:db8::/32",
    ),
    ("[{}]", f"9:17: zones.shop.example.transfers[0]: {NOBODY}"),
    ("[null]", f"9:17: zones.shop.example.transfers[0]: {NOBODY}"),
    ("", f"10:5: zones.shop.example.transfers: {NOBODY}"),
    (
        "[{from: 192.0.2.7}]",
        "9:18: zones.shop.example.transfers[0].<key>: unknown key; keys here: network, key",
    ),
    (
        "{key: xfr.shop.example}",
        "9:22: zones.shop.example.transfers.key: there is no key of this name; declare the key under "
        "`dns: keys:`, or correct its name",
    ),
]


@pytest.mark.parametrize(("text", "expected"), WRONG_TRANSFERS)
def test_a_wrong_rule_is_one_error_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert errors(tmp_path, transfers(text)) == [expected]


def test_a_misspelt_key_is_missing_though_there_are_others(tmp_path: Path) -> None:
    assert errors(tmp_path, transfers("[192.0.2.7, {key: xrf.shop.example}]", KEY)) == [
        "10:34: zones.shop.example.transfers[1].key: there is no key of this name; declare the key under "
        "`dns: keys:`, or correct its name"
    ]


@pytest.mark.parametrize(
    "keys", ["  keys: {xfr.shop.example: {secret: '!'}}\n", "  keys: [xfr.shop.example]\n"]
)
def test_a_key_that_is_wrong_is_not_missed_as_well(tmp_path: Path, keys: str) -> None:
    (error,) = errors(tmp_path, transfers("{key: xfr.shop.example}", keys))
    assert error.startswith("5:")


MISPLACED = [
    "cookies: 'VALUE'",
    "cookies: ['VALUE']",
    "cookies: {secrets: ['VALUE!']}",
    "cookies: {secrets: {a: 'VALUE'}}",
    "keys: 'VALUE'",
    "keys: ['VALUE']",
    "keys: {a: 'VALUE'}",
    "keys: {a: ['VALUE']}",
    "keys: {a: {secret: 'VALUE!'}}",
    "keys: {a: {secret: ['VALUE']}}",
    "keys: {a: {secret: 'VALUE', x: 1}}",
]


@pytest.mark.parametrize("text", MISPLACED)
@pytest.mark.parametrize("from_environment", [False, True])
def test_errors_show_no_secret(tmp_path: Path, text: str, from_environment: bool) -> None:
    value = "${SECRET}" if from_environment else BASE64
    found = errors(tmp_path, dns(f"  {text.replace('VALUE', value)}\n"), {"SECRET": BASE64})
    assert found
    assert BASE64 not in "".join(found)


@pytest.mark.parametrize("from_environment", [False, True])
def test_a_fleet_shows_no_secret(tmp_path: Path, from_environment: bool) -> None:
    """Written into the file or not: it is good, and never shows."""
    first, second = ("${COOKIE}", "${KEY}") if from_environment else (HEX, BASE64)
    text = dns(f'  cookies: {{secrets: "{first}"}}\n  keys: {{a: {{secret: "{second}"}}}}\n')
    environment = {"COOKIE": HEX, "KEY": BASE64}
    loaded = fleet(tmp_path, text, environment)
    assert warnings(tmp_path, text, environment) == []
    assert HEX not in repr(loaded)
    assert BASE64 not in repr(loaded)
    assert loaded.dns.cookies.secrets[0].reveal() == HEX
    assert loaded.dns.keys["a"].secret.reveal() == BASE64


TWO_NODES = 'ns1: {listen: ["192.0.2.1:53", "10.0.0.9:53"]}\n    ns2: {listen: ["%s:53"]}'
NO_SECRET = (
    "5:3: dns.cookies: the nodes have no secret in common: behind one address (anycast) none knows another's "
    "cookies; put one under `secrets`: `openssl rand -hex 16`"
)


@pytest.mark.parametrize(
    ("host", "cookies", "unwise"),
    [
        ("192.0.2.2", "", False),
        ("0.0.0.0", "", True),
        ("10.0.0.9", "", True),
        ("10.0.0.9", "  cookies: false\n", False),
        ("10.0.0.9", f"  cookies: {{secrets: {HEX}}}\n", False),
        ("10.0.0.9", "  cookies: {enabled: true}\n", True),
    ],
)
def test_nodes_at_one_address_need_a_secret_in_common(
    tmp_path: Path, host: str, cookies: str, unwise: bool
) -> None:
    text = dns(cookies).replace('ns1: {listen: ["127.0.0.1:5300"]}', TWO_NODES % host)
    found = [line for line in warnings(tmp_path, text) if "dns.cookies" in line]
    assert found == ([NO_SECRET] if unwise else [])


def test_a_single_node_needs_no_secret(tmp_path: Path) -> None:
    text = broken('ns1: {listen: ["127.0.0.1:5300"]}', "ns1: {}")
    assert warnings(tmp_path, text) == []


@pytest.mark.parametrize("text", ["false", "{enabled: false, slip: 1}"])
def test_responses_without_limits_are_unwise(tmp_path: Path, text: str) -> None:
    assert warnings(tmp_path, dns(f"  rate_limit: {text}\n")) == [
        "5:3: dns.rate_limit: forged queries can turn unlimited responses on others; leave the limits on, "
        "and name whom they must not hit under `exempt`"
    ]


EVERYBODY = "this network lets everybody copy the zone; name the secondaries' networks, or a key"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0/0", [f"10:16: zones.shop.example.transfers: {EVERYBODY}"]),
        ("[192.0.2.7, '::/0']", [f"10:28: zones.shop.example.transfers[1]: {EVERYBODY}"]),
        ("{network: '::/0'}", [f"10:26: zones.shop.example.transfers.network: {EVERYBODY}"]),
        ("{network: '::/0', key: xfr.shop.example}", []),
        ("128.0.0.0/1", []),
    ],
)
def test_zones_for_everybody_are_unwise(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert warnings(tmp_path, transfers(text, KEY)) == expected


def test_the_examples_in_the_documentation_are_legal() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    environment = {"COOKIE_SECRET": HEX, "TRANSFER_SECRET": BASE64}
    sections = {title: text.split(f"\n## `{title}`\n")[1].split("\n## ")[0] for title in ("dns", "zones")}
    examples = [
        parse(example, "example", environment).data
        for section in sections.values()
        for example in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    ]
    assert len(examples) == 7
    for example in examples:
        assert isinstance(example, dict)
        if "dns" in example:
            DnsSection.model_validate(example["dns"]).settings()
        for zone in example.get("zones", {}).values():
            assert all(transfer.rule() for transfer in ZoneEntry.model_validate(zone).transfers)
