"""Where an answer tells the load of its target, and how that is read: a share, or a percentage."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# With an exponent, as programs print what is hardly more than nothing: 5e-05.
_LOAD = re.compile(r"\s*((?:\d{1,9}(?:\.\d{0,18})?|\.\d{1,18})(?:[eE][-+]?\d{1,3})?)\s*(%?)\s*", re.ASCII)
_FIELD = re.compile(r"[^.]+(?:\.[^.]+)*")
_LOOK = "write `body`, {header: NAME} or {field: PATH}, such as {field: system.load}"


class LoadPlace(StrEnum):
    """Which part of an answer tells the load."""

    BODY = "body"
    HEADER = "header"
    FIELD = "field"


@dataclass(frozen=True, slots=True)
class LoadSource:
    """name: of the header field, or of the field in a JSON body with dots between the levels; else empty."""

    place: LoadPlace
    name: str = ""

    @property
    def in_body(self) -> bool:
        return self.place is not LoadPlace.HEADER

    def read(self, headers: Mapping[str, str], body: bytes) -> float | None:
        """The load, 0 to 1; None where it is missing or illegible. body: only looked at if `in_body`."""
        match self.place:
            case LoadPlace.HEADER:
                return load_of_text(headers.get(self.name, ""))
            case LoadPlace.FIELD:
                return _load_of_field(body, self.name)
        return load_of_text(body.decode("utf-8", "replace"))


def load_of_text(text: str) -> float | None:
    """The load from `0.42` or `42%`; what is more than all counts as all. None for anything else."""
    match = _LOAD.fullmatch(text)
    return None if match is None else min(1.0, float(match[1]) / (100 if match[2] else 1))


def _load_of_field(body: bytes, name: str) -> float | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for key in name.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    if isinstance(value, str):
        return load_of_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(min(value, 1)) if value >= 0 else None


def parse_load_source(value: object) -> LoadSource:
    """Where the load is told, as regions.yaml has it; raises ValueError with the remedy for what is none."""
    if value == LoadPlace.BODY:
        return LoadSource(LoadPlace.BODY)
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(f"is no place where an answer tells the load; {_LOOK}")
    ((place, name),) = value.items()
    if place == LoadPlace.HEADER:
        if not isinstance(name, str) or not HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        return LoadSource(LoadPlace.HEADER, name)
    if place == LoadPlace.FIELD:
        if not isinstance(name, str) or not _FIELD.fullmatch(name):
            raise ValueError(f"{name!r} is not a field of a JSON body; write it like system.load")
        return LoadSource(LoadPlace.FIELD, name)
    raise ValueError(f"{place!r} is no place where an answer tells the load; {_LOOK}")


def _single(key: str, pattern: str) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {key: {"type": "string", "pattern": pattern}},
        "required": [key],
        "additionalProperties": False,
    }


LoadOption = Annotated[
    LoadSource,
    PlainValidator(parse_load_source),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "body"},
                _single("header", rf"^{HEADER_NAME.pattern}$|\$\{{"),
                _single("field", rf"^{_FIELD.pattern}$|\$\{{"),
            ]
        }
    ),
]
