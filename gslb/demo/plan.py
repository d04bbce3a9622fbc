"""Where the demo's processes can bind on this machine, and the fleet's file rewritten where that differs."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from gslb.errors import GslbError
from gslb.fleet import Certificate, Edge, Fleet, Listener, ListenerKind, SocketAddress

FALLBACK_HOST = "127.0.0.1"


@dataclass
class Plan:
    """moved: what the file says to what is bound instead. text: the file to run, None when it can stay."""

    moved: dict[str, str] = field(default_factory=dict)
    text: str | None = None


def make_plan(fleet: Fleet, config: Path) -> Plan:
    """Try every address of the fleet; whatever cannot be bound falls back on a free port of 127.0.0.1.

    Raises GslbError when the fleet's Redis is not on this machine: the demo brings its own; and when there
    is no edge to run.
    """
    if not any(region.edges for region in fleet.regions.values()):
        raise GslbError("the demo runs edges, and the file has none", hint="give a region `edges`")
    plan = Plan()
    document = YAML().load(config.read_text(encoding="utf-8"))
    free = _free_ports()
    _plan_redis(fleet, document, plan, free)
    _plan_nodes(fleet, document, plan, free)
    for name, region in fleet.regions.items():
        if region.edges:
            _plan_edges(region.edges, document["regions"][name]["edges"], plan, free)
        for pool, servers in region.servers.items():
            entries = document["regions"][name]["servers"][pool]
            for index, server in enumerate(servers):
                bound = _bindable(server.address, plan, free)
                if bound != server.address:
                    entries[index] = {"address": str(bound), "weight": server.weight}
    if plan.moved:
        _bring_along(fleet, document)
        out = io.StringIO()
        YAML().dump(document, out)
        plan.text = out.getvalue()
    return plan


def _bring_along(fleet: Fleet, document: Any) -> None:
    """The rewritten file stands elsewhere, so that what it names by relative paths must come with it."""
    for name, zone in fleet.zones.items():
        entry = document["zones"][name]
        if "file" in entry:
            del entry["file"]
            entry["records"] = LiteralScalarString(zone.text)
    if fleet.geo.databases:
        document["geo"]["databases"] = [_absolute(path) for path in fleet.geo.databases]
    tls, log = fleet.edge.tls, fleet.edge.access_log
    if tls.certificates:
        document["edge"]["tls"]["certificates"] = [_pair(each) for each in tls.certificates]
    if tls.client_ca is not None:
        document["edge"]["tls"]["client_ca"] = _absolute(tls.client_ca)
    if log.file is not None:
        document["edge"]["access_log"]["file"] = _absolute(log.file)
    for name, pool in fleet.pools.items():
        if pool.tls is not None and pool.tls.ca is not None:
            document["pools"][name]["tls"]["ca"] = _absolute(pool.tls.ca)
        if pool.tls is not None and pool.tls.certificate is not None:
            document["pools"][name]["tls"]["certificate"] = _pair(pool.tls.certificate)


def _absolute(file: str) -> str:
    return str(Path(file).absolute())


def _pair(certificate: Certificate) -> dict[str, str]:
    return {"chain": _absolute(certificate.chain), "key": _absolute(certificate.key)}


def _plan_redis(fleet: Fleet, document: Any, plan: Plan, free: Iterator[int]) -> None:
    if fleet.redis.url is None:
        raise GslbError("the demo shares its state through Redis, and the file has no redis.url")
    url = urlsplit(fleet.redis.url.reveal())
    if url.scheme != "redis" or url.hostname not in ("127.0.0.1", "localhost") or url.password:
        raise GslbError(
            "the demo brings its own Redis, and redis.url is not a plain one on this machine",
            hint="as in redis://127.0.0.1:6390/0",
        )
    wanted = SocketAddress(FALLBACK_HOST, url.port or 6379)
    bound = _bindable(wanted, plan, free)
    if bound != wanted:
        document["redis"]["url"] = f"redis://{bound}{url.path}"


def _plan_nodes(fleet: Fleet, document: Any, plan: Plan, free: Iterator[int]) -> None:
    for name, node in fleet.dns.nodes.items():
        entry = document["dns"]["nodes"][name]
        entry["listen"] = [str(_bindable(address, plan, free, udp=True)) for address in node.listen]
        if node.admin is not None:
            entry["admin"] = str(_bindable(node.admin, plan, free))


def _plan_edges(edges: tuple[Edge, ...], entries: Any, plan: Plan, free: Iterator[int]) -> None:
    for edge, entry in zip(edges, entries, strict=True):
        bound = {
            each.address: _bindable(each.address, plan, free, udp=each.datagrams) for each in edge.listen
        }
        if any(wanted != got for wanted, got in bound.items()):
            entry["listen"] = [_listener(replace(each, address=bound[each.address])) for each in edge.listen]
            entry["probe"] = {
                str(address): str(bound.get(probe, probe)) for address, probe in edge.probe.items()
            }
            entry["peer"] = str(bound.get(edge.peers[0], edge.peers[0]))
        if edge.admin is not None:
            entry["admin"] = str(_bindable(edge.admin, plan, free))


def _listener(listener: Listener) -> Any:
    """As the file has it: the socket alone, where nothing else is said."""
    if listener == Listener(listener.address):
        return str(listener)
    said: dict[str, Any] = {
        "address": str(listener),
        "tls": listener.tls,
        "redirect": listener.redirect,
        "proxy_protocol": listener.proxy_protocol,
    }
    if listener.kind is ListenerKind.HTTP:
        return said
    said |= {"kind": str(listener.kind), "pool": listener.pool, "server_names": dict(listener.server_names)}
    if listener.datagrams:
        return said | {"idle": listener.idle, "sessions": listener.sessions}
    return said | {"timeouts": {"connect": listener.timeouts.connect, "idle": listener.timeouts.idle}}


def _bindable(wanted: SocketAddress, plan: Plan, free: Iterator[int], *, udp: bool = False) -> SocketAddress:
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM) if udp else (socket.SOCK_STREAM,)
    if all(_can_bind(wanted, kind) for kind in kinds):
        return wanted
    port = next(free)
    while udp and not _can_bind(SocketAddress(FALLBACK_HOST, port), socket.SOCK_DGRAM):
        port = next(free)
    bound = SocketAddress(FALLBACK_HOST, port)
    plan.moved[str(wanted)] = str(bound)
    return bound


def _can_bind(address: SocketAddress, kind: socket.SocketKind) -> bool:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with closing(socket.socket(family, kind)) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
    except OSError:
        return False
    return True


def _free_ports() -> Iterator[int]:
    """Free TCP ports of the fall-back host, no two alike: each is held until all have been given out."""
    held: list[socket.socket] = []
    try:
        while True:
            probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            probe.bind((FALLBACK_HOST, 0))
            held.append(probe)
            yield probe.getsockname()[1]
    finally:
        for probe in held:
            probe.close()
