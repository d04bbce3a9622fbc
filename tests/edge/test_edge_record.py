"""Every exchange leaves one line in the access log, whichever way it ends, and the line tells the truth."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from edge_bench import Bench
from edge_stage import Stage, answering, ok, read_message

from edge.access_log import AccessLog
from gslb.clock import FakeClock
from gslb.fleet_edge import AccessLog as Settings
from gslb.fleet_edge import AccessLogFormat, Timeouts

GET = b"GET /web?page=2 HTTP/1.1\r\nHost: shop.example\r\nX-Request-Id: 4711\r\n\r\n"
POST = b"POST /web HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
UPGRADE = b"GET /web HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


class Logged(Bench):
    """A bench that keeps an access log in a file."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        super().__init__(**settings)
        self._file = directory / "access.log"
        self.clock = FakeClock()
        self.proxy.access_log = AccessLog(Settings(AccessLogFormat.JSON, str(self._file)), self.clock)

    def ask(self, request: bytes) -> None:
        self.connection.data_received(request)

    def answer(self, response: bytes) -> None:
        self.upstream.protocol.data_received(response)

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.loop.time.return_value += seconds

    def line(self) -> dict[str, Any]:
        """The only one there is."""
        assert self.proxy.access_log is not None
        self.proxy.access_log.close()
        (line,) = self._file.read_text().splitlines()
        found: dict[str, Any] = json.loads(line)
        return found


def test_a_complete_response_is_told_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    bench = Logged(tmp_path)
    bench.ask(
        b"POST /web?page=2 HTTP/1.1\r\nHost: shop.example\r\nX-Request-Id: 4711\r\nUser-Agent: test/1\r\n"
        b"Referer: http://a/\r\nContent-Length: 5\r\n\r\nhello"
    )
    bench.wait(0.25)
    bench.answer(b"HTTP/1.1 201 Created\r\nContent-Length: 6\r\n\r\nhal")
    bench.wait(0.5)
    bench.answer(b"ves")
    line = bench.line()
    assert line.pop("time") == "2027-01-15T08:00:00.000Z"
    assert line == {
        "client": "192.0.2.1",
        "user": None,
        "method": "POST",
        "host": "shop.example",
        "target": "/web?page=2",
        "protocol": "HTTP/1.1",
        "status": 201,
        "sent": 6,
        "received": 5,
        "referer": "http://a/",
        "user_agent": "test/1",
        "request_id": "4711",
        "tries": 1,
        "first_byte": 0.25,
        "total": 0.75,
        "region": "eu-west",
        "edge": "eu-west-1",
        "pool": "web",
        "server": "192.0.2.2:80",
        "tls": None,
        "ended": "complete",
    }


def test_chunks_count_as_the_bytes_in_them(tmp_path: Path) -> None:
    bench = Logged(tmp_path)
    bench.ask(b"POST /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    bench.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n2\r\nfg\r\n0\r\n\r\n")
    line = bench.line()
    assert (line["received"], line["sent"], line["ended"]) == (3, 4, "complete")


def test_a_client_that_leaves_before_there_is_an_answer(tmp_path: Path) -> None:
    bench = Logged(tmp_path)
    bench.ask(GET)
    bench.wait(3.0)
    bench.client.close()
    line = bench.line()
    assert (line["status"], line["ended"], line["server"]) == (499, "client", "192.0.2.2:80")
    assert (line["first_byte"], line["total"], line["sent"]) == (None, 3.0, 0)


def test_a_client_that_leaves_in_the_middle_of_its_answer(tmp_path: Path) -> None:
    bench = Logged(tmp_path)
    bench.ask(GET)
    bench.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    bench.client.close()
    line = bench.line()
    assert (line["status"], line["ended"], line["sent"]) == (200, "client", 4)


def test_a_client_that_takes_nothing_is_one_that_left(tmp_path: Path) -> None:
    bench = Logged(tmp_path, write_timeout=60.0)
    bench.ask(GET)
    bench.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    bench.connection.pause_writing()
    bench.wait(61.0)
    bench.connection.check(61.0)
    assert bench.line()["ended"] == "client"


def test_a_client_whose_request_turns_to_rubbish_in_the_middle_of_its_answer(tmp_path: Path) -> None:
    bench = Logged(tmp_path)
    bench.ask(b"POST /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    bench.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    bench.ask(b"rubbish\r\n")
    line = bench.line()
    assert (line["status"], line["ended"], line["sent"], line["received"]) == (200, "client", 4, 3)


def test_a_server_that_breaks_off(tmp_path: Path) -> None:
    bench = Logged(tmp_path)
    bench.ask(GET)
    bench.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    bench.upstream.protocol.eof_received()
    line = bench.line()
    assert (line["status"], line["ended"], line["sent"]) == (200, "server", 4)


def test_a_server_that_says_no_http_is_the_edges_refusal(tmp_path: Path) -> None:
    bench = Logged(tmp_path)
    bench.ask(GET)
    bench.answer(b"SSH-2.0\r\n\r\n")
    line = bench.line()
    assert (line["status"], line["ended"], line["server"], line["first_byte"]) == (
        502,
        "refused",
        "192.0.2.2:80",
        None,
    )
    assert line["sent"] > 0


def test_a_server_that_is_too_slow_is_the_edges_refusal(tmp_path: Path) -> None:
    bench = Logged(tmp_path, timeouts=Timeouts(first_byte=30.0))
    bench.ask(GET)
    bench.wait(31.0)
    bench.connection.check(31.0)
    line = bench.line()
    assert (line["status"], line["ended"], line["total"]) == (504, "refused", 31.0)


@pytest.mark.parametrize(
    ("request_bytes", "status", "method", "pool"),
    [
        (b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 404, "GET", None),
        (b"HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 404, "HEAD", None),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501, "CONNECT", None),
        (b"rubbish\r\n\r\n", 400, "", None),
    ],
)
def test_what_never_went_to_a_server(
    tmp_path: Path, request_bytes: bytes, status: int, method: str, pool: None
) -> None:
    bench = Logged(tmp_path)
    bench.ask(request_bytes)
    line = bench.line()
    assert (line["status"], line["method"], line["pool"], line["server"]) == (status, method, pool, None)
    assert (line["ended"], line["tries"], line["client"]) == ("refused", 0, "192.0.2.1")
    assert len(line["request_id"]) == 32
    assert (line["sent"] == 0) is (method == "HEAD")


def test_a_body_that_is_too_long_is_told_as_far_as_it_came(tmp_path: Path) -> None:
    bench = Logged(tmp_path, max_body=4)
    bench.ask(b"POST /web HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")
    line = bench.line()
    assert (line["status"], line["received"], line["ended"]) == (413, 5, "refused")


def test_a_tunnel_is_one_line_when_it_is_over(tmp_path: Path) -> None:
    bench = Logged(tmp_path)
    bench.ask(UPGRADE)
    bench.answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nearly")
    bench.ask(b"hi")
    bench.wait(60.0)
    bench.upstream.protocol.eof_received()
    bench.client.close()
    line = bench.line()
    assert (line["status"], line["received"], line["sent"]) == (101, 2, 5)
    assert (line["ended"], line["first_byte"], line["total"]) == ("complete", 0.0, 60.0)


@pytest.mark.parametrize(
    ("credentials", "user"),
    [
        (b"Basic " + base64.b64encode(b"aladdin:open sesame"), "aladdin"),
        (b"basic " + base64.b64encode(b"al\xc3\xa4:x"), "alä"),
        (b"Basic " + base64.b64encode(b":no name"), None),
        (b"Basic " + base64.b64encode(b"no colon"), None),
        (b"Basic !!!", None),
        (b"Basic", None),
        (b"Bearer " + base64.b64encode(b"aladdin:open sesame"), None),
    ],
)
def test_only_the_name_of_basic_credentials_is_told(
    tmp_path: Path, credentials: bytes, user: str | None
) -> None:
    bench = Logged(tmp_path)
    bench.ask(b"GET /nowhere HTTP/1.1\r\nHost: a\r\nAuthorization: %b\r\n\r\n" % credentials)
    line = bench.line()
    assert line["user"] == user
    assert "sesame" not in json.dumps(line)


async def test_every_request_of_a_connection_has_its_line(stage: Stage, tmp_path: Path) -> None:
    proxy = await stage.one_pool(await stage.origin(answering(ok())))
    log = tmp_path / "access.log"
    proxy.access_log = AccessLog(Settings(AccessLogFormat.COMBINED, str(log)), FakeClock())
    reader, writer = await stage.connect()
    for number in range(3):
        writer.write(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        await read_message(reader)
    proxy.access_log.close()
    words = [line.split() for line in log.read_text().splitlines()]
    assert [(line[6], line[8], line[9]) for line in words] == [(f"/{n}", "200", "5") for n in range(3)]


async def test_the_version_of_tls_is_told(stage: Stage, tmp_path: Path) -> None:
    proxy = await stage.one_pool(await stage.origin(answering(ok())))
    log = tmp_path / "access.log"
    proxy.access_log = AccessLog(Settings(AccessLogFormat.JSON, str(log)), FakeClock())
    authority, ours = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(ours)
    theirs = ssl.create_default_context()
    authority.configure_trust(theirs)
    connected = proxy.protocol(proxy.entrance(proxy.edge.listen[0]))
    server = await asyncio.get_running_loop().create_server(lambda: connected(None), "127.0.0.1", 0, ssl=ours)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=theirs, server_hostname="localhost")
    writer.write(GET)
    assert (await read_message(reader)).status == 200
    writer.close()
    await writer.wait_closed()
    server.close()
    proxy.access_log.close()
    assert json.loads(log.read_text())["tls"] == "1.3"
