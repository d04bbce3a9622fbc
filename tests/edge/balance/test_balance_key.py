"""What requests have in common that go to one server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.balance.key import key_of
from edge.http1 import Framing, RequestHead
from edge.http1.events import TargetForm
from gslb.balancing import BalancingKey, KeyKind

ADDRESS = "198.51.100.7"
USER = BalancingKey(KeyKind.HEADER, "x-user")
CART = BalancingKey(KeyKind.COOKIE, "cart")
ITEM = BalancingKey(KeyKind.QUERY, "item")
PATH = BalancingKey(KeyKind.PATH)


def head(resource: bytes = b"/", *fields: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead(
        method=b"GET",
        target=resource,
        form=TargetForm.ORIGIN,
        resource=resource,
        host=b"h",
        minor=1,
        fields=list(fields),
        names=[name.lower() for name, _ in fields],
        framing=Framing.NONE,
        length=0,
        connection=(),
        upgrade=(),
        keep_alive=True,
        expects_continue=False,
    )


@pytest.mark.parametrize(
    ("key", "request_head", "expected"),
    [
        (BalancingKey(), head(b"/", (b"X-User", b"ana")), ADDRESS),
        (USER, head(b"/", (b"X-USER", b"ana")), "ana"),
        (USER, head(b"/", (b"X-User", b"ana"), (b"x-user", b"ben")), "ana, ben"),
        (USER, head(b"/", (b"X-User", b"\xe4")), "ä"),
        (USER, head(b"/", (b"X-User", b"")), ADDRESS),
        (USER, head(), ADDRESS),
        (CART, head(b"/", (b"Cookie", b"a=b; cart=12")), "12"),
        (CART, head(b"/", (b"Cookie", b"a=b"), (b"cookie", b"cart=12=3;cart=4")), "12=3"),
        (CART, head(b"/", (b"Cookie", b"Cart=12; mycart=3; cart")), ADDRESS),
        (CART, head(b"/", (b"Cookie", b"cart=; a=b")), ADDRESS),
        (ITEM, head(b"/shop?a=b&item=7&item=8"), "7"),
        (ITEM, head(b"/item=7?a=item"), ADDRESS),
        (ITEM, head(b"/?item=%37"), "%37"),
        (PATH, head(b"/a/./%62?item=7"), "/a/b"),
        (PATH, head(b"*"), "*"),
    ],
)
def test_the_key_is_found_where_the_pool_says_else_it_is_the_address(
    key: BalancingKey, request_head: RequestHead, expected: str
) -> None:
    assert key_of(request_head, key, ADDRESS) == expected


VALUES = st.binary(max_size=300)


@given(VALUES, VALUES, VALUES, st.sampled_from([USER, CART, ITEM, PATH]))
def test_whatever_a_client_writes_there_is_a_key_and_it_is_short(
    resource: bytes, user: bytes, cookie: bytes, key: BalancingKey
) -> None:
    request_head = head(b"/" + resource, (b"X-User", user), (b"Cookie", cookie))
    found = key_of(request_head, key, ADDRESS)
    assert 0 < len(found) <= 64
    assert key_of(request_head, key, ADDRESS) == found


@given(st.binary(min_size=65, max_size=300), st.binary(min_size=65, max_size=300))
def test_long_values_stay_different(one: bytes, other: bytes) -> None:
    keys = {key_of(head(b"/", (b"X-User", value)), USER, ADDRESS) for value in (one, other)}
    assert len(keys) == len({one, other})
