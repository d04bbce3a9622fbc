"""The secrets of the name servers as regions.yaml has them, in errors that never show one.

Other values are shown in errors about them; not these, nor what stands where only a mistake puts a secret.
"""

from __future__ import annotations

import base64
import binascii
import re
from contextlib import suppress
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from gslb.config.wrong_value import WrongError
from gslb.fleet import Secret

_COOKIE_SECRET = re.compile(r"[0-9A-Fa-f]{32}")
_SCHEMA = WithJsonSchema({"type": "string"})


def parse_cookie_secret(value: object) -> Secret:
    """A secret that signs DNS cookies: 32 hexadecimal digits. Raises WrongError."""
    if isinstance(value, int | float):
        raise WrongError("is a number to YAML", "put the 32 hexadecimal digits in quotes")
    if not isinstance(value, str) or not _COOKIE_SECRET.fullmatch(value.strip()):
        raise WrongError("is not a cookie secret", "write 32 hexadecimal digits: `openssl rand -hex 16`")
    return Secret(value.strip().lower())


def parse_key_secret(value: object) -> Secret:
    """The secret of a TSIG key, in base64 as everywhere else. Raises WrongError."""
    octets = b""
    if isinstance(value, str):
        # What is not base64 has no octets, and neither has the empty text.
        with suppress(binascii.Error, ValueError):
            octets = base64.b64decode(value.strip(), validate=True)
    if not isinstance(value, str) or not octets:
        raise WrongError("is not a key in base64", "make one with `openssl rand -base64 32`")
    return Secret(value.strip())


def key_in_full(value: object) -> object:
    """`value` if it is a mapping, as a key must be: no secret alone. Raises WrongError."""
    if not isinstance(value, dict):
        raise WrongError("must be a mapping with a secret in it", "write {algorithm: ..., secret: ...}")
    return value


def keys_by_name(value: object) -> object:
    """`value` if it is a mapping, as keys must be; nothing at all is none. Raises WrongError."""
    if value is not None and not isinstance(value, dict):
        raise WrongError("must map names to keys", "write `NAME: {secret: ...}` lines below it")
    return {} if value is None else value


CookieSecret = Annotated[Secret, PlainValidator(parse_cookie_secret), _SCHEMA]
KeySecret = Annotated[Secret, PlainValidator(parse_key_secret), _SCHEMA]
