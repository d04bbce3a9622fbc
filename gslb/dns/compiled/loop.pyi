from collections.abc import Sequence

from gslb.dns.compiled.answering import Exchange

class Miss:
    """A query that Python is to answer, as it came from its socket; `Loop.send` takes the answer."""

    @property
    def packet(self) -> bytes: ...
    @property
    def source(self) -> str:
        """The address, as Python's sockets spell it."""
    @property
    def port(self) -> int: ...

class Loop:
    """Serves one listen address: a socket and a thread each, without the GIL.

    sockets: file descriptors of UDP sockets that are blocking and bound (several to the same address, with
    SO_REUSEPORT). They stay the caller's, who closes them when every `serve` has returned and nothing is sent
    any more. first: the number that the first of its threads has in the exchange. wildcard: whether they are
    bound to 0.0.0.0 or ::, so that answers must be told where to leave from.

    Raises ValueError if the exchange has too few threads, OSError for what is no such socket.
    """

    def __init__(self, exchange: Exchange, sockets: Sequence[int], first: int, *, wildcard: bool) -> None: ...
    @property
    def exchange(self) -> Exchange: ...
    @property
    def first(self) -> int: ...
    @property
    def overloads(self) -> int:
        """Queries that were dropped because Python had too many before them."""
    def serve(self, index: int) -> None:
        """Serve socket `index` in this thread until `stop`.

        Raises OSError if the socket was closed, IndexError, and RuntimeError if another thread serves it.
        """
    def take(self, most: int = 64, seconds: float = 0.5) -> list[Miss]:
        """Up to `most` queries that Python is to answer, the oldest of a thread first. Waits for the first
        one, at most so many seconds, unless the loop is stopped. Any thread may call it."""
    def send(self, miss: Miss, answer: bytes) -> None:
        """Answer from the address that was asked, at once or not at all: raises OSError."""
    def stop(self) -> None:
        """Have every `serve` return after the batch at hand, and `take` wait no more; it stays stopped."""
