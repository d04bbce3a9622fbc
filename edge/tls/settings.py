"""What both ends of TLS have in common: versions, ciphers, options."""

from __future__ import annotations

import ssl

ALPN = ("http/1.1",)

# Mozilla's "intermediate" list for TLS 1.2, but for the DHE suites: they need parameters, and who can do no
# ECDHE today cannot do TLS 1.2 well either. The suites of TLS 1.3 are all good, and stay as OpenSSL has them.
_CIPHERS = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    )
)


def harden(context: ssl.SSLContext, minimum: ssl.TLSVersion) -> None:
    """Set versions, ciphers, options and the application protocol of a new context.

    Clients know best which cipher is fast for them, so their order counts. An end without TLS's own goodbye
    is no end (see edge.tls.handshake.said_goodbye): else who cuts a response short could make it look whole.
    """
    context.minimum_version = minimum
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.set_alpn_protocols(list(ALPN))
