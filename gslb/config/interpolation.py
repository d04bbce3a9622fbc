"""Puts the environment's values where the file says ${NAME}, so that secrets stay out of the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# A lone `$` is left alone: zone files ($TTL) and regular expressions (end$) are full of them.
_TOKEN = re.compile(r"\$\$|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\}|\$\{")


@dataclass(frozen=True, slots=True)
class Interpolated:
    """The outcome for one scalar.

    taken: (name, value) of every variable that the environment supplied; such values must never show.
    missing: names that the environment lacks and that have no default.
    malformed: whether a `${` is not the beginning of a variable.
    """

    text: str
    taken: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    malformed: bool = False


def interpolate(text: str, environment: Mapping[str, str]) -> Interpolated:
    """Replace `${NAME}`, `${NAME:-default}` (used when NAME is unset or empty) and `$$` (a `$`)."""
    if "$" not in text:
        return Interpolated(text)
    taken: list[tuple[str, str]] = []
    missing: list[str] = []
    malformed = False

    def replace(match: re.Match[str]) -> str:
        nonlocal malformed
        name, default = match["name"], match["default"]
        if match[0] == "$$":
            return "$"
        if name is None:
            malformed = True
            return match[0]
        value = environment.get(name)
        if default is not None and not value:
            return str(default[2:])
        if value is None:
            missing.append(name)
            return ""
        taken.append((name, value))
        return value

    replaced = _TOKEN.sub(replace, text)
    return Interpolated(replaced, tuple(taken), tuple(missing), malformed)
