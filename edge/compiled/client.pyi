"""A connection of a client on the compiled path, as Python sees it."""

from edge.compiled.loop import Loop
from edge.proxy.entrance import Entrance, Peer
from edge.proxy.proxy import Proxy

class Client:
    """requests: taken on it so far. hand_overs: how often it was left to the general path. aborted: whether
    `abort` was called since."""

    peer: Peer
    entrance: Entrance
    requests: int
    hand_overs: int
    aborted: bool

    def __init__(
        self,
        loop: Loop,
        fd: int,
        proxy: Proxy,
        entrance: Entrance,
        peer: Peer,
        requests: int = 0,
        hand_overs: int = 0,
    ) -> None:
        """fd: the connection's, which is closed with it."""

    def begin_serving(self) -> None:
        """It was admitted."""

    def turn_away(self, response: bytes | None) -> None:
        """It was not admitted. response: what to say; None for nothing."""

    @property
    def busy(self) -> bool:
        """Whether a request is being received or answered, or a response is still on its way out."""

    @property
    def asked(self) -> bool:
        """Whether a request has come on it already."""

    @property
    def write_paused(self) -> bool:
        """Whether the client does not take what it is sent."""

    @property
    def held(self) -> int:
        """Bytes that wait here, for either side."""

    def close_if_idle(self) -> None:
        """While draining: leave, unless a request is under way."""

    def abort(self, *, reset: bool = False) -> None:
        """Break the connection."""

    def check(self, now: float) -> None:
        """Enforce the time limits. now: loop time."""
