"""`gslb check`: tells everything that is wrong or unwise in a fleet's file, and starts nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gslb.cli.options import DEFAULT_CONFIG, JsonOption
from gslb.errors import Problem


def check(
    file: Annotated[Path, typer.Argument(help="The fleet's file.")] = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the file's JSON Schema and end.")] = False,
) -> None:
    """Check a fleet's file: every error with its place (exit status 2), and warnings."""
    from gslb.config import check as check_file

    if schema:
        from gslb.config.schema import json_schema

        typer.echo(json.dumps(json_schema(), indent=2))
        return
    result = check_file(file)
    if as_json:
        document = {
            "errors": [_document(problem) for problem in result.errors],
            "warnings": [_document(problem) for problem in result.warnings],
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        for problem in result.errors:
            typer.echo(str(problem), err=True)
        for problem in result.warnings:
            typer.echo(f"warning: {problem}", err=True)
        if result.fleet is not None:
            fleet = result.fleet
            parts = {
                "region": fleet.regions,
                "service": fleet.services,
                "zone": fleet.zones,
                "pool": fleet.pools,
                "route": fleet.routes,
            }
            counts = [f"{len(part)} {noun}{'' if len(part) == 1 else 's'}" for noun, part in parts.items()]
            typer.echo(f"{file}: good: {', '.join(counts)}")
    if result.errors:
        raise typer.Exit(2)


def _document(problem: Problem) -> dict[str, object]:
    place = problem.place
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "message": problem.message,
        "hint": problem.hint or None,
    }
