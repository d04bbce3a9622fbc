"""Reads the `method` and the `key` of a pool: a word, or a mapping in which a name chooses the other keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from gslb.balancing import (
    METHOD_OPTIONS,
    Balancing,
    BalancingKey,
    BalancingMethod,
    KeyKind,
    MethodOptions,
    part_names,
)
from gslb.config.document import KeyPath
from gslb.config.entry import Entry
from gslb.config.explain import report
from gslb.config.findings import Findings
from gslb.config.suggest import remedy
from gslb.config.values import text_of
from gslb.config.wrong_value import WrongError

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_PARAMETER = re.compile(r"[!$%'-;?-~]+", re.ASCII)
WORDS = (KeyKind.ADDRESS, KeyKind.PATH)
"""The keys that are said by a word alone."""

_METHODS = [str(name) for name in BalancingMethod]
_METHOD_FORMS = "write a name, such as round_robin, or {name: ...} with its options beside it"
_KEY_FORMS = "write address, path, {header: NAME}, {cookie: NAME} or {query: NAME}"


def _parse_token(value: object) -> str:
    """A token (RFC 9110 5.6.2), as names of header fields and of cookies are. Raises WrongError."""
    text = text_of(value)
    if not _TOKEN.fullmatch(text):
        raise WrongError("{value} is not a name", "write letters, digits and hyphens, such as X-User")
    return text


def _parse_field_name(value: object) -> str:
    """In lower case, which makes no difference to fields (RFC 9110 5.1). Raises WrongError."""
    return _parse_token(value).lower()


def _parse_parameter(value: object) -> str:
    """The name of a parameter of a query, as requests carry it. Raises WrongError."""
    text = text_of(value)
    if not _PARAMETER.fullmatch(text):
        hint = "write it as requests carry it, with anything beyond ASCII percent-encoded"
        raise WrongError("{value} is not the name of a parameter", hint)
    return text


CookieName = Annotated[str, BeforeValidator(_parse_token)]
FieldName = Annotated[str, BeforeValidator(_parse_field_name)]
Parameter = Annotated[str, BeforeValidator(_parse_parameter)]


class BalancingKeyEntry(Entry, json_schema_extra={"minProperties": 1, "maxProperties": 1}):
    """What of a request methods that hash go by; exactly one of these."""

    header: FieldName | None = Field(None, description="name of a header field, in any case")
    cookie: CookieName | None = Field(None, description="name of a cookie")
    query: Parameter | None = Field(None, description="name of a parameter in the query of the URL")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self._said()) != 1:
            raise WrongError("must name one thing that methods go by", _KEY_FORMS)
        return self

    def _said(self) -> list[tuple[str, str]]:
        return [(kind, name) for kind, name in self if name is not None]

    def key(self) -> BalancingKey:
        """As edges know it."""
        ((kind, name),) = self._said()
        return BalancingKey(KeyKind(kind), name)


def read_key(findings: Findings, path: KeyPath, data: object) -> BalancingKey | None:
    """The key at `path`, or None when something is wrong with it, which is reported."""
    if isinstance(data, str) and data in WORDS:
        return BalancingKey(KeyKind(data))
    if not isinstance(data, dict):
        findings.error(path, f"{findings.shown(path, data)} is not a key", _KEY_FORMS)
        return None
    try:
        return BalancingKeyEntry.model_validate(data).key()
    except ValidationError as error:
        report(findings, path, data, error, BalancingKeyEntry)
        return None


def read_method(findings: Findings, path: KeyPath, data: object) -> Balancing | None:
    """The method at `path`, or None when something is wrong with it, which is reported."""
    if isinstance(data, dict):
        if "name" not in data:
            findings.error(path, "`name` is missing", "methods: " + ", ".join(_METHODS), key=True)
            return None
        place, name = (*path, "name"), data["name"]
        said = {key: value for key, value in data.items() if key != "name"}
    else:
        place, name, said = path, data, {}
    if not isinstance(name, str):
        findings.error(place, f"{findings.shown(place, name)} is not a method", _METHOD_FORMS)
        return None
    if name not in _METHODS:
        hidden = findings.secret(place) is not None
        hint = remedy("" if hidden else name, _METHODS, "methods")
        findings.error(place, f"there is no method {findings.shown(place, name)}", hint)
        return None
    return _read_options(findings, path, BalancingMethod(name), said)


def _read_options(
    findings: Findings, path: KeyPath, method: BalancingMethod, said: Mapping[str, Any]
) -> Balancing | None:
    model = METHOD_OPTIONS.get(method, MethodOptions)
    parts = {key: read_method(findings, (*path, key), said[key]) for key in part_names(model) if key in said}
    # A part that could not be read was reported; something stands for it, so that all else is looked at.
    data = {**said, **{key: part or Balancing() for key, part in parts.items()}}
    try:
        options = model.model_validate(data)
    except ValidationError as error:
        report(findings, path, data, error, model, ("name",))
        return None
    if None in parts.values():
        return None
    return Balancing(method, options if method in METHOD_OPTIONS else None)
