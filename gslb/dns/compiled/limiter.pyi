from collections.abc import Sequence

from gslb.dns.rate_limit import Limited, Outcome
from gslb.fleet import RateLimitSettings

MOST_SLOTS: int
"""Places for client networks in a second at the most; else twice as many as the ceiling lets through."""

class Limiter:
    """What gslb.dns.rate_limit.RateLimiter is, for the threads of the compiled loop and Python together.

    It never waits and never allocates: networks are counted in a table of fixed size under a keyed hash of
    48 bits and more. Where that is crowded, because the ceiling allows for more networks than it has places,
    a network shares the count of another. Threads that enter a second together count the first responses,
    until one of them has begun it, for the second before.

    most_slots: a power of two; fewer are for tests. Raises MemoryError.
    """

    def __init__(self, settings: RateLimitSettings, *, most_slots: int = ...) -> None: ...
    def judge(self, source: str, error: bool, now: float) -> Outcome:
        """What becomes of a response to `source`, an address as its socket gave it.

        error: whether the response is one (NXDOMAIN, REFUSED, FORMERR …). now: seconds since 1970, as the
        compiled loop reads them. Raises ValueError if `source` is no address.
        """
    def rehearse(self, sources: Sequence[str], error: bool, now: float, rounds: int) -> tuple[int, int, int]:
        """Judge a response to each of `sources`, `rounds` times over, without the GIL: for tests and
        measurements. How many were sent, truncated and dropped."""
    def newly_limited(self) -> tuple[Limited, ...]:
        """What began to be limited since the last call, for the log: of each second at most one network,
        and the ceiling. What was limited in the second before does not begin."""
    def limited_networks(self, now: float) -> int:
        """How many networks are over a limit in this second, or were in the one before."""
    @property
    def sent(self) -> int:
        """Responses that were let through within the limits."""
    @property
    def exempt(self) -> int:
        """Responses that were let through by exemption."""
    @property
    def slipped(self) -> int: ...
    @property
    def dropped(self) -> dict[str, int]:
        """By what stood in the way: "network" or "ceiling"."""
    @property
    def counts(self) -> int:
        """How many counts are kept for the current second: of the order of the ceiling, and never more than
        twice MOST_SLOTS."""
