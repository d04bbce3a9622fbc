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
    PoolReport,
    Report,
    ServiceReport,
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
        "flip_in": number(observation.flip_in),
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
            consecutive=whole(fields["consecutive"]),
            flip_in=finite(fields["flip_in"]),
            epoch=whole(fields["epoch"]),
            sequence=whole(fields["sequence"]),
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
        "requests_per_second": number(report.requests_per_second),
        "in_flight": str(report.in_flight),
        "error_rate": number(report.error_rate),
        "epoch": str(report.epoch),
        "sequence": str(report.sequence),
    }
    if report.capacity is not None:
        fields["capacity"] = number(report.capacity)
    if report.utilisation is not None:
        fields["utilisation"] = number(report.utilisation)
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
            requests_per_second=finite(fields["requests_per_second"]),
            in_flight=whole(fields["in_flight"]),
            error_rate=finite(fields["error_rate"]),
            capacity=finite(fields["capacity"]) if "capacity" in fields else None,
            utilisation=finite(fields["utilisation"]) if "utilisation" in fields else None,
            pools=tuple(_pool(name, value) for name, value in fields.items() if name.startswith(_POOL)),
            services=tuple(
                _service(name, value) for name, value in fields.items() if name.startswith(_SERVICE)
            ),
            epoch=whole(fields["epoch"]),
            sequence=whole(fields["sequence"]),
        )
    except (KeyError, ValueError, OverflowError):
        return None


def _pool(name: str, value: str) -> PoolReport:
    match = _POOL_VALUE.fullmatch(value)
    if match is None:
        raise ValueError(value)
    return PoolReport(name.removeprefix(_POOL), int(match[1]), int(match[2]), int(match[3]))


def _service_text(service: ServiceReport) -> str:
    text = (
        f"{service.healthy} of {service.servers} healthy, {service.in_flight} in flight, "
        f"{number(service.requests_per_second)} requests/s, {number(service.error_rate)} errors"
    )
    if service.p50 is not None and service.p99 is not None:
        text += f", p50 {number(service.p50 * 1000)} ms, p99 {number(service.p99 * 1000)} ms"
    if service.capacity is not None and service.utilisation is not None:
        text += f", capacity {number(service.capacity)}/s, utilisation {number(service.utilisation)}"
    return text


def _service(name: str, value: str) -> ServiceReport:
    match = _SERVICE_VALUE.fullmatch(value)
    if match is None:
        raise ValueError(value)
    healthy, servers, in_flight = (int(match[place]) for place in (1, 2, 3))
    rate, errors, p50, p99, capacity, utilisation = (
        None if match[place] is None else finite(match[place]) for place in range(4, 10)
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


def share(text: str) -> float:
    """Of a whole, 0 to 1; raises ValueError for what is neither."""
    value = finite(text)
    if not 0.0 <= value <= 1.0:
        raise ValueError(text)
    return value


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


def whole(text: str) -> int:
    """Within 64 bits: what is greater did not come from us and would not fit elsewhere either."""
    value = int(text)
    if abs(value) >= 1 << 53:
        raise ValueError(text)
    return value


def finite(text: str) -> float:
    """Raises ValueError for what is no number, or none to reckon with."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def number(value: float) -> str:
    """To three decimals."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
