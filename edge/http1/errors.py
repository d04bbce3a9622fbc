"""What is wrong with a message, said once for the peer; both sides' rules share these words."""

from __future__ import annotations

from dataclasses import dataclass


class ProtocolError(Exception):
    """A message that must not be served or forwarded.

    status: of the answer it deserves (4xx or 5xx for a client, 502 for a server's fault).
    reason: one sentence for the peer.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Side:
    """Whose messages are read, and which status their faults get.

    message: what that side sends. bad: a rule is broken. long_line: the first line is too long.
    large: a head or trailer is too large. unserved: a transfer coding that is not known here.
    """

    message: str
    bad: int
    long_line: int
    large: int
    unserved: int

    def broken(self, fault: str) -> ProtocolError:
        """A broken rule. fault: goes on after "the request" or "the response"."""
        return ProtocolError(self.bad, f"the {self.message} {fault}")


REQUEST = Side("request", bad=400, long_line=414, large=431, unserved=501)
RESPONSE = Side("response", bad=502, long_line=502, large=502, unserved=502)
