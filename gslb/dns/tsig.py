"""TSIG (RFC 8945): who signed a request, and the signatures on everything that answers it."""

from __future__ import annotations

import base64
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gslb.dns.name import MAXIMUM_NAME_LENGTH, Name, from_text
from gslb.fleet import TransferKey

FORMERR, NOTAUTH = 1, 9
BADSIG, BADKEY, BADTIME, BADTRUNC = 16, 17, 18, 22

FUDGE = 300
"""Seconds by which the clocks of both sides may differ (RFC 8945 10)."""

_DIGEST_SIZES = {"hmac-sha1": 20, "hmac-sha224": 28, "hmac-sha256": 32, "hmac-sha384": 48, "hmac-sha512": 64}
_SHORTEST_MAC = 10
_TSIG, _ANY = 250, 255
_FIXED = struct.Struct("!HHIH")
_TIMES = struct.Struct("!HIH")
_ADDITIONALS_AT = 10


@dataclass(frozen=True, slots=True)
class _Key:
    """name: as the configuration spells it. algorithm: in wire form. digest: what `hmac` calls it."""

    name: str
    algorithm: Name
    digest: str
    size: int
    secret: bytes = field(repr=False)

    def mac(self, *parts: bytes) -> bytes:
        return hmac.digest(self.secret, b"".join(parts), self.digest)


class Keyring:
    """The keys of one configuration, ready for use; shows nothing of them."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, TransferKey]) -> None:
        """Takes keys that the configuration has checked: names and secrets are well-formed."""
        self._keys = {from_text(key.name).lower(): _key(key) for key in keys.values()}

    def find(self, owner: Name, algorithm: Name) -> _Key | None:
        """A key by its name in lower case; both sides must mean the same algorithm by it."""
        key = self._keys.get(owner)
        return key if key is not None and key.algorithm == algorithm else None


def _key(key: TransferKey) -> _Key:
    return _Key(
        key.name,
        from_text(key.algorithm).lower(),
        key.algorithm.removeprefix("hmac-"),
        _DIGEST_SIZES[key.algorithm],
        base64.b64decode(key.secret.reveal()),
    )


@dataclass(frozen=True, slots=True)
class _Record:
    """A TSIG record (RFC 8945 4.2), names in lower case, which is how they are signed."""

    owner: Name
    algorithm: Name
    time_signed: int
    fudge: int
    mac: bytes
    original_id: int
    error: int = 0
    other: bytes = b""

    @property
    def times(self) -> bytes:
        """What signatures after the first of a stream cover of the record (RFC 8945 4.3.3.1)."""
        return _TIMES.pack(self.time_signed >> 32, self.time_signed & 0xFFFFFFFF, self.fudge)

    @property
    def variables(self) -> bytes:
        """What a signature covers of the record (RFC 8945 4.3.3)."""
        error = struct.pack("!HH", self.error, len(self.other)) + self.other
        return self.owner + struct.pack("!HI", _ANY, 0) + self.algorithm + self.times + error

    @property
    def length(self) -> int:
        """Bytes of the record."""
        names = len(self.owner) + len(self.algorithm)
        return names + _FIXED.size + _TIMES.size + len(self.mac) + len(self.other) + 8

    def append_to(self, message: bytes) -> bytes:
        """The message with this record at its end, counted in its header."""
        mac = len(self.mac).to_bytes(2) + self.mac
        error = struct.pack("!HHH", self.original_id, self.error, len(self.other)) + self.other
        data = self.algorithm + self.times + mac + error
        fixed = _FIXED.pack(_TSIG, _ANY, 0, len(data))
        return _count_additionals(message, 1) + self.owner + fixed + data


class Signer:
    """Signs what answers one request: a message, or all messages of a transfer in their order."""

    __slots__ = ("_first", "_key", "_owner", "_previous_mac")

    def __init__(self, key: _Key, owner: Name, request_mac: bytes) -> None:
        self._key = key
        self._owner = owner
        self._previous_mac = request_mac
        self._first = True

    @property
    def length(self) -> int:
        """Bytes that a signature adds to a message."""
        return self._record(0, 0).length + self._key.size

    def sign(self, message: bytes, now: float) -> bytes:
        """The message with a TSIG record at its end; `now` in seconds since 1970.

        The first one covers the request's MAC, each later one the MAC before it (RFC 8945 5.3.1).
        """
        record = self._record(int(now), int.from_bytes(message[:2]))
        covered = record.variables if self._first else record.times
        self._first = False
        self._previous_mac = self._key.mac(_counted(self._previous_mac), message, covered)
        return replace(record, mac=self._previous_mac).append_to(message)

    def _record(self, now: int, identifier: int) -> _Record:
        return _Record(self._owner, self._key.algorithm, now, FUDGE, b"", identifier)


@dataclass(frozen=True, slots=True)
class Verified:
    """A request that was signed with a key of ours. key_name: as the configuration spells it."""

    key_name: str
    signer: Signer


@dataclass(frozen=True, slots=True)
class TsigFailure:
    """A request whose TSIG is not accepted: the RCODE to answer with, and the TSIG error (0 for FORMERR).

    record: the TSIG that tells the error; it is signed with `key` where there is one, which is only where the
    request's own MAC was right (RFC 8945 5.3.2).
    """

    rcode: int
    error: int = 0
    record: _Record | None = field(default=None, repr=False)
    key: _Key | None = field(default=None, repr=False)
    request_mac: bytes = field(default=b"", repr=False)

    @property
    def length(self) -> int:
        """Bytes that the record adds to an answer."""
        return self.record.length + (self.key.size if self.key is not None else 0) if self.record else 0

    def append_to(self, message: bytes) -> bytes:
        """The answer with the TSIG record that tells the error; FORMERR is told by the RCODE alone."""
        if self.record is None:
            return message
        record = replace(self.record, original_id=int.from_bytes(message[:2]))
        if self.key is not None:
            mac = self.key.mac(_counted(self.request_mac), message, record.variables)
            record = replace(record, mac=mac)
        return record.append_to(message)


def verify(packet: bytes, tsig_start: int, keyring: Keyring, now: float) -> Verified | TsigFailure:
    """Check the TSIG record that begins at `tsig_start`; `now` in seconds since 1970. Never raises.

    In the order of RFC 8945 5.2: form, key, MAC, time, length of the MAC. A MAC that is truncated within the
    bounds of 5.2.2.1 is refused all the same, as 5.2.4 allows: nothing that transfers zones needs it.
    """
    request = _read(packet, tsig_start)
    if request is None:
        return TsigFailure(FORMERR)
    answer = replace(request, time_signed=int(now), fudge=FUDGE, mac=b"", other=b"")
    key = keyring.find(request.owner, request.algorithm)
    if key is None:
        return TsigFailure(NOTAUTH, BADKEY, replace(answer, error=BADKEY))
    mac = request.mac
    if not max(_SHORTEST_MAC, key.size // 2) <= len(mac) <= key.size:
        return TsigFailure(FORMERR)
    unsigned = request.original_id.to_bytes(2) + _count_additionals(packet[:tsig_start], -1)[2:]
    if not hmac.compare_digest(key.mac(unsigned, request.variables)[: len(mac)], mac):
        return TsigFailure(NOTAUTH, BADSIG, replace(answer, error=BADSIG))
    if abs(request.time_signed - int(now)) > request.fudge:
        # With the client's own time, which it can verify; ours goes beside it (RFC 8945 5.2.3).
        late = replace(answer, error=BADTIME, time_signed=request.time_signed, other=int(now).to_bytes(6))
        return TsigFailure(NOTAUTH, BADTIME, late, key, mac)
    if len(mac) < key.size:
        return TsigFailure(NOTAUTH, BADTRUNC, replace(answer, error=BADTRUNC), key, mac)
    return Verified(key.name, Signer(key, request.owner, mac))


def _read(packet: bytes, start: int) -> _Record | None:
    """The TSIG record that ends the packet, None if it is none as RFC 8945 4.2 wants it."""
    try:
        owner, position = _read_name(packet, start)
        rtype, class_, ttl, length = _FIXED.unpack_from(packet, position)
        position += _FIXED.size
        if (rtype, class_, ttl) != (_TSIG, _ANY, 0) or position + length != len(packet):
            return None
        algorithm, position = _read_name(packet, position)
        high, low, fudge = _TIMES.unpack_from(packet, position)
        mac, position = _read_counted(packet, position + _TIMES.size)
        original_id, error = struct.unpack_from("!HH", packet, position)
        other, position = _read_counted(packet, position + 4)
    except (IndexError, struct.error):
        return None
    if position != len(packet) or not packet[_ADDITIONALS_AT : _ADDITIONALS_AT + 2].strip(b"\x00"):
        return None
    return _Record(owner, algorithm, high << 32 | low, fudge, mac, original_id, error, other)


def _read_name(packet: bytes, start: int) -> tuple[Name, int]:
    """A name in lower case, and where it ends; raises IndexError for what is none.

    Some clients compress the owner; each pointer must lead to before the one it stands in (RFC 1035 4.1.4).
    """
    name = b""
    position, end, limit = start, 0, start
    while length := packet[position]:
        if length < 64:
            name += packet[position : position + 1 + length]
            position += 1 + length
            if len(name) >= MAXIMUM_NAME_LENGTH:
                raise IndexError("the name is too long")
            continue
        target = (length & 0x3F) << 8 | packet[position + 1]
        if length < 0xC0 or target >= limit:
            raise IndexError("the pointer leads nowhere")
        end = end or position + 2
        position = limit = target
    return name.lower() + b"\x00", end or position + 1


def _read_counted(packet: bytes, start: int) -> tuple[bytes, int]:
    """Bytes after their count; a count that is too large shows in the position."""
    (length,) = struct.unpack_from("!H", packet, start)
    return packet[start + 2 : start + 2 + length], start + 2 + length


def _counted(mac: bytes) -> bytes:
    return len(mac).to_bytes(2) + mac


def _count_additionals(message: bytes, more: int) -> bytes:
    """The message with a changed count of additional records."""
    count = int.from_bytes(message[_ADDITIONALS_AT : _ADDITIONALS_AT + 2]) + more
    return message[:_ADDITIONALS_AT] + count.to_bytes(2) + message[_ADDITIONALS_AT + 2 :]
