"""Clients that ask at a constant rate, come what may, and remember each request as they saw it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from edge_stage import read_message

RATE = 250.0
"""Requests a second. What edges heed within a second has been heeded when so many more have been answered."""

SECOND = int(RATE)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. began, ended: loop time. status: 0 where no whole response came, and `failure` says why.

    server, region: who answered, as the response tells.
    """

    method: str
    path: str
    began: float
    ended: float
    status: int = 0
    failure: str = ""
    server: str = ""
    region: str = ""
    retry_after: str | None = None

    @property
    def good(self) -> bool:
        return self.status == 200

    def __str__(self) -> str:
        how = self.failure or f"status {self.status} from {self.server or 'the edge'}"
        return f"{self.method} {self.path}: {how} after {self.ended - self.began:.3f} s"


class Load:
    """Each of `asks`, a method and a path, is a client with an address of its own (which `ip_hash` goes by)
    and a connection that it keeps.

    A client has one request at a time, so that the rate holds as long as responses take less than
    `len(asks) / rate` seconds.
    """

    def __init__(self, port: int, asks: Sequence[tuple[str, str]], *, rate: float = RATE) -> None:
        self._port = port
        self._asks = asks
        self._pause = len(asks) / rate
        self._stop = False
        self.asked: list[Asked] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._go_on(number)) for number in range(len(self._asks))]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> float:
        """Until so many further requests are over; the loop's time then."""
        wanted = len(self.asked) + count
        await self.until(lambda: len(self.asked) >= wanted)
        return asyncio.get_running_loop().time()

    async def until(self, seen: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not seen():
                await asyncio.sleep(0.005)
                for task in self._tasks:
                    if task.done():
                        task.result()

    async def until_answered_by(self, server: str) -> int:
        """Until a request that begins from now on is answered there; how many have been over before."""
        now, before = asyncio.get_running_loop().time(), len(self.asked)

        def there(each: Asked) -> bool:
            return each.began >= now and each.server == server

        await self.until(lambda: any(there(each) for each in self.asked[before:]))
        return next(at for at, each in enumerate(self.asked[before:]) if there(each))

    def since(self, moment: float) -> list[Asked]:
        """Requests that began after that moment, and are over."""
        return [each for each in self.asked if each.began >= moment]

    def servers(self, moment: float) -> Counter[str]:
        """Who has answered the requests that began after that moment."""
        return Counter(each.server for each in self.since(moment))

    def failed(self, method: str) -> list[str]:
        """What went wrong, one sentence a request."""
        return [str(each) for each in self.asked if each.method == method and not each.good]

    async def _go_on(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        # Spread evenly over the time in which each client asks once.
        due = loop.time() + self._pause * number / len(self._asks)
        client = Client(self._port, number)
        while not self._stop:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due + self._pause, loop.time())
            self.asked.append(await client.ask(*self._asks[number]))
        client.close()


class Client:
    """One connection at a time, from an address that belongs to the client alone."""

    def __init__(self, port: int, number: int = 0) -> None:
        self._port = port
        self._address = f"127.0.1.{number + 1}"
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str) -> Asked:
        now = asyncio.get_running_loop().time
        began = now()
        body = "Content-Length: 5\r\n\r\nhello" if method == "POST" else "\r\n"
        try:
            if self._writer is None:
                opened = asyncio.open_connection("127.0.0.1", self._port, local_addr=(self._address, 0))
                self._reader, self._writer = await opened
            self._writer.write(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{body}".encode())
            response = await read_message(self._reader)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            return Asked(method, path, began, now(), failure=f"{type(error).__name__} {error}")
        if response.get("connection") == "close":
            self.close()
        server, region = response.get("x-gslb-server") or "", response.get("x-gslb-region") or ""
        retry_after = response.get("retry-after")
        failure = "" if response.status == 200 else f"{response.status} {response.body.decode()!r}"
        return Asked(method, path, began, now(), response.status, failure, server, region, retry_after)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


async def ask_at_once(port: int, asks: Iterable[tuple[str, str]]) -> list[Asked]:
    """Each on a connection of its own, all at the same time."""

    async def ask(method: str, path: str) -> Asked:
        client = Client(port, 200)
        try:
            return await client.ask(method, path)
        finally:
            client.close()

    return list(await asyncio.gather(*(ask(*each) for each in asks)))
