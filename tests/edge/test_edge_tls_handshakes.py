"""Handshakes that are not complete are bounded: who connects and says nothing keeps nobody out for long."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace

import pytest
import trustme
from edge_stage import ANYWHERE, Stage, answering, ok, read_message

from edge.listeners import Listeners, Terms


async def test_more_handshakes_than_there_may_be_at_once_wait_their_turn(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.proxy.acceptor._MOST_AT_ONCE", 2)
    proxy = await stage.one_pool(await stage.origin(answering(ok())))
    authority, ours = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(ours)
    theirs = ssl.create_default_context()
    authority.configure_trust(theirs)
    listeners = Listeners(proxy)
    bound = listeners.prepare([Terms(replace(ANYWHERE, tls=True), ours, handshake=30.0, shutdown=1.0)])
    await listeners.begin(bound)
    listeners.use(bound)
    port = listeners.addresses[0].port
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    asking = asyncio.ensure_future(
        asyncio.open_connection("127.0.0.1", port, ssl=theirs, server_hostname="localhost")
    )
    with pytest.raises(TimeoutError):
        # The two before have all there is, and thirty seconds for it.
        await asyncio.wait_for(asyncio.shield(asking), 0.2)
    silent[0][1].close()
    reader, writer = await asyncio.wait_for(asking, 10)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await read_message(reader)).status == 200
    for each in (writer, silent[1][1]):
        each.close()
    await writer.wait_closed()
    await listeners.close()
