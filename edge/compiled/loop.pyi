"""The compiled path's loop, as Python sees it."""

from typing import Protocol

from edge.compiled.terms import Terms
from edge.counters import Counters

class Path(Protocol):
    """Whom the loop tells of a fault of its own, from within an exception handler."""

    def fault(self) -> None: ...

class Loop:
    """One for each process; its descriptor is readable when `turn` has something to do.

    All is done on the thread of the event loop that watches it, and takes no longer than a few batches.
    """

    terms: Terms
    """What clients are served by."""

    def __init__(self, path: Path, counters: Counters) -> None: ...
    def fileno(self) -> int: ...
    def limit(self, first_line: int, head: int, fields: int) -> None:
        """What is longer than this, in bytes and count, is left to Python."""

    def turn(self) -> None:
        """Serve all who have something to say now."""

    def settle(self) -> None:
        """Have everything counted where the rest of the process looks for it."""
