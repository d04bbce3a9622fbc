"""The error of a value: what is wrong with it and what would be right, said without saying the value."""

from __future__ import annotations


class WrongError(ValueError):
    """A value that cannot be. In `message`, `{value}` stands for the value: who reports the error knows
    whether it may be shown, as values from the environment may not.

    hint: the remedy. derived: a better one that gives the value away, for when it may be shown.
    """

    def __init__(self, message: str, hint: str = "", *, derived: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.derived = derived

    def text(self, shown: str) -> str:
        return self.message.replace("{value}", shown)
