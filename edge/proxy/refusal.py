"""What an edge answers by itself when it cannot or will not forward a request."""

from __future__ import annotations

from http import HTTPStatus


def status_line(status: int) -> bytes:
    """`HTTP/1.1 502 Bad Gateway` and its line end."""
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode("ascii")


def explanation(status: int, reason: str, request_id: str) -> bytes:
    """The body that goes with a refusal: what happened, and the id under which logs know it."""
    return f"{status} {HTTPStatus(status).phrase}\n{reason}\nrequest {request_id}\n".encode()


def local_response(
    status: int,
    body: bytes,
    *,
    request_id: str,
    region: str,
    keep_alive: bool,
    date: bytes,
    client_minor: int = 1,
    without_body: bool = False,
    extra: bytes = b"",
) -> bytes:
    """A complete plain-text response of the edge's own. client_minor: of the client's HTTP version.

    date: its field line (RFC 9110 6.6.1). extra: more field lines.
    """
    connection = ""
    if not keep_alive:
        connection = "Connection: close\r\n"
    elif client_minor == 0:
        connection = "Connection: keep-alive\r\n"
    fields = (
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        f"X-Request-Id: {request_id}\r\n"
        f"X-GSLB-Region: {region}\r\n"
        f"{connection}"
    )
    head = status_line(status) + date + fields.encode("latin-1") + extra + b"\r\n"
    return head if without_body else head + body
