"""How requests are carried: timeouts, retries, connections and TLS, as regions.yaml writes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from gslb.config.amounts import Size
from gslb.config.entry import Entry
from gslb.config.values import NUMBER, WHOLE, Duration, HostName, Text, listed
from gslb.config.wrong_value import WrongError
from gslb.fleet import Certificate, Connections, QueueSettings, Retries, RetryBudget, ServerTls, Timeouts

# The defaults have one home: the settings as everybody else knows them.
_TIMEOUTS = Timeouts()
_RETRIES = Retries()
_BUDGET = RetryBudget()
_CONNECTIONS = Connections()
_QUEUE = QueueSettings()
_TLS = ServerTls()
_BOOLEAN = TypeAdapter(bool)
_LARGEST_REPEATED = 1 << 26

Status = Annotated[int, Field(ge=400, le=599), WHOLE]


class Group(Entry):
    """Root of the mappings of which everything may be left out, and so all of it."""

    @model_validator(mode="before")
    @classmethod
    def _all_defaults(cls, value: object) -> object:
        return {} if value is None else value


class TimeoutsEntry(Group):
    """How long a request may take on its way to a server and back."""

    connect: Duration = Field(_TIMEOUTS.connect, description="until a server accepts a connection")
    first_byte: Duration = Field(
        _TIMEOUTS.first_byte, description="until its response begins, once it has the request"
    )
    idle: Duration = Field(
        _TIMEOUTS.idle,
        description="without a byte of the response, or of the request taken by the server",
    )
    total: Duration | None = Field(
        _TIMEOUTS.total,
        description="from a request's head to its response's end, retries included; `null`: no such bound",
    )

    def settings(self, beside: Timeouts = _TIMEOUTS) -> Timeouts:
        """What is not said here is taken from `beside`."""
        return replace(beside, **{name: getattr(self, name) for name in self.model_fields_set})


def _repeatable(size: int) -> int:
    if size > _LARGEST_REPEATED:
        hint = "64 MiB are the most: so much is held in memory for every request under way"
        raise WrongError("{value} is too much to keep", hint)
    return size


class RetriesEntry(Group):
    """When a request that failed on one server is sent to another."""

    tries: Annotated[int, Field(ge=1, le=100), WHOLE] = Field(
        _RETRIES.tries, description="servers at most, the first counted in; 1: no retries"
    )
    on: Annotated[list[Status], BeforeValidator(listed)] = Field(
        sorted(_RETRIES.on),
        description="statuses, 400 to 599, that count as failures where the method is idempotent",
    )
    body: Annotated[Size, AfterValidator(_repeatable)] = Field(
        _RETRIES.body,
        description="how much of a request's body is kept for another try; a longer one is sent once",
    )

    def settings(self, beside: Retries = _RETRIES) -> Retries:
        """What is not said here is taken from `beside`."""
        said = {name: getattr(self, name) for name in self.model_fields_set}
        if "on" in said:
            said["on"] = frozenset(self.on)
        return replace(beside, **said)


class RetryBudgetEntry(Group):
    """How many retries may be under way, so that they never become a flood of their own."""

    share: Annotated[float, Field(ge=0, le=1), NUMBER] = Field(
        _BUDGET.share, description="of the requests in flight, from 0 to 1"
    )
    least: Annotated[int, Field(ge=0, le=100_000), WHOLE] = Field(
        _BUDGET.least, description="so many are allowed however few requests there are"
    )

    def settings(self) -> RetryBudget:
        """As edges know it."""
        return RetryBudget(**self.model_dump())


class ConnectionsEntry(Group):
    """Connections of one edge process to each server of a pool."""

    most: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = Field(
        _CONNECTIONS.most, description="in use at a time, then requests queue; default: as many as come"
    )
    idle: Annotated[int, Field(ge=0, le=100_000), WHOLE] = Field(
        _CONNECTIONS.idle, description="kept for later at most; 0: none"
    )
    idle_timeout: Duration = Field(
        _CONNECTIONS.idle_timeout, description="until one that is not in use is closed"
    )
    max_age: Duration = Field(_CONNECTIONS.max_age, description="after that one is not used again")

    def settings(self) -> Connections:
        """As edges know them."""
        return Connections(**self.model_dump())


class QueueEntry(Group):
    """Requests that wait until a server has room; see `connections.most`."""

    size: Annotated[int, Field(ge=0, le=1_000_000), WHOLE] = Field(
        _QUEUE.size, description="requests that may wait; 0: none, they get 503 at once"
    )
    timeout: Duration = Field(_QUEUE.timeout, description="how long one may wait, before it gets 503")

    def settings(self) -> QueueSettings:
        """As edges know it."""
        return QueueSettings(**self.model_dump())


class CertificateEntry(Entry):
    """A certificate and its private key, in files."""

    chain: Text = Field(
        description="file in PEM form: the certificate first, then those between it and the root"
    )
    key: Text = Field(description="file in PEM form: its private key, without a password")

    def certificate(self) -> Certificate:
        """As edges know it."""
        return Certificate(self.chain, self.key)


class ServerTlsEntry(Entry):
    """TLS to the servers of a pool."""

    verify: bool = Field(_TLS.verify, description="whether the server's certificate must be valid")
    ca: Text | None = Field(
        _TLS.ca, description="file of the roots that count, in PEM form; default: the system's"
    )
    server_name: HostName | None = Field(
        _TLS.server_name,
        description="asked for in TLS and expected in the certificate; default: the host of its address",
    )
    certificate: CertificateEntry | None = Field(
        None, description="`{chain, key}` shown to servers that want one of their clients"
    )

    def settings(self) -> ServerTls:
        """As edges know it."""
        mine = self.certificate.certificate() if self.certificate is not None else None
        return ServerTls(self.verify, self.ca, self.server_name, mine)


def _switched(value: object) -> object:
    """True is TLS with all its defaults, false is none."""
    if value is None or isinstance(value, dict):
        return value
    try:
        return {} if _BOOLEAN.validate_python(value) else None
    except ValidationError:
        hint = "write `tls: true`, or `{verify, ca, server_name, certificate}`"
        raise WrongError("{value} is neither true nor false", hint) from None


ServerTlsSwitch = Annotated[ServerTlsEntry | None, BeforeValidator(_switched)]
