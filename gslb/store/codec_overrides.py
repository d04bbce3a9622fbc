"""Operators' words on regions and services to and from the plain fields of a hash; see gslb.store.codec."""

from __future__ import annotations

from gslb.clock import iso
from gslb.store.codec import Fields, moment, number, sensible, share
from gslb.world import Override, OverrideKind, Verdict

LONGEST_HELD = 65_536
"""Characters of the one field that grows with the fleet."""

_NONE: tuple[tuple[str, Verdict], ...] = ()


def encode_override(override: Override) -> Fields:
    """`region eu-west, service www.shop.example, kind weight, weight 0.25, by ana@desk, reason "new cables",
    since ..., until ...`; of a hold also `held "eu-west up, us-east down"`.
    """
    fields = {
        "region": override.region,
        "kind": override.kind.value,
        "by": override.by,
        "reason": override.reason,
        "since": iso(override.since),
    }
    if override.service:
        fields["service"] = override.service
    if override.until is not None:
        fields["until"] = iso(override.until)
    if override.kind is OverrideKind.WEIGHT and override.weight is not None:
        fields["weight"] = number(override.weight)
    if override.kind is OverrideKind.HOLD:
        fields["held"] = ", ".join(f"{region} {verdict.value}" for region, verdict in override.held)
    return fields


def decode_override(raw: Fields) -> Override | None:
    """The inverse of encode_override; None for what cannot be read, and for half a word."""
    try:
        kind = OverrideKind(raw["kind"])
        held = _held(raw["held"]) if kind is OverrideKind.HOLD else _NONE
        fields = sensible({name: text for name, text in raw.items() if name != "held"})
        return Override(
            region=fields["region"],
            kind=kind,
            by=fields["by"],
            reason=fields["reason"],
            since=moment(fields["since"]),
            until=moment(fields["until"]) if "until" in fields else None,
            service=fields.get("service", ""),
            weight=share(fields["weight"]) if kind is OverrideKind.WEIGHT else None,
            held=held,
        )
    except (KeyError, ValueError, OverflowError):
        return None


def _held(text: str) -> tuple[tuple[str, Verdict], ...]:
    if len(text) > LONGEST_HELD:
        raise ValueError("too long")
    pairs = [each.split(" ") for each in text.split(", ")]
    held = tuple((region, Verdict(verdict)) for region, verdict in pairs)
    if not all(region for region, _ in held):
        raise ValueError(text)
    return held
