"""What a process knows to and from one JSON document; see gslb.store.codec for the records in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from gslb.clock import iso
from gslb.store.codec import (
    Fields,
    decode_observation,
    decode_report,
    encode_observation,
    encode_report,
    moment,
)
from gslb.store.codec_intakes import decode_intake, encode_intake
from gslb.store.codec_overrides import decode_override, encode_override
from gslb.store.memory import Memory

WHAT, VERSION = "what a gslb process knows", 1
"""Which documents are ours, and which of these this code understands."""

Record = TypeVar("Record")


def encode_memory(memory: Memory) -> bytes:
    """A document, one record a line. What cannot be written (a moment that no calendar has) is left out."""
    document = {
        "what": WHAT,
        "version": VERSION,
        "at": iso(memory.at),
        "observations": _encoded(encode_observation, memory.observations),
        "reports": _encoded(encode_report, memory.reports),
        "overrides": _encoded(encode_override, memory.overrides),
        "intakes": _encoded(lambda each: encode_intake(*each), tuple(memory.intakes.items())),
    }
    return json.dumps(document, indent=0, ensure_ascii=True).encode()


def decode_memory(text: bytes) -> Memory:
    """The inverse of encode_memory, without what cannot be read. Raises ValueError with what is wrong."""
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(document, dict) or document.get("what") != WHAT:
        raise ValueError("it is something else")
    if document.get("version") != VERSION:
        raise ValueError(f"it is of version {document.get('version')!r}, and not {VERSION}")
    return Memory(
        at=_moment(document.get("at")),
        observations=_decoded(decode_observation, document.get("observations")),
        reports=_decoded(decode_report, document.get("reports")),
        overrides=_decoded(decode_override, document.get("overrides")),
        intakes=dict(_decoded(decode_intake, document.get("intakes"))),
    )


def _moment(found: object) -> float:
    try:
        return moment(str(found))
    except (ValueError, OverflowError):
        raise ValueError("it does not say of when it is") from None


def _encoded(encode: Callable[[Record], Fields], records: tuple[Record, ...]) -> list[Fields]:
    encoded = []
    for record in records:
        try:
            encoded.append(encode(record))
        except (ValueError, OverflowError, OSError):
            continue
    return encoded


def _decoded(decode: Callable[[Fields], Record | None], found: object) -> tuple[Record, ...]:
    if not isinstance(found, list):
        return ()
    fields = (
        each
        for each in found
        if isinstance(each, dict) and all(isinstance(text, str) for text in each.values())
    )
    return tuple(record for each in fields if (record := decode(each)) is not None)
