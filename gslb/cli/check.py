"""`gslb check`: tells all that is wrong or unwise in a fleet's file, and what it would change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gslb.cli.options import DEFAULT_CONFIG, JsonOption
from gslb.command import BAD_CONFIGURATION, TOO_MUCH
from gslb.errors import GslbError, Problem
from gslb.fleet import Fleet

if TYPE_CHECKING:
    from gslb.config import CheckResult
    from gslb.config.declaration import Declaration
    from gslb.config.difference import Difference


PATIENCE = 30.0
"""Seconds for a node to write down what it runs, however many records that is."""


def check(
    file: Annotated[Path, typer.Argument(help="The fleet's file.")] = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the file's JSON Schema and end.")] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Tell what differs from what a running DNS node serves.")
    ] = False,
    against: Annotated[
        Path | None, typer.Option("--against", help="Tell what differs from this file instead.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Find nothing wrong with dropping much; see --diff.")
    ] = False,
) -> None:
    """Check a fleet's file: every error with its place (exit status 2), and warnings.

    With --diff or --against, exit status 3 if more than a third of the names or of the regions would go.
    """
    from gslb.config import check as check_file

    if schema:
        from gslb.config.schema import json_schema

        typer.echo(json.dumps(json_schema(), indent=2))
        return
    result = check_file(file)
    told = _difference(result.fleet, against) if result.fleet is not None and (diff or against) else None
    if as_json:
        typer.echo(json.dumps(_documents(result, told), indent=2))
    else:
        _show(file, result, told)
    if result.errors:
        raise typer.Exit(BAD_CONFIGURATION)
    if told is not None and told.too_much is not None and not force:
        raise typer.Exit(TOO_MUCH)


def _difference(fleet: Fleet, against: Path | None) -> Difference:
    """From the file `against`, or from what runs, to `fleet`."""
    from gslb.config import load
    from gslb.config.declaration import declaration
    from gslb.config.difference import difference

    old = declaration(load(against)) if against is not None else _running(fleet)
    return difference(old, declaration(fleet))


def _running(fleet: Fleet) -> Declaration:
    from gslb.cli.running import ask_node

    document = ask_node(fleet, "/v1/fleet", timeout=PATIENCE)
    if document is None:
        raise GslbError(
            f"no DNS node of {fleet.file} answers on its admin side",
            hint="run this beside a node, or name the file to compare with: --against OLD_FILE",
        )
    declared: Declaration = document["declared"]
    return declared


def _show(file: Path, result: CheckResult, told: Difference | None) -> None:
    for problem in result.errors:
        typer.echo(str(problem), err=True)
    for problem in result.warnings:
        typer.echo(f"warning: {problem}", err=True)
    if (fleet := result.fleet) is not None:
        parts = {
            "region": fleet.regions,
            "service": fleet.services,
            "zone": fleet.zones,
            "pool": fleet.pools,
            "route": fleet.routes,
        }
        counts = [f"{len(part)} {noun}{'' if len(part) == 1 else 's'}" for noun, part in parts.items()]
        typer.echo(f"{file}: good: {', '.join(counts)}")
    if told is not None:
        for line in told.lines() or ["nothing changes"]:
            typer.echo(line)
        if told.too_much is not None:
            typer.echo(f"{file}: {told.too_much}; nodes take it up with `gslb reload --force` only", err=True)


def _documents(result: CheckResult, told: Difference | None) -> dict[str, object]:
    documents: dict[str, object] = {
        "errors": [_document(problem) for problem in result.errors],
        "warnings": [_document(problem) for problem in result.warnings],
    }
    return documents if told is None else {**documents, "difference": told.document()}


def _document(problem: Problem) -> dict[str, object]:
    place = problem.place
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "message": problem.message,
        "hint": problem.hint or None,
    }
