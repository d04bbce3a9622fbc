"""A target that listens on loopback, in a thread, and does what a test tells it to."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import trustme

from gslb.fleet import SocketAddress

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("health.test")
PATIENCE = 10.0

Handler = Callable[[socket.socket], object]


@contextmanager
def listening(handler: Handler, *, tls: bool = False) -> Iterator[SocketAddress]:
    """A server in a thread, one connection after the other; what clients do to it, it bears."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    over = threading.Event()

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                if over.is_set():
                    return
                connection.settimeout(PATIENCE)
                if tls:
                    with context.wrap_socket(connection, server_side=True) as wrapped:
                        handler(wrapped)
                else:
                    handler(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield SocketAddress(*address)
        finally:
            over.set()
            socket.create_connection(address).close()
            thread.join()


def answering(answer: bytes, requests: list[bytes] | None = None) -> Handler:
    """Reads a request's head, sends `answer`, and closes."""

    def handler(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536) or b"\r\n\r\n"
        if requests is not None:
            requests.append(head)
        connection.sendall(answer)

    return handler


def http(body: bytes = b"ok", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
