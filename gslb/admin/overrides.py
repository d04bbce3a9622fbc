"""What operators say over HTTP: overrides on regions, services in regions and services everywhere."""

from __future__ import annotations

from typing import Self

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError, model_validator

from gslb.admin.documents import override_document
from gslb.errors import GslbError
from gslb.node import DnsNode
from gslb.override_effect import left_without, subject_text, verdicts_to_hold, with_override
from gslb.world import Override, OverrideKind

EVERYWHERE = "*"
"""In place of a region, for a service wherever it is."""

LONGEST_OVERRIDE = 10 * 366 * 86400.0
"""Seconds; what is to last longer is better said in the fleet's file."""


class OverrideRequest(BaseModel, extra="forbid"):
    """The body of `PUT /v1/overrides/REGION` (`*`: everywhere). force: even if a service is left without a
    region."""

    kind: OverrideKind
    by: str = Field(min_length=1, max_length=200)
    reason: str = Field("", max_length=500)
    duration: float | None = Field(
        None, gt=0, le=LONGEST_OVERRIDE, allow_inf_nan=False, description="seconds; without it, until cleared"
    )
    service: str = Field("", max_length=255)
    weight: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    force: bool = False

    @model_validator(mode="after")
    def _weight_where_it_belongs(self) -> Self:
        if (self.kind is OverrideKind.WEIGHT) != (self.weight is not None):
            raise ValueError("weight goes with the kind weight, and that with it")
        return self


async def put_override(request: web.Request, node: DnsNode) -> web.Response:
    """Put a word in force; refused if it would leave a service without a region and is not forced."""
    try:
        wanted = OverrideRequest.model_validate_json(await request.read())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        raise GslbError(f"{place}: {first['msg']}", hint='as in {"kind": "drain", "by": "ana"}') from None
    region = _region(request, node, wanted.service)
    world, now = node.store.world, node.clock.now()
    until = now + wanted.duration if wanted.duration is not None else None
    held = (
        tuple(verdicts_to_hold(node.fleet, world, region, wanted.service).items())
        if wanted.kind is OverrideKind.HOLD
        else ()
    )
    override = Override(
        region, wanted.kind, wanted.by, wanted.reason, now, until, wanted.service, wanted.weight, held
    )
    lost = left_without(node.fleet.services.values(), world, with_override(node.fleet, world, override))
    if lost and not wanted.force:
        raise GslbError(
            f"{subject_text(region, wanted.service)}: {', '.join(lost[:3])} would be left without a region",
            hint='to do it nonetheless, add "force": true',
        )
    await node.store.set_override(override)
    return web.json_response({"region": region or EVERYWHERE, **override_document(override)})


async def delete_override(request: web.Request, node: DnsNode) -> web.Response:
    """Take a word back."""
    service = request.query.get("service", "")
    region = _region(request, node, service)
    by = request.query.get("by", "")
    if not 0 < len(by) <= 200:
        raise GslbError("the parameter 'by' is missing", hint="who clears it, as in ?by=ana")
    cleared = await node.store.clear_override(region, by, service)
    return web.json_response({"region": region or EVERYWHERE, "service": service, "cleared": cleared})


def _region(request: web.Request, node: DnsNode, service: str) -> str:
    """The region that is named, empty for everywhere; raises GslbError where it or the service is not one."""
    fleet = node.fleet
    name = request.match_info["region"]
    if service and service not in fleet.services:
        raise GslbError(f"there is no service {service!r}", hint=f"services: {', '.join(fleet.services)}")
    if name == EVERYWHERE and service:
        return ""
    if name not in fleet.regions:
        raise GslbError(f"there is no region {name!r}", hint=f"regions: {', '.join(fleet.regions)}")
    if service and name not in fleet.services[service].regions:
        served = ", ".join(fleet.services[service].regions)
        raise GslbError(f"{service} is not served from {name}", hint=f"it is from {served}")
    return name
