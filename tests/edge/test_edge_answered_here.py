"""What ends at the edge: trailers that pose as its own words, and redirects that would lead nowhere."""

from __future__ import annotations

import asyncio

import pytest
from edge_stage import Stage, make_fleet, ok

from gslb.fleet import Listener, SocketAddress

REDIRECTING = Listener(SocketAddress("127.0.0.1", 0), redirect=True)


async def test_trailers_of_a_request_cannot_say_what_the_edge_itself_says(stage: Stage) -> None:
    got: list[bytes] = []

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        got.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ok())

    await stage.one_pool(await stage.origin(server))
    forged = b"".join(
        b"%b: 192.0.2.66\r\n" % name
        for name in (b"X-Forwarded-For", b"forwarded", b"X-Real-IP", b"X_Forwarded_For", b"X-Request-Id")
    )
    response = await stage.ask(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nhi\r\n0\r\nChecksum: abc\r\n" + forged + b"\r\n"
    )
    assert response.status == 200
    assert got == [b"2\r\nhi\r\n0\r\nChecksum: abc\r\n\r\n"]


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.0\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["host", "path"]
)
async def test_a_redirect_that_leads_nowhere_is_refused(stage: Stage, request_: bytes) -> None:
    await stage.serve(make_fleet({}, routes=[], listener=REDIRECTING))
    response = await stage.ask(request_)
    assert (response.status, response.get("location")) == (400, None)
    assert b"no host or path to send you to" in response.body
