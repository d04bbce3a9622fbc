"""Validates what is good of a partly bad entry, so that checks which need the good part still run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gslb.config.document import KeyPath
from gslb.config.references import Declared

_ROUNDS = 4

Model = TypeVar("Model", bound=BaseModel)


def salvage(
    model: type[Model], data: object, error: ValidationError, declared: Declared | None = None
) -> tuple[Model, Callable[[KeyPath], KeyPath]] | None:
    """`data` as `model` without the entries in which `error` lies, for looking at only; None if that fails.

    The second value turns a path inside the outcome into the path inside `data`.
    """
    rounds: list[dict[KeyPath, list[int]]] = []

    def restored(path: KeyPath) -> KeyPath:
        for kept in reversed(rounds):
            path = _restored(path, kept)
        return path

    # Giving up an entry can leave its parent wrong (a list empty, say), which is then given up in its turn.
    for _ in range(_ROUNDS):
        bad = {_entry_of(data, detail["loc"]) for detail in error.errors(include_url=False)}
        if () in bad:
            return None
        rounds.append({})
        data = _without(data, bad, (), rounds[-1])
        try:
            return model.model_validate(data, context=declared), restored
        except ValidationError as next_error:
            error = next_error
    return None


def _entry_of(data: object, location: Sequence[int | str]) -> KeyPath:
    """The part of `data` to give up for an error: the outermost item of a list, else the innermost entry."""
    path: KeyPath = ()
    for item in location:
        if isinstance(data, list) and isinstance(item, int) and item < len(data):
            return (*path, item)
        if not isinstance(data, dict) or item not in data:
            break
        data = data[item]
        path = (*path, item)
    return path


def _without(data: object, bad: set[KeyPath], path: KeyPath, kept: dict[KeyPath, list[int]]) -> object:
    if isinstance(data, dict):
        return {
            key: _without(value, bad, (*path, key), kept)
            for key, value in data.items()
            if (*path, key) not in bad
        }
    if isinstance(data, list):
        kept[path] = [index for index in range(len(data)) if (*path, index) not in bad]
        return [_without(data[index], bad, (*path, index), kept) for index in kept[path]]
    return data


def _restored(path: KeyPath, kept: dict[KeyPath, list[int]]) -> KeyPath:
    restored: KeyPath = ()
    for item in path:
        if isinstance(item, int) and item < len(kept.get(restored, ())):
            item = kept[restored][item]
        restored = (*restored, item)
    return restored
