"""The Date field: what another implementation writes, in every year that has four digits."""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime

from hypothesis import given
from hypothesis import strategies as st

from edge.http1.date import date_line

SECONDS = st.integers(0, 253402300799)


def test_it_is_the_form_of_the_rfc() -> None:
    assert date_line(784111777) == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


@given(SECONDS)
def test_it_says_what_others_say(second: int) -> None:
    assert date_line(second) == b"Date: %b\r\n" % formatdate(second, usegmt=True).encode()


@given(SECONDS, st.integers(0, 3))
def test_it_is_never_the_second_before(second: int, later: int) -> None:
    for each in (second, second + later):
        if each < 253402300800:
            said = parsedate_to_datetime(date_line(each)[6:-2].decode())
            assert int(said.timestamp()) == each
