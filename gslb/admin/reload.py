"""The file that a process goes by, on its admin side: told to be read again, and counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Literal

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gslb.aside import aside
from gslb.errors import GslbError
from gslb.reload_outcome import Status
from gslb.reload_turns import ReloadTurns

Kind = Literal["node", "edge"]
"""What a process is: the name of the parameter, and of the member in the answer, that say which one."""

KINDS: tuple[Kind, ...] = ("node", "edge")


async def reload_response(
    request: web.Request, kind: Kind, name: str, configuration: ReloadTurns[Any]
) -> web.Response:
    """200 when the file runs now, 409 when it was refused; the document says why.

    kind, name: who is asked here. Raises GslbError when somebody else is meant.
    """
    for meant in KINDS:
        wanted = request.query.get(meant, name if meant == kind else None)
        if wanted is not None and (meant, wanted) != (kind, name):
            other = repr(wanted) if meant == kind else f"the {meant} {wanted!r}"
            raise GslbError(f"this is the {kind} {name!r}, not {other}", hint="see its `admin` address")
    force = request.query.get("force", "false")
    if force not in ("true", "false"):
        raise GslbError("force must be true or false")
    outcome = await configuration.reload("request", force=force == "true")
    named = {kind: name, "file": configuration.file}
    status = 409 if outcome.status is Status.REFUSED else 200
    return await made_aside(lambda: {**named, **outcome.document()}, status)


async def made_aside(document: Callable[[], dict[str, Any]], status: int = 200) -> web.Response:
    """A response that may be megabytes: to make it here would stop probes and connections meanwhile."""
    text = await aside(lambda: json.dumps(document()))
    return web.json_response(text=text, status=status)


def reload_metrics(configuration: ReloadTurns[Any]) -> Iterator[Metric]:
    """How often the file was taken up and refused, since when it runs, and whether it still does."""
    reloads = CounterMetricFamily("gslb_reloads", "Changed files, by what came of them.", labels=["outcome"])
    reloads.add_metric(["taken_up"], configuration.taken_up)
    reloads.add_metric(["refused"], configuration.refused)
    yield reloads
    yield GaugeMetricFamily(
        "gslb_configuration_loaded_timestamp_seconds", "When what runs was read.", configuration.loaded_at
    )
    yield GaugeMetricFamily(
        "gslb_configuration_refused",
        "Whether the file as it stands is refused, and an older one serves on.",
        float(bool(configuration.last_error)),
    )
