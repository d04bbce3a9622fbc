"""Operators' changes of servers to and from the plain fields of a Redis hash; see gslb.store.codec."""

from __future__ import annotations

from gslb.clock import iso
from gslb.config.values import parse_name, parse_socket_address
from gslb.fleet import ServerMode
from gslb.server_change import HEAVIEST, ServerChange
from gslb.store.codec import Fields, moment, sensible

SAYING = ("mode", "until", "weight", "added", "removed")
"""The fields that change something; the others tell of whom, by whom and why."""


def encode_server_change(change: ServerChange) -> Fields:
    """`region eu-west, pool web, address 10.0.0.7:9001, mode drain, by ana@desk, since ..., until ...`"""
    fields = {
        "region": change.region,
        "pool": change.pool,
        "address": str(change.address),
        "by": change.by,
        "reason": change.reason,
        "since": iso(change.since),
    }
    if change.mode is not None:
        fields["mode"] = change.mode.value
    if change.until is not None:
        fields["until"] = iso(change.until)
    if change.weight is not None:
        fields["weight"] = str(change.weight)
    fields |= {name: "yes" for name in ("added", "removed") if getattr(change, name)}
    return fields


def decode_server_change(raw: Fields) -> ServerChange | None:
    """The inverse of encode_server_change; None for what cannot be read."""
    try:
        fields = sensible(raw)
        return ServerChange(
            region=parse_name(fields["region"]),
            pool=parse_name(fields["pool"]),
            address=parse_socket_address(fields["address"]),
            mode=ServerMode(fields["mode"]) if "mode" in fields else None,
            weight=_weight(fields["weight"]) if "weight" in fields else None,
            added=_yes(fields.get("added", "no")),
            removed=_yes(fields.get("removed", "no")),
            by=fields["by"],
            reason=fields["reason"],
            since=moment(fields["since"]),
            until=moment(fields["until"]) if "until" in fields else None,
        )
    except (KeyError, ValueError, OverflowError):
        return None


def _weight(text: str) -> int:
    weight = int(text)
    if not 1 <= weight <= HEAVIEST:
        raise ValueError(text)
    return weight


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"
