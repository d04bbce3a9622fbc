"""Gathers problems and warnings at paths of a document, once each, without giving secrets away."""

from __future__ import annotations

from gslb.config.document import Document, KeyPath
from gslb.errors import Problem

SECRET_PATHS: frozenset[KeyPath] = frozenset({("redis", "url")})
_LONGEST_SHOWN = 60


class Findings:
    """Everything found wrong (`errors`) or unwise (`warnings`) in one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.errors: list[Problem] = list(document.problems)
        self.warnings: list[Problem] = []

    def error(self, path: KeyPath, message: str, hint: str = "", *, key: bool = False) -> None:
        """Report what is wrong at `path` (at its key, if `key`), unless its value is known to be useless."""
        if any(path[:length] in self.document.broken for length in range(len(path) + 1)):
            return
        self._add(self.errors, path, message, hint, key)

    def warn(self, path: KeyPath, message: str, hint: str = "", *, key: bool = False) -> None:
        """Report what is legal but unwise."""
        self._add(self.warnings, path, message, hint, key)

    def _add(self, found: list[Problem], path: KeyPath, message: str, hint: str, key: bool) -> None:
        place = self.document.place(path, key=key)
        # A single value that stands for a list of one is not called its first item.
        while path and isinstance(path[-1], int) and path not in self.document.value_marks:
            path = path[:-1]
        problem = Problem(place, f"{dotted(path)}: {message}" if path else message, hint)
        if problem not in found:
            found.append(problem)

    def secret(self, path: KeyPath) -> str | None:
        """What to say instead of the value at `path`, when it (or anything in it) must not show."""
        if path in SECRET_PATHS:
            return "the value"
        for place, taken in self.document.from_environment.items():
            if place[: len(path)] == path or path[: len(place)] == place:
                return f"the value of ${{{taken[0][0]}}}"
        return None

    def shown(self, path: KeyPath, value: object) -> str:
        """`value`, which stands at `path`, as an error may show it."""
        return self.secret(path) or show(value)


def show(value: object) -> str:
    """A value in a sentence: short, and with its kind recognisable."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 4]}...{text[-1]}"


def dotted(path: KeyPath) -> str:
    """A path as people write it: `regions.us-east.edges[0].port`."""
    text = ""
    for item in path:
        text += f"[{item}]" if isinstance(item, int) else f".{item}" if text else item
    return text
