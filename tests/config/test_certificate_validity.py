"""The end of a certificate is read as its issuer wrote it, and nothing else passes for a certificate."""

from __future__ import annotations

import contextlib
import ssl
from datetime import UTC, datetime

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from gslb.config.validity import NotACertificateError, valid_until


def der(end: datetime) -> bytes:
    leaf = AUTHORITY.issue_cert("www.shop.example", not_after=end)
    return ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())


AUTHORITY = trustme.CA()
ONE = der(datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC))


@pytest.mark.parametrize(
    "end",
    [
        datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        # From 2050 on the time is of another type (RFC 5280 4.1.2.5).
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)
def test_the_end_is_what_the_issuer_wrote(end: datetime) -> None:
    assert valid_until(der(end)) == end.timestamp()


@given(st.binary(max_size=60))
def test_other_bytes_are_no_certificate(data: bytes) -> None:
    with pytest.raises(NotACertificateError):
        valid_until(data)


@given(st.integers(0, len(ONE) - 1))
def test_a_certificate_that_is_cut_short_is_none(length: int) -> None:
    with pytest.raises(NotACertificateError):
        valid_until(ONE[:length])


@given(st.integers(0, len(ONE) - 1), st.integers(0, 255))
def test_a_damaged_certificate_does_no_harm(place: int, byte: int) -> None:
    with contextlib.suppress(NotACertificateError):
        assert isinstance(valid_until(ONE[:place] + bytes([byte]) + ONE[place + 1 :]), float)
