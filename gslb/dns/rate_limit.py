"""Limits the responses to each client network, so that forged queries cannot turn this server on a victim."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from itertools import count

from gslb.fleet import RateLimitSettings
from gslb.geo.prefixes import Prefixes

MEMO_ENTRIES = 50_000
"""The most sources whose network is remembered; reaching it forgets them all, which costs working it out."""


_MOST_BEGUN = 10
_LATEST = 5
"""Seconds that a thread may be held up after it has read the clock."""
_IPV4_MAPPED = 0xFFFF  # the upper 96 bits of an IPv6 address that carries an IPv4 address (RFC 4291 2.5.5.2)


class Outcome(Enum):
    """What becomes of a response. SLIP: it goes out truncated, so that a real client comes back over TCP."""

    SEND = "send"
    SLIP = "slip"
    DROP = "drop"


# Looking a member up in its class costs as much as counting.
_SEND, _SLIP, _DROP = Outcome.SEND, Outcome.SLIP, Outcome.DROP


@dataclass(frozen=True, slots=True)
class Limited:
    """Limiting has begun. network: whose responses (in CIDR notation), None for everybody's: the ceiling.

    error: whether its errors, and not its answers, are too many. per_second: the limit.
    """

    network: str | None
    error: bool
    per_second: int


class Window:
    """What was sent in one second. Invariant: nothing is counted for a network before something is sent to
    it, so that the ceiling on what is sent bounds the counts too."""

    __slots__ = ("answers", "errors", "full", "limited", "responses", "second", "told")

    def __init__(self, second: int) -> None:
        self.second = second
        self.answers: dict[int, count[int]] = {}
        self.errors: dict[int, count[int]] = {}
        self.responses = count(1)
        self.full = False
        self.limited: set[int] = set()
        self.told = False


class RateLimiter:
    """Counts responses by client network in fixed windows of a second; a new second starts with new counts.

    Threads share it without a lock, because `next` of a count and every single operation on a dict are
    whole. Only the step from one window to the next is not: two threads that enter a second together may
    each begin it, and the response or two that the one has counted by then are lost.

    sent, exempt: responses that were let through, within the limits or by exemption. slipped: truncated.
    dropped: the others, by what stood in their way: "network" or "ceiling", which nothing passes.
    """

    def __init__(self, settings: RateLimitSettings) -> None:
        """`settings.enabled` is for the caller to look at: whoever asks here wants limits."""
        self._settings = settings
        # Plain attributes: judging is on the path of every response.
        self._answers_limit, self._errors_limit = settings.responses_per_second, settings.errors_per_second
        self._ceiling = settings.ceiling
        self._exempt4, self._exempt6 = _prefixes(4, settings), _prefixes(6, settings)
        self._ipv4_host_bits = 32 - settings.ipv4_prefix_length
        self._ipv6_host_bits = 128 - settings.ipv6_prefix_length
        self._networks: dict[str | bytes, int | None] = {}
        self._window = Window(0)
        self._before = Window(0)
        self._begun: deque[Limited] = deque(maxlen=_MOST_BEGUN)
        # What is counted twice over: a number that a thread writes late is put right by the next one.
        self._sent_total, self._exempt_total = count(1), count(1)
        self._slipped_total = count(1)
        self._dropped_total = {"network": count(1), "ceiling": count(1)}
        self.sent = 0
        self.exempt = 0
        self.slipped = 0
        self.dropped = {"network": 0, "ceiling": 0}

    def judge(self, source: str | bytes, error: bool, now: float) -> Outcome:
        """What becomes of a response to `source`, an address as its socket gave it, or packed.

        error: whether the response is one (NXDOMAIN, REFUSED, FORMERR …). now: seconds, from any origin.
        """
        return self.judge_in(self.window(now), source, error)

    def window(self, now: float) -> Window:
        """What responses at a moment are counted in: see `judge_in`."""
        window = self._window
        return window if int(now) == window.second else self._window_of(int(now))

    def judge_in(self, window: Window, source: str | bytes, error: bool) -> Outcome:
        """What `judge` says, for who answers many at the same moment."""
        try:
            network = self._networks[source]
        except KeyError:
            network = self._remember(source)
        if network is None:
            self.exempt = next(self._exempt_total)
            return _SEND
        if window.full:
            return self._over_ceiling(next(window.responses))
        counts, limit = window.answers, self._answers_limit
        if error:
            counts, limit = window.errors, self._errors_limit
        counter = counts.get(network)
        if counter is None:
            counter = counts.setdefault(network, count(1))
        number = next(counter)
        if number > limit:
            return self._over_limit(window, network, error, number - limit)
        number = next(window.responses)
        if number >= self._ceiling:
            window.full = True
            if number > self._ceiling:  # another thread was faster
                return self._over_ceiling(number)
        self.sent = next(self._sent_total)
        return _SEND

    def newly_limited(self) -> tuple[Limited, ...]:
        """What began to be limited since the last call, for the log: of each second at most one network,
        and the ceiling. What was limited in the second before does not begin."""
        if not self._begun:
            return ()
        begun = tuple(self._begun)
        self._begun.clear()
        return begun

    def limited_networks(self, now: float) -> int:
        """How many networks are over a limit in this second, or were in the one before."""
        window, before = self._window, self._before
        age = int(now) - window.second
        if age > 1:
            return 0
        return len(window.limited if age == 1 else window.limited | before.limited)

    @property
    def counts(self) -> int:
        """How many counts are kept for the current second: never more than the ceiling."""
        return len(self._window.answers) + len(self._window.errors)

    def _window_of(self, second: int) -> Window:
        window = self._window
        # A thread that read the clock before the second ended must not bring that second back.
        if 0 <= window.second - second <= _LATEST:
            return window
        self._before = window if second - window.second == 1 else Window(second - 1)
        self._window = Window(second)
        return self._window

    def _over_limit(self, window: Window, network: int, error: bool, over: int) -> Outcome:
        if network not in window.limited:
            window.limited.add(network)
            if not window.told and network not in self._before.limited:
                window.told = True
                self._begun.append(Limited(self._text(network), error, self._limit(error)))
        slip = self._settings.slip
        if not slip or over % slip:
            return self._drop("network")
        # A truncated answer is a response too, and what makes a ceiling is that nothing passes it.
        number = next(window.responses)
        if number > self._ceiling:
            window.full = True
            return self._over_ceiling(number)
        self.slipped = next(self._slipped_total)
        return _SLIP

    def _over_ceiling(self, number: int) -> Outcome:
        over = number - self._settings.ceiling
        if over == 1 and not self._before.full:
            self._begun.append(Limited(None, False, self._settings.ceiling))
        return self._drop("ceiling")

    def _drop(self, by: str) -> Outcome:
        self.dropped[by] = next(self._dropped_total[by])
        return _DROP

    def _remember(self, source: str | bytes) -> int | None:
        if len(self._networks) >= MEMO_ENTRIES:
            self._networks.clear()
        network = self._networks[source] = self._network_of(source)
        return network

    def _network_of(self, source: str | bytes) -> int | None:
        """The number of `source`'s client network; None if it is exempt.

        The number is the prefix's bits for IPv4, and their complement, which is below 0, for IPv6. Under a
        flood of forged addresses every source is new, so this is kept cheap.
        """
        if isinstance(source, bytes):
            number, ipv6 = int.from_bytes(source), len(source) == 16
        elif ":" in source:
            number, ipv6 = int(IPv6Address(source.partition("%")[0])), True
        else:
            number, ipv6 = _ipv4_number(source), False
        if ipv6 and number >> 32 != _IPV4_MAPPED:
            return None if _holds(self._exempt6, number) else ~(number >> self._ipv6_host_bits)
        number &= 0xFFFFFFFF
        return None if _holds(self._exempt4, number) else number >> self._ipv4_host_bits

    def _limit(self, error: bool) -> int:
        return self._errors_limit if error else self._answers_limit

    def _text(self, network: int) -> str:
        if network >= 0:
            return f"{IPv4Address(network << self._ipv4_host_bits)}/{32 - self._ipv4_host_bits}"
        return f"{IPv6Address(~network << self._ipv6_host_bits)}/{128 - self._ipv6_host_bits}"


def _ipv4_number(text: str) -> int:
    """Of an address in the one form in which sockets give it: three times as fast as IPv4Address is."""
    first, second, third, fourth = text.split(".")
    return int(first) << 24 | int(second) << 16 | int(third) << 8 | int(fourth)


def _prefixes(version: int, settings: RateLimitSettings) -> Prefixes | None:
    networks = [network for network in settings.exempt if network.version == version]
    return Prefixes(version, networks) if networks else None


def _holds(prefixes: Prefixes | None, number: int) -> bool:
    return prefixes is not None and prefixes.find(number)[0] is not None
