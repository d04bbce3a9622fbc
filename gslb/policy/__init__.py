"""Policies rank regions for a client, one file each; `decide` composes them with the world's state."""

from __future__ import annotations

from collections.abc import Mapping

from gslb.policy.base import Client, Consults, Explanation, Policy, PolicyOptions, Ranking
from gslb.policy.failover import Failover
from gslb.policy.geo import Geo
from gslb.policy.nearest import Nearest
from gslb.policy.weighted import Weighted

POLICIES: Mapping[str, type[Policy]] = {policy.name: policy for policy in (Nearest, Geo, Failover, Weighted)}

__all__ = ["POLICIES", "Client", "Consults", "Explanation", "Policy", "PolicyOptions", "Ranking"]
