"""A server's half of a connection as events: each response framed by what it answers, and none beyond."""

from __future__ import annotations

from edge.http1.errors import RESPONSE
from edge.http1.events import CLOSED, NEED_DATA, ResponseHead, Signal
from edge.http1.limits import DEFAULT_LIMITS, Limits
from edge.http1.message_reader import MessageReader
from edge.http1.response_head import is_tunnel, read_response_head


class ResponseReader(MessageReader[ResponseHead]):
    """`expect` before each response tells what it answers; its End is the last event until the next `expect`.

    tunnel: whether the last response has turned the connection into one; what follows it is in `trailing`.
    """

    __slots__ = ("_interim", "_method", "_upgrade", "tunnel")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(RESPONSE, limits)
        self._method = b""
        self._upgrade = False
        self._interim = False
        self.tunnel = False

    @property
    def surplus(self) -> bool:
        """Whether bytes have come that belong to no response: the connection must not be used again."""
        return self._step is MessageReader._wait and not self.tunnel and len(self._inbox) > 0

    @property
    def begun(self) -> bool:
        """Whether any byte of the expected response has come, interim responses included."""
        if self._step is ResponseReader._read_head:
            return self._interim or len(self._inbox) > 0
        return self._step is not MessageReader._wait

    def expect(self, method: bytes, *, upgrade: bool = False) -> None:
        """A request goes out. method: its. upgrade: whether it may be answered with 101.

        Raises RuntimeError while another response is read, or behind a tunnel. If there is surplus,
        `next_event` raises ProtocolError.
        """
        if self._step is not MessageReader._wait or self.tunnel:
            raise RuntimeError("a response can be expected only after the End of the one before")
        self._method = method
        self._upgrade = upgrade
        self._interim = False
        self._step = ResponseReader._refuse_surplus if self._inbox else ResponseReader._read_head

    def _refuse_surplus(self) -> Signal:
        raise RESPONSE.broken("came before its request")

    def _read_head(self) -> ResponseHead | Signal:
        inbox, limits = self._inbox, self._limits
        if not inbox and not self._interim:
            return CLOSED if inbox.eof else NEED_DATA
        if not inbox and inbox.eof:
            raise RESPONSE.broken("never came after an interim one")
        section = inbox.section("head", limits.head, limits.request_line)
        if section is None:
            return self._starved("head")
        head = read_response_head(section, self._method, limits)
        if head.status == 101 and not self._upgrade:
            raise RESPONSE.broken("switches protocols (101), which nobody asked for")
        if is_tunnel(head.status, self._method):
            self.tunnel = True
        elif head.status < 200:
            self._interim = True
            return head
        self._body_of(head.framing, head.length)
        return head
