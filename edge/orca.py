"""What a response tells of its server's load: the header `endpoint-load-metrics`, of ORCA.

Open Request Cost Aggregation, as gRPC (A51) and Envoy have it: `TEXT` and key=value pairs, `JSON` and an
object, or `BIN` and an xds.data.orca.v3.OrcaLoadReport in base64. Servers write it, so anything may be in it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from struct import unpack_from
from typing import Any, Final

HEADER: Final = b"endpoint-load-metrics"

LONGEST: Final = 4096
"""Bytes of the header that are worth reading; metrics that are of use here need a hundred."""

_CPU, _MEMORY, _APPLICATION = "cpu_utilization", "mem_utilization", "application_utilization"
_BY_NUMBER: Final = {1: _CPU, 2: _MEMORY, 9: _APPLICATION}  # in OrcaLoadReport
_IN_JSON: Final = {"cpuUtilization": _CPU, "memUtilization": _MEMORY, "applicationUtilization": _APPLICATION}
_VARINT, _EIGHT_BYTES, _COUNTED, _FOUR_BYTES = 0, 1, 2, 5  # wire types

Metrics = Mapping[str, float]


def load_of(value: bytes) -> float | None:
    """The share of the server's resources in use, 0 to 1, from the header's value; None if it tells none.

    What the application says of itself counts, else the fuller of processor and memory. What is more than all
    counts as all; what is negative or no number, as not said.
    """
    form, _, rest = value.strip().partition(b" ")
    read = _FORMS.get(form)
    if read is None or len(rest) > LONGEST:
        return None
    try:
        metrics = read(rest)
    except (ValueError, RecursionError, OverflowError):
        return None
    said = {name: share for name, share in metrics.items() if isfinite(share) and share >= 0}
    # Writers that have no such figure send 0.
    load = said.pop(_APPLICATION, 0.0) or max(said.values(), default=None)
    return None if load is None else min(load, 1.0)


def load_told(head: bytes) -> float | None:
    """The same from a response's head as it came: well-formed, as it was read already."""
    at = head.lower().find(b"\r\n" + HEADER + b":")
    if at < 0:
        return None
    begin = at + len(HEADER) + 3
    return load_of(head[begin : head.index(b"\r\n", begin)])


def _text(value: bytes) -> Metrics:
    pairs = (pair.partition(b"=") for pair in value.split(b","))
    return dict(_numbers((name.strip().decode("latin-1"), text) for name, _, text in pairs))


def _json(value: bytes) -> Metrics:
    report: Any = json.loads(value)
    if not isinstance(report, dict):
        raise ValueError("not an object")
    # Either spelling is legal, and a number may stand in quotes (ProtoJSON).
    return dict(_numbers((_IN_JSON.get(str(name), str(name)), each) for name, each in report.items()))


def _numbers(pairs: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, float]]:
    """Those that are of use here and look like numbers: one that does not spoils no other."""
    for name, value in pairs:
        if name in _IN_JSON.values() and type(value) in (int, float, str, bytes):
            try:
                yield name, float(value)
            except (ValueError, OverflowError):
                continue


def _binary(value: bytes) -> Metrics:
    # Some writers leave the padding out.
    octets = base64.b64decode(value.strip() + b"=" * (-len(value.strip()) % 4), validate=True)
    metrics: dict[str, float] = {}
    place = 0
    while place < len(octets):
        tag, place = _varint(octets, place)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _EIGHT_BYTES and number in _BY_NUMBER and place + 8 <= len(octets):
            (metrics[_BY_NUMBER[number]],) = unpack_from("<d", octets, place)
        place = _after(octets, place, wire_type)
    return metrics


def _after(octets: bytes, place: int, wire_type: int) -> int:
    """Where the field's value, which begins at `place`, ends; raises ValueError if it does not."""
    if wire_type == _VARINT:
        _, place = _varint(octets, place)
    elif wire_type == _COUNTED:
        length, place = _varint(octets, place)
        place += length
    elif wire_type in (_EIGHT_BYTES, _FOUR_BYTES):
        place += 8 if wire_type == _EIGHT_BYTES else 4
    else:
        raise ValueError("a group, or no protobuf at all")
    if place > len(octets):
        raise ValueError("cut off")
    return place


def _varint(octets: bytes, place: int) -> tuple[int, int]:
    """A number of at most 64 bits, and where it ends; raises ValueError for anything else."""
    number = 0
    for shift, octet in zip(range(0, 70, 7), octets[place : place + 10], strict=False):
        number |= (octet & 0x7F) << shift
        if octet < 0x80:
            return number, place + shift // 7 + 1
    raise ValueError("no number")


_FORMS: Final[Mapping[bytes, Callable[[bytes], Metrics]]] = {b"TEXT": _text, b"JSON": _json, b"BIN": _binary}
