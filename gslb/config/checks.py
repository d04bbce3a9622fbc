"""Reads the `checks:` section, where `type` chooses which further keys there are."""

from __future__ import annotations

from pydantic import ValidationError

from gslb.config.check_timings import CheckTimings
from gslb.config.document import KeyPath
from gslb.config.explain import report
from gslb.config.findings import Findings
from gslb.config.suggest import remedy
from gslb.fleet import HealthCheck
from gslb.health.checks import CHECKS


def read_check(findings: Findings, path: KeyPath, name: str, data: object) -> HealthCheck | None:
    """The check at `path`, or None when something is wrong with it, which is reported."""
    if not isinstance(data, dict):
        shown = findings.shown(path, data)
        findings.error(
            path, f"must be a mapping, and {shown} is not", f"write `type: {next(iter(CHECKS))}` below it"
        )
        return None
    timings_data = {key: value for key, value in data.items() if key in CheckTimings.model_fields}
    options_data = {key: value for key, value in data.items() if key not in timings_data and key != "type"}
    timings = None
    try:
        timings = CheckTimings.model_validate(timings_data)
    except ValidationError as error:
        report(findings, path, data, error, CheckTimings)
    kind = data.get("type")
    if not isinstance(kind, str) or kind not in CHECKS:
        _report_type(findings, path, data)
        return None
    check = CHECKS[kind]
    try:
        ready = check.from_options(check.Options.model_validate(options_data))
    except ValidationError as error:
        report(findings, path, data, error, check.Options, ("type", *CheckTimings.model_fields))
        return None
    except ValueError as error:
        findings.error(path, "does not fit" if findings.secret(path) else str(error))
        return None
    if timings is None:
        return None
    return timings.health_check(name, ready)


def _report_type(findings: Findings, path: KeyPath, data: dict[str, object]) -> None:
    types = "types: " + ", ".join(CHECKS)
    if "type" not in data:
        findings.error(path, "`type` is missing", types, key=True)
        return
    place = (*path, "type")
    kind = data["type"]
    known = remedy(kind, CHECKS, "types") if isinstance(kind, str) and not findings.secret(place) else types
    findings.error(place, f"there is no type {findings.shown(place, kind)}", known)


def default_edge_check(health_path: str) -> HealthCheck:
    """How DNS nodes probe the edges of a region that names no check."""
    http = CHECKS["http"]
    return HealthCheck("default http", http.from_options(http.Options.model_validate({"path": health_path})))


def default_tcp_check() -> HealthCheck:
    """How edges probe the servers of a pool, and DNS nodes the hostname of a region, that names no check."""
    tcp = CHECKS["tcp"]
    return HealthCheck("default tcp", tcp.from_options(tcp.Options()))
