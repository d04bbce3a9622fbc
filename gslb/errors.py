"""One root for every error a user can meet, so that each names its place and its remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class GslbError(Exception):
    """Root of all errors of this project; its text is one sentence for a person.

    `hint` tells the remedy, when there is one to tell.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file; line and column count from 1, and 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong (or, as a warning, unwise) in a file: where, what, and what would be right."""

    place: Place
    message: str
    hint: str = ""

    def __str__(self) -> str:
        tail = f"; {self.hint}" if self.hint else ""
        return f"{self.place}: {self.message}{tail}"


class ConfigError(GslbError):
    """Everything wrong with a configuration, all at once, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ZoneError(GslbError):
    """A zone's data cannot be read or is not a legal zone; carries every problem found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class GeoError(GslbError):
    """A location database cannot be opened, or is not of a kind we can read."""


class StoreError(GslbError):
    """Redis cannot be reached, or refuses what we ask."""


class WireError(GslbError):
    """A packet is malformed; `rcode` is the DNS response code that says so (RFC 1035 4.1.1)."""

    def __init__(self, message: str, rcode: int) -> None:
        super().__init__(message)
        self.rcode = rcode
