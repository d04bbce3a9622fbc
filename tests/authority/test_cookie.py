"""Server cookies interoperate, prove the client's address, lapse, and survive the rolling of secrets."""

from __future__ import annotations

import random
from ipaddress import ip_address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gslb.dns import cookie
from gslb.dns.cookie import AHEAD, LIFETIME, RENEWAL, Checked, Cookies, is_well_formed
from gslb.errors import WireError
from gslb.fleet import CookieSettings, Secret

FIRST = "e5e973e5a6b2a43f48e7dc849e37bfcf"
SECOND = "445536bcd2513298075a5d379663c962"
RANDOM = bytes(range(16))
CLIENT = bytes.fromhex("2464c4abcf10c957")
ADDRESS = bytes([198, 51, 100, 100])
MADE = 1559731985
GOOD = bytes.fromhex("2464c4abcf10c957010000005cf79f111f8130c3eee29480")


def cookies(*secrets: str) -> Cookies:
    return Cookies(CookieSettings(secrets=tuple(map(Secret, secrets))), random_secret=RANDOM)


@pytest.mark.parametrize(
    ("secret", "address", "received", "now", "sent"),
    [
        (FIRST, "198.51.100.100", "2464c4abcf10c957", MADE, GOOD.hex()),
        (
            FIRST,
            "198.51.100.100",
            GOOD.hex(),
            1559734385,
            "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
        ),
        (
            FIRST,
            "203.0.113.203",
            "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
            1559734700,
            "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
        ),
        (
            SECOND,
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
            1559741961,
            "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
        ),
    ],
    ids=["A.1 first", "A.2 renewed", "A.3 reserved bytes", "A.4 IPv6"],
)
def test_cookies_are_those_of_the_rfc(secret: str, address: str, received: str, now: int, sent: str) -> None:
    """The vectors of RFC 9018 appendix A."""
    checked = cookies(secret).check(bytes.fromhex(received), ip_address(address).packed, now)
    assert checked.option.hex() == sent


def test_reserved_bytes_that_are_not_zero_count_as_they_came() -> None:
    received = bytes.fromhex("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5")
    assert cookies(FIRST).check(received, ip_address("203.0.113.203").packed, 0x5CF78F71).good


def test_a_client_cookie_alone_proves_nothing_and_gets_a_server_cookie() -> None:
    assert cookies(FIRST).check(CLIENT, ADDRESS, MADE) == Checked(False, GOOD)


@pytest.mark.parametrize(
    ("age", "good", "same"),
    [
        (-AHEAD - 1, False, False),
        (-AHEAD, True, True),
        (0, True, True),
        (RENEWAL, True, True),
        (RENEWAL + 1, True, False),
        (LIFETIME, True, False),
        (LIFETIME + 1, False, False),
    ],
)
def test_a_cookie_is_good_for_an_hour_and_renewed_after_half_of_it(age: int, good: bool, same: bool) -> None:
    checked = cookies(FIRST).check(GOOD, ADDRESS, MADE + age)
    assert (checked.good, checked.option == GOOD) == (good, same)
    again = cookies(FIRST).check(checked.option, ADDRESS, MADE + age)
    assert again == Checked(True, checked.option)


@pytest.mark.parametrize("made", [0xFFFFFFFF, 0x7FFFFFFF, 2**33 - 1])
def test_time_stamps_wrap_around(made: int) -> None:
    option = cookies(FIRST).check(CLIENT, ADDRESS, made).option
    assert cookies(FIRST).check(option, ADDRESS, made + RENEWAL) == Checked(True, option)
    assert cookies(FIRST).check(option, ADDRESS, made - AHEAD) == Checked(True, option)
    assert not cookies(FIRST).check(option, ADDRESS, made + LIFETIME + 1).good


@given(st.integers(0, len(GOOD) * 8 - 1))
def test_no_bit_of_a_cookie_can_be_changed(bit: int) -> None:
    forged = (int.from_bytes(GOOD) ^ (1 << bit)).to_bytes(len(GOOD))
    assert not cookies(FIRST).check(forged, ADDRESS, MADE).good


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))
def test_a_cookie_is_good_from_its_own_address_only(address: bytes) -> None:
    assert cookies(FIRST).check(GOOD, address, MADE).good == (address == ADDRESS)


def test_a_cookie_remembered_as_good_stays_bound_to_address_and_time() -> None:
    served = cookies(FIRST)
    for _ in range(2):
        assert served.check(GOOD, ADDRESS, MADE) == Checked(True, GOOD)
    assert not served.check(GOOD, bytes(4), MADE).good
    assert served.check(GOOD, ADDRESS, MADE + RENEWAL + 1).option != GOOD
    assert not served.check(GOOD, ADDRESS, MADE + LIFETIME + 1).good
    # The clock may be set back as well.
    assert not served.check(GOOD, ADDRESS, MADE - AHEAD - 1).good


def test_the_memory_of_good_cookies_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cookie, "MEMO_ENTRIES", 8)
    served = cookies(FIRST)
    for number in range(100):
        address = number.to_bytes(4)
        option = served.check(CLIENT, address, MADE).option
        assert served.check(option, address, MADE) == Checked(True, option)
        assert len(served._memo) <= 8


def test_forged_cookies_are_not_remembered() -> None:
    served = cookies(FIRST)
    generator = random.Random(1)
    for _ in range(50):
        assert not served.check(CLIENT + generator.randbytes(16), ADDRESS, MADE).good
    assert not served._memo


def test_rolling_the_secret_never_refuses_a_cookie() -> None:
    """At each of the three steps nodes that have taken it and nodes that have not know each other's."""
    for before, after in pairwise([(FIRST,), (FIRST, SECOND), (SECOND, FIRST), (SECOND,)]):
        for maker, checker in ((before, after), (after, before)):
            option = cookies(*maker).check(CLIENT, ADDRESS, MADE).option
            assert cookies(*checker).check(option, ADDRESS, MADE).good


def test_a_cookie_of_an_older_secret_is_good_and_replaced_by_one_of_the_first() -> None:
    rolled = cookies(SECOND, FIRST)
    for _ in range(2):
        checked = rolled.check(GOOD, ADDRESS, MADE)
        assert checked.good
        assert cookies(SECOND).check(checked.option, ADDRESS, MADE) == Checked(True, checked.option)


def test_without_secrets_the_random_one_signs() -> None:
    option = cookies().check(CLIENT, ADDRESS, MADE).option
    assert cookies(RANDOM.hex()).check(option, ADDRESS, MADE).good
    assert not cookies(FIRST).check(option, ADDRESS, MADE).good


def test_the_random_secret_counts_for_nothing_where_there_are_secrets() -> None:
    option = cookies().check(CLIENT, ADDRESS, MADE).option
    assert not cookies(FIRST, SECOND).check(option, ADDRESS, MADE).good


def test_a_secret_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Cookies(CookieSettings(), random_secret=b"short")


@pytest.mark.parametrize("length", range(50))
def test_only_lengths_that_cookies_have_are_taken(length: int) -> None:
    option = bytes(length)
    legal = length == 8 or 16 <= length <= 40
    assert is_well_formed(option) == legal
    if legal:
        assert cookies(FIRST).check(option, ADDRESS, MADE).option[:8] == option[:8]
    else:
        with pytest.raises(WireError) as caught:
            cookies(FIRST).check(option, ADDRESS, MADE)
        assert caught.value.rcode == 1


@given(st.binary(min_size=8, max_size=40).filter(is_well_formed), st.floats(0, 2**40))
def test_whatever_comes_the_answer_is_a_good_cookie_for_it(option: bytes, now: float) -> None:
    served = cookies(FIRST)
    sent = served.check(option, ADDRESS, now).option
    assert sent[:8] == option[:8]
    assert served.check(sent, ADDRESS, now) == Checked(True, sent)
