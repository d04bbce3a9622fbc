"""How many clients regions take, to and from the plain fields of a Redis hash; see gslb.store.codec."""

from __future__ import annotations

from gslb.clock import iso
from gslb.store.codec import Fields, moment, number, sensible, share, whole
from gslb.world import Intake


def encode_intake(region: str, intake: Intake) -> Fields:
    """`region eu-west, shed 0.12, takes 1, ramp 1, reason "gives 12 % away", since ..., sequence 7`"""
    return {
        "region": region,
        "shed": number(intake.shed),
        "takes": number(intake.takes),
        "ramp": number(intake.ramp),
        "reason": intake.reason,
        "since": iso(intake.since),
        "sequence": str(intake.sequence),
    }


def decode_intake(raw: Fields) -> tuple[str, Intake] | None:
    """The inverse of encode_intake; None for what cannot be read."""
    try:
        fields = sensible(raw)
        sequence = whole(fields["sequence"])
        if sequence < 0:
            return None
        return fields["region"], Intake(
            shed=share(fields["shed"]),
            takes=share(fields["takes"]),
            ramp=share(fields["ramp"]),
            reason=fields["reason"],
            since=moment(fields["since"]),
            sequence=sequence,
        )
    except (KeyError, ValueError, OverflowError):
        return None
