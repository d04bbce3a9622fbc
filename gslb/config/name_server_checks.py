"""Finds what is wrong or unwise in the sections `dns` and `zones` where one entry speaks of another."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from gslb.config.document import KeyPath
from gslb.config.findings import Findings
from gslb.config.name_servers import TransferEntry
from gslb.config.sections import Sections
from gslb.config.values import parse_domain_name
from gslb.config.wrong_value import WrongError
from gslb.fleet import DnsSettings


def check_keys(findings: Findings, sections: Sections) -> None:
    """Report keys that are there twice, and transfers that want a key which is not there."""
    declared = _declared_keys(findings)
    if declared is None:
        return
    for path, entry in _transfers(findings, sections):
        if entry.key is not None and entry.key not in declared:
            # Neither its name nor those that are there: any of them may be a secret in the wrong place.
            hint = "declare the key under `dns: keys:`, or correct its name"
            findings.error((*path, "key"), "there is no key of this name", hint)


def advise_on_name_servers(findings: Findings, sections: Sections) -> None:
    """Warn of what lets strangers have, or do, more than the operator may think."""
    settings = sections.dns
    if settings.cookies.enabled and not settings.cookies.secrets and _share_an_address(settings):
        findings.warn(
            ("dns", "cookies"),
            "the nodes have no secret in common: behind one address (anycast) none knows another's cookies",
            "put one under `secrets`: `openssl rand -hex 16`",
            key=True,
        )
    if not settings.rate_limit.enabled:
        findings.warn(
            ("dns", "rate_limit"),
            "forged queries can turn unlimited responses on others",
            "leave the limits on, and name whom they must not hit under `exempt`",
            key=True,
        )
    for path, entry in _transfers(findings, sections):
        if entry.network is not None and entry.network.prefixlen == 0 and entry.key is None:
            place = (*path, "network") if (*path, "network") in findings.document.value_marks else path
            hint = "name the secondaries' networks, or a key"
            findings.warn(place, "this network lets everybody copy the zone", hint)


def _declared_keys(findings: Findings) -> tuple[str, ...] | None:
    """The names of keys that the file declares, right or wrong otherwise; None if that cannot be told."""
    keys = findings.document.data
    for heading in ("dns", "keys"):
        if keys is not None and not isinstance(keys, dict):
            return None
        keys = (keys or {}).get(heading)
    if keys is not None and not isinstance(keys, dict):
        return None
    written: dict[str, str] = {}
    for key in keys or {}:
        try:
            name = parse_domain_name(key)
        except WrongError:
            name = key
        if name in written:
            line = findings.document.place(("dns", "keys", written[name]), key=True).line
            message = f"this is the same name as that of the key in line {line}"
            findings.error(("dns", "keys", key), message, "remove one of them", key=True)
        written.setdefault(name, key)
    return tuple(written)


def _transfers(findings: Findings, sections: Sections) -> Iterator[tuple[KeyPath, TransferEntry]]:
    """Every rule with its place; one that stands alone, and not in a list, has no number."""
    for name, zone in sections.zones.items():
        path: KeyPath = (*sections.paths["zones", name], "transfers")
        for index, entry in enumerate(zone.transfers):
            numbered = (*path, index)
            yield (numbered if numbered in findings.document.value_marks else path), entry


def _share_an_address(settings: DnsSettings) -> bool:
    """Whether two nodes could be asked at one address; on a wildcard they could at any."""
    hosts: set[str] = set()
    for node in settings.nodes.values():
        here = {socket.host for socket in node.listen}
        if len(settings.nodes) > 1 and any(ip_address(host).is_unspecified for host in here):
            return True
        if hosts & here:
            return True
        hosts |= here
    return False
