"""`gslb explain`: what a client is told, and why."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_address
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from gslb.clock import SystemClock
from gslb.config import load
from gslb.errors import GslbError, StoreError
from gslb.fleet import Fleet


def explain(
    name: Annotated[str, typer.Argument(help="The name asked for, such as www.shop.example.")],
    client: Annotated[str, typer.Option("--from", help="The client's address, or one in its network.")],
    rtype: Annotated[str, typer.Option("--type", help="The type asked for.")] = "A",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask a running node; compute from the file alone.")
    ] = False,
) -> None:
    """Explain an answer: the regions in order, with every reason. Asks a running node if there is one."""
    try:
        ip_address(client)
    except ValueError:
        raise GslbError(f"{client!r} is not an IP address", hint="as in --from 203.0.113.7") from None
    fleet = load(config)
    parameters = {"name": name, "from": client, "type": rtype}
    document = None if offline else ask(fleet, parameters)
    if document is None:
        document = _compute(fleet, name, rtype, client, offline=offline)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        _show(document, Console(highlight=False))


def ask(fleet: Fleet, parameters: dict[str, str]) -> dict[str, Any] | None:
    """The running node's own explanation, None when no node answers."""
    from gslb.cli.running import ask_node

    return ask_node(fleet, "/v1/explain", parameters)


def _compute(fleet: Fleet, name: str, rtype: str, client: str, *, offline: bool) -> dict[str, Any]:
    from gslb.admin.documents import reply_document
    from gslb.dns.authority import Authority
    from gslb.dns.zones import load_zones
    from gslb.geo.locator import Locator
    from gslb.health.fold import fold_world
    from gslb.store.oneshot import read_world

    clock = SystemClock()
    source = "the file alone, nothing observed"
    world = fold_world(fleet, (), (), (), at=clock.now(), store_read_at=None)
    if not offline and fleet.redis.url is not None:
        try:
            world = asyncio.run(read_world(fleet, clock))
            source = "the file and what stands in Redis"
        except StoreError:
            pass
    authority = Authority(fleet, load_zones(fleet), Locator(fleet.geo, fleet.networks()), world)
    reply = authority.explain(name, rtype, ip_address(client), clock.now())
    return {"computed_from": source, **reply_document(name, rtype, reply)}


def _show(document: dict[str, Any], console: Console) -> None:
    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    origin = f"node {document['node']}" if "node" in document else document["computed_from"]
    question = escape(f"{document['name']} {document['type']}")
    say(f"[bold]{question}[/bold]  {document['rcode']}  [dim]by {origin}[/dim]")
    for line in document["answer"]:
        say(f"  {escape(line)}")
    decision = document["decision"]
    if decision is not None:
        say(f"client {decision['client']} is in {escape(decision['location']['text'])}")
        say(f"scope /{decision['scope']}, share {decision['share']}, TTL {decision['ttl']} s")
        for sentence in (*decision["outcome"], *decision["notes"]):
            say(f"  {escape(sentence)}")
        for position, ranked in enumerate(decision["ranked"], 1):
            answers = ranked["region"] in (document["answered_by"] or [decision["chosen"]])
            style = "bold green" if answers else ("default" if ranked["eligible"] else "red")
            sentences = "; ".join(ranked["reasons"]) or ranked["region"]
            say(f"  {position}. [{style}]{escape(sentences)}[/{style}]")
