"""Cookies as the compiled loop checks and makes them: those of gslb.dns.cookie, byte for byte."""

from __future__ import annotations

import pytest
from fleets import NOW
from hypothesis import example, given
from hypothesis import strategies as st
from taught import COOKIES, PORT, SECRETS, SOURCE, Twice, assert_same, opt, option, query, subnet, twice

from gslb.dns.compiled.answering import Settings
from gslb.dns.compiled.limiter import Limiter
from gslb.dns.cookie import AHEAD, LIFETIME, RENEWAL, Cookies
from gslb.fleet import CookieSettings, RateLimitSettings, Secret

CLIENT = b"8 bytes!"
OTHER = bytes(range(100, 116))
IPV6 = "2001:db8::77"


@pytest.fixture(scope="module")
def pair() -> Twice:
    made = twice(cookies=COOKIES)
    for client in (SOURCE, IPV6):
        made.teach("www.shop.test", client=client)
    made.teach("nothing.shop.test")
    return made


def cookie(at: float = NOW, secret: bytes = SECRETS[0], source: bytes = bytes([192, 0, 2, 77])) -> bytes:
    """Made for `source` by a server with that secret."""
    maker = Cookies(CookieSettings(secrets=(Secret(secret.hex()),)), random_secret=bytes(16))
    return maker.check(CLIENT, source, at).option


def asked(data: bytes) -> bytes:
    return query("www.shop.test", edns=opt(option(10, data)))


@pytest.mark.parametrize("length", range(45))
def test_a_cookie_of_any_length_is_answered_or_left_to_python(pair, length):
    expected, outcome = pair.ask(asked(bytes(range(length))))
    if length == 8 or 16 <= length <= 40:
        assert outcome == expected
    else:
        assert outcome == "miss"
        assert expected[3] & 15 == 1


@pytest.mark.parametrize("age", [0, 1, RENEWAL - 1, RENEWAL, RENEWAL + 1, LIFETIME, LIFETIME + 1, 1 << 31])
@pytest.mark.parametrize("secret", [*SECRETS, OTHER])
@pytest.mark.parametrize("fraction", [0.0, 0.999])
def test_a_cookie_of_any_age_and_secret_is_found_as_in_python(pair, age, secret, fraction):
    made = cookie((NOW - age) % (1 << 32), secret)
    pair.clock._now = NOW + fraction
    assert_same(pair.ask(asked(made)))
    pair.clock._now = NOW


@pytest.mark.parametrize("ahead", [1, AHEAD - 1, AHEAD, AHEAD + 1, 1 << 30])
def test_a_cookie_from_the_future_is_found_as_in_python(pair, ahead):
    assert_same(pair.ask(asked(cookie(NOW + ahead))))


@pytest.mark.parametrize("now", [float((1 << 32) - 5), float(1 << 32), float((1 << 32) + 5)])
def test_timestamps_wrap_around(pair, now):
    maker = Cookies(COOKIES, random_secret=bytes(16))
    for made in (now - 100, now - 2000, now - 4000, now + 100):
        pair.clock._now = now
        assert_same(pair.ask(asked(maker.check(CLIENT, bytes([192, 0, 2, 77]), made).option)))
    pair.clock._now = NOW


def test_a_cookie_is_good_for_one_address_alone(pair):
    before = pair.exchange.counters()["cookies"]
    for source in (SOURCE, "192.0.2.78", IPV6, "2001:db8::78"):
        pair.teach("www.shop.test", client=source)
        for made in (cookie(), cookie(source=bytes.fromhex("20010db8000000000000000000000077"))):
            assert_same(pair.ask(asked(made), source))
    after = pair.exchange.counters()["cookies"]
    assert {kind: after[kind] - before[kind] for kind in after} == {"good": 2, "bad": 6, "new": 0}


def test_reserved_bytes_are_kept_as_they_came(pair):
    expected, outcome = pair.ask(asked(CLIENT + b"\1abc" + cookie()[12:]))
    assert outcome == expected


@given(st.binary(max_size=48) | st.tuples(st.integers(0, 23), st.integers(0, 255)))
@example((8, 1))
def test_no_damaged_cookie_is_taken_for_another(pair, damage):
    data = damage
    if isinstance(damage, tuple):
        place, value = damage
        data = bytes([*cookie()[:place], value, *cookie()[place + 1 :]])
    expected, outcome = pair.ask(asked(data))
    assert outcome in (expected, "miss")


def test_cookies_and_subnets_are_answered_together(pair):
    for data in (CLIENT, cookie(), cookie(NOW - 2000), cookie(secret=OTHER)):
        edns = opt(option(10, data), subnet(SOURCE, 24), option(10, b"second"), do=True)
        assert_same(pair.ask(query("www.shop.test", edns=edns)))


def limited(pair: Twice, **settings: int) -> Limiter:
    limiter = Limiter(RateLimitSettings(**settings))
    secrets = [bytes.fromhex(secret.reveal()) for secret in COOKIES.secrets]
    pair.exchange.use(pair.book, Settings(1232, None, secrets, limiter, True))
    return limiter


def test_who_shows_a_good_cookie_is_never_limited_and_all_others_are():
    pair = twice(rate_limit=RateLimitSettings(responses_per_second=2, slip=0))
    pair.teach("www.shop.test")
    limiter = limited(pair, responses_per_second=2, slip=0)
    known, unknown = asked(cookie()), asked(CLIENT)
    for _ in range(20):
        assert_same(pair.ask(known))
    for number in range(10):
        expected, outcome = pair.ask(unknown)
        assert outcome == ("silence" if number >= 2 else expected)
        assert (expected is None) == (number >= 2)
    assert limiter.dropped["network"] == 8
    counters = pair.exchange.counters()
    assert counters["answered"] == 22
    assert counters["cookies"] == {"good": 20, "bad": 0, "new": 10}
    assert sum(pair.book.served()) == 22


def test_a_limited_answer_slips_out_truncated_as_in_python():
    pair = twice(rate_limit=RateLimitSettings(responses_per_second=1, errors_per_second=1, slip=1))
    pair.teach("www.shop.test")
    pair.teach("nothing.shop.test")
    limited(pair, responses_per_second=1, errors_per_second=1, slip=1)
    for name in ("www.shop.test", "nothing.shop.test"):
        for edns in (b"", opt(), opt(option(10, CLIENT)), opt(option(10, CLIENT), subnet(SOURCE, 24))):
            assert_same(pair.ask(query(name, edns=edns, flags=0x0100)))
    counters = pair.exchange.counters()
    assert counters["answered"] == 8
    assert counters["truncations"] == 6
    assert counters["rcodes"] == {0: 4, 3: 4}
    assert sum(pair.book.served()) == 1


def test_what_is_left_to_python_is_judged_by_python_alone():
    pair = twice()
    limiter = limited(pair, responses_per_second=1)
    for _ in range(5):
        assert pair.exchange.outcome(query("www.shop.test"), SOURCE, PORT, NOW) == "miss"
    assert limiter.sent == 0
