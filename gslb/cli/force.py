"""`gslb force`: a region, or a service, counts as up or as down whatever is observed."""

from __future__ import annotations

from typing import Annotated

import typer

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption
from gslb.cli.override import (
    ByOption,
    DryRunJsonOption,
    DryRunOption,
    ForceOption,
    ForOption,
    ReasonOption,
    Saying,
    ServiceOption,
    Terms,
    UntilOption,
    subject_of,
)
from gslb.errors import GslbError
from gslb.world import OverrideKind

_DIRECTIONS = {"up": OverrideKind.FORCED_UP, "down": OverrideKind.FORCED_DOWN}


def force(
    words: Annotated[
        list[str], typer.Argument(metavar="[REGION] up|down", help="Which way, whatever is observed.")
    ],
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
    """Treat a region as up, or as down, whatever is observed."""
    # click gives what may be left out its words first, so that the last one would be missing.
    *regions, direction = words
    if direction not in _DIRECTIONS or len(regions) > 1:
        raise GslbError("say which way", hint="as in `gslb force eu-west down`")
    subject = subject_of(config, regions[0] if regions else None, service)
    word = subject.word(_DIRECTIONS[direction], Terms(length, until, reason, by))
    subject.say(word, Saying(force, dry_run, as_json))
