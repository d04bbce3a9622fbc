"""The scopes under the eyes of somebody else's cache: behind Unbound every client gets its own region."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import dns.edns
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from fleets import NOW, PLACES, authority, fleet
from ports import free_port

from gslb.clock import FakeClock
from gslb.dns.authority import Authority
from gslb.dns.responder import Responder
from gslb.dns.udp import UdpListener
from gslb.fleet import GeoSettings, LocationOverride, RateLimitSettings, SocketAddress, TimeToLive
from gslb.geo.location import IPAddress, IPNetwork, Location
from gslb.geo.locator import Locator
from gslb.geo.mmdb_writer import MmdbWriter
from gslb.policy.geo import Geo, GeoRule
from gslb.policy.nearest import Nearest
from gslb.policy.weighted import Weighted

UNBOUND = shutil.which("unbound", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PATIENCE = 20.0
QUERIES = 1500

NAMES = ("near.shop.test", "ruled.shop.test", "split.shop.test", "alias.shop.test", "nothing.shop.test")
ZONE = """
$TTL 3600
@     IN SOA ns1 hostmaster 7 7200 900 1209600 300
@     IN NS ns1
ns1   IN A 192.0.2.53
alias IN CNAME near
"""
CONFIGURATION = """
server:
  directory: "{directory}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  verbosity: 0
  interface: 127.0.0.1@{port}
  access-control: 127.0.0.0/8 allow
  do-ip6: no
  do-not-query-localhost: no
  local-zone: "test." nodefault
  module-config: "subnetcache iterator"
  send-client-subnet: 127.0.0.1
  client-subnet-always-forward: {always_forward}
  max-client-subnet-ipv4: 32
  max-client-subnet-ipv6: 128
  max-ecs-tree-size-ipv4: 100000
  max-ecs-tree-size-ipv6: 100000
stub-zone:
  name: shop.test
  stub-addr: 127.0.0.1@{upstream}
remote-control:
  control-enable: no
"""


def has_subnet_cache() -> bool:
    if UNBOUND is None:
        return False
    told = subprocess.run([UNBOUND, "-V"], capture_output=True, text=True, check=False)
    return "subnetcache" in told.stdout + told.stderr


pytestmark = pytest.mark.skipif(not has_subnet_cache(), reason="needs Unbound with its module subnetcache")


# A random map of the clients' networks.

LOOPBACK = ip_network("127.0.0.0/8")
ANYWHERE = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "2001:db8::/32", "2002:a00::/24", "64:ff9b::a00:0/104")
)


def networks_inside(outer: Sequence[IPNetwork], count: int, dice: random.Random) -> list[IPNetwork]:
    """Networks of all lengths, many of them inside, around or next to one another."""
    made: list[IPNetwork] = []
    for _ in range(count):
        parent = dice.choice([*outer, *made])
        bits = parent.max_prefixlen
        length = min(bits, parent.prefixlen + dice.randrange(1, 13))
        number = int(parent.network_address) + dice.randrange(parent.num_addresses)
        kind = type(parent.network_address)
        made.append(ip_network(f"{kind(number)}/{length}", strict=False))
    return list(dict.fromkeys(made))


def location(dice: random.Random) -> Location:
    return Location("override", coordinates=dice.choice(list(PLACES.values())))


def known_world(directory: Path, outer: Sequence[IPNetwork], dice: random.Random) -> Authority:
    """Three services, the map in a database, overrides and rules that cut across it."""
    writer = MmdbWriter("Test-City")
    for network in [*outer, *networks_inside(outer, 40, dice)]:
        place = dice.choice(list(PLACES.values()))
        writer.insert(network, {"location": {"latitude": place.latitude, "longitude": place.longitude}})
    writer.write(directory / "map.mmdb", 1_780_000_000)
    overrides = tuple(LocationOverride(each, location(dice)) for each in networks_inside(outer, 20, dice))
    rules = tuple(
        GeoRule((dice.choice(list(PLACES)),), network=(network,))
        for network in networks_inside(outer, 10, dice)
    )
    policies = {
        "near.shop.test": (Nearest(),),
        "ruled.shop.test": (Geo(rules), Nearest()),
        "split.shop.test": (Weighted((("us-east", 2), ("eu-west", 1))), Nearest()),
    }
    made = fleet(
        services=tuple(policies),
        zone=ZONE,
        ttl=TimeToLive(300, 5, 3600),
        geo=GeoSettings((str(directory / "map.mmdb"),), overrides=overrides),
        rate_limit=RateLimitSettings(enabled=False),
    )
    services = {name: replace(each, policies=policies[name]) for name, each in made.services.items()}
    made = replace(made, services=services)
    return authority(made, locator=Locator(made.geo, made.networks()))


def a_client(outer: Sequence[IPNetwork], edges: Sequence[IPNetwork], dice: random.Random) -> IPAddress:
    """An address at, or at a random distance from, the edge of something that the operator named."""
    network = dice.choice(edges)
    number = int(dice.choice((network.network_address, network.broadcast_address)))
    number ^= dice.getrandbits(dice.randrange(1, network.max_prefixlen - 8))
    address = type(network.network_address)(number)
    if not any(address in each for each in outer) or address in (LOOPBACK[0], LOOPBACK[-1]):
        return a_client(outer, edges, dice)
    return address


# The two programs.


class Stage:
    """Unbound in front of a node."""

    def __init__(self, known: Authority, responder: Responder, port: int) -> None:
        self.authority = known
        self.responder = responder
        self.port = port
        self.asked = 0

    def ask(self, query: dns.message.Message, source: str = "127.0.0.1") -> dns.message.Message:
        self.asked += 1
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.bind((source, 0))
            client.connect(("127.0.0.1", self.port))
            client.settimeout(PATIENCE)
            client.send(query.to_wire())
            answer = dns.message.from_wire(client.recv(65535))
        assert query.is_response(answer)
        return answer

    def check(self, answer: dns.message.Message, name: str, client: IPAddress) -> None:
        """What Unbound told is what `gslb explain` tells of this client."""
        reply = self.authority.explain(name, "A", client, NOW)
        wanted = {data.toZone() for rrset in reply.answer for data in rrset.data}
        told = {data.to_text() for rrset in answer.answer for data in rrset}
        assert (answer.rcode(), told) == (reply.rcode, wanted), f"{name} for {client}"


@pytest.fixture
def outer(request: pytest.FixtureRequest) -> tuple[IPNetwork, ...]:
    """The networks that clients are in: those they can send from, or those they can tell us of."""
    return request.param


@pytest.fixture
def dice() -> random.Random:
    return random.Random(7871)


@pytest.fixture
def stage(tmp_path: Path, outer: tuple[IPNetwork, ...], dice: random.Random) -> Iterator[Stage]:
    known = known_world(tmp_path, outer, dice)
    responder = Responder(known, FakeClock(NOW))
    listener = UdpListener(SocketAddress("127.0.0.1", 0), responder)
    listener.start()
    always_forward = "no" if outer == (LOOPBACK,) else "yes"
    try:
        for _ in range(10):  # other tests run beside this one, and want ports too
            port = free_port()
            settings = {"upstream": listener.port, "always_forward": always_forward}
            text = CONFIGURATION.format(directory=tmp_path, port=port, **settings)
            unbound = started(tmp_path / "unbound.conf", text)
            if unbound is not None:
                break
        assert unbound is not None
        try:
            yield Stage(known, responder, port)
        finally:
            unbound.terminate()
            unbound.communicate(timeout=PATIENCE)
    finally:
        listener.stop()


def started(file: Path, text: str) -> subprocess.Popen[str] | None:
    """Unbound with this configuration; None if its port was taken meanwhile."""
    assert UNBOUND is not None
    file.write_text(text)
    unbound = subprocess.Popen([UNBOUND, "-d", "-p", "-c", str(file)], stderr=subprocess.PIPE, text=True)
    assert unbound.stderr is not None
    for line in unbound.stderr:
        if "Address already in use" in line:
            unbound.communicate(timeout=PATIENCE)
            return None
        assert "error" not in line, line
        if "start of service" in line:
            break
    return unbound


@pytest.mark.parametrize("outer", [(LOOPBACK,)], indirect=True)
def test_every_client_of_a_resolver_gets_its_own_region(
    stage: Stage, outer: tuple[IPNetwork, ...], dice: random.Random
) -> None:
    edges = [*stage.authority.fleet.networks(), *networks_inside(outer, 10, dice)]
    for _ in range(QUERIES):
        client, name = a_client(outer, edges, dice), dice.choice(NAMES)
        stage.check(stage.ask(dns.message.make_query(name, "A"), str(client)), name, client)
    assert stage.responder.queries < stage.asked / 2, "the resolver's cache was hardly used"


@pytest.mark.parametrize("outer", [ANYWHERE], indirect=True)
def test_every_client_network_told_to_a_resolver_gets_its_own_region(
    stage: Stage, outer: tuple[IPNetwork, ...], dice: random.Random
) -> None:
    """As from resolvers behind resolvers: of both families, short and long (RFC 7871 7.1.2)."""
    edges = [*stage.authority.fleet.networks(), *networks_inside(outer, 10, dice)]
    for _ in range(QUERIES):
        client, name = a_client(outer, edges, dice), dice.choice(NAMES)
        length = (
            dice.choice((client.max_prefixlen, 24, 56)) if client.version == 6 else dice.choice((32, 24, 20))
        )
        network = ip_network(f"{client}/{length}", strict=False)
        query = dns.message.make_query(name, "A")
        query.use_edns(options=[dns.edns.ECSOption(str(network.network_address), length)])
        stage.check(stage.ask(query), name, network.network_address)
    assert stage.responder.queries < stage.asked / 2, "the resolver's cache was hardly used"
