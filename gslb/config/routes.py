"""The section `routes`: which requests go to which pool, and what holds for them alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from gslb.config.amounts import Bound
from gslb.config.bearing import HedgeEntry, RouteRateLimitEntry
from gslb.config.entry import Entry
from gslb.config.proxying import RetriesEntry, TimeoutsEntry
from gslb.config.references import PoolReference
from gslb.config.values import NUMBER, HostName, Method, PathPrefix, listed
from gslb.fleet import EdgeSettings, Mirror, Priority, Route


class MirrorEntry(Entry):
    """A pool that gets a copy of requests; what it answers is discarded."""

    pool: PoolReference = Field(description="where the copies go")
    share: Annotated[float, Field(gt=0, le=1), NUMBER] = Field(
        1.0, description="of the requests that are copied"
    )

    @model_validator(mode="before")
    @classmethod
    def _pool_alone(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"pool": value}

    def settings(self) -> Mirror:
        """As edges know it."""
        return Mirror(self.pool, self.share)


class RouteEntry(Entry):
    """Which requests go to which pool."""

    host: HostName | None = Field(None, description="the Host of requests; default: any")
    path: PathPrefix = Field("/", description="path prefix, on whole segments")
    methods: Annotated[list[Method], BeforeValidator(listed)] = Field(
        [], description="HTTP methods; default: all"
    )
    pool: PoolReference = Field(description="where they go")
    timeouts: TimeoutsEntry | None = Field(
        None, description="for these requests; what is left out is as under `edge`"
    )
    retries: RetriesEntry | None = Field(
        None, description="of these requests; what is left out is as under `edge`"
    )
    max_body: Bound | None = Field(
        None, description="largest body of these requests; default: as under `edge`"
    )
    rate_limit: RouteRateLimitEntry | None = Field(
        None, description="how many requests one client may send; default: as many as it likes"
    )
    priority: Priority = Field(
        Priority.NORMAL,
        description="`low` ones are turned away first when there is too little room, `high` last",
    )
    hedge: HedgeEntry | None = Field(
        None, description="a second try beside one that is slow, `{after, share}`; none when left out"
    )
    mirror: MirrorEntry | None = Field(
        None,
        description="a pool that gets a copy of these requests, or `{pool, share}`; its answers are "
        "discarded",
    )

    def route(self, edge: EdgeSettings) -> Route:
        """As edges know it; what is not said here is taken from `edge`."""
        return Route(
            self.host,
            self.path,
            self.pool,
            frozenset(self.methods),
            self.timeouts.settings(edge.timeouts) if self.timeouts is not None else None,
            self.retries.settings(edge.retries) if self.retries is not None else None,
            self.max_body,
            self.rate_limit.settings() if self.rate_limit is not None else None,
            self.priority,
            self.hedge.settings() if self.hedge is not None else None,
            self.mirror.settings() if self.mirror is not None else None,
        )
