"""Which pool serves the name that a TLS client asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping

ANY_BELOW = "*."


class ServerNames:
    """A name itself comes first, then the closest wildcard above it, then the pool for all others.

    `*.example.com` holds every name below example.com, however deep, and not example.com itself.
    """

    __slots__ = ("_names", "_others")

    def __init__(self, names: Mapping[str, str], others: str | None) -> None:
        """names: pool by name, in lower case. others: the pool of all else, None: there is none."""
        self._names = names
        self._others = others

    def pool(self, name: str | None) -> str | None:
        """name: lower case, without a final dot; None: the client asks for no name."""
        if name is None:
            return self._others
        found = self._names.get(name)
        while found is None and name:
            name = name.partition(".")[2]
            found = self._names.get(ANY_BELOW + name) if name else None
        return found if found is not None else self._others
