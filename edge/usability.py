"""Decides which servers of a pool get requests: checks, operators, ejections and panic, all weighed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edge.ejection import panics
from gslb.fleet import ServerMode
from gslb.world import Verdict


class Known(Protocol):
    """What is known of a server. ejected: by how its requests went."""

    @property
    def verdict(self) -> Verdict: ...

    @property
    def mode(self) -> ServerMode: ...

    @property
    def full_weight(self) -> int: ...

    @property
    def backup(self) -> bool: ...

    @property
    def ejected(self) -> bool: ...


def usable_servers(servers: Sequence[Known], panic: float) -> tuple[list[bool], bool]:
    """Whether each may get requests, and whether that is out of panic. panic: as `Pool` has it.

    UNKNOWN is usable. An ejected server is used where no healthy one is left: what it might do is better than
    nothing, which is what it would do to nobody. Panic counts normal servers alone; when too few of them are
    usable, the fault may well be the checks' own, and what traffic is left would crush those few.
    """
    ready = [server.mode is ServerMode.READY and server.full_weight > 0 for server in servers]
    healthy = [may and server.verdict is not Verdict.DOWN for may, server in zip(ready, servers, strict=True)]
    fit = [may and not server.ejected for may, server in zip(healthy, servers, strict=True)]
    usable = fit if any(fit) else healthy
    normal = [index for index, server in enumerate(servers) if ready[index] and not server.backup]
    if panics(sum(usable[index] for index in normal), len(normal), panic):
        return [may and (usable[index] or index in normal) for index, may in enumerate(ready)], True
    return usable, False
