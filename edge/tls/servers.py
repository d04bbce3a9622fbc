"""TLS towards servers: whom the edge trusts, and which name it expects there."""

from __future__ import annotations

import ssl

from edge.tls.pair import load_pair, load_roots
from edge.tls.settings import harden
from gslb.fleet import ServerTls


def context_to_servers(tls: ServerTls) -> ssl.SSLContext:
    """A context for all connections to the servers of one pool.

    It reads files: make it once, when the pool is made, and not for each connection. Raises TlsError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    harden(context, ssl.TLSVersion.TLSv1_2)
    if not tls.verify:
        context.check_hostname = False  # must come first, the ssl module insists
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        load_roots(context, tls.ca, "file of roots for servers")
    if tls.certificate is not None:
        load_pair(context, tls.certificate)
    return context


def expected_name(tls: ServerTls, host: str) -> str:
    """The name for SNI that the certificate of the server at `host` (a name or an address) must hold.

    A final dot is no part of a name in TLS (RFC 6066 3); nor is the zone of a link-local address.
    """
    name = tls.server_name if tls.server_name is not None else host
    return name.partition("%")[0].removesuffix(".")


def server_context(tls: ServerTls, host: str) -> tuple[ssl.SSLContext, str]:
    """Both of the above: what `loop.create_connection` wants as `ssl` and `server_hostname`."""
    return context_to_servers(tls), expected_name(tls, host)
