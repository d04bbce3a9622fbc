"""What one look at a place where servers are found has shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gslb.fleet import Server


@dataclass(frozen=True, slots=True)
class Sighting:
    """servers: None when nothing was learnt, and what was known before holds. pause: seconds until the next
    look. problem: what went wrong, empty when nothing did."""

    servers: tuple[Server, ...] | None
    pause: float
    problem: str = ""


class Place(Protocol):
    """Where servers of one pool are found; whoever has it looks at it once at a time."""

    async def look(self) -> Sighting:
        """Look once; raises nothing but faults of ours."""
        ...
