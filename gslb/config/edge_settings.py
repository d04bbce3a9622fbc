"""The section `edge`: bounds and timeouts of every edge, and what they show their clients."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from gslb.config.amounts import Bound, LongTime
from gslb.config.entry import Entry
from gslb.config.proxying import (
    CertificateEntry,
    Group,
    RetriesEntry,
    RetryBudgetEntry,
    ServerTlsEntry,
    TimeoutsEntry,
)
from gslb.config.values import (
    WHOLE,
    Duration,
    Network,
    PathPrefix,
    Pause,
    SocketText,
    Text,
    listed,
    parse_whole_number,
)
from gslb.config.wrong_value import WrongError
from gslb.fleet import (
    AccessLog,
    AccessLogFormat,
    ClientCertificate,
    EdgeSettings,
    SocketAddress,
    TlsSettings,
)

# The defaults have one home: the settings as everybody else knows them.
_EDGE = EdgeSettings()
_TLS = TlsSettings()
_MOST_WORKERS = 256


def _number_as_text(value: object) -> object:
    """`minimum_version: 1.3` is a number to YAML."""
    return str(value) if isinstance(value, float) else value


class TlsEntry(Group):
    """Of all listeners with TLS."""

    certificates: Annotated[list[CertificateEntry], BeforeValidator(listed)] = Field(
        [], description="`{chain, key}` each, chosen by the name asked for; the first for all other names"
    )
    minimum_version: Annotated[
        Literal["1.2", "1.3"],
        BeforeValidator(_number_as_text),
        WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]}),
    ] = Field("1.2", description="older versions of TLS are refused")
    client_ca: Text | None = Field(
        _TLS.client_ca, description="file of the roots of clients' certificates, in PEM form"
    )
    client_certificate: ClientCertificate = Field(
        _TLS.client_certificate, description="whether clients must show one of `client_ca`"
    )
    hsts: LongTime | None = Field(
        _TLS.hsts,
        description="how long browsers shall use HTTPS only (RFC 6797); default: they are told nothing",
    )
    hsts_subdomains: bool = Field(
        _TLS.hsts_subdomains, description="whether that holds for every name below as well"
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.client_certificate is not ClientCertificate.NONE and self.client_ca is None:
            message = f"has `client_certificate: {self.client_certificate}`, and no `client_ca`"
            raise WrongError(message, "name the file of the roots that clients' certificates come from")
        if self.client_ca is not None and "client_certificate" not in self.model_fields_set:
            hint = "say `client_certificate: required`, or `optional`"
            raise WrongError("has a `client_ca`, and asks no client for a certificate", hint)
        if self.hsts_subdomains and self.hsts is None:
            raise WrongError("has `hsts_subdomains`, and no `hsts`", "say for how long: `hsts: 365d`")
        return self

    def settings(self) -> TlsSettings:
        """As edges know it."""
        return TlsSettings(
            tuple(entry.certificate() for entry in self.certificates),
            self.minimum_version,
            self.client_ca,
            self.client_certificate,
            self.hsts,
            self.hsts_subdomains,
        )


class AccessLogEntry(Entry):
    """Where a line for each request goes, and how it looks."""

    format: AccessLogFormat = Field(description="how a line is written")
    file: Text | None = Field(
        None,
        description="relative to this file's directory, opened anew on SIGUSR1; default: standard output",
    )

    @model_validator(mode="before")
    @classmethod
    def _format_alone(cls, value: object) -> object:
        if isinstance(value, dict):
            return value
        return {"format": AccessLogFormat.OFF if value is None or value is False else value}

    def settings(self) -> AccessLog:
        """As edges know it."""
        return AccessLog(self.format, self.file)


def _by_address(sockets: list[SocketAddress]) -> list[SocketAddress]:
    for socket in sockets:
        try:
            ip_address(socket.host)
        except ValueError:
            hint = "write the name server's address, as in 10.0.0.53:53"
            raise WrongError("has a name where only an address can be asked", hint) from None
    return sockets


def _workers(value: object) -> int | None:
    if isinstance(value, str) and value.strip().lower() == "auto":
        return None
    try:
        workers = parse_whole_number(value)
    except WrongError:
        raise WrongError("{value} is not a number of processes", "write a number, or `auto`") from None
    if not 1 <= workers <= _MOST_WORKERS:
        raise WrongError(f"{{value}} is not between 1 and {_MOST_WORKERS}", "write `auto` for one a core")
    return workers


_Workers = Annotated[
    int | None,
    PlainValidator(_workers),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": _MOST_WORKERS}, {"const": "auto"}]}
    ),
]


class EdgeSection(Entry):
    """Bounds and timeouts of every edge."""

    moved: ClassVar[Mapping[str, str]] = {
        "connect_timeout": "`timeouts: {connect: ...}`",
        "response_timeout": "`timeouts: {first_byte: ..., idle: ...}`",
        "server_idle_timeout": "`connections: {idle_timeout: ...}` of each pool under `pools:`",
        "server_idle_connections": "`connections: {idle: ...}` of each pool under `pools:`",
    }

    health_path: PathPrefix = Field(_EDGE.health_path, description="answers the probes of DNS nodes")
    timeouts: TimeoutsEntry = Field(
        TimeoutsEntry(), description="of requests to servers, where a route says nothing else"
    )
    retries: RetriesEntry = Field(
        RetriesEntry(), description="when another server is tried, where a route says nothing else"
    )
    retry_budget: RetryBudgetEntry = Field(
        RetryBudgetEntry(), description="how many retries may be under way at a time"
    )
    max_body: Bound | None = Field(
        _EDGE.max_body,
        description="largest body of a request, where a route says nothing else; default: no bound",
    )
    header_timeout: Duration = Field(
        _EDGE.header_timeout, description="until a client's request head is complete"
    )
    body_timeout: Duration = Field(
        _EDGE.body_timeout, description="without a byte of a client's request body"
    )
    write_timeout: Duration = Field(
        _EDGE.write_timeout, description="without a byte of the response taken by the client"
    )
    idle_timeout: Duration = Field(
        _EDGE.idle_timeout, description="until an idle client connection is closed"
    )
    tunnel_timeout: Duration = Field(
        _EDGE.tunnel_timeout,
        description="without a byte in either direction of a connection that switched protocols",
    )
    max_request_line_bytes: Annotated[int, Field(ge=512, le=1_048_576), WHOLE] = Field(
        _EDGE.max_request_line_bytes, description="longest request line, in bytes"
    )
    max_header_bytes: Annotated[int, Field(ge=1024, le=1_048_576), WHOLE] = Field(
        _EDGE.max_header_bytes, description="largest request head, in bytes"
    )
    max_header_fields: Annotated[int, Field(ge=8, le=10_000), WHOLE] = Field(
        _EDGE.max_header_fields, description="most header fields of a request"
    )
    max_connections: Annotated[int, Field(ge=1, le=10_000_000), WHOLE] = Field(
        _EDGE.max_connections, description="client connections at a time"
    )
    max_connections_per_client: Annotated[int, Field(ge=1, le=10_000_000), WHOLE] | None = Field(
        _EDGE.max_connections_per_client,
        description="client connections at a time from one address; default: no bound",
    )
    max_requests_per_connection: Annotated[int, Field(ge=1, le=1_000_000_000), WHOLE] = Field(
        _EDGE.max_requests_per_connection, description="after so many a client connection is closed"
    )
    trusted_proxies: Annotated[list[Network], BeforeValidator(listed)] = Field(
        [],
        description="networks whose word on clients counts: X-Forwarded-For, Forwarded, the PROXY protocol",
    )
    peer_tls: ServerTlsEntry = Field(
        ServerTlsEntry(),
        description="TLS to other regions' edges, where their listeners speak it: `{verify, ca, server_name, "
        "certificate}`",
    )
    tls: TlsEntry = Field(TlsEntry(), description="certificates and versions of listeners with TLS")
    access_log: AccessLogEntry = Field(
        AccessLogEntry(format=AccessLogFormat.OFF),
        description="a line for each request: a format, or `{format, file}`",
    )
    workers: _Workers = Field(
        _EDGE.workers, description="processes that serve, each on a core of its own; `auto`: one a core"
    )
    resolver: Annotated[list[SocketText], BeforeValidator(listed), AfterValidator(_by_address)] = Field(
        [], description="name servers asked for servers with `dns` or `srv`; default: the system's"
    )
    report_interval: Duration = Field(_EDGE.report_interval, description="from one report to the next")
    lame_duck: Pause = Field(
        _EDGE.lame_duck,
        description="how long a stopping edge goes on serving whoever comes; `0s` for not at all",
    )
    drain_timeout: Duration = Field(
        _EDGE.drain_timeout, description="how long a stopping edge waits for its requests"
    )

    def settings(self) -> EdgeSettings:
        """As edges know them; files by the names that the section gives them."""
        made = {
            "timeouts",
            "retries",
            "retry_budget",
            "trusted_proxies",
            "peer_tls",
            "tls",
            "access_log",
            "resolver",
        }
        return EdgeSettings(
            **self.model_dump(exclude=made),
            timeouts=self.timeouts.settings(),
            retries=self.retries.settings(),
            retry_budget=self.retry_budget.settings(),
            trusted_proxies=tuple(self.trusted_proxies),
            peer_tls=self.peer_tls.settings(),
            tls=self.tls.settings(),
            access_log=self.access_log.settings(),
            resolver=tuple(self.resolver),
        )
