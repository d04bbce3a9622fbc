"""Cookies that keep a client at its server: whom they name, and what they give away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.http1 import Framing, RequestHead
from edge.http1.events import TargetForm
from edge.pairs import values
from edge.sticky import Tokens, set_cookie
from gslb.fleet import SameSite, Secret, Sticky

STICKY = Sticky("srv", Secret("a secret of the fleet"))
SERVERS = ("10.0.0.1:9001", "10.0.0.2:9001", "[2001:db8::1]:9001")
TOKENS = Tokens(STICKY, "web", SERVERS)
ONE, TWO = (TOKENS.token(name) for name in SERVERS[:2])


def head(*cookies: bytes) -> RequestHead:
    return RequestHead(
        method=b"GET",
        target=b"/",
        form=TargetForm.ORIGIN,
        resource=b"/",
        host=b"h",
        minor=1,
        fields=[(b"Cookie", cookie) for cookie in cookies],
        names=[b"cookie" for _ in cookies],
        framing=Framing.NONE,
        length=0,
        connection=(),
        upgrade=(),
        keep_alive=True,
        expects_continue=False,
    )


@pytest.mark.parametrize("server", SERVERS)
def test_a_cookie_leads_back_to_the_server_that_set_it(server: str) -> None:
    line = set_cookie(TOKENS.token(server), STICKY, secured=False)
    pair = line.removeprefix(b"Set-Cookie: ").partition(b";")[0]
    assert TOKENS.read(head(b"theme=dark; " + pair)) == server


@pytest.mark.parametrize(
    ("cookies", "server"),
    [
        ((), None),
        ((b"",), None),
        ((b"other=" + ONE,), None),
        ((b"srv=" + ONE[:-1],), None),
        ((b"srv=" + ONE + b"A",), None),
        ((b"srv=10.0.0.1:9001",), None),
        ((b"srv",), None),
        ((b"srv=" + ONE + b"; srv=" + TWO,), SERVERS[0]),
        ((b"srv=planted; srv=" + TWO,), SERVERS[1]),
        ((b"a=b", b" srv = " + TWO + b" "), SERVERS[1]),
    ],
)
def test_only_a_whole_and_valid_cookie_names_a_server(cookies: tuple[bytes, ...], server: str | None) -> None:
    assert TOKENS.read(head(*cookies)) == server


@given(st.binary(max_size=60))
@example(b"srv=" + ONE[:-1])
def test_garbage_names_no_server_and_raises_nothing(cookie: bytes) -> None:
    assert TOKENS.read(head(cookie)) is None
    assert TOKENS.server(cookie) is None


def test_a_token_holds_for_one_pool_one_server_and_one_secret() -> None:
    others = [
        Tokens(STICKY, "api", SERVERS),
        Tokens(replace(STICKY, secret=Secret("another")), "web", SERVERS),
        Tokens(STICKY, "web", SERVERS[1:]),
    ]
    assert [tokens.server(ONE) for tokens in others] == [None, None, None]
    tokens = {each.token(name) for each in (TOKENS, *others[:2]) for name in SERVERS}
    assert len(tokens) == 9


def test_all_processes_agree_whatever_else_is_in_the_pool() -> None:
    assert Tokens(STICKY, "web", reversed(SERVERS)).server(ONE) == SERVERS[0]
    assert Tokens(STICKY, "web", (*SERVERS, "10.0.0.9:9001")).token(SERVERS[0]) == ONE


def test_a_token_is_of_characters_that_cookies_may_have() -> None:
    for server in SERVERS:
        assert len(TOKENS.token(server)) == 22
        assert TOKENS.token(server).replace(b"-", b"a").replace(b"_", b"a").isalnum()


LINE = b"Set-Cookie: srv=t; Path=/; HttpOnly; SameSite="


@pytest.mark.parametrize(
    ("sticky", "secured", "expected"),
    [
        (STICKY, False, b"Lax"),
        (STICKY, True, b"Lax; Secure"),
        (replace(STICKY, secure=True), False, b"Lax; Secure"),
        (replace(STICKY, secure=False), True, b"Lax"),
        (replace(STICKY, same_site=SameSite.STRICT, max_age=3600), False, b"Strict; Max-Age=3600"),
        (replace(STICKY, same_site=SameSite.NONE), False, b"None; Secure"),
        (
            replace(STICKY, same_site=SameSite.NONE, secure=False, max_age=60),
            False,
            b"None; Secure; Max-Age=60",
        ),
    ],
)
def test_the_field_says_what_the_pool_says(sticky: Sticky, secured: bool, expected: bytes) -> None:
    assert set_cookie(b"t", sticky, secured=secured) == LINE + expected + b"\r\n"


def test_pairs_keep_their_order_and_everything_behind_the_first_equals_sign() -> None:
    assert list(values(b"a=1; b=2;a = 3=4 ;a;=a", b";", b"a")) == [b"1", b"3=4"]
