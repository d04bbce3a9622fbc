"""One rate limit that several processes keep together: what each tells the others, and what it learns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from heapq import nlargest

from edge.rate_limit import MOST_KEYS, Buckets
from gslb.balancing import KeyKind
from gslb.fleet import RateLimit, Route

MOST_TOLD = 500
"""Clients of one limit that are told of at once; with more, those that were admitted the most."""

_IN_CLEAR = (KeyKind.ADDRESS, KeyKind.PATH)


@dataclass(slots=True)
class Admitted:
    """What one client was admitted since it was told last. count: requests.

    full_at: loop time at which its bucket would be full again if these had been all.
    """

    count: int
    full_at: float


class SharedBuckets(Buckets):
    """Buckets that others draw on too. Admitting waits for nobody: it goes by what is known here.

    Every `interval`, what was admitted here goes to Redis, where it moves the moment at which the client's
    common bucket is full again, and that moment comes back. It becomes the local one if it is later. So what
    the others admitted is learnt with every request of one's own, and paid back before more are admitted.
    A count in a time window would not do: it does not say what of it has been refilled since.

    Bound: in any t seconds, N processes together admit of one client at most

        burst + rate × t + (N - 1) × (burst + rate × (interval + round trip))

    for each of the others may empty its own bucket, and what is refilled meanwhile, before it knows; what was
    too much is owed, so this does not add up over time. What a lost message told is not told again: Redis may
    have counted it, and counting twice would refuse what should be admitted. With more than MOST_TOLD clients
    in an interval, the quiet ones of them are told of later or never.

    When Redis is away, nobody knows of the others: `divide` gives each its part of the limit.
    """

    __slots__ = ("_admitted", "_cost")

    def __init__(self, limit: RateLimit) -> None:
        super().__init__(limit)
        self._cost = limit.per / limit.requests
        self._admitted: dict[str, Admitted] = {}

    @property
    def cost(self) -> float:
        """Seconds in which one request is refilled, all processes together."""
        return self._cost

    def divide(self, among: int) -> None:
        """Admit one part in so many of the limit, and of the burst, but at least one request at once."""
        self._hold(self._cost * among, max(1, self.limit.burst // among))

    def take(self, key: str, now: float) -> float:
        wait = super().take(key, now)
        if wait == 0.0:
            self._note(key, now)
        return wait

    def _note(self, key: str, now: float) -> None:
        noted = self._admitted.get(key)
        if noted is not None:
            noted.count += 1
            noted.full_at = max(noted.full_at, now) + self._cost
        elif len(self._admitted) < MOST_KEYS:
            self._admitted[key] = Admitted(1, now + self._cost)

    def tell(self, now: float, most: int = MOST_TOLD) -> list[tuple[str, Admitted]]:
        """What is to be told now, which is then told. now: loop time."""
        admitted = self._admitted
        if len(admitted) <= most:
            self._admitted = {}
            return list(admitted.items())
        told = nlargest(most, admitted.items(), key=_count)
        for key, _ in told:
            del admitted[key]
        # Of the others, those that have it all back by themselves are hardly anybody's concern.
        self._admitted = {key: noted for key, noted in admitted.items() if noted.full_at > now}
        return told

    def learn(self, keys: Iterable[str], missing: Sequence[float], then: float) -> None:
        """Take over what all processes have admitted. missing: seconds from `then` (loop time) until the
        bucket of each key is full again."""
        known = self._full_at
        for key, seconds in zip(keys, missing, strict=True):
            full_at = then + seconds
            if full_at > known.get(key, then):
                if key not in known:
                    self._make_room(then)
                known[key] = full_at


def _count(item: tuple[str, Admitted]) -> int:
    return item[1].count


def limit_name(route: Route, limit: RateLimit) -> str:
    """What the limit of a route is called in Redis: where it holds, and a digest of all that it says.

    Processes count together if they have read the same of it; one that reads another limit begins anew.
    """
    said = (
        route.host,
        route.path,
        sorted(route.methods),
        limit.requests,
        limit.per,
        limit.burst,
        str(limit.key),
    )
    digest = blake2b(repr(said).encode(), digest_size=4).hexdigest()
    return f"{route.host or '*'}{route.path}:{digest}"


def client_name(limit: RateLimit, key: str) -> str:
    """What a client is called in Redis: its key, or a digest of one that may be a credential."""
    if limit.key is None:
        return "*"
    if limit.key.kind in _IN_CLEAR:
        return key
    return blake2b(key.encode(errors="surrogatepass"), digest_size=16).hexdigest()
