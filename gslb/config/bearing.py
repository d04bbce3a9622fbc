"""How pools and routes bear load and failure, as regions.yaml writes it; see gslb.fleet_pool."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from gslb.balancing import BalancingKey, KeyKind
from gslb.config.amounts import LongTime
from gslb.config.balancing import WORDS, CookieName, FieldName, Parameter
from gslb.config.entry import Entry
from gslb.config.proxying import Group
from gslb.config.values import NUMBER, WHOLE, Duration, parse_duration
from gslb.config.wrong_value import WrongError
from gslb.fleet import Secret
from gslb.fleet_pool import (
    ConcurrencyLimit,
    Ejection,
    Hedge,
    RateLimit,
    SameSite,
    SlowStart,
    SpillOver,
    Sticky,
)

# The defaults have one home: the settings as everybody else knows them.
_EJECTION = Ejection()
_SLOW_START = SlowStart()
_CONCURRENCY = ConcurrencyLimit()
_RATE = RateLimit(requests=1)
_HEDGE = Hedge()

_SHORTEST_SECRET = 16
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)", re.ASCII)

Share = Annotated[float, Field(ge=0, le=1), NUMBER]
Count = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]


class EjectionEntry(Group):
    """When a server gets no requests for a while, by what requests themselves show."""

    errors: Count | None = Field(
        _EJECTION.errors,
        description="requests in a row without a whole answer (no connection, broken off, timed out) that "
        "eject a server; `null`: they never do",
    )
    server_errors: Count | None = Field(
        _EJECTION.server_errors,
        description="the same, with answers of 500 and above counted in, while most other servers answer "
        "better; `null`: they never do",
    )
    success_rate: Annotated[float, Field(ge=0.5, le=10), NUMBER] | None = Field(
        _EJECTION.success_rate,
        description="standard deviations below the pool's mean from which a server's share of good answers "
        "ejects it; default: not compared",
    )
    interval: Duration = Field(_EJECTION.interval, description="time over which these shares are counted")
    requests: Count = Field(
        _EJECTION.requests, description="of a server in that time, without which it is not compared"
    )
    time: Duration = Field(
        _EJECTION.time, description="how long a server is ejected; twice the second time in a row, and so on"
    )
    most_time: Duration = Field(_EJECTION.most_time, description="how long it is ejected at most")
    share: Share = Field(
        _EJECTION.share, description="of a pool's servers that may be ejected at once, 0 to 1; one always may"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.most_time < self.time:
            raise WrongError("most_time is less than time", "make it as long, or longer")
        return self

    def settings(self) -> Ejection:
        """As edges know it."""
        return Ejection(**self.model_dump())


class SlowStartEntry(Entry):
    """A server that comes back gets its share by and by."""

    time: Duration = Field(description="until it has all of its weight")
    least: Annotated[float, Field(gt=0, le=1), NUMBER] = Field(
        _SLOW_START.least, description="the part of its weight that it begins with"
    )

    @model_validator(mode="before")
    @classmethod
    def _time_alone(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"time": value}

    def settings(self) -> SlowStart:
        """As edges know it."""
        return SlowStart(self.time, self.least)


def _parse_secret(value: object) -> Secret:
    """A secret that signs cookies; never shown. Raises WrongError."""
    if not isinstance(value, str) or len(value.strip()) < _SHORTEST_SECRET:
        hint = "make one with `openssl rand -hex 32`; best from the environment: ${NAME}"
        raise WrongError(f"is no secret of {_SHORTEST_SECRET} characters or more", hint)
    return Secret(value.strip())


def _lasting(seconds: int) -> int:
    if not seconds:
        raise WrongError("{value} is no time at all", "leave it out for a cookie of the browser's session")
    return seconds


class StickyEntry(Entry):
    """A cookie that keeps a client at its server."""

    cookie: CookieName = Field(description="its name")
    secret: Annotated[Secret, PlainValidator(_parse_secret), WithJsonSchema({"type": "string"})] = Field(
        description="signs it; 16 characters or more, the same for all edges; best from the environment"
    )
    max_age: Annotated[LongTime, AfterValidator(_lasting)] | None = Field(
        None, description="how long it lasts; default: as long as the browser"
    )
    same_site: SameSite = Field(
        SameSite.LAX, description="with which requests of other sites browsers send it (RFC 6265bis)"
    )
    secure: bool | None = Field(
        None, description="whether only HTTPS carries it; default: where it was set over HTTPS"
    )

    @model_validator(mode="after")
    def _secure_for_all_sites(self) -> Self:
        if self.same_site is SameSite.NONE and self.secure is False:
            raise WrongError("is for all sites, and so for HTTPS only", "remove `secure: false`")
        return self

    def settings(self) -> Sticky:
        """As edges know it."""
        return Sticky(self.cookie, self.secret, self.max_age, self.same_site, self.secure)


class ConcurrencyEntry(Group):
    """Requests of one edge process that are at the servers of a pool at a time."""

    most: Count | None = Field(
        _CONCURRENCY.most, description="at most, further ones get 503 at once; default: no bound"
    )
    adaptive: bool = Field(
        _CONCURRENCY.adaptive,
        description="whether the bound goes down as answers get slower, and up again, between `least` and "
        "`most`",
    )
    least: Count = Field(_CONCURRENCY.least, description="the bound never goes below this")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.adaptive and self.most is not None and self.most < self.least:
            raise WrongError("most is less than least", "least <= most")
        return self

    def settings(self) -> ConcurrencyLimit:
        """As edges know it."""
        return ConcurrencyLimit(**self.model_dump())


def _spill_over(value: object) -> object:
    """`no` and `off` are booleans to some."""
    return SpillOver.OFF if value is None or value is False else value


SpillOverWord = Annotated[
    SpillOver,
    BeforeValidator(_spill_over),
    WithJsonSchema({"enum": [*(each.value for each in SpillOver), False, None]}),
]


def _parse_key(value: object) -> BalancingKey | None:
    """What makes a client. Raises WrongError."""
    if value == "all":
        return None
    if isinstance(value, str) and value in WORDS:
        return BalancingKey(KeyKind(value))
    if isinstance(value, dict) and len(value) == 1:
        ((kind, name),) = value.items()
        parse = {KeyKind.HEADER: FieldName, KeyKind.COOKIE: CookieName, KeyKind.QUERY: Parameter}.get(kind)
        if parse is not None:
            return BalancingKey(KeyKind(str(kind)), _parsed(parse, name))
    raise WrongError(
        "{value} is not a key",
        "write address, path, all, {header: NAME}, {cookie: NAME} or {query: NAME}",
    )


def _parsed(kind: Any, value: object) -> str:
    (validator,) = kind.__metadata__
    return str(validator.func(value))


_KEY_SCHEMA = {
    "anyOf": [
        {"enum": ["address", "path", "all"]},
        *(
            {"type": "object", "properties": {kind: {"type": "string"}}, "required": [kind]}
            for kind in ("header", "cookie", "query")
        ),
    ]
}


class RouteRateLimitEntry(Entry):
    """How many requests one client may send; those beyond get 429."""

    requests: Count = Field(description="so many, on average, in the time `per`")
    per: Duration = Field(_RATE.per, description="the time that they are counted by")
    burst: Count | None = Field(None, description="so many at once; default: as `requests`")
    key: Annotated[BalancingKey | None, PlainValidator(_parse_key), WithJsonSchema(_KEY_SCHEMA)] = Field(
        "address",
        validate_default=True,
        description="what makes a client: `address`, `path`, `{header}`, `{cookie}` or `{query}` with a "
        "name; `all`: all clients together",
    )
    shared: bool = Field(
        _RATE.shared, description="whether all edges count together, through Redis; else each process alone"
    )

    def settings(self) -> RateLimit:
        """As edges know it."""
        burst = self.requests if self.burst is None else self.burst
        return RateLimit(self.requests, self.per, burst, self.key, self.shared)


def _parse_after(value: object) -> float | str:
    """Seconds, or the text of a percentile. Raises WrongError."""
    text = str(value).strip().lower()
    match = _PERCENTILE.fullmatch(text)
    if match is None:
        return parse_duration(value)
    if not 0 < float(match[1]) < 100:
        raise WrongError("{value} is not a percentile", "write p50 to p99.9, or a time such as 50ms")
    return text


_AFTER_SCHEMA = {"type": ["string", "number"], "examples": ["p95", "50ms"]}


class HedgeEntry(Group):
    """A second try beside one that is slow, for requests that may be sent twice."""

    after: Annotated[float | str, PlainValidator(_parse_after), WithJsonSchema(_AFTER_SCHEMA)] = Field(
        "p95",
        description="when it begins: a time, or the percentile of the route's response times, as they are "
        "now",
    )
    share: Annotated[float, Field(gt=0, le=1), NUMBER] = Field(
        _HEDGE.share, description="of the route's requests that are tried twice, at most"
    )

    def settings(self) -> Hedge:
        """As edges know it."""
        if isinstance(self.after, str):
            return Hedge(None, float(self.after.removeprefix("p")) / 100, self.share)
        return replace(_HEDGE, delay=self.after, share=self.share)
