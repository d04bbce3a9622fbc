"""Who the client is: trusted proxies are believed, one after the other, and nobody else."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.forwarded import (
    MOST_HOPS,
    Introduction,
    Origin,
    TrustedProxies,
    address_of,
    client_of,
    node_text,
)

TRUSTED = TrustedProxies(
    ip_network(each) for each in ("10.0.0.0/8", "2001:db8:a::/48", "::ffff:172.16.0.0/108")
)
NOBODY = TrustedProxies(())
PEER = "10.0.0.1"
STRANGER = "198.51.100.7"

CLAIMS = (
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Real-IP",
    "Forwarded",
)
fields_of_any_kind = st.lists(
    st.tuples(
        st.sampled_from([name.encode() for name in CLAIMS]),
        st.one_of(
            st.binary(max_size=80),
            st.text(alphabet='for=;,"\\ []:.%_19afx', max_size=60).map(str.encode),
            st.sampled_from([b"10.0.0.2", b"10.0.0.2, 192.0.2.1", b"for=10.0.0.2", b'for="[::1]:80"']),
        ),
    ),
    max_size=6,
)


def told(*lines: str) -> list[tuple[bytes, bytes]]:
    pairs = (line.split(": ", 1) for line in lines)
    return [(name.encode(), value.encode("latin-1")) for name, value in pairs]


def origin(*lines: str, peer: str = PEER, scheme: str = "http") -> Origin:
    return client_of(peer, scheme, told(*lines), TRUSTED)


def written(introduction: Introduction, host: str, *lines: str) -> list[str]:
    fields = told(*lines)
    data = introduction.lines(introduction.origin(fields), host.encode(), fields)
    assert data.endswith(b"\r\n")
    return data.decode("latin-1").split("\r\n")[:-1]


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("203.0.113.5, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("192.0.2.1,10.0.0.2,10.0.0.3", "192.0.2.1"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::9", "2001:db8::9"),
        ("2001:DB8:0::9", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("[2001:db8::9]:443", "2001:db8::9"),
        ('"[2001:db8::9]:443"', "2001:db8::9"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, ::ffff:172.16.3.4", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.1, 2001:db8:a::1", "192.0.2.1"),
    ],
)
def test_the_client_is_the_first_untrusted_address_from_the_right(chain: str, client: str) -> None:
    assert origin(f"X-Forwarded-For: {chain}").address == client


def test_several_lines_are_one_list_in_their_order() -> None:
    found = origin("X-Forwarded-For: 203.0.113.5", "x-forwarded-for: 192.0.2.1, 10.0.0.2")
    assert found.address == "192.0.2.1"
    assert found.hops == ("192.0.2.1", "10.0.0.2", PEER)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "unknown",
        "_hidden",
        "1.2.3",
        "01.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:123456",
        "[1.2.3.4]",
        "[::1",
        "::1]",
        "::g",
        "host.example",
        "1.2.3.4 5.6.7.8",
        '"',
        "1" * 200,
        "\xff",
    ],
)
def test_an_entry_that_is_no_address_ends_the_walk_at_who_wrote_it(entry: str) -> None:
    assert origin(f"X-Forwarded-For: 192.0.2.1, {entry}").address == PEER
    assert origin(f"X-Forwarded-For: 192.0.2.1, {entry}, 10.0.0.2").address == "10.0.0.2"


def test_a_chain_of_trusted_addresses_is_walked_only_so_far() -> None:
    found = origin("X-Forwarded-For: " + ",".join(["10.9.9.9"] * 1000))
    assert len(found.hops) == MOST_HOPS + 1


def test_scheme_host_and_port_are_taken_from_a_trusted_peer() -> None:
    found = origin(
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Proto: HTTPS",
        "X-Forwarded-Host: shop.example:8443",
    )
    assert (found.scheme, found.host, found.port) == ("https", b"shop.example:8443", 8443)
    assert origin("X-Forwarded-Proto: https").port == 443
    assert origin("X-Forwarded-Proto: https", "X-Forwarded-Port: 444").port == 444
    assert origin("X-Forwarded-Host: shop.example", scheme="https").port == 443


def test_claims_that_make_no_sense_are_left_out() -> None:
    found = origin("X-Forwarded-Proto: gopher", "X-Forwarded-Host: a b", "X-Forwarded-Port: 70000")
    assert found == Origin(PEER, "http", None, None, (PEER,))
    assert origin("X-Forwarded-Host: " + "a" * 301) == found


def test_a_list_of_schemes_is_read_beside_the_list_of_addresses() -> None:
    # The first scheme is what the client made up, the second what the proxy that it reached saw.
    chain = "X-Forwarded-For: 203.0.113.5, 192.0.2.1, 10.0.0.2"
    assert origin(chain, "X-Forwarded-Proto: https, http, https").scheme == "http"
    assert origin("X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https, http").scheme == "http"


def test_forwarded_is_read_where_there_is_no_x_forwarded_for() -> None:
    found = origin('Forwarded: for="[2001:db8::9]:47";proto=https;host="shop.example:8443", for=10.0.0.2')
    assert found == Origin(
        "2001:db8::9", "https", b"shop.example:8443", 8443, ("2001:db8::9", "10.0.0.2", PEER)
    )
    assert origin("Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.2").address == "192.0.2.2"


@pytest.mark.parametrize(
    "line",
    [
        "for=192.0.2.1",
        "For=192.0.2.1",
        'for="192.0.2.1:80"',
        'for="192.0.2.1:_port"',
        "for=192.0.2.1:80",
        "by=203.0.113.43 ; for=192.0.2.1;",
        'for=192.0.2.1;host="a,b"',
        'for=192.0.2.1;ext="x, for=6.6.6.6"',
        'for=192.0.2.1;ext="x, for=6.6.6.6;y=";z=";w"',
        'for=192.0.2.1;ext="x, for=6.6.6.6;y=\\"z\\""',
        'for="192.0.2\\.1"',
        'for=6.6.6.6, for=192.0.2.1, for="10.0.0.2"',
    ],
)
def test_commas_quotes_and_ports_in_forwarded_are_understood(line: str) -> None:
    assert origin(f"Forwarded: {line}").address == "192.0.2.1"


def test_a_quote_that_a_client_leaves_open_does_not_hide_it() -> None:
    assert origin('Forwarded: for=", for=192.0.2.1').address == "192.0.2.1"
    assert origin('Forwarded: for="', "Forwarded: for=192.0.2.1").address == "192.0.2.1"


@pytest.mark.parametrize(
    "element",
    [
        "for=unknown",
        "for=_mystery",
        'for="_gazonk"',
        "proto=http",
        "for=1.2.3.4;for=5.6.7.8",
        "for = 1.2.3.4",
        "for",
        'for="1.2.3.4',
        'ext="' + "," * 20 + '"',
    ],
)
def test_an_element_without_an_address_ends_the_walk(element: str) -> None:
    assert origin(f"Forwarded: for=192.0.2.1, {element}").address == PEER


def test_a_proxy_that_hides_the_client_may_still_tell_its_scheme() -> None:
    found = origin("Forwarded: for=unknown;proto=https")
    assert (found.address, found.scheme) == (PEER, "https")


@given(fields_of_any_kind)
def test_what_an_untrusted_peer_claims_changes_nothing(fields: list[tuple[bytes, bytes]]) -> None:
    nothing = Origin(STRANGER, "https", None, None, (STRANGER,))
    assert client_of(STRANGER, "https", fields, TRUSTED) == nothing
    assert client_of(STRANGER, "https", fields, NOBODY) == nothing
    plain = Introduction(STRANGER, "https", 443, TRUSTED)
    assert plain.lines(plain.origin(fields), b"a.example", fields) == plain.lines(
        plain.origin([]), b"a.example", []
    )


@given(fields_of_any_kind)
def test_no_bytes_of_a_trusted_peer_are_too_odd(fields: list[tuple[bytes, bytes]]) -> None:
    found = client_of(PEER, "http", fields, TRUSTED)
    assert found.hops[-1] == PEER
    assert found.hops[0] == found.address
    assert all(TRUSTED.has(hop) for hop in found.hops[1:])
    assert found.scheme in ("http", "https")
    assert found.port is None or 0 < found.port < 65536
    introduction = Introduction(PEER, "http", 80, TRUSTED)
    assert b"X-Real-IP: %b\r\n" % found.address.encode() in introduction.lines(found, b"a", fields)


@given(st.ip_addresses(), st.booleans())
def test_every_address_is_found_again_in_every_spelling(address: object, port: bool) -> None:
    text = str(address)
    plain = address_of(text.encode())
    assert plain is not None
    bracketed = f"[{text}]" if ":" in text else text
    assert address_of((bracketed + (":80" if port else "")).encode()) == plain
    assert client_of(PEER, "http", [(b"Forwarded", b"for=" + node_text(plain))], TRUSTED).address == plain


@given(
    st.ip_addresses(v=4),
    st.text(alphabet='ab,;="\\ for1.', max_size=30),
    st.text(alphabet='ab,;="\\ for1.', max_size=20),
)
def test_nothing_inside_a_quoted_string_passes_for_an_element(
    address: object, inside: str, left: str
) -> None:
    assume(inside.count(",") <= 4)  # twice that is as many as are looked at
    quoted = inside.replace("\\", "\\\\").replace('"', '\\"')
    found = origin(f'Forwarded: {left}, for={address};host="{quoted}";ext="{quoted}"')
    assert found.hops[-2] == str(address)


def test_an_untrusted_peer_is_introduced_as_the_client() -> None:
    introduction = Introduction(STRANGER, "https", 8443, TRUSTED)
    lines = written(introduction, "a.example:8443", "X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4")
    assert lines == [
        f"X-Forwarded-For: {STRANGER}",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Port: 8443",
        f"X-Real-IP: {STRANGER}",
        "X-Forwarded-Host: a.example:8443",
        f'Forwarded: for={STRANGER};proto=https;host="a.example:8443"',
    ]
    assert f"Forwarded: for={STRANGER};proto=https;host=b.example" in written(introduction, "b.example")


def test_a_trusted_peers_chain_is_continued() -> None:
    introduction = Introduction(PEER, "http", 80, TRUSTED)
    lines = written(
        introduction,
        "inner.example",
        "X-Forwarded-For: 6.6.6.6, 192.0.2.1",
        "X-Forwarded-For: 10.0.0.2",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shop.example",
    )
    assert lines == [
        f"X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.2, {PEER}",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Port: 443",
        "X-Real-IP: 192.0.2.1",
        "X-Forwarded-Host: shop.example",
        f"Forwarded: for=192.0.2.1;proto=https;host=shop.example, for=10.0.0.2, for={PEER}",
    ]


def test_addresses_of_version_six_are_quoted_and_bracketed_in_forwarded_alone() -> None:
    lines = written(Introduction("2001:db8::5", "http", 80, NOBODY), "")
    assert lines == [
        "X-Forwarded-For: 2001:db8::5",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Port: 80",
        "X-Real-IP: 2001:db8::5",
        'Forwarded: for="[2001:db8::5]";proto=http',
    ]


@given(fields_of_any_kind)
def test_the_next_edge_that_trusts_this_one_finds_the_same_client(fields: list[tuple[bytes, bytes]]) -> None:
    first = Introduction(PEER, "http", 80, TRUSTED)
    found = first.origin(fields)
    text = first.lines(found, b"a.example", fields).split(b"\r\n")[:-1]
    onward = [(name, value) for name, _, value in (line.partition(b": ") for line in text)]
    only_forwarded = [each for each in onward if each[0] == b"Forwarded"]
    second = client_of("10.7.7.7", "http", only_forwarded, TRUSTED)
    assert (second.address, second.scheme) == (found.address, found.scheme)


def test_a_peer_without_an_address_is_trusted_by_nobody() -> None:
    assert not TRUSTED.has("")
    assert not TRUSTED.has("unix:/run/x")
    assert TRUSTED.has("::ffff:10.1.1.1")
    assert TRUSTED.has("172.16.0.9")
    assert not NOBODY
