"""The one error of TLS: a file that does not serve, and what would make it serve."""

from __future__ import annotations

from gslb.errors import GslbError


class TlsError(GslbError):
    """A certificate, key or root file cannot be used; the text names the file, `hint` the remedy."""
