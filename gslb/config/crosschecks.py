"""Finds what is wrong between entries that are each right by themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from gslb.config.capacity_checks import check_spills
from gslb.config.document import KeyPath
from gslb.config.edge_checks import check_edge_settings
from gslb.config.findings import Findings
from gslb.config.name_server_checks import check_keys
from gslb.config.sections import Sections
from gslb.fleet import Edge, Node, Route, SocketAddress
from gslb.geo.location import IPAddress, IPNetwork

if TYPE_CHECKING:
    from gslb.dns.zones import Zones

# Addresses that exist once per machine or per site, so that two processes may well have the same.
_LOCAL = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)


@dataclass(frozen=True, slots=True)
class Binding:
    """A socket that a process binds. site: the region of an edge; a DNS node is a site of its own.

    over: what it is bound for: TCP and UDP have ports of their own.
    """

    path: KeyPath
    socket: SocketAddress
    process: str
    site: str
    over: tuple[str, ...] = ("tcp",)


def cross_check(findings: Findings, sections: Sections) -> None:
    """Report every clash between entries."""
    _check_edges(findings, sections.edges)
    _check_reach(findings, sections.edges)
    processes = [_edge_bindings(findings, path, edge) for path, edge in sections.edges]
    processes += [_node_bindings(node) for node in sections.dns.nodes.values()]
    for bindings in processes:
        _check_process(findings, bindings)
    _check_processes(findings, [binding for bindings in processes for binding in bindings])
    _check_routes(findings, sections.routes)
    _check_overrides(findings, [override.network for override in sections.geo.overrides])
    check_keys(findings, sections)
    check_edge_settings(findings, sections)
    check_spills(findings, sections)
    _check_hostnames(findings, sections)


def _check_edges(findings: Findings, edges: Iterable[tuple[KeyPath, Edge]]) -> None:
    named: dict[str, Edge] = {}
    addressed: dict[tuple[str, str], Edge] = {}
    for path, edge in edges:
        if edge.name in named:
            other = named[edge.name]
            place = (*path, "name")
            shown = findings.shown(place, edge.name)
            message = f"the region {other.region} has an edge named {shown} already"
            findings.error(place, message, "edges need names that no other edge has")
        named.setdefault(edge.name, edge)
        for index, address in enumerate(edge.addresses):
            first = addressed.setdefault((edge.region, str(address)), edge)
            if first is not edge:
                place = (*path, "addresses", index)
                shown = findings.shown(place, str(address))
                findings.error(
                    place,
                    f"{shown} is an address of another edge of the region already",
                    "remove one of them",
                )


def _check_reach(findings: Findings, edges: Iterable[tuple[KeyPath, Edge]]) -> None:
    """Warn of a region with addresses for everybody and others that only some can reach."""
    by_region: dict[str, list[tuple[KeyPath, IPAddress]]] = defaultdict(list)
    for path, edge in edges:
        by_region[edge.region] += [
            ((*path, "addresses", index), each) for index, each in enumerate(edge.addresses)
        ]
    for addresses in by_region.values():
        local = [(path, address) for path, address in addresses if _is_local(address)]
        for path, address in local if len(local) < len(addresses) else ():
            message = f"{findings.shown(path, str(address))} is private, and others of the region are not"
            findings.warn(path, message, "whoever cannot reach it gets it all the same: leave it out")


def _edge_bindings(findings: Findings, path: KeyPath, edge: Edge) -> list[Binding]:
    process = f"edge {findings.secret((*path, 'name')) or edge.name}"
    # Sockets that are not said follow from the addresses.
    source = "listen" if (*path, "listen") in findings.document.value_marks else "addresses"
    bindings = [
        Binding(
            (*path, source, index),
            listener.address,
            process,
            edge.region,
            ("udp",) if listener.datagrams else ("tcp",),
        )
        for index, listener in enumerate(edge.listen)
    ]
    if edge.admin is not None:
        bindings.append(Binding((*path, "admin"), edge.admin, process, edge.region))
    return bindings


def _node_bindings(node: Node) -> list[Binding]:
    process = f"DNS node {node.name}"
    path: KeyPath = ("dns", "nodes", node.name)
    bindings = [
        Binding((*path, "listen", index), socket, process, process, ("tcp", "udp"))
        for index, socket in enumerate(node.listen)
    ]
    if node.admin is not None:
        bindings.append(Binding((*path, "admin"), node.admin, process, process))
    return bindings


def _check_process(findings: Findings, bindings: list[Binding]) -> None:
    """A process cannot bind a socket twice, nor one beside the wildcard of its family."""
    for number, binding in enumerate(bindings):
        for other in bindings[:number]:
            if _share(binding, other) and _overlap(binding.socket, other.socket):
                shown = findings.shown(binding.path, str(binding.socket))
                clash = findings.shown(other.path, str(other.socket))
                message = f"{binding.process} listens on {shown} already"
                if binding.socket != other.socket:
                    message = f"{shown} is taken by {clash} of {binding.process} already"
                findings.error(binding.path, message, "use another address or port")
                break


def _check_processes(findings: Findings, bindings: list[Binding]) -> None:
    """Two processes cannot have one public socket; one that exists on every machine, perhaps."""
    first: dict[tuple[SocketAddress, str], Binding] = {}
    for binding in bindings:
        host = ip_address(binding.socket.host)
        if host.is_unspecified or not binding.socket.port or binding.path[-1] == "admin":
            continue
        others = [first.setdefault((binding.socket, kind), binding) for kind in binding.over]
        other = next((each for each in others if each.process != binding.process), None)
        if other is None:
            continue
        shown = findings.shown(binding.path, str(binding.socket))
        message = f"{other.process} listens on {shown} too"
        if host.is_loopback or (_is_local(host) and other.site != binding.site):
            findings.warn(binding.path, message, "this works only where the two run on different machines")
        else:
            findings.error(binding.path, message, "use another address or port")


def _is_local(address: IPAddress) -> bool:
    return any(address.version == network.version and address in network for network in _LOCAL)


def _share(one: Binding, other: Binding) -> bool:
    return not set(one.over).isdisjoint(other.over)


def _overlap(one: SocketAddress, other: SocketAddress) -> bool:
    if one.port != other.port or not one.port:
        return False
    first, second = ip_address(one.host), ip_address(other.host)
    return first == second or (
        first.version == second.version and (first.is_unspecified or second.is_unspecified)
    )


def _check_routes(findings: Findings, routes: list[tuple[KeyPath, Route]]) -> None:
    """Of two routes for the same requests one could never act."""
    seen: dict[tuple[str | None, str], list[tuple[KeyPath, Route]]] = {}
    for path, route in routes:
        same = seen.setdefault((route.host, route.path.rstrip("/")), [])
        for other_path, other in same:
            shared = route.methods & other.methods
            if shared or not (route.methods or other.methods):
                line = findings.document.place(other_path).line
                message = f"the route in line {line} has the same host and path"
                if shared and findings.secret((*path, "methods")) is None:
                    message += f" for {', '.join(sorted(shared))}"
                findings.error(path, message, "remove one of them")
                break
        same.append((path, route))


def _check_overrides(findings: Findings, networks: list[IPNetwork]) -> None:
    first: dict[IPNetwork, int] = {}
    for index, network in enumerate(networks):
        if first.setdefault(network, index) != index:
            path: KeyPath = ("geo", "overrides", index, "network")
            line = findings.document.place(("geo", "overrides", first[network])).line
            shown = findings.shown(path, str(network))
            findings.error(path, f"{shown} is overridden in line {line} already", "remove one of them")


def _check_hostnames(findings: Findings, sections: Sections) -> None:
    """A CNAME stands alone, so not at an apex (RFC 1034 3.6.2), and must lead out of this fleet."""
    for name, region in sections.regions.items():
        if region.hostname is not None and ("services", region.hostname) in sections.paths:
            path: KeyPath = (*sections.paths["regions", name], "hostname")
            shown = findings.shown(path, region.hostname)
            hint = "write the name under which the other side serves you"
            findings.error(path, f"{shown} is a service of this fleet, so that nobody would arrive", hint)
    for service in sections.services.values():
        hostnames = service.hostname_regions(sections.regions)
        if hostnames and service.name == service.zone:
            findings.error(
                sections.paths["services", service.name],
                f"it is the apex of its zone, where no CNAME can stand, and {hostnames[0]} is a hostname",
                "list only regions with edges under the service's `regions`",
                key=True,
            )


def check_hostname_targets(findings: Findings, sections: Sections, zones: Zones) -> None:
    """Report the hostnames that our own zones lead back to a service of the fleet, or nowhere.

    Nothing is reported while a zone or a service could not be read: a name may well lead there.
    """
    from gslb.dns.name import from_text

    declared = sum(kind in ("zones", "services") for kind, _ in sections.paths)
    if len(zones.by_apex) + len(sections.services) < declared:
        return
    for name, region in sections.regions.items():
        if region.hostname is None or ("services", region.hostname) in sections.paths:
            continue
        path: KeyPath = (*sections.paths["regions", name], "hostname")
        shown = findings.shown(path, region.hostname)
        end = zones.leads(from_text(region.hostname))
        if end.service is not None:
            message = f"{shown} leads to {end.service}, a service of this fleet, so that nobody would arrive"
            findings.error(path, message, "write the name under which the other side serves you")
        elif end.nowhere:
            hint = "add the record that is missing, or write the name under which the other side serves you"
            findings.error(path, f"{shown} lies in a zone of this fleet, and leads to no address", hint)
