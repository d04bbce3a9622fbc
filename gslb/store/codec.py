"""Records to and from the plain fields of a Redis hash, which people read with redis-cli HGETALL.

Encoding is exact to the millisecond (and three decimals). Decoding takes whatever it finds: fields it does
not know are ignored, and a record with a field that cannot be read is None, never an error.
"""

from __future__ import annotations

import math
import re

from gslb.clock import iso, parse_iso
from gslb.world import (
    Observation,
    Override,
    OverrideKind,
    PoolReport,
    RegionState,
    Report,
    ServiceReport,
    TargetState,
    Verdict,
)

Fields = dict[str, str]

LONGEST_VALUE = 4096
"""Characters; a longer value is not one of ours, or not one to hand on."""

_POOL = "pool:"
_SERVICE = "service:"
_SERVICE_VALUE = re.compile(
    r"(\d{1,9}) of (\d{1,9}) healthy, (\d{1,9}) in flight, (\S{1,20}) requests/s, (\S{1,20}) errors"
    r"(?:, p50 (\S{1,20}) ms, p99 (\S{1,20}) ms)?(?:, capacity (\S{1,20})/s, utilisation (\S{1,20}))?"
)
_POOL_VALUE = re.compile(r"(\d{1,9}) of (\d{1,9}) healthy, (\d{1,9}) in flight")


def encode_observation(observation: Observation) -> Fields:
    """`target eu-west/192.0.2.1, observer ns1, state up, reason "200 in 12 ms", since 2026-...`"""
    return {
        "target": observation.target,
        "observer": observation.observer,
        "state": observation.verdict.value,
        "reason": observation.reason,
        "since": iso(observation.since),
        "consecutive": str(observation.consecutive),
        "flip_in": _number(observation.flip_in),
        "epoch": str(observation.epoch),
        "sequence": str(observation.sequence),
    }


def decode_observation(raw: Fields) -> Observation | None:
    """The inverse of encode_observation; None for what cannot be read."""
    try:
        fields = sensible(raw)
        return Observation(
            target=fields["target"],
            observer=fields["observer"],
            verdict=Verdict(fields["state"]),
            reason=fields["reason"],
            since=moment(fields["since"]),
            consecutive=_whole(fields["consecutive"]),
            flip_in=_finite(fields["flip_in"]),
            epoch=_whole(fields["epoch"]),
            sequence=_whole(fields["sequence"]),
        )
    except (KeyError, ValueError, OverflowError):
        return None


def encode_report(report: Report) -> Fields:
    """Numbers of the edge, of each pool as `pool:web "3 of 3 healthy, 5 in flight"`, and of each service as
    `service:www.shop.example "3 of 3 healthy, 5 in flight, 120.5 requests/s, 0.001 errors, p50 4 ms, ..."`.
    """
    fields = {
        "region": report.region,
        "edge": report.edge,
        "at": iso(report.at),
        "requests_per_second": _number(report.requests_per_second),
        "in_flight": str(report.in_flight),
        "error_rate": _number(report.error_rate),
        "epoch": str(report.epoch),
        "sequence": str(report.sequence),
    }
    if report.capacity is not None:
        fields["capacity"] = _number(report.capacity)
    if report.utilisation is not None:
        fields["utilisation"] = _number(report.utilisation)
    for service in report.services:
        fields[_SERVICE + service.service] = _service_text(service)
    for pool in report.pools:
        fields[_POOL + pool.pool] = f"{pool.healthy} of {pool.servers} healthy, {pool.in_flight} in flight"
    return fields


def decode_report(raw: Fields) -> Report | None:
    """The inverse of encode_report; None for what cannot be read."""
    try:
        fields = sensible(raw)
        return Report(
            region=fields["region"],
            edge=fields["edge"],
            at=moment(fields["at"]),
            requests_per_second=_finite(fields["requests_per_second"]),
            in_flight=_whole(fields["in_flight"]),
            error_rate=_finite(fields["error_rate"]),
            capacity=_finite(fields["capacity"]) if "capacity" in fields else None,
            utilisation=_finite(fields["utilisation"]) if "utilisation" in fields else None,
            pools=tuple(_pool(name, value) for name, value in fields.items() if name.startswith(_POOL)),
            services=tuple(
                _service(name, value) for name, value in fields.items() if name.startswith(_SERVICE)
            ),
            epoch=_whole(fields["epoch"]),
            sequence=_whole(fields["sequence"]),
        )
    except (KeyError, ValueError, OverflowError):
        return None


def encode_override(override: Override) -> Fields:
    """`region eu-west, kind drain, by ana@desk, reason "new cables", since ..., until ...`"""
    fields = {
        "region": override.region,
        "kind": override.kind.value,
        "by": override.by,
        "reason": override.reason,
        "since": iso(override.since),
    }
    if override.until is not None:
        fields["until"] = iso(override.until)
    return fields


def decode_override(raw: Fields) -> Override | None:
    """The inverse of encode_override; None for what cannot be read."""
    try:
        fields = sensible(raw)
        return Override(
            region=fields["region"],
            kind=OverrideKind(fields["kind"]),
            by=fields["by"],
            reason=fields["reason"],
            since=moment(fields["since"]),
            until=moment(fields["until"]) if "until" in fields else None,
        )
    except (KeyError, ValueError, OverflowError):
        return None


def encode_region_state(state: RegionState, concluded_by: str) -> Fields:
    """A verdict for people: the state and why, each address by itself, and an override beside it."""
    fields = {
        "region": state.region,
        "state": state.verdict.value,
        "eligible": "yes" if state.eligible else "no",
        "reason": state.reason,
        "since": iso(state.since),
        "flip_in": _number(state.flip_in),
        "concluded_by": concluded_by,
    }
    for address, target in state.targets.items():
        fields[f"address:{address}"] = f"{target.verdict.value} since {iso(target.since)}, {target.reason}"
    if state.override is not None:
        fields.update({f"override:{name}": text for name, text in encode_override(state.override).items()})
    return fields


def decode_region_state(raw: Fields) -> RegionState | None:
    """The inverse of encode_region_state but for single observations, which it does not carry."""
    try:
        fields = sensible(raw)
        override = None
        if "override:kind" in fields:
            override = decode_override(
                {
                    name.removeprefix("override:"): text
                    for name, text in fields.items()
                    if name.startswith("override:")
                }
            )
            if override is None:
                return None
        targets = {}
        for name, text in fields.items():
            if name.startswith("address:"):
                address = name.removeprefix("address:")
                targets[address] = _target(f"{fields['region']}/{address}", text)
        return RegionState(
            region=fields["region"],
            verdict=Verdict(fields["state"]),
            since=moment(fields["since"]),
            reason=fields["reason"],
            flip_in=_finite(fields["flip_in"]),
            override=override,
            targets=targets,
        )
    except (KeyError, ValueError, OverflowError):
        return None


def _target(target: str, text: str) -> TargetState:
    state, rest = text.split(" since ", 1)
    since, reason = rest.split(", ", 1)
    return TargetState(target, Verdict(state), moment(since), reason, 0.0)


def _pool(name: str, value: str) -> PoolReport:
    match = _POOL_VALUE.fullmatch(value)
    if match is None:
        raise ValueError(value)
    return PoolReport(name.removeprefix(_POOL), int(match[1]), int(match[2]), int(match[3]))


def _service_text(service: ServiceReport) -> str:
    text = (
        f"{service.healthy} of {service.servers} healthy, {service.in_flight} in flight, "
        f"{_number(service.requests_per_second)} requests/s, {_number(service.error_rate)} errors"
    )
    if service.p50 is not None and service.p99 is not None:
        text += f", p50 {_number(service.p50 * 1000)} ms, p99 {_number(service.p99 * 1000)} ms"
    if service.capacity is not None and service.utilisation is not None:
        text += f", capacity {_number(service.capacity)}/s, utilisation {_number(service.utilisation)}"
    return text


def _service(name: str, value: str) -> ServiceReport:
    match = _SERVICE_VALUE.fullmatch(value)
    if match is None:
        raise ValueError(value)
    healthy, servers, in_flight = (int(match[place]) for place in (1, 2, 3))
    rate, errors, p50, p99, capacity, utilisation = (
        None if match[place] is None else _finite(match[place]) for place in range(4, 10)
    )
    assert rate is not None
    assert errors is not None
    return ServiceReport(
        name.removeprefix(_SERVICE),
        healthy,
        servers,
        in_flight,
        rate,
        errors,
        None if p50 is None else p50 / 1000,
        None if p99 is None else p99 / 1000,
        capacity,
        utilisation,
    )


def sensible(fields: Fields) -> Fields:
    """The fields themselves; raises ValueError if one is too long."""
    if any(len(value) > LONGEST_VALUE for value in fields.values()):
        raise ValueError("too long")
    return fields


def moment(text: str) -> float:
    """To the millisecond; raises ValueError as well for what `iso` could not write again, legibly."""
    moment = round(parse_iso(text), 3)
    try:
        parse_iso(iso(moment))
    except (OverflowError, OSError):
        raise ValueError(text) from None
    return moment


def _whole(text: str) -> int:
    """Within 64 bits: what is greater did not come from us and would not fit elsewhere either."""
    number = int(text)
    if abs(number) >= 1 << 53:
        raise ValueError(text)
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
