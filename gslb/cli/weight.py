"""`gslb weight`: a region, or a service, takes only a part of the clients that would come to it."""

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


def weight(
    words: Annotated[
        list[str], typer.Argument(metavar="[REGION] PART", help="The part it takes: 0.25, or 25%.")
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
    """Give a region only a part of the clients that would come to it; the others go to their next best."""
    # click gives what may be left out its words first, so that the last one would be missing.
    *regions, text = words
    if len(regions) > 1:
        raise GslbError("one region at a time", hint="as in `gslb weight eu-west 25%`")
    part = part_of(text)
    subject = subject_of(config, regions[0] if regions else None, service)
    word = subject.word(OverrideKind.WEIGHT, Terms(length, until, reason, by), weight=part)
    subject.say(word, Saying(force, dry_run, as_json))


def part_of(text: str) -> float:
    """`0.25` or `25%` to 0.25; raises GslbError for what is not from 0 to 1."""
    try:
        part = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        part = -1.0
    if not 0.0 <= part <= 1.0:
        raise GslbError(f"{text!r} is not a part", hint="write a number from 0 to 1, or like 25%")
    return part
