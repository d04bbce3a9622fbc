"""DNS cookies: a client that shows one can be reached at its address, so that nobody forged its query."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hmac import compare_digest

from siphash24 import siphash24

from gslb.errors import WireError
from gslb.fleet import CookieSettings

SECRET_LENGTH = 16
"""Bytes of a secret: the key of SipHash-2-4."""

CLIENT_LENGTH = 8
"""Bytes of the client's part; what is longer brings a server's as well (RFC 7873 4)."""

LIFETIME = 3600
"""Seconds for which a server cookie is good (RFC 9018 4.3)."""

RENEWAL = 1800
"""Seconds of age beyond which a good server cookie is replaced by a new one (RFC 9018 4.3)."""

AHEAD = 300
"""Seconds that a server cookie may lie in the future: another node's clock may be ahead (RFC 9018 4.3)."""

MEMO_ENTRIES = 20_000
"""The most cookies remembered as good; reaching it forgets them all, which costs checking them again."""

_FORMERR = 1
_SHORTEST_SERVER_LENGTH, _LONGEST_SERVER_LENGTH = 8, 32
_VERSION = 1
# Client cookie, version, three reserved bytes, timestamp; the hash of these and of the address follows.
_SIGNED = struct.Struct("!8sB3xI")
_LENGTH = _SIGNED.size + 8


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a query's COOKIE option.

    good: the server cookie in it is ours, so that the client is where it seems to be.
    option: the data to send back: the client's cookie and a server cookie that is good for a while yet.
    """

    good: bool
    option: bytes


def is_well_formed(option: bytes) -> bool:
    """Whether the data of a COOKIE option has a length that it may have (RFC 7873 4, 5.2.2)."""
    server_length = len(option) - CLIENT_LENGTH
    return server_length == 0 or _SHORTEST_SERVER_LENGTH <= server_length <= _LONGEST_SERVER_LENGTH


class Cookies:
    """Makes and checks interoperable server cookies of version 1 (RFC 9018 4).

    All that a cookie must prove is inside it; a bounded memo of good ones only saves hashing them again,
    which costs ten times a look-up. Threads may share it: an entry is written whole, and one lost to a
    race costs a hash.
    """

    __slots__ = ("_keys", "_memo")

    def __init__(self, settings: CookieSettings, *, random_secret: bytes) -> None:
        """The first secret of `settings` signs and all of them verify; `random_secret` stands in for none.

        Raises ValueError when a secret does not have 16 bytes.
        """
        keys = tuple(bytes.fromhex(secret.reveal()) for secret in settings.secrets) or (random_secret,)
        if any(len(key) != SECRET_LENGTH for key in keys):
            raise ValueError(f"a cookie secret has {SECRET_LENGTH} bytes")
        self._keys = keys
        # By option and address: from when until when the outcome holds (seconds since 1970), and it.
        self._memo: dict[tuple[bytes, bytes], tuple[float, float, Checked]] = {}

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """All that are good; the first one signs."""
        return tuple(self._keys)

    def check(self, option: bytes, address_packed: bytes, now: float) -> Checked:
        """Look at the data of a query's COOKIE option; raises WireError (FORMERR) if its length cannot be.

        address_packed: where the packet came from, 4 or 16 bytes. now: seconds since 1970.
        """
        known = self._memo.get((option, address_packed))
        if known is not None and known[0] <= now < known[1]:
            return known[2]
        if not is_well_formed(option):
            raise WireError("the COOKIE option has a length that no cookie has", _FORMERR)
        age = _age(option, now)
        key = self._signer(option, address_packed) if age is not None else None
        if age is None or key is None:
            return Checked(False, self._make(option, address_packed, now))
        if key is not self._keys[0] or age > RENEWAL:
            return Checked(True, self._make(option, address_packed, now))
        checked = Checked(True, option)
        if len(self._memo) >= MEMO_ENTRIES:
            self._memo.clear()
        self._memo[option, address_packed] = (now, now + RENEWAL - age, checked)
        return checked

    def _signer(self, option: bytes, address_packed: bytes) -> bytes | None:
        """The secret that signed, if it is one of ours."""
        # The reserved bytes are hashed as they came: a later version may use them (RFC 9018 4.2).
        signed, signature = option[: _SIGNED.size] + address_packed, option[_SIGNED.size :]
        for key in self._keys:
            if compare_digest(_hash(signed, key), signature):
                return key
        return None

    def _make(self, option: bytes, address_packed: bytes, now: float) -> bytes:
        signed = _SIGNED.pack(option[:CLIENT_LENGTH], _VERSION, int(now) & 0xFFFFFFFF)
        return signed + _hash(signed + address_packed, self._keys[0])


def _age(option: bytes, now: float) -> int | None:
    """Seconds since the server cookie was made; None if it is not of our kind, or out of its time."""
    if len(option) != _LENGTH:
        return None
    _, version, made = _SIGNED.unpack_from(option)
    # Timestamps wrap around, and compare by serial number arithmetic (RFC 1982 3.2).
    age: int = (int(now) - made + 0x80000000 & 0xFFFFFFFF) - 0x80000000
    return age if version == _VERSION and -AHEAD <= age <= LIFETIME else None


def _hash(data: bytes, key: bytes) -> bytes:
    digest: bytes = siphash24(data, key=key).digest()
    return digest
