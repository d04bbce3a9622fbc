"""A connection that lives as long as one probe, and of which nothing remains."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gslb.fleet import SocketAddress


@asynccontextmanager
async def connected(
    target: SocketAddress, context: ssl.SSLContext | None = None, server_name: str | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to `target`, over TLS if there is a `context`; raises OSError as connecting does."""
    reader, writer = await asyncio.open_connection(
        target.host, target.port, ssl=context, server_hostname=server_name
    )
    try:
        yield reader, writer
    finally:
        # The probe is over either way: nothing more is owed to the other side, so do not linger; but
        # nothing of it remains either when it returns.
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
