"""The scalar types: every legal form, and that a parser either understands or tells what is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gslb.config import amounts, places, values
from gslb.config.redis_url import parse_redis_url
from gslb.config.wrong_value import WrongError
from gslb.fleet import SocketAddress

PARSERS: list[Callable[[object], object]] = [
    *(getattr(values, name) for name in dir(values) if name.startswith("parse_")),
    *(getattr(places, name) for name in dir(places) if name.startswith("parse_")),
    *(getattr(amounts, name) for name in dir(amounts) if name.startswith("parse_")),
    parse_redis_url,
]
YAML_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(alphabet="0123456789.:/[]-*smhASUGB", max_size=12),
    st.lists(st.text()),
    st.dictionaries(st.text(), st.text()),
)


@given(st.sampled_from(PARSERS), YAML_VALUES)
@example(values.parse_duration, "9" * 400)
@example(values.parse_whole_number, 10**400)
@example(values.parse_socket_address, "[::1%lo]:80")
@example(values.parse_address, "fe80::1%eth0")
@example(parse_redis_url, "redis://[::1")
@example(parse_redis_url, "redis://h:99999999")
def test_a_parser_understands_or_refuses(parser: Callable[[object], object], value: object) -> None:
    with contextlib.suppress(WrongError):
        parser(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("1s", 1.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1.5 s", 1.5),
        (3, 3.0),
        (0.25, 0.25),
        ("7", 7.0),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert values.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "-1s", "1 week", "1d", "s", "nan", "inf", "1e3", 0, -1, True, None, "25h"]
)
def test_no_durations(text: object) -> None:
    with pytest.raises(WrongError):
        values.parse_duration(text)


@given(st.integers(1, 86_400_000))
def test_milliseconds_are_exact_enough(milliseconds: int) -> None:
    assert values.parse_duration(f"{milliseconds}ms") == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:53", "::1", 53),
        ("[2001:DB8::0]:65535", "2001:db8::", 65535),
        ("Host.Name:80", "host.name", 80),
        ("localhost:1", "localhost", 1),
    ],
)
def test_socket_addresses(text: str, host: str, port: int) -> None:
    assert values.parse_socket_address(text) == SocketAddress(host, port)


@given(st.ip_addresses().filter(lambda address: "%" not in str(address)), st.integers(1, 65535))
def test_every_socket_address_reads_back(address: object, port: int) -> None:
    socket = SocketAddress(str(address), port)
    assert values.parse_socket_address(str(socket)) == socket


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        ":80",
        "80",
        80,
        "h:0",
        "h:65536",
        "::1:80",
        "[::1]",
        "[127.0.0.1]:80",
        "1.2.3:80",
        "a b:80",
        "h:+8",
    ],
)
def test_no_socket_addresses(text: object) -> None:
    with pytest.raises(WrongError):
        values.parse_socket_address(text)


def test_listening_wants_an_address_and_allows_any_port() -> None:
    assert values.parse_listen_address("127.0.0.1:0") == SocketAddress("127.0.0.1", 0)
    with pytest.raises(WrongError, match="is a name"):
        values.parse_listen_address("localhost:53")


@pytest.mark.parametrize(
    ("text", "name"),
    [("WWW.Shop.Example.", "www.shop.example"), ("a", "a"), ("_dmarc.x-y.z", "_dmarc.x-y.z")],
)
def test_domain_names(text: str, name: str) -> None:
    assert values.parse_domain_name(text) == name


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", "-a.b", "a-.b", "a b", "*.a", "ä.b", "a" * 64, ".".join(["a" * 49] * 6)]
)
def test_no_domain_names(text: str) -> None:
    with pytest.raises(WrongError):
        values.parse_domain_name(text)


@pytest.mark.parametrize(("text", "code"), [("gb", "GB"), ("NO", "NO"), ("XK", "XK")])
def test_countries(text: str, code: str) -> None:
    assert places.parse_country(text) == code


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("UK", "did you mean GB?"),
        ("Norway", "did you mean NO?"),
        ("DEU", "did you mean DE?"),
        ("AF!", ""),
        (False, 'for Norway write "NO", in quotes'),
    ],
)
def test_no_countries(value: object, remedy: str) -> None:
    with pytest.raises(WrongError) as caught:
        places.parse_country(value)
    assert remedy in (caught.value.derived or caught.value.hint)


def test_codes_of_places() -> None:
    assert places.parse_continent("eu") == "EU"
    assert places.parse_subdivision("us-ca") == "US-CA"
    assert places.parse_asn("AS64500") == places.parse_asn(64500) == places.parse_asn("64500") == 64500
    for parser, value in (
        (places.parse_continent, "XX"),
        (places.parse_subdivision, "CA"),
        (places.parse_asn, 2**32),
    ):
        with pytest.raises(WrongError):
            parser(value)


def test_country_and_continent_follow_from_what_is_more_exact() -> None:
    location = places.LocationEntry(subdivision="US-CA").location("default")
    assert (location.country, location.continent, location.source) == ("US", "NA", "default")


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://:p%40ss@h:6379/2",
        "rediss://u:p@[::1]:6380",
        "unix:///run/redis.sock",
        "redis+sentinel://:p@a:26379,b/main/1",
    ],
)
def test_urls_of_redis(url: str) -> None:
    secret = parse_redis_url(url)
    assert secret is not None
    assert secret.reveal() == url


@pytest.mark.parametrize(
    "url",
    ["h:6379", "redis://", "redis://h:0", "redis://h/x", "unix://", "redis+sentinel://a:1", "http://pw@h"],
)
def test_no_urls_of_redis(url: str) -> None:
    with pytest.raises(WrongError) as caught:
        parse_redis_url(url)
    assert url not in str(caught.value)


def test_no_url_is_no_redis() -> None:
    assert parse_redis_url("") is None
