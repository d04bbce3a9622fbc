"""The same odd requests to this edge, nginx and HAProxy: where we differ, a table says why we are right."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from edge_stage import Stage, make_fleet
from odd_requests import CASES, Case, numbered
from ports import free_port
from strict_reading import IncompleteError, NotStrictlyHttpError, read_request, read_response

from gslb.fleet import Route, SocketAddress

PATIENCE = 3.0  # seconds that each of the three waits for the rest of a request
PEERS = ("nginx", "haproxy")
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1000; }}
http {{
  access_log off; client_header_timeout {ms}ms; client_body_timeout {ms}ms; keepalive_timeout 5s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; lingering_close off; reset_timedout_connection off;
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://127.0.0.1:{backend}; proxy_http_version 1.1; proxy_request_buffering off;
    proxy_set_header Host $http_host; proxy_set_header Connection ""; proxy_buffering off; }} }}
}}
"""
HAPROXY = """
global
  maxconn 1000
defaults
  mode http
  timeout connect 2s
  timeout client {ms}ms
  timeout server 2s
  timeout http-request {ms}ms
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  server one 127.0.0.1:{backend}
"""


@dataclass
class Outcome:
    """Of one case at one proxy. statuses: of final responses. seen: what the server was asked, whole only."""

    statuses: list[int] = field(default_factory=list)
    seen: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)

    @property
    def reading(self) -> tuple[tuple[bytes, bytes], ...]:
        """Methods and bodies of what went to the server: how the request was understood."""
        return tuple((method, body) for method, _, body in self.seen)


class Backend:
    """Writes down all requests, each for the case whose number is anywhere in it."""

    def __init__(self) -> None:
        self.seen: dict[int, list[tuple[bytes, bytes, bytes]]] = {}
        self.malformed: list[bytes] = []

    async def start(self, stack: AsyncExitStack) -> int:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data, at = b"", 0
        with suppress(OSError, asyncio.CancelledError):
            while piece := await reader.read(65536):
                data += piece
                while at < len(data):
                    try:
                        request = read_request(data, at)
                    except IncompleteError:
                        break
                    except NotStrictlyHttpError:
                        self.malformed.append(data[at:])
                        writer.close()
                        return
                    if not request.complete:
                        break
                    found = re.search(rb"n(\d+)n", data[at : request.end])
                    if found:
                        told = (request.start[0], request.start[1], request.body)
                        self.seen.setdefault(int(found[1]), []).append(told)
                    at = request.end
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()


async def outcome(port: int, request: bytes) -> list[int]:
    """The statuses of all responses until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = b""
    with suppress(OSError):
        writer.write(request)
        async with asyncio.timeout(10):
            while piece := await reader.read(65536):
                data += piece
    writer.close()
    statuses: list[int] = []
    at = 0
    with suppress(NotStrictlyHttpError, IncompleteError):
        while at < len(data):
            response = read_response(data, at, b"GET", closed=True)
            at = response.end
            if response.status >= 200:
                statuses.append(response.status)
    return statuses


async def _start_peer(name: str, folder: Path, backend: int, stack: AsyncExitStack) -> int:
    port = free_port()
    config = folder / f"{name}.conf"
    text = NGINX if name == "nginx" else HAPROXY
    config.write_text(text.format(folder=folder, port=port, backend=backend, ms=int(PATIENCE * 1000)))
    command = ("-p", str(folder), "-c", str(config)) if name == "nginx" else ("-db", "-q", "-f", str(config))
    silent = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(_found(name), *command, stdout=silent, stderr=silent)

    async def end() -> None:
        process.kill()
        await process.wait()

    stack.push_async_callback(end)
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                assert process.returncode is None, f"{name} did not start"
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return port


def _found(name: str) -> str:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin") or ""


async def _ask_all(port: int, backend: Backend) -> list[Outcome]:
    gate = asyncio.Semaphore(64)

    async def one(number: int, case: Case) -> list[int]:
        async with gate:
            return await outcome(port, numbered(number, case))

    told = await asyncio.gather(*(one(number, case) for number, case in enumerate(CASES)))
    return [Outcome(each, backend.seen.get(number, [])) for number, each in enumerate(told)]


async def _compare() -> tuple[dict[str, list[Outcome]], dict[str, Backend]]:
    outcomes: dict[str, list[Outcome]] = {}
    backends: dict[str, Backend] = {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = Stage()
        stack.push_async_callback(stage.close)
        for name in ("edge", *filter(_found, PEERS)):
            backends[name] = backend = Backend()
            behind = await backend.start(stack)
            if name == "edge":
                fleet = make_fleet(
                    {"web": [SocketAddress("127.0.0.1", behind)]},
                    routes=[Route(None, "/", "web")],
                    header_timeout=PATIENCE,
                    body_timeout=PATIENCE,
                    idle_timeout=PATIENCE,
                )
                await stage.serve(fleet)
                port = stage.port
            else:
                port = await _start_peer(name, folder, behind, stack)
            outcomes[name] = await _ask_all(port, backend)
    return outcomes, backends


@pytest.fixture(scope="module")
def compared() -> tuple[dict[str, list[Outcome]], dict[str, Backend]]:
    return asyncio.run(_compare())


# Why we are right. The first word tells what we do with a request that a peer treats otherwise:
# "refuses": a server gets nothing of it from us; "serves": the peer refuses it; "parts": neither serves it,
# or both do, and only the peer takes another request on the connection; "stays": only we do.

WHY = {
    (
        "two lengths",
        "refuses",
    ): "RFC 9110 8.6: one number, written in one way, or nobody knows which is meant",
    ("length and coding", "refuses"): "RFC 9112 6.1: whoever sends both may be smuggling, and is refused",
    ("coding", "parts"): "an empty member hides a coding from some readers; HAProxy passes it on as it is",
    (
        "two codings",
        "parts",
    ): "an empty member hides a coding from some readers; HAProxy passes it on as it is",
    ("name", "refuses"): "RFC 9112 5.2: a folded line is refused, not mended",
    ("line end", "refuses"): "RFC 9112 2.2: a bare LF or CR is a line end to some readers and data to others",
    ("line end", "parts"): "RFC 9110 5.5: control bytes are refused, and never reach a server",
    ("chunks", "refuses"): "RFC 9112 7.1: sizes, line ends and trailers of chunks have one form",
    (
        "target",
        "refuses",
    ): "RFC 9112 3.2: one of four forms, of visible ASCII, and no path read in two ways",
    ("target", "parts"): "RFC 3986 2: bytes beyond ASCII are no part of a target, and never reach a server",
    ("target", "stays"): "it was well-formed HTTP, so that the next request begins where everybody thinks",
    ("host", "refuses"): "RFC 9112 3.2: exactly one Host, which is a host, since routes and caches go by it",
    ("version", "refuses"): "RFC 9110 2.5: HTTP/1.1 and 1.0 are served, and no other is guessed at",
    ("request line", "refuses"): "RFC 9112 3: single spaces, and no answer to HTTP/0.9, which has no end",
    ("field", "refuses"): "RFC 9112 5: a line that is no field is not left out or mended",
    ("field", "parts"): "RFC 9110 5.5: control bytes are refused, and never reach a server",
    ("expect", "refuses"): "RFC 9110 10.1.1: an expectation that nobody here can meet is told with 417",
    ("length", "stays"): "RFC 9110 9.1: a method is any token, and `helloGET` is one; servers decide",
    ("connection", "stays"): "RFC 9110 7.6.1: options are tokens, and one in quotes is not close",
}
WHY_SERVED = {
    "two lengths": "RFC 9110 8.6: the same number twice may be taken for one",
    "length": "RFC 9110 8.6: the same number twice may be taken for one; 5.6.3: a tab is whitespace",
    "coding": "RFC 9110 5.6.3: a tab is whitespace as good as a space",
    "target": "RFC 9112 3.2.2: the target's authority replaces the Host field; 3: long lines are served",
    "method": "RFC 9110 9.1: methods are any tokens, and whether one is served the server says",
    "upgrade": "RFC 9110 7.8: the server knows the protocol, and whether this is a handshake of it",
}


def difference(ours: Outcome, theirs: Outcome) -> str:
    """Empty if both understood the same."""
    if ours.reading == theirs.reading:
        return ""
    mine, yours = (
        [(method, body) for method, target, body in each.seen if not target.startswith(b"/end-")]
        for each in (ours, theirs)
    )
    if mine == yours:
        return "stays" if len(ours.seen) > len(theirs.seen) else "parts"
    if not mine:
        return "refuses"
    return "serves" if not yours else "reads otherwise"


@pytest.mark.parametrize("peer", PEERS)
def test_we_differ_from_others_only_where_we_can_say_why(
    compared: tuple[dict[str, list[Outcome]], dict[str, Backend]], peer: str
) -> None:
    outcomes, _ = compared
    if peer not in outcomes:
        pytest.skip(f"{peer} is not installed here, so there is nothing to compare with")
    unexplained = []
    too_late = 0
    for case, ours, theirs in zip(CASES, outcomes["edge"], outcomes[peer], strict=True):
        if 504 in theirs.statuses:
            too_late += 1  # its own backend was too slow on a busy machine, which says nothing of its reading
            continue
        how = difference(ours, theirs)
        explained = not how or (case.kind, how) in WHY or (how == "serves" and case.kind in WHY_SERVED)
        if not explained:
            unexplained.append(f"{case.kind} {case.name}: {how}: {ours}, {peer}: {theirs}")
    assert not unexplained, "\n".join(unexplained)
    assert too_late <= 5


def test_plain_requests_are_read_alike_by_all(
    compared: tuple[dict[str, list[Outcome]], dict[str, Backend]],
) -> None:
    """Else nothing was compared."""
    outcomes, _ = compared
    for name, told in outcomes.items():
        plain = [each for case, each in zip(CASES, told, strict=True) if case.kind == "plain"]
        assert [each.statuses for each in plain] == [[200] * 4, [200] * 2], name
        assert [len(each.seen) for each in plain] == [4, 2], name


def test_no_odd_request_becomes_a_malformed_one_at_our_server(
    compared: tuple[dict[str, list[Outcome]], dict[str, Backend]],
) -> None:
    _, backends = compared
    assert backends["edge"].malformed == []


def test_what_we_refuse_is_answered_and_what_we_serve_is_served_once(
    compared: tuple[dict[str, list[Outcome]], dict[str, Backend]],
) -> None:
    outcomes, _ = compared
    for case, told in zip(CASES, outcomes["edge"], strict=True):
        assert told.statuses, f"{case.kind} {case.name} got no answer"
        assert all(status == 200 or 400 <= status <= 599 for status in told.statuses), case
        assert told.statuses.count(200) == len(told.seen), case
        ends = [target for _, target, _ in told.seen if target.startswith(b"/end-")]
        assert len(ends) <= 1, case
        assert not ends or told.seen[-1][1] == ends[0], case
