"""Finds what is wrong or unwise where listeners pass connections or datagrams on to pools."""

from __future__ import annotations

from collections.abc import Iterator

from gslb.balancing import BalancingKey
from gslb.config.document import KeyPath
from gslb.config.findings import Findings
from gslb.config.sections import Sections
from gslb.config.suggest import remedy
from gslb.fleet import Fleet, Listener


def check_passing(findings: Findings, path: KeyPath, listener: Listener, sections: Sections) -> None:
    """Report pools that are not there, or that cannot be spoken to by what comes."""
    for place, name in _named_pools(path, listener):
        _check_pool(findings, place, name, listener, sections)


def _named_pools(path: KeyPath, listener: Listener) -> Iterator[tuple[KeyPath, str]]:
    if listener.pool is not None:
        yield (*path, "pool"), listener.pool
    for server_name, pool in listener.server_names.items():
        yield (*path, "server_names", server_name), pool


def _check_pool(findings: Findings, path: KeyPath, name: str, listener: Listener, sections: Sections) -> None:
    """A listener's pool must be there, and spoken to as its kind can."""
    if ("pools", name) not in sections.paths:
        if _can_be_read(findings, "pools"):
            known = [each for section, each in sections.paths if section == "pools"]
            hint = remedy(name, known, "pools")
            if findings.secret(path) is not None:
                hint = "declare it under `pools:`"
            findings.error(path, f"there is no pool {findings.shown(path, name)}", hint)
        return
    pool = sections.pools.get(name)
    if pool is None or not listener.datagrams:
        return
    shown = findings.secret(path) or name
    for option, said in (("tls", pool.tls), ("proxy_protocol", pool.proxy_protocol)):
        if said is not None:
            hint = f"remove it, or name a pool without `{option}`"
            findings.error(path, f"the pool {shown} has `{option}`, and datagrams cannot", hint)


def _can_be_read(findings: Findings, section: str) -> bool:
    data = findings.document.data
    return isinstance(data, dict) and isinstance(data.get(section) or {}, dict)


def advise_on_passing(findings: Findings, path: KeyPath, listener: Listener, fleet: Fleet) -> None:
    """What its pools cannot do for connections that are passed on."""
    region = fleet.regions[str(path[1])]
    for place, name in _named_pools(path, listener):
        pool, shown = fleet.pools[name], findings.secret(place) or name
        if not region.servers.get(name):
            message = f"the pool {shown} has no servers in the region {region.name}"
            findings.warn(place, message, "whatever comes for it is dropped")
        if pool.tls is not None and listener.server_names and not listener.tls:
            message = f"what is TLS already is encrypted once more for the pool {shown}"
            findings.warn(place, message, "name a pool without `tls`")
        if pool.key != BalancingKey():
            message = f"the pool {shown} has a `key`, and only requests of HTTP have it"
            findings.warn(place, message, "connections and datagrams go by the client's address")
