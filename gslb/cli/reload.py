"""`gslb reload`: has running DNS nodes read their file again, and tells what came of it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from gslb.command import BAD_CONFIGURATION, FAILED, TOO_MUCH
from gslb.config import load
from gslb.errors import GslbError
from gslb.fleet import Fleet, Node, SocketAddress

PATIENCE = 120.0
"""Seconds for a node to read its file, however large, and to probe what is new in it."""

_FAILED = "failed"
"""The status of a node that could not be told to reload."""


def reload(
    config: ConfigOption = DEFAULT_CONFIG,
    name: Annotated[
        str | None, typer.Option("--name", help="Only this DNS node; else all that answer.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Even if more than a third of the services, zones, names or regions goes."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Have running DNS nodes take up their changed file, without losing a query; needs GSLB_ADMIN_TOKEN."""
    from gslb.admin.access import admin_token

    fleet, token = load(config), admin_token()
    parameters = {"force": "true"} if force else {}
    if name is not None:
        parameters["node"] = name
    answers: list[dict[str, Any]] = []
    silent: list[str] = []
    for address, names in _addresses(fleet, name).items():
        document = _tell(address, names, parameters, token)
        if document is None:
            silent.append(f"{' and '.join(names)} at {address}")
            unheard, why = names, f"nobody answers at {address}"
        else:
            answers.append(document)
            unheard = [] if document["status"] == _FAILED else [n for n in names if n != document["node"]]
            why = f"not reached, as {document['node']} answers at {address}; run this beside it"
            if not as_json:
                _show(document)
        for node in unheard:
            typer.echo(f"{node}: {why}", err=True)
    if not answers:
        raise GslbError(
            f"nobody answers for {', '.join(silent)}",
            hint="run this beside the node; one whose `admin` address was changed in the file takes a SIGHUP",
        )
    if as_json:
        typer.echo(json.dumps(answers, indent=2))
    if status := max(map(_exit_status, answers)):
        raise typer.Exit(status)


def _tell(
    address: SocketAddress, names: list[str], parameters: dict[str, str], token: str | None
) -> dict[str, Any] | None:
    """What came of it at one admin side; None when nobody is there."""
    from gslb.cli.running import tell_node

    try:
        return tell_node(address, "/v1/reload", parameters, token=token, timeout=PATIENCE)
    except GslbError as error:
        # The others are asked all the same.
        return {
            "node": " and ".join(names),
            "status": _FAILED,
            "error": error.message,
            "hint": error.hint,
        }


def _addresses(fleet: Fleet, name: str | None) -> dict[SocketAddress, list[str]]:
    """The admin sides to ask, each with its nodes: on other machines they may have the same address."""
    nodes = fleet.dns.nodes
    if name is not None and name not in nodes:
        raise GslbError(f"there is no DNS node {name!r} in {fleet.file}", hint=f"nodes: {', '.join(nodes)}")
    wanted: list[Node] = [node for node in nodes.values() if name in (None, node.name)]
    addresses: dict[SocketAddress, list[str]] = {}
    for node in wanted:
        if node.admin is not None:
            addresses.setdefault(node.admin, []).append(node.name)
    if not addresses:
        said = f"the DNS node {name} has no admin side" if name else "no DNS node has an admin side"
        raise GslbError(f"{said} in {fleet.file}", hint="send the process a SIGHUP")
    return addresses


def _show(document: dict[str, Any]) -> None:
    node, status = document["node"], document["status"]
    if status == _FAILED:
        typer.echo(f"{node}: {GslbError(document['error'], hint=document['hint'])}", err=True)
        return
    if status == "refused":
        typer.echo(f"{node}: refused, the old configuration serves on", err=True)
        for problem in document["problems"]:
            typer.echo(f"  {problem}", err=True)
        if document["too_much"]:
            typer.echo(f"  {document['too_much']} (--force takes it up all the same)", err=True)
    elif status == "unchanged":
        typer.echo(f"{node}: nothing changed")
    else:
        typer.echo(f"{node}: taken up")
    for line in document["lines"]:
        typer.echo(f"  {line}")
    for warning in document["warnings"]:
        typer.echo(f"  warning: {warning}", err=True)


def _exit_status(document: dict[str, Any]) -> int:
    if document["status"] == _FAILED:
        return FAILED
    if document["status"] != "refused":
        return 0
    return TOO_MUCH if document["too_much"] else BAD_CONFIGURATION
