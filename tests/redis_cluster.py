"""A real Redis Cluster with nodes that tests can kill: three primaries, a replica of one."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import redis
from ports import free_port

from gslb.demo.redis_server import server_command
from gslb.store.cluster import SLOT

PATIENCE = 60.0
"""Seconds that only a machine without any time to spare needs."""

Found = TypeVar("Found")

_PRIMARIES = 3
_SLOTS = 16384
_OPTIONS = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": "1000",
    "cluster-replica-validity-factor": "0",
    "repl-diskless-sync-delay": "0",
}


class RedisCluster:
    """Nodes on loopback ports, which they keep over restarts, as they do what they know of each other."""

    def __init__(self, binary: Path, directory: Path) -> None:
        self._binary, self._directory = binary, directory
        self.ports = [free_port() for _ in range(_PRIMARIES + 1)]
        self._buses = {port: free_port() for port in self.ports}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return self.url_for("")

    def url_for(self, login: str) -> str:
        return f"redis+cluster://{login}{','.join(f'127.0.0.1:{port}' for port in self.ports)}"

    def client(self, port: int | None = None) -> redis.Redis:
        """Of a node, or of the one that has our keys; close it, or use it as a context."""
        return redis.Redis(port=port or self.owner(), decode_responses=True, socket_timeout=5)

    def owner(self) -> int:
        """The port of the running node that has our keys, and says so itself."""
        return _found(lambda: next((port for port in self.ports if self._owns(port)), None))

    def until_others_own(self, before: int) -> None:
        """Until our keys are with another node than that."""
        _found(lambda: next((port for port in self.ports if port != before and self._owns(port)), None))

    def replica(self) -> int:
        """The port of the running node that would take them over."""
        owner = self.owner()
        return next(port for port in self.ports if self._role(port) == ("slave", owner))

    def start(self) -> None:
        for port in self.ports:
            self._start(port)
        self._join()

    def kill(self, port: int) -> None:
        """End a node as a power cut would."""
        self._processes[port].kill()
        self._processes[port].wait()

    def mend(self) -> None:
        """Start what does not run; wait until all know that all is well, and the replica has everything."""
        for port, process in self._processes.items():
            if process.poll() is not None:
                self._start(port)
        _found(lambda: all(self._is_whole(port) for port in self.ports) or None)

    def stop(self) -> None:
        for port in self._processes:
            self.kill(port)

    def _start(self, port: int) -> None:
        directory = self._directory / str(port)
        directory.mkdir(exist_ok=True)
        settings = [*_OPTIONS.items(), ("cluster-port", str(self._buses[port]))]
        options = list(itertools.chain.from_iterable((f"--{name}", value) for name, value in settings))
        command = server_command(self._binary, port=port, directory=directory, options=options)
        self._processes[port] = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _found(lambda: self._ask(port, "PING"))

    def _join(self) -> None:
        *primaries, replica = self.ports
        for number, port in enumerate(primaries):
            slots = _SLOTS * number // _PRIMARIES, _SLOTS * (number + 1) // _PRIMARIES - 1
            self._tell(port, "CLUSTER ADDSLOTSRANGE", *slots)
            self._tell(port, "CLUSTER SET-CONFIG-EPOCH", number + 1)
        for other in self.ports[1:]:
            self._tell(self.ports[0], "CLUSTER MEET", "127.0.0.1", other, self._buses[other])
        owner = self._tell(self.owner(), "CLUSTER MYID")
        # It can be told so once it knows of that node.
        _found(lambda: self._ask(replica, "CLUSTER REPLICATE", owner))
        self.mend()

    def _is_whole(self, port: int) -> bool:
        info = self._ask(port, "CLUSTER INFO") or {}
        nodes = self._ask(port, "CLUSTER NODES") or {}
        linked = self._ask(port, "INFO", "replication") or {}
        well = all(
            not {"fail", "fail?", "handshake"} & set(node["flags"].split(",")) for node in nodes.values()
        )
        replicas = [node for node in nodes.values() if "slave" in node["flags"]]
        return (
            info.get("cluster_state") == "ok"
            and len(nodes) == len(self.ports)
            and well
            and len(replicas) == 1
            and linked.get("master_link_status", "up") == "up"
        )

    def _owns(self, port: int) -> bool:
        role, _ = self._role(port)
        found = self._ask(port, "CLUSTER NODES") or {}
        mine = [node for node in found.values() if "myself" in node["flags"]]
        ranges = [tuple(map(int, slots)) for node in mine for slots in node["slots"]]
        return role == "master" and any(each[0] <= SLOT <= each[-1] for each in ranges)

    def _role(self, port: int) -> tuple[str, int | None]:
        """What a node is, and whose replica."""
        info = self._ask(port, "INFO", "replication") or {}
        return info.get("role", ""), info.get("master_port")

    def _tell(self, port: int, *words: str | int) -> object:
        with self.client(port) as client:
            return client.execute_command(*words)

    def _ask(self, port: int, *words: str | int) -> Any:
        """None if the node is not there, or will not say."""
        try:
            return self._tell(port, *words)
        except redis.RedisError:
            return None


def _found(search: Callable[[], Found | None]) -> Found:
    """What `search` finds, looked for again and again."""
    deadline = time.monotonic() + PATIENCE
    while (found := search()) is None:
        assert time.monotonic() < deadline, "the Redis Cluster does not become what it should"
        time.sleep(0.02)
    return found
