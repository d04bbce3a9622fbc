"""`gslb reload`: has running DNS nodes and edges read their file again, and tells what came of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from gslb.command import BAD_CONFIGURATION, FAILED, TOO_MUCH
from gslb.config import load
from gslb.errors import GslbError
from gslb.fleet import Fleet, SocketAddress

if TYPE_CHECKING:
    from gslb.admin.reload import Kind

PATIENCE = 120.0
"""Seconds for a process to read its file, however large, and to probe what is new in it."""

_FAILED = "failed"
"""The status of a process that could not be told to reload."""


@dataclass(frozen=True, slots=True)
class Process:
    """A DNS node or an edge of the file."""

    kind: Kind
    name: str
    admin: SocketAddress | None


def reload(
    config: ConfigOption = DEFAULT_CONFIG,
    name: Annotated[
        str | None, typer.Option("--name", help="Only this DNS node or edge; else all that answer.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Even if more than a third of the services, zones, names or regions goes."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Have running DNS nodes and edges take up their changed file, without losing a query or a request.

    Needs GSLB_ADMIN_TOKEN.
    """
    from gslb.admin.access import admin_token

    fleet, token = load(config), admin_token()
    answers: list[dict[str, Any]] = []
    silent: list[str] = []
    for address, processes in _addresses(fleet, name).items():
        document = _tell(address, processes, _parameters(processes, name, force=force), token)
        if document is None:
            silent.append(f"{_names(processes)} at {address}")
            unheard, why = processes, f"nobody answers at {address}"
        else:
            answers.append(document)
            unheard = _unheard(processes, document)
            why = f"not reached, as {_who(document)} answers at {address}; run this beside it"
            if not as_json:
                _show(document)
        for each in unheard:
            typer.echo(f"{each.name}: {why}", err=True)
    if name is None and (hidden := [each for each in _processes(fleet) if each.admin is None]):
        typer.echo(f"{_names(hidden)}: not asked, having no admin side (SIGHUP does the same)", err=True)
    if not answers:
        raise GslbError(
            f"nobody answers for {', '.join(silent)}",
            hint="run this beside the process; one whose `admin` was changed in the file takes a SIGHUP",
        )
    if as_json:
        typer.echo(json.dumps(answers, indent=2))
    if status := max(map(_exit_status, answers)):
        raise typer.Exit(status)


def _tell(
    address: SocketAddress, processes: list[Process], parameters: dict[str, str], token: str | None
) -> dict[str, Any] | None:
    """What came of it at one admin side; None when nobody is there."""
    from gslb.cli.running import tell

    try:
        return tell(address, "/v1/reload", parameters, token=token, timeout=PATIENCE)
    except GslbError as error:
        # The others are asked all the same.
        kinds = dict.fromkeys(each.kind for each in processes)
        named: dict[str, Any] = {
            kind: _names([each for each in processes if each.kind == kind]) for kind in kinds
        }
        return {**named, "status": _FAILED, "error": error.message, "hint": error.hint}


def _parameters(processes: list[Process], name: str | None, *, force: bool) -> dict[str, str]:
    """Who is told what. Without a name whoever answers may do it: it is told who that was."""
    parameters = {"force": "true"} if force else {}
    if name is not None and len(processes) == 1:
        parameters[processes[0].kind] = name
    return parameters


def _processes(fleet: Fleet) -> list[Process]:
    nodes = [Process("node", node.name, node.admin) for node in fleet.dns.nodes.values()]
    edges = [
        Process("edge", edge.name, edge.admin) for region in fleet.regions.values() for edge in region.edges
    ]
    return nodes + edges


def _addresses(fleet: Fleet, name: str | None) -> dict[SocketAddress, list[Process]]:
    """The admin sides to ask, each with who has it: on other machines they may have the same address."""
    processes = _processes(fleet)
    wanted = [each for each in processes if name in (None, each.name)]
    if not wanted:
        raise GslbError(f"there is no DNS node or edge {name!r} in {fleet.file}", hint=_choice(processes))
    addresses: dict[SocketAddress, list[Process]] = {}
    for each in wanted:
        if each.admin is not None:
            addresses.setdefault(each.admin, []).append(each)
    if not addresses:
        said = f"{name} has no admin side" if name else "no DNS node and no edge has an admin side"
        raise GslbError(f"{said} in {fleet.file}", hint="send the process a SIGHUP")
    return addresses


def _choice(processes: list[Process]) -> str:
    nodes = ", ".join(each.name for each in processes if each.kind == "node") or "none"
    edges = ", ".join(each.name for each in processes if each.kind == "edge") or "none"
    return f"nodes: {nodes}; edges: {edges}"


def _names(processes: list[Process]) -> str:
    return " and ".join(each.name for each in processes)


def _who(document: dict[str, Any]) -> str:
    """The name of who answered, or of all who might have."""
    return " and ".join(document[kind] for kind in ("node", "edge") if kind in document)


def _unheard(processes: list[Process], document: dict[str, Any]) -> list[Process]:
    """Who has this address and is not who answered."""
    if document["status"] == _FAILED:
        return []
    return [each for each in processes if document.get(each.kind) != each.name]


def _show(document: dict[str, Any]) -> None:
    who, status = _who(document), document["status"]
    if status == _FAILED:
        typer.echo(f"{who}: {GslbError(document['error'], hint=document['hint'])}", err=True)
        return
    if status == "refused":
        typer.echo(f"{who}: refused, the old configuration serves on", err=True)
        for problem in document["problems"]:
            typer.echo(f"  {problem}", err=True)
        if document["too_much"]:
            typer.echo(f"  {document['too_much']} (--force takes it up all the same)", err=True)
    elif status == "unchanged":
        typer.echo(f"{who}: nothing changed")
    else:
        typer.echo(f"{who}: taken up")
    for line in document["lines"]:
        typer.echo(f"  {line}")
    for what in document["needs_restart"]:
        # A node's lines tell it already.
        if not any(line.endswith(f"(needs a restart: {what})") for line in document["lines"]):
            typer.echo(f"  needs a restart: {what}")
    for warning in document["warnings"]:
        typer.echo(f"  warning: {warning}", err=True)


def _exit_status(document: dict[str, Any]) -> int:
    if document["status"] == _FAILED:
        return FAILED
    if document["status"] != "refused":
        return 0
    return TOO_MUCH if document["too_much"] else BAD_CONFIGURATION
