"""A real Redis-compatible server that tests can kill, pause and start again."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import redis
from ports import free_port

from gslb.demo.redis_server import server_command

START_TIMEOUT = 15.0


class RedisServer:
    """A server process on a loopback port, which it keeps over restarts. It forgets all when it ends."""

    def __init__(self, binary: Path, directory: Path) -> None:
        self._binary = binary
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.socket_path = directory / "redis.sock"
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def client(self) -> redis.Redis:
        """A plain client that sees what the tests want to see; close it, or use it as a context."""
        return redis.Redis(host="127.0.0.1", port=self.port, decode_responses=True)

    def start(self) -> None:
        options = ["--unixsocket", str(self.socket_path)]
        command = server_command(self._binary, port=self.port, directory=self._directory, options=options)
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError:
                if not self.running or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """The same port again, with an empty memory."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Let it hang: connections stay, answers do not come."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def reset(self) -> None:
        """Running, empty, and open to everyone."""
        if not self.running:
            self.start()
        self.resume()
        with self.client() as client:
            client.replicaof("NO", "ONE")
            client.flushall()
            client.script_flush()
            client.execute_command("ACL", "DELUSER", "gslb")
            client.execute_command("ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all")
