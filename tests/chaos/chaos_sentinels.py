"""A master, a replica, and sentinels that make the replica master when the master is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

from chaos_clients import WAIT
from ports import free_port
from redis import Redis, RedisError

from gslb.demo.processes import Child, Processes
from gslb.demo.redis_server import find_server_binary, server_command

SERVICE = "gslb"
COUNT = 3
QUORUM = 2
_SETTINGS = """port {port}
bind 127.0.0.1
dir {directory}
sentinel monitor {service} 127.0.0.1 {master} {quorum}
sentinel down-after-milliseconds {service} 500
sentinel failover-timeout {service} 3000
"""


class Sentinels:
    """All of them processes of a story. The URL names the sentinels only."""

    def __init__(self, directory: Path, processes: Processes) -> None:
        self._processes = processes
        binary = find_server_binary()
        self.master_port, self.replica_port = free_port(), free_port()
        self._ports = [free_port() for _ in range(COUNT)]
        self.master = self._add("master", server_command(binary, port=self.master_port, directory=directory))
        follow = ("--replicaof", f"127.0.0.1 {self.master_port}", "--repl-diskless-sync-delay", "0")
        command = server_command(binary, port=self.replica_port, directory=directory, options=follow)
        self.replica = self._add("replica", command)
        self.sentinels = []
        for port in self._ports:
            file = directory / f"sentinel-{port}.conf"
            settings = {"port": port, "directory": directory, "service": SERVICE, "quorum": QUORUM}
            file.write_text(_SETTINGS.format(master=self.master_port, **settings))
            self.sentinels.append(self._add(f"sentinel-{port}", [str(binary), str(file), "--sentinel"]))

    def _add(self, name: str, command: list[str]) -> Child:
        return self._processes.add(name, command)

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    async def start(self) -> None:
        """Until the replica follows the master, and every sentinel knows of it and of the others."""
        for child in (self.master, self.replica, *self.sentinels):
            await self._processes.start(child)
        async with asyncio.timeout(WAIT):
            while not all(self._knows_all(port) for port in self._ports):
                await asyncio.sleep(0.1)

    def _knows_all(self, port: int) -> bool:
        try:
            with Redis(port=port, decode_responses=True) as sentinel:
                known = sentinel.sentinel_master(SERVICE)
                slaves = sentinel.sentinel_slaves(SERVICE)
        except RedisError:
            return False
        followed = any(each["master-link-status"] == "ok" for each in slaves)
        return known["num-other-sentinels"] == COUNT - 1 and followed
