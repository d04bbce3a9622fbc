"""`gslb drain`: no new clients for a region, or for a service; those that are there may finish."""

from __future__ import annotations

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption
from gslb.cli.override import (
    ByOption,
    DryRunJsonOption,
    DryRunOption,
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
from gslb.world import OverrideKind


def drain(
    region: RegionArgument = None,
    service: ServiceOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    length: ForOption = None,
    until: UntilOption = None,
    reason: ReasonOption = "",
    by: ByOption = None,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    as_json: DryRunJsonOption = False,
) -> None:
    """Send no new clients to a region; those it has may finish."""
    subject = subject_of(config, region, service)
    word = subject.word(OverrideKind.DRAIN, Terms(length, until, reason, by))
    subject.say(word, Saying(force, dry_run, as_json))
