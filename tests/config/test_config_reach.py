"""Names that lead back here, and addresses that nobody can use, are refused before a client meets them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_file import broken, errors, warnings

ZONE_END = "      ns1 IN A 192.0.2.53\n"
OURS = "a service of this fleet, so that nobody would arrive"
NOWHERE = "lies in a zone of this fleet, and leads to no address"


def with_hostname(hostname: str, records: str = "", services: str = "") -> str:
    """The good file, the region west being `hostname`, with more records and services."""
    edges = "    edges: [{addresses: [192.0.2.2]}]\n    servers: {web: [10.0.0.2:80]}\n"
    text = broken(edges, f"    hostname: {hostname}\n").replace(
        ZONE_END, ZONE_END + "".join(f"      {line}\n" for line in records.splitlines())
    )
    return text.replace("services:\n", f"services:\n{services}")


@pytest.mark.parametrize(
    ("hostname", "records", "said"),
    [
        ("cdn.shop.example", "cdn CNAME www", f"leads to www.shop.example, {OURS}"),
        ("cdn.shop.example", "cdn CNAME a\na CNAME b\nb CNAME www", f"leads to www.shop.example, {OURS}"),
        ("x.d.shop.example", "d DNAME apps", f"leads to *.apps.shop.example, {OURS}"),
        ("x.apps.shop.example", "", f"leads to *.apps.shop.example, {OURS}"),
        ("x.w.shop.example", "*.w CNAME www", f"leads to www.shop.example, {OURS}"),
        ("cdn.shop.example", "", NOWHERE),
        ("shop.example", "", NOWHERE),
        ("cdn.shop.example", "cdn CNAME gone", NOWHERE),
        ("cdn.shop.example", "cdn TXT x", NOWHERE),
        ("a.shop.example", "a CNAME b\nb CNAME a", NOWHERE),
        ("x.d.shop.example", "d DNAME d.d", NOWHERE),
    ],
)
def test_a_hostname_that_leads_nowhere_else_is_refused(
    tmp_path: Path, hostname: str, records: str, said: str
) -> None:
    apps = "  '*.apps.shop.example': {policy: nearest, regions: [east]}\n"
    (found,) = errors(tmp_path, with_hostname(hostname, records, apps))
    assert f"regions.west.hostname: '{hostname}' {said}; " in found


@pytest.mark.parametrize(
    ("hostname", "records"),
    [
        ("shop.cdn.example", ""),
        ("cdn.shop.example", "cdn CNAME shop.cdn.example."),
        ("cdn.shop.example", "cdn A 192.0.2.7"),
        ("cdn.shop.example", "cdn AAAA 2001:db8::7"),
        ("x.w.shop.example", "*.w A 192.0.2.7"),
        ("x.sub.shop.example", "sub NS ns.cdn.example."),
        ("x.d.shop.example", "d DNAME cdn.example."),
    ],
)
def test_a_hostname_in_our_zone_may_lead_elsewhere(tmp_path: Path, hostname: str, records: str) -> None:
    assert errors(tmp_path, with_hostname(hostname, records)) == []


def test_a_hostname_may_lead_to_what_could_not_be_read(tmp_path: Path) -> None:
    text = with_hostname("cdn.shop.example", "cdn CNAME gone\nx A 192.0.2.300")
    (found,) = errors(tmp_path, text)
    assert "A: Octet 300" in found


UNREACHABLE = ["255.255.255.255", "0.1.2.3", "240.0.0.1", "fe80::1", "::ffff:192.0.2.1", "::", "224.0.0.1"]


@pytest.mark.parametrize("address", UNREACHABLE)
def test_an_address_that_no_client_can_use_is_refused(tmp_path: Path, address: str) -> None:
    (found,) = errors(tmp_path, broken("[192.0.2.2]", f'["{address}"]'))
    assert f"addresses[0]: '{address}' is not an address that clients can connect to; " in found


@pytest.mark.parametrize(
    ("socket", "said"),
    [
        ("[::ffff:127.0.0.1]:53", "is an IPv4 address written as one of IPv6; write 127.0.0.1:53"),
        ("[fe80::1]:53", "is a link-local address, which holds on one link only; "),
        ("[ff02::1]:53", "is a multicast address; "),
        ("224.0.0.1:53", "is a multicast address; "),
        ("255.255.255.255:53", "cannot be the address of a machine; "),
    ],
)
def test_a_socket_that_cannot_be_bound_is_refused(tmp_path: Path, socket: str, said: str) -> None:
    (found,) = errors(tmp_path, broken("127.0.0.1:5300", socket))
    assert f"dns.nodes.ns1.listen[0]: '{socket}' {said}" in found


@pytest.mark.parametrize(
    ("addresses", "private"),
    [
        ("[10.0.0.1, 192.0.2.2]", ["10.0.0.1"]),
        ("[2001:db8::1, 'fd00::1', 127.0.0.1]", ["fd00::1", "127.0.0.1"]),
        ("[10.0.0.1, 127.0.0.1]", []),
        ("[192.0.2.2, 2001:db8::1]", []),
    ],
)
def test_private_addresses_beside_others_are_unwise(
    tmp_path: Path, addresses: str, private: list[str]
) -> None:
    found = warnings(tmp_path, broken("[192.0.2.2]", addresses))
    told = [line for line in found if "is private, and others of the region are not" in line]
    assert [line.split("'")[1] if "'" in line else line for line in told] == private


@pytest.mark.parametrize("option", ["db=x", "socket_timeout=abc", "no=1", "protocol=7", "ssl_cert_reqs=x"])
@pytest.mark.parametrize("start", ["redis://h", "rediss://h/1", "unix:///run/redis"])
def test_an_option_that_the_client_of_redis_refuses_is_an_error(
    tmp_path: Path, start: str, option: str
) -> None:
    (found,) = errors(tmp_path, broken("redis://127.0.0.1:6379/0", f"{start}?{option}"))
    assert "redis.url: has an option behind the `?` that the Redis client refuses; " in found


@pytest.mark.parametrize(
    "url", ["redis://h?socket_timeout=2", "rediss://h?ssl_cert_reqs=none", "unix:///run/redis?db=2"]
)
def test_an_option_that_the_client_of_redis_knows_is_none(tmp_path: Path, url: str) -> None:
    assert errors(tmp_path, broken("redis://127.0.0.1:6379/0", url)) == []


def test_a_reverse_zone_of_less_than_a_24_has_a_slash_in_its_name(tmp_path: Path) -> None:
    records = r"@ 1 SOA . . 1 1 1 1 1\n@ 1 NS a.example.\n1 1 PTR a.example."
    zone = f'zones:\n  0/25.2.0.192.in-addr.arpa: {{records: "{records}"}}\n'
    assert errors(tmp_path, broken("zones:\n", zone)) == []
    (found,) = errors(tmp_path, broken("zones:\n", "zones:\n  /25.example: {records: ''}\n"))
    assert "zones./25.example: '/25.example' is not a domain name; labels are" in found
