"""Finds what the operator probably meant, so that an error about a name ends in the right name."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from functools import lru_cache

_LISTED = 12  # more names than this would bury the error they are meant to explain


def did_you_mean(text: str, known: Collection[str]) -> str | None:
    """The one of `known` that is written most like `text`; case, `-` and `_` count little."""
    return _likely(text, tuple(known))


# One name that is gone may be missed in thousands of places.
@lru_cache(maxsize=256)
def _likely(text: str, known: tuple[str, ...]) -> str | None:
    folded = {_fold(name): name for name in known}
    if _fold(text) in folded:
        return folded[_fold(text)]
    close = get_close_matches(_fold(text), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def remedy(text: str, known: Collection[str], what: str) -> str:
    """A hint for an unknown name: the likely one, else all that exist. `what`: plural noun, `regions`."""
    likely = did_you_mean(text, known)
    if likely is not None:
        return f"did you mean {likely!r}?"
    if not known:
        return f"there are no {what}"
    listed = ", ".join(list(known)[:_LISTED])
    return f"{what}: {listed}" + (", ..." if len(known) > _LISTED else "")


def _fold(text: str) -> str:
    return text.lower().replace("-", "_")
