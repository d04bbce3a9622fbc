"""The section `pools`: groups of origin servers, and what each does with requests."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from gslb.config.bearing import (
    ConcurrencyEntry,
    EjectionEntry,
    Share,
    SlowStartEntry,
    SpillOverWord,
    StickyEntry,
)
from gslb.config.entry import Entry
from gslb.config.proxying import ConnectionsEntry, QueueEntry, ServerTlsSwitch
from gslb.config.references import CheckReference
from gslb.config.values import WHOLE
from gslb.fleet import Balancing, BalancingKey, HealthCheck, Pool, SlowStart, SpillOver

# The defaults have one home: the settings as everybody else knows them.
_METHOD = Balancing()


class PoolEntry(Entry):
    """A group of origin servers behind one balancing method."""

    # A method's name decides on its options: gslb.config.balancing reads this key and the next one.
    method: Any = Field(
        str(_METHOD.name), description="how requests are divided: a name, or `{name, ...}` with its options"
    )
    key: Any = Field(
        str(BalancingKey()),
        description="what methods that hash go by: `address`, `path`, or `{header}`, `{cookie}` or `{query}` "
        "with a name; where a request lacks it: the address",
    )
    check: CheckReference | None = Field(
        None, description="how edges probe its servers; default: a `tcp` check"
    )
    connections: ConnectionsEntry = Field(
        ConnectionsEntry(), description="of one edge process to each of its servers"
    )
    queue: QueueEntry = Field(QueueEntry(), description="requests that wait until a server has room")
    tls: ServerTlsSwitch = Field(
        None, description="how its servers are spoken to: `true`, `false`, or what TLS shall be like"
    )
    proxy_protocol: Annotated[int, Field(ge=1, le=2), WHOLE] | None = Field(
        None,
        description="version of the PROXY header that begins every connection to them; none when left out",
    )
    ejection: EjectionEntry = Field(
        EjectionEntry(), description="when a server gets no requests for a while, whatever checks say"
    )
    panic: Share = Field(
        0.0,
        description="below this share of usable servers, 0 to 1, all of them are used, whatever checks say; "
        "0: never",
    )
    slow_start: SlowStartEntry | None = Field(
        None,
        description="how long a server that comes back takes to get all of its share: a time, or "
        "`{time, least}`; default: none",
    )
    sticky: StickyEntry | None = Field(
        None, description="a cookie that keeps a client at its server; none when left out"
    )
    concurrency: ConcurrencyEntry = Field(
        ConcurrencyEntry(), description="requests at all its servers at a time, of one edge process"
    )
    spill_over: SpillOverWord = Field(
        SpillOver.OFF,
        description="when requests go on to another region's edge: `off`, `on_failure` (no server here is "
        "usable) or `on_saturation` (also while none has room)",
    )

    def pool(self, name: str, check: HealthCheck, method: Balancing, key: BalancingKey) -> Pool:
        """As edges know it, with what other rooms have read of it."""
        return Pool(
            name,
            method,
            check,
            self.connections.settings(),
            self.queue.settings(),
            self.tls.settings() if self.tls is not None else None,
            self.proxy_protocol,
            key,
            self.ejection.settings(),
            self.panic,
            self.slow_start.settings() if self.slow_start is not None else SlowStart(),
            self.sticky.settings() if self.sticky is not None else None,
            self.concurrency.settings(),
            self.spill_over,
        )
