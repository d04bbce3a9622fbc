"""How an exchange ends: with a response, with an answer of the edge's own, or broken off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.access_lines import Ended
from edge.http1.errors import ProtocolError
from edge.http1.events import Framing, RequestHead
from edge.proxy.account import Account
from edge.proxy.client import Client
from edge.proxy.download import Download
from edge.proxy.reach import Reach
from edge.proxy.refusal import explanation, local_response
from edge.proxy.second_try import SecondTry
from edge.proxy.upload import Upload
from edge.proxy.upstream import Upstream
from edge.server import ServerState

if TYPE_CHECKING:
    import asyncio

    from edge.hedging import Hedging
    from edge.proxy.entrance import Entrance
    from edge.proxy.proxy import Proxy
    from gslb.fleet import Route


class Ending:
    """The state of an exchange, and all ways out of it.

    Invariants: a server's `in_flight` counts it while `_reach` is at that server; `_end` runs once, on every
    way out, leaves the server and closes the account.
    """

    __slots__ = (
        "_account",
        "_client",
        "_continued",
        "_download",
        "_entrance",
        "_hedging",
        "_keep_alive",
        "_last",
        "_most",
        "_progress",
        "_proxy",
        "_reach",
        "_retries",
        "_route",
        "_second",
        "_second_due",
        "_settings",
        "_timeouts",
        "_upstream",
        "head",
        "method",
        "upload",
    )

    def __init__(
        self,
        proxy: Proxy,
        client: Client,
        head: RequestHead | None,
        entrance: Entrance,
        *,
        last: bool,
        counted: bool = False,
    ) -> None:
        """head: None for a request that could not be read. last: the connection takes no other after it.

        counted: whether it is counted already, and only taken over.
        """
        self._proxy = proxy
        self._client = client
        self._entrance = entrance
        self._settings = settings = proxy.settings
        self._timeouts = settings.timeouts
        self._retries = settings.retries
        self._last = last
        self._most: int | None = None  # bytes that the body may have
        self.head = head
        self.method = head.method if head is not None else b""
        self.upload: Upload | None = None
        self._download = Download(head.minor if head is not None else 1)
        self._account = account = Account(proxy, client.peer, head, counted=counted)
        self._reach: Reach | None = None
        self._upstream: Upstream | None = None
        self._progress = account.begun
        self._continued = False  # the server has asked for the body that Expect held back
        self._keep_alive = False
        self._route: Route | None = None
        self._hedging: Hedging | None = None
        self._second: SecondTry | None = None
        self._second_due: asyncio.TimerHandle | None = None

    def refuse(self, status: int, reason: str, *, retry_after: int | None = None) -> None:
        """Answer with an explanation. retry_after: seconds."""
        self._drop_upstream()
        self._account.refused(status)
        extra = b"" if retry_after is None else b"Retry-After: %d\r\n" % retry_after
        self._answer(
            status, explanation(status, reason, self._account.request_id.decode("ascii")), extra=extra
        )

    def _answer(self, status: int, body: bytes, *, extra: bytes = b"") -> None:
        head = self.head
        self._account.status = status
        keep_alive = self._may_keep_alive()
        response = local_response(
            status,
            body,
            request_id=self._account.request_id.decode("ascii"),
            region=self._proxy.region,
            keep_alive=keep_alive,
            date=self._proxy.date(),
            client_minor=head.minor if head else 1,
            without_body=self.method == b"HEAD",
            extra=extra + self._entrance.marks,
        )
        self._client.write(response)
        self._account.bytes_out = 0 if self.method == b"HEAD" else len(body)
        self._end(keep_alive, ended="refused")

    def _drop_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()

    def _drop_second(self) -> None:
        second, self._second = self._second, None
        if second is not None:
            second.give_up()

    def _server(self) -> ServerState:
        assert self._reach is not None
        assert self._reach.server is not None
        return self._reach.server

    def _waited(self) -> float:
        """Seconds for which the server has let the request wait."""
        assert self._reach is not None
        return self._reach.waited

    def _end(
        self, keep_alive: bool, *, ended: Ended = "complete", abort: bool = False, lost: bool = False
    ) -> None:
        account, reach = self._account, self._reach
        if account.closed:
            return
        last, tries = (reach.last, reach.tried) if reach is not None else (None, 0)
        account.close(ended, server=last, tries=tries)
        self._drop_second()
        if self._second_due is not None:
            self._second_due.cancel()
        if reach is not None:
            reach.leave()
        if lost:
            return
        if abort:
            self._client.abort(reset=not self._download.counted)
        else:
            self._client.exchange_done(keep_alive)

    def _truncate(self, reason: str) -> None:
        """Break the client's connection, so that it cannot take half a response for a whole one."""
        self._proxy.counters.aborted_by_server += 1
        self._proxy.complain("response broken off", server=self._server().server.target, reason=reason)
        self._break_off("server")

    def _break_off(self, whose: Ended) -> None:
        self._drop_upstream()
        self._end(False, ended=whose, abort=True)

    def _may_keep_alive(self) -> bool:
        """Whether the client's connection can carry another request after this one."""
        head, upload = self.head, self.upload
        if head is None or not head.keep_alive or self._last or self._proxy.draining:
            return False
        if head.framing is Framing.NONE or (upload is not None and upload.complete):
            return True
        # A body that Expect held back may never come, and then nobody can tell where the next request begins.
        withheld = head.expects_continue and (upload is None or not upload.received)
        return not withheld and self._client.may_drain

    def client_gone(self) -> None:
        """The client's connection is lost; there is nobody to answer."""
        if not self._account.closed:
            self._proxy.counters.aborted_by_client += 1
            self._drop_upstream()
            self._end(False, ended="client", lost=True)

    def request_failed(self, error: ProtocolError) -> None:
        """The client broke the protocol, or a bound, in the middle of its request."""
        self._last = True
        if self._download.head is not None:
            self._break_off("client")
        else:
            self.refuse(error.status, error.reason)
