"""An origin server of the demo: says who it is, and can be made slow, large or failing by the query.

Only the standard library, so that it runs by itself: `python origin.py REGION HOST POOL:PORT…`.
`/health` answers `ok`. On any other path `?delay=SECONDS` (up to 10), `?size=BYTES` (up to 100 MB) and
`?status=CODE` shape the response.
"""

import signal
import socketserver
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import parse_qs, urlsplit

LONGEST_DELAY = 10.0
LARGEST_BODY = 100_000_000
BLOCK = 65536


class Origin(BaseHTTPRequestHandler):
    """Answers every method alike."""

    protocol_version = "HTTP/1.1"
    # Head and body in one packet: in two, the second would wait 40 ms for the first one's delayed ACK.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: "OriginServer"

    @property
    def identity(self) -> str:
        """Region, pool, and the address that was reached, also where the wildcard is bound."""
        host, port = self.connection.getsockname()[:2]
        return f"{self.server.region}/{self.server.pool}/{host}:{port}"

    def _respond(self) -> None:
        received = sum(len(block) for block in self._body())
        url = urlsplit(self.path)
        if url.path == "/health":
            self._send(200, b"ok\n")
            return
        query = parse_qs(url.query)
        delay = min(_number(query, "delay"), LONGEST_DELAY)
        if delay:
            Event().wait(delay)
        told = f"{self.command} {self.path}\nserved by {self.identity}\n"
        if received:
            told += f"received {received} bytes\n"
        size = int(min(_number(query, "size"), LARGEST_BODY))
        status = int(_number(query, "status")) or 200
        self._send(status if 200 <= status <= 599 else 200, told.encode().ljust(size, b"."))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _respond  # noqa: N815

    def _body(self) -> Iterator[bytes]:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0 and (block := self.rfile.read(min(left, BLOCK))):
            left -= len(block)
            yield block

    def _send(self, status: int, body: bytes) -> None:
        bodiless = status in (204, 304)
        self.send_response(status)
        self.send_header("X-Origin", self.identity)
        if not bodiless:
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and not bodiless:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the edge is the one that tells of requests."""


class OriginServer(ThreadingHTTPServer):
    """A thread a connection; the base class would look its own name up in the DNS when it binds."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, region: str, pool: str, address: tuple[str, int]) -> None:
        self.region, self.pool = region, pool
        super().__init__(address, Origin)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nothing to tell of."""


def _number(query: dict[str, list[str]], name: str) -> float:
    try:
        number = float(query.get(name, ["0"])[0])
    except ValueError:
        return 0.0
    return number if 0 <= number < float("inf") else 0.0


def main() -> None:
    region, host, *pools = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for pool, _, port in (each.partition(":") for each in pools):
        server = OriginServer(region, pool, (host, int(port)))
        Thread(target=server.serve_forever, daemon=True).start()
    Event().wait()


if __name__ == "__main__":
    main()
