"""TLS contexts for checks, made once: loading the machine's trust store takes tens of milliseconds."""

from __future__ import annotations

import functools
import ssl


@functools.cache
def tls_context(verify: bool) -> ssl.SSLContext:
    """A client context; without `verify` it accepts any certificate."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
