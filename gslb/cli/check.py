"""`gslb check`: tells all that is wrong or unwise in a fleet's file, and what it would change."""

from __future__ import annotations

import json
from dataclasses import dataclass
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

    With --diff or --against, exit status 3 if more than a third of the services, zones, names or regions
    would go.
    """
    from gslb.config import check as check_file

    if schema:
        from gslb.config.schema import json_schema

        typer.echo(json.dumps(json_schema(), indent=2))
        return
    result = check_file(file, certificates=True)
    told: Comparison | None = None
    nothing_to_compare: GslbError | None = None
    if result.fleet is not None and (diff or against):
        try:
            told = _comparison(result.fleet, against)
        except GslbError as error:
            nothing_to_compare = error
    if as_json:
        typer.echo(json.dumps(_documents(result, told), indent=2))
    else:
        _show(file, result, told)
    if nothing_to_compare is not None:
        # Now that what was found in the file itself is told.
        raise nothing_to_compare
    if result.errors:
        raise typer.Exit(BAD_CONFIGURATION)
    if told is not None and told.difference.too_much is not None and not force:
        raise typer.Exit(TOO_MUCH)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs, and from what: a file, or what a node runs."""

    against: str
    difference: Difference


def _comparison(fleet: Fleet, against: Path | None) -> Comparison:
    """From the file `against`, or from what runs, to `fleet`. Raises GslbError."""
    from gslb.config import load
    from gslb.config.declaration import declaration
    from gslb.config.difference import difference

    if against is not None:
        return Comparison(str(against), difference(declaration(load(against)), declaration(fleet)))
    node, running = _running(fleet)
    return Comparison(f"what {node} runs", difference(running, declaration(fleet)))


def _running(fleet: Fleet) -> tuple[str, Declaration]:
    """The name of a node that answers, and what it says it runs."""
    from gslb.cli.running import ask_node

    document = ask_node(fleet, "/v1/fleet", timeout=PATIENCE)
    if document is None:
        raise GslbError(
            f"no DNS node of {fleet.file} answers on its admin side",
            hint="run this beside a node, or name the file to compare with: --against OLD_FILE",
        )
    declared: Declaration = document["declared"]
    return str(document["node"]), declared


def _show(file: Path, result: CheckResult, told: Comparison | None) -> None:
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
        difference = told.difference
        typer.echo(f"compared with {told.against}:")
        for line in difference.lines() or ["nothing changes"]:
            typer.echo(line)
        for warning in difference.warnings:
            typer.echo(f"warning: {warning}", err=True)
        if difference.too_much is not None:
            typer.echo(
                f"{file}: {difference.too_much}; nodes take it up with `gslb reload --force` only", err=True
            )


def _documents(result: CheckResult, told: Comparison | None) -> dict[str, object]:
    documents: dict[str, object] = {
        "errors": [_document(problem) for problem in result.errors],
        "warnings": [_document(problem) for problem in result.warnings],
    }
    if told is not None:
        documents["difference"] = {"against": told.against, **told.difference.document()}
    return documents


def _document(problem: Problem) -> dict[str, object]:
    place = problem.place
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "message": problem.message,
        "hint": problem.hint or None,
    }
