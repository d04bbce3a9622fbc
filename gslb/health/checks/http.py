"""The HTTP check: a request gets an answer with the right status and, if wanted, the right body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from gslb.fleet import SocketAddress
from gslb.health.checks.base import BODY_LIMIT, CheckOptions, Judgement, ProbeOutcome
from gslb.health.checks.failure import failure_phrase
from gslb.health.checks.load import HEADER_NAME, LoadOption, LoadSource
from gslb.health.checks.timed import timed_probe
from gslb.health.checks.tls import tls_context

if TYPE_CHECKING:
    import aiohttp

_HEADER_VALUE = re.compile(r"[\x20-\x7e\t\x80-\xff]*")
_REQUEST_TARGET = re.compile(r"/[\x21\x22\x24-\x7e]*")
_STATUS = re.compile(r"([1-5]\d\d)(?:\s*-\s*([1-5]\d\d))?")


class HttpCheckOptions(CheckOptions):
    """Options of `type: http`."""

    path: str = Field("/", description="path, and query if any, to ask for")
    host: str | None = Field(None, description="the Host header; the target itself if not set")
    method: Literal["GET", "HEAD"] = "GET"
    status: int | str | tuple[int | str, ...] = Field(
        "200-299", description="accepted status codes: 200, 200-299, or a list of those"
    )
    body: str | None = Field(
        None,
        min_length=1,
        description="text that must occur in the first 64 KiB of the body, or a regular expression as /.../",
    )
    headers: dict[str, str] = Field(default_factory=dict, description="further request headers")
    load: LoadOption | None = Field(
        None,
        description="where an answer tells the load: `body`, `{header: NAME}`, or `{field: PATH}` of JSON",
    )
    tls: bool = Field(False, description="whether to speak HTTPS")
    verify: bool = Field(True, description="whether the certificate must be valid")
    server_name: str | None = Field(
        None, description="the name asked for in TLS; `host` or the target's host if not set"
    )

    @field_validator("path")
    @classmethod
    def _path(cls, path: str) -> str:
        if not _REQUEST_TARGET.fullmatch(path):
            raise ValueError("must start with / and be ASCII without spaces or #; percent-encode the rest")
        return path

    @field_validator("host")
    @classmethod
    def _host(cls, host: str | None) -> str | None:
        if host is not None and not re.fullmatch(r"[\x21-\x7e]+", host):
            raise ValueError("must be a host name, with a port if needed")
        return host

    @field_validator("status")
    @classmethod
    def _status(cls, status: int | str | tuple[int | str, ...]) -> int | str | tuple[int | str, ...]:
        status_ranges(status)
        return status

    @field_validator("body")
    @classmethod
    def _body(cls, body: str | None) -> str | None:
        if body is not None:
            body_pattern(body)
        return body

    @field_validator("headers")
    @classmethod
    def _headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for header, value in headers.items():
            if not HEADER_NAME.fullmatch(header):
                raise ValueError(f"{header!r} is not a header name")
            if header.lower() == "host":
                raise ValueError("Host has an option of its own: use `host`")
            if not _HEADER_VALUE.fullmatch(value):
                raise ValueError(f"the value of {header} has characters that no header may have")
        return headers

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.server_name is not None and not self.tls:
            raise ValueError("server_name is for TLS only; add tls: true or leave it out")
        if self.body is not None and self.method == "HEAD":
            raise ValueError("an answer to HEAD has no body to look into; use method: GET or leave body out")
        if self.load is not None and self.load.in_body and self.method == "HEAD":
            raise ValueError("an answer to HEAD has no body to tell the load in; use method: GET or a header")
        return self


def status_ranges(status: int | str | tuple[int | str, ...]) -> tuple[tuple[int, int], ...]:
    """Accepted codes as (first, last) pairs; raises ValueError with the remedy for anything else."""
    entries = status if isinstance(status, tuple) else (status,)
    if not entries:
        raise ValueError("names no status at all; the usual is 200-299")
    ranges = []
    for entry in entries:
        match = _STATUS.fullmatch(str(entry).strip())
        if match is None:
            raise ValueError(f"{entry!r} is neither a status code (200) nor a range of them (200-299)")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"{entry!r} ends before it begins")
        ranges.append((first, last))
    return tuple(ranges)


def body_pattern(body: str) -> re.Pattern[str]:
    """What `body` asks for as a regular expression; raises ValueError for one that is none."""
    if len(body) > 2 and body.startswith("/") and body.endswith("/"):
        try:
            return re.compile(body[1:-1])
        except re.error as error:
            raise ValueError(f"{body} is not a regular expression: {error}") from None
    return re.compile(re.escape(body))


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """One request on a fresh connection; redirects are not followed, so the target itself is proved."""

    name: ClassVar[str] = "http"
    Options: ClassVar[type[CheckOptions]] = HttpCheckOptions

    path: str = "/"
    host: str | None = None
    method: str = "GET"
    status: tuple[tuple[int, int], ...] = ((200, 299),)
    body: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    load: LoadSource | None = None
    tls: bool = False
    verify: bool = True
    server_name: str | None = None

    @classmethod
    def from_options(cls, options: CheckOptions) -> Self:
        assert isinstance(options, HttpCheckOptions)
        return cls(
            path=options.path,
            host=options.host,
            method=options.method,
            status=status_ranges(options.status),
            body=options.body,
            headers=tuple(options.headers.items()),
            load=options.load,
            tls=options.tls,
            verify=options.verify,
            server_name=options.server_name,
        )

    async def probe(self, target: SocketAddress, timeout: float) -> ProbeOutcome:
        """See Check.probe; connecting, answer and as much of the body as is looked at fit into `timeout`."""
        # Imported here, as reading a configuration needs none of it, and ahead of the timeout, as the first
        # import takes a third of a second that is no fault of the target.
        import aiohttp  # noqa: F401

        return await timed_probe(self._exchange(target), timeout, _http_failure_phrase)

    async def _exchange(self, target: SocketAddress) -> Judgement:
        import aiohttp
        from multidict import CIMultiDict
        from yarl import URL

        headers = CIMultiDict({"User-Agent": "gslb-health", "Accept-Encoding": "identity"})
        headers.update(self.headers)
        headers["Host"] = self.host or str(target)
        url = URL(f"{'https' if self.tls else 'http'}://{target}{self.path}", encoded=True)
        # One session for one probe: measured to cost some 100 µs more than a shared one out of 1 ms,
        # and nothing outlives the probe or is tied to an event loop.
        connector = aiohttp.TCPConnector(force_close=True, limit=0, use_dns_cache=False)
        async with (
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                self.method,
                url,
                headers=headers,
                allow_redirects=False,
                ssl=tls_context(self.verify) if self.tls else True,
                server_hostname=self._server_name(target) if self.tls else None,
            ) as response,
        ):
            return await self._judge(response)

    async def _judge(self, response: aiohttp.ClientResponse) -> Judgement:
        if not any(first <= response.status <= last for first, last in self.status):
            return Judgement(False, f"status {response.status}, expected {_ranges_text(self.status)}")
        wanted = self.body is not None or (self.load is not None and self.load.in_body)
        body = await _beginning(response) if wanted else b""
        if self.body is not None and not body_pattern(self.body).search(body.decode("utf-8", "replace")):
            return Judgement(False, f"body does not match {self.body!r}")
        if self.load is None:
            return Judgement(True, str(response.status))
        load = self.load.read(response.headers, body)
        # A target that serves is not down because it does not say how busy it is.
        remark = ", load not told" if load is None else ""
        return Judgement(True, str(response.status), load, remark)

    def _server_name(self, target: SocketAddress) -> str:
        if self.server_name is not None:
            return self.server_name
        if self.host is None:
            return target.host
        return re.sub(r":\d+$", "", self.host).strip("[]")


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The first BODY_LIMIT bytes of the body."""
    received = b""
    while len(received) < BODY_LIMIT:
        chunk = await response.content.read(BODY_LIMIT - len(received))
        if not chunk:
            break
        received += chunk
    return received


def _ranges_text(ranges: tuple[tuple[int, int], ...]) -> str:
    return " or ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def _http_failure_phrase(error: Exception) -> str:
    """As failure_phrase, after taking the cause out of what aiohttp wraps it in."""
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return failure_phrase(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return failure_phrase(error.os_error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "connection closed without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "answer broken off"
    if isinstance(error, aiohttp.ClientResponseError):
        return "answer is not HTTP"
    return failure_phrase(error)
