"""Says in a short phrase why a connection failed, alike for every check."""

from __future__ import annotations

import errno
import os
import socket
import ssl

_PHRASES = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.ETIMEDOUT: "connection timed out",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network unreachable",
    errno.EADDRNOTAVAIL: "no local address or port is free",
    errno.EMFILE: "too many open files in this process",
    errno.ENFILE: "too many open files on this machine",
}


def failure_phrase(error: BaseException) -> str:
    """What went wrong, in the words a reason uses: `connection refused`, `certificate expired`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"
    if isinstance(error, socket.gaierror):
        return "host name not found"
    if isinstance(error, TimeoutError) and error.errno is None:
        return "timeout"
    if isinstance(error, OSError) and error.errno is not None:
        return _PHRASES.get(error.errno) or os.strerror(error.errno).lower()
    if isinstance(error, EOFError):
        return "connection closed"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
