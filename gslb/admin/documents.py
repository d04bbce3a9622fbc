"""Worlds and decisions as plain JSON documents; HTTP, `--json` and tables all render these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gslb.clock import iso
from gslb.dns.rdata import A, type_number
from gslb.dns.reply import Reply, describe
from gslb.fleet import Fleet, Region
from gslb.policy.decision import Decision
from gslb.world import Intake, Override, RegionState, Report, World

Document = dict[str, Any]

RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 16: "BADVERS"}


def world_document(fleet: Fleet, world: World) -> Document:
    """Everything a process knows, region by region."""
    return {
        "at": iso(world.at),
        "store_read_at": iso(world.store_read_at) if world.store_read_at is not None else None,
        "observers": list(world.observers),
        "regions": [
            region_document(region, world.region(name), world.reports.get(name, ()))
            for name, region in fleet.regions.items()
        ],
        "services": [
            {
                "name": service.name,
                "regions": list(service.regions),
                "policies": [policy.name for policy in service.policies],
            }
            for service in fleet.services.values()
        ],
    }


def region_document(region: Region, state: RegionState, reports: Iterable[Report]) -> Document:
    """One region: what is declared, what is observed, what an operator said, and what its edges report."""
    return {
        "region": region.name,
        "description": region.description,
        "latitude": region.coordinates.latitude,
        "longitude": region.coordinates.longitude,
        "hostname": region.hostname,
        "capacity": region.capacity,
        "eligible": state.eligible,
        "verdict": state.verdict.value,
        "since": iso(state.since) if state.since else None,
        "reason": state.reason,
        "override": override_document(state.override) if state.override else None,
        "service_overrides": [override_document(each) for each in state.overrides.values()],
        "without": sorted(state.without),
        "live": state.live,
        "thin": state.thin,
        "intake": intake_document(state.intake),
        "targets": [
            {
                "address": address,
                "verdict": target.verdict.value,
                "since": iso(target.since) if target.since else None,
                "reason": target.reason,
                "observations": [
                    {
                        "observer": observation.observer,
                        "verdict": observation.verdict.value,
                        "since": iso(observation.since),
                        "reason": observation.reason,
                        "consecutive": observation.consecutive,
                    }
                    for observation in target.observations
                ],
            }
            for address, target in state.targets.items()
        ],
        "reports": [report_document(report) for report in reports],
    }


def override_document(override: Override) -> Document:
    """region: empty for a word on a service everywhere; service: empty for one on a whole region."""
    return {
        "region": override.region,
        "service": override.service,
        "kind": override.kind.value,
        "weight": override.weight,
        "held": {region: verdict.value for region, verdict in override.held},
        "by": override.by,
        "reason": override.reason,
        "since": iso(override.since),
        "until": iso(override.until) if override.until is not None else None,
    }


def intake_document(intake: Intake) -> Document:
    """whole: whether the region takes whoever comes."""
    return {
        "whole": intake.whole,
        "shed": intake.shed,
        "takes": intake.takes,
        "ramp": intake.ramp,
        "reason": intake.reason,
        "since": iso(intake.since) if intake.since else None,
    }


def report_document(report: Report) -> Document:
    return {
        "edge": report.edge,
        "at": iso(report.at),
        "healthy": report.healthy,
        "servers": report.servers,
        "requests_per_second": report.requests_per_second,
        "in_flight": report.in_flight,
        "error_rate": report.error_rate,
        "capacity": report.capacity,
        "utilisation": report.utilisation,
        "pools": [
            {
                "pool": pool.pool,
                "healthy": pool.healthy,
                "servers": pool.servers,
                "in_flight": pool.in_flight,
            }
            for pool in report.pools
        ],
        "services": [
            {
                "service": service.service,
                "healthy": service.healthy,
                "servers": service.servers,
                "in_flight": service.in_flight,
                "requests_per_second": service.requests_per_second,
                "error_rate": service.error_rate,
                "p50_seconds": service.p50,
                "p99_seconds": service.p99,
                "capacity": service.capacity,
                "utilisation": service.utilisation,
            }
            for service in report.services
        ],
    }


def reply_document(name: str, rtype: str, reply: Reply) -> Document:
    """An answer to a question with the decisions behind it."""
    return {
        "name": name,
        "type": rtype.upper(),
        "rcode": RCODES.get(reply.rcode, str(reply.rcode)),
        "answer": describe(reply),
        "served_by": reply.served[1] if reply.served is not None else None,
        "answered_by": _regions_answering(rtype, reply),
        "decision": decision_document(reply.decision) if reply.decision is not None else None,
    }


def _regions_answering(rtype: str, reply: Reply) -> list[str]:
    """The regions that the answer holds addresses or the hostname of, in its order."""
    if reply.served is None or reply.decision is None:
        return []
    version = 4 if type_number(rtype) == A else 6
    answering = reply.decision.answering.get(version, ())
    return [each.region for each in answering] or [reply.served[1]]


def decision_document(decision: Decision) -> Document:
    """A decision with every reason."""
    client = decision.client
    location = client.location
    return {
        "service": decision.service,
        "client": str(client.address),
        "location": {
            "text": str(location),
            "source": location.source,
            "city": location.city,
            "subdivision": location.subdivision,
            "country": location.country,
            "continent": location.continent,
            "asn": location.asn,
            "latitude": location.coordinates.latitude if location.coordinates else None,
            "longitude": location.coordinates.longitude if location.coordinates else None,
        },
        "share": client.share,
        "scope": decision.scope,
        "chosen": decision.chosen,
        "healthy": decision.healthy,
        "outcome": list(decision.outcome),
        "alias": decision.alias,
        "answering": {
            "A" if version == 4 else "AAAA": [
                {"region": each.region, "addresses": [str(address) for address in each.addresses]}
                for each in answering
            ]
            for version, answering in decision.answering.items()
        },
        "ttl": decision.ttl,
        "notes": list(decision.notes),
        "ranked": [
            {"region": ranked.region, "eligible": ranked.eligible, "reasons": list(ranked.reasons)}
            for ranked in decision.ranked
        ],
    }
