"""The checks a target's health can be judged by: one file each, all of them listed in CHECKS."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gslb.health.checks.agent import AgentCheck
from gslb.health.checks.base import BODY_LIMIT, Check, CheckOptions, ProbeOutcome
from gslb.health.checks.http import HttpCheck
from gslb.health.checks.tcp import TcpCheck

CHECKS: Mapping[str, type[Check]] = MappingProxyType(
    {each.name: each for each in (HttpCheck, TcpCheck, AgentCheck)}
)
"""Every check by the name that `type` has in regions.yaml."""

__all__ = [
    "BODY_LIMIT",
    "CHECKS",
    "AgentCheck",
    "Check",
    "CheckOptions",
    "HttpCheck",
    "ProbeOutcome",
    "TcpCheck",
]
