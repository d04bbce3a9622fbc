"""What regions.yaml says of one socket that an edge binds: what is spoken there, and where it leads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from gslb.config.entry import Entry
from gslb.config.proxying import Group
from gslb.config.values import SERVICE_PATTERN, WHOLE, Duration, ListenText, Text, parse_service_name
from gslb.config.wrong_value import WrongError
from gslb.fleet import Listener, ListenerKind, StreamTimeouts

_LISTENER: Mapping[str, Any] = {each.name: each.default for each in fields(Listener)}
_TIMEOUTS = StreamTimeouts()
_OPTIONS = {
    "tls": (ListenerKind.HTTP, ListenerKind.TCP),
    "redirect": (ListenerKind.HTTP,),
    "proxy_protocol": (ListenerKind.HTTP, ListenerKind.TCP),
    "pool": (ListenerKind.TCP, ListenerKind.UDP),
    "server_names": (ListenerKind.TCP,),
    "timeouts": (ListenerKind.TCP,),
    "idle": (ListenerKind.UDP,),
    "sessions": (ListenerKind.UDP,),
}
"""Which kinds of listeners have what; an option of other kinds would silently do nothing."""

_INSTEAD = {
    ("pool", ListenerKind.HTTP): "say `kind: tcp` or `kind: udp`, or lead requests there under `routes:`",
    ("server_names", ListenerKind.HTTP): "say `kind: tcp`, or tell hosts apart under `routes:`",
    ("timeouts", ListenerKind.HTTP): "write them under `edge:`, or in a route",
    ("timeouts", ListenerKind.UDP): "write `idle: 30s` alone",
    ("idle", ListenerKind.HTTP): "write `idle_timeout` under `edge:`",
    ("idle", ListenerKind.TCP): "write `timeouts: {idle: 1h}`",
    ("redirect", ListenerKind.TCP): "only HTTP can tell clients to go elsewhere: remove it",
}


class StreamTimeoutsEntry(Group):
    """How long connections that are passed on may take."""

    connect: Duration = Field(_TIMEOUTS.connect, description="until a server takes a connection")
    idle: Duration = Field(_TIMEOUTS.idle, description="without a byte in either direction")

    def settings(self) -> StreamTimeouts:
        """As edges know them."""
        return StreamTimeouts(self.connect, self.idle)


ServerName = Annotated[
    str, PlainValidator(parse_service_name), WithJsonSchema({"type": "string", "pattern": SERVICE_PATTERN})
]


class ListenerEntry(Entry):
    """A socket that an edge binds: {address, ...}, or the address alone."""

    address: ListenText = Field(description="address and port to bind")
    tls: bool = Field(False, description="whether it speaks TLS, as `edge.tls` says")
    redirect: bool = Field(
        False,
        description="whether all are sent to the same URL under https; only the health path is answered",
    )
    proxy_protocol: bool = Field(
        False, description="whether connections of `edge.trusted_proxies` begin with a PROXY header"
    )
    kind: ListenerKind = Field(
        ListenerKind.HTTP,
        description="`http`, or `tcp` and `udp`: connections and datagrams are passed on as they are",
    )
    pool: Text | None = Field(
        None, description="of `tcp` and `udp`: where it all goes, but for what `server_names` name"
    )
    server_names: dict[ServerName, Text] = Field(
        {}, description="of `tcp`: pool by the name that TLS asks for; `*.NAME`: all below it"
    )
    timeouts: StreamTimeoutsEntry = Field(
        StreamTimeoutsEntry(), description="of `tcp`: `{connect, idle}` of its connections"
    )
    idle: Duration = Field(
        _LISTENER["idle"],
        description="of `udp`: after so long without a datagram a client's next one may go elsewhere",
    )
    sessions: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] = Field(
        _LISTENER["sessions"],
        description="of `udp`: clients at a time, in one process; then the one silent longest is forgotten",
    )

    @model_validator(mode="before")
    @classmethod
    def _address_alone(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"address": value}

    @model_validator(mode="after")
    def _redirects_from_plain(self) -> Self:
        if self.tls and self.redirect:
            raise WrongError("redirects to https, and has TLS itself", "remove `redirect`, or `tls`")
        return self

    @model_validator(mode="after")
    def _options_of_its_kind(self) -> Self:
        for option, kinds in _OPTIONS.items():
            if option in self.model_fields_set and self.kind not in kinds and getattr(self, option):
                hint = _INSTEAD.get((option, self.kind), f"remove `{option}`, or change `kind`")
                raise WrongError(f"has `{option}`, which listeners of kind {self.kind} do not have", hint)
        if self.kind is not ListenerKind.HTTP and self.pool is None and not self.server_names:
            also = ", or `server_names:`" if self.kind is ListenerKind.TCP else ""
            raise WrongError(f"is of kind {self.kind}, and leads nowhere", f"say `pool: NAME`{also}")
        return self

    def listener(self) -> Listener:
        """As edges know it."""
        return Listener(
            self.address,
            self.tls,
            self.redirect,
            self.proxy_protocol,
            self.kind,
            self.pool,
            MappingProxyType(self.server_names),
            self.timeouts.settings(),
            self.idle,
            self.sessions,
        )
