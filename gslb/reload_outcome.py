"""What came of a reload, as the admin side and the log tell it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gslb.config.difference import Difference

LINES_LOGGED = 20
"""Changes told one by one in a log line; the rest are counted."""

FORCE = "`gslb reload --force` takes it up all the same"


class Status(StrEnum):
    """What came of a reload."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a reload, and why. problems: sentences, each with its place and its remedy.

    too_much: set when it was refused for dropping too much, which `force` allows. told: the changes, a line
    each; where there may be many, only those for the log, made ahead. difference: all of them, if they are
    more than lines. restarts: what must be started anew before all of the file takes effect. warnings: what
    is legal and yet hardly meant.
    """

    status: Status
    problems: tuple[str, ...] = ()
    too_much: str | None = None
    told: tuple[str, ...] = ()
    difference: Difference | None = None
    restarts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The outcome for JSON; with many changes it takes its time."""
        difference = self.difference
        return {
            "status": self.status.value,
            "problems": list(self.problems),
            "too_much": self.too_much,
            "needs_restart": list(self.restarts),
            "warnings": list(self.warnings),
            "changes": difference.document()["changes"] if difference is not None else [],
            "lines": difference.lines() if difference is not None else list(self.told),
        }

    @property
    def logged(self) -> list[str]:
        """The changes as a log line tells them, however many they are."""
        # "1 more" would take as much room as that one; and such a line may be the last of these already.
        if len(self.told) <= LINES_LOGGED + 1:
            return list(self.told)
        return [*self.told[:LINES_LOGGED], f"… and {len(self.told) - LINES_LOGGED} more"]
