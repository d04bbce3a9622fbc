"""The client's half of a connection as events: requests one at a time, however many come at once."""

from __future__ import annotations

from edge.http1.errors import REQUEST
from edge.http1.events import CLOSED, RequestHead, Signal
from edge.http1.inbox import LINE_END
from edge.http1.limits import DEFAULT_LIMITS, Limits
from edge.http1.message_reader import MessageReader
from edge.http1.request_head import read_request_head


class RequestReader(MessageReader[RequestHead]):
    """Begins with the first request by itself; `next_message` after each End begins the next.

    Until then nothing that came behind is looked at: pipelined requests stay in the buffer.

    asks_for_head: whether the method is HEAD, be the rest of the request ever so wrong: no body answers it.
    """

    __slots__ = ("_line_skipped", "asks_for_head")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(REQUEST, limits)
        self._line_skipped = False
        self.asks_for_head = False
        self._step = RequestReader._read_head

    @property
    def begun(self) -> bool:
        """Whether a request is under way: some of its bytes have come, and its End was not given."""
        if self._step is RequestReader._read_head:
            return len(self._inbox) > 0
        return self._step is not MessageReader._wait

    def next_message(self) -> None:
        """Go on with the next request. Raises RuntimeError before this one's End."""
        if self._step is not MessageReader._wait:
            raise RuntimeError("the next request can begin only after End")
        self._line_skipped = False
        self._step = RequestReader._read_head

    def _between(self) -> bool:
        untouched = self._step is RequestReader._read_head and not self._line_skipped
        return untouched or self._step is MessageReader._wait

    def _read_head(self) -> RequestHead | Signal:
        inbox = self._inbox
        if inbox.starts_with(LINE_END):
            # RFC 9112 2.2: some clients send a line end too many after a body. One.
            if self._line_skipped:
                raise REQUEST.broken("begins with more than one empty line")
            self._line_skipped = True
            inbox.skip(2)
            if inbox.starts_with(LINE_END):
                raise REQUEST.broken("begins with more than one empty line")
        self.asks_for_head = inbox.starts_with(b"HEAD ")
        if not inbox:
            return CLOSED if inbox.eof else self._starved("head")
        section = inbox.section("head", self._limits.head, self._limits.request_line)
        if section is None:
            return self._starved("head")
        head = read_request_head(section, self._limits)
        self._body_of(head.framing, head.length)
        return head
