"""Reads pairs NAME=VALUE where clients write them: in the Cookie field, and in a target's query."""

from __future__ import annotations

from collections.abc import Iterator


def values(text: bytes, separator: bytes, name: bytes) -> Iterator[bytes]:
    """The values of the pairs of that name (RFC 6265 4.2.1, as queries of forms are too), the first first."""
    for pair in text.split(separator):
        each, equals, value = pair.partition(b"=")
        if equals and each.strip(b" \t") == name:
            yield value.strip(b" \t")
