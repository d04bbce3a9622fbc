"""`gslb simulate pool`: how balancing methods compare on a load that the user describes."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.simulate.load import Load, Tail, rate_for
from gslb.errors import GslbError

if TYPE_CHECKING:
    from edge.simulate.outcome import Outcome
    from edge.simulate.scenario import Illness
    from gslb.balancing import Balancing
    from gslb.fleet import Fleet


def pool(
    method: Annotated[
        list[str] | None, typer.Option("--method", "-m", help="One to try; repeatable; all if left out.")
    ] = None,
    servers: Annotated[int, typer.Option(min=1, max=1000, help="How many, all alike.")] = 10,
    workers: Annotated[int, typer.Option(min=1, help="Requests that a server works on at a time.")] = 4,
    load: Annotated[
        float, typer.Option(min=0.01, max=10, help="Share of what the servers can do; above 1 is too much.")
    ] = 0.7,
    slow: Annotated[int, typer.Option(min=0, help="So many of the first servers are slow.")] = 0,
    slow_factor: Annotated[float, typer.Option(min=0.01, help="They need so many times as long.")] = 5.0,
    failing: Annotated[int, typer.Option(min=0, help="So many of the next servers fail at once.")] = 0,
    failing_share: Annotated[float, typer.Option(min=0, max=1, help="They fail that share.")] = 1.0,
    leaving: Annotated[int, typer.Option(min=0, help="So many of the last leave half-way.")] = 0,
    max_connections: Annotated[
        int | None, typer.Option(min=1, help="Requests that an edge sends to a server at a time, at most.")
    ] = None,
    requests: Annotated[int, typer.Option(min=1, help="How many come.")] = 100_000,
    mean: Annotated[float, typer.Option(min=0.001, help="Milliseconds that one takes on average.")] = 20.0,
    tail: Annotated[Tail, typer.Option(help="How much they differ.")] = Tail.LOGNORMAL,
    clients: Annotated[int, typer.Option(min=1, help="How many they come from.")] = 10_000,
    skew: Annotated[float, typer.Option(min=0, max=5, help="0: all clients alike; 1: few send most.")] = 0.8,
    edges: Annotated[
        int, typer.Option(min=1, max=100, help="Edges or processes that do not know what others send.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of chance, so that it can be repeated.")] = 1,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Take method and servers from this fleet's file.")
    ] = None,
    pool_name: Annotated[str | None, typer.Option("--pool", help="Which pool of that file.")] = None,
    region: Annotated[
        str | None, typer.Option(help="In which region of it; the first with servers if left out.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw it, too: a .svg or .png file.")] = None,
    title: Annotated[str | None, typer.Option(help="What the picture is headed with.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Compare balancing methods on a made-up load, in simulated time.

    The methods are those of the edge; servers are simple queues. Nothing is retried and no server is
    ejected, so that what is seen is the methods' own doing.
    """
    from edge.simulate.scenario import Illness, afflict, declared_servers, even_servers

    illness = Illness(slow, slow_factor, failing, failing_share, leaving)
    most = inf if max_connections is None else max_connections
    if picture is not None:
        _check_picture(picture)
    fleet = _fleet(config, pool_name, region)
    if fleet is not None and pool_name is not None:
        well = declared_servers(fleet, pool_name, region, workers, most)
    else:
        well = even_servers(servers, workers, most)
    simulated = afflict(well, illness)
    seconds = mean / 1000
    rate = rate_for(simulated, load, seconds)
    if rate <= 0:
        raise GslbError("no server of the pool can answer anything", hint="let fewer fail")
    simulation = Load(simulated, rate, requests, seconds, tail, clients, skew, edges, requests // 2, seed)
    outcomes = _try_out(simulation, _methods(method, fleet, pool_name))
    _tell(simulation, load, illness, outcomes, as_json)
    if picture is not None:
        from edge.simulate.picture import draw

        draw(picture, title or f"{len(simulated)} servers at {load:.0%}", outcomes)


def _check_picture(file: Path) -> None:
    """Now, and not after a minute of simulation."""
    from edge.simulate.picture import check

    check(file)


def _fleet(config: Path | None, pool_name: str | None, region: str | None) -> Fleet | None:
    if config is None:
        if pool_name is not None or region is not None:
            raise GslbError("a pool or a region is named, but no file", hint="add --config FILE")
        return None
    if pool_name is None:
        raise GslbError(f"which pool of {config}?", hint="add --pool NAME")
    from gslb.config import load

    return load(config)


def _methods(names: list[str] | None, fleet: Fleet | None, pool_name: str | None) -> dict[str, Balancing]:
    """By name; the pool's own first, and alone unless others are named."""
    from edge.simulate.choices import CHOICES, choice

    if fleet is None or pool_name is None:
        return {name: choice(name) for name in names or CHOICES}
    own = fleet.pools[pool_name].method
    return {f"{own.name} of {pool_name}": own} | {name: choice(name) for name in names or ()}


def _try_out(load: Load, methods: dict[str, Balancing]) -> dict[str, Outcome]:
    from edge.simulate.choices import try_out
    from edge.simulate.load import course

    drawn = course(load)
    return {name: try_out(load, balancing, drawn) for name, balancing in methods.items()}


def _tell(
    load: Load, utilisation: float, illness: Illness, outcomes: dict[str, Outcome], as_json: bool
) -> None:
    if as_json:
        typer.echo(json.dumps({name: outcome.document() for name, outcome in outcomes.items()}, indent=2))
        return
    from rich.console import Console

    from edge.simulate.table import LEGEND, comparison, headline

    typer.echo(headline(load, utilisation))
    Console().print(comparison(outcomes, illness.slow + illness.failing))
    typer.echo(LEGEND)
