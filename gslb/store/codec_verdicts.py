"""What is concluded about regions, as the plain fields of a Redis hash; people read them, no process does."""

from __future__ import annotations

from gslb.clock import iso
from gslb.store.codec import Fields, number
from gslb.store.codec_overrides import encode_override
from gslb.world import RegionState


def encode_region_state(state: RegionState, concluded_by: str) -> Fields:
    """The state and why, each address by itself, what operators said, and what edges say of capacity."""
    fields = {
        "region": state.region,
        "state": state.verdict.value,
        "eligible": "yes" if state.eligible else "no",
        "reason": state.reason,
        "since": iso(state.since),
        "flip_in": number(state.flip_in),
        "live": number(state.live),
        "thin": "yes" if state.thin else "no",
        "concluded_by": concluded_by,
    }
    if state.without:
        fields["without"] = ", ".join(sorted(state.without))
    if not state.intake.whole:
        fields["intake"] = state.intake.reason
    for address, target in state.targets.items():
        fields[f"address:{address}"] = f"{target.verdict.value} since {iso(target.since)}, {target.reason}"
    if state.override is not None:
        fields.update({f"override:{name}": text for name, text in encode_override(state.override).items()})
    for service, override in state.overrides.items():
        fields[f"service:{service}"] = f"{override.kind.value} by {override.by}"
    return fields
