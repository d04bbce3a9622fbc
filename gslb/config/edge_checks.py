"""Finds what is wrong or unwise between the edges' listeners, pools, routes and the section `edge`."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from gslb.balancing import HASHING, BalancingKey, BalancingMethod
from gslb.config.bearing_advice import advise_on_bearing
from gslb.config.document import KeyPath
from gslb.config.findings import Findings
from gslb.config.listener_checks import advise_on_passing, check_passing
from gslb.config.sections import Sections
from gslb.config.sites import HTTPS_PORT
from gslb.fleet import Edge, Fleet, Listener, ListenerKind, Pool, SocketAddress, Timeouts
from gslb.health.checks import HttpCheck


def check_edge_settings(findings: Findings, sections: Sections) -> None:
    """Report what the listeners want and the section `edge` lacks, and timeouts that cannot be."""
    for path, listener in _listeners(findings, sections):
        _check_listener(findings, path, listener, sections)
    _check_timeouts(findings, ("edge",), sections.edge.timeouts)
    for path, route in sections.routes:
        if route.timeouts is not None:
            _check_timeouts(findings, path, route.timeouts)


def _listeners(findings: Findings, sections: Sections) -> Iterator[tuple[KeyPath, Listener]]:
    """Every listener that is said, with its place; one that stands outside a list has no number."""
    for path, edge in sections.edges:
        listen = (*path, "listen")
        for index, listener in enumerate(edge.listen if listen in findings.document.value_marks else ()):
            numbered = (*listen, index)
            yield (numbered if numbered in findings.document.value_marks else listen), listener


def _check_listener(findings: Findings, path: KeyPath, listener: Listener, sections: Sections) -> None:
    # What is said and could not be read is not missing.
    said = findings.document.value_marks
    if listener.tls and not sections.edge.tls.certificates and ("edge", "tls", "certificates") not in said:
        hint = "list `{chain, key}` under `edge: tls: certificates:`"
        findings.error((*path, "tls"), "has TLS, and there is no certificate", hint)
    trusted = ("edge", "trusted_proxies")
    if listener.proxy_protocol and not sections.edge.trusted_proxies and trusted not in said:
        hint = "list the networks of the proxies under `edge: trusted_proxies:`"
        findings.error((*path, "proxy_protocol"), "trusts PROXY headers, and those of nobody", hint)
    check_passing(findings, path, listener, sections)


def _check_timeouts(findings: Findings, path: KeyPath, timeouts: Timeouts) -> None:
    if timeouts.total is None or timeouts.total >= timeouts.connect:
        return
    said = (*path, "timeouts", "total")
    if said not in findings.document.value_marks:
        said = (*path, "timeouts", "connect")
    message = f"the total ({timeouts.total:g} s) is less than connect ({timeouts.connect:g} s)"
    if any(findings.secret((*each, "timeouts")) is not None for each in (path, ("edge",))):
        message = "the total is less than connect"
    findings.error(said, message, "the total holds everything else: make it the longest")


def advise_on_proxying(findings: Findings, fleet: Fleet, sections: Sections) -> None:
    """Warn of what is legal and hardly meant."""
    for path, edge in sections.edges:
        _advise_on_probes(findings, path, edge, fleet)
    for path, listener in _listeners(findings, sections):
        plain = listener.kind is ListenerKind.HTTP and not listener.tls
        if fleet.edge.tls.certificates and listener.address.port == HTTPS_PORT and plain:
            hint = "write it as `{address: ..., tls: true}`"
            findings.warn(path, f"plain HTTP is spoken at port {HTTPS_PORT}", hint)
        advise_on_passing(findings, path, listener, fleet)
    if fleet.edge.tls.certificates and not any(
        listener.tls for _, edge in sections.edges for listener in edge.listen
    ):
        hint = "give a listener of an edge `tls: true`"
        findings.warn(("edge", "tls", "certificates"), "no listener has TLS", hint, key=True)
    for index, network in enumerate(fleet.edge.trusted_proxies):
        if not network.prefixlen:
            hint = "list the networks of your own proxies only"
            message = "everybody may then say that a request comes from somebody else"
            findings.warn(("edge", "trusted_proxies", index), message, hint)
    advise_on_bearing(findings, fleet, sections)
    for name, pool in fleet.pools.items():
        _advise_on_pool(findings, sections.paths["pools", name], pool, fleet)
        _advise_on_balancing(findings, sections.paths["pools", name], pool, fleet)


def _advise_on_probes(findings: Findings, path: KeyPath, edge: Edge, fleet: Fleet) -> None:
    """What is spoken at a listener must be what the DNS nodes' probes speak."""
    check = fleet.regions[edge.region].check.check
    if not isinstance(check, HttpCheck):
        return
    for listener in edge.listen:
        # What servers behind a listener of another kind speak, nobody here knows.
        passes = listener.kind is not ListenerKind.HTTP
        if passes or not any(_reaches(probe, listener.address) for probe in edge.probe.values()):
            continue
        place: KeyPath = (*path[:2], "check")
        # A listener with `redirect` answers the health path all the same.
        if listener.redirect and not check.tls and check.path.partition("?")[0] != fleet.edge.health_path:
            hint = "let the check ask for that path, or let `probe` (or `port`) name a listener that serves"
            message = f"DNS nodes probe {listener}, which redirects whatever is not edge.health_path"
            findings.warn(path, _without_socket(findings, path, message, listener), hint, key=True)
        elif listener.tls and not check.tls:
            hint = "name a check with `tls: true`, or another listener as `probe`"
            message = f"the check speaks plain HTTP, to {listener}, which has TLS"
            findings.warn(place, _without_socket(findings, path, message, listener), hint)
        elif check.tls and not listener.tls and fleet.edge.tls.certificates:
            hint = "give the listener `tls: true`, or name a check without TLS"
            message = f"the check speaks HTTPS, to {listener}, which has no TLS"
            findings.warn(place, _without_socket(findings, path, message, listener), hint)


def _without_socket(findings: Findings, path: KeyPath, message: str, listener: Listener) -> str:
    """The message, without a socket that came from the environment."""
    return message if findings.secret(path) is None else message.replace(str(listener), "a listener")


def _reaches(probe: SocketAddress, bound: SocketAddress) -> bool:
    """Whether a connection to `probe` surely ends at `bound`, were there no translation of addresses."""
    return probe.port == bound.port and (probe.host == bound.host or ip_address(bound.host).is_unspecified)


def _advise_on_balancing(findings: Findings, path: KeyPath, pool: Pool, fleet: Fleet) -> None:
    method = pool.method
    if pool.key != BalancingKey() and not method.uses(*HASHING):
        hint = f"choose {' or '.join(HASHING)}, or remove it"
        findings.warn((*path, "key"), f"{method.name} does not look at it", hint)
    firsts = (servers[0] for region in fleet.regions.values() if (servers := region.servers.get(pool.name)))
    unbound = pool.connections.most is None and any(first.max_connections is None for first in firsts)
    if unbound and method.name is BalancingMethod.FIRST_AVAILABLE:
        hint = "say how many connections a server takes: `connections: {most: 100}`"
        findings.warn((*path, "method"), "the first server takes everything, as nothing bounds it", hint)


def _advise_on_pool(findings: Findings, path: KeyPath, pool: Pool, fleet: Fleet) -> None:
    queue = (*path, "queue")
    servers = [server for region in fleet.regions.values() for server in region.servers.get(pool.name, ())]
    bound = pool.connections.most is not None or any(each.max_connections is not None for each in servers)
    if queue in findings.document.value_marks and not bound:
        hint = "say how many connections a server takes: `connections: {most: 100}`"
        findings.warn(queue, "nothing ever queues, as servers get all requests at once", hint, key=True)
    if pool.tls is not None and not pool.tls.verify:
        hint = "name the roots of your own certificates as `ca` instead"
        message = "whoever stands between an edge and a server can pass for the server"
        findings.warn((*path, "tls", "verify"), message, hint)
