"""The five things a newcomer is told to try, with commands that work as they stand."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit

from gslb.demo.world import DemoWorld
from gslb.fleet import SocketAddress
from gslb.store import keys

EUROPE = "81.2.69.0/24"
"""A network in London."""

JAPAN = "126.0.0.0/24"
"""A network in Tokyo."""


def program() -> str:
    """How to call `gslb` from where the user stands."""
    if shutil.which("gslb"):
        return "gslb"
    beside = Path(sys.executable).with_name("gslb")
    try:
        return str(beside.relative_to(Path.cwd()))
    except ValueError:
        return str(beside)


def tour(world: DemoWorld) -> str:
    """The text that the demo prints once everything answers."""
    fleet = world.fleet
    node = world.nodes[0][0]
    service = next(iter(fleet.services))
    dig = f"dig {at(node.listen[0])} {service} +noall +answer"
    gslb = program()
    is_default = world.config == Path("regions.yaml").absolute()
    option = "" if is_default else f" --config {quote(str(world.config))}"
    port = urlsplit(world.redis_url).port or 6379
    edge = world.edges[min(1, len(world.edges) - 1)][0]
    target = edge.target(edge.addresses[0])
    page = f"http://{node.admin}/" if node.admin is not None else "(this node has no admin side)"
    redis_cli = f"redis-cli -p {port}"
    moved = _connect_to(world)
    return f"""
{len(fleet.regions)} regions, {len(world.edges)} edges, {len(world.servers)} servers, {len(world.nodes)} DNS \
node. The page: {page}

Try, in another terminal:

1. Ask as a client in London, and see why it is sent where it is sent:
     {dig} +subnet={EUROPE}
     {gslb} explain {service} --from {EUROPE.split("/")[0]}{option}

2. Ask as a client in Tokyo:
     {dig} +subnet={JAPAN}

3. Follow an answer through the region's edge to one of its servers:
     curl -s{moved} http://{edge.addresses[0]}:{edge.port}/products -H 'Host: {service}'
     curl -s -i{moved} http://{edge.addresses[0]}:{edge.port}/cart -H 'Host: {service}'

4. Drain a region, ask again, and take it back:
     {gslb} drain {edge.region} --for 10m --reason 'trying it out'{option}
     {dig} +subnet={EUROPE}
     {gslb} clear {edge.region}{option}

5. Look inside Redis, where the two tiers meet:
     {redis_cli} HGETALL {keys.observation(target, node.name)}
     {redis_cli} HGETALL {keys.report(edge.region, edge.name)}
     {redis_cli} XREVRANGE {keys.EVENTS} + - COUNT 5

Or see a region die: kill -9 {_edge_pid(world)} (the edge of {edge.region}); look at `{gslb} status{option}`.
Or see answers go on without Redis: kill -9 {world.redis.pid}
What has ended is started again by: kill -USR1 {os.getpid()}
Ctrl-C ends all of it.
"""


def at(address: SocketAddress) -> str:
    """A socket address as dig takes it."""
    return f"@{address.host} -p {address.port}"


def _connect_to(world: DemoWorld) -> str:
    """curl's way to where an edge really listens, for machines without the fleet's addresses."""
    edge = world.edges[min(1, len(world.edges) - 1)][0]
    wanted = SocketAddress(str(edge.addresses[0]), edge.port)
    bound = next(iter(edge.probe.values()))
    return "" if bound == wanted else f" --connect-to {wanted}:{bound}"


def _edge_pid(world: DemoWorld) -> int:
    return world.edges[min(1, len(world.edges) - 1)][1].pid
