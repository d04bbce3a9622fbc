"""What queries have in common after their names: read once, and recognized by its bytes from then on."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from gslb.dns.asker import CLASSIC_PAYLOAD
from gslb.dns.cookie import CLIENT_LENGTH
from gslb.dns.edns import CLIENT_SUBNET, COOKIE, Edns, option, read_client_subnet, read_opt, write_opt
from gslb.dns.known_answers import Known
from gslb.dns.query import HEADER_LENGTH, IN, OPT
from gslb.errors import WireError

Head = tuple[int, bytes, bytes, bytes]
"""The port and the packed address (4 or 16 bytes) of a packet's sender; its ID; the rest of its header."""

TOLD_WITH_SUBNET, TOLD_WITHOUT = 23, 19
"""So many bytes after the name tell the shape: type, class, and the OPT record as far as the length of its
first option; of a client subnet also its family and its prefix length."""

COOKIE_HEAD = struct.pack("!HH", COOKIE, 24)
"""Before the data of the cookie in an answer, which always has both parts."""

_QUESTION_END = 4  # type and class
_OPTIONS_AT = 15
_SCOPE_AT = 7  # in a client subnet's option
_MAPPED_BITS = {4: 32, 6: 64}
_OPT = struct.Struct("!BHHIH")
_COOKIE_LENGTH = len(COOKIE_HEAD) + 24


def _headers(additionals: int) -> dict[bytes, int]:
    """Of ordinary queries: RD, AD and CD may be set."""
    return {
        bytes((rd, ad | cd)) + struct.pack("!4H", 1, 0, 0, additionals): additionals << 1 | rd
        for rd in (0, 1)
        for ad in (0, 0x20)
        for cd in (0, 0x10)
    }


_PLAIN_HEADERS, _EDNS_HEADERS = _headers(0), _headers(1)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A type, class IN, and no more, or an OPT record that has at most a client subnet and then a cookie.
    Lengths and positions are bytes, counted from the end of the name.

    names: what is known of names that are asked for the type.
    question: type and class, after the zero that ends the name. headers: what fits of a packet's header after
    its ID, and what that becomes in an answer: 1 for RD | 2 for OPT. length: of everything after the name.
    version: of the subnet's address, or 0 if the asker itself is the client. address_end: where the subnet
    ends, or else the options begin. shift: makes of the number that the address's bytes are a whole IPv4
    address, or the upper half of an IPv6 address. beyond: the bits that must be 0 in its last byte.
    cookie_at: where the data of a cookie begins, which follows `cookie_head`; 0 without one.
    limit: of the answer. opt: the answer's OPT record up to the scope if there is a `version`, else up to the
    cookie. room: for the name and what follows its question, beside all of OPT.
    """

    type: int
    names: dict[bytes, Known]
    question: bytes
    headers: dict[bytes, int]
    length: int
    limit: int
    room: int
    do: bool = False
    opt: bytes = b""
    version: int = 0
    address_end: int = _OPTIONS_AT
    shift: int = 0
    beyond: int = 0
    cookie_at: int = 0
    cookie_head: bytes = b""

    @property
    def unproven(self) -> str:
        """What a cookie is that does not prove anything."""
        return "bad" if self.length - self.cookie_at > CLIENT_LENGTH else "new"

    @property
    def told(self) -> int:
        """How many bytes tell it."""
        without = self.cookie_at and self.address_end == _OPTIONS_AT
        return TOLD_WITHOUT if without else TOLD_WITH_SUBNET


def read_shape(
    rest: bytes,
    udp_payload: int,
    names: Mapping[int, dict[bytes, Known]],
    *,
    subnet_counts: bool,
    cookies: bool,
) -> tuple[Shape, bytes] | None:
    """The shape of what follows a query's name, and the same in that shape: the client subnet first, and no
    options that mean nothing. None if the query is malformed, or wants more than a shape tells.

    udp_payload: the most that we send. names: what is known, by type. cookies: whether they are answered.
    """
    if len(rest) < _QUESTION_END or rest[2:_QUESTION_END] != IN.to_bytes(2):
        return None
    rtype, question = int.from_bytes(rest[:2]), b"\0" + rest[:_QUESTION_END]
    if len(rest) == _QUESTION_END:
        room = CLASSIC_PAYLOAD - HEADER_LENGTH - len(question)
        return Shape(rtype, names[rtype], question, _PLAIN_HEADERS, len(rest), CLASSIC_PAYLOAD, room), rest
    asked = _read_edns(rest)
    if asked is None:
        return None
    try:
        counting = asked.client_subnet if subnet_counts else None
        subnet = read_client_subnet(counting) if counting is not None else None
    except WireError:
        return None
    options, version, cookie_at, cookie_head = b"", 0, 0, b""
    shift = beyond = 0
    if subnet is not None and counting is not None:
        options = option(CLIENT_SUBNET, counting)
        if subnet.source_prefix_length:
            version = subnet.address.version
            shift = max(0, _MAPPED_BITS[version] - 8 * (len(counting) - 4))
            beyond = 0xFF >> (subnet.source_prefix_length % 8 or 8)
    address_end = _OPTIONS_AT + len(options)
    shown, cookie_length = options[:_SCOPE_AT] if version else options, 0
    if asked.cookie is not None:
        cookie_head = struct.pack("!HH", COOKIE, len(asked.cookie))
        cookie_at = address_end + len(cookie_head)
        cookie_length = _COOKIE_LENGTH if cookies else 0
    opt = write_opt(udp_payload, do=asked.do, options=options + bytes(cookie_length))
    limit = min(max(asked.payload, CLASSIC_PAYLOAD), udp_payload)
    taken_up = options + cookie_head + (asked.cookie or b"")
    normal = rest[: _OPTIONS_AT - 2] + len(taken_up).to_bytes(2) + taken_up
    shape = Shape(
        rtype,
        names[rtype],
        question,
        _EDNS_HEADERS,
        len(normal),
        limit,
        limit - HEADER_LENGTH - len(question) - len(opt),
        asked.do,
        opt[: len(opt) - len(options) - cookie_length + len(shown)],
        version,
        address_end,
        shift,
        beyond,
        cookie_at,
        cookie_head,
    )
    return shape, normal


def _read_edns(rest: bytes) -> Edns | None:
    """What an OPT record says that follows a question and is the last of everything; None for all else."""
    if len(rest) < _OPTIONS_AT:
        return None
    owner, rtype, payload, ttl, length = _OPT.unpack_from(rest, _QUESTION_END)
    if owner or rtype != OPT or length != len(rest) - _OPTIONS_AT:
        return None
    try:
        asked = read_opt(payload, ttl, rest[_OPTIONS_AT:])
    except WireError:
        return None
    return None if asked.version or asked.nsid else asked
