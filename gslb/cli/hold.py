"""`gslb hold`: what is observed now is kept, while probes themselves are not to be believed."""

from __future__ import annotations

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption
from gslb.cli.override import (
    ByOption,
    ForceOption,
    ForOption,
    ReasonOption,
    RegionArgument,
    Saying,
    ServiceOption,
    Terms,
    UntilOption,
    subject_of,
)
from gslb.override_effect import verdicts_to_hold
from gslb.world import OverrideKind


def hold(
    region: RegionArgument = None,
    service: ServiceOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    length: ForOption = None,
    until: UntilOption = None,
    reason: ReasonOption = "",
    by: ByOption = None,
    force: ForceOption = False,
) -> None:
    """Keep the verdicts as they are, whatever is observed, say while a network is being rebuilt."""
    subject = subject_of(config, region, service)
    held = verdicts_to_hold(subject.fleet, subject.world, subject.region, subject.service)
    word = subject.word(OverrideKind.HOLD, Terms(length, until, reason, by), held=held.items())
    subject.say(word, Saying(force))
