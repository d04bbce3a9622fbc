"""Finds what is legal but unwise in a fleet, for `gslb check` to warn of."""

from __future__ import annotations

from ipaddress import ip_address

from gslb.config.capacity_checks import advise_on_capacity
from gslb.config.document import KeyPath
from gslb.config.edge_checks import advise_on_proxying
from gslb.config.findings import Findings
from gslb.config.name_server_checks import advise_on_name_servers
from gslb.config.sections import Sections
from gslb.config.sites import HTTPS_PORT
from gslb.fleet import Fleet, HealthCheck, Region, Service, SocketAddress
from gslb.health.checks import HttpCheck
from gslb.policy import Policy
from gslb.policy.answering import versions_of
from gslb.policy.failover import Failover
from gslb.policy.nearest import Nearest
from gslb.policy.weighted import Weighted

_TOKEN = "calls that change state need the token GSLB_ADMIN_TOKEN; better keep this on 127.0.0.1"


def advise(findings: Findings, fleet: Fleet, sections: Sections) -> None:
    """Warn of everything unwise; decides nothing about whether the fleet is accepted."""
    _advise_on_redis(findings, fleet)
    _advise_on_nodes(findings, fleet)
    advise_on_name_servers(findings, sections)
    for name, check in sections.checks.items():
        _advise_on_check(findings, ("checks", name), check)
    _advise_on_quorums(findings, fleet, sections)
    _advise_on_regions(findings, fleet, sections)
    _advise_on_edges(findings, sections)
    advise_on_proxying(findings, fleet, sections)
    advise_on_capacity(findings, fleet, sections)
    for service in fleet.services.values():
        _advise_on_service(findings, sections.paths["services", service.name], service, fleet)
    _advise_on_routes(findings, fleet, sections)


def _advise_on_redis(findings: Findings, fleet: Fleet) -> None:
    if fleet.redis.url is None:
        findings.warn(
            ("redis",),
            "without a URL of Redis every process stands alone: it knows only what it sees itself",
            "set redis.url unless there is one process of each kind",
            key=True,
        )
    elif fleet.redis.lease < 3 * fleet.redis.poll:
        hint = "make the lease three times as long as poll, at least"
        findings.warn(("redis", "lease"), "observations may lapse between two looks", hint)


def _advise_on_nodes(findings: Findings, fleet: Fleet) -> None:
    if fleet.services and not fleet.dns.nodes:
        hint = "declare one under `dns: nodes:`"
        findings.warn(("services",), "no DNS node is declared, so nothing answers for these", hint, key=True)
    for name, node in fleet.dns.nodes.items():
        path: KeyPath = ("dns", "nodes", name)
        if node.admin is not None:
            _advise_on_admin(findings, (*path, "admin"), node.admin)
        for index, socket in enumerate(node.listen):
            _advise_on_port(findings, (*path, "listen", index), socket)


def _advise_on_edges(findings: Findings, sections: Sections) -> None:
    for path, edge in sections.edges:
        if edge.admin is not None:
            _advise_on_admin(findings, (*path, "admin"), edge.admin)
        for index, listener in enumerate(edge.listen):
            _advise_on_port(findings, (*path, "listen", index), listener.address)


def _advise_on_admin(findings: Findings, path: KeyPath, socket: SocketAddress) -> None:
    if not ip_address(socket.host).is_loopback:
        shown = findings.shown(path, str(socket))
        findings.warn(path, f"{shown} can be reached from other machines", _TOKEN)
    _advise_on_port(findings, path, socket)


def _advise_on_port(findings: Findings, path: KeyPath, socket: SocketAddress) -> None:
    if not socket.port:
        findings.warn(path, "port 0 is another port at every start", "name a port, except in tests")


def _advise_on_check(findings: Findings, path: KeyPath, check: HealthCheck) -> None:
    if check.timeout > check.interval:
        message = "the timeout is longer than the interval"
        if findings.secret(path) is None:
            message = f"the timeout ({check.timeout:g} s) is longer than the interval ({check.interval:g} s)"
        findings.warn((*path, "timeout"), message, "a slow target is then probed less often than you say")
    if check.fall == 1:
        hint = "2 or 3 failures in a row are a better sign"
        findings.warn((*path, "fall"), "a single lost packet makes a target DOWN", hint)


def _advise_on_quorums(findings: Findings, fleet: Fleet, sections: Sections) -> None:
    """Each edge goes by what it sees of its servers itself."""
    of_regions = {region.check.name for region in fleet.regions.values()}
    of_pools = {pool.check.name for pool in fleet.pools.values()}
    for name in sections.checks:
        path: KeyPath = ("checks", name, "quorum")
        if path in findings.document.value_marks and name in of_pools - of_regions:
            hint = "remove it; it is for checks of regions"
            findings.warn(path, "only pools use this check, and an edge asks nobody else about them", hint)


def _advise_on_regions(findings: Findings, fleet: Fleet, sections: Sections) -> None:
    used = {name for service in fleet.services.values() for name in service.regions}
    answered: dict[str, str] = {}
    for name, region in fleet.regions.items():
        path = sections.paths["regions", name]
        if fleet.services and name not in used:
            findings.warn(path, "no service is served here", "add it to a service's `regions`", key=True)
        if region.hostname is not None:
            _advise_on_hostname(findings, path, region)
        for index, edge in enumerate(region.edges):
            for place, address in enumerate(edge.addresses):
                other = answered.setdefault(str(address), name)
                if other != name:
                    where = (*path, "edges", index, "addresses", place)
                    shown = findings.shown(where, str(address))
                    hint = "an answer with it does not tell clients which of the two to go to"
                    findings.warn(where, f"{shown} is an address of the region {other} too", hint)


def _advise_on_hostname(findings: Findings, path: KeyPath, region: Region) -> None:
    check, probe = region.check.check, region.probe
    if isinstance(check, HttpCheck) and not check.tls and probe is not None and probe.port == HTTPS_PORT:
        hint = "give the check `tls: true`, or say where plain HTTP is spoken with `probe`"
        findings.warn((*path, "check"), f"the check speaks plain HTTP, to port {HTTPS_PORT}", hint)


def _advise_on_answers(findings: Findings, path: KeyPath, service: Service, fleet: Fleet) -> None:
    hostnames = service.hostname_regions(fleet.regions)
    with_addresses = len(service.regions) - len(hostnames)
    if service.answers.regions > max(with_addresses, 1):
        message = f"asks for more regions than have addresses, which are {with_addresses}"
        findings.warn((*path, "answers"), message, "ask for fewer, or add regions with edges")
    versions = versions_of(fleet, service)
    if hostnames and len(versions) == 1:
        rtype, lacking = ("AAAA", 6) if 4 in versions else ("A", 4)
        message = f"{rtype} has no data, even where {hostnames[0]} answers: no edge has IPv{lacking}"
        hint = "give one an address of it: whether there is data may not depend on the region"
        findings.warn(path, message, hint, key=True)


def _advise_on_service(findings: Findings, path: KeyPath, service: Service, fleet: Fleet) -> None:
    _advise_on_answers(findings, path, service, fleet)
    if len(service.regions) == 1:
        hint = "add a second region to have somewhere to go"
        findings.warn(
            path, f"only {service.regions[0]} serves it: when that is down, so is the service", hint, key=True
        )
    policy_path: KeyPath = (*path, "policy")
    several = isinstance(findings.document.data, dict) and len(service.policies) > 1
    for index, policy in enumerate(service.policies):
        here = (*policy_path, index) if several else policy_path
        last = index + 1 == len(service.policies)
        if isinstance(policy, Failover) and last:
            lacking = [name for name in service.regions if name not in policy.order]
            if lacking:
                hint = "add them to the order, or say `regions:` without them"
                findings.warn(here, f"failover does not order {', '.join(lacking)}", hint)
        if not last and _leaves_nothing_equal(policy, service, fleet):
            following = service.policies[index + 1].name
            hint = f"remove {following}, or put it before {policy.name}"
            message = f"{following} never acts: {policy.name} before it leaves no two regions equal"
            findings.warn((*policy_path, index + 1), message, hint)
            break


def _leaves_nothing_equal(policy: Policy, service: Service, fleet: Fleet) -> bool:
    """Whether `policy` puts all of the service's regions in order for every client."""
    if isinstance(policy, Failover):
        return set(service.regions) <= set(policy.order)
    if isinstance(policy, Weighted):
        weights = dict(policy.weights)
        return sum(1 for name in service.regions if not weights.get(name)) <= 1
    if isinstance(policy, Nearest):
        # A client whose place is unknown leaves them equal; that cannot be where the default has a place.
        placed = fleet.geo.default.coordinates is not None or fleet.geo.default.country is not None
        return placed and len({fleet.regions[name].coordinates for name in service.regions}) == len(
            service.regions
        )
    return False


def _advise_on_routes(findings: Findings, fleet: Fleet, sections: Sections) -> None:
    for path, route in sections.routes:
        lacking = [
            name
            for name, region in fleet.regions.items()
            if region.edges and not region.servers.get(route.pool) and route.pool not in region.discovery
        ]
        if lacking:
            many = "s" if len(lacking) > 1 else ""
            message = f"the pool {route.pool} has no servers in the region{many} {', '.join(lacking)}"
            findings.warn((*path, "pool"), message, "requests for it fail there with 503")
    routed = {route.pool for _, route in sections.routes}
    listeners = [listener for _, edge in sections.edges for listener in edge.listen]
    routed.update(*(listener.pools for listener in listeners))
    for name in fleet.pools:
        if name not in routed:
            path = sections.paths["pools", name]
            findings.warn(
                path, "no route leads to this pool", "add one under `routes:`, or remove the pool", key=True
            )
    if not fleet.services and not fleet.routes and not any(listener.pools for listener in listeners):
        findings.warn(
            (), "there is neither a service nor a route, so nothing is balanced", "declare `services:`"
        )
