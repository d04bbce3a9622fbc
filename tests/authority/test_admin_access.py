"""Who may change state over HTTP: the token's holder, however the token was put into the environment."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from ports import free_port
from prometheus_client.registry import Collector

from gslb.admin.access import TOKEN_VARIABLE, admin_token
from gslb.admin.listener import AdminServer, admin_app
from gslb.errors import GslbError
from gslb.fleet import SocketAddress


class Nothing(Collector):
    """Counts nothing."""

    def collect(self):
        return ()


@contextlib.asynccontextmanager
async def served():
    server = AdminServer(admin_app(Nothing()), SocketAddress("127.0.0.1", free_port()))
    await server.start()
    yield server.port
    await server.stop()


async def status(port: int, authorization: bytes) -> int:
    """Of an answer to a change that nobody knows how to make: 404 for those who may."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n"
    writer.write(head + b"Authorization: " + authorization + b"\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1])


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (b"Bearer sesame", 404),
        (b"bearer  sesame ", 404),
        (b"Bearer sesam", 401),
        (b"Basic sesame", 401),
        (b"Bearer", 401),
        (b"Bearer \xff\xfe", 401),
        ("Bearer sesäme".encode(), 401),
    ],
)
async def test_only_the_holder_of_the_token_may_change_anything(monkeypatch, authorization, expected):
    monkeypatch.setenv(TOKEN_VARIABLE, "sesame\n")
    async with served() as port:
        assert await status(port, authorization) == expected


@pytest.mark.parametrize("text", ["", " ", "\n"])
async def test_without_a_token_nobody_may(monkeypatch, text):
    monkeypatch.setenv(TOKEN_VARIABLE, text)
    assert admin_token() is None
    async with served() as port:
        assert await status(port, b"Bearer " + text.strip().encode()) == 401


@pytest.mark.parametrize("text", ["sesame\n", " sesame", "\tsesame\r\n"])
def test_blanks_around_the_token_are_not_of_it(monkeypatch, text):
    monkeypatch.setenv(TOKEN_VARIABLE, text)
    assert admin_token() == "sesame"


@pytest.mark.parametrize("text", ["sesäme", "ses\name", "ses\x7fame", "\udcff"])
def test_a_token_that_no_header_can_carry_is_an_error(monkeypatch, text):
    monkeypatch.setenv(TOKEN_VARIABLE, text)
    with pytest.raises(GslbError, match="cannot be sent in a header"):
        admin_token()
