"""What of a changed file concerns one edge, and what of that can a running process not take up? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from gslb.fleet import Balancing, BalancingKey, Edge, Fleet, Listener, Route, Server

_LEAVES = (Balancing, BalancingKey)
"""What a setting says in one piece."""


def in_effect(running: Fleet, edge: Edge, read: Fleet, declared: Edge) -> tuple[Fleet, Edge]:
    """`read`, and this edge of it, but for what a running process keeps: its Redis, admin side, workers."""
    kept = replace(read, redis=running.redis, edge=replace(read.edge, workers=running.edge.workers))
    mine = replace(declared, admin=edge.admin)
    region = kept.regions[declared.region]
    edges = tuple(mine if each is declared else each for each in region.edges)
    regions = {**kept.regions, region.name: replace(region, edges=edges)}
    return replace(kept, regions=regions), mine


def restarts(running: Fleet, edge: Edge, read: Fleet, declared: Edge) -> tuple[str, ...]:
    """What of `read` takes effect only when the process is started anew."""
    pairs = {
        "redis": (running.redis, read.redis),
        f"admin of {edge.name}": (edge.admin, declared.admin),
        "edge.workers": (running.edge.workers, read.edge.workers),
    }
    return tuple(name for name, (before, after) in pairs.items() if before != after)


def lines(running: Fleet, edge: Edge, read: Fleet, declared: Edge) -> Iterator[str]:
    """A line for each change that concerns this edge: `+` for what comes, `-` for what goes, `~` between.

    Values of settings are not told, as some are secret.
    """
    yield from _coming_and_going("listener", _listeners(edge), _listeners(declared))
    before, after = running.regions[edge.region], read.regions[declared.region]
    pools = dict.fromkeys((*running.pools, *read.pools))
    yield from _coming_and_going("pool", running.pools, read.pools)
    for pool in pools:
        old, new = _servers(before.servers.get(pool, ())), _servers(after.servers.get(pool, ()))
        for address in dict.fromkeys((*old, *new)):
            name = f"server {address} of pool {pool}"
            if address not in new:
                yield f"- {name}"
            elif address not in old:
                yield f"+ {name} with weight {new[address].weight}"
            elif old[address] != new[address]:
                yield f"~ {name}: {', '.join(_of_server(old[address], new[address]))}"
        if before.discovery.get(pool) != after.discovery.get(pool):
            yield f"~ where servers of pool {pool} are found"
    yield from _coming_and_going("route", _routes(running), _routes(read))
    if _routes(running) == _routes(read) and running.routes != read.routes:
        yield "~ the order of routes"
    if before.capacity != after.capacity:
        yield f"~ capacity of region {edge.region}"
    for name in _differing(running.edge, read.edge):
        yield f"~ setting edge.{name}"


def _coming_and_going(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            yield f"- {kind} {name}"
        elif name not in before:
            yield f"+ {kind} {name}"
        elif before[name] != after[name]:
            yield f"~ {kind} {name}: {', '.join(_differing(before[name], after[name]))}"


def _of_server(before: Server, after: Server) -> Iterator[str]:
    if before.weight != after.weight:
        yield f"weight {before.weight} → {after.weight}"
    if before.mode != after.mode:
        yield f"{before.mode} → {after.mode}"
    yield from (name for name in _differing(before, after) if name not in ("weight", "mode"))


def _differing(before: Any, after: Any, prefix: str = "") -> Iterator[str]:
    """The names of the fields, however deep, in which two values of one class differ."""
    for field in fields(before):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old == new:
            continue
        name = f"{prefix}{field.name}"
        if is_dataclass(old) and type(old) is type(new) and not isinstance(old, _LEAVES):
            yield from _differing(old, new, f"{name}.")
        else:
            yield name


def _listeners(edge: Edge) -> dict[str, Listener]:
    return {listener.label: listener for listener in edge.listen}


def _servers(servers: tuple[Server, ...]) -> dict[str, Server]:
    return {str(server.address): server for server in servers}


def _routes(fleet: Fleet) -> dict[str, Route]:
    return {
        " ".join((f"{route.host or '*'}{route.path}", *sorted(route.methods))): route
        for route in fleet.routes
    }
