"""What plain Python counts of the answers that it repeats, kept cheap for the path of every one of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from gslb.dns.reply import NOERROR


@dataclass(slots=True)
class QuickCounts:
    """What was done, for the Responder to add up. asked: queries that were not left to it.

    dropped: those not answered. failed: responses by RCODE, NOERROR left out. truncations: answers cut, with
    the TC bit. cookies: queries with one, by what it proved. served: by service and region, of answers that
    are not in use any more.
    """

    asked: int = 0
    dropped: int = 0
    truncations: int = 0
    failed: list[int] = field(default_factory=lambda: [0] * 16)
    cookies: Counter[str] = field(default_factory=Counter)
    served: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def responses(self) -> Counter[int]:
        """By RCODE."""
        responses = Counter(dict(enumerate(self.failed)))
        responses[NOERROR] = self.asked - self.dropped - sum(self.failed)
        return responses
