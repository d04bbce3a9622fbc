"""`gslb clear`: an operator's word is taken back, and what is observed counts again."""

from __future__ import annotations

import asyncio

import typer

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption
from gslb.cli.override import (
    ByOption,
    ForceOption,
    RegionArgument,
    ServiceOption,
    Subject,
    kind_text,
    subject_of,
    whoami,
)
from gslb.clock import SystemClock
from gslb.override_effect import subject_text, without_override


def clear(
    region: RegionArgument = None,
    service: ServiceOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    by: ByOption = None,
    force: ForceOption = False,
) -> None:
    """Take an override back: what is observed counts again."""
    from gslb.store.oneshot import clear_override

    subject = subject_of(config, region, service)
    after = without_override(subject.fleet, subject.world, subject.region, subject.service)
    subject.check(after, force=force)
    clearing = clear_override(
        subject.fleet, SystemClock(), subject.region, by=by or whoami(), service=subject.service
    )
    cleared = asyncio.run(clearing)
    typer.echo(f"{subject.text}: cleared" if cleared else f"{subject.text}: there was no override")
    for line in _others(subject):
        typer.echo(f"  {line}")


def _others(subject: Subject) -> list[str]:
    """Words that go on, on more or on less than the subject: people often mean those."""
    told = {}
    for name in subject.regions:
        state = subject.world.region(name)
        for service, word in {"": state.override, **state.overrides}.items():
            concerns = not subject.service or service in ("", subject.service)
            if word is None or not concerns or (word.region, service) == (subject.region, subject.service):
                continue
            text = subject_text(word.region, service)
            where = [word.region] if word.region else []
            arguments = " ".join([*where, *([f"--service {service}"] if service else [])])
            told[text] = f"still in force: {text}: {kind_text(word)} by {word.by} (`gslb clear {arguments}`)"
    return list(told.values())
