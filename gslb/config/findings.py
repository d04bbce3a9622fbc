"""Gathers problems and warnings at paths of a document, once each, without giving secrets away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from gslb.config.document import Document, KeyPath
from gslb.errors import Problem

SECRETS: Mapping[KeyPath, frozenset[str]] = {
    ("redis",): frozenset({"url", "poll", "lease", "timeout"}),
    ("dns", "keys"): frozenset({"algorithm", "secret"}),
    ("dns", "cookies"): frozenset({"enabled", "secrets"}),
    ("zones", "*", "transfers"): frozenset({"network", "key"}),
    ("pools", "*", "sticky"): frozenset({"cookie", "secret", "max_age", "same_site", "secure"}),
    ("checks", "*", "headers"): frozenset(),
    ("checks", "*", "send"): frozenset(),
}
"""Where secrets stand, or what a mistake makes of one (`*`: any key), and the keys there that may show."""

HIDDEN = "the value"
"""What is said instead of a value that stands in one of these places."""

_HIDDEN_KEY = "<key>"
_LONGEST_SHOWN = 60
# Up to the last @: a password may have been written down with any character unescaped.
_LOGIN = re.compile(r"://.*@", re.DOTALL)


class Findings:
    """Everything found wrong (`errors`) or unwise (`warnings`) in one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._errors = dict.fromkeys(without_logins(problem) for problem in document.problems)
        self._warnings: dict[Problem, None] = {}
        # By every path at, above or in which a value of the environment stands, the name of the first.
        self._from_environment: dict[KeyPath, str] = {}
        for path, taken in document.from_environment.items():
            for length in range(len(path) + 1):
                self._from_environment.setdefault(path[:length], taken[0][0])

    @property
    def errors(self) -> list[Problem]:
        return list(self._errors)

    @property
    def warnings(self) -> list[Problem]:
        return list(self._warnings)

    def add_errors(self, problems: Iterable[Problem]) -> None:
        """Report what was found elsewhere, with its place."""
        self._errors.update(dict.fromkeys(problems))

    def error(self, path: KeyPath, message: str, hint: str = "", *, key: bool = False) -> None:
        """Report what is wrong at `path` (at its key, if `key`), unless its value is known to be useless."""
        if any(path[:length] in self.document.broken for length in range(len(path) + 1)):
            return
        self._add(self._errors, path, message, hint, key)

    def warn(self, path: KeyPath, message: str, hint: str = "", *, key: bool = False) -> None:
        """Report what is legal but unwise."""
        self._add(self._warnings, path, message, hint, key)

    def _add(self, found: dict[Problem, None], path: KeyPath, message: str, hint: str, key: bool) -> None:
        place = self.document.place(path, key=key)
        # A single value that stands for a list of one is not called its first item.
        while path and isinstance(path[-1], int) and path not in self.document.value_marks:
            path = path[:-1]
        where = dotted(_shown_path(path))
        problem = without_logins(Problem(place, f"{where}: {message}" if path else message, hint))
        found.setdefault(problem)

    def secret(self, path: KeyPath) -> str | None:
        """What to say instead of the value at `path`, when it (or anything in it) must not show."""
        name = self._from_environment.get(path)
        if name is None:
            # In a scalar there is no place: whoever asks for one means the whole.
            places = (path[:length] for length in range(len(path)))
            environment = self.document.from_environment
            name = next((environment[place][0][0] for place in places if place in environment), None)
        if name is not None:
            return f"the value of ${{{name}}}"
        return HIDDEN if _kept_secret(path) is not None else None

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
    text = mask_logins(repr(value) if isinstance(value, str) else str(value))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 4]}...{text[-1]}"


def mask_logins(text: str) -> str:
    """`text` without the user and the password of a URL in it."""
    return _LOGIN.sub("://…@", text)


def without_logins(problem: Problem) -> Problem:
    """`problem` with no user and no password of a URL in its words."""
    return replace(problem, message=mask_logins(problem.message), hint=mask_logins(problem.hint))


def _kept_secret(path: KeyPath) -> KeyPath | None:
    """The place in SECRETS that `path` is, or lies in; None when it may show."""
    for place in SECRETS:
        if len(path) >= len(place) and all(
            each in ("*", item) for each, item in zip(place, path, strict=False)
        ):
            return place
    return None


def _shown_path(path: KeyPath) -> KeyPath:
    """`path` as an error may name it: without keys that could be secrets in the wrong place."""
    place = _kept_secret(path)
    if place is None:
        return path
    return path[: len(place)] + tuple(
        item if isinstance(item, int) or item in SECRETS[place] else _HIDDEN_KEY
        for item in path[len(place) :]
    )


def dotted(path: KeyPath) -> str:
    """A path as people write it: `regions.us-east.edges[0].port`."""
    text = ""
    for item in path:
        text += f"[{item}]" if isinstance(item, int) else f".{item}" if text else item
    return text
