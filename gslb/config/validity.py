"""Until when is a certificate valid? Python's ssl tells that of certificates it has verified only."""

from __future__ import annotations

from datetime import UTC, datetime

_SEQUENCE = 0x30
_INTEGER = 0x02
_VERSION = 0xA0
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18


class NotACertificateError(ValueError):
    """The bytes are not those of a certificate (RFC 5280 4.1)."""


def valid_until(der: bytes) -> float:
    """The end of its validity (RFC 5280 4.1.2.5), in seconds since 1970. Raises NotACertificateError.

    Nothing is verified; that is the business of whoever uses the certificate.
    """
    tag, certificate, _ = _element(der)
    _expect(tag, _SEQUENCE)
    tag, rest, _ = _element(certificate)
    _expect(tag, _SEQUENCE)
    tag, _, after = _element(rest)
    if tag == _VERSION:
        rest = after
    # serialNumber, signature, issuer
    for expected in (_INTEGER, _SEQUENCE, _SEQUENCE):
        tag, _, rest = _element(rest)
        _expect(tag, expected)
    tag, validity, _ = _element(rest)
    _expect(tag, _SEQUENCE)
    _, _, rest = _element(validity)
    tag, end, _ = _element(rest)
    return _seconds(tag, end)


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag and content of the first element (X.690 8.1), and what follows it."""
    if len(data) < 2:
        raise NotACertificateError("it ends too early")
    tag, length, start = data[0], data[1], 2
    if length >= 0x80:
        start += length & 0x7F
        if not 3 <= start <= 6 or len(data) < start:
            raise NotACertificateError("a length is not one of DER")
        length = int.from_bytes(data[2:start], "big")
    if len(data) < start + length:
        raise NotACertificateError("it ends too early")
    return tag, data[start : start + length], data[start + length :]


def _expect(tag: int, expected: int) -> None:
    if tag != expected:
        raise NotACertificateError("it has another structure")


def _seconds(tag: int, text: bytes) -> float:
    digits, zone = text[:-1], text[-1:]
    if tag == _UTC_TIME:
        # Years from 50 on are of the century before (RFC 5280 4.1.2.5.1).
        digits = (b"19" if digits[:2] >= b"50" else b"20") + digits
    elif tag != _GENERALIZED_TIME:
        raise NotACertificateError("its end is no time")
    if zone != b"Z" or len(digits) != 14 or not digits.isdigit():
        raise NotACertificateError("its end is no time")
    try:
        return datetime.strptime(digits.decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise NotACertificateError("its end is no time") from None
