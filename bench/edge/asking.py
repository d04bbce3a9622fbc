"""Whether a proxy that has started does what is measured later: before that, nobody is measured."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import time
from contextlib import closing
from pathlib import Path

from processes import UnavailableError, end_of

STARTING = 20.0
"""Seconds that a server has until it answers."""

SMALL, LARGE, LARGEST = 1024, 1 << 20, 100 << 20
"""Bytes of the bodies."""

_SMALL_TEXT = "".join("\n" if i % 64 == 63 else chr(ord("a") + i % 26) for i in range(SMALL)).encode()
_FIELDS = ("Content-Type", "Cache-Control", "ETag", "Vary", "X-Content-Type-Options", "X-Served-By")
_BACKENDS_MET_WITHIN = 30


def connected(port: int, *, tls: bool) -> http.client.HTTPConnection:
    """Certificates are not verified: they are our own."""
    if tls:
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    return http.client.HTTPConnection("127.0.0.1", port, timeout=10)


def wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path, *, tls: bool) -> None:
    """Raises UnavailableError when the server ends, or does not answer in time."""
    deadline = time.monotonic() + STARTING
    while True:
        if process.poll() is not None:
            raise UnavailableError(f"it ended with status {process.returncode}: {end_of(log)}")
        try:
            with closing(connected(port, tls=tls)) as connection:
                if _status(connection, "GET", "/small") == 200:
                    return
        except (OSError, http.client.HTTPException):
            pass
        if time.monotonic() > deadline:
            raise UnavailableError(f"it does not answer within {STARTING:.0f} s: {end_of(log)}")
        time.sleep(0.05)


def see_that_it_answers_rightly(port: int, backends: int, *, tls: bool) -> None:
    """Bodies, fields, keep-alive and turns; raises UnavailableError that names what is wrong."""
    try:
        with closing(connected(port, tls=tls)) as connection:
            _see_bodies(connection)
        met = {_backend_of(port, tls=tls) for _ in range(_BACKENDS_MET_WITHIN)}
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(f"a request failed: {type(error).__name__} {error}") from error
    if len(met) != backends:
        raise UnavailableError(f"it uses {len(met)} of {backends} backends")


def _see_bodies(connection: http.client.HTTPConnection) -> None:
    for _ in range(2):
        connection.request("GET", "/small/seen?x=1", headers={"Host": "www.bench.test"})
        response = connection.getresponse()
        if response.status != 200 or response.read() != _SMALL_TEXT:
            raise UnavailableError(f"the small body is wrong, status {response.status}")
        missing = [name for name in _FIELDS if name not in response.headers]
        if missing:
            raise UnavailableError(f"fields of the backend are missing: {', '.join(missing)}")
        if response.will_close:
            raise UnavailableError("it does not keep the connection")
    connection.request("GET", f"/bytes/{LARGE}")
    response = connection.getresponse()
    if response.status != 200 or response.read() != b"x" * LARGE:
        raise UnavailableError(f"the large body is wrong, status {response.status}")
    connection.request("POST", "/upload", body=b"y" * LARGE)
    response = connection.getresponse()
    if response.status != 200 or response.read() != b"ok\n":
        raise UnavailableError(f"an upload is answered with {response.status}")


def _backend_of(port: int, *, tls: bool) -> str | None:
    with closing(connected(port, tls=tls)) as connection:
        connection.request("GET", "/small")
        response = connection.getresponse()
        response.read()
        return response.headers["X-Served-By"]


def _status(connection: http.client.HTTPConnection, method: str, path: str) -> int:
    connection.request(method, path)
    response = connection.getresponse()
    response.read()
    return response.status
