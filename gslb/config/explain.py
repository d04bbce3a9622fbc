"""Turns pydantic's errors into sentences that name the place, what is wrong, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gslb.config.document import KeyPath
from gslb.config.entry import Entry
from gslb.config.findings import HIDDEN, Findings
from gslb.config.suggest import remedy
from gslb.config.wrong_value import WrongError

# By pydantic's error type: the sentence ({value}: the value; other names: pydantic's context) and the remedy.
_SENTENCES: Mapping[str, tuple[str, str]] = {
    "bool": ("{value} is neither true nor false", ""),
    "int": ("{value} is not a whole number", ""),
    "float": ("{value} is not a number", ""),
    "finite_number": ("{value} is not a finite number", ""),
    "string": ("must be text, and {value} is not", "put it in quotes"),
    "bytes": ("must be text, and {value} is not", "put it in quotes"),
    "dict": ("must be a mapping, and {value} is not", "write `key: value` lines"),
    "mapping": ("must be a mapping, and {value} is not", "write `key: value` lines"),
    "model": ("must be a mapping, and {value} is not", "write `key: value` lines"),
    "dataclass": ("must be a mapping, and {value} is not", "write `key: value` lines"),
    "list": ("must be a list, and {value} is not", "write [first, second], or lines that begin with `-`"),
    "tuple": ("must be a list, and {value} is not", "write [first, second], or lines that begin with `-`"),
    "set": ("must be a list, and {value} is not", "write [first, second], or lines that begin with `-`"),
    "frozen_set": (
        "must be a list, and {value} is not",
        "write [first, second], or lines that begin with `-`",
    ),
    "greater_than": ("{value} is too small", "it must be more than {gt}"),
    "greater_than_equal": ("{value} is too small", "the least is {ge}"),
    "less_than": ("{value} is too large", "it must be less than {lt}"),
    "less_than_equal": ("{value} is too large", "the most is {le}"),
    "multiple_of": ("{value} is not a multiple of {multiple_of}", ""),
    "string_too_short": ("{value} is too short", "write {min_length} characters at least"),
    "string_too_long": ("{value} is too long", "write {max_length} characters at most"),
    "string_pattern_mismatch": ("{value} does not look right", "it must match {pattern}"),
    "ip_v4_address": ("{value} is not an IP address", ""),
    "ip_v6_address": ("{value} is not an IP address", ""),
    "ip_any_address": ("{value} is not an IP address", ""),
    "ip_v4_network": (
        "{value} is not a network",
        "write it like 192.0.2.0/24, with no bits beyond the prefix length",
    ),
    "ip_v6_network": (
        "{value} is not a network",
        "write it like 192.0.2.0/24, with no bits beyond the prefix length",
    ),
    "ip_any_network": (
        "{value} is not a network",
        "write it like 192.0.2.0/24, with no bits beyond the prefix length",
    ),
}
_SHORTEST_CUT = 4  # to cut a shorter text out would leave holes in words that are not it
_VARIANT = re.compile(r"_(type|parsing|parsing_size|from_float|sub_type|unicode|attributes_type|exact_type)$")


def report(
    findings: Findings,
    base: KeyPath,
    data: object,
    error: ValidationError,
    model: type[BaseModel],
    also_keys: Iterable[str] = (),
) -> None:
    """Report every error of validating `data`, which stands at `base`, as `model`.

    also_keys: keys that belong to the same mapping but not to `model`, for suggestions.
    """
    told: set[KeyPath] = set()
    for detail in error.errors(include_url=False):
        path, exact = _path_in(data, detail["loc"])
        if not exact and detail["type"] not in ("missing", "value_error"):
            # A union reports each of its branches at one place: the first one says enough.
            if path in told:
                continue
            told.add(path)
        _report_one(findings, (*base, *path), detail, model, also_keys)


def _report_one(
    findings: Findings, path: KeyPath, detail: ErrorDetails, model: type[BaseModel], also_keys: Iterable[str]
) -> None:
    kind, location = detail["type"], detail["loc"]
    is_key = bool(location) and location[-1] == "[key]"
    if kind == "missing":
        findings.error(path, f"`{location[-1]}` is missing", _meaning(model, location), key=True)
    elif kind == "extra_forbidden":
        name, models = str(location[-1]), _models_at(model, location[:-1])
        moved = next(
            (each.moved[name] for each in models if issubclass(each, Entry) and name in each.moved), ""
        )
        known = [*dict.fromkeys(field for each in models for field in each.model_fields), *also_keys]
        if moved:
            findings.error(path, "there is no such key any more", f"say it as {moved}", key=True)
        else:
            findings.error(path, "unknown key", remedy(name, known, "keys here"), key=True)
    elif kind in ("too_short", "too_long"):
        findings.error(path, *_wrong_length(detail.get("ctx", {})))
    else:
        shown = findings.shown(path, detail["input"])
        message, hint = _sentence(detail, shown, may_show=findings.secret(path) is None)
        if kind == "string_pattern_mismatch":
            hint = _description(model, location) or hint
        findings.error(path, message, hint, key=is_key)


def _wrong_length(limits: Mapping[str, Any]) -> tuple[str, str]:
    if limits.get("min_length") == 1:
        return "is empty", "write one entry at least"
    if "min_length" in limits:
        return "has too few entries", f"write {limits['min_length']} at least"
    return "has too many entries", f"write {limits.get('max_length')} at most"


def _sentence(detail: ErrorDetails, shown: str, *, may_show: bool) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return _of_exception(context.get("error"), shown, detail["input"], may_show=may_show)
    if kind in ("enum", "literal_error"):
        choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        text = str(detail["input"]) if may_show else ""
        hint = remedy(text, choices, "choices") if text else "choices: " + ", ".join(choices)
        return f"{shown} is not one of the choices", hint
    message, hint = _SENTENCES.get(kind) or _SENTENCES.get(_VARIANT.sub("", kind)) or ("", "")
    if not message:
        return (
            detail["msg"][:1].lower() + detail["msg"][1:] if may_show else f"{shown} does not fit here"
        ), ""
    if kind.startswith("string") and isinstance(detail["input"], dict | list | tuple | type(None)):
        hint = ""
    for name, value in context.items():
        plain = f"{value:g}" if isinstance(value, float) else str(value)
        message, hint = message.replace(f"{{{name}}}", plain), hint.replace(f"{{{name}}}", plain)
    return message.replace("{value}", shown), hint


def _of_exception(error: object, shown: str, value: object, *, may_show: bool) -> tuple[str, str]:
    if isinstance(error, WrongError):
        return error.text(shown), error.derived if may_show and error.derived else error.hint
    sentence = str(error)
    if may_show:
        return sentence, ""
    # Others' sentences may quote the value: any part of it if it is from the environment, else an item whole.
    quoted = {
        form for text in _texts(value) for form in (text, repr(text)[1:-1]) if form and form in sentence
    }
    if shown != HIDDEN or any(len(text) < _SHORTEST_CUT for text in quoted):
        return f"{shown} does not fit here", ""
    for text in sorted(quoted, key=len, reverse=True):
        sentence = sentence.replace(text, "…")
    return sentence, ""


def _texts(value: object) -> Iterator[str]:
    """Every key and value in `value`, as text."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    else:
        yield str(value)


def _path_in(data: Any, location: tuple[int | str, ...]) -> tuple[KeyPath, bool]:
    """Pydantic's location without what is not in the data (branches of unions, forms of models), and
    whether nothing had to be left out."""
    path: list[int | str] = []
    exact = True
    for item in location:
        if _holds(data, item):
            data = data[item]
        elif item == "[key]":
            continue
        else:
            exact = False
            continue
        path.append(item)
    return tuple(path), exact


def _holds(data: Any, item: int | str) -> bool:
    if isinstance(data, list):
        return isinstance(item, int) and item < len(data)
    return isinstance(data, dict) and item in data


def _models_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """The models that may stand at `location` inside `model`."""
    here = [model]
    for item in location:
        below = [each.model_fields[str(item)].annotation for each in here if item in each.model_fields]
        if below:
            here = [found for annotation in below for found in _models_in(annotation)]
    return here


def _meaning(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """What the missing key at `location` is for, as a remedy."""
    description = _description(model, location)
    return f"add `{location[-1]}`: {description}" if description else f"add `{location[-1]}`"


def _description(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """What the model says of the key at (or nearest above) `location`."""
    for length in range(len(location), 0, -1):
        name = str(location[length - 1])
        for each in _models_at(model, location[: length - 1]):
            if name in each.model_fields:
                return each.model_fields[name].description or ""
    return ""


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
