"""Brings an answer into the length that its asker can take, with the options that there is room for."""

from __future__ import annotations

from gslb.dns.asker import Asker
from gslb.dns.edns import Edns, write_opt
from gslb.dns.extended_error import ExtendedError
from gslb.dns.packing import Packed, assemble
from gslb.dns.query import TC, Query
from gslb.dns.rules import Rules

_TC_IN_BYTE_2 = TC >> 8


def is_truncated(message: bytes) -> bool:
    """Whether its TC bit is set."""
    return bool(message[2] & _TC_IN_BYTE_2)


def fitted(
    query: Query,
    packed: Packed,
    room: int,
    rules: Rules,
    asker: Asker,
    scope: int = 0,
    extended_rcode: int = 0,
) -> bytes:
    """The message in `room` bytes if it can be done at all: what explains gives way to what answers
    (RFC 8914 3), and all options to the question."""
    asked, error = query.edns, packed.extended_error
    if asked is None:
        return assemble(query, packed, b"", room)
    message = assemble(query, packed, opt_of(rules, asked, asker, scope, error, extended_rcode), room)
    if error is not None and is_truncated(message):
        message = assemble(query, packed, opt_of(rules, asked, asker, scope, None, extended_rcode), room)
    if len(message) > room:
        opt = write_opt(rules.settings.udp_payload, do=asked.do, extended_rcode=extended_rcode)
        message = assemble(query, packed, opt, room)
    return message


def opt_of(
    rules: Rules,
    asked: Edns,
    asker: Asker,
    scope: int = 0,
    error: ExtendedError | None = None,
    extended_rcode: int = 0,
) -> bytes:
    """The OPT record of an answer with all its options."""
    options = asker.options(asked, rules, scope, error)
    return write_opt(rules.settings.udp_payload, do=asked.do, options=options, extended_rcode=extended_rcode)
