"""The admin side of a measured node: its state, its metrics, reloads and overrides."""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import suppress
from typing import Any

from gslb_servers import ADMIN_TOKEN
from processes import UnavailableError

PATIENCE = 120.0
"""Seconds for a call; to reload thousands of services takes its time."""


class Admin:
    """One kept connection to the admin side at a port of the loopback; for one thread at a time."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """The status and body of the response; raises OSError or http.client.HTTPException for none."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        data = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, data, headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def state(self) -> dict[str, Any]:
        status, body = self.call("GET", "/v1/state")
        if status != 200:
            raise UnavailableError(f"the admin side says {status}")
        state: dict[str, Any] = json.loads(body)
        return state

    def counter(self, name: str) -> int:
        """A counter among the metrics; 0 where the node has none of this name."""
        _, body = self.call("GET", "/metrics")
        lines = [line.split() for line in body.decode().splitlines() if line.startswith(f"{name}_total")]
        return sum(int(float(line[-1])) for line in lines)

    def reload(self) -> dict[str, Any]:
        """Have the file taken up; the outcome as the node tells it."""
        _, body = self.call("POST", "/v1/reload")
        outcome: dict[str, Any] = json.loads(body)
        return outcome

    def force_down(self, region: str) -> None:
        self._override("PUT", region, {"kind": "forced_down", "by": "benchmark"})

    def clear(self, region: str) -> None:
        self._override("DELETE", f"{region}?by=benchmark")

    def _override(self, method: str, region: str, body: object = None) -> None:
        status, said = self.call(method, f"/v1/overrides/{region}", body)
        if status != 200:
            raise UnavailableError(f"the override is refused: {said.decode(errors='replace')[:200]}")


class Scraper:
    """Reads the metrics of a node once a second within `with`, as a monitoring system does."""

    def __init__(self, port: int) -> None:
        self._admin = Admin(port)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scraper", daemon=True)
        self.scraped = 0
        self.slowest = 0.0

    def __enter__(self) -> Scraper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            with suppress(OSError, http.client.HTTPException):
                status, _ = self._admin.call("GET", "/metrics")
                self.scraped += status == 200
                self.slowest = max(self.slowest, time.monotonic() - began)
            if self._stopping.wait(1.0):
                return
