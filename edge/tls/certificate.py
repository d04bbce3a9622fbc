"""Which names does a certificate hold, and until when? The ssl module tells neither of a file.

A strict walk over the DER of one certificate (RFC 5280 4.1, X.690): only what leads to the validity and to
SubjectAltName is read. It decides which certificate is shown; whether one is trusted, OpenSSL decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

_BOOLEAN, _OCTET_STRING, _OBJECT_IDENTIFIER, _SEQUENCE = 0x01, 0x04, 0x06, 0x30
_INTEGER, _UTC_TIME, _GENERALIZED_TIME = 0x02, 0x17, 0x18
_VERSION, _ISSUER_ID, _SUBJECT_ID, _EXTENSIONS = 0xA0, 0x81, 0x82, 0xA3  # context tags of TBSCertificate
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87  # context tags of GeneralName
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")  # 2.5.29.17
_LENGTH_BYTES = 4  # of a long length at most: no certificate has 4 GiB


class DerError(ValueError):
    """These bytes are not a certificate in DER; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """names: DNS names and addresses, lower case, in the certificate's order. expires: seconds since 1970."""

    names: tuple[str, ...]
    expires: float


class _Reader:
    """Elements of one constructed value, first to last. Invariant: `_at` is where the next one begins."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._data)

    def next_is(self, tag: int) -> bool:
        return not self.at_end and self._data[self._at] == tag

    def take(self, tag: int) -> bytes:
        """The content of the next element, which must have this tag."""
        found, content = self.take_any()
        if found != tag:
            raise DerError(f"an element has the tag {found:#04x} where {tag:#04x} belongs")
        return content

    def take_any(self) -> tuple[int, bytes]:
        """The next element's tag and content; lengths are definite and as short as can be (X.690 10.1)."""
        data, at = self._data, self._at
        if len(data) - at < 2:
            raise DerError("an element is cut short")
        tag, length = data[at], data[at + 1]
        if tag & 0x1F == 0x1F:
            raise DerError("an element has a tag of several bytes")
        start = at + 2
        if length >= 0x80:
            octets = data[start : start + length - 0x80]
            if not 0 < len(octets) <= _LENGTH_BYTES or len(octets) != length - 0x80:
                raise DerError("an element's length is indefinite, too large or cut short")
            length = int.from_bytes(octets, "big")
            if octets[0] == 0 or length < 0x80:
                raise DerError("an element's length is written longer than needed")
            start += len(octets)
        end = start + length
        if end > len(data):
            raise DerError("an element is longer than what holds it")
        self._at = end
        return tag, data[start:end]

    def finish(self) -> None:
        if not self.at_end:
            raise DerError("something follows the last element")


def _within(data: bytes, tag: int) -> _Reader:
    """A reader of what the only element of `data` holds."""
    outer = _Reader(data)
    content = outer.take(tag)
    outer.finish()
    return _Reader(content)


def certificate_facts(der: bytes) -> CertificateFacts:
    """What one X.509 certificate in DER says of names and validity. Raises DerError, and nothing else."""
    whole = _within(der, _SEQUENCE)
    body = _Reader(whole.take(_SEQUENCE))
    if body.next_is(_VERSION):
        body.take(_VERSION)
    body.take(_INTEGER)  # serial number
    body.take(_SEQUENCE)  # signature algorithm
    body.take(_SEQUENCE)  # issuer
    validity = _Reader(body.take(_SEQUENCE))
    _moment(*validity.take_any())
    expires = _moment(*validity.take_any())
    validity.finish()
    body.take(_SEQUENCE)  # subject
    body.take(_SEQUENCE)  # public key
    for unique_id in (_ISSUER_ID, _SUBJECT_ID):
        if body.next_is(unique_id):
            body.take(unique_id)
    names: tuple[str, ...] = ()
    if body.next_is(_EXTENSIONS):
        names = _names_of(_within(body.take(_EXTENSIONS), _SEQUENCE))
    body.finish()
    return CertificateFacts(names, expires)


def _names_of(extensions: _Reader) -> tuple[str, ...]:
    found: tuple[str, ...] | None = None
    while not extensions.at_end:
        extension = _Reader(extensions.take(_SEQUENCE))
        identifier = extension.take(_OBJECT_IDENTIFIER)
        if extension.next_is(_BOOLEAN):
            extension.take(_BOOLEAN)
        value = extension.take(_OCTET_STRING)
        extension.finish()
        if identifier == _SUBJECT_ALT_NAME:
            if found is not None:
                raise DerError("it has SubjectAltName twice")
            found = _alternative_names(_within(value, _SEQUENCE))
    return found or ()


def _alternative_names(names: _Reader) -> tuple[str, ...]:
    found: dict[str, None] = {}
    while not names.at_end:
        tag, content = names.take_any()
        if tag == _DNS_NAME:
            # A name that is not printable ASCII can be asked for by nobody.
            if content and all(0x21 <= byte <= 0x7E for byte in content):
                found[content.decode("ascii").lower()] = None
        elif tag == _IP_ADDRESS:
            try:
                found[str(ip_address(content))] = None
            except ValueError:
                raise DerError("an address in it is neither of 4 nor of 16 bytes") from None
    return tuple(found)


def _moment(tag: int, content: bytes) -> float:
    """A Time in seconds since 1970 (RFC 5280 4.1.2.5: UTCTime until 2049, GeneralizedTime from 2050)."""
    digits = content[:-1]
    if content[-1:] != b"Z" or not digits.isdigit():
        raise DerError("a time in it is not written in digits and a Z")
    text = digits.decode("ascii")
    if tag == _UTC_TIME and len(text) == 12:
        text = ("19" if text >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME or len(text) != 14:
        raise DerError("its validity is not a pair of times")
    try:
        # Built from its parts: strptime would take one digit where two belong.
        month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(4, 14, 2))
        return datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        raise DerError("a time in it does not exist") from None
