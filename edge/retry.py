"""Decides whether a request that failed at one server is tried again, and says why not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from gslb.fleet_edge import Retries, RetryBudget


class Failure(Enum):
    """How a try ended. NOT_SENT: no byte of the request reached the server's connection.

    STALE: a connection kept from before ended without a byte of a response; most likely the server closed
    it while the request was on its way. ENDED: a new connection did. BROKEN: it ended after a byte, or said
    what is no response. TIMED_OUT: no response began in time. STATUS: a response that the route calls a
    failure.
    """

    NOT_SENT = auto()
    STALE = auto()
    ENDED = auto()
    BROKEN = auto()
    TIMED_OUT = auto()
    STATUS = auto()


class Next(Enum):
    """Where the request goes. SAME: to the same server once more, on a new connection."""

    SAME = auto()
    ANOTHER = auto()
    NOWHERE = auto()


@dataclass(frozen=True, slots=True)
class Try:
    """What there is to know when one has failed.

    idempotent: whether twice is as good as once (RFC 9110 9.2.2). replayable: whether all that was sent of
    the body can be sent again. tried: servers, this one counted in. seconds: since the request's head.
    retrying, in_flight: of the edge, this request counted in where it retries.
    """

    failure: Failure
    idempotent: bool
    replayable: bool
    tried: int
    seconds: float
    retrying: int
    in_flight: int
    status: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows, and the reason as part of a sentence: "… is not repeated: {reason}"."""

    next: Next
    reason: str = ""


_ELSEWHERE = Verdict(Next.ANOTHER)
_AGAIN = Verdict(Next.SAME)
_GATEWAY_STATUS = {Failure.BROKEN: 502, Failure.TIMED_OUT: 504}


def decide(failed: Try, retries: Retries, budget: RetryBudget, total: float | None) -> Verdict:
    """What becomes of a request after a try. total: seconds that it may take in all, None for no bound.

    What never was sent can always go elsewhere, and costs so little that no budget counts it: a server's
    death must not cost more requests than were at it. What was sent goes elsewhere only if its method is
    idempotent and its body can be sent again, because the server may have acted on it. A stale connection
    says nothing about its server, which gets the request once more: it has not had it, as far as anybody can
    tell.
    """
    if total is not None and failed.seconds >= total:
        return Verdict(Next.NOWHERE, "its time is over")
    if failed.failure is Failure.NOT_SENT:
        return _ELSEWHERE
    if not failed.idempotent:
        return Verdict(Next.NOWHERE, "its method is not idempotent, and the server may have acted on it")
    if not failed.replayable:
        return Verdict(Next.NOWHERE, "more of its body was sent than is kept for another try")
    if not _counts_as_failure(failed, retries):
        return Verdict(Next.NOWHERE, "the server had begun to answer, or was too slow")
    if failed.failure is Failure.STALE:
        return _AGAIN
    if failed.tried >= retries.tries:
        return Verdict(Next.NOWHERE, f"{failed.tried} servers were tried, which is the most")
    # Where a server dies, all that were at it go elsewhere at once, and once: no budget is to hold for these.
    died = failed.failure is Failure.ENDED and failed.tried == 1
    if not died and failed.retrying >= max(budget.least, budget.share * failed.in_flight):
        return Verdict(Next.NOWHERE, "too many requests are being tried again already")
    return _ELSEWHERE


def _counts_as_failure(failed: Try, retries: Retries) -> bool:
    if failed.failure is Failure.STATUS:
        return failed.status in retries.on
    status = _GATEWAY_STATUS.get(failed.failure)
    return status is None or status in retries.on
